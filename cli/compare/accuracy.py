"""`refntk accuracy`: how accurate the kernels are."""

from __future__ import annotations

import click

from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["accuracy"]


@click.command(
    cls=Command,
    short_help="Measure the accuracy on this machine.",
    epilog="""\b
Example:
  refntk accuracy > accuracy.md""",
)
@click.option(
    "--trials",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="Random networks to try.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these.")
def accuracy(trials: int, seed: int) -> None:
    """Compare kernels of small images with certified ones, and print a page of tables in Markdown.

    Both methods, both precisions, on benign images and on those that take digits away, and random
    networks. It takes a quarter of an hour, and the extra oracle.
    """
    from refntk.truth.accuracy import measure
    from refntk.truth.accuracy_page import page

    def report(done: int, total: int) -> None:
        say(f"network {done} of {total}", err=True)

    for line in page(measure(report, trials, seed), trials, seed):
        say(line)
