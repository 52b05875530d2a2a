"""Machine code on disk: which folder is trusted with it, and what a damaged file costs.

Numba keeps what it compiled in the package's folder, or in the user's cache, or where
``NUMBA_CACHE_DIR`` says, as pickles: whoever can write there decides what runs here.
"""

from __future__ import annotations

import os
import pickle
import secrets
import stat
import warnings
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

from refntk.errors import RefntkWarning
from refntk.progress import say_once

__all__ = ["COMPILING", "compile_and_keep", "describe", "trusted"]

COMPILING = "compiling for this processor, which is done once and takes up to a minute"
"""What is said once a process, where something is to be compiled."""


def _number_apart() -> None:
    """Let this process number what it compiles from a place of its own.

    Numba tells functions of one name and type apart by a number, which goes into the names of
    machine code and counts what the process has compiled. Two versions of a function that two
    processes have compiled can have one number then, and a process that loads both from disk runs
    one for the other.
    """
    FunctionIdentity._unique_ids = count(secrets.randbits(48))


_number_apart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_number_apart)


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """One file for every version of a function, named after what tells it from the others.

    Numba numbers the files and keeps the numbers in an index. Two processes that save at once can
    take the same number, and the index then leads to the machine code of another version.
    """

    def _path(self, key: Any) -> Path:
        # Types write themselves out in full, and alike in all processes, which pickles do not.
        text = repr((self._version, self._source_stamp, key))
        name = f"{Path(self._index_name).stem}.{sha256(text.encode()).hexdigest()[:16]}.nbc"
        return Path(self._cache_path, name)

    def save(self, key: Any, data: Any) -> None:
        """Write one version and its key, after a digest of both."""
        content = self._dump((key, data))
        with self._open_for_write(str(self._path(key))) as file:
            file.write(sha256(content).digest() + content)

    def load(self, key: Any) -> Any:
        """Read one version; None where it is not there, or is damaged."""
        try:
            kept = self._path(key).read_bytes()
        except OSError:
            return None
        digest, content = kept[:_DIGEST], kept[_DIGEST:]
        if sha256(content).digest() != digest:
            return None
        found, data = pickle.loads(content)
        return data if found == key else None


_DIGEST = sha256().digest_size


class _Kept(FunctionCache):  # type: ignore[misc]
    """Compile again where a file on disk is not there, or damaged, and say that it takes time."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load machine code, or nothing."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # whatever the code of another release of Python or Numba raises
            found = None
        if found is None:
            say_once(COMPILING)
        return found


class _Nothing(NullCache):  # type: ignore[misc]
    """Keep nothing, and say that this takes time."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        """Find nothing."""
        say_once(COMPILING)


def compile_and_keep(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Compile a function when it is called, and keep the result on disk where that is possible.

    Parameters
    ----------
    function : function
    options : dict
        Of `numba.njit`.

    Returns
    -------
    compiled function

    Warns
    -----
    RefntkWarning
        Once a process: nothing can be kept, or the folder is not trusted.
    """
    kept = njit(**options)(function)
    kept._cache = _Nothing()
    try:
        found = _Kept(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        _warn("nothing that is compiled can be kept: no folder for it can be written to")
        return kept
    folder = Path(found.cache_path)
    if not trusted(folder):
        _warn(f"nothing that is compiled is kept in {folder}, where other users may write")
        return kept
    kept._cache = found  # what njit(cache=True) does, with Numba's own class
    return kept


def trusted(folder: Path) -> bool:
    """Whether only this user, or the administrator, may change what lies in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        If it is not there, it is created by this user, and trusted.

    Returns
    -------
    bool
    """
    try:
        about = folder.stat()
    except FileNotFoundError:
        return True
    others = about.st_mode & stat.S_IWOTH
    group = about.st_mode & stat.S_IWGRP and about.st_gid not in (0, os.getgid())
    return about.st_uid in (0, os.getuid()) and not others and not group


@cache
def _warn(text: str) -> None:
    warnings.warn(
        f"{text}, so that every process compiles for about a minute; set NUMBA_CACHE_DIR to a "
        "folder of your own",
        RefntkWarning,
        stacklevel=2,
    )


def describe() -> str:
    """Say in one line where machine code is kept, for `refntk env`."""
    try:
        folder = Path(FunctionCache(describe).cache_path)
    except RuntimeError:
        return "not kept: no folder for it can be written to; set NUMBA_CACHE_DIR"
    if not trusted(folder):
        return f"not kept: other users may write to {folder}; set NUMBA_CACHE_DIR"
    shared = folder.exists() and folder.stat().st_mode & stat.S_IWGRP
    return f"kept in {folder}, which only you{' and your group' if shared else ''} may write to"
