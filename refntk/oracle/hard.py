"""Images that are hard for kernels: alike, flat, opposite, zero, badly scaled, symmetric.

Each function gives images x1 and x2, of shape (N, H, W, C), that are made from one generic image;
x2 is None where it is x1. Those with other arguments give such a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Maker", "black", "grey", "itself", "near", "symmetric", "times"]

FloatArray = npt.NDArray[np.float64]
Maker: TypeAlias = Callable[[FloatArray, np.random.Generator], tuple[FloatArray, FloatArray | None]]


def itself(image: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, None]:
    """Make two images, to be compared with each other and with themselves."""
    return np.stack([image, rng.uniform(-0.5, 1, image.shape)]), None


def near(distance: float) -> Maker:
    """Make images, and the same ones moved by a relative distance."""

    def make(image: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        x1 = np.stack([image, rng.uniform(-0.5, 1, image.shape)])
        return x1, x1 + distance * rng.normal(size=x1.shape)

    return make


def grey(noise: float) -> Maker:
    """Make a generic image and two flat ones, and flat ones to compare with."""

    def make(image: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        flat = np.stack([np.full(image.shape, level) for level in (0.9, 0.3, 0.7)])
        flat += noise * rng.normal(size=flat.shape)
        return np.stack([image, *flat[:2]]), flat

    return make


def times(*factors: float) -> Maker:
    """Make an image, and it again times each factor."""

    def make(image: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        other = rng.uniform(-0.5, 1, image.shape)
        return np.stack([image, other]), np.stack([factor * image for factor in factors])

    return make


def black(image: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Make images with a black corner, and a black image among those to compare with."""
    x1 = np.stack([image, rng.uniform(-0.5, 1, image.shape)])
    x1[:, :2, :2] = 0
    x1[1, :, :2] = 0
    return x1, np.stack([x1[0], np.zeros(image.shape)])


def symmetric(image: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Make an image, its mean over quarter turns, and a quarter turn of the image."""
    turns = [np.rot90(image, k) for k in range(4)]
    mean = sum(turns[1:], start=turns[0]) / 4
    return np.stack([image, mean]), np.stack([turns[1], mean])
