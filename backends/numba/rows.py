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
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from refntk.backends.numba.lanes import OPTIONS, angle, get, lane_count, number, put, segment, wide

__all__ = [
    "LINEAR",
    "NONNEGATIVE",
    "SIGNED",
    "add_row",
    "roots_row",
    "row_function",
    "sum_row",
]

LINEAR, SIGNED, NONNEGATIVE = 0, 1, 2
"""What follows a convolution: nothing; a Relu; a Relu where K >= 0 is known (after another one)."""


def row_function(activation: int, last: bool, three: bool) -> Any:
    """Build the function that takes one row through one step.

    Parameters
    ----------
    activation : int
        LINEAR, SIGNED or NONNEGATIVE.
    last : bool
        The last step before the readout stores K in place of D.
    three : bool
        The newest row is box-summed here, over three columns; else it comes as a box sum.

    Returns
    -------
    compiled function (d, t, below_d, below_t, above_d, above_t, map1, map2, weight, columns)
        `d` and `t` are written, ``below_*`` is the newest row, ``above_*`` the box sums of two
        older rows and, where it is made here, of the newest. Those of the NTK are None when it is
        not wanted. The maps have, in turns, a root and a reciprocal: s and 1/(2s) of x, a pair for
        each position, and s' and 1/s' of x', a pair of rows of lanes for each position. Nothing
        that is written may overlap anything else.
    """

    @njit(**OPTIONS)
    def row(d, t, below_d, below_t, above_d, above_t, map1, map2, weight, columns):
        wide()
        g0, g1, g2 = above_d
        if t is not None:
            h0, h1, h2 = above_t
        lanes = lane_count(d)
        zero, half, one, two = number(d, 0.0), number(d, 0.5), number(d, 1.0), number(d, 2.0)
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
                u = (distance - square) * (reciprocal * get(map2, pair + lanes))
                if activation == LINEAR:
                    cosine = one - u
                    new = scale * cosine if last else distance
                else:
                    if activation == SIGNED:
                        near = u <= one
                        w = u if near else two - u
                    else:
                        near = True
                        w = u
                    w = w if w > zero else zero
                    tau = math.sqrt(w)
                    turn = tau * angle(w)
                    cap = (w * tau) * segment(w)
                    cosine = one - w if near else w - one
                    slope = half - turn if near else turn
                    if last:
                        new = half * scale * ((one - w if near else zero) + cap)
                    else:
                        new = half * square + scale * ((w if near else one) - cap)
                put(d, k, new)
                if t is not None:
                    newest_t = get(below_t, k)
                    if three:
                        newest_t = newest_t + get(below_t, k + lanes) + get(below_t, k + 2 * lanes)
                        put(h2, k, newest_t)
                    theta = (newest_t + (get(h0, k) + get(h1, k))) * weight + scale * cosine
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
def roots_row(variance, roots, reciprocals, weight, bias, factor, size):
    """Turn box sums into the variances after a step, and their roots before its Relu.

    With v = weight * sum + bias: variance <- factor * v, roots <- sqrt(v) and
    reciprocals <- 1 / sqrt(v), where the reciprocal of 0 is 0.
    """
    wide()
    zero, one = number(variance, 0.0), number(variance, 1.0)
    for k in range(size):
        value = weight * get(variance, k) + bias
        root = math.sqrt(value)
        put(variance, k, factor * value)
        put(roots, k, root)
        put(reciprocals, k, one / root if value > zero else zero)
