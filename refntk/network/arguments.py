"""Validation of the arguments that layers share.

Each check returns its value in one canonical type, so that networks described in different ways
(lists or tuples, 1 or 1.0) compare and hash alike; or it raises `NetworkError` with the argument's
name.
"""

from __future__ import annotations

import math
import operator
import reprlib
import sys
from collections.abc import Sequence
from numbers import Real
from typing import Any

from refntk.errors import NetworkError, unknown

__all__ = ["PADDINGS", "canonical", "require_odd", "times"]

PADDINGS: tuple[str, ...] = ("SAME", "VALID", "CIRCULAR")
"""Zeros around the image; whole windows only; an image that wraps around."""

_LARGEST = math.sqrt(sys.float_info.max)


def canonical(layer: Any) -> None:
    """Check the arguments of a new layer and give each its one canonical type, in place.

    Parameters
    ----------
    layer : frozen dataclass
        A layer with any of filter_shape, strides, padding, W_std and b_std.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """
    for name, check in (
        ("filter_shape", _two_sizes),
        ("strides", _two_sizes),
        ("padding", _padding_word),
        ("W_std", _deviation),
        ("b_std", _deviation),
    ):
        if hasattr(layer, name):
            object.__setattr__(layer, name, check(name, getattr(layer, name)))


def require_odd(name: str, sides: tuple[int, int]) -> None:
    """Refuse an even side of a filter that a group turns about its centre.

    Parameters
    ----------
    name : str
        The argument that holds the sides.
    sides : (int, int)

    Raises
    ------
    NetworkError
        A side is even.
    """
    if any(side % 2 == 0 for side in sides):
        message = f"{name}: a filter that the group turns needs odd sides, not {times(sides)}"
        raise NetworkError(message, key=name)


def times(shape: tuple[int, int]) -> str:
    """Write a height and a width the way people read them, ``'28x32'``."""
    return f"{shape[0]}x{shape[1]}"


def _two_sizes(name: str, value: object) -> tuple[int, int]:
    """Return a pair of positive integers, given as any sequence; a bool or a float is refused."""
    try:
        if not isinstance(value, Sequence) or any(isinstance(side, bool) for side in value):
            raise TypeError
        y, x = (operator.index(side) for side in value)
        if min(y, x) < 1:
            raise ValueError
    except (TypeError, ValueError):
        given = reprlib.repr(value)
        message = f"{name}: expected two positive integers such as (3, 3), not {given}"
        raise NetworkError(message, key=name) from None
    return y, x


def _padding_word(name: str, value: object) -> str:
    """Return one of `PADDINGS`."""
    if not isinstance(value, str) or value not in PADDINGS:
        raise NetworkError(f"{name}: {unknown('padding', value, PADDINGS)}", key=name)
    return value


def _deviation(name: str, value: object) -> float:
    """Return a finite standard deviation, zero or positive, as a float; a bool is refused."""
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not (math.isfinite(number) and number >= 0):
        given = reprlib.repr(value)
        message = f"{name}: expected a finite standard deviation, zero or positive, not {given}"
        raise NetworkError(message, key=name)
    if number > _LARGEST:
        message = f"{name}: {number:g} is too large: its square, a variance, is beyond float64"
        raise NetworkError(message, key=name)
    return number + 0.0  # a minus sign on zero would change the hash of the network
