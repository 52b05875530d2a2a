"""Files of several arrays by key (.npz, .h5): which are the images, and which their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import IntArray, Pick, RawImages, check_layout
from refntk.data.images.labels import Labels, interpret, squeezed
from refntk.errors import InputError, unknown

__all__ = ["Container", "Entry", "gather", "only_array"]

_IMAGE_KEYS = ("images", "x")
_LABEL_KEYS = ("labels", "label", "y", "targets", "target", "classes", "class")
_NAMES_KEY = "class_names"
_LISTED = 12
_SEARCHED = 1000


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

    def outside(self, folder: str) -> tuple[str, ...]:
        """Names in a folder that lead to other files, and are not followed."""

    def judge(self, key: str) -> None:
        """Refuse an array that announces more than the file can hold."""

    def read(self, key: str, indices: IntArray | None) -> NDArray[Any]:
        """Read some indices of the first axis, or all; judges first, and guards memory."""


def _choose_images(
    source: str, entries: Mapping[str, Entry], key: str | None, outside: tuple[str, ...] = ()
) -> str:
    """Key of the images: the given one, a usual name, or the only array that can be images."""
    if not entries:
        led = "".join(f"; {name!r} leads to another file, which is not opened" for name in outside)
        raise InputError(f"{source}: holds no array; expected one of images{led}")
    if key is not None:
        if key not in entries:
            more = len(entries) - _LISTED
            rest = f" and {more} more" if more > 0 else ""
            raise InputError(
                f"{source}: {unknown('key', key, list(islice(entries, _LISTED)))}{rest}"
            )
        return key
    names = _by_lower_case(entries)
    for name in _IMAGE_KEYS:
        if name in names:
            return names[name]
    if len(entries) > _SEARCHED:
        raise InputError(
            f"{source}: holds {len(entries)} arrays, and none is called images or x; name one, as "
            f"in {source}::{next(iter(entries))}"
        )
    likely = [
        name
        for name, entry in entries.items()
        if len(entry.shape) in (3, 4, 5) and entry.dtype.kind in "iuf"
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
        f"{source}: holds no array of images, shape (N, H, W) or (N, H, W, C), nor of volumes, "
        f"(N, D, H, W) or (N, D, H, W, C); it holds {held}"
    )


def _by_lower_case(names: Iterable[str]) -> dict[str, str]:
    """Names by their lower case; of two that differ in nothing else, the one in lower case."""
    return {name.lower(): name for name in sorted(names)}


def _label_keys(key: str, names: Iterable[str]) -> list[str]:
    """Keys that may hold the labels of array `key`: its siblings by name, then usual names."""
    folder, slash, name = key.lower().rpartition("/")
    siblings = []
    if "images" in name:
        siblings += [name.replace("images", word) for word in ("labels", "label")]
    if name[:1] == "x":
        siblings.append("y" + name[1:])
    if name == "arr_0":  # as numpy.savez calls arrays without names
        siblings.append("arr_1")
    known = _by_lower_case(names)
    places = dict.fromkeys(folder + slash + other for other in (*siblings, *_LABEL_KEYS))
    return [known[place] for place in places if place in known and known[place] != key]


def _read_labels(
    key: str, container: Container, entries: Mapping[str, Entry], count: int
) -> tuple[Labels | None, tuple[str, ...]]:
    """Labels of the images of array `key`, or a note why what is there is not taken."""
    folder, slash, name = key.rpartition("/")
    own = "images" in name.lower() or name.lower() in _IMAGE_KEYS
    elsewhere = [folder + slash + other for other in container.outside(folder)]
    reasons = [
        f"{place!r} leads to another file, which is not opened"
        for place in _label_keys(key, elsewhere)
    ]
    for place in _label_keys(key, entries):
        try:
            entry = entries[place]
            if squeezed(entry.shape, count) is None:
                if place.rpartition("/")[2].lower() in _LABEL_KEYS and not own:
                    continue  # those of another array
                reason = f"has shape {entry.shape}, but there are {count} images"
            elif entry.dtype.hasobject:
                reason = "holds pickled objects or sequences of variable length, which are not read"
            else:
                found = interpret(container.read(place, None), count)
                if isinstance(found, Labels):
                    return _with_names(place, entries, container, found), ()
                reason = found
        except InputError as error:  # labels never decide whether images load
            reason = f"cannot be read ({error})"
        reasons.append(f"{place!r} {reason}")
    if not reasons:
        return None, ()
    return None, (f"labels are left out: {'; '.join(reasons)} (--labels names others)",)


def _with_names(
    key: str, entries: Mapping[str, Entry], container: Container, labels: Labels
) -> Labels:
    """Add the class names beside the labels, if there are enough of them."""
    folder, slash, _ = key.rpartition("/")
    place = folder + slash + _NAMES_KEY
    if labels.names is not None or place not in entries:
        return labels
    try:
        entry, classes = entries[place], labels.classes
    except InputError:  # a damaged name costs nothing but the name
        return labels
    if entry.dtype.kind not in "US" or len(entry.shape) != 1:
        return labels
    if not 0 <= classes.min() <= classes.max() < entry.shape[0]:
        return labels
    try:
        stored = container.read(place, None).tolist()
    except InputError:
        return labels
    names = (n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in stored)
    return Labels(classes, tuple(names))


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
        and ``y_train``), else from a usual name such as ``labels`` or ``y``, where these are clear
        (`refntk.data.images.labels.interpret`), else with a note; class names from ``class_names``
        where there is one for every label.

    Raises
    ------
    InputError
        No such key, no or several candidates, no images, and whatever the container refuses.
    """
    entries = container.entries()
    chosen = _choose_images(source, entries, key, container.outside(""))
    entry = entries[chosen]
    check_layout(f"{source}::{chosen}", entry.shape, entry.dtype)
    # Nothing may grow with the number of images before the file is known to hold them.
    container.judge(chosen)
    count = entry.shape[0]
    found, notes = _read_labels(chosen, container, entries, count)
    labels = None if found is None else found.classes
    indices = pick(count, labels)
    return RawImages(
        images=container.read(chosen, indices),
        indices=indices,
        labels=None if labels is None else labels[indices],
        class_names=None if found is None else found.names,
        notes=notes,
    )


def only_array(source: str, container: Container, key: str | None) -> NDArray[Any]:
    """Read one array of labels from a file of several.

    Parameters
    ----------
    source : str
        The file, for messages.
    container : Container
        The open file.
    key : str or None
        None: a usual name of labels, or the only array.

    Returns
    -------
    array

    Raises
    ------
    InputError
        No such key, none or several candidates, and whatever the container refuses.
    """
    entries = container.entries()
    if key is None:
        names = _by_lower_case(entries)
        usual = [names[name] for name in _LABEL_KEYS if name in names]
        keys = usual[:1] or list(islice(entries, 2))
        if len(keys) != 1:
            held = ", ".join(islice(entries, _LISTED))
            raise InputError(
                f"{source}: name the array of labels, as in {source}::KEY; it holds {held}"
            )
        key = keys[0]
    chosen = _choose_images(source, entries, key)
    if entries[chosen].dtype.hasobject:
        raise InputError(
            f"{source}::{chosen}: holds pickled objects or sequences of variable length, which "
            "are not read; save numbers, or text of fixed length"
        )
    return container.read(chosen, None)
