r"""Scaling and rotation of images as cyclic shifts: the log-polar grid.

An image f is sampled at radii :math:`r_k = r_0 q^k` and angles :math:`2\pi j / A` about its centre.
Scaling by the ratio q moves the samples by one ring, rotation by 2π/A by one ray, so that networks
with circular filters on this grid are group convolutions of scalings and rotations, and those that
pool over it are invariant. For shifts of the grid that is exact, with the last ring next to the
first; for scaled images it is what interpolation and the rings at the ends leave of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from refntk.errors import InputError
from refntk.evaluation.images import as_images

__all__ = ["log_polar", "ratio", "scaled"]

FloatArray = npt.NDArray[np.float64]


def ratio(side: int, radii: int, inner: float = 1.0) -> float:
    """Ratio q of neighbouring radii, from `inner` pixels to the border of an image.

    Parameters
    ----------
    side : int
        Shorter side of the image in pixels.
    radii : int
        Number of rings, two or more.
    inner : float
        Radius of the first ring in pixels.

    Returns
    -------
    float

    Raises
    ------
    InputError
        There are fewer than two rings, or the first one is not inside the image.
    """
    outer = (side - 1) / 2
    if radii < 2:
        raise InputError(f"radii: expected two rings or more, not {radii}")
    if not 0 < inner < outer:
        raise InputError(f"inner: expected a radius between 0 and {outer:g} pixels, not {inner:g}")
    return float((outer / inner) ** (1 / (radii - 1)))


def log_polar(
    images: npt.ArrayLike, radii: int, angles: int, inner: float = 1.0
) -> FloatArray:
    """Sample images on rings and rays about their centre, by cubic splines.

    Parameters
    ----------
    images : array of integer or real float, shape (N, H, W, C)
    radii, angles : int
        Numbers of rings and rays.
    inner : float
        Radius of the first ring in pixels.

    Returns
    -------
    array of float64, shape (N, radii, angles, C)
        Ring k has the radius inner · q^k, with the q of `ratio`; ray 0 points to the right, and the
        next ones turn to y downwards.

    Raises
    ------
    InputError
        Not images, or as `ratio`.
    """
    x = as_images(images, "images").astype(np.float64)
    height, width = x.shape[1:3]
    r = inner * ratio(min(height, width), radii, inner) ** np.arange(radii)[:, None]
    turn = 2 * np.pi * np.arange(angles) / angles
    return _sampled(x, r * np.sin(turn) + (height - 1) / 2, r * np.cos(turn) + (width - 1) / 2)


def scaled(images: npt.ArrayLike, factor: float) -> FloatArray:
    """Enlarge images about their centre, by cubic splines, mirrored at the border.

    Parameters
    ----------
    images : array of integer or real float, shape (N, H, W, C)
    factor : float
        Above 1 to enlarge, below to shrink.

    Returns
    -------
    array of float64, shape (N, H, W, C)

    Raises
    ------
    InputError
        Not images, or the factor is not positive.
    """
    if not 0 < factor < np.inf:
        raise InputError(f"factor: expected a positive number, not {factor!r}")
    x = as_images(images, "images").astype(np.float64)
    middle = (np.array(x.shape[1:3]) - 1) / 2
    y, z = np.mgrid[: x.shape[1], : x.shape[2]]
    return _sampled(x, (y - middle[0]) / factor + middle[0], (z - middle[1]) / factor + middle[1])


def _sampled(x: FloatArray, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> FloatArray:
    at = np.stack([rows, columns])
    flat = np.moveaxis(x, 3, 1).reshape(-1, *x.shape[1:3])
    found = np.array([scipy.ndimage.map_coordinates(one, at, mode="mirror") for one in flat])
    return np.moveaxis(found.reshape(len(x), x.shape[3], *rows.shape), 1, 3)
