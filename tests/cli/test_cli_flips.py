"""Flipped bytes in kernel files and shards, as the commands that read them see them.

A script of its own forks a process a command, so that one that hangs or breaks down is counted and
does not take the test with it. `FLIPS` of the environment sets how many bytes are flipped.
"""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, random, signal, sys
from pathlib import Path
import numpy as np
from refntk.cli import main
from refntk.data.kernels.store import open_kernel

home, arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
command, rng = arguments["command"], random.Random(arguments["seed"])
images = np.random.default_rng(3).uniform(size=(9, 4, 4, 1))
np.savez(home / "train.npz", images=images[:6], labels=[0, 1, 2, 0, 1, 2])
np.savez(home / "test.npz", images=images[6:], labels=[0, 1, 2])
os.chdir(home)

def run(*words):
    main(list(words), standalone_mode=False)

options = ["--tile", "2", "--threads", "1", "-q"]
run("compute", "cnn-gap", "train.npz", "-o", "train.h5", *options)
run("compute", "cnn-gap", "test.npz", "train.npz", "-o", "cross.h5", *options)
for number in "12":
    run("compute", "cnn-gap", "train.npz", "-o", number, "--shard", number + "/2", *options)
victim, words = {
    "check": ("train.h5", ["check", "train.h5"]),
    "merge": ("1", ["merge", "1", "2", "-o", "out"]),
    "export": ("train.h5", ["export", "train.h5", "--format", "npz", "-o", "out"]),
    "predict": ("train.h5", ["predict", "train.h5", "cross.h5", "-o", "out.csv"]),
    "predict, cross": ("cross.h5", ["predict", "train.h5", "cross.h5", "-o", "out.csv"]),
}[command]

def launch():
    "Run the command in a process of its own: its status and what it said on stderr."
    pid = os.fork()
    if pid == 0:
        signal.alarm(600)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        try:
            main(words)
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(0)
    return os.waitpid(pid, 0)[1], Path("said").read_text()

def content():
    "What the command is about: the numbers that it wrote, or that are in the file."
    if command == "check":
        with open_kernel(victim) as kernel:
            return [np.asarray(kernel.nngp).tobytes(), np.asarray(kernel.ntk).tobytes()]
    if command == "merge":
        with open_kernel("out") as kernel:
            return [np.asarray(kernel.nngp).tobytes(), np.asarray(kernel.ntk).tobytes()]
    if command == "export":
        with np.load("out") as file:
            return [file[name].tobytes() for name in sorted(file)]
    return [Path("out.csv").read_bytes()]

status, said = launch()
assert status == 0, said
right = content()
whole = Path(victim).read_bytes()
outs = {"out", "out.csv"}
beside = set(os.listdir()) - outs
counts = {"flips": 0, "refused": 0, "harmless": 0}
for place in rng.sample(range(len(whole)), min(arguments["flips"], len(whole))):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << rng.randrange(8)
    Path(victim).write_bytes(damaged)
    for name in outs:
        Path(name).unlink(missing_ok=True)
    status, said = launch()
    about = (place, status, said)
    counts["flips"] += 1
    if status == 0:
        assert content() == right, about
        counts["harmless"] += 1
    else:
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 2, about
        assert command == "check" or said.startswith("Error: ") and said.count("\\n") == 1, about
        assert not outs & set(os.listdir()), about
        counts["refused"] += 1
    assert set(os.listdir()) - outs == beside, (about, os.listdir())
    assert Path(victim).read_bytes() == damaged, about
print(json.dumps(counts))
"""

COMMANDS = ["check", "merge", "export", "predict", "predict, cross"]


def flips(tmp_path, command, count, seed):
    words = {"command": command, "flips": count, "seed": seed}
    line = [sys.executable, "-P", "-c", SCRIPT, str(tmp_path), json.dumps(words)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    print(command, counts)
    assert counts["flips"] == count
    assert counts["refused"] > 0, counts


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_flipped_bytes_are_refused_or_harmless(tmp_path, command):
    flips(tmp_path, command, int(os.environ.get("FLIPS", "400")), 1 + COMMANDS.index(command))
