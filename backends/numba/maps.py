"""Roots of the variances of single images: once for each image and step, for all of its pairs.

For each step there are four maps, which `refntk.backends.numba.layout.Step` finds: `below`, the
roots s of the variances of the features that go into it; `sums`, the roots S of the sums of s² over
the columns of a window, and `scales`, 1/S; and `root`, the root of the variance after the
convolution and, in turns, its reciprocal: half of it for images x, because a row asks for
1/(2 s s'). The reciprocal of 0 is 0. With circular padding all rows
are there twice, one after the other, so that any displacement can be read without a break.
"""

from __future__ import annotations

import math

from numba import njit

from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    add_edge,
    at,
    get,
    lane_count,
    number,
    put,
)
from refntk.backends.numba.layout import Step
from refntk.backends.numba.rows import add_row, add_squares, roots_row, sum_row
from refntk.backends.table import LINEAR

__all__ = ["build_maps", "gather", "load_lanes", "select", "unit_pixels"]

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
def gather(array, target, row, size, stride, dilation, columns, lay):
    """Box sums along a row: column j of the target sums columns stride * j + dilation * b."""
    if array is not None:
        lanes = lane_count(array)
        # Without a stride all columns are one run.
        runs, length = (1, columns * lanes) if stride == 1 else (columns, lanes)
        for j in range(runs):
            first, out = row + j * stride * lanes, target + j * lanes
            second = first + dilation * lanes if size > 1 else lay.zero
            third = first + 2 * dilation * lanes if size > 2 else lay.zero
            sum_row(at(array, out), at(array, first), at(array, second), at(array, third), length)
            for b in range(3, size):
                add_row(at(array, out), at(array, first + b * dilation * lanes), length)


@njit(**OPTIONS)
def unit_pixels(work, maps, lay):
    """Divide the pixels in the lanes by their lengths, which begin the maps."""
    lanes = lane_count(work)
    zero = number(work, 0.0)
    line = lay.width * (1 + lay.wrap)
    for y in range(lay.height):
        target = maps + ((y + lay.margin) * (line + 2 * lay.margin) + lay.margin) * lanes
        for q in range(line * lanes):
            first = lay.pixels2 + y * lay.channels * line * lanes + q
            square = zero
            for c in range(lay.channels):
                pixel = get(work, first + c * line * lanes)
                square = square + pixel * pixel
            length = math.sqrt(square)
            put(work, target + q, length)
            for c in range(lay.channels):
                place = first + c * line * lanes
                put(work, place, get(work, place) / length if length > zero else zero)


@njit(**OPTIONS)
def _wrap_row(work, row, width, lay):
    """Repeat a row of a map of `below` with circular padding, margins included."""
    lanes = lane_count(work)
    for x in range(-lay.margin, 2 * width + lay.margin):
        if not 0 <= x < width:
            source = at(work, row + x % width * lanes)
            add_edge(at(work, row + x * lanes), number(work, 0.0), source)


@njit(**INLINE)
def _add_columns(work, target, row, size, stride, dilation, columns):
    """Add to each column of the target the squares of its window in a row."""
    lanes = lane_count(work)
    runs, length = (1, columns * lanes) if stride == 1 else (columns, lanes)
    for b in range(size):
        for j in range(runs):
            source = row + (j * stride + b * dilation) * lanes
            add_squares(at(work, target + j * lanes), at(work, source), length)


@njit(**OPTIONS)
def _add_levels(work, level, pair, begin, columns):
    """Add a row of a map of roots to the sums of roots and of their squares, or begin with it."""
    lanes = lane_count(work)
    zero = number(work, 0.0)
    for v in range(lanes):
        total = zero if begin else get(work, level + v)
        squares = zero if begin else get(work, level + lanes + v)
        for x in range(columns):
            root = get(work, pair + 2 * x * lanes + v)
            total = total + root
            squares = squares + root * root
        put(work, level + v, total)
        put(work, level + lanes + v, squares)


