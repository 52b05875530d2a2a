"""Schedulers and workers in processes of their own, killed without mercy."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import distributed  # noqa: F401 (its defaults must be there before they are changed)
import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.errors import ClusterError
from refntk.evaluation.cluster import open_runner
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.evaluation.runner import Done

pytestmark = pytest.mark.slow

HERE = ["--host", "127.0.0.1", "--no-dashboard"]


class Machines:
    """A scheduler and workers, which die when they are told to."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._log = (folder / "log").open("w")
        self._all: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler("0")
        while not (self._file.exists() and self._file.read_text().endswith("}")):
            time.sleep(0.05)
            assert self.scheduler.poll() is None
        self.address: str = json.loads(self._file.read_text())["address"]

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"distributed.cli.{program}", *arguments, *HERE],
            stderr=self._log,
        )
        self._all.append(process)
        return process

    def start_scheduler(self, port: str) -> subprocess.Popen[bytes]:
        return self._start(
            "dask_scheduler", "--port", port, "--dashboard-address", "127.0.0.1:0",
            "--scheduler-file", str(self._file),
        )  # fmt: skip

    def start_worker(self, threads: int = 1) -> subprocess.Popen[bytes]:
        return self._start("dask_worker", self.address, "--no-nanny", "--nthreads", str(threads))

    def restart(self) -> None:
        """Start the scheduler again where it was, and a worker."""
        self.scheduler = self.start_scheduler(self.address.rpartition(":")[2])
        self.start_worker()

    def close(self) -> None:
        for process in self._all:
            process.kill()  # a stopped one, too
            process.wait()
        self._log.close()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    found = Machines(tmp_path)
    yield found
    found.close()


@pytest.fixture
def question() -> Job:
    """300 tiles of some hundredths of a second."""
    images = np.random.default_rng(5).uniform(size=(72, 12, 12, 1))
    return Job(refntk.preset("gcnn-paper"), images, options=Options(tile=3, threads=1))


def assert_all(found: list[Done], question: Job) -> None:
    """Together the tiles are bitwise the kernel that one process computes."""
    assert len(found) == len(question.tiles)
    for name, values in expected(question).items():
        result = np.full(question.shape, np.nan)
        for tile, kernels in found:
            result[tile.cols, tile.rows] = kernels[name].T
            result[tile.rows, tile.cols] = kernels[name]
        assert result.tobytes() == values.tobytes()


def expected(question: Job) -> dict[str, Any]:
    (images,) = question._images
    kernel = refntk.kernel(question.net, images)
    return {"nngp": kernel.nngp, "ntk": kernel.ntk}


