"""Images that a kernel file was computed from, where they are still there."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import InputInfo, image_digests
from refntk.data.images.load import read_stored
from refntk.errors import RefntkError, RefntkWarning

__all__ = ["images_at_hand"]


def images_at_hand(info: InputInfo, alpha: str | None = None) -> NDArray[Any] | None:
    """Read the images of a kernel file from where they came from.

    Parameters
    ----------
    info : InputInfo
        What the file keeps of them.
    alpha : str, optional
        What became of transparency, as in `refntk.data.load_images`.

    Returns
    -------
    array, shape (N, H, W, C) or (N, D, H, W, C), or None
        As stored, in the order of `info`. None where the source is gone, or holds other images by
        now: every digest must be right.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RefntkWarning)  # said when they were read first
            images = read_stored(info.source, alpha=alpha, axes=len(info.shape) - 1).images
    except RefntkError:
        return None
    if not isinstance(images, np.ndarray) or info.count == 0:
        return None
    if images.shape[1:] != info.shape or info.indices.max() >= len(images):
        return None
    chosen = images[info.indices]
    return chosen if np.array_equal(image_digests(chosen), info.sha256) else None
