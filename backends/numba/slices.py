"""Displacement slices: blocks of pairs of images through all layers, in memory of a few images.

For each displacement d = t' - t the distances D(t, t + d) form a rectangle that goes through all
steps on its own and in place. Rows of the rectangle are taken in order; the horizontal box sums of
the last few are kept in a ring. A position outside of exactly one image has covariance 0, so its
distance is the variance in the other one: these edges are filled in from the maps of variances, in
which positions outside are 0. With circular padding a slice has all positions, edges are copies.

Everything lives in two flat arrays, `work` and `tangent` (None without NTK), at the offsets of
`refntk.backends.numba.layout.Layout`.
"""

from __future__ import annotations

from numba import njit

from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    add_edge,
    at,
    compiled,
    distance,
    get,
    lane_count,
    number,
    product,
    start,
    triple,
)
from refntk.backends.numba.layout import Step
from refntk.backends.numba.maps import gather, load_lanes, select, variance_maps
from refntk.backends.numba.rows import (
    LINEAR,
    NONNEGATIVE,
    SIGNED,
    add_row,
    row_function,
    sum_row,
)

__all__ = ["block_sums"]

_S = Step()
_linear, _linear_last = (row_function(LINEAR, last, False) for last in (False, True))
_signed, _signed_last = (row_function(SIGNED, last, False) for last in (False, True))
_relu, _relu_last = (row_function(NONNEGATIVE, last, False) for last in (False, True))
_signed_three, _signed_last_three = (row_function(SIGNED, last, True) for last in (False, True))
_relu_three, _relu_last_three = (row_function(NONNEGATIVE, last, True) for last in (False, True))


@njit(**INLINE)
def _extent(n, displacement, wrap):
    """First position and number of positions t with t and t + displacement inside."""
    if wrap:
        return 0, n
    return max(0, -displacement), n - abs(displacement)


@njit(**OPTIONS)
def _begin(work, dy, dx, products, lay):
    """Slice of the images: squared distances, or products, of the pixels."""
    lanes = lane_count(work)
    y0, height = _extent(lay.height, dy, lay.wrap)
    x0, width = _extent(lay.width, dx, lay.wrap)
    line = lay.width * (1 + lay.wrap)
    for i in range(height):
        one = lay.pixels1 + (y0 + i) * lay.channels * lay.width + x0
        row = (y0 + i + dy) % lay.height * lay.channels * line + x0 + dx
        two = lay.pixels2 + row * lanes
        out = lay.slice + i * lay.line + lay.margin * lanes
        for j in range(width):
            target, x1, x2 = at(work, out + j * lanes), at(work, one + j), at(work, two + j * lanes)
            if products:
                product(target, x1, lay.width, x2, line * lanes, lay.channels)
            else:
                distance(target, x1, lay.width, x2, line * lanes, lay.channels)


@njit(**INLINE)
def _copy_edge(array, row, column, source, lay):
    if array is not None:
        lanes = lane_count(array)
        nothing = number(array, 0.0)
        add_edge(at(array, row + column * lanes), nothing, at(array, row + source * lanes))


@njit(**INLINE)
def _clear_edge(array, place, lay):
    if array is not None:
        add_edge(at(array, place), number(array, 0.0), at(array, lay.zero))


@njit(**INLINE)
def _wrapped(index, modulus):
    """Bring an index that is off by less than one turn into the range; a division is slow."""
    if index < 0:
        return index + modulus
    return index - modulus if index >= modulus else index


@njit(**OPTIONS)
def _edges(work, tangent, height, width, low, right, one, two, line, lay):
    """Complete all rows of the slice: `low` columns on the left, `right` ones on the right.

    `one` and `two` are the places of the rectangle's first position in the maps of variances, whose
    rows have `line` positions.
    """
    lanes = lane_count(work)
    for r in range(height):
        row = lay.slice + r * lay.line + lay.margin * lanes
        for k in range(low + right):
            column = k - low if k < low else width + k - low
            if lay.wrap:
                source = column + width if k < low else column - width
                _copy_edge(work, row, column, source, lay)
                _copy_edge(tangent, row, column, source, lay)
            else:
                place = row + column * lanes
                variance = get(work, one + column)
                add_edge(at(work, place), variance, at(work, two + column * lanes))
                _clear_edge(tangent, place, lay)
        one += line
        two += line * lanes


@njit(**OPTIONS)
def _halo(work, r, width, low, right, one, two, line, lay):
    """Write row r, which lies outside of the rectangle, with its edges."""
    lanes = lane_count(work)
    for column in range(-low, width + right):
        variance = get(work, one + r * line + column)
        other = two + (r * line + column) * lanes
        add_edge(at(work, lay.halo + (column + low) * lanes), variance, at(work, other))


