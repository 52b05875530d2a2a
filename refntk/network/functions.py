"""Activations beyond the Relu family, with the words and arguments of neural-tangents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from numbers import Integral
from reprlib import repr as short
from typing import Any

from refntk.errors import NetworkError, unknown
from refntk.network.activations import Activation
from refntk.network.arguments import QUIET, by_name, canonical, finite_number
from refntk.ops.dual import Dual
from refntk.ops.functions import FUNCTIONS
from refntk.ops.powers import PolynomialDual, RectifiedPower, SignDual
from refntk.ops.rectifiers import Rectifier
from refntk.ops.series import SeriesDual
from refntk.ops.smooth import (
    Bell,
    ErrorFunction,
    Exponential,
    Gate,
    GaussianKernel,
    NormalizedExponential,
    Wave,
)

__all__ = [
    "Cos",
    "Elementwise",
    "Erf",
    "Exp",
    "ExpNormalized",
    "Gaussian",
    "Gelu",
    "Hermite",
    "Polynomial",
    "Rbf",
    "RectifiedMonomial",
    "Sigmoid_like",
    "Sign",
    "Sin",
]

_HIGHEST = 64
"""Degree of a polynomial, at most."""


def _not_negative(name: str, value: object) -> float:
    return finite_number(name, value, "a finite number that is not negative", 0.0)


def _negative(name: str, value: object) -> float:
    number = finite_number(name, value, "a negative number")
    if number >= 0:
        raise NetworkError(f"{name}: expected a negative number, not {short(value)}", key=name)
    return number


def _degree(name: str, value: object) -> int:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not 0 <= int(value) <= _HIGHEST:  # type: ignore[call-overload]
        message = f"{name}: expected a whole number from 0 to {_HIGHEST}, not {short(value)}"
        raise NetworkError(message, key=name)
    return int(value)  # type: ignore[call-overload, no-any-return]


def _numbers(name: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > _HIGHEST + 1:
        message = f"{name}: expected a list of at most {_HIGHEST + 1} numbers, not {short(value)}"
        raise NetworkError(message, key=name)
    return tuple(finite_number(name, number) for number in value)


def _coefficients(name: str, value: object) -> tuple[float, ...]:
    numbers = _numbers(name, value)
    if not numbers:
        raise NetworkError(f"{name}: expected at least one number", key=name)
    return numbers


@by_name
@dataclass(frozen=True)
class Erf(Activation):
    """Pointwise a erf(b f) + c, with the error function.

    Parameters
    ----------
    a, b, c : float, default 1, 1 and 0

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, a=finite_number, b=finite_number, c=finite_number)

    @property
    def dual(self) -> Dual:
        """That of the error function."""
        return ErrorFunction(self.a, self.b, self.c)


@by_name
@dataclass(frozen=True)
class Sigmoid_like(Activation):
    """Pointwise (erf(f / 2.4020563531719796) + 1) / 2, close to the logistic function."""

    @property
    def dual(self) -> Dual:
        """That of the error function."""
        return ErrorFunction(0.5, 1 / 2.4020563531719796, 0.5)


@by_name
@dataclass(frozen=True)
class Gelu(Activation):
    """Pointwise f Phi(f), with the normal distribution Phi."""

    @property
    def dual(self) -> Dual:
        """Its own."""
        return Gate()


@by_name
@dataclass(frozen=True)
class Sin(Activation):
    """Pointwise a sin(b f + c).

    Parameters
    ----------
    a, b, c : float, default 1, 1 and 0

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, a=finite_number, b=finite_number, c=finite_number)

    @property
    def dual(self) -> Dual:
        """That of the sine."""
        return Wave(self.a, self.b, self.c)


@by_name
@dataclass(frozen=True)
class Cos(Activation):
    """Pointwise a cos(b f + c).

    Parameters
    ----------
    a, b, c : float, default 1, 1 and 0

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, a=finite_number, b=finite_number, c=finite_number)

    @property
    def dual(self) -> Dual:
        """That of the sine, a quarter turn further."""
        return Wave(self.a, self.b, self.c, quarter=True)


@by_name
@dataclass(frozen=True)
class Rbf(Activation):
    """Pointwise sqrt(2) sin(sqrt(2 gamma) f + pi / 4), whose kernel is exp(-gamma distance²).

    Parameters
    ----------
    gamma : float, default 1

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Check the argument and bring it to its canonical type."""
        canonical(self, gamma=_not_negative)

    @property
    def dual(self) -> Dual:
        """The Gaussian kernel."""
        return GaussianKernel(self.gamma)


@by_name
@dataclass(frozen=True)
class Exp(Activation):
    """Pointwise a exp(b f).

    Parameters
    ----------
    a, b : float, default 1 and 1

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    a: float = 1.0
    b: float = 1.0

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, a=finite_number, b=finite_number)

    @property
    def dual(self) -> Dual:
        """That of the exponential."""
        return Exponential(self.a, self.b)


@by_name
@dataclass(frozen=True)
class Gaussian(Activation):
    """Pointwise a exp(b f²).

    Parameters
    ----------
    a, b : float, default 1 and -1
        b is negative.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    a: float = 1.0
    b: float = -1.0

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, a=finite_number, b=_negative)

    @property
    def dual(self) -> Dual:
        """That of the bell curve."""
        return Bell(self.a, self.b)


