"""Growing a kernel: only what is new is computed, and the result is as if it had been one job."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import refntk
from refntk.cli import main
from refntk.data.images.imageset import describe_images
from refntk.data.images.inputs import Inputs
from refntk.data.kernels.growth import Growth, in_stored_order
from refntk.data.kernels.store import KernelDescription, KernelWriter
from refntk.errors import StoreError
from refntk.evaluation.evaluate import Job
from refntk.evaluation.tiles import Tile

PIXELS = np.random.default_rng(5).integers(0, 256, (40, 2, 3, 1), dtype=np.uint8)


def images(count, **known):
    return describe_images(PIXELS[:count], source="x.npy", **known)


def describe(n1, n2=None, tile=4, **changes):
    fields = {
        "network": 'name = "x"\n',
        "network_hash": "1" * 64,
        "kernels": ("nngp", "ntk"),
        "dtype": "float32",
        "backend": "numba",
        "method": "slices",
        "tile": tile,
        "x1": images(n1),
        "x2": None if n2 is None else images(n2),
        "preprocessing": {"size": None, "limit": None, "seed": None},
    }
    return KernelDescription(**(fields | changes))


def kernels_of(description):
    """Kernels of which those of fewer images are the upper left part."""
    rng = np.random.default_rng(3)
    rows, cols = description.shape
    out = {}
    for name in ("nngp", "ntk"):
        kernel = rng.standard_normal((40, 40)).astype(description.dtype)
        out[name] = (kernel + kernel.T if description.symmetric else kernel)[:rows, :cols]
    return out


def blocks(kernels, tile):
    return {name: kernel[tile.rows, tile.cols] for name, kernel in kernels.items()}


def store(path, description):
    with KernelWriter(path, description) as writer:
        for tile in writer.missing():
            writer.write(tile, blocks(kernels_of(description), tile))
        writer.finish()


def assert_holds(path, description):
    with refntk.open_kernel(path) as kernel:
        assert kernel.complete
        assert kernel.x1.count == description.x1.count
        for name, values in kernels_of(description).items():
            np.testing.assert_array_equal(getattr(kernel, name)[...], values)


# --- the writer


@settings(max_examples=12)
@given(data=st.data())
def test_any_growth_with_any_interruption(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("grow") / "k.h5"
    tile, count = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 12))
    n2 = data.draw(st.none() | st.integers(1, 8))
    store(path, describe(count, n2, tile))
    for _ in range(data.draw(st.integers(1, 2))):
        larger = count + data.draw(st.integers(1, 12))
        description = describe(larger, n2, tile)
        kernels = kernels_of(description)
        covered = np.zeros(description.shape, int)
        interruptions = data.draw(st.integers(0, 3))
        for last in [False] * interruptions + [True]:
            with refntk.open_kernel(path) as file:
                base = Growth(file, description)
                with KernelWriter(path, description, resume=True, base=base) as writer:
                    parts = writer.missing()
                    np.random.default_rng(data.draw(st.integers(0, 99))).shuffle(parts)
                    now = len(parts) if last else data.draw(st.integers(0, len(parts)))
                    for part in parts[:now]:
                        writer.write(part, blocks(kernels, part))
                        covered[part.rows, part.cols] += 1
                    if last:
                        writer.finish()
        # Nothing that the file held was computed, and everything that it lacked was.
        assert not covered[:count, : count if n2 is None else None].any()
        upper = np.triu(np.ones_like(covered)) if n2 is None else np.ones_like(covered)
        upper[:count, : count if n2 is None else None] = 0
        assert (covered >= upper).all()
        count = larger
        assert [entry.name for entry in path.parent.iterdir()] == ["k.h5"]
    assert_holds(path, description)


def test_what_is_new_is_computed_once(tmp_path):
    store(tmp_path / "k.h5", describe(10))
    description = describe(13)
    with refntk.open_kernel(tmp_path / "k.h5") as file:
        base = Growth(file, description)
        with KernelWriter(tmp_path / "k.h5", description, base=base) as writer:
            missing = writer.missing()
    # The corner tile of two old and two new images; then those right of it and above.
    assert missing[:3] == [
        Tile(slice(8, 10), slice(10, 12)),
        Tile(slice(10, 12), slice(10, 12)),
        Tile(slice(12, 13), slice(12, 13)),
    ]
    assert sum(part.pairs for part in missing) == 2 * 2 + 4 + 1 + 2 * 4 * 2 + 2 * 4 * 1 + 4 * 1


def test_nothing_new_is_complete(tmp_path):
    store(tmp_path / "k.h5", describe(10))
    before = (tmp_path / "k.h5").read_bytes()
    with refntk.open_kernel(tmp_path / "k.h5") as file:
        base = Growth(file, describe(10))
        with KernelWriter(tmp_path / "k.h5", describe(10), base=base) as writer:
            assert writer.complete
            assert writer.missing() == []
            writer.finish()
    assert (tmp_path / "k.h5").read_bytes() == before


def test_a_part_that_is_none(tmp_path):
    store(tmp_path / "k.h5", describe(10))
    description = describe(13)
    with refntk.open_kernel(tmp_path / "k.h5") as file:
        base = Growth(file, description)
        with KernelWriter(tmp_path / "k.h5", description, base=base) as writer:
            for tile in (Tile(slice(0, 4), slice(0, 4)), Tile(slice(8, 12), slice(8, 12))):
                with pytest.raises(StoreError, match="is no part of a tile that is missing"):
                    writer.write(tile, blocks(kernels_of(description), tile))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network_hash": "2" * 64}, "network: .* there, .* here"),
        ({"dtype": "float64"}, "dtype: float32 there, float64 here"),
        ({"tile": 5}, "tile: 4 there, 5 here"),
        ({"kernels": ("ntk",)}, "kernels: nngp and ntk there, ntk here"),
        ({"preprocessing": {"size": 3}}, "size: None there, 3 here"),
        ({"x1": images(4)}, "X1: 10 images there, 4 here"),
        ({"x2": images(3)}, "X2: X1 again there, given here"),
    ],
)
def test_a_kernel_of_another_kind(tmp_path, changes, message):
    store(tmp_path / "k.h5", describe(10))
    with refntk.open_kernel(tmp_path / "k.h5") as file:
        match = rf"cannot be added to, it is of another kernel \(.*{message}"
        with pytest.raises(StoreError, match=match):
            Growth(file, dataclasses.replace(describe(13), **changes))


def test_what_may_change(tmp_path):
    """Labels, which more classes may renumber, and how the images were chosen."""
    store(tmp_path / "k.h5", describe(10))
    labelled = images(13, labels=np.arange(13) % 2, class_names=("a", "b"))
    description = describe(13, x1=labelled, preprocessing={"size": None, "limit": 13, "seed": 1})
    with refntk.open_kernel(tmp_path / "k.h5") as file:
        assert Growth(file, description).rows == 10


def test_another_version(tmp_path, monkeypatch):
    store(tmp_path / "k.h5", describe(10))
    monkeypatch.setattr("refntk.data.kernels.kernel_writer.version", lambda name: "99.0")
    with refntk.open_kernel(tmp_path / "k.h5") as file:
        base = Growth(file, describe(13))
        with pytest.raises(StoreError, match=r"made by refntk .* and this is 99\.0"):
            KernelWriter(tmp_path / "k.h5", describe(13), base=base)


def test_an_old_tile_that_is_damaged_is_refused(tmp_path):
    path, description = tmp_path / "k.h5", describe(13)
    store(path, describe(10))
    with h5py.File(path) as file:
        tile = file["ntk"][:4, :4].tobytes()
    data = bytearray(path.read_bytes())
    data[data.index(tile)] ^= 1
    path.write_bytes(data)
    with refntk.open_kernel(path) as file:
        base = Growth(file, description)
        with KernelWriter(path, description, base=base) as writer:
            for part in writer.missing():
                writer.write(part, blocks(kernels_of(description), part))
            with pytest.raises(StoreError, match=r"tile \(0, 0\) of ntk is damaged"):
                writer.finish()
    assert path.read_bytes() == data


# --- the order of the images


def inputs_of(order, **known):
    pixels = PIXELS[order]
    return Inputs(
        x1=pixels / 255,
        x2=None,
        info1=describe_images(pixels, source="y.npy", **known),
        info2=None,
        preprocessing={},
    )


def test_old_images_come_first_and_duplicates_count(tmp_path):
    description = describe(4, x1=describe_images(PIXELS[[3, 1, 3, 0]], source="x.npy"))
    store(tmp_path / "k.h5", description)
    order = [7, 0, 3, 3, 1, 3, 9]
    known = {"labels": np.arange(7), "names": tuple("abcdefg")}
    with refntk.open_kernel(tmp_path / "k.h5") as file:
        sorted_ = in_stored_order(file, inputs_of(order, **known))
    assert sorted_.info1.indices.tolist() == [2, 4, 3, 1, 0, 5, 6]
    assert sorted_.info1.labels.tolist() == [2, 4, 3, 1, 0, 5, 6]
    assert "".join(sorted_.info1.names) == "cedbafg"
    np.testing.assert_array_equal(sorted_.x1, PIXELS[[3, 1, 3, 0, 7, 3, 9]] / 255)


def test_an_image_that_is_missing(tmp_path):
    store(tmp_path / "k.h5", describe(4))
    with (
        refntk.open_kernel(tmp_path / "k.h5") as file,
        pytest.raises(StoreError, match=r"y\.npy: lacks image 2 of .*k\.h5; to append, X1"),
    ):
        in_stored_order(file, inputs_of([0, 1, 3, 4, 5]))


# --- the command


def run(*arguments):
    return CliRunner().invoke(main, ["compute", *map(str, arguments)])


@pytest.fixture
def files(tmp_path):
    """Nine images, the same among thirteen, and three others."""
    pixels = np.random.default_rng(4).integers(0, 256, (13, 6, 6, 2), dtype=np.uint8)
    np.save(tmp_path / "few.npy", pixels[[9, 2, 3, 4, 5, 6, 7, 8, 0]])
    np.save(tmp_path / "all.npy", pixels)
    np.save(tmp_path / "more.npy", pixels[[9, 2, 3, 4, 5, 6, 7, 8, 0, 1, 10, 11, 12]])
    np.save(tmp_path / "other.npy", np.random.default_rng(6).random((3, 6, 6, 2)))
    return tmp_path


@pytest.mark.parametrize("network", ["gcnn-paper", "mlp-5"])
@pytest.mark.parametrize("second", [(), ("other.npy",)], ids=["one set", "two sets"])
def test_the_result_is_bitwise_that_of_one_run(files, monkeypatch, network, second):
    monkeypatch.chdir(files)
    options = ("--tile", 4, "-o")
    assert run(network, "few.npy", *second, *options, "k.h5").exit_code == 0
    computed, block = [], Job.block
    monkeypatch.setattr(Job, "block", lambda *a: computed.append(a[1].pairs) or block(*a))
    result = run(network, "all.npy", *second, *options, "k.h5", "--append")
    assert (result.exit_code, result.stderr) == (0, "")
    new = 4 * 3 if second else 4 * 13
    assert sum(computed) <= new
    assert run(network, "more.npy", *second, *options, "whole.h5").exit_code == 0
    with h5py.File("k.h5") as grown, h5py.File("whole.h5") as whole:
        for name in ("nngp", "ntk", "digests/nngp", "digests/ntk", "x1/sha256"):
            assert np.array_equal(grown[name], whole[name]), name
        assert grown["x1/indices"][...].tolist() == [9, 2, 3, 4, 5, 6, 7, 8, 0, 1, 10, 11, 12]
    assert CliRunner().invoke(main, ["check", "k.h5"]).exit_code == 0


def test_an_interrupt_keeps_the_old_file_and_the_new_tiles(files, monkeypatch):
    monkeypatch.chdir(files)
    options = ("-o", "k.h5", "--tile", 3)
    assert run("cnn-gap", "few.npy", *options).exit_code == 0
    before = (files / "k.h5").read_bytes()
    block, calls = Job.block, []

    def some(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return block(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "block", some)
        result = run("cnn-gap", "all.npy", *options, "--append")
    assert result.exit_code == 130
    assert "3 tiles are kept in k.h5.part. To continue: refntk compute cnn-gap all" in result.stderr
    assert result.stderr.endswith("--append --resume\n")
    assert (files / "k.h5").read_bytes() == before
    assert run("cnn-gap", "all.npy", *options, "--append").exit_code == 2
    for _ in range(2):
        assert run("cnn-gap", "all.npy", *options, "--append", "--resume").exit_code == 0
    assert run("cnn-gap", "more.npy", "-o", "whole.h5").exit_code == 0
    with h5py.File("k.h5") as grown, h5py.File("whole.h5") as whole:
        assert np.array_equal(grown["ntk"], whole["ntk"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cnn-gap", "few.npy", "-o", "new.h5"), "new.h5: no such file"),
        (("cnn-gap", "other.npy", "-o", "k.h5"), "other.npy: lacks image 0 of k.h5; to append"),
        (("mlp-1", "all.npy", "-o", "k.h5"), "network: cnn-gap, SHA-256"),
        (("cnn-gap", "all.npy", "-o", "k.h5", "--standardize"), "standardize: None there, {'mean"),
        (("cnn-gap", "all.npy", "other.npy", "-o", "k.h5"), "X2: X1 again there, given here"),
        (("cnn-gap", "all.npy", "-o", "k.h5", "--shard", "1/2"), "leave out --shard"),
    ],
)
def test_what_append_refuses(files, monkeypatch, arguments, message):
    monkeypatch.chdir(files)
    assert run("cnn-gap", "few.npy", "-o", "k.h5").exit_code == 0
    before = (files / "k.h5").read_bytes()
    result = run(*arguments, "--append")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert (files / "k.h5").read_bytes() == before
    assert not (files / "k.h5.part").exists()
