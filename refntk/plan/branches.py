"""Displacement slices of networks with branches: where they stay apart."""

from __future__ import annotations

from refntk.ops.operations import Filter, read_by
from refntk.ops.program import Program

__all__ = ["fork_obstacle", "strides_below"]


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
    strides = strides_below(body)
    for k, operation in enumerate(body.operations[:-1]):
        y, x = strides.get(k + 1, (1, 1))
        if isinstance(operation, Filter) and operation.support.windows:
            along_y, along_x = operation.support.windows
            y, x = y * along_y.stride, x * along_x.stride
        if any(strides[value] != (y, x) for value in read_by(operation)):
            return f"{body.name(k)} has other strides than another branch"
    return None
