r"""Machine code of the method branches: a displacement slice through layers that fork and join.

A slice of a value is three arrays over the positions of x and the lanes: the squared distance D of
the features, their covariance K, and the NTK. All three are linear in a convolution, and in a sum
of branches; an activation reads the deficit 1 - rho from D where the features are near to each
other and of about one size, and from K elsewhere, so that neither loses digits where it counts.
With s, s' the roots of variances, m = s s', delta = s - s':

.. math::
    u = \frac{D - \delta^2}{2 m}, \quad \tau = \sqrt{w}, \quad w = \min(u, 2 - u)

and slopes a, b below and above zero, c = (tau w) segment(w), t = tau angle(w):

.. math::
    K' &= (a - b)^2 \tfrac m2 ((1 - w) [u \le 1] + c) + a b m (1 - u) \\
    D' &= \tfrac14 (a + b)^2 D + \tfrac14 (a - b)^2 (\delta^2 + 2 m (w - 2 c)) \\
    \dot K &= (a - b)^2 (\tfrac12 - t, \text{ or } t \text{ where } u > 1) + a b

Positions that have no partner in the image x' are left out. Where a window reads such a position, K
and the NTK are 0, and D is the variance of the one feature that there is.
"""

from __future__ import annotations

import math
from enum import IntEnum
from functools import cache
from typing import Any

from numba import njit

from refntk.backends.numba.branch_pools import add_to_pools, clear_sums, keep_own, resume_row
from refntk.backends.numba.frames import extent
from refntk.backends.numba.general import activation_call
from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    angle,
    at,
    compiled,
    get,
    lane_count,
    number,
    put,
    segment,
    start,
    wide,
)
from refntk.backends.numba.pooling import displacement
from refntk.backends.numba.rows import add_row

__all__ = ["Kind", "Part", "branch_function"]


class Kind(IntEnum):
    """What an operation does."""

    IMAGES = 0
    FILTER = 1
    RECTIFY = 2
    SCALE = 3
    ADD = 4
    MULTIPLY = 5
    RESCALE = 6
    SUM = 7
    ACTIVATE = 8
    RESUME = 9
    POOL = 10


class Part(IntEnum):
    """Columns of the table of operations; those along x come right after y.

    Slots are numbered arrays of the workspace; maps are numbered, too: a root of variances for
    RECTIFY, variances for FILTER and, of both factors, for MULTIPLY, a root and a factor for
    RESCALE. ACTIVATE has a map of roots and their reciprocals in turns, which reaches into the next
    one, and one of COUNT parameters of each feature; its row function is number WHICH. RESUME has
    maps of what `refntk.backends.numba.branch_pools.resume_row` reads, the last one number WHICH.
    After POOL there are IN_X positions along x.
    """

    KIND = 0
    INTO = 1
    FROM = 2
    OTHER = 3
    MAP = 4
    MAP_OTHER = 5
    IN_Y = 6
    IN_X = 7
    OUT_Y = 8
    OUT_X = 9
    SIZE_Y = 10
    SIZE_X = 11
    STRIDE_Y = 12
    STRIDE_X = 13
    LOW_Y = 14
    LOW_X = 15
    APART_Y = 16
    APART_X = 17
    SHIFT_Y = 18
    SHIFT_X = 19
    WHICH = 20
    COUNT = 21


