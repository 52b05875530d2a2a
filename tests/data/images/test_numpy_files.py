"""Images in .npy and .npz files: choice of the arrays, labels, and every way a file can be bad."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from refntk.data import limits, load_images
from refntk.errors import InputError, RefntkWarning


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


def npy_bytes(array: np.ndarray, claimed: tuple[int, ...] | None = None) -> bytes:
    """Serialise an array; its header may claim another shape."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out,
        {
            "descr": np.lib.format.dtype_to_descr(array.dtype),
            "fortran_order": False,
            "shape": array.shape if claimed is None else claimed,
        },
    )
    return out.getvalue() + array.tobytes()


# --- .npy


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "<f4", ">f8", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_keeps_values_and_type(tmp_path, rng, dtype, order):
    array = np.asarray(rng.integers(0, 100, (3, 5, 4, 2)), dtype=dtype, order=order)
    np.save(tmp_path / "x.npy", array)
    loaded = load_images(str(tmp_path / "x.npy")).images
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype.newbyteorder("=")
    assert loaded.dtype.isnative
    assert loaded.flags.writeable


def test_npy_of_version_2(tmp_path, images):
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array(file, images, version=(2, 0))
    np.testing.assert_array_equal(load_images(str(tmp_path / "x.npy")).images, images)


