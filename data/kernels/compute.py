"""A kernel that is computed into a file, from Python: whatever stops it, it goes on later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from refntk.data.kernels.kernel_cache import describe_job
from refntk.data.kernels.kernel_writer import KernelWriter
from refntk.data.kernels.saving import array_inputs
from refntk.evaluation.cluster import open_runner
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.evaluation.residence import Residence
from refntk.evaluation.result import Computed, Origin
from refntk.network.network import Network
from refntk.network.signal import Layer
from refntk.progress import reporting

__all__ = ["compute_kernel", "fill"]


def compute_kernel(
    net: Network | str | Sequence[Layer],
    x1: Any,
    x2: Any | None = None,
    *,
    path: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | bool | None = None,
    **options: Any,
) -> None:
    """Compute a kernel file, as `refntk compute` does.

    The file appears when it is complete. Until then what is done is beside it, in PATH.part, and
    survives whatever stops the computation; `resume` goes on from there, and the result is bitwise
    the same.

    Parameters
    ----------
    net, x1, x2, progress
        As for `refntk.kernel`.
    path : str or path
        ``refntk.open_kernel`` reads it.
    resume : bool
        Go on with what was interrupted, if anything was: the same network, images and options.
    overwrite : bool
        Replace the file if it exists.
    scheduler : str, optional
        Compute on the workers of a dask scheduler, as ``refntk compute --scheduler`` does.
    **options
        ``get``, ``dtype``, ``scale`` and others, as for `refntk.evaluation.options.Options`.

    Raises
    ------
    StoreError
        The file exists, another process writes it, it was begun with something else, or it cannot
        be written.
    ClusterError
        The scheduler or its workers failed; what was computed is kept.
    RefntkError
        As `refntk.kernel`.

    Examples
    --------
    >>> import numpy as np, refntk, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = folder + "/tiles.h5"
    ...     refntk.compute_kernel("mlp-1", np.eye(3), path=file, get="ntk")
    ...     with refntk.open_kernel(file) as kernel:
    ...         kernel.ntk.shape
    (3, 3)
    """
    sets = (x1,) if x2 is None else (x1, x2)
    chosen = Options(**options)
    place = Residence(*(_pixels(images) for images in sets), backend=chosen.backend)
    taken = [_taken(images, place) for images in sets]
    job = Job(net, taken[0], None if x2 is None else taken[1], chosen)
    inputs = array_inputs(Origin(Computed.by(job), tuple(taken), chosen.scale))
    with KernelWriter(
        path, describe_job(job, inputs), resume=resume, overwrite=overwrite
    ) as writer:
        total = sum(part.pairs for part in writer.missing())
        with reporting(progress, total) as report:
            fill(writer, job, scheduler=scheduler, report=report)


def fill(
    writer: KernelWriter,
    job: Job,
    *,
    scheduler: str | None = None,
    report: Callable[[int], None] = lambda pairs: None,
    note: Callable[[str], None] = lambda text: None,
) -> None:
    """Compute and write what is missing of a kernel file, and finish it.

    Parameters
    ----------
    writer : KernelWriter
        Open, of the kernel of `job`.
    job : Job
    scheduler : str, optional
        As `refntk.evaluation.cluster.open_runner` takes it. Default: this process.
    report : callable
        Called with numbers of pairs that were computed.
    note : callable
        Called with lines about workers that come and go.

    Raises
    ------
    ClusterError
        The scheduler or its workers failed; what was computed is kept.
    """
    missing = writer.missing()
    logging.getLogger("refntk").info("%s: %d tiles to compute", writer.path, len(missing))
    # Nothing is started where everything is done.
    with open_runner(scheduler if missing else None, note) as run:
        for part, blocks in run(job, missing, report):
            writer.write(part, blocks)
    writer.finish()


def _pixels(images: Any) -> Any:
    """Give the array of a set of images that were read."""
    return getattr(images, "images", images)


def _taken(images: Any, place: Residence) -> Any:
    """Bring images to the host; what was read from files is there, with its labels."""
    return images if hasattr(images, "images") else place.take(images)
