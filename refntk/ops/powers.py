r"""Duals of rectified powers max(x, 0)^k, of the sign, and of polynomials.

References
----------
Y. Cho, L. K. Saul, "Kernel Methods for Deep Learning", NeurIPS 2009: arc-cosine kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import factorial, prod, sqrt

import numpy as np
from array_api_compat import array_namespace, device

from refntk.ops.dual import Array, Dual
from refntk.ops.exact import constant

__all__ = ["PolynomialDual", "RectifiedPower", "SignDual"]


def _angle(nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array, Array]:
    """Root m of v v', the correlation, and theta; of a variance of zero the correlation is 0."""
    xp = array_namespace(nngp)
    one = xp.asarray(1, dtype=nngp.dtype, device=device(nngp))
    scale = xp.sqrt(var1) * xp.sqrt(var2)
    cosine = xp.clip(nngp / xp.where(scale > 0, scale, one), -1, 1)
    return scale, cosine, xp.acos(cosine)


def _density(scale: Array, cosine: Array) -> Array:
    """Density of the two features at 0 times 2 pi; infinite where they are parallel."""
    xp = array_namespace(scale)
    one = xp.asarray(1, dtype=scale.dtype, device=device(scale))
    area = scale * xp.sqrt((1 - cosine) * (1 + cosine))
    return xp.where(area > 0, one / xp.where(area > 0, area, one), xp.inf * one)


@dataclass(frozen=True)
class RectifiedPower(Dual):
    r"""The dual of max(x, 0)^k for k > 1, and of the unit step for k = 0.

    Parameters
    ----------
    power : int

    Notes
    -----
    With theta = arccos rho, J_0 = pi - theta, J_1 = sin theta + (pi - theta) rho and

    .. math::
        J_k = (2k - 1) \rho J_{k-1} + (k - 1)^2 \sin^2\theta \, J_{k-2}, \qquad
        T_k = \frac{m^k}{2\pi} J_k, \qquad \dot K = k^2 T_{k-1}

    and T = (2k - 1)!! / 2 v^k of a feature with itself. The recursion follows from the derivative
    by K, by induction.
    """

    power: int = 2
    sliced = True

    @property
    def degree(self) -> int:  # type: ignore[override]
        """The power."""
        return self.power

    @property
    def tangent(self) -> bool:  # type: ignore[override]
        """Whether the derivative has a variance; that of the step has none."""
        return self.power > 0

    @property
    def kinked(self) -> bool:  # type: ignore[override]
        """Whether it jumps, as the step does."""
        return self.power == 0

    def turned(self, angle: Array, rest: Array) -> tuple[Array, Array, Array]:
        """Evaluate the formula of the step; see `Dual.turned`."""
        return rest / (2 * np.pi), angle / np.pi, 1 + rest / np.pi

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        if self.power == 0:
            return np.where(np.isnan(x), x, (x > 0).astype(x.dtype))
        return np.maximum(x, 0) ** self.power

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        if self.power == 0:
            return np.zeros_like(x)
        return self.power * np.maximum(x, 0) ** (self.power - 1)

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        xp = array_namespace(nngp)
        zero = xp.asarray(0, dtype=nngp.dtype, device=device(nngp))
        pi, (scale, rho, theta) = xp.acos(zero - 1), _angle(nngp, var1, var2)
        older, newer = pi - theta, xp.sin(theta) + (pi - theta) * rho
        if self.power == 0:
            # The product of the steps of a feature that is zero is zero.
            value = xp.where(scale > 0, older / (2 * pi), zero)
            return value, _density(scale, rho) / (2 * pi)
        for k in range(2, self.power + 1):
            step = (2 * k - 1) * rho * newer + (k - 1) ** 2 * (1 - rho) * (1 + rho) * older
            older, newer = newer, step
        slope = self.power**2 * scale ** (self.power - 1) * older / (2 * pi)
        return scale**self.power * newer / (2 * pi), slope

    def itself(self, var: Array) -> tuple[Array, Array]:
        """Evaluate both at theta = 0; see `Dual.itself`."""
        k, xp = self.power, array_namespace(var)
        if k == 0:
            half = constant(Fraction(1, 2), var)
            return xp.where(var > 0, half, 0 * half), 0 * var + xp.inf
        odd = prod(range(1, 2 * k - 2, 2))  # (2k - 3)!!
        value = constant(Fraction((2 * k - 1) * odd, 2), var) * var**k
        return value, constant(Fraction(k * k * odd, 2), var) * var ** (k - 1)


