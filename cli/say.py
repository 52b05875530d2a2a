"""The one way in which a command prints a line."""

from __future__ import annotations

import click

from refntk.errors import printable

__all__ = ["say"]


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text, with what a terminal would obey escaped.

    Much of what commands print comes from files: names of images and classes, networks, sources.

    Parameters
    ----------
    text : str
        One or more lines.
    err : bool, default False
        Whether to print on stderr.
    nl : bool, default True
        Whether to end the line.
    """
    click.echo(printable(text), err=err, nl=nl)
