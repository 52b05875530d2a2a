"""Displacement slices of networks with branches: where they stay apart."""

from __future__ import annotations

from itertools import pairwise

from refntk.ops.operations import Average, Filter, read_by
from refntk.ops.program import Program

__all__ = ["fork_obstacle", "stages", "strides_below"]


def stages(body: Program) -> list[Program]:
    """Cut a body into what lies between its poolings before the readout.

    Parameters
    ----------
    body : Program
        Of which nothing after a pooling reads what is before it.

    Returns
    -------
    list of Program
        Each ends in a pooling, and the last one in the readout.
    """
    cuts = [
        k + 1 for k, op in enumerate(body.operations)
        if isinstance(op, Average) and op.support.windows is not None
    ]  # fmt: skip
    if cuts and cuts[-1] == len(body):
        cuts.pop()  # the readout itself
    return [body.part(a, b) for a, b in pairwise([0, *cuts, len(body)])]


def strides_below(body: Program) -> dict[int, tuple[int, int]]:
    """Find by what displacements at the readout are multiplied at each value.

    Parameters
    ----------
    body : Program
        Convolutions of images, and operations that leave positions where they are, up to a readout.

    Returns
    -------
    dict of (int, int)
        Products of the strides along y and x of the convolutions above; of the last branch, where
        branches differ.
    """
    found = {len(body) - 1: (1, 1)}
    for k in reversed(range(len(body) - 1)):
        operation = body.operations[k]
        y, x = found.get(k + 1, (1, 1))
        if isinstance(operation, Filter) and operation.support.windows:
            along_y, along_x = operation.support.windows
            y, x = y * along_y.stride, x * along_x.stride
        for value in read_by(operation):
            found.setdefault(value, (y, x))
    return found


def fork_obstacle(body: Program) -> str | None:
    """Say which layer reads other displacements of a value than another one that reads it, too.

    Parameters
    ----------
    body : Program
        As for `strides_below`.

    Returns
    -------
    str or None
        None if all branches keep to the same slices.
    """
    for k, operation in enumerate(body.operations):
        if isinstance(operation, Average) and operation.support.windows is not None:
            later = (value for op in body.operations[k + 1 :] for value in read_by(op))
            if any(value <= k for value in later):
                return f"{body.name(k)} pools in a branch, and others go on beside it"
    return next((found for part in stages(body) if (found := _unlike_strides(part))), None)


def _unlike_strides(body: Program) -> str | None:
    """Say which layer of a stage has other strides than another branch."""
    strides = strides_below(body)
    for k, operation in enumerate(body.operations[:-1]):
        y, x = strides.get(k + 1, (1, 1))
        if isinstance(operation, Filter) and operation.support.windows:
            along_y, along_x = operation.support.windows
            y, x = y * along_y.stride, x * along_x.stride
        if any(strides[value] != (y, x) for value in read_by(operation)):
            return f"{body.name(k)} has other strides than another branch"
    return None
