"""Labels that lie in another file than their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.idx import idx_inside, is_idx_name, read_idx_labels
from refntk.data.images.labels import Labels, interpret, read_csv_column
from refntk.data.images.numpy_files import array_in_npz, read_npy_array
from refntk.errors import InputError

__all__ = ["load_labels"]

_MARK = "::"
_FORMS = ".csv[::COLUMN], .tsv, .txt, .npy, .npz[::KEY], .h5[::DATASET] or -idx1-ubyte[.gz]"


def _read(
    spec: str, path: Path, key: str | None, count: int, names: tuple[str, ...] | None
) -> NDArray[Any]:
    suffix = path.suffix.lower()
    inside = idx_inside(path)
    if inside is not None or is_idx_name(path.name):
        return read_idx_labels(inside or path)
    if not path.is_file():
        raise InputError(f"{spec}: no such file of labels; known forms: {_FORMS}")
    if suffix in (".csv", ".tsv", ".txt"):
        return read_csv_column(path, key, count, names)
    if suffix == ".npy":
        return read_npy_array(path)
    if suffix == ".npz":
        return array_in_npz(path, key)
    if suffix in (".h5", ".hdf5"):
        from refntk.data.images.hdf5 import array_in_hdf5

        return array_in_hdf5(path, key)
    raise InputError(f"{spec}: not a known kind of file of labels; known forms: {_FORMS}")


def load_labels(spec: str, count: int, names: tuple[str, ...] | None = None) -> Labels:
    """Load the classes of images from a file of their own.

    Parameters
    ----------
    spec : str
        ``FILE`` or ``FILE::KEY``: a table (CSV), a NumPy, HDF5 or idx file. KEY is a column, an
        array or a dataset; it can be left out where there is only one, or one called ``label``,
        ``labels``, ``y``, ``targets`` or so.
    count : int
        Number of images in the whole source.
    names : tuple of str, optional
        Names of these images, which a table may list beside the labels.

    Returns
    -------
    Labels

    Raises
    ------
    InputError
        No such file or key, damaged, or not one label an image.
    """
    bare, mark, key = spec.rpartition(_MARK)
    whole = not mark or Path(spec).exists()
    path, chosen = (Path(spec), None) if whole else (Path(bare), key)
    found = interpret(np.asarray(_read(spec, path, chosen, count, names)), count)
    if isinstance(found, str):
        raise InputError(f"{spec}: {found}; expected one label an image")
    return found
