"""Layers of finite width on sets, signals and volumes, from the maps of their supports.

Features are arrays (N, ..., C): between images and channels points, group elements or positions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refntk.finite.operator import FloatArray, LinearOperator, Operator, Weights
from refntk.ops.operations import Average, Filter

__all__ = ["Gather", "MeanOverMaps"]


class Gather(LinearOperator):
    r"""A filter, f'_j = sum_e w_e f_{m_e(j)} + b, with w_e drawn for each filter element.

    Parameters
    ----------
    layer : Filter
    channels : int
        Number C of channels below.
    """

    def __init__(self, layer: Filter, channels: int) -> None:
        self._channels, self._maps = channels, layer.support.maps
        self._axes = layer.support.above.axes
        super().__init__(layer, channels * layer.support.size)
        shares = layer.support.weights
        size = np.ones(len(self._maps)) if shares is None else np.array(shares, float) * len(shares)
        self._sizes = np.sqrt(size)[:, None, None]  # 1 where all elements are alike

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(E, C): filter elements, channels below."""
        return len(self._maps), self._channels

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Multiply what each output reads; see `Operator.forward`."""
        assert parameters is not None
        reads = self._reads(x)
        out = reads @ self._scaled(parameters).reshape(reads.shape[-1], -1)
        out = out + self.b_scale * parameters.bias
        return np.asarray(out.reshape(len(x), *self._axes, -1))

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Send covectors back along the maps; see `Operator.pull_back`."""
        assert parameters is not None
        count, channels = len(x), x.shape[-1]
        # One feature more, which stands for all outside.
        below = np.zeros((x.size // (count * channels) + 1, count, channels), g.dtype)
        for places, weight in zip(self._maps, self._scaled(parameters), strict=True):
            np.add.at(below, places, (_in_a_row(g) @ weight.T).swapaxes(0, 1))
        return below[:-1].swapaxes(0, 1).reshape(x.shape)

    def gradient(self, x: FloatArray, g: FloatArray) -> Weights:
        """Sum over outputs and images; see `LinearOperator.gradient`."""
        rows = self._reads(x).reshape(-1, len(self._maps) * self._channels)
        weight = self._unscaled(rows.T @ g.reshape(-1, g.shape[-1]))
        return Weights(weight, self.b_slope * g.reshape(-1, g.shape[-1]).sum(axis=0))

    def tangent_kernel(self, x: FloatArray, g: FloatArray) -> FloatArray:
        """Contract the gradients of single images; see `LinearOperator.tangent_kernel`."""
        g = _in_a_row(g)
        products = self._reads(x).swapaxes(1, 2) @ g
        weights = np.stack([self._unscaled(one).ravel() for one in products])
        biases = self.b_slope * g.sum(axis=1)
        return np.asarray(weights @ weights.T + biases @ biases.T)

    def _reads(self, x: FloatArray) -> FloatArray:
        """Collect what each output reads: (N, outputs, E x C)."""
        features = _in_a_row(x)
        outside = np.zeros_like(features[:, :1])
        reads = np.concatenate([features, outside], axis=1)[:, self._maps.T]
        return reads.reshape(*reads.shape[:2], -1)

    def _scaled(self, parameters: Weights) -> FloatArray:
        return self._as(parameters.weight, self.w_scale * self._sizes * parameters.weight)

    def _unscaled(self, rows: FloatArray) -> FloatArray:
        """Scale the gradient of one layer: (E, C, O)."""
        shaped = rows.reshape(len(self._maps), self._channels, -1)
        return self._as(rows, self.w_slope * self._sizes * shaped)

    @staticmethod
    def _as(like: FloatArray, scaled: npt.NDArray[np.float64]) -> FloatArray:
        return scaled.astype(like.dtype, copy=False)


def _in_a_row(x: FloatArray) -> FloatArray:
    """Bring features into the order of their numbers: (N, features, C)."""
    return x.reshape(len(x), -1, x.shape[-1])


class MeanOverMaps(Operator):
    """Means over the maps of a support, such as over the cosets of a subgroup or over orbits.

    Parameters
    ----------
    layer : Average
    """

    def __init__(self, layer: Average) -> None:
        self._maps, self._shares = layer.support.maps, 1 / layer.divisors[:, None]

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Average what each output reads; see `Operator.forward`."""
        padded = np.concatenate([x, np.zeros_like(x[:, :1])], axis=1)
        total = sum(padded[:, places] for places in self._maps)
        return np.asarray(total * self._shares.astype(x.dtype))

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Share out evenly; see `Operator.pull_back`."""
        below = np.zeros((x.shape[1] + 1, len(x), x.shape[2]), g.dtype)
        shared = (g * self._shares.astype(g.dtype)).swapaxes(0, 1)
        for places in self._maps:
            np.add.at(below, places, shared)
        return below[:-1].swapaxes(0, 1)
