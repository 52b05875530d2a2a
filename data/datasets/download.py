"""One file over HTTP, kept in part when the connection breaks and continued from there.

The partial file lies beside the complete one, with the ending `.part`. It goes when the file is
complete, and when what came in has the wrong checksum.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from refntk.data.datasets.catalogue import RemoteFile
from refntk.data.file_lock import lock_file, require_file_locks
from refntk.data.limits import one_line, size_text
from refntk.errors import DownloadError, missing_package
from refntk.output import in_the_way

__all__ = ["download", "require_pooch"]

_TRIES = 4
"""Connections that are opened for one file before giving up."""

_PAUSE = 1.0
_TIMEOUT = (15.0, 60.0)  # seconds for a connection, and between two pieces of an answer
_PIECE = 1 << 16


def require_pooch() -> Any:
    """Import pooch.

    Returns
    -------
    module

    Raises
    ------
    MissingPackageError
        It is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise missing_package("fetching data needs pooch", "fetch") from error
    return pooch


def download(file: RemoteFile, folder: Path, progress: Callable[[int], None]) -> Path:
    """Bring one file into a folder, unless it is there already with the right checksum.

    Parameters
    ----------
    file : RemoteFile
    folder : pathlib.Path
        It is created where it does not exist.
    progress : callable
        Called with numbers of bytes that have come in since the last call. Bytes of an earlier,
        interrupted download count at once.

    Returns
    -------
    pathlib.Path
        The complete file.

    Raises
    ------
    DownloadError
        No connection, an answer other than the file, a connection that broke too often, a wrong
        checksum, or a disk that is full. What came in is kept unless the checksum is wrong.
    MissingPackageError
        pooch is not installed.
    """
    pooch = require_pooch()
    log = pooch.get_logger()
    level = log.level
    log.setLevel("ERROR")  # pooch tells on stderr what the progress bar shows
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = pooch.retrieve(
            file.url,
            known_hash=file.checksum,
            fname=file.name,
            path=folder,
            downloader=_Resuming(file, folder / f"{file.name}.part", progress),
        )
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{folder / file.name}: cannot be written ({one_line(error)}); make room or choose "
            "another --folder"
        ) from error
    except ValueError as error:  # how pooch reports a checksum
        raise DownloadError(
            f"{file.name}: what {_host(file)} sent does not have the checksum {file.checksum} and "
            "was removed; repeat the command, and if this comes again the file there has changed: "
            "do not use it"
        ) from error
    finally:
        log.setLevel(level)
    return Path(path)


class _Resuming:
    """A downloader for pooch that continues what is there and tries again when a line breaks."""

    def __init__(self, file: RemoteFile, part: Path, progress: Callable[[int], None]) -> None:
        self._file = file
        self._part = part
        self._progress = progress
        self._told = 0

    def __call__(self, url: str, output: str, pooch: Any) -> None:
        """Download `url` completely, then give the file the name `output` that pooch expects."""
        require_file_locks(self._part)
        with _append_to(self._part) as stream:
            try:
                lock_file(stream.fileno())
            except OSError:
                raise DownloadError(
                    f"{self._part}: another process is writing to it; wait for that download to end"
                ) from None
            self._complete(url, stream)
            self._part.replace(output)

    def _complete(self, url: str, stream: IO[bytes]) -> None:
        """Open connections until the file is complete, and not more than `_TRIES`."""
        import requests

        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE)
            before = stream.tell()
            try:
                self._continue(url, stream)
                return
            except requests.exceptions.RequestException as error:
                broke = stream.tell() > before
                if not broke or attempt == _TRIES - 1:
                    raise self._failure(error, stream.tell(), broke) from error

    def _continue(self, url: str, stream: IO[bytes]) -> None:
        """Ask for the bytes that are missing, and append them."""
        import requests

        start = stream.tell()
        self._tell(start)
        if start == self._file.size and self._file.exact:
            return
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if start and answer.status_code in (200, 206, 416) and not _continues(answer, start):
                # The server sends all of it, or has less than what is here: begin again.
                stream.truncate(0)
                stream.seek(0)
                if answer.status_code != 200:
                    self._continue(url, stream)
                    return
            answer.raise_for_status()
            size = self._file.size
            if not self._file.exact:
                size = min(size, start + int(answer.headers.get("Content-Length", size)))
            # Else what came in of the last piece is lost; the length is checked below.
            answer.raw.enforce_content_length = False
            # The raw stream: an encoding that was not asked for is not unpacked.
            while piece := _read(answer, min(_PIECE, size - stream.tell() + 1)):
                if stream.tell() + len(piece) > size:
                    stream.truncate(0)
                    raise DownloadError(
                        f"{self._file.name}: {_host(self._file)} sends more than the "
                        f"{size_text(size)} of this file, and what came in was removed; "
                        "the file there has changed: do not use it"
                    )
                stream.write(piece)
                self._tell(stream.tell())
        if stream.tell() < size:
            raise requests.exceptions.ConnectionError("the connection was closed")

    def _tell(self, size: int) -> None:
        """Report how far the file is; one that had to begin again reports nothing at first."""
        if size > self._told:
            self._progress(size - self._told)
            self._told = size

    def _failure(self, error: Exception, size: int, broke: bool) -> DownloadError:
        """Word what a library says about a connection in one line."""
        import requests

        host = _host(self._file)
        answer = getattr(error, "response", None)
        if answer is not None:
            reason = f"{host} answers {answer.status_code} {answer.reason}"
        elif isinstance(error, requests.exceptions.Timeout):
            reason = f"{host} does not answer"
        elif broke:
            reason = f"the connection to {host} broke {_TRIES} times"
        else:
            reason = f"{host} cannot be reached"
        kept = f"{size_text(size)} are kept, " if size else ""
        remedy = "try again later" if answer is not None else "check the network and repeat"
        return DownloadError(f"{self._file.name}: {reason}; {kept}{remedy}")


def _read(answer: Any, most: int) -> bytes:
    """Read from an answer as it is sent, and say what goes wrong in the words of requests."""
    import requests
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    try:
        return bytes(answer.raw.read(most, decode_content=False))
    except ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(str(error)) from error
    except HTTPError as error:
        raise requests.exceptions.ConnectionError(str(error)) from error


def _continues(answer: Any, start: int) -> bool:
    """Whether an answer holds the bytes from `start` on."""
    if answer.status_code == 200:
        return start == 0
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return answer.status_code == 206 and found is not None and int(found[1]) == start


def _host(file: RemoteFile) -> str:
    return urlsplit(file.url).netloc


def _append_to(path: Path) -> IO[bytes]:
    """Open what is there of a download, and nothing that it leads to."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise in_the_way(path) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise in_the_way(path)
    return os.fdopen(fd, "ab")