_KIND, _INTO, _FROM, _OTHER = int(Part.KIND), int(Part.INTO), int(Part.FROM), int(Part.OTHER)
_MAP, _MAP_OTHER = int(Part.MAP), int(Part.MAP_OTHER)
_IN_Y, _IN_X, _OUT_Y, _OUT_X = int(Part.IN_Y), int(Part.IN_X), int(Part.OUT_Y), int(Part.OUT_X)
_SIZE_Y, _SIZE_X = int(Part.SIZE_Y), int(Part.SIZE_X)
_STRIDE_Y, _STRIDE_X = int(Part.STRIDE_Y), int(Part.STRIDE_X)
_LOW_Y, _LOW_X, _APART_Y, _APART_X = (
    int(Part.LOW_Y), int(Part.LOW_X), int(Part.APART_Y), int(Part.APART_X)
)  # fmt: skip
_SHIFT_Y, _SHIFT_X = int(Part.SHIFT_Y), int(Part.SHIFT_X)
_IMAGES, _FILTER, _RECTIFY, _SCALE = (
    int(Kind.IMAGES), int(Kind.FILTER), int(Kind.RECTIFY), int(Kind.SCALE)
)  # fmt: skip
_ADD, _MULTIPLY, _RESCALE = int(Kind.ADD), int(Kind.MULTIPLY), int(Kind.RESCALE)
_ACTIVATE, _WHICH, _COUNT = int(Kind.ACTIVATE), int(Part.WHICH), int(Part.COUNT)
_RESUME, _POOL = int(Kind.RESUME), int(Kind.POOL)


@njit(**INLINE)
def _range(n, shift, wrap):
    """Positions of x with a partner at a displacement: the first, and the one after the last."""
    first, count = extent(n, n, shift, wrap)
    return first, first + count


@njit(**INLINE)
def _reach(first, stop, stride, op, low, size, apart):
    """Range of the positions that the windows of a range of outputs read."""
    begin = stride * first - get(op, low)
    end = stride * (stop - 1) - get(op, low) + (get(op, size) - 1) * get(op, apart) + 1
    return begin, end


@njit(**OPTIONS)
def _clear(row, count):
    wide()
    for i in range(count):
        put(row, i, number(row, 0.0))


@njit(**OPTIONS)
def _end_filter(d, k, t, rates, count):
    """Scale box sums: D by c, K by c and a bias, and the NTK by c with what training adds."""
    wide()
    weight, bias, alpha, beta = rates
    for i in range(count):
        below = get(k, i)
        put(d, i, weight * get(d, i))
        put(k, i, weight * below + bias)
        put(t, i, weight * get(t, i) + (alpha * below + beta))


@njit(**OPTIONS)
def _rectify_row(d, k, t, roots1, roots2, constants, columns):
    """Take a row through an activation, in place."""
    wide()
    lanes = lane_count(d)
    gain, skip, odd = constants
    zero, half, one, two = number(d, 0.0), number(d, 0.5), number(d, 1.0), number(d, 2.0)
    quarter, unlike = number(d, 0.25), number(d, 8.0)
    for x in range(columns):
        root = get(roots1, x)
        for v in range(lanes):
            i = x * lanes + v
            other = get(roots2, i)
            scale, delta = root * other, root - other
            square, distance, kernel = delta * delta, get(d, i), get(k, i)
            full = scale > zero
            inverse = one / (scale if full else one)
            cosine = kernel * inverse if full else zero
            cosine = min(max(cosine, -one), one)
            u = half * inverse * (distance - square)
            u = u if u > zero else zero
            apart = (u > half) | (root * root + other * other > unlike * scale)
            u = one - cosine if apart else u
            near = u <= one
            w = u if near else one + cosine
            w = w if w > zero else zero
            tau = math.sqrt(w)
            turn = tau * angle(w)
            cap = (w * tau) * segment(w)
            rho = one - w if near else w - one
            put(k, i, scale * (half * gain * ((one - w if near else zero) + cap) + skip * rho))
            slope = gain * (half - turn if near else turn) + skip
            put(t, i, get(t, i) * slope if full else zero)
            even = square + two * scale * (w - two * cap)
            put(d, i, quarter * (odd * distance + gain * even))


@njit(**OPTIONS)
def _scale_row(d1, d2, weight, count):
    wide()
    for i in range(count):
        put(d1, i, weight * get(d2, i))


@njit(**OPTIONS)
def _add_row(d1, d2, weight, count):
    wide()
    for i in range(count):
        put(d1, i, get(d1, i) + weight * get(d2, i))


