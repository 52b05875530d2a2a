"""What counts as images, and how it is scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refntk.errors import InputError
from refntk.evaluation.images import as_images, scale


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_taken_as_they_are(dtype: str, rng: np.random.Generator) -> None:
    images = rng.normal(size=(2, 3, 4, 1)).astype(dtype)
    result = as_images(images, "X1")
    assert result.dtype == dtype
    assert np.shares_memory(result, images)
    assert np.shares_memory(scale(images[0, 0]), images)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "uint64", ">i2"])
def test_integers_are_divided_by_the_maximum_of_their_type(dtype: str) -> None:
    largest = np.iinfo(dtype).max
    images = np.array([0, 1, largest // 2, largest], dtype).reshape(1, 2, 2, 1)
    result = as_images(images, "X1")
    assert result.dtype == np.float64
    assert result.shape == images.shape
    expected = [0.0, 1 / largest, (largest // 2) / largest, 1.0]
    assert np.array_equal(result.ravel(), expected)
    assert np.array_equal(scale(images), result)
    assert images[0, 1, 1, 0] == largest


def test_lists_are_arrays_too() -> None:
    assert np.array_equal(as_images([[[[0.5], [1.5]]]], "X1"), np.array([[[[0.5], [1.5]]]]))


def test_views_and_read_only_arrays(rng: np.random.Generator) -> None:
    images = rng.normal(size=(4, 5, 6, 3))
    images.setflags(write=False)
    turned = images.transpose(0, 2, 1, 3)
    for view in (images, images[::-2, :, ::2], turned, np.asfortranarray(images)):
        assert np.array_equal(as_images(view, "X1"), view)


@pytest.mark.parametrize("kind", ["bool", "complex128", "object", "str", "datetime64[s]"])
def test_pixels_of_another_kind(kind: str) -> None:
    images = np.zeros((1, 2, 2, 1)).astype(kind)
    message = "X2: expected integer or floating-point pixels, not "
    with pytest.raises(InputError, match=f"^{message}"):
        as_images(images, "X2")
    with pytest.raises(InputError, match="^images: expected integer or floating-point pixels"):
        scale(images)


@pytest.mark.parametrize("shape", [(), (3,), (4, 4), (1, 2, 4, 4, 3)])
def test_a_wrong_number_of_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"^X1: expected images of shape \(N, H, W, C\), ") as info:
        as_images(np.zeros(shape), "X1")
    assert str(info.value).endswith(f"channels last, not {shape}")


@pytest.mark.parametrize("axis", range(4))
def test_nothing_to_compute_with(axis: int) -> None:
    shape = [2, 3, 3, 1]
    shape[axis] = 0
    with pytest.raises(InputError, match="^X1: there is nothing in an array of shape "):
        as_images(np.zeros(shape), "X1")


def test_lists_that_are_no_array() -> None:
    ragged: Any = [[[[0.5], [1.5]]], [[[0.5]]]]
    message = r"^X1: expected images of shape \(N, H, W, C\), channels last, and all of one shape$"
    with pytest.raises(InputError, match=message):
        as_images(ragged, "X1")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [0, 255, 256, 599])
def test_pixels_that_are_not_finite(index: int, value: float) -> None:
    images = np.zeros((600, 2, 3, 2), np.float32)
    images[index, 1, 2, 1] = value
    images[599, 0, 0, 0] = value  # the first image that is wrong is the one to be named
    message = f"^X1: image {index} has NaN or infinite pixels: repair or remove it$"
    with pytest.raises(InputError, match=message):
        as_images(images, "X1")
