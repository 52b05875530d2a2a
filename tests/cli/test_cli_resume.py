"""`refntk compute --resume`: signals, kills, and the line that says how to go on."""

import itertools
import os
import shlex
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.evaluation.evaluate import Job


def run(*arguments):
    return CliRunner().invoke(main, ["compute", *map(str, arguments)])


def refntk(*arguments):
    """Command line of a new process."""
    code = "from refntk.cli import main; main()"
    return [sys.executable, "-P", "-c", code, "compute", *map(str, arguments)]


@pytest.fixture
def x1(tmp_path):
    """Nine images of 6 x 6 pixels and two channels."""
    np.save(tmp_path / "x1.npy", np.random.default_rng(11).uniform(size=(9, 6, 6, 2)))
    return tmp_path / "x1.npy"


@pytest.fixture
def out(tmp_path):
    """Where the kernels go: a folder of its own, so that what is left behind is seen."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "k.h5"


def names(out):
    return sorted(path.name for path in out.parent.iterdir())


def interrupt_after(monkeypatch, tiles, action):
    """Let something happen instead of a later tile."""
    block, count = Job.block, itertools.count()

    def some(self, *arguments):
        if next(count) == tiles:
            action()
        return block(self, *arguments)

    monkeypatch.setattr(Job, "block", some)


def interrupt():
    raise KeyboardInterrupt


def terminate():
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("action", [interrupt, terminate])
@pytest.mark.parametrize("tiles", [1, 4])
def test_interrupted_is_130_and_the_printed_command_continues(
    monkeypatch, x1, out, action, tiles, tmp_path
):
    arguments = ("cnn-gap", x1, "-o", out, "--tile", "3")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        interrupt_after(patch, tiles, action)
        result = run(*arguments)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    kept = "1 tile is" if tiles == 1 else "4 tiles are"
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == (
        f"Error: interrupted; {kept} kept in {out}.part. To continue: "
        f"refntk compute cnn-gap {x1} -o {out} --tile 3 --resume\n"
    )
    assert names(out) == ["k.h5.part"]
    computed = []
    with monkeypatch.context() as patch:
        interrupt_after(patch, -1, interrupt)
        block = Job.block
        patch.setattr(Job, "block", lambda *a: computed.append(a[1]) or block(*a))
        again = shlex.split(result.stderr.partition("To continue: refntk ")[2])
        assert CliRunner().invoke(main, again).exit_code == 0
    assert len(computed) == 6 - tiles
    assert names(out) == ["k.h5"]
    assert run(*arguments[:3], tmp_path / "whole.h5").exit_code == 0
    with h5py.File(out) as file, h5py.File(tmp_path / "whole.h5") as whole:
        for name in ("nngp", "ntk"):
            assert np.array_equal(file[name], whole[name])


def test_resume_of_a_finished_file_computes_nothing(monkeypatch, x1, out):
    arguments = ("cnn-gap", x1, "-o", out, "--resume")
    first = run(*arguments)
    monkeypatch.setattr(Job, "block", lambda *a: interrupt())
    second = run(*arguments)
    assert (second.exit_code, second.stdout) == (0, first.stdout)


def test_resume_of_another_kernel_is_2_and_names_the_difference(x1, out):
    assert run("cnn-gap", x1, "-o", out).exit_code == 0
    result = run("cnn-gap", x1, "-o", out, "--resume", "--dtype", "float32", "--get", "ntk")
    assert result.exit_code == 2
    assert "kernels: nngp and ntk there, ntk here; dtype: float64 there, float32" in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_was_begun_is_not_lost_by_accident(monkeypatch, x1, out):
    arguments = ("cnn-gap", x1, "-o", out, "--tile", "3")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2, interrupt)
        run(*arguments)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "continue it with --resume, or begin anew with --overwrite" in result.stderr
    assert names(out) == ["k.h5.part"]


@pytest.fixture
def slow(tmp_path, out):
    """A computation of a minute in a process of its own, with one tile done."""
    np.save(tmp_path / "big.npy", np.random.default_rng(1).uniform(size=(40, 32, 32, 1)))
    options = ("--tile", "2", "--threads", "1", "--get", "nngp")
    command = refntk("gcnn-paper", tmp_path / "big.npy", "-o", out, *options)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        journal, begun, deadline = out.with_name("k.h5.part"), None, time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            size = journal.stat().st_size if journal.exists() else None
            if begun is not None and size is not None and size > begun:
                break
            begun = size
            time.sleep(0.05)
        assert process.poll() is None, process.stderr.read()
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_from_outside_ends_the_process_soon(slow, out, number):
    slow.send_signal(number)
    _, error = slow.communicate(timeout=60)
    assert slow.returncode == 130
    assert error.startswith("Error: interrupted; ")
    assert " kept in " in error
    assert error.rstrip().endswith("--resume")
    assert names(out) == ["k.h5.part"]


def test_a_second_process_is_told_and_leaves_the_first_alone(slow, x1, out):
    result = run("gcnn-paper", x1, "-o", out, "--resume")
    assert result.exit_code == 2
    assert f"k.h5: is being written by process {slow.pid} on " in result.stderr
    assert slow.poll() is None
    slow.kill()
    slow.wait()
    assert names(out) == ["k.h5.lock", "k.h5.part"]


def test_the_lock_of_a_killed_process_is_taken_over(slow, tmp_path, out):
    slow.kill()
    slow.wait()
    result = run("mlp-1", tmp_path / "big.npy", "-o", out, "--overwrite")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"{out}: its lock was left behind by process {slow.pid} on ")
    assert names(out) == ["k.h5"]


STUCK = """
import ctypes, signal, sys, threading
from refntk.cli import main, signals
from refntk.evaluation.evaluate import Job

