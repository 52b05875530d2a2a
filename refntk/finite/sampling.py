"""Many draws of networks of finite width: seeds, worker processes, running means.

Each draw has a seed of its own, made of the seed of the experiment, the width and the number of the
draw: neither the order nor the number of processes changes it, and more draws can be added later.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, RefntkError
from refntk.evaluation.images import as_images
from refntk.finite.network import FiniteNetwork
from refntk.network.network import Network

__all__ = ["Draw", "Estimate", "RunningMean", "Sampler", "estimate", "sample"]

Matrix = npt.NDArray[np.float64]

# What the libraries for linear algebra read when they are loaded.
_THREADS_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Draw(NamedTuple):
    """The kernels of one network drawn at random.

    Attributes
    ----------
    width, number : int
        Which draw of which width.
    nngp, ntk : array of float64, shape (N, N)
        Its kernels between N images.
    finite : bool
        False where a feature or a kernel overflowed: the kernels then mean nothing.
    """

    width: int
    number: int
    nngp: Matrix
    ntk: Matrix
    finite: bool


class Sampler:
    """Draws networks and computes their kernels.

    Parameters
    ----------
    net : Network
        It must end behind a readout.
    images : array, shape (N, H, W, C)
        Floats are taken as they are, integers divided by the largest value of their type.
    seed : int, default 0
        Of the experiment.
    dtype : {"float64", "float32"}
        Precision of the networks.

    Attributes
    ----------
    count : int
        Number N of images.

    Raises
    ------
    InputError
        Images or dtype are not as above, or the seed is negative.
    ShapeError
        The network cannot take images of this shape.
    NetworkError
        The network has no readout.
    """

    def __init__(
        self, net: Network, images: npt.ArrayLike, seed: int = 0, dtype: str = "float64"
    ) -> None:
        if seed < 0:
            raise InputError(f"seed: expected a whole number that is not negative, not {seed}")
        self._net, self._dtype, self._seed = net, dtype, seed
        self._images = as_images(images, "X", axes=net.axes)
        self.count = len(self._images)
        FiniteNetwork(net, self._images.shape[1:], 1, dtype=dtype).require_readout()

    def draw(self, width: int, number: int) -> Draw:
        """Draw one network.

        Parameters
        ----------
        width : int
            Channels of each layer with parameters, the last one included.
        number : int
            Which draw, from 0.

        Returns
        -------
        Draw
            NNGP averaged over all outputs, NTK of the first one.
        """
        seeds = np.random.SeedSequence(self._seed, spawn_key=(width, number))
        network = FiniteNetwork(self._net, self._images.shape[1:], width, dtype=self._dtype)
        with np.errstate(all="ignore"):
            parameters = network.draw(np.random.default_rng(seeds))
            features = network.forward(parameters, self._images)
            nngp, ntk = network.nngp(features), network.ntk(parameters, features)
        # Relu would hide an overflow to minus infinity from the outputs.
        finite = all(bool(np.isfinite(array).all()) for array in (*features, nngp, ntk))
        return Draw(width, number, nngp, ntk, finite)


class RunningMean:
    """Mean and standard error of arrays that come one by one, by Welford's recurrence.

    Parameters
    ----------
    shape : tuple of int
        Shape of the arrays.

    Attributes
    ----------
    count : int
        How many have come.
    mean : array of float64
        Of those that have come; NaN before the first.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = 0
        self.mean = np.full(shape, np.nan)
        self._squares = np.zeros(shape)

    def add(self, value: Matrix) -> None:
        """Take one array into account."""
        self.count += 1
        if self.count == 1:
            self.mean = np.array(value, np.float64)
            return
        step = value - self.mean
        self.mean = self.mean + step / self.count
        self._squares = self._squares + step * (value - self.mean)

    @property
    def error(self) -> Matrix:
        """Standard error of the mean; NaN below two arrays."""
        if self.count < 2:
            return np.full(self.mean.shape, np.nan)
        return np.asarray(np.sqrt(self._squares / (self.count - 1) / self.count))


@dataclass(frozen=True, eq=False)
class Estimate:
    """The kernels of a network of finite width, averaged over draws.

    Attributes
    ----------
    nngp, ntk : array of float64, shape (N, N)
        Means over the draws that did not overflow.
    nngp_error, ntk_error : array of float64, shape (N, N)
        Their standard errors.
    draws : int
        Number of draws in the means.
    overflowed : tuple of int
        Numbers of the draws that overflowed and are left out. Where there are any, the means are
        biased towards small networks.
    """

    nngp: Matrix
    ntk: Matrix
    nngp_error: Matrix
    ntk_error: Matrix
    draws: int
    overflowed: tuple[int, ...]


