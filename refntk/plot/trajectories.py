"""Predictions along the training time as a picture, with the spread of the ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.plot.style import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_trajectories"]


def plot_trajectories(
    times: npt.ArrayLike,
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    names: Sequence[str] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw predictions by training time, with bands of two standard deviations of the ensemble.

    Parameters
    ----------
    times : float array, shape (T,)
        Ascending, as given to `GradientFlow`; the axis is logarithmic, and linear below the first
        positive time where there is a time 0.
    mean : float array, shape (T, curves)
        Mean predictions, such as one target at several images.
    variance : float array, shape (T, curves)
        Variance of each over the ensemble.
    names : sequence of str, optional
        What the legend calls each curve.
    title : str
        Of the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        The arrays do not fit each other, a time is infinite, a variance is negative.
    MissingPackageError
        matplotlib is not installed.
    """
    when, middle, squares = (np.asarray(values, np.float64) for values in (times, mean, variance))
    if when.ndim != 1 or middle.ndim != 2 or len(middle) != len(when) or not middle.size:
        raise InputError(
            f"mean: expected one row for each of {when.size} times and one column a curve, "
            f"not shape {middle.shape}"
        )
    if squares.shape != middle.shape or not (squares >= 0).all():
        raise InputError(
            f"variance: expected numbers that are not negative, of shape {middle.shape} as the "
            f"mean, not shape {squares.shape}"
        )
    if not np.isfinite(when).all() or (np.diff(when) <= 0).any() or when[0] < 0:
        raise InputError("times: a picture needs finite times, zero or positive and ascending")
    if names is not None and len(names) != middle.shape[1]:
        raise InputError(f"names: {len(names)} for {middle.shape[1]} curves")
    figure, (axes,) = new_figure(size=(6.4, 4.4))
    spread = 2 * np.sqrt(squares)
    for k in range(middle.shape[1]):
        axes.plot(
            when, middle[:, k], markevery=0.1, markersize=4, linewidth=1.2,
            label=None if names is None else names[k],
        )  # fmt: skip
        axes.fill_between(
            when, middle[:, k] - spread[:, k], middle[:, k] + spread[:, k],
            color=PALETTE[k % len(PALETTE)], alpha=0.18, linewidth=0,
        )  # fmt: skip
    if when[0] > 0:
        axes.set_xscale("log")
    elif len(when) > 1:
        axes.set_xscale("symlog", linthresh=when[1])
    axes.set(
        xlabel="training time (in units of 1 / learning rate)",
        ylabel="prediction, mean and 2 standard deviations",
        title=title,
    )
    if names is not None:
        axes.legend(frameon=False, fontsize=8)
    return figure
