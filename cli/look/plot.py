"""`refntk plot`: pictures of what is in a kernel file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from refntk.cli import options
from refntk.cli.program import Command
from refntk.cli.say import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from refntk.data.kernels.store import KernelFile

__all__ = ["plot"]

_OTHERS = 3


@click.command(
    cls=Command,
    short_help="Draw the Gram matrix, spectrum or training of a kernel file.",
    epilog="""\b
Pictures:
  gram          the Gram matrix, images sorted by class: correlations as they are, and centred
  spectrum      its eigenvalues, largest first, with the condition number
  trajectories  the class scores of one image while the ensemble of networks learns all others,
                with two standard deviations: its class, and the classes with the largest scores

\b
Examples:
  refntk plot gram histology.h5 -o gram.png
  refntk plot spectrum histology.h5 -o spectrum.svg --get ntk
  refntk plot trajectories histology.h5 -o learned.svg --image 85 --diag-reg 1e-6""",
)
@click.argument(
    "picture", type=options.Word("picture", "gram", "spectrum", "trajectories")
)
@click.argument("store", type=click.Path())
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="The picture to write: .svg or .pdf to print, .png for a screen.",
)
@click.option(
    "--get",
    type=options.Word("kernel", "nngp", "ntk"),
    metavar="nngp|ntk",
    help="Kernel to draw.  [default: ntk for gram, both for spectrum, as far as they are there]",
)
@click.option(
    "--image",
    type=click.IntRange(min=0),
    metavar="K",
    default=0,
    show_default=True,
    help="Of trajectories: the image that is not learned, counted from 0 in the kernel file.",
)
@options.diag_reg
@options.overwrite
def plot(
    picture: str, store: str, output: str, get: str | None, image: int, diag_reg: float,
    overwrite: bool,
) -> None:
    """Draw PICTURE of the kernels in STORE, a file of `refntk compute`."""
    from refntk.data.kernels.store import open_kernel
    from refntk.plot import plot_gram, plot_spectrum, save_figure
    from refntk.plot.style import check_figure_path

    check_figure_path(output, overwrite=overwrite)
    with open_kernel(store) as kernel:
        if picture == "trajectories":
            figure = _trajectories(kernel, image, diag_reg)
            save_figure(figure, output, overwrite=overwrite)
            say(f"{output}: {picture} of {store}")
            return
        grams = {name.upper(): kernel.gram(name) for name in ([get] if get else kernel.names)}
        if picture == "gram":
            name, gram = list(grams.items())[-1]
            figure = plot_gram(gram, kernel.x1.labels, kernel.x1.class_names, name=name)
        else:
            figure = plot_spectrum(grams)
    save_figure(figure, output, overwrite=overwrite)
    say(f"{output}: {picture} of {store}")


def _trajectories(kernel: KernelFile, image: int, diag_reg: float) -> Figure:
    """Draw the scores of one image for its class and the three likeliest others."""
    from refntk.errors import InputError
    from refntk.inference.classify import class_list
    from refntk.inference.left_out import left_out
    from refntk.plot import plot_trajectories

    labels = kernel.x1.labels
    if labels is None:
        raise InputError(
            f"{kernel.path}: the classes of its images are not known; compute it with --labels FILE"
        )
    names = class_list(labels, kernel.x1.class_names)
    scores = left_out(
        kernel.gram("nngp"), kernel.gram("ntk"), labels,
        classes=len(names), image=image, diag_reg=diag_reg,
    )  # fmt: skip
    true = int(labels[image])
    others = [int(k) for k in (-scores.mean[-1]).argsort() if k != true][:_OTHERS]
    shown = [true, *others]
    return plot_trajectories(
        scores.times,
        scores.mean[:, shown],
        scores.variance[:, None].repeat(len(shown), axis=1),
        [f"{names[k]} (its class)" if k == true else names[k] for k in shown],
        title=f"image {image}, learned from {len(labels) - 1} others",
    )
