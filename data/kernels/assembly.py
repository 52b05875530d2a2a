"""From tiles to the finished kernel file: written under another name, put on the disk, renamed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.disk import DiskFile
from refntk.data.kernels.kernel_format import (
    FORMAT,
    KernelDescription,
    write_attributes,
    write_input,
)
from refntk.data.kernels.kernel_record import KernelRecord
from refntk.data.kernels.kernel_seal import write_seal
from refntk.errors import RefntkError
from refntk.output import Output

__all__ = ["TileSource", "assemble", "unfinished"]

_STRIP_BYTES = 1 << 25
"""Size of what is written at once of one kernel, unless a single tile is larger."""


class TileSource(Protocol):
    """Where `assemble` gets tiles from: a journal, for one."""

    def read(self, row: int, col: int) -> Mapping[str, NDArray[Any]]:
        """Blocks of the tile with this number, checked; of a symmetric kernel with row <= col."""


def assemble(
    output: Output,
    record: KernelRecord,
    source: TileSource,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Write a finished kernel file, and give it its name when it is on the disk.

    Two strips of tiles of a few MB are in memory at a time.

    Parameters
    ----------
    output : Output
        The file to write. While it is written its name ends in the record's run, which is random,
        so that what a run left behind that was killed here is known to be its own.
    record : KernelRecord
    source : TileSource
        All tiles of the kernel.
    progress : callable, optional
        Called after each strip of tiles; may raise to give up.

    Raises
    ------
    OSError
        The disk is full or fails.
    StoreError
        A tile is damaged, or a file of this name appeared
        meanwhile and may not be replaced.
    """
    partial = unfinished(output, record)
    partial.unlink(missing_ok=True)
    disk = DiskFile(partial)
    try:
        with _file_on(disk, partial) as file:
            _lay_out(file, record)
            _fill(file, record, source, disk, progress)
            write_seal(file)
        disk.sync()
        disk.close()
        disk.check()
    except BaseException:
        disk.close()
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    output.publish(partial)


def unfinished(output: Output, record: KernelRecord) -> Path:
    """Name of a kernel file while it is written.

    Parameters
    ----------
    output : Output
    record : KernelRecord
        Its run is random: what has this name is the run's own.

    Returns
    -------
    pathlib.Path
    """
    return output.beside(f".{record.run[:8]}.new")


@contextlib.contextmanager
def _file_on(disk: DiskFile, path: Path) -> Any:
    """Open an HDF5 file on a disk that keeps its failures to itself, and tell them at the end."""
    file = h5py.File(path, "w", driver="fileobj", fileobj=disk)
    try:
        yield file
    except BaseException as error:
        with contextlib.suppress(Exception):
            file.close()
        # The first failure of the disk is the cause of what HDF5 complains about.
        if isinstance(error, Exception) and not isinstance(error, RefntkError):
            disk.check()
        raise
    file.close()
    disk.check()


def _lay_out(file: h5py.File, record: KernelRecord) -> None:
    """Create everything but the values of the kernels."""
    about = record.description
    write_attributes(
        file,
        {
            "format": FORMAT,
            "refntk_version": record.refntk_version,
            "network": about.network,
            "network_hash": about.network_hash,
            "dtype": about.dtype,
            "backend": about.backend,
            "method": about.method,
            "tile": about.tile,
            "symmetric": about.symmetric,
            "created": record.created,
            "preprocessing": dict(about.preprocessing),
        },
    )
    for name in about.kernels:
        file.create_dataset(
            name,
            shape=about.shape,
            dtype=about.dtype,
            chunks=tuple(min(about.tile, count) for count in about.shape),
            fillvalue=np.nan,
            fletcher32=True,
        )
    file["tiles"] = np.ones(about.tiles, np.uint8)
    write_input(file.create_group("x1"), about.x1)
    if about.x2 is None:
        # A hard link: who reads /x2 finds it, and nothing is stored twice.
        file["x2"] = file["x1"]
    else:
        write_input(file.create_group("x2"), about.x2)


def _fill(
    file: h5py.File,
    record: KernelRecord,
    source: TileSource,
    disk: DiskFile,
    progress: Callable[[], None],
) -> None:
    """Write the kernels, a strip of tiles at a time, and the digest of each tile."""
    about = record.description
    shape = (*about.tiles, hashlib.sha256().digest_size)
    digests = {name: np.zeros(shape, np.uint8) for name in about.kernels}
    strips = list(_strips(about))
    # The next strip is read and hashed while HDF5 writes this one.
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(_strip, about, source, digests, *strips[0])
        for number, (row, first, last) in enumerate(strips, 1):
            values = coming.result()
            if number < len(strips):
                coming = ahead.submit(_strip, about, source, digests, *strips[number])
            rows, cols = about.run(0, row), about.run(1, first, last)
            for name, strip in values.items():
                file[name][rows, cols] = strip
            disk.check()
            progress()
    for name, table in digests.items():
        file[f"digests/{name}"] = table


def _strips(about: KernelDescription) -> Iterator[tuple[int, int, int]]:
    """Cut rows of tiles into strips of bounded size: the row, the first tile, after the last."""
    down, across = about.tiles
    tile_bytes = about.tile**2 * np.dtype(about.dtype).itemsize
    tiles = max(1, _STRIP_BYTES // tile_bytes)
    for row in range(down):
        for first in range(0, across, tiles):
            yield row, first, min(first + tiles, across)


def _strip(
    about: KernelDescription,
    source: TileSource,
    digests: Mapping[str, NDArray[np.uint8]],
    row: int,
    first: int,
    last: int,
) -> dict[str, NDArray[Any]]:
    """Read the tiles of a strip or their mirror images, and note their digests."""
    rows, cols = about.run(0, row), about.run(1, first, last)
    shape = rows.stop - rows.start, cols.stop - cols.start
    strip = {name: np.empty(shape, about.dtype) for name in about.kernels}
    for col in range(first, last):
        mirrored = about.symmetric and col < row
        blocks = source.read(col, row) if mirrored else source.read(row, col)
        start = col * about.tile - cols.start
        for name, stored in blocks.items():
            block = np.ascontiguousarray(stored.T if mirrored else stored)
            strip[name][:, start : start + about.tile] = block
            digest = hashlib.sha256(block.data).digest()
            digests[name][row, col] = np.frombuffer(digest, np.uint8)
    return strip