@by_name
@dataclass(frozen=True)
class ExpNormalized(Activation):
    """A map of kernels, m exp(gamma (rho + shift)) with m the root of v v'.

    No network of finite width has it: it is a kernel that is no dual of a function.

    Parameters
    ----------
    gamma, shift : float, default 1 and -1

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.

    Notes
    -----
    Shankar et al., "Neural Kernels Without Tangents", arXiv:2003.02237.
    """

    _: KW_ONLY
    gamma: float = 1.0
    shift: float = -1.0

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, gamma=_not_negative, shift=finite_number)

    @property
    def dual(self) -> Dual:
        """The map."""
        return NormalizedExponential(self.gamma, self.shift)


@by_name
@dataclass(frozen=True)
class RectifiedMonomial(Activation):
    """Pointwise max(f, 0) to a power.

    Parameters
    ----------
    degree : int
        From 0 to 64. 1 is Relu; 0 the unit step, which has no NTK.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    degree: int

    def __post_init__(self) -> None:
        """Check the argument and bring it to its canonical type."""
        canonical(self, degree=_degree)

    @property
    def dual(self) -> Dual:
        """That of the power."""
        return Rectifier(0.0, 1.0) if self.degree == 1 else RectifiedPower(self.degree)


@by_name
@dataclass(frozen=True)
class Polynomial(Activation):
    """Pointwise coef[0] + coef[1] f + coef[2] f² + ...

    Parameters
    ----------
    coef : sequence of float
        1 to 65 numbers.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    coef: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the argument and bring it to its canonical type."""
        canonical(self, coef=_coefficients)

    @property
    def dual(self) -> Dual:
        """That of the polynomial."""
        return PolynomialDual(tuple(Fraction(number) for number in self.coef))


@by_name
@dataclass(frozen=True)
class Hermite(Activation):
    """Pointwise Hermite polynomial He_d, divided by the root of d!.

    Parameters
    ----------
    degree : int
        From 0 to 64.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.

    Notes
    -----
    It is orthonormal for features of variance 1; the kernel is right at any variance.
    """

    _: KW_ONLY
    degree: int

    def __post_init__(self) -> None:
        """Check the argument and bring it to its canonical type."""
        canonical(self, degree=_degree)

    @property
    def dual(self) -> Dual:
        """That of the polynomial."""
        older, newer = [Fraction(0)], [Fraction(1)]
        for k in range(self.degree):
            step = [Fraction(0), *newer]
            for place, number in enumerate(older):
                step[place] -= k * number
            older, newer = newer, step
        return PolynomialDual(tuple(newer), Fraction(1, math.factorial(self.degree)))


@by_name
@dataclass(frozen=True)
class Sign(Activation):
    """Pointwise sign. It has an NNGP, and no NTK: the derivative has no finite variance."""

    @property
    def dual(self) -> Dual:
        """That of the sign."""
        return SignDual()


@by_name
@dataclass(frozen=True)
class Elementwise(Activation):
    """Pointwise any function, by its Hermite coefficients.

    Parameters
    ----------
    fn : str or callable
        A name, ``tanh``, ``sigmoid``, ``softplus``, ``swish``, ``elu`` or ``mish``, or a
        function of a float64 array, applied entry by entry.
    derivative : callable, optional
        Of a callable; by default it is found by differences, to some 12 digits.
    breakpoints : sequence of float
        Where a callable, or one of its derivatives, jumps; 0 need not be said.
    tolerance : float, default 1e-12
        The error that is allowed of kernels after this layer, relative to the root of the product
        of both variances there. The series is cut off where that is proven, by Parseval's identity
        and integrals to rounding. Networks for which it is not are refused.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    fn: str | Callable[[Any], Any]
    _: KW_ONLY
    derivative: Callable[[Any], Any] | None = field(default=None, metadata=QUIET)
    breakpoints: tuple[float, ...] = field(default=(), metadata=QUIET)
    tolerance: float = field(default=1e-12, metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        if isinstance(self.fn, str) and (self.derivative is not None or self.breakpoints):
            key = "breakpoints" if self.derivative is None else "derivative"
            raise NetworkError(f"{key}: known of {self.fn} already; leave it out", key=key)
        words = {"derivative": _derivative, "breakpoints": _numbers, "tolerance": _not_negative}
        canonical(self, fn=_function, **words)

    @property
    def dual(self) -> Dual:
        """That of the function."""
        return SeriesDual(self.fn, self.derivative, self.breakpoints, self.tolerance)


def _function(name: str, value: object) -> object:
    if isinstance(value, str) and value not in FUNCTIONS:
        raise NetworkError(f"{name}: {unknown('function', value, FUNCTIONS)}", key=name)
    if not isinstance(value, str) and not callable(value):
        raise NetworkError(f"{name}: expected a name or a function, not {short(value)}", key=name)
    return value


def _derivative(name: str, value: object) -> object:
    if value is not None and not callable(value):
        raise NetworkError(f"{name}: expected a function, not {short(value)}", key=name)
    return value
