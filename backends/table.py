"""A plan as integers: what every compiled backend reads of the steps, written once."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from refntk.ops.dual import RELU
from refntk.plan.reduction import Plan

__all__ = [
    "LATE",
    "LINEAR",
    "NONNEGATIVE",
    "SIGNED",
    "StepColumns",
    "is_usual",
    "step_constants",
    "step_table",
]

LINEAR, SIGNED, NONNEGATIVE, LATE = 0, 1, 2, 3
"""What follows a convolution: nothing; the first activation; one where K >= 0 is known, as it is
after one whose dual is never negative; any other."""


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
        """LINEAR, SIGNED, NONNEGATIVE or LATE."""
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
    kind = SIGNED
    for row, step in zip(table, plan.steps, strict=True):
        for axis, window in enumerate((step.y, step.x)):
            row[column.in_y + axis] = window.n_in
            row[column.out_y + axis] = window.n_out
            row[column.size_y + axis] = window.size
            row[column.stride_y + axis] = window.stride
            row[column.low_y + axis] = window.low
        if step.activation is not None:
            row[column.activation] = kind
            kind = NONNEGATIVE if step.activation.nonnegative else LATE
    return table


def is_usual(plan: Plan) -> bool:
    """Whether activations are Relu, in the NTK parametrisation: loops compiled for it are faster.

    Parameters
    ----------
    plan : Plan
        Of the method slices.

    Returns
    -------
    bool
    """
    return all(
        step.activation in (None, RELU) and step.tangent == (1.0, 0.0) for step in plan.steps
    )


def step_constants(plan: Plan, dtype: str) -> npt.NDArray[Any]:
    """Write the constants of activations and tangents.

    Parameters
    ----------
    plan : Plan
        Of the method slices.
    dtype : {"float64", "float32"}

    Returns
    -------
    array, shape (steps, 6)
        Half, gain, skip and odd of `refntk.ops.dual.ArcCosine`, those of Relu where there is no
        activation, and the tangent's alpha and beta.
    """
    rows = np.zeros((len(plan.steps), 6))
    for row, step in zip(rows, plan.steps, strict=True):
        dual = step.activation or RELU
        row[:] = (dual.half, dual.gain, dual.skip, dual.odd, *step.tangent)
    return rows.astype(dtype)
