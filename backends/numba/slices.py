"""Displacement slices: blocks of pairs of images through all layers, in memory of a few images.

For each displacement d = t' - t the distances D(t, t + d) form a rectangle that goes through all
steps on its own and in place. Rows of the rectangle are taken in order; the horizontal box sums of
the last few are kept in a ring. A position outside of exactly one image has covariance 0, so its
distance is the variance in the other one: these edges are filled in from the maps of roots, in
which positions outside are 0. With circular padding a slice has all positions, edges are copies.

A slice that turns out to need it in some lane is computed again with deficits in the place of
distances, and its sums are those of these lanes.

Everything lives in flat arrays at the offsets of `refntk.backends.numba.layout.Layout`: `work`,
`tangent` (None without NTK), and in the careful form `excess`, up to the first Relu, and `plain`,
which is K itself. Below the first step the NTK is zero; there its place is taken by K of the
images, whose sum is the NTK before the first Relu: a difference would lose it where it is small.
"""

from __future__ import annotations

from numba import njit

from refntk.backends.numba.calls import careful_row, fast_row
from refntk.backends.numba.careful import chord_row, tower_row
from refntk.backends.numba.frames import (
    displaced,
    extent,
    frame_of,
    map_rows,
    rows_of_sums,
    wrapped,
)
from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    add_difference,
    add_edge,
    at,
    compiled,
    covariance,
    deficit,
    excess,
    get,
    lane_count,
    number,
    product,
    put,
    some,
    square_edge,
    start,
)
from refntk.backends.numba.layout import Step
from refntk.backends.numba.maps import build_maps, gather, load_lanes, select, unit_pixels
from refntk.backends.numba.rows import add_row, sum_row
from refntk.backends.table import LINEAR, SIGNED

__all__ = [
    "advance_function",
    "begin",
    "block_sums",
    "compare",
    "fast_sums",
    "needed",
    "row_of",
    "total",
]

_S = Step()


@njit(**OPTIONS)
def begin(work, tangent, excesses, plain, dy, dx, careful, table, lay, lay2):
    """Slice of the images: distances and K; or deficits, excesses and K; with no step, K alone."""
    lanes = lane_count(work)
    y0, height = extent(lay.height, lay2.height, dy, lay.wrap)
    x0, width = extent(lay.width, lay2.width, dx, lay.wrap)
    line = lay2.width * (1 + lay.wrap)
    map_line1 = lay.width * (1 + lay.wrap) + 2 * lay.margin
    map_line2 = line + 2 * lay.margin
    steps = lay.width, line * lanes, lay.channels
    for i in range(height):
        one = lay.pixels1 + (y0 + i) * lay.channels * lay.width + x0
        y = (y0 + i + dy) % lay2.height
        two = lay.pixels2 + (y * lay.channels * line + x0 + dx) * lanes
        out = lay.slice + i * lay.line + lay.margin * lanes
        length1 = lay.map1 + (y0 + i + lay.margin) * map_line1 + lay.margin + x0
        length2 = lay.maps2 + ((y + lay.margin) * map_line2 + lay.margin + x0 + dx) * lanes
        for j in range(width):
            x1, x2 = at(work, one + j), at(work, two + j * lanes)
            target = at(work, out + j * lanes)
            if table.shape[0] == 0:
                product(target, x1, steps[0], x2, steps[1], steps[2])
            else:
                s1, s2 = at(work, length1 + j), at(work, length2 + j * lanes)
                deficit(target, x1, steps[0], x2, steps[1], steps[2], s1, s2)
                if careful:
                    other = at(excesses, out + j * lanes)
                    excess(other, x1, steps[0], x2, steps[1], steps[2], s1, s2)
                    other = at(plain, out + j * lanes)
                    covariance(other, x1, steps[0], x2, steps[1], steps[2], s1, s2)
                else:
                    add_difference(target, get(s1, 0), s2)
                    if tangent is not None:
                        other = at(tangent, out + j * lanes)
                        covariance(other, x1, steps[0], x2, steps[1], steps[2], s1, s2)


@njit(**INLINE)
def _fill_edge(array, row, column, source, lay):
    """Copy a column from the other side with circular padding, else clear it."""
    if array is not None:
        lanes = lane_count(array)
        place = row + source * lanes if lay.wrap else lay.zero
        add_edge(at(array, row + column * lanes), number(array, 0.0), at(array, place))


