r"""Duals of functions without a kink: Erf, Gelu, sines, exponentials, a map of exponentials.

With m the root of v v', and Delta = v v' - K² = (m - K)(m + K), in which little cancels.

References
----------
C. K. I. Williams, "Computing with Infinite Networks", NeurIPS 1997: the error function.
R. Tsuchida et al., "Avoiding Kernel Fixed Points", arXiv:2002.08517: Gelu.
V. Shankar et al., "Neural Kernels Without Tangents", arXiv:2003.02237: the normalised exponential.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from array_api_compat import array_namespace, device

from refntk.ops.dual import Array, Dual
from refntk.ops.exact import constant

__all__ = [
    "Bell",
    "ErrorFunction",
    "Exponential",
    "Gate",
    "GaussianKernel",
    "NormalizedExponential",
    "Wave",
]


def _pi(like: Array) -> Array:
    xp = array_namespace(like)
    return xp.acos(xp.asarray(-1, dtype=like.dtype, device=device(like)))


def _clipped(nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array, Array]:
    """K no larger than rounding allows, the root m of v v', and Delta."""
    xp = array_namespace(nngp)
    scale = xp.sqrt(var1) * xp.sqrt(var2)
    inside = xp.where(nngp < scale, nngp, scale)
    inside = xp.where(inside > -scale, inside, -scale)
    return inside, scale, (scale - inside) * (scale + inside)


def _typed(x: Array, value: Any) -> Array:
    return np.asarray(value, dtype=x.dtype)


@dataclass(frozen=True)
class ErrorFunction(Dual):
    r"""The dual of a erf(b x) + c.

    Parameters
    ----------
    a, b, c : float

    Notes
    -----
    With v, v', K and Delta times b² or its square, and E = 1 + 2v + 2v' + 4 Delta:

    .. math::
        T = \frac{2a^2}{\pi} \operatorname{atan2}(2K, \sqrt E) + c^2, \qquad
        \dot K = \frac{4 a^2 b^2}{\pi \sqrt E}
    """

    sliced = True

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        return _typed(x, self.a * scipy.special.erf(self.b * x) + self.c)

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        inner = self.b * x
        return _typed(x, 2 * self.a * self.b / math.sqrt(math.pi) * np.exp(-inner * inner))

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        xp = array_namespace(nngp)
        a, b, c = (constant(number, nngp) for number in (self.a, self.b, self.c))
        kernel, _, area = _clipped(nngp * b * b, var1 * b * b, var2 * b * b)
        root = xp.sqrt(1 + 2 * (var1 + var2) * b * b + 4 * area)
        value = xp.atan2(2 * kernel, root) * 2 / _pi(nngp)
        return a * a * value + c * c, (4 * a * a * b * b / _pi(nngp)) / root


