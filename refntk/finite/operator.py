r"""What a layer of finite width does: draw, forward, and both vector-Jacobian products.

Features have channels last: (N, H, W, C) on the grid, (N, H, W, n, C) on a group of n elements,
(N, C) of a vector; (N, X, C) on a finite set, and (N, n, C) on a finite group. In the NTK
parametrisation, with fan-in F,

.. math:: f' = \frac{\sigma_w}{\sqrt{F}} \sum w f + \sigma_b b, \qquad w, b \sim N(0, 1).

An operator holds no parameters, so that networks can be drawn, trained or cut at will; the number
of channels that it gives is that of the weights it is handed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.ops.operations import Filter

__all__ = ["FloatArray", "LinearOperator", "Operator", "Weights"]

FloatArray = npt.NDArray[np.floating[Any]]


class Weights(NamedTuple):
    """What is learned in one layer, standard normal when drawn.

    Attributes
    ----------
    weight : float array, shape (E, C, O) of a convolution, (C, O) of a Dense
        E entries of the filter, row by row; of a GroupConv, those of element q = 0 first, then
        those of q = 1, .... C channels below, O channels above.
    bias : float array, shape (O,)
        Without effect where ``b_std`` is 0.
    """

    weight: FloatArray
    bias: FloatArray

    def first(self, channels: int) -> Weights:
        """Keep the first output channels only."""
        return Weights(self.weight[..., :channels], self.bias[:channels])


class Operator(ABC):
    """One layer at finite width; `parameters` is None where it has none."""

    @abstractmethod
    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Apply the layer.

        Parameters
        ----------
        parameters : Weights or None
        x : float array, shape (N, ...)
            Features below.

        Returns
        -------
        float array, shape (N, ...)
            Features above, in a new array or a view of x.
        """

    @abstractmethod
    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Multiply a covector with the derivative in the features, ``g -> g dy/dx``.

        Parameters
        ----------
        parameters : Weights or None
        x : float array, shape (N, ...)
            Features below.
        g : float array, shape of the features above
            Derivative of any function of them, for each image.

        Returns
        -------
        float array, shape of x
        """


class LinearOperator(Operator):
    """A layer with parameters.

    Parameters
    ----------
    layer : Filter
    fan_in : int
        Number of products that one output sums.
    """

    def __init__(self, layer: Filter, fan_in: int) -> None:
        self.w_scale = layer.weight / math.sqrt(fan_in)
        self.b_scale = layer.bias

    @property
    @abstractmethod
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weights, without the output channels."""

    def draw(self, rng: np.random.Generator, channels: int, dtype: str) -> Weights:
        """Draw the parameters.

        Parameters
        ----------
        rng : numpy.random.Generator
        channels : int
            Number O of output channels.
        dtype : str
            The numbers are drawn in double precision and rounded to it.

        Returns
        -------
        Weights
        """
        weight = rng.standard_normal((*self.weight_shape, channels))
        bias = rng.standard_normal(channels)
        return Weights(weight.astype(dtype, copy=False), bias.astype(dtype, copy=False))

    @abstractmethod
    def gradient(self, x: FloatArray, g: FloatArray) -> Weights:
        """Multiply a covector with the derivative in the parameters, summed over the images.

        Parameters
        ----------
        x, g : float array
            As for `pull_back`.

        Returns
        -------
        Weights
            The derivatives, in the place of the parameters.
        """

    @abstractmethod
    def tangent_kernel(self, x: FloatArray, g: FloatArray) -> FloatArray:
        """Contract the derivatives in this layer's parameters between all images.

        Parameters
        ----------
        x, g : float array, N images
            As for `pull_back`.

        Returns
        -------
        float array, shape (N, N)
            Sum over the parameters p of ``df_i/dp df_j/dp``, for the function f whose derivative in
            the features above is g.
        """
