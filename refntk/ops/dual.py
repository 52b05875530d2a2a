r"""What kernels have to know of an activation: its dual.

For an activation :math:`\varphi` and centred Gaussian features a, b of variances v, v' and
covariance K,

.. math::
    T(v, v', K) = E[\varphi(a) \varphi(b)], \qquad
    \dot K(v, v', K) = E[\varphi'(a) \varphi'(b)] = \partial T / \partial K

the kernels after it are K' = T and Theta' = Theta times the derivative's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

__all__ = ["RELU", "ArcCosine", "Dual"]

Array: TypeAlias = Any


class ArcCosine(NamedTuple):
    r"""A dual that is a combination of Relu's and the identity's, T = gain T_relu + skip K.

    With slopes a below zero and b above, gain = (a - b)² and skip = a b. Relu has (1, 0), the
    identity (0, 1). This is what the fast methods compute with; the derived numbers are exact.

    Attributes
    ----------
    gain, skip : Fraction
    """

    gain: Fraction
    skip: Fraction

    @property
    def half(self) -> Fraction:
        """By what variances are multiplied: (a² + b²) / 2."""
        return self.gain / 2 + self.skip

    @property
    def nonnegative(self) -> bool:
        """Whether T is never negative: the even part's is at least the size of the odd part's."""
        return self.skip <= 0

    @property
    def odd(self) -> Fraction:
        """Four times the square of the odd part's slope: (a + b)²."""
        return self.gain + 4 * self.skip


RELU = ArcCosine(Fraction(1), Fraction(0))
"""That of max(0, x)."""


class Dual(ABC):
    """The dual of an activation.

    Facts that hold for some activations and make some methods possible are said here, and read from
    here; the defaults claim nothing.

    Attributes
    ----------
    degree : int or None
        The d with phi(c x) = c^d phi(x) for all c > 0; None where there is none.
    arccos : ArcCosine or None
        The dual as a combination of Relu's and the identity's, where it is one.
    tangent : bool
        Whether the derivative has a variance, without which there is no NTK.
    kinked : bool
        Whether the derivative jumps, or the activation does. The kernels then change as the angle
        between two features, of which a correlation near 1 tells half of the digits.
    sliced : bool
        Whether the slices of a processor have a row function for it.
    pointwise : bool
        Whether there is an activation at all; else this is a map of kernels only.
    """

    degree: int | None = None
    arccos: ArcCosine | None = None
    tangent: bool = True
    kinked: bool = False
    sliced: bool = False
    pointwise: bool = True

    @abstractmethod
    def value(self, x: Array) -> Array:
        """Apply the activation to a NumPy array, entry by entry; NaN stays NaN."""

    @abstractmethod
    def slope(self, x: Array) -> Array:
        """Apply its derivative likewise; at a kink, that on the left or on the right."""

    @abstractmethod
    def moments(self, nngp: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        """Find the covariances after the activation, and of its derivative.

        Parameters
        ----------
        nngp : array of real floats, of any array-API namespace
            Covariances K.
        var1, var2 : arrays that broadcast against it
            Variances, not negative. K is at most the root of their product but for rounding.

        Returns
        -------
        value, slope : arrays of the shape of nngp
            T and its derivative in K.
        """

    def turned(self, angle: Array, rest: Array) -> tuple[Array, Array, Array]:
        """Find the kernel of an activation that jumps, of degree 0, from the angle of two features.

        Parameters
        ----------
        angle, rest : float64 array
            theta and pi - theta, each with its own precision where it is small.

        Returns
        -------
        value, deficit, excess : arrays of the same shape
            T, and 1 - rho and 1 + rho of the features after the activation.
        """
        raise NotImplementedError

    def itself(self, var: Array) -> tuple[Array, Array]:
        """Find the same for a feature with itself, exactly: both variances and K are `var`."""
        return self.moments(var, var, var)