@njit(**OPTIONS)
def _multiply_row(first, second, one, two, columns):
    """Multiply a row by another one, in place; D = (D1 S2 + S1 D2) / 4 + (v1 - v1')(v2 - v2') / 2.

    Here S = 2 (v + v') - D, for each factor.
    """
    wide()
    (d1, k1, t1), (d2, k2, t2) = first, second
    (one1, one2), (two1, two2) = one, two
    lanes = lane_count(d1)
    half, quarter, two_ = number(d1, 0.5), number(d1, 0.25), number(d1, 2.0)
    for x in range(columns):
        v1, v2 = get(one1, x), get(one2, x)
        for v in range(lanes):
            i = x * lanes + v
            other1, other2 = get(two1, i), get(two2, i)
            da, db = get(d1, i), get(d2, i)
            sa, sb = two_ * (v1 + other1) - da, two_ * (v2 + other2) - db
            put(d1, i, quarter * (da * sb + sa * db) + half * ((v1 - other1) * (v2 - other2)))
            ka, kb = get(k1, i), get(k2, i)
            put(t1, i, get(t1, i) * kb + ka * get(t2, i))
            put(k1, i, ka * kb)


@njit(**OPTIONS)
def _rescale_row(d, k, t, one, two, columns):
    """Divide features by numbers 1 / c, in place: D' = (c s - c' s')² + c c' (D - δ²).

    Of features of unlike size D - δ² says little, and it is 2 (m - K).
    """
    wide()
    (root1, factor1), (root2, factor2) = one, two
    lanes, two_, unlike = lane_count(d), number(d, 2.0), number(d, 8.0)
    for x in range(columns):
        root, factor = get(root1, x), get(factor1, x)
        for v in range(lanes):
            i = x * lanes + v
            other, second = get(root2, i), get(factor2, i)
            both, delta = factor * second, root - other
            chord = factor * root - second * other
            kernel, scale = get(k, i), root * other
            apart = root * root + other * other > unlike * scale
            rest = two_ * (scale - kernel) if apart else get(d, i) - delta * delta
            put(d, i, chord * chord + both * rest)
            put(k, i, both * kernel)
            put(t, i, both * get(t, i))


@njit(**OPTIONS)
def _images_row(d, k, t, one, two, channels, columns):
    """Set a row to the kernel of the images; the pixels are divided by the root of the channels."""
    wide()
    lanes = lane_count(d)
    zero = number(d, 0.0)
    for x in range(columns):
        for v in range(lanes):
            i = x * lanes + v
            put(d, i, zero)
            put(k, i, zero)
            put(t, i, zero)
        for c in range(channels):
            a = get(one, x * channels + c)
            for v in range(lanes):
                i, b = x * lanes + v, get(two, (x * channels + c) * lanes + v)
                put(d, i, get(d, i) + (a - b) * (a - b))
                put(k, i, get(k, i) + a * b)


@njit(**OPTIONS)
def _edges(d, one, two, op, shift, ys, xs, margin):
    """Set D where a window reads a feature of one image, and none of the other: its variance.

    Between rows and columns ys and xs; where windows read neither, D is 0.
    """
    lanes = lane_count(d)
    in_y, in_x = get(op, _IN_Y), get(op, _IN_X)
    zero = number(d, 0.0)
    for y in range(ys[0], ys[1]):
        inner, other_y = 0 <= y < in_y, y + shift[0]
        outer = 0 <= other_y < in_y
        for x in range(xs[0], xs[1]):
            other_x = x + shift[1]
            first = inner and 0 <= x < in_x
            second = outer and 0 <= other_x < in_x
            if not (first and second):
                o = ((y + margin) * (in_x + 2 * margin) + x + margin) * lanes
                for v in range(lanes):
                    value = zero
                    if first:
                        value = get(one, y * in_x + x)
                    elif second:
                        value = get(two, (other_y * in_x + other_x) * lanes + v)
                    put(d, o + v, value)


