"""One way in for every form of input: dispatch, choice, resampling, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import refntk.data
from refntk.data import ImageSet, area_resample, limits, load_images
from refntk.data.images.imageset import describe_images
from refntk.errors import InputError


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)


def test_everything_that_is_known_comes_along(tmp_path, images):
    spec = str(tmp_path / "x.npz")
    np.savez(spec, images=images, labels=np.repeat([0, 1, 2], 4), class_names=["a", "b", "c"])
    loaded = load_images(spec, limit=6, seed=5)
    assert isinstance(loaded, ImageSet)
    np.testing.assert_array_equal(loaded.images, images[loaded.indices])
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert loaded.class_names == ("a", "b", "c")
    assert loaded.indices.dtype == np.int64
    assert loaded.source == spec
    assert loaded.names is None
    assert loaded.info.count == 6
    assert loaded.info.shape == (6, 5, 3)
    assert loaded.info.dtype == "uint8"


def test_digests_are_those_of_the_images_as_stored(tmp_path, images):
    spec = str(tmp_path / "x.npy")
    np.save(spec, images)
    expected = [hashlib.sha256(image.tobytes()).hexdigest().encode() for image in images]
    assert load_images(spec).info.sha256.tolist() == expected
    assert load_images(spec, size=2).info.sha256.tolist() == expected


def test_digests_do_not_depend_on_order_or_byte_order(rng):
    images = rng.random((3, 4, 4, 2))
    expected = describe_images(images, source="x").sha256.tolist()
    for same in (np.asfortranarray(images), images.astype(">f8"), images[::-1][::-1]):
        assert describe_images(same, source="x").sha256.tolist() == expected


def test_descriptions_need_four_axes(rng):
    with pytest.raises(InputError, match=r"mine: images of shape \(4, 4, 2\); expected"):
        describe_images(rng.random((4, 4, 2)), source="mine")


def test_size_resamples_and_scales(tmp_path, images):
    np.save(tmp_path / "x.npy", images)
    loaded = load_images(str(tmp_path / "x.npy"), size=4)
    np.testing.assert_array_equal(loaded.images, area_resample(images, 4))
    assert loaded.images.max() <= 1
    assert loaded.info.shape == (6, 5, 3)


def test_the_same_subset_comes_whatever_the_file(tmp_path, images):
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", pixels=images)
    first, second = (
        load_images(str(tmp_path / name), limit=5, seed=9) for name in ("x.npy", "x.npz")
    )
    assert first.indices.tolist() == second.indices.tolist()
    assert len(first.indices) == 5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [None, 3])
def test_non_finite_pixels_name_the_image(tmp_path, rng, value, size):
    images = rng.random((9, 6, 6, 3)).astype(np.float32)
    images[7, 2, 3, 1] = value
    spec = str(tmp_path / "x.npy")
    np.save(spec, images)
    with pytest.raises(InputError, match=r"x\.npy: image 7 holds NaN or infinite pixels; replace"):
        load_images(spec, size=size)


def test_non_finite_pixels_are_counted_in_the_source(tmp_path, rng):
    images = np.full((9, 4, 4, 1), np.nan)
    spec = str(tmp_path / "x.npy")
    np.save(spec, images)
    with pytest.raises(InputError, match=r"image 8 holds|image [1-7] holds"):
        load_images(spec, limit=1, seed=0)


@pytest.mark.parametrize("value", [0, 200])
def test_constant_images_are_images(tmp_path, value):
    np.save(tmp_path / "x.npy", np.full((2, 4, 4, 3), value, np.uint8))
    assert load_images(str(tmp_path / "x.npy"), size=2).images.max() == value / 255


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("missing.npy", "missing.npy: no such file or folder; known forms of input: sample:NAME"),
        ("x.csv", "x.csv: its name says no known kind of file; known forms: sample:NAME"),
        ("x.npy::key", "x.npy::key: only .npz and .h5 files take a key after ::, and .tif files"),
        ("x.npz::", "x.npz::: no key after ::; leave out :: or name an array"),
        ("folder::a", "only .npz and .h5 files take a key"),
        ("a" * 5000, r"not usable as a file name \(File name too long\)"),
        ("*.npy", r"finds x\.npy and no image; a pattern is for image files, as in"),
        ("a" * 5000 + ".npz::x", r"not usable as a file name \(File name too long\)"),
    ],
)
def test_specifications_that_lead_nowhere(tmp_path, monkeypatch, images, spec, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("1,2,3")
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(InputError, match=message):
        load_images(spec)


def test_a_name_with_colons_is_taken_as_it_is(tmp_path, images):
    path = tmp_path / "run::3.npy"
    np.save(path, images)
    assert len(load_images(str(path)).images) == 12


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"x\.npy: not a regular file; known forms"):
        load_images(str(tmp_path / "x.npy"))


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.h5", "x-idx3-ubyte", "x-idx3-ubyte.gz"])
def test_empty_files(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=name):
        load_images(str(tmp_path / name))


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x-idx3-ubyte"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", name)

    (tmp_path / name).touch()
    monkeypatch.setattr("pathlib.Path.open", refuse)
    monkeypatch.setattr("zipfile.ZipFile.__init__", refuse)
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(Permission denied\)"):
        load_images(str(tmp_path / name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0}, "limit 0: expected a positive number of images"),
        ({"limit": 1, "seed": -1}, "seed -1: expected an integer that is not negative"),
        ({"size": 0}, "size 0: expected a positive number of pixels"),
        ({"size": 29}, "size 29: the images have 28 x 28 pixels"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        load_images("sample:digits", **arguments)


def test_messages_have_one_line_and_a_bounded_length():
    error = ValueError("first\nsecond   " + 500 * "x")
    assert limits.one_line(error).startswith("first second x")
    assert len(limits.one_line(error)) == 160
    assert limits.one_line(KeyError()) == "KeyError"
    assert limits.one_line(OSError(28, "whatever")) == "No space left on device"


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (3 * 10**15, "3 PB"),
    ],
)
def test_sizes_are_written_for_people(nbytes, text):
    assert limits.size_text(nbytes) == text


def test_available_memory_is_known_here():
    available = limits.available_memory()
    assert available is not None
    assert available > 10**7


def test_available_memory_without_proc(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", missing)
    assert limits.available_memory() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(os, "sysconf", missing)
    assert limits.available_memory() is None
    # Nothing is known, so nothing is refused.
    limits.refuse_memory("x", 10**18)


def test_importing_is_light():
    code = "import sys, refntk.data; print({'h5py', 'PIL', 'numba', 'scipy'} & set(sys.modules))"
    command = [sys.executable, "-P", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_public_names_exist():
    assert all(hasattr(refntk.data, name) for name in refntk.data.__all__)
