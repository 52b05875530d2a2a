"""Kernels that were computed in memory, as files."""

import gc
import pickle
import weakref

import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data import load_images
from refntk.errors import InputError, StoreError
from refntk.evaluation import evaluate
from refntk.evaluation.evaluate import Job


def test_a_saved_kernel_is_the_file_of_the_command(tmp_path):
    tiles = load_images("sample:histology", limit=12)
    refntk.kernel("mlp-1", tiles).save(tmp_path / "saved.h5")
    arguments = ["compute", "mlp-1", "sample:histology", "--limit", "12", "-o"]
    assert CliRunner().invoke(main, [*arguments, str(tmp_path / "told.h5")]).exit_code == 0
    with (
        refntk.open_kernel(tmp_path / "saved.h5") as saved,
        refntk.open_kernel(tmp_path / "told.h5") as told,
    ):
        for name in ("nngp", "ntk"):
            np.testing.assert_array_equal(saved.gram(name), told.gram(name))
        for about in ("network", "network_hash", "dtype", "backend", "method", "tile"):
            assert saved.attributes[about] == told.attributes[about]
        assert saved.attributes["preprocessing"]["scaling"] == {"x1": "divided by 255"}
        np.testing.assert_array_equal(saved.x1.sha256, told.x1.sha256)
        np.testing.assert_array_equal(saved.x1.labels, told.x1.labels)


def test_images_that_were_prepared_are_not_called_those_of_their_source(tmp_path):
    tiles = load_images("sample:histology", limit=6, size=4)
    refntk.kernel("mlp-1", tiles).save(tmp_path / "k.h5")
    with refntk.open_kernel(tmp_path / "k.h5") as kernel:
        assert (kernel.x1.source, kernel.x1.shape, kernel.x1.dtype) == (
            "array", (4, 4, 3), "float64",
        )  # fmt: skip
        np.testing.assert_array_equal(kernel.x1.labels, tiles.labels)
        assert kernel.x1.class_names == tiles.info.class_names
    result = CliRunner().invoke(main, ["check", str(tmp_path / "k.h5")])
    assert "relative difference" not in result.output
    assert result.exit_code == 0, result.output


def test_a_scale_that_was_stated_is_kept(tmp_path):
    k = refntk.kernel("mlp-1", load_images("sample:digits", limit=4), scale="510")
    k.save(tmp_path / "k.h5")
    with refntk.open_kernel(tmp_path / "k.h5") as kernel:
        assert kernel.attributes["preprocessing"]["scale"] == "510"
    result = CliRunner().invoke(main, ["check", str(tmp_path / "k.h5")])
    assert result.exit_code == 0, result.output


def test_kernels_of_two_sets_of_grey_images(tmp_path, rng):
    one, two = rng.random((3, 6, 6)), rng.random((2, 6, 6))
    k = refntk.kernel("mlp-1", one, two, get="ntk", dtype="float32", tile=2)
    k.save(tmp_path / "k.h5")
    with refntk.open_kernel(tmp_path / "k.h5") as kernel:
        assert kernel.names == ("ntk",)
        np.testing.assert_array_equal(kernel.ntk[...], k.ntk)
        assert (kernel.x1.shape, kernel.x2.count) == ((6, 6, 1), 2)
        assert kernel.x1.source == "array"
    with pytest.raises(StoreError, match="exists already"):
        k.save(tmp_path / "k.h5")
    k.save(tmp_path / "k.h5", overwrite=True)


def test_a_table_of_features(tmp_path, rng):
    k = refntk.kernel([refntk.Dense(), refntk.Relu(), refntk.Dense()], rng.normal(size=(4, 3)))
    k.save(tmp_path / "k.h5")
    result = CliRunner().invoke(main, ["info", str(tmp_path / "k.h5")])
    assert "4 images of 1 x 1 x 3 float64" in result.output


def test_a_pickle_carries_no_image_and_can_be_saved(tmp_path, rng):
    images = rng.random((2, 300, 300))
    k = refntk.kernel("mlp-1", images)
    data = pickle.dumps(k)
    assert len(data) < images.nbytes // 50
    pickle.loads(data).save(tmp_path / "k.h5")
    k.save(tmp_path / "l.h5")
    with refntk.open_kernel(tmp_path / "k.h5") as one, refntk.open_kernel(tmp_path / "l.h5") as two:
        np.testing.assert_array_equal(one.ntk[...], k.ntk)
        assert one.x1.digest == two.x1.digest
        assert {**one.attributes, "created": None} == {**two.attributes, "created": None}
    assert pickle.loads(pickle.dumps(pickle.loads(data))).origin.description is not None


def test_a_kernel_does_not_keep_its_job(rng):
    kept = []

    class Noticed(Job):
        def __init__(self, *words):
            super().__init__(*words)
            kept.append(weakref.ref(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "Job", Noticed)
        k = refntk.kernel("mlp-1", rng.random((2, 4, 4)))
    gc.collect()
    assert kept[0]() is None
    assert k.origin.job.method == "slices"


def test_of_a_kernel_without_origin_nothing_is_known(tmp_path, rng):
    gram = np.eye(3)
    diagonal = refntk.kernel("mlp-1", rng.random((3, 4, 4)), diagonal=True)
    for kernel in (refntk.Kernel(gram, None), diagonal):
        with pytest.raises(InputError, match="not known what this kernel was computed from"):
            kernel.save(tmp_path / "k.h5")
    assert not list(tmp_path.iterdir())