@dataclass(frozen=True)
class Gate(Dual):
    r"""The dual of Gelu, x Phi(x) with the normal distribution Phi.

    Notes
    -----
    With A = (1 + v)(1 + v'), R² = 1 + v + v' + Delta and alpha = atan2(K, R):

    .. math::
        T &= \frac K4 + \frac1{2\pi} \Bigl(K \alpha + \frac{K^2 + v v' R^2}{A R}\Bigr) \\
        \dot K &= \frac14 + \frac1{2\pi} \Bigl(\alpha
            + \frac KR \Bigl(\frac1{R^2} + \frac{1 - v v'}{A} + 1\Bigr)\Bigr)
    """

    sliced = True

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        return _typed(x, x * scipy.special.ndtr(x))

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        return _typed(x, scipy.special.ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        xp = array_namespace(nngp)
        kernel, _, area = _clipped(nngp, var1, var2)
        two_pi, product = 2 * _pi(nngp), (1 + var1) * (1 + var2)
        square = 1 + var1 + var2 + area
        root = xp.sqrt(square)
        angle = xp.atan2(kernel, root)
        rest = (kernel * kernel / square + var1 * var2) * (root / product)
        value = kernel / 4 + (kernel * angle + rest) / two_pi
        # 1 + (1 - v v') / A, of terms that are not negative
        line = (2 + var1 + var2) / product
        return value, (angle + kernel / root * (1 / square + line)) / two_pi + constant(0.25, nngp)


@dataclass(frozen=True)
class Wave(Dual):
    r"""The dual of a sin(b x + c).

    Parameters
    ----------
    a, b, c : float
    quarter : bool, default False
        Whether a quarter turn is added to c, which makes a cosine of the sine.

    Notes
    -----
    With v, v' and K times b²; s = sinh K and c = cosh K times exp(-(v + v') / 2):

    .. math::
        T = a^2 (s \cos^2 c + c \sin^2 c), \qquad \dot K = a^2 b^2 (c \cos^2 c + s \sin^2 c)
    """

    sliced = True

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0
    quarter: bool = False

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        turn = np.cos if self.quarter else np.sin
        return _typed(x, self.a * turn(self.b * x + self.c))

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        inner = self.b * x + self.c
        return _typed(x, self.a * self.b * (-np.sin(inner) if self.quarter else np.cos(inner)))

    def weights(self, like: Array) -> tuple[Array, Array, Array]:
        """Give a² times cos² c and sin² c, the weights of the odd and the even part, and b².

        Parameters
        ----------
        like : array
            Whose precision they are in.
        """
        xp = array_namespace(like)
        a, b, c = (constant(number, like) for number in (self.a, self.b, self.c))
        odd, even = a * a * xp.cos(c) ** 2, a * a * xp.sin(c) ** 2
        return (even, odd, b * b) if self.quarter else (odd, even, b * b)

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        odd, even, rate = self.weights(nngp)
        return _waves(nngp, var1, var2, odd, even, rate)


def _waves(
    nngp: Array, var1: Array, var2: Array, odd: Array, even: Array, rate: Array
) -> tuple[Array, Array]:
    xp = array_namespace(nngp)
    kernel, _, _ = _clipped(rate * nngp, rate * var1, rate * var2)
    size = xp.abs(kernel)
    # Of exp(K) and exp(-K) the larger one is exp(|K|): nothing overflows, and nothing cancels.
    large = xp.exp(size - rate * (var1 + var2) / 2)
    falls = -large * xp.expm1(-2 * size) / 2
    sinh, cosh = xp.where(kernel < 0, -falls, falls), large - falls
    return odd * sinh + even * cosh, rate * (odd * cosh + even * sinh)


@dataclass(frozen=True)
class GaussianKernel(Dual):
    r"""The dual of sqrt(2) sin(sqrt(2 gamma) x + pi / 4): a kernel of distances.

    Parameters
    ----------
    gamma : float

    Notes
    -----
    .. math:: T = \exp(-\gamma (v + v' - 2 K)), \qquad \dot K = 2 \gamma T
    """

    sliced = True

    gamma: float = 1.0

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        return _typed(x, math.sqrt(2) * np.sin(math.sqrt(2 * self.gamma) * x + math.pi / 4))

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        rate = math.sqrt(2 * self.gamma)
        return _typed(x, math.sqrt(2) * rate * np.cos(rate * x + math.pi / 4))

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        xp = array_namespace(nngp)
        kernel, _, _ = _clipped(nngp, var1, var2)
        gamma = constant(self.gamma, nngp)
        value = xp.exp(-gamma * (var1 + var2 - 2 * kernel))
        return value, 2 * gamma * value


@dataclass(frozen=True)
class Exponential(Dual):
    r"""The dual of a exp(b x).

    Parameters
    ----------
    a, b : float

    Notes
    -----
    .. math:: T = a^2 \exp(b^2 (v + v') / 2 + b^2 K), \qquad \dot K = b^2 T
    """

    sliced = True

    a: float = 1.0
    b: float = 1.0

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        return _typed(x, self.a * np.exp(self.b * x))

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        return _typed(x, self.a * self.b * np.exp(self.b * x))

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        a, b = constant(self.a, nngp), constant(self.b, nngp)
        kernel, _, _ = _clipped(nngp, var1, var2)
        value = a * a * array_namespace(nngp).exp(b * b * ((var1 + var2) / 2 + kernel))
        return value, b * b * value


@dataclass(frozen=True)
class Bell(Dual):
    r"""The dual of a exp(b x²), b < 0.

    Parameters
    ----------
    a, b : float

    Notes
    -----
    .. math::
        \det = 1 - 2b (v + v') + 4b^2 \Delta, \qquad T = a^2 \det{}^{-1/2}, \qquad
        \dot K = 4 a^2 b^2 K \det{}^{-3/2}
    """

    sliced = True

    a: float = 1.0
    b: float = -1.0

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        return _typed(x, self.a * np.exp(self.b * x * x))

    def slope(self, x: Array) -> Array:
        """Apply its derivative; see `Dual.slope`."""
        return _typed(x, 2 * self.a * self.b * x * np.exp(self.b * x * x))

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        a, b = constant(self.a, nngp), constant(self.b, nngp)
        kernel, _, area = _clipped(nngp, var1, var2)
        determinant = 1 - 2 * b * (var1 + var2) + 4 * b * b * area
        value = a * a / array_namespace(nngp).sqrt(determinant)
        return value, 4 * b * b * kernel * value / determinant


@dataclass(frozen=True)
class NormalizedExponential(Dual):
    r"""A map of kernels, of no function: an exponential of the correlation.

    Parameters
    ----------
    gamma, shift : float

    Notes
    -----
    .. math::
        T = m \exp(\gamma (\rho + \mathrm{shift})), \qquad
        \dot K = \gamma \exp(\gamma (\rho + \mathrm{shift}))

    A variance of zero stays zero.
    """

    sliced = True

    gamma: float = 1.0
    shift: float = -1.0
    degree = 1
    pointwise = False

    def value(self, x: Array) -> Array:
        """Refuse: there is no function; `Dual.pointwise` says so."""
        raise NotImplementedError

    slope = value

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        xp = array_namespace(nngp)
        zero, one = (xp.asarray(value, dtype=nngp.dtype, device=device(nngp)) for value in (0, 1))
        kernel, scale, _ = _clipped(nngp, var1, var2)
        gamma, shift = constant(self.gamma, nngp), constant(self.shift, nngp)
        lack = (scale - kernel) / xp.where(scale > 0, scale, one)
        rate = xp.exp(gamma * (1 + shift - lack))
        return scale * rate, xp.where(scale > 0, gamma * rate, zero)
