"""Square images brought to hexagons: a preparation, and a choice, which kernels are then exact for.

A hexagon of radius R is an axial array of side 2R + 1 whose pixel (q, r), counted from the middle,
lies at x = q + r/2, y = r √3/2 (`docs/lattices.md`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.limits import refuse_memory
from refntk.errors import InputError

__all__ = ["to_hexagons"]


@lru_cache(maxsize=4)
def _places(side: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """First pixel (y, x) of the square below each axial one, what is left, and which are inside."""
    radius = (side - 1) // 2
    steps = np.arange(-radius, radius + 1)
    q, r = np.meshgrid(steps, steps, indexing="ij")
    inside = np.abs(q + r) <= radius
    step, middle = (side - 1) / (2 * radius), (side - 1) / 2
    at = np.stack([r * np.sqrt(0.75), q + r / 2]) * step + middle
    at = np.where(inside, at, middle)
    # Corners lie on the last pixel, up to rounding: it is then the second one, with weight 1.
    low = np.clip(np.floor(at), 0, side - 2).astype(np.int64)
    return low, at - low, inside


def to_hexagons(images: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Bring square images to hexagons, by bilinear interpolation.

    Parameters
    ----------
    images : array of float, shape (N, S, S, C)
        Square images of side S, 3 at least.

    Returns
    -------
    array of float64, shape (N, 2R + 1, 2R + 1, C)
        Axial images of radius R = (S - 1) // 2, as wide as the square: steps are (S - 1) / 2R
        pixels long. The corners of the square are left out, and what is outside of the hexagon is 0
        and never read.

    Raises
    ------
    InputError
        The images are not square, or too small; or the result does not fit into memory.

    Examples
    --------
    >>> to_hexagons(np.ones((1, 5, 5, 1))).sum()  # 19 pixels
    np.float64(19.0)
    """
    if images.ndim != 4 or images.shape[1] != images.shape[2]:
        raise InputError(
            f"--lattice hexagonal: expected square images, not the shape {images.shape}; bring "
            "them to a square with --size"
        )
    side = images.shape[1]
    if side < 3:
        raise InputError(f"--lattice hexagonal: images of {side} x {side} pixels are too small")
    (y, x), (v, u), inside = _places(side)
    refuse_memory("images", 8 * len(images) * inside.size * images.shape[3])
    out = np.zeros((len(images), *inside.shape, images.shape[3]))
    for row, part, first in ((y, 1 - v, 1 - u), (y + 1, v, 1 - u)):
        out += (part * first)[..., None] * images[:, row, x]
        out += (part * (1 - first))[..., None] * images[:, row, x + 1]
    return out * inside[..., None]
