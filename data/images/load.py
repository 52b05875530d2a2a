"""Load images from whatever form they come in."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from glob import glob
from importlib.resources import as_file
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.decode import ALPHA
from refntk.data.images.folder import is_image, read_files, read_folder
from refntk.data.images.idx import idx_inside, is_idx_name, read_idx
from refntk.data.images.imageset import (
    ImageSet,
    InputInfo,
    IntArray,
    Pick,
    RawImages,
    describe_images,
)
from refntk.data.images.label_files import load_labels
from refntk.data.images.labels import Labels
from refntk.data.images.numpy_files import read_npy, read_npz
from refntk.data.images.preprocess import check_fit, stratified_subset, to_size, to_unit
from refntk.data.limits import one_line, reading, refuse_memory
from refntk.data.samples import sample_file
from refntk.errors import InputError, InputWarning, unknown
from refntk.evaluation.axes import axis_doubt, with_channels

__all__ = ["Stored", "load_images", "read_stored", "warn"]

_SAMPLE = "sample:"
_KEY = "::"
_KEYED = (".npz", ".h5", ".hdf5")
_PAGED = (".tif", ".tiff")
_FORMS = (
    "sample:NAME, .npy, .npz[::KEY], .h5[::DATASET], -idx3-ubyte[.gz], a folder with one "
    "sub-folder of images a class, a folder of images, an image[::PAGE], .nii[.gz] files in their "
    "place, or a pattern such as 'a/*.png'"
)
_BRIGHT = 2.0
_FITTING = {
    "resize": "--size squeezes each into one square",
    "crop": "--fit crop keeps the middle of each",
    "pad": "--fit pad puts black around each",
}


def _split_key(spec: str) -> tuple[Path, str | None]:
    """Split ``path::key``; a path that exists as it stands is taken whole."""
    bare, mark, key = spec.rpartition(_KEY)
    if not mark or Path(spec).exists():
        return Path(spec), None
    if not key:
        raise InputError(f"{spec}: no key after ::; leave out :: or name an array")
    if bare.lower().endswith(_PAGED):
        if not (key.isdecimal() and key.isascii() and len(key) < 10 and int(key)):
            raise InputError(f"{spec}: after :: a TIFF file takes the number of a page, 1 or more")
    elif not bare.lower().endswith(_KEYED):
        raise InputError(
            f"{spec}: only .npz and .h5 files take a key after ::, and .tif files the number of a "
            "page; leave it out"
        )
    return Path(bare), key


def _locate(spec: str) -> tuple[Path, str | None]:
    """Path and key of an input that is a folder or a regular file."""
    try:
        path, key = _split_key(spec)
        exists, usable = path.exists(), path.is_dir() or path.is_file()
    except OSError as error:
        raise InputError(f"{spec}: not usable as a file name ({one_line(error)})") from error
    if not exists:
        raise InputError(f"{path}: no such file or folder; known forms of input: {_FORMS}")
    if not usable:
        raise InputError(f"{path}: not a regular file; known forms of input: {_FORMS}")
    return path, key


def _matches(spec: str) -> list[Path]:
    """Files that a pattern with ``*``, ``?`` or ``[`` finds, sorted by name."""
    if not any(mark in spec for mark in "*?[") or os.path.lexists(spec):
        return []
    try:
        found = sorted(Path(name) for name in glob(spec, recursive=True))
    except (OSError, ValueError, re.error):
        return []
    images = [path for path in found if path.is_file() and is_image(path)]
    if found and not images:
        raise InputError(
            f"{spec}: finds {found[0]} and no image; a pattern is for image files, as in "
            "'tiles/*.png' or 'tiles/*/*.png'"
        )
    return images


def _read(spec: str, pick: Pick, alpha: str | None, unlike: bool) -> RawImages:
    """Find the reader for a form of input, by its name."""
    if spec.startswith(_SAMPLE):
        with as_file(sample_file(spec.removeprefix(_SAMPLE))) as path:
            return read_npz(path, "images", pick)
    if matches := _matches(spec):
        return read_files(matches, pick, alpha=alpha, unlike=unlike)
    path, key = _locate(spec)
    suffix = path.suffix.lower()
    with reading(path):
        path = idx_inside(path) or path
    # h5py is imported for those who need it.
    if path.is_dir():
        return read_folder(path, pick, alpha=alpha, unlike=unlike)
    if suffix in (".h5", ".hdf5"):
        from refntk.data.images.hdf5 import read_hdf5

        return read_hdf5(path, key, pick)
    if suffix == ".npy":
        return read_npy(path, pick)
    if suffix == ".npz":
        return read_npz(path, key, pick)
    if is_image(path):
        return read_files([path], pick, alpha=alpha, page=None if key is None else int(key))
    if is_idx_name(path.name):
        return read_idx(path, pick)
    raise InputError(f"{path}: its name says no known kind of file; known forms: {_FORMS}")


def _refuse_non_finite(
    source: str, images: NDArray[Any] | list[NDArray[Any]], indices: IntArray
) -> None:
    """Refuse NaN and infinity, naming the first image that has any by its place in the source."""
    if (images if isinstance(images, np.ndarray) else images[0]).dtype.kind != "f":
        return
    for image, index in zip(images, indices, strict=True):
        if not np.isfinite(image).all():
            raise InputError(
                f"{source}: image {index} holds NaN or infinite pixels; replace or remove it"
            )


@dataclass(frozen=True, eq=False)
class Stored:
    """Images as a source holds them, before anything is done to them.

    Parameters
    ----------
    images : array of integer or float, shape (N, H, W, C), or list of arrays (H, W, C)
        Or volumes, with an axis more. A list where they differ in size.
    info : InputInfo
    """

    images: NDArray[Any] | list[NDArray[Any]]
    info: InputInfo

    def prepared(
        self, size: int | None, rule: str | float, given: bool, fit: str = "resize"
    ) -> NDArray[Any]:
        """Resample and scale; say so where pixels stay far above 1.

        Parameters
        ----------
        size : int or None
            As for `load_images`.
        rule : str or float
            As for `refntk.evaluation.images.divisors`.
        given : bool
            Whether someone chose the rule.
        fit : str
            As for `load_images`.

        Returns
        -------
        array of float, shape (N, H, W, C) or (N, D, H, W, C)
        """
        if isinstance(self.images, list):
            warn(f"{self.info.source}: its images differ in size; {_FITTING[fit]}")
        if size is not None:
            out: NDArray[Any] = to_size(self.images, size, fit, rule)
        else:
            assert isinstance(self.images, np.ndarray)  # a list comes only where there is a size
            out = to_unit(self.images, rule)
        brightest = float(out.max())
        if brightest > _BRIGHT and not (given and rule == "none"):
            left = f"are left after --scale {rule}"
            kept = "are taken as they are; --scale 255, say, divides them, --scale none is silent"
            pixels = f"{self.info.source}: pixels up to {brightest:.6g}"
            warn(f"{pixels} {left if given else kept}")
        return out


def warn(text: str) -> None:
    """Say in one line what is not an error.

    Parameters
    ----------
    text : str
    """
    warnings.warn(text, InputWarning, stacklevel=3)


def read_stored(
    spec: str | os.PathLike[str],
    *,
    limit: int | None = None,
    seed: int = 0,
    alpha: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    unlike: bool = False,
    axes: int | None = None,
) -> Stored:
    """Read images, and their labels where these are known, and do nothing to them.

    Parameters
    ----------
    spec, limit, seed, alpha, labels, axes
        As for `load_images`.
    unlike : bool
        Let image files differ in size.

    Returns
    -------
    Stored

    Raises
    ------
    InputError
        As `load_images`.
    """
    if alpha is not None and alpha not in ALPHA:
        raise InputError(unknown("alpha", alpha, ALPHA))
    if not isinstance(spec, str | os.PathLike) or not str(spec):
        raise InputError(f"{spec!r}: names no images; known forms of input: {_FORMS}")
    spec, labels = os.fspath(spec), None if labels is None else os.fspath(labels)
    found: Labels | None = None

    def pick(count: int, known: IntArray | None, names: tuple[str, ...] | None = None) -> IntArray:
        nonlocal found
        refuse_memory(spec, 8 * count)
        if labels is not None:
            found = load_labels(labels, count, names)
            known = found.classes
        if limit is None:
            return np.arange(count)
        return stratified_subset(known, limit, seed, count=count)

    raw = _read(spec, pick, alpha, unlike)
    for note in raw.notes if found is None else ():
        warn(f"{spec}: {note}")
    if isinstance(raw.images, list):
        images: Any = [with_channels(i[np.newaxis], spec, axes)[0] for i in raw.images]
    else:
        images = with_channels(raw.images, spec, axes)
        doubt = axis_doubt(images.shape, images.ndim - 2)
        if doubt is not None:
            warn(f"{spec}: {doubt}")
    _refuse_non_finite(spec, images, raw.indices)
    info = describe_images(
        images,
        source=spec,
        indices=raw.indices,
        labels=raw.labels if found is None else found.classes[raw.indices],
        class_names=(found.names or raw.class_names) if found is not None else raw.class_names,
        names=raw.names,
    )
    return Stored(images, info)


def load_images(
    spec: str | os.PathLike[str],
    *,
    limit: int | None = None,
    seed: int = 0,
    size: int | None = None,
    scale: str | float = "auto",
    alpha: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    fit: str = "resize",
    axes: int | None = None,
) -> ImageSet:
    """Load images, and their labels where these are known.

    Parameters
    ----------
    spec : str or path
        ``sample:NAME``; a ``.npy`` file; a ``.npz`` or ``.h5`` file, optionally with the key of the
        images as ``path::key``; an idx file such as ``t10k-images-idx3-ubyte.gz``; a folder with
        one sub-folder of PNG, TIFF, JPEG, WebP or BMP images a class; a folder of such images, one
        of them (``stack.tif::2`` is the second page), or a pattern such as ``"tiles/*.png"``,
        without classes. NIfTI files, ``scan.nii.gz``, are volumes in the place of images.
    limit : int, optional
        Load at most this many images, chosen by `stratified_subset`. Default: all.
    seed : int
        Seed of that choice.
    size : int, optional
        Bring to `size` by `size` pixels, as `fit` says. Default: as stored. Image files may then
        differ in size.
    scale : str or float
        What pixels are divided by, see `refntk.evaluation.images.divisors`. With ``"auto"`` and no
        `size`, images come in the dtype of the file and `to_unit` divides them later.
    alpha : {"drop", "white", "black"}, optional
        What becomes of transparency in image files. Default: transparent pixels are an error.
    labels : str or path, optional
        ``FILE`` or ``FILE::KEY`` with the labels, see `refntk.data.images.label_files.load_labels`.
    fit : {"resize", "crop", "pad"}
        With `size`: average over areas, each image squeezed into the square; take the middle; or
        put black around. See `refntk.data.images.preprocess.to_size`.
    axes : int, optional
        Number of axes of positions, as `Network.axes` says it: with 3, arrays of four axes are
        volumes (N, D, H, W) of one channel. Default: those of five axes are volumes.

    Returns
    -------
    ImageSet
        Images (N, H, W, C), grey ones with C = 1, or volumes (N, D, H, W, C), in the dtype of the
        file and native byte order; float64, integers scaled to [0, 1], where `size` is given.
        Order: as in the source.

    Raises
    ------
    InputError
        Whatever is wrong with the input, in one line: no such file, unknown kind, damaged,
        truncated, too large for the file or for memory, pickled objects, not images, empty, NaN or
        infinite pixels; `limit`, `seed` or `size` out of range; `fit` without
        `size`; Pillow missing for a folder.

    Warns
    -----
    InputWarning
        Entries of a folder are passed over, labels are not clear and left out, or the axes look
        like another order.

    Examples
    --------
    >>> digits = load_images("sample:digits", limit=20)
    >>> digits.images.shape, digits.images.dtype.name
    ((20, 28, 28, 1), 'uint8')
    """
    check_fit(fit, size)
    stored = read_stored(
        spec, limit=limit, seed=seed, alpha=alpha, labels=labels, unlike=size is not None, axes=axes
    )
    if size is None and scale == "auto":
        assert isinstance(stored.images, np.ndarray)
        return ImageSet(stored.images, stored.info)
    return ImageSet(stored.prepared(size, scale, scale != "auto", fit), stored.info)
