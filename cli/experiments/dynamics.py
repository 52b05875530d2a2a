"""`refntk dynamics`: nominal, augmented and equivariant training of finite networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from refntk.cli import options
from refntk.cli.columns import echo_columns
from refntk.cli.program import Command, Program
from refntk.cli.result_tables import finish, open_table, output_options
from refntk.cli.say import say
from refntk.progress import ProgressBar

__all__ = [
    "dimensions",
    "dynamics",
    "groups",
    "meanfield",
    "perm",
    "quotient",
    "rot",
    "shapes",
    "trans",
]


@click.group(
    cls=Program,
    short_help="Compare nominal, augmented and equivariant training at finite width.",
    epilog="""\b
Examples:
  refntk dynamics perm -o perm.csv --plot perm.svg
  refntk dynamics groups --released -o groups.csv --plot groups.svg
  refntk dynamics rot --small --repeats 30 -o rot.csv
  refntk dynamics dimensions
  refntk verify dynamics""",
)
def dynamics() -> None:
    """Training dynamics of augmented and equivariant networks (arXiv:2303.13458).

    Perceptrons on whose layers a group acts start from equivariant parameters and are trained in
    three ways: by the gradient as it is (nominal); by its mean over passes that move the data
    (augmented); and by its projection on the equivariant parameters E (equivariant). With --small
    the augmented gradient is the mean over the group, and a fourth way takes one random element a
    step (random). Recorded are the risk and the distances from the start and from E.
    """


class _Defaults(NamedTuple):
    """Settings of an experiment: of the paper's network, and of the small one."""

    steps: int
    batch: int
    channels: int
    samples: int
    small_steps: int
    small_batch: int
    small_rate: float


_RATE, _PASSES = 1e-5, 25

_DEFAULTS = {
    "perm": _Defaults(50, 200, 32, 1000, 300, 100, 0.01),
    "rot": _Defaults(10, 25, 8, 200, 300, 100, 0.0005),
    "trans": _Defaults(20, 25, 8, 1000, 100, 10, 0.05),
    "groups": _Defaults(5, 25, 8, 1000, 100, 10, 0.05),
}
"""Of the paper's networks as much as two cores do in three minutes."""


