r"""What activations do to one entry of a slice: the row functions of all but the Relu family alone.

A function gets the entry, and gives T, its derivative in K, and the squared distance D after it. An
`Entry` is K, D, the deficit u = 1 - rho in [0, 2], m = s s', and s and s'. `Constants` are numbers
of the arrays' type, ``a`` to ``d`` those of the layer; `one` and `two` are the parameters of the
two features, as many as `PARAMETERS` says, which `refntk.backends.numba.parameters` finds once for
each image. T and its derivative are those of `refntk.ops`. D is a sum in which little cancels, or,
where it says so, the difference of kernels: of smooth functions it is asked for where variances are
large, or numbers short.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba import njit

from refntk.backends.numba.elementary import arc_sine, exponential, short_arc_sine
from refntk.backends.numba.lanes import INLINE, angle, segment

__all__ = ["FUNCTIONS", "PARAMETERS", "Constants", "Entry", "power_function", "spread"]


class Constants(NamedTuple):
    """Numbers of the type of the arrays; those of the layer last."""

    zero: Any
    half: Any
    one: Any
    two: Any
    four: Any
    pi: Any
    quarter_turn: Any
    near: Any
    least: Any
    per_log: Any
    log_high: Any
    log_low: Any
    a: Any
    b: Any
    c: Any
    d: Any


class Entry(NamedTuple):
    """One entry of a slice before an activation."""

    kernel: Any
    distance: Any
    deficit: Any
    scale: Any
    root: Any
    other: Any


@njit(**INLINE)
def spread(root1, root2, value, slope, deficit, scale, c):
    """D as the difference of kernels; where that is rounding by the slope, to first order.

    The roots are those of T(v, v, v), and the square of their difference is what D is at least.
    """
    gap, both = root1 - root2, root1 * root1 + root2 * root2
    rest = both - (value + value)
    close = gap * gap + (slope + slope) * (scale * deficit)
    return rest if rest > c.near * both else close


@njit(**INLINE)
def _error(e, c, one, two):
    """Erf: parameters 1/sqrt A, p = alpha - 1, asin(2V / A); V = b² v, A = 1 + 2V, alpha² = 1 + 4V.

    With (alpha beta - 1)² - (4m)² = (alpha - beta)², g = alpha beta - 1 - 4K is a sum of squares,
    and D is 4/pi times an angle of the sine
    g (alpha beta - 1 + 4K) / (2 sqrt E (alpha beta - 1) + 4K (alpha + beta)).
    """
    inverse1, above1, turn1 = one
    inverse2, above2, turn2 = two
    kernel, four_m, u = e.kernel * c.b, c.four * (e.scale * c.b), e.deficit
    four_k = c.four * kernel
    product = (above1 + above2) + above1 * above2
    # E = 1 + 2V + 2V' + 4 Delta
    sizes = above1 * (c.two + above1) + above2 * (c.two + above2)
    area = (four_m * four_m) * (u * (c.two - u))
    energy = c.one + c.half * (sizes + c.half * area)
    both = inverse1 * inverse2
    root = math.sqrt(energy)
    rho = abs((kernel + kernel) * both)
    half_turn = arc_sine(rho, energy * (both * both) / (c.one + rho), c)
    half_turn = half_turn if kernel > c.zero else -half_turn
    gap, top = above1 - above2, product + four_m
    gain = gap * gap + (four_m * u) * top
    below = top * ((root + root) * product + four_k * (c.two + (above1 + above2)))
    sine = gain * (product + four_k) / (below if below > c.zero else c.one)
    small = sine < c.half and kernel > c.zero
    close = short_arc_sine(sine if small else c.zero)
    distance = close + close if small else (turn1 + turn2) - (half_turn + half_turn)
    # a is 2 a² / pi, d is c², and the derivative of atan2 has b² once more.
    return c.a * half_turn + c.d, (c.a * c.b * c.two) / root, c.a * distance


@njit(**INLINE)
def _gelu(e, c, one, two):
    """Gelu: parameters 1/sqrt(1 + v) and the root of T(v, v, v); D is a difference."""
    inverse1, root1 = one
    inverse2, root2 = two
    kernel, scale, u = e.kernel, e.scale, e.deficit
    square1, square2 = e.root * e.root, e.other * e.other
    square = (c.one + (square1 + square2)) + scale * scale * (u * (c.two - u))
    both = inverse1 * inverse2
    root = math.sqrt(square)
    rho = abs(kernel * both)
    share = both * both
    half_turn = arc_sine(rho, square * share / (c.one + rho), c)
    half_turn = half_turn if kernel > c.zero else -half_turn
    back = c.one / root
    value = kernel * half_turn + (kernel * kernel * back + scale * scale * root) * share
    line = (c.two + (square1 + square2)) * share
    slope = half_turn + (kernel * back) * (back * back + line)
    # a is 1 / (2 pi), b is 1/4.
    value, slope = c.a * value + c.b * kernel, c.a * slope + c.b
    return value, slope, spread(root1, root2, value, slope, u, scale, c)


@njit(**INLINE)
def _wave(e, c, one, two):
    """Sin and Cos: parameters V/2 with V = b² v, and exp(-V).

    With y = b² D / 2 and S = V + V' - y,
    D is (1 - exp(-y)) (1 + C exp(-S)) - C (exp(-V) - exp(-V'))² / 2 times a², C = cos 2c.
    """
    half1, fall1 = one
    half2, fall2 = two
    kernel = e.kernel * c.c
    size = abs(kernel)
    forward = kernel > c.zero
    # Where K is negative D is more than m.
    far = (half1 + half2) - size
    far = far if far > c.zero else c.zero
    least = c.half * c.c * e.distance if e.distance < e.scale else far
    large, falls = exponential(-least, c)
    _, ratio = exponential(-(size + size), c)
    sinh = -c.half * large * ratio
    cosh = large - sinh
    other = cosh - sinh
    sinh = sinh if forward else -sinh
    missing = -falls if forward else c.one - other
    rest = other if forward else large
    gap = fall1 - fall2
    turned = c.a - c.b  # a² cos² c and a² sin² c: their difference is a² C, their sum a²
    distance = missing * ((c.a + c.b) + turned * rest) - c.half * turned * (gap * gap)
    distance = distance if distance > c.zero else c.zero
    return c.a * sinh + c.b * cosh, c.c * (c.a * cosh + c.b * sinh), distance


@njit(**INLINE)
def _gaussian_kernel(e, c, one, two):
    """Rbf: no parameters."""
    far = (e.root * e.root + e.other * e.other) - (e.kernel + e.kernel)
    distance = e.distance if e.distance < e.scale else far
    value, falls = exponential(-(c.a * distance), c)
    return value, (c.a + c.a) * value, -(falls + falls)


@njit(**INLINE)
def _exponential(e, c, one, two):
    """Exp: parameters a exp(V) with V = b² v."""
    (own1,), (own2,) = one, two
    far = (e.root * e.root + e.other * e.other) - (e.kernel + e.kernel)
    distance = e.distance if e.distance < e.scale else far
    large, falls = exponential(-(c.half * c.b * distance), c)
    both, gap = own1 * own2, own1 - own2
    value = both * large
    return value, c.b * value, gap * gap - (both + both) * falls


@njit(**INLINE)
def _bell(e, c, one, two):
    """Gaussian: parameters the root g of 1 + 2B v, with B = -2b.

    At K = m the determinant is h² = (g² + g'²) / 2. In 1/g + 1/g' - 2/h, with the sum S and the
    difference d of the roots, the differences are taken out: d² (1 + S / (2h + S)) / (2 g g' h).
    """
    (root1,), (root2,) = one, two
    u, scale = e.deficit, c.b * e.scale
    area = scale * scale * (u * (c.two - u))
    most = c.half * (root1 * root1 + root2 * root2)
    square = most + area
    root, edge = math.sqrt(square), math.sqrt(most)
    back = c.one / root
    value = c.a * back
    total = root1 + root2
    gap = c.b * (e.root - e.other) * (e.root + e.other) / total
    gap = gap + gap
    own = gap * gap * (c.one + total / (edge + edge + total)) / (root1 * root2)
    turned = (area + area) * back / (root + edge)
    distance = (c.half * own + turned) * c.a / edge
    return value, (c.b * c.b * e.kernel) * (value * (back * back)), distance


@njit(**INLINE)
def _normalized(e, c, one, two):
    """ExpNormalized: no parameters; a is gamma, b is exp(gamma (1 + shift))."""
    large, falls = exponential(-(c.a * e.deficit), c)
    gap = e.root - e.other
    value = c.b * (e.scale * large)
    distance = c.b * (gap * gap - (e.scale + e.scale) * falls)
    return value, c.a * (c.b * large), distance


@njit(**INLINE)
def _rectifier(e, c, one, two):
    """Relu and the like among others: a, b, c and d are half, gain, skip and odd."""
    u = e.deficit
    near = u <= c.one
    w = u if near else c.two - u
    tau = math.sqrt(w)
    turn = tau * angle(w)
    even = c.b * ((w * tau) * segment(w))
    gap = e.root - e.other
    slope = c.a - c.b * turn if near else c.c + c.b * turn
    cosine = c.one - w if near else w - c.one
    value = e.scale * ((c.a if near else c.c) * cosine + c.half * even)
    rise = c.two * c.a * w if near else c.d - c.two * c.c * w
    return value, slope, c.a * (gap * gap) + e.scale * (rise - even)


@njit(**INLINE)
def _jump(e, c, one, two):
    """Sign and step: T is a minus b times the angle; where a variance is zero T and D are not."""
    u = e.deficit
    near = u <= c.one
    w = u if near else c.two - u
    turn = (c.two * c.pi) * (math.sqrt(w) * angle(w))
    theta = turn if near else c.pi - turn
    both = e.scale > c.zero
    value = c.a - c.b * theta if both else c.zero
    some = (c.a if e.root > c.zero else c.zero) + (c.a if e.other > c.zero else c.zero)
    return value, c.zero, (c.b + c.b) * theta if both else some


def power_function(power: int) -> Any:
    """Build the function of max(x, 0)^power: its parameter is the root of T(v, v, v)."""

    @njit(**INLINE)
    def rectified(e, c, one, two):
        (root1,), (root2,) = one, two
        u = e.deficit
        near = u <= c.one
        w = u if near else c.two - u
        tau = math.sqrt(w)
        turn = tau * angle(w)
        rho = c.one - w if near else w - c.one
        older = c.half - turn if near else turn
        newer = c.half * ((rho if near else c.zero) + (w * tau) * segment(w))
        sine = u * (c.two - u)
        below, degree = c.one, c.one
        for _ in range(2, power + 1):
            step = (degree + degree + c.one) * rho * newer + (degree * degree) * sine * older
            older, newer = newer, step
            below, degree = below * e.scale, degree + c.one
        value, slope = below * e.scale * newer, c.a * below * older
        return value, slope, spread(root1, root2, value, slope, u, e.scale, c)

    return rectified


FUNCTIONS: dict[str, Any] = {
    "error": _error,
    "gelu": _gelu,
    "wave": _wave,
    "gaussian_kernel": _gaussian_kernel,
    "exponential": _exponential,
    "bell": _bell,
    "normalized": _normalized,
    "rectifier": _rectifier,
    "jump": _jump,
}
"""By name; ``power K`` and ``series`` are built when they are asked for."""

PARAMETERS: dict[str, int] = {
    "error": 3, "gelu": 2, "wave": 2, "gaussian_kernel": 0, "exponential": 1, "bell": 1,
    "normalized": 0, "rectifier": 0, "jump": 0,
}  # fmt: skip
"""How many parameters of a feature each reads; a power reads one."""
