"""The inputs of one kernel: order of the steps, shared statistics, and the record of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.data import apply_statistics, area_resample, channel_statistics, load_inputs, to_unit
from refntk.errors import InputError


@pytest.fixture
def files(tmp_path, rng):
    """A file of integer and one of floating-point images, and their contents."""
    integers = rng.integers(0, 256, (10, 6, 6, 3), dtype=np.uint8)
    floats = rng.random((7, 6, 6, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", images=integers, labels=np.arange(10) % 2)
    np.save(tmp_path / "b.npy", floats)
    return str(tmp_path / "a.npz"), str(tmp_path / "b.npy"), integers, floats


def test_one_input(files):
    a, _, integers, _ = files
    inputs = load_inputs(a)
    np.testing.assert_array_equal(inputs.x1, to_unit(integers))
    assert inputs.x2 is None
    assert inputs.info2 is None
    assert inputs.info1.source == a
    assert inputs.preprocessing == {
        "scaling": {"x1": "divided by 255"},
        "size": None,
        "limit": None,
        "seed": None,
        "standardize": None,
    }


def test_floats_are_taken_as_they_are(files):
    _, b, _, floats = files
    inputs = load_inputs(b)
    np.testing.assert_array_equal(inputs.x1, floats)
    assert inputs.x1.dtype == np.float32
    assert inputs.preprocessing["scaling"] == {"x1": "none"}


def test_the_order_is_subset_resample_scale_standardize(files):
    a, b, integers, floats = files
    inputs = load_inputs(a, b, limit=4, seed=3, size=4, standardize=True)
    small1 = area_resample(integers[inputs.info1.indices], 4)
    assert inputs.info2 is not None
    small2 = area_resample(floats[inputs.info2.indices], 4)
    mean, std = channel_statistics(small1)
    np.testing.assert_array_equal(inputs.x1, apply_statistics(small1, mean, std))
    # The statistics are those of X1 for both.
    np.testing.assert_array_equal(inputs.x2, apply_statistics(small2, mean, std))
    assert inputs.preprocessing == {
        "scaling": {"x1": "divided by 255", "x2": "none"},
        "size": 4,
        "limit": 4,
        "seed": 3,
        "standardize": {"mean": mean.tolist(), "std": std.tolist()},
    }


def test_the_record_survives_json(files):
    record = load_inputs(files[0], limit=3, standardize=True).preprocessing
    assert json.loads(json.dumps(record)) == record


def test_standardizing_needs_the_same_channels(files, tmp_path, rng):
    np.save(tmp_path / "grey.npy", rng.random((3, 6, 6)))
    message = r"shape \(3, 6, 6, 1\) do not fit the statistics of 3 channels"
    with pytest.raises(InputError, match=message):
        load_inputs(files[0], str(tmp_path / "grey.npy"), standardize=True)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_how_images_come_to_a_size_is_kept_and_repeated(tmp_path, rng, fit):
    size = {"crop": 4, "pad": 9}[fit]
    np.save(tmp_path / "x.npy", rng.random((3, 7, 7, 1)))
    inputs = load_inputs(str(tmp_path / "x.npy"), size=size, fit=fit)
    assert inputs.x1.shape == (3, size, size, 1)
    assert inputs.preprocessing["fit"] == fit
    out = str(tmp_path / "k.h5")
    words = ["compute", "mlp-1", str(tmp_path / "x.npy"), "-o", out, "--size", str(size)]
    assert CliRunner().invoke(main, [*words, "--fit", fit, "-q"]).exit_code == 0
    result = CliRunner().invoke(main, ["check", out, "--sample", "4"])
    assert result.exit_code == 0, result.output


def test_a_way_to_fit_that_is_unknown(files):
    with pytest.raises(InputError, match="unknown fit"):
        load_inputs(files[0], fit="stretch")
