"""Signals as images of one row: what is fast for images is so for them."""

from __future__ import annotations

from dataclasses import replace

from refntk.ops.groups import point_group
from refntk.ops.operations import Average, Filter, Operation, Stack
from refntk.ops.program import Program
from refntk.ops.space import Space
from refntk.ops.support import Window

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
            row = replace(
                support, below=_row(support.below), above=_row(support.above), windows=windows
            )
            return replace(operation, support=row)
        case _:
            return operation


def _row(space: Space) -> Space:
    if not space.shape:
        return space
    # The mirror of the line is the left-right mirror of the square.
    group = space.group and point_group(space.group.name)
    return Space((1, *space.shape), group)
