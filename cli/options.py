"""Options that more than one command takes, and the words they accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from refntk.errors import unknown

__all__ = ["Word", "backend", "dtype", "method", "positive", "threads"]


class Word(click.Choice[str]):
    """One of a few words; a wrong one is answered with the nearest of them.

    Parameters
    ----------
    what : str
        What the word names, for the message.
    *words : str
        The words.
    """

    def __init__(self, what: str, *words: str) -> None:
        super().__init__(words)
        self._what = what

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Name the wrong word, the nearest right one and all of them."""
        return unknown(self._what, value, self.choices)


positive = click.IntRange(min=1)

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

dtype: _Decorator = click.option(
    "--dtype",
    type=Word("dtype", "float64", "float32"),
    default="float64",
    show_default=True,
    help="Precision of the arithmetic and of the result.",
)

backend: _Decorator = click.option(
    "--backend",
    type=Word("backend", "numba", "numpy", "cupy"),
    default="numba",
    show_default=True,
    help="What computes: compiled code; or the literal recursion, slow, in NumPy or in CuPy.",
)

method: _Decorator = click.option(
    "--method",
    type=Word("method", "auto", "slices", "dense", "literal"),
    default="auto",
    show_default=True,
    help="Force a way to compute; all give the same kernel. It is an error where it cannot apply.",
)

threads: _Decorator = click.option(
    "--threads",
    type=positive,
    metavar="N",
    help="Processor threads; the result does not depend on it.  [default: all]",
)
