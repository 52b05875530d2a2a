"""Resuming: what is kept, what is continued, and what is refused."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk.data.images.imageset import describe_images
from refntk.data.kernels.journal import Journal
from refntk.data.kernels.store import KernelDescription, KernelWriter, open_kernel
from refntk.errors import StoreError
from refntk.evaluation.tiles import cut

PIXELS = np.random.default_rng(5).integers(0, 256, (20, 2, 3, 1), dtype=np.uint8)


def images(count, **known):
    return describe_images(PIXELS[:count], source="x.npy", **known)


def describe(n1=10, n2=None, **changes):
    """Describe a kernel of `n1` images with themselves or with `n2` others."""
    fields = {
        "network": 'name = "one"\n',
        "network_hash": "1" * 64,
        "kernels": ("nngp", "ntk"),
        "dtype": "float32",
        "backend": "numba",
        "method": "slices",
        "tile": 4,
        "x1": images(n1, labels=np.arange(n1) % 3),
        "x2": None if n2 is None else images(n2),
        "preprocessing": {"size": None, "scaling": {"x1": "divided by 255"}},
    }
    return KernelDescription(**(fields | changes))


def kernels_of(description, seed=3):
    """A random kernel of each name, symmetric where the description says so."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in description.kernels:
        kernel = rng.standard_normal(description.shape)
        kernel = kernel + kernel.T if description.symmetric else kernel
        out[name] = kernel.astype(description.dtype)
    return out


def tiles_of(description):
    return cut(description.shape, description.tile, description.symmetric)


def write(writer, kernels, tiles):
    for tile in tiles:
        blocks = {name: kernel[tile.rows, tile.cols] for name, kernel in kernels.items()}
        writer.write(tile, blocks)


def begin(path, description, kernels, count):
    """Write some tiles and stop; return what is left."""
    with KernelWriter(path, description) as writer:
        tiles = writer.missing()
        write(writer, kernels, tiles[:count])
    return tiles[count:]


def end(path, description, kernels, **options):
    """Resume, write what is missing, finish; return which tiles were missing."""
    with KernelWriter(path, description, resume=True, **options) as writer:
        missing = writer.missing()
        write(writer, kernels, missing)
        writer.finish()
    return missing


def assert_holds(path, kernels):
    with open_kernel(path) as kernel:
        assert kernel.complete
        for name, values in kernels.items():
            np.testing.assert_array_equal(getattr(kernel, name)[...], values)


def names(path):
    return sorted(entry.name for entry in path.parent.iterdir())


