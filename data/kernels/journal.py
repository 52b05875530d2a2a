"""The journal: tiles on the disk while a kernel is computed, each with its own checksum.

One file: a header, then slots of equal size, one a tile, in the order in which tiles are finished.
A slot tells on its own whether it is whole, so that the order in which its bytes reach the disk
does not matter, and a slot that is torn, lost or damaged costs its own tile only.
docs/file-format.md has the layout and what follows from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.kernels.kernel_record import KernelRecord
from refntk.data.limits import one_line
from refntk.errors import RefntkError, StoreError
from refntk.output import create_whole, remove_ours

__all__ = ["FAMILY", "Journal", "is_journal", "record_of"]

_MAGIC = b"refntk-journal/1"
FAMILY = b"refntk-journal/"
"""How every journal begins, whatever its version."""
_HEADER = struct.Struct("<16sQ32s")  # magic, length of the record, SHA-256 of the record
_TILE_MAGIC = b"rtk-tile"
_SLOT = struct.Struct("<8s16sII")  # magic, run, number of the tile down and across; then SHA-256
_DIGEST = 32
_ALIGNED = 512
_SECONDS_BETWEEN_SYNCS = 2.0

Blocks = Mapping[str, NDArray[Any]]


def _aligned(nbytes: int) -> int:
    """Round up to the unit in which disks write, so that a slot never shares one with another."""
    return -(-nbytes // _ALIGNED) * _ALIGNED


class Journal:
    """Tiles of one kernel in a file; made by `create` or `open`.

    Attributes
    ----------
    path : pathlib.Path
    record : KernelRecord
        What is computed.
    done : array of bool, shape (tiles down, tiles across)
        Tiles that the file holds whole. Of a symmetric kernel only those on and above the diagonal
        ever are.
    """

    def __init__(self, path: Path, fd: int, record: KernelRecord, start: int) -> None:
        self.path = path
        self.record = record
        about = record.description
        self._fd = fd
        self._start = start
        self._run = bytes.fromhex(record.run)
        self._dtype = np.dtype(about.dtype).newbyteorder("<")
        # Read for every tile, and computed anew by the description each time.
        self._shape, self._tile, self._kernels = about.shape, about.tile, about.kernels
        self._tiles = about.tiles
        payload = self._payload(0, 0)
        self._slot_bytes = _aligned(_SLOT.size + _DIGEST + payload)
        # Number of the slot of each tile; -1 where there is none.
        self._slots = np.full(self._tiles, -1, np.int64)
        self._end = 0
        self._dirty = False
        self._last_sync = time.monotonic()

    @property
    def done(self) -> NDArray[np.bool_]:
        """Tiles that are there and whole."""
        return self._slots >= 0

    @classmethod
    def create(cls, path: Path, record: KernelRecord) -> Journal:
        """Begin an empty journal; it has its name once its header is on the disk.

        Parameters
        ----------
        path : pathlib.Path
            The file; a journal that has this name is replaced.
        record : KernelRecord
            What will be computed.

        Returns
        -------
        Journal

        Raises
        ------
        StoreError
            Something else has this name.
        OSError
            The disk is full or fails; nothing is left behind.
        """
        head = _head(record)
        remove_ours(path, is_journal)
        return cls(path, create_whole(path, head), record, len(head))

    @classmethod
    def open(cls, path: Path, *, write: bool = True) -> Journal:
        """Open a journal and compare every tile in it with its checksum.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        write : bool
            Whether tiles will be added.

        Returns
        -------
        Journal

        Raises
        ------
        StoreError
            No such file, no journal, one of an unknown format, or its header is damaged.
        """
        flags = os.O_RDWR | os.O_NOFOLLOW if write else os.O_RDONLY
        try:
            # A pipe that nobody writes to is opened at once, and refused.
            fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened ({one_line(error)})") from error
        try:
            journal = cls(path, fd, *_read_header(fd, path))
            journal._scan()
        except OSError as error:
            os.close(fd)
            if isinstance(error, RefntkError):
                raise
            raise StoreError(f"{path}: cannot be read ({one_line(error)})") from error
        except BaseException:
            os.close(fd)
            raise
        return journal

    def _scan(self) -> None:
        """Find the tiles that are whole."""
        slots = (os.fstat(self._fd).st_size - self._start) // self._slot_bytes
        for slot in range(max(0, slots)):
            found = self._check(slot)
            if found is not None:
                self._slots[found[0]] = slot
                # A torn end is written over.
                self._end = slot + 1

    def _check(self, slot: int) -> tuple[tuple[int, int], memoryview] | None:
        """Tile and payload of a slot; None where it is not whole."""
        data = memoryview(os.pread(self._fd, self._slot_bytes, self._offset(slot)))
        if len(data) < self._slot_bytes:
            return None
        magic, run, row, col = _SLOT.unpack_from(data)
        down, across = self._tiles
        if (magic, run) != (_TILE_MAGIC, self._run) or row >= down or col >= across:
            return None
        head, rest = data[: _SLOT.size], data[_SLOT.size + _DIGEST :]
        payload = rest[: self._payload(row, col)]
        digest = hashlib.sha256(head)
        digest.update(payload)
        if digest.digest() != data[_SLOT.size : _SLOT.size + _DIGEST]:
            return None
        return (row, col), payload

    def _offset(self, slot: int) -> int:
        return self._start + slot * self._slot_bytes

    def _tile_shape(self, row: int, col: int) -> tuple[int, int]:
        side, (rows, cols) = self._tile, self._shape
        return min(side, rows - row * side), min(side, cols - col * side)

    def _payload(self, row: int, col: int) -> int:
        rows, cols = self._tile_shape(row, col)
        return len(self._kernels) * rows * cols * self._dtype.itemsize

    def append(self, row: int, col: int, blocks: Blocks) -> None:
        """Add a tile; it is on the disk after the next `sync`, at the latest some seconds later.

        Parameters
        ----------
        row, col : int
            Number of the tile, down and across.
        blocks : mapping of str to array
            A block of the tile's shape for each kernel.

        Raises
        ------
        OSError
            The disk is full or fails. The tile does not count, and what was there before does.
        """
        head = _SLOT.pack(_TILE_MAGIC, self._run, row, col)
        parts = [
            np.ascontiguousarray(blocks[name], self._dtype).tobytes()
            for name in self._kernels
        ]
        digest = hashlib.sha256(head)
        for part in parts:
            digest.update(part)
        data = b"".join([head, digest.digest(), *parts]).ljust(self._slot_bytes, b"\0")
        try:
            self._mend()
            _write(self._fd, data, self._offset(self._end))
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._offset(self._end))
            raise
        self._slots[row, col] = self._end
        self._end += 1
        self._dirty = True
        if time.monotonic() - self._last_sync > _SECONDS_BETWEEN_SYNCS:
            self.sync()

    def _mend(self) -> None:
        """Write the header again where somebody cut the file short, and forget what is gone."""
        if os.fstat(self._fd).st_size < self._offset(self._end):
            _write(self._fd, _head(self.record), 0)
            self._slots[:], self._end = -1, 0
            self._scan()

    def sync(self) -> None:
        """Wait until every tile is on the disk.

        Raises
        ------
        OSError
            The disk is full or fails.
        """
        if self._dirty:
            os.fdatasync(self._fd)
            self._dirty = False
        self._last_sync = time.monotonic()

    def read(self, row: int, col: int) -> dict[str, NDArray[Any]]:
        """Read a tile, compared with its checksum.

        Parameters
        ----------
        row, col : int
            Number of a tile that is `done`.

        Returns
        -------
        dict of str to array
            A block of the tile's shape for each kernel.

        Raises
        ------
        StoreError
            The tile was whole before and is not now.
        """
        found = self._check(int(self._slots[row, col]))
        if found is None or found[0] != (row, col):
            raise StoreError(
                f"{self.path}: tile ({row}, {col}) was damaged after it was written; with --resume "
                "it is computed again"
            )
        values = np.frombuffer(found[1], self._dtype)
        shaped = values.reshape(len(self._kernels), *self._tile_shape(row, col))
        return dict(zip(self._kernels, shaped, strict=True))

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Close and remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def record_of(path: Path) -> KernelRecord:
    """Read what a journal is of, and none of its tiles.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    KernelRecord

    Raises
    ------
    StoreError
        It is no journal, of an unknown format, or its header is damaged.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        return _read_header(file.fileno(), path)[0]


