"""`refntk symmetry`: how symmetric predictions are, and three ways to make them so."""

from __future__ import annotations

from typing import Any

import click

from refntk.cli import options
from refntk.cli.columns import echo_columns
from refntk.cli.program import BadUse, Command
from refntk.cli.say import say
from refntk.progress import ProgressBar

__all__ = ["symmetry"]

_SIZE = 16
"""Larger images take longer than a minute, which is too long to find out what the tables say."""


@click.command(
    cls=Command,
    short_help="Measure how invariant a network's predictions are.",
    epilog="""\b
Columns: worst and mean are norms of the change of the predictions over the images that were not
trained on; size is the norm of the predictions themselves; step error is the estimated error of
the numerical derivative. A floor is what any exactly invariant model differs by somewhere.

\b
Examples:
  refntk symmetry gcnn-convergence sample:histology
  refntk symmetry cnn-gap sample:digits --group D4 --plot angles.svg
  refntk symmetry mlp-1 tiles.npz::images --size 12 --limit 30""",
)
@click.argument("network")
@click.argument("data")
@click.option(
    "--group", type=options.Word("group", "C1", "C2", "C4", "D1", "D2", "D4"), metavar="GROUP",
    help="Point group of the invariance.  [default: that of the network, or C4]",
)  # fmt: skip
@click.option(
    "--poses", type=options.positive, default=24, show_default=True, metavar="N",
    help="Rotations by multiples of 360°/N; an even number.",
)  # fmt: skip
@click.option(
    "--time", type=click.FloatRange(min=0), metavar="T",
    help="Training time at which predictions are measured.  [default: infinite]",
)  # fmt: skip
@click.option(
    "--kappa", type=click.FloatRange(min=0), default=1.0, show_default=True, metavar="κ",
    help="Lipschitz constant of the group's action on predictions, for the floor.",
)  # fmt: skip
@options.diag_reg
@click.option(
    "--limit", type=options.positive, default=18, show_default=True, metavar="N",
    help="Take at most N images: two thirds to train on, one third to measure.",
)  # fmt: skip
@options.seed
@click.option(
    "--size", type=options.positive, metavar="PX",
    help=f"Shrink the images to PX by PX.  [default: {_SIZE}, where they are square and larger]",
)  # fmt: skip
@options.pixels
@options.standardize
@options.threads
@click.option("--plot", metavar="FILE", help="Draw the error against the angle: .svg, .pdf, .png.")
@options.overwrite
@options.quiet
def symmetry(
    network: str, data: str, group: str | None, poses: int, time: float | None, kappa: float,
    diag_reg: float, limit: int, seed: int, size: int | None, standardize: bool,
    threads: int | None, plot: str | None, overwrite: bool, quiet: bool,
    reading: dict[str, Any],
) -> None:  # fmt: skip
    """Train NETWORK and its counterpart on DATA, and measure how invariant their predictions are.

    NETWORK and DATA are as for `refntk compute`; DATA needs labels. The networks are infinitely
    wide: the group network, and the ordinary one with the same filters, as far as there are both.
    Tables: the error over the point group; over rotations by 360°/N; the Lie derivatives under
    translation, rotation and scaling; the floor; the ordinary network made invariant by the mean
    over the group and by canonical poses, which jump where these change; and data augmentation,
    averaging over the group after the training, and the ordinary network against the group network
    at several times.
    """
    from refntk.data.images.inputs import load_inputs
    from refntk.errors import MethodError
    from refntk.network.presets import load_network
    from refntk.symmetry.augmentation import split_targets
    from refntk.symmetry.study import study, symmetrized_rows
    from refntk.symmetry.three_ways import counterparts, three_ways

    if plot is not None:
        from refntk.plot.style import check_figure_path

        check_figure_path(plot, overwrite=overwrite)
    net = load_network(network)
    given: dict[str, Any] = {"limit": limit, "seed": seed, "standardize": standardize} | reading
    inputs = load_inputs(data, size=size, **given)
    height, width = inputs.x1.shape[1:3]
    if size is None and height == width > _SIZE:
        inputs = load_inputs(data, size=_SIZE, **given)
    if inputs.info1.labels is None:
        raise BadUse(f"{data}: has no labels, which are what the networks are trained on")
    train, test, targets = split_targets(inputs.info1.labels, seed)
    inside, outside = inputs.x1[train], inputs.x1[test]
    missing = ""
    try:
        equivariant, ordinary, own = counterparts(net, group)
        nets, group = {f"group {own}": equivariant, "ordinary": ordinary}, group or own
    except MethodError as error:
        nets, group, missing = {net.name or network: net}, group or "C4", str(error)
    with ProgressBar(6 * len(nets), quiet=quiet, unit="measures") as bar:
        found = study(
            nets, inside, targets, outside, group=group, poses=poses, kappa=kappa,
            diag_reg=diag_reg, numbers=inputs.info1.indices[test].tolist(), threads=threads,
            progress=bar.update, **({} if time is None else {"time": time}),
        )  # fmt: skip
    say(
        f"{net.name or network}: trained on {len(train)} images of {data}, measured on "
        f"{len(test)} others"
    )
    for title, rows in (
        (f"invariance under {group}", found.elements),
        ("invariance under rotations", found.rotations),
        ("Lie derivatives", found.flows),
        ("floor of the error of an exactly invariant model", found.floors),
    ):
        say(f"\n{title}")
        echo_columns(rows)
    say(f"\n{list(nets)[-1]} network, made invariant under {group} from outside")
    echo_columns(
        symmetrized_rows(
            list(nets.values())[-1], inside, targets, outside, group=group, poses=poses,
            diag_reg=diag_reg, threads=threads,
        )
    )  # fmt: skip
    if missing:
        say(f"Warning: three ways are not compared: {missing}", err=True)
    else:
        ways = three_ways(net, inside, targets, outside, group=group, threads=threads)
        say("\nlargest difference of mean predictions from the group network, by time")
        echo_columns(ways.rows())
    if plot is not None:
        from refntk.plot import plot_angles, save_figure

        title = f"{net.name or network} on {data}, {len(test)} images"
        save_figure(plot_angles(found.angles, title), plot, overwrite=overwrite)
        say(f"\n{plot}: error against the angle")
