"""`refntk export`: a kernel file in other formats."""

from __future__ import annotations

import click

from refntk.cli import options
from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["export"]


@click.command(
    cls=Command,
    short_help="Write a kernel file as .npy, .npz or .csv.",
    epilog="""\b
Formats:
  npy    one kernel
  npz    all kernels, with labels, indices and digests of the images
  csv    one kernel, a line a row, with as many digits as bring back every number

\b
Examples:
  refntk export histology.h5 --format npz
  refntk export histology.h5 --format csv --get ntk -o ntk.csv""",
)
@click.argument("store", type=click.Path())
@click.option(
    "--format",
    "form",
    type=options.Word("format", "npy", "npz", "csv"),
    required=True,
    metavar="npy|npz|csv",
    help="What to write.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="The file to write.  [default: STORE with the ending of the format]",
)
@click.option(
    "--get",
    type=options.Word("kernel", "nngp", "ntk"),
    metavar="nngp|ntk",
    help="The kernel, for npy and csv where STORE holds both.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def export(store: str, form: str, output: str | None, get: str | None, overwrite: bool) -> None:
    """Write the kernels in STORE, a file of `refntk compute`, in another format."""
    from refntk.data.kernels.export import export_file
    from refntk.data.kernels.store import open_kernel

    with open_kernel(store) as kernel:
        target = output or kernel.path.with_suffix(f".{form}")
        names = export_file(kernel, target, form, get, overwrite=overwrite)
        written = ", ".join(
            f"{name} {getattr(kernel, name).shape} {getattr(kernel, name).dtype.name}"
            for name in names
        )
    say(f"{target}: {written}")
