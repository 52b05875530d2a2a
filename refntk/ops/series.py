r"""The dual of any function, as Mehler's series: one-dimensional integrals, once for each variance.

With the normalised Hermite polynomials h_l, orthonormal for a standard Gaussian z,

.. math::
    a_l(v) = E[\varphi(\sqrt v z) h_l(z)], \qquad
    T = \sum_l a_l(v) a_l(v') \rho^l, \qquad
    \dot K = \sum_l b_l(v) b_l(v') \rho^l

with b_l those of the derivative. The sums are cut off at L. By Cauchy and Schwarz, and Parseval,
the rest is at most :math:`|\rho|^{L+1} \sqrt{t(v) t(v')}`, with the tail
:math:`t(v) = E[\varphi^2] - \sum_{l \le L} a_l^2`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace, device, is_cupy_array

from refntk.errors import InputError
from refntk.ops.dual import Array, Dual
from refntk.ops.functions import FUNCTIONS, NamedFunction, differences

__all__ = ["LONGEST", "Coefficients", "SeriesDual"]

Matrix = npt.NDArray[np.float64]

LONGEST = 384
"""Terms of a series, at most."""

_FIRST = 24
_EDGE = 14.0
"""Where the Gaussian measure ends: beyond it there is less than 1e-44 of it."""

_NODES = 200
_AT_ONCE = 4096
_ROUNDING = 1e-14
"""What of a tail, relative to the whole, is rounding of its difference."""


class Coefficients(NamedTuple):
    """Mehler's coefficients at V variances, up to l = L.

    Attributes
    ----------
    value, slope : float64 array, shape (V, L + 1)
        a_l and b_l.
    square, rate : float64 array, shape (V,)
        Means of the squares of the function and of its derivative.
    """

    value: Matrix
    slope: Matrix
    square: Matrix
    rate: Matrix


@dataclass(frozen=True)
class SeriesDual(Dual):
    """The dual of a function that is given as such.

    Parameters
    ----------
    fn : str or callable
        One of `refntk.ops.functions.FUNCTIONS`, or of a float64 array, entry by entry.
    derivative : callable, optional
        That of a callable; by default it is found by differences.
    breakpoints : tuple of float
        Where the function, or a derivative of it, jumps, other than at 0.
    tolerance : float
        The error that is allowed of kernels, relative to the root of the product of the variances
        after the activation, and of those of the derivative likewise.
    """

    fn: str | Callable[[Array], Array]
    derivative: Callable[[Array], Array] | None = None
    breakpoints: tuple[float, ...] = ()
    tolerance: float = 1e-12
    sliced = True

    @property
    def name(self) -> str:
        """What messages call the function."""
        return self.fn if isinstance(self.fn, str) else getattr(self.fn, "__name__", repr(self.fn))

    @cached_property
    def _both(self) -> NamedFunction:
        if isinstance(self.fn, str):
            return FUNCTIONS[self.fn]
        return NamedFunction(self.fn, self.derivative or differences(self.fn))

    def __getstate__(self) -> dict[str, object]:
        """Return the parameters; the functions of a name are found again."""
        return {name: value for name, value in vars(self).items() if name != "_both"}

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        return np.asarray(self._both.function(x.astype(np.float64)), dtype=x.dtype)

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        return np.asarray(self._both.slope(x.astype(np.float64)), dtype=x.dtype)

    def coefficients(self, var: Matrix) -> Coefficients:
        """Integrate at each of some variances.

        As many terms are taken as leave tails of less than the tolerance, or `LONGEST`.

        Parameters
        ----------
        var : float64 array, shape (V,)

        Returns
        -------
        Coefficients

        Raises
        ------
        InputError
            The function is not finite somewhere.
        """
        probes = np.unique(np.quantile(var, (0.0, 0.5, 1.0))) if var.size else var
        terms = _FIRST
        while terms < LONGEST and _worst_tail(self._integrals(probes, terms)) > self.tolerance:
            terms = min(LONGEST, terms + terms // 2)
        return self._integrals(var, terms)

    def _integrals(self, var: Matrix, terms: int) -> Coefficients:
        parts = [
            self._some(var[first : first + _AT_ONCE], terms)
            for first in range(0, max(1, var.size), _AT_ONCE)
        ]
        return Coefficients(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _some(self, var: Matrix, terms: int) -> Coefficients:
        root = np.sqrt(np.maximum(var, 0))
        if not self.breakpoints:
            nodes, weights = _quadrature()
            hermite = _hermite_at_nodes(terms)
            x = root[:, None] * nodes
            both = self._checked(x)
            return Coefficients(
                *((part * weights) @ hermite.T for part in both),
                *((part * part) @ weights for part in both),
            )
        # Breakpoints lie elsewhere at each variance.
        rows = []
        for one in root:
            cuts = tuple(b / one for b in self.breakpoints if one > 0 and abs(b) < _EDGE * one)
            nodes, weights = _rule(tuple(sorted({-_EDGE, 0.0, _EDGE, *cuts})))
            hermite, both = _hermite(nodes, terms), self._checked(one * nodes)
            rows.append(
                [hermite @ (part * weights) for part in both]
                + [np.asarray((part * part) @ weights) for part in both]
            )
        return Coefficients(*(np.array(column) for column in zip(*rows, strict=True)))

    def _checked(self, x: Matrix) -> tuple[Matrix, Matrix]:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            both = tuple(
                np.asarray(part(x), np.float64) for part in self._both
            )
            squares = [part * part for part in both]
        for values, square, what in zip(both, squares, ("", "the derivative of "), strict=True):
            if values.shape != x.shape:
                raise InputError(
                    f"{what}{self.name} gives an array of the shape {values.shape} for one of "
                    f"{x.shape}: apply it to each entry"
                )
            wrong = ~np.isfinite(square)
            if wrong.any():
                raise InputError(
                    f"{what}{self.name} is {values[wrong][0]:g} at {x[wrong][0]:g}, which is no "
                    "finite number with a finite square: use smaller W_std or smaller pixels, or a "
                    "function that grows less"
                )
        return both[0], both[1]

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Add up the series above; see `Dual.moments`.

        Raises
        ------
        InputError
            The function is not finite, or the rest of the series may be more than the tolerance.
        """
        xp = array_namespace(nngp)
        if nngp.dtype not in (xp.float64, xp.float32):
            raise InputError(f"the integrals of {self.name} are in double precision only")
        one, two, kernel = (_host(array) for array in (var1, var2, nngp))
        values, places = np.unique(np.concatenate([one.ravel(), two.ravel()]), return_inverse=True)
        found = self.coefficients(values)
        first = places[: one.size].reshape(one.shape)
        second = places[one.size :].reshape(two.shape)
        scale = np.sqrt(one) * np.sqrt(two)
        rho = np.divide(kernel, scale, out=np.zeros(kernel.shape), where=scale > 0)
        rho = np.clip(rho, -1, 1)
        self.check(found, first, second, rho)
        sums = []
        for table in (found.value, found.slope):
            total = np.zeros(rho.shape)
            for n in range(table.shape[1] - 1, -1, -1):
                total = total * rho + table[first, n] * table[second, n]
            sums.append(xp.asarray(total, dtype=nngp.dtype, device=device(nngp)))
        return sums[0], sums[1]

    def itself(self, var: Array) -> tuple[Array, Array]:
        """Integrate the squares; see `Dual.itself`."""
        xp, host = array_namespace(var), _host(var)
        values, places = np.unique(host.ravel(), return_inverse=True)
        found = self._integrals(values, 1)
        square, rate = (
            xp.asarray(part[places].reshape(host.shape), dtype=var.dtype, device=device(var))
            for part in (found.square, found.rate)
        )
        return square, rate

    def check(self, found: Coefficients, first: Array, second: Array, rho: Matrix) -> None:
        """Refuse kernels whose series may be cut off too early.

        Parameters
        ----------
        found : Coefficients
        first, second : int array
            Which variances the two features have.
        rho : float64 array
            Their correlation. Of a feature and itself it is 1, and there no series is needed.

        Raises
        ------
        InputError
            The rest of the series may be more than the tolerance.
        """
        terms = found.value.shape[1]
        equal = (first == second) & (rho > 1 - 1e-14)
        power = np.where(equal, 0.0, np.abs(rho) ** terms)
        for table, square in ((found.value, found.square), (found.slope, found.rate)):
            tail = _tails(table, square)
            bound = power * np.sqrt(tail[first] * tail[second])
            worst = float(np.max(bound, initial=0.0))
            if worst > self.tolerance:
                close = 1 - float(np.abs(rho)[np.unravel_index(np.argmax(bound), bound.shape)])
                raise InputError(
                    f"{terms} terms of the series of {self.name} leave an error of {worst:.2g} of "
                    f"the variance, where 1 - |rho| is {close:.2g}: give a tolerance of at least "
                    "that, or smaller W_std"
                )


    def check_tails(self, found: Coefficients) -> None:
        """Refuse series that may be cut off too early for some correlation.

        Raises
        ------
        InputError
            A tail is more than the tolerance.
        """
        worst = _worst_tail(found)
        if worst > self.tolerance:
            raise InputError(
                f"{found.value.shape[1]} terms of the series of {self.name} leave an error of "
                f"{worst:.2g} of the variance: give a tolerance of at least that, or smaller "
                "W_std; the method literal looks at the correlations, too"
            )


