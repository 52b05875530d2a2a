r"""Groups by name or by permutations, and the sets on which they act by nature.

=================  ================================  ======================================
spec               acts on                           elements in the order
=================  ================================  ======================================
``"C9"``           9 points of a circle              r^0, r^1, ..., where r moves i to i + 1
``"D9"``           9 corners, from 3 on              r^k, then r^k m, where m moves i to -i
``"S4"``           4 points, up to S7 as a group     of `itertools.permutations`
``"C4xD3"``        a grid, row by row                element of C4 times the order of D3, plus
                                                     that of D3
permutations       the points that they permute      breadth first from the identity, each
                                                     generator in turn applied after
=================  ================================  ======================================
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from functools import cache
from typing import TypeAlias

import numpy as np

from refntk.errors import NetworkError, unknown
from refntk.ops.finite_group import FiniteGroup, Indices, cayley_from_generators
from refntk.ops.gset import GSet

__all__ = ["LARGEST", "SETS", "Spec", "closure", "finite_group", "gset", "natural", "spec_of"]

LARGEST = 5040
"""Elements of a group, at most, whose elements are listed: those of S7."""

Spec: TypeAlias = str | tuple[tuple[int, ...], ...]
"""A name, or permutations that generate the group."""

SETS: tuple[str, ...] = ("points", "pairs", "matrix", "group", "one")
"""Sets on which any group acts: its points, ordered pairs of different ones row by row, all ordered
pairs (an adjacency matrix), its own elements, by products from the left, and a single point."""


def natural(spec: Spec) -> GSet:
    """Return the set of points on which a group acts by nature; its elements are not listed.

    Parameters
    ----------
    spec : str or tuple of permutations
        As in the table above.

    Returns
    -------
    GSet

    Raises
    ------
    NetworkError
        There is no such group, or these are no permutations.

    Examples
    --------
    >>> natural("S100").size, natural("C4xC3").size
    (100, 12)
    """
    if not isinstance(spec, str):
        return GSet("the points of the group", np.array(spec))
    first, *others = spec.split("x")
    whole = _family(first, spec)
    for other in others:
        part = _family(other, spec)
        still = np.arange(part.size)[None], np.arange(whole.size)[None]
        moved = [
            whole.times(GSet("", np.repeat(still[0], len(whole.generators), axis=0))).generators,
            GSet("", np.repeat(still[1], len(part.generators), axis=0)).times(part).generators,
        ]
        labels = tuple(one + two for one in whole.labels for two in part.labels)
        whole = GSet("", np.concatenate(moved), labels)
    return GSet(f"the points of {spec}", whole.generators, whole.labels)


def gset(spec: Spec, on: Spec) -> GSet:
    """Return a set on which a group acts.

    Parameters
    ----------
    spec : str or tuple of permutations
        The group.
    on : str or tuple of permutations
        One of `SETS`; or how each generator of the group permutes points of another set.

    Returns
    -------
    GSet
        Only ``"group"`` lists the elements of the group.

    Raises
    ------
    NetworkError
        As for `natural`, or there is no such set.
    """
    points = natural(spec)
    match on:
        case "points":
            return points
        case "pairs":
            return points.pairs()
        case "matrix":
            return points.times(points)
        case "group":
            group = finite_group(spec)
            return GSet(f"the elements of {group.name}", group.cayley[list(group.generators)])
        case "one":
            return GSet("a single point", np.zeros((len(points.generators), 1), np.int64))
        case str():
            raise NetworkError(unknown("set", on, SETS), key="on")
    return GSet("the given points", np.array(on))


def spec_of(group: FiniteGroup) -> Spec:
    """Describe a group by a name, or by permutations that give the same table again.

    Parameters
    ----------
    group : FiniteGroup

    Returns
    -------
    str or tuple of permutations

    Raises
    ------
    NetworkError
        It has more than `LARGEST` elements.
    """
    def rows(table: Indices, elements: Iterable[int]) -> Spec:
        return tuple(tuple(table[g].tolist()) for g in elements)

    specs: list[Spec] = [group.name]
    if group.permutations is not None:
        specs.append(rows(group.permutations, group.generators))
    specs.append(rows(group.cayley, group.generators))
    for spec in specs:
        try:
            if np.array_equal(finite_group(spec).cayley, group.cayley):
                return spec
        except NetworkError:
            pass  # no name of a group
    # Breadth first the rows come in their own order.
    return rows(group.cayley, range(1, group.order))


@cache
def finite_group(spec: Spec) -> FiniteGroup:
    """Return the group of this name, or the one that permutations generate.

    Parameters
    ----------
    spec : str or tuple of permutations
        As in the table above.

    Returns
    -------
    FiniteGroup
        The same object at every call. Its generators are those of `natural`, in their order.

    Raises
    ------
    NetworkError
        There is no such group, these are no permutations, or there are more than `LARGEST`
        elements.

    Examples
    --------
    >>> finite_group("S4").order, finite_group(((1, 0, 2), (1, 2, 0))).order
    (24, 6)
    """
    generators = natural(spec).generators
    elements = _listed(spec) if isinstance(spec, str) else closure(generators)
    name = spec if isinstance(spec, str) else f"group of order {len(elements)}"
    number = {row.tobytes(): k for k, row in enumerate(elements)}
    rows = np.array([[number[s[p].tobytes()] for p in elements] for s in generators])
    own = tuple(number[s.tobytes()] for s in generators)
    return FiniteGroup(name, cayley_from_generators(rows), own, elements)


def _family(name: str, spec: str) -> GSet:
    """Return the points of a factor."""
    found = re.fullmatch(r"([CDS])([1-9][0-9]{0,4})", name)
    if found is None:
        raise NetworkError(
            f'unknown group "{spec}"; known: C1, C2, ..., D3, D4, ..., S2, S3, ..., products such '
            "as C4xC3, or permutations that generate the group",
            key="group",
        )
    kind, n = found[1], int(found[2])
    if kind == "D" and n < 3:
        same = "C2" if n == 1 else "C2xC2"
        raise NetworkError(
            f"{name} does not act on {n} corner{'s' if n > 1 else ''} as a group of order "
            f"{2 * n}: write {same}, which is the same group", key="group",
        )  # fmt: skip
    points = np.arange(n)
    shift, mirror, swap = np.roll(points, -1), -points % n, points.copy()
    swap[:2] = swap[:2][::-1]
    generators = {"C": [shift], "D": [shift, mirror], "S": [swap, shift]}[kind]
    return GSet(name, np.array(generators))


def _listed(spec: str) -> Indices:
    """List the elements of a group by name as permutations, in the promised order."""
    parts = [_elements(name, spec) for name in spec.split("x")]
    _not_too_many(spec, math.prod(len(part) for part in parts))
    whole = parts[0]
    for part in parts[1:]:
        both = whole[:, None, :, None] * part.shape[1] + part[None, :, None, :]
        whole = both.reshape(len(whole) * len(part), -1)
    return whole


def _elements(name: str, spec: str) -> Indices:
    n = _family(name, spec).size
    if name[0] == "S":
        _not_too_many(spec, math.factorial(min(n, 20)))
        return np.array(list(itertools.permutations(range(n))), np.int64)
    _not_too_many(spec, n)
    turns = (np.arange(n)[:, None] + np.arange(n)) % n
    return turns if name[0] == "C" else np.concatenate([turns, turns[:, -np.arange(n) % n]])


def closure(generators: Indices) -> Indices:
    """List all products of permutations, breadth first.

    Parameters
    ----------
    generators : int array, shape (k, m)

    Returns
    -------
    int array, shape (n, m)
        The identity first.

    Raises
    ------
    NetworkError
        They are more than `LARGEST`.
    """
    identity = np.arange(generators.shape[1])
    found, border = {identity.tobytes(): identity}, [identity]
    while border:
        products = [s[p] for p in border for s in generators]
        border = []
        for p in products:
            if p.tobytes() not in found:
                found[p.tobytes()] = p
                border.append(p)
        _not_too_many("these permutations", len(found))
    return np.array(list(found.values()))


def _not_too_many(name: str, count: int) -> None:
    if count > LARGEST:
        raise NetworkError(
            f"{name}: more than {LARGEST} elements, and a kernel on a group sums over all of them: "
            "use a smaller group, or SetLinear, which needs its generators only",
            key="group",
        )