def test_grey_images_get_a_channel(tmp_path, rng):
    array = rng.random((3, 5, 4))
    np.save(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(load_images(str(tmp_path / "x.npy")).images, array[..., None])


def test_only_the_chosen_images_need_memory(tmp_path, monkeypatch, rng):
    np.save(tmp_path / "x.npy", rng.random((100, 4, 4)))
    monkeypatch.setattr(limits, "available_memory", lambda: 10 * 128)
    assert len(load_images(str(tmp_path / "x.npy"), limit=10).images) == 10
    with pytest.raises(InputError, match=r"npy: needs 12\.8 kB of memory, 1\.3 kB are available"):
        load_images(str(tmp_path / "x.npy"))


@pytest.mark.parametrize("keep", [0, 5, 40, 200])
def test_truncated_npy(tmp_path, images, keep):
    path = tmp_path / "x.npy"
    path.write_bytes(npy_bytes(images)[:keep])
    with pytest.raises(InputError, match=r"x\.npy: (cannot be read|the header announces)"):
        load_images(str(path))


def test_npy_that_claims_more_than_it_holds(tmp_path, images):
    path = tmp_path / "x.npy"
    path.write_bytes(npy_bytes(images, claimed=(10**9, 1000, 1000, 3)))
    message = r"the header announces 3 PB of data, the file holds 360 bytes; it is truncated"
    with pytest.raises(InputError, match=message):
        load_images(str(path))


def test_npy_with_something_behind_it(tmp_path, images):
    path = tmp_path / "x.npy"
    path.write_bytes(2 * npy_bytes(images))
    with pytest.raises(InputError, match="follow the data that the header announces"):
        load_images(str(path))


def test_npy_of_negative_shape(tmp_path, images):
    path = tmp_path / "x.npy"
    path.write_bytes(npy_bytes(images, claimed=(-1, 5, 4, 3)))
    with pytest.raises(InputError, match="claims the shape"):
        load_images(str(path))


def test_npy_of_an_unknown_version(tmp_path, images):
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x03\x00" + npy_bytes(images)[8:])
    with pytest.raises(InputError, match=r"\.npy format version 3\.0, expected 1\.0 or 2\.0"):
        load_images(str(path))


class Bomb:
    """Fails the test if it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_pickled_objects_are_never_loaded(tmp_path):
    array = np.array([[[Bomb()]]], dtype=object)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    np.savez(tmp_path / "x.npz", images=array)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(InputError, match=r"holds pickled Python objects, .* save a numeric"):
            load_images(str(tmp_path / name))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4)), r"has 2 axes, shape \(3, 4\); expected \(N, H, W\) or"),
        (np.zeros((1, 1, 3, 4, 1, 1)), "has 6 axes"),
        (np.zeros((0, 4, 4, 3)), r"is empty, shape \(0, 4, 4, 3\)"),
        (np.zeros((2, 4, 0, 3)), "is empty"),
        (np.zeros((2, 4, 4), complex), "dtype complex128, expected integers or floats"),
        (np.zeros((2, 4, 4), bool), "dtype bool"),
        (np.full((2, 4, 4), "a"), "dtype <U1"),
        (np.zeros((2, 4, 4), [("r", "u1"), ("g", "u1")]), "expected integers or floats"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", x=array)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(InputError, match=message):
            load_images(str(tmp_path / name))


# --- .npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_images_labels_and_class_names(tmp_path, images, save):
    save(
        tmp_path / "x.npz",
        images=images,
        labels=np.array([0, 1, 2, 0, 1, 2], np.uint8),
        class_names=np.array(["a", "bé", "c"]),
    )
    loaded = load_images(str(tmp_path / "x.npz"))
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.labels is not None
    assert loaded.labels.dtype == np.int64
    assert loaded.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert loaded.class_names == ("a", "bé", "c")
    assert loaded.names is None


def test_npz_of_fortran_order(tmp_path, images):
    np.savez(tmp_path / "x.npz", x=np.asfortranarray(images))
    np.testing.assert_array_equal(load_images(str(tmp_path / "x.npz")).images, images)


@pytest.mark.parametrize(
    ("key", "labels"),
    [
        ("images", "labels"),
        ("x", "y"),
        ("x_train", "y_train"),
        ("X", "Y"),
        ("test_images", "test_labels"),
        ("val/images", "val/labels"),
        ("data", "labels"),
        ("data", "y"),
    ],
)
def test_labels_are_the_sibling_of_the_key(tmp_path, images, key, labels):
    # A column, as in MedMNIST.
    np.savez(tmp_path / "x.npz", **{key: images, labels: np.arange(6).reshape(6, 1)})
    loaded = load_images(f"{tmp_path / 'x.npz'}::{key}")
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_the_labels_of_another_set_are_not_taken(tmp_path, images):
    np.savez(
        tmp_path / "x.npz",
        train_images=images,
        test_images=images[:4],
        test_labels=np.arange(4),
        labels=np.arange(4),
        y=np.linspace(0, 1, 6),
    )
    with pytest.warns(RefntkWarning, match=r"labels are left out: 'labels' has .*; 'y' holds"):
        assert load_images(f"{tmp_path / 'x.npz'}::train_images").labels is None


def test_labels_of_another_length_are_left_out(tmp_path, images):
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(5))
    message = r"left out: 'labels' has shape \(5,\), but there are 6 images"
    with pytest.warns(RefntkWarning, match=message):
        assert load_images(str(tmp_path / "x.npz")).labels is None


def test_labels_beyond_int64_are_left_out(tmp_path, images):
    np.savez(tmp_path / "x.npz", images=images, labels=np.full(6, 2**64 - 1, np.uint64))
    with pytest.warns(RefntkWarning, match="labels beyond 64-bit signed integers"):
        assert load_images(str(tmp_path / "x.npz")).labels is None


@pytest.mark.parametrize("names", [["a"], [["a", "b", "c"]], [1, 2, 3]])
def test_class_names_that_do_not_fit_are_passed_over(tmp_path, images, names):
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(6) % 3, class_names=names)
    assert load_images(str(tmp_path / "x.npz")).class_names is None


def test_the_only_array_of_images_is_found(tmp_path, images):
    np.savez(tmp_path / "x.npz", pixels=images, mean=np.zeros(3), y=np.arange(6))
    np.testing.assert_array_equal(load_images(str(tmp_path / "x.npz")).images, images)


def test_several_arrays_of_images_need_a_key(tmp_path, images):
    np.savez(tmp_path / "x.npz", train_images=images, test_images=images)
    message = r"several arrays of images, 'train_images', 'test_images'; .*x\.npz::train_images$"
    with pytest.raises(InputError, match=message):
        load_images(str(tmp_path / "x.npz"))


def test_no_array_of_images(tmp_path):
    np.savez(tmp_path / "x.npz", mean=np.zeros(3))
    with pytest.raises(InputError, match=r"holds no array of images, .* it holds 'mean' \(3,\)"):
        load_images(str(tmp_path / "x.npz"))


def test_no_array_at_all(tmp_path):
    np.savez(tmp_path / "x.npz")
    with pytest.raises(InputError, match="holds no array; expected one of images"):
        load_images(str(tmp_path / "x.npz"))


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path, images):
    np.savez(tmp_path / "x.npz", train_images=images, train_labels=np.arange(6))
    message = r'unknown key "train_image" \(did you mean "train_images"\?\); known: train_images'
    with pytest.raises(InputError, match=message):
        load_images(f"{tmp_path / 'x.npz'}::train_image")


def write_zip(path, name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, data)


def test_npz_that_claims_more_than_it_holds(tmp_path, images):
    write_zip(tmp_path / "x.npz", "x.npy", npy_bytes(images, claimed=(10**9, 1000, 1000, 3)))
    with pytest.raises(InputError, match=r"x\.npz::x: the header announces 3 PB .* 360 bytes"):
        load_images(str(tmp_path / "x.npz"))


def test_npz_whose_directory_claims_more_than_deflate_can_give(tmp_path, images):
    path = tmp_path / "x.npz"
    write_zip(path, "x.npy", npy_bytes(images))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"announces 2\.1 GB of data, which .* cannot hold"):
        load_images(str(path))


def test_a_bomb_that_deflate_can_hold_is_stopped_by_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((1000, 32, 32), np.uint8))
    assert (tmp_path / "x.npz").stat().st_size < 2000
    monkeypatch.setattr(limits, "available_memory", lambda: 500_000)
    with pytest.raises(InputError, match=r"x\.npz::x: needs 1\.0 MB of memory, 500\.0 kB are"):
        load_images(str(tmp_path / "x.npz"))


def test_npz_of_another_compression(tmp_path, images):
    write_zip(tmp_path / "x.npz", "x.npy", npy_bytes(images), zipfile.ZIP_BZIP2)
    with pytest.raises(InputError, match="compression method 12; numpy.savez writes stored or"):
        load_images(str(tmp_path / "x.npz"))


def test_npz_with_a_damaged_member(tmp_path, images):
    path = tmp_path / "x.npz"
    np.savez(path, x=images)
    data = bytearray(path.read_bytes())
    data[data.index(images.tobytes()) + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.npz::x: cannot be read \(Bad CRC-32"):
        load_images(str(path))


def test_a_file_that_is_no_zip(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"something else entirely")
    with pytest.raises(InputError, match=r"x\.npz: cannot be read \(File is not a zip file\); the"):
        load_images(str(tmp_path / "x.npz"))
