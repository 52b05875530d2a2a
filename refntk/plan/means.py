"""Means that a mean over everything contains: they need not be taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refntk.ops.operations import Average
from refntk.ops.program import Program
from refntk.ops.space import Space
from refntk.ops.support import Support

__all__ = ["without_inner_means"]


def without_inner_means(program: Program) -> Program:
    """Leave out means right before the mean over all features, where they change nothing.

    The mean of means is the mean where these read all features equally often, as RotationPool and
    CosetPool do, and windows that tile the image.

    Parameters
    ----------
    program : Program

    Returns
    -------
    Program
        One of the same kernels; the same one where it is no chain.
    """
    for k in range(1, len(program) if program.chain else 0):
        inner, outer = program.operations[k - 1 : k + 1]
        if _means_all(outer) and isinstance(inner, Average) and _evenly(inner):
            assert isinstance(outer, Average)
            whole = replace(
                outer, below=inner.below, support=Support(inner.support.below, Space())
            )
            later = [
                replace(operation, below=number)  # type: ignore[arg-type]
                for number, operation in enumerate(program.operations[k + 1 :], k)
            ]
            origin = program.origin[: k - 1] + program.origin[k:]
            operations = (*program.operations[: k - 1], whole, *later)
            return without_inner_means(replace(program, operations=operations, origin=origin))
    return program


def _means_all(operation: object) -> bool:
    return (
        isinstance(operation, Average)
        and operation.over == "window"
        and operation.support.windows is None
        and operation.support.above == Space()
    )


def _evenly(mean: Average) -> bool:
    """Whether it is a mean that reads all features below equally often, and nothing outside."""
    maps = mean.support.maps
    if mean.over != "window" or (maps < 0).any():
        return False
    return bool(np.ptp(np.bincount(maps.ravel(), minlength=mean.support.below.size)) == 0)