@njit(**OPTIONS)
def _edges(work, tangent, excesses, plain, careful, step, frame, lay):
    """Complete all rows of the slice with the columns that windows read on both sides."""
    lanes = lane_count(work)
    for r in range(frame.height):
        row = lay.slice + r * lay.line + lay.margin * lanes
        y1, y2 = map_rows(r, get(step, _S.in_y), frame, lay)
        one = frame.below1 + y1 * frame.line_below1
        two = frame.below2 + y2 * frame.line_below2 * lanes
        for k in range(frame.left + frame.right):
            column = k - frame.left if k < frame.left else frame.width + k - frame.left
            source = column + frame.width if k < frame.left else column - frame.width
            if lay.wrap or careful:
                _fill_edge(work, row, column, source, lay)
            else:
                root = get(work, one + column)
                square_edge(at(work, row + column * lanes), root, at(work, two + column * lanes))
            _fill_edge(tangent, row, column, source, lay)
            _fill_edge(excesses, row, column, source, lay)
            _fill_edge(plain, row, column, source, lay)


@njit(**OPTIONS)
def _halo(work, r, step, frame, lay):
    """Write row r, which lies outside of the rectangle, with its edges."""
    lanes = lane_count(work)
    y1, y2 = map_rows(r, get(step, _S.in_y), frame, lay)
    one = frame.below1 + y1 * frame.line_below1
    two = frame.below2 + y2 * frame.line_below2 * lanes
    for column in range(-frame.left, frame.width + frame.right):
        out = at(work, lay.halo + (column + frame.left) * lanes)
        square_edge(out, get(work, one + column), at(work, two + column * lanes))


@njit(**INLINE)
def _source(work, r, known, careful, step, frame, lay):
    """Offsets, for D and for the NTK, of the first column that a window reads of row r."""
    if lay.wrap or 0 <= r < frame.height:
        row = lay.slice + (lay.margin - frame.left) * lane_count(work)
        row += wrapped(r, frame.height) * lay.line
        return row, row if known else lay.zero
    if careful:
        return lay.zero, lay.zero
    _halo(work, r, step, frame, lay)
    return lay.halo, lay.zero


@njit(**INLINE)
def _older(array, count, oldest, dilation, slots, columns, lay):
    """Offsets of two rows that sum to `count` box sums, from slot `oldest` of the ring on."""
    if count == 0:
        return lay.zero, lay.zero
    one = lay.ring + oldest * lay.slot
    two = lay.ring + wrapped(oldest + dilation, slots) * lay.slot if count > 1 else lay.zero
    if count > 2 and array is not None:
        lanes = lane_count(array)
        three = lay.ring + wrapped(oldest + 2 * dilation, slots) * lay.slot
        length = columns * lanes
        sum_row(at(array, lay.older), at(array, one), at(array, two), at(array, three), length)
        for k in range(3, count):
            other = lay.ring + wrapped(oldest + k * dilation, slots) * lay.slot
            add_row(at(array, lay.older), at(array, other), length)
    if count > 2:
        return lay.older, lay.zero
    return one, two


@njit(**OPTIONS)
def _add_chords(work, excess, slot, r, step, frame, lay):
    """Add to the sums of row r what Cauchy and Schwarz say about the columns of each window."""
    lanes = lane_count(work)
    size, stride, columns = get(step, _S.size_x), get(step, _S.stride_x), frame.columns
    apart = get(step, _S.dilation_x)
    y1, y2 = map_rows(r, get(step, _S.in_y), frame, lay)
    below1 = frame.below1 + y1 * frame.line_below1 - frame.left
    below2 = frame.below2 + (y2 * frame.line_below2 - frame.left) * lanes
    sums1, sums2 = rows_of_sums(r, get(step, _S.in_y), lanes, frame, lay)
    scales1, scales2 = sums1 + frame.scales1, sums2 + frame.scales2 * lanes
    zero = lay.zero
    for b in range(0, size, 3):
        one1, one2 = below1 + b * apart, below2 + b * apart * lanes
        two1, two2 = (one1 + apart, one2 + apart * lanes) if size - b > 1 else (zero, zero)
        three1, three2 = (zero, zero)
        if size - b > 2:
            three1, three2 = one1 + 2 * apart, one2 + 2 * apart * lanes
        ones = some(work, (one1, two1, three1, scales1, sums1))
        twos = some(work, (one2, two2, three2, scales2, sums2))
        chord_row(at(work, lay.chords), ones, twos, stride, columns)
        add_row(at(work, slot), at(work, lay.chords), columns * lanes)
        if excess is not None:
            add_row(at(excess, slot), at(work, lay.chords), columns * lanes)


