"""Products of all pairs of two sets of vectors, each the same whatever it is computed along with.

A BLAS would be as fast, but the last digits of its products depend on how many there are and on
where in the matrix they stand. Here each is a sum of its own: chunks of `_CHUNK` terms one after
the other, by fused multiply-add, and then the sums of the chunks.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from refntk.backends.numba.lanes import OPTIONS, at, get, put, some

__all__ = ["COLUMNS", "LANES", "PANEL", "half_square", "product_rows"]

LANES = 8
"""Vectors x' side by side."""

COLUMNS = 64
"""Vectors x' of a block, some groups of lanes."""

_CHUNK = 128
"""Terms of a sum whose factors stay in the first-level cache: those of a group of lanes do."""

_ROWS = 6
"""Vectors x at once: with two registers of sums for each, and no register left, on AVX2."""

PANEL = COLUMNS * _CHUNK
"""Elements of the room for a chunk of the vectors x'."""


def _vector() -> Any:
    return ir.VectorType(ir.DoubleType(), LANES)


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(builder.bitcast(pointer, _vector().as_pointer()), align=8)


def _spread(builder: Any, scalar: Any) -> Any:
    empty = ir.Constant(_vector(), ir.Undefined)
    single = builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(single, empty, places)


def _fused(builder: Any, one: Any, two: Any, three: Any) -> Any:
    product = builder.fmul(one, two, flags=("contract",))
    return builder.fadd(product, three, flags=("contract",))


@intrinsic
def _add_products(typingctx: Any, outs: Any, rows: Any, panel: Any, count: Any) -> Any:
    """Add to each row of lanes of `outs` the sum of `count` products of a row and the panel."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        targets, sources = (cgutils.unpack_tuple(builder, arg, len(outs)) for arg in args[:2])
        zero = ir.Constant(_vector(), None)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in sources]
        with cgutils.for_range(builder, args[3]) as loop:
            place = builder.mul(loop.index, context.get_constant(types.intp, LANES))
            lanes = _load(builder, builder.gep(args[2], [place], inbounds=True))
            for source, total in zip(sources, totals, strict=True):
                scalar = builder.load(builder.gep(source, [loop.index], inbounds=True))
                value = _fused(builder, _spread(builder, scalar), lanes, builder.load(total))
                builder.store(value, total)
        for target, total in zip(targets, totals, strict=True):
            value = builder.fadd(_load(builder, target), builder.load(total))
            builder.store(value, builder.bitcast(target, _vector().as_pointer()), align=8)
        return context.get_dummy_value()

    return types.none(outs, rows, panel, types.intp), codegen


@intrinsic
def _square_sum(typingctx: Any, one: Any, two: Any, sign: Any, count: Any) -> Any:
    """Sum of (one + sign * two)² over `count` elements, a multiple of the lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total = cgutils.alloca_once_value(builder, ir.Constant(_vector(), None))
        factor = _spread(builder, args[2])
        step = context.get_constant(types.intp, LANES)
        with cgutils.for_range(builder, builder.sdiv(args[3], step)) as loop:
            place = [builder.mul(loop.index, step)]
            first, second = (
                _load(builder, builder.gep(pointer, place, inbounds=True)) for pointer in args[:2]
            )
            value = builder.fadd(first, builder.fmul(factor, second))
            builder.store(_fused(builder, value, value, builder.load(total)), total)
        result = builder.load(total)
        half = LANES
        while half > 1:
            half //= 2
            parts = [
                builder.shuffle_vector(
                    result, result,
                    ir.Constant(ir.VectorType(ir.IntType(32), half), [*range(first, first + half)]),
                )
                for first in (0, half)
            ]  # fmt: skip
            result = builder.fadd(*parts)
        return builder.extract_element(result, ir.Constant(ir.IntType(32), 0))

    return types.float64(one, two, types.float64, types.intp), codegen


@njit(**OPTIONS)
def half_square(one, two, sign, size):
    """Half the squared length of one + sign * two, whose size is a multiple of the lanes."""
    return 0.5 * _square_sum(one, two, sign, size)


@njit(**OPTIONS)
def _pack(vectors, size, first, last, begin, count, panel):
    """Bring a chunk of the vectors x' into lanes; the last one fills what is left over."""
    for group in range(0, COLUMNS, LANES):
        for v in range(LANES):
            source = min(first + group + v, last - 1) * size + begin
            target = group * _CHUNK + v
            for k in range(count):
                put(panel, target + k * LANES, get(vectors, source + k))


@njit(**OPTIONS)
def product_rows(one, two, size, rows, columns, panel, out):
    """Products of vectors x and x'.

    Parameters
    ----------
    one, two : pointers to float64
        Vectors x and x', one after the other, each of `size` elements.
    size : int
    rows, columns : (int, int)
        First vector, and the one after the last; of the x' at most `COLUMNS`.
    panel : pointer to float64
        Room for `PANEL` elements.
    out : pointer to float64
        Rows of `COLUMNS` products for each x, and `_ROWS` more at the end to be written to.
    """
    first, last = rows
    for k in range((last - first) * COLUMNS):
        put(out, k, 0.0)
    for begin in range(0, size, _CHUNK):
        count = min(_CHUNK, size - begin)
        _pack(two, size, columns[0], columns[1], begin, count, panel)
        for group in range(0, min(COLUMNS, columns[1] - columns[0]), LANES):
            lanes = at(panel, group * _CHUNK)
            for row in range(first, last, _ROWS):
                # A row after the last one is the last again, and its products go nowhere.
                a, b, c = row, min(row + 1, last - 1), min(row + 2, last - 1)
                d, e, f = min(row + 3, last - 1), min(row + 4, last - 1), min(row + 5, last - 1)
                places = (
                    a * size + begin, b * size + begin, c * size + begin,
                    d * size + begin, e * size + begin, f * size + begin,
                )  # fmt: skip
                target = (row - first) * COLUMNS + group
                targets = (
                    target, target + COLUMNS, target + 2 * COLUMNS,
                    target + 3 * COLUMNS, target + 4 * COLUMNS, target + 5 * COLUMNS,
                )  # fmt: skip
                _add_products(some(out, targets), some(one, places), lanes, count)
