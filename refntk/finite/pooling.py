"""Pooling at finite width: AvgPool, SumPool, RotationPool, CosetPool and CentreReadout."""

from __future__ import annotations

import numpy as np

from refntk.finite.operator import FloatArray, Operator, Weights
from refntk.ops.operations import Average, Stack
from refntk.ops.space import Space

__all__ = ["Channels", "Pool"]


class Pool(Operator):
    """Sums over windows divided by a number, which the layer says.

    Parameters
    ----------
    layer : Average
        On images.
    """

    def __init__(self, layer: Average) -> None:
        self._below, self._above = layer.support.below, layer.support.above
        self._maps = layer.support.maps
        self._shares = 1 / layer.divisors

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Sum and divide; see `Operator.forward`."""
        features = _by_number(x, self._below)
        outside = np.zeros((len(x), 1, x.shape[-1]), x.dtype)
        padded = np.concatenate([features, outside], axis=1)
        total = np.sum([padded[:, places] for places in self._maps], axis=0)
        shares = self._shares.astype(x.dtype)[:, None]
        return _by_place(total * shares, self._above)

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Add up over the windows that read a feature; see `Operator.pull_back`."""
        shared = _by_number(g, self._above) * self._shares.astype(g.dtype)[:, None]
        below = np.zeros((len(g), self._below.size + 1, g.shape[-1]), g.dtype)
        for places in self._maps:
            below[:, places] += shared  # of one filter element, no feature inside is read twice
        return _by_place(below[:, :-1], self._below)


class Channels(Operator):
    """CentreReadout: what each element of the group sees becomes its channels.

    Parameters
    ----------
    layer : Stack
        Of as many outputs as there are elements.
    """

    def __init__(self, layer: Stack) -> None:
        self._below, self._maps = layer.support.below, layer.support.maps

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Collect what each output reads; see `Operator.forward`."""
        reads = _by_number(x, self._below)[:, self._maps.T]
        return reads.reshape(*reads.shape[:2], -1)

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Send covectors back along the maps; see `Operator.pull_back`."""
        below = np.zeros((len(g), self._below.size, x.shape[-1]), g.dtype)
        parts = g.reshape(*g.shape[:2], len(self._maps), -1)
        for r, places in enumerate(self._maps.T):
            below[:, places] += parts[:, r]  # each element reads every feature once
        return _by_place(below, self._below)


def _by_number(x: FloatArray, space: Space) -> FloatArray:
    """Bring features into the order of their numbers: (N, features, C)."""
    if _beside(space):
        x = x.transpose(0, 3, 1, 2, 4)
    return x.reshape(len(x), -1, x.shape[-1])


def _by_place(features: FloatArray, space: Space) -> FloatArray:
    """Undo it."""
    count, _, channels = features.shape
    if not _beside(space):
        return features.reshape(count, *space.axes, channels)
    return features.reshape(count, -1, *space.shape, channels).transpose(0, 2, 3, 1, 4)


def _beside(space: Space) -> bool:
    """Whether the elements stand beside the channels: on images of pixels they do."""
    return space.group is not None and space.group.lattice == "square"
