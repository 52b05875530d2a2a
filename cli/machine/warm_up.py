"""`refntk warm-up`: compile before it is waited for."""

from __future__ import annotations

import click

from refntk.cli import options
from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["warm_up"]


@click.command(
    cls=Command,
    name="warm-up",
    short_help="Compile the fast code now, for cluster nodes and images.",
    epilog="""\b
Examples:
  refntk warm-up
  refntk warm-up --dtype float32
  NUMBA_CACHE_DIR=/shared/numba refntk warm-up --all""",
)
@click.option(
    "--dtype",
    type=options.Word("dtype", "float64", "float32"),
    multiple=True,
    metavar="float64|float32",
    help="Precision; can be given twice.  [default: both]",
)
@click.option("--all", "others", is_flag=True, help="Also for activations other than Relu.")
@options.threads
def warm_up(dtype: tuple[str, ...], others: bool, threads: int | None) -> None:
    """Compile for this processor what is compiled at first use otherwise.

    Machine code is kept in the folder of the package, in the cache folder of the user, or where
    NUMBA_CACHE_DIR says, and serves every later process on the same kind of processor. Pieces are
    compiled side by side, one on each processor thread; one that is there already takes about a
    second.
    """
    from refntk.backends.numba.warm_up import folder, pieces
    from refntk.backends.numba.warm_up import warm_up as compiling
    from refntk.evaluation.machine import default_threads

    names = pieces(dtype or ("float32", "float64"), others=others)
    for name, seconds in compiling(names, threads or default_threads()):
        say(f"{name:<24}{seconds:>6.1f} s")
    say(f"kept in {folder()}")
