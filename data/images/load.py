"""Load images from whatever form they come in."""

from __future__ import annotations

from importlib.resources import as_file
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.idx import is_idx_name, read_idx
from refntk.data.images.imageset import ImageSet, IntArray, Pick, RawImages, describe_images
from refntk.data.images.numpy_files import read_npy, read_npz
from refntk.data.images.preprocess import area_resample, stratified_subset
from refntk.data.limits import one_line, refuse_memory
from refntk.data.samples import sample_file
from refntk.errors import InputError

__all__ = ["load_images"]

_SAMPLE = "sample:"
_KEY = "::"
_KEYED = (".npz", ".h5", ".hdf5")
_FORMS = (
    "sample:NAME, .npy, .npz[::KEY], .h5[::DATASET], -idx3-ubyte[.gz], or a folder with one "
    "sub-folder of images a class"
)


def _split_key(spec: str) -> tuple[Path, str | None]:
    """Split ``path::key``; a path that exists as it stands is taken whole."""
    bare, mark, key = spec.rpartition(_KEY)
    if not mark or Path(spec).exists():
        return Path(spec), None
    if not key:
        raise InputError(f"{spec}: no key after ::; leave out :: or name an array")
    if not bare.lower().endswith(_KEYED):
        raise InputError(f"{spec}: only .npz and .h5 files take a key after ::; leave it out")
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


def _read(spec: str, pick: Pick) -> RawImages:
    """Find the reader for a form of input, by its name."""
    if spec.startswith(_SAMPLE):
        with as_file(sample_file(spec.removeprefix(_SAMPLE))) as path:
            return read_npz(path, "images", pick)
    path, key = _locate(spec)
    suffix = path.suffix.lower()
    # Pillow and h5py are imported for those who need them.
    if path.is_dir():
        from refntk.data.images.folder import read_folder

        return read_folder(path, pick)
    if suffix in (".h5", ".hdf5"):
        from refntk.data.images.hdf5 import read_hdf5

        return read_hdf5(path, key, pick)
    if suffix == ".npy":
        return read_npy(path, pick)
    if suffix == ".npz":
        return read_npz(path, key, pick)
    if is_idx_name(path.name):
        return read_idx(path, pick)
    raise InputError(f"{path}: its name says no known kind of file; known forms: {_FORMS}")


def _refuse_non_finite(source: str, images: NDArray[Any], indices: IntArray) -> None:
    """Refuse NaN and infinity, naming the first image that has any by its place in the source."""
    if images.dtype.kind != "f":
        return
    for image, index in zip(images, indices, strict=True):
        if not np.isfinite(image).all():
            raise InputError(
                f"{source}: image {index} holds NaN or infinite pixels; replace or remove it"
            )


def load_images(
    spec: str, *, limit: int | None = None, seed: int = 0, size: int | None = None
) -> ImageSet:
    """Load images, and their labels where these are known.

    Parameters
    ----------
    spec : str
        ``sample:NAME``; a ``.npy`` file; a ``.npz`` or ``.h5`` file, optionally with the key of the
        images as ``path::key``; an idx file such as ``t10k-images-idx3-ubyte.gz``; or a folder with
        one sub-folder of PNG, TIFF or JPEG images a class.
    limit : int, optional
        Load at most this many images, chosen by `stratified_subset`. Default: all.
    seed : int
        Seed of that choice.
    size : int, optional
        Resample to `size` by `size` pixels with `area_resample`. Default: as stored.

    Returns
    -------
    ImageSet
        Images (N, H, W, C), grey ones with C = 1, in the dtype of the file and native byte order;
        float64, integers scaled to [0, 1], where `size` is given. Order: as in the source.

    Raises
    ------
    InputError
        Whatever is wrong with the input, in one line: no such file, unknown kind, damaged,
        truncated, too large for the file or for memory, pickled objects, not images, empty, NaN or
        infinite pixels; `limit`, `seed` or `size` out of range; Pillow missing for a folder.

    Examples
    --------
    >>> digits = load_images("sample:digits", limit=20)
    >>> digits.images.shape, digits.images.dtype.name
    ((20, 28, 28, 1), 'uint8')
    """

    def pick(count: int, labels: IntArray | None) -> IntArray:
        refuse_memory(spec, 8 * count)
        if limit is None:
            return np.arange(count)
        return stratified_subset(labels, limit, seed, count=count)

    raw = _read(spec, pick)
    images = raw.images[..., np.newaxis] if raw.images.ndim == 3 else raw.images
    _refuse_non_finite(spec, images, raw.indices)
    info = describe_images(
        images,
        source=spec,
        indices=raw.indices,
        labels=raw.labels,
        class_names=raw.class_names,
        names=raw.names,
    )
    return ImageSet(images if size is None else area_resample(images, size), info)
