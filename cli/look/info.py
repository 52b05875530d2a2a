"""`refntk info`: what is in a kernel file."""

from __future__ import annotations

import click

from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["info"]


@click.command(
    cls=Command,
    short_help="Say what is in a kernel file.",
    epilog="""\b
Example:
  refntk info histology.h5""",
)
@click.argument("store", type=click.Path())
def info(store: str) -> None:
    """Say what is in STORE, a file that `refntk compute` wrote.

    Prints the network, the inputs, how they were prepared, the kernels with their shape and dtype,
    and whether all of it was computed.
    """
    from refntk.data.kernels.store import open_kernel

    with open_kernel(store) as kernel:
        say(kernel.summary())
