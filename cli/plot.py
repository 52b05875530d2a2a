"""`refntk plot`: pictures of what is in a kernel file."""

from __future__ import annotations

import click

from refntk.cli import options
from refntk.cli.program import Command

__all__ = ["plot"]


@click.command(
    cls=Command,
    short_help="Draw the Gram matrix or the spectrum of a kernel file.",
    epilog="""\b
Pictures:
  gram        the Gram matrix, images sorted by class: correlations as they are, and centred
  spectrum    its eigenvalues, largest first, with the condition number

\b
Examples:
  refntk plot gram histology.h5 -o gram.png
  refntk plot spectrum histology.h5 -o spectrum.svg --get ntk""",
)
@click.argument("picture", type=options.Word("picture", "gram", "spectrum"))
@click.argument("store", type=click.Path())
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="The picture to write or to replace: .svg or .pdf to print, .png for a screen.",
)
@click.option(
    "--get",
    type=options.Word("kernel", "nngp", "ntk"),
    metavar="nngp|ntk",
    help="Kernel to draw.  [default: ntk for gram, both for spectrum, as far as they are there]",
)
def plot(picture: str, store: str, output: str, get: str | None) -> None:
    """Draw PICTURE, gram or spectrum, of the kernels in STORE, a file of `refntk compute`."""
    from refntk.data.store import open_kernel
    from refntk.plot import plot_gram, plot_spectrum, save_figure
    from refntk.plot.style import check_figure_path

    check_figure_path(output)
    with open_kernel(store) as kernel:
        grams = {name.upper(): kernel.gram(name) for name in ([get] if get else kernel.names)}
        if picture == "gram":
            name, gram = list(grams.items())[-1]
            figure = plot_gram(gram, kernel.x1.labels, kernel.x1.class_names, name=name)
        else:
            figure = plot_spectrum(grams)
    save_figure(figure, output)
    click.echo(f"{output}: {picture} of {store}")
