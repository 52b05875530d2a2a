"""Open a kernel file and say what is in it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Self, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import InputInfo
from refntk.data.inside import find, plain_dataset
from refntk.data.kernels.journal import FAMILY
from refntk.data.kernels.kernel_array import KernelArray
from refntk.data.kernels.kernel_format import (
    KERNELS,
    KernelDescription,
    read_attributes,
    read_input,
    read_values,
)
from refntk.data.kernels.kernel_record import KernelRecord
from refntk.data.kernels.kernel_seal import check_seal
from refntk.data.limits import one_line, why_unreadable
from refntk.errors import InputError, RefntkError, StoreError, unknown

__all__ = ["KernelFile", "open_kernel"]


def _input_text(info: InputInfo) -> str:
    """One line about a set of images."""
    size = " x ".join(map(str, info.shape))
    text = f"{info.source}: {info.count} images of {size} {info.dtype}"
    if info.labels is not None:
        text += f", {len(np.unique(info.labels))} classes"
    return text


def _value_text(value: object) -> str:
    """Write a value of the preprocessing record without the brackets of JSON."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return " ".join(map(_value_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class KernelFile:
    """An open kernel file; a context manager.

    Made by `open_kernel`.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    attributes : dict
        The attributes of the root; ``"preprocessing"`` as a dict.
    nngp, ntk : KernelArray of float, shape (N1, N2), or None
        The kernels, read when indexed and compared with their digests; None where they were not
        computed.
    x1, x2 : InputInfo
        The images of the rows and of the columns.
    tiles : array of uint8, shape (tiles down, tiles across)
        1 where a tile is complete.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file = file
        self.path = path
        self.attributes = read_attributes(file, path)
        self.nngp, self.ntk = (self._array(name) for name in KERNELS)
        self.x1: InputInfo = read_input(find(file, "x1"))
        self.x2: InputInfo = read_input(find(file, "x2"))
        self.tiles: NDArray[np.uint8] = read_values(file, "tiles")
        self._check()
        check_seal(file, path)

    def _array(self, name: str) -> KernelArray | None:
        """One of the kernels; None where it was not computed."""
        if self._file.get(name, getlink=True) is None:
            return None
        digests = read_values(find(self._file, "digests"), name)
        dataset = plain_dataset(self._file, name)
        return KernelArray(self.path, dataset, digests, self.attributes["tile"])

    def _check(self) -> None:
        """Compare what is there with what the attributes say."""
        tile = self.attributes["tile"]
        shape = (self.x1.count, self.x2.count)
        kernels = [kernel for kernel in (self.nngp, self.ntk) if kernel is not None]
        if (
            not kernels
            or any(kernel.shape != shape for kernel in kernels)
            or any(kernel.dtype.name != self.attributes["dtype"] for kernel in kernels)
            or any(not kernel.fits for kernel in kernels)
            or self.tiles.shape != tuple(-(-count // tile) for count in shape)
        ):
            raise StoreError(
                f"{self.path}: its datasets do not fit each other or the attributes; the file is "
                "damaged: compute the kernel again"
            )

    @property
    def complete(self) -> bool:
        """Whether every tile was computed."""
        return bool(self.tiles.all())

    @property
    def record(self) -> KernelRecord:
        """What was computed, as a writer that would continue it compares it."""
        about = self.attributes
        same = ("network", "network_hash", "dtype", "backend", "method", "tile", "preprocessing")
        description = KernelDescription(
            kernels=self.names,
            x1=self.x1,
            x2=None if about["symmetric"] else self.x2,
            **{name: about[name] for name in same},
        )
        return KernelRecord(description, about["refntk_version"], about["created"], run="")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the kernels in the file, of ``"nngp"`` and ``"ntk"``."""
        return tuple(name for name in KERNELS if getattr(self, name) is not None)

    def gram(self, name: str) -> NDArray[np.floating[Any]]:
        """Read a Gram matrix: the kernel of one set of images with itself, all of it.

        Parameters
        ----------
        name : {"nngp", "ntk"}

        Returns
        -------
        float array, shape (N1, N1)
            As stored.

        Raises
        ------
        StoreError
            The file lacks this kernel, holds one between two sets of images, or is not complete.
        """
        if name not in self.names:
            raise StoreError(f"{self.path}: {unknown('kernel', name, self.names)}")
        if not self.attributes["symmetric"]:
            raise StoreError(
                f"{self.path}: holds kernels of x1 with x2; expected those of one set of images "
                "with itself: compute them without X2"
            )
        if not self.complete:
            raise StoreError(
                f"{self.path}: only {self.tiles.sum()} of {self.tiles.size} tiles are complete; "
                "finish the computation first"
            )
        return cast(NDArray[np.floating[Any]], getattr(self, name)[...])

    def summary(self) -> str:
        """Describe the file for a person.

        Returns
        -------
        str
            Several lines: kernels, inputs, preparation, provenance, and the network as TOML.
        """
        about = self.attributes
        state = "complete" if self.complete else f"{self.tiles.sum()} of {self.tiles.size} tiles"
        lines = [f"{self.path}: {about['format']}, {state}"]
        for name, kernel in (("nngp", self.nngp), ("ntk", self.ntk)):
            if kernel is not None:
                rows, columns = kernel.shape
                lines.append(f"{name:<12}({rows}, {columns}) {kernel.dtype.name}")
        prepared = about["preprocessing"]
        steps = "; ".join(
            f"{step} {_value_text(done)}" for step, done in prepared.items() if done is not None
        )
        lines += [
            f"{'x1':<12}{_input_text(self.x1)}",
            f"{'x2':<12}{'x1 again' if about['symmetric'] else _input_text(self.x2)}",
            f"{'prepared':<12}{steps or 'not recorded'}",
            f"{'computed':<12}{about['created']} by refntk {about['refntk_version']}",
            f"{'':<12}backend {about['backend']}, method {about['method']}, tile {about['tile']}",
            f"{'network':<12}SHA-256 {about['network_hash']}",
            "",
            about["network"].rstrip(),
        ]
        return "\n".join(lines)

    def close(self) -> None:
        """Close the file; the kernels cannot be read any more."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the file."""
        self.close()


