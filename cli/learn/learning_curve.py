"""`refntk learning-curve`: accuracy by the number of training images, networks side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from refntk.cli import options
from refntk.cli.kernels import check_lattice, complete
from refntk.cli.program import Command
from refntk.cli.say import say

if TYPE_CHECKING:
    from refntk.inference.curve import LearningCurve
    from refntk.network.network import Network

__all__ = ["learning_curve"]


@click.command(
    cls=Command,
    name="learning-curve",
    short_help="Measure the accuracy of networks by the number of training images.",
    epilog="""\b
Examples:
  refntk learning-curve cnn-paper gcnn-paper sample:histology --train 9,18,36,54 --test 36
  refntk learning-curve cnn-paper gcnn-paper tiles/ --size 32 --train 16,32,64,128,256,512 \\
      --test 200 --repeats 20 --seed 0 --diag-reg 1e-6 --csv curve.csv --plot curve.svg

An interrupted computation goes on where it was when the command is repeated.""",
)
@click.argument("networks", nargs=-1, required=True, metavar="NETWORK...")
@click.argument("images", metavar="DATA")
@click.option(
    "--train",
    type=options.Numbers(int, "16,32,64"),
    required=True,
    metavar="N,N,...",
    help="Numbers of training images.",
)
@click.option(
    "--test", type=options.positive, required=True, metavar="M", help="Number of test images."
)
@click.option(
    "--repeats",
    type=click.IntRange(min=2),
    metavar="R",
    default=20,
    show_default=True,
    help="Number of random divisions into training and test images.",
)
@options.kernel
@options.diag_reg
@options.limit
@options.seed
@options.size
@options.pixels
@options.standardize
@options.lattice
@options.dtype
@options.threads
@options.cache
@click.option("--csv", metavar="FILE", help="Write the table, and every repeat, as CSV.")
@click.option("--plot", metavar="FILE", help="Draw the curves with bands: .svg, .pdf or .png.")
@options.overwrite
@options.quiet
def learning_curve(
    networks: tuple[str, ...],
    images: str,
    train: tuple[int, ...],
    test: int,
    repeats: int,
    get: str,
    diag_reg: float,
    limit: int | None,
    seed: int,
    size: int | None,
    standardize: bool,
    lattice: str | None,
    dtype: str,
    threads: int | None,
    cache: str | None,
    csv: str | None,
    plot: str | None,
    overwrite: bool,
    quiet: bool,
    reading: dict[str, Any],
) -> None:
    """Measure how the accuracy of each NETWORK on DATA grows with the number of training images.

    The kernel of all images is computed once for each network, or taken from the cache. Every
    repeat divides the images at random: test images, and from the rest nested training sets, both
    with the classes in proportion and the same for every network. Networks are compared with the
    first one repeat by repeat.
    """
    from refntk.data.images.inputs import load_inputs
    from refntk.data.kernels.kernel_cache import CachedKernel, default_cache
    from refntk.data.kernels.overlap import repeated_images
    from refntk.data.results.answers import check_path, write_table
    from refntk.errors import InputError
    from refntk.inference.classify import class_list
    from refntk.inference.curve import learning_curve as measure
    from refntk.network.presets import load_network
    from refntk.plot import plot_learning_curve, save_figure
    from refntk.plot.style import check_figure_path

    if csv is not None:
        check_path(csv, (".csv",), overwrite=overwrite)
    if plot is not None:
        check_figure_path(plot, overwrite=overwrite)
    nets = _names(networks, [load_network(network) for network in networks])
    check_lattice(lattice, nets.values())
    inputs = load_inputs(
        images, limit=limit, seed=seed, size=size, standardize=standardize,
        axes=_axes(nets), lattice=lattice, **reading,
    )  # fmt: skip
    labels = inputs.info1.labels
    if labels is None:
        raise InputError(
            f"{images}: the classes of its images are not known; name them with --labels FILE"
        )
    names = class_list(labels, inputs.info1.class_names)
    repeated = repeated_images(inputs.info1)
    if repeated:
        say(
            f"warning: {repeated} of {inputs.info1.count} images occur more than once; one image "
            "can be in a training set and among its test images",
            err=True,
        )
    kernels = {}
    for name, net in nets.items():
        kernel = CachedKernel(
            net, inputs, get, folder=cache or default_cache(), dtype=dtype, threads=threads
        )
        complete(kernel, quiet=quiet)
        say(f"{name}: {get} of {kernel.path}", err=True)
        kernels[name] = kernel.read()
    curve = measure(
        kernels, labels, classes=len(names),
        sizes=train, test=test, repeats=repeats, seed=seed, diag_reg=diag_reg,
    )  # fmt: skip
    if csv is not None:
        write_table(csv, *curve.rows(), overwrite=overwrite)
    if plot is not None:
        save_figure(plot_learning_curve(curve), plot, overwrite=overwrite)
    _echo_table(curve)


def _axes(nets: dict[str, Network]) -> int:
    """Return the number of axes of positions that all networks have."""
    from refntk.errors import InputError

    first, *others = nets
    for name in others:
        if nets[name].axes != nets[first].axes:
            raise InputError(
                f"{name}: takes inputs with {nets[name].axes} axes of positions, and {first} with "
                f"{nets[first].axes}; networks are compared on the same data"
            )
    return nets[first].axes


def _names(typed: tuple[str, ...], nets: list[Network]) -> dict[str, Network]:
    """Name networks as they call themselves, or as they were typed where that is not unique."""
    from refntk.errors import InputError

    own = [net.name or network for network, net in zip(typed, nets, strict=True)]
    names = own if len(set(own)) == len(own) else list(typed)
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: is given twice; name each network once")
    return dict(zip(names, nets, strict=True))


def _echo_table(curve: LearningCurve) -> None:
    """Print mean and standard error in per cent, a line for each number of training images."""
    first = curve.networks[0]
    heads = [*curve.networks, *(f"{name} - {first}" for name in curve.networks[1:])]
    widths = [max(16, len(head) + 2) for head in heads]
    titles = "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True))
    say(f"accuracy in %, mean and standard error of {curve.repeats} repeats, "
               f"{curve.test} test images")  # fmt: skip
    say(f"{'train':>6}{titles}")
    mean, error = curve.mean().tolist(), curve.standard_error().tolist()
    gap, gap_error = (values.tolist() for values in curve.difference())
    for s, size in enumerate(curve.sizes):
        cells = [f"{100 * mean[k][s]:.2f} ± {100 * error[k][s]:.2f}" for k in range(len(mean))]
        cells += [
            f"{100 * gap[k][s]:+.2f} ± {100 * gap_error[k][s]:.2f}" for k in range(1, len(mean))
        ]
        line = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        say(f"{size:>6}{line}")
