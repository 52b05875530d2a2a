"""Kernels from a cache folder, and pairs of kernel files for a prediction."""

import numpy as np
import pytest

import refntk
from refntk.data.images.inputs import load_inputs
from refntk.data.kernels.kernel_cache import CachedKernel, default_cache, describe_job
from refntk.data.kernels.kernel_pair import pair_from_files, training_inputs
from refntk.data.kernels.overlap import repeated_images, shared_images
from refntk.data.kernels.store import KernelWriter
from refntk.errors import InputError, StoreError
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options


@pytest.fixture
def images(tmp_path, rng):
    """A file of nine images of 5 by 5 pixels, and its path."""
    values = rng.integers(0, 256, (9, 5, 5, 2), dtype=np.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, images=values, labels=np.arange(9) % 3, others=values[:4] // 2)
    return values, path


@pytest.fixture
def net():
    return refntk.preset("mlp-1")


def write(path, net, inputs, get=("nngp", "ntk"), dtype="float64"):
    """Write a kernel file as `refntk compute` does."""
    job = Job(net, inputs.x1, inputs.x2, options=Options(get=get, dtype=dtype, tile=4))
    with KernelWriter(path, describe_job(job, inputs)) as writer:
        fill(writer, job)
    return path


def fill(writer, job):
    for tile in writer.missing():
        writer.write(tile, job.block(tile))
    writer.finish()


def compute(kernel):
    with kernel.open() as writer:
        fill(writer, kernel.job)


@pytest.mark.parametrize("name", ["nngp", "ntk"])
def test_a_kernel_is_computed_once_and_found_again(tmp_path, images, net, monkeypatch, name):
    values, path = images
    inputs = load_inputs(f"{path}::images")
    cache = tmp_path / "deep" / "cache"
    kernel = CachedKernel(net, inputs, name, folder=cache)
    assert not kernel.found
    with pytest.raises(StoreError, match="no such file"):
        kernel.read()
    compute(kernel)
    wanted = getattr(refntk.kernel(net, values), name)
    np.testing.assert_array_equal(kernel.read(), wanted)
    monkeypatch.setattr(Job, "block", lambda *_: pytest.fail("computed again"))
    again = CachedKernel(net, inputs, name, folder=cache)
    assert (again.found, again.path) == (True, kernel.path)
    np.testing.assert_array_equal(again.read(), wanted)


def test_any_complete_file_with_these_images_serves(tmp_path, images, net):
    """Another name, another order, more images, another name of the network."""
    values, path = images
    np.savez(tmp_path / "fewer.npz", images=values[[7, 2, 5]], labels=[0, 1, 2])
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "a.h5").write_text("no kernel")
    write(cache / "b.h5", net, load_inputs(f"{path}::images"))
    renamed = refntk.Network(net.layers, name="other")
    wanted = load_inputs(str(tmp_path / "fewer.npz"))
    for name in ("nngp", "ntk"):
        kernel = CachedKernel(renamed, wanted, name, folder=cache)
        assert kernel.path == cache / "b.h5"
        full = getattr(refntk.kernel(net, values), name)
        np.testing.assert_array_equal(kernel.read(), full[np.ix_([7, 2, 5], [7, 2, 5])])


@pytest.mark.parametrize(
    "change",
    [
        {"net": "mlp-5"},
        {"dtype": "float32"},
        {"name": "nngp"},
        {"size": 4},
        {"standardize": True},
        {"key": "others"},
    ],
    ids=str,
)
def test_what_differs_does_not_serve(tmp_path, images, net, change):
    _, path = images
    cache = tmp_path / "cache"
    cache.mkdir()
    write(cache / "a.h5", net, load_inputs(f"{path}::images"), get="ntk")
    given = {"key": "images", "net": "mlp-1", "dtype": "float64", "name": "ntk"}
    options = {key: value for key, value in change.items() if key in ("size", "standardize")}
    given |= change
    inputs = load_inputs(f"{path}::{given['key']}", **options)
    kernel = CachedKernel(
        refntk.preset(given["net"]), inputs, given["name"], folder=cache, dtype=given["dtype"]
    )
    assert not kernel.found
    assert kernel.path != cache / "a.h5"
    compute(kernel)
    assert kernel.read().dtype == given["dtype"]
    # And each has a file of its own.
    assert len(list(cache.iterdir())) == 2
    assert CachedKernel(net, load_inputs(f"{path}::images"), "ntk", folder=cache).found


