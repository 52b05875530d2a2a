"""Files of several arrays by key (.npz, .h5): which are the images, and which their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import IntArray, Pick, RawImages, check_layout
from refntk.errors import InputError, unknown

__all__ = ["Container", "Entry", "gather"]

_IMAGE_KEYS = ("images", "x")
_LABEL_KEYS = ("labels", "y")
_NAMES_KEY = "class_names"
_LISTED = 12


@dataclass(frozen=True)
class Entry:
    """What the header of one array says.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its dtype; kind ``"U"`` or ``"S"`` for text of any length.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Container(Protocol):
    """An open file of several arrays, as `gather` sees it."""

    def entries(self) -> Mapping[str, Entry]:
        """Headers of the arrays by key."""

    def judge(self, key: str) -> None:
        """Refuse an array that announces more than the file can hold."""

    def read(self, key: str, indices: IntArray | None) -> NDArray[Any]:
        """Read some indices of the first axis, or all; judges first, and guards memory."""


def _choose_images(source: str, entries: Mapping[str, Entry], key: str | None) -> str:
    """Key of the images: the given one, a usual name, or the only array that can be images."""
    if not entries:
        raise InputError(f"{source}: holds no array; expected one of images")
    if key is not None:
        if key not in entries:
            raise InputError(f"{source}: {unknown('key', key, entries)}")
        return key
    for name in _IMAGE_KEYS:
        if name in entries:
            return name
    likely = [
        name
        for name, entry in entries.items()
        if len(entry.shape) in (3, 4) and entry.dtype.kind in "iuf"
    ]
    if len(likely) == 1:
        return likely[0]
    if likely:
        raise InputError(
            f"{source}: holds several arrays of images, {', '.join(map(repr, likely[:_LISTED]))}; "
            f"choose one, as in {source}::{likely[0]}"
        )
    held = ", ".join(f"{name!r} {entry.shape}" for name, entry in list(entries.items())[:_LISTED])
    raise InputError(
        f"{source}: holds no array of images, shape (N, H, W) or (N, H, W, C); it holds {held}"
    )


def _find_labels(source: str, key: str, entries: Mapping[str, Entry], count: int) -> str | None:
    """Key of the labels of array `key`: its sibling by name, else a usual name that fits."""
    folder, slash, name = key.rpartition("/")
    siblings = []
    if "images" in name:
        siblings.append(name.replace("images", "labels"))
    if name[:1] in ("x", "X"):
        siblings.append({"x": "y", "X": "Y"}[name[0]] + name[1:])
    for sibling in (folder + slash + other for other in siblings):
        entry = entries.get(sibling)
        if entry is not None and entry.dtype.kind in "iu":
            # MedMNIST stores its labels as a column.
            if entry.shape not in ((count,), (count, 1)):
                raise InputError(
                    f"{source}: {sibling!r} has shape {entry.shape}, but {key!r} holds {count} "
                    f"images; expected shape ({count},)"
                )
            return sibling
    for usual in (folder + slash + other for other in _LABEL_KEYS):
        entry = entries.get(usual)
        if entry and entry.dtype.kind in "iu" and entry.shape in ((count,), (count, 1)):
            return usual
    return None


def _read_labels(source: str, key: str, container: Container) -> IntArray:
    """Labels as int64."""
    stored = container.read(key, None).reshape(-1)
    if stored.max() > np.iinfo(np.int64).max:
        raise InputError(f"{source}: {key!r} holds labels beyond 64-bit signed integers")
    return stored.astype(np.int64)


def _read_class_names(
    key: str, entries: Mapping[str, Entry], container: Container, labels: IntArray
) -> tuple[str, ...] | None:
    """Class names beside the labels, if there are enough of them."""
    entry = entries.get(key)
    if entry is None or entry.dtype.kind not in "US" or len(entry.shape) != 1:
        return None
    if not 0 <= labels.min() <= labels.max() < entry.shape[0]:
        return None
    return tuple(
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        for name in container.read(key, None).tolist()
    )


def gather(source: str, container: Container, key: str | None, pick: Pick) -> RawImages:
    """Find images, labels and class names in a file of several arrays, and read the chosen images.

    Parameters
    ----------
    source : str
        The file, for messages.
    container : Container
        The open file.
    key : str or None
        Key of the images. None: ``images``, ``x``, or the only array that has the shape of images.
    pick : callable
        Chooses the images to read.

    Returns
    -------
    RawImages
        With labels from the sibling of the key (``test_images`` and ``test_labels``, ``x_train``
        and ``y_train``), else from ``labels`` or ``y`` where these have one integer an image; class
        names from ``class_names`` where there is one for every label.

    Raises
    ------
    InputError
        No such key, no or several candidates, no images, labels that do not fit, and whatever the
        container refuses.
    """
    entries = container.entries()
    chosen = _choose_images(source, entries, key)
    entry = entries[chosen]
    check_layout(f"{source}::{chosen}", entry.shape, entry.dtype)
    # Nothing may grow with the number of images before the file is known to hold them.
    container.judge(chosen)
    count = entry.shape[0]
    label_key = _find_labels(source, chosen, entries, count)
    labels = class_names = None
    if label_key is not None:
        labels = _read_labels(source, label_key, container)
        folder, slash, _ = label_key.rpartition("/")
        class_names = _read_class_names(folder + slash + _NAMES_KEY, entries, container, labels)
    indices = pick(count, labels)
    return RawImages(
        images=container.read(chosen, indices),
        indices=indices,
        labels=None if labels is None else labels[indices],
        class_names=class_names,
    )
