"""Convolutions of finite width: Conv, Lift and GroupConv.

The group axis of the features stands beside the channels because all of them are then one matrix
product: that of the patches of an image with the filter, written out for each of the n turned
outputs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from refntk.finite.operator import FloatArray, LinearOperator, Weights
from refntk.ops.operations import Filter
from refntk.ops.support import Support, Window

__all__ = ["Convolution"]


class Convolution(LinearOperator):
    """Conv, Lift and GroupConv: one convolution whose filter is repeated in all orientations.

    Entry e of the filter acts, for the output at group element r, on slot ``slots[r, e]`` of a
    patch: a patch has the positions of the window, row by row, and at each the elements of the
    group below.

    Parameters
    ----------
    layer : Filter
        On images, with windows.
    channels : int
        Number C of channels below.
    """

    def __init__(self, layer: Filter, channels: int) -> None:
        self._frame, self._slots = _layout(layer.support)
        self._elements = layer.support.below.order
        self._on_group = layer.support.above.group is not None
        self._channels = channels
        super().__init__(layer, self._slots.shape[1] * channels)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(E, C): entries of the filter and channels below."""
        return self._slots.shape[1], self._channels

    def forward(self, parameters: Weights | None, x: FloatArray) -> FloatArray:
        """Convolve; see `Operator.forward`."""
        assert parameters is not None
        matrix, (y, x_) = self._matrix(parameters.weight), self._frame
        out = np.empty((len(x), y.n_out * x_.n_out, matrix.shape[1]), matrix.dtype)
        # One image at a time: its patches stay in the cache, and memory does not grow with N.
        for image, features in zip(x, out, strict=True):
            np.matmul(self._patches(image), matrix, out=features)
        turned = (len(self._slots),) if self._on_group else ()
        out = out.reshape(len(x), y.n_out, x_.n_out, *turned, -1)
        if self.b_scale:
            out += self.b_scale * parameters.bias
        return out

    def pull_back(self, parameters: Weights | None, x: FloatArray, g: FloatArray) -> FloatArray:
        """Convolve with the transposed filter; see `Operator.pull_back`."""
        assert parameters is not None
        transposed = self._matrix(parameters.weight).T
        below = np.empty(x.shape, transposed.dtype)
        for image, covector in zip(below, g, strict=True):
            self._scatter(self._rows(covector) @ transposed, image)
        return below

    def gradient(self, x: FloatArray, g: FloatArray) -> Weights:
        """Sum patches times covectors over positions and images; see `LinearOperator.gradient`."""
        weight = sum(self._weight_gradient(*pair) for pair in zip(x, g, strict=True))
        bias = self.b_slope * g.reshape(-1, g.shape[-1]).sum(axis=0)
        return Weights(np.asarray(weight), bias)

    def tangent_kernel(self, x: FloatArray, g: FloatArray) -> FloatArray:
        """Contract the gradients of single images; see `LinearOperator.tangent_kernel`."""
        weights = np.stack(
            [self._weight_gradient(*pair).ravel() for pair in zip(x, g, strict=True)]
        )
        biases = self.b_slope * g.reshape(len(g), -1, g.shape[-1]).sum(axis=1)
        return np.asarray(weights @ weights.T + biases @ biases.T)

    def _matrix(self, weight: FloatArray) -> FloatArray:
        """Write the scaled filter out for all outputs: (slots x C, n x O)."""
        y, x = self._frame
        channels = weight.shape[-1]
        shape = (y.size * x.size * self._elements, self._channels, len(self._slots), channels)
        matrix = np.zeros(shape, weight.dtype)
        scaled = self.w_scale * weight
        for r, slots in enumerate(self._slots):
            matrix[slots, :, r, :] = scaled
        return matrix.reshape(shape[0] * shape[1], -1)

    def _weight_gradient(self, image: FloatArray, g: FloatArray) -> FloatArray:
        """Undo `_matrix` for the gradient of one image: (E, C, O)."""
        product = self._patches(image).T @ self._rows(g)
        product = product.reshape(-1, self._channels, len(self._slots), g.shape[-1])
        folded = sum(product[slots, :, r, :] for r, slots in enumerate(self._slots))
        return self.w_slope * np.asarray(folded)

    def _rows(self, g: FloatArray) -> FloatArray:
        y, x = self._frame
        return g.reshape(y.n_out * x.n_out, -1)

    def _patches(self, image: FloatArray) -> FloatArray:
        """Collect what each output position reads: (positions, slots x C)."""
        y, x = self._frame
        padded = _pad(image.reshape(y.n_in, x.n_in, -1), self._frame)
        steps = padded.strides
        shape = (y.n_out, x.n_out, y.size, x.size, padded.shape[-1])
        strides = (y.stride * steps[0], x.stride * steps[1], *steps)
        patches = np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)
        return patches.reshape(y.n_out * x.n_out, -1)

    def _scatter(self, patches: FloatArray, image: FloatArray) -> None:
        """Write the transpose of `_patches` into an image."""
        y, x = self._frame
        sizes = [window.low + window.n_in + _above(window) for window in (y, x)]
        padded = np.zeros((*sizes, patches.shape[1] // (y.size * x.size)), patches.dtype)
        patches = patches.reshape(y.n_out, x.n_out, y.size, x.size, -1)
        for a in range(y.size):
            rows = slice(a, a + y.stride * (y.n_out - 1) + 1, y.stride)
            for b in range(x.size):
                columns = slice(b, b + x.stride * (x.n_out - 1) + 1, x.stride)
                padded[rows, columns] += patches[:, :, a, b]
        image[...] = _unpad(padded, self._frame).reshape(image.shape)


def _layout(support: Support) -> tuple[tuple[Window, Window], npt.NDArray[np.int64]]:
    """Find a window that holds the filter in all orientations, and the slots (n, E) in it."""
    assert support.windows is not None
    group, sides = support.above.group, [window.span for window in support.windows]
    if group is not None and group.swaps_axes:
        sides = [max(sides)] * 2
    y, x = (
        # About the same centre.
        replace(window, size=side, low=window.low + (side - window.span) // 2, dilation=1)
        for window, side in zip(support.windows, sides, strict=True)
    )
    elements = np.eye(2, dtype=np.int64)[None] if group is None else group.matrices
    turned = support.offsets @ elements.swapaxes(1, 2)
    places = (turned + (y.size - 1, x.size - 1)) // 2 @ np.array((x.size, 1), np.int64)
    below = support.below.group
    if below is None:
        return (y, x), places
    # f'(t, r) = sum_q sum_s w(q, s) f(t + r s, r q)
    covered = slice(None) if support.rotations is None else list(support.rotations)
    slots = places[:, None, :] * below.order + below.cayley[:, covered, None]
    return (y, x), slots.reshape(len(places), -1)


def _above(window: Window) -> int:
    """Count the positions by which the last window reaches out of the image."""
    last = window.stride * (window.n_out - 1) + window.size
    return max(last - window.low - window.n_in, 0)


def _pad(image: FloatArray, frame: tuple[Window, Window]) -> FloatArray:
    """Extend an image (H, W, C) by what windows read outside, zero or wrapped."""
    y, x = frame
    shape = (window.low + window.n_in + _above(window) for window in frame)
    padded = np.zeros((*shape, image.shape[-1]), image.dtype)
    padded[y.low : y.low + y.n_in, x.low : x.low + x.n_in] = image
    for copied, source in _wrapped(padded, frame):
        copied[...] = source
    return padded


def _unpad(padded: FloatArray, frame: tuple[Window, Window]) -> FloatArray:
    """Apply the transpose of `_pad`; it writes to its argument."""
    y, x = frame
    for copied, source in reversed(_wrapped(padded, frame)):
        source += copied
    return padded[y.low : y.low + y.n_in, x.low : x.low + x.n_in]


def _wrapped(
    padded: FloatArray, frame: tuple[Window, Window]
) -> list[tuple[FloatArray, FloatArray]]:
    """Pair each margin of a padded image with the part that it repeats, rows before columns."""
    pairs = []
    for window, rows in zip(frame, (padded, padded.swapaxes(0, 1)), strict=True):
        if window.wrap:
            low, above, n = window.low, _above(window), window.n_in
            pairs += [(rows[:low], rows[n : n + low])]
            pairs += [(rows[low + n :], rows[low : low + above])]
    return pairs
