"""Images in HDF5 files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from refntk.data import limits, load_images
from refntk.data.images import hdf5
from refntk.errors import InputError


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (20, 5, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["h5", "hdf5"])
@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"chunks": (3, 5, 4, 3)},
        {"chunks": (3, 2, 2, 1), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"compression": "lzf"},
        {"chunks": (3, 5, 4, 3), "scaleoffset": 0},
    ],
)
def test_images_labels_and_class_names(tmp_path, images, suffix, storage):
    path = tmp_path / f"x.{suffix}"
    with h5py.File(path, "w") as file:
        file.create_dataset("train/images", data=images, **storage)
        file["train/labels"] = np.arange(20) % 2
        file["train/class_names"] = np.array([b"ham", b"egg"])
    loaded = load_images(str(path))
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.images.dtype == np.uint8
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 1] * 10
    assert loaded.class_names == ("ham", "egg")


@pytest.mark.parametrize("chunks", [None, (1, 5, 4, 3), (7, 5, 4, 3)])
@pytest.mark.parametrize("block", [1, 200, 1 << 24])
def test_a_subset_is_read_in_blocks(tmp_path, monkeypatch, images, chunks, block):
    monkeypatch.setattr(hdf5, "_BLOCK_BYTES", block)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=images, chunks=chunks)
    loaded = load_images(str(tmp_path / "x.h5"), limit=6, seed=2)
    assert len(loaded.indices) == 6
    np.testing.assert_array_equal(loaded.images, images[loaded.indices])


def test_values_of_another_byte_order(tmp_path, images):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = images.astype(">f4")
    loaded = load_images(str(tmp_path / "x.h5")).images
    np.testing.assert_array_equal(loaded, images)
    assert loaded.dtype == np.float32
    assert loaded.dtype.isnative


def test_the_key_may_begin_with_a_slash(tmp_path, images):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["b/c"] = images, images[:3]
    assert len(load_images(f"{tmp_path / 'x.h5'}::/b/c").images) == 3


def test_several_arrays_of_images_need_a_key(tmp_path, images):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["b/c"] = images, images[:3]
    with pytest.raises(InputError, match=r"holds several arrays of images, 'a', 'b/c'; choose one"):
        load_images(str(tmp_path / "x.h5"))


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path, images):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = images
    with pytest.raises(InputError, match=r'unknown key "image" \(did you mean "images"\?\)'):
        load_images(f"{tmp_path / 'x.h5'}::image")


def test_numbers_of_variable_length_are_passed_over(tmp_path, images):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = images
        labels = file.create_dataset("labels", (20,), dtype=h5py.vlen_dtype(np.int64))
        labels[0] = [1, 2]
    assert load_images(str(tmp_path / "x.h5")).labels is None


def test_a_dataset_that_was_never_written_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (10**6, 1000, 1000), "f8", chunks=(1, 1000, 1000), fillvalue=1)
        file.create_dataset("z", (10**6, 1000, 1000), "f8", compression="gzip")
    assert (tmp_path / "x.h5").stat().st_size < 10_000
    message = r"h5::x: nothing was ever written, and the rest of the shape .* would read as 1\.0"
    with pytest.raises(InputError, match=message):
        load_images(f"{tmp_path / 'x.h5'}::x")
    with pytest.raises(InputError, match=r"h5::z: nothing was ever written"):
        load_images(f"{tmp_path / 'x.h5'}::z", limit=1)


def test_a_bomb_that_deflate_can_hold_is_stopped_by_memory(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = np.zeros((1000, 32, 32), np.uint8)
        file.create_dataset("x", data=data, chunks=(1000, 32, 32), compression="gzip")
    monkeypatch.setattr(limits, "available_memory", lambda: 500_000)
    with pytest.raises(InputError, match=r"x\.h5::x: needs 1\.0 MB of memory, 500\.0 kB are"):
        load_images(str(tmp_path / "x.h5"))
    # One image is little, but the chunk that it lies in is not.
    with pytest.raises(InputError, match=r"needs 1\.0 MB"):
        load_images(str(tmp_path / "x.h5"), limit=1)


def test_data_in_other_files_are_not_opened(tmp_path, images):
    (tmp_path / "raw").write_bytes(images.tobytes())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset(
            "x", images.shape, "u1", external=[(str(tmp_path / "raw"), 0, images.size)]
        )
    with h5py.File(tmp_path / "y.h5", "w") as file:
        layout = h5py.VirtualLayout(images.shape, "u1")
        layout[...] = h5py.VirtualSource(tmp_path / "x.h5", "x", images.shape)
        file.create_virtual_dataset("x", layout)
    for name in ("x.h5", "y.h5"):
        with pytest.raises(InputError, match="::x: is a .*, which is not opened"):
            load_images(str(tmp_path / name))


def test_a_damaged_chunk(tmp_path, images):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=images, chunks=images.shape, fletcher32=True)
    data = bytearray(path.read_bytes())
    data[data.index(images.tobytes()) + 7] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.h5: cannot be read \(.*the file is damaged"):
        load_images(str(path))


def test_truncated(tmp_path, images):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = images
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"x\.h5: cannot be read \(.*truncated file"):
        load_images(str(path))


def test_not_hdf5(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"something else entirely")
    with pytest.raises(InputError, match=r"x\.h5: cannot be read \(.*signature not found"):
        load_images(str(tmp_path / "x.h5"))


def test_no_dataset(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("a")
    with pytest.raises(InputError, match="holds no array; expected one of images"):
        load_images(str(tmp_path / "x.h5"))


def test_links_inside_the_file_lead_to_the_images_and_to_the_labels_beside_them(tmp_path):
    path = tmp_path / "links.h5"
    images = np.arange(2 * 3 * 3 * 1).reshape(2, 3, 3, 1) / 20
    with h5py.File(path, "w") as file:
        file["store/first"] = images
        file["store/labels"] = np.array([1, 0])
        file["alias"] = file["store/first"]
        file["soft"] = h5py.SoftLink("/store/first")
        file["group"] = h5py.SoftLink("/store")
        file["chain"] = h5py.SoftLink("/group")
        file["circle"] = h5py.SoftLink("/circle")
        file["out"] = h5py.ExternalLink("other.h5", "/images")
    for key in ("store/first", "alias", "soft", "group/first", "chain/first"):
        found = load_images(f"{path}::{key}")
        assert np.array_equal(found.images, images)
        if key.endswith("/first"):
            assert found.labels.tolist() == [1, 0]
    for key in ("circle", "out", "group/nothing", "circle/first"):
        with pytest.raises(InputError, match="links.h5"):
            load_images(f"{path}::{key}")
