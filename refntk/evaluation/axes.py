"""What the axes of an array of images or volumes are, and what speaks against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError

__all__ = ["axis_doubt", "with_channels"]


def axis_doubt(shape: tuple[int, ...], axes: int = 2) -> str | None:
    """Say what speaks against the order of axes (N, H, W, C), or (N, H, W) for grey images.

    Parameters
    ----------
    shape : tuple of int
        Three or four axes; of volumes four or five.
    axes : int, default 2
        Number of axes of positions: 3 for volumes (N, D, H, W, C), or (N, D, H, W).

    Returns
    -------
    str or None
        How the axes are taken and what else they may be; None where nothing looks odd.

    Examples
    --------
    >>> axis_doubt((100, 32, 32, 3)) is None
    True
    """
    if axes == 3:
        return _volume_doubt(shape)
    if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > 4:
        return (
            f"shape {shape} is taken as (N, H, W), {shape[0]} grey images of {shape[1]} x "
            f"{shape[2]} pixels; a single image (H, W, C) needs a first axis: images[None]"
        )
    if len(shape) != 4:
        return None
    _, height, width, channels = shape
    taken = f"shape {shape} is taken as (N, H, W, C), {channels} channels"
    if height in (1, 3, 4) and min(width, channels) > 4:
        return (
            f"{taken}; if the channels come first, (N, C, H, W), move them: x.transpose(0, 2, 3, 1)"
        )
    if height == width == channels > 4:
        return (
            f"{taken}; volumes (N, D, H, W) are for networks whose filters have three sides, or "
            "take slices of them"
        )
    return None


def _volume_doubt(shape: tuple[int, ...]) -> str | None:
    """Say what speaks against the order of axes of volumes."""
    if len(shape) == 4 and shape[3] in (3, 4) and min(shape[:3]) > 4:
        sides = " x ".join(map(str, shape[1:]))
        return (
            f"shape {shape} is taken as (N, D, H, W), {shape[0]} volumes of {sides} voxels of one "
            "channel; a single volume (D, H, W, C) needs a first axis, volumes[None], and images "
            "(N, H, W, C) a network of images"
        )
    if len(shape) == 5 and shape[1] in (1, 3, 4) and min(shape[2:]) > 4:
        return (
            f"shape {shape} is taken as (N, D, H, W, C), {shape[4]} channels; if the channels come "
            "first, (N, C, D, H, W), move them: np.moveaxis(x, 1, -1)"
        )
    return None


def with_channels(
    images: npt.NDArray[Any], name: str, axes: int | None = None
) -> npt.NDArray[Any]:
    """Add the axis of channels, which grey images and volumes of one channel may lack.

    Parameters
    ----------
    images : array of integer or float, three to five axes
        As a file holds them.
    name : str
        What to call them in messages.
    axes : int, optional
        Number of axes of positions that the network has. Default: 3 where there are five axes,
        else 2. Signals, 1, have the axes of images.

    Returns
    -------
    array, shape (N, H, W, C) or (N, D, H, W, C)
        A view.

    Raises
    ------
    InputError
        Volumes for a network of images, or images for one of volumes; or the axis of channels is
        there, and that of the volumes is not.

    Examples
    --------
    >>> with_channels(np.ones((5, 8, 8, 8)), "X1", axes=3).shape
    (5, 8, 8, 8, 1)
    """
    shape = images.shape
    if axes is None:
        axes = 3 if len(shape) == 5 else 2
    if axes != 3 and len(shape) == 5:
        raise InputError(
            f"{name}: has the shape {shape} of volumes (N, D, H, W, C), and the network is not one "
            "of volumes: its filters would have three sides"
        )
    if axes == 3 and len(shape) == 3:
        raise InputError(
            f"{name}: has the shape {shape}, and the network takes volumes, (N, D, H, W) or "
            "(N, D, H, W, C); a single volume needs a first axis: volume[None]"
        )
    if axes == 3 and len(shape) == 4:
        doubt = axis_doubt(shape, 3)
        if doubt is not None:
            raise InputError(f"{name}: {doubt}, and volumes that are meant volumes[..., None]")
    return images[..., np.newaxis] if len(shape) == (4 if axes == 3 else 3) else images
