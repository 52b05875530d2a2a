"""Processes that are killed while they compute and write: nothing that was kept is ever lost.

A script of its own forks the processes that it kills, so that each lives from its first moment with
everything imported, and no thread of the test runner is forked.
"""

import json
import subprocess
import sys

import pytest

COMMON = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import numpy as np
from refntk.data.kernels.assembly import assemble
from refntk.data.disk import DiskFile
from refntk.data.images.imageset import describe_images
from refntk.data.kernels.journal import Journal
from refntk import output
from refntk.data.kernels.store import KernelDescription, KernelWriter, open_kernel

out, arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
journal = out.with_name(out.name + ".part")
count, side = arguments["count"], arguments["side"]
pixels = np.arange(count, dtype=np.uint16).reshape(count, 1, 1, 1)
description = KernelDescription(
    network='name = "x"', network_hash="0" * 64, kernels=("nngp", "ntk"), dtype="float64",
    backend="numba", method="slices", tile=side, x1=describe_images(pixels, source="x.npy"),
    x2=None, preprocessing={},
)

def block(rows, cols):
    i, j = np.ogrid[rows, cols]
    total = (i + j + 1.0) / (i * j + 7.0)
    return {"nngp": total, "ntk": total**2}

def work(pause, finish):
    with KernelWriter(out, description, resume=True) as writer:
        for tile in writer.missing():
            time.sleep(pause)
            writer.write(tile, block(*tile))
        if finish:
            writer.finish()

def holds():
    "Whether the kernel file is there; if so it is complete and right."
    if not out.exists():
        return False
    with open_kernel(out) as kernel:
        whole = block(slice(0, count), slice(0, count))
        assert kernel.complete
        for name in ("nngp", "ntk"):
            assert getattr(kernel, name)[...].tobytes() == whole[name].tobytes(), name
    return True

def kept():
    "Tiles in the journal, each of them right."
    if not journal.exists():
        return set()
    opened = Journal.open(journal, write=False)
    tiles = set(map(tuple, np.argwhere(opened.done).tolist()))
    for row, col in tiles:
        runs = [slice(k * side, min((k + 1) * side, count)) for k in (row, col)]
        for name, values in opened.read(row, col).items():
            assert values.tobytes() == block(*runs)[name].tobytes(), (row, col)
    opened.close()
    return tiles

def child(action):
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return pid

def names():
    return sorted(path.name for path in out.parent.iterdir())
"""

RANDOM = (
    COMMON
    + """
rng = random.Random(arguments["seed"])
counts = {"lives": 0, "kills": 0, "while tiles": 0, "while the file": 0}

def life(action, longest):
    "One process that is killed at a random moment; whether it came to its end."
    pid, delay = child(action), rng.uniform(0, longest)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    counts["lives"] += 1
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, status
    counts["kills"] += os.WIFSIGNALED(status)
    return os.WIFEXITED(status)

# Lives are as long as it takes to get on a little, however busy the machine is.
before, longest = set(), 0.03
everything = (count // side) * (count // side + 1) // 2
while len(before) < everything:
    ended = life(lambda: work(0.002, False), longest)
    now = kept()
    assert before <= now, "a tile was lost"
    longest = longest * 1.2 if now == before else max(0.03, longest / 1.2)
    counts["while tiles"] += not ended
    before = now
    assert not out.exists()
shutil.copy(journal, out.with_name("copy"))
start = time.perf_counter()
work(0, True)
longest = 1.2 * (time.perf_counter() - start)
assert holds()
for _ in range(arguments["finishes"]):
    out.unlink(missing_ok=True)
    shutil.copy(out.with_name("copy"), journal)
    while not holds():
        new = out.with_name(out.name + ".new")
        ended = life(lambda: work(0, True), longest)
        longest *= 1.02
        counts["while the file"] += new.exists()
        assert holds() or len(kept()) == everything
    work(0, True)
    assert holds()
    assert names() == ["copy", out.name]
print(json.dumps(counts))
"""
)

EVERY_CALL = (
    COMMON
    + """
# Die before, in the middle of, or after the k-th call that changes anything on the disk.
calls, fatal, moment = 0, -1, "before"

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def deadly(function, half):
    def call(*args, **words):
        global calls
        calls += 1
        if calls - 1 != fatal:
            return function(*args, **words)
        try:
            if moment == "after":
                function(*args, **words)
            elif moment == "half" and half is not None:
                half(*args)
        finally:
            die()
    return call

def half_pwrite(fd, data, offset):
    pwrite(fd, data[: len(data) // 2], offset)

def half_write(disk, data):
    disk._file.write(bytes(data[: len(data) // 2]))

pwrite = os.pwrite
os.pwrite = deadly(os.pwrite, half_pwrite)
for name in ("fsync", "fdatasync", "ftruncate", "unlink", "open", "link", "replace"):
    setattr(os, name, deadly(getattr(os, name), None))
Path.unlink = deadly(Path.unlink, None)
output._rename_without_replacing = deadly(output._rename_without_replacing, None)
DiskFile.write = deadly(DiskFile.write, half_write)
DiskFile.truncate, DiskFile.sync = deadly(DiskFile.truncate, None), deadly(DiskFile.sync, None)

def run_to(call, when):
    global calls, fatal, moment
    calls, fatal, moment = 0, call, when
    work(0, True)

tried, totals = 0, []
for _ in range(3):
    for path in out.parent.iterdir():
        path.unlink()
    calls = 0
    work(0, True)
    totals.append(calls)
total = min(totals)
for when in ("before", "half", "after"):
    for call in range(0, total, arguments["stride"]):
        fatal = -1
        for path in out.parent.iterdir():
            path.unlink()
        _, status = os.waitpid(child(lambda: run_to(call, when)), 0)
        assert os.WIFSIGNALED(status), (call, when, status)
        holds(), kept()
        work(0, True)
        assert holds(), (call, when)
        assert names() == [out.name], (call, when, names())
        tried += 1
print(json.dumps({"calls": total, "tried": tried}))
"""
)


def run(script, out, **arguments):
    out.parent.mkdir()
    command = [sys.executable, "-P", "-c", script, str(out), json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_killed_at_random_moments(tmp_path):
    counts = run(RANDOM, tmp_path / "out" / "k.h5", seed=1, count=80, side=4, finishes=4)
    assert counts["while tiles"] >= 5, counts
    assert counts["kills"] >= 10, counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_more_than_two_hundred_times_over_one_job(tmp_path, seed):
    counts = run(RANDOM, tmp_path / "out" / "k.h5", seed=seed, count=320, side=4, finishes=30)
    assert counts["kills"] >= 200, counts
    assert counts["while tiles"] >= 100, counts
    assert counts["while the file"] >= 5, counts


@pytest.mark.parametrize(("count", "stride"), [(6, 9)])
def test_killed_at_calls_of_the_system(tmp_path, count, stride):
    result = run(EVERY_CALL, tmp_path / "out" / "k.h5", count=count, side=4, stride=stride)
    assert result["tried"] >= 3 * (result["calls"] // stride)


@pytest.mark.slow
def test_killed_at_every_call_of_the_system(tmp_path):
    result = run(EVERY_CALL, tmp_path / "out" / "k.h5", count=10, side=4, stride=1)
    assert result["tried"] == 3 * result["calls"]
