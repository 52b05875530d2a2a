"""A Gram matrix as a picture, images sorted by class."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.inference.gram import as_gram
from refntk.plot.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DRAWN_ASYMMETRY", "correlations", "plot_gram"]

FloatArray = npt.NDArray[np.floating[Any]]

DRAWN_ASYMMETRY = 1e-5
"""Largest difference from the mirror image in a picture, relative to the largest entry."""

_NAMED_CLASSES = 40
_LETTERS_A_LINE = 24


def correlations(kernel: FloatArray, *, centred: bool = False) -> FloatArray:
    """Divide a kernel by the roots of its diagonal.

    Parameters
    ----------
    kernel : float array, shape (N, N)
        A Gram matrix.
    centred : bool
        Take the mean off the features first: H K H with H = I - 1/N.

    Returns
    -------
    float array, shape (N, N)
        Between -1 and 1. Rows and columns of features without length are 0.
    """
    matrix = kernel
    if centred:
        means = kernel.mean(axis=0)
        matrix = kernel - means - means[:, None] + means.mean()
    squares = np.diagonal(matrix)
    # What centring leaves of equal features is rounding, and has no direction.
    least = np.finfo(np.float64).eps * len(kernel) * np.diagonal(kernel).max()
    scale = np.zeros(len(kernel))
    np.divide(1, np.sqrt(np.maximum(squares, least)), out=scale, where=squares > least)
    return np.clip(matrix * scale * scale[:, None], -1, 1)


def plot_gram(
    kernel: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    *,
    name: str = "kernel",
) -> Figure:
    """Draw a Gram matrix as correlations, as they are and after centring in feature space.

    Parameters
    ----------
    kernel : array, shape (N, N)
        NNGP or NTK of N images with themselves.
    labels : array of int, shape (N,), optional
        Classes; images are sorted by them, and lines part the classes.
    class_names : sequence of str, optional
        Name of class 0, 1, ...
    name : str, default "kernel"
        What the title calls it, such as ``"NTK"``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        The kernel is not a Gram matrix, or the labels do not fit it.
    MissingPackageError
        matplotlib is not installed.
    """
    matrix = as_gram(kernel, name, asymmetry=DRAWN_ASYMMETRY).astype(np.float64, copy=False)
    figure, (left, right) = new_figure(1, 2, size=(11, 4.8))
    classes = None
    if labels is not None:
        classes = _classes(labels, len(matrix), class_names)
        order = np.argsort(classes, kind="stable")
        matrix, classes = matrix[np.ix_(order, order)], classes[order]
    panels = (
        (left, f"{name}, normalised to its diagonal", False, "viridis", None, "white"),
        (right, "the same, centred in feature space", True, "RdBu_r", 1, "black"),
    )
    for axes, title, centred, colours, limit, line in panels:
        drawn = axes.imshow(
            correlations(matrix, centred=centred).astype(np.float32),
            cmap=colours,
            vmin=None if limit is None else -limit,
            vmax=limit,
        )
        axes.set(title=title, xlabel="image", ylabel="image")
        axes.grid(False)
        axes.spines[:].set_visible(True)
        figure.colorbar(drawn, ax=axes, shrink=0.85, label="correlation")
        if classes is not None:
            _part(axes, classes, line)
    if classes is not None:
        _name(left, classes, class_names)
    return figure


def _classes(
    labels: npt.ArrayLike, count: int, class_names: Sequence[str] | None
) -> npt.NDArray[np.integer[Any]]:
    """Check labels against the kernel and the names."""
    classes = np.asarray(labels)
    if classes.shape != (count,) or classes.dtype.kind not in "iu":
        raise InputError(
            f"labels: expected {count} whole numbers, one an image, "
            f"not {classes.dtype} of shape {classes.shape}"
        )
    if class_names is not None and not 0 <= classes.min() <= classes.max() < len(class_names):
        raise InputError(
            f"class_names: there are {len(class_names)} names, "
            f"but labels from {classes.min()} to {classes.max()}"
        )
    return classes


def _part(axes: Axes, classes: npt.NDArray[np.integer[Any]], colour: str) -> None:
    """Draw lines between the classes."""
    axes.set(xticks=[], yticks=[], xlabel="image, sorted by class", ylabel="")
    for edge in np.flatnonzero(np.diff(classes)) + 0.5:
        axes.axhline(edge, color=colour, linewidth=0.4)
        axes.axvline(edge, color=colour, linewidth=0.4)


def _name(
    axes: Axes, classes: npt.NDArray[np.integer[Any]], class_names: Sequence[str] | None
) -> None:
    """Write the names of the classes beside their rows, unless there are too many to read."""
    present = np.unique(classes)
    if len(present) > _NAMED_CLASSES:
        axes.set_ylabel(f"image, sorted by class ({len(present)} classes)")
        return
    names = [f"class {k}" if class_names is None else class_names[k] for k in present]
    middles = [np.flatnonzero(classes == k).mean() for k in present]
    wrapped = [textwrap.fill(name, _LETTERS_A_LINE) for name in names]
    axes.set_yticks(middles, wrapped, fontsize=8)