@njit(**OPTIONS)
def _add_towers(work, array, first, count, map1, map2, step, frame, lay):
    """Add to the sum of `count` older rows, from row `first`, what Cauchy and Schwarz say."""
    if array is not None:
        lanes = lane_count(work)
        apart = get(step, _S.dilation_y)
        for r in range(first, first + count * apart, apart):
            sums1, sums2 = rows_of_sums(r, get(step, _S.in_y), lanes, frame, lay)
            tower_row(
                at(array, lay.older), at(work, sums1), at(work, sums2),
                at(work, map1), at(work, map2), frame.columns,
            )  # fmt: skip


def advance_function(call, careful, ends):
    """Build the function that takes a slice through one step.

    Parameters
    ----------
    call : compiled function
        Calls the right row function.
    careful : bool
        Whether the slice has deficits, else distances.
    ends : bool
        Whether the last step of the table is followed by something else than another one.

    Returns
    -------
    compiled function (memory, k, displacement, tables, rates, constants, lay)
        Takes a slice through step k, in place. `memory` is work, tangent, excesses and plain.
        Excesses are None after the first activation, and they and K itself where the slice has
        distances. In the careful form the NTK is not known before step 0. The displacement (dy, dx)
        is that after the last step. Tables are of images x, and of x'.
    """

    @njit(**OPTIONS)
    def advance(memory, k, displacement, tables, rates, constants, lay):
        work, tangent, excesses, plain = memory
        lanes = lane_count(work)
        frame, table = frame_of(tables, k, displacement, careful, lanes, lay), tables[0]
        # A row of the array would be counted at every call that it is handed to.
        step = at(start(table), k * table.shape[1])
        size, stride, low = get(step, _S.size_y), get(step, _S.stride_y), frame.low
        apart = get(step, _S.dilation_y)
        span = (size - 1) * apart + 1
        size_x = get(step, _S.size_x)
        columns, known = frame.columns, not careful or not get(step, _S.fresh)
        kind = 2 * (ends and k + 1 == table.shape[0]) + frame.direct
        _edges(work, tangent, excesses, plain, careful, step, frame, lay)
        ready, oldest = -low, 0
        for i in range(frame.rows):
            begin = stride * i - low
            newest = begin + span - 1
            # Slices are overwritten from the top, and wrapped windows come back to the top.
            bound = newest + 1 - frame.direct
            if lay.wrap:
                bound = stride * (frame.rows - 1) - low + span
            for r in range(max(ready, begin), bound):
                row, row_t = _source(work, r, known, careful, step, frame, lay)
                slot = lay.ring + wrapped(oldest + r - begin, frame.slots) * lay.slot
                stride_x, apart_x = get(step, _S.stride_x), get(step, _S.dilation_x)
                own = row if careful else row_t
                gather(work, slot, row, size_x, stride_x, apart_x, columns, lay)
                gather(tangent, slot, row_t, size_x, stride_x, apart_x, columns, lay)
                gather(excesses, slot, row, size_x, stride_x, apart_x, columns, lay)
                gather(plain, slot, own, size_x, stride_x, apart_x, columns, lay)
                if careful and size_x > 1:
                    _add_chords(work, excesses, slot, r, step, frame, lay)
            ready = max(ready, bound + frame.direct)
            slot = lay.ring + wrapped(oldest + span - 1, frame.slots) * lay.slot
            rows = slot, slot
            if frame.direct:
                rows = _source(work, newest, known, careful, step, frame, lay)
            map1 = frame.root1 + 2 * i * frame.line1
            other = wrapped(i + frame.other, frame.rows2)
            map2 = frame.root2 + 2 * other * frame.line2 * lanes
            older = _older(work, size - 1, oldest, apart, frame.slots, columns, lay)
            _older(tangent, size - 1, oldest, apart, frame.slots, columns, lay)
            _older(excesses, size - 1, oldest, apart, frame.slots, columns, lay)
            _older(plain, size - 1, oldest, apart, frame.slots, columns, lay)
            if careful and size > 3:
                _add_towers(work, work, begin, size - 1, map1, map2, step, frame, lay)
                _add_towers(work, excesses, begin, size - 1, map1, map2, step, frame, lay)
            oldest += stride
            oldest = oldest % frame.slots if stride >= frame.slots else wrapped(oldest, frame.slots)
            out = lay.slice + i * lay.line + lay.margin * lanes
            places = out, rows, older, slot, map1, map2, newest
            what = get(step, _S.activation), kind
            call(what, memory, places, rates, constants, step, frame, lay)

    return advance


