r"""Slices on cosets: networks for signals on a finite set that a group acts on.

A slice d has the numbers K_d(c) = K_{g, d g} for the cosets c = g Q of `refntk.plan.cosets`, the
kernel between f and d⁻¹ f' at equal elements. Slices are the lanes here: rows have one number for
each of a block of elements d, next to each other, and what belongs to f' is gathered from the coset
that d moves c to.

The arithmetic is that of `refntk.backends.numba.careful`: what is carried are the deficits
W = 2 (s s' - K), the excesses Z = 2 (s s' + K) up to the first activation, K itself and Theta. A
filter of shares mu, with S² = w² sum mu s² + b², takes them to

.. math::
    u &= \frac{w^2}{2 S S'} \sum_a \mu_a W_a
        + \frac{w^2}{2} \sum_a \mu_a \Bigl(\frac{s_a}{S} - \frac{s'_a}{S'}\Bigr)^2
        + \frac{b^2}{2} \Bigl(\frac1S - \frac1{S'}\Bigr)^2 = 1 - \rho

in which nothing cancels: features of different elements are often exactly alike.
"""

from __future__ import annotations

import math

from numba import njit

from refntk.backends.numba.lanes import OPTIONS, angle, at, compiled, get, put, segment, start, wide

__all__ = [
    *("ABOVE", "BELOW", "KIND", "MOVED", "PLACES", "READS", "ROOTS", "SHARES"),
    *("LATER", "LINEAR", "SIGNED", "coset_kernels"),
]

BELOW, ABOVE, PLACES, READS, MOVED, SHARES, ROOTS, KIND = range(8)
"""Columns of the layout: cosets below and above, places of the filter; where its reads, the table
of moved cosets below, its shares and the roots below begin; and what follows, see below."""

LINEAR, SIGNED, LATER = 0, 1, 2
"""Nothing follows; the first activation, before which Z is carried; another activation."""


@njit(**OPTIONS)
def _gather(out, numbers, table, size):
    """Set out[d] = numbers[table[d]]."""
    for v in range(size):
        put(out, v, get(numbers, get(table, v)))


@njit(**OPTIONS)
def _signal_row(w, k, t, z, unit, units, channels, root, roots, table, size):
    """Kernels of the signals at one point and what each slice moves it to."""
    for v in range(size):
        place = get(table, v) * channels
        less = more = both = 0.0
        for c in range(channels):
            first, second = get(unit, c), get(units, place + c)
            less += (first - second) * (first - second)
            more += (first + second) * (first + second)
            both += first * second
        scale = root * get(roots, v)
        put(w, v, scale * less)
        put(z, v, scale * more)
        put(k, v, scale * both)
        if t is not None:
            put(t, v, 0.0)


@njit(**OPTIONS)
def _add_row(sums_w, sums_k, sums_t, sums_z, chords, w, k, t, z, roots, backs, part, part_of, size):
    """Add what one place of a filter gives, times its share."""
    wide()
    for v in range(size):
        chord = part - get(roots, v) * get(backs, v)
        put(chords, v, get(chords, v) + part_of * (chord * chord))
        put(sums_w, v, get(sums_w, v) + part_of * get(w, v))
        put(sums_k, v, get(sums_k, v) + part_of * get(k, v))
        if t is not None:
            put(sums_t, v, get(sums_t, v) + part_of * get(t, v))
        if z is not None:
            put(sums_z, v, get(sums_z, v) + part_of * get(z, v))


@njit(**OPTIONS)
def _linear_row(w, k, t, z, sums_w, sums_k, sums_t, sums_z, chords, roots, backs, root, back, rates,
                size):  # fmt: skip
    """Take sums through a filter that no activation follows."""
    wide()
    weight, bias, alpha, beta = rates
    for v in range(size):
        inverse = get(backs, v)
        both, difference = back * inverse, back - inverse
        fixed = 0.5 * (weight * get(chords, v) + bias * (difference * difference))
        scale = 2.0 * (root * get(roots, v))
        kernel = weight * get(sums_k, v) + bias
        put(w, v, scale * (0.5 * weight * both * get(sums_w, v) + fixed))
        put(k, v, kernel)
        if z is not None:
            excess = 0.5 * weight * both * get(sums_z, v) + fixed + 2.0 * (bias * both)
            put(z, v, scale * excess)
        if t is not None:
            put(t, v, weight * get(sums_t, v) + (alpha * kernel + beta))


