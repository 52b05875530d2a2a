"""`refntk bridge`: ensembles trained with augmentation against the equivariant kernel."""

from __future__ import annotations

from typing import Any

import click

from refntk.cli import options
from refntk.cli.columns import echo_columns
from refntk.cli.program import BadUse, Command
from refntk.cli.say import say
from refntk.cli.signals import interruptible
from refntk.progress import ProgressBar

__all__ = ["bridge"]


def _rising(numbers: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(set(numbers)))


@click.command(
    cls=Command,
    short_help="Train ensembles with augmentation, and compare with the equivariant kernel.",
    epilog="""\b
Columns, all relative to the kernel's prediction: single, the deviation of the mean over so many
networks; noise, what theory says is left of their functions at the start; pairs, the same for
pairs of networks that start with opposite functions; chance, the part of it that varies from pair
to pair; bias, what remains, the effect of the finite width.

\b
Examples:
  refntk bridge cnn-gap sample:histology --size 8 --standardize --draws 4 -o bridge.csv
  refntk bridge cnn-gap sample:histology --size 8 --standardize --draws 32 -o bridge.csv \\
      --resume --plot bridge.svg

Ctrl-C keeps what is done, and --resume continues; it also adds widths and draws.""",
)
@click.argument("network")
@click.argument("data")
@click.option("-o", "--output", required=True, metavar="OUT.csv",
              help="The table of all predictions, row by row.")  # fmt: skip
@click.option("--widths", type=options.Numbers(int, "8,16"), default="8,16,32,64",
              show_default=True, metavar="N,…",
              help="Channels of each layer with parameters.")  # fmt: skip
@click.option("--draws", type=options.positive, default=16, show_default=True, metavar="D",
              help="Pairs of networks of each width.")  # fmt: skip
@click.option("--times", type=options.Numbers(float, "1,6,40"), default="1,6,40", metavar="T,…",
              show_default=True, help="Training times, times the fastest rate.")  # fmt: skip
@click.option("--rate", type=float, default=0.25, show_default=True, metavar="R",
              help="Learning rate; descent diverges above 2.")  # fmt: skip
@click.option("--classes", metavar="A,B", help="Two classes, by number.  [default: first, last]")
@click.option("--train", type=options.positive, default=8, show_default=True, metavar="N",
              help="Number of training images, without their copies.")  # fmt: skip
@click.option("--test", type=options.positive, default=4, show_default=True, metavar="M",
              help="Number of other images that are predicted.")  # fmt: skip
@click.option("--plot", metavar="FILE", help="Draw a picture, too: .svg, .pdf or .png.")
@click.option("--resume", is_flag=True, help="Add to OUT.csv if it exists.")
@click.option("--overwrite", is_flag=True, help="Replace OUT.csv if it exists.")
@options.seed
@options.size
@options.pixels
@options.standardize
@options.dtype
@options.quiet
def bridge(
    network: str, data: str, output: str, widths: tuple[int, ...], draws: int,
    times: tuple[float, ...], rate: float, classes: str | None, train: int, test: int,
    plot: str | None, resume: bool, overwrite: bool, seed: int, size: int | None,
    standardize: bool, dtype: str, quiet: bool, reading: dict[str, Any],
) -> None:  # fmt: skip
    """Train ordinary networks of finite width on all copies of two classes of DATA.

    NETWORK is the group network, or the ordinary one with the same filters; it ends with a Dense.
    Ensembles of the ordinary one are trained by gradient descent on every copy under the group, and
    their mean predictions compared with those of the group network's kernel on the images alone.
    """
    from refntk.data.images.inputs import load_inputs
    from refntk.data.results.result_table import Table
    from refntk.finite.bridge import Bridge, slopes, summarize, two_classes
    from refntk.network.presets import load_network

    if plot is not None:
        from refntk.plot.style import check_figure_path

        check_figure_path(plot, overwrite=resume or overwrite)
    net, widths, times = load_network(network), _rising(widths), _rising(times)
    inputs = load_inputs(data, size=size, seed=seed, standardize=standardize, **reading)
    if inputs.info1.labels is None:
        raise BadUse(f"{data}: has no labels, which are what the networks are trained on")
    inside, outside, targets = two_classes(inputs.info1.labels, classes, train, test, seed)
    experiment = Bridge(
        net, inputs.x1[inside], targets, inputs.x1[outside],
        scaled_times=times, rate=rate, seed=seed, dtype=dtype,
    )  # fmt: skip
    record = {
        "command": "bridge", "network": net.hash, "images": inputs.info1.digest, "size": size,
        "standardize": standardize, "classes": classes, "train": train, "test": test,
        "times": list(times), "rate": rate, "seed": seed, "dtype": dtype,
    } | options.changed(reading)  # fmt: skip
    rows_in_all = 2 * draws * len(widths) * len(times)
    with (
        Table(output, record, resume=resume, overwrite=overwrite) as table,
        interruptible(lambda: f"{len(table.rows)} rows are in {output}"),
        ProgressBar(rows_in_all, quiet=quiet, unit="rows") as bar,
    ):
        bar.update(min(len(table.rows), rows_in_all))
        for row in experiment.members(widths, draws, tuple(table.rows)):
            table.append(row)
            bar.update(1)
        rows = table.rows
    summary = summarize(experiment, rows)
    echo_columns(summary)
    say("\nexponents")
    echo_columns(slopes(summary))
    say("\ngradient descent with these steps against gradient flow, for the kernel")
    echo_columns(experiment.step_rows())
    say(f"\n{output}: {len(rows)} rows")
    if plot is not None:
        from refntk.plot import plot_bridge, save_figure

        title = f"{net.name or network} on {train} images of {data} and their copies"
        save_figure(plot_bridge(summary, title), plot)
        say(f"{plot}: picture of {output}")
