"""A symmetric matrix that stays on disk, multiplied in bands of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator

from refntk.inference.gram import bands

__all__ = ["BandedMatrix", "Rows"]

Float64Array = npt.NDArray[np.float64]

_BAND_BYTES = 32_000_000


class Rows(Protocol):
    """A matrix of which bands of rows can be read: an HDF5 dataset, a memory map, an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> Any:
        """Its dtype."""

    def __getitem__(self, rows: slice) -> Any:
        """Read a band."""


class BandedMatrix:
    """A symmetric matrix on disk that is multiplied in bands of rows.

    Parameters
    ----------
    matrix : Rows
        Float, shape (N, N), such as the dataset ``ntk`` of an open kernel file.
    addition : float, or array of float64 of shape (N,)
        Added to the diagonal.

    Attributes
    ----------
    shape : (int, int)
    addition : float or array
        As given; it can be set later.
    passes : int
        How often the whole matrix was read.
    """

    def __init__(self, matrix: Rows, addition: float | Float64Array = 0.0) -> None:
        self.shape: tuple[int, int] = (int(matrix.shape[0]), int(matrix.shape[1]))
        self._matrix = matrix
        self.addition = addition
        self.passes = 0
        # Whole chunks at a time: a part of one costs as much as all of it.
        chunk = (getattr(matrix, "chunks", None) or (1,))[0]
        rows = max(1, _BAND_BYTES // (8 * self.shape[1]))
        self._length = max(chunk, rows // chunk * chunk)

    def visit(self, act: Callable[[slice, Float64Array], None]) -> None:
        """Read the matrix once, in bands, without what is added.

        Parameters
        ----------
        act : callable
            Called with the rows and the band, in float64.
        """
        self.passes += 1
        for rows in bands(self.shape[0], self._length):
            act(rows, np.asarray(self._matrix[rows], np.float64))

    def multiply(self, block: Float64Array) -> Float64Array:
        """Multiply with vectors, reading the matrix once.

        Parameters
        ----------
        block : array of float64, shape (N, k)

        Returns
        -------
        array of float64, shape (N, k)
        """
        product = np.empty((self.shape[0], block.shape[1]))

        def act(rows: slice, band: Float64Array) -> None:
            np.matmul(band, block, out=product[rows])

        self.visit(act)
        product += np.reshape(self.addition, (-1, 1)) * block
        return product

    def linear_operator(self) -> LinearOperator:
        """Return the same as an operator for the solvers of `scipy.sparse.linalg`."""

        def one(vector: Any) -> Any:
            return self.multiply(np.asarray(vector, np.float64).reshape(-1, 1)).ravel()

        return LinearOperator(
            self.shape, matvec=one, rmatvec=one, matmat=self.multiply, dtype=np.float64
        )
