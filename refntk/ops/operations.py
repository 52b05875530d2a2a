r"""The operations on kernels to which all layers are lowered.

Each takes the kernels K (NNGP) and Theta (NTK) of earlier values, matrices over the features of x
and those of x', to those of a new value. Values are numbered: 0 is the images, and operation k
gives value k + 1. The set is closed: whoever computes with a program matches all of them, and
refuses with the layer's name what it has no rule for.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from refntk.ops.dual import Dual
from refntk.ops.support import Support

__all__ = [
    "Add",
    "Average",
    "Filter",
    "Join",
    "Multiply",
    "Operation",
    "Pointwise",
    "Rescale",
    "Stack",
    "Thin",
    "read_by",
]


@dataclass(frozen=True)
class Filter:
    r"""A layer with weights, that all outputs share.

    .. math::
        K'_{ij} &= w^2 \operatorname{mean}_{e} K_{m_e(i)\, m_e(j)} + b^2 \\
        \Theta'_{ij} &= w^2 \operatorname{mean}_{e} \Theta_{m_e(i)\, m_e(j)}
            + \alpha \operatorname{mean}_{e} K_{m_e(i)\, m_e(j)} + \beta

    Attributes
    ----------
    below : int
        Value that it reads.
    support : Support
        With the maps m_e.
    weight, bias : float
        Standard deviations w and b.
    tangent : (Fraction, Fraction)
        alpha and beta, what training the weights and the bias adds: w² and b² in the NTK
        parametrisation, exactly.
    """

    below: int
    support: Support
    weight: float
    bias: float
    tangent: tuple[Fraction, Fraction]

    @property
    def in_ntk_parametrization(self) -> bool:
        """Whether alpha = w² and beta = b², so that Theta' = K' + w² mean Theta."""
        return self.tangent == (Fraction(self.weight) ** 2, Fraction(self.bias) ** 2)


@dataclass(frozen=True)
class Stack:
    r"""Features side by side as channels: K'_{ij} = mean_e K_{m_e(i) m_e(j)}, Theta likewise.

    Attributes
    ----------
    below : int
    support : Support
    """

    below: int
    support: Support


@dataclass(frozen=True)
class Average:
    r"""A mean or a sum of features: of each window, divided by a number c.

    .. math:: K'_{ij} = \frac{1}{c_i c_j} \sum_{e, e'} K_{m_e(i)\, m_{e'}(j)}

    and Theta likewise.

    Attributes
    ----------
    below : int
    support : Support
        Where it reaches out of the image, a feature outside counts as zero.
    over : {"window", "inside", "one"}, default "window"
        What the sum is divided by: the number of filter elements, that of those which read a
        feature inside of the image, or 1.
    """

    below: int
    support: Support
    over: Literal["window", "inside", "one"] = "window"

    @property
    def divisors(self) -> npt.NDArray[np.int64]:
        """The numbers c, one for each feature above."""
        support = self.support
        if self.over == "inside":
            inside: npt.NDArray[np.int64] = (support.maps >= 0).sum(axis=0)
            return np.maximum(inside, 1)  # a mean of nothing is 0
        return np.full(support.above.size, support.size if self.over == "window" else 1)


@dataclass(frozen=True)
class Pointwise:
    """An activation: K' = T(v, v', K) and Theta' = Theta times the derivative of T in K.

    Attributes
    ----------
    below : int
    dual : Dual
    """

    below: int
    dual: Dual


@dataclass(frozen=True)
class Add:
    """A sum of independent features: K' and Theta' are sums of those below, times the weights.

    Attributes
    ----------
    below : tuple of int
        Values on one space.
    weights : tuple of float
    """

    below: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Join:
    """Features of several values side by side as channels: K' = sum s K, Theta likewise.

    Attributes
    ----------
    below : tuple of int
        Values on one space.
    shares : tuple of Fraction
        The parts s of the channels that come from each; their sum is 1.
    """

    below: tuple[int, ...]
    shares: tuple[Fraction, ...]


@dataclass(frozen=True)
class Multiply:
    r"""A product of independent features: K' = prod K, and Theta' as the product rule has it.

    .. math:: \Theta' = \sum_a \Theta_a \prod_{b \ne a} K_b

    Attributes
    ----------
    below : tuple of int
        Values on one space.
    """

    below: tuple[int, ...]


@dataclass(frozen=True)
class Rescale:
    r"""A division by the root of the mean square of features, as normalised layers do.

    .. math::
        K'_{ij} = \frac{K_{ij}}{\sqrt{(v_i + \epsilon)(v'_j + \epsilon)}}

    and Theta likewise; 0 where a divisor is. The derivative of the root is of the order of the
    inverse width, and adds nothing.

    Attributes
    ----------
    below : int
    epsilon : float
    whole : bool
        Whether v is the mean of the variances of all features of an image.
    """

    below: int
    epsilon: float
    whole: bool


@dataclass(frozen=True)
class Thin:
    """Features of which a part is set to zero at random, and the others are divided by the rest.

    A feature keeps its product with all others, and with itself, of one image, K and Theta are
    divided by `kept`.

    Attributes
    ----------
    below : int
    kept : float
        Probability of not being set to zero.
    """

    below: int
    kept: float


Operation: TypeAlias = (
    Filter | Stack | Average | Pointwise | Add | Join | Multiply | Rescale | Thin
)


def read_by(operation: Operation) -> tuple[int, ...]:
    """List the values that an operation reads."""
    below = operation.below
    return below if isinstance(below, tuple) else (below,)
