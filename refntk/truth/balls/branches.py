"""Rules of layers that fork, and of those that rescale features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from flint import arb

from refntk.network.layers import Concat, Dropout, LayerNorm, Product, Residual
from refntk.truth.balls.kernels import Balls, Kernels, root

__all__ = ["add", "concatenate", "drop", "multiply", "normalise"]


def add(layer: Residual, ends: list[Kernels]) -> Kernels:
    """Add up kernels; of independent features the products of unlike branches have mean zero."""
    return _weighted(ends, [arb(1)] * len(ends), ends[0].channels)


def concatenate(layer: Concat, ends: list[Kernels]) -> Kernels:
    """Average kernels over the channels of all branches."""
    widths = [end.channels for end in ends if end.channels is not None]
    counted = len(widths) == len(ends)
    parts = [arb(part) for part in (widths if counted else layer.shares or [1] * len(ends))]
    total = sum(parts, arb(0))
    channels = sum(widths) if counted else None
    return _weighted(ends, [part / total for part in parts], channels)


def _weighted(ends: list[Kernels], weights: list[arb], channels: int | None) -> Kernels:
    sums = {
        name: sum(getattr(end, name) * w for end, w in zip(ends, weights, strict=True))
        for name in ("nngp", "theta", "var1", "var2")
    }
    return replace(ends[0], **sums, channels=channels)


def multiply(layer: Product, ends: list[Kernels]) -> Kernels:
    """Multiply the kernels of independent features."""
    done = ends[0]
    for end in ends[1:]:
        theta = done.theta * end.nngp + done.nngp * end.theta
        nngp, var1, var2 = done.nngp * end.nngp, done.var1 * end.var1, done.var2 * end.var2
        done = replace(done, nngp=nngp, theta=theta, var1=var1, var2=var2)
    return done


def normalise(layer: LayerNorm, below: Kernels) -> Kernels:
    """Divide by the roots of variances, or of their mean; an exact 0 stays 0."""
    sizes = []
    for var in (below.var1, below.var2):
        if layer.axes == "all" and below.shape:  # after a readout each entry is an image
            var = np.full(len(var), var.sum() / len(var), object)
        sizes.append(var + arb(layer.eps))
    one, two = sizes
    roots = np.array([[root(a) * root(b) for b in two] for a in one], object)
    for i, j in zip(*np.nonzero(below.same), strict=True):
        roots[i, j] = one[i]
    nngp, theta = _quotient(below.nngp, roots), _quotient(below.theta, roots)
    var1, var2 = _quotient(below.var1, one), _quotient(below.var2, two)
    return replace(below, nngp=nngp, theta=theta, var1=var1, var2=var2)


def _quotient(balls: Balls, divisors: Balls) -> Balls:
    """Divide entry by entry; 0 where the divisor is exactly that."""
    pairs = zip(balls.flat, divisors.flat, strict=True)
    quotients = [arb(0) if d.is_zero() else ball / d for ball, d in pairs]
    return np.array(quotients, object).reshape(balls.shape)


def drop(layer: Dropout, below: Kernels) -> Kernels:
    """Divide what a feature has with itself by the part that is kept."""
    if layer.mode == "test":
        return below
    kept = arb(layer.rate)
    nngp, theta = (
        np.where(below.same, kernel / kept, kernel) for kernel in (below.nngp, below.theta)
    )
    return replace(
        below, nngp=nngp, theta=theta, var1=below.var1 / kept, var2=below.var2 / kept
    )