def block(self, *arguments):
    # Nothing wakes this thread, as in a long call of a library, which has begun when another tells.
    sleep = ctypes.CDLL(None).sleep
    tell = threading.Timer(1.0, lambda: print("stuck", file=sys.stderr, flush=True))
    tell.daemon = True
    tell.start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    sleep(60)

signals._PATIENCE = 0.5
Job.block = block
main()
"""


def test_a_process_that_does_not_hear_is_ended(x1, out):
    command = [sys.executable, "-P", "-c", STUCK, "compute", "mlp-1", str(x1), "-o", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "stuck\n"
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error.startswith("Error: interrupted; what was finished is kept. To continue: refntk ")


LIMITED = """
import resource, sys
from refntk.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


@pytest.mark.parametrize(
    ("room", "kept"),
    [(100, "nothing was"), (6_000, "nothing was"), (12_000, "tiles are"), (68_000, "36 tiles are")],
    ids=["no header", "half a header", "some tiles", "all tiles"],
)
def test_a_disk_that_is_full(tmp_path, out, room, kept):
    """The limit on the size of a file stands in for it: the system refuses what goes beyond."""
    np.save(tmp_path / "x.npy", np.random.default_rng(1).uniform(size=(60, 4, 4, 1)))
    arguments = ["compute", "cnn-gap", str(tmp_path / "x.npy"), "-o", str(out), "--tile", "8"]
    command = [sys.executable, "-P", "-c", LIMITED, str(room), *arguments]
    full = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert full.returncode == 2, full.stderr
    assert full.stdout == ""
    assert full.stderr.startswith(f"Error: {out}: writing failed (File too large); ")
    assert full.stderr.count("\n") == 1
    assert f"{kept} kept" in full.stderr
    assert names(out) == ([] if kept == "nothing was" else ["k.h5.part"])
    assert CliRunner().invoke(main, [*arguments, "--resume"]).exit_code == 0
    assert run(*arguments[1:3], "-o", tmp_path / "whole.h5").exit_code == 0
    with h5py.File(out) as file, h5py.File(tmp_path / "whole.h5") as whole:
        assert np.array_equal(file["ntk"], whole["ntk"])
