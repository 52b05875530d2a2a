r"""Nonlinearities and losses with first and second derivatives along a direction.

Each nonlinearity σ acts on the last axis and commutes with permutations of it. With s = σ(z):

- ``pull(z, s, g)`` is the vector-Jacobian product J(z)ᵀ g;
- ``push(z, s, dz)`` is the Jacobian-vector product J(z) dz;
- ``bend(z, s, g, dz, dg)`` is the derivative of ``pull`` in the direction (dz, dg).

Each loss is a mean over the batch, with its gradient and the derivative of the gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax, softmax

__all__ = [
    "LOSSES",
    "AtEachPoint",
    "BinaryCrossEntropy",
    "Chain",
    "CrossEntropy",
    "Identity",
    "LayerNorm",
    "LeakyRelu",
    "Loss",
    "MeanSquare",
    "Nonlinearity",
    "Sigmoid",
    "Softmax",
]

FloatArray = npt.NDArray[np.floating[Any]]


class Nonlinearity(ABC):
    """A map on vectors that commutes with permutations of their coordinates."""

    @abstractmethod
    def __call__(self, z: FloatArray) -> FloatArray:
        """Apply it, shape (..., d) to the same shape."""

    @abstractmethod
    def pull(self, z: FloatArray, s: FloatArray, g: FloatArray) -> FloatArray:
        """Give the vector-Jacobian product."""

    @abstractmethod
    def push(self, z: FloatArray, s: FloatArray, dz: FloatArray) -> FloatArray:
        """Give the Jacobian-vector product."""

    @abstractmethod
    def bend(
        self, z: FloatArray, s: FloatArray, g: FloatArray, dz: FloatArray, dg: FloatArray
    ) -> FloatArray:
        """Give the derivative of the vector-Jacobian product."""


class _Pointwise(Nonlinearity):
    """A function of each coordinate, known by its first two derivatives."""

    @abstractmethod
    def _slope(self, z: FloatArray, s: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _curvature(self, z: FloatArray, s: FloatArray) -> FloatArray: ...

    def pull(self, z: FloatArray, s: FloatArray, g: FloatArray) -> FloatArray:
        """Give the vector-Jacobian product."""
        return self._slope(z, s) * g

    def push(self, z: FloatArray, s: FloatArray, dz: FloatArray) -> FloatArray:
        """Give the Jacobian-vector product."""
        return self._slope(z, s) * dz

    def bend(
        self, z: FloatArray, s: FloatArray, g: FloatArray, dz: FloatArray, dg: FloatArray
    ) -> FloatArray:
        """Give the derivative along a direction."""
        return self._curvature(z, s) * dz * g + self._slope(z, s) * dg


class Identity(_Pointwise):
    """No nonlinearity."""

    def __call__(self, z: FloatArray) -> FloatArray:
        """Apply it, shape (..., d) to the same shape."""
        return z

    def _slope(self, z: FloatArray, s: FloatArray) -> FloatArray:
        return np.ones_like(z)

    def _curvature(self, z: FloatArray, s: FloatArray) -> FloatArray:
        return np.zeros_like(z)


@dataclass(frozen=True)
class LeakyRelu(_Pointwise):
    """max(z, slope z).

    Parameters
    ----------
    slope : float, default 0.01
        For negative arguments; at 0 the derivative is `slope` as well.
    """

    slope: float = 0.01

    def __call__(self, z: FloatArray) -> FloatArray:
        """Apply it, shape (..., d) to the same shape."""
        return np.where(z > 0, z, self.slope * z)

    def _slope(self, z: FloatArray, s: FloatArray) -> FloatArray:
        return np.where(z > 0, 1.0, self.slope).astype(z.dtype)

    def _curvature(self, z: FloatArray, s: FloatArray) -> FloatArray:
        return np.zeros_like(z)


class Sigmoid(_Pointwise):
    """1 / (1 + exp(-z))."""

    def __call__(self, z: FloatArray) -> FloatArray:
        """Apply it, shape (..., d) to the same shape."""
        return np.asarray(expit(z))

    def _slope(self, z: FloatArray, s: FloatArray) -> FloatArray:
        return s * (1 - s)

    def _curvature(self, z: FloatArray, s: FloatArray) -> FloatArray:
        return s * (1 - s) * (1 - 2 * s)


class Softmax(Nonlinearity):
    """exp(z) over its sum."""

    def __call__(self, z: FloatArray) -> FloatArray:
        """Apply it, shape (..., d) to the same shape."""
        return np.asarray(softmax(z, axis=-1))

    def pull(self, z: FloatArray, s: FloatArray, g: FloatArray) -> FloatArray:
        """Give the vector-Jacobian product."""
        return s * (g - _sum(s * g))

    def push(self, z: FloatArray, s: FloatArray, dz: FloatArray) -> FloatArray:
        """Give the Jacobian-vector product."""
        return self.pull(z, s, dz)  # the Jacobian is symmetric

    def bend(
        self, z: FloatArray, s: FloatArray, g: FloatArray, dz: FloatArray, dg: FloatArray
    ) -> FloatArray:
        """Give the derivative along a direction."""
        ds = self.push(z, s, dz)
        return ds * (g - _sum(s * g)) + s * (dg - _sum(ds * g + s * dg))


@dataclass(frozen=True)
class LayerNorm(Nonlinearity):
    """Subtract the mean of the coordinates and divide by their standard deviation.

    Parameters
    ----------
    epsilon : float, default 1e-5
        Added to the variance.
    """

    epsilon: float = 1e-5

    def __call__(self, z: FloatArray) -> FloatArray:
        """Apply it, shape (..., d) to the same shape."""
        return (z - _mean(z)) / self._scale(z)

    def _scale(self, z: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(z.var(axis=-1, keepdims=True) + self.epsilon))

    def pull(self, z: FloatArray, s: FloatArray, g: FloatArray) -> FloatArray:
        """Give the vector-Jacobian product."""
        return (g - _mean(g) - s * _mean(s * g)) / self._scale(z)

    def push(self, z: FloatArray, s: FloatArray, dz: FloatArray) -> FloatArray:
        """Give the Jacobian-vector product."""
        return self.pull(z, s, dz)  # the Jacobian is symmetric

    def bend(
        self, z: FloatArray, s: FloatArray, g: FloatArray, dz: FloatArray, dg: FloatArray
    ) -> FloatArray:
        """Give the derivative along a direction."""
        scale = self._scale(z)
        ds = self.push(z, s, dz)
        straight = dg - _mean(dg) - ds * _mean(s * g) - s * _mean(ds * g + s * dg)
        return straight / scale - self.pull(z, s, g) * _mean(s * dz) / scale


@dataclass(frozen=True)
class Chain(Nonlinearity):
    """One nonlinearity after another.

    Parameters
    ----------
    first, second : Nonlinearity
        σ(z) = second(first(z)).
    """

    first: Nonlinearity
    second: Nonlinearity

    def __call__(self, z: FloatArray) -> FloatArray:
        """Apply it, shape (..., d) to the same shape."""
        return self.second(self.first(z))

    def pull(self, z: FloatArray, s: FloatArray, g: FloatArray) -> FloatArray:
        """Give the vector-Jacobian product."""
        between = self.first(z)
        return self.first.pull(z, between, self.second.pull(between, s, g))

    def push(self, z: FloatArray, s: FloatArray, dz: FloatArray) -> FloatArray:
        """Give the Jacobian-vector product."""
        between = self.first(z)
        return self.second.push(between, s, self.first.push(z, between, dz))

    def bend(
        self, z: FloatArray, s: FloatArray, g: FloatArray, dz: FloatArray, dg: FloatArray
    ) -> FloatArray:
        """Give the derivative along a direction."""
        between = self.first(z)
        moved = self.first.push(z, between, dz)
        inner = self.second.pull(between, s, g)
        return self.first.bend(z, between, inner, dz, self.second.bend(between, s, g, moved, dg))


@dataclass(frozen=True)
class AtEachPoint(Nonlinearity):
    """A nonlinearity of the copies of a space at each point, such as of the channels of a pixel.

    Parameters
    ----------
    inner : Nonlinearity
        Of vectors of `copies` numbers.
    copies : int
        Of the space; coordinates are listed copy by copy.
    """

    inner: Nonlinearity
    copies: int

    def __call__(self, z: FloatArray) -> FloatArray:
        """Apply it, shape (..., copies · points) to the same shape."""
        return self._back(self.inner(self._to(z)))

    def pull(self, z: FloatArray, s: FloatArray, g: FloatArray) -> FloatArray:
        """Give the vector-Jacobian product."""
        return self._back(self.inner.pull(*map(self._to, (z, s, g))))

    def push(self, z: FloatArray, s: FloatArray, dz: FloatArray) -> FloatArray:
        """Give the Jacobian-vector product."""
        return self._back(self.inner.push(*map(self._to, (z, s, dz))))

    def bend(
        self, z: FloatArray, s: FloatArray, g: FloatArray, dz: FloatArray, dg: FloatArray
    ) -> FloatArray:
        """Give the derivative along a direction."""
        return self._back(self.inner.bend(*map(self._to, (z, s, g, dz, dg))))

    def _to(self, z: FloatArray) -> FloatArray:
        return z.reshape(*z.shape[:-1], self.copies, -1).swapaxes(-1, -2)

    def _back(self, z: FloatArray) -> FloatArray:
        return z.swapaxes(-1, -2).reshape(*z.shape[:-2], -1)


def _sum(values: FloatArray) -> FloatArray:
    return np.asarray(values.sum(axis=-1, keepdims=True))


def _mean(values: FloatArray) -> FloatArray:
    return np.asarray(values.mean(axis=-1, keepdims=True))


class Loss(ABC):
    """A loss between outputs and targets of shape (B, d), averaged over the batch."""

    @abstractmethod
    def __call__(self, out: FloatArray, target: FloatArray) -> float:
        """Give the loss."""

    @abstractmethod
    def gradient(self, out: FloatArray, target: FloatArray) -> FloatArray:
        """Give its gradient with respect to the outputs, shape (B, d)."""

    @abstractmethod
    def bend(self, out: FloatArray, target: FloatArray, d_out: FloatArray) -> FloatArray:
        """Give the derivative of the gradient in a direction, shape (B, d)."""


class MeanSquare(Loss):
    """Half the squared distance: ½ ‖f(x) - y‖²."""

    def __call__(self, out: FloatArray, target: FloatArray) -> float:
        """Give the loss."""
        return float(np.square(out - target).sum() / (2 * len(out)))

    def gradient(self, out: FloatArray, target: FloatArray) -> FloatArray:
        """Give the gradient with respect to the outputs."""
        return (out - target) / len(out)

    def bend(self, out: FloatArray, target: FloatArray, d_out: FloatArray) -> FloatArray:
        """Give the derivative along a direction."""
        return d_out / len(out)


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Cross-entropy of each coordinate's logit with a target in [0, 1], summed over coordinates.

    Parameters
    ----------
    divisor : int, default 1
        What the sum is divided by, such as the number of pixels.
    """

    divisor: int = 1

    def __call__(self, out: FloatArray, target: FloatArray) -> float:
        """Give the loss."""
        return float((np.logaddexp(0, out) - target * out).sum() / (len(out) * self.divisor))

    def gradient(self, out: FloatArray, target: FloatArray) -> FloatArray:
        """Give the gradient with respect to the outputs."""
        return (expit(out) - target) / (len(out) * self.divisor)

    def bend(self, out: FloatArray, target: FloatArray, d_out: FloatArray) -> FloatArray:
        """Give the derivative along a direction."""
        p = expit(out)
        return np.asarray(p * (1 - p) * d_out / (len(out) * self.divisor))


class CrossEntropy(Loss):
    """Cross-entropy of the softmax of logits with target probabilities."""

    def __call__(self, out: FloatArray, target: FloatArray) -> float:
        """Give the loss."""
        return float(-(target * log_softmax(out, axis=-1)).sum() / len(out))

    def gradient(self, out: FloatArray, target: FloatArray) -> FloatArray:
        """Give the gradient with respect to the outputs."""
        return (softmax(out, axis=-1) * _sum(target) - target) / len(out)

    def bend(self, out: FloatArray, target: FloatArray, d_out: FloatArray) -> FloatArray:
        """Give the derivative along a direction."""
        p = softmax(out, axis=-1)
        return np.asarray(_sum(target) * p * (d_out - _sum(p * d_out)) / len(out))


LOSSES: dict[str, Loss] = {
    "mse": MeanSquare(),
    "bce": BinaryCrossEntropy(),
    "ce": CrossEntropy(),
}
"""Losses by name."""
