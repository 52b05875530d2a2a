"""`refntk info`."""

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def store(tmp_path):
    """A kernel file of eighteen histology tiles."""
    path = tmp_path / "k.h5"
    arguments = ("--limit", "18", "--dtype", "float32", "--get", "ntk")
    assert run("compute", "mlp-1", "sample:histology", "-o", path, *arguments).exit_code == 0
    return path


def test_it_names_everything_in_the_store(store):
    result = run("info", store)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        "refntk-kernel/1, complete",
        "ntk         (18, 18) float32",
        "sample:histology: 18 images of 28 x 28 x 3 uint8, 9 classes",
        "limit 18",
        'name = "mlp-1"',
    ):
        assert words in result.stdout
    assert "nngp" not in result.stdout


def test_the_store_stays_as_it_is(store):
    before = store.read_bytes()
    run("info", store)
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nothing.h5", None, "no such file"),
        ("text.h5", b"this is text", "as an HDF5 file it cannot be read (Unable"),
        (".", None, "is no regular file"),
    ],
    ids=["missing", "text", "folder"],
)
def test_what_is_no_store_is_2_and_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    result = run("info", path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {path}")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_truncated_store(store):
    store.write_bytes(store.read_bytes()[:3000])
    result = run("info", store)
    assert result.exit_code == 2
    assert str(store) in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_hdf5_file_of_other_origin(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    result = run("info", tmp_path / "other.h5")
    assert result.exit_code == 2
    assert "not a kernel file of refntk" in result.stderr
