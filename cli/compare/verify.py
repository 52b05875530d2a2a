"""`refntk verify`: the promises of refntk, checked on the machine at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from refntk.cli import options
from refntk.cli.program import BadUse, Command, Fault, Program
from refntk.cli.say import say
from refntk.progress import ProgressBar

if TYPE_CHECKING:
    from refntk.truth.verify import Check

__all__ = ["augmentation", "dynamics", "everything", "verify"]


class _Verify(Program):
    """A group that runs all checks where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Add the command that is meant."""
        return super().parse_args(ctx, args or ["all"])


@click.group(
    cls=_Verify,
    short_help="Check what refntk promises, on this machine.",
    epilog="""\b
Examples:
  refntk verify
  refntk verify augmentation sample:histology
  refntk verify dynamics""",
)
def verify() -> None:
    """Check on this machine what refntk promises; without COMMAND, everything.

    That takes under a minute, and a few more where the fast code is not compiled yet.

    Exit status: 0 all checks passed, 1 one failed.
    """


@verify.command(
    "all",
    cls=Command,
    short_help="Every check of the installed package (the default).",
    epilog="""\b
Example:
  refntk verify""",
)
def everything() -> None:
    """Run every check of the installed package, and print a table.

    A line gives the largest error that a check found and the bound that it is held to. Errors of
    kernels are relative to each entry, and count for the NNGP and the NTK. The first check compiles
    the fast code where that was not done before.
    """
    from refntk.truth.verify import CHECKS

    _run(CHECKS)


@verify.command(
    cls=Command,
    short_help="Theorems on augmented and equivariant training, at finite width.",
    epilog="""\b
Example:
  refntk verify dynamics""",
)
def dynamics() -> None:
    """Run checks of the theorems of arXiv:2303.13458 on small networks, and print a table.

    The gradients and Hessians of the nominal, augmented and equivariant risk at equivariant
    parameters; that exact augmented training stays there; dimensions of the spaces of equivariant
    layers; points that are stable for one risk and not for another; and statements about shallow
    ensembles, free, augmented, averaged and equivariant ones.
    """
    from refntk.dynamics.meanfield import MEAN_FIELD
    from refntk.dynamics.theorems import THEOREMS

    _run((*THEOREMS, *MEAN_FIELD))


def _run(checks: Sequence[Check]) -> None:
    from refntk.truth.verify import verify as outcomes

    width = max(len(check.name) for check in checks)
    say(f"{'check':<{width}}  {'error':>8}  {'bound':>8}  {'time':>7}")
    failed = 0
    results = outcomes(checks)
    for check in checks:
        say(f"{check.name:<{width}}  ", nl=False)  # what is going on, from the beginning
        outcome = next(results)
        error = "" if outcome.error is None else f"{outcome.error:.2g}"
        verdict = "ok" if outcome.passed else "FAILED"
        if outcome.skipped:
            verdict = f"skipped: {outcome.skipped}"
        failed += not outcome.passed
        say(
            f"{error:>8}  {check.bound:>8.2g}  "
            f"{outcome.seconds:>5.1f} s  {verdict}"
        )
    if failed:
        raise Fault(
            f"{failed} of {len(checks)} checks failed; please report the table with the output of "
            "`refntk env`"
        )


@verify.command(
    cls=Command,
    short_help="Augmented data or an equivariant network: the same predictions.",
    epilog="""\b
Examples:
  refntk verify augmentation sample:histology
  refntk verify augmentation sample:digits --limit 60 --network mine.toml""",
)
@click.argument("images")
@click.option(
    "--network",
    default="gcnn-convergence",
    show_default=True,
    metavar="NETWORK",
    help="The group network, linear after its pooling.",
)
@click.option(
    "--limit",
    type=options.positive,
    default=24,
    show_default=True,
    metavar="N",
    help="Take at most N images: two thirds to train on, one third to predict.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="S",
    help="Seed of the choice of images.",
)
@click.option("--size", type=options.positive, metavar="PX", help="Shrink the images to PX by PX.")
@options.pixels
@options.threads
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
def augmentation(
    images: str,
    network: str,
    limit: int,
    seed: int,
    size: int | None,
    threads: int | None,
    quiet: bool,
    reading: dict[str, Any],
) -> None:
    """Train on all rotated copies of IMAGES, and train a group network on IMAGES alone.

    IMAGES is an input with labels, as for `refntk compute`. The infinitely wide ordinary network on
    the copies and the group network on the data make the same mean predictions at every training
    time, on the training images and on others. The table gives the largest difference, and next to
    it the largest prediction; below it, what the two ways cost. Differences above 1e-9 are a
    failure.
    """
    from refntk.data import load_inputs
    from refntk.network.presets import load_network
    from refntk.symmetry.augmentation import BOUND, compare, pairs, split_targets

    net = load_network(network)
    inputs = load_inputs(images, limit=limit, seed=seed, size=size, axes=net.axes, **reading)
    if inputs.info1.labels is None:
        raise BadUse(f"{images}: has no labels, which are what the networks are trained on")
    train, test, targets = split_targets(inputs.info1.labels, seed)
    inside, outside = inputs.x1[train], inputs.x1[test]
    with ProgressBar(pairs(net, inside, outside), quiet=quiet) as bar:
        found = compare(net, inside, targets, outside, threads=threads, progress=bar.update)
    say(
        f"ordinary network on {found.copies} images, all copies under {found.group} of "
        f"{len(train)}; {net.name or network} on these {len(train)}; predictions for them and "
        f"{len(test)} others"
    )
    say(f"{'training time':>13}  {'difference':>10}  {'of predictions up to':>20}")
    for when, gap, size_of in zip(found.times, found.differences, found.largest, strict=True):
        say(f"{when:>13.4g}  {gap:>10.2g}  {size_of:>20.3g}")
    say(
        f"cost: {found.kernels[0]} ordinary kernels and {found.seconds[0]:.2f} s on the copies, "
        f"{found.kernels[1]} and {found.seconds[1]:.2f} s with the group network: "
        f"{found.kernels[0] / found.kernels[1]:.2f} and {found.cost_ratio:.2f} times as much"
    )
    if not max(found.differences) <= BOUND:
        raise Fault(
            f"the largest difference, {max(found.differences):.2g}, is above {BOUND:g}; please "
            "report this with the output of `refntk env`"
        )
