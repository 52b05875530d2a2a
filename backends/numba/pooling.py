r"""Slices between poolings: what is summed over windows, and how a stage goes on with it.

With W = 2 (s s' - K) the deficit of a pair of features (see `refntk.backends.numba.careful`), bars
for means over the windows of a pooling, and S² the variance of such a mean,

.. math::
    S^2 = \bar s^2 - \tfrac12 w, \quad w = \overline{W(x, x)}, \qquad
    2 (S S' - \bar K) = \overline{W} - \frac{w \bar s'^2 + w' \bar s^2 - w w' / 2}
        {S S' + \bar s \bar s'}

The deficit is carried through a pooling because K would lose the digits of features that are nearly
parallel in whole flat regions. Close pairs of images that are not flat cancel: what is left of
their deficit has the precision of w. What is no more than rounding is taken as 0, as it is of
duplicates.
"""

from __future__ import annotations

import math

from numba import njit

from refntk.backends.numba.frames import extent, wrapped
from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    add_kept,
    at,
    get,
    lane_count,
    number,
    put,
    some,
    wide,
)
from refntk.backends.numba.layout import Stage, Step

__all__ = ["FIELDS", "displacement", "pool_maps", "resume", "scatter"]

FIELDS = 4
"""Maps of a pooling: the mean of the roots, w, S, and by what sums are multiplied."""

_NOISE = (*[0.0] * 8, 1.8e-15, *[0.0] * 7, 9.6e-7)
"""By the number of lanes, the relative difference of mean deficits that is rounding."""

_G, _S = Stage(), Step()


@njit(**INLINE)
def displacement(count, number_, wrap):
    """Displacement between `count` positions, by its number."""
    return number_ if wrap else number_ - count + 1


@njit(**OPTIONS)
def _window_sum(work, place, v, stage, i, j):
    """Sum of a map over one window, in one lane; positions outside are 0."""
    lanes = lane_count(work)
    result = number(work, 0.0)
    for a in range(stage[_G.size_y]):
        y = stage[_G.stride_y] * i - stage[_G.low_y] + a
        y = y % stage[_G.out_y] if stage[_G.wrap_y] else y
        if 0 <= y < stage[_G.out_y]:
            for b in range(stage[_G.size_x]):
                x = stage[_G.stride_x] * j - stage[_G.low_x] + b
                x = x % stage[_G.out_x] if stage[_G.wrap_x] else x
                if 0 <= x < stage[_G.out_x]:
                    k = y * stage[_G.pitch] + x * stage[_G.spacing]
                    result = result + get(work, place + k * lanes + v)
    return result


@njit(**OPTIONS)
def pool_maps(work, maps, own, first, stages, k, static, lay):
    """Build the maps of the pooling before stage k, and the roots below its first step.

    Parameters
    ----------
    work : pointer
    maps : int
        Offset of the maps of the images in the lanes; those of the stage before are there.
    own : float array, shape (N, 2, positions)
        Sums of W, and of K, between an image and itself over each window.
    first : int
        Image in the first lane; the last one fills what is left over.
    stages : int array, shape (stages, columns)
        See `refntk.backends.numba.layout.Stage`.
    k : int
    static : tuple
        Table of the steps; by what roots are multiplied after each stage; by what sums are
        multiplied, for each position of each pooling; and whether sums of K are there.
    lay : Layout
    """
    table, factors, shares, plain = static
    before, stage = stages[k - 1], stages[k]
    lanes, last = lane_count(work), own.shape[0] - 1
    zero, half = number(work, 0.0), number(work, 0.5)
    rows, columns = stage[_G.in_y], stage[_G.in_x]
    repeats = 1 + lay.wrap
    field = rows * columns * repeats
    for i in range(rows):
        for j in range(columns):
            position = before[_G.own] + i * columns + j
            share = shares[position]
            target = maps + (stage[_G.pooled] + i * columns * repeats + j) * lanes
            for v in range(lanes):
                image = min(first + v, last)
                source = maps + before[_G.source] * lanes
                total = _window_sum(work, source, v, before, i, j)
                mean = total * factors[k - 1] * share
                deficit = own[image, 0, position] * share * share
                square = mean * mean - half * deficit
                if plain:
                    square = own[image, 1, position] * share * share
                root = math.sqrt(square if square > zero else zero)
                for repeat in range(repeats):
                    place = target + repeat * columns * lanes + v
                    put(work, place, mean)
                    put(work, place + field * lanes, deficit)
                    put(work, place + 2 * field * lanes, root)
                    put(work, place + 3 * field * lanes, share)
                if stage[_G.stop] > stage[_G.first]:
                    step = table[stage[_G.first]]
                    line = columns * repeats + 2 * lay.margin
                    below = step[_S.below] + (i + lay.margin) * line + lay.margin + j
                    put(work, maps + below * lanes + v, root)


