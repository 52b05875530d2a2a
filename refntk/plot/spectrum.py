"""The eigenvalues of Gram matrices as a picture, with their condition numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.linalg

from refntk.errors import InputError
from refntk.inference.gram import as_gram
from refntk.plot.gram import DRAWN_ASYMMETRY
from refntk.plot.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["condition_text", "plot_spectrum"]


def condition_text(eigenvalues: npt.NDArray[np.float64], precision: float) -> str:
    """Word the condition number of a positive semi-definite matrix.

    Parameters
    ----------
    eigenvalues : array of float64, shape (N,)
        In any order.
    precision : float
        Relative rounding error of the matrix: eigenvalues below this part of the largest one cannot
        be told from zero.

    Returns
    -------
    str
        ``"condition number 3.2e+04"``, or that the matrix is singular to this precision.

    Examples
    --------
    >>> condition_text(np.array([1.0, 4.0]), 2**-52)
    'condition number 4'
    >>> condition_text(np.array([1.0, 1e-20]), 2**-52)
    'condition number above 4.5e+15, singular to rounding'
    """
    largest, smallest = eigenvalues.max(), eigenvalues.min()
    if smallest <= precision * largest:
        return f"condition number above {1 / precision:.2g}, singular to rounding"
    return f"condition number {largest / smallest:.3g}"


def plot_spectrum(kernels: Mapping[str, npt.ArrayLike]) -> Figure:
    """Draw the eigenvalues of Gram matrices, largest first, on logarithmic axes.

    Parameters
    ----------
    kernels : mapping from str to array, shape (N, N)
        Gram matrices by the name that the legend gives them, such as ``{"NTK": k.ntk}``. The
        precision of the dtype is drawn as a horizontal line: what lies below it is rounding, and
        the absolute value is drawn where rounding made an eigenvalue negative.

    Returns
    -------
    matplotlib.figure.Figure
        The legend states each condition number, largest over smallest eigenvalue.

    Raises
    ------
    InputError
        No kernel, or one that is not a Gram matrix or is zero.
    MissingPackageError
        matplotlib is not installed.
    """
    if not kernels:
        raise InputError("kernels: there is nothing to draw; expected one Gram matrix at least")
    figure, (axes,) = new_figure(size=(6.4, 4.4))
    for name, kernel in kernels.items():
        stored = np.asarray(kernel)
        kind = stored.dtype if stored.dtype.kind == "f" else np.dtype(np.float64)
        precision = float(np.finfo(kind).eps)
        matrix = as_gram(stored, name, asymmetry=DRAWN_ASYMMETRY)
        ascending = scipy.linalg.eigvalsh(matrix.astype(np.float64, copy=False))
        values = ascending[::-1].astype(np.float64, copy=False)
        if not values[0] > 0:
            raise InputError(f"{name}: has no positive eigenvalue, so it is not a kernel")
        ranks = np.arange(1, len(values) + 1)
        (line,) = axes.plot(
            ranks,
            np.maximum(np.abs(values), np.finfo(np.float64).tiny),
            label=f"{name}: {condition_text(values, precision)}",
            markersize=3.5,
            markevery=0.02,  # of the axes: thousands of eigenvalues would hide each other
            linewidth=1,
        )
        floor = precision * values[0]
        if values[-1] < 1e3 * floor:
            axes.axhline(floor, color=line.get_color(), linewidth=0.8, linestyle=":", marker="")
            axes.annotate(
                f"rounding of {kind.name}, {name}",
                (1, floor),
                textcoords="offset points",
                xytext=(0, 3),
                fontsize=8,
                color=line.get_color(),
            )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="rank of the eigenvalue",
        ylabel="eigenvalue of the Gram matrix",
    )
    axes.legend(fontsize=8, frameon=False)
    return figure
