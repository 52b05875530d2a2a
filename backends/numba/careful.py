r"""The careful inner loops, for slices in which the fast ones of `rows` would lose digits.

A row has `columns` positions of `lane_count` lanes each. With s, s' the roots of the variances of
the two features, what is carried of their covariance K is how much is missing to that of parallel
features, the *deficit* W, and the NTK Theta:

.. math::
    W = 2 (s s' - K) = 2 s s' u, \quad u = 1 - \rho, \quad K = s s' (1 - u)

W is carried instead of K because theta = arccos rho loses half of the digits of K / (s s') near
parallel features: constant images, duplicates and flat regions. A sum over a filter adds up
deficits, and adds what Cauchy and Schwarz say: with :math:`S^2 = \sum_a s_a^2`,

.. math::
    2 \Bigl(S S' - \sum_a K_a\Bigr) = \sum_a W_a
        + S S' \sum_a \Bigl(\frac{s_a}{S} - \frac{s'_a}{S'}\Bigr)^2

a sum of squares, in which nothing cancels whatever the sizes of the two images. Here it is taken
along rows first, and then over rows; a bias is one more feature in the second sum. Relu takes

.. math::
    W \leftarrow s s' A(u), \qquad \Theta \leftarrow \Theta \, \tfrac{\pi - \theta}{2 \pi}, \qquad
    K \leftarrow \tfrac12 s s' (1 - A(u)), \qquad
    A(u) = u - (\sin\theta - \theta \cos\theta) / \pi

Before the first Relu rho may also be near -1. There the *excess* Z = 2 (s s' + K) is carried, too,
which adds up in the same way; after it K >= 0. What the NTK takes up is K, which may be tiny beside
s s': a bias is all that a black image and a bright one have in common. So K itself is carried as
well, c sum K + b², in which nothing cancels that is not in the sum of products. Where s s' = 0 the
reciprocals passed in are 0, so that W, K and Theta are 0.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from numba import njit

from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    angle,
    get,
    lane_count,
    number,
    put,
    segment,
    wide,
)
from refntk.backends.table import LATE, LINEAR, SIGNED

__all__ = ["careful_row_function", "chord_row", "tower_row"]

_NOISE = (*[0.0] * 8, 4.5e-16, *[0.0] * 7, 2.4e-7)
"""By the number of lanes, which is that of a type, the relative difference that is rounding.

