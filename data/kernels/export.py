"""Kernels in other formats: .npy, .npz and .csv, written a row of tiles at a time."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from refntk.data.kernels.kernel_array import KernelArray
from refntk.data.kernels.kernel_reader import KernelFile
from refntk.errors import StoreError, unknown
from refntk.output import Output

__all__ = ["FORMATS", "export_file"]

FORMATS = ("npy", "npz", "csv")

# 17 and 9 digits bring back every float64 and every float32.
_DIGITS = {"float64": "%.17g", "float32": "%.9g"}


def export_file(
    file: KernelFile,
    path: str | Path,
    form: str,
    get: str | None = None,
    *,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write kernels of a file in another format.

    Parameters
    ----------
    file : KernelFile
        Open. Every tile is compared with its digest on the way.
    path : str or path
        The file to write; it has its name when it is complete.
    form : {"npy", "npz", "csv"}
        ``npy``: one array. ``npz``: the kernels, and for each set of images ``x1_labels``,
        ``x1_indices``, ``x1_sha256`` and so on, as far as they are known. ``csv``: one kernel, a
        line a row, with as many digits as bring back every number.
    get : {"nngp", "ntk"}, optional
        The kernel. Default: all for ``npz``, the only one for the others.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    tuple of str
        Names of the kernels that were written.

    Raises
    ------
    StoreError
        Unknown format or kernel; more than one kernel for a format of one; the file is not
        complete or damaged; the target exists, or cannot be written.
    """
    if form not in FORMATS:
        raise StoreError(unknown("format", form, FORMATS))
    names = _choose(file, form, get)
    if not file.complete:
        raise StoreError(f"{file.path}: is not complete; finish the computation first")
    output = Output(path, overwrite=overwrite, inputs=[file.path])
    write = {"npy": _write_npy, "npz": _write_npz, "csv": _write_csv}[form]
    with output.writing() as stream:
        write(stream, file, names)
    return names


def _choose(file: KernelFile, form: str, get: str | None) -> tuple[str, ...]:
    if get is not None:
        if get not in file.names:
            raise StoreError(f"{file.path}: {unknown('kernel', get, file.names)}")
        return (get,)
    if form != "npz" and len(file.names) > 1:
        raise StoreError(
            f"{file.path}: holds {' and '.join(file.names)}, and {form} takes one kernel: choose "
            "with --get, or take npz"
        )
    return file.names


def _write_array(stream: IO[bytes], array: KernelArray) -> None:
    """Write a kernel as NumPy saves an array."""
    header = {
        "descr": npy.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape,
    }
    npy.write_array_header_1_0(stream, header)
    for _, band in array.bands():
        stream.write(band.data)


def _write_npy(stream: IO[bytes], file: KernelFile, names: tuple[str, ...]) -> None:
    _write_array(stream, getattr(file, names[0]))


def _write_npz(stream: IO[bytes], file: KernelFile, names: tuple[str, ...]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name in names:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_array(member, getattr(file, name))
        for name, values in _about_images(file).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, values, allow_pickle=False)


def _about_images(file: KernelFile) -> dict[str, NDArray[Any]]:
    """Labels, indices and digests of the images, by name."""
    out: dict[str, NDArray[Any]] = {}
    sets = {"x1": file.x1} if file.attributes["symmetric"] else {"x1": file.x1, "x2": file.x2}
    for which, info in sets.items():
        known = {
            "labels": info.labels,
            "indices": info.indices,
            "sha256": info.sha256,
            "class_names": info.class_names,
            "names": info.names,
        }
        out |= {f"{which}_{key}": np.asarray(x) for key, x in known.items() if x is not None}
    return out


def _write_csv(stream: IO[bytes], file: KernelFile, names: tuple[str, ...]) -> None:
    array: KernelArray = getattr(file, names[0])
    for _, band in array.bands():
        np.savetxt(stream, band, fmt=_DIGITS[array.dtype.name], delimiter=",")

