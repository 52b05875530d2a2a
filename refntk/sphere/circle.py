r"""Kernels as functions of an angle: signals on circles and discs, and the groups SO(2) and O(2).

A signal is an array (P, C) of samples at the angles 2 pi p / P of a circle, or (rings, P, C) on
circles about one centre. With global filters a kernel after the lifting layer is the correlation

.. math:: C(\theta) = \sum_r w_r \frac{1}{C} \sum_c \frac{1}{2\pi} \int f_{rc}(\varphi)
    f'_{rc}(\varphi + \theta) \, d\varphi

of the trigonometric polynomials through the samples; w_r are shares of the rings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

__all__ = ["Turns"]

Float64Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]


class Turns:
    """The trapezoid rule on the circle, exact for band limits up to its number of angles.

    Parameters
    ----------
    nodes : int
        Number of angles.
    limit : int
        Band limit K of the signals, |k| < K.

    Attributes
    ----------
    weights : float64 array, shape (nodes,)
        Of a mean over all angles.

    Notes
    -----
    Functions are arrays whose last axis has the angles 2 pi j / nodes, and then the identity.
    """

    def __init__(self, nodes: int, limit: int) -> None:
        self._nodes, self._limit = nodes, limit
        self.weights = np.full(nodes, 1 / nodes)

    @staticmethod
    def prepared(signals: Float64Array, shares: Float64Array) -> ComplexArray:
        """Analyse signals (N, rings, P, C): (N, rings, K, C), times roots of the shares."""
        count = signals.shape[2]
        found = np.asarray(scipy.fft.rfft(signals, axis=2, norm="forward"), np.complex128)
        if count % 2 == 0:
            found[:, :, -1] /= 2  # half of it belongs to each sign
        scales = np.sqrt(shares / signals.shape[3])[:, None, None]
        return np.asarray(found * scales, np.complex128)

    @staticmethod
    def reflected(prepared: ComplexArray) -> ComplexArray:
        """Reflect signals, f(-phi)."""
        return prepared.conj()

    @staticmethod
    def at_identity(first: ComplexArray, second: ComplexArray) -> Float64Array:
        """Correlate pairs of prepared signals where nothing is turned: shape (pairs,)."""
        return _full_sum(_products(first, second))

    def correlate(self, first: ComplexArray, second: ComplexArray) -> Float64Array:
        """Correlate pairs of prepared signals: shape (pairs, angles + 1)."""
        products = _products(first, second)
        return np.concatenate([self._synthesis(products), _full_sum(products)[:, None]], axis=1)

    def _synthesis(self, spectrum: ComplexArray) -> Float64Array:
        padded = np.zeros((len(spectrum), self._nodes // 2 + 1), np.complex128)
        padded[:, : spectrum.shape[1]] = spectrum
        values: Any = scipy.fft.irfft(padded, n=self._nodes, norm="forward")
        return np.asarray(values, np.float64)

    def projected(self, values: Float64Array, band: int) -> Float64Array:
        """Project functions on the frequencies |k| < band; see `Rotations.projected`."""
        spectrum = np.asarray(scipy.fft.rfft(values[:, :-1], norm="forward"))[:, :band]
        return np.concatenate([self._synthesis(spectrum), _full_sum(spectrum)[:, None]], axis=1)


def _products(first: ComplexArray, second: ComplexArray) -> ComplexArray:
    return np.asarray((first.conj() * second).sum(axis=(1, 3)), np.complex128)


def _full_sum(spectrum: ComplexArray) -> Float64Array:
    """Value at the angle 0 of a real function, from its frequencies k >= 0."""
    return np.asarray(2 * spectrum.real.sum(axis=1) - spectrum[:, 0].real, np.float64)
