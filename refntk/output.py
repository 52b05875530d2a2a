"""Where results go: the rules by which refntk touches files, the same for all that it writes.

A result is written beside its place under another name, and takes its place when it is complete.
Nothing that somebody else put there is lost on the way:

- a place that is taken is left alone unless replacing it was allowed, also where it is taken while
  the result is computed; then the result is kept under the other name;
- a link is followed once, to the folder of its target, where the result is written and appears;
- what is no regular file, such as a pipe, a device or a folder, is refused;
- an input is never a place, by whatever names and links the two are called;
- other names beside the place, such as ``OUT.lock`` or ``OUT.part``, are created exclusively and
  never followed, and what has one of these names already is touched only if refntk wrote it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from refntk.errors import RefntkError, StoreError

__all__ = [
    "Output",
    "create_new",
    "create_whole",
    "distinct",
    "in_the_way",
    "is_ours",
    "open_ours",
    "publish",
    "remove_ours",
    "sync_folder",
]

_HEAD = 4096
_LONGEST = 255 - len("..partial-12345678")  # bytes of a name, less those of a longer one beside it
_AT_FDCWD = -100
_NOREPLACE = 1
# What a kernel or a file system answers that cannot rename without replacing, or has no hard links.
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV, errno.EMLINK)

Ours = Callable[[bytes], bool]
"""Whether the first bytes of a file, at most 4096 of them, say that refntk wrote it."""


class Output:
    """The place of one result.

    Parameters
    ----------
    path : str or path
        As the user gave it.
    overwrite : bool
        Whether what is there may be replaced.
    inputs : iterable of str or path
        Files that are read, which it must not be; names that are no files do not matter.
    error : type of RefntkError
        What is raised.

    Attributes
    ----------
    path : pathlib.Path
        As given, for messages.
    target : pathlib.Path
        The file that will be written: `path`, or where it leads as a symbolic link.
    overwrite : bool

    Raises
    ------
    RefntkError
        The folder does not exist; there is something that is no regular file; it is one of the
        inputs; it exists and may not be replaced.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool,
        inputs: Iterable[str | Path] = (),
        error: type[RefntkError] = StoreError,
    ) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        self._error = error
        try:
            self.target = self._resolve()
            distinct(self.path, inputs, error)
            if self.target.exists() and not overwrite:
                raise error(
                    f"{self.path}: exists already; choose another name or allow it to be replaced "
                    "(--overwrite)"
                )
        except RefntkError:
            raise
        except (OSError, ValueError, RuntimeError) as failure:
            raise error(f"{self.path}: not usable as an output ({_why(failure)})") from failure

    def _resolve(self) -> Path:
        if "\0" in str(self.path):
            raise self._error(f"{str(self.path)!r}: holds a zero byte, which no name of a file has")
        target = Path(os.path.realpath(self.path)) if self.path.is_symlink() else self.path
        shown = f"{self.path}" if target == self.path else f"{self.path}, a link to {target}"
        if target.is_symlink():
            raise self._error(f"{shown}: links that lead in a circle; choose another name")
        folder = target.parent
        if not folder.is_dir():
            raise self._error(f"{shown}: the folder {folder} does not exist; create it")
        if target.is_dir():
            raise self._error(f"{shown}: is a folder; give the name of a file")
        # The link, too: /dev/stdout may lead to a pipe, whose name in /proc is the name of no file.
        if any(place.exists() and not place.is_file() for place in (target, self.path)):
            raise self._error(
                f"{shown}: is a pipe or a device, not a regular file; give the name of a file"
            )
        if len(os.fsencode(target.name)) > _LONGEST:
            raise self._error(
                f"{shown}: the name is too long: files beside it while it is written have longer "
                f"ones; choose one of at most {_LONGEST} bytes"
            )
        return target

    def beside(self, suffix: str) -> Path:
        """Name in the folder of the target that begins with the target's.

        Parameters
        ----------
        suffix : str
            Such as ``.lock``.

        Returns
        -------
        pathlib.Path
        """
        return self.target.with_name(self.target.name + suffix)

    @contextlib.contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """Write the result: a new file, which takes its place at the end of the block.

        Yields
        ------
        binary file
            For reading and writing. Nothing is left of it after an exception.

        Raises
        ------
        RefntkError
            The disk is full or fails, or the place was taken meanwhile.
        """
        partial = self.target.with_name(f".{self.target.name}.partial-{secrets.token_hex(4)}")
        try:
            with os.fdopen(create_new(partial), "w+b") as stream:
                try:
                    yield stream
                    stream.flush()
                    os.fsync(stream.fileno())
                except BaseException:
                    with contextlib.suppress(OSError):
                        partial.unlink()
                    raise
            try:
                self.publish(partial)
            except OSError as failure:
                if not isinstance(failure, RefntkError):
                    with contextlib.suppress(OSError):
                        partial.unlink()
                raise
        except OSError as failure:
            if isinstance(failure, RefntkError):
                raise
            raise self._error(f"{self.path}: cannot be written ({_why(failure)})") from failure

    def publish(self, partial: Path) -> None:
        """Give a finished file the name of the target.

        Parameters
        ----------
        partial : pathlib.Path
            In the folder of the target, on the disk.

        Raises
        ------
        RefntkError
            The name was taken meanwhile and may not be replaced; the file is kept.
        OSError
            The disk fails.
        """
        try:
            publish(partial, self.target, overwrite=self.overwrite)
        except FileExistsError:
            raise self._error(
                f"{self.path}: appeared while the result was computed and was left alone; the "
                f"result is {partial}: rename it"
            ) from None


_PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def distinct(
    path: str | Path, inputs: Iterable[str | Path], error: type[RefntkError] = StoreError
) -> None:
    """Refuse to write to a file that is read.

    Parameters
    ----------
    path : str or path
        The output; links are followed.
    inputs : iterable of str or path
        Files, folders or patterns; a key after ``::`` does not count, and names that are no files
        neither.
    error : type of RefntkError

    Raises
    ------
    RefntkError
        It is one of the inputs, or an existing picture in a folder that is one.
    """
    for given in inputs:
        names = [str(given), str(given).rpartition("::")[0]]
        if glob.has_magic(str(given)):
            names += glob.glob(str(given), recursive=True)
        if any(_same(Path(path), Path(name)) for name in names if name):
            raise error(
                f"{path}: is the input {given} or a part of it; nothing is written over what is "
                "read: choose another name"
            )


def _same(path: Path, name: Path) -> bool:
    try:
        return path.samefile(name) or _picture_inside(path, name)
    except (OSError, ValueError):
        return False  # one of the two is not there


def _picture_inside(path: Path, folder: Path) -> bool:
    real = path.resolve()
    return (
        folder.is_dir()
        and real.suffix.lower() in _PICTURES
        and real.exists()
        and real.is_relative_to(folder.resolve())
    )


def create_new(path: Path) -> int:
    """Create a file that was not there, not even as a link.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    int
        Descriptor, for reading and writing.

    Raises
    ------
    FileExistsError
        The name is taken.
    OSError
        The file cannot be created.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o666)


def create_whole(path: Path, content: bytes) -> int:
    """Create a file that was not there, with its first content, in one step.

    Whatever stops the process leaves the whole file or none.

    Parameters
    ----------
    path : pathlib.Path
    content : bytes

    Returns
    -------
    int
        Descriptor, for reading and writing.

    Raises
    ------
    FileExistsError
        The name is taken.
    OSError
        The disk is full or fails.
    """
    try:
        fd = os.open(path.parent, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
        named = None
    except (OSError, AttributeError) as failure:
        if getattr(failure, "errno", errno.ENOSYS) not in (*_CANNOT, errno.EISDIR, errno.ENOENT):
            raise
        named = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
        fd = create_new(named)
    try:
        offset = 0
        while offset < len(content):
            offset += os.pwrite(fd, content[offset:], offset)
        os.fsync(fd)
        if named is None:
            # Python calls linkat, which alone follows this link, only where a folder is given.
            folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.link(f"/proc/self/fd/{fd}", path.name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            finally:
                os.close(folder)
        else:
            publish(named, path, overwrite=False)
    except BaseException:
        os.close(fd)
        if named is not None:
            with contextlib.suppress(OSError):
                named.unlink()
        raise
    return fd


def open_ours(path: Path, ours: Ours, flags: int = os.O_RDWR) -> int:
    """Open a file that refntk wrote.

    Parameters
    ----------
    path : pathlib.Path
        A name beside an output.
    ours : callable
        Tells by its first bytes; see `Ours`.
    flags : int
        Of `os.open`.

    Returns
    -------
    int
        Descriptor.

    Raises
    ------
    FileNotFoundError
        There is nothing.
    StoreError
        There is something else, which is left alone.
    OSError
        It cannot be opened.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        if failure.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EMLINK):
            raise in_the_way(path) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode) or not ours(os.pread(fd, _HEAD, 0)):
            raise in_the_way(path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_ours(path: Path, ours: Ours) -> bool:
    """Whether there is a file that refntk wrote; something else in its place is refused.

    Parameters
    ----------
    path : pathlib.Path
    ours : callable

    Returns
    -------
    bool
        False where there is nothing.

    Raises
    ------
    StoreError, OSError
        As `open_ours`.
    """
    try:
        os.close(open_ours(path, ours, os.O_RDONLY))
    except FileNotFoundError:
        return False
    return True


def remove_ours(path: Path, ours: Ours) -> None:
    """Remove a file that refntk wrote, if it is there.

    Parameters
    ----------
    path : pathlib.Path
    ours : callable

    Raises
    ------
    StoreError, OSError
        As `open_ours`.
    """
    if is_ours(path, ours):
        path.unlink()


def publish(partial: Path, target: Path, *, overwrite: bool) -> None:
    """Rename a finished file; in one step, so that no moment loses both or shows a half.

    Parameters
    ----------
    partial : pathlib.Path
        The file, on the disk.
    target : pathlib.Path
        In the same folder.
    overwrite : bool
        Whether what has the name is replaced.

    Raises
    ------
    FileExistsError
        Something has the name and may not be replaced; both are left as they are.
    OSError
        The disk fails.
    """
    if overwrite:
        os.replace(partial, target)
    else:
        _rename_without_replacing(partial, target)
    sync_folder(target.parent)


def _rename_without_replacing(old: Path, new: Path) -> None:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        done = renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _NOREPLACE)
        number = ctypes.get_errno()
        if done == 0:
            return
        if number not in _CANNOT:
            raise OSError(number, os.strerror(number), str(new))
    try:
        os.link(old, new, follow_symlinks=False)
        os.unlink(old)
    except OSError as failure:
        if failure.errno not in _CANNOT:
            raise
        # A file system without either, such as FAT: what is left is to look first.
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new)) from None
        os.rename(old, new)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Parameters
    ----------
    folder : pathlib.Path

    Raises
    ------
    OSError
        The disk fails.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def in_the_way(path: Path) -> StoreError:
    """Word the error about a name beside an output that somebody else's file has.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    StoreError
    """
    return StoreError(
        f"{path}: is in the way, refntk did not write it and leaves it alone; move it, or choose "
        "another output"
    )


def _why(failure: Exception) -> str:
    return str(getattr(failure, "strerror", None) or failure).replace("\n", " ")
