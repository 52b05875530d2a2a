"""Tiles on a dask cluster: bitwise those of one process, whatever happens to the workers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
import pytest
from distributed import LocalCluster

import refntk
from refntk.errors import ClusterError, InputError, MissingPackageError, UnknownBackendError
from refntk.evaluation import cluster
from refntk.evaluation.cluster import open_runner
from refntk.evaluation.evaluate import DTYPES, Job
from refntk.evaluation.options import Options
from refntk.evaluation.runner import Done, Runner, in_process
from refntk.evaluation.tiles import Tile

PEM = str(Path(__file__).parent / "tls" / "test.pem")
TLS = {
    "distributed.comm.tls.ca-file": PEM,
    **{
        f"distributed.comm.tls.{role}.{part}": PEM
        for role in ("client", "scheduler", "worker")
        for part in ("cert", "key")
    },
}
SOON = {"distributed.comm.timeouts.connect": "1s"}


@pytest.fixture(scope="module")
def two() -> Iterator[Runner]:
    """Two worker processes, started once: dask is slow to start."""
    for dtype in DTYPES:
        collect(in_process, job(dtype=dtype))  # compiled once, not by each worker
    with open_runner("local:2") as run:
        yield run


def job(count: int = 9, size: int = 6, tile: int = 3, **options: Any) -> Job:
    """Pose a computation whose head needs the variance of each image."""
    images = np.random.default_rng(count).uniform(size=(count, size, size, 2))
    how = Options(tile=tile, threads=1, **options)
    return Job(refntk.preset("gcnn-paper"), images, options=how)


def place(tile: Tile) -> tuple[int, int]:
    return tile.rows.start, tile.cols.start


def assert_same(found: list[Done], question: Job) -> None:
    """Every tile came, once and with the very bits that one process gives."""
    assert sorted(place(tile) for tile, _ in found) == sorted(map(place, question.tiles))
    for tile, kernels in found:
        wanted = question.block(tile)
        assert kernels.keys() == wanted.keys()
        for name, values in wanted.items():
            assert kernels[name].dtype == values.dtype
            assert kernels[name].tobytes() == values.tobytes()


def collect(run: Runner, question: Job) -> list[Done]:
    return list(run(question, question.tiles))


# --- what it computes


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gram_matrix_is_bitwise_that_of_one_process(two: Runner, dtype: str) -> None:
    assert_same(collect(two, job(dtype=dtype)), job(dtype=dtype))


def test_two_sets_of_images_and_one_kernel(two: Runner) -> None:
    images = np.random.default_rng(1).uniform(size=(2, 5, 6, 6, 1))
    question = Job(refntk.preset("cnn-fc"), *images, options=Options(get="nngp", tile=2, threads=2))
    assert_same(collect(two, question), question)


def test_the_loop_in_this_process_has_the_same_interface() -> None:
    with open_runner(None) as run:
        assert run is in_process
        assert_same(collect(run, job()), job())


def test_progress_counts_every_pair(two: Runner) -> None:
    reports: list[int] = []
    question = job(tile=4)
    for _ in two(question, question.tiles, reports.append):
        pass
    assert reports[0] == 0  # the clock starts before the first tile
    assert sum(reports) == question.pairs


def test_few_tiles_are_under_way(two: Runner) -> None:
    taken = 0
    question = job(count=12, tile=1)

    def tiles() -> Iterator[Tile]:
        nonlocal taken
        for tile in question.tiles:
            taken += 1
            yield tile

    for done, _ in enumerate(two(question, tiles())):
        assert taken - done <= 2 * cluster._TILES_A_THREAD + 1


def test_what_is_not_asked_for_any_more_is_given_up(two: Runner) -> None:
    question = job(count=12, tile=1)
    for _ in two(question, question.tiles):
        break
    assert_same(collect(two, job()), job())


# --- what it refuses


def opened(scheduler: str) -> None:
    """Connect, and no more."""
    with open_runner(scheduler):
        pass


@pytest.mark.parametrize(
    "word", ["local", "local:", "local:0", "local:-1", "localhost:8786", "tcp://host", "http://a:1"]
)
def test_a_wrong_scheduler_is_named(word: str) -> None:
    with pytest.raises(InputError, match="expected local:N for N processes") as caught:
        opened(word)
    assert str(caught.value).startswith(f"scheduler '{word}': ")


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPackageError, match=r'pip install "refntk\[distributed\]"'):
        opened("local:2")


def test_nobody_at_the_address() -> None:
    with dask.config.set(SOON), pytest.raises(ClusterError) as caught:
        opened("tcp://127.0.0.1:9")
    assert str(caught.value).startswith("scheduler tcp://127.0.0.1:9: cannot be used (")
    assert "check that it runs" in str(caught.value)


def test_workers_must_have_the_same_version(
    two: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "version", lambda name: "0.0.7")
    with pytest.raises(ClusterError, match=r"has refntk .*, expected 0\.0\.7: install the same"):
        collect(two, job())


def test_errors_of_refntk_come_back_as_they_are(two: Runner) -> None:
    question = job()
    question.backend = "abacus"
    with pytest.raises(UnknownBackendError, match='unknown backend "abacus"'):
        collect(two, question)


def test_other_errors_name_the_tile_and_the_cause(two: Runner) -> None:
    wrong = Tile(slice(0, 3), slice("a", "b"))
    with pytest.raises(ClusterError, match=r"tile \[0:3, a:b\] failed on a worker \(TypeError: "):
        list(two(job(), [wrong]))


def test_local_workers_listen_on_loopback_alone(two: Runner) -> None:
    me = psutil.Process()
    ports = [
        connection.laddr
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(ports) >= 3  # of the scheduler and of two workers
    assert {port.ip for port in ports} == {"127.0.0.1"}


# --- what may happen


def local_workers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]


def test_a_worker_is_killed_while_it_computes(
    two: Runner, capfd: pytest.CaptureFixture[str]
) -> None:
    question = job(count=24, size=12, tile=4)
    found = []
    for done in two(question, question.tiles):
        if not found:
            local_workers()[0].kill()
        found.append(done)
    assert_same(found, question)
    assert capfd.readouterr().err == ""


@contextlib.contextmanager
def scheduler_in_this_process(workers: int, **options: Any) -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None, **options
    ) as dasks:
        yield dasks


def test_a_worker_that_joins_late() -> None:
    with scheduler_in_this_process(0, protocol="tcp://") as dasks:
        said: list[str] = []

        def say(message: str) -> None:
            said.append(message)
            dasks.scale(1)

        with open_runner(dasks.scheduler_address, say) as run:
            assert_same(collect(run, job()), job())
        assert said == [f"waiting for workers of {dasks.scheduler_address}"]


def test_certificates_are_those_of_the_configuration() -> None:
    with dask.config.set(TLS), scheduler_in_this_process(1, protocol="tls://") as dasks:
        address = dasks.scheduler_address
        assert address.startswith("tls://")
        with open_runner(address) as run:
            assert_same(collect(run, job()), job())
        with dask.config.set(SOON), pytest.raises(ClusterError):
            opened(address.replace("tls", "tcp"))
        with dask.config.set(dict.fromkeys(TLS)), pytest.raises(ClusterError, match="certificates"):
            opened(address)
