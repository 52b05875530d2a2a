"""Systems without file locks: everything imports, kernels are computed, files are refused."""

import re
import subprocess
import sys

import pytest

from refntk.data import file_lock
from refntk.data.lock import Lock
from refntk.errors import StoreError

WITHOUT = """
import sys
sys.modules["fcntl"] = None
import numpy as np, refntk, refntk.cli
from refntk.data.datasets import download
k = refntk.kernel("mlp-1", np.ones((1, 2, 2, 1)))
try:
    k.save("k.h5")
except refntk.StoreError as error:
    print(error)
"""
REFUSAL = (
    "k.h5: this system has no file locks (fcntl), so that two processes could spoil it; write it "
    "on Linux or macOS, or in WSL"
)


def test_a_kernel_is_computed_and_not_written(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, REFUSAL), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_lock_names_what_was_to_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(file_lock, "fcntl", None)
    with pytest.raises(StoreError, match=re.escape(REFUSAL)):
        Lock(tmp_path / "k.h5.lock", tmp_path / "k.h5")
    assert not list(tmp_path.iterdir())
