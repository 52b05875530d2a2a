"""`refntk spectral`: when a kernel machine completes the poses of an object it saw in part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from refntk.cli import options
from refntk.cli.columns import echo_columns
from refntk.cli.experiments.spectral_heat import heat
from refntk.cli.experiments.spectral_options import (
    Setting,
    numbers_of,
    open_study,
    study_options,
)
from refntk.cli.experiments.spectral_seeds import classes, seeds, trials
from refntk.cli.experiments.spectral_trained import trained
from refntk.cli.program import Command, Program
from refntk.cli.result_tables import finish, open_table, output_options
from refntk.cli.say import say
from refntk.progress import ProgressBar

if TYPE_CHECKING:
    from refntk.data.results.result_table import Table

__all__ = ["advise", "modular", "pairs", "spectral", "toy"]


@click.group(
    cls=Program,
    short_help="Predict which symmetries a network learns from data.",
    epilog="""\b
Examples:
  refntk spectral toy -o toy.csv --plot toy.svg
  refntk spectral pairs sample:digits --pairs 32 -o pairs.csv --plot pairs.svg
  refntk spectral advise sample:digits -n cnn-gap -n gcnn-c4 -o advice.csv""",
)
def spectral() -> None:
    """Spectral theory of symmetry learning (arXiv:2412.11521), with exact kernels.

    Each image is swept into an orbit: N rotations by 360°/N, or N cyclic shifts. A kernel machine
    that knows all poses but one predicts (1 - ε) times the right label there, and is wrong where
    the error ε is above 1. The theory gives ε from the spectrum of the kernel on the orbits; every
    command reports it beside the exact one, with the same regularisation in both.
    """


@spectral.command(cls=Command, short_help="Two circles of points under a Gaussian kernel.")
@click.option(
    "--diag-reg", type=click.FloatRange(min=0), default=1e-5, show_default=True, metavar="λ",
    help="Nugget, in the exact and in the spectral error.",
)  # fmt: skip
@output_options
def toy(
    diag_reg: float, output: str, plot: str | None, resume: bool, overwrite: bool, quiet: bool
) -> None:
    """Sweep number and separation of points on two circles: the theory where it is exact."""
    from refntk.plot.spectral import plot_toy
    from refntk.spectral.toy import toy_rows

    record = {"command": "spectral toy", "diag_reg": diag_reg}
    with open_table(output, record, plot, resume, overwrite) as table:
        for row in toy_rows(diag_reg)[len(table.rows) :]:
            table.append(row)
    gap = max(abs(row["exact"] / row["spectral"] - 1) for row in table.rows)
    say(f"largest relative difference of exact and spectral error: {gap:.2g}")
    finish(output, len(table.rows), plot, lambda: plot_toy(table.rows))


@spectral.command(cls=Command, short_help="Addition modulo p, with and without its symmetry.")
@click.option(
    "-n", "--network", "networks", multiple=True, default=("mlp-1",), show_default="mlp-1",
    metavar="NETWORK", help="A preset or a TOML file; can be given several times.",
)
@click.option(
    "--moduli", default="5,11", show_default=True, metavar="P,…", help="What is added modulo."
)
@click.option(
    "--shares", default="0.3,0.5,0.8", show_default=True, metavar="T,…",
    help="Shares of the table of sums that are known.",
)
@click.option(
    "--repeats", type=options.positive, default=10, show_default=True, metavar="R",
    help="Random choices of what is known.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S",
    help="Seed of the choices.",
)
@click.option(
    "--get", type=options.Word("kernel", "nngp", "ntk"), default="ntk", show_default=True,
    metavar="nngp|ntk", help="Kernel of the networks.",
)  # fmt: skip
@output_options
def modular(
    networks: Sequence[str], moduli: str, shares: str, repeats: int, seed: int, get: str,
    output: str, plot: str | None, resume: bool, overwrite: bool, quiet: bool,
) -> None:  # fmt: skip
    """Add modulo p by kernel regression on a part of the table, from one-hot pairs (a, b).

    A fully connected kernel has three values there, and what it fits on the rest of the table is a
    function of a plus one of b: it is wrong everywhere. Its mean over (a, b) -> (a + s, b - s),
    which keeps the sum, has two values, and is right wherever the sum was seen.
    """
    from refntk.errors import InputError
    from refntk.network.presets import load_network
    from refntk.plot.spectral import plot_modular
    from refntk.spectral.modular import modular_rows, one_hot_pairs, summarize_modular

    primes = numbers_of("--moduli", moduli)
    for p in primes:
        one_hot_pairs(p)  # refuses what is no modulus
    try:
        parts = [float(part) for part in shares.split(",")]
    except ValueError:
        parts = []
    if not parts or not all(0 < part < 1 for part in parts):
        raise InputError(
            f"--shares: expected numbers between 0 and 1 such as 0.3,0.8, not {shares!r}"
        )
    nets = {name: load_network(name) for name in networks}
    record = {
        "command": "spectral modular", "networks": {name: net.hash for name, net in nets.items()},
        "moduli": primes, "shares": parts, "seed": seed, "repeats": repeats, "get": get,
    }  # fmt: skip
    total = len(nets) * len(primes) * len(parts) * repeats
    with (
        open_table(output, record, plot, resume, overwrite) as table,
        ProgressBar(total, quiet=quiet, unit="fits") as bar,
    ):
        there = len(table.rows)
        for k, row in enumerate(modular_rows(nets, primes, parts, repeats, seed, get, bar.update)):
            if k >= there:
                table.append(row)
    echo_columns(summarize_modular(table.rows))
    finish(output, len(table.rows), plot, lambda: plot_modular(table.rows))


@spectral.command(
    cls=Command,
    short_help="Exact and spectral errors over random pairs of images.",
    epilog="""\b
