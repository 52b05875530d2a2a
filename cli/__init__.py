"""The `refntk` command: one file a command, no arithmetic, heavy imports inside the commands."""

from __future__ import annotations

import click

from refntk.cli.compare.accuracy import accuracy
from refntk.cli.compare.bench import bench
from refntk.cli.compare.check import check
from refntk.cli.compare.converge import converge
from refntk.cli.compare.oracle import oracle
from refntk.cli.compare.verify import verify
from refntk.cli.experiments.bridge import bridge
from refntk.cli.experiments.dynamics import dynamics
from refntk.cli.experiments.spectral import spectral
from refntk.cli.experiments.symmetry import symmetry
from refntk.cli.learn.learning_curve import learning_curve
from refntk.cli.learn.predict import predict
from refntk.cli.look.compute import compute
from refntk.cli.look.demo import demo
from refntk.cli.look.export import export
from refntk.cli.look.info import info
from refntk.cli.look.merge import merge
from refntk.cli.look.networks import networks
from refntk.cli.look.plot import plot
from refntk.cli.look.report import report
from refntk.cli.machine.completion import completion
from refntk.cli.machine.data import data
from refntk.cli.machine.env import env
from refntk.cli.machine.warm_up import warm_up
from refntk.cli.program import Program

__all__ = ["SECTIONS", "main"]


@click.group(
    cls=Program,
    epilog="""\b
Start here:
  refntk demo
  refntk networks
  refntk compute gcnn-paper sample:histology -o histology.h5
  refntk info histology.h5

`refntk COMMAND -h` explains a command. Exit status: 0 done; 2 wrong use or bad input;
130 interrupted; 1 anything else that went wrong.""",
)
@click.version_option(package_name="refntk", message="%(prog)s %(version)s")
def main() -> None:
    """Exact kernels of infinitely wide equivariant networks on images.

    refntk computes the covariance of such a network's outputs at initialisation (NNGP) and its
    neural tangent kernel (NTK), for every pair of images, without sampling networks and without
    approximation.
    """


SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Compute and look": (demo, compute, info, plot, report, networks, export, merge),
    "Learn from kernels": (predict, learning_curve),
    "Check and compare": (check, verify, accuracy, bench, converge, oracle),
    "Experiments": (spectral, dynamics, symmetry, bridge),
    "Machine": (data, warm_up, completion, env),
}
"""All commands, as `refntk --help` groups them."""

main.sections = {title: [str(c.name) for c in commands] for title, commands in SECTIONS.items()}
for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
