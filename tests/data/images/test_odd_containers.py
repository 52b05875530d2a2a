"""Files that are whole but odd: locked, half written, renamed, or with members nobody asked for."""

from __future__ import annotations

import errno
import gzip
import io
import struct
import subprocess
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pytest

from refntk.data import load_images
from refntk.data.limits import why_unreadable
from refntk.errors import InputError, RefntkWarning

PIXELS = np.arange(96, dtype=np.uint8).reshape(3, 4, 8)


def idx(array: np.ndarray, order: str = ">") -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f"{order}{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["t-images-idx3-ubyte", "t-images-idx3-ubyte.gz"])
def test_contents_say_whether_an_idx_file_is_packed(tmp_path, name, packed):
    data = idx(PIXELS)
    (tmp_path / name).write_bytes(gzip.compress(data) if packed else data)
    np.testing.assert_array_equal(load_images(str(tmp_path / name)).images[..., 0], PIXELS)


def test_idx_files_in_folders_called_like_themselves(tmp_path):
    for kind, array in (("images.idx3", PIXELS), ("labels.idx1", np.arange(3))):
        folder = tmp_path / f"t-{kind}-ubyte"
        folder.mkdir()
        (folder / f"t-{kind.replace('.', '-')}-ubyte").write_bytes(idx(array))
    found = load_images(str(tmp_path / "t-images.idx3-ubyte"))
    np.testing.assert_array_equal(found.images[..., 0], PIXELS)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 2]


def test_little_endian_sizes_are_named(tmp_path):
    (tmp_path / "t-idx3-ubyte").write_bytes(idx(PIXELS, "<"))
    with pytest.raises(InputError, match=r"its sizes are little-endian, \(3, 4, 8\)"):
        load_images(str(tmp_path / "t-idx3-ubyte"))


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize("other", ["__MACOSX/._images.npy", "notes.npy"])
@pytest.mark.parametrize("key", ["", "::images"])
def test_a_broken_member_beside_the_one_asked_for(tmp_path, other, key):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr(other, b"no array")
        archive.writestr("images.npy", npy(PIXELS))
    found = load_images(f"{tmp_path / 'x.npz'}{key}")
    np.testing.assert_array_equal(found.images[..., 0], PIXELS)


def test_an_archive_of_many_members_is_not_searched(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for number in range(1500):
            archive.writestr(f"a{number}.npy", npy(PIXELS) if number == 7 else b"")
    with pytest.raises(InputError, match=r"holds 1500 arrays, and none is called images or x"):
        load_images(str(tmp_path / "x.npz"))
    with pytest.raises(InputError, match=r"unknown key .* and 1488 more"):
        load_images(f"{tmp_path / 'x.npz'}::b")
    assert len(load_images(f"{tmp_path / 'x.npz'}::a7").images) == 3


@pytest.mark.parametrize("storage", [{}, {"compression": "gzip"}, {"compression": "lzf"}])
def test_chunks_that_were_never_written(tmp_path, storage):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        images = file.create_dataset("images", (4, 4, 4), "u1", chunks=(1, 4, 4), **storage)
        images[:2] = 9
    message = r"only 2 of 4 chunks were ever written, .* would read as 0; finish the file"
    with pytest.raises(InputError, match=message):
        load_images(str(tmp_path / "x.h5"))


def test_a_file_that_is_open_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = PIXELS
        file.flush()
        code = "import sys, refntk.data; refntk.data.load_images(sys.argv[1])"
        command = [sys.executable, "-P", "-c", code, str(tmp_path / "x.h5")]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another program has it open for writing" in run.stderr
    assert "HDF5_USE_FILE_LOCKING=FALSE" in run.stderr
    assert "damaged" not in run.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "x"), "you may not read it"),
        (OSError(errno.ENOLCK, "x"), "its file system has no locks"),
        (FileNotFoundError(errno.ENOENT, "x"), "no longer there"),
        (OSError(errno.EIO, "x"), "whatever its contents"),
        (ValueError("x"), "damaged or not what its name says"),
    ],
)
def test_the_system_is_not_taken_for_the_contents(error, said):
    assert said in why_unreadable(error)


def test_an_encrypted_member(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", npy(PIXELS))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(InputError, match="::images: is encrypted; save it again without a pass"):
        load_images(str(tmp_path / "x.npz"))


def test_names_that_are_not_utf_8_do_not_hide_others(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = PIXELS
        space = h5py.h5s.create_simple((3, 4, 8))
        h5py.h5d.create(file.id, b"caf\xe9", h5py.h5t.NATIVE_UINT8, space)
    assert len(load_images(str(tmp_path / "x.h5")).images) == 3


def test_labels_and_images_that_lie_in_another_file_are_named(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"], file["labels"] = PIXELS, np.arange(3)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = h5py.ExternalLink("other.h5", "images")
    with pytest.raises(InputError, match="no array; .*'images' leads to another file, which"):
        load_images(str(tmp_path / "x.h5"))
    with pytest.raises(InputError, match="x.h5::images: is a link to another file, which is not"):
        load_images(f"{tmp_path / 'x.h5'}::images")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["g/images"] = PIXELS
        file["g/labels"] = h5py.ExternalLink("other.h5", "labels")
    with pytest.warns(RefntkWarning, match="left out: 'g/labels' leads to another file, which is"):
        assert load_images(str(tmp_path / "x.h5")).labels is None


WORDS = ["cat", "dog", "caf\xe9"]


@pytest.mark.parametrize(
    "more", [{}, {"chunks": (2,)}, {"chunks": (2,), "compression": "gzip"}, {"maxshape": (None,)}]
)
def test_words_of_variable_length(tmp_path, more):
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512) as file:
        file["images"] = PIXELS
        file.create_dataset("labels", data=WORDS, **more)
    found = load_images(str(tmp_path / "x.h5"))
    assert found.class_names == ("caf\xe9", "cat", "dog")
    assert found.labels.tolist() == [1, 2, 0]


def test_names_of_classes_of_variable_length(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"], file["labels"], file["class_names"] = PIXELS, [2, 0, 0], [*WORDS[:2], ""]
    assert load_images(str(tmp_path / "x.h5")).class_names == ("cat", "dog", "")


def test_no_flipped_byte_of_words_hangs_or_ends_otherwise(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"], file["labels"] = PIXELS, WORDS
        place = file["labels"].id.get_offset()
    data = (tmp_path / "x.h5").read_bytes()
    heap = data.index(b"GCOL")
    told = set()
    for at in [*range(place, place + 48), *range(heap, heap + 96)]:
        for flip in (1, 255):
            damaged = bytearray(data)
            damaged[at] ^= flip
            (tmp_path / "y.h5").write_bytes(damaged)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                load_images(str(tmp_path / "y.h5"))
            told |= {str(warning.message).split(": ", 1)[1] for warning in said}
    assert any("its text of variable length leads nowhere; the file is damaged" in t for t in told)
    assert any("holds a word of" in t for t in told)


def test_words_stored_in_a_way_that_is_not_read(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = PIXELS
        file.create_dataset("labels", data=WORDS, chunks=(3,), compression="lzf")
    with pytest.warns(RefntkWarning, match="text of variable length with filters other than gzip"):
        assert load_images(str(tmp_path / "x.h5")).labels is None


def test_a_filter_that_is_not_installed(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("images", data=PIXELS, chunks=PIXELS.shape, compression="lzf")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda number: False)
    with pytest.raises(InputError, match=r"HDF5 filter 32000 \(LZF\), which is not installed"):
        load_images(str(tmp_path / "x.h5"))
