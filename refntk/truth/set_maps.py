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

from refntk.network.layers import CosetPool, SetGroupConv, SetLift

__all__ = ["Permutation", "conv_maps", "coset_maps", "lift_maps", "shares"]

Permutation: TypeAlias = tuple[int, ...]
Maps: TypeAlias = list[list[int]]


def lift_maps(layer: SetLift) -> tuple[list[Permutation], Maps]:
    """List the elements of a layer's group, and the maps of its filter."""
    elements, generators = _group(layer.group)
    points = list(product(*map(range, _sides(layer.group))))
    if layer.on == "group":
        labels: list[tuple[int, ...]] = [(number,) for number in range(len(elements))]
        moves = [[elements.index(_after(g, h)) for h in elements] for g in elements]
    elif isinstance(layer.on, str):
        labels = points
        sets = {"points": 1, "pairs": 2, "matrix": 2}
        places = list(product(range(len(points)), repeat=sets[layer.on]))
        if layer.on == "pairs":
            places = [place for place in places if place[0] != place[1]]
        labels = [sum((points[point] for point in place), ()) for place in places]
        moves = [[places.index(tuple(g[x] for x in place)) for place in places] for g in elements]
    else:
        labels = [(number,) for number in range(len(layer.on[0]))]
        moved = _together(generators, layer.on)
        moves = [list(moved[g]) for g in elements]
    support = range(len(labels)) if isinstance(layer.support, str) else layer.support
    read = [_number(place, labels.index, len(labels)) for place in support]
    return elements, [[move[s] for move in moves] for s in read]


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


def _group(
    group: str | tuple[Permutation, ...],
) -> tuple[list[Permutation], list[Permutation]]:
    """List the elements in the promised order, and the generators."""
    if not isinstance(group, str):
        return list(_together(group, group)), list(group)
    whole: list[Permutation] = [(0,)]
    generators: list[Permutation] = []
    for name in group.split("x"):
        n = int(name[1:])
        turns = [tuple((i + k) % n for i in range(n)) for k in range(n)]
        mirror = tuple(-i % n for i in range(n))
        if name[0] == "S":
            part = list(permutations(range(n)))
            own = [(1, 0, *range(2, n)) if n > 1 else (0,), turns[1 % n]]
        elif name[0] == "D":
            part = turns + [_after(turn, mirror) for turn in turns]
            own = [turns[1 % n], mirror]
        else:
            part, own = turns, [turns[1 % n]]
        still, one = tuple(range(len(whole[0]))), tuple(range(n))
        generators = [_beside(g, one) for g in generators] + [_beside(still, s) for s in own]
        whole = [_beside(g, h) for g in whole for h in part]
    return whole, generators


def _beside(one: Permutation, two: Permutation) -> Permutation:
    """Permute the rows and the columns of a table of points."""
    return tuple(i * len(two) + j for i in one for j in two)
