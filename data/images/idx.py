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
from refntk.data.limits import (
    ByteStream,
    read_exactly,
    reading,
    refuse_memory,
    refuse_packed_claim,
    refuse_plain_claim,
)
from refntk.errors import InputError

__all__ = ["is_idx_name", "read_idx"]

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
    """Read a whole idx file, in native byte order."""
    source = str(path)
    packed = path.suffix.lower() == ".gz"
    nbytes = path.stat().st_size
    with reading(source), gzip.open(path) if packed else path.open("rb") as stream:
        shape, dtype = _read_header(stream, source)
        claimed = math.prod(shape) * dtype.itemsize
        if packed:
            refuse_packed_claim(source, claimed, nbytes)
        else:
            refuse_plain_claim(source, claimed, nbytes - stream.tell())
        refuse_memory(source, claimed)
        data = read_exactly(stream, claimed, source)
    return np.asarray(data.view(dtype).reshape(shape), dtype=dtype.newbyteorder("="))


def _labels_path(path: Path) -> Path | None:
    """Find the file of labels beside one of images: ``...-labels-idx1-ubyte``, gzipped or not."""
    name = re.sub(r"idx\d", "idx1", path.name.replace("images", "labels"), flags=re.IGNORECASE)
    if "images" not in path.name:
        return None
    bare = name.removesuffix(".gz")
    found = [other for other in (name, bare, bare + ".gz") if path.with_name(other).is_file()]
    return path.with_name(found[0]) if found else None


def _read_labels(path: Path, images: Path, count: int) -> IntArray:
    """Labels as int64, one an image."""
    labels = _read_array(path)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"{path}: holds values of shape {labels.shape} and dtype {labels.dtype}, but {images} "
            f"holds {count} images; expected one integer an image"
        )
    return labels.astype(np.int64)


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
        memory, labels that do not fit.
    """
    with reading(path):
        labels_path = _labels_path(path)
        images = _read_array(path)
        check_layout(path, images.shape, images.dtype)
        count = len(images)
        labels = None if labels_path is None else _read_labels(labels_path, path, count)
    indices = pick(count, labels)
    return RawImages(images[indices], indices, None if labels is None else labels[indices])
