"""Small pieces of machine code: lanes, pointers into a workspace, vector width, polynomials.

A *lane* is one image x' of a group of images that are computed side by side, one to each element
of a SIMD register. Arrays of lanes end with an axis of `lane_count` elements, 64 bytes in all.

The workspace is passed around as bare pointers: arrays and their slices carry a reference count,
whose updates cost more than a short row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, update_wrapper
from hashlib import sha256
from pathlib import Path
from types import CellType, FunctionType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refntk.backends import arccos, table
from refntk.backends.arccos import ANGLE, SEGMENT
from refntk.backends.numba.code_cache import compile_and_keep

__all__ = [
    "INLINE",
    "LANE_BYTES",
    "OPTIONS",
    "add_difference",
    "add_edge",
    "add_kept",
    "angle",
    "at",
    "compiled",
    "covariance",
    "deficit",
    "excess",
    "get",
    "lane_count",
    "lanes_of",
    "number",
    "polynomial",
    "power_of_two",
    "product",
    "put",
    "segment",
    "some",
    "square_edge",
    "start",
    "wide",
]

LANE_BYTES = 64
"""Bytes of one row of lanes: one 512-bit register, or two of 256 bits."""

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "forceinline": False,  # said here, because a callee inherits what its caller says
    # Only fused multiply-add: nothing may be reordered, and NaN and infinity keep their meaning.
    "fastmath": {"contract"},
}
"""Options of every compiled function of this backend."""

INLINE: dict[str, Any] = {**OPTIONS, "forceinline": True}
"""Options of the small ones."""

_NO_VALUE = types.none()


def compiled(
    function: Callable[..., Any], names: dict[str, Any] | None = None, key: str = ""
) -> Any:
    """Compile a function when it is called, and keep the result on disk where that is possible.

    Parameters
    ----------
    function : function
    names : dict, optional
        What global names of the function stand for in this version of it.
    key : str
        Tells versions apart.

    Returns
    -------
    compiled function

    Notes
    -----
    Numba asks of what it finds on disk that the file of this function be the same, and the cells of
    its closure. The functions that it calls are in other files, all of which go into a cell: what
    another version of the package left behind is then not taken for this one's.
    """
    code = function.__code__.replace(co_freevars=("sources",))
    known = {**function.__globals__, **names} if names else function.__globals__
    stamped = FunctionType(code, known, closure=(CellType(_sources() + key),))
    update_wrapper(stamped, function)
    return compile_and_keep(stamped, OPTIONS)


@cache
def _sources() -> str:
    """Digest of all that is compiled."""
    shared = Path(arccos.__file__), Path(table.__file__)
    files = [*sorted(Path(__file__).parent.glob("*.py")), *shared]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _bits(dtype: Any) -> int:
    return 64 if dtype == types.float64 else 32


@intrinsic
def wide(typingctx: Any) -> Any:
    """Ask for 512-bit registers, and promise that pointer arguments do not overlap.

    To be called first in a function with a vectorised loop. It sets attributes of that function
    alone: LLVM takes 256 bits by default, and gives up on proving that a dozen rows are distinct.
    Where the processor has no such registers, the width asked for is ignored.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = builder.function
        # AttributeSet.add accepts only names that llvmlite knows, and no attribute with a value.
        set.add(function.attributes, '"prefer-vector-width"="512"')
        function.attributes.add("noinline")
        # The first two arguments are Numba's own: return value and exception.
        for argument in function.args[2:]:
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return _NO_VALUE, codegen


@intrinsic
def start(typingctx: Any, array: Any) -> Any:
    """Pointer to the first element of a contiguous array; None of None."""
    if isinstance(array, types.NoneType):
        return types.none(array), lambda context, *_: context.get_dummy_value()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def at(typingctx: Any, pointer: Any, offset: Any) -> Any:
    """Pointer to an element further on; None of None."""
    if isinstance(pointer, types.NoneType):
        return types.none(pointer, offset), lambda context, *_: context.get_dummy_value()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]], inbounds=True)

    return pointer(pointer, types.intp), codegen


@intrinsic
def some(typingctx: Any, pointer: Any, offsets: Any) -> Any:
    """Pointers to elements further on, one for each offset of a tuple; None of None."""
    if isinstance(pointer, types.NoneType):
        return types.none(pointer, offsets), lambda context, *_: context.get_dummy_value()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = cgutils.unpack_tuple(builder, args[1], len(offsets))
        pointers = [builder.gep(args[0], [place], inbounds=True) for place in places]
        return context.make_tuple(builder, signature.return_type, pointers)

    return types.UniTuple(pointer, len(offsets))(pointer, offsets), codegen


