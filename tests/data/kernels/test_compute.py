"""Kernel files computed from Python: the numbers, and going on after an interruption."""

import numpy as np
import pytest

import refntk
from refntk.data import load_images
from refntk.errors import InputError, StoreError


@pytest.fixture
def images(rng):
    return rng.random((7, 5, 5, 1))


def kernels(path):
    with refntk.open_kernel(path) as kernel:
        return {name: getattr(kernel, name)[...] for name in kernel.names}


def test_a_file_holds_what_is_computed_in_memory(tmp_path, images):
    path = tmp_path / "k.h5"
    refntk.compute_kernel("mlp-1", images, images[:3], path=path, dtype="float32", tile=2)
    wanted = refntk.kernel("mlp-1", images, images[:3], dtype="float32")
    for name, found in kernels(path).items():
        np.testing.assert_array_equal(found, wanted.kernels[name])


def test_labels_and_names_of_read_images_are_kept(tmp_path):
    tiles, path = load_images("sample:digits", limit=5), tmp_path / "k.h5"
    refntk.compute_kernel("mlp-1", tiles, path=path, get="ntk")
    with refntk.open_kernel(path) as kernel:
        assert kernel.names == ("ntk",)
        np.testing.assert_array_equal(kernel.x1.labels, tiles.labels)


def test_what_was_interrupted_goes_on_and_gives_the_same_bits(tmp_path, images):
    path, reports = tmp_path / "k.h5", []

    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    options = {"path": path, "tile": 2, "get": "nngp"}
    with pytest.raises(KeyboardInterrupt):
        refntk.compute_kernel("mlp-1", images, progress=stop, **options)
    assert not path.exists()
    with pytest.raises(StoreError, match="--resume"):
        refntk.compute_kernel("mlp-1", images, **options)
    with pytest.raises(StoreError):
        refntk.compute_kernel("mlp-1", images + 1, resume=True, **options)
    refntk.compute_kernel(
        "mlp-1", images, resume=True, progress=lambda *said: reports.append(said), **options
    )
    whole = 7 * 8 // 2
    assert 0 < reports[-1][1] < whole
    assert reports[-1][0] == reports[-1][1]
    np.testing.assert_array_equal(kernels(path)["nngp"], refntk.kernel("mlp-1", images).nngp)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["k.h5"]


def test_a_file_is_replaced_only_when_asked_for(tmp_path, images):
    path = tmp_path / "k.h5"
    refntk.compute_kernel("mlp-1", images, path=path)
    with pytest.raises(StoreError, match="exists already"):
        refntk.compute_kernel("mlp-1", images[:2], path=path)
    refntk.compute_kernel("mlp-1", images[:2], path=path, overwrite=True)
    assert kernels(path)["ntk"].shape == (2, 2)


def test_options_are_checked_before_anything_is_written(tmp_path, images):
    with pytest.raises(InputError):
        refntk.compute_kernel("mlp-1", images, path=tmp_path / "k.h5", dtype="int8")
    assert not list(tmp_path.iterdir())
