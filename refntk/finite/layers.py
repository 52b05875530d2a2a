"""The layers of finite width that are no convolutions, and the way from a layer to its operator."""

from __future__ import annotations

import numpy as np

from refntk.errors import MethodError
from refntk.finite.composition import Normalised, Product, SideBySide, Sum
from refntk.finite.filter import Convolution
from refntk.finite.gather import Gather, MeanOverMaps
from refntk.finite.operator import FloatArray, Joint, LinearOperator, Operator, Weights
from refntk.finite.pooling import Channels, Pool
from refntk.ops.dual import Dual
from refntk.ops.listed import Listed
from refntk.ops.operations import (
    Add,
    Average,
    Filter,
    Join,
    Multiply,
    Pointwise,
    Rescale,
    Stack,
    Thin,
    read_by,
)
from refntk.ops.program import Program
from refntk.ops.space import Space
from refntk.ops.support import Support

__all__ = ["Affine", "Function", "Mean", "Rows", "operator"]


class Affine(LinearOperator):
    """A Dense layer on vectors.

    Parameters
    ----------
    layer : Filter
    channels : int
        Number C of channels below.
    """

    def __init__(self, layer: Filter, channels: int) -> None:
        self._channels = channels
        super().__init__(layer, channels)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(C,): channels below."""
        return (self._channels,)

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Multiply; see `Operator.forward`."""
        assert parameters is not None
        product = x @ (self.w_scale * parameters.weight)
        return np.asarray(product + self.b_scale * parameters.bias)

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Multiply with the transposed weights; see `Operator.pull_back`."""
        assert parameters is not None
        return g @ (self.w_scale * parameters.weight).T

    def gradient(self, x: FloatArray, g: FloatArray) -> Weights:
        """Sum outer products over the images; see `LinearOperator.gradient`."""
        return Weights(self.w_slope * (x.T @ g), self.b_slope * g.sum(axis=0))

    def tangent_kernel(self, x: FloatArray, g: FloatArray) -> FloatArray:
        """Multiply the Gram matrices of features and covectors, entry by entry."""
        return np.asarray((self.w_slope**2 * (x @ x.T) + self.b_slope**2) * (g @ g.T))


class Function(Operator):
    """An activation.

    Parameters
    ----------
    dual : Dual
    name : str
        What messages call its layer.
    """

    def __init__(self, dual: Dual, name: str) -> None:
        self._dual, self._name = dual, name

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Apply it; see `Operator.forward`. NaN stays NaN."""
        return np.asarray(self._dual.value(x))

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Multiply with the slope; see `Operator.pull_back`.

        Raises
        ------
        MethodError
            It jumps, and has no slope to train with.
        """
        if not self._dual.tangent:
            raise MethodError(f"{self._name}: has no NTK: it jumps, and trains nothing below it")
        return np.asarray(g * self._dual.slope(x))


class Mean(Operator):
    """The global pools and GroupPool: over all axes between the images and the channels.

    Parameters
    ----------
    divisor : int
        What the sum over them is divided by.
    """

    def __init__(self, divisor: int) -> None:
        self._divisor = divisor

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Sum and divide; see `Operator.forward`."""
        return np.asarray(x.reshape(len(x), -1, x.shape[-1]).sum(axis=1) / self._divisor)

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Share out evenly; see `Operator.pull_back`."""
        places = x.shape[1:-1]
        shared = (g / self._divisor).reshape(len(g), *(1,) * len(places), g.shape[-1])
        return np.broadcast_to(shared, (*x.shape[:-1], g.shape[-1]))


class Rows(Operator):
    """Flatten: every axis but that of the images becomes channels."""

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Reshape; see `Operator.forward`."""
        return x.reshape(len(x), -1)

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Reshape back; see `Operator.pull_back`."""
        return g.reshape(x.shape)


def operator(program: Program, k: int, *counts: int) -> Operator | Joint:
    """Build the finite counterpart of an operation.

    Parameters
    ----------
    program : Program
    k : int
        Number of the operation.
    *counts : int
        Number of channels of each value that it reads.

    Returns
    -------
    Operator or Joint

    Raises
    ------
    MethodError
        There is none; the message names the layer.
    """
    layer, channels = program.operations[k], counts[0]
    below = program.spaces[read_by(layer)[0]]
    match layer:
        case Add(weights=weights):
            return Sum(weights)
        case Join(shares=shares):
            return SideBySide(shares, list(counts))
        case Multiply():
            return Product()
        case Rescale(epsilon=epsilon, whole=whole):
            return Normalised(epsilon, whole)
        case Thin():
            raise MethodError(
                f"{program.name(k)}: networks of finite width draw no zeros for each image; for "
                'one that is not trained say mode="test"'
            )
        case Filter(support=support) if support.windows == ():
            return Affine(layer, channels)
        case Filter(support=support) if support.windows is not None and _on_pixels(below, support):
            return Convolution(layer, channels)
        case Pointwise(dual=dual) if not dual.pointwise:
            raise MethodError(
                f"{program.name(k)}: is a map of kernels, and no function that a network of finite "
                "width could apply"
            )
        case Filter(support=support) if support.windows or isinstance(support, Listed):
            return Gather(layer, channels)
        case Pointwise(dual=dual):
            return Function(dual, program.name(k))
        case Stack(support=support) if _whole(support):
            return Rows()
        case Stack(support=Listed()):
            return Channels(layer)
        case Average(support=support) if _whole(support):
            return Mean(int(layer.divisors[0]))
        case Average(support=support) if support.windows or len(below.shape) > 1 or below.group:
            return Pool(layer)
        case Average(support=Listed()):
            return MeanOverMaps(layer)
        case _:
            raise program.no_rule(k, "a network of finite width")


def _on_pixels(below: Space, support: Support) -> bool:
    """Whether a filter is one on images, of which a group turns square pixels."""
    group = support.above.group
    return len(below.shape) == 2 and (group is None or group.lattice == "square")


def _whole(support: Support) -> bool:
    """Whether all features below become one vector."""
    return support.windows is None and support.above == Space()
