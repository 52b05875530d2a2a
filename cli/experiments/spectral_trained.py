"""`refntk spectral trained`: finite networks beside the theory of symmetry learning."""

from __future__ import annotations

from typing import Any

import click

from refntk.cli import options
from refntk.cli.columns import echo_columns
from refntk.cli.experiments.spectral_options import open_study, study_options
from refntk.cli.program import Command
from refntk.cli.result_tables import finish, open_table, output_options
from refntk.progress import ProgressBar

__all__ = ["trained"]


@click.command(
    cls=Command,
    short_help="Trained networks of finite width beside exact and spectral error.",
    epilog="""\b
Example:
  refntk spectral trained sample:digits -n mlp-1 --pairs 16 -o trained.csv --plot trained.svg

A network of width W trains twice for each pair of images, for T steps over all points, in float32.
Its answer at the start is subtracted. Regression is the limit of descent, not of Adam.""",
)
@study_options("8")
@click.option(
    "--pairs", type=options.positive, default=4, show_default=True, metavar="P",
    help="Pairs of images of different classes.",
)
@click.option(
    "--width", type=options.positive, default=64, show_default=True, metavar="W",
    help="Channels of hidden layers.",
)
@click.option(
    "--steps", type=options.positive, default=1000, show_default=True, metavar="T",
    help="Steps of training.",
)
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), default=1e-3, show_default=True,
    metavar="R", help="Learning rate; descent takes a larger one, such as 1.",
)
@click.option(
    "--optimizer", type=options.Word("optimizer", "adam", "descent"), default="adam",
    show_default=True, metavar="adam|descent", help="How to train: the paper takes Adam.",
)  # fmt: skip
@output_options
def trained(
    pairs: int, width: int, steps: int, rate: float, optimizer: str, output: str, plot: str | None,
    resume: bool, overwrite: bool, quiet: bool, **given: Any,
) -> None:  # fmt: skip
    """Train networks on two orbits without a pose, and compare what they answer there."""
    from refntk.dynamics.trained import Training, summarize_trained, trained_rows
    from refntk.plot.spectral_points import plot_trained
    from refntk.spectral.study import draw_pairs

    setting = open_study("trained", **given)
    drawn = draw_pairs(setting.labels, pairs, given["seed"])
    training = Training(width, steps, rate, optimizer)
    record = setting.record | {
        "pairs": pairs, "width": width, "steps": steps, "rate": rate, "optimizer": optimizer,
    }  # fmt: skip
    total = 2 * len(setting.nets) * len(setting.poses) * pairs
    with (
        open_table(output, record, plot, resume, overwrite) as table,
        ProgressBar(total, quiet=quiet, unit="networks") as bar,
    ):
        bar.update(2 * len(table.rows))
        for row in trained_rows(
            setting.study, setting.nets, setting.labels, drawn, setting.poses, given["diag_reg"],
            training, seed=given["seed"], done=tuple(table.rows), progress=bar.update,
        ):  # fmt: skip
            table.append(row)
    echo_columns(summarize_trained(table.rows))
    finish(output, len(table.rows), plot, lambda: plot_trained(table.rows))
