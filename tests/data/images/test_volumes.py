"""Volumes: read from files, prepared, and through the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.data import load_images, load_inputs
from refntk.data.images.at_hand import images_at_hand
from refntk.data.images.preprocess import area_resample
from refntk.data.kernels.store import open_kernel
from refntk.errors import InputError, InputWarning
from refntk.evaluation.evaluate import kernel
from refntk.network import Network

NETWORK = """
name = "o"
[[layer]]
type = "Lift"
filter_shape = [3, 3, 3]
group = "O"
padding = "VALID"
[[layer]]
type = "Relu"
[[layer]]
type = "CentreReadout"
"""


def volumes(count: int = 6, side: int = 5) -> Any:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, side, side, side)).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_volumes_of_one_channel_are_read_from_arrays(tmp_path: Path, suffix: str) -> None:
    x, path = volumes(), tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, x)
    elif suffix == ".npz":
        np.savez(path, images=x, labels=np.repeat([0, 1], 3))
    else:
        with h5py.File(path, "w") as file:
            file["train_images"], file["train_labels"] = x, np.repeat([0, 1], 3)
    inputs = load_inputs(str(path), axes=3)
    np.testing.assert_array_equal(inputs.x1, x[..., None] / 255)
    assert inputs.info1.shape == (5, 5, 5, 1)
    assert (inputs.info1.labels is None) == (suffix == ".npy")
    found = images_at_hand(inputs.info1)
    assert found is not None
    np.testing.assert_array_equal(found, x[..., None])


def test_five_axes_are_volumes_whoever_asks(tmp_path: Path) -> None:
    x = volumes().reshape(6, 5, 5, 5, 1).repeat(2, axis=4)
    np.save(tmp_path / "x.npy", x)
    for axes in (None, 3):
        assert load_images(tmp_path / "x.npy", axes=axes).images.shape == (6, 5, 5, 5, 2)


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((4, 5, 5, 5, 1), 2, "the network is not one of volumes"),
        ((4, 5, 6), 3, "the network takes volumes, (N, D, H, W) or (N, D, H, W, C)"),
        ((5, 6, 7, 3), 3, "a single volume (D, H, W, C) needs a first axis, volumes[None]"),
        ((1, 1, 1, 1, 1, 1), 3, "has 6 axes"),
    ],
)
def test_axes_that_do_not_fit_the_network_are_refused(
    tmp_path: Path, shape: tuple[int, ...], axes: int, message: str
) -> None:
    np.save(tmp_path / "x.npy", np.ones(shape))
    with pytest.raises(InputError) as caught:
        load_images(tmp_path / "x.npy", axes=axes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_channels_that_come_first_are_doubted(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3, 6, 6, 6)))
    with pytest.warns(InputWarning, match=r"np.moveaxis\(x, 1, -1\)"):
        load_images(tmp_path / "x.npy")


def test_volumes_of_one_channel_need_no_axis_of_channels_in_python() -> None:
    net, x = Network.from_toml_string(NETWORK), volumes(2) / 255
    found = kernel(net, x, method="orbits").ntk
    np.testing.assert_array_equal(found, kernel(net, x[..., None], method="orbits").ntk)
    with pytest.raises(InputError, match="a single volume"):
        kernel(net, np.ones((5, 5, 5, 3)))


def test_volumes_come_to_a_size() -> None:
    x = volumes(2, 6)[..., None]
    means = area_resample(x, 3)
    np.testing.assert_allclose(
        means, x.reshape(2, 3, 2, 3, 2, 3, 2, 1).mean(axis=(2, 4, 6)) / 255, rtol=1e-14
    )
    with pytest.raises(InputError, match="6 x 6 x 6 pixels"):
        area_resample(x, 7)


def test_volumes_are_cut_and_padded(tmp_path: Path) -> None:
    x = volumes(2, 6) / 255
    np.save(tmp_path / "x.npy", x)
    cut = load_inputs(str(tmp_path / "x.npy"), size=4, fit="crop", axes=3).x1
    np.testing.assert_array_equal(cut[..., 0], x[:, 1:5, 1:5, 1:5])
    wide = load_inputs(str(tmp_path / "x.npy"), size=8, fit="pad", axes=3).x1
    np.testing.assert_array_equal(wide[:, 1:7, 1:7, 1:7, 0], x)
    assert wide.sum() == pytest.approx(x.sum())


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    net, data = tmp_path / "o.toml", tmp_path / "x.npz"
    net.write_text(NETWORK)
    np.savez(data, images=volumes(), labels=np.repeat([0, 1], 3))
    return str(net), str(data)


def run(*words: str) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_kernel_of_volumes_is_computed_checked_and_shown(
    files: tuple[str, str], tmp_path: Path
) -> None:
    out = str(tmp_path / "k.h5")
    run("compute", *files, "-o", out, "-q", "--standardize", "--size", "4")
    assert "6 images of 5 x 5 x 5 x 1 uint8" in run("info", out)
    assert "computed again" in run("check", out)
    inputs = load_inputs(files[1], size=4, standardize=True, axes=3)
    net = Network.from_toml(files[0])
    with open_kernel(out) as file:
        np.testing.assert_array_equal(file.ntk[...], kernel(net, inputs.x1).ntk)
    run("compute", *files, "-o", out, "-q", "--standardize", "--size", "4", "--append")
    pytest.importorskip("matplotlib")
    run("report", out)
    assert (tmp_path / "k.html").read_text().count("<img") > 2


def test_classes_of_volumes_are_predicted(files: tuple[str, str], tmp_path: Path) -> None:
    net, data = files
    cache = ("--cache", str(tmp_path / "cache"), "-q")
    told = run("predict", net, data, data, "-o", str(tmp_path / "a.csv"), *cache)
    assert "accuracy 100.0 %" in told
    assert "train" in run("learning-curve", net, data, "--train", "2,4", "--test", "2", *cache)


def test_networks_of_volumes_and_of_images_are_not_compared(files: tuple[str, str]) -> None:
    words = ["learning-curve", files[0], "mlp-1", files[1], "--train", "2", "--test", "2"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "mlp-1: takes inputs with 2 axes of positions, and o with 3" in result.output
