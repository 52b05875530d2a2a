r"""Permutation groups, the spaces they act on, and the layers that commute with them.

A linear layer A from X to Y is equivariant where ρ_Y(g) A ρ_X(g)⁻¹ = A for all g; these layers form
the space E, and the orthogonal projection on it is the mean Π_E A = mean_g ρ_Y(g) A ρ_X(g)⁻¹
(O. Nordenfors, F. Ohlsson, A. Flinth, "Optimization dynamics of equivariant and augmented neural
networks", arXiv:2303.13458). Where a group permutes coordinates, the mean runs over the orbits of
pairs (coordinate of Y, coordinate of X): their indicators are a basis of E and their number is its
dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from refntk.errors import InputError
from refntk.ops.gset import GSet
from refntk.ops.named_groups import closure

__all__ = [
    "ACTIONS",
    "PermutationGroup",
    "Projection",
    "Representation",
    "image_group",
    "mean_over_group",
    "symmetric_group",
]

Permutation = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating[Any]]

_LARGEST_LISTED = 5000


@dataclass(frozen=True, eq=False)
class PermutationGroup:
    """A finite group of permutations of some points.

    Attributes
    ----------
    name : str
    generators : tuple of int array, shape (n,)
        A permutation p moves point i to p[i].
    order : int
        Number of elements.
    """

    name: str
    generators: tuple[Permutation, ...]
    order: int

    @property
    def points(self) -> int:
        """Number n of points."""
        return len(self.generators[0])

    @cached_property
    def elements(self) -> list[Permutation]:
        """All elements, the identity first.

        Raises
        ------
        InputError
            There are too many to list.
        """
        if self.order > _LARGEST_LISTED:
            raise InputError(
                f"{self.name}: has {self.order} elements, too many to list; draw some at random"
            )
        return list(closure(np.array(self.generators)))

    def draw(self, rng: np.random.Generator) -> Permutation:
        """Draw an element from the uniform distribution."""
        if self.order == math.factorial(self.points):
            return rng.permutation(self.points)
        return self.elements[rng.integers(len(self.elements))]


def symmetric_group(n: int) -> PermutationGroup:
    """Make the group of all permutations of n points, Perm of the paper.

    Parameters
    ----------
    n : int
        At least 2.

    Returns
    -------
    PermutationGroup

    Raises
    ------
    InputError
        n is below 2.
    """
    if n < 2:
        raise InputError(f"n: expected at least 2 points, not {n}")
    swap, cycle = np.arange(n), np.roll(np.arange(n), -1)
    swap[:2] = 1, 0
    return PermutationGroup("perm", (swap, cycle), math.factorial(n))


ACTIONS: dict[str, tuple[tuple[str, ...], Callable[[int], int]]] = {
    "trans": (("y", "x"), lambda m: m * m),
    "onedtrans": (("x",), lambda m: m),
    "rot": (("turn",), lambda m: 4),
    "transrot": (("y", "x", "turn"), lambda m: 4 * m * m),
}
"""Groups that permute the pixels of a square image: generators, and order by the side."""


def image_group(name: str, side: int) -> PermutationGroup:
    """Make a group that permutes the pixels of square images.

    Parameters
    ----------
    name : {"trans", "onedtrans", "rot", "transrot"}
        Cyclic shifts along both axes, along x alone, quarter turns about the centre, or shifts
        and quarter turns.
    side : int
        Height and width of the images, at least 3.

    Returns
    -------
    PermutationGroup
        Of side² points, in the order of the flattened image.

    Raises
    ------
    InputError
        There is no such group, or the side is below 3.
    """
    if name not in ACTIONS:
        raise InputError(f"group: expected {', '.join(ACTIONS)}, not {name!r}")
    if side < 3:
        raise InputError(f"side: expected at least 3 pixels, not {side}")
    places = np.arange(side * side).reshape(side, side)
    moves = {
        "y": np.roll(places, -1, axis=0),  # the pixel at (y, x) moves to (y + 1, x)
        "x": np.roll(places, -1, axis=1),
        "turn": np.rot90(places, -1),
    }
    generators, order = ACTIONS[name]
    return PermutationGroup(name, tuple(moves[g].ravel() for g in generators), order(side))


@dataclass(frozen=True, eq=False)
class Representation:
    """How a group permutes the coordinates of a space.

    Attributes
    ----------
    group : PermutationGroup
    kind : {"points", "pairs", "trivial"}
        Functions on the points; on ordered pairs of them, such as adjacency matrices; or
        `multiplicity` coordinates that nothing moves.
    multiplicity : int
        Number of copies, copy by copy.
    """

    group: PermutationGroup
    kind: str
    multiplicity: int = 1

    def __post_init__(self) -> None:
        """Check the arguments."""
        if self.kind not in ("points", "pairs", "trivial"):
            raise InputError(f"kind: expected points, pairs or trivial, not {self.kind!r}")
        if self.multiplicity < 1:
            raise InputError(f"multiplicity: expected at least 1, not {self.multiplicity}")

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        n = self.group.points
        return {"points": n, "pairs": n * n, "trivial": 1}[self.kind] * self.multiplicity

    def permutation(self, element: Permutation) -> Permutation:
        """Give the permutation of coordinates that an element of the group makes."""
        if self.kind == "points":
            one = element
        elif self.kind == "pairs":
            one = (element[:, None] * len(element) + element).ravel()
        else:
            one = np.zeros(1, np.int64)
        copies = np.arange(self.multiplicity)[:, None] * len(one)
        return (copies + one).ravel()

    @property
    def coordinates(self) -> GSet:
        """The coordinates as a set that the generators permute."""
        moves = [self.permutation(generator) for generator in self.group.generators]
        return GSet(f"{self.kind} of {self.group.name}", np.array(moves))

    def act(self, element: Permutation, x: FloatArray) -> FloatArray:
        """Let an element act on vectors, ρ(g) x.

        Parameters
        ----------
        element : int array, shape (n,)
        x : array of float, shape (..., dimension)

        Returns
        -------
        array of the same shape and dtype

        Raises
        ------
        InputError
            The vectors have another dimension: the group does not act on them.
        """
        if x.shape[-1] != self.dimension:
            raise InputError(
                f"{self.group.name}: acts on vectors of {self.dimension} numbers ({self.kind}), "
                f"not of {x.shape[-1]}"
            )
        moved = np.empty_like(x)
        moved[..., self.permutation(element)] = x
        return moved


class Projection:
    """The orthogonal projection on the equivariant layers between two spaces.

    Parameters
    ----------
    target, source : Representation
        Of the same group.

    Attributes
    ----------
    labels : int array, shape (target.dimension, source.dimension)
        Orbit of each entry; the indicators of the orbits are a basis of E.
    dimension : int
        Of E.

    Raises
    ------
    InputError
        The groups differ.
    """

    def __init__(self, target: Representation, source: Representation) -> None:
        if target.group is not source.group:
            raise InputError("target and source: expected representations of the same group")
        labels = target.coordinates.orbitals(source.coordinates)
        self.labels: npt.NDArray[np.int64] = labels.astype(np.int64, copy=False)
        self._counts = np.bincount(self.labels.ravel())
        self.dimension = len(self._counts)

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
        return np.asarray(np.sqrt(rows_met / (self._counts * orbits_a_row)))

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
        if matrix.shape != self.labels.shape:
            raise InputError(f"matrix: expected the shape {self.labels.shape}, not {matrix.shape}")
        sums = np.bincount(self.labels.ravel(), matrix.ravel(), self.dimension)
        return np.asarray((sums / self._counts)[self.labels], matrix.dtype)


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