_advance = advance_function(fast_row, False, True)
_advance_careful = advance_function(careful_row, True, True)


@njit(**OPTIONS)
def total(array, worst, careful, out, height, width, lay):
    """Add the sum of a slice to `out`, in pairs and then in double precision.

    Those lanes count that need the careful form, or the others.
    """
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
            if (get(worst, v) < 0.0) == careful:
                out[v] += get(array, first + v)


@njit(**INLINE)
def row_of(constants, k):
    """Row of the constants as a tuple; None of None."""
    if constants is None:
        return None
    return (
        constants[k, 0], constants[k, 1], constants[k, 2],
        constants[k, 3], constants[k, 4], constants[k, 5],
    )  # fmt: skip


@njit(**OPTIONS)
def _add_totals(work, tangent, careful, displacement, tables, out, lay, lay2):
    """Add the sums of a slice that went through all steps."""
    (table, other), (dy, dx) = tables, displacement
    steps, height, width, height2, width2 = (
        table.shape[0], lay.height, lay.width, lay2.height, lay2.width
    )
    if steps > 0:
        height, width = table[steps - 1, _S.out_y], table[steps - 1, _S.out_x]
        height2, width2 = other[steps - 1, _S.out_y], other[steps - 1, _S.out_x]
    height = extent(height, height2, dy, lay.wrap)[1]
    width = extent(width, width2, dx, lay.wrap)[1]
    worst = at(work, lay.worst)
    total(work, worst, careful, out[0], height, width, lay)
    if tangent is not None:
        total(tangent, worst, careful, out[1], height, width, lay)


@njit(**INLINE)
def _rate_of(rates, k):
    """Rates of step k, as many as the row functions read."""
    return rates[k, 0], rates[k, 1], rates[k, 2], rates[k, 3], rates[k, 4]


@njit(**OPTIONS)
def _fast_slice(memory, displacement, static, lay, lay2, out):
    """Take one slice from the images to the sums over its positions; of the lanes that can."""
    (work, tangent, excesses, plain), (tables, rates, constants, _) = memory, static
    table = tables[0]
    below_y, below_x = displaced(table, 0, displacement[0], displacement[1])
    begin(work, tangent, excesses, plain, below_y, below_x, False, table, lay, lay2)
    for k in range(table.shape[0]):
        rate, own = _rate_of(rates, k), row_of(constants, k)
        _advance((work, tangent, None, None), k, displacement, tables, rate, own, lay)
    _add_totals(work, tangent, False, displacement, tables, out, lay, lay2)


@njit(**OPTIONS)
def _careful_slice(memory, displacement, static, lay, lay2, out):
    """Do the same in the careful form, for the lanes that need it; say that it is done."""
    (work, tangent, excesses, plain), (tables, rates, constants, _) = memory, static
    table, early = tables[0], True
    below_y, below_x = displaced(table, 0, displacement[0], displacement[1])
    begin(work, tangent, excesses, plain, below_y, below_x, True, table, lay, lay2)
    for k in range(table.shape[0]):
        rate, own = _rate_of(rates, k), row_of(constants, k)
        if early:
            _advance_careful(memory, k, displacement, tables, rate, own, lay)
        else:
            later = work, tangent, None, plain
            _advance_careful(later, k, displacement, tables, rate, own, lay)
        early = early and table[k, _S.activation] == LINEAR
    _add_totals(work, tangent, True, displacement, tables, out, lay, lay2)
    return True


@njit(**OPTIONS)
def _give_up(memory, displacement, static, lay, lay2, out):
    """Stand for `_careful_slice` where that is not compiled: nothing is done."""
    return False


@njit(**OPTIONS)
def compare(work, table, other, limit, lay):
    """Find the lanes with an image that is unlike x in size, after some convolution.

    All lanes are where the first convolution has no Relu: K, a sum with signs, and the NTK are two
    things then.
    """
    for v in range(lane_count(work)):
        unlike = table.shape[0] > 0 and table[0, _S.activation] != SIGNED
        for k in range(table.shape[0]):
            one = lay.map1 + table[k, _S.level]
            two = lay.maps2 + other[k, _S.level] * lane_count(work) + v
            means = get(work, one) * get(work, two)
            positions = number(work, table[k, _S.out_y] * table[k, _S.out_x])
            for square in (get(work, one + 1), get(work, two + lane_count(work))):
                unlike = unlike or square * positions > limit * means > number(work, 0.0)
        put(work, lay.unlike + v, number(work, -1.0 if unlike else 1.0))


