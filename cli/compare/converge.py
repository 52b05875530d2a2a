"""`refntk converge`: networks of finite width, drawn at random, against the exact kernels."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from refntk.cli import options
from refntk.cli.program import Command
from refntk.cli.say import say
from refntk.cli.signals import interruptible
from refntk.progress import ProgressBar

__all__ = ["converge"]


@click.command(
    cls=Command,
    short_help="Compare networks of finite width with the exact kernels.",
    epilog="""\b
Examples:
  refntk converge gcnn-convergence sample:histology --size 16 --limit 2 -o convergence.h5
  refntk converge mine.toml images.npy -o c.h5 --widths 8,32,128 --draws 300 --plot c.svg
  refntk converge mine.toml images.npy -o c.h5 --widths 256 --draws 600 --plot c.svg --resume

X is an input as for `refntk compute`. Ctrl-C keeps what is done, and --resume continues; it also
adds widths and draws to a finished experiment. Each draw has a seed of its own: neither the order
nor --threads changes it.""",
)
@click.argument("network")
@click.argument("x")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT.h5",
    help="The HDF5 file that keeps the kernels of every draw.",
)
@click.option(
    "--widths",
    type=options.Numbers(int, "4,8,16"),
    metavar="N,N,...",
    default="4,8,16,32,64,128,256",
    show_default=True,
    help="Channels of each layer with parameters.",
)
@click.option(
    "--draws",
    type=click.IntRange(min=2),
    metavar="D",
    default=1000,
    show_default=True,
    help="Networks drawn at each width.",
)
@click.option("--plot", metavar="FILE", help="Draw a picture, too: .svg, .pdf or .png.")
@click.option("--resume", is_flag=True, help="Add to OUT.h5 if it exists.")
@click.option("--overwrite", is_flag=True, help="Replace OUT.h5 if it exists.")
@click.option(
    "--limit",
    type=options.positive,
    metavar="N",
    help="Take at most N images, keeping the proportions of the classes.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    default=0,
    show_default=True,
    help="Seed of the draws, and of the choice that --limit makes.",
)
@click.option(
    "--size",
    type=options.positive,
    metavar="PX",
    help="Shrink the images to PX by PX pixels, averaging over areas.",
)
@click.option(
    "--standardize",
    is_flag=True,
    help="Give each channel mean 0 and standard deviation 1 over X.",
)
@click.option(
    "--dtype",
    type=options.Word("dtype", "float64", "float32"),
    default="float64",
    show_default=True,
    help="Precision of the networks of finite width; float32 takes half the time.",
)
@click.option(
    "--threads",
    type=options.positive,
    metavar="N",
    help="Draws computed at the same time, each by a process of its own.  [default: all]",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
@options.pixels
def converge(
    network: str,
    x: str,
    output: str,
    widths: tuple[int, ...],
    draws: int,
    plot: str | None,
    resume: bool,
    overwrite: bool,
    limit: int | None,
    seed: int,
    size: int | None,
    standardize: bool,
    dtype: str,
    threads: int | None,
    quiet: bool,
    reading: dict[str, Any],
) -> None:
    """Draw networks of finite width, and compare their mean kernels with the exact ones.

    NETWORK is one of `refntk networks` or a TOML file, X are images. For each width the table shows
    how far the mean NNGP and NTK over the draws are from the exact kernels: the relative deviation
    with the 95 % band of the bootstrap, the deviation that chance alone would give, and the largest
    deviation of an entry in standard errors. The slope is the power of the width that fits best.
    """
    from refntk.data.images.inputs import load_inputs
    from refntk.data.results.convergence_file import ConvergenceFile, Experiment
    from refntk.evaluation.evaluate import default_threads, kernel
    from refntk.finite.convergence import converge as compare
    from refntk.finite.sampling import Sampler, sample
    from refntk.network.presets import load_network

    if plot is not None:
        from refntk.plot.style import check_figure_path

        check_figure_path(plot, overwrite=resume or overwrite)
    net = load_network(network)
    inputs = load_inputs(
        x, limit=limit, seed=seed, size=size, standardize=standardize, axes=net.axes, **reading
    )
    sampler = Sampler(net, inputs.x1, seed, dtype)
    experiment = Experiment(
        net.to_toml(), net.hash, dtype, seed, inputs.info1, inputs.preprocessing
    )
    file = ConvergenceFile(
        output, experiment, tuple(sorted(set(widths))), draws, resume=resume, overwrite=overwrite
    )
    if not file.exact:
        exact = kernel(net, inputs.x1, threads=threads)
        file.keep_exact(exact.nngp, exact.ntk)
    with (
        interruptible(lambda: f"{file.missing} draws are missing, the others are in {output}"),
        file,
        ProgressBar(file.missing, quiet=quiet, unit="draws") as bar,
        closing(sample(sampler, file.pending(), threads or default_threads())) as drawn,
    ):
        for draw in drawn:
            file.add(draw)
            bar.update(1)
    result = compare(file.exact, file.samples, dtype)
    if plot is not None:
        _draw(result, net.name or Path(network).name, plot)
    say(result.table())
    say(f"{output}: {file.summary}")
    for warning in result.warnings:
        say(f"Warning: {warning}", err=True)


def _draw(result: Any, title: str, path: str) -> None:
    """Draw the picture, which needs matplotlib."""
    from refntk.plot import plot_convergence, save_figure

    save_figure(plot_convergence(result, title), path)
