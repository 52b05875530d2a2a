"""Means that a mean over everything contains: they need not be taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from refntk.ops.operations import Average, Stack
from refntk.ops.program import Program
from refntk.ops.space import Space
from refntk.ops.support import Support

__all__ = ["without_inner_means"]


def without_inner_means(program: Program) -> Program:
    """Leave out means right before the mean over all features, where they change nothing.

    The mean of means is the mean where these read all features equally often, as RotationPool and
    CosetPool do, and windows that tile the image. Likewise the sum of sums, where these read each
    feature once; and a single feature is its own mean.

    Parameters
    ----------
    program : Program

    Returns
    -------
    Program
        One of the same kernels; the same one where it is no chain.
    """
    for k in range(1, len(program) if program.chain else 0):
        inner, over = program.operations[k - 1], _over_everything(program, k)
        if over is not None and isinstance(inner, Average) and _evenly(inner, over == "one"):
            below = inner.support.below
            whole = Average(inner.below, Support(below, Space()), over)
            later = [
                replace(operation, below=number)  # type: ignore[arg-type]
                for number, operation in enumerate(program.operations[k + 1 :], k)
            ]
            origin = program.origin[: k - 1] + program.origin[k:]
            operations = (*program.operations[: k - 1], whole, *later)
            return without_inner_means(replace(program, operations=operations, origin=origin))
    return program


def _over_everything(program: Program, k: int) -> Literal["window", "one"] | None:
    """Say whether an operation is the mean over all features, ``window``, or their sum, ``one``."""
    match program.operations[k]:
        case Stack() if program.spaces[k].size == 1:
            return "window"
        case Average(support=support, over=over) if (
            support.windows is None and support.above == Space() and over != "inside"
        ):
            return over
    return None


def _evenly(inner: Average, sums: bool) -> bool:
    """Whether it reads all features below equally often, and as sum once, and nothing outside."""
    maps = inner.support.maps
    if (inner.over == "one") != sums or (maps < 0).any():
        return False
    reads = np.bincount(maps.ravel(), minlength=inner.support.below.size)
    return bool(np.ptp(reads) == 0 and not (sums and reads[0] != 1))
