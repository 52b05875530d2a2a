"""Variances of single images: once for each image and step, and shared by all of its pairs."""

from __future__ import annotations

from numba import njit

from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    add_edge,
    at,
    distance,
    get,
    lane_count,
    number,
    put,
)
from refntk.backends.numba.layout import Step
from refntk.backends.numba.rows import LINEAR, add_row, roots_row, sum_row

__all__ = ["gather", "load_lanes", "select", "variance_maps"]

_S = Step()


@njit(**OPTIONS)
def load_lanes(pixels, first, work, place, lay):
    """Spread images first, first + 1, ... over the lanes; the last one fills what is left over."""
    lanes = lane_count(work)
    repeats = 1 + lay.wrap
    last = pixels.shape[0] - 1
    for row in range(lay.height * lay.channels):
        for x in range(lay.width * repeats):
            source = row * lay.width + x % lay.width
            target = place + (row * lay.width * repeats + x) * lanes
            for v in range(lanes):
                put(work, target + v, pixels[min(first + v, last), source])


@njit(**INLINE)
def gather(array, target, row, size, stride, columns, lay):
    """Box sums along a row: column j of the target sums columns stride * j + b, b < size."""
    if array is not None:
        lanes = lane_count(array)
        # Without a stride all columns are one run.
        runs, length = (1, columns * lanes) if stride == 1 else (columns, lanes)
        for j in range(runs):
            first, out = row + j * stride * lanes, target + j * lanes
            second = first + lanes if size > 1 else lay.zero
            third = first + 2 * lanes if size > 2 else lay.zero
            sum_row(at(array, out), at(array, first), at(array, second), at(array, third), length)
            for b in range(3, size):
                add_row(at(array, out), at(array, first + b * lanes), length)


@njit(**OPTIONS)
def _fill_margins(work, first, height, width, lay):
    """Wrap a map with margins; without circular padding they stay zero."""
    lanes = lane_count(work)
    margin, line = lay.margin, width + 2 * lay.margin
    for y in range(-margin, height + margin):
        for x in range(-margin, width + margin):
            if not (0 <= y < height and 0 <= x < width):
                source = (y % height + margin) * line + x % width + margin
                target = (y + margin) * line + x + margin
                for v in range(lanes):
                    value = get(work, first + source * lanes + v)
                    put(work, first + target * lanes + v, value)


@njit(**OPTIONS)
def variance_maps(work, pixels, maps, table, weights, biases, lay):
    """Variances of the images in the lanes, at every position and step, and their roots."""
    lanes = lane_count(work)
    margin = lay.margin
    zero = at(work, lay.zero)
    stride = lay.width * (1 + lay.wrap) * lanes
    for y in range(lay.height):
        for x in range(lay.width):
            target = maps + ((y + margin) * (lay.width + 2 * margin) + x + margin) * lanes
            source = pixels + y * lay.channels * stride + x * lanes
            distance(at(work, target), zero, 0, at(work, source), stride, lay.channels)
    nothing, half, one = number(work, 0.0), number(work, 0.5), number(work, 1.0)
    for k in range(table.shape[0]):
        size_x, stride_x = table[k, _S.size_x], table[k, _S.stride_x]
        line_below = table[k, _S.in_x] + 2 * margin
        below = maps + table[k, _S.variance] * lanes
        if lay.wrap:
            _fill_margins(work, below, table[k, _S.in_y], table[k, _S.in_x], lay)
        columns = table[k, _S.out_x]
        factor = one if table[k, _S.activation] == LINEAR else half
        for i in range(table[k, _S.out_y]):
            after = (i + margin) * (columns + 2 * margin) + margin
            target = maps + (table[k, _S.after] + after) * lanes
            sum_row(at(work, target), zero, zero, zero, columns * lanes)
            for a in range(table[k, _S.size_y]):
                y = table[k, _S.stride_y] * i - table[k, _S.low_y] + a + margin
                row = below + (y * line_below + margin - table[k, _S.low_x]) * lanes
                gather(work, lay.gathered, row, size_x, stride_x, columns, lay)
                add_row(at(work, target), at(work, lay.gathered), columns * lanes)
            roots, reciprocals = at(work, lay.gathered), at(work, lay.older)
            roots_row(
                at(work, target), roots, reciprocals, weights[k], biases[k], factor, columns * lanes
            )
            line = columns * (1 + lay.wrap)
            pair = maps + (table[k, _S.root] + 2 * i * line) * lanes
            for x in range(line):
                source = x % columns * lanes
                add_edge(at(work, pair + 2 * x * lanes), nothing, at(roots, source))
                add_edge(at(work, pair + (2 * x + 1) * lanes), nothing, at(reciprocals, source))


@njit(**OPTIONS)
def select(pixels, image, work, lane, table, lay):
    """Take one image x, whose maps are in a lane of `maps1`."""
    lanes = lane_count(work)
    for q in range(lay.height * lay.channels * lay.width):
        put(work, lay.pixels1 + q, pixels[image, q])
    for q in range(lay.map_size):
        put(work, lay.map1 + q, get(work, lay.maps1 + q * lanes + lane))
    half = number(work, 0.5)
    for k in range(table.shape[0]):
        first = lay.map1 + table[k, _S.root]
        for q in range(table[k, _S.out_y] * table[k, _S.out_x] * (1 + lay.wrap)):
            place = first + 2 * q + 1
            put(work, place, half * get(work, place))
