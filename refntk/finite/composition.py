"""What joins branches, and what rescales features, at finite width."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np

from refntk.finite.operator import FloatArray, Joint, Operator, Weights

__all__ = ["Normalised", "Product", "SideBySide", "Sum"]


class Sum(Joint):
    """The sum of branches, times the roots of weights.

    Parameters
    ----------
    weights : sequence of float
    """

    def __init__(self, weights: tuple[float, ...]) -> None:
        self._scales = [math.sqrt(weight) for weight in weights]

    def forward(self, parts: list[FloatArray]) -> FloatArray:
        """Add up; see `Joint.forward`."""
        return sum(scale * x for scale, x in zip(self._scales, parts, strict=True))  # type: ignore[return-value]

    def pull_back(self, parts: list[FloatArray], g: FloatArray) -> list[FloatArray]:
        """Hand on to each; see `Joint.pull_back`."""
        return [scale * g for scale in self._scales]


class SideBySide(Joint):
    """The channels of branches in a row, scaled to the shares that they are to have.

    Parameters
    ----------
    shares : sequence of Fraction
    channels : list of int
        Of each branch.
    """

    def __init__(self, shares: tuple[Fraction, ...], channels: list[int]) -> None:
        whole = sum(channels)
        pairs = zip(shares, channels, strict=True)
        self._scales = [math.sqrt(share * whole / count) for share, count in pairs]
        self._ends = list(np.cumsum([0, *channels]))

    def forward(self, parts: list[FloatArray]) -> FloatArray:
        """Append channels; see `Joint.forward`."""
        scaled = [scale * x for scale, x in zip(self._scales, parts, strict=True)]
        return np.concatenate(scaled, axis=-1)

    def pull_back(self, parts: list[FloatArray], g: FloatArray) -> list[FloatArray]:
        """Cut apart; see `Joint.pull_back`."""
        cuts = zip(self._scales, pairwise(self._ends), strict=True)
        return [scale * g[..., start:stop] for scale, (start, stop) in cuts]


class Product(Joint):
    """The product of branches, feature by feature."""

    def forward(self, parts: list[FloatArray]) -> FloatArray:
        """Multiply; see `Joint.forward`."""
        return np.asarray(np.prod(parts, axis=0))

    def pull_back(self, parts: list[FloatArray], g: FloatArray) -> list[FloatArray]:
        """Multiply with the others; see `Joint.pull_back`."""
        others = (parts[:k] + parts[k + 1 :] for k in range(len(parts)))
        return [np.asarray(g * np.prod(rest, axis=0)) for rest in others]


class Normalised(Operator):
    """LayerNorm: features less their mean, over the root of their variance and a number.

    Parameters
    ----------
    epsilon : float
    whole : bool
        Whether mean and variance are those of an image; of a place otherwise.
    """

    def __init__(self, epsilon: float, whole: bool) -> None:
        self._epsilon, self._whole = epsilon, whole

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Subtract and divide; see `Operator.forward`."""
        normal, _ = self._normal(x)
        return normal

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Differentiate mean and variance, too; see `Operator.pull_back`."""
        normal, inverse = self._normal(x)
        along = self._axes(x)
        mean = g.mean(axis=along, keepdims=True)
        tilt = (g * normal).mean(axis=along, keepdims=True)
        return np.asarray((g - mean - normal * tilt) * inverse)

    def _normal(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        along = self._axes(x)
        centred = x - x.mean(axis=along, keepdims=True)
        size = (centred * centred).mean(axis=along, keepdims=True) + x.dtype.type(self._epsilon)
        inverse = np.divide(1, np.sqrt(size), out=np.zeros_like(size), where=size > 0)
        return centred * inverse, inverse

    def _axes(self, x: FloatArray) -> tuple[int, ...]:
        return tuple(range(1, x.ndim)) if self._whole else (x.ndim - 1,)
