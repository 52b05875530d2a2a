"""Functions that `Elementwise` knows by name, with their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from refntk.ops.dual import Array

__all__ = ["FUNCTIONS", "NamedFunction", "differences"]


class NamedFunction(NamedTuple):
    """A function and its derivative, of a float64 array, entry by entry."""

    function: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def _sigmoid(x: Array) -> Array:
    # Asked for when it is needed: scipy loads its parts by name, and this one takes a while.
    return scipy.special.expit(x)


def _softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def _swish(x: Array) -> Array:
    return x * _sigmoid(x)


def _swish_slope(x: Array) -> Array:
    gate = _sigmoid(x)
    return gate + x * gate * _sigmoid(-x)


def _tanh_slope(x: Array) -> Array:
    return 4 * _sigmoid(2 * x) * _sigmoid(-2 * x)


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _elu_slope(x: Array) -> Array:
    return np.exp(np.minimum(x, 0))


def _mish(x: Array) -> Array:
    return x * np.tanh(_softplus(x))


def _mish_slope(x: Array) -> Array:
    soft = _softplus(x)
    return np.tanh(soft) + x * _tanh_slope(soft) * _sigmoid(x)


FUNCTIONS: dict[str, NamedFunction] = {
    "elu": NamedFunction(_elu, _elu_slope),
    "mish": NamedFunction(_mish, _mish_slope),
    "sigmoid": NamedFunction(_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "softplus": NamedFunction(_softplus, _sigmoid),
    "swish": NamedFunction(_swish, _swish_slope),
    "tanh": NamedFunction(np.tanh, _tanh_slope),
}
"""By name."""

_STEP = 1e-3


def differences(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Differentiate a smooth function by central differences of the fourth order.

    Parameters
    ----------
    function : callable
        Of a float64 array, entry by entry.

    Returns
    -------
    callable
        Right to some 1e-12 of the size of the function and its derivatives.
    """

    def slope(x: Array) -> Array:
        h = _STEP * np.maximum(1, np.abs(x))
        near, far = function(x + h) - function(x - h), function(x + 2 * h) - function(x - 2 * h)
        return (8 * near - far) / (12 * h)

    return slope
