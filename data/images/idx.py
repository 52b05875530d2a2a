"""The idx format of MNIST: a big-endian header and bare values, often gzipped.

Format: two zero bytes, a type code, the number of axes, one 32-bit length an axis, the values in C
order. Source: "The MNIST database of handwritten digits", section "File formats",
http://yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import IntArray, Pick, RawImages, check_layout
from refntk.data.images.labels import interpret
from refntk.data.limits import (
    ByteStream,
    read_exactly,
    reading,
    refuse_memory,
    refuse_packed_claim,
    refuse_plain_claim,
)
from refntk.errors import InputError

__all__ = ["idx_inside", "is_idx_name", "read_idx", "read_idx_labels"]

_GZIP_MARK = b"\x1f\x8b"

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"[-.]idx\d-(ubyte|byte|short|int|float|double)(\.gz)?$", re.IGNORECASE)


def is_idx_name(name: str) -> bool:
    """Tell whether a file name is one of an idx file, such as ``train-images-idx3-ubyte.gz``.

    Parameters
    ----------
    name : str
        Name without its folder.

    Returns
    -------
    bool
        Whether it ends like one.
    """
    return _NAME.search(name) is not None


def _read_header(stream: ByteStream, source: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype; the stream stands at the values afterwards."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] > 4:
        raise InputError(
            f"{source}: begins with the bytes {magic.hex(' ') or 'of an empty file'}; an idx file "
            "begins with 00 00, a type code and a number of axes"
        )
    lengths = stream.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise InputError(f"{source}: ends inside its header; it is truncated: download it again")
    shape = tuple(int(side) for side in np.frombuffer(lengths, ">u4"))
    return shape, np.dtype(_TYPES[magic[2]])


def _read_array(path: Path) -> NDArray[Any]:
    """Read a whole idx file, in native byte order, gzipped or not whatever its name says."""
    source = str(path)
    nbytes = path.stat().st_size
    with reading(source), path.open("rb") as plain:
        packed = plain.read(2) == _GZIP_MARK
        plain.seek(0)
        with gzip.open(plain) if packed else plain as stream:
            shape, dtype = _read_header(stream, source)
            claimed = math.prod(shape) * dtype.itemsize
            held = nbytes if packed else nbytes - stream.tell()
            swapped = [int.from_bytes(side.to_bytes(4, "little"), "big") for side in shape]
            if claimed > held and math.prod(swapped) * dtype.itemsize == held and not packed:
                raise InputError(
                    f"{source}: its sizes are little-endian, {tuple(swapped)}, where the idx "
                    "format has big-endian ones; write it again"
                )
            if packed:
                refuse_packed_claim(source, claimed, nbytes)
            else:
                refuse_plain_claim(source, claimed, held)
            refuse_memory(source, claimed)
            data = read_exactly(stream, claimed, source)
    return np.asarray(data.view(dtype).reshape(shape), dtype=dtype.newbyteorder("="))


def idx_inside(folder: Path) -> Path | None:
    """Find the idx file in a folder that is called like one, as Kaggle unpacks MNIST.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    pathlib.Path or None
        None where the folder is not called like an idx file or does not hold exactly one.
    """
    if not is_idx_name(folder.name) or not folder.is_dir():
        return None
    found = [entry for entry in folder.iterdir() if is_idx_name(entry.name) and entry.is_file()]
    return found[0] if len(found) == 1 else None


def _labels_path(path: Path) -> Path | None:
    """Find the file of labels beside one of images, ``...-labels-idx1-ubyte``, gzipped or not.

    It may be named with a dot for the hyphen, and lie in a folder called like itself.
    """
    if "images" not in path.name:
        return None
    name = re.sub(r"idx\d", "idx1", path.name.replace("images", "labels"), flags=re.IGNORECASE)
    bare = re.sub(r"\.gz$", "", name, flags=re.IGNORECASE)
    stems = [re.sub(r"[-.](?=idx1)", mark, bare, flags=re.IGNORECASE) for mark in "-."]
    names = [name, *(stem + end for stem in (bare, *stems) for end in ("", ".gz"))]
    folders = [path.parent, path.parent.parent] if is_idx_name(path.parent.name) else [path.parent]
    for candidate in (folder / other for folder in folders for other in names):
        found = candidate if candidate.is_file() else idx_inside(candidate)
        if found is not None:
            return found
    return None


def _read_labels(path: Path, count: int) -> tuple[IntArray | None, tuple[str, ...]]:
    """Labels as int64, one an image, or a note why there are none."""
    try:
        found = interpret(_read_array(path), count)
    except InputError as error:
        return None, (f"labels are left out: {error}",)
    if isinstance(found, str):
        return None, (f"labels are left out: {path} {found}",)
    return found.classes, ()


def read_idx(path: Path, pick: Pick) -> RawImages:
    """Read images from an idx file, and the labels from the file beside it.

    Parameters
    ----------
    path : pathlib.Path
        Such as ``t10k-images-idx3-ubyte.gz``; the labels are then looked for in
        ``t10k-labels-idx1-ubyte`` and ``t10k-labels-idx1-ubyte.gz`` of the same folder.
    pick : callable
        Chooses the images to keep.

    Returns
    -------
    RawImages
        With labels where the file of labels is there.

    Raises
    ------
    InputError
        Damaged or truncated file, not images, a claim that the file cannot fulfil, too large for
        memory. Labels that do not fit are left out, with a note.
    """
    with reading(path):
        labels_path = _labels_path(path)
        images = _read_array(path)
        check_layout(path, images.shape, images.dtype)
        count = len(images)
        labels, notes = (None, ()) if labels_path is None else _read_labels(labels_path, count)
    indices = pick(count, labels)
    chosen = None if labels is None else labels[indices]
    return RawImages(images[indices], indices, chosen, notes=notes)


def read_idx_labels(path: Path) -> NDArray[Any]:
    """Read an idx file of labels.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    array

    Raises
    ------
    InputError
        As `read_idx`.
    """
    return _read_array(path)
