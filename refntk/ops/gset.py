r"""Finite sets on which a group acts, given by how its generators permute the points.

Nothing here lists the elements of the group but `GSet.action`: orbits and orbitals of all
permutations of a hundred points need two generators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy

from refntk.errors import NetworkError
from refntk.ops.finite_group import FiniteGroup, Indices

__all__ = ["GSet"]


@dataclass(frozen=True, eq=False)
class GSet:
    """A finite set X with an action of a group.

    Attributes
    ----------
    name : str
    generators : int array, shape (k, m)
        Generator s moves the point x to ``generators[s, x]``.
    labels : tuple of tuples of int
        What each point is called: by default by its number alone, a pair by those of both.

    Raises
    ------
    NetworkError
        A generator is no permutation of the points; the message says which.

    Examples
    --------
    >>> triangle = GSet("corners", [[1, 2, 0]])
    >>> triangle.pairs().orbits().tolist()  # (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)
    [0, 1, 1, 0, 0, 1]
    """

    name: str
    generators: Indices = field(repr=False)
    labels: tuple[tuple[int, ...], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Check that the generators permute the points."""
        object.__setattr__(self, "generators", _permutations(self.name, self.generators))
        labels = self.labels or tuple((point,) for point in range(self.size))
        object.__setattr__(self, "labels", labels)

    def number(self, point: int | tuple[int, ...]) -> int:
        """Find a point.

        Parameters
        ----------
        point : int or tuple of int
            Its number, from the end where it is negative; or its label.

        Returns
        -------
        int

        Raises
        ------
        NetworkError
            There is no such point.
        """
        if isinstance(point, int):
            if -self.size <= point < self.size:
                return point % self.size
        elif point in self.labels:
            return self.labels.index(point)
        raise NetworkError(
            f"{point} is no point of {self.name}, which are {self.size}, from {self._name(0)} to "
            f"{self._name(self.size - 1)}"
        )

    def _name(self, point: int) -> int | tuple[int, ...]:
        label = self.labels[point]
        return label if len(label) > 1 else label[0]

    @property
    def size(self) -> int:
        """Number m of points."""
        return int(self.generators.shape[1])

    def orbits(self) -> Indices:
        """Tell the orbit of each point, shape (m,); they are numbered from 0."""
        return _orbits(self.generators)

    def orbitals(self, other: GSet | None = None) -> Indices:
        """Tell the orbit of each pair (point of this set, point of another one).

        Their indicators are a basis of the linear maps from functions on the other set to functions
        on this one that commute with the group.

        Parameters
        ----------
        other : GSet, optional
            By generators of the same group in the same order. None means this set.

        Returns
        -------
        int array, shape (m, points of the other)
            The orbit of each pair.

        Raises
        ------
        NetworkError
            The numbers of generators differ.
        """
        second = self if other is None else other
        if len(self.generators) != len(second.generators):
            raise NetworkError(
                f"{self.name} and {second.name}: {len(self.generators)} and "
                f"{len(second.generators)} generators; both must be acted on by one group"
            )
        return _orbits(self._beside(second)).reshape(self.size, second.size)

    def times(self, other: GSet) -> GSet:
        """Make the set of pairs (x, y), row by row, on which the group acts in both places."""
        labels = tuple(one + two for one in self.labels for two in other.labels)
        return GSet(f"{self.name} × {other.name}", self._beside(other), labels)

    def _beside(self, other: GSet) -> Indices:
        """Permute pairs (x, y), row by row: (k, pairs)."""
        both = self.generators[:, :, None] * other.size + other.generators[:, None, :]
        return both.reshape(len(both), -1)

    def pairs(self) -> GSet:
        """Make the set of ordered pairs (x, y) of different points, in increasing order."""
        if self.size < 2:
            raise NetworkError(f"{self.name}: a single point has no pairs")
        kept = ~np.eye(self.size, dtype=bool).ravel()
        number = np.cumsum(kept) - 1
        both = self.times(self)
        labels = tuple(label for label, keep in zip(both.labels, kept, strict=True) if keep)
        return GSet(f"ordered pairs of {self.name}", number[both.generators[:, kept]], labels)

    def action(self, group: FiniteGroup) -> Indices:
        """List how every element of a group acts.

        Parameters
        ----------
        group : FiniteGroup
            Whose generators are those of this set, in the same order.

        Returns
        -------
        int array, shape (n, m)
            Element g moves x to ``action[g, x]``.

        Raises
        ------
        NetworkError
            The numbers of generators differ, or the permutations do not multiply as the group's
            elements do: it is no action.
        """
        if len(group.generators) != len(self.generators):
            raise NetworkError(
                f"{self.name}: {len(self.generators)} permutations for the "
                f"{len(group.generators)} generators of {group.name}; give one for each"
            )
        action = np.empty((group.order, self.size), np.int64)
        action[0] = np.arange(self.size)
        for element, k, earlier in group.steps():
            action[element] = self.generators[k][action[earlier]]
        for k, s in enumerate(group.generators):
            # True for all products s g with a generator, and so for all products.
            wrong = (self.generators[k][action] != action[group.cayley[s]]).any(axis=1)
            if wrong.any():
                g = int(np.argmax(wrong))
                raise NetworkError(
                    f"{self.name} is no action of {group.name}: moving points by element {g} and "
                    f"then by {s} is not what their product {group.cayley[s, g]} does"
                )
        return action


def _orbits(generators: Indices) -> Indices:
    """Tell the orbit of each point under permutations (k, m), shape (m,)."""
    size = generators.shape[1]
    points = np.tile(np.arange(size), len(generators))
    moves = np.ones(len(points), np.int8), (points, generators.ravel())
    # Asked for when it is needed: scipy loads its parts by name, and these take a while.
    graph = scipy.sparse.coo_array(moves, (size, size))
    return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1], np.int64)


def _permutations(name: str, generators: Any) -> Indices:
    try:
        rows = np.asarray(generators)
    except ValueError:  # of unlike lengths
        rows = np.zeros(0)
    if rows.ndim != 2 or not rows.size or not np.issubdtype(rows.dtype, np.integer):
        raise NetworkError(
            f"{name}: expected one permutation a generator, all of the same points, such as "
            "[[1, 2, 0], [1, 0, 2]]"
        )
    rows = rows.astype(np.int64)
    for k, row in enumerate(rows):
        if not np.array_equal(np.sort(row), np.arange(len(row))):
            raise NetworkError(
                f"{name}: generator {k} is no permutation of the points 0 to {len(row) - 1}"
            )
    rows.setflags(write=False)
    return rows