@pytest.fixture
def out(tmp_path):
    """A file name in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "k.h5"


# --- what is kept


@pytest.mark.parametrize("n2", [None, 7])
def test_tiles_that_were_written_are_not_missing(out, n2):
    description = describe(10, n2)
    kernels = kernels_of(description)
    left = begin(out, description, kernels, 3)
    assert names(out) == ["k.h5.part"]
    assert end(out, description, kernels) == left
    assert names(out) == ["k.h5"]
    assert_holds(out, kernels)


def test_nothing_begun_leaves_nothing(out):
    with KernelWriter(out, describe()) as writer:
        assert len(writer.missing()) == 6
        assert names(out) == ["k.h5.lock", "k.h5.part"]
    assert names(out) == []


def test_an_exception_keeps_the_tiles(out):
    description = describe()
    kernels = kernels_of(description)

    def run():
        with KernelWriter(out, description) as writer:
            write(writer, kernels, writer.missing()[:2])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(end(out, description, kernels)) == 4
    assert_holds(out, kernels)


def test_resume_from_nothing_begins(out):
    description = describe()
    kernels = kernels_of(description)
    assert len(end(out, description, kernels)) == 6
    assert_holds(out, kernels)


def test_resume_of_a_finished_file_has_nothing_to_do(out):
    description = describe()
    kernels = kernels_of(description)
    end(out, description, kernels)
    before = out.read_bytes()
    with KernelWriter(out, description, resume=True) as writer:
        assert writer.complete
        assert writer.missing() == []
        with pytest.raises(StoreError, match="is finished or closed; nothing more can be written"):
            write(writer, kernels, tiles_of(description))
    assert out.read_bytes() == before


def test_a_journal_that_outlived_its_file_is_removed(out):
    """The process died between giving the file its name and removing the journal."""
    description = describe()
    kernels = kernels_of(description)
    begin(out, description, kernels, 6)
    journal = (out.parent / "k.h5.part").read_bytes()
    end(out, description, kernels)
    (out.parent / "k.h5.part").write_bytes(journal)
    assert end(out, description, kernels) == []
    assert names(out) == ["k.h5"]


def test_a_tile_written_twice_counts_the_last_time(out):
    description = describe()
    kernels = kernels_of(description)
    with KernelWriter(out, description) as writer:
        write(writer, kernels_of(description, seed=4), tiles_of(description)[:3])
        write(writer, kernels, tiles_of(description))
        assert (writer.missing(), writer.kept) == ([], 6)
    end(out, description, kernels)
    assert_holds(out, kernels)


@given(data=st.data())
def test_any_tiles_in_any_order_with_any_interruptions(tmp_path_factory, data):
    out = tmp_path_factory.mktemp("any") / "k.h5"
    n1 = data.draw(st.integers(1, 12))
    n2 = data.draw(st.none() | st.integers(1, 12))
    description = describe(
        n1,
        n2,
        tile=data.draw(st.integers(1, 14)),
        dtype=data.draw(st.sampled_from(["float32", "float64"])),
        kernels=data.draw(st.sampled_from([("nngp",), ("ntk",), ("nngp", "ntk")])),
    )
    kernels = kernels_of(description)
    begun = 0
    for _ in range(data.draw(st.integers(0, 4))):
        with KernelWriter(out, description, resume=True) as writer:
            missing = data.draw(st.permutations(writer.missing()))
            assert writer.kept == begun
            count = data.draw(st.integers(0, len(missing)))
            write(writer, kernels, missing[:count])
            begun += count
        journal = out.with_name("k.h5.part")
        if journal.exists() and data.draw(st.booleans()):
            # A power cut: the end of the file is lost, or its length is there and its data are not.
            kept, lost = journal.read_bytes(), data.draw(st.integers(0, 3000))
            torn = bytes(lost) if data.draw(st.booleans()) else b""
            journal.write_bytes((kept[: len(kept) - lost] + torn)[: len(kept)])
            begun = tiles_in(journal)
            if begun is None:
                journal.unlink()
                begun = 0
    end(out, description, kernels)
    assert_holds(out, kernels)
    assert names(out) == ["k.h5"]


def tiles_in(path):
    """Number of whole tiles in a journal; None where even its header is lost."""
    try:
        journal = Journal.open(path, write=False)
    except StoreError:
        return None
    journal.close()
    return int(np.count_nonzero(journal.done))


# --- what is refused


def changed(description, **changes):
    return dataclasses.replace(description, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": 'name = "two"\n', "network_hash": "2" * 64},
            r"network: one, SHA-256 111111111111 there, two, SHA-256 222222222222 here",
        ),
        ({"network": "", "network_hash": "2" * 64}, "there, SHA-256 222222222222 here"),
        ({"kernels": ("ntk",)}, "kernels: nngp and ntk there, ntk here"),
        ({"dtype": "float64"}, "dtype: float32 there, float64 here"),
        ({"backend": "numpy"}, "backend: numba there, numpy here"),
        ({"method": "literal"}, "method: slices there, literal here"),
        ({"tile": 5}, "tile: 4 there, 5 here"),
        ({"x1": images(9)}, "X1: 10 images there, 9 here"),
        ({"x1": images(10)}, "X1: labels there, no labels here"),
        ({"x1": images(10, labels=np.arange(10) % 2)}, "X1: the labels are others"),
        (
            {"x1": images(10, labels=np.arange(10) % 3, class_names=("a", "b", "c"))},
            "X1: the labels are others",
        ),
        ({"x2": images(10)}, "X2: X1 again there, given here"),
        (
            {"x1": describe_images(PIXELS[10:], source="x.npy")},
            r"X1: 10 of 10 images are others \(number 0, 1, 2, \.\.\.\)",
        ),
        (
            {"x1": describe_images(PIXELS[:10].astype(np.int16), source="x.npy")},
            "X1: images of dtype uint8 there, int16 here",
        ),
        (
            {"x1": describe_images(PIXELS[:10].reshape(10, 3, 2, 1), source="x.npy")},
            r"X1: images of shape \(2, 3, 1\) there, \(3, 2, 1\) here",
        ),
        ({"preprocessing": {"size": 2}}, "size: None there, 2 here; scaling: .* there, None here"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_what_was_begun_for_another_kernel(out, changes, message, finished):
    description = describe()
    kernels = kernels_of(description)
    begin(out, description, kernels, 2)
    if finished:
        end(out, description, kernels)
    before = {path: path.read_bytes() for path in out.parent.iterdir()}
    match = rf"cannot be continued, it is of another kernel \(.*{message}.*\); repeat the command"
    with pytest.raises(StoreError, match=match):
        KernelWriter(out, changed(description, **changes), resume=True)
    assert {path: path.read_bytes() for path in out.parent.iterdir()} == before


def test_images_of_x2(out):
    description = describe(5, 3)
    begin(out, description, kernels_of(description), 1)
    other = changed(description, x2=describe_images(PIXELS[1:4], source="x.npy"))
    with pytest.raises(StoreError, match=r"X2: 3 of 3 images are others \(number 0, 1, 2\)"):
        KernelWriter(out, other, resume=True)


def test_what_may_differ(out):
    """The same images from another place, and the same network under another name."""
    description = describe()
    kernels = kernels_of(description)
    begin(out, description, kernels, 2)
    moved = describe_images(
        PIXELS[:10], source="y.npy", indices=np.arange(10) + 5, labels=np.arange(10) % 3
    )
    end(out, changed(description, network='name = "other"\n', x1=moved), kernels)
    assert_holds(out, kernels)


def test_another_version_of_refntk(out, monkeypatch):
    description = describe()
    begin(out, description, kernels_of(description), 2)
    monkeypatch.setattr("refntk.data.kernels.kernel_writer.version", lambda name: "99.0")
    with pytest.raises(StoreError, match=r"it was made by refntk .* and this is 99\.0; use that"):
        KernelWriter(out, description, resume=True)


def test_without_resume_what_was_begun_is_left_alone(out):
    description = describe()
    kernels = kernels_of(description)
    begin(out, description, kernels, 2)
    with pytest.raises(StoreError, match=r"unfinished .* in .*k\.h5\.part; continue it with --"):
        KernelWriter(out, description)
    assert len(end(out, description, kernels)) == 4


def test_overwrite_begins_anew(out):
    description = describe()
    begin(out, description, kernels_of(description), 2)
    with KernelWriter(out, changed(description, tile=3), overwrite=True) as writer:
        assert len(writer.missing()) == 10


def test_overwrite_and_resume_continue_and_replace(out):
    description = describe()
    end(out, description, kernels_of(description, seed=9))
    kernels = kernels_of(description)
    with KernelWriter(out, description, overwrite=True) as writer:
        write(writer, kernels, writer.missing()[:2])
    assert len(end(out, description, kernels, overwrite=True)) == 4
    assert_holds(out, kernels)


def test_resume_beside_a_foreign_file(out):
    out.write_bytes(b"precious")
    with pytest.raises(StoreError, match=r"k\.h5: as an HDF5 file it cannot be read"):
        KernelWriter(out, describe(), resume=True)
    assert out.read_bytes() == b"precious"


def test_a_second_writer_is_told_who_holds_it(out):
    with (
        KernelWriter(out, describe()),
        pytest.raises(StoreError, match=f"is being written by process {os.getpid()} on .* since"),
    ):
        KernelWriter(out, describe(), resume=True)


# --- damage


def journal_layout(path):
    """Where the slots of a journal begin, and how long one is."""
    journal = Journal.open(path, write=False)
    journal.close()
    return journal._start, journal._slot_bytes


@pytest.fixture
def begun(out):
    """A journal of a whole kernel that was not finished."""
    description = describe()
    kernels = kernels_of(description)
    begin(out, description, kernels, 6)
    return out.with_name("k.h5.part"), description, kernels


def test_every_flipped_byte_is_recomputed_or_refused(begun):
    path, description, kernels = begun
    out, good = path.with_name("k.h5"), path.read_bytes()
    start, slot = journal_layout(path)
    rng = np.random.default_rng(0)
    places = {*range(0, 64, 4), *rng.integers(0, start, 40), *rng.integers(start, len(good), 80)}
    lost = 0
    for place in map(int, places):
        data = bytearray(good)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            missing = end(out, description, kernels)
        except StoreError:
            assert place < start
        else:
            assert_holds(out, kernels)
            # A byte of padding, or one tile.
            assert len(missing) <= (place >= start)
            lost += len(missing)
            out.unlink()
    assert lost > 10


@pytest.mark.parametrize("kind", ["truncate", "zero", "garbage", "swap"])
def test_lost_and_torn_slots_are_recomputed(begun, kind, rng):
    path, description, kernels = begun
    good = path.read_bytes()
    start, slot = journal_layout(path)
    data = bytearray(good)
    if kind == "truncate":
        del data[start + 3 * slot + 100 :]
        lost = 3
    elif kind == "zero":
        data[start + slot + 100 : start + 2 * slot + 20] = bytes(slot - 80)
        lost = 2
    elif kind == "garbage":
        data[start + slot : start + 4 * slot] = rng.bytes(3 * slot)
        lost = 3
    else:
        # A slot of another run on the same disk.
        with KernelWriter(path.with_name("other.h5"), description) as writer:
            write(writer, kernels_of(description, seed=8), tiles_of(description))
        other = path.with_name("other.h5.part").read_bytes()
        data[start : start + 2 * slot] = other[start : start + 2 * slot]
        lost = 2
    path.write_bytes(data)
    assert len(end(path.with_name("k.h5"), description, kernels)) == lost
    assert_holds(path.with_name("k.h5"), kernels)


def test_damage_while_the_file_is_made_is_refused_and_then_recomputed(begun):
    path, description, kernels = begun
    out = path.with_name("k.h5")
    start, slot = journal_layout(path)
    with KernelWriter(out, description, resume=True) as writer:
        with path.open("r+b") as file:
            file.seek(start + slot + 100)
            file.write(b"xxxx")
        with pytest.raises(StoreError, match=r"tile \(1, 1\) was damaged .* it is computed again"):
            writer.finish()
    assert names(out) == ["k.h5.part"]
    assert len(end(out, description, kernels)) == 1
    assert_holds(out, kernels)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"refntk-journal/9" + bytes(100), "a format that this refntk does not know, expected"),
        (b"refntk-journal/1", "its header is damaged; begin anew with --overwrite"),
        (b"refntk-journal/1" + b"\xff" * 40, "its header is damaged"),
    ],
)
def test_files_that_are_no_journal(out, data, message):
    path = out.with_name("k.h5.part")
    path.write_bytes(data)
    with pytest.raises(StoreError, match=message):
        KernelWriter(out, describe(), resume=True)
    assert path.read_bytes() == data
    with KernelWriter(out, describe(), overwrite=True) as writer:
        assert len(writer.missing()) == 6


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_file_of_somebody_else_has_the_name_of_the_journal(out, options):
    path = out.with_name("k.h5.part")
    path.write_bytes(b"something else")
    with pytest.raises(StoreError, match=r"k\.h5\.part: is in the way, refntk did not write it"):
        KernelWriter(out, describe(), **options)
    assert path.read_bytes() == b"something else"
    assert names(out) == ["k.h5.part"]


def test_a_journal_that_was_emptied_is_begun_anew(out):
    out.with_name("k.h5.part").touch()
    with KernelWriter(out, describe(), resume=True) as writer:
        assert len(writer.missing()) == 6


def test_a_journal_that_was_cut_short_while_it_was_written_is_continued(out):
    description = describe()
    kernels = kernels_of(description)
    with KernelWriter(out, description) as writer:
        write(writer, kernels, writer.missing()[:2])
        os.truncate(out.with_name("k.h5.part"), 0)
        write(writer, kernels, writer.missing()[:2])
        assert len(writer.missing()) == 4
    with KernelWriter(out, description, resume=True) as writer:
        assert len(writer.missing()) == 4
        write(writer, kernels, writer.missing())
        writer.finish()
    assert_holds(out, kernels)


def test_a_journal_that_cannot_be_opened(tmp_path):
    with pytest.raises(StoreError, match=r"cannot be opened \(No such file or directory\)"):
        Journal.open(tmp_path / "k.h5.part")


# --- disks that fail


def full_after(monkeypatch, room):
    """Let the system write so many bytes more, and not one after that."""
    pwrite, left = os.pwrite, [room]

    def write_some(fd, data, offset):
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        taken = min(left[0], len(data))
        left[0] -= taken
        return pwrite(fd, data[:taken], offset)

    monkeypatch.setattr("os.pwrite", write_some)


@pytest.mark.parametrize("tiles", [0, 1, 2.5, 5.99])
def test_a_full_disk_keeps_what_was_written_before(out, monkeypatch, tiles):
    description = describe()
    kernels = kernels_of(description)
    begin(out, description, kernels, 1)
    _, slot = journal_layout(out.with_name("k.h5.part"))

    def run():
        with KernelWriter(out, description, resume=True) as writer:
            full_after(monkeypatch, int(tiles * slot))
            write(writer, kernels, tiles_of(description))

    with pytest.raises(StoreError, match=r"writing failed \(No space left on device\); .* kept in"):
        run()
    monkeypatch.undo()
    # The first tile was written again.
    assert len(end(out, description, kernels)) == 6 - max(1, int(tiles))
    assert_holds(out, kernels)


def test_a_disk_without_room_for_a_header(out, monkeypatch):
    full_after(monkeypatch, 200)
    with pytest.raises(StoreError, match="No space left on device.*; nothing was kept: free some"):
        KernelWriter(out, describe())
    assert names(out) == []


def test_a_disk_that_fails_to_sync(out, monkeypatch):
    description = describe()
    kernels = kernels_of(description)

    def fail(fd):
        raise OSError(5, "Input/output error")

    with KernelWriter(out, description) as writer:
        write(writer, kernels, writer.missing())
        monkeypatch.setattr("os.fdatasync", fail)
        with pytest.raises(StoreError, match=r"writing failed \(Input/output error\)"):
            writer.finish()
    assert not out.exists()


def test_tiles_are_put_on_the_disk_while_the_work_goes_on(out, monkeypatch):
    synced = []
    clock = iter(range(1000))
    monkeypatch.setattr("os.fdatasync", synced.append)
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    description = describe()
    with KernelWriter(out, description) as writer:
        write(writer, kernels_of(description), tiles_of(description))
        assert len(synced) >= 2
