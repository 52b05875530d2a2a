"""`refntk symmetry`."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Nine small labelled images of three classes."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    rng = np.random.default_rng(0)
    np.savez(path, images=rng.random((9, 6, 6, 1)), labels=np.repeat([0, 1, 2], 3))
    return f"{path}::images"


def run(*arguments):
    return CliRunner().invoke(main, ["symmetry", *map(str, arguments)])


def test_tables_and_picture(tmp_path, data):
    picture = tmp_path / "angles.svg"
    result = run("cnn-gap", data, "--size", 6, "--poses", 4, "--group", "C2", "--kappa", 3,
                 "--plot", picture)  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    assert "trained on 6 images" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    elements = [line for line in lines if "180°" in line and len(line) >= 6 and "4" not in line]
    group, ordinary = (line for line in elements if line[0] in ("group", "ordinary"))
    assert float(group[3]) <= 1e-10 < 1e-4 < float(ordinary[2])
    floor = next(line for line in lines if line[:2] == ["ordinary", "C2"])
    assert float(floor[4]) == pytest.approx(float(floor[2]) / 4, rel=1e-3)
    assert sum("translate-x" in line for line in lines) == 2
    assert lines[-3][0] != lines[-4][0]  # the times
    assert picture.stat().st_size > 1000


def test_a_network_without_counterpart_is_measured_alone(data):
    result = run("mlp-1", data, "--size", 6, "--poses", 2)
    assert result.exit_code == 0
    assert "Warning: three ways are not compared: the network has no equivariant" in result.stderr
    assert "ordinary" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--poses", 3], "N = 3 poses: expected an even number"),
        (["--group", "C3"], 'unknown group "C3"'),
        (["--plot", "a.bmp"], "a.bmp: a picture has the ending"),
    ],
)
def test_bad_options(data, arguments, message):
    result = run("mlp-1", data, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_data_without_labels_or_square(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((4, 6, 6, 1)))
    result = run("mlp-1", path)
    assert (result.exit_code, "has no labels" in result.stderr) == (2, True)
    path = tmp_path / "oblong.npz"
    images = np.random.default_rng(0).random((6, 6, 5, 1))
    np.savez(path, images=images, labels=np.array([0, 1] * 3))
    result = run("mlp-1", f"{path}::images")
    assert result.exit_code == 2
    assert "element 1 of the group turns images" in result.stderr
    assert "does not act on them" in result.stderr
