"""`refntk bench`: how fast refntk is on this machine."""

from __future__ import annotations

import click

from refntk.cli import options
from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["bench"]


@click.command(
    cls=Command,
    short_help="Measure the speed on this machine.",
    epilog="""\b
Examples:
  refntk bench
  refntk bench --quick --threads 1
  refntk bench --backend cupy""",
)
@click.option(
    "--backend",
    type=options.Word("backend", "numba", "cupy"),
    default="numba",
    show_default=True,
    help="Measure the processors, or a graphics processor beside them.",
)
@options.threads
@click.option(
    "--quick",
    is_flag=True,
    help="Leave out compilation, start-up and peak memory, which need processes of their own.",
)
def bench(backend: str, threads: int | None, quick: bool) -> None:
    """Measure the speed of refntk on this machine, and print a table.

    The unit of speed is nanoseconds per entry and layer; an entry is one pair of positions of one
    pair of images and one rotation. Each time is the best of several: leave the machine alone
    meanwhile. --threads counts for the measurements with several threads. Of a graphics processor,
    the ceiling is what its arithmetic units could do in its inner loop at their highest clock.
    """
    from refntk.truth.bench import device_measurements, measurements

    rows = (
        measurements(threads, full=not quick)
        if backend == "numba"
        else device_measurements(threads)
    )
    for row in rows:
        say(f"{row.what:<42}  {row.value:<30}  {row.comment}".rstrip())