@njit(**OPTIONS)
def _box(source, target, row, op, i, ys, xs, outs, wrap, margin):
    """Sum one row of windows of one array: output columns outs of row i, from rows and columns."""
    lanes = lane_count(source)
    in_y, in_x, out_x = get(op, _IN_Y), get(op, _IN_X), get(op, _OUT_X)
    source = at(source, (margin * (in_x + 2 * margin) + margin) * lanes)
    count = (xs[1] - xs[0]) * lanes
    _clear(row, count)
    for a in range(get(op, _SIZE_Y)):
        y = get(op, _STRIDE_Y) * i - get(op, _LOW_Y) + get(op, _APART_Y) * a
        if wrap:
            y = y % in_y
        if ys[0] <= y and y < ys[1]:
            add_row(row, at(source, (y * (in_x + 2 * margin) + xs[0]) * lanes), count)
    out = at(target, ((i + margin) * (out_x + 2 * margin) + outs[0] + margin) * lanes)
    _clear(out, (outs[1] - outs[0]) * lanes)
    stride, low = get(op, _STRIDE_X), get(op, _LOW_X)
    for b in range(get(op, _SIZE_X)):
        shift = get(op, _APART_X) * b - low
        if stride == 1 and not wrap:
            first, stop = max(outs[0], xs[0] - shift), min(outs[1], xs[1] - shift)
            if first < stop:
                add_row(
                    at(out, (first - outs[0]) * lanes), at(row, (first + shift - xs[0]) * lanes),
                    (stop - first) * lanes,
                )  # fmt: skip
        else:
            for j in range(outs[0], outs[1]):
                x = stride * j + shift
                if wrap:
                    x = x % in_x
                if xs[0] <= x and x < xs[1]:
                    add_row(
                        at(out, (j - outs[0]) * lanes), at(row, (x - xs[0]) * lanes), lanes
                    )


@njit(**INLINE)
def _two_rows(maps1, maps2, number_of, size, place, partner, lanes):
    return (
        at(maps1, number_of * size + place),
        at(maps2, (number_of * size + partner) * lanes),
    )


_activate: Any = None  # given to each version of the function below


