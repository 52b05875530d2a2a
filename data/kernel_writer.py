"""Write a kernel file tile by tile, under a temporary name until it is complete and on the disk."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.disk import DiskFile
from refntk.data.kernel_format import FORMAT, KernelDescription, write_attributes, write_input
from refntk.data.limits import one_line, size_text
from refntk.errors import RefntkError, StoreError

__all__ = ["KernelWriter"]


class KernelWriter:
    """Write a kernel file tile by tile; a context manager.

    The file grows under a temporary name beside the target, ``.NAME.partial-XXXXXXXX``. Leaving the
    context puts it on the disk and renames it; leaving by an exception removes it.

    Parameters
    ----------
    path : str or path
        The file to write.
    description : KernelDescription
        Shape, tiles, inputs and provenance of the kernel.
    overwrite : bool
        Replace an existing file, at the end and not before.

    Raises
    ------
    StoreError
        The file exists and `overwrite` is false; its folder is missing or cannot be written to; the
        disk has less room than the kernels need. Later, from `write` or at the end: the disk is
        full or fails; tiles are missing.

    Examples
    --------
    >>> with KernelWriter("out.h5", description) as writer:  # doctest: +SKIP
    ...     for tile in job.tiles:
    ...         writer.write(tile.rows, tile.cols, job.block(tile))
    """

    def __init__(
        self, path: str | Path, description: KernelDescription, *, overwrite: bool = False
    ) -> None:
        self.path = Path(path)
        self.description = description
        self._overwrite = overwrite
        self._check_target()
        self._partial = self.path.with_name(f".{self.path.name}.partial-{secrets.token_hex(4)}")
        try:
            self._disk = DiskFile(self._partial)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written ({one_line(error)}); choose a folder that you may "
                "write to"
            ) from error
        with self._all_or_nothing():
            self._file = h5py.File(self._partial, "w", driver="fileobj", fileobj=self._disk)
            self._create()

    def _check_target(self) -> None:
        """Find out before hours of computing what would prevent writing at their end."""
        try:
            folder = self.path.parent
            if not folder.is_dir():
                raise StoreError(f"{self.path}: the folder {folder} does not exist; create it")
            if self.path.is_dir():
                raise StoreError(f"{self.path}: is a folder; give the name of a file")
            if self.path.exists() and not self._overwrite:
                raise StoreError(
                    f"{self.path}: exists already; choose another name or allow it to be replaced "
                    "(--overwrite)"
                )
            free = shutil.disk_usage(folder).free
        except RefntkError:
            raise
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path}: not usable as an output ({one_line(error)})") from error
        if self.description.nbytes > free:
            raise StoreError(
                f"{self.path}: the kernels need {size_text(self.description.nbytes)}, the disk has "
                f"{size_text(free)} left; free some space or choose another place"
            )

    def _create(self) -> None:
        """Lay out the empty file."""
        about = self.description
        write_attributes(
            self._file,
            {
                "format": FORMAT,
                "refntk_version": version("refntk"),
                "network": about.network,
                "network_hash": about.network_hash,
                "dtype": about.dtype,
                "backend": about.backend,
                "method": about.method,
                "tile": about.tile,
                "symmetric": about.symmetric,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "preprocessing": dict(about.preprocessing),
            },
        )
        for name in about.kernels:
            self._file.create_dataset(
                name,
                shape=about.shape,
                dtype=about.dtype,
                chunks=tuple(min(about.tile, count) for count in about.shape),
                fillvalue=np.nan,
                fletcher32=True,
            )
        self._file.create_dataset("tiles", data=np.zeros(about.tiles, np.uint8))
        write_input(self._file.create_group("x1"), about.x1)
        if about.x2 is None:
            # A hard link: who reads /x2 finds it, and nothing is stored twice.
            self._file["x2"] = self._file["x1"]
        else:
            write_input(self._file.create_group("x2"), about.x2)

    def write(self, rows: slice, cols: slice, blocks: Mapping[str, NDArray[Any]]) -> None:
        """Write one tile and, of a symmetric kernel, its mirror image.

        Parameters
        ----------
        rows, cols : slice
            The images of the tile: ``start`` a multiple of the tile side, ``stop`` at the next
            multiple or the end.
        blocks : mapping of str to array, shape (rows, cols)
            One for each kernel of the description, in its dtype.

        Raises
        ------
        StoreError
            The slices are no tile; blocks missing, superfluous, of another shape or dtype; the disk
            is full or fails, and then the temporary file is gone.
        """
        at = self._position(rows, 0), self._position(cols, 1)
        self._check_blocks(rows, cols, blocks)
        mirrored = self.description.symmetric and at[0] != at[1]
        with self._all_or_nothing():
            for name, block in blocks.items():
                self._file[name][rows, cols] = block
                if mirrored:
                    self._file[name][cols, rows] = block.T
            # The data are on their way to the disk before the tile counts as complete.
            self._file.flush()
            self._file["tiles"][at] = 1
            if mirrored:
                self._file["tiles"][at[::-1]] = 1

    def _position(self, run: slice, axis: int) -> int:
        """Return the number of a tile along one axis."""
        tile, count = self.description.tile, self.description.shape[axis]
        start, stop, step = run.indices(count)
        if start % tile or stop != min(start + tile, count) or start >= stop or step != 1:
            raise StoreError(
                f"{self.path}: {run} is no tile of axis {axis}, which has {count} images in tiles "
                f"of {tile}"
            )
        return start // tile

    def _check_blocks(
        self, rows: slice, cols: slice, blocks: Mapping[str, NDArray[Any]]
    ) -> None:
        """Refuse what HDF5 would broadcast or cast without a word."""
        wanted = self.description.kernels
        if set(blocks) != set(wanted):
            raise StoreError(f"{self.path}: blocks of {sorted(blocks)}, expected {sorted(wanted)}")
        shape = tuple(
            len(range(*run.indices(count)))
            for run, count in zip((rows, cols), self.description.shape, strict=True)
        )
        for name, block in blocks.items():
            if block.shape != shape or block.dtype != np.dtype(self.description.dtype):
                raise StoreError(
                    f"{self.path}: block of {name} has shape {block.shape} and dtype "
                    f"{block.dtype}, expected {shape} and {self.description.dtype}"
                )

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Remove the temporary file on any failure, also on one that `DiskFile` kept to itself."""
        try:
            yield
            if self._disk.error is not None:
                raise self._disk.error
        except BaseException as error:
            self.abort()
            if isinstance(error, RefntkError) or not isinstance(error, Exception):
                raise
            cause = self._disk.error or error
            raise StoreError(
                f"{self.path}: writing failed ({one_line(cause)}); nothing was kept: free some "
                "space or choose another place"
            ) from error

    def abort(self) -> None:
        """Close and remove the temporary file; nothing happens if it is gone already."""
        # What cannot be closed or removed must not hide the error that led here.
        with contextlib.suppress(Exception):
            self._file.close()
        self._disk.close()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def _commit(self) -> None:
        """Close the file, wait for the disk, and give the file its name."""
        with self._all_or_nothing():
            done = self._file["tiles"][...]
            if not done.all():
                raise StoreError(
                    f"{self.path}: only {np.count_nonzero(done)} of {done.size} tiles were "
                    "written; nothing was kept"
                )
            self._file.close()
            self._disk.sync()
            self._disk.close()
        if self.path.exists() and not self._overwrite:
            raise StoreError(
                f"{self.path}: appeared while the kernel was computed and was left alone; the "
                f"finished kernel is {self._partial}: rename it"
            )
        with self._all_or_nothing():
            self._partial.replace(self.path)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or abort after an exception."""
        if kind is None:
            self._commit()
        else:
            self.abort()
