"""A set of images with what is known about them, and what every reader hands over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.errors import InputError
from refntk.evaluation.axes import axis_doubt

__all__ = [
    "ImageSet",
    "InputInfo",
    "IntArray",
    "Pick",
    "RawImages",
    "check_layout",
    "describe_images",
    "escaped",
    "image_digests",
]

IntArray = NDArray[np.int64]

# Called with the number of images, their labels (or None) and, where they have any, their names:
# the sorted indices of those to read.
Pick = Callable[..., IntArray]


@dataclass(frozen=True, eq=False)
class RawImages:
    """What a reader returns: the chosen images as the file holds them.

    Parameters
    ----------
    images : array of integer or float, shape (N, H, W) or (N, H, W, C), or list of arrays
        The chosen images, in native byte order; or volumes (N, D, H, W) or (N, D, H, W, C). A list,
        of shapes (H, W) or (H, W, C), where they differ in size.
    indices : array of int64, shape (N,)
        Their positions in the file.
    labels : array of int64, shape (N,), optional
        Their classes.
    class_names : tuple of str, optional
        Name of class 0, 1, ...
    names : tuple of str, optional
        A name for each chosen image.
    notes : tuple of str
        What the reader passed over or could not use, a line each.
    """

    images: NDArray[Any] | list[NDArray[Any]]
    indices: IntArray
    labels: IntArray | None = None
    class_names: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class InputInfo:
    """What a kernel file keeps of a set of images: everything but the pixels.

    Parameters
    ----------
    source : str
        Where the images come from, as it was given.
    shape : tuple of int
        ``(H, W, C)`` of the images as read, before any preparation; ``(D, H, W, C)`` of volumes.
    dtype : str
        Name of their dtype as read, such as ``"uint8"``.
    indices : array of int64, shape (N,)
        Positions of the images in the source.
    sha256 : array of bytes (``S64``), shape (N,)
        SHA-256 of each image as read, in hexadecimal; see `image_digests`.
    labels : array of int64, shape (N,), or None
        Classes, where known.
    class_names : tuple of str or None
        Name of class 0, 1, ..., where known.
    names : tuple of str or None
        A name for each image, where known: its path in a folder.
    """

    source: str
    shape: tuple[int, ...]
    dtype: str
    indices: IntArray
    sha256: NDArray[np.bytes_]
    labels: IntArray | None = None
    class_names: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a shape that no image and no volume has, as a damaged file may say it."""
        if len(self.shape) not in (3, 4):
            raise ValueError(f"shape {self.shape} is not (H, W, C) nor (D, H, W, C)")

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.indices)

    @property
    def digest(self) -> str:
        """SHA-256 over those of the images, in their order: tells sets of images apart."""
        return hashlib.sha256(b"".join(self.sha256.tolist())).hexdigest()


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, and what is known about them.

    Parameters
    ----------
    images : array of integer or float, shape (N, H, W, C), or (N, D, H, W, C)
        Axes: image, y, x, channel; of volumes z, y, x. As stored, or float64 where they were
        resampled.
    info : InputInfo
        Source, indices, labels and digests of these images.
    """

    images: NDArray[Any]
    info: InputInfo

    @property
    def labels(self) -> IntArray | None:
        """Class of each image, shape (N,), or None where unknown."""
        return self.info.labels

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of class 0, 1, ..., or None where unknown."""
        return self.info.class_names

    @property
    def indices(self) -> IntArray:
        """Position of each image in the source, shape (N,)."""
        return self.info.indices

    @property
    def source(self) -> str:
        """Where the images come from, as it was given."""
        return self.info.source

    @property
    def names(self) -> tuple[str, ...] | None:
        """Name of each image, or None where unknown."""
        return self.info.names


def check_layout(source: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an array that is not a stack of images, from its header alone.

    Parameters
    ----------
    source : object
        The file, for the message.
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Its dtype.

    Raises
    ------
    InputError
        Pickled objects; values that are neither integers nor floats; a number of axes other than 3
        to 5; three axes that look like those of a single colour image; an axis of length 0.
    """
    if dtype.hasobject:
        raise InputError(
            f"{source}: holds pickled Python objects, which are never loaded because they can run "
            "code; save a numeric array"
        )
    if dtype.kind not in "iuf":
        raise InputError(
            f"{source}: holds values of dtype {dtype}, expected integers or floats; convert them"
        )
    if not 3 <= len(shape) <= 5:
        raise InputError(
            f"{source}: has {len(shape)} axes, shape {shape}; expected (N, H, W) or (N, H, W, C), "
            "or volumes (N, D, H, W) or (N, D, H, W, C): reshape it"
        )
    if len(shape) == 3 and 0 not in shape:
        doubt = axis_doubt(shape)
        if doubt is not None:
            raise InputError(f"{source}: {doubt}, and grey images that are meant images[..., None]")
    if 0 in shape:
        raise InputError(f"{source}: is empty, shape {shape}; expected at least one image")


def image_digests(images: NDArray[Any] | Sequence[NDArray[Any]]) -> NDArray[np.bytes_]:
    """SHA-256 of the bytes of each image.

    Parameters
    ----------
    images : array, shape (N, ...), or sequence of arrays
        Images of one dtype.

    Returns
    -------
    array of bytes (``S64``), shape (N,)
        Hexadecimal digests of each image's values in C order, little-endian.
    """
    little = (images if isinstance(images, np.ndarray) else images[0]).dtype.newbyteorder("<")
    digests = [
        hashlib.sha256(np.ascontiguousarray(image, dtype=little).tobytes()).hexdigest()
        for image in images
    ]
    return np.array(digests, dtype="S64")


def escaped(name: str) -> str:
    r"""Write a name that is not UTF-8, as the system may have them, in letters that are.

    Parameters
    ----------
    name : str
        As Python has it, with a lone surrogate for each byte that it could not decode.

    Returns
    -------
    str
        Each such byte as ``\xHH``.

    Examples
    --------
    >>> print(escaped(b"caf\xe9.png".decode("utf-8", "surrogateescape")))
    caf\xe9.png
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _all_escaped(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(escaped(name) for name in names)


def describe_images(
    images: NDArray[Any] | Sequence[NDArray[Any]],
    *,
    source: str,
    indices: IntArray | None = None,
    labels: IntArray | None = None,
    class_names: tuple[str, ...] | None = None,
    names: tuple[str, ...] | None = None,
) -> InputInfo:
    """Collect what a kernel file keeps of its inputs.

    Parameters
    ----------
    images : array of integer or float, shape (N, H, W, C), or sequence of arrays (H, W, C)
        The images, or volumes, before any preparation. Where their sizes differ, the largest side
        along each axis is kept as theirs.
    source : str
        Where they come from.
    indices : array of int64, shape (N,), optional
        Positions in the source. Default: 0, 1, ..., N - 1.
    labels, class_names, names : optional
        As in `InputInfo`.

    Returns
    -------
    InputInfo
        The description, with the digest of each image.

    Raises
    ------
    InputError
        Neither four nor five axes.
    """
    if isinstance(images, np.ndarray) and images.ndim not in (4, 5):
        raise InputError(f"{source}: images of shape {images.shape}; expected (N, H, W, C)")
    return InputInfo(
        source=escaped(source),
        shape=tuple(np.max([image.shape for image in images], axis=0).tolist()),
        dtype=(images if isinstance(images, np.ndarray) else images[0]).dtype.name,
        indices=np.arange(len(images)) if indices is None else indices,
        sha256=image_digests(images),
        labels=labels,
        class_names=_all_escaped(class_names),
        names=_all_escaped(names),
    )