@dataclass(frozen=True)
class SignDual(Dual):
    r"""The dual of the sign, which has no NTK.

    Notes
    -----
    .. math::
        T = 1 - \frac{2\theta}{\pi}, \qquad \dot K = \frac{2}{\pi \sqrt\Delta}

    The derivative is infinite between a feature and itself. A variance of zero stays zero.
    """

    degree = 0
    tangent = False
    kinked = True
    sliced = True

    def turned(self, angle: Array, rest: Array) -> tuple[Array, Array, Array]:
        """Evaluate the formula above; see `Dual.turned`."""
        return (rest - angle) / np.pi, 2 * angle / np.pi, 2 * rest / np.pi

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        return np.sign(x)

    def slope(self, x: Array) -> Array:
        """Apply its derivative, which is zero but at the jump; see `Dual.slope`."""
        return np.zeros_like(x)

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        xp = array_namespace(nngp)
        zero = xp.asarray(0, dtype=nngp.dtype, device=device(nngp))
        pi, (scale, rho, theta) = xp.acos(zero - 1), _angle(nngp, var1, var2)
        value = xp.where(scale > 0, 1 - 2 * theta / pi, zero)
        return value, 4 * _density(scale, rho) / (2 * pi)

    def itself(self, var: Array) -> tuple[Array, Array]:
        """Give 1; see `Dual.itself`."""
        xp = array_namespace(var)
        one = xp.asarray(1, dtype=var.dtype, device=device(var))
        return xp.where(var > 0, one, 0 * one), 0 * var + xp.inf


@dataclass(frozen=True)
class PolynomialDual(Dual):
    r"""The dual of a polynomial, times the root of a rational number.

    Parameters
    ----------
    coefficients : tuple of Fraction
        That of x^k at place k.
    square : Fraction, default 1
        By the root of which it is multiplied: a Hermite polynomial is divided by that of k!.

    Notes
    -----
    Price's theorem, term by term: with c_k the coefficients and the means of the derivatives

    .. math::
        R_l(v) = E[\varphi^{(l)}] = \sum_i c_{2i+l} \frac{(2i + l)!}{2^i i!} v^i, \qquad
        T = \sum_l R_l(v) R_l(v') \frac{K^l}{l!}, \qquad
        \dot K = \sum_{l > 0} R_l(v) R_l(v') \frac{K^{l-1}}{(l - 1)!}
    """

    coefficients: tuple[Fraction, ...]
    square: Fraction = Fraction(1)
    sliced = True

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        return self._at(x, [float(number) for number in self.coefficients])

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        return self._at(x, [k * float(c) for k, c in enumerate(self.coefficients)][1:])

    def _at(self, x: Array, numbers: list[float]) -> Array:
        total = np.zeros_like(x)
        for number in numbers[::-1]:
            total = total * x + x.dtype.type(sqrt(self.square) * number)
        return total

    def means(self, var: Array) -> list[Array]:
        """Evaluate the means of the derivatives.

        Parameters
        ----------
        var : array
            Variances v.

        Returns
        -------
        list of array
            R_l(v) for each l; not times the root of `square`.
        """
        means, top = [], len(self.coefficients) - 1
        for n in range(top + 1):
            total = array_namespace(var).zeros_like(var)
            for i in range((top - n) // 2, -1, -1):
                k = 2 * i + n
                rate = self.coefficients[k] * Fraction(factorial(k), 2**i * factorial(i))
                total = total * var + constant(rate, var)
            means.append(total)
        return means

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        means = zip(self.means(var1), self.means(var2), strict=True)
        products = [one * two for one, two in means]
        value, slope = 0 * nngp, 0 * nngp
        # Horner: the sum over l of p_l K^l / l! is p_0 + K (p_1 + K / 2 (p_2 + ...)).
        for n in range(len(products) - 1, 0, -1):
            value = (products[n] + value) * nngp / n
            slope = products[n] + slope * nngp / n
        scale = constant(self.square, nngp)
        return scale * (products[0] + value), scale * slope
