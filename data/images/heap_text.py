"""Text of variable length in an HDF5 file, as h5py writes lists of words.

Such text lies in the file's global heap. The library follows whatever a damaged heap says, and may
do so for ever; here the few bytes of the format are read directly, and each step is bounded by the
file. Source: HDF5 File Format Specification 3.0, sections III.E (global heap) and VIII.B.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.limits import refuse_memory
from refntk.errors import InputError

__all__ = ["is_text", "read_text"]

_ELEMENT = struct.Struct("<IQI")  # length, address of the collection, number in it
_LONGEST = 4096
_COLLECTION_BYTES = 1 << 26


def is_text(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds text of variable length.

    Parameters
    ----------
    dataset : h5py.Dataset

    Returns
    -------
    bool
    """
    text = h5py.check_string_dtype(dataset.dtype)
    return text is not None and text.length is None


def read_text(dataset: h5py.Dataset, source: str) -> NDArray[np.bytes_]:
    """Read text of variable length.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of which `is_text` is true.
    source : str
        The file, for messages.

    Returns
    -------
    array of bytes, of the shape of the dataset
        As stored; h5py stores UTF-8.

    Raises
    ------
    InputError
        Damaged, or stored in a way that is not read here: see the message.
    """
    refuse_memory(source, 64 * dataset.size)
    if dataset.file.id.get_create_plist().get_sizes() != (8, 8):
        raise _not_read(source, "offsets of less than 8 bytes")
    heap = _Heap(dataset.file, source)
    words = [heap.word(*_ELEMENT.unpack_from(raw)) for raw in _elements(dataset, source)]
    longest = max(map(len, words), default=0)
    refuse_memory(source, longest * len(words))
    return np.array(words, f"S{max(longest, 1)}").reshape(dataset.shape)


def _elements(dataset: h5py.Dataset, source: str) -> Iterator[bytes]:
    """Where each word lies, in C order."""
    size = _ELEMENT.size
    if dataset.chunks is None:
        place = dataset.id.get_offset()
        if place is None:
            raise _not_read(source, "a compact layout, or was never written")
        with open(dataset.file.filename, "rb") as stream:
            stream.seek(place)
            raw = stream.read(size * dataset.size)
    else:
        raw = _from_chunks(dataset, source)
    if len(raw) != size * dataset.size:
        raise _damaged(source)
    return (raw[place : place + size] for place in range(0, len(raw), size))


def _from_chunks(dataset: h5py.Dataset, source: str) -> bytes:
    """Put the elements of chunks into C order."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    if filters not in ([], [h5py.h5z.FILTER_DEFLATE]):
        raise _not_read(source, "filters other than gzip")
    size, sides = _ELEMENT.size, dataset.chunks
    nbytes = math.prod(sides) * size
    refuse_memory(source, nbytes)
    out = np.zeros((*dataset.shape, size), np.uint8)
    for index in range(dataset.id.get_num_chunks()):
        first = dataset.id.get_chunk_info(index).chunk_offset
        masked, raw = dataset.id.read_direct_chunk(first)
        if filters and not masked:
            raw = zlib.decompressobj().decompress(raw, nbytes)
        if len(raw) != nbytes:
            raise _damaged(source)
        chunk = np.frombuffer(raw, np.uint8).reshape(*sides, size)
        inside = tuple(
            slice(min(side, whole - start))
            for side, whole, start in zip(sides, dataset.shape, first, strict=True)
        )
        place = tuple(
            slice(start, start + part.stop) for start, part in zip(first, inside, strict=True)
        )
        out[place] = chunk[inside]
    return out.tobytes()


class _Heap:
    """The global heap of an open file: collections of numbered objects."""

    def __init__(self, file: h5py.File, source: str) -> None:
        self._name = file.filename
        self._base = file.userblock_size
        self._source = source
        self._collections: dict[int, dict[int, bytes]] = {}

    def word(self, length: int, address: int, number: int) -> bytes:
        """One word; an empty one has no object."""
        if length == 0:
            return b""
        if length > _LONGEST:
            raise InputError(f"{self._source}: holds a word of {length} bytes; expected names")
        if address not in self._collections:
            if len(self._collections) >= 64:
                self._collections.clear()  # they lie in the order of the words, mostly
            with open(self._name, "rb") as stream:
                self._collections[address] = self._read(stream, address)
        found = self._collections[address].get(number, b"")
        if len(found) < length:
            raise _damaged(self._source)
        return found[:length].rstrip(b"\0")

    def _read(self, stream: BinaryIO, address: int) -> dict[int, bytes]:
        """Read one collection; the object with the number 0 is what is free."""
        end = os.fstat(stream.fileno()).st_size
        if not 0 <= self._base + address <= end - 16:
            raise _damaged(self._source)
        stream.seek(self._base + address)
        mark, version, size = struct.unpack("<4sB3xQ", stream.read(16))
        left = end - stream.tell()
        if mark != b"GCOL" or version != 1 or not 16 <= size <= min(left + 16, _COLLECTION_BYTES):
            raise _damaged(self._source)
        data, place, objects = stream.read(size - 16), 0, {}
        while place + 16 <= len(data):
            number, length = struct.unpack_from("<H6xQ", data, place)
            if number == 0:
                break
            place += 16
            if length > len(data) - place:
                raise _damaged(self._source)
            objects[number] = data[place : place + length]
            place += -(-length // 8) * 8
        return objects


def _damaged(source: str) -> InputError:
    return InputError(
        f"{source}: its text of variable length leads nowhere; the file is damaged: copy or "
        "download it again"
    )


def _not_read(source: str, why: str) -> InputError:
    return InputError(
        f"{source}: text of variable length with {why} is not read; save numbers, or text of fixed "
        "length (dtype S)"
    )