def _tails(table: Matrix, square: Matrix) -> Matrix:
    """Tails relative to the whole; 0 where they are rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.where(square > 0, 1 - (table * table).sum(axis=1) / square, 0.0)
    return np.where(tail > _ROUNDING, tail, 0.0)


def _worst_tail(found: Coefficients) -> float:
    pairs = (found.value, found.square), (found.slope, found.rate)
    return max(float(np.max(_tails(*pair), initial=0.0)) for pair in pairs)


def _host(array: Array) -> Matrix:
    """Bring an array to NumPy, in double precision."""
    return np.asarray(array.get() if is_cupy_array(array) else array, np.float64)


@cache
def _quadrature() -> tuple[Matrix, Matrix]:
    return _rule((-_EDGE, 0.0, _EDGE))


def _rule(cuts: tuple[float, ...]) -> tuple[Matrix, Matrix]:
    """Gauss and Legendre between the cuts, with the Gaussian density in the weights."""
    x, w = _legendre()
    nodes, weights = [], []
    for low, high in zip(cuts[:-1], cuts[1:], strict=True):
        half = (high - low) / 2
        nodes.append(low + half * (x + 1))
        weights.append(half * w)
    z = np.concatenate(nodes)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return z, np.concatenate(weights) * density


@cache
def _legendre() -> tuple[Matrix, Matrix]:
    return np.polynomial.legendre.leggauss(_NODES)


@cache
def _hermite_at_nodes(terms: int) -> Matrix:
    return _hermite(_quadrature()[0], terms)


def _hermite(z: Matrix, terms: int) -> Matrix:
    """Normalised Hermite polynomials h_0, h_1, ... at some places, shape (terms, places)."""
    rows = np.empty((terms, z.size))
    rows[0] = 1.0
    if terms > 1:
        rows[1] = z
    for n in range(2, terms):
        rows[n] = (z * rows[n - 1] - math.sqrt(n - 1) * rows[n - 2]) / math.sqrt(n)
    return rows
