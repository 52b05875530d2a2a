"""Images in an HDF5 file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.images.containers import Entry, gather
from refntk.data.images.imageset import IntArray, Pick, RawImages
from refntk.data.inside import plain_dataset
from refntk.data.limits import reading, refuse_memory, refuse_packed_claim, refuse_plain_claim

__all__ = ["read_hdf5"]

# Filters whose output is at most MAX_DEFLATE_RATIO times their input, or of unchanged size.
_KNOWN_FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
}

# Rows are read in blocks of about this size, so that a small subset never loads the whole dataset.
_BLOCK_BYTES = 1 << 24


def _read_rows(dataset: h5py.Dataset, indices: IntArray) -> NDArray[Any]:
    """Read some indices of the first axis, whole chunks at a time."""
    row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    chunk_rows = dataset.chunks[0] if dataset.chunks else 1
    step = chunk_rows * max(1, _BLOCK_BYTES // (row_bytes * chunk_rows))
    out = np.empty((len(indices), *dataset.shape[1:]), dataset.dtype.newbyteorder("="))
    for start in np.unique(indices // step) * step:
        first, last = np.searchsorted(indices, (start, start + step))
        wanted = indices[first:last] - start
        # The tail beyond the last wanted row of a block is not read.
        out[first:last] = dataset[start : start + wanted[-1] + 1][wanted]
    return out


class _Datasets:
    """The datasets of an open HDF5 file, by path."""

    def __init__(self, file: h5py.File, source: str) -> None:
        self._file = file
        self._source = source

    def entries(self) -> dict[str, Entry]:
        """Headers of all datasets. Links to other files are not followed.

        Text of variable length and references are passed over: they lie in HDF5's global heap, and
        a flipped bit there makes the library loop for ever when they are read.
        """
        found: dict[str, Entry] = {}

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if (
                isinstance(item, h5py.Dataset)
                and item.shape is not None
                and not item.dtype.hasobject
                and name.isprintable()
            ):
                found[name] = Entry(item.shape, item.dtype)

        self._file.visititems(visit)
        return found

    def judge(self, key: str) -> None:
        """Judge the size that a dataset announces by what is stored of it.

        A dataset whose chunks were never written reads as its fill value: it announces much and
        holds nothing.
        """
        dataset = plain_dataset(self._file, key)
        source = f"{self._source}::{key}"
        created = dataset.id.get_create_plist()
        filters = {created.get_filter(index)[0] for index in range(created.get_nfilters())}
        if filters - _KNOWN_FILTERS:
            return
        claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        if h5py.h5z.FILTER_DEFLATE in filters or h5py.h5z.FILTER_LZF in filters:
            refuse_packed_claim(source, claimed, stored)
        elif claimed > stored:
            refuse_plain_claim(source, claimed, stored)

    def read(self, key: str, indices: IntArray | None) -> NDArray[Any]:
        """Read one dataset, or some indices of its first axis."""
        self.judge(key)
        dataset = self._file[key]
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
        inside = None if key is None else key.strip("/")
        return gather(source, _Datasets(file, source), inside, pick)