def is_journal(head: bytes) -> bool:
    """Tell a journal by its first bytes; an empty file is one that was emptied.

    Parameters
    ----------
    head : bytes

    Returns
    -------
    bool
    """
    return not head or head.startswith(FAMILY)


def _head(record: KernelRecord) -> bytes:
    """Header of a journal, up to its first slot."""
    body = record.to_bytes()
    head = _HEADER.pack(_MAGIC, len(body), hashlib.sha256(body).digest()) + body
    return head.ljust(_aligned(len(head)), b"\0")


def _write(fd: int, data: bytes, offset: int) -> None:
    """Write all of some bytes, however few the system takes at a time."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written


def _read_header(fd: int, path: Path) -> tuple[KernelRecord, int]:
    """Record of a journal, and where its slots begin."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise StoreError(
            f"{path}: is no regular file; expected a shard, or what a run left behind"
        )
    head = os.pread(fd, _HEADER.size, 0)
    if not head.startswith(FAMILY):
        raise StoreError(
            f"{path}: is no journal of refntk; expected a shard, or what a run left behind"
        )
    if not head.startswith(_MAGIC):
        raise StoreError(
            f"{path}: has a format that this refntk does not know, expected {_MAGIC.decode()}; use "
            "the version of refntk that wrote it, or begin anew with --overwrite"
        )
    damaged = StoreError(f"{path}: its header is damaged; begin anew with --overwrite")
    if len(head) < _HEADER.size:
        raise damaged
    _, length, digest = _HEADER.unpack(head)
    if length > os.fstat(fd).st_size:
        raise damaged
    body = os.pread(fd, length, _HEADER.size)
    if hashlib.sha256(body).digest() != digest:
        raise damaged
    try:
        return KernelRecord.from_bytes(body), _aligned(_HEADER.size + length)
    except (LookupError, TypeError, ValueError) as error:
        raise damaged from error
