"""One process at a time: a lock beside the output that says who holds it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from refntk.data.file_lock import lock_file, require_file_locks
from refntk.data.limits import one_line
from refntk.errors import StoreError
from refntk.output import create_whole, in_the_way, open_ours

__all__ = ["Holder", "Lock"]

# What a network file system answers that has no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Holder(NamedTuple):
    """Who holds a lock: name of the machine, process number, and since when (ISO 8601, UTC)."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    @property
    def alive(self) -> bool:
        """Whether the process may still run; always true of another machine."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            return True
        return True


class Lock:
    """A file that one process holds while it writes an output.

    The operating system's lock (`flock`) decides: it ends with the process, however that ends. The
    text in the file, a `Holder` as JSON, is for people. Where the file system has no locks, the
    text decides instead, and a process that is gone is recognised on its own machine only.

    Parameters
    ----------
    path : pathlib.Path
        The file. It is created, and removed by `release`.
    output : pathlib.Path
        What is locked, for messages.

    Attributes
    ----------
    stale : Holder or None
        Who left the lock behind and is gone, where somebody did.

    Raises
    ------
    StoreError
        Another process holds it: who, and since when; a file that is no lock has the name; the
        folder cannot be written to; or the system has no locks.
    """

    def __init__(self, path: Path, output: Path) -> None:
        self.path = path
        self.stale: Holder | None = None
        require_file_locks(output)
        try:
            self._fd = self._take(output)
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(
                f"{output}: cannot be written ({one_line(error)}); choose a folder that you may "
                "write to"
            ) from error

    def _take(self, output: Path) -> int:
        """Create and lock the file, or take over one that nobody holds any more."""
        while True:
            try:
                fd, created = create_whole(self.path, _signature()), True
            except FileExistsError:
                try:
                    # Who holds it may be writing the text: `_claim` judges it.
                    fd, created = open_ours(self.path, lambda head: True), False
                except FileNotFoundError:
                    continue
            try:
                self._claim(fd, output, created)
                if self._is_named(fd):
                    self._sign(fd)
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _is_named(self, fd: int) -> bool:
        """Whether the name still leads to the open file, and nobody removed it meanwhile."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path, follow_symlinks=False))
        except FileNotFoundError:
            return False

    def _claim(self, fd: int, output: Path, created: bool) -> None:
        """Lock the open file, or refuse."""
        try:
            lock_file(fd)
            held = False
        except OSError as error:
            without = error.errno in _NO_LOCKS
            if not without and error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            held = not without
        holder = None if created else _read(fd)
        if held or (holder is not None and self._unlocked_but_held(fd, holder)):
            who = "another process" if holder is None else str(holder)
            raise StoreError(
                f"{output}: is being written by {who}; wait for it, or choose another name"
            )
        if holder is None and not created:
            raise in_the_way(self.path)
        self.stale = holder

    def _unlocked_but_held(self, fd: int, holder: Holder) -> bool:
        """Whether only the text protects the output, and its writer may be alive."""
        try:
            lock_file(fd)
        except OSError:
            return holder.alive
        return False

    def _sign(self, fd: int) -> None:
        """Write who holds it."""
        text = _signature()
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))

    def release(self) -> None:
        """Remove the file and let go; doing it again does nothing."""
        if self._fd < 0:
            return
        # Removed before it is let go: who waits for it finds that its file is gone, and tries anew.
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._fd)
        self._fd = -1


def _signature() -> bytes:
    """Text of a lock that this process holds."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps(Holder(socket.gethostname(), os.getpid(), since)._asdict()).encode()


def _read(fd: int) -> Holder | None:
    """Who signed the file; None where nobody did or the text is damaged."""
    try:
        text: Any = json.loads(os.pread(fd, 4096, 0))
        return Holder(str(text["host"]), int(text["pid"]), str(text["since"]))
    except (OSError, ValueError, LookupError, TypeError, RecursionError, OverflowError):
        return None
