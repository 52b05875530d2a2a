"""Kernels of a file as arrays: indexing as in NumPy, lazily, and never a damaged tile."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

import refntk
from refntk.data.images.imageset import describe_images
from refntk.data.kernels.kernel_array import KernelArray
from refntk.data.kernels.store import KernelDescription, KernelWriter
from refntk.errors import StoreError

PIXELS = np.random.default_rng(5).integers(0, 256, (20, 2, 3, 1), dtype=np.uint8)
SHAPE, SIDE = (13, 9), 4


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(2).standard_normal(SHAPE)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, values):
    """A kernel of thirteen images with nine others, in tiles of 4."""
    path = tmp_path_factory.mktemp("array") / "k.h5"
    description = KernelDescription(
        network='name = "x"\n',
        network_hash="0" * 64,
        kernels=("ntk",),
        dtype="float64",
        backend="numba",
        method="slices",
        tile=SIDE,
        x1=describe_images(PIXELS[: SHAPE[0]], source="x.npy"),
        x2=describe_images(PIXELS[: SHAPE[1]], source="x.npy"),
        preprocessing={},
    )
    with KernelWriter(path, description) as writer:
        for tile in writer.missing():
            writer.write(tile, {"ntk": values[tile.rows, tile.cols]})
        writer.finish()
    return path


@pytest.fixture
def array(stored):
    with refntk.open_kernel(stored) as kernel:
        yield kernel.ntk


def test_what_it_says_of_itself(array, values, stored):
    assert (array.shape, array.dtype, array.ndim) == (SHAPE, np.float64, 2)
    assert (array.size, array.nbytes, len(array)) == (117, 936, 13)
    assert array.chunks == (4, 4)
    assert array.name == "ntk"
    assert repr(array) == f"<ntk (13, 9) float64 in {stored}>"


KEYS = [
    ...,
    5,
    -1,
    np.int64(3),
    slice(2, 11),
    slice(None, None, -3),
    (3, 4),
    (slice(None), 8),
    (..., 2),
    (2, ...),
    (slice(1, 9, 2), slice(8, 0, -1)),
    ([0, 12, 3], slice(2, 5)),
    (slice(None), np.array([8, 0, 0])),
    np.arange(13) % 3 == 0,
    (np.arange(13) > 5, 2),
    (np.arange(13)[:9], np.arange(9)),
    ([1, 2], [3, 3]),
    ([1], [3, 4, 5]),
    np.ix_([0, 5, 12], [8, 1]),
    (slice(3, 3), slice(None)),
    (np.array([], int), slice(None)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_that_of_numpy(array, values, key):
    expected = values[key]
    for _ in range(2):  # the second time the tiles are known to be right
        got = array[key]
        np.testing.assert_array_equal(got, expected)
        assert np.shape(got) == np.shape(expected)


@given(key=basic_indices(SHAPE, allow_newaxis=False))
def test_any_basic_index(stored, values, key):
    with refntk.open_kernel(stored) as kernel:
        np.testing.assert_array_equal(kernel.ntk[key], values[key])


@given(data=st.data())
def test_any_rows_and_columns(stored, values, data):
    rows = data.draw(st.lists(st.integers(-13, 12), min_size=1))
    cols = data.draw(st.lists(st.integers(-9, 8), min_size=1))
    with refntk.open_kernel(stored) as kernel:
        np.testing.assert_array_equal(kernel.ntk[np.ix_(rows, cols)], values[np.ix_(rows, cols)])
        pairs = rows[: len(cols)], cols[: len(rows)]
        np.testing.assert_array_equal(kernel.ntk[pairs], values[pairs])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (13, "out of bounds"),
        ((0, -10), "out of bounds"),
        ((0, 0, 0), "has two axes"),
        (None, "has two axes"),
        ((..., ...), "single ellipsis"),
        (np.zeros((2, 2), int), "only indices of one axis each"),
        (np.ones(12, bool), "boolean index did not match"),
    ],
    ids=str,
)
def test_indices_that_cannot_be(array, key, message):
    with pytest.raises(IndexError, match=message):
        array[key]


def test_as_an_array(array, values):
    np.testing.assert_array_equal(np.asarray(array), values)
    assert np.asarray(array, np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.linalg.norm(array, axis=1), np.linalg.norm(values, axis=1))
    with pytest.raises(ValueError, match="an array of it is always a copy"):
        np.array(array, copy=False)


def test_iteration_is_over_rows(array, values):
    np.testing.assert_array_equal(list(array), values)


def test_bands_and_tiles(array, values):
    bands = list(array.bands())
    assert [rows for rows, _ in bands] == [slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 13)]
    np.testing.assert_array_equal(np.concatenate([band for _, band in bands]), values)
    np.testing.assert_array_equal(array.tile(3, 2), values[12:, 8:])


def test_only_what_is_needed_is_read(array, monkeypatch):
    read, getitem = [], h5py.Dataset.__getitem__

    def watched(dataset, key):
        part = getitem(dataset, key)
        read.append(part.shape)
        return part

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    _ = array[5, 8]
    assert read == [(4, 1)]
    _ = array[5, 8]
    assert read == [(4, 1), (1, 1)]
    read.clear()
    _ = array[np.arange(9), np.arange(9)]
    assert read == [(4, 4), (4, 4), (4, 1)]


def test_dask(array, values):
    import dask.array as da

    lazy = da.from_array(array, chunks=array.chunks)
    assert lazy.chunks == ((4, 4, 4, 1), (4, 4, 1))
    np.testing.assert_array_equal((lazy + 1)[2:7].compute(scheduler="threads"), values[2:7] + 1)
    assert da.from_array(array).name == da.from_array(array).name


def test_it_travels_to_another_process(array, values):
    other = pickle.loads(pickle.dumps(array))
    assert isinstance(other, KernelArray)
    np.testing.assert_array_equal(other[...], values)


# --- damage


def damaged(path, folder, change):
    """A copy of a file in which something was changed behind the back of HDF5."""
    data = bytearray(path.read_bytes())
    change(data)
    copy = folder / "damaged.h5"
    copy.write_bytes(data)
    return copy


def test_a_flipped_bit_in_a_tile(stored, values, tmp_path):
    def flip(data):
        data[data.index(values[4:8, 4:8].tobytes()) + 3] ^= 1

    path = damaged(stored, tmp_path, flip)
    with refntk.open_kernel(path) as kernel:
        np.testing.assert_array_equal(kernel.ntk[:4], values[:4])
        for key in (5, ..., (slice(None), 4), np.ix_([5], [0, 8, 4])):
            message = r"damaged\.h5: tile \(1, 1\) of ntk is damaged \(.*filter returned failure"
            with pytest.raises(StoreError, match=message):
                kernel.ntk[key]


def test_zeros_that_fletcher_takes_for_data(stored, values, tmp_path):
    """A write that never reached the disk: the tile and its checksum in HDF5 are zeros."""

    def zero(data):
        start = data.index(values[4:8, 4:8].tobytes())
        data[start : start + 132] = bytes(132)

    path = damaged(stored, tmp_path, zero)
    with h5py.File(path) as file:
        assert not file["ntk"][4:8, 4:8].any()
    with (
        refntk.open_kernel(path) as kernel,
        pytest.raises(StoreError, match=r"tile \(1, 1\) .* \(it does not match its SHA-256\)"),
    ):
        kernel.ntk[5, 5]


def test_every_flipped_byte_is_harmless_or_noticed(stored, values, tmp_path, rng):
    """Whatever byte of the file changes: what is read is right, or it is refused."""
    good = stored.read_bytes()
    with refntk.open_kernel(stored) as kernel:
        known = kernel.summary(), [info.sha256.tolist() for info in (kernel.x1, kernel.x2)]
    refused = 0
    for place in rng.choice(len(good), 150, replace=False):
        data = bytearray(good)
        data[place] ^= 1 << int(rng.integers(8))
        path = tmp_path / "k.h5"
        path.write_bytes(data)
        try:
            with refntk.open_kernel(path) as kernel:
                whole = kernel.ntk[...]
                about = kernel.summary(), [x.sha256.tolist() for x in (kernel.x1, kernel.x2)]
        except StoreError:
            refused += 1
        else:
            np.testing.assert_array_equal(whole, values)
            assert about == (known[0].replace(str(stored), str(path)), known[1])
    assert refused > 50


@pytest.mark.parametrize("name", ["labels", "class_names"])
def test_labels_are_sealed(tmp_path, name):
    path = tmp_path / "k.h5"
    description = KernelDescription(
        network="",
        network_hash="0" * 64,
        kernels=("nngp",),
        dtype="float64",
        backend="numba",
        method="slices",
        tile=2,
        x1=describe_images(
            PIXELS[:2], source="x.npy", labels=np.arange(2), class_names=("a", "b")
        ),
        x2=None,
        preprocessing={},
    )
    with KernelWriter(path, description) as writer:
        writer.write(*writer.missing(), {"nngp": np.eye(2)})
        writer.finish()
    with h5py.File(path, "r+") as file:
        file["x1"][name][...] = file["x1"][name][...][::-1]
    with pytest.raises(StoreError, match="does not match its seal; it was changed or damaged"):
        refntk.open_kernel(path)
