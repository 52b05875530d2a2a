"""Public data sets, fetched into a cache folder and made ready for `refntk.data.load_images`."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from refntk.data.datasets.catalogue import Dataset, dataset
from refntk.data.datasets.download import download, require_pooch
from refntk.data.limits import one_line, size_text
from refntk.errors import DownloadError

__all__ = ["Fetched", "Meter", "cache_folder", "fetch"]


@dataclass(frozen=True)
class Fetched:
    """A data set on this machine.

    Parameters
    ----------
    dataset : Dataset
    folder : pathlib.Path
        Where it lies.
    inputs : tuple of (str, str)
        Each input for `refntk.data.load_images` and `refntk compute`, and what it holds.
    """

    dataset: Dataset
    folder: Path
    inputs: tuple[tuple[str, str], ...]


class Meter(Protocol):
    """What is told how many bytes have been worked through."""

    def update(self, amount: int, /) -> None:
        """Report bytes that have been finished since the last report."""


class _Silent:
    def update(self, amount: int, /) -> None:
        """Report to nobody."""


def cache_folder() -> Path:
    """Folder below which data sets are kept where none is named.

    Returns
    -------
    pathlib.Path
        The user's cache folder of this system, such as ``~/.cache/refntk``.

    Raises
    ------
    MissingPackageError
        pooch is not installed.
    """
    return Path(require_pooch().os_cache("refntk"))


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    meter: Callable[[int], AbstractContextManager[Meter]] = lambda total: nullcontext(_Silent()),
) -> Fetched:
    """Bring a public data set to this machine, or find it there.

    Files are compared with their checksums, also those that are there already. A download that was
    interrupted is continued. An archive is unpacked and removed.

    Parameters
    ----------
    name : str
        One of `refntk.data.datasets.catalogue.DATASETS`.
    folder : str or pathlib.Path, optional
        The data set gets a folder of its name in it. Default: `cache_folder`.
    meter : callable, optional
        Called with the bytes of a stretch of work, downloading or unpacking; gives a context
        manager whose value has a method ``update(amount)``, such as a progress bar.

    Returns
    -------
    Fetched

    Raises
    ------
    InputError
        No data set has this name.
    DownloadError
        It cannot be fetched, in one line: no network, an answer other than the file, a wrong
        checksum, no room on the disk, a damaged archive.
    MissingPackageError
        pooch is not installed.
    """
    wanted = dataset(name)
    home = (cache_folder() if folder is None else Path(folder)) / wanted.name
    if wanted.unpacked is None or not (home / wanted.unpacked).is_dir():
        _refuse_full_disk(wanted, home)
        with meter(wanted.size) as bar:
            paths = [download(file, home, bar.update) for file in wanted.files]
        if wanted.unpacked is not None:
            _unpack(paths[0], wanted.unpacked, meter)
    inputs = tuple((str(home / path), what) for path, what in wanted.inputs)
    return Fetched(wanted, home, inputs)


def _refuse_full_disk(wanted: Dataset, home: Path) -> None:
    """Say at once that the disk has no room, and not after the first ten gigabytes."""
    there = home
    while not there.exists():
        there = there.parent
    held = sum(
        path.stat().st_size
        for file in wanted.files
        for path in (home / file.name, home / f"{file.name}.part")
        if path.is_file()
    )
    needed = wanted.size - held + (wanted.size if wanted.unpacked else 0)
    free = shutil.disk_usage(there).free
    if needed > free:
        unpacked = ", archive and images," if wanted.unpacked else ""
        raise DownloadError(
            f"{wanted.name}: needs {size_text(needed)}{unpacked} at least, and {there} has "
            f"{size_text(free)}; make room or choose another --folder"
        )


def _unpack(
    archive: Path, root: str, meter: Callable[[int], AbstractContextManager[Meter]]
) -> None:
    """Unpack the folder `root` of an archive beside it; it gets its name when it is complete."""
    working = archive.with_name(f"{archive.name}.unpacking")
    shutil.rmtree(working, ignore_errors=True)  # what an interrupted run left
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_below(opened.infolist(), root))
            if not members:
                raise DownloadError(
                    f"{archive}: holds no folder {root}; remove the file and repeat the command"
                )
            with meter(sum(info.file_size for info in members)) as bar:
                for info in members:
                    opened.extract(info, working)
                    bar.update(info.file_size)
        os.replace(working / root, archive.with_name(root))
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DownloadError(
            f"{archive}: cannot be unpacked ({one_line(error)}); make room, or remove the file and "
            "repeat the command"
        ) from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    archive.unlink()


def _below(members: Iterable[zipfile.ZipInfo], root: str) -> Iterable[zipfile.ZipInfo]:
    """Files inside the folder `root` of an archive; no others, and none that climbs out of it."""
    for info in members:
        path = PurePosixPath(info.filename)
        if not info.is_dir() and path.parts[:1] == (root,) and ".." not in path.parts:
            yield info