@njit(**OPTIONS)
def _activated_row(w, k, t, sums_w, sums_k, sums_t, sums_z, chords, roots, backs, root, back, rates,
                   constants, size):  # fmt: skip
    """Take sums through a filter and the activation after it."""
    wide()
    weight, bias, alpha, beta = rates
    mean, gain, skip, odd = constants
    for v in range(size):
        inverse = get(backs, v)
        both, difference = back * inverse, back - inverse
        fixed = 0.5 * (weight * get(chords, v) + bias * (difference * difference))
        u = 0.5 * weight * both * get(sums_w, v) + fixed
        if sums_z is not None:
            opposite = 0.5 * weight * both * get(sums_z, v) + fixed + 2.0 * (bias * both)
        else:
            opposite = 2.0 - u
        near = u <= opposite
        small = u if near else opposite
        small = small if small > 0.0 else 0.0
        tau = math.sqrt(small)
        turn, cap = tau * angle(small), (small * tau) * segment(small)
        cosine = 1.0 - small if near else small - 1.0
        even = gain * cap
        scale = root * get(roots, v)
        put(k, v, scale * ((mean if near else skip) * cosine + 0.5 * even))
        put(w, v, scale * ((2.0 * mean * small if near else odd - 2.0 * skip * small) - even))
        if t is not None:
            slope = mean - gain * turn if near else skip + gain * turn
            theta = weight * get(sums_t, v) + (alpha * (weight * get(sums_k, v) + bias) + beta)
            put(t, v, theta * slope if scale > 0.0 else 0.0)


@njit(**OPTIONS)
def _clear(sums, sums_t, count, lanes):
    """Set sums to zero."""
    for v in range(count):
        put(sums, v, 0.0)
    if sums_t is not None:
        for v in range(lanes):
            put(sums_t, v, 0.0)


@njit(**OPTIONS)
def _sum(row, size):
    """Sum over a row of lanes; 0 of None."""
    total = 0.0
    if row is not None:
        for v in range(size):
            total += get(row, v)
    return total


@njit(**OPTIONS)
def _sum_places(sums, sums_t, low, low_t, roots, back, own, inverse, reads, parts, places, signed,
                frame, size):  # fmt: skip
    """Add up what all places of a filter give: W, K, Z and chords in rows of `sums`, and Theta."""
    lanes, area = frame
    sums_k, sums_z, chords = at(sums, lanes), at(sums, 2 * lanes), at(sums, 3 * lanes)
    for place in range(places):
        read, part = get(reads, place), get(parts, place)
        chord, row = get(own, read) * inverse, read * lanes
        w, k, t, s = at(low, row), at(low, area + row), at(low_t, row), at(roots, row)
        if signed:
            z = at(low, 2 * area + row)
            _add_row(sums, sums_k, sums_t, sums_z, chords, w, k, t, z, s, back, chord, part, size)
        else:
            _add_row(
                sums, sums_k, sums_t, None, chords, w, k, t, None, s, back, chord, part, size
            )


@njit(**OPTIONS)
def _above(w, t, sums, sums_t, over, back, root, inverse, rates, kind, frame, size):
    """Take sums through a filter and what follows it."""
    lanes, area = frame
    sums_k, sums_z, chords = at(sums, lanes), at(sums, 2 * lanes), at(sums, 3 * lanes)
    k, z = at(w, area), at(w, 2 * area)
    tangent = rates[0], rates[1], rates[2], rates[3]
    dual = rates[4], rates[5], rates[6], rates[7]
    if kind == LINEAR:
        _linear_row(w, k, t, z, sums, sums_k, sums_t, sums_z, chords, over, back, root, inverse,
                    tangent, size)  # fmt: skip
    elif kind == SIGNED:
        _activated_row(w, k, t, sums, sums_k, sums_t, sums_z, chords, over, back, root, inverse,
                       tangent, dual, size)  # fmt: skip
    else:
        _activated_row(w, k, t, sums, sums_k, sums_t, None, chords, over, back, root, inverse,
                       tangent, dual, size)  # fmt: skip


