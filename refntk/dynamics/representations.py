"""Permutation groups, and the spaces they act on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.ops.gset import GSet
from refntk.ops.named_groups import closure

__all__ = [
    "ACTIONS",
    "PermutationGroup",
    "Representation",
    "image_group",
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

    def draw_powers(self, rng: np.random.Generator) -> Permutation:
        """Draw powers 0, 1, ..., m of each generator of order m, and multiply them.

        Both the powers 0 and m are the identity, so that this is not the uniform distribution: it
        is what ``random.randint(0, m)``, which includes m, makes of the intention to draw one.

        Raises
        ------
        InputError
            The group is that of all permutations, where nothing of this kind is drawn.
        """
        if self.order == math.factorial(self.points):
            raise InputError(f"{self.name}: permutations are not drawn as powers of generators")
        element = np.arange(self.points)
        for generator, order in zip(self.generators, self.orders, strict=True):
            for _ in range(rng.integers(order + 1)):
                element = generator[element]
        return element

    @cached_property
    def orders(self) -> list[int]:
        """Order of each generator: the smallest power that is the identity."""
        orders = []
        for generator in self.generators:
            power, order = generator, 1
            while not np.array_equal(power, np.arange(self.points)):
                power, order = generator[power], order + 1
            orders.append(order)
        return orders


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
