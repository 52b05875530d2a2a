r"""The layers that commute with a group.

A linear layer A from X to Y is equivariant where ρ_Y(g) A ρ_X(g)⁻¹ = A for all g; these layers form
the space E, and the orthogonal projection on it is the mean Π_E A = mean_g ρ_Y(g) A ρ_X(g)⁻¹
(O. Nordenfors, F. Ohlsson, A. Flinth, "Optimization dynamics of equivariant and augmented neural
networks", arXiv:2303.13458). Where a group permutes coordinates, the mean runs over the orbits of
pairs (coordinate of Y, coordinate of X): their indicators are a basis of E and their number is its
dimension.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from refntk.dynamics.representations import Representation
from refntk.errors import InputError

__all__ = ["Projection", "mean_over_group"]

FloatArray = npt.NDArray[np.floating[Any]]


class Projection:
    """The orthogonal projection on the equivariant layers between two spaces.

    Parameters
    ----------
    target, source : Representation
        Of the same group.

    Attributes
    ----------
    dimension : int
        Of E: the number of orbits, whose indicators are a basis.

    Raises
    ------
    InputError
        The groups differ.
    """

    def __init__(self, target: Representation, source: Representation) -> None:
        if target.group is not source.group:
            raise InputError("target and source: expected representations of the same group")
        one = [replace(space, multiplicity=1).coordinates for space in (target, source)]
        self._block = one[0].orbitals(one[1])
        self._copies = target.multiplicity, source.multiplicity
        self._counts = np.bincount(self._block.ravel())
        self.dimension = len(self._counts) * math.prod(self._copies)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (target.dimension, source.dimension) of the layers."""
        return self._copies[0] * len(self._block), self._copies[1] * self._block.shape[1]

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """Orbit of each entry, of `shape`, numbered in the order in which rows meet them."""
        blocks = np.arange(math.prod(self._copies)).reshape(self._copies) * len(self._counts)
        several = blocks[:, None, :, None] + self._block[:, None, :]
        _, first, labels = np.unique(several, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[labels].reshape(self.shape)

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draw an equivariant layer whose rows have norm 1 in the mean over draws.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        array of float64, shape (target.dimension, source.dimension)
            Each orbit has one normal coefficient; all orbits that meet a row contribute alike.
        """
        return np.asarray((rng.normal(size=self.dimension) * self._deviation)[self.labels])

    def draw_projected(
        self, rng: np.random.Generator, deviation: float
    ) -> npt.NDArray[np.float64]:
        """Draw the projection of a layer of independent normal entries.

        Parameters
        ----------
        rng : numpy.random.Generator
        deviation : float
            Standard deviation of the entries before they are projected.

        Returns
        -------
        array of float64, shape (target.dimension, source.dimension)
            The coefficient of an orbit of n pairs has the standard deviation `deviation` / √n.
        """
        layer = np.empty(self.shape)
        for part in self._blocks(layer):
            normal = rng.normal(size=len(self._counts))
            part[:] = (deviation * normal / np.sqrt(self._counts))[self._block]
        return layer

    def _blocks(self, matrix: FloatArray) -> Iterator[FloatArray]:
        """Give the part of a layer between each two copies, as views where it is contiguous."""
        rows, columns = self._block.shape
        parts = matrix.reshape(self._copies[0], rows, self._copies[1], columns)
        for i in range(self._copies[0]):
            for j in range(self._copies[1]):
                yield parts[i, :, j]

    @cached_property
    def _deviation(self) -> npt.NDArray[np.float64]:
        """Standard deviation of each orbit's coefficient in `draw`."""
        rows = np.broadcast_to(np.arange(len(self.labels))[:, None], self.labels.shape)
        meets = coo_array(
            (np.ones(rows.size, bool), (rows.ravel(), self.labels.ravel())),
            (len(self.labels), self.dimension),
        ).tocsr()
        rows_met = np.bincount(meets.indices, minlength=self.dimension)
        orbits_a_row = meets.nnz / len(self.labels)
        return np.asarray(np.sqrt(rows_met / (np.bincount(self.labels.ravel()) * orbits_a_row)))

    def __call__(self, matrix: FloatArray) -> FloatArray:
        """Project a layer, Π_E A.

        Parameters
        ----------
        matrix : array of float, shape (target.dimension, source.dimension)

        Returns
        -------
        array of the same shape and dtype
            Exactly constant on orbits.

        Raises
        ------
        InputError
            The shape is another one.
        """
        if matrix.shape != self.shape:
            raise InputError(f"matrix: expected the shape {self.shape}, not {matrix.shape}")
        if len(self._counts) == self._block.size:
            return matrix.copy()
        flat = self._block.ravel()
        projected = np.empty(self.shape, matrix.dtype)
        for part, given in zip(self._blocks(projected), self._blocks(matrix), strict=True):
            sums = np.bincount(flat, given.ravel(), len(self._counts))
            part[:] = (sums / self._counts)[self._block]
        return projected


def mean_over_group(
    matrix: npt.ArrayLike, target: Sequence[npt.ArrayLike], source: Sequence[npt.ArrayLike]
) -> npt.NDArray[np.float64]:
    """Project a layer by averaging over all elements of any group of orthogonal matrices.

    Parameters
    ----------
    matrix : array of float, shape (p, q)
    target, source : sequences of arrays, shapes (p, p) and (q, q)
        ρ_Y(g) and ρ_X(g), element by element.

    Returns
    -------
    array of float64, shape (p, q)
        mean_g ρ_Y(g) A ρ_X(g)⁻¹.

    Raises
    ------
    InputError
        A matrix of a representation is not orthogonal (the message says which), the numbers of
        elements differ, or the shapes do not fit.
    """
    a = np.asarray(matrix, np.float64)
    if len(target) != len(source) or not len(target):
        raise InputError(
            f"expected as many elements for both spaces, not {len(target)} and {len(source)}"
        )
    total = np.zeros_like(a)
    for k, (left, right) in enumerate(zip(target, source, strict=True)):
        pair = np.asarray(left, np.float64), np.asarray(right, np.float64)
        for rho, size in zip(pair, a.shape, strict=True):
            if rho.shape != (size, size):
                raise InputError(f"element {k}: expected a {size}×{size} matrix, not {rho.shape}")
            gap = np.abs(rho @ rho.T - np.eye(size)).max()
            if gap > 1e-10:
                raise InputError(
                    f"element {k}: its matrix is not orthogonal (by {gap:.2g}), so that the mean "
                    "over the group is no orthogonal projection"
                )
        total += pair[0] @ a @ pair[1].T
    return total / len(target)
