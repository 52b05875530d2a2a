"""The seal of a kernel file: a digest of all that it says about its kernels."""

from __future__ import annotations

import hashlib
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.inside import find
from refntk.data.kernels.kernel_format import (
    ATTRIBUTES,
    TEXTS,
    read_text,
    read_values,
    write_text,
)
from refntk.errors import StoreError

__all__ = ["check_seal", "write_seal"]


def _sealed(file: h5py.File) -> str:
    """SHA-256 of all that a file says about its kernels, as docs/file-format.md defines it."""
    total = hashlib.sha256()

    def add(name: str, value: NDArray[Any]) -> None:
        total.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        total.update(np.ascontiguousarray(value).data)

    for key in sorted(key for key in ATTRIBUTES if key in file.attrs):
        add(f"@{key}", np.asarray(file.attrs[key]))
    add("tiles", read_values(file, "tiles"))
    for name in ("digests", *([TEXTS] if TEXTS in file else []), "x1", "x2"):
        group = find(file, name)
        for key in sorted(group.attrs):
            add(f"{name}@{key}", np.asarray(group.attrs[key]))
        for key in sorted(group):
            add(f"{name}/{key}", read_values(group, key))
    return total.hexdigest()


def write_seal(file: h5py.File) -> None:
    """Seal a file that is complete: any change to what it says is noticed from then on.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    """
    write_text(file.attrs, "seal", _sealed(file))


def check_seal(file: h5py.File, path: object) -> None:
    """Compare a file with its seal.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    path : object
        The file, for messages.

    Raises
    ------
    StoreError
        It has no seal, or was changed or damaged after it was sealed.
    LookupError, TypeError, ValueError
        It is damaged.
    """
    seal = read_text(file.attrs, "seal")
    if seal is None:
        raise StoreError(
            f"{path}: has no seal, which a complete kernel file carries; it was changed after it "
            "was written: compute the kernel again"
        )
    if seal != _sealed(file):
        raise StoreError(
            f"{path}: does not match its seal; it was changed or damaged after it was written: "
            "compute the kernel again"
        )