def estimate(
    net: Network,
    images: npt.ArrayLike,
    width: int,
    draws: int,
    *,
    seed: int = 0,
    dtype: str = "float64",
    processes: int | None = None,
) -> Estimate:
    """Average the kernels of networks of finite width over draws, in constant memory.

    Parameters
    ----------
    net, images, seed, dtype
        As for `Sampler`.
    width : int
        Channels of each layer with parameters.
    draws : int
        How many networks are drawn.
    processes : int, optional
        As for `sample`.

    Returns
    -------
    Estimate

    Raises
    ------
    InputError
        Width or draws are not positive, or as `Sampler`.
    NetworkError, ShapeError
        As `Sampler`.

    Examples
    --------
    >>> from refntk.network import preset
    >>> result = estimate(preset("cnn-gap"), np.ones((1, 8, 8, 3)), width=16, draws=4)
    >>> result.draws, result.ntk_error.shape
    (4, (1, 1))
    """
    for name, value in (("width", width), ("draws", draws)):
        if value < 1:
            raise InputError(f"{name}: expected a positive whole number, not {value}")
    sampler, overflowed = Sampler(net, images, seed, dtype), []
    nngp, ntk = (RunningMean((sampler.count, sampler.count)) for _ in range(2))
    for draw in sample(sampler, ((width, number) for number in range(draws)), processes):
        if draw.finite:
            nngp.add(draw.nngp)
            ntk.add(draw.ntk)
        else:
            overflowed.append(draw.number)
    return Estimate(nngp.mean, ntk.mean, nngp.error, ntk.error, nngp.count, tuple(overflowed))


def sample(
    sampler: Sampler, tasks: Iterable[tuple[int, int]], processes: int | None = None
) -> Generator[Draw, None, None]:
    """Compute draws, in worker processes or in this one.

    Parameters
    ----------
    sampler : Sampler
    tasks : iterable of (int, int)
        Width and number of each draw.
    processes : int, optional
        How many worker processes, each with one thread of linear algebra; a script must then guard
        its main part by ``if __name__ == "__main__"``. Default: none, all in this process, with as
        many threads as the library for linear algebra likes.

    Yields
    ------
    Draw
        In the order of the tasks. Closing the iterator ends the processes at once.

    Raises
    ------
    RefntkError
        A worker process was killed.
    """
    if processes is None:
        yield from (sampler.draw(*task) for task in tasks)
        return
    with _workers(sampler, processes) as workers:
        yield from _in_order(workers, enumerate(tasks))


def _in_order(
    workers: list[Connection], tasks: Iterator[tuple[int, tuple[int, int]]]
) -> Iterator[Draw]:
    """Give each worker its next task when it has done one; hold results back until their turn."""
    busy: dict[Connection, int] = {}
    done: dict[int, Draw] = {}
    following = 0

    def give(worker: Connection) -> None:
        for number, task in tasks:
            worker.send(task)
            busy[worker] = number
            return

    try:
        for worker in workers:
            give(worker)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                done[busy.pop(ready)] = ready.recv()
                give(ready)
            while following in done:
                yield done.pop(following)
                following += 1
    except (EOFError, OSError):
        raise RefntkError(
            "a worker process was killed, most likely for lack of memory: use fewer processes, "
            "smaller widths or fewer images"
        ) from None


@contextmanager
def _workers(sampler: Sampler, count: int) -> Iterator[list[Connection]]:
    """Start worker processes, and end them on the way out whatever they do."""
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = []
    connections: list[Connection] = []
    try:
        with _inherited():
            for _ in range(count):
                here, there = context.Pipe()
                connections.append(here)
                process = context.Process(target=_work, args=(there, sampler), daemon=True)
                process.start()
                processes.append(process)
                # The worker's end must not stay open here, or its death would go unnoticed.
                there.close()
        yield connections
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        for connection in connections:
            connection.close()


def _work(connection: Connection, sampler: Sampler) -> None:
    """Do tasks until the other end is gone."""
    while True:
        try:
            connection.send(sampler.draw(*connection.recv()))
        except (EOFError, OSError, MemoryError):
            return


@contextmanager
def _inherited() -> Iterator[None]:
    """Set what processes started inside inherit.

    One thread of linear algebra each: together they fill the processors. And deafness to what
    Ctrl-C and schedulers send to all processes: it is for the parent to keep the results and to end
    the workers.
    """
    before: dict[str, Any] = {name: os.environ.get(name) for name in _THREADS_VARIABLES}
    os.environ.update(dict.fromkeys(_THREADS_VARIABLES, "1"))
    resource_tracker.ensure_running()  # Python's own helper; its start would undo the next line
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
