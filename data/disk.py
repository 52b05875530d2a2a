"""The file below HDF5 while a kernel is written.

HDF5 cannot close a file that it cannot write: it fails again, keeps the file open and complains
once more at exit. A full disk is therefore hidden from it here, and the failure kept for
`refntk.data.kernels.assembly` to see.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["DiskFile"]


class DiskFile:
    """A new, unbuffered file that never fails to its user but remembers the first failure.

    Parameters
    ----------
    path : pathlib.Path
        The file to create; it must not exist.

    Attributes
    ----------
    error : OSError, KeyboardInterrupt or None
        The first failure, or an interrupt that came while HDF5 was waiting, which would drop it.
        What was written from then on is worthless.

    Raises
    ------
    OSError
        The file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("x+b", buffering=0)
        self.error: OSError | KeyboardInterrupt | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position; return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; return the number of bytes read."""
        return self._file.readinto(buffer)

    def write(self, data: memoryview) -> int:
        """Write all of a buffer, or remember why not; return its length either way."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        with self._kept():
            while rest:
                rest = rest[self._file.write(rest) :]
        return size

    def truncate(self, size: int) -> int:
        """Set the length, or remember why not; return it either way."""
        with self._kept():
            self._file.truncate(size)
        return size

    def flush(self) -> None:
        """Do nothing: the file is unbuffered, and `sync` is for the end."""

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        with self._kept():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        with self._kept():
            self._file.close()

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.error is not None:
            raise self.error

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except (OSError, KeyboardInterrupt) as error:
            self.error = self.error or error
