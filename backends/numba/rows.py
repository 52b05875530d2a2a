r"""The inner loops: one row of one displacement slice through one layer.

A row has `columns` positions of `lane_count` lanes each. D is the squared distance
E[(f(t) - f'(t'))²], T the NTK. A step is a convolution and perhaps a Relu; its input is the box sum
of the rows below. With v, v' the variances after the convolution, and s, s' their roots:

.. math::
    D &\leftarrow c \sum D, \quad \delta = s - s', \quad u = (D - \delta^2) / (2 s s'),
    \quad K = s s' (1 - u) \\
    \Theta &\leftarrow c \sum \Theta + K

and for Relu, where theta = arccos(1 - u) and A(u) = u - (sin theta - theta cos theta) / pi:

.. math::
    D \leftarrow \tfrac12 \delta^2 + s s' A(u), \qquad
    \Theta \leftarrow \Theta \, \tfrac{\pi - \theta}{2 \pi}, \qquad
    K \leftarrow \tfrac12 s s' (1 - A(u))

The distance is carried instead of K because theta loses half of the digits of 1 - K / (s s') near
coinciding arguments, where constant images, duplicates and flat regions live. Where s s' = 0 the
reciprocals passed in are 0, so that u = 0, K = 0, Theta = 0, and D is right.

Below the first step, where Theta is zero, its array has K of the images; their sum and the squared
bias are Theta before the first Relu. There K may be tiny beside D, and no difference tells it;
after that Relu K is s s' / pi at least. The first step has a Relu, else the careful form is taken.

Three things this form does not do well: features that are nearly parallel and not of one size,
where D is hardly more than delta² and rounding is all that is left of u; nearly opposite ones,
where 2 - u is; and images of unlike size. A row function finds the first two and says so, lane by
lane, and `refntk.backends.numba.careful` computes such a slice again. With the relative precision
eps, u is wrong by eps delta² / (2 s s'), and the derivative of Relu by eps / sqrt(2 limit) at most
where D - delta² > limit delta².
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from numba import njit

from refntk.backends.numba.lanes import OPTIONS, angle, get, lane_count, number, put, segment, wide
from refntk.backends.table import LINEAR, NONNEGATIVE, SIGNED

__all__ = [
    "DEFICIT",
    "DISTANCE",
    "KERNEL",
    "LIMITS",
    "add_row",
    "add_squares",
    "roots_row",
    "row_function",
    "sum_row",
]

LIMITS = {"float64": (1e-6, 1e-6, 1e3), "float32": (1e-4, 1e-4, 16.0)}
"""By dtype, when the careful form is needed: (D - delta²) / delta² is below the first limit, 2 - u
below the second, or the mean of v in one image above the third times the product of the means of s
and s'. From 5 convolutions on the first limit grows as the cube of their number.

The derivative of Relu is then right to 1.6e-13 in float64 and to 8e-6 in float32, where entries
so near to a limit are few; and rounding of D is less than 1e-13 and 1e-6 of the mean of K.
"""


DISTANCE, KERNEL, DEFICIT = 0, 1, 2
"""What a row function stores: D; K, before the readout; or 2 s s' u, before a pooling."""