@njit(**OPTIONS)
def needed(work, all_lanes, lay):
    """Whether some lane, or each, needs the careful form."""
    count = 0
    for v in range(lane_count(work)):
        if get(work, lay.worst + v) < number(work, 0.0):
            count += 1
    return count == lane_count(work) if all_lanes else count > 0


@njit(**INLINE)
def _sums(careful_slice, pixels, part, static, layouts, memory, out):
    """Sum a block; a slice that needs the careful form is handed to `careful_slice`."""
    (pixels1, pixels2), (rows, lane, bounds), (lay, lay2) = pixels, part, layouts
    (table, other), rates, _, limit = static
    work = start(memory[0])
    pointers = work, start(memory[1]), start(memory[2]), start(memory[3])
    load_lanes(pixels1, rows[0], work, lay.pixels2, lay)
    if table.shape[0] > 0:
        unit_pixels(work, lay.maps1, lay)
        build_maps(work, lay.maps1, number(work, 0.5), table, rates, lay)
    load_lanes(pixels2, lane, work, lay.pixels2, lay2)
    if table.shape[0] > 0:
        unit_pixels(work, lay.maps2, lay2)
        build_maps(work, lay.maps2, number(work, 1.0), other, rates, lay)
    for row in range(rows[0], rows[1]):
        select(pixels1, row, work, row - rows[0], table, lay)
        compare(work, table, other, limit, lay)
        for dy in range(bounds[0], bounds[1]):
            for dx in range(bounds[2], bounds[3]):
                for v in range(lane_count(work)):
                    put(work, lay.worst + v, get(work, lay.unlike + v))
                if not needed(work, True, lay):
                    _fast_slice(pointers, (dy, dx), static, lay, lay2, out[row])
                done = True
                if needed(work, False, lay):
                    done = careful_slice(pointers, (dy, dx), static, lay, lay2, out[row])
                if not done:
                    return False
    return True


@compiled
def block_sums(pixels, part, static, layouts, memory, out):
    """Sum the kernels at the readout over positions and some displacements, for a block of pairs.

    Parameters
    ----------
    pixels : two float arrays, shapes (N, H C W), (M, H C W)
        Images x, and x', each [y, channel, x]; scaled so that K of the images is their product. All
        x' have the shape of x, or all have that of x turned by 90 degrees.
    part : tuple
        Rows (first image x, and the one after the last; as many as there are lanes at most), the
        image x' in the first lane, and bounds: displacements dy from, to, dx from, to.
    static : tuple
        The tables of x and of x', int arrays, shape (steps, columns), see `Step`, of which only
        sides and places differ; the rates; the constants, float
        array, shape (steps, 6), see `refntk.backends.table.step_constants`, or None: machine code
        is compiled for either; and how unlike two images may be, the last limit of
        `refntk.backends.numba.rows.LIMITS`. Rates are a float array, shape (steps, 7), of each
        step: c = W_std² / |S|; the two other limits; c / 2, b_std² / 2 and b_std²; and by what an
        activation multiplies variances.
    layouts : two Layout
        Of x and of x', of which only the shape of the images differs.
    memory : four float arrays
        Work, tangent, which is None where the NTK is not wanted, excess and plain, the workspace:
        64-byte aligned, zeros at its first use with this table and layout.
    out : float64 array, shape (N, 1 or 2, lanes)
        Sums are added to it: NNGP, and NTK where there is a tangent.

    Returns
    -------
    bool
        True: all is done.
    """
    return _sums(_careful_slice, pixels, part, static, layouts, memory, out)


@compiled
def fast_sums(pixels, part, static, layouts, memory, out):
    """Do as `block_sums`, bit for bit, but stop at the first slice that needs the careful form.

    Most images never do, and without that form half as much is compiled.

    Parameters
    ----------
    pixels, part, static, layouts, memory, out
        As for `block_sums`.

    Returns
    -------
    bool
        Whether all is done; else `out` is of no use.
    """
    return _sums(_give_up, pixels, part, static, layouts, memory, out)
