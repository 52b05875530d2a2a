"""The layout of a kernel file, `refntk-kernel/1`: names, attributes and inputs.

docs/file-format.md describes the same for people; `refntk.data.kernels.kernel_writer` and
`refntk.data.kernels.kernel_reader` work on the files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import InputInfo
from refntk.data.inside import find, plain_dataset
from refntk.errors import StoreError

__all__ = [
    "ATTRIBUTES",
    "FORMAT",
    "KERNELS",
    "TEXTS",
    "KernelDescription",
    "read_attributes",
    "read_input",
    "read_text",
    "read_values",
    "write_attributes",
    "write_input",
    "write_text",
]

FORMAT = "refntk-kernel/1"
KERNELS = ("nngp", "ntk")

# HDF5 keeps an attribute in its object header, which is 64 KiB at most: longer texts are datasets.
_MAX_TEXT = 64_000
TEXTS = "texts"

# Attributes of the root, and the type of each in Python.
ATTRIBUTES: Mapping[str, type] = {
    "format": str,
    "refntk_version": str,
    "network": str,
    "network_hash": str,
    "dtype": str,
    "backend": str,
    "method": str,
    "tile": int,
    "symmetric": bool,
    "created": str,
    "preprocessing": dict,
}


@dataclass(frozen=True, eq=False)
class KernelDescription:
    """Everything about a kernel that is known before its first entry.

    Parameters
    ----------
    network : str
        The network as TOML.
    network_hash : str
        `Network.hash` of it.
    kernels : tuple of str
        Which of ``"nngp"`` and ``"ntk"`` are computed.
    dtype : str
        ``"float64"`` or ``"float32"``.
    backend, method : str
        What computes, and the method that the planner settled on.
    tile : int
        Side of a tile: rows and columns are cut into runs of this length, the last ones shorter.
    x1 : InputInfo
        The images of the rows.
    x2 : InputInfo or None
        The images of the columns; None where they are those of the rows, and the kernel symmetric.
    preprocessing : mapping
        What was done to the images, of types that JSON has.

    Raises
    ------
    StoreError
        No kernel, or an unknown one; a dtype that is not a floating one; a tile below 1.
    """

    network: str
    network_hash: str
    kernels: tuple[str, ...]
    dtype: str
    backend: str
    method: str
    tile: int
    x1: InputInfo
    x2: InputInfo | None
    preprocessing: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Check what a file could not express."""
        if not self.kernels or not set(self.kernels) <= set(KERNELS):
            raise StoreError(f"kernels {self.kernels}: expected one or both of {KERNELS}")
        if self.dtype not in ("float64", "float32"):
            raise StoreError(f"dtype {self.dtype!r}: expected 'float64' or 'float32'")
        if self.tile < 1:
            raise StoreError(f"tile {self.tile}: expected a positive number of images")

    @property
    def symmetric(self) -> bool:
        """Whether the columns are the images of the rows."""
        return self.x2 is None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (N1, N2) of the kernel."""
        return self.x1.count, (self.x1 if self.x2 is None else self.x2).count

    @property
    def tiles(self) -> tuple[int, int]:
        """Number of tiles down and across."""
        rows, columns = self.shape
        return math.ceil(rows / self.tile), math.ceil(columns / self.tile)

    def run(self, axis: int, first: int, last: int | None = None) -> slice:
        """Rows or columns of some tiles.

        Parameters
        ----------
        axis : int
            0 for rows, 1 for columns.
        first, last : int
            Number of the first tile, and that after the last; by default one tile.
        """
        last = first + 1 if last is None else last
        return slice(first * self.tile, min(last * self.tile, self.shape[axis]))

    @property
    def nbytes(self) -> int:
        """Size of the kernels in bytes."""
        return len(self.kernels) * math.prod(self.shape) * np.dtype(self.dtype).itemsize


def write_text(attributes: h5py.AttributeManager, name: str, text: str) -> None:
    """Write an attribute of fixed-length UTF-8.

    Text of variable length lies in HDF5's global heap, and a flipped bit there makes the library
    loop for ever when it is read.

    Parameters
    ----------
    attributes : h5py.AttributeManager
        Of a file or a group, open for writing.
    name, text : str
        Name and value; the text may be empty.

    Raises
    ------
    StoreError
        The text is too long.
    """
    data = text.encode()
    if len(data) > _MAX_TEXT:
        raise StoreError(
            f"attribute {name!r} of {len(data)} bytes: an HDF5 file takes at most {_MAX_TEXT}; "
            "make it shorter"
        )
    # A length of zero does not exist in HDF5.
    kind = h5py.string_dtype("utf-8", max(1, len(data)))
    attributes.create(name, np.array(data, kind), dtype=kind)


def read_text(attributes: h5py.AttributeManager, name: str) -> str | None:
    """Read what `write_text` wrote.

    Parameters
    ----------
    attributes : h5py.AttributeManager
        Of a file or a group.
    name : str
        Name of the attribute.

    Returns
    -------
    str or None
        None where there is something else or nothing.
    """
    if name not in attributes:
        return None
    stored = attributes.get_id(name)
    if stored.dtype.kind != "S" or stored.shape != ():
        return None
    return bytes(attributes[name]).decode()


def write_attributes(file: h5py.File, attributes: Mapping[str, Any]) -> None:
    """Write the attributes of the root; what is too long for one becomes a dataset in `TEXTS`.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    attributes : mapping
        A value for each of `ATTRIBUTES`.
    """
    for name in ATTRIBUTES:
        value = attributes[name]
        if isinstance(value, dict):
            value = json.dumps(value)
        if isinstance(value, str) and len(value.encode()) > _MAX_TEXT:
            file[f"{TEXTS}/{name}"] = np.frombuffer(value.encode(), np.uint8)
        elif isinstance(value, str):
            write_text(file.attrs, name, value)
        else:
            file.attrs[name] = value


def read_attributes(file: h5py.File, path: object) -> dict[str, Any]:
    """Read and check the attributes of the root.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    path : object
        The file, for messages.

    Returns
    -------
    dict
        A value for each of `ATTRIBUTES`, of the type named there.

    Raises
    ------
    StoreError
        Not a kernel file, one of an unknown format, or one without all attributes.
    """
    found = read_text(file.attrs, "format")
    if found is None:
        raise StoreError(
            f"{path}: an HDF5 file, but not a kernel file of refntk; expected one that "
            "`refntk compute` wrote"
        )
    if found != FORMAT:
        raise StoreError(
            f"{path}: has format {found!r}, but this refntk knows {FORMAT!r} only; use the version "
            "of refntk that wrote it"
        )
    attributes = {}
    texts = find(file, TEXTS) if file.get(TEXTS, getlink=True) is not None else ()
    for name, kind in ATTRIBUTES.items():
        value: Any = (
            read_values(texts, name).tobytes().decode()
            if name in texts
            else read_text(file.attrs, name)
        )
        if kind is dict and value is not None:
            value = json.loads(value)
        elif kind in (int, bool) and name in file.attrs:
            value = np.asarray(file.attrs[name]).item()
        if not isinstance(value, kind):
            raise StoreError(
                f"{path}: its attribute {name!r} is missing or damaged; compute the kernel again"
            )
        attributes[name] = value
    return attributes


def write_input(group: h5py.Group, info: InputInfo) -> None:
    """Write what is known about one set of images into its group.

    Parameters
    ----------
    group : h5py.Group
        ``/x1`` or ``/x2``, empty.
    info : InputInfo
        What is known.
    """
    write_text(group.attrs, "source", info.source)
    write_text(group.attrs, "dtype", info.dtype)
    group.attrs["shape"] = np.array(info.shape, np.int64)
    group["indices"] = info.indices.astype(np.int64)
    group["sha256"] = info.sha256
    if info.labels is not None:
        group["labels"] = info.labels.astype(np.int64)
    for name, texts in (("class_names", info.class_names), ("names", info.names)):
        if texts is not None:
            data = [text.encode() for text in texts]
            kind = h5py.string_dtype("utf-8", max(1, *map(len, data)))
            group.create_dataset(name, data=np.array(data, kind), dtype=kind)


def read_values(group: h5py.Group, name: str) -> NDArray[Any]:
    """Read a small dataset whole, unless it announces more than it holds.

    Parameters
    ----------
    group : h5py.Group
        Where it is.
    name : str
        Its name.

    Returns
    -------
    array
        Its values.

    Raises
    ------
    LookupError, TypeError, ValueError
        It is missing; text of variable length or references; less is stored than announced.
    InputError
        Its values lie in another file.
    """
    dataset = plain_dataset(group, name)
    if dataset.dtype.hasobject:
        raise TypeError(f"{dataset.name} has a dtype of variable length")
    # HDF5 unpacks whole chunks, which may announce far more than the values.
    values = max(math.prod(dataset.shape), math.prod(dataset.chunks or ()))
    if values * dataset.dtype.itemsize > dataset.id.get_storage_size():
        raise ValueError(f"{dataset.name} announces more than it holds")
    return np.asarray(dataset[...])


def read_input(group: h5py.Group) -> InputInfo:
    """Read back what `write_input` wrote.

    Parameters
    ----------
    group : h5py.Group
        ``/x1`` or ``/x2``.

    Returns
    -------
    InputInfo
        What is known about the images.

    Raises
    ------
    LookupError, TypeError, ValueError
        Something is missing or damaged.
    """
    texts: dict[str, tuple[str, ...] | None] = {"class_names": None, "names": None}
    for name in texts:
        if name in group:
            texts[name] = tuple(text.decode() for text in read_values(group, name).tolist())
    source, dtype = (read_text(group.attrs, name) for name in ("source", "dtype"))
    if source is None or dtype is None:
        raise LookupError(f"{group.name} lacks an attribute")
    return InputInfo(
        source=source,
        shape=tuple(int(side) for side in group.attrs["shape"]),
        dtype=dtype,
        indices=read_values(group, "indices").astype(np.int64),
        sha256=read_values(group, "sha256").astype("S64"),
        labels=read_values(group, "labels").astype(np.int64) if "labels" in group else None,
        class_names=texts["class_names"],
        names=texts["names"],
    )

