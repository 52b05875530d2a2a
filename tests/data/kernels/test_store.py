"""The kernel file: what is written, what is read back, and everything that can go wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from refntk.data.disk import DiskFile
from refntk.data.images.imageset import describe_images
from refntk.data.kernels.kernel_format import ATTRIBUTES
from refntk.data.kernels.store import KernelDescription, KernelWriter, open_kernel
from refntk.errors import StoreError
from refntk.evaluation.tiles import Tile, cut

NETWORK = 'name = "é"\nparameterization = "ntk"\n'


def describe(n1=10, n2=None, **changes):
    """Describe a kernel of `n1` images with themselves or with `n2` others."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 2, 3, 1), dtype=np.uint8)
    fields = {
        "network": NETWORK,
        "network_hash": "ab" * 32,
        "kernels": ("nngp", "ntk"),
        "dtype": "float64",
        "backend": "numba",
        "method": "slices",
        "tile": 4,
        "x1": describe_images(
            pixels[:n1],
            source="sample:é",
            labels=np.arange(n1) % 3,
            class_names=("ham", "Käse", ""),
            names=tuple(f"ham/{index}.png" for index in range(n1)),
        ),
        "x2": None if n2 is None else describe_images(pixels[-n2:], source="b.npy"),
        "preprocessing": {
            "scaling": {"x1": "divided by 255"},
            "size": None,
            "standardize": {"mean": [0.1], "std": [0.2]},
        },
    }
    return KernelDescription(**(fields | changes))


def matrices(description, rng):
    """A random kernel of each name, symmetric where the description says so."""
    out = {}
    for name in description.kernels:
        kernel = rng.standard_normal(description.shape)
        kernel = kernel + kernel.T if description.symmetric else kernel
        out[name] = kernel.astype(description.dtype)
    return out


def write_all(writer, kernels):
    for tile in writer.missing():
        writer.write(tile, block(kernels, tile))


def block(kernels, tile):
    """The part of each kernel that belongs to a tile."""
    return {name: kernel[tile.rows, tile.cols] for name, kernel in kernels.items()}


def store(path, description, kernels, **options):
    """Write a whole kernel file."""
    with KernelWriter(path, description, **options) as writer:
        write_all(writer, kernels)
        writer.finish()


