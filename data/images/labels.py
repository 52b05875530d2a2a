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

__all__ = ["Labels", "interpret", "read_csv_column"]

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


def interpret(values: NDArray[Any], count: int) -> Labels | str:
    """Take an array as one class an image, where that is clear.

    Parameters
    ----------
    values : array
        Integers, booleans, floats that are whole, or text, of shape (N,) with any axes of length 1
        behind it; or one-hot, shape (N, K) with a single one in each row.
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
    if values.ndim == 0 or values.shape[0] != count:
        return f"has shape {values.shape}, but there are {count} images"
    kind = values.dtype.kind
    if kind not in "biufSU":
        return f"holds values of dtype {values.dtype}"
    if values.size == count:
        values = values.reshape(count)
    elif kind in "SU" or values.ndim != 2:
        return f"has shape {values.shape}, not one label an image"
    else:
        ones = (values == 1).sum(axis=1)
        if not (ones == 1).all() or np.count_nonzero(values) != count:
            return (
                f"has shape {values.shape} and rows that are not one-hot: several labels an image"
            )
        return Labels(np.argmax(values == 1, axis=1).astype(np.int64))
    if kind in "SU":
        words, classes = np.unique(values, return_inverse=True)
        return Labels(classes.astype(np.int64), tuple(_text(word) for word in words.tolist()))
    if kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        return "holds values that are not whole numbers"
    if kind in "uf" and (np.abs(values) >= 2.0**63).any():
        return "holds labels beyond 64-bit signed integers"
    return Labels(values.astype(np.int64))


def read_csv_column(path: Path, column: str | None, names: tuple[str, ...] | None) -> NDArray[Any]:
    """Read labels from a table of text.

    Parameters
    ----------
    path : pathlib.Path
        CSV, with or without a line of column names.
    column : str or None
        Name of the column, or its number from 1. None: the one called ``label``, or the only one,
        or the last of two.
    names : tuple of str or None
        Names of the images. Where another column holds all of them, or their last parts, it tells
        which line belongs to which image; else the lines are in the order of the images.

    Returns
    -------
    array of int64 or text, shape (N,)

    Raises
    ------
    InputError
        Not a table, no such column, or too large.
    """
    with reading(path):
        if path.stat().st_size > _CSV_BYTES:
            raise InputError(f"{path}: is too large for a table of labels")
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            rows = [row for row in csv.reader(stream) if row]
    if not rows or len({len(row) for row in rows}) > 1:
        raise InputError(f"{path}: expected a table with the same number of columns in every line")
    width = len(rows[0])
    heads = [head.strip() for head in rows[0]]
    place = _place(path, column, heads, width)
    # A line of column names has a word where all others have numbers, or is asked for by name.
    titled = column in heads or heads[place].lower() == _FIELD
    if not titled and len(rows) > 1:
        titled = not _whole(rows[0][place]) and all(_whole(row[place]) for row in rows[1:])
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
    if all(_whole(value) for value in values):
        return np.array([int(float(value)) for value in values], np.int64)
    return np.array(values, dtype=np.str_)


def _whole(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return value.is_integer() and abs(value) < 2.0**53


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
