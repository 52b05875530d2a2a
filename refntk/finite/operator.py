r"""What a layer of finite width does: draw, forward, and both vector-Jacobian products.

Features have channels last: (N, H, W, C) on the grid, (N, H, W, n, C) on a group of n elements,
(N, C) of a vector; (N, X, C) on a finite set, and (N, n, C) on a finite group; (N, n, D, H, W, C)
of volumes, (N, n, L, C) of signals and (N, n, P, C) of hexagons on a group. With fan-in F, and
what training the weights and the bias adds to the NTK, alpha A(K) + beta,

.. math::
    f' = \sqrt{\alpha / F} \sum w f + \sqrt\beta\, b, \qquad
    w \sim N(0, \sigma_w^2 / \alpha), \quad b \sim N(0, \sigma_b^2 / \beta).

In the NTK parametrisation w and b are standard normal, and in the standard one nothing is scaled
(where the width is that of the layer). Learning rates of a layer are scales, too: for gradient
descent with one rate for all parameters they come to the same.

An operator holds no parameters, so that networks can be drawn, trained or cut at will; the number
of channels that it gives is that of the weights it is handed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.ops.operations import Filter

__all__ = ["FloatArray", "Joint", "LinearOperator", "Operator", "Weights"]

FloatArray = npt.NDArray[np.floating[Any]]


class Weights(NamedTuple):
    """What is learned in one layer; in the NTK parametrisation standard normal when drawn.

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


class Joint(ABC):
    """What makes one value of several, without parameters."""

    @abstractmethod
    def forward(self, parts: list[FloatArray]) -> FloatArray:
        """Join features.

        Parameters
        ----------
        parts : list of float array, shape (N, ...)
            Features at the ends of the branches.

        Returns
        -------
        float array, shape (N, ...)
        """

    @abstractmethod
    def pull_back(self, parts: list[FloatArray], g: FloatArray) -> list[FloatArray]:
        """Multiply a covector with the derivative in the features of each branch.

        Parameters
        ----------
        parts : list of float array
        g : float array, shape of the joined features

        Returns
        -------
        list of float array, shapes of the parts
        """


class LinearOperator(Operator):
    """A layer with parameters.

    Parameters
    ----------
    layer : Filter
    fan_in : int
        Number of products that one output sums.

    Attributes
    ----------
    w_scale, b_scale : float
        By what weights, and the bias, are multiplied.
    w_slope, b_slope : float
        The same, or 0 where they are not trained.
    """

    def __init__(self, layer: Filter, fan_in: int) -> None:
        alpha, beta = layer.tangent
        self._deviations = _deviation(layer.weight, alpha), _deviation(layer.bias, beta)
        self.w_scale, self.b_scale = (
            size / deviation if deviation else math.sqrt(rate)
            for size, deviation, rate in zip(
                (layer.weight, layer.bias), self._deviations, layer.tangent, strict=True
            )
        )
        self.w_scale /= math.sqrt(fan_in)
        self.w_slope = self.w_scale if alpha else 0.0
        self.b_slope = self.b_scale if beta else 0.0

    @property
    @abstractmethod
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weights, without the output channels."""

    def draw(self, rng: np.random.Generator, channels: int, dtype: str) -> Weights:
        """Draw the parameters, normal with the deviations above; 1 of what is not trained.

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
        w_deviation, b_deviation = self._deviations
        weight = w_deviation * rng.standard_normal((*self.weight_shape, channels))
        bias = b_deviation * rng.standard_normal(channels)
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


def _deviation(size: float, rate: Fraction) -> float:
    """Find the deviation of parameters that contribute `size`, and train at the squared scale."""
    return 1.0 if not rate or rate == Fraction(size) ** 2 else size / math.sqrt(rate)