@njit(**INLINE)
def _source(work, r, here, known, height, width, low, right, one, two, line, lay):
    """Offsets, for D and for the NTK, of the first column that a window reads of row r.

    `here` is that of row 0; the NTK of the images, not `known`, is zero, as it is outside.
    """
    if lay.wrap or 0 <= r < height:
        row = here + _wrapped(r, height) * lay.line
        return row, row if known else lay.zero
    _halo(work, r, width, low, right, one, two, line, lay)
    return lay.halo, lay.zero


@njit(**INLINE)
def _older(array, count, oldest, slots, columns, lay):
    """Offsets of two rows that sum to `count` box sums, from slot `oldest` of the ring on."""
    if count == 0:
        return lay.zero, lay.zero
    one = lay.ring + oldest * lay.slot
    two = lay.ring + _wrapped(oldest + 1, slots) * lay.slot if count > 1 else lay.zero
    if count > 2 and array is not None:
        lanes = lane_count(array)
        three = lay.ring + _wrapped(oldest + 2, slots) * lay.slot
        length = columns * lanes
        sum_row(at(array, lay.older), at(array, one), at(array, two), at(array, three), length)
        for k in range(3, count):
            other = lay.ring + _wrapped(oldest + k, slots) * lay.slot
            add_row(at(array, lay.older), at(array, other), length)
    if count > 2:
        return lay.older, lay.zero
    return one, two


