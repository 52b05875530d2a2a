"""What computes tiles: one interface for this process and for a cluster.

A `Runner` takes a job and some of its tiles and yields each with its kernels as it is finished, in
any order. What is above it, progress and storage, is the same for one processor and for a
thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from refntk.evaluation.evaluate import FloatArray, Job
from refntk.evaluation.tiles import Tile

__all__ = ["Done", "Kernels", "Runner", "in_process"]

Kernels = dict[str, FloatArray]
"""Kernels by name."""

Done = tuple[Tile, Kernels]
"""A tile and its kernels, each an array of the shape of the tile."""


class Runner(Protocol):
    """Compute tiles of a job, see `in_process` and `refntk.evaluation.cluster.open_runner`."""

    def __call__(
        self, job: Job, tiles: Iterable[Tile], progress: Callable[[int], None] = ...
    ) -> Iterator[Done]:
        """Yield each tile with its kernels, in the order in which they are finished.

        Parameters
        ----------
        job : Job
        tiles : iterable of Tile
            Some of ``job.tiles``; they are taken from it as they are needed.
        progress : callable
            Called with numbers of pairs that have been computed since the last call.
        """
        ...


def in_process(
    job: Job, tiles: Iterable[Tile], progress: Callable[[int], None] = lambda pairs: None
) -> Iterator[Done]:
    """Compute tiles one after the other in this process, with all threads of the job.

    Parameters
    ----------
    job, tiles, progress
        See `Runner`.

    Yields
    ------
    tile : Tile
    kernels : dict of float array, shape of the tile
    """
    for tile in tiles:
        yield tile, job.block(tile, progress)
