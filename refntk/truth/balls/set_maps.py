"""What filters on finite groups read, worked out from a layer's arguments with nothing but tuples.

A second reading of `refntk.network.finite_groups`, on purpose not that of `refntk.ops`, for the
proofs of `refntk.truth.balls`: an element of a group is the permutation of points that it is, and
products are taken of permutations. A map lists, for each element of the group, the number of what
the output there reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations, product
from typing import TypeAlias

from refntk.network.layers import CosetPool, SetGroupConv, SetLift, SetLinear

__all__ = ["Permutation", "conv_maps", "coset_maps", "lift_maps", "orbital_rows", "shares"]

Permutation: TypeAlias = tuple[int, ...]
Maps: TypeAlias = list[list[int]]


def lift_maps(layer: SetLift) -> tuple[list[Permutation], Maps]:
    """List the elements of a layer's group, and the maps of its filter."""
    elements = _elements(layer.group)
    if isinstance(layer.on, str):
        labels, moves = _moves(layer.group, layer.on, elements)
    else:
        labels = [(number,) for number in range(len(layer.on[0]))]
        moved = _together(_generators(layer.group), layer.on)
        moves = [moved[g] for g in elements]
    support = range(len(labels)) if isinstance(layer.support, str) else layer.support
    read = [_number(place, labels.index, len(labels)) for place in support]
    return elements, [[move[s] for move in moves] for s in read]


def orbital_rows(layer: SetLinear) -> list[list[list[int]]]:
    """List, for each orbital and each point y above, the points x below with (y, x) in it."""
    below, above = (
        _moves(layer.group, on, _generators(layer.group))[1] if isinstance(on, str) else on
        for on in (layer.on, layer.to)
    )
    pairs = list(product(range(len(above[0])), range(len(below[0]))))
    orbital: dict[tuple[int, int], int] = {}
    for pair in pairs:
        border = [] if pair in orbital else [pair]
        number = max(orbital.values(), default=-1) + 1
        while border:
            y, x = border.pop()
            if (y, x) not in orbital:
                orbital[y, x] = number
                border += [(up[y], low[x]) for up, low in zip(above, below, strict=True)]
    count = max(orbital.values()) + 1
    rows: list[list[list[int]]] = [[[] for _ in above[0]] for _ in range(count)]
    for y, x in pairs:
        rows[orbital[y, x]][y].append(x)
    return rows


def conv_maps(layer: SetGroupConv, elements: list[Permutation]) -> Maps:
    """List the maps of a group convolution's filter."""
    support = range(len(elements)) if isinstance(layer.support, str) else layer.support
    return _products(elements, [_number(h, elements.index, len(elements)) for h in support])


def coset_maps(layer: CosetPool, elements: list[Permutation]) -> Maps:
    """List the maps of a mean over cosets."""
    support = range(len(elements)) if isinstance(layer.subgroup, str) else layer.subgroup
    generators = [elements[_number(h, elements.index, len(elements))] for h in support]
    subgroup = _together(generators, generators)
    return _products(elements, [elements.index(p) for p in subgroup])


def shares(weights: Sequence[float], count: int) -> list[Fraction]:
    """Divide weights by their sum; all count alike where there are none."""
    numbers = [Fraction(weight) for weight in weights] or [Fraction(1)] * count
    return [number / sum(numbers) for number in numbers]


def _products(elements: list[Permutation], factors: list[int]) -> Maps:
    return [[elements.index(_after(g, elements[h])) for g in elements] for h in factors]


def _number(
    place: int | tuple[int, ...], find: Callable[[tuple[int, ...]], int], count: int
) -> int:
    return place % count if isinstance(place, int) else find(place)


def _after(one: Permutation, two: Permutation) -> Permutation:
    """Do two first, then one."""
    return tuple(one[point] for point in two)


def _together(
    generators: Sequence[Permutation], moves: Sequence[Permutation]
) -> dict[Permutation, Permutation]:
    """Multiply out generators, breadth first, and the moves that go with them."""
    found = {tuple(range(len(generators[0]))): tuple(range(len(moves[0])))}
    border = list(found)
    while border:
        beyond = []
        for g in border:
            for s, move in zip(generators, moves, strict=True):
                if (new := _after(s, g)) not in found:
                    found[new] = _after(move, found[g])
                    beyond.append(new)
        border = beyond
    return found


def _sides(group: str | tuple[Permutation, ...]) -> list[int]:
    """Lengths of the axes of the points."""
    if isinstance(group, str):
        return [int(name[1:]) for name in group.split("x")]
    return [len(group[0])]


def _elements(group: str | tuple[Permutation, ...]) -> list[Permutation]:
    """List the elements in the promised order."""
    if not isinstance(group, str):
        return list(_together(group, group))
    whole: list[Permutation] = [(0,)]
    for name in group.split("x"):
        n = int(name[1:])
        turns = [tuple((i + k) % n for i in range(n)) for k in range(n)]
        if name[0] == "D":
            mirror = tuple(-i % n for i in range(n))
            turns += [_after(turn, mirror) for turn in turns]
        part = list(permutations(range(n))) if name[0] == "S" else turns
        whole = [_beside(g, h) for g in whole for h in part]
    return whole


def _generators(group: str | tuple[Permutation, ...]) -> list[Permutation]:
    """List the generators in the promised order; the elements are not listed."""
    if not isinstance(group, str):
        return list(group)
    generators: list[Permutation] = []
    still: Permutation = (0,)
    for name in group.split("x"):
        n = int(name[1:])
        one = tuple(range(n))
        turn, mirror = (*one[1:], 0), tuple(-i % n for i in one)
        swap = (1, 0, *one[2:]) if n > 1 else one
        own = {"C": [turn], "D": [turn, mirror], "S": [swap, turn]}[name[0]]
        generators = [_beside(g, one) for g in generators] + [_beside(still, s) for s in own]
        still = _beside(still, one)
    return generators


def _moves(
    group: str | tuple[Permutation, ...], on: str, elements: list[Permutation]
) -> tuple[list[tuple[int, ...]], list[Permutation]]:
    """Label the places of a set by name, and say what these elements do to them."""
    points = list(product(*map(range, _sides(group))))
    if on == "group":
        known = _elements(group)
        moves = [tuple(known.index(_after(g, h)) for h in known) for g in elements]
        return [(number,) for number in range(len(known))], moves
    places = list(product(range(len(points)), repeat={"one": 0, "points": 1}.get(on, 2)))
    if on == "pairs":
        places = [place for place in places if place[0] != place[1]]
    labels: list[tuple[int, ...]] = [
        sum((points[point] for point in place), ()) or (0,) for place in places
    ]
    number = {place: k for k, place in enumerate(places)}
    return labels, [tuple(number[tuple(g[x] for x in place)] for place in places) for g in elements]


def _beside(one: Permutation, two: Permutation) -> Permutation:
    """Permute the rows and the columns of a table of points."""
    return tuple(i * len(two) + j for i in one for j in two)
