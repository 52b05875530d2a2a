"""Classes of images, from whatever stands for them in a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import IntArray
from refntk.data.limits import reading
from refntk.errors import InputError, unknown

__all__ = ["Labels", "interpret", "read_csv_column", "squeezed"]

_CSV_BYTES = 1 << 28
_FIELD = "label"


@dataclass(frozen=True, eq=False)
class Labels:
    """Classes of images.

    Parameters
    ----------
    classes : array of int64, shape (N,)
    names : tuple of str or None
        Name of class 0, 1, ... where the classes were given by name.
    """

    classes: IntArray
    names: tuple[str, ...] | None = None


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def squeezed(shape: tuple[int, ...], count: int) -> tuple[int, ...] | None:
    """Take axes of length 1 out of the shape of labels.

    Parameters
    ----------
    shape : tuple of int
    count : int
        Number of images, N.

    Returns
    -------
    tuple of int or None
        ``(N, ...)``; None where no axis is the images'.

    Examples
    --------
    >>> squeezed((1, 4), 4), squeezed((4, 3, 1, 1), 4), squeezed((3, 4), 4)
    ((4,), (4, 3), None)
    """
    sides = tuple(side for side in shape if side != 1)
    if count == 1:
        return (1, *sides) if 1 in shape else None
    return sides if sides[:1] == (count,) else None


def interpret(values: NDArray[Any], count: int) -> Labels | str:
    """Take an array as one class an image, where that is clear.

    Parameters
    ----------
    values : array
        Integers, booleans, floats that are whole, or text, of shape (N,); or one-hot, shape (N, K)
        with a single one in each row. Further axes of length 1 do not matter, such as those of
        MATLAB's rows, (1, N).
    count : int
        Number of images.

    Returns
    -------
    Labels or str
        The classes; text is numbered in the order of its sorted words. Else why they are not clear.

    Examples
    --------
    >>> interpret(np.array([[0.0, 1.0], [1.0, 0.0]]), 2).classes.tolist()
    [1, 0]
    >>> interpret(np.array([[1, 1], [1, 0]]), 2)
    'has shape (2, 2) and rows that are not one-hot: several labels an image'
    """
    shape = squeezed(values.shape, count)
    if shape is None:
        return f"has shape {values.shape}, but there are {count} images"
    kind = values.dtype.kind
    if kind not in "biufSU":
        return f"holds values of dtype {values.dtype}"
    if kind in "SU" and len(shape) > 1 or len(shape) > 2:
        return f"has shape {values.shape}, not one label an image"
    stored, values = values.shape, values.reshape(shape)
    if values.ndim == 2:
        ones = (values == 1).sum(axis=1)
        if not (ones == 1).all() or np.count_nonzero(values) != count:
            return f"has shape {stored} and rows that are not one-hot: several labels an image"
        return Labels(np.argmax(values == 1, axis=1).astype(np.int64))
    if kind in "SU":
        words, classes = np.unique(values, return_inverse=True)
        return Labels(classes.astype(np.int64), tuple(_text(word) for word in words.tolist()))
    if kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        return "holds values that are not whole numbers"
    if kind in "uf" and (np.abs(values) >= 2.0**63).any():
        return "holds labels beyond 64-bit signed integers"
    return Labels(values.astype(np.int64))


def read_csv_column(
    path: Path, column: str | None, count: int, names: tuple[str, ...] | None
) -> NDArray[Any]:
    """Read labels from a table of text.

    Parameters
    ----------
    path : pathlib.Path
        With or without a line of column names; between columns commas, semicolons or tabs.
    column : str or None
        Name of the column, or its number from 1. None: the one called ``label``, or the only one,
        or the last of two.
    count : int
        Number of images: one line more is a line of column names.
    names : tuple of str or None
        Names of the images. Where another column holds all of them, or their last parts, it tells
        which line belongs to which image; else the lines are in the order of the images.

    Returns
    -------
    array of int64, float64 or text, shape (N,)

    Raises
    ------
    InputError
        Not a table, no such column, or too large.
    """
    with reading(path):
        if path.stat().st_size > _CSV_BYTES:
            raise InputError(f"{path}: is too large for a table of labels")
        with path.open("rb") as raw:
            if raw.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise InputError(f"{path}: is UTF-16 text; save it as CSV in UTF-8")
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            marks = stream.readline()
            stream.seek(0)
            # What stands in the first line most often; a comma where none of them does.
            between = max(",;\t", key=marks.count)
            rows = [row for row in csv.reader(stream, delimiter=between) if row]
    if not rows or len({len(row) for row in rows}) > 1:
        raise InputError(f"{path}: expected a table with the same number of columns in every line")
    width = len(rows[0])
    heads = [head.strip() for head in rows[0]]
    place = _place(path, column, heads, width)
    # A line of column names has a word where all others have numbers, or is asked for by name.
    titled = column in heads or heads[place].lower() == _FIELD or len(rows) == count + 1
    if not titled and len(rows) > 1:
        titled = not _number(rows[0][place]) and all(_number(row[place]) for row in rows[1:])
    body = rows[1:] if titled else rows
    if not body:
        raise InputError(f"{path}: holds column names and no label")
    values = [row[place].strip() for row in body]
    others = [n for n in range(width) if n != place]
    for other in others if names else ():
        found = {row[other].strip(): value for row, value in zip(body, values, strict=True)}
        for wanted in (names, tuple(name.rsplit("/", 1)[-1] for name in names or ())):
            if wanted and all(name in found for name in wanted):
                values = [found[name] for name in wanted]
                break
        else:
            continue
        break
    if all(_number(value) for value in values):
        return np.array([float(value) for value in values])
    return np.array(values, dtype=np.str_)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _place(path: Path, column: str | None, heads: list[str], width: int) -> int:
    if column is None:
        lower = [head.lower() for head in heads]
        if _FIELD in lower:
            return lower.index(_FIELD)
        if width <= 2:
            return width - 1
        raise InputError(
            f"{path}: has {width} columns; name that of the labels, as in {path}::{heads[-1]}"
        )
    if column in heads:
        return heads.index(column)
    if column.isdecimal() and 1 <= int(column) <= width:
        return int(column) - 1
    raise InputError(f"{path}: {unknown('column', column, heads[:12])}")
