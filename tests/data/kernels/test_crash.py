"""Whole commands that are killed at random moments, one after the other, over and over.

A script of its own forks the processes that it kills, so that each lives from its first moment
with everything imported and compiled. `CRASH_LAUNCHES` of the environment sets how many there are
of each command.
"""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import h5py
import numpy as np
from refntk.cli import main
from refntk.data.kernels.journal import Journal
from refntk.data.kernels.store import open_kernel
from refntk.evaluation.evaluate import Job

home, arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
command, launches = arguments["command"], arguments["launches"]
rng = random.Random(arguments["seed"])
images = np.random.default_rng(3).uniform(size=(22, 4, 4, 1))
np.save(home / "all.npy", images)
np.save(home / "some.npy", images[:10])
np.save(home / "other.npy", images[::-1])
block = Job.block

def slowly(self, *words):
    time.sleep(0.004)
    return block(self, *words)

def run(*words):
    "One command in this process."
    main([str(word) for word in words], standalone_mode=False)

def compute(source, out, *options):
    return ["compute", "cnn-gap", home / source, "-o", out, "--tile", "2", "--threads", "1", "-q",
            *options]

def launch(words):
    "A process that runs a command; its number."
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        Job.block = slowly
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            os._exit(end.code or 0)
    return pid

def kernels(path):
    with open_kernel(path) as file:
        assert file.complete
        return {name: getattr(file, name)[...].tobytes() for name in file.names}

reference = home / "reference.h5"
run(*compute("all.npy", reference))
right = kernels(reference)
run(*compute("some.npy", home / "some.h5"))
run(*compute("other.npy", home / "other.h5"))
shards = [home / "1.shard", home / "2.shard"]
for number, shard in enumerate(shards, 1):
    run(*compute("all.npy", shard, "--shard", f"{number}/2"))
opened = Journal.open(shards[0], write=False)
of_share = opened.done.copy()
opened.close()

place = home / "place"
place.mkdir()
out = place / "out"
notes = place / "out.notes"
before = {"append": home / "some.h5", "overwrite": home / "other.h5",
          "overwrite --resume": home / "other.h5"}.get(command)
words = {
    "compute": compute("all.npy", out, "--resume"),
    "append": compute("all.npy", out, "--append", "--resume"),
    "overwrite": compute("all.npy", out, "--overwrite"),
    "overwrite --resume": compute("all.npy", out, "--overwrite", "--resume"),
    "shard": compute("all.npy", out, "--shard", "1/2", "--resume"),
    "merge": ["merge", *shards, "-o", out],
    "export": ["export", reference, "--format", "npz", "-o", out],
}[command]

def afresh():
    shutil.rmtree(place)
    place.mkdir()
    notes.write_bytes(b"precious")
    if before is not None:
        shutil.copy(before, out)

def state():
    "What has the name of the output: nothing, what was there before, or the whole result."
    assert notes.read_bytes() == b"precious"
    if not out.exists():
        assert before is None
        return "nothing"
    if before is not None and out.read_bytes() == before.read_bytes():
        return "before"
    if command == "shard":
        journal = Journal.open(out, write=False)
        assert (journal.done == of_share).all()
        journal.close()
    elif command == "export":
        with np.load(out) as file:
            assert {name: file[name].tobytes() for name in right} == right
    else:
        assert kernels(out) == right
    return "whole"

def kept():
    "Tiles in the journal; each that is there has the right checksum."
    journal = out.with_name("out.part")
    if not journal.exists():
        return set()
    opened = Journal.open(journal, write=False)
    tiles = set(map(tuple, np.argwhere(opened.done).tolist()))
    opened.close()
    return tiles

counts = {"launches": 0, "kills": 0, "ends": 0, "with tiles": 0, "while the file": 0}
afresh()
start = time.perf_counter()
pid = launch(words)
assert os.waitpid(pid, 0)[1] == 0
whole_life = time.perf_counter() - start
assert state() == "whole"
afresh()
longest, had = whole_life, set()
while counts["launches"] < launches:
    pid = launch(words)
    time.sleep(rng.uniform(0, longest))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    counts["launches"] += 1
    counts["kills"] += os.WIFSIGNALED(status)
    now, found = kept(), state()
    counts["with tiles"] += bool(now)
    counts["while the file"] += any(name.name.endswith(".new") for name in place.iterdir())
    if "--resume" in words and found != "whole":
        assert had <= now, "a tile was lost"
    had = now
    # Lives are as long as it takes to get on a little, however busy the machine is.
    longest = longest * 1.1 if found != "whole" else whole_life
    if found == "whole":
        # What a killed process left behind does not disturb the next one.
        again = launch([*words, *(["--overwrite"] if command in ("merge", "export") else [])])
        assert os.waitpid(again, 0)[1] == 0
        counts["ends"] += 1
        left = {name.name for name in place.iterdir()}
        assert {name for name in left if ".partial-" not in name} == {"out", "out.notes"}, left
        had = set()
        afresh()
pid = launch(words)
assert os.waitpid(pid, 0)[1] == 0
assert state() == "whole"
print(json.dumps(counts))
"""

COMMANDS = ["compute", "append", "overwrite", "overwrite --resume", "shard", "merge", "export"]
LAUNCHES = int(os.environ.get("CRASH_LAUNCHES", "60"))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_killed_over_and_over(tmp_path, command):
    words = {"command": command, "launches": LAUNCHES, "seed": 1 + COMMANDS.index(command)}
    line = [sys.executable, "-P", "-c", SCRIPT, str(tmp_path), json.dumps(words)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    print(command, counts)
    assert counts["launches"] == LAUNCHES
    assert counts["kills"] >= LAUNCHES // 3, counts
