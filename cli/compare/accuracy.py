"""`refntk accuracy`: how accurate the kernels are."""

from __future__ import annotations

import click

from refntk.cli.program import Command

__all__ = ["accuracy"]


@click.command(
    cls=Command,
    short_help="Measure the accuracy on this machine.",
    epilog="""\b
Example:
  refntk accuracy > accuracy.md""",
)
def accuracy() -> None:
    """Compare kernels of small images with certified ones, and print a page of tables in Markdown.

    Both methods, both precisions, on benign images and on those that take digits away. It takes a
    few minutes, and the extra oracle.
    """
    from refntk.truth.accuracy import page

    def report(done: int, total: int) -> None:
        click.echo(f"network {done} of {total}", err=True)

    for line in page(report):
        click.echo(line)
