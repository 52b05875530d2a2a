"""The operating system's lock on an open file."""

from __future__ import annotations

from refntk.errors import StoreError

try:
    import fcntl
except ImportError:  # Windows: everything works there but writing what others might write, too
    fcntl = None  # type: ignore[assignment]

__all__ = ["lock_file", "require_file_locks"]


def require_file_locks(output: object) -> None:
    """Refuse to write where the operating system has no locks.

    Parameters
    ----------
    output : object
        What is to be written, for the message.

    Raises
    ------
    StoreError
    """
    if fcntl is None:
        raise StoreError(
            f"{output}: this system has no file locks (fcntl), so that two processes could spoil "
            "it; write it on Linux or macOS, or in WSL"
        )


def lock_file(fd: int) -> None:
    """Take the lock of an open file, which ends when the file is closed or the process ends.

    Parameters
    ----------
    fd : int
        File descriptor.

    Raises
    ------
    OSError
        Another process has it, or the file system has no locks.
    """
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
