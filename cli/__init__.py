"""The `refntk` command: one file a command, no arithmetic, heavy imports inside the commands."""

from __future__ import annotations

import click

from refntk.cli.accuracy import accuracy
from refntk.cli.bench import bench
from refntk.cli.bridge import bridge
from refntk.cli.check import check
from refntk.cli.compute import compute
from refntk.cli.converge import converge
from refntk.cli.data import data
from refntk.cli.dynamics import dynamics
from refntk.cli.env import env
from refntk.cli.export import export
from refntk.cli.info import info
from refntk.cli.learning_curve import learning_curve
from refntk.cli.merge import merge
from refntk.cli.networks import networks
from refntk.cli.oracle import oracle
from refntk.cli.plot import plot
from refntk.cli.predict import predict
from refntk.cli.program import Program
from refntk.cli.spectral import spectral
from refntk.cli.symmetry import symmetry
from refntk.cli.verify import verify

__all__ = ["main"]


@click.group(
    cls=Program,
    epilog="""\b
Start here:
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


for _command in (
    compute,
    info,
    check,
    export,
    merge,
    predict,
    learning_curve,
    plot,
    converge,
    networks,
    data,
    spectral,
    dynamics,
    symmetry,
    bridge,
    oracle,
    verify,
    bench,
    accuracy,
    env,
):
    main.add_command(_command)
