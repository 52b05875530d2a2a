"""Rows of results as aligned columns on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from refntk.cli.say import say

__all__ = ["echo_columns"]


def echo_columns(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows under the names of their columns; floats with four digits, numbers to the right.

    Parameters
    ----------
    rows : sequence of mapping
        All with the same keys, in the same order.
    """
    if not rows:
        return
    names = list(rows[0])
    cells = [names] + [[_text(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [not isinstance(rows[0][name], str) for name in names]
    for line in cells:
        padded = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        ]
        say("  ".join(padded).rstrip())


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