@njit(**OPTIONS)
def _resume_row(w, t, p, sums_w, sums_t, sums_p, ones, twos, exact, columns):
    """Turn sums over windows of a row into its deficits, NTK and K.

    `ones` and `twos` are rows of the `FIELDS` maps, numbers of x and lanes of x'. Sums of K are
    there where that is `exact`.
    """
    wide()
    (mean1, own1, root1, share1), (mean2, own2, root2, share2) = ones, twos
    lanes, zero, half = lane_count(w), number(w, 0.0), number(w, 0.5)
    noise = number(w, _NOISE[lanes])
    for j in range(columns):
        m1, o1, r1, h1 = get(mean1, j), get(own1, j), get(root1, j), get(share1, j)
        for v in range(lanes):
            k = j * lanes + v
            m2, o2, r2 = get(mean2, k), get(own2, k), get(root2, k)
            share = h1 * get(share2, k)
            size = r1 * r2
            both = size + m1 * m2
            shared = o1 * (m2 * m2) + o2 * (m1 * m1) - half * (o1 * o2)
            total = get(sums_w, k) * share
            rest = total - (shared / both if both > zero else zero)
            rest = rest if rest > noise * total else zero
            put(w, k, rest)
            put(p, k, get(sums_p, k) * share if exact else size - half * rest)
            if t is not None:
                put(t, k, get(sums_t, k) * share)


@njit(**OPTIONS)
def resume(memory, sums, exact, stage, event, lay):
    """Write the slice that a stage begins with, from its sums over windows.

    Parameters
    ----------
    memory : tuple of pointers
        Work, tangent, excesses and plain.
    sums : tuple of pointers
        Of W, the NTK and K; None where the NTK is not wanted.
    exact : int
        Whether there are sums of K.
    stage : int array
        Row of the table.
    event : (int, int, int)
        Displacement below its first step, and place of the sums.
    lay : Layout
    """
    (work, tangent, _, plain), (sums_w, sums_t, sums_p) = memory, sums
    dy, dx, place = event
    lanes, count = lane_count(work), stage[_G.in_y]
    y0, rows = extent(count, count, dy, lay.wrap)
    x0, columns = extent(stage[_G.in_x], stage[_G.in_x], dx, lay.wrap)
    line = stage[_G.in_x] * (1 + lay.wrap)
    field = count * line
    for i in range(rows):
        out = lay.slice + i * lay.line + lay.margin * lanes
        source = (place + i * columns) * lanes
        one = lay.map1 + stage[_G.pooled] + (y0 + i) * line + x0
        y2 = wrapped(y0 + i + dy, count)
        two = lay.maps2 + (stage[_G.pooled] + y2 * line + x0 + dx) * lanes
        far = field * lanes
        ones = some(work, (one, one + field, one + 2 * field, one + 3 * field))
        twos = some(work, (two, two + far, two + 2 * far, two + 3 * far))
        _resume_row(
            at(work, out), at(tangent, out), at(plain, out),
            at(sums_w, source), at(sums_t, source), at(sums_p, source * exact), ones, twos, exact,
            columns,
        )  # fmt: skip


@njit(**INLINE)
def _add_run(out, row, keep, stride, count):
    """Add every `stride`-th position of a row to the positions of another, in the lanes kept."""
    if out is not None:
        lanes = lane_count(out)
        for j in range(count):
            add_kept(at(out, j * lanes), at(row, j * stride * lanes), keep)


@njit(**OPTIONS)
def scatter(memory, sums, exact, keep, stage, above, numbers, schedule, lay):
    """Add a slice after a stage to the sums of the next one.

    Parameters
    ----------
    memory, sums, exact
        As for `resume`; sums of K are those of `plain`.
    keep : pointer
        For each lane, negative where it is added.
    stage : int array
        Row of the table.
    above : (int, int)
        Number of the next stage, and its positions along x.
    numbers : (int, int)
        Of the slice's displacements.
    schedule : tuple
        Places of `refntk.backends.numba.schedule.Schedule`; all runs, an int array, shape
        (runs, 5); where those of each stage begin, by axis and number of the displacement.
    lay : Layout
    """
    (work, tangent, _, plain), (sums_w, sums_t, sums_p) = memory, sums
    (places, runs, starts), (following, columns) = schedule, above
    lanes, k = lane_count(work), following - 1
    for a in range(starts[k, 0, numbers[0]], starts[k, 0, numbers[0] + 1]):
        for b in range(starts[k, 1, numbers[1]], starts[k, 1, numbers[1] + 1]):
            place = places[following, runs[a, 1], runs[b, 1]]
            if place >= 0:
                dx = displacement(columns, runs[b, 1], lay.wrap)
                line = columns if lay.wrap else columns - abs(dx)
                count = runs[b, 4]
                for i in range(runs[a, 4]):
                    y, x = runs[a, 2] + i * stage[_G.stride_y], runs[b, 2]
                    row = lay.slice + y * lay.line + (lay.margin + x) * lanes
                    out = (place + (runs[a, 3] + i) * line + runs[b, 3]) * lanes
                    stride = stage[_G.stride_x]
                    _add_run(at(sums_w, out), at(work, row), keep, stride, count)
                    _add_run(at(sums_t, out), at(tangent, row), keep, stride, count)
                    if exact:
                        _add_run(at(sums_p, out), at(plain, row), keep, stride, count)
