"""Extreme eigenvalues of a symmetric matrix that is only ever multiplied with a vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Extremes", "extreme_eigenvalues"]

FloatArray = npt.NDArray[np.floating[Any]]

_CONVERGED = 1e-13
"""Residual, relative to the largest eigenvalue in size, at which more steps change nothing."""


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest eigenvalue of a symmetric matrix.

    Attributes
    ----------
    smallest, largest : float
        Rayleigh quotients of two vectors: never below the smallest, never above the largest
        eigenvalue, rounding aside.
    error : float
        Norm of the residual of `smallest`: some eigenvalue is within this distance of it.
    steps : int
        Number of products with the matrix; 0 where all eigenvalues were computed.
    """

    smallest: float
    largest: float
    error: float
    steps: int


def extreme_eigenvalues(
    product: Callable[[npt.NDArray[np.float64]], FloatArray],
    size: int,
    *,
    steps: int = 100,
    seed: int = 0,
) -> Extremes:
    r"""Estimate the extreme eigenvalues by the method of Lanczos.

    Parameters
    ----------
    product : callable
        Multiplies the matrix with a vector: float64 array, shape (size,), to float array of the
        same shape.
    size : int
        Rows of the matrix.
    steps : int
        Products at most; fewer are made where the estimate does not change any more.
    seed : int
        Of the random vector to begin with.

    Returns
    -------
    Extremes

    Notes
    -----
    From :math:`q_1` at random, :math:`A q_k = \beta_{k-1} q_{k-1} + \alpha_k q_k + \beta_k q_{k+1}`
    with orthonormal :math:`q_k`; the eigenvalues of the tridiagonal matrix of :math:`\alpha` and
    :math:`\beta` approach the extreme ones of A, and :math:`\beta_k |s_k|` is the residual, with
    :math:`s_k` the last entry of its eigenvector. New vectors are made orthogonal to all earlier
    ones, twice: without that rounding brings back what was found before.

    Examples
    --------
    >>> matrix = np.diag([1.0, 2.0, 5.0])
    >>> found = extreme_eigenvalues(lambda vector: matrix @ vector, 3)
    >>> round(found.smallest, 12), round(found.largest, 12)
    (1.0, 5.0)
    """
    rng = np.random.default_rng(seed)
    basis = np.empty((min(steps, size), size))
    vector = rng.standard_normal(size)
    alpha: list[float] = []
    beta: list[float] = []
    for step in range(len(basis)):
        basis[step] = vector / np.linalg.norm(vector)
        vector = np.asarray(product(basis[step]), np.float64)
        alpha.append(float(basis[step] @ vector))
        for _ in range(2):
            vector = vector - basis[: step + 1].T @ (basis[: step + 1] @ vector)
        norm = float(np.linalg.norm(vector))
        tridiagonal = np.diag(alpha) + np.diag(beta, 1) + np.diag(beta, -1)
        values, vectors = np.linalg.eigh(tridiagonal)
        errors = norm * np.abs(vectors[-1, [0, -1]])
        if errors.max() <= _CONVERGED * np.abs(values).max():
            break
        beta.append(norm)
    return Extremes(float(values[0]), float(values[-1]), float(errors[0]), len(alpha))
