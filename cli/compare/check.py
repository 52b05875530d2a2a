"""`refntk check`: whether a kernel file is sound, and whether two are the same."""

from __future__ import annotations

import click

from refntk.cli import options
from refntk.cli.program import BadUse, Command
from refntk.cli.say import say
from refntk.progress import ProgressBar

__all__ = ["check"]


@click.command(
    cls=Command,
    short_help="Check a kernel file, or compare two.",
    epilog="""\b
Examples:
  refntk check histology.h5
  refntk check histology.h5 --x1 moved/tiles --sample 400
  refntk check today.h5 yesterday.h5 --tol 1e-12

Of one file, every checksum is compared, NaN and infinite entries are counted, symmetry is
checked exactly, and the smallest eigenvalue is computed (beyond 2000 images estimated, by the
method of Lanczos). A random sample of entries is computed again where the images can be found.
Exit status 2 where anything is wrong.""",
)
@click.argument("store", type=click.Path())
@click.argument("other", required=False, type=click.Path())
@click.option("--x1", metavar="X1", help="Where the images of the rows are now.")
@click.option("--x2", metavar="X2", help="Where those of the columns are now.")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    metavar="N",
    default=64,
    show_default=True,
    help="Compute about N entries again; 0 for none.",
)
@options.seed
@click.option(
    "--tol",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Of two files: largest relative difference of an entry.  [default: 1e-12, 5e-6 float32]",
)
@options.quiet
def check(
    store: str,
    other: str | None,
    x1: str | None,
    x2: str | None,
    sample: int,
    seed: int,
    tol: float | None,
    quiet: bool,
) -> None:
    """Check STORE, a file that `refntk compute` wrote, or compare it with OTHER, another one."""
    from refntk.data.kernels.check import check_file, compare_files
    from refntk.data.kernels.store import open_kernel

    with open_kernel(store) as kernel:
        if other is None:
            entries = sum(getattr(kernel, name).size for name in kernel.names)
            with ProgressBar(entries, quiet=quiet, unit="entries") as bar:
                found = check_file(
                    kernel, x1=x1, x2=x2, sample=sample, seed=seed, progress=bar.update
                )
        else:
            with open_kernel(other) as second:
                found = compare_files(kernel, second, tol)
    for line in found.lines:
        say(line)
    if found.faults:
        raise BadUse(f"{store}: {'; '.join(found.faults)}")