def _is_journal(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(FAMILY)) == FAMILY
    return False


def open_kernel(path: str | Path) -> KernelFile:
    """Open a kernel file for reading.

    Parameters
    ----------
    path : str or path
        A file that `KernelWriter` or `refntk compute` wrote.

    Returns
    -------
    KernelFile
        The open file, best used as a context manager.

    Raises
    ------
    StoreError
        No such file; not readable now; not HDF5; truncated or damaged; no kernel file; a format
        that this version does not know; without its seal, or changed since it was sealed; a
        part of it lies in another file.

    Examples
    --------
    >>> with open_kernel("out.h5") as kernel:  # doctest: +SKIP
    ...     ntk = kernel.ntk[...]
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise StoreError(f"{path}: is no regular file; a kernel file is one HDF5 file")
        if not path.is_file():
            begun = path.with_name(path.name + ".part")
            hint = f"; it is not finished, {begun} holds what is done" if begun.is_file() else ""
            raise StoreError(f"{path}: no such file{hint}")
        file = h5py.File(path, "r")
    except RefntkError:
        raise
    except Exception as error:
        if _is_journal(path):
            raise StoreError(
                f"{path}: is a shard, or what a run left behind: join shards with refntk merge, or "
                "finish a run with --resume"
            ) from None
        raise StoreError(f"{path}: as an HDF5 file it {why_unreadable(error)}") from error
    try:
        return KernelFile(file, path)
    except Exception as error:
        file.close()
        if isinstance(error, InputError):  # what the file names lies elsewhere
            raise StoreError(str(error)) from error
        if isinstance(error, RefntkError):
            raise
        raise StoreError(
            f"{path}: is damaged ({one_line(error)}); compute the kernel again"
        ) from error
