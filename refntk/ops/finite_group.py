"""Finite groups as data: a Cayley table and generators, and all that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import NetworkError
from refntk.ops.irreps import Irrep, irreps_of

__all__ = ["FiniteGroup", "cayley_from_generators", "from_table"]

Indices = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class FiniteGroup:
    """A finite group; its elements are numbers, 0 is the identity.

    Nothing is checked here: `from_table` takes tables of which nothing is known. Two groups are
    equal when their names and their tables are.

    Attributes
    ----------
    name : str
    cayley : int array, shape (n, n)
        ``cayley[g, h]`` is the number of the product g h, in which h acts first.
    generators : tuple of int
        Elements whose products are all elements.
    permutations : int array, shape (n, m), or None
        Element g as a permutation of m points, which moves i to ``permutations[g, i]``; None where
        the group was not made of permutations.
    known_irreps : tuple of Irrep
        Its irreducible representations where a formula gives them; empty elsewhere.

    Examples
    --------
    >>> group = from_table([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
    >>> group.order, group.generators, group.inverse.tolist()
    (3, (1,), [0, 2, 1])
    """

    name: str
    cayley: Indices = field(repr=False)
    generators: tuple[int, ...] = field(repr=False)
    permutations: Indices | None = field(default=None, repr=False)
    known_irreps: tuple[Irrep, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Make the tables read-only."""
        for table in (self.cayley, self.permutations):
            if table is not None:
                table.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        """Compare names and tables."""
        if self is other:
            return True
        if not isinstance(other, FiniteGroup) or type(self) is not type(other):
            return NotImplemented
        return self.name == other.name and np.array_equal(self.cayley, other.cayley)

    def __hash__(self) -> int:
        """Hash the name and the order."""
        return hash((self.name, self.order))

    @property
    def order(self) -> int:
        """Number n of elements."""
        return len(self.cayley)

    @cached_property
    def inverse(self) -> Indices:
        """Number of the inverse of each element, shape (n,)."""
        inverse: Indices = np.argmin(self.cayley, axis=1)  # the identity has number 0
        inverse.setflags(write=False)
        return inverse

    def number(self, element: int | tuple[int, ...]) -> int:
        """Find an element.

        Parameters
        ----------
        element : int or tuple of int
            Its number, from the end where it is negative; or the permutation that it is.

        Returns
        -------
        int

        Raises
        ------
        NetworkError
            There is no such element.
        """
        if isinstance(element, int):
            if -self.order <= element < self.order:
                return element % self.order
        elif self.permutations is not None and len(element) == self.permutations.shape[1]:
            found = np.flatnonzero((self.permutations == element).all(axis=1))
            if len(found):
                return int(found[0])
        raise NetworkError(
            f"{element} is no element of {self.name}, which has {self.order}: give a number from 0 "
            f"to {self.order - 1}, or a permutation of its points"
        )

    @cached_property
    def irreps(self) -> tuple[Irrep, ...]:
        """One irreducible unitary representation of each class, the trivial one first.

        Their squared dimensions add up to n.

        Raises
        ------
        NetworkError
            The group is too large for `refntk.ops.irreps.irreps_of`.
        """
        return self.known_irreps or irreps_of(self.cayley, self.name)

    def steps(self) -> list[tuple[int, int, int]]:
        """List a way to every element but the identity: (element, k, earlier element).

        Returns
        -------
        list of (int, int, int)
            The element is generator number k times the earlier one, breadth first.
        """
        return _steps(self.cayley[list(self.generators)])

    def subgroup(self, generators: Iterable[int]) -> tuple[int, ...]:
        """Generate a subgroup.

        Parameters
        ----------
        generators : iterable of int
            Elements; none generate the trivial subgroup.

        Returns
        -------
        tuple of int
            All elements of the subgroup in increasing order.
        """
        rows = self.cayley[list(generators)]
        return tuple(sorted([0, *(element for element, _, _ in _steps(rows))]))

    def is_subgroup(self, elements: Iterable[int]) -> bool:
        """Tell whether these elements are closed under products."""
        members = sorted(set(elements))
        return bool(members) and set(self.cayley[np.ix_(members, members)].flat) == set(members)

    def is_normal(self, subgroup: Iterable[int]) -> bool:
        """Tell whether g P g⁻¹ = P for all elements g."""
        members = list(subgroup)
        conjugates = self._conjugates(members, self.generators)
        return set(conjugates.flat) <= set(members)

    def cosets(self, subgroup: Iterable[int]) -> Indices:
        """Tell the left coset g P of each element.

        Parameters
        ----------
        subgroup : iterable of int
            All of its elements.

        Returns
        -------
        int array, shape (n,)
            Numbered in the order of their first elements: that of the identity is 0.
        """
        first = self.cayley[:, list(subgroup)].min(axis=1)
        return np.unique(first, return_inverse=True)[1]

    @cached_property
    def classes(self) -> Indices:
        """Conjugacy class of each element, shape (n,), numbered by their first elements."""
        first = self._conjugates(range(self.order), range(self.order)).min(axis=0)
        return np.asarray(np.unique(first, return_inverse=True)[1])

    def _conjugates(self, members: Iterable[int], by: Iterable[int]) -> Indices:
        """List g h g⁻¹: (elements g of `by`, members h)."""
        g = list(by)
        return self.cayley[self.cayley[np.ix_(g, list(members))], self.inverse[g][:, None]]


def cayley_from_generators(rows: npt.ArrayLike) -> Indices:
    """Complete a Cayley table of which the rows of the generators are known.

    Parameters
    ----------
    rows : int array, shape (k, n)
        ``rows[k, h]`` is the number of s_k h.

    Returns
    -------
    int array, shape (n, n)
        In the smallest type of integers that holds them.
    """
    known = np.asarray(rows)
    count = known.shape[1]
    known = known.astype(np.min_scalar_type(-max(count, 1)))
    table = np.empty((count, count), known.dtype)
    table[0] = np.arange(count)
    for element, k, earlier in _steps(known):
        table[element] = known[k][table[earlier]]  # (s p) h = s (p h)
    return table


def from_table(table: npt.ArrayLike, name: str = "table") -> FiniteGroup:
    """Take a Cayley table, and make sure that it is a group's.

    Parameters
    ----------
    table : int array, shape (n, n)
        ``table[g][h]`` is the number of g h; element 0 must be the identity.
    name : str, default "table"

    Returns
    -------
    FiniteGroup

    Raises
    ------
    NetworkError
        The table is no group: the message says which elements break which law.
    """
    given = np.asarray(table)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not given.size:
        raise _no_group(name, f"expected a square table of products, not the shape {given.shape}")
    if not np.issubdtype(given.dtype, np.integer):
        raise _no_group(name, f"its entries are no whole numbers but {given.dtype}")
    count, numbers = len(given), np.arange(len(given))
    for word, lines in (("row", given), ("column", given.T)):
        for k, line in enumerate(lines):
            if not np.array_equal(np.sort(line), numbers):
                reason = f"{word} {k} does not list each of the {count} elements once"
                raise _no_group(name, reason)
    if not (np.array_equal(given[0], numbers) and np.array_equal(given[:, 0], numbers)):
        raise _no_group(name, "element 0 is not the identity: list the identity first")
    cayley = given.astype(np.int64)
    group = FiniteGroup(name, cayley, _generating(cayley))
    for s in group.generators:
        # Light's test: where all (x s) y = x (s y) for generators s, products are associative.
        left, right = cayley[cayley[:, s]], cayley[:, cayley[s]]
        if not np.array_equal(left, right):
            x, y = np.argwhere(left != right)[0]
            raise _no_group(
                name,
                f"({x}·{s})·{y} is {left[x, y]}, but {x}·({s}·{y}) is {right[x, y]}",
            )
    return group


def _no_group(name: str, reason: str) -> NetworkError:
    return NetworkError(f"the table {name} is no group: {reason}", key="group")


def _generating(cayley: Indices) -> tuple[int, ...]:
    """Choose elements that reach all others by products with them on the left."""
    chosen: list[int] = []
    reached = {0}
    for element in range(len(cayley)):
        if element not in reached:
            chosen.append(element)
            reached = {0, *(found for found, _, _ in _steps(cayley[chosen]))}
    return tuple(chosen)


def _steps(rows: Indices) -> list[tuple[int, int, int]]:
    """Do the same as `FiniteGroup.steps` for rows of generators."""
    found, seen, border = [], {0}, [0]
    products = rows.tolist()
    while border:
        beyond = []
        for earlier in border:
            for k, row in enumerate(products):
                if row[earlier] not in seen:
                    seen.add(row[earlier])
                    beyond.append(row[earlier])
                    found.append((row[earlier], k, earlier))
        border = beyond
    return found
