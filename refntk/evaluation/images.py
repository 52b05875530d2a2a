"""What counts as images: checks and scaling, shared by every way into the library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, InputWarning
from refntk.evaluation.axes import axis_doubt, with_channels

__all__ = [
    "Images",
    "as_image_sets",
    "as_images",
    "divide",
    "divisors",
    "scale",
    "stated_top",
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
    if str(rule) == "none":
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
    if str(rule) != "auto":  # of an array, which compares with no text, this is another, too
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
