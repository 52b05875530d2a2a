"""`refntk oracle`: certified answers, and judging another implementation by them."""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase

import click

from refntk.cli import options
from refntk.cli.program import Command, Program
from refntk.cli.say import say
from refntk.progress import ProgressBar

__all__ = ["check", "export", "judge", "oracle"]

_only = click.option(
    "--only",
    metavar="PATTERN",
    default="*",
    help="Cases whose name fits PATTERN, in which * stands for anything, such as 'cnn-*'.",
)


@click.group(
    cls=Program,
    short_help="Judge another implementation by certified answers.",
    epilog="""\b
Examples:
  refntk oracle export suite.h5
  refntk oracle check suite.h5 answers.h5
  refntk oracle judge kernel.npy --network gcnn-paper --x images.npy""",
)
def oracle() -> None:
    """Judge another implementation of these kernels by certified answers."""


@oracle.command(
    cls=Command,
    short_help="Write the suite: inputs, networks and certified answers.",
    epilog="""\b
Examples:
  refntk oracle export suite.h5
  refntk oracle export cnn.h5 --only 'cnn-*'""",
)
@click.argument("suite", type=click.Path())
@_only
@click.option(
    "--prove",
    is_flag=True,
    help='Compute the answers again, in ball arithmetic; needs the extra "oracle".',
)
@click.option("--overwrite", is_flag=True, help="Replace SUITE if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
def export(suite: str, only: str, prove: bool, overwrite: bool, quiet: bool) -> None:
    """Write SUITE, an HDF5 file of small cases with answers and their error radii.

    A case is a network, as TOML, and a few small images; its answers are NNGP and NTK in ball
    arithmetic, with a radius that is proven. An implementation that is to be judged computes the
    same kernels and writes them into a file of its own, which `refntk oracle check` compares.
    docs/oracle.md describes both files.
    """
    from refntk.data.results.oracle_file import check_suite_path, read_suite, write_suite
    from refntk.oracle.cases import cases
    from refntk.oracle.truth import solve

    check_suite_path(suite, overwrite=overwrite)
    wanted = [case for case in cases() if fnmatchcase(case.name, only)]
    _some(only, len(wanted))
    known = {} if prove else read_suite().solved
    solved = []
    with ProgressBar(len(wanted), quiet=quiet, unit="cases") as bar:
        for case in wanted:
            solved.append(known[case.name] if case.name in known else solve(case))
            bar.update(1)
    write_suite(suite, solved, overwrite=overwrite)
    say(f"{suite}: {len(solved)} cases")


@oracle.command(
    cls=Command,
    short_help="Compare another implementation's answers with a suite.",
    epilog="""\b
Examples:
  refntk oracle check suite.h5 answers.h5
  refntk oracle check suite.h5 answers.h5 --only 'cnn-*' --answered
  refntk oracle check suite.h5 answers.h5 --json
  refntk oracle check sample:oracle answers.h5

Exit status: 0 all answers are right; 1 some are wrong; 2 none is wrong, but something could
not be judged.""",
)
@click.argument("suite", type=click.Path())
@click.argument("answers", type=click.Path())
@_only
@click.option(
    "--answered",
    is_flag=True,
    help="Leave out cases without an answer, of layers that the implementation does not have.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON, not a table.")
def check(suite: str, answers: str, only: str, answered: bool, as_json: bool) -> None:
    """Judge ANSWERS, another implementation's kernels of the cases in SUITE.

    SUITE is a file of `refntk oracle export`, or sample:oracle, which comes with refntk.
    Prints a table with the error of each case in units of its tolerance: up to 1 is right. Where
    wrong answers follow the pattern of a known mistake, such as a factor of 2 in the NTK of the
    first layer, it is named. What cannot be judged is one line on stderr.
    """
    from refntk.data.results.oracle_file import read_answers, read_suite
    from refntk.oracle.embedded import Judgement
    from refntk.oracle.verdicts import Verdict
    from refntk.oracle.verdicts import judge as judge_case

    asked = read_suite(suite)
    given = read_answers(answers, asked)
    known = [*asked.solved, *asked.damaged]
    for name in given:
        if name not in known:
            say(f"{answers}: {name}: the suite has no such case", err=True)
    wanted = [name for name in known if fnmatchcase(name, only)]
    _some(only, len(wanted))
    if answered:
        wanted = [name for name in wanted if name in given]
    verdicts = [
        judge_case(asked.solved[name], given.get(name, {}))
        if name in asked.solved
        else Verdict(name, obstacles=(f"{name}: {asked.damaged[name]}",))
        for name in wanted
    ]
    for obstacle in (line for verdict in verdicts for line in verdict.obstacles):
        say(f"not judged: {obstacle}", err=True)
    judgement = Judgement.of(verdicts, asked.solved, given)
    say(json.dumps(judgement.to_json(), indent=2) if as_json else str(judgement))
    if any(verdict.wrong for verdict in verdicts):
        sys.exit(1)
    sys.exit(2 if any(verdict.obstacles for verdict in verdicts) else 0)


@oracle.command(
    cls=Command,
    short_help="Compute a random sample of a big kernel matrix again.",
    epilog="""\b
Examples:
  refntk oracle judge kernel.npy --network gcnn-paper --x images.npy
  refntk oracle judge kernel.h5 --network mine.toml --x train.npz::images --entries 1000
  refntk oracle judge cross.npy --get nngp --network cnn-paper --x test.npy --x2 train.npy

Exit status: 0 every entry of the sample is right; 1 some are wrong.""",
)
@click.argument("matrix", type=click.Path())
@click.option("--network", required=True, metavar="NETWORK", help="A preset or a TOML file.")
@click.option(
    "--x", "x1", required=True, metavar="X1", help="Images of the rows, as for `refntk compute`."
)
@click.option("--x2", metavar="X2", help="Images of the columns.  [default: X1 again]")
@click.option(
    "--get",
    type=options.Word("kernel", "nngp", "ntk"),
    metavar="nngp|ntk",
    help="Which kernel it is.  [default: ntk of a .npy file, all of an .h5 file]",
)
@click.option(
    "--entries",
    type=options.positive,
    metavar="N",
    default=200,
    show_default=True,
    help="Entries to draw: N right ones bound the share of wrong ones by about 3/N.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    default=0,
    show_default=True,
    help="Seed of the draw.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    metavar="T",
    help="Relative error that is right.  [default: 1e-9 in float64, 1e-4 in float32]",
)
@options.threads
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
def judge(
    matrix: str,
    network: str,
    x1: str,
    x2: str | None,
    get: str | None,
    entries: int,
    seed: int,
    tolerance: float | None,
    threads: int | None,
    quiet: bool,
) -> None:
    """Judge MATRIX, a kernel matrix in a .npy or .h5 file, by a random sample of its entries.

    The sample is computed again in double precision. The lines on stdout tell the largest error
    and, with 95 % confidence, which share of all entries can be wrong. The images of a kernel file
    of refntk are prepared as it says that they were; other images are taken as they are, integers
    divided by the largest value of their type.
    """
    from refntk.data.images.inputs import load_inputs
    from refntk.data.results.matrix_file import open_matrices
    from refntk.network.presets import load_network
    from refntk.oracle.sample import judge_matrix

    net = load_network(network)
    wrong = 0
    with open_matrices(matrix, get) as file:
        inputs = load_inputs(x1, x2, axes=net.axes, **file.preparation)
        for name, kernel in file.kernels.items():
            with ProgressBar(entries, quiet=quiet, unit="entries") as bar:
                sample = judge_matrix(
                    net, kernel, inputs.x1, inputs.x2, get=name, count=entries, seed=seed,
                    tolerance=tolerance, threads=threads, progress=bar.update,
                )  # fmt: skip
            say(f"{matrix}: {name}")
            say("\n".join(f"  {line}" for line in sample.report()))
            wrong += sample.wrong
    sys.exit(1 if wrong else 0)


def _some(only: str, count: int) -> None:
    if not count:
        raise click.BadParameter(f"no case has a name like {only!r}", param_hint="--only")
