"""NumPy's own files: .npy and .npz.

`numpy.load` trusts the header of an .npz member and allocates what it claims. Here the header is
read first and judged; nothing is unpickled.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from refntk.data.images.containers import Entry, gather, only_array
from refntk.data.images.imageset import IntArray, Pick, RawImages, check_layout
from refntk.data.limits import (
    read_exactly,
    reading,
    refuse_memory,
    refuse_packed_claim,
    refuse_plain_claim,
)
from refntk.errors import InputError

__all__ = ["array_in_npz", "read_npy", "read_npy_array", "read_npz"]

_SUFFIX = ".npy"


@dataclass(frozen=True)
class _Header:
    """Header of an array in the .npy format."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _read_header(stream: IO[bytes], source: str) -> _Header:
    """Read magic string and header; the stream stands at the data afterwards."""
    with reading(source):
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = npy_format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = npy_format.read_array_header_2_0(stream)
        else:
            # Version 3 exists for structured dtypes with Unicode field names only.
            raise InputError(
                f"{source}: .npy format version {version[0]}.{version[1]}, expected 1.0 or 2.0; "
                "save a plain numeric array with numpy.save"
            )
    if any(side < 0 for side in shape):
        raise InputError(f"{source}: the header claims the shape {shape}; the file is damaged")
    return _Header(shape, dtype, fortran)