def test_images_stored_in_another_way_do_not_serve(tmp_path, images, net):
    """The same bytes can be two images: what counts is also their shape and dtype."""
    values, path = images
    np.savez(tmp_path / "flat.npz", images=values.reshape(9, 25, 2, 1))
    cache = tmp_path / "cache"
    cache.mkdir()
    write(cache / "a.h5", net, load_inputs(f"{path}::images"))
    assert not CachedKernel(net, load_inputs(str(tmp_path / "flat.npz")), "ntk", folder=cache).found


def test_a_kernel_of_two_sets(tmp_path, images, net):
    values, path = images
    inputs = load_inputs(f"{path}::images", f"{path}::others")
    kernel = CachedKernel(net, inputs, "ntk", folder=tmp_path / "cache")
    compute(kernel)
    wanted = refntk.kernel(net, values, values[:4] // 2).ntk
    np.testing.assert_array_equal(kernel.read(), wanted)
    assert CachedKernel(net, inputs, "ntk", folder=tmp_path / "cache").found
    # It holds no kernel of the first set with itself.
    alone = CachedKernel(net, training_inputs(inputs), "ntk", folder=tmp_path / "cache")
    assert not alone.found


def test_an_interrupted_computation_goes_on(tmp_path, images, net, monkeypatch):
    """What was written is not computed again, and the kernel is the same."""
    values, path = images
    inputs = load_inputs(f"{path}::images")
    monkeypatch.setattr("refntk.evaluation.evaluate._tile", lambda *known: 4)
    kernel = CachedKernel(net, inputs, "ntk", folder=tmp_path / "cache")
    with kernel.open() as writer:
        first = writer.missing()
        for tile in first[:4]:
            writer.write(tile, kernel.job.block(tile))
    again = CachedKernel(net, inputs, "ntk", folder=tmp_path / "cache")
    assert not again.found
    with again.open() as writer:
        assert writer.missing() == first[4:]
        fill(writer, again.job)
    np.testing.assert_array_equal(again.read(), refntk.kernel(net, values).ntk)


def test_a_damaged_file_is_computed_again(tmp_path, images, net):
    _, path = images
    inputs = load_inputs(f"{path}::images")
    kernel = CachedKernel(net, inputs, "ntk", folder=tmp_path / "cache")
    compute(kernel)
    wanted = kernel.read()
    kernel.path.write_bytes(kernel.path.read_bytes()[:2000])
    with pytest.raises(StoreError, match="cannot be read"):
        kernel.read()
    again = CachedKernel(net, inputs, "ntk", folder=tmp_path / "cache")
    assert not again.found
    compute(again)
    np.testing.assert_array_equal(again.read(), wanted)


def test_a_file_that_changed_meanwhile(tmp_path, images, net):
    _, path = images
    kernel = CachedKernel(net, load_inputs(f"{path}::images"), "ntk", folder=tmp_path / "cache")
    compute(kernel)
    kernel.path.unlink()
    write(kernel.path, refntk.preset("mlp-5"), load_inputs(f"{path}::images"))
    with pytest.raises(StoreError, match="changed while it was used; repeat the command"):
        kernel.read()


def test_a_folder_that_cannot_be(tmp_path, images, net):
    (tmp_path / "file").write_text("")
    inputs = load_inputs(f"{images[1]}::images")
    with pytest.raises(StoreError, match="not usable as a folder for kernels.*--cache"):
        CachedKernel(net, inputs, "ntk", folder=tmp_path / "file" / "x")


def test_the_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "refntk" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache() == tmp_path / "home" / ".cache" / "refntk" / "kernels"


def test_images_that_occur_twice(tmp_path, rng):
    values = rng.random((6, 3, 3, 1))
    values[4] = values[1]
    values[5] = values[1]
    np.savez(tmp_path / "a.npz", images=values)
    np.savez(tmp_path / "b.npz", images=values[[0, 1, 1]] + [[[[1]]], [[[0]]], [[[0]]]])
    a, b = (load_inputs(str(tmp_path / f"{name}.npz")).info1 for name in "ab")
    assert (repeated_images(a), repeated_images(b)) == (3, 2)
    assert (shared_images(a, b), shared_images(b, a)) == (3, 2)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", ["nngp", "ntk"])
def test_a_pair_of_files(tmp_path, images, net, name, turned):
    values, path = images
    both = load_inputs(f"{path}::images", f"{path}::others", standardize=not turned)
    train = write(tmp_path / "train.h5", net, training_inputs(both))
    if turned:
        both = load_inputs(f"{path}::others", f"{path}::images")
    pair = pair_from_files(train, write(tmp_path / "test.h5", net, both), name)
    prepared = both.x2 if turned else both.x1
    others = both.x1 if turned else both.x2
    np.testing.assert_array_equal(pair.train, getattr(refntk.kernel(net, prepared), name))
    first, second = (others, prepared) if turned else (prepared, others)
    cross = getattr(refntk.kernel(net, first, second), name)
    np.testing.assert_array_equal(pair.cross, cross if turned else cross.T)
    assert (pair.train_info.count, pair.test_info.count) == (9, 4)
    assert pair.network_hash == net.hash


def test_training_images_may_come_in_another_order(tmp_path, images, net):
    values, path = images
    order = [4, 0, 8, 1, 2, 3, 7, 6, 5]
    np.savez(tmp_path / "turned.npz", images=values[order])
    train = write(tmp_path / "train.h5", net, load_inputs(f"{path}::images"))
    both = load_inputs(f"{tmp_path / 'turned.npz'}::images", f"{path}::others")
    pair = pair_from_files(train, write(tmp_path / "test.h5", net, both), "ntk")
    wanted = refntk.kernel(net, values[order], values[:4] // 2).ntk
    np.testing.assert_array_equal(pair.cross, wanted.T[:, np.argsort(order)])


def test_pairs_that_do_not_fit(tmp_path, images, net):
    _, path = images
    one, two = f"{path}::images", f"{path}::others"
    train = write(tmp_path / "train.h5", net, load_inputs(one), get="ntk")
    cross = write(tmp_path / "cross.h5", net, load_inputs(one, two), get="ntk")
    other = write(tmp_path / "other.h5", refntk.preset("mlp-5"), load_inputs(one, two))
    alone = write(tmp_path / "alone.h5", net, load_inputs(two), get="ntk")
    scaled = write(tmp_path / "scaled.h5", net, load_inputs(one, two, standardize=True))
    with pytest.raises(InputError, match=r"other\.h5: is of another network than .*train\.h5"):
        pair_from_files(train, other, "ntk")
    with pytest.raises(InputError, match=r"alone\.h5: neither its rows nor its columns are the 9"):
        pair_from_files(train, alone, "ntk")
    with pytest.raises(InputError, match=r"scaled\.h5: .* in another way .*: standardize differs"):
        pair_from_files(train, scaled, "ntk")
    with pytest.raises(StoreError, match='unknown kernel "nngp"; known: ntk'):
        pair_from_files(train, cross, "nngp")
    with pytest.raises(StoreError, match=r"cross\.h5: holds kernels of x1 with x2"):
        pair_from_files(cross, cross, "ntk")
