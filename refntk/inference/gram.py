"""What a kernel matrix must be before anything is inferred from it: shape, finiteness, symmetry.

Everything is done in bands of rows, so that a check needs no second matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError

__all__ = ["ASYMMETRY", "as_cross", "as_gram", "bands"]

FloatArray = npt.NDArray[np.floating[Any]]

ASYMMETRY = {"float64": 1e-10, "float32": 1e-5}
"""Largest difference from the mirror image, relative to the largest entry, by precision."""

_BAND = 256


def bands(count: int, length: int = _BAND) -> Iterator[slice]:
    """Cut a range of rows into bands.

    Parameters
    ----------
    count : int
        Number of rows.
    length : int
        Rows of a band; the last one can be shorter.

    Yields
    ------
    slice
    """
    for start in range(0, count, length):
        yield slice(start, min(start + length, count))


def as_gram(
    kernel: npt.ArrayLike, name: str, *, asymmetry: float | None = None
) -> FloatArray:
    """Check that an array is a Gram matrix: square, finite, symmetric.

    Parameters
    ----------
    kernel : array of float, shape (N, N)
        Kernel of one set of images with itself.
    name : str
        What messages call it.
    asymmetry : float, optional
        Largest difference from the mirror image that passes, relative to the largest entry.
        Default: `ASYMMETRY` of the precision.

    Returns
    -------
    array of float64 or float32, shape (N, N)
        The same array, not copied where it was one of these.

    Raises
    ------
    InputError
        Not square, empty, not finite or not symmetric.
    """
    matrix = _floats(kernel, name)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise InputError(
            f"{name}: expected a square Gram matrix, of one set of images with itself, "
            f"not shape {matrix.shape}"
        )
    largest = _largest(matrix, name)
    worst, at = 0.0, (0, 0)
    for rows in bands(len(matrix)):
        for columns in bands(rows.stop):
            gap = np.abs(matrix[rows, columns] - matrix[columns, rows].T)
            if gap.max() > worst:
                worst = float(gap.max())
                i, j = np.unravel_index(gap.argmax(), gap.shape)
                at = rows.start + int(i), columns.start + int(j)
    allowed = ASYMMETRY[matrix.dtype.name] if asymmetry is None else asymmetry
    if worst > allowed * largest:
        raise InputError(
            f"{name}: is not symmetric, as a Gram matrix is: entries {at} and {at[::-1]} differ by "
            f"{worst:.3g}, the largest is {largest:.3g}; give (k + k.T) / 2 if that is rounding"
        )
    return matrix


def as_cross(kernel: npt.ArrayLike, columns: int, name: str) -> FloatArray:
    """Check a kernel between other images, the rows, and the training images, the columns.

    Parameters
    ----------
    kernel : array of float, shape (M, N)
    columns : int
        N, the number of training images.
    name : str
        What messages call it.

    Returns
    -------
    array of float64 or float32, shape (M, N)
        The same array, not copied where it was one of these.

    Raises
    ------
    InputError
        Another number of columns or axes, or not finite.
    """
    matrix = _floats(kernel, name)
    if matrix.ndim != 2 or matrix.shape[1] != columns:
        turned = "; transpose it" if matrix.ndim == 2 and matrix.shape[0] == columns else ""
        raise InputError(
            f"{name}: expected one row an image and {columns} columns, one a training image, "
            f"not shape {matrix.shape}{turned}"
        )
    if matrix.size:
        _largest(matrix, name)
    return matrix


def _floats(kernel: npt.ArrayLike, name: str) -> FloatArray:
    """Make an array of float64 or float32 of what was given."""
    given = np.asarray(_one_of(kernel, name))
    if given.dtype.kind not in "iuf":
        raise InputError(f"{name}: expected an array of numbers, not of {given.dtype}")
    if given.dtype.name in ASYMMETRY:
        return given
    return given.astype(np.float64)


def _one_of(kernel: Any, name: str) -> Any:
    """Take the only matrix of what `refntk.kernel` gives; of two, somebody has to choose."""
    if not (hasattr(kernel, "nngp") and hasattr(kernel, "ntk")):
        return kernel
    there = [which for which in ("nngp", "ntk") if getattr(kernel, which) is not None]
    if len(there) != 1:
        raise InputError(f"{name}: holds two kernels; give one of them, k.ntk or k.nngp")
    return getattr(kernel, there[0])


def _largest(matrix: FloatArray, name: str) -> float:
    """Return the largest absolute entry, and refuse what is not finite."""
    largest = 0.0
    for rows in bands(len(matrix)):
        high, low = float(matrix[rows].max()), float(matrix[rows].min())
        if not np.isfinite(high) or not np.isfinite(low):
            i, j = np.argwhere(~np.isfinite(matrix[rows]))[0]
            raise InputError(
                f"{name}: entry ({rows.start + i}, {j}) is NaN or infinite; compute the kernel "
                "again, or leave that image out"
            )
        largest = max(largest, high, -low)
    return largest