def test_workers_of_unlike_size_that_come_and_go(machines: Machines, question: Job) -> None:
    workers = [machines.start_worker(threads) for threads in (1, 3)]
    found = []
    with open_runner(machines.address) as run:
        for done in run(question, question.tiles):
            found.append(done)
            if len(found) % 40 == 0:  # never the one that has just come
                workers.pop(0).kill()
                workers.append(machines.start_worker(1 + len(found) // 40 % 3))
    assert_all(found, question)


def test_all_workers_die_at_once(machines: Machines, question: Job) -> None:
    workers = [machines.start_worker(), machines.start_worker()]
    found, said = [], []
    with open_runner(machines.address, said.append) as run:
        for done in run(question, question.tiles):
            found.append(done)
            if len(found) == 20:
                for worker in workers:
                    worker.kill()
                    worker.wait()
                threading.Timer(2.0, machines.start_worker).start()
    assert_all(found, question)
    assert f"waiting for workers of {machines.address}" in said


def test_a_scheduler_that_is_gone_is_an_error_and_keeps_what_is_done(
    machines: Machines, question: Job
) -> None:
    machines.start_worker()
    found, said = [], []

    def work() -> None:
        with open_runner(machines.address, said.append) as run:
            for done in run(question, question.tiles):
                found.append(done)
                if len(found) == 20:
                    machines.scheduler.kill()

    soon = {"distributed.comm.timeouts.connect": "3s"}
    with dask.config.set(soon), pytest.raises(ClusterError) as caught:
        work()
    assert str(caught.value).startswith(f"scheduler {machines.address}: the connection is lost")
    assert 20 <= len(found) < len(question.tiles)
    machines.restart()
    seen = [tile for tile, _ in found]
    with open_runner(machines.address) as run:
        found += run(question, [tile for tile in question.tiles if tile not in seen])
    assert_all(found, question)


def test_the_command_says_how_to_continue_without_its_scheduler(
    machines: Machines, tmp_path: Path
) -> None:
    machines.start_worker()
    part = tmp_path / "k.h5.part"
    arguments = [
        "compute", "gcnn-paper", "sample:histology", "--limit", "45", "--size", "20",
        "--tile", "3", "-o", str(tmp_path / "k.h5"),
    ]  # fmt: skip

    def kill_after_some_tiles() -> None:
        while not part.exists() or part.stat().st_size < 60_000:
            time.sleep(0.02)
        machines.scheduler.kill()

    killer = threading.Thread(target=kill_after_some_tiles)
    killer.start()
    with dask.config.set({"distributed.comm.timeouts.connect": "3s"}):
        result = CliRunner().invoke(main, [*arguments, "--scheduler", machines.address])
    killer.join()
    assert result.exit_code == 2
    assert f"tiles are kept in {part}. To continue: refntk compute gcnn-paper" in result.stderr
    machines.restart()
    again = [*arguments, "--resume", "--scheduler", machines.address]
    continued = CliRunner().invoke(main, again)
    # A worker that comes back late is waited for, and the command says so.
    waiting = f"waiting for workers of {machines.address}\n"
    assert (continued.exit_code, continued.stderr.replace(waiting, "")) == (0, "")
    assert CliRunner().invoke(main, [*arguments[:-1], str(tmp_path / "one.h5")]).exit_code == 0
    compared = CliRunner().invoke(
        main, ["check", str(tmp_path / "k.h5"), str(tmp_path / "one.h5")]
    )
    assert compared.stdout.count("every entry is the same") == 2


def test_a_scheduler_that_is_started_again_goes_on(machines: Machines, question: Job) -> None:
    worker = machines.start_worker()
    found, said = [], []
    with open_runner(machines.address, said.append) as run:
        for done in run(question, question.tiles):
            found.append(done)
            if len(found) == 20:
                machines.scheduler.kill()
                worker.kill()
                machines.scheduler.wait()
                threading.Timer(2.0, machines.restart).start()
    assert_all(found, question)
    assert f"connection to {machines.address} lost, trying again" in said


def test_a_tile_that_brings_down_every_worker_is_named(
    machines: Machines, question: Job
) -> None:
    for _ in range(5):
        machines.start_worker()
    with open_runner(machines.address) as run, pytest.raises(ClusterError, match="KilledWorker"):
        list(run(Deadly(question), question.tiles[:1]))


def test_a_worker_that_is_killed_in_the_middle_of_a_tile(machines: Machines) -> None:
    """Tiles of about a second, so that the only worker dies within one, and tiles are done."""
    images = np.random.default_rng(6).uniform(size=(12, 16, 16, 1))
    question = Job(refntk.preset("gcnn-paper"), images, options=Options(tile=4, threads=1))
    worker, found = machines.start_worker(), []
    with open_runner(machines.address) as run:
        for done in run(question, question.tiles):
            found.append(done)
            if len(found) == 2:
                time.sleep(0.1)
                worker.kill()
                worker.wait()
                machines.start_worker()
    assert_all(found, question)


@pytest.mark.parametrize("seconds", [3, 60])
def test_a_worker_that_stands_still(machines: Machines, question: Job, seconds: int) -> None:
    """Of two workers; the scheduler of the longer time gives its tiles to the other one."""
    worker, found = machines.start_worker(), []
    machines.start_worker()
    with open_runner(machines.address) as run:
        for done in run(question, question.tiles):
            found.append(done)
            if len(found) == 20:
                worker.send_signal(signal.SIGSTOP)
                threading.Timer(seconds, worker.send_signal, [signal.SIGCONT]).start()
    assert_all(found, question)


def test_a_worker_without_enough_memory_is_one_line(machines: Machines, question: Job) -> None:
    machines.start_worker()
    with open_runner(machines.address) as run, pytest.raises(ClusterError) as caught:
        list(run(Hungry(question), question.tiles))
    said = str(caught.value)
    assert said.startswith(f"scheduler {machines.address}: tile [0:3, 0:3] failed on a worker (")
    assert "MemoryError" in said
    assert said.endswith("have the same packages and enough memory")
    assert "\n" not in said


class Hungry:
    """A job whose block asks for more memory than there is; it goes by value."""

    def __init__(self, question: Job) -> None:
        self.shape = question.shape

    def __reduce__(self) -> Any:
        block = "lambda s, t: __import__('numpy').empty(1 << 50)"
        return eval, (f"type('Hungry', (), {{'block': {block}}})()",)


class Deadly:
    """A job whose block ends the process, as a lack of memory does; it goes by value."""

    def __init__(self, question: Job) -> None:
        self.shape = question.shape

    def __reduce__(self) -> Any:
        return eval, ("type('Deadly', (), {'block': lambda s, t: __import__('os')._exit(1)})()",)