@njit(**OPTIONS)
def build_maps(work, maps, numerator, table, rates, lay):
    """Build the maps of the images in the lanes; `below` of the first step is there.

    The reciprocals of the roots after a convolution are times the numerator.
    """
    lanes = lane_count(work)
    margin = lay.margin
    nothing, one = number(work, 0.0), number(work, 1.0)
    zero, total = at(work, lay.zero), at(work, lay.older)
    some, other = at(work, lay.gathered), at(work, lay.chords)
    for k in range(table.shape[0]):
        stride_x, columns = table[k, _S.stride_x], table[k, _S.out_x]
        width = table[k, _S.in_x]
        line_below = width * (1 + lay.wrap) + 2 * margin
        line = columns * (1 + lay.wrap)
        for y in range(table[k, _S.in_y]):
            row = maps + (table[k, _S.below] + (y + margin) * line_below + margin) * lanes
            if lay.wrap:
                _wrap_row(work, row, width, lay)
            sum_row(total, zero, zero, zero, columns * lanes)
            first = row - table[k, _S.low_x] * lanes
            size_x, dilation_x = table[k, _S.size_x], table[k, _S.dilation_x]
            _add_columns(work, lay.older, first, size_x, stride_x, dilation_x, columns)
            roots_row(total, some, other, one, nothing, one, columns * lanes)
            target = maps + (y + margin) * line * lanes
            for x in range(line):
                source, place = x % columns * lanes, target + x * lanes
                sums = place + table[k, _S.sums] * lanes
                scales = place + table[k, _S.scales] * lanes
                add_edge(at(work, sums), nothing, at(some, source))
                add_edge(at(work, scales), nothing, at(other, source))
        for i in range(table[k, _S.out_y]):
            sum_row(total, zero, zero, zero, columns * lanes)
            for a in range(table[k, _S.size_y]):
                y = table[k, _S.stride_y] * i - table[k, _S.low_y] + a * table[k, _S.dilation_y]
                y = y % table[k, _S.in_y] if lay.wrap else y
                row = maps + (table[k, _S.sums] + (y + margin) * line) * lanes
                add_squares(total, at(work, row), columns * lanes)
            roots_row(total, some, other, rates[k, 0], rates[k, 5], numerator, columns * lanes)
            pair = maps + (table[k, _S.root] + 2 * i * line) * lanes
            for x in range(line):
                source = x % columns * lanes
                add_edge(at(work, pair + 2 * x * lanes), nothing, at(some, source))
                add_edge(at(work, pair + (2 * x + 1) * lanes), nothing, at(other, source))
            _add_levels(work, maps + table[k, _S.level] * lanes, pair, i == 0, columns)
            if k + 1 < table.shape[0]:
                factor = one if table[k, _S.activation] == LINEAR else rates[k, 6]
                above = (i + margin) * (columns * (1 + lay.wrap) + 2 * margin) + margin
                after = at(work, maps + (table[k + 1, _S.below] + above) * lanes)
                weight, bias = factor * rates[k, 0], factor * rates[k, 5]
                roots_row(total, after, other, weight, bias, one, columns * lanes)


@njit(**OPTIONS)
def select(pixels, image, work, lane, table, lay):
    """Take one image x, whose maps are in a lane of `maps1`; pixels in units of their lengths."""
    lanes = lane_count(work)
    for q in range(lay.map_size):
        put(work, lay.map1 + q, get(work, lay.maps1 + q * lanes + lane))
    zero, one = number(work, 0.0), number(work, 1.0)
    line = lay.width * (1 + lay.wrap) + 2 * lay.margin
    for y in range(lay.height):
        for c in range(lay.channels):
            for x in range(lay.width):
                q = (y * lay.channels + c) * lay.width + x
                length = one
                if table.shape[0] > 0:
                    place = (y + lay.margin) * line + x + lay.margin
                    length = get(work, lay.map1 + place)
                pixel = pixels[image, q]
                put(work, lay.pixels1 + q, pixel / length if length > zero else zero)
