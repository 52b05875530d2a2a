"""`refntk spectral seeds`, `trials`, `classes`: several images of a class."""

from __future__ import annotations

from typing import Any

import click

from refntk.cli import options
from refntk.cli.columns import echo_columns
from refntk.cli.experiments.spectral_options import numbers_of, open_study, study_options
from refntk.cli.program import Command
from refntk.cli.result_tables import finish, open_table, output_options
from refntk.progress import ProgressBar

__all__ = ["classes", "seeds", "trials"]


@click.command(
    cls=Command,
    short_help="Errors against the number of poses, several seeds in each of two classes.",
    epilog="""\b
Example:
  refntk spectral seeds digits.npz::images --classes 4,9 --seeds 13 --poses 2,4 -o seeds.csv""",
)
@study_options("2,4,8,16")
@click.option(
    "--classes",
    default="0,1",
    show_default=True,
    metavar="A,B",
    help="The two classes, as numbers.",
)
@click.option(
    "--seeds", type=options.positive, default=13, show_default=True, metavar="M",
    help="Images of each class.",
)  # fmt: skip
@output_options
def seeds(classes: str, seeds: int, **given: Any) -> None:
    """Compare exact and predicted error of a pose left out of all M seeds of a class at once."""
    from refntk.errors import InputError

    two = numbers_of("--classes", classes)
    if len(two) != 2:
        raise InputError(f"--classes: expected two classes such as 4,9, not {classes!r}")
    _many_seeds("seeds", two, seeds, **given)


@click.command(
    cls=Command,
    short_help="Errors over many random pairs of classes, several seeds in each.",
    epilog="""\b
Example:
  refntk spectral trials sample:digits --seeds 3 --trials 10 -n mlp-1 -o trials.csv""",
)
@study_options("8")
@click.option(
    "--trials", type=options.positive, default=50, show_default=True, metavar="T",
    help="Random pairs of classes.",
)
@click.option(
    "--seeds", type=options.positive, default=10, show_default=True, metavar="M",
    help="Images of each class.",
)  # fmt: skip
@output_options
def trials(
    trials: int, seeds: int, output: str, plot: str | None, resume: bool, overwrite: bool,
    quiet: bool, **given: Any,
) -> None:  # fmt: skip
    """Compare errors as `seeds` does, over T random pairs of classes with M seeds each."""
    from refntk.plot.spectral_points import plot_trials
    from refntk.spectral.study import draw_trials, trial_rows
    from refntk.spectral.summary import summarize_trials

    setting = open_study("trials", **given)
    drawn = draw_trials(setting.labels, trials, seeds, given["seed"])
    record = setting.record | {"trials": trials, "seeds": seeds}
    total = len(setting.nets) * len(setting.poses) * trials
    with (
        open_table(output, record, plot, resume, overwrite) as table,
        ProgressBar(total, quiet=quiet, unit="trials") as bar,
    ):
        bar.update(len(table.rows))
        for row in trial_rows(
            setting.study, setting.nets, setting.labels, drawn, setting.poses, given["diag_reg"],
            tuple(table.rows),
        ):  # fmt: skip
            table.append(row)
            bar.update(1)
    echo_columns(summarize_trials(table.rows))
    finish(output, len(table.rows), plot, lambda: plot_trials(table.rows))


@click.command(
    cls=Command,
    short_help="Accuracy against the number of poses, all classes.",
    epilog="""\b
Example:
  refntk spectral classes sample:digits --seeds 3 --poses 2,4 -n mlp-1 -o classes.csv""",
)
@study_options("2,4,8,16")
@click.option(
    "--seeds", type=options.positive, default=3, show_default=True, metavar="M",
    help="Images of each class.",
)  # fmt: skip
@output_options
def classes(seeds: int, **given: Any) -> None:
    """Compare exact and predicted accuracy of one class against the rest, a pose left out."""
    _many_seeds("classes", None, seeds, **given)


def _many_seeds(
    command: str, classes: list[int] | None, seeds: int, output: str, plot: str | None,
    resume: bool, overwrite: bool, quiet: bool, **given: Any,
) -> None:  # fmt: skip
    from refntk.plot.spectral import plot_poses
    from refntk.spectral.study import draw_seeds, seed_rows

    setting = open_study(command, **given)
    chosen = classes or sorted({int(c) for c in setting.labels})
    drawn = draw_seeds(setting.labels, chosen, seeds, given["seed"])
    record = setting.record | {"classes": chosen, "seeds": seeds}
    with (
        open_table(output, record, plot, resume, overwrite) as table,
        ProgressBar(1, quiet=quiet, unit="pairs of images") as bar,
    ):
        for row in seed_rows(
            setting.study, setting.nets, setting.labels, drawn, setting.poses,
            given["diag_reg"], two=classes is not None, done=tuple(table.rows),
            progress=bar.reach,
        ):  # fmt: skip
            table.append(row)
    echo_columns(table.rows)
    finish(output, len(table.rows), plot, lambda: plot_poses(table.rows))
