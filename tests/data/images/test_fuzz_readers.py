"""Truncated, bit-flipped and random files of every format: images come out, or one clear line."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from refntk.data import load_images
from refntk.data.images.imageset import describe_images
from refntk.data.kernels.store import KernelDescription, KernelWriter, open_kernel
from refntk.errors import InputError, StoreError

ROUNDS = 200


def mutants(good: bytes, rng: np.random.Generator, rounds: int) -> Iterator[bytes]:
    """Damage a file: cut it, flip a few bits (half of them near its start), or replace it."""
    for index in range(rounds):
        kind = index % 8
        if kind == 0:
            yield good[: rng.integers(len(good))]
        elif kind == 1:
            # The first bytes are kept, so that the reader does not stop at the magic number.
            keep = rng.integers(16)
            yield good[:keep] + rng.bytes(rng.integers(400))
        else:
            data = bytearray(good)
            region = len(good) if kind % 2 else min(len(good), 512)
            for position in rng.integers(region, size=rng.integers(1, 5)):
                data[position] ^= 1 << rng.integers(8)
            yield bytes(data)


def pixels() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (6, 7, 7, 3), dtype=np.uint8)


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, pixels().astype(np.float32))
    return out.getvalue()


def npz(save=np.savez) -> bytes:
    out = io.BytesIO()
    save(out, images=pixels(), labels=np.arange(6) % 2, class_names=np.array(["a", "b"]))
    return out.getvalue()


def hdf5(**storage) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("images", data=pixels(), **storage)
        file["labels"] = np.arange(6) % 2
        file["class_names"] = np.array([b"a", b"b"])
    return out.getvalue()


def idx() -> bytes:
    grey = pixels()[..., 0]
    return struct.pack(">IIII", 0x803, *grey.shape) + grey.tobytes()


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels()[0]).save(out, kind)
    return out.getvalue()


def attempt(kind: type[Exception], function: Callable[[], Any]) -> tuple[Any, str | None]:
    """Result and no message, or no result and the message of the one error that is allowed."""
    try:
        return function(), None
    except kind as error:
        return None, str(error)


FILES = {
    "x.npy": npy,
    "x.npz": npz,
    "packed.npz": lambda: npz(np.savez_compressed),
    "x.h5": hdf5,
    "chunked.h5": lambda: hdf5(chunks=(2, 7, 7, 3), compression="gzip", fletcher32=True),
    "x-images-idx3-ubyte": idx,
    "x-images-idx3-ubyte.gz": lambda: gzip.compress(idx(), mtime=0),
    "folder/a/x.png": lambda: picture("PNG"),
    "folder/a/x.tif": lambda: picture("TIFF"),
    "folder/a/x.jpg": lambda: picture("JPEG"),
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_images(tmp_path, rng, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = str(tmp_path / "folder") if name.startswith("folder") else str(path)
    good = FILES[name]()
    path.write_bytes(good)
    assert load_images(spec).images.shape[1:3] == (7, 7)
    refused = 0
    for data in mutants(good, rng, ROUNDS):
        path.write_bytes(data)
        loaded, message = attempt(InputError, lambda: load_images(spec))
        if message is None:
            assert loaded.images.ndim == 4
            assert loaded.images.size > 0
            assert len(loaded.images) == loaded.info.count
        else:
            refused += 1
            assert message.startswith(str(tmp_path))
            assert "\n" not in message
            assert len(message) < len(str(path)) + 500
    assert refused > ROUNDS // 5


def test_damaged_labels_beside_the_images(tmp_path, rng):
    (tmp_path / "images-idx3-ubyte").write_bytes(idx())
    good = struct.pack(">II", 0x801, 6) + bytes(range(6))
    for data in mutants(good, rng, ROUNDS):
        (tmp_path / "labels-idx1-ubyte").write_bytes(data)
        loaded, message = attempt(
            InputError, lambda: load_images(str(tmp_path / "images-idx3-ubyte"))
        )
        if message is None:
            assert loaded.labels.shape == (6,)
        else:
            assert "labels-idx1-ubyte" in message


def kernel_file(path: Path) -> bytes:
    """Write a small complete kernel file and return its bytes."""
    info = describe_images(
        pixels(), source="x.npy", labels=np.arange(6), class_names=tuple("abcdef")
    )
    description = KernelDescription(
        network='name = "x"\n',
        network_hash="0" * 64,
        kernels=("nngp", "ntk"),
        dtype="float64",
        backend="numba",
        method="slices",
        tile=6,
        x1=info,
        x2=None,
        preprocessing={"size": None, "standardize": {"mean": [0.5], "std": [0.1]}},
    )
    with KernelWriter(path, description) as writer:
        (tile,) = writer.missing()
        writer.write(tile, {"nngp": np.eye(6), "ntk": np.eye(6)})
        writer.finish()
    return path.read_bytes()


def summarize(path: Path) -> str:
    """Open a kernel file, read all that is known about it, and close it."""
    with open_kernel(path) as kernel:
        return kernel.summary()


def test_damaged_kernel_files(tmp_path, rng):
    path = tmp_path / "k.h5"
    good = kernel_file(path)
    refused = 0
    for data in mutants(good, rng, 3 * ROUNDS):
        path.write_bytes(data)
        summary, message = attempt(StoreError, lambda: summarize(path))
        if message is None:
            assert summary
        else:
            refused += 1
            assert message.startswith(str(path))
            assert "\n" not in message
    assert refused > ROUNDS // 5
