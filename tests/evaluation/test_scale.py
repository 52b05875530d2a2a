"""What pixels are divided by: one rule, asked for where the values do not tell."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import refntk
from refntk.cli import main
from refntk.data import load_images, load_inputs
from refntk.errors import InputError, InputWarning
from refntk.evaluation.images import as_images, axis_doubt, divisors, scale, stated_top

OTHERS = ["int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
PIXELS = st.integers(0, 255)


@given(largest=PIXELS)
def test_bytes_are_divided_by_255_whatever_they_hold(largest):
    assert scale(np.array([largest], np.uint8)).tolist() == [largest / 255]


@given(dtype=st.sampled_from(OTHERS), share=st.floats(0.001, 1))
def test_other_integers_must_fill_their_type(dtype, share):
    top = int(np.iinfo(dtype).max)
    largest = max(1, int(share * top)) if share < 1 else top
    pixels = np.array([0, min(largest, top)], dtype)
    if int(pixels[1]) > top // 2:
        assert scale(pixels)[1] == pixels[1] / np.float64(top)
    else:
        with pytest.raises(InputError, match=f"pixels of type {dtype} up to .* do not fill"):
            scale(pixels)
        assert scale(pixels, dtype)[1] == pixels[1] / np.float64(top)
        np.testing.assert_array_equal(scale(pixels, "none"), pixels.astype(float))


def test_black_images_need_no_scale():
    assert scale(np.zeros(3, np.int64)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("rule", ["255", 255, 255.0, "uint8"])
def test_a_stated_scale_is_for_integers_and_floats(rule):
    for dtype in ("int64", "uint16", "float64"):
        assert scale(np.array([51], dtype), rule).tolist() == [0.2]


@pytest.mark.parametrize("rule", ["0", "-1", "nan", "inf", "wide", "", 0, None, True, [255]])
def test_a_scale_that_is_none(rule):
    said = re.escape(f"scale {rule!r}: expected auto, none, an integer type")
    with pytest.raises(InputError, match=said):
        stated_top(rule)


def test_an_array_is_no_scale():
    with pytest.raises(InputError, match=r"scale array\(\[1\., 1\.\]\): expected auto, none"):
        divisors({"X1": np.ones(2)}, np.ones(2))


def test_one_rule_for_two_sets():
    bright, dark = np.array([60000], np.uint16), np.array([100], np.uint16)
    assert divisors({"X1": bright, "X2": dark}) == {"X1": 65535.0, "X2": 65535.0}
    mixed = {"X1": np.array([200], np.uint8), "X2": np.array([255.0])}
    with pytest.raises(InputError, match=r"X2: floating-point pixels up to 255 would stay .* X1"):
        divisors(mixed)
    assert divisors(mixed, "255") == {"X1": 255.0, "X2": 255.0}


@pytest.mark.parametrize("dtype", OTHERS[1:])
def test_kernels_of_wide_integers_are_those_of_bytes(dtype):
    net = refntk.preset("cnn-paper")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 1))
    with pytest.raises(InputError, match=r"X1: pixels of type .* --scale TYPE"):
        refntk.kernel(net, pixels.astype(dtype), backend="numpy", get="nngp")
    found = refntk.kernel(net, pixels.astype(dtype), backend="numpy", get="nngp", scale=255)
    bytes_ = refntk.kernel(net, pixels.astype(np.uint8), backend="numpy", get="nngp")
    np.testing.assert_array_equal(found.nngp, bytes_.nngp)


def test_the_rule_is_recorded(tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 4, 4), 4095, np.uint16))
    np.save(tmp_path / "y.npy", np.full((2, 4, 4), 4095.0))
    x, y = str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    with pytest.raises(InputError, match=r"X1 \(.*x\.npy\): pixels of type uint16 up to 4095"):
        load_inputs(x)
    inputs = load_inputs(x, y, scale="4095", size=2)
    assert inputs.preprocessing["scale"] == "4095"
    assert inputs.preprocessing["scaling"] == {"x1": "divided by 4095", "x2": "divided by 4095"}
    assert (inputs.x1 == 1).all()
    assert (inputs.x2 == 1).all()


def test_bright_floats_are_one_line(tmp_path):
    np.save(tmp_path / "y.npy", np.full((2, 4, 4), 255.0))
    with pytest.warns(InputWarning, match=r"y\.npy: pixels up to 255 are taken as they are"):
        load_inputs(str(tmp_path / "y.npy"))
    load_inputs(str(tmp_path / "y.npy"), scale="none")  # a warning would be an error here


@pytest.mark.parametrize(
    ("shape", "doubt"),
    [
        ((2, 3, 8, 9), "if the channels come first"),
        ((2, 1, 28, 28), "if the channels come first"),
        ((2, 28, 28, 28), "volumes"),
        ((32, 32, 3), "a single image"),
        ((2, 8, 8, 3), None),
        ((2, 8, 8), None),
        ((2, 8, 8, 64), None),
    ],
)
def test_doubts_about_the_order_of_axes(shape, doubt):
    found = axis_doubt(shape)
    assert found is None if doubt is None else doubt in found


def test_the_order_of_axes_is_named_on_the_way_in(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.zeros((32, 32, 3), np.uint8))
    with pytest.warns(InputWarning, match=r"x\.npy: .*taken as \(N, H, W, C\), 8 channels"):
        load_images(str(tmp_path / "x.npy"))
    with pytest.warns(InputWarning, match="X1: .*move them"):
        as_images(np.zeros((2, 3, 8, 8)), "X1")
    with pytest.raises(InputError, match=r"y\.npy: .* a single image \(H, W, C\) needs"):
        load_images(str(tmp_path / "y.npy"))


def test_a_mask_is_not_lost():
    masked = np.ma.masked_greater(np.ones((1, 2, 2, 1)), 0.5)
    with pytest.raises(InputError, match=r"X: is a masked array with 4 masked pixels, .*filled"):
        as_images(masked, "X")
    assert as_images(np.ma.array(np.ones((1, 2, 2, 1))), "X").sum() == 4


def test_masks_in_a_list_are_not_lost():
    image = np.ma.masked_greater(np.ones((4, 4, 1)) / 2, 0.4)
    with pytest.raises(InputError, match="X1: is a masked array with 16 masked pixels"):
        refntk.kernel("cnn-gap", [image, np.zeros((4, 4, 1))])


@pytest.mark.parametrize("name", ["tiles.h5", pathlib.Path("tiles.h5")])
def test_names_of_files_are_not_images(name):
    with pytest.raises(InputError, match=r"X1: 'tiles.h5' is a name and not images; .*load_images"):
        refntk.kernel("cnn-gap", name)


def test_a_warning_is_one_line_on_stderr(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 8, 8), np.uint8))
    arguments = ["compute", "cnn-paper", str(tmp_path / "x.npy"), "-o", str(tmp_path / "k.h5")]
    run = CliRunner().invoke(main, [*arguments, "-q", "--backend", "numpy", "--get", "nngp"])
    assert run.exit_code == 0, run.output
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("warning: ")
