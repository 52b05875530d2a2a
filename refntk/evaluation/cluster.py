"""Tiles on the workers of a dask cluster.

Images go to the workers once, whole; then only tiles come back, and only this process writes. A
tile whose worker dies is computed again by another.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import importlib.util
import logging
import math
import queue
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from refntk.errors import ClusterError, InputError, RefntkError, missing_package
from refntk.evaluation.evaluate import Job
from refntk.evaluation.runner import Done, Kernels, Runner, in_process
from refntk.evaluation.tiles import Tile

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

__all__ = ["check_scheduler", "compute_tile", "open_runner"]

_LOCAL = re.compile(r"local:([1-9][0-9]*)")
_REMOTE = re.compile(r"(tcp|tls)://.+:[0-9]+")

_LOOPBACK = "127.0.0.1"
_SILENT = logging.CRITICAL + 1

_IGNORE_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""Ctrl-C goes to all processes of a terminal; workers are for their client to end."""

_TILES_A_THREAD = 2
"""Tiles that are under way for each thread of the workers: one at work and one that waits."""

_SECONDS_BETWEEN_COUNTS = 2.0
"""How often the workers are looked after: some join late, some leave."""

_SECONDS_TO_FETCH = 30.0
"""How long a finished tile may be on its way before another is looked at."""


def check_scheduler(scheduler: str | None) -> None:
    """Check what `open_runner` is going to be given, before there is work for it.

    Parameters
    ----------
    scheduler : str or None

    Raises
    ------
    InputError
        It is no scheduler.
    MissingPackageError
        The package distributed is not installed.
    """
    if scheduler is None:
        return
    if _LOCAL.fullmatch(scheduler) is None and _REMOTE.fullmatch(scheduler) is None:
        raise InputError(
            f"scheduler {scheduler!r}: expected local:N for N processes on this machine, or the "
            "address of a dask scheduler, tcp://HOST:PORT or tls://HOST:PORT"
        )
    if importlib.util.find_spec("distributed") is None:
        raise missing_package("a scheduler needs dask.distributed", "distributed")


@contextlib.contextmanager
def open_runner(
    scheduler: str | None, say: Callable[[str], None] = lambda message: None
) -> Iterator[Runner]:
    """Connect to a dask scheduler, or start workers on this machine, for as long as the context.

    Parameters
    ----------
    scheduler : str or None
        ``local:N`` starts N processes of one thread each, which listen on the loopback interface
        alone. ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` connects to a scheduler; certificates and
        timeouts are those of dask's configuration. None computes in this process.
    say : callable
        Called with a line of text where the user waits for something else than the computation.

    Yields
    ------
    Runner
        Its results are bitwise those of `in_process` where the processors have vector registers of
        the same width. Every worker thread computes a tile with ``job.threads`` threads. As many
        tiles are under way as keep all threads of the workers busy; each that is finished is
        fetched when the caller asks for it, so that this process holds one at a time.

    Raises
    ------
    InputError, MissingPackageError
        See `check_scheduler`.
    ClusterError
        The scheduler cannot be reached. Later, from the runner: it is lost, a worker has another
        version of refntk or fails, or a tile has brought down several workers.
    """
    if scheduler is None:
        yield in_process
        return
    check_scheduler(scheduler)
    import distributed

    local = _LOCAL.fullmatch(scheduler)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_silence())
        try:
            place: Any = scheduler
            if local is not None:
                place = stack.enter_context(_local_cluster(int(local[1])))
            client = stack.enter_context(distributed.Client(place, set_as_default=False))
        except Exception as error:
            _forget_frames(error)
            raise ClusterError(
                f"scheduler {scheduler}: cannot be used ({_line(error)}); check that it runs, its "
                "address and, for tls://, the certificates in dask's configuration"
            ) from error

        def run(
            job: Job, tiles: Iterable[Tile], progress: Callable[[int], None] = lambda pairs: None
        ) -> Iterator[Done]:
            return _Flight(client, job, scheduler, say).run(tiles, progress)

        yield run


def _local_cluster(count: int) -> LocalCluster:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=count, threads_per_worker=1, processes=True,
        host=_LOOPBACK, dashboard_address=f"{_LOOPBACK}:0", scheduler_kwargs={"dashboard": False},
        # With a limit dask would move the images to the disk.
        memory_limit=None, silence_logs=_SILENT, preload=[_IGNORE_INTERRUPT],
    )  # fmt: skip


