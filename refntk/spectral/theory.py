r"""The spectral theory of symmetry learning: when a kernel machine completes an orbit.

Two orbits of a cyclic group of order N, interleaved a_0, b_0, a_1, b_1, ..., carry the labels +1
and -1 in turn. A kernel that is circulant in this order has the eigenvalues λ_0 ... λ_{2N-1}, its
DFT, and the labels are the mode of highest frequency N. Leaving out one point gives the prediction
(1 - ε) y there, with (A. Perin, S. Deny, "On the Ability of Deep Networks to Learn Symmetries from
Data: A Neural Kernel Theory", arXiv:2412.11521, eq. 7)

.. math::
    ε = \frac{λ_N^{-1}}{\langle λ_k^{-1} \rangle_{k=0}^{2N-1}}

which has the wrong sign where ε > 1: orbits too close (small λ_N, *separation*) for their sampling
(large other λ, *density*). The same nugget goes into the exact and the spectral error, and where it
is zero, kernels that are singular are handled as the limit of a nugget that vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.spectral.leave_out import missing_indices, rounding, symmetric, undefined

__all__ = [
    "causes",
    "circulant_spectrum",
    "circularize",
    "deinterleave",
    "interleave",
    "interleaved_row",
    "missing_errors_spectral",
    "spectral_error",
]

FloatArray = npt.NDArray[np.float64]


def interleave(kernel: npt.ArrayLike) -> FloatArray:
    """Order the Gram matrix of two orbits as a_0, b_0, a_1, b_1, ...

    Parameters
    ----------
    kernel : array of float, shape (2, N, 2, N)
        Axes: orbit and pose of the first image, orbit and pose of the second.

    Returns
    -------
    array of float64, shape (2N, 2N)

    Raises
    ------
    InputError
        The shape is another one, such as for orbits of unequal length.
    """
    k = np.asarray(kernel, np.float64)
    if k.ndim != 4 or k.shape[0] != 2 or k.shape != (*k.shape[:2], *k.shape[:2]) or k.shape[1] < 1:
        raise InputError(
            f"kernel: expected two orbits of N poses each, shape (2, N, 2, N), not {k.shape}"
        )
    size = 2 * k.shape[1]
    return k.transpose(1, 0, 3, 2).reshape(size, size)


def deinterleave(kernel: npt.ArrayLike) -> FloatArray:
    """Undo `interleave`.

    Parameters
    ----------
    kernel : array of float, shape (2N, 2N)

    Returns
    -------
    array of float64, shape (2, N, 2, N)

    Raises
    ------
    InputError
        It is not square, or of odd size.
    """
    k = _even(kernel)
    half = len(k) // 2
    return k.reshape(half, 2, half, 2).transpose(1, 0, 3, 2)


def circularize(kernel: npt.ArrayLike) -> tuple[FloatArray, float]:
    """Average a Gram matrix over simultaneous cyclic shifts of its rows and columns (eq. 12).

    Parameters
    ----------
    kernel : array of float, shape (n, n)
        Symmetric; n = 2N for two interleaved orbits.

    Returns
    -------
    row : array of float64, shape (n,)
        First row of the circulant matrix, k̄_0j = mean_m k_{m, m+j mod n}; exactly even in j.
    deviation : float
        Frobenius norm of kernel minus average, relative to that of the kernel: 0 for a circulant
        kernel.

    Raises
    ------
    InputError
        Not a square matrix of finite numbers, or not symmetric.
    """
    k = symmetric(kernel)
    n = len(k)
    index = (np.arange(n)[:, None] + np.arange(n)) % n
    moved = np.take_along_axis(k, index, axis=1)
    row = moved.mean(axis=0)
    row = (row + row[-np.arange(n)]) / 2
    return row, float(np.linalg.norm(moved - row) / np.linalg.norm(k))


def interleaved_row(own: npt.ArrayLike, across: npt.ArrayLike, other: npt.ArrayLike) -> FloatArray:
    """First row of the circulant kernel of two interleaved orbits, from their invariant kernels.

    Parameters
    ----------
    own, across, other : array of float, shape (..., N)
        κ_aa, κ_ab and κ_bb, as `refntk.spectral.group_average` gives them for the cyclic group; any
        number of pairs at once.

    Returns
    -------
    array of float64, shape (..., 2N)
        What `circularize` makes of the interleaved Gram matrix.
    """
    aa, ab, bb = (np.asarray(part, np.float64) for part in (own, across, other))
    mirrored = ab[..., ::-1]  # κ_ab(-u - 1)
    even, odd = (aa + bb) / 2, (ab + mirrored) / 2
    return np.stack([even, odd], axis=-1).reshape(*even.shape[:-1], -1)


def circulant_spectrum(row: npt.ArrayLike) -> FloatArray:
    """Eigenvalues of a symmetric circulant matrix: the DFT of its first row.

    Parameters
    ----------
    row : array of float, shape (..., n)
        Even, row[j] = row[-j].

    Returns
    -------
    array of float64, shape (..., n)
        By frequency k = 0 ... n-1.
    """
    return np.fft.fft(np.asarray(row, np.float64), axis=-1).real


def spectral_error(spectrum: npt.ArrayLike, nugget: float = 0.0) -> float:
    """Error of leaving out one point of two interleaved orbits with a circulant kernel (eq. 7).

    Parameters
    ----------
    spectrum : array of float, shape (2N,)
        As `circulant_spectrum` gives it.
    nugget : float, default 0
        Added to the diagonal of the kernel, and so to each eigenvalue.

    Returns
    -------
    float
        ε; the prediction is (1 - ε) y. It is 0 for a singular kernel without nugget whose null
        space the labels do not meet: one more pose then brings nothing new.

    Raises
    ------
    InputError
        The number of eigenvalues is odd, or the kernel cannot tell the orbits apart (λ_N = 0) and
        there is no nugget: the prediction is undefined then.

    Examples
    --------
    >>> spectral_error([1.0, 1.0, 1.0, 1.0])  # no point tells anything about another one
    1.0
    """
    top, mean = causes(spectrum, nugget)
    return 0.0 if np.isinf(mean) else top / mean


def causes(spectrum: npt.ArrayLike, nugget: float = 0.0) -> tuple[float, float]:
    """Numerator and denominator of the spectral error.

    Parameters
    ----------
    spectrum, nugget
        As for `spectral_error`.

    Returns
    -------
    separation : float
        λ_N⁻¹, large where the two orbits are close together.
    density : float
        ⟨λ_k⁻¹⟩, large where the poses of an orbit are close together; infinite for a singular
        kernel without nugget.

    Raises
    ------
    InputError
        As `spectral_error`.
    """
    values = np.asarray(spectrum, np.float64)
    if values.ndim != 1 or len(values) % 2 or not len(values):
        raise InputError(
            f"spectrum: expected 2N eigenvalues of two interleaved orbits, not {values.shape}"
        )
    top = values[len(values) // 2]
    if nugget == 0:
        null = values <= rounding(len(values)) * values.max()
        if null[len(values) // 2]:
            raise undefined()
        if null.any():
            return float(1 / top), float("inf")
    return float(1 / (top + nugget)), float(np.mean(1 / (values + nugget)))


def missing_errors_spectral(
    spectrum: npt.ArrayLike, missing: Sequence[int], nugget: float = 0.0
) -> FloatArray:
    """Errors at several missing points of two interleaved orbits, from the spectrum (eq. 59-61).

    Parameters
    ----------
    spectrum : array of float, shape (2N,)
        As `circulant_spectrum` gives it.
    missing : sequence of int
        Indices of the points left out, in the interleaved order.
    nugget : float, default 0

    Returns
    -------
    array of float64, shape (len(missing),)
        y - ŷ with the labels y_i = (-1)^i.

    Raises
    ------
    InputError
        As `spectral_error` and `missing_errors`.
    """
    separation, density = causes(spectrum, nugget)
    if np.isinf(density):
        raise InputError("the kernel is singular: several missing points need a nugget above 0")
    inverse = 1 / (np.asarray(spectrum, np.float64) + nugget)
    out = missing_indices(missing, len(inverse))
    first_row = np.fft.ifft(inverse).real
    matrix = first_row[(out[:, None] - out) % len(inverse)]
    return np.linalg.solve(matrix, separation * (-1.0) ** out)


def _even(kernel: npt.ArrayLike) -> FloatArray:
    k = np.asarray(kernel, np.float64)
    if k.ndim != 2 or k.shape[0] != k.shape[1] or len(k) % 2 or not len(k):
        raise InputError(f"kernel: expected a square matrix of even size, not {k.shape}")
    return k
