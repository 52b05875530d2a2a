"""Rules of activations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from flint import arb

from refntk.network.layers import Activation
from refntk.truth.balls.functions import FUNCTIONS
from refntk.truth.balls.kernels import Balls, Kernels, angle_share, root

__all__ = ["pointwise", "slopes"]


def slopes(negative: float, positive: float, below: Kernels) -> Kernels:
    """Apply a x where x < 0 and b x where x > 0: T = (a - b)² T_relu + a b K."""
    a, b = arb(negative), arb(positive)
    half = (a * a + b * b) / 2
    nngp, theta = _rectified((a - b) ** 2, a * b, half, below)
    return replace(below, nngp=nngp, theta=theta, var1=below.var1 * half, var2=below.var2 * half)


def pointwise(layer: Activation, below: Kernels) -> Kernels:
    """Apply an activation whose moments `refntk.truth.balls.functions` knows."""
    moments = FUNCTIONS[type(layer)](layer)
    nngp, theta = np.empty_like(below.nngp), np.empty_like(below.theta)
    for i, j in np.ndindex(*nngp.shape):
        covariance: Any = below.nngp[i, j]
        one: Any = below.var1[i]
        two: Any = below.var2[j]
        if below.same[i, j]:
            nngp[i, j], slope = moments.itself(one)
        else:
            nngp[i, j], slope = moments.between(covariance, one, two)
        theta[i, j] = below.theta[i, j] * slope if below.ntk else arb(0)
    var1, var2 = (
        np.array([moments.itself(v)[0] for v in var], object) for var in (below.var1, below.var2)
    )
    return replace(below, nngp=nngp, theta=theta, var1=var1, var2=var2)


def _rectified(gain: arb, skip: arb, half: arb, below: Kernels) -> tuple[Balls, Balls]:
    """Kernels after an activation with T = gain T_relu + skip K, which is half v at K = v = v'."""
    roots1, roots2 = ([root(v) for v in var] for var in (below.var1, below.var2))
    nngp = below.nngp
    new, slope = np.empty(nngp.shape, object), np.empty(nngp.shape, object)
    for i, j in np.ndindex(*nngp.shape):
        scale = roots1[i] * roots2[j]
        if below.same[i, j]:
            new[i, j], slope[i, j] = below.var1[i] * half, half
        elif scale.is_zero():
            new[i, j], slope[i, j] = arb(0), arb(0)
        elif scale > 0:
            value, rate = _at_correlation(nngp[i, j] / scale)
            new[i, j], slope[i, j] = gain * scale * value + skip * nngp[i, j], gain * rate + skip
        else:  # whether the variance is zero is not decided: everything that is possible
            slope[i, j] = arb(0).union(skip).union(half)
            new[i, j] = scale * (-half).union(half)
    return new, below.theta * slope


def _at_correlation(rho: arb) -> tuple[arb, arb]:
    """Enclose f(rho) and (pi - arccos rho) / (2 pi); see the docstring of the module."""
    one, two_pi = arb(1), 2 * arb.pi()
    middle = rho.mid().max(-one).min(one)
    theta = middle.acos()
    value = ((one - middle * middle).sqrt() + (arb.pi() - theta) * middle) / two_pi
    value += arb(0, rho.rad().upper() / 2)
    return value, angle_share(rho)