def _options(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Add the options of training; `_settings` puts the defaults in."""
    usual = _DEFAULTS[name]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S",
                help="Seed of data, parameters and batches.",
            ),
            click.option(
                "--rate", type=click.FloatRange(min=0, min_open=True), metavar="η",
                help=f"Learning rate.  [default: {_RATE:g}; with --small {usual.small_rate:g}]",
            ),
            click.option(
                "--batch", type=options.positive, metavar="B",
                help="Samples that one random element moves; with --small, samples a step."
                f"  [default: {usual.batch}; with --small {usual.small_batch}]",
            ),
            click.option(
                "--samples", type=options.positive, metavar="N",
                help=f"Size of the data.  [default: {usual.samples}; with --small 1000]",
            ),
            click.option(
                "--steps", type=options.positive, metavar="T",
                help="Steps of gradient descent."
                f"  [default: {usual.steps}; with --small {usual.small_steps}]",
            ),
            click.option(
                "--beside", type=click.FloatRange(min=0), default=0, show_default=True, metavar="ε",
                help="Start beside E, at this distance relative to the parameters.",
            ),
            click.option(
                "--released", is_flag=True,
                help="Augment also as the released code does, whose draws are not uniform.",
            ),
            click.option(
                "--passes", type=options.positive, metavar="K",
                help="Passes over all data an augmented step, where a random element moves each "
                f"batch.  [default: {_PASSES}; with --small, the mean over the group instead]",
            ),
            click.option(
                "--channels", type=click.IntRange(min=2), metavar="C",
                help=f"Of the first hidden layer, 32 in the paper.  [default: {usual.channels}]",
            ),
            click.option(
                "--small", is_flag=True,
                help="Train three layers of two channels, by one random batch a step.",
            ),
            click.option(
                "--repeats", type=options.positive, metavar="R",
                help="Runs from different parameters; with --resume, more of them are added."
                "  [default: 1; with --small 5]",
            ),
        ):  # fmt: skip
            command = option(command)
        return output_options(command)

    return decorate


@dynamics.command(cls=Command, short_help="Graphs: is it connected? All permutations of 10 nodes.")
@_options("perm")
def perm(**given: Any) -> None:
    """Train on graphs of a stochastic block model of ten nodes."""
    _run("perm", None, **given)


@dynamics.command(cls=Command, short_help="Digits of 14×14 pixels, all 196 cyclic shifts.")
@click.argument("data", default="sample:digits")
@options.pixels
@_options("trans")
def trans(data: str, **given: Any) -> None:
    """Train on DATA, digits of 28×28 pixels, of which every other one is taken."""
    _run("trans", data, **given)


@dynamics.command(cls=Command, short_help="Which pixels are a triangle's or pentagon's? Turns.")
@_options("rot")
def rot(**given: Any) -> None:
    """Train to tell which pixels belong to a triangle and which to a pentagon; quarter turns."""
    _run("rot", None, **given)


@dynamics.command(cls=Command, short_help="Digits of 14×14 pixels, four groups, one architecture.")
@click.argument("data", default="sample:digits")
@options.pixels
@_options("groups")
def groups(data: str, **given: Any) -> None:
    """Train on DATA with shifts, shifts along x, quarter turns, and shifts with quarter turns."""
    _run("groups", data, **given)


@dynamics.command(cls=Command, short_help="Shallow ensembles: augmented, averaged, equivariant.")
@click.option(
    "--units", default="10,100,1000", show_default=True, metavar="N,…",
    help="Numbers of units of the students.",
)
@click.option(
    "--steps", type=options.positive, default=200, show_default=True, metavar="T",
    help="Steps of gradient descent.",
)
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), default=0.5, show_default=True,
    metavar="η", help="Learning rate.",
)
@click.option(
    "--repeats", type=options.positive, default=30, show_default=True, metavar="R",
    help="Teachers, students and data.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S",
    help="Seed of all random choices.",
)  # fmt: skip
@output_options
def meanfield(
    units: str, steps: int, rate: float, repeats: int, seed: int, output: str, plot: str | None,
    resume: bool, overwrite: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train ensembles of units on teachers that are weakly, strongly or not invariant.

    From the same units by augmentation over four cyclic shifts, by averaging the function over
    them, and within the units that shifts do not move (SI). The functions of the first two come
    together as the number of units grows.
    """
    from refntk.dynamics.meanfield import TEACHERS, meanfield_rows, summarize_meanfield
    from refntk.errors import InputError
    from refntk.plot.dynamics import plot_meanfield

    try:
        counts = [int(part) for part in units.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise InputError(f"--units: expected numbers of units such as 10,100, not {units!r}")
    record = {
        "command": "dynamics meanfield", "units": counts, "steps": steps, "rate": rate,
        "seed": seed,
    }  # fmt: skip
    with (
        open_table(output, record, plot, resume, overwrite) as table,
        ProgressBar(len(TEACHERS) * len(counts) * repeats, quiet=quiet, unit="students") as bar,
    ):
        done = tuple(table.rows)
        for row in meanfield_rows(counts, steps, rate, repeats, seed, done, bar.update):
            table.append(row)
    echo_columns(summarize_meanfield(table.rows))
    finish(output, len(table.rows), plot, lambda: plot_meanfield(table.rows))


@dynamics.command(cls=Command, short_help="Dimensions of E beside those of all layers.")
@click.option(
    "--channels", type=click.IntRange(min=2), default=32, show_default=True, metavar="C",
    help="Of the first hidden layer.",
)  # fmt: skip
def dimensions(channels: int) -> None:
    """Print the dimensions of E, of single layers and relative for whole networks.

    Tables 1 and 2 of arXiv:2303.13458, whose relative dimensions are of all layers together.
    """
    from refntk.dynamics.experiments import dimension_rows

    echo_columns(dimension_rows(channels))


@dynamics.command(cls=Command, short_help="Newton's method along a symmetry, in two dimensions.")
@click.option(
    "--error", type=click.FloatRange(min=0, min_open=True), default=1e-8, show_default=True,
    metavar="ε", help="What the gradient errs by along the symmetry, in the second half.",
)
@click.option(
    "--steps", type=options.positive, default=8, show_default=True, metavar="T", help="Steps."
)  # fmt: skip
def quotient(error: float, steps: int) -> None:
    """Minimise (‖x‖² - 1)²/4 in the plane and on its quotient by rotations, the radii.

    By steepest descent, by Newton's method, and with Newton's equation solved by conjugate
    gradients that leave directions without curvature alone.
    """
    from refntk.dynamics.quotient import quotient_rows

    echo_columns(list(quotient_rows(steps=steps, error=error)))


@dynamics.command(cls=Command, short_help="Draw examples of the triangles and pentagons of rot.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The picture to write.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S",
    help="Seed of the data.",
)  # fmt: skip
@options.overwrite
def shapes(output: str, seed: int, overwrite: bool) -> None:
    """Draw images that rot trains on, and their masks; say how alike the shapes are turned."""
    from refntk.dynamics.experiments import SIDE, shape_examples
    from refntk.plot import save_figure
    from refntk.plot.dynamics import plot_shapes
    from refntk.plot.style import check_figure_path

    check_figure_path(output, overwrite=overwrite)
    images, masks, rows = shape_examples(seed)
    save_figure(plot_shapes(images, masks, SIDE), output)
    echo_columns(rows)
    say(f"{output}: picture of the first images")


def _run(
    name: str, data: str | None, *, seed: int, repeats: int | None, small: bool, output: str,
    plot: str | None, resume: bool, overwrite: bool, quiet: bool,
    reading: dict[str, Any] | None = None, **given: Any,
) -> None:  # fmt: skip
    from refntk.data import load_inputs
    from refntk.dynamics.experiments import EXPERIMENTS, subsample
    from refntk.dynamics.study import Schedule, dynamics_rows, modes, passes_a_step, summarize
    from refntk.errors import InputError
    from refntk.plot.dynamics import plot_dynamics

    settings = _settings(name, small, given)
    record: dict[str, Any] = {"command": f"dynamics {name}", "seed": seed} | settings
    digits = None
    if data is not None:
        inputs = load_inputs(data, **(reading or {}))
        images = inputs.info1
        if images.labels is None:
            raise InputError(f"{data}: has no labels; the classes of the digits are needed")
        digits = subsample(inputs.x1), images.labels
        record["images"] = images.digest
        record |= options.changed(reading or {})
    kept = {key: settings[key] for key in settings if key not in ("small", "channels", "samples")}
    schedule = Schedule(every=max(1, settings["steps"] // 20), **kept)
    passes = sum(passes_a_step(schedule, mode) for mode in modes(schedule))
    repeats = repeats or (5 if small else 1)
    total = len(EXPERIMENTS[name]) * passes * repeats * schedule.steps
    with (
        open_table(output, record, plot, resume, overwrite) as table,
        ProgressBar(total, quiet=quiet, unit="passes") as bar,
    ):
        done = tuple(table.rows)
        for row in dynamics_rows(
            name, schedule, repeats, seed, digits, done, bar.update,
            channels=settings.get("channels"), samples=settings["samples"],
        ):  # fmt: skip
            table.append(row)
    echo_columns(summarize(table.rows))
    finish(output, len(table.rows), plot, lambda: plot_dynamics(table.rows))


def _settings(name: str, small: bool, given: dict[str, Any]) -> dict[str, Any]:
    """Put in the defaults; what is left out has no meaning for this network."""
    from refntk.errors import InputError

    usual = _DEFAULTS[name]
    settings: dict[str, Any]
    if small:
        if given["channels"] is not None:
            raise InputError("--small: has two channels; leave --channels out")
        settings = {
            "small": True, "steps": usual.small_steps, "batch": usual.small_batch,
            "rate": usual.small_rate, "samples": 1000,
        }  # fmt: skip
    else:
        settings = {
            "steps": usual.steps, "batch": usual.batch, "rate": _RATE, "samples": usual.samples,
            "channels": usual.channels, "passes": _PASSES,
        }  # fmt: skip
    settings |= {key: value for key, value in given.items() if value}
    if "released" in settings and "passes" not in settings:
        raise InputError("--released: is a way to draw passes; give their number, --passes 25")
    if "released" in settings and name == "perm":
        raise InputError("--released: draws permutations as --passes does; leave it out")
    return settings
