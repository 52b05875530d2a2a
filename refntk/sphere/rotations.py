r"""Kernels as functions on SO(3): a grid of relative rotations, and Fourier analysis on it.

With global filters a kernel between features at R and R' depends on Q = R' R⁻¹ alone. After the
lifting layer it is the correlation of two signals,

.. math::
    C(Q) = \frac{1}{4 \pi C} \sum_c \int f_c(n) f'_c(Q n) \, dn
        = \frac{1}{4 \pi C} \sum_{l m m'} \sum_c \overline{f'_{lmc}} f_{lm'c} D^l_{mm'}(Q).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from refntk.sphere.harmonics import ComplexArray, Float64Array, band_limit, wigner_d

__all__ = ["Rotations"]


class Rotations:
    r"""A quadrature on SO(3), exact for functions of band limit 2N - 1, and the identity.

    beta takes N nodes of Gauss and Legendre in its cosine, alpha and gamma 2N - 1 uniform angles,
    those of gamma shifted by pi: with Q the grid has Q⁻¹, so that kernels are symmetric.

    Parameters
    ----------
    nodes : int
        N.
    limit : int
        Band limit L of the signals, at most N.

    Attributes
    ----------
    weights : float64 array, shape (N (2N - 1)²,)
        Of a mean over all rotations.
    angles : float64 array, shape (N (2N - 1)², 3)
        alpha, beta and gamma of each rotation.

    Notes
    -----
    Functions are arrays whose last axis has the rotations in this order, and then the identity.
    """

    def __init__(self, nodes: int, limit: int) -> None:
        cosines, weights = np.polynomial.legendre.leggauss(nodes)
        self._beta, self._shares = np.arccos(cosines), weights / 2
        self._shape = nodes, 2 * nodes - 1, 2 * nodes - 1
        self._limit = limit
        self._small = _packed(wigner_d(limit, self._beta), limit)
        self.weights = np.broadcast_to(
            self._shares[:, None, None] / self._shape[1] ** 2, self._shape
        ).ravel()

    @property
    def angles(self) -> Float64Array:
        """Angles of each rotation; see above."""
        turns = 2 * np.pi / self._shape[1] * np.arange(self._shape[1])
        grid = np.meshgrid(self._beta, turns, turns + np.pi, indexing="ij")
        return np.stack([grid[1], grid[0], grid[2]], axis=-1).reshape(-1, 3)

    @staticmethod
    def prepared(signals: ComplexArray) -> ComplexArray:
        """Bring signals (N, L², C) to (N, 2L - 1, L, C): m, l and channel, divided by a root."""
        limit, channels = band_limit(signals.shape[1]), signals.shape[2]
        packed = np.zeros((len(signals), 2 * limit - 1, limit, channels), np.complex128)
        for l in range(limit):  # noqa: E741
            rows = signals[:, l * l : (l + 1) ** 2]
            packed[:, limit - 1 - l : limit + l, l] = rows
        packed /= np.sqrt(4 * np.pi * channels)
        return packed

    @staticmethod
    def reflected(prepared: ComplexArray) -> ComplexArray:
        """Reflect signals in the centre, f(-n)."""
        signs = np.where(np.arange(prepared.shape[2]) % 2, -1, 1)
        return np.asarray(prepared * signs[:, None], np.complex128)

    @staticmethod
    def at_identity(first: ComplexArray, second: ComplexArray) -> Float64Array:
        """Correlate pairs of prepared signals where nothing is turned: shape (pairs,)."""
        return np.real((second.conj() * first).sum(axis=(1, 2, 3)))

    def correlate(self, first: ComplexArray, second: ComplexArray) -> Float64Array:
        """Correlate pairs of prepared signals, f of `first` and f' of `second`.

        Returns
        -------
        float64 array, shape (pairs, rotations + 1)
        """
        limit = self._limit
        # l, pairs, m, m'; of real functions m' >= 0 says all.
        left = np.ascontiguousarray(np.moveaxis(second.conj(), 2, 0))
        right = np.ascontiguousarray(np.moveaxis(first[:, limit - 1 :], 2, 0).swapaxes(-1, -2))
        products = left @ right
        pairs = len(first)
        products = np.ascontiguousarray(products.transpose(2, 3, 1, 0))
        # m, m', (pair, re and im), l
        real = products.view(np.float64).reshape(*products.shape[:3], limit, 2)
        real = np.ascontiguousarray(real.swapaxes(-1, -2))
        spectrum = (real.reshape(2 * limit - 1, limit, 2 * pairs, limit) @ self._small).reshape(
            2 * limit - 1, limit, pairs, 2, -1
        )
        values = self._synthesis(spectrum[..., 0, :] - 1j * spectrum[..., 1, :])
        return np.concatenate([values, self.at_identity(first, second)[:, None]], axis=1)

    def _synthesis(self, spectrum: ComplexArray) -> Float64Array:
        """Sum conjugate coefficients (m, m', pairs, beta) over m and m': (pairs, rotations)."""
        width, half, pairs = spectrum.shape[:3]
        nodes, count, _ = self._shape
        padded = np.zeros((pairs, nodes, count, nodes), np.complex128)
        signs = np.where(np.arange(half) % 2, -1, 1)  # of gamma's shift
        moved = spectrum.transpose(2, 3, 0, 1) * signs
        middle = width // 2
        padded[:, :, : middle + 1, :half] = moved[:, :, middle:]
        padded[:, :, count - middle :, :half] = moved[:, :, :middle]
        values = scipy.fft.irfft2(padded, s=(count, count), norm="forward")
        return np.asarray(values.reshape(pairs, -1), np.float64)

    def projected(self, values: Float64Array, band: int) -> Float64Array:
        """Project functions on the harmonics D^l with l < band.

        Parameters
        ----------
        values : float64 array, shape (pairs, rotations + 1)
        band : int
            At most N.

        Returns
        -------
        float64 array of the same shape
        """
        nodes, count, _ = self._shape
        grid = values[:, :-1].reshape(-1, nodes, count, count)
        full = scipy.fft.rfft2(grid, norm="forward")[..., :band]
        order = np.arange(-band + 1, band) % count
        signs = np.where(np.arange(band) % 2, -1, 1)
        # Conjugate coefficients, m, m', pairs, beta.
        spectrum = (full[:, :, order] * signs).transpose(2, 3, 0, 1) * self._shares
        small = _packed(wigner_d(band, self._beta), band)
        scaled = small * (2 * np.arange(band) + 1)[:, None]
        coefficients = spectrum @ scaled.swapaxes(-1, -2)  # m, m', pairs, l
        # D of the identity is 1 where m = m'; m and -m are conjugates.
        m = np.arange(band)
        traces = coefficients[m + band - 1, m].real.sum(axis=2)
        centre = 2 * traces.sum(axis=0) - traces[0]
        return np.concatenate([self._synthesis(coefficients @ small), centre[:, None]], axis=1)


def _packed(matrices: list[Float64Array], limit: int) -> Float64Array:
    """Matrices d^l (beta, m, m') as one array (m, m' >= 0, l, beta)."""
    packed: npt.NDArray[Any] = np.zeros((2 * limit - 1, limit, limit, len(matrices[0])))
    for l, small in enumerate(matrices):  # noqa: E741
        rows = slice(limit - 1 - l, limit + l)
        packed[rows, : l + 1, l] = small[:, :, l:].transpose(1, 2, 0)
    return packed
