r"""The piecewise linear activations a min(x, 0) + b max(x, 0): Relu and its relatives.

References
----------
Y. Cho, L. K. Saul, "Kernel Methods for Deep Learning", NeurIPS 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from array_api_compat import array_namespace, device

from refntk.ops.dual import ArcCosine, Array, Dual
from refntk.ops.exact import constant

__all__ = ["Rectifier"]


@dataclass(frozen=True)
class Rectifier(Dual):
    r"""The dual of a min(x, 0) + b max(x, 0).

    Parameters
    ----------
    negative, positive : float
        The slopes a and b: (0, 1) of Relu, (-1, 1) of the absolute value.

    Notes
    -----
    With theta = arccos of the correlation, gain = (a - b)² and skip = a b:

    .. math::
        T &= \mathrm{gain} \frac{\sqrt{v v'}}{2\pi} (\sin\theta + (\pi - \theta) \cos\theta)
            + \mathrm{skip}\, K \\
        \dot K &= \mathrm{gain} \frac{\pi - \theta}{2\pi} + \mathrm{skip}

    and T = (a² + b²) v / 2 of a feature with itself. A variance of zero means that the feature is
    zero whatever the parameters: T = 0, and the derivative is 0 as well.
    """

    negative: float = 0.0
    positive: float = 1.0
    degree = 1
    kinked = True

    @property
    def arccos(self) -> ArcCosine:  # type: ignore[override]
        """Gain and skip, exactly."""
        return _combination(self.negative, self.positive)

    def value(self, x: Array) -> Array:
        """Apply the activation; see `Dual.value`."""
        rectified = self.positive * np.maximum(x, 0)
        return rectified + self.negative * np.minimum(x, 0) if self.negative else rectified

    def slope(self, x: Array) -> Array:
        """Apply its derivative; at zero that on the left. See `Dual.slope`."""
        return np.where(x > 0, x.dtype.type(self.positive), x.dtype.type(self.negative))

    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Evaluate the formulas above; see `Dual.moments`."""
        xp = array_namespace(nngp)
        zero, one = (xp.asarray(value, dtype=nngp.dtype, device=device(nngp)) for value in (0, 1))
        pi = xp.acos(-one)
        # The product of the roots: that of the variances may overflow.
        scale = xp.sqrt(var1) * xp.sqrt(var2)
        cosine = xp.clip(nngp / xp.where(scale > 0, scale, one), -1, 1)
        theta = xp.acos(cosine)
        value = scale / (2 * pi) * (xp.sin(theta) + (pi - theta) * cosine)
        slope = (pi - theta) / (2 * pi)
        gain, skip = (constant(number, nngp) for number in self.arccos)
        value = gain * value + skip * (scale * cosine)
        return value, xp.where(scale > 0, gain * slope + skip, zero)

    def itself(self, var: Array) -> tuple[Array, Array]:
        """Multiply by the mean of the squared slopes; see `Dual.itself`."""
        half = constant(self.arccos.half, var)
        zero = array_namespace(var).zeros_like(var)
        return half * var, array_namespace(var).where(var > 0, half, zero)


@cache
def _combination(negative: float, positive: float) -> ArcCosine:
    a, b = Fraction(negative), Fraction(positive)
    return ArcCosine((a - b) ** 2, a * b)
