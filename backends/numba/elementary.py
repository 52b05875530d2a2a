"""Exponentials and the arc sine, without a branch, so that loops over lanes become vectors."""

from __future__ import annotations

import math

from numba import njit

from refntk.backends.numba.lanes import INLINE, polynomial, power_of_two

__all__ = ["arc_sine", "exponential", "short_arc_sine"]

_EXPM1 = {
    # (exp r - 1) / r for |r| < 0.35: relative error 1.3e-8
    32: (
        1.0000000114271015, 0.500000001427659, 0.1666649877409487, 0.04166645690406264,
        0.008369861529408561, 0.001393453165508802,
    ),
    # relative error 3.1e-19 before rounding
    64: (
        1.0, 0.5, 0.16666666666666682, 0.04166666666666668, 0.008333333333318461,
        0.0013888888888878269, 0.00019841269893049545, 2.4801587338565345e-05,
        2.75572377367406e-06, 2.755726102934377e-07, 2.511120325747114e-08, 2.0918961837795778e-09,
    ),
}  # fmt: skip

_ARC_SINE = {
    # asin(sqrt x) / sqrt x on [0, 1/4]: relative error 2.8e-10
    32: (
        1.0000000002307783, 0.16666657639575913, 0.07500571381024686, 0.04450870949865153,
        0.03185718889411276, 0.014295256037820107, 0.0376771383418486,
    ),
    # relative error 1.6e-17 before rounding
    64: (
        1.0, 0.16666666666664942, 0.07500000000385201, 0.044642856805998936, 0.03038195969768514,
        0.022371749733164054, 0.01735977964134998, 0.01388484282640208, 0.012170138592391726,
        0.0065293020047365695, 0.019513468251252167, -0.016187392271599134, 0.03187962140081284,
    ),
}  # fmt: skip

_growth = polynomial(_EXPM1, "Value of (exp r - 1) / r.")
_arc = polynomial(_ARC_SINE, "Value of asin(sqrt x) / sqrt x.")


@njit(**INLINE)
def exponential(x, c):
    """Give exp x and exp x - 1, for x that are not too large; `c` are the constants of its type.

    Both have their own relative precision. Below the logarithm of the least number they are of it.
    """
    x = x if x > c.least else c.least
    power, n = power_of_two(x * c.per_log)
    r = (x - n * c.log_high) - n * c.log_low
    small = r * _growth(r)
    return power * (c.one + small), power * small + (power - c.one)


@njit(**INLINE)
def arc_sine(x, rest, c):
    """Give asin x for x in [0, 1], of which 1 - x is the rest, each with its own precision."""
    near = rest < c.half
    square = c.half * rest if near else x * x
    root = math.sqrt(square) if near else x
    value = root * _arc(square)
    return c.quarter_turn - (value + value) if near else value


@njit(**INLINE)
def short_arc_sine(x):
    """Give asin x for x in [0, 1/2]."""
    return x * _arc(x * x)
