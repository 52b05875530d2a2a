"""Validation of the arguments of layers on finite sets: groups, sets, supports and weights.

As in `refntk.network.arguments`, each check returns its value in one canonical type, or raises
`NetworkError` with the argument's name.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, TypeAlias

from refntk.errors import NetworkError
from refntk.network.arguments import finite_number
from refntk.ops.finite_group import FiniteGroup
from refntk.ops.named_groups import Spec, finite_group, natural, spec_of

__all__ = [
    "Places",
    "about",
    "acting_group",
    "canonical_group",
    "canonical_places",
    "canonical_set",
    "canonical_weights",
    "resolve",
]

Places: TypeAlias = str | tuple[int | tuple[int, ...], ...]
"""``"all"``, or each by its number or its label."""


def resolve(
    places: Places,
    count: int | None,
    number: Callable[[Any], int],
    weights: Sequence[float],
    name: str = "support",
) -> list[int]:
    """Turn a support into numbers.

    Parameters
    ----------
    places : "all", or a tuple of numbers and labels
    count : int or None
        How many places there are. None while that is unknown: weights are then counted alone.
    number : callable
        Finds a place, or raises `NetworkError`.
    weights : sequence of float
        One for each place, or none.
    name : str
        Of the argument.

    Returns
    -------
    list of int

    Raises
    ------
    NetworkError
        There is no such place, or another number of weights.
    """
    if weights and (count is not None or places != "all"):
        expected = count if places == "all" else len(places)
        if len(weights) != expected:
            raise NetworkError(
                f"weights: expected one for each of the {expected} places of the support, not "
                f"{len(weights)}", key="weights",
            )  # fmt: skip
    with about(name):
        return list(range(count or 0)) if places == "all" else [number(place) for place in places]


@contextmanager
def about(name: str) -> Iterator[None]:
    """Say which argument an error is about."""
    try:
        yield
    except NetworkError as error:
        raise NetworkError(f"{name}: {error}", key=name) from None


def canonical_places(name: str, value: object) -> Places:
    """Return ``"all"``, or a tuple of numbers and of tuples of numbers."""
    if isinstance(value, str) and value == "all":
        return value
    places = _numbers(value)
    if not places:
        raise NetworkError(
            f'{name}: expected a list of places such as [0, 1, 5], or "all", not '
            f"{reprlib.repr(value)}", key=name,
        )  # fmt: skip
    return places


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


def canonical_group(name: str, value: object) -> Spec:
    """Return a name or permutations, of a group whose elements can be listed."""
    with about(name):
        spec = spec_of(value) if isinstance(value, FiniteGroup) else _spec(value)
        finite_group(spec)
    return spec


def acting_group(name: str, value: object) -> Spec:
    """Return a name or permutations, of a group of any size."""
    with about(name):
        spec = spec_of(value) if isinstance(value, FiniteGroup) else _spec(value)
        natural(spec)
    return spec


def canonical_set(name: str, value: object) -> Spec:
    """Return the name of a set, or permutations."""
    with about(name):
        return _spec(value)


def _spec(value: object) -> Spec:
    if isinstance(value, str):
        return value
    rows = _numbers(value)
    if not rows or not all(isinstance(row, tuple) for row in rows):
        raise NetworkError(
            "expected a name, or a list of permutations such as [[1, 2, 0], [1, 0, 2]], not "
            f"{reprlib.repr(value)}"
        )
    return rows  # type: ignore[return-value]


def canonical_weights(name: str, value: object) -> tuple[float, ...]:
    """Return weights that are not negative, and not all zero; none at all are allowed."""
    expected = "numbers that are not negative, and not all zero"
    if isinstance(value, str) or not isinstance(value, Iterable):
        message = f"{name}: expected {expected}, not {reprlib.repr(value)}"
        raise NetworkError(message, key=name)
    weights = tuple(finite_number(name, weight, expected, 0.0) for weight in value)
    if weights and not any(weights):
        raise NetworkError(f"{name}: expected {expected}", key=name)
    return weights
