"""Machine code on disk: damaged files, and folders that are not trusted."""

import io
import os
import subprocess
import sys
import time

import pytest

from refntk.backends.numba.code_cache import COMPILING, _Files, trusted
from refntk.progress import say_once

PROGRAM = """
import sys
from refntk.backends.numba.code_cache import compile_and_keep
def add(a, b):
    return a + b
fast = compile_and_keep(add, {})
assert fast(1, 2) == 3
print(sum(fast.stats.cache_hits.values()), sum(fast.stats.cache_misses.values()))
"""


@pytest.fixture
def run(tmp_path):
    """Run the program with a cache of its own: hits and misses, and what it warned of."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    folder = tmp_path / "cache"

    def once(**environment):
        done = subprocess.run(
            [sys.executable, "-P", str(script)], capture_output=True, text=True, check=False,
            env={**os.environ, "NUMBA_CACHE_DIR": str(folder), **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.stderr

    return once


def kept(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.nb[ic]"))


def changed(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2],
                                    lambda data: b"no pickle at all", changed])  # fmt: skip
def test_a_damaged_file_is_dropped_and_compiled_again(run, tmp_path, damage):
    assert run() == ("0 1", "")
    assert run() == ("1 0", "")
    (path,) = kept(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert run() == ("0 1", "")
    assert run() == ("1 0", "")


def test_a_file_with_the_name_of_another_is_not_taken_for_it(tmp_path):
    class Files(_Files):
        def _path(self, key):
            return tmp_path / "one for all.nbc"

    files = Files(str(tmp_path), "add", 0)
    files.save(("float64",), "code")
    assert files.load(("float64",)) == "code"
    assert files.load(("float32",)) is None


def test_who_saves_at_once_takes_nothing_from_another(tmp_path):
    # Every one has looked before any of them writes.
    everyone = [_Files(str(tmp_path), "add", 0) for _ in range(4)]
    assert [files.load((number,)) for number, files in enumerate(everyone)] == [None] * 4
    for number, files in enumerate(everyone):
        files.save((number,), f"code {number}")
    one = _Files(str(tmp_path), "add", 0)
    assert [one.load((number,)) for number in range(4)] == [f"code {n}" for n in range(4)]
    assert _Files(str(tmp_path), "add", 1).load((0,)) is None  # of another source
    assert _Files(str(tmp_path), "subtract", 0).load((0,)) is None


VERSIONS = """
import sys
from numba import njit
from refntk.backends.numba import lanes
def outer(x):
    return inner(x)
def version(number):
    @njit(**lanes.OPTIONS)
    def inner(x):
        lanes.wide()  # keeps it from being inlined
        return x * number
    return lanes.compiled(outer, {"inner": inner}, str(number))
for number in map(int, sys.argv[1:]):
    fast = version(number)
    assert fast(10) == 10 * number, (number, fast(10))
    print(sum(fast.stats.cache_hits.values()))
"""


def test_versions_of_two_processes_are_two_in_a_third(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(VERSIONS)
    for numbers, hits in (("2", ["0"]), ("3", ["0"]), ("23", ["1", "1"]), ("32", ["1", "1"])):
        done = subprocess.run(
            [sys.executable, "-P", str(script), *numbers], capture_output=True, text=True,
            check=False, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == hits


RACE = """
import sys, time
import numpy as np
from refntk.backends.numba.code_cache import compile_and_keep
def total(a):
    s = 0.0
    for i in range(a.size):
        s += a[i]
    return s
fast = compile_and_keep(total, {})
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
assert fast(np.arange(5).astype(sys.argv[1])) == 10
"""


@pytest.mark.slow
def test_processes_that_compile_at_once_find_their_own(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(RACE)
    kinds = ["f8", "f4", "i8", "i4", "i2", "u1"]

    def everyone(folder, moment):
        started = [
            subprocess.Popen(
                [sys.executable, "-P", str(script), kind, str(moment)],
                env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / folder)},
            )
            for kind in kinds
        ]
        return [one.wait() for one in started]

    for trial in range(12):
        for moment in (time.time() + 4, 0):
            assert everyone(f"cache {trial}", moment) == [0] * len(kinds)


def test_a_folder_where_others_may_write_is_not_used(run, tmp_path):
    assert run()[0] == "0 1"
    (inside,) = {path.parent for path in kept(tmp_path)}
    before = [path.stat().st_mtime_ns for path in kept(tmp_path)]
    inside.chmod(0o777)
    out, said = run()
    assert out == "0 1"
    assert "RefntkWarning: nothing that is compiled is kept in " in said
    assert "where other users may write" in said
    assert "set NUMBA_CACHE_DIR to a folder of your own" in said
    assert [path.stat().st_mtime_ns for path in kept(tmp_path)] == before


@pytest.mark.parametrize(("mode", "right"), [(0o755, True), (0o700, True), (0o775, True),
                                             (0o757, False), (0o1777, False)])  # fmt: skip
def test_who_may_write(tmp_path, mode, right):
    folder = tmp_path / "cache"
    assert trusted(folder)
    folder.mkdir()
    folder.chmod(mode)
    assert trusted(folder) is right


def test_another_owner(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert trusted(tmp_path) is (tmp_path.stat().st_uid == 0)


def test_compilation_is_said_in_one_line_and_once(tmp_path):
    script = tmp_path / "program.py"
    script.write_text("import logging, sys\nlogging.basicConfig(level=logging.INFO)\n" + PROGRAM)
    line = "INFO:refntk:compiling for this processor, which is done once and takes up to a minute\n"
    for said in (line, ""):  # the second process finds the machine code
        done = subprocess.run(
            [sys.executable, "-P", str(script)], capture_output=True, text=True, check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        )  # fmt: skip
        assert done.stderr == said


def test_a_terminal_shows_that_something_is_compiled(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    say_once.cache_clear()
    for _ in range(2):
        say_once(COMPILING)
    assert terminal.getvalue() == (
        "\r\x1b[Krefntk: compiling for this processor, which is done once and takes up to a "
        "minute\n"
    )