@intrinsic
def get(typingctx: Any, pointer: Any, index: Any) -> Any:
    """Element at an index."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(args[0], [args[1]], inbounds=True))

    return pointer.dtype(pointer, types.intp), codegen


@intrinsic
def put(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Set the element at an index."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(args[0], [args[1]], inbounds=True))
        return context.get_dummy_value()

    return types.none(pointer, types.intp, pointer.dtype), codegen


@intrinsic
def number(typingctx: Any, pointer: Any, value: Any) -> Any:
    """Convert a number to the type of the elements: a float literal is a double by itself."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[1]

    return pointer.dtype(pointer, pointer.dtype), codegen


@intrinsic
def lane_count(typingctx: Any, pointer: Any) -> Any:
    """Count the lanes for the element type of a pointer, a constant for the compiler."""
    count = 8 * LANE_BYTES // _bits(pointer.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, count)

    return types.intp(pointer), codegen


def _load_lanes(builder: Any, pointer: Any, kind: Any) -> Any:
    """Emit the load of one row of lanes as a vector."""
    vector = ir.VectorType(kind, LANE_BYTES * 8 // (32 if isinstance(kind, ir.FloatType) else 64))
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)


def _spread(builder: Any, scalar: Any, vector: Any) -> Any:
    """Emit a vector with a scalar in all lanes."""
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(single, undefined, mask)


def _store_lanes(builder: Any, value: Any, pointer: Any) -> None:
    """Emit the store of a vector."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=4)


# The next three are written as vector instructions, because LLVM unrolls a loop as short as theirs
# into scalar ones before it looks for vectors.


@intrinsic
def add_edge(typingctx: Any, out: Any, scalar: Any, lanes: Any) -> Any:
    """Set one row of lanes: out = scalar + lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = _load_lanes(builder, args[2], args[1].type)
        _store_lanes(builder, builder.fadd(_spread(builder, args[1], value.type), value), args[0])
        return context.get_dummy_value()

    return types.none(out, out.dtype, lanes), codegen


@intrinsic
def add_kept(typingctx: Any, out: Any, lanes: Any, keep: Any) -> Any:
    """Change one row of lanes: out += lanes, in those lanes where keep is negative."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(signature.args[0].dtype)
        old, value, sign = (_load_lanes(builder, arg, kind) for arg in args)
        zero = ir.Constant(value.type, None)
        kept = builder.select(builder.fcmp_ordered("<", sign, zero), value, zero)
        _store_lanes(builder, builder.fadd(old, kept), args[0])
        return context.get_dummy_value()

    return types.none(out, lanes, keep), codegen


@intrinsic
def square_edge(typingctx: Any, out: Any, scalar: Any, lanes: Any) -> Any:
    """Set one row of lanes: out = scalar² + lanes²."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = _load_lanes(builder, args[2], args[1].type)
        one = _spread(builder, builder.fmul(args[1], args[1]), value.type)
        two = builder.fmul(value, value, flags=("contract",))
        _store_lanes(builder, builder.fadd(two, one, flags=("contract",)), args[0])
        return context.get_dummy_value()

    return types.none(out, out.dtype, lanes), codegen