def _forget_frames(error: BaseException | None) -> None:
    """Let go of a client that failed half-way: one that lives until the end blocks it for ever."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    gc.collect()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep dask's log from the terminal: what matters in it is raised as an error."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(_SILENT)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Flight:
    """Tiles that are under way on workers, and the job that the workers share.

    Parameters
    ----------
    client : distributed.Client
    job : Job
    scheduler : str
        As the user named it.
    say : callable
        See `open_runner`.

    Attributes
    ----------
    tiles : dict of Future to Tile
    """

    def __init__(
        self, client: Client, job: Job, scheduler: str, say: Callable[[str], None]
    ) -> None:
        self.tiles: dict[Future[Kernels], Tile] = {}
        self._client = client
        self._job = job
        self._scheduler = scheduler
        self._say = say
        self._finished: queue.SimpleQueue[Future[Kernels]] = queue.SimpleQueue()
        self._shared: Future[Job] | None = None
        self._threads = 0
        self._counted = -math.inf

    def run(self, tiles: Iterable[Tile], progress: Callable[[int], None]) -> Iterator[Done]:
        """Compute tiles, see `Runner`."""
        coming = iter(tiles)
        tile = next(coming, None)
        progress(0)
        try:
            while tile is not None or self.tiles:
                self._share()
                while tile is not None and len(self.tiles) < _TILES_A_THREAD * self._count():
                    self._submit(tile)
                    tile = next(coming, None)
                done = self._take()
                if done is not None:
                    progress(done[0].pairs)
                    yield done
        except (OSError, concurrent.futures.CancelledError) as error:
            if isinstance(error, RefntkError):
                raise
            raise self._lost() from error
        finally:
            if self._client.status == "running":
                self._client.cancel([future for future in (*self.tiles, self._shared) if future])

    def _share(self) -> None:
        """Send the job to all workers where none has it; what was under way then starts anew."""
        if self._shared is not None and self._shared.status == "finished":
            return
        again = list(self.tiles.values())
        self.tiles.clear()
        self._counted = -math.inf
        if not self._count():
            self._say(f"waiting for workers of {self._scheduler}")
        while True:
            while not self._count():
                time.sleep(_SECONDS_BETWEEN_COUNTS)
            # The last worker may have left since.
            with contextlib.suppress(TimeoutError):
                (self._shared,) = self._client.scatter([self._job], broadcast=True, hash=False)
                break
        for tile in again:
            self._submit(tile)

    def _count(self) -> int:
        """Count the threads of the workers, now and then: some join late, some leave."""
        if self._client.status == "connecting":
            self._say(f"connection to {self._scheduler} lost, trying again")
        while self._client.status == "connecting":
            time.sleep(0.1)
        if self._client.status != "running":
            raise self._lost()
        if time.monotonic() - self._counted >= _SECONDS_BETWEEN_COUNTS:
            self._threads = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
        return self._threads

    def _submit(self, tile: Tile) -> None:
        future = self._client.submit(
            compute_tile, self._shared, tile, version("refntk"), pure=False
        )
        self._watch(future, tile)

    def _watch(self, future: Future[Kernels], tile: Tile) -> None:
        self.tiles[future] = tile
        future.add_done_callback(self._finished.put)

    def _take(self) -> Done | None:
        """Wait for a finished tile, at most until it is time to look after the workers."""
        try:
            future = self._finished.get(timeout=_SECONDS_BETWEEN_COUNTS)
        except queue.Empty:
            return None
        tile = self.tiles.pop(future, None)
        if tile is None:  # of a flight whose images were lost
            return None
        try:
            return tile, future.result(timeout=_SECONDS_TO_FETCH)
        except RefntkError:
            raise
        except TimeoutError:  # its worker died with it: the scheduler has it computed again
            self._watch(future, tile)
        except concurrent.futures.CancelledError:  # the images are lost, or the scheduler is
            self.tiles[future] = tile
            self._shared = None
        except Exception as error:
            rows, cols = (f"{part.start}:{part.stop}" for part in tile)
            raise ClusterError(
                f"scheduler {self._scheduler}: tile [{rows}, {cols}] failed on a worker "
                f"({_line(error)}); check that the workers have the same packages and enough memory"
            ) from error
        return None

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"scheduler {self._scheduler}: the connection is lost and cannot be made again; start "
            "a scheduler and workers"
        )


def compute_tile(job: Job, tile: Tile, wanted: str) -> Kernels:
    """Compute a tile on a worker.

    Parameters
    ----------
    job : Job
    tile : Tile
    wanted : str
        Version of refntk that the worker must have.

    Returns
    -------
    dict of float array, shape of the tile

    Raises
    ------
    ClusterError
        The worker has another version.
    """
    found = version("refntk")
    if found != wanted:
        raise ClusterError(
            f"a worker on {socket.gethostname()} has refntk {found}, expected {wanted}: install "
            "the same version everywhere"
        )
    return job.block(tile)


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
