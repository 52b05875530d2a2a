"""From stored pixels to what a network sees: subset, size, scale, standardisation.

The order is subset, resample, scale, standardise. Resampling and scaling are both linear, and a
resampled integer image is no longer one of integers, so `area_resample` scales as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refntk.data.limits import refuse_memory
from refntk.errors import InputError, unknown
from refntk.evaluation.images import Images, divide, divisors, scale

__all__ = [
    "FITS",
    "apply_statistics",
    "area_resample",
    "channel_statistics",
    "check_fit",
    "stratified_subset",
    "to_size",
    "to_unit",
]

Float64Array = NDArray[np.float64]

FITS = ("resize", "crop", "pad")
"""How images come to a given size."""


def to_unit(images: NDArray[Any], rule: str | float = "auto") -> NDArray[np.floating[Any]]:
    """Divide integer images by the largest value of their type; leave floating-point ones alone.

    Parameters
    ----------
    images : array of integer or float, any shape
        For example uint8 pixels, 0 to 255.
    rule : str or float
        As for `refntk.evaluation.images.divisors`.

    Returns
    -------
    array of float, same shape
        float64 for integers: 1.0 is the largest value of the type (255 for uint8). Floats come back
        as they are, in their own dtype and not copied.

    Raises
    ------
    InputError
        The values are neither integers nor floats, or integers that do not fill their type; or the
        result does not fit into memory.

    Examples
    --------
    >>> to_unit(np.array([0, 51, 255], dtype=np.uint8)).tolist()
    [0.0, 0.2, 1.0]
    """
    if images.dtype.kind in "iu":
        refuse_memory("images", 8 * images.size)
    return scale(images, rule)


def channel_statistics(images: NDArray[np.floating[Any]]) -> tuple[Float64Array, Float64Array]:
    r"""Mean and standard deviation of each channel over all images and positions.

    Parameters
    ----------
    images : array of float, shape (N, H, W, C) or (N, D, H, W, C)
        Scaled images.

    Returns
    -------
    mean, std : arrays of float64, shape (C,)
        :math:`\mu_c = \langle x_{nyxc} \rangle_{nyx}` and
        :math:`\sqrt{\langle (x_{nyxc} - \mu_c)^2 \rangle_{nyx}}`: the population's, without
        Bessel's correction.

    Raises
    ------
    InputError
        Neither four nor five axes, or empty.
    """
    if images.ndim not in (4, 5) or images.size == 0:
        raise InputError(f"images: shape {images.shape}; expected a non-empty (N, H, W, C)")
    values = images.reshape(-1, images.shape[-1])
    return np.mean(values, axis=0, dtype=np.float64), np.std(values, axis=0, dtype=np.float64)


def apply_statistics(
    images: NDArray[np.floating[Any]], mean: ArrayLike, std: ArrayLike
) -> Float64Array:
    """Subtract a mean from each channel and divide by a standard deviation.

    Parameters
    ----------
    images : array of float, shape (N, H, W, C) or (N, D, H, W, C)
        Scaled images.
    mean, std : array_like of float, shape (C,)
        Statistics, of these or of other images. A channel whose `std` is 0 is centred only.

    Returns
    -------
    array of float64, shape of `images`
        The standardised images.

    Raises
    ------
    InputError
        The statistics have another number of channels than the images.
    """
    centre = np.asarray(mean, np.float64)
    spread = np.asarray(std, np.float64)
    if images.ndim not in (4, 5) or not images.shape[-1:] == centre.shape == spread.shape:
        raise InputError(
            f"standardize: images of shape {images.shape} do not fit the statistics of "
            f"{centre.size} channels; X1 and X2 need the same channels"
        )
    result: Float64Array = (images - centre) / np.where(spread == 0, 1.0, spread)
    return result


@lru_cache(maxsize=8)
def _area_weights(n_in: int, n_out: int) -> Float64Array:
    """Share of each of `n_in` pixels in each of `n_out` equal cells of the axis; rows sum to 1.

    In units of the axis length over ``n_in * n_out``, cell i is ``[i n_in, (i+1) n_in]`` and pixel
    j is ``[j n_out, (j+1) n_out]``: integers, so that each weight is rounded only once.
    """
    cell = n_in * np.arange(n_out + 1)
    pixel = n_out * np.arange(n_in + 1)
    ends = np.minimum(cell[1:, None], pixel[None, 1:])
    starts = np.maximum(cell[:-1, None], pixel[None, :-1])
    weights: Float64Array = np.maximum(ends - starts, 0) / n_in
    return weights


def area_resample(images: Images, px: int, rule: str | float = "auto") -> Float64Array:
    r"""Shrink images to `px` by `px` pixels, each the average of the area that it covers.

    Parameters
    ----------
    images : array of integer or float, shape (N, H, W, C), or sequence of arrays (H, W, C)
        Scaled by `to_unit` on the way. The arrays of a sequence may differ in H and W; sides of
        unlike length are squeezed into a square. Volumes, (N, D, H, W, C), become cubes.
    px : int
        New height and width, at most H and at most W.
    rule : str or float
        As for `to_unit`.

    Returns
    -------
    array of float64, shape (N, px, px, C)
        :math:`\sum_{ij} A^H_{yi} A^W_{xj} x_{nijc}`, where :math:`A^H_{yi}` is the share of row i
        in cell y. The mean of each channel stays what it was.

    Raises
    ------
    InputError
        Neither four nor five axes; `px` not a positive integer; `px` larger than the images,
        because nothing is invented between pixels; as `to_unit`.

    Examples
    --------
    >>> ramp = np.array([0.0, 3.0, 6.0]).reshape(1, 1, 3, 1).repeat(3, axis=1)
    >>> area_resample(ramp, 2).ravel().tolist()
    [1.0, 5.0, 1.0, 5.0]
    """
    if isinstance(images, np.ndarray) and images.ndim not in (4, 5):
        raise InputError(f"images: shape {images.shape}; expected (N, H, W, C)")
    top, out = _room(images, px, rule)
    for index, image in enumerate(images):
        sides = image.shape[:-1]
        if px > min(sides):
            raise InputError(
                f"size {px}: the images have {_text(sides)} pixels and are only ever made "
                f"smaller; choose at most {min(sides)}, or put black around with --fit pad"
            )
        # One image at a time: the integers of a whole set would become eight times as large.
        values = np.asarray(divide(image, top), np.float64)
        for axis, side in enumerate(sides):
            values = _area_weights(side, px) @ values.reshape(px**axis, side, -1)
        out[index] = values.reshape(out.shape[1:])
    return out


def _room(images: Images, px: int, rule: str | float) -> tuple[float | None, Float64Array]:
    """Find what pixels are divided by, and make room for images of `px` pixels along each axis."""
    if not isinstance(px, Integral) or px < 1:
        raise InputError(f"size {px}: expected a positive number of pixels")
    *sides, channels = images[0].shape
    refuse_memory("images", 8 * len(images) * px ** len(sides) * channels)
    top = divisors({"images": images}, rule)["images"]
    return top, np.zeros((len(images), *[px] * len(sides), channels))


def check_fit(fit: str, size: int | None) -> None:
    """Refuse a way to one size that does not exist, or where there is no size.

    Parameters
    ----------
    fit : str
    size : int or None

    Raises
    ------
    InputError
    """
    if fit not in FITS:
        raise InputError(unknown("fit", fit, FITS))
    if fit != "resize" and size is None:
        raise InputError(f"--fit {fit}: says how images come to one size; add --size PX")


def to_size(
    images: Images, px: int, fit: str = "resize", rule: str | float = "auto"
) -> Float64Array:
    """Bring images to `px` by `px` pixels, and scale them.

    Parameters
    ----------
    images : array of integer or float, shape (N, H, W, C), or sequence of arrays (H, W, C)
        As for `area_resample`.
    px : int
        New height and width.
    fit : {"resize", "crop", "pad"}
        Average over areas, see `area_resample`; take the middle; or put black around. Where what is
        cut off, or put around, is an odd number of pixels, the first side gets the smaller half.
    rule : str or float
        As for `to_unit`.

    Returns
    -------
    array of float64, shape (N, px, px, C)

    Raises
    ------
    InputError
        No such `fit`; an image is smaller than `px`, or larger with ``"pad"``; as `area_resample`.
    """
    check_fit(fit, px)
    if fit == "resize":
        return area_resample(images, px, rule)
    top, out = _room(images, px, rule)
    for place, image in zip(out, images, strict=True):
        sides = image.shape[:-1]
        if fit == "crop" and px > min(sides) or fit == "pad" and px < max(sides):
            limit = f"at most {min(sides)}" if fit == "crop" else f"at least {max(sides)}"
            raise InputError(
                f"size {px}: an image has {_text(sides)} pixels and cannot be brought to "
                f"it by --fit {fit}; choose {limit}, or another --fit ({', '.join(FITS)})"
            )
        scaled = divide(image, top)
        if fit == "crop":
            place[...] = scaled[tuple(_middle(side, px) for side in sides)]
        else:
            place[tuple(_middle(px, side) for side in sides)] = scaled
    return out


def _text(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _middle(side: int, part: int) -> slice:
    """Find the places of the middle of an axis."""
    first = (side - part) // 2
    return slice(first, first + part)


def stratified_subset(
    labels: ArrayLike | None, limit: int, seed: int, *, count: int | None = None
) -> NDArray[np.int64]:
    """Choose at most `limit` images, each class in proportion to its share.

    A class of share p gets ``floor(p * limit)`` images; what is left goes one by one to the classes
    with the largest remainders, ties in random order.

    Parameters
    ----------
    labels : array_like of int, shape (N,), or None
        Classes. None: a plain random subset of `count` images.
    limit : int
        Largest number of images; all are taken where there are no more.
    seed : int
        Seed of the choice, not negative.
    count : int, optional
        Number of images where `labels` is None.

    Returns
    -------
    array of int64, shape (min(limit, N),)
        Sorted indices of the chosen images.

    Raises
    ------
    InputError
        `limit` below 1 or `seed` below 0; neither labels nor a count.

    Examples
    --------
    >>> classes = np.repeat([0, 1], [60, 30])
    >>> np.bincount(classes[stratified_subset(classes, 9, seed=0)]).tolist()
    [6, 3]
    """
    if not isinstance(limit, Integral) or limit < 1:
        raise InputError(f"limit {limit}: expected a positive number of images")
    if not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"seed {seed}: expected an integer that is not negative")
    if labels is None and count is None:
        raise InputError("stratified_subset: give the labels, or the number of images as count")
    known = np.zeros(count or 0, np.int64) if labels is None else np.asarray(labels)
    if limit >= len(known):
        return np.arange(len(known))
    rng = np.random.default_rng(seed)
    _, classes, sizes = np.unique(known, return_inverse=True, return_counts=True)
    # Integers throughout: a share such as 0.1 * 30 must not lose an image to rounding.
    quota, remainder = np.divmod(sizes * limit, len(known))
    order = np.lexsort((rng.permutation(len(sizes)), -remainder))
    quota[order[: limit - quota.sum()]] += 1
    chosen = [
        rng.choice(np.flatnonzero(classes == index), size=take, replace=False)
        for index, take in enumerate(quota)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
