"""A preconditioner for kernels from some of their columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg

__all__ = ["Nystrom"]

Float64Array = npt.NDArray[np.float64]


class Nystrom:
    r"""Approximation of low rank of a kernel plus a multiple of the identity, as preconditioner.

    With S some of the images, :math:`K_{NS} K_{SS}^{-1} K_{SN} = U \Lambda U^T`. The square root of
    the approximation of :math:`K + \lambda I` scales by :math:`\sqrt{\Lambda + \lambda}` along U
    and by the smallest of these numbers elsewhere.

    Parameters
    ----------
    columns : array of float64, shape (N, r)
        Columns S of K.
    chosen : array of int, shape (r,)
        S.
    addition : float
        :math:`\lambda`.

    Notes
    -----
    Z. Frangella, J. A. Tropp, M. Udell, "Randomized Nyström Preconditioning", arXiv:2110.02820.
    """

    def __init__(
        self, columns: Float64Array, chosen: npt.NDArray[np.int64], addition: float
    ) -> None:
        core = columns[chosen]
        # Equal images make the core singular: directions at rounding level are dropped.
        values, vectors = scipy.linalg.eigh((core + core.T) / 2)
        kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
        half = columns @ (vectors[:, kept] / np.sqrt(values[kept]))
        self._basis, singular, _ = scipy.linalg.svd(half, full_matrices=False)
        self._roots = np.sqrt(singular**2 + addition)
        self._rest = self._roots[-1]

    @property
    def rank(self) -> int:
        """Number of columns of U."""
        return len(self._roots)

    def multiply_root(self, block: Float64Array, power: int) -> Float64Array:
        """Multiply with the square root of the approximation, or with its inverse.

        Parameters
        ----------
        block : array of float64, shape (N, k)
        power : {1, -1}

        Returns
        -------
        array of float64, shape (N, k)
        """
        inside = self._basis.T @ block
        scale = self._roots**power - self._rest**power
        product: Float64Array = self._rest**power * block + self._basis @ (scale[:, None] * inside)
        return product
