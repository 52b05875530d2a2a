"""Signals as images of one row: what is fast for images is so for them."""

from __future__ import annotations

from dataclasses import replace

from refntk.ops.operations import Average, Filter, Operation, Stack
from refntk.ops.program import Program
from refntk.ops.space import Space
from refntk.ops.support import Support, Window

__all__ = ["as_rows"]


def as_rows(program: Program) -> Program:
    """Take the positions of a program for signals as those of images of one row.

    Parameters
    ----------
    program : Program
        Of convolutions and pools on positions along one axis.

    Returns
    -------
    Program
        One of the same kernels.
    """
    operations = tuple(_in_a_row(operation) for operation in program.operations)
    return replace(program, space=_row(program.space), operations=operations)


def _in_a_row(operation: Operation) -> Operation:
    match operation:
        case Filter(support=support) | Average(support=support) | Stack(support=support):
            windows = support.windows
            if windows:
                windows = Window(1, 1, 1, 1, 0, windows[0].wrap), *windows
            below, above = _row(support.below), _row(support.above)
            return replace(operation, support=Support(below, above, windows))
        case _:
            return operation


def _row(space: Space) -> Space:
    return Space((1, *space.shape)) if space.shape else space
