"""A plan as integers: what every compiled backend reads of the steps, written once."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from refntk.plan.reduction import Plan

__all__ = ["LINEAR", "NONNEGATIVE", "SIGNED", "StepColumns", "step_table"]

LINEAR, SIGNED, NONNEGATIVE = 0, 1, 2
"""What follows a convolution: nothing; an activation; one where K >= 0 is known, as it is after an
activation whose dual is never negative."""


class StepColumns(Protocol):
    """Columns of an integer table with a row for each step; those along x come right after y."""

    @property
    def in_y(self) -> int:
        """Positions below."""
        ...

    @property
    def out_y(self) -> int:
        """Positions above."""
        ...

    @property
    def size_y(self) -> int:
        """Side of the filter."""
        ...

    @property
    def stride_y(self) -> int:
        """Step of the filter."""
        ...

    @property
    def low_y(self) -> int:
        """Positions by which the first window reaches out of the image."""
        ...

    @property
    def activation(self) -> int:
        """LINEAR, SIGNED or NONNEGATIVE."""
        ...


def step_table(plan: Plan, column: StepColumns, width: int) -> npt.NDArray[np.int64]:
    """Write the steps of a plan as integers.

    Parameters
    ----------
    plan : Plan
        Of the method slices.
    column : StepColumns
        Where each number goes.
    width : int
        Number of columns; those that are not of `StepColumns` are 0.

    Returns
    -------
    int64 array, shape (steps, width)
    """
    table = np.zeros((len(plan.steps), width), np.int64)
    nonnegative = False
    for row, step in zip(table, plan.steps, strict=True):
        for axis, window in enumerate((step.y, step.x)):
            row[column.in_y + axis] = window.n_in
            row[column.out_y + axis] = window.n_out
            row[column.size_y + axis] = window.size
            row[column.stride_y + axis] = window.stride
            row[column.low_y + axis] = window.low
        if step.activation is not None:
            row[column.activation] = NONNEGATIVE if nonnegative else SIGNED
            nonnegative = step.activation.nonnegative
    return table
