"""The layers of finite width that are no convolutions, and the way from a layer to its operator."""

from __future__ import annotations

import math

import numpy as np

from refntk.finite.filter import Filter
from refntk.finite.operator import FloatArray, LinearOperator, Operator, Weights
from refntk.network.layers import Conv, Dense, Flatten, GroupConv, Layer, Lift, Relu, Signal

__all__ = ["Affine", "Mean", "Rectifier", "Rows", "operator"]


class Affine(LinearOperator):
    """A Dense layer on vectors.

    Parameters
    ----------
    layer : Dense
    channels : int
        Number C of channels below.
    """

    def __init__(self, layer: Dense, channels: int) -> None:
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
        return Weights(self.w_scale * (x.T @ g), self.b_scale * g.sum(axis=0))

    def tangent_kernel(self, x: FloatArray, g: FloatArray) -> FloatArray:
        """Multiply the Gram matrices of features and covectors, entry by entry."""
        return np.asarray((self.w_scale**2 * (x @ x.T) + self.b_scale**2) * (g @ g.T))


class Rectifier(Operator):
    """Relu; its derivative at zero is zero."""

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Take the positive part; see `Operator.forward`. NaN stays NaN."""
        return np.maximum(x, 0)

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Keep the covector where the feature is positive; see `Operator.pull_back`."""
        return np.asarray(g * (x > 0))


class Mean(Operator):
    """GlobalAvgPool and GroupPool: the mean over all axes between the images and the channels."""

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Average; see `Operator.forward`."""
        return np.asarray(x.reshape(len(x), -1, x.shape[-1]).mean(axis=1))

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Share out evenly; see `Operator.pull_back`."""
        places = x.shape[1:-1]
        shared = (g / math.prod(places)).reshape(len(g), *(1,) * len(places), g.shape[-1])
        return np.broadcast_to(shared, (*x.shape[:-1], g.shape[-1]))


class Rows(Operator):
    """Flatten: every axis but that of the images becomes channels."""

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Reshape; see `Operator.forward`."""
        return x.reshape(len(x), -1)

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Reshape back; see `Operator.pull_back`."""
        return g.reshape(x.shape)


def operator(layer: Layer, below: Signal, channels: int) -> Operator:
    """Build the finite counterpart of a layer.

    Parameters
    ----------
    layer : Layer
    below : Signal
        What the layer gets, with the shape of the images.
    channels : int
        Number of channels that it gets.

    Returns
    -------
    Operator

    Raises
    ------
    ShapeError
        The layer cannot take images of this shape.
    """
    match layer:
        case Conv() | Lift() | GroupConv():
            return Filter(layer, below, channels)
        case Dense():
            return Affine(layer, channels)
        case Relu():
            return Rectifier()
        case Flatten():
            return Rows()
        case _:
            return Mean()