@compiled
def coset_kernels(
    rows, columns, units1, units2, roots1, roots2, index, shares, layout, rates, sizes, room,
    room_t, nngp, ntk,
):  # fmt: skip
    """Compute the kernels of pairs of signals.

    Parameters
    ----------
    rows, columns : int64 array, shape (pairs,)
    units1, units2 : float64 array, shape (N, X, C)
    roots1, roots2 : float64 array, shape (N, roots)
    index, shares, layout, rates
        Of the tables of the plan.
    sizes : (int, int, int)
        Slices, those of a block, and cosets where they are most.
    room, room_t : float64 array
        Memory of a thread.
    nngp, ntk : float64 array, shape (pairs,)
        Written to; `ntk` and `room_t` are None where the NTK is not wanted.
    """
    slices, lanes, highest = sizes
    points, channels = units1.shape[1], units1.shape[2]
    width, levels, area = roots1.shape[1], len(layout) - 1, highest * lanes
    memory, tangents = start(room), start(room_t)
    moved, parts = start(index), start(shares)
    roots, sums = at(memory, 6 * area), at(memory, 7 * area)
    over, back, sums_t = at(sums, 4 * lanes), at(sums, 5 * lanes), at(tangents, 2 * area)
    frame = lanes, area
    for pair in range(len(rows)):
        i, j = rows[pair], columns[pair]
        one, two = at(start(roots1), i * width), at(start(roots2), j * width)
        unit1 = at(start(units1), i * points * channels)
        unit2 = at(start(units2), j * points * channels)
        total_k = total_t = 0.0
        for first in range(0, slices, lanes):
            size = min(lanes, slices - first)
            side, signed = 0, True
            for x in range(points):
                table = at(moved, layout[0, MOVED] + x * slices + first)
                _gather(over, two, table, size)
                row = x * lanes
                w, k, z = at(memory, row), at(memory, area + row), at(memory, 2 * area + row)
                _signal_row(
                    w, k, at(tangents, row), z, at(unit1, x * channels), unit2, channels,
                    get(one, x), over, table, size,
                )  # fmt: skip
            for level in range(levels):
                below, above, places = layout[level, 0], layout[level, 1], layout[level, 2]
                kind, own = layout[level, KIND], layout[level, ROOTS]
                for c in range(below):
                    table = at(moved, layout[level, MOVED] + c * slices + first)
                    _gather(at(roots, c * lanes), at(two, own), table, size)
                low, high = at(memory, side * 3 * area), at(memory, (1 - side) * 3 * area)
                low_t, high_t = at(tangents, side * area), at(tangents, (1 - side) * area)
                # S, 1/S and the root of each coset above end where those of the next level begin.
                root_s = layout[level + 1, ROOTS] - 2 * above
                root_back = layout[level + 1, ROOTS] - above
                for c in range(above):
                    table = at(moved, layout[level + 1, MOVED] + c * slices + first)
                    _gather(over, at(two, root_s), table, size)
                    _gather(back, at(two, root_back), table, size)
                    root, inverse = get(one, root_s + c), get(one, root_back + c)
                    _clear(sums, sums_t, 4 * lanes, lanes)
                    reads = at(moved, layout[level, READS] + c * places)
                    _sum_places(
                        sums, sums_t, low, low_t, roots, back, at(one, own), inverse, reads,
                        at(parts, layout[level, SHARES]), places, signed, frame, size,
                    )  # fmt: skip
                    row = c * lanes
                    _above(
                        at(high, row), at(high_t, row), sums, sums_t, over, back, root, inverse,
                        rates[level], kind, frame, size,
                    )  # fmt: skip
                if kind != LINEAR:
                    signed = False
                side = 1 - side
            kernels, thetas = at(memory, (side * 3 + 1) * area), at(tangents, side * area)
            for c in range(layout[levels, BELOW]):
                total_k += _sum(at(kernels, c * lanes), size)
                total_t += _sum(at(thetas, c * lanes), size)
        count = slices * layout[levels, BELOW]
        nngp[pair] = total_k / count
        if ntk is not None:
            ntk[pair] = total_t / count