@intrinsic
def add_difference(typingctx: Any, out: Any, scalar: Any, lanes: Any) -> Any:
    """Change one row of lanes: out += (scalar - lanes)²."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = _load_lanes(builder, args[2], args[1].type)
        square = _squared_difference(builder, _spread(builder, args[1], value.type), value)
        old = _load_lanes(builder, args[0], args[1].type)
        _store_lanes(builder, builder.fadd(old, square, flags=("contract",)), args[0])
        return context.get_dummy_value()

    return types.none(out, out.dtype, lanes), codegen


def _over_channels(term: Callable[[Any, Any, Any], Any], scaled: bool, summary: str) -> Any:
    """Build an intrinsic that sums a function of a scalar and of lanes over channels.

    Where it is `scaled`, the sum is multiplied by another scalar and other lanes.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, one, step1, two, step2, count = args[:6]
        kind = context.get_value_type(signature.args[0].dtype)
        vector = _load_lanes(builder, two, kind).type
        total = cgutils.alloca_once_value(builder, ir.Constant(vector, None))
        with cgutils.for_range(builder, count) as loop:
            place1, place2 = (builder.mul(loop.index, step) for step in (step1, step2))
            scalar = builder.load(builder.gep(one, [place1], inbounds=True))
            lanes = _load_lanes(builder, builder.gep(two, [place2], inbounds=True), kind)
            value = term(builder, _spread(builder, scalar, vector), lanes)
            fused = builder.fadd(builder.load(total), value, flags=("contract",))
            builder.store(fused, total)
        result = builder.load(total)
        if scaled:
            factor = builder.fmul(
                _spread(builder, builder.load(args[6]), vector), _load_lanes(builder, args[7], kind)
            )
            result = builder.fmul(factor, result)
        _store_lanes(builder, result, target)
        return context.get_dummy_value()

    place = types.intp
    if scaled:

        def function(typingctx: Any, out: Any, x1: Any, stride1: Any, x2: Any, stride2: Any,
                     channels: Any, factor1: Any, factor2: Any) -> Any:  # fmt: skip
            return types.none(out, x1, place, x2, place, place, factor1, factor2), emit

    else:

        def function(  # type: ignore[misc]
            typingctx: Any, out: Any, x1: Any, stride1: Any, x2: Any, stride2: Any, channels: Any
        ) -> Any:
            return types.none(out, x1, place, x2, place, place), emit

    function.__doc__ = summary
    return intrinsic(function)


def _squared_difference(builder: Any, a: Any, b: Any) -> Any:
    difference = builder.fsub(a, b)
    return builder.fmul(difference, difference, flags=("contract",))


def _squared_sum(builder: Any, a: Any, b: Any) -> Any:
    total = builder.fadd(a, b)
    return builder.fmul(total, total, flags=("contract",))


def _product(builder: Any, a: Any, b: Any) -> Any:
    return builder.fmul(a, b, flags=("contract",))


deficit = _over_channels(
    _squared_difference, True, "Set one row of lanes to s s' times the sum of (n - n')²."
)
excess = _over_channels(_squared_sum, True, "Set one row of lanes to s s' times that of (n + n')².")
covariance = _over_channels(_product, True, "Set one row of lanes to s s' times the sum of n n'.")
product = _over_channels(_product, False, "Set one row of lanes to the sum over channels of x x'.")


def polynomial(table: dict[int, tuple[float, ...]], summary: str) -> Any:
    """Build an intrinsic that evaluates a polynomial of coefficients that depend on the type."""

    def evaluate(typingctx: Any, x: Any) -> Any:
        coefficients = table[_bits(x)]

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = context.get_value_type(x)
            result = ir.Constant(kind, coefficients[-1])
            for coefficient in coefficients[-2::-1]:
                product = builder.fmul(result, args[0], flags=("contract",))
                result = builder.fadd(product, ir.Constant(kind, coefficient), flags=("contract",))
            return result

        return x(x), codegen

    evaluate.__doc__ = summary
    return intrinsic(evaluate)


angle = polynomial(ANGLE, "Value of the polynomial of `refntk.backends.arccos.ANGLE`.")
segment = polynomial(SEGMENT, "Value of the polynomial of `refntk.backends.arccos.SEGMENT`.")


@intrinsic
def power_of_two(typingctx: Any, x: Any) -> Any:
    """Round a number to a whole one, n, and give 2^n and n; |n| must be an exponent of the type."""
    bits = _bits(x)
    digits, offset = (52, 1023) if bits == 64 else (23, 127)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, whole = context.get_value_type(x), ir.IntType(bits)
        # Added to this number, n is the last bits of the digits, which become the exponent's.
        shift = 1.5 * 2.0**digits
        moved = builder.fadd(args[0], ir.Constant(kind, shift + offset))
        rounded = builder.fsub(moved, ir.Constant(kind, shift + offset))
        power = builder.shl(builder.bitcast(moved, whole), ir.Constant(whole, digits))
        pair = builder.bitcast(power, kind), rounded
        return context.make_tuple(builder, signature.return_type, pair)

    return types.UniTuple(x, 2)(x), codegen


def lanes_of(dtype: np.dtype[Any]) -> int:
    """Count the lanes of an array of this dtype."""
    return LANE_BYTES // dtype.itemsize