The square of it, though small, is never negative, so that it would add up over layers.
"""


@njit(**INLINE)
def _apart(one, two, noise, zero):
    """Difference of two numbers that are not negative; none where it is rounding."""
    difference = one - two
    return difference if abs(difference) > noise * two else zero


@cache
def careful_row_function(activation: int, last: bool) -> Any:
    """Build the function that takes one row through one step.

    Parameters
    ----------
    activation : int
        LINEAR, SIGNED, NONNEGATIVE, or LATE: any other, without Z.
    last : bool
        The last step before the readout stores K in place of W, and nothing else but the NTK.

    Returns
    -------
    compiled function
        (w, t, z, p, below_w, below_t, below_z, below_p, above_w, above_t, above_z, above_p, \
ones, twos, rates, constants, columns):
        `w`, the NTK `t`, Z and K itself are written; ``below_*`` is the newest row of sums,
        ``above_*`` two older ones. Those of the NTK are None where it is not wanted, those of Z
        after the first activation. `ones` (a number for each position) and `twos` (lanes) are four
        rows of maps each: S of the newest row and of the two older ones, and, in turns, the root
        and its reciprocal after the convolution, half of it in `ones`. Rates are half a weight and
        half a squared bias; `constants` are as for `refntk.backends.numba.rows.row_function`.
        Nothing that is written may overlap anything else.
    """

    @njit(**OPTIONS)
    def row(w, t, z, p, below_w, below_t, below_z, below_p, above_w, above_t, above_z, above_p,
            ones, twos, rates, constants, columns):  # fmt: skip
        wide()
        half, bias = rates
        if constants is not None:
            mean, gain, skip, odd, alpha, beta = constants
        if t is not None:
            h0, h1 = above_t
        if z is not None:
            e0, e1 = above_z
        (g0, g1), (f0, f1), (newest1, older1, oldest1, map1) = above_w, above_p, ones
        newest2, older2, oldest2, map2 = twos
        lanes = lane_count(w)
        zero, middle, one = number(w, 0.0), number(w, 0.5), number(w, 1.0)
        two, four = number(w, 2.0), number(w, 4.0)
        noise = number(w, _NOISE[lanes])
        for j in range(columns):
            root, reciprocal = get(map1, 2 * j), two * get(map1, 2 * j + 1)
            newest = get(newest1, j) * reciprocal
            older = get(older1, j) * reciprocal
            oldest = get(oldest1, j) * reciprocal
            for v in range(lanes):
                k, pair = j * lanes + v, 2 * j * lanes + v
                other, back = get(map2, pair), get(map2, pair + lanes)
                a = _apart(get(newest2, k) * back, newest, noise, zero)
                b = _apart(get(older2, k) * back, older, noise, zero)
                c = _apart(get(oldest2, k) * back, oldest, noise, zero)
                d = _apart(back, reciprocal, noise, zero)
                fixed = half * (a * a + (b * b + c * c)) + bias * (d * d)
                product = reciprocal * back
                rate = half * product
                u = rate * (get(below_w, k) + (get(g0, k) + get(g1, k))) + fixed
                size = root * other
                sum_p = get(below_p, k) + (get(f0, k) + get(f1, k))
                kernel = (half + half) * sum_p + (bias + bias)
                if z is not None:
                    sum_z = get(below_z, k) + (get(e0, k) + get(e1, k))
                    # Biases are parallel: their excess is 4 times the squared bias.
                    opposite = (rate * sum_z + fixed) + four * (bias * product)
                if activation == LINEAR:
                    new = kernel if last else two * (size * u)
                    if not last:
                        put(p, k, kernel)
                        if z is not None:
                            put(z, k, two * (size * opposite))
                else:
                    near = True
                    small = u
                    if activation == SIGNED and z is not None:
                        near = u <= opposite
                        small = u if near else opposite
                    elif activation == LATE:
                        near = u <= one
                        small = u if near else two - u
                        small = small if small > zero else zero
                    tau = math.sqrt(small)
                    turn = tau * angle(small)
                    cap = (small * tau) * segment(small)
                    if constants is None:
                        slope = middle - turn if near else turn
                        above = middle * size * ((one - small if near else zero) + cap)
                        rest = (small if near else one) - cap
                    else:
                        cosine = one - small if near else small - one
                        slope = mean - gain * turn if near else skip + gain * turn
                        even = gain * cap
                        above = size * ((mean if near else skip) * cosine + middle * even)
                        rest = (two * mean * small if near else odd - two * skip * small) - even
                    if last:
                        new = above
                    else:
                        new = size * rest
                        put(p, k, above)
                put(w, k, new)
                if t is not None:
                    sum_t = get(below_t, k) + (get(h0, k) + get(h1, k))
                    taken = kernel if constants is None else alpha * kernel + beta
                    theta = (half + half) * sum_t + taken
                    put(t, k, theta if activation == LINEAR else theta * slope)

    return row


@njit(**OPTIONS)
def chord_row(out, ones, twos, stride, columns):
    """Set out = S S' times the sum of (s/S - s'/S')² over three columns of a window.

    `ones` and `twos` are rows of maps: s of each column, `stride` further on for the next window,
    then 1/S and S.
    """
    wide()
    left1, centre1, right1, scale1, sum1 = ones
    left2, centre2, right2, scale2, sum2 = twos
    lanes, zero = lane_count(out), number(out, 0.0)
    noise = number(out, _NOISE[lanes])
    for j in range(columns):
        scale, amplitude = get(scale1, j), get(sum1, j)
        left = get(left1, j * stride) * scale
        centre = get(centre1, j * stride) * scale
        right = get(right1, j * stride) * scale
        for v in range(lanes):
            k, q = j * lanes + v, j * stride * lanes + v
            other = get(scale2, k)
            a = _apart(get(left2, q) * other, left, noise, zero)
            b = _apart(get(centre2, q) * other, centre, noise, zero)
            c = _apart(get(right2, q) * other, right, noise, zero)
            put(out, k, (amplitude * get(sum2, k)) * (a * a + (b * b + c * c)))


@njit(**OPTIONS)
def tower_row(out, sum1, sum2, map1, map2, columns):
    """Set out += s s' (S/s - S'/s')² for one older row of sums S; maps as in a row function."""
    wide()
    lanes, zero, two = lane_count(out), number(out, 0.0), number(out, 2.0)
    noise = number(out, _NOISE[lanes])
    for j in range(columns):
        root, reciprocal = get(map1, 2 * j), two * get(map1, 2 * j + 1)
        tap = get(sum1, j) * reciprocal
        for v in range(lanes):
            k, pair = j * lanes + v, 2 * j * lanes + v
            a = _apart(get(sum2, k) * get(map2, pair + lanes), tap, noise, zero)
            put(out, k, get(out, k) + root * get(map2, pair) * (a * a))
