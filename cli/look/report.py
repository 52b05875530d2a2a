"""`refntk report`: a kernel file as one page of HTML."""

from __future__ import annotations

import click

from refntk.cli import options
from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["report"]


@click.command(
    cls=Command,
    short_help="Write one HTML page about a kernel file, to be mailed.",
    epilog="""\b
Examples:
  refntk report histology.h5
  refntk report histology.h5 -o page.html --overwrite""",
)
@click.argument("store", type=click.Path())
@click.option(
    "-o", "--output", metavar="FILE.html",
    help="The page to write.  [default: STORE with the ending .html]",
)  # fmt: skip
@options.overwrite
def report(store: str, output: str | None, overwrite: bool) -> None:
    """Write a page about the kernels in STORE, a file of `refntk compute`.

    The record of what was computed and how, the Gram matrix by class, the spectrum, nearest
    neighbours, and a learning curve where there are labels. Images are shown where they are still
    at hand. The page is one file that needs no network and no JavaScript.
    """
    from pathlib import Path

    from refntk.data.kernels.store import open_kernel
    from refntk.data.results.report import write_report

    path = output or str(Path(store).with_suffix(".html"))
    with open_kernel(store) as kernel:
        write_report(kernel, path, overwrite=overwrite)
    say(f"{path}: report of {store}")
