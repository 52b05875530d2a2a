"""What commands share that need a kernel and do not care where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from refntk.cli.progress import ProgressBar
from refntk.cli.signals import interruptible

if TYPE_CHECKING:
    from refntk.data.kernel_cache import CachedKernel

__all__ = ["complete"]


def complete(kernel: CachedKernel, *, quiet: bool) -> None:
    """Compute what is missing of a kernel, with a progress bar; nothing where it was found.

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
    if kernel.found:
        return
    with kernel.open() as writer:
        if writer.stale is not None:
            stale = f"its lock was left behind by {writer.stale}, which is gone"
            click.echo(f"{kernel.path}: {stale}", err=True)
        missing = writer.missing()
        with (
            interruptible(lambda: writer.kept_text, again=()),
            ProgressBar(sum(part.pairs for part in missing), quiet=quiet) as bar,
        ):
            for part in missing:
                writer.write(part, kernel.job.block(part, bar.update))
            writer.finish()