def read_npy(path: Path, pick: Pick) -> RawImages:
    """Read images from a .npy file; only the chosen ones are brought into memory.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    pick : callable
        Chooses the images to read.

    Returns
    -------
    RawImages
        Without labels.

    Raises
    ------
    InputError
        Damaged or truncated file, pickled objects, not images, too large for memory.
    """
    source = str(path)
    with reading(source), path.open("rb") as stream:
        header = _read_header(stream, source)
        check_layout(source, header.shape, header.dtype)
        offset = stream.tell()
        refuse_plain_claim(source, header.nbytes, os.fstat(stream.fileno()).st_size - offset)
        indices = pick(header.shape[0], None)
        refuse_memory(source, header.nbytes // header.shape[0] * len(indices))
        mapped = np.memmap(
            stream,
            dtype=header.dtype,
            mode="r",
            offset=offset,
            shape=header.shape,
            order="F" if header.fortran else "C",
        )
        native = header.dtype.newbyteorder("=")
        images = np.array(mapped[indices], dtype=native, order="C", subok=False)
    return RawImages(images, indices)


class _Headers(Mapping[str, Entry]):
    """The headers of an archive, where a damaged one hurts only those who ask for it."""

    def __init__(self, archive: _Archive) -> None:
        self._archive = archive
        self._keys = dict.fromkeys(archive.keys())

    def __getitem__(self, key: str) -> Entry:
        if key not in self._keys:
            raise KeyError(key)
        return self._archive.header(key)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def items(self) -> Any:
        """Keys and headers of those arrays that can be read; all damaged: the first error."""
        good, broken = {}, []
        for key in self._keys:
            try:
                good[key] = self._archive.header(key)
            except InputError as error:
                broken.append(error)
        if broken and not good:
            raise broken[0]
        return good.items()


class _Archive:
    """The arrays of an open .npz file, by key."""

    def __init__(self, archive: zipfile.ZipFile, source: str, nbytes: int) -> None:
        self._archive = archive
        self._source = source
        self._nbytes = nbytes
        self._members = {
            info.filename.removesuffix(_SUFFIX): info
            for info in archive.infolist()
            if info.filename.endswith(_SUFFIX)
            and info.filename.isprintable()
            and not info.filename.startswith("__MACOSX/")
        }

    def entries(self) -> Mapping[str, Entry]:
        """Headers of the arrays, each read when it is asked for."""
        return _Headers(self)

    def outside(self, folder: str) -> tuple[str, ...]:
        """Nothing in an archive leads to another file."""
        return ()

    def keys(self) -> Iterable[str]:
        """Keys of the arrays."""
        return self._members

    def header(self, key: str) -> Entry:
        """Read the header of one array."""
        with self._open(key, self._members[key]) as stream:
            header = _read_header(stream, f"{self._source}::{key}")
        return Entry(header.shape, header.dtype)

    def judge(self, key: str) -> None:
        """Compare the header of one array with the size of its member."""
        with self._open(key, self._members[key]) as stream:
            self._judged(key, stream)

    def read(self, key: str, indices: IntArray | None) -> NDArray[Any]:
        """Read one array, or some indices of its first axis."""
        source = f"{self._source}::{key}"
        with reading(source), self._open(key, self._members[key]) as stream:
            header = self._judged(key, stream)
            refuse_memory(source, header.nbytes)
            data = read_exactly(stream, header.nbytes, source)
        array = data.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")
        native = header.dtype.newbyteorder("=")
        return np.asarray(array if indices is None else array[indices], dtype=native, order="C")

    def _judged(self, key: str, stream: IO[bytes]) -> _Header:
        """Read the header of an open member and judge its claim."""
        source = f"{self._source}::{key}"
        header = _read_header(stream, source)
        refuse_plain_claim(source, header.nbytes, self._members[key].file_size - stream.tell())
        return header

    def _open(self, key: str, info: zipfile.ZipInfo) -> IO[bytes]:
        """Open one member after judging what the archive's directory claims of it."""
        source = f"{self._source}::{key}"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(
                f"{source}: compression method {info.compress_type}; numpy.savez writes stored or "
                "deflated members only: save it again with NumPy"
            )
        if info.flag_bits & 1:
            raise InputError(f"{source}: is encrypted; save it again without a password")
        if info.compress_size > self._nbytes:
            refuse_plain_claim(source, info.compress_size, self._nbytes)
        if info.compress_type == zipfile.ZIP_STORED:
            refuse_plain_claim(source, info.file_size, info.compress_size)
        else:
            refuse_packed_claim(source, info.file_size, info.compress_size)
        with reading(source):
            return self._archive.open(info)


def read_npz(path: Path, key: str | None, pick: Pick) -> RawImages:
    """Read images and labels from a .npz file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    key : str or None
        Key of the images; see `refntk.data.images.containers.gather` for the choice where it is
        None.
    pick : callable
        Chooses the images to read.

    Returns
    -------
    RawImages
        With labels and class names where the file holds them.

    Raises
    ------
    InputError
        Damaged or truncated file, pickled objects, no such key, several candidates, not images, a
        claim that the file cannot fulfil, too large for memory.
    """
    source = str(path)
    with reading(source), zipfile.ZipFile(path) as archive:
        arrays = _Archive(archive, source, path.stat().st_size)
        return gather(source, arrays, key, pick)


def array_in_npz(path: Path, key: str | None) -> NDArray[Any]:
    """Read an array of labels from a .npz file.

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
        As `read_npz`.
    """
    source = str(path)
    with reading(source), zipfile.ZipFile(path) as archive:
        return only_array(source, _Archive(archive, source, path.stat().st_size), key)


def read_npy_array(path: Path) -> NDArray[Any]:
    """Read a whole .npy file of labels.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    array

    Raises
    ------
    InputError
        Damaged or truncated file, pickled objects, too large for memory.
    """
    source = str(path)
    with reading(source), path.open("rb") as stream:
        header = _read_header(stream, source)
        if header.dtype.hasobject:
            raise InputError(f"{source}: holds pickled Python objects, which are never loaded")
        refuse_plain_claim(source, header.nbytes, os.fstat(stream.fileno()).st_size - stream.tell())
        refuse_memory(source, header.nbytes)
        data = read_exactly(stream, header.nbytes, source)
    array = data.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")
    return np.asarray(array, header.dtype.newbyteorder("="))
