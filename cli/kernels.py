"""What commands share that compute a kernel into a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from refntk.cli.program import typed
from refntk.cli.say import say
from refntk.cli.signals import interruptible
from refntk.progress import ProgressBar

if TYPE_CHECKING:
    from refntk.data.kernels.kernel_cache import CachedKernel
    from refntk.data.kernels.store import KernelWriter
    from refntk.evaluation.evaluate import Job
    from refntk.network.network import Network

__all__ = ["check_lattice", "complete", "fill"]


def check_lattice(lattice: str | None, nets: Iterable[Network]) -> None:
    """Refuse to bring images to a lattice that a network does not know.

    Parameters
    ----------
    lattice : str or None
    nets : iterable of Network

    Raises
    ------
    InputError
    """
    from refntk.errors import InputError

    for net in nets:
        if lattice and all(getattr(layer, "lattice", None) != lattice for layer in net.layers):
            raise InputError(
                f"--lattice {lattice}: the network {net.name or ''} would take the array for a "
                f'square image; its Lift needs lattice = "{lattice}"'
            )


def fill(
    writer: KernelWriter,
    job: Job,
    *,
    scheduler: str | None = None,
    quiet: bool,
    again: Sequence[str] = ("--resume",),
) -> None:
    """Compute and write what is missing of a kernel file, with a progress bar, and finish it.

    Parameters
    ----------
    writer : KernelWriter
        Open, of the kernel of `job`.
    job : Job
    scheduler : str, optional
        As `refntk.evaluation.cluster.open_runner` takes it. Default: this process.
    quiet : bool
        Show no progress bar.
    again : sequence of str
        Options that the command needs to continue after an interruption.

    Raises
    ------
    Interrupted
        By a signal; what was computed is kept.
    ClusterError
        The scheduler or its workers failed; what was computed is kept.
    """
    from refntk.data.kernels.compute import fill as compute
    from refntk.errors import ClusterError

    if writer.stale is not None:
        stale = f"its lock was left behind by {writer.stale}, which is gone"
        say(f"{writer.path}: {stale}", err=True)
    command = typed(click.get_current_context(), *again)
    with (
        interruptible(lambda: writer.kept_text, again=again),
        ProgressBar(sum(part.pairs for part in writer.missing()), quiet=quiet) as bar,
    ):
        try:
            compute(writer, job, scheduler=scheduler, report=bar.update, note=bar.note)
        except ClusterError as error:
            kept = writer.kept_text or "nothing was kept"
            raise ClusterError(f"{error}; {kept}. To continue: {command}") from error


def complete(kernel: CachedKernel, *, quiet: bool) -> None:
    """Compute what is missing of a kernel in a cache; nothing where it was found.

    Parameters
    ----------
    kernel : CachedKernel
    quiet : bool
        Show no progress bar.

    Raises
    ------
    Interrupted
        By a signal; what was computed is kept.
    """
    if not kernel.found:
        with kernel.open() as writer:
            fill(writer, kernel.job, quiet=quiet, again=())
