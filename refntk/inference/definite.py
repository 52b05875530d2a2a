"""Positive definiteness: adding to the diagonal, factoring in place, and saying why it failed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.linalg import lapack

from refntk.errors import InputError, NotPositiveDefiniteError
from refntk.evaluation.machine import require_memory

__all__ = ["added", "added_to", "cholesky", "least_diag_reg", "not_definite", "working_copy"]

Float64Array = npt.NDArray[np.float64]


def added(kernel: npt.NDArray[np.floating[Any]], diag_reg: float) -> float:
    """Turn a regularisation relative to the mean diagonal into the number that is added.

    Parameters
    ----------
    kernel : float array, shape (N, N)
    diag_reg : float
        Relative to tr K / N; zero or positive.

    Returns
    -------
    float
        diag_reg * tr K / N.

    Raises
    ------
    InputError
        `diag_reg` is negative or not finite, or the diagonal is not positive.
    """
    return added_to(float(np.diagonal(kernel).mean(dtype=np.float64)), diag_reg)


def added_to(mean: float, diag_reg: float) -> float:
    """Do the same from the mean of the diagonal.

    Parameters
    ----------
    mean : float
        tr K / N.
    diag_reg : float

    Returns
    -------
    float
        diag_reg * mean.

    Raises
    ------
    InputError
        As `added`.
    """
    if not (isinstance(diag_reg, int | float | np.number) and 0 <= diag_reg < math.inf):
        raise InputError(
            f"diag_reg: expected zero or a positive number, relative to the mean of the diagonal, "
            f"not {diag_reg!r}"
        )
    if not mean > 0:
        raise InputError(f"kernel: the mean of its diagonal is {mean:.3g}, not positive")
    return float(diag_reg) * mean


def working_copy(
    kernel: npt.NDArray[np.floating[Any]], addition: float | Float64Array
) -> Float64Array:
    """Copy a symmetric matrix for LAPACK to work in, with something added to the diagonal.

    Parameters
    ----------
    kernel : float array, shape (N, N)
        Symmetric; any memory order.
    addition : float, or array of float64 of shape (N,)
        Added to the diagonal.

    Returns
    -------
    array of float64, shape (N, N)
        In Fortran order. The mirror image of what was given in C order: that needs no transposing.

    Raises
    ------
    InputError
        There is no memory for it.
    """
    require_memory(
        8 * kernel.size,
        f"float64 copies of a kernel of {len(kernel)} images",
        "use IterativeRegression, which needs none, or fewer images",
    )
    copy = np.array(kernel, dtype=np.float64, order="A")
    matrix = copy if copy.flags.f_contiguous else copy.T
    np.einsum("ii->i", matrix)[...] += addition
    return matrix


def cholesky(
    kernel: npt.NDArray[np.floating[Any]],
    diag_reg: float,
    name: str,
    noise: Float64Array | None = None,
) -> Float64Array:
    """Factor K + diag_reg (tr K / N) I, and noise on the diagonal, into L L^T, in one copy of K.

    Parameters
    ----------
    kernel : float array, shape (N, N)
        Symmetric and finite; not written to.
    diag_reg : float
    name : str
        What messages call the kernel.
    noise : array of float64, shape (N,), optional
        Also added to the diagonal, as it is.

    Returns
    -------
    array of float64, shape (N, N)
        Fortran order; L in the lower triangle. What is above the diagonal has no meaning.

    Raises
    ------
    NotPositiveDefiniteError
        The sum is not positive definite in float64.
    InputError
        As `added`.
    """
    addition = added(kernel, diag_reg)
    own = 0.0 if noise is None else noise
    matrix = working_copy(kernel, addition + own)
    factor: Float64Array
    factor, info = lapack.dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
    if info == 0:
        return factor
    # The upper triangle is untouched, so the eigenvalues need no other copy.
    np.einsum("ii->i", factor)[...] = np.diagonal(kernel).astype(np.float64) + addition + own
    eigenvalues = scipy.linalg.eigvalsh(
        factor, lower=False, overwrite_a=True, check_finite=False
    )
    raise not_definite(
        eigenvalues.astype(np.float64), addition, diag_reg, name, float(np.mean(own))
    )


def least_diag_reg(eigenvalues: Float64Array, mean: float) -> float:
    """Find a regularisation, relative to the mean diagonal, that makes a matrix positive definite.

    Parameters
    ----------
    eigenvalues : array of float64, shape (N,)
        Of the matrix without regularisation.
    mean : float
        Mean of its diagonal.

    Returns
    -------
    float
        One digit, rounded up: twice what lifts the smallest eigenvalue above the rounding
        of the factorisation, 4 N eps times the largest eigenvalue.
    """
    rounding = 4 * len(eigenvalues) * np.finfo(np.float64).eps * float(eigenvalues.max())
    needed = 2 * (max(0.0, -float(eigenvalues.min())) + rounding) / mean
    unit = 10.0 ** math.floor(math.log10(needed))
    return float(f"{math.ceil(needed / unit) * unit:.0e}")


def not_definite(
    eigenvalues: Float64Array, addition: float, diag_reg: float, name: str, noise: float = 0.0
) -> NotPositiveDefiniteError:
    """Word the error about a matrix that is not positive definite.

    Parameters
    ----------
    eigenvalues : array of float64, shape (N,)
        Of the matrix with its regularisation, in any order.
    addition : float
        What was added to the diagonal.
    diag_reg : float
        The same, relative to the mean diagonal.
    name : str
        What the message calls the kernel.
    noise : float
        Mean of what else was added to the diagonal.

    Returns
    -------
    NotPositiveDefiniteError
        To be raised; it names smallest eigenvalue, condition number and a `diag_reg` that will do.
    """
    smallest, largest = float(eigenvalues.min()), float(eigenvalues.max())
    least = float(np.abs(eigenvalues).min())
    condition = largest / least if least > 0 else math.inf
    # The trace is the sum of the eigenvalues.
    mean = float(eigenvalues.mean()) - addition - noise
    enough = least_diag_reg(eigenvalues - addition, mean)
    given = f"with diag_reg={diag_reg:g} " if diag_reg else ""
    return NotPositiveDefiniteError(
        f"{name}: {given}is not positive definite: smallest eigenvalue {smallest:.3g}, largest "
        f"{largest:.3g}, condition number {condition:.2g}; diag_reg={enough:g} will do (equal "
        "images, and rounding in float32, make kernels singular)",
        smallest_eigenvalue=smallest,
        condition=condition,
        diag_reg=enough,
    )
