"""Where a slice lies at one step: its rectangles, and the rows of the maps that go with them."""

from __future__ import annotations

from numba import njit

from refntk.backends.numba.lanes import INLINE
from refntk.backends.numba.layout import Frame, Step
from refntk.backends.table import LINEAR

__all__ = ["displaced", "extent", "frame_of", "map_rows", "rows_of_sums", "wrapped"]

_S = Step()


@njit(**INLINE)
def extent(n1, n2, displacement, wrap):
    """First position and number of positions t with t inside of x, t + displacement of x'."""
    if wrap:
        return 0, n1
    first = max(0, -displacement)
    return first, min(n1, n2 - displacement) - first


@njit(**INLINE)
def displaced(table, k, dy, dx):
    """Displacements below step k, or after the last one, of a slice that ends at dy, dx."""
    if k == table.shape[0]:
        return dy, dx
    shift_y, shift_x = table[k, _S.shift_y], table[k, _S.shift_x]
    return dy * table[k, _S.scale_y] + shift_y, dx * table[k, _S.scale_x] + shift_x


@njit(**INLINE)
def wrapped(index, modulus):
    """Bring an index that is off by less than one turn into the range; a division is slow."""
    if index < 0:
        return index + modulus
    return index - modulus if index >= modulus else index


@njit(**INLINE)
def frame_of(tables, k, displacement, careful, lanes, lay):
    """Place one slice at step k; the displacement is that after the last step."""
    table, other = tables
    dy_out, dx_out = displacement
    dy, dx = displaced(table, k, dy_out, dx_out)
    above_y, above_x = displaced(table, k + 1, dy_out, dx_out)
    y0, height = extent(table[k, _S.in_y], other[k, _S.in_y], dy, lay.wrap)
    x0, width = extent(table[k, _S.in_x], other[k, _S.in_x], dx, lay.wrap)
    top, rows = extent(table[k, _S.out_y], other[k, _S.out_y], above_y, lay.wrap)
    left, columns = extent(table[k, _S.out_x], other[k, _S.out_x], above_x, lay.wrap)
    size, stride_x = table[k, _S.size_y], table[k, _S.stride_x]
    low = table[k, _S.low_y] + y0 - table[k, _S.stride_y] * top
    low_x = table[k, _S.low_x] + x0 - stride_x * left
    span = (size - 1) * table[k, _S.dilation_y] + 1
    span_x = (table[k, _S.size_x] - 1) * table[k, _S.dilation_x] + 1
    # The row function sums three columns itself, where the newest row is not the one it writes.
    direct = table[k, _S.activation] != LINEAR and table[k, _S.size_x] == 3 and stride_x == 1
    direct = direct and span_x == 3 and span - low > 1 and not lay.wrap and not careful
    right = max(0, stride_x * (columns - 1) - low_x + span_x - width)
    slots = rows * table[k, _S.stride_y] + span if lay.wrap else span
    line1, line2 = table[k, _S.out_x] * (1 + lay.wrap), other[k, _S.out_x] * (1 + lay.wrap)
    line_below1 = table[k, _S.in_x] * (1 + lay.wrap) + 2 * lay.margin
    line_below2 = other[k, _S.in_x] * (1 + lay.wrap) + 2 * lay.margin
    scales1 = table[k, _S.scales] - table[k, _S.sums]
    scales2 = other[k, _S.scales] - other[k, _S.sums]
    below1 = lay.map1 + table[k, _S.below] + lay.margin + x0
    below2 = lay.maps2 + (other[k, _S.below] + lay.margin + x0 + dx) * lanes
    sums1 = lay.map1 + table[k, _S.sums] + left
    sums2 = lay.maps2 + (other[k, _S.sums] + left + above_x) * lanes
    root1 = lay.map1 + table[k, _S.root] + 2 * (left + top * line1)
    root2 = lay.maps2 + (other[k, _S.root] + 2 * (left + above_x)) * lanes
    return Frame(
        y0, dy, height, width, low, low_x, right, rows, columns, slots, int(direct),
        line1, line2, line_below1, line_below2, below1, below2, sums1, sums2, scales1, scales2,
        root1, root2, top + above_y, other[k, _S.out_y],
    )  # fmt: skip


@njit(**INLINE)
def map_rows(r, in_y, frame, lay):
    """Rows of the maps of x and of x' that go with row r of the slice."""
    if lay.wrap:
        one = wrapped(r, in_y)
        return one + lay.margin, wrapped(one + frame.shift, in_y) + lay.margin
    one = frame.first + r + lay.margin
    return one, one + frame.shift


@njit(**INLINE)
def rows_of_sums(r, in_y, lanes, frame, lay):
    """Offsets of row r in the maps of sums of x and of x'."""
    y1, y2 = map_rows(r, in_y, frame, lay)
    return frame.sums1 + y1 * frame.line1, frame.sums2 + y2 * frame.line2 * lanes
