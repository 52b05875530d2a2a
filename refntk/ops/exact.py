"""Exact rational constants, in whatever precision an array has."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from array_api_compat import array_namespace, device

__all__ = ["constant"]

_PARTS = 6
"""Doubles that a constant is written as the sum of: some 95 digits."""


def constant(value: Fraction | float, like: Any) -> Any:
    """Write a number in the namespace, precision and place of an array.

    Parameters
    ----------
    value : Fraction or float
    like : array of real floats

    Returns
    -------
    array without axes
        The nearest number of the dtype; for numbers of more digits than a double's, as many of
        `value` as they hold.
    """
    xp, rest, parts = array_namespace(like), Fraction(value), []
    for _ in range(_PARTS):
        parts.append(float(rest))
        rest -= Fraction(parts[-1])
        if not rest:
            break
    numbers = [xp.asarray(part, dtype=like.dtype, device=device(like)) for part in parts[::-1]]
    return sum(numbers[1:], numbers[0])
