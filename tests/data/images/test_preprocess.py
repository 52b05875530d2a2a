"""Scaling, resampling, standardisation and stratified choice."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk.data import limits
from refntk.data.images.preprocess import (
    apply_statistics,
    area_resample,
    channel_statistics,
    stratified_subset,
    to_size,
    to_unit,
)
from refntk.errors import InputError


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "uint64"])
def test_integers_are_divided_by_the_maximum_of_their_type(dtype):
    largest = np.iinfo(dtype).max
    scaled = to_unit(np.array([0, largest // 2, largest], dtype))
    assert scaled.dtype == np.float64
    assert scaled.tolist() == [0.0, (largest // 2) / largest, 1.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_stay_as_they_are(dtype):
    images = np.array([-3.0, 0.5, 700.0], dtype)
    assert to_unit(images) is images


def test_only_numbers_can_be_scaled():
    with pytest.raises(InputError, match="not bool"):
        to_unit(np.array([True, False]))


def test_scaling_that_exceeds_memory_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"images: needs 1\.6 kB of memory, 1\.0 kB are available"):
        to_unit(np.zeros(200, np.uint8))


def test_statistics_are_those_of_each_channel(rng):
    images = rng.random((5, 4, 3, 2))
    mean, std = channel_statistics(images)
    for channel in range(2):
        values = images[..., channel].ravel()
        assert mean[channel] == pytest.approx(values.mean(), rel=1e-14)
        assert std[channel] == pytest.approx(values.std(), rel=1e-14)


def test_standardized_images_have_mean_0_and_deviation_1(rng, assert_close):
    images = rng.random((5, 4, 3, 2)).astype(np.float32) * 7 + 2
    mean, std = channel_statistics(apply_statistics(images, *channel_statistics(images)))
    assert_close(1 + mean, np.ones(2))
    assert_close(std, np.ones(2))


def test_a_constant_channel_is_only_centred():
    images = np.full((2, 3, 3, 1), 0.25)
    result = apply_statistics(images, *channel_statistics(images))
    np.testing.assert_array_equal(result, np.zeros_like(images))


def test_statistics_of_other_channels_are_refused(rng):
    with pytest.raises(InputError, match=r"\(2, 4, 4, 1\) do not fit the statistics of 3 channels"):
        apply_statistics(rng.random((2, 4, 4, 1)), np.zeros(3), np.ones(3))


@pytest.mark.parametrize("shape", [(4, 4, 3), (0, 4, 4, 3)])
def test_statistics_need_images(shape):
    with pytest.raises(InputError, match="expected a non-empty"):
        channel_statistics(np.zeros(shape))


def area_average(image: np.ndarray, px: int) -> np.ndarray:
    """Average over areas in fractions, pixel by pixel."""
    height, width, channels = image.shape

    def share(n_in: int, cell: int, pixel: int) -> Fraction:
        side = Fraction(n_in, px)
        overlap = min((cell + 1) * side, Fraction(pixel + 1)) - max(cell * side, Fraction(pixel))
        return max(overlap, Fraction(0)) / side

    out = np.zeros((px, px, channels))
    for y, x, c in np.ndindex(px, px, channels):
        out[y, x, c] = sum(
            share(height, y, i) * share(width, x, j) * Fraction(float(image[i, j, c]))
            for i, j in np.ndindex(height, width)
        )
    return out


@pytest.mark.parametrize(("height", "width", "px"), [(4, 4, 2), (5, 5, 3), (7, 6, 4), (6, 9, 1)])
def test_resampling_averages_areas(rng, assert_close, height, width, px):
    images = rng.random((2, height, width, 3))
    resampled = area_resample(images, px)
    assert_close(resampled, np.stack([area_average(image, px) for image in images]), tol=1e-14)


def test_resampling_keeps_the_mean_and_commutes_with_rotation(rng, assert_close):
    images = rng.random((3, 11, 11, 2))
    small = area_resample(images, 4)
    assert_close(small.mean((1, 2)), images.mean((1, 2)))
    rotated = area_resample(np.rot90(images, axes=(1, 2)), 4)
    assert_close(rotated, np.rot90(small, axes=(1, 2)))


def test_resampling_scales_integers(rng):
    images = rng.integers(0, 256, (2, 6, 6, 1), dtype=np.uint8)
    np.testing.assert_array_equal(area_resample(images, 3), area_resample(to_unit(images), 3))


def test_resampling_to_the_same_size_changes_nothing(rng):
    images = rng.random((2, 5, 5, 3))
    np.testing.assert_array_equal(area_resample(images, 5), images)


@pytest.mark.parametrize(
    ("shape", "px", "message"),
    [
        ((2, 6, 4, 1), 5, "size 5: the images have 6 x 4 pixels .* choose at most 4"),
        ((2, 6, 4, 1), 0, "size 0: expected a positive number"),
        ((6, 4, 1), 2, r"shape \(6, 4, 1\); expected \(N, H, W, C\)"),
    ],
)
def test_resampling_that_cannot_be_is_refused(shape, px, message):
    with pytest.raises(InputError, match=message):
        area_resample(np.zeros(shape), px)


def test_the_subset_keeps_the_proportions_of_the_classes():
    labels = np.repeat([3, 5, 9], [50, 30, 20])
    chosen = stratified_subset(labels, 10, seed=0)
    assert np.unique(labels[chosen], return_counts=True)[1].tolist() == [5, 3, 2]


@pytest.mark.parametrize("limit", range(1, 41))
def test_the_subset_has_the_size_asked_for_and_no_duplicates(rng, limit):
    labels = rng.integers(0, 7, 40)
    chosen = stratified_subset(labels, limit, seed=1)
    assert len(np.unique(chosen)) == limit
    assert chosen.tolist() == sorted(chosen.tolist())
    shares = np.bincount(labels, minlength=7) * limit / 40
    assert (np.abs(np.bincount(labels[chosen], minlength=7) - shares) < 1).all()


def test_the_subset_is_that_of_its_seed():
    labels = np.repeat(np.arange(4), 25)
    first = stratified_subset(labels, 12, seed=7)
    assert first.tolist() == stratified_subset(labels, 12, seed=7).tolist()
    assert first.tolist() != stratified_subset(labels, 12, seed=8).tolist()


def test_ties_between_classes_are_broken_at_random():
    classes = {int(stratified_subset(np.arange(9), 1, seed=seed)[0]) for seed in range(60)}
    assert classes == set(range(9))


def test_without_labels_the_subset_is_plainly_random():
    chosen = stratified_subset(None, 5, seed=3, count=50)
    assert len(set(chosen.tolist())) == 5
    assert chosen.max() < 50


@pytest.mark.parametrize("limit", [6, 7, 1000])
def test_a_limit_beyond_the_images_takes_all(limit):
    assert stratified_subset([0, 1, 0, 1, 2, 2], limit, seed=0).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], 0, 0), "limit 0: expected a positive number"),
        (([0, 1], 1, -1), "seed -1: expected an integer that is not negative"),
        ((None, 1, 0), "give the labels, or the number of images"),
    ],
)
def test_a_subset_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        stratified_subset(*arguments)


@given(
    sides=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=3),
    px=st.integers(1, 9),
)
def test_crop_and_pad_keep_the_middle(sides, px):
    images = [np.arange(1, h * w + 1, dtype=np.uint8).reshape(h, w, 1) for h, w in sides]
    least, most = min(map(min, sides)), max(map(max, sides))
    if px > least:
        with pytest.raises(InputError, match=rf"size {px}: .*--fit crop; choose at most"):
            to_size(images, px, "crop")
    else:
        for image, found in zip(images, to_size(images, px, "crop"), strict=True):
            y, x = ((side - px) // 2 for side in image.shape[:2])
            np.testing.assert_array_equal(np.rint(255 * found), image[y : y + px, x : x + px])
    if px < most:
        with pytest.raises(InputError, match=rf"size {px}: .*--fit pad; choose at least {most}"):
            to_size(images, px, "pad")
        return
    for image, found in zip(images, to_size(images, px, "pad"), strict=True):
        (top, bottom), (left, right) = (((px - n) // 2, (px - n + 1) // 2) for n in image.shape[:2])
        framed = np.pad(image, ((top, bottom), (left, right), (0, 0)))
        np.testing.assert_array_equal(np.rint(255 * found), framed)


def test_a_way_to_fit_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r'unknown fit "crops" \(did you mean "crop"\?\)'):
        to_size(np.ones((1, 2, 2, 1)), 2, "crops")
