"""What counts as images: checks and scaling, shared by every way into the library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, InputWarning

__all__ = [
    "Images",
    "as_image_sets",
    "as_images",
    "axis_doubt",
    "divide",
    "divisors",
    "scale",
    "stated_top",
    "with_channels",
]

FloatArray = npt.NDArray[np.floating[Any]]
Images = npt.NDArray[Any] | Sequence[npt.NDArray[Any]]
"""One array of images, or images of unlike size and one dtype."""

_REMEDY = "say what white is: --scale TYPE, a number as in --scale 4095, or none; in Python scale="
_BRIGHT = 2.0


def stated_top(rule: str | float) -> float | None:
    """Read a rule of scaling that does not depend on the images.

    Parameters
    ----------
    rule : str or float
        Name of an integer type, such as ``"uint16"``, for its largest value; a positive number; or
        ``"none"``.

    Returns
    -------
    float or None
        What pixels are divided by; None: nothing.

    Raises
    ------
    InputError
        It is neither.

    Examples
    --------
    >>> stated_top("uint8"), stated_top("4095"), stated_top("none")
    (255.0, 4095.0, None)
    """
    if rule == "none":
        return None
    try:
        return float(np.iinfo(str(rule)).max)
    except (TypeError, ValueError):
        pass
    try:
        top = float("nan") if isinstance(rule, bool) else float(rule)
    except (TypeError, ValueError):
        top = float("nan")
    if not 0 < top < float("inf"):
        raise InputError(
            f"scale {rule!r}: expected auto, none, an integer type such as uint16, or a "
            "positive number"
        )
    return top


def _parts(images: Images) -> Iterable[npt.NDArray[Any]]:
    return (images,) if isinstance(images, np.ndarray) else images


def _dtype(images: Images) -> np.dtype[Any]:
    return next(iter(_parts(images))).dtype


def _largest(sets: Iterable[Images]) -> float:
    parts = (part for images in sets for part in _parts(images) if part.size)
    return max((part.max().item() for part in parts), default=0)


def divisors(sets: Mapping[str, Images], rule: str | float = "auto") -> dict[str, float | None]:
    """Decide what the pixels of sets of images that belong together are divided by.

    Parameters
    ----------
    sets : mapping of str to arrays of integer or real float
        The images by the name that messages give them.
    rule : str or float
        ``"auto"``: uint8 by 255; another integer type by its largest value, where some value of the
        sets that have this type is above half of it; floats by nothing. Else as `stated_top`, for
        all sets alike.

    Returns
    -------
    dict of str to float or None
        None: they stay as they are.

    Raises
    ------
    InputError
        The values do not fill their integer type, so that nobody knows what white is; integers,
        which would be divided, beside floats far above 1, which would not; another kind of values.
    """
    for name, images in sets.items():
        if _dtype(images).kind not in "iuf":
            raise InputError(
                f"{name}: expected integer or floating-point pixels, not {_dtype(images)}"
            )
    if rule != "auto":
        return dict.fromkeys(sets, stated_top(rule))
    found: dict[str, float | None] = {}
    for name, images in sets.items():
        dtype = _dtype(images)
        found[name] = None if dtype.kind == "f" else float(np.iinfo(dtype).max)
        if dtype.kind == "f" or dtype == np.uint8:
            continue
        top = int(np.iinfo(dtype).max)
        alike = [other for other in sets.values() if _dtype(other) == dtype]
        largest = _largest(alike)
        dark = all(not part.any() for other in alike for part in _parts(other))
        if largest <= top // 2 and not dark:
            raise InputError(
                f"{name}: pixels of type {dtype.name} up to {largest} do not fill the type, whose "
                f"largest value is {top}, so that white is not known; {_REMEDY}"
            )
    if any(top is not None for top in found.values()):
        for name, images in sets.items():
            if found[name] is None and _largest([images]) > _BRIGHT:
                whole = next(other for other, top in found.items() if top is not None)
                raise InputError(
                    f"{name}: floating-point pixels up to {_largest([images]):.6g} would stay as "
                    f"they are, and {whole} be divided by {found[whole]:.0f}; {_REMEDY}"
                )
    return found


def scale(images: npt.NDArray[Any], rule: str | float = "auto") -> FloatArray:
    """Divide integer images by the largest value of their type; leave floating-point ones alone.

    Parameters
    ----------
    images : array of integer or real float, any shape
    rule : str or float
        As for `divisors`.

    Returns
    -------
    float array of the same shape
        float64 where something is divided; else floats come back as they are, in their own dtype
        and not copied.

    Raises
    ------
    InputError
        As `divisors`.
    """
    return divide(images, divisors({"images": images}, rule)["images"])


def divide(images: npt.NDArray[Any], top: float | None) -> FloatArray:
    """Divide pixels by what `divisors` found.

    Parameters
    ----------
    images : array of integer or real float, any shape
    top : float or None
        None: nothing is done to floats, and integers become float64.

    Returns
    -------
    float array of the same shape
    """
    if top is not None:
        scaled: npt.NDArray[np.float64] = np.divide(images, np.float64(top), dtype=np.float64)
        return scaled
    return images if images.dtype.kind == "f" else images.astype(np.float64)


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


def _checked(images: npt.ArrayLike, name: str, axes: int) -> npt.NDArray[Any]:
    """Check all that `as_images` checks, before scaling."""
    wanted = "images of shape (N, H, W, C), channels last"
    if axes == 1:
        wanted = "signals of shape (N, L, C), channels last; on a finite set (N, X, C)"
    elif axes == 3:
        wanted = "volumes of shape (N, D, H, W, C), channels last"
    parts = images if isinstance(images, list | tuple) else [images]
    masked = sum(np.ma.getmaskarray(p).sum() for p in parts if isinstance(p, np.ma.MaskedArray))
    if masked:
        raise InputError(
            f"{name}: is a masked array with {masked} masked pixels, and the mask would be lost; "
            "fill them: images.filled(0)"
        )
    if isinstance(images, str | os.PathLike):
        raise InputError(
            f"{name}: {os.fspath(images)!r} is a name and not images; "
            "refntk.data.load_images reads files and folders"
        )
    try:
        array = np.asarray(images)
    except ValueError:
        raise InputError(
            f"{name}: expected {wanted}, and all of one shape"
        ) from None
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name}: expected integer or floating-point pixels, not {array.dtype}")
    if array.ndim == 3 and axes == 2:
        doubt = axis_doubt(array.shape)
        if doubt is not None:
            raise InputError(f"{name}: {doubt}, and grey images that are meant images[..., None]")
        array = array[..., np.newaxis]
    if array.ndim == 4 and axes == 3:
        array = with_channels(array, name, axes)
    if axes == 1 and array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]  # readers of files take three axes for those of grey images
    if array.ndim != axes + 2:
        raise InputError(f"{name}: expected {wanted}, not {array.shape}")
    if min(array.shape) < 1:
        raise InputError(f"{name}: there is nothing in an array of shape {array.shape}")
    # In pieces, because a mask of all pixels may not fit where the images do.
    for first in range(0, len(array) if array.dtype.kind == "f" else 0, 256):
        finite = np.isfinite(array[first : first + 256]).all(axis=tuple(range(1, axes + 2)))
        if not finite.all():
            raise InputError(
                f"{name}: image {first + int(np.argmin(finite))} has NaN or infinite pixels: "
                "repair or remove it"
            )
    doubt = axis_doubt(array.shape, axes) if axes > 1 else None
    if doubt is not None:
        warnings.warn(f"{name}: {doubt}", InputWarning, stacklevel=4)
    return array


def as_image_sets(
    sets: Mapping[str, npt.ArrayLike], rule: str | float = "auto", axes: int = 2
) -> list[FloatArray]:
    """Check batches of images that belong together, and scale them by one rule.

    Parameters
    ----------
    sets : mapping of str to array of integer or real float, shape (N, H, W, C)
        The images by the name that messages give them.
    rule : str or float
        As for `divisors`.
    axes : int, default 2
        Number of axes of positions: 1 for signals, also on a finite set, of shape (N, X, C), and 3
        for volumes (N, D, H, W, C). From files signals come as grey images, (N, X, C, 1).

    Returns
    -------
    list of float arrays, shape (N, H, W, C)

    Raises
    ------
    InputError
        As `as_images`.
    """
    arrays = {name: _checked(images, name, axes) for name, images in sets.items()}
    tops = divisors(arrays, rule)
    return [divide(array, tops[name]) for name, array in arrays.items()]


def as_images(
    images: npt.ArrayLike, name: str, rule: str | float = "auto", axes: int = 2
) -> FloatArray:
    """Check that an argument is a batch of images, and scale it.

    Parameters
    ----------
    images : array of integer or real float, shape (N, H, W, C)
    name : str
        What to call it in messages.
    rule : str or float
        As for `divisors`.
    axes : int, default 2
        As for `as_image_sets`.

    Returns
    -------
    float array, shape (N, H, W, C)
        As `scale` gives it.

    Raises
    ------
    InputError
        Not an array, wrong dtype or number of axes, nothing in it, masked pixels, pixels that are
        not finite (the message says which image), or of an integer type that they do not fill.
    """
    return as_image_sets({name: images}, rule, axes)[0]
