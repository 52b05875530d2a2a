"""Validation of the arguments that layers share.

Each check returns its value in one canonical type, so that networks described in different ways
(lists or tuples, 1 or 1.0) compare and hash alike; or it raises `NetworkError` with the argument's
name.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import operator
import reprlib
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import numpy as np

from refntk.errors import NetworkError, unknown
from refntk.ops.groups import point_group
from refntk.ops.lattices import LATTICES

__all__ = [
    "MOST_CHANNELS",
    "MOST_WEIGHTS",
    "PADDINGS",
    "QUIET",
    "Mask",
    "arguments",
    "by_name",
    "canonical",
    "finite_number",
    "times",
    "truth",
    "written",
]

PADDINGS: tuple[str, ...] = ("SAME", "VALID", "CIRCULAR")
"""Zeros around the image; whole windows only; an image that wraps around."""

MOST_WEIGHTS = 1 << 20
"""Positions of a filter, at most: it is far larger than any image, and each is listed."""

QUIET: Mapping[str, bool] = MappingProxyType({"quiet": True})
"""Metadata of a field that is left out of files, tables and hashes while it has its default.

Networks that do not use what came later keep the hash that they had before.
"""

Mask: TypeAlias = tuple[Any, ...]
"""Rows of 0 and 1, where a filter has weights: numbers of signals, layers of rows of volumes."""

MOST_CHANNELS = 1 << 40
"""Channels of a layer, at most: beyond any network that was ever trained."""

_LARGEST = math.sqrt(sys.float_info.max)

# What other libraries call the number of features that a layer gives or takes.
_WIDTHS = frozenset({
    "channels", "dim", "features", "filters", "hidden_dim", "in_channels", "in_features", "n_out",
    "out_chan", "out_channels", "out_dim", "out_features", "output_dim", "units", "width",
})  # fmt: skip
_INFINITE = (
    "networks are infinitely wide here, so that layers have no width; leave it out, and give "
    "scales by name, such as W_std=1.5"
)

_Layer = TypeVar("_Layer")


def by_name(layer: type[_Layer]) -> type[_Layer]:
    """Make the constructor of a layer say what is wrong with the way in which it is called.

    Only the shape of a filter comes without its name, which the fields after ``KW_ONLY`` see to.

    Parameters
    ----------
    layer : type
        A frozen dataclass.

    Returns
    -------
    type
        The same class. It raises `NetworkError` for a width, for an argument without its name, and
        for one that it does not know or that is missing.
    """
    build = layer.__init__
    names = {field.name: field for field in arguments(layer)}
    free = sum(not field.kw_only for field in names.values())
    needed = [name for name, field in names.items() if field.default is dataclasses.MISSING]

    @functools.wraps(build)
    def checked(self: _Layer, *values: Any, **named: Any) -> None:
        _no_width(values[:1] if len(values) > free else (), named, names)
        if len(values) > free:
            pairs = zip(list(names)[free:], values[free:], strict=False)
            words = ", ".join(f"{name}={reprlib.repr(value)}" for name, value in pairs)
            remedy = f"write {words}" if words else "there is none to give"
            raise NetworkError(f"an argument has no name: {remedy}")
        for name in named:
            if name not in names:
                raise NetworkError(unknown("argument", name, names or ["none"]), key=name)
        for name in needed[len(values) :]:
            if name not in named:
                raise NetworkError(f"the argument {name} is missing")
        build(self, *values, **named)

    layer.__init__ = checked  # type: ignore[method-assign, assignment]
    return layer


def arguments(layer: Any) -> list[dataclasses.Field[Any]]:
    """List the arguments of a layer in the order in which they are written.

    Parameters
    ----------
    layer : dataclass, or an instance of one

    Returns
    -------
    list of dataclasses.Field
        Its own, then those that it shares with other layers, then those of both that are `QUIET`.
    """
    own = inspect.get_annotations(layer if isinstance(layer, type) else type(layer))
    return sorted(
        dataclasses.fields(layer),
        key=lambda field: (bool(field.metadata.get("quiet")), field.name not in own),
    )


def written(layer: Any) -> dict[str, Any]:
    """Give the arguments of a layer that files, tables and hashes write down.

    Parameters
    ----------
    layer : dataclass

    Returns
    -------
    dict
        Values by name, without those that are `QUIET` and have their default.
    """
    values = {field: getattr(layer, field.name) for field in arguments(layer)}
    return {
        field.name: value
        for field, value in values.items()
        if not (field.metadata.get("quiet") and value == field.default)
    }


def _no_width(first: tuple[Any, ...], named: dict[str, Any], names: Container[str]) -> None:
    """Refuse a number of features, which comes first or by name in other libraries."""
    for value in first:
        if isinstance(value, Integral) and not isinstance(value, bool):
            raise NetworkError(f"{reprlib.repr(int(value))} is a width: {_INFINITE}")
    for name in named:
        if name in _WIDTHS and name not in names:
            raise NetworkError(f"{name}: {_INFINITE}", key=name)


def canonical(layer: Any, **rules: Callable[[str, object], object]) -> None:
    """Check the arguments of a new layer and give each its one canonical type, in place.

    Parameters
    ----------
    layer : frozen dataclass
        Its fields are any of those that layers with weights and poolings have.
    **rules : callable
        For fields of other names: takes the name and the value, and returns the value in its
        canonical type or raises `NetworkError`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name. Or no rule checks a field.
    """
    known = {**_RULES, **rules}
    for field in dataclasses.fields(layer):
        if field.name not in known:
            raise NetworkError(
                f"{field.name}: no rule checks this argument of {type(layer).__name__}: give "
                "refntk.network.arguments.canonical one",
                key=field.name,
            )
        value = known[field.name](field.name, getattr(layer, field.name))
        object.__setattr__(layer, field.name, value)


def times(shape: Sequence[int]) -> str:
    """Write a shape the way people read it, ``'28x32'``."""
    return "x".join(map(str, shape))


def _sizes(name: str, value: object) -> tuple[int, ...]:
    """Return one to three positive integers, given as any sequence; no bools and no floats."""
    try:
        if not isinstance(value, Sequence) or any(isinstance(side, bool) for side in value):
            raise TypeError
        sides = tuple(operator.index(side) for side in value)
        if not 1 <= len(sides) <= 3 or min(sides) < 1:
            raise ValueError
    except (TypeError, ValueError):
        given = reprlib.repr(value)
        message = (
            f"{name}: expected two positive integers such as (3, 3), one for signals or three for "
            f"volumes, not {given}"
        )
        raise NetworkError(message, key=name) from None
    if math.prod(sides) > MOST_WEIGHTS:
        given = times(sides) if max(sides) < 10**12 else "so many"
        message = f"{name}: {given} positions are more than {MOST_WEIGHTS}, beyond any image"
        raise NetworkError(message, key=name)
    return sides


def _mask(name: str, value: object) -> Mask | None:
    """Return rows of 0 and 1 of one length, not all 0; nothing where all are 1."""
    if value is None:
        return None
    try:
        places = np.array(_nested(value))
    except (TypeError, ValueError):
        places = np.zeros(0)
    if not 1 <= places.ndim <= 3 or not places.any() or not np.isin(places, (0, 1)).all():
        message = f"{name}: expected rows of 0 and 1 such as [[0, 1], [1, 1]], not all 0, not "
        raise NetworkError(message + reprlib.repr(value), key=name)
    return None if places.all() else _nested(value)  # type: ignore[return-value]


def _nested(value: object, axes: int = 3) -> tuple[Any, ...] | int:
    """Return lists in lists as tuples in tuples; whole numbers only, and no text."""
    if axes and hasattr(value, "__iter__") and not isinstance(value, str):
        return tuple(_nested(part, axes - 1) for part in value)
    return operator.index(value)  # type: ignore[arg-type]


def _elements(name: str, value: object) -> tuple[int, ...] | None:
    """Return numbers of different group elements, in order; None stays None."""
    if value is None:
        return None
    try:
        numbers = sorted(operator.index(number) for number in value)  # type: ignore[attr-defined]
    except TypeError:
        numbers = []
    if not numbers or numbers[0] < 0 or len(set(numbers)) < len(numbers):
        message = f"{name}: expected different numbers of group elements such as [0, 1], not "
        raise NetworkError(message + reprlib.repr(value), key=name)
    return tuple(numbers)


def _padding_word(name: str, value: object) -> str:
    """Return one of `PADDINGS`."""
    if not isinstance(value, str) or value not in PADDINGS:
        raise NetworkError(f"{name}: {unknown('padding', value, PADDINGS)}", key=name)
    return value


def _group_name(name: str, value: object) -> str:
    """Return the name of a point group of some lattice; the layer knows of which."""
    if isinstance(value, str):
        for known in LATTICES.values():
            if any(value in (symbol, *names[:2]) for symbol, names in known.items()):
                return value
    return point_group(value).name  # type: ignore[arg-type]  # says which names there are


def finite_number(
    name: str, value: object, expected: str = "a finite number", lowest: float = -math.inf
) -> float:
    """Return a finite number as a float; a bool is refused.

    Parameters
    ----------
    name : str
        Of the argument.
    value : object
    expected : str
        What the message says was expected.
    lowest : float
        The smallest number allowed.

    Returns
    -------
    float

    Raises
    ------
    NetworkError
        It is no such number, or its square is beyond float64.
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not (math.isfinite(number) and number >= lowest):
        raise NetworkError(f"{name}: expected {expected}, not {reprlib.repr(value)}", key=name)
    if abs(number) > _LARGEST:
        message = f"{name}: {number:g} is too large: its square, a variance, is beyond float64"
        raise NetworkError(message, key=name)
    return number + 0.0  # a minus sign on zero would change the hash of the network


