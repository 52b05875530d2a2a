"""`refntk env`."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main

PLACE = """
import os, sys
from pathlib import Path
from numba.core.caching import FunctionCache
from refntk.backends.numba.code_cache import describe
folder = Path(FunctionCache(describe).cache_path)
folder.mkdir(parents=True, exist_ok=True)
folder.chmod(int(sys.argv[2]))
print(describe())
"""


@pytest.fixture
def rows():
    """Run the command and return its rows as a dict."""

    def rows():
        result = CliRunner().invoke(main, ["env"])
        assert (result.exit_code, result.stderr) == (0, "")
        return dict(line.split(None, 1) for line in result.stdout.splitlines())

    return rows


def test_versions(rows):
    found = rows()
    assert found["refntk"] == metadata.version("refntk")
    assert found["numpy"] == np.__version__
    assert found["python"].startswith(platform.python_version())
    assert {"scipy", "numba", "h5py", "click", "array-api-compat", "pillow"} <= set(found)
    assert "pytest" not in found


def test_threads_and_vector_instructions(rows):
    found = rows()
    assert found["threads"].endswith("by default")
    assert found["vectors"]


@pytest.mark.parametrize(
    ("mode", "row", "end"),
    [
        (0o700, "kept in {}", "which only you may write to"),
        (0o770, "kept in {}", "which only you and your group may write to"),
        (0o777, "not kept: other users may", "set NUMBA_CACHE_DIR"),
    ],
)
def test_where_machine_code_is_kept(tmp_path, mode, row, end):
    folder = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-P", "-c", PLACE, str(folder), str(mode)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
    )  # fmt: skip
    assert done.stdout.startswith(row.format(folder)), done.stderr
    assert done.stdout.rstrip().endswith(end)


def test_what_is_missing_names_its_extra(monkeypatch, rows):
    def version(name):
        if name == "pillow":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    assert rows()["pillow"] == 'not installed (pip install "refntk[images]")'


class Nvidia:
    """A stand-in for `subprocess.run` that answers, or fails, in place of nvidia-smi."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, command, **options):
        assert command[0] == "nvidia-smi"
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(stdout=self.answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("NVIDIA H200, 143771 MiB, 570.1\n" * 2, "; ".join(["NVIDIA H200, 143771 MiB, 570.1"] * 2)),
        ("", "none"),
        (FileNotFoundError(2, "No such file"), "none found: there is no nvidia-smi"),
        (PermissionError(13, "Permission denied"), "unknown: [Errno 13] Permission denied"),
        (
            subprocess.CalledProcessError(9, "nvidia-smi"),
            "unknown: Command 'nvidia-smi' returned non-zero exit status 9.",
        ),
    ],
    ids=["two", "none", "no driver", "not allowed", "failed"],
)
def test_graphics_processors(monkeypatch, rows, answer, words):
    monkeypatch.setattr(subprocess, "run", Nvidia(answer))
    assert rows()["GPUs"] == words