def _branch_sums(images, maps, tables, shape, schedule, wrap, memory, alone, out):
    """Sum the kernels at the readout over positions and displacements, for an image and lanes.

    Parameters
    ----------
    images : two float arrays, shapes (P, C) and (P, C, lanes)
        Pixels of x, and of the x', divided by the root of the number of channels.
    maps : two float arrays, shapes (maps, size) and (maps, size, lanes)
        See `Part`; positions are counted row by row.
    tables : tuple
        Of the operations, see `Part`, an int array, shape (operations, columns); of their numbers,
        a float array, shape (operations, 4): of a filter c = W_std² / |S|, b_std², and
        alpha / |S| and beta of the tangent; gain, skip and odd of a rectifier; those of another
        activation; a weight. And where the operations of each stage begin and end, shape
        (stages, 2); the last one of each is POOL, or SUM at the readout.
    shape : (int, int, int, int)
        Channels, the number of numbers in an array of the workspace, by how many positions
        arrays reach out of the image on all sides, and the number of sums of each kind.
    schedule : tuple
        Events, fresh sums and places of `refntk.backends.numba.schedule.Schedule`; and the runs,
        see `refntk.backends.numba.branch_pools.add_to_pools`.
    wrap : bool
        Whether images wrap around.
    memory : two float arrays
        The workspace, and room for sums over windows.
    alone : tuple
        Where to keep sums of x with itself, shape (2, positions); the lane that x is in; and the
        place of the sums.
    out : float64 array, shape (2, lanes)
        Sums of K and of the NTK are added to it.
    """
    (pixels1, pixels2), (one, two) = (start(images[0]), start(images[1])), maps
    (table, constants, bounds), (events, fresh, places, runs, starts) = tables, schedule
    maps1, maps2, memory, sums = start(one), start(two), start(memory[0]), start(memory[1])
    lanes, (channels, room, margin, count_of_sums), size = lane_count(memory), shape, one.shape[1]
    operations, columns_of_table = start(table), table.shape[1]
    row, sums_room = memory, count_of_sums * lanes
    for number_ in range(events.shape[0]):
        stage = events[number_, 0]
        first_op, stop_op = bounds[stage, 0], bounds[stage, 1]
        end = at(operations, (stop_op - 1) * columns_of_table)
        dy = displacement(get(end, _OUT_Y), events[number_, 1], wrap)
        dx = displacement(get(end, _OUT_X), events[number_, 2], wrap)
        for k in range(first_op, stop_op):
            op = at(operations, k * columns_of_table)
            kind = get(op, _KIND)
            shift_y, shift_x = dy * get(op, _SHIFT_Y), dx * get(op, _SHIFT_X)
            out_y, out_x = get(op, _OUT_Y), get(op, _OUT_X)
            top, bottom = _range(out_y, shift_y, wrap)
            left, right = _range(out_x, shift_x, wrap)
            into, source = 1 + 3 * get(op, _INTO), 1 + 3 * get(op, _FROM)
            d, e, t = at(memory, into * room), at(memory, (into + 1) * room), at(
                memory, (into + 2) * room
            )
            rates = (constants[k, 0], constants[k, 1], constants[k, 2], constants[k, 3])
            count = right - left
            if kind == _FILTER:
                stride_y, stride_x = get(op, _STRIDE_Y), get(op, _STRIDE_X)
                ys = _range(get(op, _IN_Y), shift_y * stride_y, wrap)
                xs = _range(get(op, _IN_X), shift_x * stride_x, wrap)
                wide_y, wide_x = ys, xs
                if not wrap and top < bottom and left < right:
                    wide_y = _reach(top, bottom, stride_y, op, _LOW_Y, _SIZE_Y, _APART_Y)
                    wide_x = _reach(left, right, stride_x, op, _LOW_X, _SIZE_X, _APART_X)
                    _edges(
                        at(memory, source * room), at(maps1, get(op, _MAP) * size),
                        at(maps2, get(op, _MAP) * size * lanes), op,
                        (shift_y * stride_y, shift_x * stride_x), wide_y, wide_x, margin,
                    )  # fmt: skip
                for i in range(top, bottom):
                    _box(
                        at(memory, source * room), d, row, op, i, wide_y, wide_x,
                        (left, right), wrap, margin,
                    )  # fmt: skip
                    for part in range(1, 3):
                        below = at(memory, (source + part) * room)
                        above = at(memory, (into + part) * room)
                        _box(
                            below, above, row, op, i, ys, xs, (left, right), wrap, margin
                        )
                    o = ((i + margin) * (out_x + 2 * margin) + left + margin) * lanes
                    _end_filter(at(d, o), at(e, o), at(t, o), rates, count * lanes)
                continue
            if kind == _POOL:
                # Now, as some take the place of the sums that this stage began with.
                clear_sums(sums, sums_room, fresh, events[number_, 4], events[number_, 5])
                line = (out_x + 2 * margin) * lanes
                add_to_pools(
                    at(memory, into * room + margin * line + margin * lanes), sums,
                    (room, sums_room), (top, left), line, stage,
                    (events[number_, 1], events[number_, 2]),
                    (get(op, _STRIDE_Y), get(op, _STRIDE_X)), get(op, _IN_X),
                    (places, runs, starts), wrap,
                )  # fmt: skip
                continue
            for i in range(top, bottom):
                begin = left
                while begin < right:
                    # Where images wrap, the partners of a row are in two pieces.
                    y, x = i + shift_y, begin + shift_x
                    stop = right
                    if wrap:
                        y, x = y % out_y, x % out_x
                        stop = min(right, begin + out_x - x)
                    place, partner, count = i * out_x + begin, y * out_x + x, stop - begin
                    o = ((i + margin) * (out_x + 2 * margin) + begin + margin) * lanes
                    if kind == _IMAGES:
                        _images_row(
                            at(d, o), at(e, o), at(t, o), at(pixels1, place * channels),
                            at(pixels2, partner * channels * lanes), channels, count,
                        )  # fmt: skip
                    elif kind == _RECTIFY:
                        first, second = _two_rows(
                            maps1, maps2, get(op, _MAP), size, place, partner, lanes
                        )
                        _rectify_row(
                            at(d, o), at(e, o), at(t, o), first, second,
                            (rates[0], rates[1], rates[2]), count,
                        )  # fmt: skip
                    elif kind == _ACTIVATE:
                        roots, own, each = get(op, _MAP), get(op, _MAP_OTHER), get(op, _COUNT)
                        arguments = (
                            at(d, o), at(t, o), at(e, o),
                            (
                                at(maps1, roots * size + 2 * place),
                                at(maps2, (roots * size + 2 * partner) * lanes),
                            ),
                            (
                                at(maps1, own * size + each * place),
                                at(maps2, (own * size + each * partner) * lanes),
                            ),
                            at(start(constants), 4 * k), row, count,
                        )  # fmt: skip
                        _activate(get(op, _WHICH), arguments)
                    elif kind == _RESUME:
                        sum_place = events[number_, 3] + (i - top) * (right - left) + begin - left
                        here = at(sums, sum_place * lanes)
                        one_w, two_w = _two_rows(
                            maps1, maps2, get(op, _MAP), size, place, partner, lanes
                        )
                        one_r, two_r = _two_rows(
                            maps1, maps2, get(op, _MAP_OTHER), size, place, partner, lanes
                        )
                        one_h, two_h = _two_rows(
                            maps1, maps2, get(op, _WHICH), size, place, partner, lanes
                        )
                        resume_row(
                            at(d, o), at(e, o), at(t, o),
                            (here, at(here, sums_room), at(here, 2 * sums_room)),
                            (one_w, one_r, one_h), (two_w, two_r, two_h), count,
                        )  # fmt: skip
                    elif kind == _SCALE:
                        for part in range(3):
                            _scale_row(
                                at(memory, (into + part) * room + o),
                                at(memory, (source + part) * room + o), rates[0], count * lanes,
                            )  # fmt: skip
                    elif kind == _ADD:
                        for part in range(3):
                            _add_row(
                                at(memory, (into + part) * room + o),
                                at(memory, (source + part) * room + o), rates[0], count * lanes,
                            )  # fmt: skip
                    elif kind in (_MULTIPLY, _RESCALE):
                        a1, b1 = _two_rows(
                            maps1, maps2, get(op, _MAP), size, place, partner, lanes
                        )
                        a2, b2 = _two_rows(
                            maps1, maps2, get(op, _MAP_OTHER), size, place, partner, lanes
                        )
                        if kind == _RESCALE:
                            _rescale_row(
                                at(d, o), at(e, o), at(t, o), (a1, a2), (b1, b2), count
                            )
                        else:
                            other = source * room + o
                            _multiply_row(
                                (at(d, o), at(e, o), at(t, o)),
                                (
                                    at(memory, other), at(memory, other + room),
                                    at(memory, other + 2 * room),
                                ),
                                (a1, a2), (b1, b2), count,
                            )  # fmt: skip
                    else:
                        for j in range(count):
                            for v in range(lanes):
                                out[0, v] += get(e, o + j * lanes + v)
                                out[1, v] += get(t, o + j * lanes + v)
                    begin = stop
    own, lane, place_of_own = alone
    keep_own(sums, sums_room, own, lane, place_of_own)


@cache
def branch_function(names: tuple[str, ...]) -> Any:
    """Build the function that sums kernels, for some activations beyond the Relu family.

    Parameters
    ----------
    names : tuple of str
        As for `refntk.backends.numba.general.general_sums`; what `Part.WHICH` counts.

    Returns
    -------
    compiled function
        See its docstring.
    """
    return compiled(_branch_sums, {"_activate": activation_call(names)}, " ".join(names))
