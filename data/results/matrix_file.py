"""Kernel matrices of any origin: a .npy file, or an HDF5 file with datasets nngp and ntk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refntk.data.inside import find, plain_dataset
from refntk.data.limits import reading
from refntk.errors import InputError, unknown
from refntk.evaluation.evaluate import KERNELS
from refntk.oracle.sample import Matrix

__all__ = ["MatrixFile", "open_matrices"]

_PREPARATION = ("limit", "seed", "size", "standardize", "scale", "alpha", "fit")


@dataclass(frozen=True, eq=False)
class MatrixFile:
    """Kernel matrices on disk, open for reading.

    Attributes
    ----------
    kernels : dict
        Matrices that are read when indexed, by name: ``nngp``, ``ntk``.
    preparation : dict
        How the images were prepared, as arguments of `refntk.data.load_inputs`; empty where the
        file does not say, because refntk did not write it.
    """

    kernels: Mapping[str, Matrix]
    preparation: Mapping[str, Any]


class _Entries:
    """A matrix whose entries are read from a file, which may be damaged where they are.

    Parameters
    ----------
    path : pathlib.Path
        The file, for messages.
    stored : array or h5py.Dataset
        The matrix in it.
    """

    def __init__(self, path: Path, stored: Any) -> None:
        self._path = path
        self._stored = stored

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the matrix."""
        return tuple(self._stored.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""
        kind: np.dtype[Any] = self._stored.dtype
        return kind

    def __getitem__(self, place: tuple[int, int]) -> Any:
        """Read one entry."""
        with reading(self._path):
            return self._stored[place]


@contextmanager
def open_matrices(path: str | Path, get: str | None = None) -> Iterator[MatrixFile]:
    """Open a file of kernel matrices.

    Parameters
    ----------
    path : str or path
        A .npy file with one matrix, or an HDF5 file with ``/nngp`` or ``/ntk`` or both, such as the
        kernel files of refntk.
    get : {"nngp", "ntk"}, optional
        The kernel wanted. Default: ``ntk`` of a .npy file, all of an HDF5 file.

    Yields
    ------
    MatrixFile

    Raises
    ------
    InputError
        No such file, another kind of file, a damaged one, or no such kernel.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        with reading(path):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        yield MatrixFile({get or "ntk": _Entries(path, array)}, {})
    elif suffix in (".h5", ".hdf5"):
        with reading(path):
            file = h5py.File(path, "r")
        with file:
            with reading(path):
                found = {
                    name: find(file, name)
                    for name in KERNELS
                    if file.get(name, getlink=True) is not None
                }
                preparation = _preparation(file)
            if get is not None and found and get not in found:
                raise InputError(f"{path}: {unknown('kernel', get, found)}")
            if not all(isinstance(item, h5py.Dataset) for item in found.values()) or not found:
                message = "holds no dataset /nngp or /ntk; expected a kernel matrix"
                raise InputError(f"{path}: {message}")
            wanted = {
                name: _Entries(path, plain_dataset(file, name))
                for name in found
                if get in (None, name)
            }
            yield MatrixFile(wanted, preparation)
    else:
        raise InputError(f"{path}: its name says no known kind of file; expected .npy or .h5")


def _preparation(file: h5py.File) -> dict[str, Any]:
    """Read how images were prepared from a kernel file of refntk."""
    stored = file.attrs.get("preprocessing")
    if not isinstance(stored, bytes):
        return {}
    record = json.loads(stored)
    arguments = {name: record[name] for name in _PREPARATION if record.get(name) is not None}
    return arguments | {"standardize": record.get("standardize") is not None}