def _deviation(name: str, value: object) -> float:
    """Return a finite standard deviation, zero or positive, as a float."""
    return finite_number(name, value, "a finite standard deviation, zero or positive", 0.0)


def _rate(name: str, value: object) -> float:
    """Return a finite factor of a learning rate, zero or positive, as a float."""
    return finite_number(name, value, "a finite factor, zero or positive", 0.0)


def _rate_of_bias(name: str, value: object) -> float | None:
    """Return such a factor, or None."""
    return None if value is None else _rate(name, value)


def truth(name: str, value: object) -> bool:
    """Return True or False; a number is refused.

    Parameters
    ----------
    name : str
        Of the argument.
    value : object

    Returns
    -------
    bool

    Raises
    ------
    NetworkError
        It is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise NetworkError(f"{name}: expected True or False, not {reprlib.repr(value)}", key=name)
    return bool(value)


def _width(name: str, value: object) -> int | None:
    """Return a positive number of channels, or None; a bool or a float is refused."""
    if value is None:
        return None
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else 0
    if not 0 < number <= MOST_CHANNELS:
        given, most = reprlib.repr(value), MOST_CHANNELS
        message = f"{name}: expected a number of channels from 1 to {most}, not {given}"
        raise NetworkError(message, key=name)
    return number


_RULES: dict[str, Callable[[str, object], object]] = {
    "filter_shape": _sizes,
    "strides": _sizes,
    "dilations": _sizes,
    "mask": _mask,
    "rotations": _elements,
    "window_shape": _sizes,
    "normalize_edges": truth,
    "padding": _padding_word,
    "group": _group_name,
    "W_std": _deviation,
    "b_std": _deviation,
    "bias": truth,
    "width": _width,
    "learning_rate": _rate,
    "learning_rate_bias": _rate_of_bias,
    "trainable": truth,
}
