"""`refntk merge`: from shards to a kernel file."""

from __future__ import annotations

import click

from refntk.cli.program import Command
from refntk.cli.say import say
from refntk.cli.signals import interruptible

__all__ = ["merge"]


@click.command(
    cls=Command,
    short_help="Join the shards of a kernel to one file.",
    epilog="""\b
Examples:
  refntk compute gcnn-paper tiles/ -o tiles-1.shard --shard 1/2
  refntk compute gcnn-paper tiles/ -o tiles-2.shard --shard 2/2
  refntk merge tiles-*.shard -o tiles.h5

docs/clusters.md has a job script for SLURM.""",
)
@click.argument("shards", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", required=True, metavar="OUT.h5", help="The HDF5 file to write.")
@click.option("--overwrite", is_flag=True, help="Replace OUT.h5 if it exists.")
def merge(shards: tuple[str, ...], output: str, overwrite: bool) -> None:
    """Join SHARDS, files of `refntk compute --shard`, to the kernel file that one run gives.

    Every tile is compared with its checksum. Shards of another network, other images, another dtype
    or version are refused, and what is missing is named. The shards stay where they are.
    """
    from refntk.data.kernels.store import merge

    with interruptible(lambda: ""):
        about = merge(shards, output, overwrite=overwrite)
    written = ", ".join(f"{name} {about.shape} {about.dtype}" for name in about.kernels)
    say(f"{output}: {written}")
