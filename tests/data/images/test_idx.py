"""The idx files of MNIST."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from refntk.data import limits, load_images
from refntk.data.images.idx import is_idx_name
from refntk.errors import InputError

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx_bytes(array: np.ndarray, dtype: str = "u1") -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[dtype], array.ndim, *array.shape)
    return header + array.astype(dtype).tobytes()


@pytest.fixture
def digits(rng):
    return rng.integers(0, 256, (9, 6, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("t10k-images-idx3-ubyte", True),
        ("t10k-images-idx3-ubyte.gz", True),
        ("train-images.idx3-ubyte", True),
        ("x-idx4-float.gz", True),
        ("idx3-ubyte.txt", False),
        ("x.gz", False),
    ],
)
def test_idx_files_are_known_by_name(name, known):
    assert is_idx_name(name) == known


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("labels_zipped", [True, False])
def test_images_and_the_labels_beside_them(tmp_path, digits, zipped, labels_zipped):
    for name, array, packed in (
        ("t-images-idx3-ubyte", digits, zipped),
        ("t-labels-idx1-ubyte", np.arange(9), labels_zipped),
    ):
        data = idx_bytes(array)
        path = tmp_path / (name + ".gz" * packed)
        path.write_bytes(gzip.compress(data) if packed else data)
    loaded = load_images(str(tmp_path / ("t-images-idx3-ubyte" + ".gz" * zipped)))
    np.testing.assert_array_equal(loaded.images, digits[..., None])
    assert loaded.labels is not None
    assert loaded.labels.tolist() == list(range(9))


@pytest.mark.parametrize("dtype", CODES)
def test_every_type_of_value(tmp_path, digits, dtype):
    (tmp_path / "x-idx3-short").write_bytes(idx_bytes(digits // 2, dtype))
    loaded = load_images(str(tmp_path / "x-idx3-short"))
    np.testing.assert_array_equal(loaded.images[..., 0], digits // 2)
    assert loaded.images.dtype == np.dtype(dtype).newbyteorder("=")
    assert loaded.labels is None


def test_colour_images_and_a_subset(tmp_path, rng):
    images = rng.integers(0, 256, (8, 3, 3, 3), dtype=np.uint8)
    (tmp_path / "images-idx4-ubyte").write_bytes(idx_bytes(images))
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(8) % 2))
    loaded = load_images(str(tmp_path / "images-idx4-ubyte"), limit=4)
    np.testing.assert_array_equal(loaded.images, images[loaded.indices])
    assert loaded.labels is not None
    assert sorted(loaded.labels.tolist()) == [0, 0, 1, 1]


def test_labels_that_do_not_fit(tmp_path, digits):
    (tmp_path / "images-idx3-ubyte").write_bytes(idx_bytes(digits))
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(8)))
    with pytest.raises(InputError, match=r"labels-idx1-ubyte: .* shape \(8,\) .* holds 9 images"):
        load_images(str(tmp_path / "images-idx3-ubyte"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "begins with the bytes of an empty file; an idx file begins with"),
        (lambda data: b"\x1f\x8b" + data[2:], "begins with the bytes 1f 8b 08 03"),
        (lambda data: data[:9], "ends inside its header; it is truncated"),
        (lambda data: data[:-1], "announces 270 bytes of data, the file holds 269 bytes"),
        (lambda data: data + b"\0", "1 bytes follow the data that the header announces"),
        (lambda data: data[:4] + b"\xff" * 12 + data[16:], "announces .* PB of data"),
        (lambda data: data[:4] + b"\0" * 4 + data[8:16], r"is empty, shape \(0, 6, 5\)"),
        (lambda data: idx_bytes(np.arange(5)), "has 1 axes"),
    ],
)
def test_bad_files(tmp_path, digits, change, message):
    path = tmp_path / "x-idx3-ubyte"
    path.write_bytes(change(idx_bytes(digits)))
    with pytest.raises(InputError, match=message):
        load_images(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: gzip.compress(data)[:-30], r"cannot be read \(Compressed file ended"),
        (lambda data: data, r"cannot be read \(Not a gzipped file"),
        (lambda data: gzip.compress(data[:-1]), "announces 270 bytes of data, the file holds 269"),
        (lambda data: gzip.compress(data + b"\0"), "more data follow than the header announces"),
        (
            lambda data: gzip.compress(data[:4] + b"\xff" * 12 + data[16:]),
            "announces .* PB of data, which .* of compressed data cannot hold",
        ),
    ],
)
def test_bad_gzip_files(tmp_path, digits, change, message):
    path = tmp_path / "x-idx3-ubyte.gz"
    path.write_bytes(change(idx_bytes(digits)))
    with pytest.raises(InputError, match=message):
        load_images(str(path))


def test_a_damaged_gzip_stream_is_found_by_its_checksum(tmp_path, digits):
    data = bytearray(gzip.compress(idx_bytes(digits), compresslevel=0))
    data[data.index(digits.tobytes()) + 20] ^= 1
    (tmp_path / "x-idx3-ubyte.gz").write_bytes(data)
    with pytest.raises(InputError, match="CRC check failed"):
        load_images(str(tmp_path / "x-idx3-ubyte.gz"))


def test_a_bomb_that_deflate_can_hold_is_stopped_by_memory(tmp_path, monkeypatch):
    zeros = np.zeros((1000, 32, 32), np.uint8)
    (tmp_path / "x-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(zeros)))
    monkeypatch.setattr(limits, "available_memory", lambda: 500_000)
    with pytest.raises(InputError, match=r"needs 1\.0 MB of memory, 500\.0 kB are available"):
        load_images(str(tmp_path / "x-idx3-ubyte.gz"))