@pytest.fixture
def out(tmp_path):
    """A file name in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "k.h5"


def left(out):
    """Names of what lies in the folder of the output."""
    return sorted(path.name for path in out.parent.iterdir())


# --- what is written is what is read


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kernels", [("nngp", "ntk"), ("ntk",), ("nngp",)])
@pytest.mark.parametrize("n2", [None, 7])
@pytest.mark.parametrize("tile", [1, 4, 5, 100])
def test_kernels_come_back_bit_by_bit(out, rng, dtype, kernels, n2, tile):
    description = describe(10, n2, dtype=dtype, kernels=kernels, tile=tile)
    expected = matrices(description, rng)
    store(out, description, expected)
    assert left(out) == ["k.h5"]
    with open_kernel(out) as kernel:
        assert kernel.complete
        for name in ("nngp", "ntk"):
            dataset = getattr(kernel, name)
            if name in kernels:
                np.testing.assert_array_equal(dataset[...], expected[name])
                assert dataset.dtype == dtype
            else:
                assert dataset is None


def test_inputs_and_attributes_come_back(out, rng):
    description = describe(10, 7)
    store(out, description, matrices(description, rng))
    with open_kernel(str(out)) as kernel:
        for info, expected in ((kernel.x1, description.x1), (kernel.x2, description.x2)):
            assert info.source == expected.source
            assert info.shape == expected.shape
            assert info.dtype == expected.dtype
            assert info.class_names == expected.class_names
            assert info.names == expected.names
            assert info.indices.tolist() == expected.indices.tolist()
            assert info.sha256.tolist() == expected.sha256.tolist()
        assert kernel.x1.labels is not None
        assert kernel.x1.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
        assert kernel.x2.labels is None
        about = dict(kernel.attributes)
    assert about.keys() == ATTRIBUTES.keys()
    assert datetime.fromisoformat(about.pop("created")).utcoffset() is not None
    assert about == {
        "format": "refntk-kernel/1",
        "refntk_version": version("refntk"),
        "network": NETWORK,
        "network_hash": "ab" * 32,
        "dtype": "float64",
        "backend": "numba",
        "method": "slices",
        "tile": 4,
        "symmetric": False,
        "preprocessing": description.preprocessing,
    }


def test_the_file_is_as_documented(out, rng):
    description = describe(10)
    expected = matrices(description, rng)
    store(out, description, expected)
    with h5py.File(out) as file:
        assert sorted(file) == ["digests", "nngp", "ntk", "tiles", "x1", "x2"]
        assert file.attrs["format"] == b"refntk-kernel/1"
        assert file.attrs["network"].decode() == NETWORK
        assert json.loads(file.attrs["preprocessing"].decode()) == description.preprocessing
        assert bool(file.attrs["symmetric"]) is True
        assert int(file.attrs["tile"]) == 4
        for name in ("nngp", "ntk"):
            assert file[name].chunks == (4, 4)
            assert file[name].fletcher32
            assert file[name].compression is None
        assert file["tiles"].shape == (3, 3)
        assert file["tiles"].dtype == np.uint8
        assert file["tiles"][...].all()
        assert file["x1"] == file["x2"]
        assert file["x1"].attrs["shape"].tolist() == [2, 3, 1]
        assert file["x1/class_names"].asstr()[...].tolist() == ["ham", "Käse", ""]
        assert file["x1/names"][3] == b"ham/3.png"
        pixels = np.random.default_rng(0).integers(0, 256, (20, 2, 3, 1), dtype=np.uint8)
        digest = hashlib.sha256(pixels[3].astype("<u1").tobytes()).hexdigest()
        assert file["x1/sha256"][3].decode() == digest
        for name in ("nngp", "ntk"):
            for row, col in np.ndindex(3, 3):
                values = file[name][4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
                digest = hashlib.sha256(values.tobytes()).digest()
                assert file["digests"][name][row, col].tobytes() == digest


def test_the_seal_is_as_documented(out, rng):
    description = describe(10, 7)
    store(out, description, matrices(description, rng))
    with h5py.File(out) as file:
        seal = file.attrs["seal"].decode()
        listing = [(f"@{name}", file.attrs[name]) for name in sorted(file.attrs) if name != "seal"]
        listing.append(("tiles", file["tiles"][...]))
        for group in ("digests", "x1", "x2"):
            attributes = file[group].attrs
            listing += [(f"{group}@{name}", attributes[name]) for name in sorted(attributes)]
            listing += [(f"{group}/{name}", file[group][name][...]) for name in sorted(file[group])]
    total = hashlib.sha256()
    for name, value in listing:
        value = np.asarray(value)
        total.update(f"{name} {value.dtype.str} {value.shape}\n".encode() + value.tobytes())
    assert seal == total.hexdigest()


def test_the_summary_says_what_a_person_asks(out, rng):
    description = describe(10, 7, kernels=("ntk",))
    store(out, description, matrices(description, rng))
    with open_kernel(out) as kernel:
        lines = kernel.summary().splitlines()
    assert lines[:5] == [
        f"{out}: refntk-kernel/1, complete",
        "ntk         (10, 7) float64",
        "x1          sample:é: 10 images of 2 x 3 x 1 uint8, 3 classes",
        "x2          b.npy: 7 images of 2 x 3 x 1 uint8",
        "prepared    scaling x1 divided by 255; standardize mean 0.1, std 0.2",
    ]
    assert lines[-2:] == NETWORK.splitlines()


def test_the_summary_of_a_symmetric_kernel(out, rng):
    description = describe(10, preprocessing={})
    store(out, description, matrices(description, rng))
    with open_kernel(out) as kernel:
        assert "x2          x1 again\nprepared    not recorded\n" in kernel.summary()


# --- outputs that cannot be


def test_an_existing_file_is_left_alone(out):
    out.write_text("precious")
    with pytest.raises(StoreError, match=r"k\.h5: exists already; .* \(--overwrite\)"):
        KernelWriter(out, describe())
    assert out.read_text() == "precious"
    assert left(out) == ["k.h5"]


def test_overwrite_replaces_at_the_end_and_not_before(out, rng):
    out.write_text("precious")
    description = describe()
    with KernelWriter(out, description, overwrite=True) as writer:
        write_all(writer, matrices(description, rng))
        assert out.read_text() == "precious"
        writer.finish()
    assert left(out) == ["k.h5"]
    with open_kernel(out) as kernel:
        assert kernel.complete


def test_a_file_that_appears_meanwhile_is_left_alone(out, rng):
    description = describe()
    kernels = matrices(description, rng)

    def run():
        with KernelWriter(out, description) as writer:
            write_all(writer, kernels)
            out.write_text("precious")
            writer.finish()

    with pytest.raises(StoreError, match="appeared while .* --resume --overwrite replaces it"):
        run()
    assert out.read_text() == "precious"
    with KernelWriter(out, description, resume=True, overwrite=True) as writer:
        assert writer.missing() == []
        writer.finish()
    with open_kernel(out) as kernel:
        np.testing.assert_array_equal(kernel.ntk[...], kernels["ntk"])


def test_a_missing_folder(tmp_path):
    with pytest.raises(StoreError, match="the folder .*nowhere does not exist; create it"):
        KernelWriter(tmp_path / "nowhere" / "k.h5", describe())


def test_an_output_that_is_a_folder(tmp_path):
    with pytest.raises(StoreError, match="is a folder; give the name of a file"):
        KernelWriter(tmp_path, describe(), overwrite=True)


def test_an_output_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="does not exist"):
        KernelWriter(tmp_path / "file" / "k.h5", describe())


def test_a_name_that_cannot_be_a_file(tmp_path):
    with pytest.raises(StoreError, match="not usable as an output"):
        KernelWriter(tmp_path / ("k" * 300), describe())


def test_a_folder_that_may_not_be_written_to(out, monkeypatch):
    def refuse(path, *arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(StoreError, match=r"cannot be written \(Permission denied\); choose"):
        KernelWriter(out, describe())


def test_a_disk_too_small_is_seen_before_anything_is_computed(out, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(StoreError, match=r"need 2\.4 kB .* has 1\.0 kB left; free some"):
        KernelWriter(out, describe())
    assert left(out) == []


class SmallDisk:
    """A file on a disk that is full after some bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        if self.file.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        # Less than all of it, as the system may.
        return self.file.write(bytes(data[: max(1, len(data) // 2)]))


def small_disk(monkeypatch, room):
    """Make every kernel file lie on a small disk; the journal lies elsewhere."""
    start = DiskFile.__init__

    def begin(self, path):
        start(self, path)
        self._file = SmallDisk(self._file, room)

    monkeypatch.setattr(DiskFile, "__init__", begin)


@pytest.mark.parametrize("room", [0, 100, 1000, 3000, 5000, 6000, 7000, 8000])
def test_a_disk_that_is_full_at_the_end_keeps_the_tiles(out, rng, monkeypatch, capfd, room):
    description = describe(20, tile=5)
    kernels = matrices(description, rng)
    with monkeypatch.context() as patch:
        small_disk(patch, room)
        message = r"writing failed \(No space left on device\); 10 tiles are kept in .*k\.h5\.part"
        with pytest.raises(StoreError, match=message):
            store(out, description, kernels)
    assert left(out) == ["k.h5.part"]
    # HDF5 would complain on stderr about a file that it cannot close.
    assert capfd.readouterr() == ("", "")
    with KernelWriter(out, description, resume=True) as writer:
        assert writer.missing() == []
        writer.finish()
    with open_kernel(out) as kernel:
        np.testing.assert_array_equal(kernel.ntk[...], kernels["ntk"])


def test_partial_writes_of_the_system_are_completed(out, rng, monkeypatch):
    description = describe()
    kernels = matrices(description, rng)
    small_disk(monkeypatch, 10**6)
    pwrite = os.pwrite
    monkeypatch.setattr(
        "os.pwrite", lambda fd, data, offset: pwrite(fd, data[: max(1, len(data) // 2)], offset)
    )
    store(out, description, kernels)
    with open_kernel(out) as kernel:
        np.testing.assert_array_equal(kernel.nngp[...], kernels["nngp"])


@pytest.mark.parametrize("name", ["fsync", "ftruncate"])
def test_a_disk_that_fails_at_the_end(out, rng, monkeypatch, name):
    description = describe()
    kernels = matrices(description, rng)

    def fail(*args):
        raise OSError(5, "Input/output error")

    def failing_truncate(self, size):
        self.error = OSError(5, "Input/output error")
        return size

    with KernelWriter(out, description) as writer:
        write_all(writer, kernels)
        if name == "fsync":
            monkeypatch.setattr("os.fsync", fail)
        else:
            monkeypatch.setattr(DiskFile, "truncate", failing_truncate)
        with pytest.raises(StoreError, match=r"writing failed \(Input/output error\); 6 tiles are"):
            writer.finish()
    assert left(out) == ["k.h5.part"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_exception_inside_leaves_nothing_behind(out, kind):
    def run():
        with KernelWriter(out, describe()):
            raise kind("mine")

    with pytest.raises(kind, match="mine"):
        run()
    assert left(out) == []


def interrupt(*arguments, **words):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("owner", "name"), [(h5py.File, "create_dataset"), (SmallDisk, "write")], ids=["above", "below"]
)
def test_an_interrupt_at_the_end_keeps_the_tiles(out, rng, monkeypatch, owner, name):
    """Also where HDF5 calls the disk and would drop what is raised there."""
    description = describe()
    small_disk(monkeypatch, 10**6)
    monkeypatch.setattr(owner, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        store(out, description, matrices(description, rng))
    assert left(out) == ["k.h5.part"]


def test_missing_tiles_are_noticed(out, rng):
    description = describe()
    kernels = matrices(description, rng)
    first = cut((10, 10), 4, symmetric=True)[0]

    def run():
        with KernelWriter(out, description) as writer:
            writer.write(first, block(kernels, first))
            writer.finish()

    with pytest.raises(StoreError, match="5 of 6 tiles are missing; continue with --resume"):
        run()
    assert left(out) == ["k.h5.part"]


@pytest.mark.parametrize(
    ("rows", "cols"),
    [
        (slice(1, 5), slice(0, 4)),
        (slice(0, 3), slice(0, 4)),
        (slice(0, 4), slice(8, 12, 2)),
        (slice(12, 16), slice(0, 4)),
        (slice(0, 8), slice(0, 4)),
    ],
)
def test_slices_that_are_no_tile(out, rows, cols):
    with (
        pytest.raises(StoreError, match="is no tile of an axis of 10 images in tiles of 4"),
        KernelWriter(out, describe()) as writer,
    ):
        writer.write(Tile(rows, cols), {})


def test_a_tile_below_the_diagonal(out):
    with (
        pytest.raises(StoreError, match="is below the diagonal; write its mirror image instead"),
        KernelWriter(out, describe()) as writer,
    ):
        writer.write(Tile(slice(4, 8), slice(0, 4)), {})


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"ntk": np.zeros((4, 4))}, r"blocks of \['ntk'\], expected \['nngp', 'ntk'\]"),
        (
            {"nngp": np.zeros((4, 4)), "ntk": np.zeros((4, 1))},
            r"block of ntk has shape \(4, 1\) and dtype float64, expected \(4, 4\) and float64",
        ),
        (
            {"nngp": np.zeros((4, 4)), "ntk": np.zeros((4, 4), np.float32)},
            r"block of ntk has shape \(4, 4\) and dtype float32, expected \(4, 4\) and float64",
        ),
    ],
)
def test_blocks_that_do_not_fit(out, blocks, message):
    with pytest.raises(StoreError, match=message), KernelWriter(out, describe()) as writer:
        writer.write(Tile(slice(0, 4), slice(0, 4)), blocks)
    assert left(out) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernels": ()}, "expected one or both of"),
        ({"kernels": ("ntk", "cov")}, r"kernels \('ntk', 'cov'\): expected one or both of"),
        ({"dtype": "float16"}, "dtype 'float16': expected 'float64' or 'float32'"),
        ({"tile": 0}, "tile 0: expected a positive number of images"),
    ],
)
def test_descriptions_that_cannot_be(changes, message):
    with pytest.raises(StoreError, match=message):
        describe(**changes)


def test_texts_longer_than_an_attribute(out, rng):
    long = {"standardize": {"mean": rng.random(5000).tolist(), "std": rng.random(5000).tolist()}}
    description = describe(10, network="# é\n" * 30_000, preprocessing=long)
    store(out, description, matrices(description, rng))
    with open_kernel(out) as kernel:
        assert kernel.attributes["network"] == description.network
        assert kernel.attributes["preprocessing"] == long
    with h5py.File(out) as file:
        assert sorted(file["texts"]) == ["network", "preprocessing"]
        assert file["texts/network"][...].tobytes().decode() == description.network
        assert file.attrs["seal"].decode() == listed(file)
        place = file["texts/network"].id.get_offset()
    data = bytearray(out.read_bytes())
    data[place + 70_000] ^= 1
    out.write_bytes(data)
    with pytest.raises(StoreError, match="does not match its seal"):
        open_kernel(out)


def listed(file):
    """The seal as docs/file-format.md defines it."""
    listing = [(f"@{name}", file.attrs[name]) for name in sorted(file.attrs) if name != "seal"]
    listing.append(("tiles", file["tiles"][...]))
    for group in (name for name in ("digests", "texts", "x1", "x2") if name in file):
        attributes = file[group].attrs
        listing += [(f"{group}@{name}", attributes[name]) for name in sorted(attributes)]
        listing += [(f"{group}/{name}", file[group][name][...]) for name in sorted(file[group])]
    total = hashlib.sha256()
    for name, value in listing:
        value = np.asarray(value)
        total.update(f"{name} {value.dtype.str} {value.shape}\n".encode() + value.tobytes())
    return total.hexdigest()


# --- files that cannot be read


@pytest.fixture
def stored(out, rng):
    """A complete kernel file."""
    description = describe(10)
    store(out, description, matrices(description, rng))
    return out


def test_no_such_file(tmp_path):
    with pytest.raises(StoreError, match=r"k\.h5: no such file"):
        open_kernel(tmp_path / "k.h5")


def test_a_file_that_is_not_finished(out, rng):
    with KernelWriter(out, describe()) as writer:
        (first, *_) = writer.missing()
        writer.write(first, block(matrices(describe(), rng), first))
    with pytest.raises(StoreError, match=r"no such file; it is not finished, .*k\.h5\.part holds"):
        open_kernel(out)


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    for path in (tmp_path, tmp_path / "pipe.h5", "/dev/zero"):
        with pytest.raises(StoreError, match="is no regular file; a kernel file is one HDF5 file"):
            open_kernel(path)


def test_a_kernel_file_that_is_open_elsewhere(out, rng, monkeypatch):
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    with h5py.File(out, "w") as file:
        file.flush()
        code = "import sys, refntk; refntk.open_kernel(sys.argv[1])"
        command = [sys.executable, "-P", "-c", code, str(out)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another program has it open for writing" in run.stderr
    assert "damaged" not in run.stderr


def test_not_hdf5(tmp_path):
    (tmp_path / "k.h5").write_text("something else entirely")
    with pytest.raises(StoreError, match=r"as an HDF5 file it cannot be read \(.*not found\)"):
        open_kernel(tmp_path / "k.h5")


def test_truncated(stored):
    stored.write_bytes(stored.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"cannot be read \(.*truncated file"):
        open_kernel(stored)


def test_hdf5_that_is_no_kernel_file(tmp_path):
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(StoreError, match="an HDF5 file, but not a kernel file of refntk"):
        open_kernel(tmp_path / "k.h5")


def test_an_unknown_format(stored):
    with h5py.File(stored, "r+") as file:
        file.attrs["format"] = np.bytes_("refntk-kernel/2")
    message = r"has format 'refntk-kernel/2', but this refntk knows 'refntk-kernel/1' only; use"
    with pytest.raises(StoreError, match=message):
        open_kernel(stored)


@pytest.mark.parametrize("name", [name for name in ATTRIBUTES if name != "format"])
@pytest.mark.parametrize("value", [None, 1.5, [1, 2]])
def test_a_missing_or_damaged_attribute(stored, name, value):
    with h5py.File(stored, "r+") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    message = rf"attribute '{name}' is missing or damaged|is damaged \("
    with pytest.raises(StoreError, match=message):
        open_kernel(stored)


def test_preprocessing_that_is_no_json(stored):
    with h5py.File(stored, "r+") as file:
        file.attrs["preprocessing"] = np.bytes_("{")
    with pytest.raises(StoreError, match=r"is damaged \(Expecting property name"):
        open_kernel(stored)


@pytest.mark.parametrize("name", ["tiles", "x1", "x2", "x1/indices", "x1/sha256"])
def test_a_missing_dataset(stored, name):
    with h5py.File(stored, "r+") as file:
        del file[name]
    with pytest.raises(StoreError, match=r"is damaged \(.*\); compute the kernel again"):
        open_kernel(stored)


@pytest.mark.parametrize("name", ["source", "dtype", "shape"])
def test_a_missing_attribute_of_the_inputs(stored, name):
    with h5py.File(stored, "r+") as file:
        del file["x1"].attrs[name]
    with pytest.raises(StoreError, match=r"is damaged \("):
        open_kernel(stored)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ntk", np.zeros((10, 9))),
        ("ntk", np.zeros((10, 10), np.float32)),
        ("tiles", np.ones((3, 2), np.uint8)),
        ("x1/indices", np.arange(9)),
    ],
)
def test_datasets_that_do_not_fit(stored, name, value):
    with h5py.File(stored, "r+") as file:
        del file[name]
        file[name] = value
    with pytest.raises(StoreError, match="its datasets do not fit each other or the attributes"):
        open_kernel(stored)


def test_a_file_without_kernels(stored):
    with h5py.File(stored, "r+") as file:
        del file["ntk"], file["nngp"]
    with pytest.raises(StoreError, match="its datasets do not fit"):
        open_kernel(stored)


def test_datasets_that_announce_more_than_they_hold(stored):
    with h5py.File(stored, "r+") as file:
        del file["x1/indices"]
        file.create_dataset("x1/indices", (10**15,), np.int64, chunks=(1000,))
    with pytest.raises(StoreError, match="/x1/indices announces more than it holds"):
        open_kernel(stored)


def test_text_of_variable_length_is_refused(stored):
    with h5py.File(stored, "r+") as file:
        del file["x1/names"]
        file.create_dataset("x1/names", data=["a"] * 10, dtype=h5py.string_dtype())
    with pytest.raises(StoreError, match="/x1/names has a dtype of variable length"):
        open_kernel(stored)


def test_a_damaged_entry_is_found_by_the_checksum(stored):
    with open_kernel(stored) as kernel:
        ntk = kernel.ntk[...]
    data = bytearray(stored.read_bytes())
    data[data.index(ntk[:4, :4].tobytes()) + 3] ^= 1
    stored.write_bytes(data)
    with open_kernel(stored) as kernel, pytest.raises(OSError, match="filter returned failure"):
        kernel.ntk[...]
