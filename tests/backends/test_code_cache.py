"""Machine code on disk: damaged files, and folders that are not trusted."""

import io
import os
import subprocess
import sys

import pytest

from refntk.backends.numba.code_cache import say_once, trusted

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
    return sorted(path for path in (tmp_path / "cache").rglob("*.nb[ic]"))


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2],
                                    lambda data: b"no pickle at all"])  # fmt: skip
def test_a_damaged_file_is_dropped_and_compiled_again(run, tmp_path, suffix, damage):
    assert run() == ("0 1", "")
    assert run() == ("1 0", "")
    (path,) = (path for path in kept(tmp_path) if path.suffix == suffix)
    path.write_bytes(damage(path.read_bytes()))
    assert run() == ("0 1", "")
    assert run() == ("1 0", "")


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
        say_once()
    assert terminal.getvalue() == (
        "\r\x1b[Krefntk: compiling for this processor, which is done once and takes up to a "
        "minute\n"
    )
