"""Images in an HDF5 file."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.images.containers import Entry, gather, only_array
from refntk.data.images.heap_text import is_text, read_text
from refntk.data.images.imageset import IntArray, Pick, RawImages
from refntk.data.inside import find, plain_dataset
from refntk.data.limits import reading, refuse_memory, refuse_packed_claim, refuse_plain_claim
from refntk.errors import InputError

__all__ = ["array_in_hdf5", "read_hdf5"]

# Filters whose output is at most MAX_DEFLATE_RATIO times their input, or of unchanged size.
_KNOWN_FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
}

# As registered with the HDF Group.
_FILTER_NAMES = {
    32000: " (LZF)", 32001: " (Blosc)", 32004: " (LZ4)", 32008: " (bitshuffle)", 32013: " (ZFP)",
    32015: " (Zstandard)", 32026: " (Blosc2)",
}  # fmt: skip

# Rows are read in blocks of about this size, so that a small subset never loads the whole dataset.
_BLOCK_BYTES = 1 << 24


def _read_rows(dataset: h5py.Dataset, indices: IntArray) -> NDArray[Any]:
    """Read some indices of the first axis, whole chunks at a time."""
    row_bytes = max(1, math.prod(dataset.shape[1:]) * dataset.dtype.itemsize)
    chunk_rows = dataset.chunks[0] if dataset.chunks else 1
    step = chunk_rows * max(1, _BLOCK_BYTES // (row_bytes * chunk_rows))
    out = np.empty((len(indices), *dataset.shape[1:]), dataset.dtype.newbyteorder("="))
    for start in np.unique(indices // step) * step:
        first, last = np.searchsorted(indices, (start, start + step))
        wanted = indices[first:last] - start
        # The tail beyond the last wanted row of a block is not read.
        out[first:last] = dataset[start : start + wanted[-1] + 1][wanted]
    return out


def _refuse_unwritten(source: str, dataset: h5py.Dataset) -> None:
    """Refuse a dataset that reads as its fill value where nothing was ever written."""
    if dataset.chunks is None:
        missing, of = int(dataset.id.get_storage_size() == 0), 1
    else:
        of = math.prod(-(-side // c) for side, c in zip(dataset.shape, dataset.chunks, strict=True))
        missing = of - dataset.id.get_num_chunks()
    if missing > 0 and dataset.size:
        part = "nothing was" if missing == of else f"only {of - missing} of {of} chunks were"
        raise InputError(
            f"{source}: {part} ever written, and the rest of the shape {dataset.shape} would "
            f"read as {dataset.fillvalue}; finish the file, or copy what is there into a smaller "
            "dataset"
        )


class _Datasets:
    """The datasets of an open HDF5 file, by path."""

    def __init__(self, file: h5py.File, source: str, key: str | None) -> None:
        self._file = file
        self._source = source
        self._key = key

    def entries(self) -> dict[str, Entry]:
        """Headers of all datasets. Links to other files are not followed.

        A dataset of several names has one of them, so that it is the only one where no key is
        given; but what lies beside a key that is given has the name that leads there.

        Sequences of variable length and references are passed over: they lie in HDF5's global heap,
        and a flipped bit there makes the library loop for ever when they are read.
        """
        found: dict[str, Entry] = {}

        def visit(name: str | bytes, item: h5py.Group | h5py.Dataset) -> None:
            if not isinstance(item, h5py.Dataset) or item.shape is None:
                return
            if isinstance(name, bytes) or not name.isprintable():  # bytes are not UTF-8
                return
            if is_text(item):
                found[name] = Entry(item.shape, np.dtype("S"))
            elif not item.dtype.hasobject:
                found[name] = Entry(item.shape, item.dtype)

        self._file.visititems(visit)
        if self._key is not None and self._key not in found:
            with contextlib.suppress(KeyError):  # what leads out of the file is said here
                find(self._file, self._key)
            folder = self._key.rpartition("/")[0]
            for name in self._names(folder):
                path = f"{folder}/{name}" if folder else name
                with contextlib.suppress(KeyError, InputError):
                    visit(path, plain_dataset(self._file, path))
        return found

    def _names(self, folder: str) -> list[str]:
        """Names in a group, or in what a link inside the file leads to."""
        try:
            group = find(self._file, folder)
        except (KeyError, InputError):
            return []
        names = list(group) if isinstance(group, h5py.Group) else []
        return [name for name in names if isinstance(name, str)]  # bytes are not UTF-8

    def outside(self, folder: str) -> tuple[str, ...]:
        """Names in a group that lead out of the file, and are not followed."""
        try:
            group = find(self._file, folder)
            links = {name: group.get(name, getlink=True) for name in self._names(folder)}
        except (KeyError, InputError, TypeError):  # a link of a kind that a user defined
            return ()
        return tuple(name for name, link in links.items() if isinstance(link, h5py.ExternalLink))

    def judge(self, key: str) -> None:
        """Judge the size that a dataset announces by what is stored of it.

        A dataset whose chunks were never written reads as its fill value: it announces much and
        holds nothing.
        """
        dataset = plain_dataset(self._file, key)
        source = f"{self._source}::{key}"
        created = dataset.id.get_create_plist()
        filters = {created.get_filter(index)[0] for index in range(created.get_nfilters())}
        for number in filters:
            if not h5py.h5z.filter_avail(number):
                raise InputError(
                    f"{source}: is packed with the HDF5 filter {number}"
                    f"{_FILTER_NAMES.get(number, '')}, which is not installed here; install the "
                    "package hdf5plugin and set HDF5_PLUGIN_PATH to hdf5plugin.PLUGIN_PATH, or "
                    "pack the file again: h5repack -f GZIP=4 OLD NEW"
                )
        if filters - _KNOWN_FILTERS:
            return
        _refuse_unwritten(source, dataset)
        claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        if h5py.h5z.FILTER_DEFLATE in filters or h5py.h5z.FILTER_LZF in filters:
            refuse_packed_claim(source, claimed, stored)
        elif claimed > stored:
            refuse_plain_claim(source, claimed, stored)

    def read(self, key: str, indices: IntArray | None) -> NDArray[Any]:
        """Read one dataset, or some indices of its first axis."""
        dataset = plain_dataset(self._file, key)
        if is_text(dataset):
            words = read_text(dataset, f"{self._source}::{key}")
            return words if indices is None else words[indices]
        self.judge(key)
        count = dataset.shape[0] if indices is None else len(indices)
        row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
        # HDF5 unpacks whole chunks, and a chunk may be far larger than the rows in it.
        chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        refuse_memory(f"{self._source}::{key}", max(count * row, chunk))
        return _read_rows(dataset, np.arange(count) if indices is None else indices)


def read_hdf5(path: Path, key: str | None, pick: Pick) -> RawImages:
    """Read images and labels from an HDF5 file; only the chosen images are brought into memory.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    key : str or None
        Path of the dataset of images inside the file; see `refntk.data.images.containers.gather`
        for the choice where it is None.
    pick : callable
        Chooses the images to read.

    Returns
    -------
    RawImages
        With labels and class names where the file holds them.

    Raises
    ------
    InputError
        Damaged or truncated file, data kept in other files, no such dataset, several candidates,
        not images, a claim that the file cannot fulfil, too large for memory.
    """
    source = str(path)
    with reading(source), h5py.File(path, "r") as file:
        if "seal" in file.attrs and "network_hash" in file.attrs:
            raise InputError(f"{source}: is a kernel file of refntk, and holds no images")
        inside = None if key is None else key.strip("/")
        return gather(source, _Datasets(file, source, inside), inside, pick)


def array_in_hdf5(path: Path, key: str | None) -> NDArray[Any]:
    """Read a dataset of labels from an HDF5 file.

    Parameters
    ----------
    path : pathlib.Path
    key : str or None
        See `refntk.data.images.containers.only_array`.

    Returns
    -------
    array

    Raises
    ------
    InputError
        As `read_hdf5`.
    """
    source = str(path)
    with reading(source), h5py.File(path, "r") as file:
        inside = None if key is None else key.strip("/")
        return only_array(source, _Datasets(file, source, inside), inside)
