"""`refntk dynamics`: nominal, augmented and equivariant training of finite networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from refntk.cli import options
from refntk.cli.columns import echo_columns
from refntk.cli.program import Command, Program
from refntk.cli.result_tables import finish, open_table, output_options
from refntk.progress import ProgressBar

__all__ = ["dynamics", "groups", "perm", "rot", "trans"]


@click.group(
    cls=Program,
    short_help="Compare nominal, augmented and equivariant training at finite width.",
    epilog="""\b
Examples:
  refntk dynamics rot -o rot.csv --plot rot.svg
  refntk dynamics trans sample:digits --repeats 5 -o trans.csv
  refntk verify dynamics""",
)
def dynamics() -> None:
    """Training dynamics of augmented and equivariant networks (arXiv:2303.13458).

    Perceptrons on whose layers a group acts start from equivariant parameters and are trained in
    four ways: by the gradient as it is (nominal); by its mean over the group (augmented); by its
    value at one random element of the group a step (random); and by its projection on the
    equivariant parameters E (equivariant). Recorded are the risk and the distances from the start
    and from E.
    """


def _options(steps: int, batch: int, rate: float) -> Callable[[Callable[..., Any]], Any]:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S",
                help="Seed of data, parameters and batches.",
            ),
            click.option(
                "--rate", type=click.FloatRange(min=0, min_open=True), default=rate,
                show_default=True, metavar="η", help="Learning rate.",
            ),
            click.option(
                "--batch", type=options.positive, default=batch, show_default=True, metavar="B",
                help="Samples a step, before augmentation.",
            ),
            click.option(
                "--steps", type=options.positive, default=steps, show_default=True, metavar="T",
                help="Steps of gradient descent.",
            ),
            click.option(
                "--beside", type=click.FloatRange(min=0), default=0, show_default=True, metavar="ε",
                help="Start beside E, at this distance relative to the parameters.",
            ),
            click.option(
                "--repeats", type=options.positive, default=5, show_default=True, metavar="R",
                help="Runs from different parameters; with --resume, more of them are added.",
            ),
        ):  # fmt: skip
            command = option(command)
        return output_options(command)

    return decorate


@dynamics.command(cls=Command, short_help="Graphs: is it connected? All permutations of 10 nodes.")
@_options(steps=300, batch=100, rate=0.01)
def perm(**given: Any) -> None:
    """Train on graphs of a stochastic block model; augmented by 32 random permutations a step."""
    _run("perm", None, **given)


@dynamics.command(cls=Command, short_help="Digits of 14×14 pixels, all 196 cyclic shifts.")
@click.argument("data", default="sample:digits")
@options.pixels
@_options(steps=100, batch=10, rate=0.05)
def trans(data: str, **given: Any) -> None:
    """Train on DATA, digits of 28×28 pixels; augmented exactly by all shifts."""
    _run("trans", data, **given)


@dynamics.command(cls=Command, short_help="Which pixels are the triangle's? Quarter turns.")
@_options(steps=300, batch=100, rate=0.002)
def rot(**given: Any) -> None:
    """Train to segment triangles beside pentagons; augmented exactly by the four turns."""
    _run("rot", None, **given)


@dynamics.command(cls=Command, short_help="Digits of 14×14 pixels, four groups, one architecture.")
@click.argument("data", default="sample:digits")
@options.pixels
@_options(steps=100, batch=10, rate=0.05)
def groups(data: str, **given: Any) -> None:
    """Train on DATA with shifts, shifts along x, quarter turns, and shifts with quarter turns."""
    _run("groups", data, **given)


def _run(
    name: str, data: str | None, repeats: int, beside: float, steps: int, batch: int, rate: float,
    seed: int, output: str, plot: str | None, resume: bool, overwrite: bool, quiet: bool,
    reading: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    from refntk.data import load_inputs
    from refntk.dynamics.study import (
        EXPERIMENTS,
        MODES,
        Schedule,
        dynamics_rows,
        subsample,
        summarize,
    )
    from refntk.errors import InputError
    from refntk.plot.dynamics import plot_dynamics

    record: dict[str, Any] = {
        "command": f"dynamics {name}", "steps": steps, "batch": batch, "rate": rate, "seed": seed,
    }  # fmt: skip
    if beside:
        record["beside"] = beside
    digits = None
    if data is not None:
        inputs = load_inputs(data, **(reading or {}))
        images = inputs.info1
        if images.labels is None:
            raise InputError(f"{data}: has no labels; the classes of the digits are needed")
        digits = subsample(inputs.x1), images.labels
        record["images"] = images.digest
        record |= options.changed(reading or {})
    schedule = Schedule(steps, batch, rate, max(1, steps // 20), beside)
    total = len(EXPERIMENTS[name]) * len(MODES) * repeats * steps
    with (
        open_table(output, record, plot, resume, overwrite) as table,
        ProgressBar(total, quiet=quiet, unit="steps") as bar,
    ):
        done = tuple(table.rows)
        for row in dynamics_rows(name, schedule, repeats, seed, digits, done, bar.update):
            table.append(row)
    echo_columns(summarize(table.rows))
    finish(output, len(table.rows), plot, lambda: plot_dynamics(table.rows))
