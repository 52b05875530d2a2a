"""`refntk compute --scheduler`: the same file, whoever computes the tiles."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import distributed  # noqa: F401 (its defaults must be there before they are changed)
import h5py
import numpy as np
import psutil
import pytest
from click.testing import CliRunner, Result

from refntk.cli import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compute", *map(str, arguments)])


def contents(path: Path) -> dict[str, bytes]:
    """Every dataset of a kernel file."""
    with h5py.File(path) as file:
        found = {}
        file.visititems(
            lambda name, item: found.update({name: item[...].tobytes()})
            if isinstance(item, h5py.Dataset)
            else None
        )
    return found


@pytest.fixture
def x1(tmp_path: Path) -> Path:
    path = tmp_path / "x1.npy"
    np.save(path, np.random.default_rng(11).uniform(size=(5, 6, 6, 2)))
    return path


def test_the_file_is_bitwise_that_of_one_process(tmp_path: Path, x1: Path) -> None:
    one, many = tmp_path / "one.h5", tmp_path / "many.h5"
    assert run("gcnn-paper", x1, "-o", one, "--tile", 2).exit_code == 0
    result = run("gcnn-paper", x1, "-o", many, "--tile", 2, "--scheduler", "local:2")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{many}: nngp (5, 5) float64, ntk (5, 5) float64\n"
    assert contents(many) == contents(one)


def test_nothing_is_started_where_everything_is_done(tmp_path: Path, x1: Path) -> None:
    arguments = ("mlp-1", x1, "-o", tmp_path / "k.h5")
    assert run(*arguments).exit_code == 0
    result = run(*arguments, "--resume", "--scheduler", "tcp://127.0.0.1:9")
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_scheduler_that_nobody_answers_for(tmp_path: Path, x1: Path) -> None:
    arguments = ("mlp-1", x1, "-o", tmp_path / "k.h5", "--scheduler", "tcp://127.0.0.1:9")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: scheduler tcp://127.0.0.1:9: cannot be used (")
    assert "; nothing was kept. To continue: refntk compute mlp-1 " in result.stderr
    assert result.stderr.endswith(" --resume\n")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x1.npy"]


def test_without_certificates_a_secure_scheduler_is_refused_at_once(x1: Path) -> None:
    arguments = ["mlp-1", "x1.npy", "-o", "k.h5", "--scheduler", "tls://127.0.0.1:9"]
    process = subprocess.run(
        [*program(), *arguments], cwd=x1.parent, capture_output=True, text=True, timeout=25
    )
    assert process.returncode == 2
    assert "certificates in dask's configuration" in process.stderr
    assert process.stderr.count("\n") == 1


def test_a_wrong_scheduler_is_named(tmp_path: Path) -> None:
    # Before the images are loaded, which may take minutes.
    result = run("mlp-1", "no.npy", "-o", tmp_path / "k.h5", "--scheduler", "head-node")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: scheduler 'head-node': expected local:N")


# --- processes of their own, ended from outside


def begin(folder: Path, scheduler: str) -> subprocess.Popen[bytes]:
    """Start half a minute of work for two processes, as a terminal would."""
    return subprocess.Popen(
        [*program(), "gcnn-paper", "sample:histology", "--limit", "45", "--size", "20",
         "--tile", "3", "-o", "k.h5", "--scheduler", scheduler, "--resume"],
        cwd=folder, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def program() -> list[str]:
    return [sys.executable, "-P", "-c", "from refntk.cli import main; main()", "compute"]


def wait_for_tiles(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until some tiles are in the journal."""
    size = 0
    while process.poll() is None and size < 60_000:
        time.sleep(0.02)
        size = path.stat().st_size if path.exists() else 0
    assert process.poll() is None


def wait_until_nobody_is_left(group: int) -> None:
    """Wait until all processes of a group have ended."""
    deadline = time.monotonic() + 30
    while left := [
        process
        for process in psutil.process_iter(["status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and group_of(process.pid) == group
    ]:
        assert time.monotonic() < deadline, f"workers outlive their client: {left}"
        time.sleep(0.1)


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_workers_in_silence_and_keeps_what_is_done(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = begin(tmp_path, "local:2")
    wait_for_tiles(tmp_path / "k.h5.part", process)
    os.killpg(process.pid, number)
    moment = time.monotonic()
    error = process.communicate()[1].decode()
    assert time.monotonic() - moment < 10
    assert process.returncode == 130
    assert error.startswith("Error: interrupted; ")
    assert "tiles are kept in k.h5.part. To continue: refntk compute " in error
    assert error.count("\n") == 1
    wait_until_nobody_is_left(process.pid)
    again = begin(tmp_path, "local:2")
    assert again.communicate() == (None, b"")
    assert again.returncode == 0
    compare(tmp_path)


@pytest.mark.slow
def test_a_kill_leaves_no_worker_and_loses_no_tile(tmp_path: Path) -> None:
    process = begin(tmp_path, "local:2")
    wait_for_tiles(tmp_path / "k.h5.part", process)
    process.kill()
    process.communicate()
    wait_until_nobody_is_left(process.pid)
    kept = (tmp_path / "k.h5.part").stat().st_size
    again = begin(tmp_path, "local:2")
    assert (tmp_path / "k.h5.part").stat().st_size >= kept
    assert b"its lock was left behind" in again.communicate()[1]
    assert again.returncode == 0
    compare(tmp_path)


def compare(folder: Path) -> None:
    """Compare the finished file with that of one process."""
    one = folder / "one.h5"
    arguments = ("--limit", 45, "--size", 20, "--tile", 3)
    assert run("gcnn-paper", "sample:histology", *arguments, "-o", one).exit_code == 0
    assert contents(folder / "k.h5") == contents(one)
