"""The text of a network file."""

from __future__ import annotations

from pathlib import Path

from refntk.errors import NetworkError

__all__ = ["read_network_text"]

_MOST_BYTES = 1 << 24


def read_network_text(path: Path) -> str:
    """Read a regular file that is not too large; a pipe or a device may never end.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    str

    Raises
    ------
    NetworkError
        No regular file, or one that is too large for a network.
    OSError, UnicodeDecodeError
        It cannot be read, or is not UTF-8.
    """
    if not path.is_file() and path.exists() and not path.is_dir():
        raise NetworkError(f"{path}: is no regular file; a network file is TOML in UTF-8")
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise NetworkError(f"{path}: is larger than {_MOST_BYTES} bytes, too large for a network")
    return data.decode("utf-8")
