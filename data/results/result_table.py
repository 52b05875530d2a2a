"""Tables of results as CSV that grow row by row and go on where they broke off."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from refntk.data.lock import Lock
from refntk.errors import StoreError
from refntk.output import Output, create_new

__all__ = ["Table", "read_table"]

_MARK = "# refntk-table/1 "

Row = dict[str, Any]


class Table:
    """A CSV file under construction; each row is on disk when `append` returns.

    The first line is a comment with the settings that made the table, as JSON, the second names the
    columns. Floats are written so that they read back to the same bits.

    Parameters
    ----------
    path : str or path
    settings : mapping
        What the rows depend on, of types that JSON has.
    resume : bool
        Go on with the file if it is there: `rows` then holds what was finished.
    overwrite : bool
        Replace the file if it is there.
    inputs : iterable of str or path
        Files that are read, which it must not be.

    Attributes
    ----------
    rows : list of dict
        All rows, those that were read first.

    Raises
    ------
    StoreError
        The file exists and neither `resume` nor `overwrite` is given, another process is writing
        it, it is no such table or was made with other settings (the message names the first that
        differs), or it cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        settings: Mapping[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        inputs: Iterable[str | Path] = (),
    ) -> None:
        self.path = Path(path)
        self.rows: list[Row] = []
        self._settings = json.loads(json.dumps(dict(settings)))
        self._columns: list[str] | None = None
        self._output = Output(self.path, overwrite=True, inputs=inputs)
        self._lock = Lock(self._output.beside(".lock"), self.path)
        try:
            self._file = self._open(resume, overwrite)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, resume: bool, overwrite: bool) -> BinaryIO:
        """Open the file behind its last whole row, or begin it anew."""
        exists = self.path.exists()
        if exists and not (resume or overwrite):
            raise StoreError(
                f"{self.path}: exists; use --resume to go on with it, --overwrite to replace"
            )
        keep = 0
        if exists and resume:
            stored, self._columns, self.rows, keep = _parse(self.path)
            _same(self.path, stored, self._settings)
        try:
            target = self._output.target
            fd = os.open(target, os.O_RDWR | os.O_NOFOLLOW) if exists else create_new(target)
            file = os.fdopen(fd, "r+b")
            file.truncate(keep)  # a row that was torn in the middle is written again
            file.seek(keep)
            if not keep:
                _write(file, _MARK + json.dumps(self._settings) + "\n")
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written: {error.strerror or error}"
            ) from error
        return file

    def append(self, row: Row) -> None:
        """Add a row.

        Parameters
        ----------
        row : dict
            Values by column, str, int or float; the same columns each time.

        Raises
        ------
        StoreError
            The disk is full, or the file cannot be written.
        """
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        if self._columns is None:
            self._columns = list(row)
            writer.writerow(self._columns)
        writer.writerow([row[name] for name in self._columns])
        try:
            _write(self._file, lines.getvalue())
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written: {error.strerror or error}; "
                "the rows before are safe"
            ) from error
        self.rows.append(row)

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._lock.release()


def _write(file: BinaryIO, text: str) -> None:
    file.write(text.encode())
    file.flush()
    os.fsync(file.fileno())


def read_table(path: str | Path) -> tuple[dict[str, Any], list[Row]]:
    """Read a table that `Table` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    settings : dict
    rows : list of dict
        Numbers as int or float, everything else as str; a last row that is torn is left out.

    Raises
    ------
    StoreError
        There is no such file, or it is no such table.
    """
    settings, _, rows, _ = _parse(Path(path))
    return settings, rows


def _parse(path: Path) -> tuple[dict[str, Any], list[str] | None, list[Row], int]:
    """Return settings, columns, rows, and the length in bytes up to the last whole row."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
    whole = content[: content.rfind(b"\n") + 1]
    try:
        first, *lines = whole.decode().splitlines()
        if not first.startswith(_MARK):
            raise ValueError
        settings = json.loads(first[len(_MARK) :])
    except ValueError:
        raise StoreError(
            f"{path}: is not a table of refntk, which begins with {_MARK.strip()!r}"
        ) from None
    table = list(csv.reader(lines))
    for k, cells in enumerate(table):
        if len(cells) != len(table[0]):
            raise StoreError(f"{path}: line {k + 2} has {len(cells)} cells, not {len(table[0])}")
    rows = [dict(zip(table[0], map(_value, cells), strict=True)) for cells in table[1:]]
    return settings, table[0] if table else None, rows, len(whole)


def _value(cell: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _same(path: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in [*wanted, *stored]:
        if stored.get(name) != wanted.get(name):
            raise StoreError(
                f"{path}: was made with {name} = {stored.get(name)!r}, not {wanted.get(name)!r}: "
                "repeat that command, or choose another file"
            )
