"""Kernels as arrays of balls, and what all rules need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from flint import arb

from refntk.network.linear import Linear

__all__ = [
    "Balls",
    "Kernels",
    "angle_share",
    "mean_over_maps",
    "root",
    "square",
    "sum_of_pairs",
    "trained",
]

Balls: TypeAlias = npt.NDArray[Any]  # of arb


@dataclass(frozen=True)
class Kernels:
    """Kernels between features: of two images, or of two sets of them after a readout.

    Attributes
    ----------
    nngp, theta : object array of balls, shape (S, S')
        Theta is 0 where it is not wanted.
    var1, var2 : object array of balls, shape (S,), (S',)
        Variances.
    same : bool array, shape (S, S')
        Where the two features are one.
    ntk : bool
        Whether Theta is wanted.
    shape : tuple of int
        Height and width of the positions; () after a readout.
    elements : list of Matrix or of Permutation
        The group.
    channels : int or None
        Number of channels, in the standard parametrisation.
    own : pair of Kernels, or None
        Those of x with itself and of x' with itself, where a mean over windows asks for them.
    """

    nngp: Balls
    theta: Balls
    var1: Balls
    var2: Balls
    same: npt.NDArray[np.bool_]
    ntk: bool
    shape: tuple[int, ...]
    elements: list[Any]
    channels: int | None = None
    own: tuple[Kernels, Kernels] | None = None


def trained(layer: Linear, fan_in: int | None) -> tuple[arb, arb]:
    """Find what training adds to Theta: of the mean of K, and at all; without a fan-in as NTK."""
    if not layer.trainable:
        return arb(0), arb(0)
    weights, own = arb(layer.learning_rate), layer.learning_rate_bias
    biases = weights if own is None else arb(own)
    if fan_in is None:
        return weights * square(layer.W_std), biases * square(layer.b_std)
    return weights * fan_in, biases * layer.bias


def mean_over_maps(kernel: Balls, maps: npt.NDArray[np.int64]) -> Balls:
    """Average a kernel, or variances, over the maps of a filter; features outside are 0."""
    padded = np.full([size + 1 for size in kernel.shape], arb(0), object)
    padded[(slice(-1),) * kernel.ndim] = kernel
    total = sum(padded[np.ix_(*[m] * kernel.ndim)] for m in maps)
    return np.asarray(total / len(maps))


def sum_of_pairs(kernel: Balls, maps: npt.NDArray[np.int64]) -> Balls:
    """Sum K[m(i), m'(j)] over all pairs of maps; features outside are 0."""
    padded = np.full([size + 1 for size in kernel.shape], arb(0), object)
    padded[:-1, :-1] = kernel
    rows = sum(padded[m] for m in maps)
    return np.asarray(sum(rows[:, m] for m in maps))


def root(variance: arb) -> arb:
    """Square root of a variance, whose ball may reach below 0 where features cancel."""
    return variance.nonnegative_part().sqrt()


def angle_share(rho: arb) -> arb:
    """Enclose (pi - arccos rho) / (2 pi), which grows with rho: by the ends of its ball."""
    one = arb(1)
    low, high = rho.lower().max(-one), rho.upper().min(one)
    return (arb.pi() - low.acos().union(high.acos())) / (2 * arb.pi())


def square(deviation: float) -> arb:
    """Variance of a deviation that is an exact double."""
    return arb(deviation) ** 2