Examples:
  refntk spectral pairs sample:digits --pairs 32 -o pairs.csv --plot pairs.svg
  refntk spectral pairs digits.npz::images --group shift-x --poses 14 -o shifts.csv
  refntk spectral pairs digits.npz::images -n gcnn-c4 -n gcnn-d4 --poses 8 -o gcnn.csv""",
)
@study_options("8")
@click.option(
    "--pairs", type=options.positive, default=512, show_default=True, metavar="P",
    help="Pairs of images of different classes.",
)
@click.option(
    "--released", is_flag=True,
    help="Nuggets of the paper's released code, in place of --diag-reg: 1e-10 of the trace in "
    "regression, 1e-5 · 2N in eq. 7.",
)
@click.option(
    "--geometry", metavar="FILE",
    help="Draw both causes against distance and radius of the orbits in the space of images.",
)  # fmt: skip
@output_options
def pairs(
    pairs: int, released: bool, geometry: str | None, output: str, plot: str | None,
    resume: bool, overwrite: bool, quiet: bool, **given: Any,
) -> None:  # fmt: skip
    """Compare both errors over random pairs of images of DATA, and show the two causes."""
    from refntk.plot import save_figure
    from refntk.plot.spectral import plot_pairs
    from refntk.plot.spectral_points import plot_geometry
    from refntk.plot.style import check_figure_path
    from refntk.spectral.study import draw_pairs
    from refntk.spectral.summary import summarize_pairs

    setting = open_study("pairs", **given)
    drawn = draw_pairs(setting.labels, pairs, given["seed"])
    record = setting.record | {"pairs": pairs}
    if released:
        record["diag_reg"] = "released"
    if geometry is not None:
        check_figure_path(geometry, overwrite=resume or overwrite)
    with open_table(output, record, plot, resume, overwrite) as table:
        _measure_pairs(setting, drawn, table, None if released else given["diag_reg"], quiet)
    echo_columns(summarize_pairs(table.rows))
    finish(output, len(table.rows), plot, lambda: plot_pairs(table.rows))
    if geometry is not None:
        save_figure(plot_geometry(table.rows), geometry)
        say(f"{geometry}: picture of {output}")


def _measure_pairs(
    setting: Setting, drawn: list[tuple[int, int]], table: Table, diag_reg: float | None,
    quiet: bool,
) -> None:  # fmt: skip
    from refntk.spectral.study import pair_rows

    total = len(setting.nets) * len(setting.poses) * len(drawn)
    rows = pair_rows(
        setting.study, setting.nets, setting.labels, drawn, setting.poses, diag_reg,
        tuple(table.rows),
    )  # fmt: skip
    with ProgressBar(total, quiet=quiet, unit="pairs of orbits") as bar:
        bar.update(len(table.rows))
        for row in rows:
            table.append(row)
            bar.update(1)


@spectral.command(
    cls=Command,
    short_help="Which classes will generalise to unseen poses, and what limits the others.",
    epilog="""\b
Columns:
  error        predicted error of a pose left out, with the most poses, wrong above 1: that of the
               pair of images in the middle, from the spectra of each orbit (by_orbit)
  separation   its numerator, large where the classes are close together
  density      its denominator, large where poses are close together
  between      median error where the quarter turns of the pose are left out as well
  poses        smallest number tried from which on 90 % of the pairs of images are right
  equivariant  whether a network that is equivariant under quarter turns (shifts) is worth it: its
               error is 0 where the data hold a turn of the pose, and that of "between" elsewhere;
               there need not be one among the networks

\b
Examples:
  refntk spectral advise sample:digits -n cnn-gap -n gcnn-c4 -o advice.csv --plot advice.svg
  refntk spectral advise tiles/ --size 28 -n cnn-paper -n gcnn-paper --poses 4,8 -o advice.csv""",
)
@study_options("4,8,16")
@click.option(
    "--seeds", type=options.positive, default=3, show_default=True, metavar="M",
    help="Pairs of images for each pair of classes.",
)  # fmt: skip
@output_options
def advise(
    seeds: int, output: str, plot: str | None, resume: bool, overwrite: bool, quiet: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Predict, for each pair of classes of DATA, whether networks will know unseen poses.

    It also says whether an equivariant network is worth it.
    """
    from refntk.plot.spectral import plot_advice
    from refntk.spectral.study import draw_class_pairs
    from refntk.spectral.summary import advice, worth

    setting = open_study("advise", **given)
    drawn = draw_class_pairs(setting.labels, seeds, given["seed"])
    with open_table(output, setting.record | {"seeds": seeds}, plot, resume, overwrite) as table:
        _measure_pairs(setting, drawn, table, given["diag_reg"], quiet)
    equivariant = setting.study.equivariant(setting.nets, max(setting.poses))
    advised = advice(table.rows, setting.class_names, equivariant)
    echo_columns(advised)
    for line in worth(advised):
        say(line)
    finish(output, len(table.rows), plot, lambda: plot_advice(table.rows, setting.class_names))


for _command in (seeds, trials, classes, trained, heat):
    spectral.add_command(_command)
