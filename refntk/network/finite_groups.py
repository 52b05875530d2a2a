"""Layers for signals on a finite set that a finite group acts on: sequences, tables, graphs.

A signal is a function f on the set X with values in R^C, an array (|X|, C). The group G moves it as
(g f)(x) = f(g⁻¹ x). `SetLift` makes functions on G of it, `SetGroupConv` and `CosetPool` take them
to others, and GroupPool and Flatten read them out.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1,
equations 38-47.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from numbers import Integral
from typing import Any, ClassVar, TypeAlias

from refntk.errors import NetworkError, ShapeError
from refntk.network.arguments import QUIET, by_name, canonical, finite_number
from refntk.network.linear import Linear
from refntk.network.signal import Kind, Signal, require
from refntk.ops.finite_group import FiniteGroup
from refntk.ops.groups import GROUPS, PointGroup, point_group
from refntk.ops.listed import cosets_at, group_support, set_support
from refntk.ops.named_groups import Spec, finite_group, gset, spec_of
from refntk.ops.operations import Average
from refntk.ops.program import Builder

__all__ = ["CosetPool", "SetGroupConv", "SetLift"]

Places: TypeAlias = str | tuple[int | tuple[int, ...], ...]
"""``"all"``, or each by its number or its label."""


@by_name
@dataclass(frozen=True)
class SetLift(Linear):
    """Lifting layer from functions on a finite set to functions on the group that acts on it.

    The output at g is a weighted mean over the points g s, s in the support.

    Parameters
    ----------
    support : list of points, or "all"
        Where the filter has weights. A point is its number, from the end where it is negative, or
        its label: (i, j) in pairs, and (y, x) on the grid of a product such as C4xC3.
    group : str, list of permutations, or FiniteGroup
        A name such as C9, D5, S4, C4xC3, or permutations that generate the group; see
        `refntk.ops.named_groups`, which also says in which order elements and points are numbered.
    on : {"points", "pairs", "matrix", "group"} or list of permutations, default "points"
        The set: the points that the group permutes, ordered pairs of different ones, all ordered
        pairs, the elements of the group; or what each generator of the group does to the points of
        another set.
    weights : list of float, optional
        Share of each point in the mean, in proportion; not negative. By default all count alike,
        and those that come twice count twice.
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.

    Examples
    --------
    >>> SetLift([(0, 1), (1, 0)], group="S4", on="pairs").support
    ((0, 1), (1, 0))
    """

    takes: ClassVar[Kind] = "set"

    support: Places
    _: KW_ONLY
    group: Spec
    on: Spec = "points"
    weights: tuple[float, ...] = field(default=(), metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        with _named("on"):
            points = gset(self.group, self.on)
            points.action(finite_group(self.group))
        _resolved(self.support, points.size, points.number, self.weights)

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        return {"support": _places, "group": _group, "on": _set, "weights": _weights}

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "set")
        points = gset(self.group, self.on)
        if signal.points not in (None, points.size):
            raise ShapeError(
                f"{points.name} are {points.size}, and signals must have as many along their second"
                f" axis, not {signal.points}"
            )
        return Signal("elements", elements=self.group, gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        group, points = finite_group(self.group), gset(self.group, self.on)
        places = _resolved(self.support, points.size, points.number, self.weights)
        support = set_support(group, points.action(group), places, self.weights)
        return self.filter(build, below, support)


@by_name
@dataclass(frozen=True)
class SetGroupConv(Linear):
    """Group convolution over the group of the SetLift before it.

    The output at g is a weighted mean over the elements g h, h in the support.

    Parameters
    ----------
    support : list of elements, or "all"
        Where the filter has weights. An element is its number, from the end where it is negative,
        or the permutation of the points that it is.
    weights, W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        As for `SetLift`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    support: Places
    _: KW_ONLY
    weights: tuple[float, ...] = field(default=(), metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        _resolved(self.support, None, lambda place: 0, self.weights)

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        return {"support": _places, "weights": _weights}

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        self._elements(_group_of(signal))
        return replace(signal, gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        group = build.space(below).elements
        assert group is not None  # `after` has seen to it
        support = group_support(group, self._elements(group), self.weights)
        return self.filter(build, below, support)

    def _elements(self, group: FiniteGroup) -> list[int]:
        return _resolved(self.support, group.order, group.number, self.weights)


@by_name
@dataclass(frozen=True)
class CosetPool:
    """Mean over the cosets g P of a subgroup P of the group of the SetLift or Lift before it.

    After a Lift the mean is over the features (t, r p) at (t, r).

    Parameters
    ----------
    subgroup : list of elements, or str
        Elements that generate P, as for `SetGroupConv`; after a Lift their numbers, or the name of
        a point group.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    subgroup: Places

    def __post_init__(self) -> None:
        """Check the argument and bring it to its canonical type."""
        canonical(self, subgroup=_subgroup)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "elements", "group")
        turns = signal.kind == "group"
        self._elements(point_group(signal.group or "") if turns else _group_of(signal))
        return signal

    def lower(self, build: Builder, below: int) -> int:
        """Append a mean over cosets; see `Layer.lower`."""
        space = build.space(below)
        if space.group is not None:
            return build.add(Average(below, cosets_at(space, self._elements(space.group))))
        group = space.elements
        assert group is not None  # `after` has seen to it
        return build.add(Average(below, group_support(group, self._elements(group))))

    def _elements(self, group: FiniteGroup) -> tuple[int, ...]:
        """List all elements of P."""
        if isinstance(self.subgroup, str) and self.subgroup != "all":
            own = group.matrices.tolist() if isinstance(group, PointGroup) else []
            named = point_group(self.subgroup).matrices.tolist()
            if not all(matrix in own for matrix in named):
                raise NetworkError(
                    f"subgroup: {self.subgroup} is no subgroup of {group.name}: list elements of it"
                    " by number", key="subgroup",
                )  # fmt: skip
            return tuple(own.index(matrix) for matrix in named)
        return group.subgroup(_resolved(self.subgroup, group.order, group.number, (), "subgroup"))


def _group_of(signal: Signal) -> FiniteGroup:
    """Return the group of a signal, or refuse one that has none."""
    require(signal, "elements")
    assert signal.elements is not None  # a signal of kind "elements" has its group
    return finite_group(signal.elements)


def _resolved(
    places: Places,
    count: int | None,
    number: Callable[[Any], int],
    weights: Sequence[float],
    name: str = "support",
) -> list[int]:
    """Turn a support into numbers; without a count all that is checked is how many there are."""
    if weights and (count is not None or places != "all"):
        expected = count if places == "all" else len(places)
        if len(weights) != expected:
            raise NetworkError(
                f"weights: expected one for each of the {expected} places of the support, not "
                f"{len(weights)}", key="weights",
            )  # fmt: skip
    with _named(name):
        return list(range(count or 0)) if places == "all" else [number(place) for place in places]


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say which argument an error is about."""
    try:
        yield
    except NetworkError as error:
        raise NetworkError(f"{name}: {error}", key=name) from None


def _places(name: str, value: object) -> Places:
    """Return ``"all"``, or a tuple of numbers and of tuples of numbers."""
    if isinstance(value, str) and value == "all":
        return value
    places = _numbers(value)
    if places is None or not places:
        raise NetworkError(
            f'{name}: expected a list of places such as [0, 1, 5], or "all", not '
            f"{reprlib.repr(value)}", key=name,
        )  # fmt: skip
    return places


def _subgroup(name: str, value: object) -> Places:
    """Return places, or the name of a point group."""
    return value if isinstance(value, str) and value in GROUPS else _places(name, value)


def _numbers(value: object) -> tuple[int | tuple[int, ...], ...] | None:
    """Return whole numbers, and lists of them, as tuples; None where it is something else."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return None
    found: list[int | tuple[int, ...]] = []
    for item in value:
        if isinstance(item, Integral) and not isinstance(item, bool):
            found.append(int(item))
            continue
        inner = _numbers(item)
        if inner is None or not all(isinstance(number, int) for number in inner):
            return None
        found.append(inner)  # type: ignore[arg-type]  # of numbers, as the line before says
    return tuple(found)


def _group(name: str, value: object) -> Spec:
    """Return a name or permutations, of a group whose elements can be listed."""
    with _named(name):
        spec = spec_of(value) if isinstance(value, FiniteGroup) else _spec(name, value)
        finite_group(spec)
    return spec


def _set(name: str, value: object) -> Spec:
    """Return the name of a set, or permutations."""
    with _named(name):
        return _spec(name, value)


def _spec(name: str, value: object) -> Spec:
    if isinstance(value, str):
        return value
    rows = _numbers(value)
    if not rows or not all(isinstance(row, tuple) for row in rows):
        raise NetworkError(
            "expected a name, or a list of permutations such as [[1, 2, 0], [1, 0, 2]], not "
            f"{reprlib.repr(value)}"
        )
    return rows  # type: ignore[return-value]


def _weights(name: str, value: object) -> tuple[float, ...]:
    """Return weights that are not negative, and not all zero; none at all are allowed."""
    expected = "numbers that are not negative, and not all zero"
    if isinstance(value, str) or not isinstance(value, Iterable):
        message = f"{name}: expected {expected}, not {reprlib.repr(value)}"
        raise NetworkError(message, key=name)
    weights = tuple(finite_number(name, weight, expected, 0.0) for weight in value)
    if weights and not any(weights):
        raise NetworkError(f"{name}: expected {expected}", key=name)
    return weights
