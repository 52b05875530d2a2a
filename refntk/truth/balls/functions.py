r"""Activations in ball arithmetic: T and its derivative, from the statement of each function.

Each rule takes balls of K and of both variances. It reads the layer and shares no formula with
`refntk.ops`. Where a function has a closed form it is evaluated as it stands, at a precision that
makes up for what cancels. `Elementwise` sums Mehler's series with a proven rest: the coefficients
are integrals by the trapezoidal rule, whose error for a function analytic in the strip
:math:`|\Im z| \le d` is at most :math:`2M / (e^{2 \pi d / h} - 1)`, where M bounds the integral of
its size along the edges of the strip; and the rest of the series is what Parseval leaves.

References
----------
L. N. Trefethen, J. A. C. Weideman, "The Exponentially Convergent Trapezoidal Rule", SIAM Review 56,
2014, theorem 5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import comb, factorial
from typing import Any, NamedTuple

from flint import arb, arb_mat, arb_poly, ctx

from refntk.errors import MethodError
from refntk.network.layers import (
    Cos,
    Elementwise,
    Erf,
    Exp,
    ExpNormalized,
    Gaussian,
    Gelu,
    Hermite,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    Sigmoid_like,
    Sign,
    Sin,
)
from refntk.truth.balls.kernels import angle_share, root

__all__ = ["FUNCTIONS", "Moments"]

Pair = tuple[arb, arb]


class Moments(NamedTuple):
    """What is known of an activation.

    Attributes
    ----------
    between : callable
        Takes K, v and v' to T and its derivative in K.
    itself : callable
        Takes v to both for a feature and itself.
    """

    between: Callable[[arb, arb, arb], Pair]
    itself: Callable[[arb], Pair]


def _smooth(between: Callable[[arb, arb, arb], Pair]) -> Moments:
    return Moments(between, lambda v: between(v, v, v))


def _raised(x: arb, power: int) -> arb:
    """Multiply: the power of a ball about 0 is nan in python-flint."""
    total = arb(1)
    for _ in range(power):
        total *= x
    return total


def _erf(a: float, b: float, c: float) -> Moments:
    amplitude, rate, level = arb(a), arb(b), arb(c)

    def between(k: arb, v: arb, w: arb) -> Pair:
        k, v, w = k * rate**2, v * rate**2, w * rate**2
        size = (1 + 2 * v) * (1 + 2 * w)
        angle = (2 * k / size.sqrt()).asin()
        slope = 4 * amplitude**2 * rate**2 / arb.pi() / (size - 4 * k * k).sqrt()
        return amplitude**2 * 2 / arb.pi() * angle + level**2, slope

    return _smooth(between)


def _gelu(k: arb, v: arb, w: arb) -> Pair:
    size = (1 + v) * (1 + w)
    square = size - k * k
    root, angle = square.sqrt(), (k / size.sqrt()).asin()
    value = k * angle + (k * k + v * w * square) / (size * root)
    slope = angle + k / root * (1 / square + (1 - v * w) / size + 1)
    return k / 4 + value / (2 * arb.pi()), arb(1) / 4 + slope / (2 * arb.pi())


def _wave(a: float, b: float, phase: arb) -> Moments:
    amplitude, rate, turn = arb(a) ** 2 / 2, arb(b) ** 2, (2 * phase).cos()

    def between(k: arb, v: arb, w: arb) -> Pair:
        minus = (-rate * (v + w - 2 * k) / 2).exp()
        plus = turn * (-rate * (v + w + 2 * k) / 2).exp()
        return amplitude * (minus - plus), amplitude * rate * (minus + plus)

    return _smooth(between)


def _rbf(gamma: float) -> Moments:
    def between(k: arb, v: arb, w: arb) -> Pair:
        value = (-arb(gamma) * (v + w - 2 * k)).exp()
        return value, 2 * arb(gamma) * value

    return _smooth(between)


def _exp(a: float, b: float) -> Moments:
    rate = arb(b) ** 2

    def between(k: arb, v: arb, w: arb) -> Pair:
        value = arb(a) ** 2 * (rate * (v + w + 2 * k) / 2).exp()
        return value, rate * value

    return _smooth(between)


def _gaussian(a: float, b: float) -> Moments:
    rate = arb(b)

    def between(k: arb, v: arb, w: arb) -> Pair:
        area = (1 - 2 * rate * v) * (1 - 2 * rate * w) - 4 * rate**2 * k * k
        value = arb(a) ** 2 / area.sqrt()
        return value, 4 * rate**2 * k * value / area

    return _smooth(between)


def _normalized(gamma: float, shift: float) -> Moments:
    rate, level = arb(gamma), arb(shift)

    def between(k: arb, v: arb, w: arb) -> Pair:
        size = root(v) * root(w)
        if size.is_zero():
            return arb(0), arb(0)
        rho = k / size if size > 0 else arb(0, 1)
        growth = (rate * (rho + level)).exp()
        return size * growth, rate * growth

    def itself(v: arb) -> Pair:
        growth = (rate * (1 + level)).exp()
        return v * growth, rate * growth

    return Moments(between, itself)


@cache
def _arc(k: int) -> tuple[list[Fraction], list[Fraction]]:
    """Polynomials P and Q of J_k = P(rho) (pi - theta) + Q(rho) sin theta.

    They follow from J_k' = k² J_{k-1}, in which the derivatives of theta and of its sine leave
    P' = k² P_{k-1} and P + (1 - rho²) Q' - rho Q = k² (1 - rho²) Q_{k-1}.
    """
    if k == 0:
        return [Fraction(1)], [Fraction(0)]
    below, beside = _arc(k - 1)
    p = [Fraction(0), *(k * k * c / (n + 1) for n, c in enumerate(below))]
    rest = [Fraction(0)] * (k + 3)
    for n, c in enumerate(beside):
        rest[n] += k * k * c
        rest[n + 2] -= k * k * c
    for n, c in enumerate(p):
        rest[n] -= c
    q = [Fraction(0)] * (k + 4)
    for n in range(k + 1, 0, -1):
        q[n - 1] = ((n + 1) * q[n + 1] - rest[n]) / n
    p[0] = rest[0] - q[1]  # rest[0] is that without the constant
    return p, q[: k + 1]


def _horner(numbers: list[Fraction], x: arb) -> arb:
    total = arb(0)
    for number in reversed(numbers):
        total = total * x + arb(number.numerator) / number.denominator
    return total


def _arc_value(k: int, rho: arb) -> arb:
    """J_k / (2 pi) of a ball of rho: at its midpoint, and by its slope, which grows with rho."""
    one = arb(1)
    middle = rho.mid().max(-one).min(one)
    p, q = _arc(k)
    value = _horner(p, middle) * (arb.pi() - middle.acos())
    value += _horner(q, middle) * (one - middle * middle).nonnegative_part().sqrt()
    steepest = arb(k * k * factorial(2 * k)) / 2
    return value / (2 * arb.pi()) + arb(0, (steepest * rho.rad()).upper())


def _power(degree: int) -> Moments:
    odd = factorial(2 * degree) // (2**degree * factorial(degree))  # (2k - 1)!!

    def between(k: arb, v: arb, w: arb) -> Pair:
        size = root(v) * root(w)
        if size.is_zero():
            return arb(0), arb(0)
        rho = k / size if size > 0 else arb(0, 1)
        if degree == 0:
            return angle_share(rho), arb("nan")
        slope = degree**2 * _raised(size, degree - 1)
        if degree == 1:
            slope *= angle_share(rho)
        else:
            slope *= _arc_value(degree - 1, rho)
        return _raised(size, degree) * _arc_value(degree, rho), slope

    def itself(v: arb) -> Pair:
        value = arb(odd) / 2 * _raised(v, degree)
        if degree == 0:
            return (arb(0) if v.is_zero() else value), arb("nan")
        return value, arb(degree**2 * odd) / (2 * (2 * degree - 1)) * _raised(v, degree - 1)

    return Moments(between, itself)


def _sign(k: arb, v: arb, w: arb) -> Pair:
    size = root(v) * root(w)
    if size.is_zero():
        return arb(0), arb("nan")
    if not size > 0:
        return arb(0, 1), arb("nan")
    one, rho = arb(1), k / size
    low, high = rho.lower().max(-one), rho.upper().min(one)
    return low.asin().union(high.asin()) * 2 / arb.pi(), arb("nan")


def _sign_itself(v: arb) -> Pair:
    if v.is_zero():
        return arb(0), arb("nan")
    return (arb(1) if v > 0 else arb(0).union(arb(1))), arb("nan")


def _polynomial(coefficients: list[arb]) -> Moments:
    """Moments E[a^i b^j] of two Gaussians: choose l of each for pairs, and pair up the rest."""

    def pairings(count: int) -> int:
        return 0 if count % 2 else factorial(count) // (2 ** (count // 2) * factorial(count // 2))

    def between(k: arb, v: arb, w: arb) -> Pair:
        value, slope = arb(0), arb(0)
        for i, one in enumerate(coefficients):
            for j, two in enumerate(coefficients):
                for n in range(i % 2, min(i, j) + 1, 2) if i % 2 == j % 2 else ():
                    ways = comb(i, n) * comb(j, n) * factorial(n) * pairings(i - n)
                    rate = one * two * ways * pairings(j - n)
                    rate *= _raised(v, (i - n) // 2) * _raised(w, (j - n) // 2)
                    value += rate * _raised(k, n)
                    slope += rate * n * _raised(k, n - 1) if n else 0
        return value, slope

    return _smooth(between)


def _hermite(degree: int) -> Moments:
    size = arb(factorial(degree)).sqrt()
    numbers = [arb(0)] * (degree + 1)
    for m in range(degree // 2 + 1):
        count = factorial(degree) // (factorial(m) * factorial(degree - 2 * m) * 2**m)
        numbers[degree - 2 * m] = arb((-1) ** m * count) / size
    return _polynomial(numbers)


@dataclass(frozen=True)
class _Analytic:
    """A function that is analytic in a strip, and its derivative.

    Attributes
    ----------
    value, slope : callable
        Of a ball.
    width : arb
        Half the width of a strip in which both are analytic, and at most level + growth |z|.
    level, growth : int
    """

    value: Callable[[arb], arb]
    slope: Callable[[arb], arb]
    width: float
    level: int
    growth: int


def _logistic(x: arb) -> arb:
    return 1 / (1 + (-x).exp())


def _mish_gate(x: arb) -> arb:
    square = (1 + x.exp()) ** 2
    return (square - 1) / (square + 1)


# In the strips Re exp(z) or Re exp(2z) is not negative, which bounds every quotient below by 2.
_ANALYTIC = {
    "tanh": _Analytic(lambda x: x.tanh(), lambda x: 1 - x.tanh() ** 2, 0.78, 2, 0),
    "sigmoid": _Analytic(
        _logistic, lambda x: _logistic(x) * _logistic(-x), 1.5, 2, 0
    ),
    "softplus": _Analytic(lambda x: (1 + x.exp()).log(), _logistic, 1.5, 4, 1),
    "swish": _Analytic(
        lambda x: x * _logistic(x),
        lambda x: _logistic(x) + x * _logistic(x) * _logistic(-x), 1.5, 2, 2,
    ),
    "mish": _Analytic(
        lambda x: x * _mish_gate(x),
        lambda x: _mish_gate(x) + x * (1 - _mish_gate(x) ** 2) * _logistic(x), 1.0, 4, 8,
    ),
}  # fmt: skip

_EDGE = 18
_SMALL = 1e-21
_KEPT = 4096
_BITS = 192
_CHUNK = 16
_LONGEST = 640


class _Series(NamedTuple):
    """Coefficients at one variance, and what they leave."""

    value: list[arb]
    slope: list[arb]
    square: arb
    rate: arb


class _Mehler:
    """Kernels of a function by Mehler's series.

    Parameters
    ----------
    function : _Analytic
    """

    def __init__(self, function: _Analytic) -> None:
        self._function = function
        self._known: dict[str, _Series] = {}

    def itself(self, v: arb) -> Pair:
        """Give the means of the squares."""
        found = self._series(v)
        return found.square, found.rate

    def between(self, k: arb, v: arb, w: arb) -> Pair:
        """Sum the series, and widen by the rest."""
        one, two = self._series(v), self._series(w)
        size = root(v) * root(w)
        rho = k / size if size > 0 else arb(0, 1)
        if size.is_zero():
            rho = arb(0)
        return self._sum(one.value, two.value, one.square, two.square, rho), self._sum(
            one.slope, two.slope, one.rate, two.rate, rho
        )

    def _sum(self, one: list[arb], two: list[arb], square1: arb, square2: arb, rho: arb) -> arb:
        terms = min(len(one), len(two))
        left1, left2 = (
            square - sum((a * a for a in part[:terms]), arb(0))
            for part, square in ((one, square1), (two, square2))
        )
        total = arb_poly([a * b for a, b in zip(one[:terms], two[:terms], strict=True)])(rho)
        rest = abs(rho).upper() ** terms * (root(left1) * root(left2)).upper()
        return total + arb(0, rest.upper())

    def _series(self, v: arb) -> _Series:
        exactly = f"{v.mid().man_exp()} {v.rad().man_exp()}"
        if exactly not in self._known:
            if len(self._known) == _KEPT:
                self._known.clear()
            self._known[exactly] = self._integrate(v)
        return self._known[exactly]

    def _integrate(self, v: arb) -> _Series:
        with ctx.workprec(_BITS):
            function, r = self._function, root(v)
            # A power of two, so that few tables of Hermite polynomials are needed.
            power = 0
            while r.upper() * arb(2) ** power > function.width:
                power -= 1
            width, table = arb(2) ** power, _table(power)
            values = [function.value(r * z) for z in table.nodes]
            slopes = [function.slope(r * z) for z in table.nodes]
            # On the edges of the strip: (A + B r |z + i d|)² <= 2 (A + B r d)² + 2 B² r² z².
            most = 2 * (function.level + function.growth * r * width) ** 2
            most = (most + 2 * (function.growth * r) ** 2).upper()
            # Beyond the nodes, by |h_n| <= 1.1 exp(z² / 4), twice over for both ends.
            outside = 10 * (function.level + function.growth * (1 + r)) ** 2
            outside = (outside * _EDGE**2 * (-arb(_EDGE) ** 2 / 4).exp()).upper()
            square, rate = (
                sum((d * x * x for d, x in zip(table.density, part, strict=True)), arb(0))
                + arb(0, (table.decay * most + outside).upper())
                for part in (values, slopes)
            )
            rows = [
                [d * x for d, x in zip(table.density, part, strict=True)]
                for part in (values, slopes)
            ]
            columns = arb_mat(rows).transpose()
            series, left, left_rate = _Series([], [], square, rate), square, rate
            for first in range(0, _LONGEST, _CHUNK):
                hermite, norms = table.hermite(first)
                worst = table.decay * (most * norms[-1]).sqrt()
                if not worst * worst < _SMALL * square:
                    break  # the strip is too narrow for more
                found = (hermite * columns).tolist()
                for (a, b), norm in zip(found, norms, strict=True):
                    error = arb(0, (table.decay * (most * norm).sqrt() + outside).upper())
                    series.value.append(a + error)
                    series.slope.append(b + error)
                    one, two = a + error, b + error
                    left, left_rate = left - one * one, left_rate - two * two
                if left < _SMALL * square and left_rate < _SMALL * rate:
                    break
            return series


class _Table:
    """Nodes of the trapezoidal rule for a strip of half the width d = 2^power.

    Attributes
    ----------
    nodes, density : list of arb
        Places, and the step times the Gaussian density there.
    decay : arb
        The error is at most this times the root of a mean of squares along the edges.
    """

    def __init__(self, power: int) -> None:
        self._width = arb(2) ** power
        # 2 pi d / h = 90 leaves 1e-39 of the bound; it grows as exp(2 d sqrt(n)) in degree n.
        step = (2 * arb.pi() * self._width / 90).mid()
        count = int(float((arb(_EDGE) / step).upper())) + 1
        self.nodes = [step * n for n in range(-count, count + 1)]
        self.density = [step * (-z * z / 2).exp() / (2 * arb.pi()).sqrt() for z in self.nodes]
        growth = 2 * (self._width * self._width / 2).exp()
        self.decay = growth / ((2 * arb.pi() * self._width / step).exp() - 1)
        self._last = [arb(0)] * len(self.nodes), [arb(1)] * len(self.nodes)
        self._chunks: list[tuple[arb_mat, list[arb]]] = []

    def hermite(self, first: int) -> tuple[arb_mat, list[arb]]:
        """Give h_n at the nodes for n from `first`, and the means of |h_n(x + i d)|²."""
        while len(self._chunks) * _CHUNK <= first:
            begin, rows = len(self._chunks) * _CHUNK, []
            older, newer = self._last
            for n in range(begin, begin + _CHUNK):
                rows.append(newer)
                down, up = arb(n).sqrt(), arb(n + 1).sqrt()
                older, newer = newer, [
                    (z * h - down * o) / up
                    for z, h, o in zip(self.nodes, newer, older, strict=True)
                ]
            self._last = older, newer
            # The sum of C(n, j) d^(2j) / j!.
            norms = [
                sum((comb(n, j) * self._width ** (2 * j) / factorial(j) for j in range(n + 1)),
                    arb(0))
                for n in range(begin, begin + _CHUNK)
            ]  # fmt: skip
            self._chunks.append((arb_mat(rows), norms))
        return self._chunks[first // _CHUNK]


_table = cache(_Table)


def _elementwise(layer: Elementwise) -> Moments:
    if not isinstance(layer.fn, str) or layer.fn not in _ANALYTIC:
        name = layer.fn if isinstance(layer.fn, str) else "a function of your own"
        raise MethodError(
            f"ball arithmetic has no rule for {name}: it knows {', '.join(_ANALYTIC)}"
        )
    series = _mehler(layer.fn)
    return Moments(series.between, series.itself)


@cache
def _mehler(name: str) -> _Mehler:
    return _Mehler(_ANALYTIC[name])


FUNCTIONS: dict[type, Callable[[Any], Moments]] = {
    Erf: lambda layer: _erf(layer.a, layer.b, layer.c),
    Sigmoid_like: lambda layer: _erf(0.5, 1 / 2.4020563531719796, 0.5),
    Gelu: lambda layer: _smooth(_gelu),
    Sin: lambda layer: _wave(layer.a, layer.b, arb(layer.c)),
    Cos: lambda layer: _wave(layer.a, layer.b, arb(layer.c) + arb.pi() / 2),
    Rbf: lambda layer: _rbf(layer.gamma),
    Exp: lambda layer: _exp(layer.a, layer.b),
    Gaussian: lambda layer: _gaussian(layer.a, layer.b),
    ExpNormalized: lambda layer: _normalized(layer.gamma, layer.shift),
    RectifiedMonomial: lambda layer: _power(layer.degree),
    Polynomial: lambda layer: _polynomial([arb(number) for number in layer.coef]),
    Hermite: lambda layer: _hermite(layer.degree),
    Sign: lambda layer: Moments(_sign, _sign_itself),
    Elementwise: _elementwise,
}
"""By class of layer, what is known of it; the precision is that at the time of the call."""