@cache
def row_function(activation: int, ends: int, three: bool) -> Any:
    """Build the function that takes one row through one step.

    Parameters
    ----------
    activation : int
        LINEAR, SIGNED, NONNEGATIVE or LATE.
    ends : int
        What is stored: DISTANCE, KERNEL or DEFICIT.
    three : bool
        The newest row is box-summed here, over three columns; else it comes as a box sum.

    Returns
    -------
    compiled function
        (d, t, below_d, below_t, above_d, above_t, maps, worst, rates, constants, columns):
        `d` and `t` are written, ``below_*`` is the newest row, ``above_*`` the box sums of two
        older rows and, where it is made here, of the newest. Those of the NTK are None when it is
        not wanted. The two `maps` have, in turns, a root and its reciprocal: s and 1/(2s) for each
        position of x, rows of lanes of s' and 1/s' for each position of x'. `worst` is a row of
        lanes that goes below 0 where the careful form is needed. Rates are the weight, two `LIMITS`
        and the squared bias; `constants` are a row of `refntk.backends.table.step_constants` as a
        tuple, or None. Nothing that is written may overlap anything else.
    """

    @njit(**OPTIONS)
    def row(d, t, below_d, below_t, above_d, above_t, maps, worst, rates, constants, columns):
        wide()
        if constants is not None:
            mean, gain, skip, _, alpha, beta = constants
        (g0, g1, g2), (map1, map2), (weight, parallel, opposite, bias) = above_d, maps, rates
        if t is not None:
            h0, h1, h2 = above_t
        lanes = lane_count(d)
        half, one, two = number(d, 0.5), number(d, 1.0), number(d, 2.0)
        for j in range(columns):
            root, reciprocal = get(map1, 2 * j), get(map1, 2 * j + 1)
            for v in range(lanes):
                k = j * lanes + v
                newest = get(below_d, k)
                if three:
                    newest = newest + get(below_d, k + lanes) + get(below_d, k + 2 * lanes)
                    put(g2, k, newest)
                pair = 2 * j * lanes + v
                other = get(map2, pair)
                delta = root - other
                scale = root * other
                square = delta * delta
                distance = (newest + (get(g0, k) + get(g1, k))) * weight
                rate = reciprocal * get(map2, pair + lanes)
                more = distance - square
                u = more * rate
                if activation != LINEAR:
                    # Times the rate, which is 0 where a variance is: nothing is lost there.
                    margin = (more - parallel * square) * rate
                    if activation == SIGNED:
                        # After the first one the careful form knows no more of opposite features.
                        rest = (two - u) - opposite
                        margin = rest if rest < margin else margin
                    known = get(worst, v)
                    put(worst, v, margin if margin < known else known)
                if activation == LINEAR:
                    cosine = one - u
                    new = scale * cosine if ends == KERNEL else distance
                    if ends == DEFICIT:
                        new = more
                else:
                    near, w, some = True, u, u
                    if activation != NONNEGATIVE:
                        near = u <= one
                        w = u if near else two - u
                        some = u if u < one else one
                    # Rounded to less than zero u is flagged, and NaN is not read.
                    tau = math.sqrt(w)
                    turn = tau * angle(w)
                    cap = (w * tau) * segment(w)
                    cosine = one - u
                    if constants is None:
                        slope = half - turn if near else turn
                        if ends == KERNEL:
                            new = half * scale * ((one - some) + cap)
                        elif ends == DEFICIT:
                            new = scale * (some - cap)
                        else:
                            new = half * square + scale * (some - cap)
                    else:
                        slope = skip + gain * (half - turn if near else turn)
                        if ends == KERNEL:
                            new = scale * (skip * cosine + (half * gain) * ((one - some) + cap))
                        elif ends == DEFICIT:
                            new = scale * ((skip + skip) * u + gain * (some - cap))
                        else:
                            rise = (skip + skip) * u + gain * (some - cap)
                            new = mean * square + scale * rise
                put(d, k, new)
                if t is not None:
                    newest_t = get(below_t, k)
                    if three:
                        newest_t = newest_t + get(below_t, k + lanes) + get(below_t, k + 2 * lanes)
                        put(h2, k, newest_t)
                    theta = (newest_t + (get(h0, k) + get(h1, k))) * weight
                    # Below the first step these are sums of K, and there is no NTK.
                    kernel = theta + bias if activation == SIGNED else scale * cosine
                    if constants is not None:
                        kernel = alpha * kernel + beta
                    theta = kernel if activation == SIGNED else theta + kernel
                    put(t, k, theta if activation == LINEAR else theta * slope)

    return row


@njit(**OPTIONS)
def sum_row(out, first, second, third, size):
    """Set out = first + second + third over `size` elements."""
    wide()
    for k in range(size):
        put(out, k, get(first, k) + get(second, k) + get(third, k))


@njit(**OPTIONS)
def add_row(out, row, size):
    """Set out += row over `size` elements."""
    wide()
    for k in range(size):
        put(out, k, get(out, k) + get(row, k))


@njit(**OPTIONS)
def add_squares(out, row, size):
    """Set out += row² over `size` elements."""
    wide()
    for k in range(size):
        put(out, k, get(out, k) + get(row, k) * get(row, k))


@njit(**OPTIONS)
def roots_row(sums, roots, reciprocals, weight, bias, numerator, size):
    """Turn sums of variances into roots of v = weight * sum + bias, and numerator / roots.

    The reciprocal of 0 is 0.
    """
    wide()
    zero = number(sums, 0.0)
    for k in range(size):
        value = weight * get(sums, k) + bias
        root = math.sqrt(value)
        put(roots, k, root)
        put(reciprocals, k, numerator / root if value > zero else zero)
