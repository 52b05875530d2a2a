"""Several devices: one worker each, and one stream of tiles to every worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refntk

pytestmark = pytest.mark.cuda_on_host

HERE = Path(__file__).parent


def test_the_workers_of_a_scheduler(host: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    images = rng.random((5, 4, 4, 3))
    np.save(tmp_path / "images.npy", images)
    right = refntk.kernel(refntk.preset("gcnn-paper"), images, backend="cupy")
    path = os.pathsep.join([str(HERE / "in_place_of_cupy"), str(HERE)])
    arguments = ["gcnn-paper", "images.npy", "-o", "out.h5", "--tile", "2"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from refntk.cli import main; main()", "compute", *arguments]
        + ["--backend", "cupy", "--device-memory", "64", "--scheduler", "local:2"],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.array_equal(file["nngp"][()], right.nngp)
        assert np.array_equal(file["ntk"][()], right.ntk)
        assert file.attrs["backend"] == b"cupy"


def test_a_device_that_is_full(host: Any, tmp_path: Path) -> None:
    # Nothing half-written: there is no file, and the message is one line.
    np.save(tmp_path / "images.npy", np.ones((2, 4, 4, 3)))
    path = os.pathsep.join([str(HERE / "in_place_of_cupy"), str(HERE)])
    program = "import cpu_cupy; cpu_cupy.settings.memory = 100; from refntk.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "compute", "gcnn-paper", "images.npy", "-o", "out.h5"]
        + ["--backend", "cupy"],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert "out of device memory (Out of memory allocating" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out.h5").exists()
