"""Guards for files that nobody vouches for: what a header claims, and what a reader may raise.

A reader asks here before it allocates anything. A claim is compared with what the file can hold,
and what would be kept is compared with the memory that is free.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from refntk.errors import InputError, RefntkError, size_text

__all__ = [
    "MAX_DEFLATE_RATIO",
    "ByteStream",
    "available_memory",
    "one_line",
    "read_exactly",
    "reading",
    "refuse_memory",
    "refuse_packed_claim",
    "refuse_plain_claim",
    "size_text",
    "why_unreadable",
]

# Deflate spends at least two bits on 258 bytes of output: 8 * 258 / 2 (RFC 1951, section 3.2.5).
MAX_DEFLATE_RATIO = 1032

# Headers and check sums; the ratio above says nothing about streams this small.
_SLACK = 4096

_MESSAGE_LENGTH = 160


class ByteStream(Protocol):
    """What `read_exactly` needs of a stream."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, and none at the end."""


def one_line(error: BaseException) -> str:
    """Reduce the message of a foreign exception to one short line.

    Parameters
    ----------
    error : BaseException
        The exception of a library or of the operating system.

    Returns
    -------
    str
        The operating system's own words where the error has a number, else the message.
    """
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return os.strerror(number)
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 1] + "…"


@contextmanager
def reading(source: object) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into an `InputError`.

    Keep to what parses the file inside: an error of our own arithmetic would be blamed on the file.
    Warnings about odd contents are silenced: either the pixels come out, or an error does.

    Parameters
    ----------
    source : object
        The file, for the message.

    Raises
    ------
    InputError
        The library raised anything at all; its exception is chained.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RefntkError:
        raise
    except Exception as error:
        raise InputError(f"{source}: {why_unreadable(error)}") from error


def why_unreadable(error: BaseException) -> str:
    """Word why a file cannot be read: by what the system says, else by its contents.

    Parameters
    ----------
    error : BaseException
        What a library raised.

    Returns
    -------
    str
        The cause and the remedy, without the name of the file.
    """
    number = getattr(error, "errno", None)
    said = f"cannot be read ({one_line(error)})"
    if isinstance(error, PermissionError) or number in (errno.EACCES, errno.EPERM):
        return f"{said}: you may not read it; ask its owner, or chmod +r"
    if number in (errno.EAGAIN, errno.EWOULDBLOCK):
        return (
            f"{said}: another program has it open for writing, and HDF5 locks it; close it there, "
            "or set HDF5_USE_FILE_LOCKING=FALSE if nothing is written meanwhile"
        )
    if number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        return f"{said}: its file system has no locks; set HDF5_USE_FILE_LOCKING=FALSE"
    if isinstance(error, FileNotFoundError):
        return f"{said}: it is no longer there, or a link to nothing"
    if number in (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return f"{said}: the system could not read it, whatever its contents; try again"
    return f"{said}; the file is damaged or not what its name says"


def available_memory() -> int | None:
    """Memory that can be had without swapping, in bytes.

    Returns
    -------
    int or None
        Linux: what the kernel estimates as available. Elsewhere: all physical memory. None where
        the system does not tell.
    """
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def refuse_memory(source: object, nbytes: int) -> None:
    """Refuse an array that does not fit into memory, before it is allocated.

    Parameters
    ----------
    source : object
        Where the array comes from, for the message.
    nbytes : int
        Size of the array in bytes.

    Raises
    ------
    InputError
        More is needed than is available.
    """
    available = available_memory()
    if available is not None and nbytes > available:
        raise InputError(
            f"{source}: needs {size_text(nbytes)} of memory, {size_text(available)} are available; "
            "take fewer images (--limit) or smaller ones"
        )


def refuse_plain_claim(source: object, claimed: int, held: int) -> None:
    """Compare the size in the header of an uncompressed array with what follows the header.

    Parameters
    ----------
    source : object
        The file, for the message.
    claimed, held : int
        Bytes that the header announces, and bytes that are there.

    Raises
    ------
    InputError
        They differ.
    """
    if claimed > held:
        raise InputError(
            f"{source}: the header announces {size_text(claimed)} of data, the file holds "
            f"{size_text(held)}; it is truncated or damaged: copy or download it again"
        )
    if claimed < held:
        raise InputError(
            f"{source}: {size_text(held - claimed)} follow the data that the header announces; "
            "the file is damaged, or several arrays were written into it: save one array"
        )


def refuse_packed_claim(source: object, claimed: int, packed: int) -> None:
    """Refuse a claim that no deflate stream of the given length can fulfil.

    Parameters
    ----------
    source : object
        The file, for the message.
    claimed, packed : int
        Bytes announced after unpacking, and bytes of the compressed data.

    Raises
    ------
    InputError
        `claimed` is more than `MAX_DEFLATE_RATIO` times `packed`, and not small.
    """
    if claimed > MAX_DEFLATE_RATIO * packed + _SLACK:
        raise InputError(
            f"{source}: the header announces {size_text(claimed)} of data, which "
            f"{size_text(packed)} of compressed data cannot hold; the file is damaged or made "
            "to exhaust memory"
        )


def read_exactly(stream: ByteStream, nbytes: int, source: object) -> NDArray[np.uint8]:
    """Read the rest of a stream, which must be exactly as long as its header said.

    Call `refuse_packed_claim` or `refuse_plain_claim`, and `refuse_memory`, before this. Reading to
    the end makes the decompressor compare its check sum.

    Parameters
    ----------
    stream : binary stream
        Positioned behind the header.
    nbytes : int
        Bytes announced.
    source : object
        The file, for the message.

    Returns
    -------
    array of uint8, shape (nbytes,)
        Writable.

    Raises
    ------
    InputError
        The stream is shorter or longer.
    """
    out = np.empty(nbytes, np.uint8)
    done = 0
    while done < nbytes:
        piece = stream.read(min(nbytes - done, 1 << 20))
        if not piece:
            refuse_plain_claim(source, nbytes, done)
        out[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    if stream.read(1):
        raise InputError(
            f"{source}: more data follow than the header announces; the file is damaged: copy or "
            "download it again"
        )
    return out
