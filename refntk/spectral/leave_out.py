"""Exact errors of kernel regression at points that are left out, for any kernel.

The same nugget goes into every formula; where it is zero, kernels that are singular are handled as
the limit of a nugget that vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

from refntk.errors import InputError

__all__ = [
    "accuracy_one_against_rest",
    "leave_out_errors",
    "missing_errors",
    "missing_indices",
    "missing_sets_errors",
    "rounding",
    "symmetric",
    "undefined",
]

FloatArray = npt.NDArray[np.float64]


def leave_out_errors(
    kernel: npt.ArrayLike, targets: npt.ArrayLike, nugget: float = 0.0
) -> FloatArray:
    r"""Exact errors of kernel regression at each point, from all the others.

    Parameters
    ----------
    kernel : array of float, shape (n, n)
        Gram matrix, symmetric and positive semi-definite; any kernel, circulant or not.
    targets : array of float, shape (n,) or (n, T)
    nugget : float, default 0
        Added to the diagonal of the kernel.

    Returns
    -------
    array of float64, shape of the targets
        y - ŷ, the target minus the prediction without it,
        :math:`((k + ν)^{-1} y)_i / ((k + ν)^{-1})_{ii}`. For targets ±1 times y it is ε of the
        theory; its mean is the error of the symmetrised task.

    Raises
    ------
    InputError
        The kernel is not a symmetric matrix of finite numbers, the lengths differ, or the kernel is
        singular, the targets are not in its range and there is no nugget.
    """
    k = symmetric(kernel)
    y = _targets(targets, len(k))
    inverse, null = _inverse(k, y, nugget)
    diagonal = np.diagonal(inverse)
    # A point that lies in the span of the others is predicted without error in the limit.
    determined = np.zeros(len(k), bool) if null is None else np.diagonal(null) > 1e-8
    residual = inverse @ y
    return np.where(determined.reshape(-1, *[1] * (y.ndim - 1)), 0.0, (residual.T / diagonal).T)


def missing_errors(
    kernel: npt.ArrayLike, targets: npt.ArrayLike, missing: Sequence[int], nugget: float = 0.0
) -> FloatArray:
    r"""Exact errors at points that are left out together.

    Parameters
    ----------
    kernel : array of float, shape (n, n)
    targets : array of float, shape (n,) or (n, T)
    missing : sequence of int
        Indices of the points left out.
    nugget : float, default 0

    Returns
    -------
    array of float64, shape (len(missing),) or (len(missing), T)
        y - ŷ at these points: :math:`((k + ν)^{-1}_{MM})^{-1} ((k + ν)^{-1} y)_M`.

    Raises
    ------
    InputError
        As `leave_out_errors`, the kernel is singular and there is no nugget, or `missing` is empty,
        repeats itself or holds all points or one that is not there.
    """
    errors: FloatArray = missing_sets_errors(kernel, targets, [missing], nugget)[0]
    return errors


def missing_sets_errors(
    kernel: npt.ArrayLike,
    targets: npt.ArrayLike,
    sets: Sequence[Sequence[int]] | npt.NDArray[np.integer[Any]],
    nugget: float = 0.0,
) -> FloatArray:
    """Exact errors at sets of points, each set left out by itself; the kernel is inverted once.

    Parameters
    ----------
    kernel, targets, nugget
        As for `missing_errors`.
    sets : sequence of sequences of int, shape (R, m)
        Indices of the points left out, as many in each set.

    Returns
    -------
    array of float64, shape (R, m) or (R, m, T)

    Raises
    ------
    InputError
        As `missing_errors`, or the sets have different sizes.
    """
    k = symmetric(kernel)
    y = _targets(targets, len(k))
    if len({len(some) for some in sets}) != 1:
        raise InputError("sets: expected one or more, with as many missing points in each")
    out = np.array([missing_indices(some, len(k)) for some in sets])
    inverse, null = _inverse(k, y, nugget)
    if null is not None:
        raise InputError("the kernel is singular: several missing points need a nugget above 0")
    residual = (inverse @ y)[out]
    blocks = inverse[out[:, :, None], out[:, None, :]]
    errors = np.linalg.solve(blocks, residual.reshape(*out.shape, -1))
    return np.asarray(errors, np.float64).reshape(residual.shape)


def accuracy_one_against_rest(
    kernel: npt.ArrayLike,
    labels: npt.ArrayLike,
    points: npt.ArrayLike | None = None,
    nugget: float = 0.0,
) -> float:
    """Share of points whose class is found from all the other points, one class against the rest.

    Parameters
    ----------
    kernel : array of float, shape (n, n)
    labels : array of int, shape (n,)
        Class of each point.
    points : array of int or bool, optional
        Points that are left out, one at a time; default all.
    nugget : float, default 0

    Returns
    -------
    float
        Between 0 and 1. Targets are +1 for the class and -1 for the rest; the class of the largest
        prediction wins.

    Raises
    ------
    InputError
        As `leave_out_errors`, or there is one class only.
    """
    classes, index = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        raise InputError("labels: expected at least two classes")
    targets = 2.0 * (index[:, None] == np.arange(len(classes))) - 1
    predicted = targets - leave_out_errors(kernel, targets, nugget)
    right = predicted.argmax(axis=1) == index
    return float(np.mean(right if points is None else right[np.asarray(points)]))


def _inverse(k: FloatArray, y: FloatArray, nugget: float) -> tuple[FloatArray, FloatArray | None]:
    """Inverse of k plus nugget; of a singular k the pseudo-inverse, and the null projector."""
    values, vectors = scipy.linalg.eigh(k)
    null = values <= rounding(len(k)) * values[-1]
    if nugget > 0 or not null.any():
        return (vectors / (values + nugget)) @ vectors.T, None
    outside = np.abs(vectors[:, null].T @ y).max()
    if outside > 1e-6 * np.linalg.norm(y):
        raise undefined()
    kept, projector = vectors[:, ~null], vectors[:, null] @ vectors[:, null].T
    return (kept / values[~null]) @ kept.T, projector


def _targets(targets: npt.ArrayLike, n: int) -> FloatArray:
    y = np.asarray(targets, np.float64)
    if y.ndim not in (1, 2) or len(y) != n:
        raise InputError(f"targets: expected {n}, one for each row of the kernel, not {y.shape}")
    return y


def rounding(n: int) -> float:
    """Eigenvalues below this share of the largest one cannot be told from zero in float64."""
    return 4 * n * float(np.finfo(np.float64).eps)


def undefined() -> InputError:
    """Word the error about a singular kernel that does not determine a prediction."""
    return InputError(
        "the kernel is singular and cannot tell points of different labels apart, so that the "
        "prediction is undefined: give a nugget above 0"
    )


def symmetric(kernel: npt.ArrayLike) -> FloatArray:
    """Check that an argument is a symmetric matrix of finite numbers, and return it in float64."""
    k: npt.NDArray[Any] = np.asarray(kernel, np.float64)
    if k.ndim != 2 or k.shape[0] != k.shape[1] or not len(k):
        raise InputError(f"kernel: expected a square matrix, not {k.shape}")
    if not np.isfinite(k).all():
        raise InputError("kernel: holds NaN or infinite entries")
    gap = np.abs(k - k.T).max()
    if gap > 1e-9 * np.abs(k).max():
        raise InputError(f"kernel: is not symmetric, entries differ by up to {gap:.2g}")
    return k


def missing_indices(
    missing: Sequence[int] | npt.NDArray[np.integer[Any]], n: int
) -> npt.NDArray[np.int64]:
    """Check the indices of points left out of n, and return them as an array."""
    out = np.asarray(missing, np.int64)
    if (
        out.ndim != 1
        or not 0 < len(set(out.tolist())) == len(out) < n
        or not all(0 <= k < n for k in out.tolist())
    ):
        raise InputError(
            f"missing: expected different indices below {n}, not all of them, not {missing!r}"
        )
    return out