@njit(**INLINE)
def _row(kind, work, tangent, out, below, older, newest, map1, map2, weight, columns):
    """Call the row function of a step: kind is 4 x activation + 2 x last + three columns to sum."""
    d, t = at(work, out), at(tangent, out)
    below_d, below_t = at(work, below[0]), at(tangent, below[1])
    above_d = triple(work, older[0], older[1], newest)
    above_t = triple(tangent, older[0], older[1], newest)
    one, two = at(work, map1), at(work, map2)
    if kind == 4 * NONNEGATIVE + 1:
        _relu_three(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    elif kind == 4 * SIGNED + 1:
        _signed_three(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    elif kind == 4 * NONNEGATIVE + 3:
        _relu_last_three(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    elif kind == 4 * SIGNED + 3:
        _signed_last_three(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    elif kind == 4 * NONNEGATIVE:
        _relu(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    elif kind == 4 * SIGNED:
        _signed(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    elif kind == 4 * NONNEGATIVE + 2:
        _relu_last(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    elif kind == 4 * SIGNED + 2:
        _signed_last(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    elif kind == 4 * LINEAR:
        _linear(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)
    else:
        _linear_last(d, t, below_d, below_t, above_d, above_t, one, two, weight, columns)


@njit(**OPTIONS)
def _advance(work, tangent, k, dy_out, dx_out, table, weight, lay):
    """Take one slice through step k, in place; displacements are those after the last step."""
    lanes = lane_count(work)
    last = k + 1 == table.shape[0]
    dy, dx = dy_out * table[k, _S.scale_y], dx_out * table[k, _S.scale_x]
    above_y = dy_out if last else dy_out * table[k + 1, _S.scale_y]
    above_x = dx_out if last else dx_out * table[k + 1, _S.scale_x]
    if lay.wrap:
        above_y, above_x = above_y % table[k, _S.out_y], above_x % table[k, _S.out_x]
    y0, height = _extent(table[k, _S.in_y], dy, lay.wrap)
    x0, width = _extent(table[k, _S.in_x], dx, lay.wrap)
    top, rows = _extent(table[k, _S.out_y], above_y, lay.wrap)
    left, columns = _extent(table[k, _S.out_x], above_x, lay.wrap)
    size, stride, low = table[k, _S.size_y], table[k, _S.stride_y], table[k, _S.low_y]
    size_x, stride_x, low_x = table[k, _S.size_x], table[k, _S.stride_x], table[k, _S.low_x]
    right = max(0, stride_x * (columns - 1) - low_x + size_x - width)
    map_line = table[k, _S.in_x] + 2 * lay.margin
    place = table[k, _S.variance] + (y0 + lay.margin) * map_line + x0 + lay.margin
    one, two = lay.map1 + place, lay.maps2 + (place + dy * map_line + dx) * lanes
    # The row function sums three columns itself, where the newest row is not the one it writes.
    activation = table[k, _S.activation]
    direct = activation != LINEAR and size_x == 3 and stride_x == 1
    direct = direct and size - low > 1 and not lay.wrap
    slots = rows * stride + size if lay.wrap else size
    line = table[k, _S.out_x] * (1 + lay.wrap)
    map1 = lay.map1 + table[k, _S.root] + 2 * (top * line + left)
    map2 = lay.maps2 + (table[k, _S.root] + 2 * (left + above_x)) * lanes
    height_above = table[k, _S.out_y]
    kind = 4 * activation + 2 * last + direct
    _edges(work, tangent, height, width, low_x, right, one, two, map_line, lay)
    here = lay.slice + (lay.margin - low_x) * lanes
    ready, oldest = -low, 0
    for i in range(rows):
        first = stride * i - low
        newest = first + size - 1
        # Slices are overwritten from the top, and wrapped windows come back to the top.
        bound = stride * (rows - 1) - low + size if lay.wrap else newest + (0 if direct else 1)
        for r in range(max(ready, first), bound):
            d, t = _source(
                work, r, here, k > 0, height, width, low_x, right, one, two, map_line, lay
            )
            slot = lay.ring + _wrapped(oldest + r - first, slots) * lay.slot
            gather(work, slot, d, size_x, stride_x, columns, lay)
            gather(tangent, slot, t, size_x, stride_x, columns, lay)
        ready = max(ready, bound)
        slot = lay.ring + _wrapped(oldest + size - 1, slots) * lay.slot
        d = t = slot
        if direct:
            d, t = _source(
                work, newest, here, k > 0, height, width, low_x, right, one, two, map_line, lay
            )
            ready = newest + 1
        older = _older(work, size - 1, oldest, slots, columns, lay)
        _older(tangent, size - 1, oldest, slots, columns, lay)
        oldest = (oldest + stride) % slots if stride >= slots else _wrapped(oldest + stride, slots)
        other = map2 + 2 * _wrapped(top + i + above_y, height_above) * line * lanes
        out = lay.slice + i * lay.line + lay.margin * lanes
        _row(kind, work, tangent, out, (d, t), older, slot, map1, other, weight, columns)
        map1 += 2 * line


@njit(**OPTIONS)
def _total(array, out, height, width, lay):
    """Add the sum of a slice to `out`, lane by lane: in pairs, then in double precision."""
    if array is not None:
        lanes = lane_count(array)
        first = lay.slice + lay.margin * lanes
        while height > 1:
            half = height // 2
            kept = height - half
            for i in range(half):
                row = first + i * lay.line
                add_row(at(array, row), at(array, row + kept * lay.line), width * lanes)
            height = kept
        while width > 1:
            half = width // 2
            kept = width - half
            add_row(at(array, first), at(array, first + kept * lanes), half * lanes)
            width = kept
        for v in range(lanes):
            out[v] += get(array, first + v)


@compiled
def block_sums(
    pixels1, pixels2, rows, lane, bounds, table, weights, biases, lay, work, tangent, out
):
    """Sum the kernels at the readout over positions and some displacements, for a block of pairs.

    Parameters
    ----------
    pixels1, pixels2 : float array, shapes (N, H C W), (M, H C W)
        Images x, and x', each [y, channel, x]; scaled so that K of the images is their product.
    rows : (int, int)
        First image x, and the one after the last; as many as there are lanes at most.
    lane : int
        Image x' in the first lane.
    bounds : (int, int, int, int)
        Displacements dy from, to, dx from, to.
    table : int array, shape (steps, 16)
        See `Step`.
    weights, biases : float array, shape (steps,)
        W_std² / |S| and b_std².
    lay : Layout
    work, tangent : float array or None
        The workspace: 64-byte aligned, zeros at its first use with this table and layout.
    out : float64 array, shape (N, 1 or 2, lanes)
        Sums are added to it: NNGP, and NTK where `tangent` is not None.
    """
    work, tangent = start(work), start(tangent)
    load_lanes(pixels1, rows[0], work, lay.pixels2, lay)
    variance_maps(work, lay.pixels2, lay.maps1, table, weights, biases, lay)
    load_lanes(pixels2, lane, work, lay.pixels2, lay)
    variance_maps(work, lay.pixels2, lay.maps2, table, weights, biases, lay)
    steps = table.shape[0]
    height, width, scale_y, scale_x = lay.height, lay.width, 1, 1
    if steps > 0:
        height, width = table[steps - 1, _S.out_y], table[steps - 1, _S.out_x]
        scale_y, scale_x = table[0, _S.scale_y], table[0, _S.scale_x]
    for row in range(rows[0], rows[1]):
        select(pixels1, row, work, row - rows[0], table, lay)
        for dy in range(bounds[0], bounds[1]):
            for dx in range(bounds[2], bounds[3]):
                _begin(work, dy * scale_y, dx * scale_x, steps == 0, lay)
                for k in range(steps):
                    _advance(work, tangent, k, dy, dx, table, weights[k], lay)
                rectangle = _extent(height, dy, lay.wrap)[1], _extent(width, dx, lay.wrap)[1]
                _total(work, out[row, 0], rectangle[0], rectangle[1], lay)
                if tangent is not None:
                    _total(tangent, out[row, 1], rectangle[0], rectangle[1], lay)
