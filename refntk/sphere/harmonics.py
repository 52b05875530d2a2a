r"""Functions on the sphere by their spherical harmonics, and what rotations do to these.

A signal is an array (L², C) of complex coefficients: row l² + l + m holds those of the orthonormal
harmonic Y_lm, l < L, |m| <= l, with the phase of Condon and Shortley. Of a real function

.. math:: f_{l,-m} = (-1)^m \overline{f_{lm}}.

Rotations are zyz Euler angles, Q = R_z(alpha) R_y(beta) R_z(gamma), and

.. math::
    (Q f)(n) = f(Q^{-1} n), \qquad (Q f)_{lm} = \sum_{m'} D^l_{mm'}(Q) f_{lm'}, \qquad
    D^l_{mm'} = e^{-i m \alpha} d^l_{mm'}(\beta) e^{-i m' \gamma}.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from refntk.errors import InputError

__all__ = [
    "band_limit",
    "degrees",
    "harmonics",
    "random_signals",
    "require_real",
    "rotate",
    "wigner_d",
    "wigner_matrix",
    "zonal",
]

Float64Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

_ROUNDING = 1e-9
"""Part of the largest coefficient by which a real function may break its symmetry."""


def band_limit(rows: int) -> int:
    """Tell the band limit L of signals of L² rows.

    Raises
    ------
    InputError
        The number is no square.
    """
    limit = math.isqrt(rows)
    if limit * limit != rows or rows < 1:
        raise InputError(
            f"{rows} rows of coefficients are no square: a signal of band limit L has L², one for "
            "each l < L and |m| <= l"
        )
    return limit


def degrees(limit: int) -> npt.NDArray[np.int64]:
    """Tell the degree l of each row, shape (L²,)."""
    return np.repeat(np.arange(limit), 2 * np.arange(limit) + 1)


def harmonics(directions: npt.ArrayLike, limit: int) -> ComplexArray:
    """Evaluate all orthonormal harmonics below a band limit.

    Parameters
    ----------
    directions : float array, shape (..., 3)
        Vectors (x, y, z) of any length but zero.
    limit : int
        L.

    Returns
    -------
    complex128 array, shape (..., L²)
        Y_lm in the order of rows; a function with coefficients f has the values ``Y @ f``.
    """
    x, y, z = np.moveaxis(np.asarray(directions, np.float64), -1, 0)
    theta, phi = np.arctan2(np.hypot(x, y), z)[..., None], np.arctan2(y, x)[..., None]
    l = degrees(limit)  # noqa: E741
    m = np.arange(limit * limit) - l * l - l
    return np.asarray(scipy.special.sph_harm_y(l, m, theta, phi), np.complex128)


def zonal(limit: int, profile: Any) -> Float64Array:
    r"""Find the coefficients of functions that depend on the angle from an axis alone.

    By the formula of Funk and Hecke, g(r · n) has the coefficients lambda_l conj(Y_lm(r)).

    Parameters
    ----------
    limit : int
        L.
    profile : callable
        g, of an array of cosines.

    Returns
    -------
    float64 array, shape (L,)
        :math:`\lambda_l = 2 \pi \int_{-1}^{1} g(t) P_l(t) \, dt`.
    """
    nodes, weights = np.polynomial.legendre.leggauss(limit + 64)
    polynomials = np.polynomial.legendre.legvander(nodes, limit - 1)
    return np.asarray(2 * np.pi * (weights * profile(nodes)) @ polynomials, np.float64)


def wigner_d(limit: int, beta: npt.ArrayLike) -> list[Float64Array]:
    """Evaluate Wigner's small matrices d^l for all l below a band limit.

    Parameters
    ----------
    limit : int
        L.
    beta : float or float array, shape (...)
        Angles.

    Returns
    -------
    list of float64 array, shape (..., 2l + 1, 2l + 1)
        Rows m and columns m', from -l to l.

    Notes
    -----
    d^l(beta) = exp(-i beta J_y), by one eigendecomposition of the tridiagonal J_y for each l, whose
    eigenvalues are -l, ..., l.
    """
    angles = np.asarray(beta, np.float64)
    found = []
    for l in range(limit):  # noqa: E741
        m = np.arange(-l, l)
        # J_y = S T S*, with S of powers of i and T real.
        off = np.sqrt(l * (l + 1) - m * (m + 1)) / 2
        phases = (-1j) ** np.arange(2 * l + 1)
        real = scipy.linalg.eigh_tridiagonal(np.zeros(2 * l + 1), off)[1]
        vectors = phases[:, None] * real
        turns = np.exp(-1j * np.multiply.outer(angles, np.arange(-l, l + 1)))
        found.append(np.real((vectors * turns[..., None, :]) @ vectors.conj().T))
    return found


def wigner_matrix(limit: int, rotation: npt.ArrayLike) -> list[ComplexArray]:
    """Evaluate Wigner's matrices D^l of rotations for all l below a band limit.

    Parameters
    ----------
    limit : int
        L.
    rotation : float array, shape (..., 3)
        Angles alpha, beta and gamma.

    Returns
    -------
    list of complex128 array, shape (..., 2l + 1, 2l + 1)
    """
    alpha, beta, gamma = np.moveaxis(np.asarray(rotation, np.float64), -1, 0)
    found = []
    for l, small in enumerate(wigner_d(limit, beta)):  # noqa: E741
        m = np.arange(-l, l + 1)
        left, right = (np.exp(-1j * np.multiply.outer(angle, m)) for angle in (alpha, gamma))
        found.append(left[..., :, None] * small * right[..., None, :])
    return found


def rotate(signals: npt.ArrayLike, rotation: npt.ArrayLike) -> ComplexArray:
    """Rotate signals, (Q f)(n) = f(Q⁻¹ n).

    Parameters
    ----------
    signals : complex array, shape (..., L², C)
    rotation : float array, shape (3,)
        Angles alpha, beta and gamma of Q = R_z(alpha) R_y(beta) R_z(gamma).

    Returns
    -------
    complex128 array of the same shape
    """
    given = np.asarray(signals, np.complex128)
    turned = np.empty_like(given)
    for l, matrix in enumerate(wigner_matrix(band_limit(given.shape[-2]), rotation)):  # noqa: E741
        rows = slice(l * l, (l + 1) ** 2)
        turned[..., rows, :] = matrix @ given[..., rows, :]
    return turned


def random_signals(
    rng: np.random.Generator, count: int, limit: int, channels: int = 1
) -> ComplexArray:
    """Draw real functions whose real degrees of freedom are standard normal.

    Parameters
    ----------
    rng : numpy.random.Generator
    count, limit, channels : int
        N, L and C.

    Returns
    -------
    complex128 array, shape (N, L², C)
    """
    shape = count, limit * limit, channels
    drawn = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    return (drawn + _conjugate(drawn)) / 2


def require_real(signals: ComplexArray, name: str) -> None:
    """Refuse coefficients that are no real function's.

    Parameters
    ----------
    signals : complex array, shape (N, L², C)
    name : str
        What messages call them.

    Raises
    ------
    InputError
        A coefficient of -m is not that of m; the message names it.
    """
    wrong = np.abs(signals - _conjugate(signals))
    worst = np.unravel_index(np.argmax(wrong), wrong.shape)
    if wrong[worst] > _ROUNDING * np.abs(signals).max():
        row = int(worst[1])
        l = math.isqrt(row)  # noqa: E741
        raise InputError(
            f"{name}: signal {worst[0]} is no real function: its coefficient at l = {l}, "
            f"m = {row - l * l - l} is not (-1)^m times the conjugate of that at -m; use "
            "orthonormal complex harmonics, row l² + l + m"
        )


def _conjugate(signals: ComplexArray) -> ComplexArray:
    """Coefficients of the complex conjugate function, (..., L², C)."""
    limit = band_limit(signals.shape[-2])
    l = degrees(limit)  # noqa: E741
    m = np.arange(limit * limit) - l * l - l
    return np.where(m % 2, -1, 1)[:, None] * signals[..., l * l + l - m, :].conj()
