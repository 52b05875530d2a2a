"""What counts as images: checks and scaling, shared by every way into the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError

__all__ = ["as_images", "scale"]


def scale(images: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
    """Divide integer images by the largest value of their type; leave floating-point ones alone.

    Parameters
    ----------
    images : array of integer or real float, any shape

    Returns
    -------
    float array of the same shape
        float64 for integers; floats come back as they are, in their own dtype and not copied.

    Raises
    ------
    InputError
        The values are neither integers nor real floats.
    """
    if images.dtype.kind in "iu":
        return images / np.float64(np.iinfo(images.dtype).max)
    if images.dtype.kind == "f":
        return images
    raise InputError(f"expected integer or floating-point pixels, not {images.dtype}")


def as_images(images: npt.ArrayLike, name: str) -> npt.NDArray[np.floating[Any]]:
    """Check that an argument is a batch of images, and scale it.

    Parameters
    ----------
    images : array of integer or real float, shape (N, H, W, C)
    name : str
        What to call it in messages.

    Returns
    -------
    float array, shape (N, H, W, C)
        As `scale` gives it.

    Raises
    ------
    InputError
        Not an array, wrong dtype or number of axes, nothing in it, or pixels that are not finite;
        the message says which image.
    """
    try:
        array = np.asarray(images)
    except ValueError:
        raise InputError(
            f"{name}: expected images of shape (N, H, W, C), channels last, and all of one shape"
        ) from None
    try:
        array = scale(array)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if array.ndim != 4:
        raise InputError(
            f"{name}: expected images of shape (N, H, W, C), channels last, not {array.shape}"
        )
    if min(array.shape) < 1:
        raise InputError(f"{name}: there is nothing in an array of shape {array.shape}")
    # In pieces, because a mask of all pixels may not fit where the images do.
    for first in range(0, len(array), 256):
        finite = np.isfinite(array[first : first + 256]).all(axis=(1, 2, 3))
        if not finite.all():
            raise InputError(
                f"{name}: image {first + int(np.argmin(finite))} has NaN or infinite pixels: "
                "repair or remove it"
            )
    return array
