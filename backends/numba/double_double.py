r"""Double-double arithmetic: a number is the sum hi + lo of two doubles, with some 31 digits.

T. J. Dekker, "A floating-point technique for extending the available precision", 1971; products by
fused multiply-add. Results are not normalised: lo may be a few units in the last place of hi.

The segment of Relu's arc-cosine formula (see `refntk.backends.arccos`), with theta = arccos(1 - u),

.. math::
    \frac{\sin\theta - \theta \cos\theta}{\pi} = u \sqrt{u} \, P(2 u - 1), \quad 0 \le u \le 1

is a Chebyshev expansion of degree 28, found with 60 digits and written in powers; it is right to
3e-27.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from refntk.backends.numba.lanes import OPTIONS

__all__ = ["EXACT", "add", "fma", "inverse", "multiply", "rectified", "root"]

EXACT: dict[str, Any] = {**OPTIONS, "fastmath": False}
"""Options of compiled functions in which every operation rounds as it is written."""

_INLINE: dict[str, Any] = {**EXACT, "forceinline": True}

_DOUBLES: tuple[tuple[float, float], ...] = (
    (0.30829228044264445, -2.5772211095416712e-17),
    (0.008966100127065045, 7.335279599108645e-20),
    (0.0008907115156901237, 2.0976315504490296e-20),
    (0.0001310830540052154, 6.951664132513043e-21),
    (2.3554361913208842e-05, -6.562271587489573e-22),
    (4.778719073736562e-06, 3.5235371385219465e-22),
    (1.0519811427061557e-06, 2.171671542950404e-23),
    (2.455737187957696e-07, -3.0791517237441963e-24),
    (5.991596814243477e-08, 3.386179013941819e-24),
    (1.5131070783235247e-08, -1.3891366151055974e-24),
    (3.928212626240175e-09, 3.6304218481406975e-25),
    (1.0431631985413139e-09, 1.1654976705406999e-26),
    (2.823009523966712e-10, 2.9414598186600495e-27),
    (7.762818192816287e-11, 2.3715629930300334e-27),
)
"""Coefficients of P in increasing order, hi and lo."""

_REST: tuple[float, ...] = (
    2.1641389346772973e-11,
    6.1054589158633365e-12,
    1.7405007550436915e-12,
    5.007347212171848e-13,
    1.4524433897230652e-13,
    4.246642525580805e-14,
    1.2492852911130245e-14,
    3.6659856425729284e-15,
    1.0886222635825709e-15,
    3.4952713235376383e-16,
    1.0604532282223161e-16,
    1.9466905812893456e-17,
    5.5496852535405646e-18,
    5.536615246321827e-18,
    1.736881754834453e-18,
)
"""Those after them, of which a double has enough digits."""


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Round a b + c once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), codegen


@intrinsic
def _segment(typingctx: Any, hi: Any, lo: Any) -> Any:
    """Value of P by Horner's rule; each coefficient is larger than all that comes after it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        hi, lo = args
        number = ir.DoubleType()
        total, low = ir.Constant(number, _REST[-1]), ir.Constant(number, 0.0)
        for coefficient in _REST[-2::-1]:
            total = builder.fma(total, hi, ir.Constant(number, coefficient))
        for coefficient, rest in _DOUBLES[::-1]:
            product = builder.fmul(total, hi)
            error = builder.fma(total, hi, builder.fneg(product))
            error = builder.fma(low, hi, builder.fma(total, lo, error))
            large = ir.Constant(number, coefficient)
            total = builder.fadd(large, product)
            rounding = builder.fadd(builder.fsub(large, total), product)
            low = builder.fadd(builder.fadd(rounding, error), ir.Constant(number, rest))
        return context.make_tuple(builder, signature.return_type, (total, low))

    return types.UniTuple(types.float64, 2)(types.float64, types.float64), codegen


@njit(**_INLINE)
def add(a, b, c, d):
    """Sum of a + b and c + d."""
    total = a + c
    part = total - a
    return total, ((a - (total - part)) + (c - part)) + (b + d)


@njit(**_INLINE)
def multiply(a, b, c, d):
    """Product of a + b and c + d."""
    product = a * c
    return product, fma(b, c, fma(a, d, fma(a, c, -product)))


@njit(**_INLINE)
def root(a, b):
    """Square root of a + b; 0 where that is not positive."""
    first = math.sqrt(a if a > 0.0 else 0.0)
    rest = fma(-first, first, a) + b
    return first, rest / (first + first) if first > 0.0 else 0.0


@njit(**_INLINE)
def inverse(a, b):
    """Reciprocal of a + b; 0 of 0."""
    first = 1.0 / a if a > 0.0 else 0.0
    return first, first * (fma(-a, first, 1.0) - b * first)


@njit(**_INLINE)
def rectified(a, b):
    """Value of (sin theta + (pi - theta) cos theta) / (2 pi) at the cosine a + b, from -1 to 1."""
    sign = 1.0 if a >= 0.0 else -1.0
    a, b = sign * a, sign * b
    u = 1.0 - a
    low = ((1.0 - u) - a) - b
    total = u + low
    low = low - (total - u) if total > 0.0 else 0.0
    u = total if total > 0.0 else 0.0
    first, second = root(u, low)
    first, second = multiply(first, second, u, low)
    w, v = add(u + u, low + low, -1.0, 0.0)
    c, d = _segment(w, v)
    first, second = multiply(first, second, c, d)
    half = 0.5 if sign > 0.0 else 0.0
    first, second = add(half * a, half * b, 0.5 * first, 0.5 * second)
    return first, second
