"""Real images, real sizes: what the fast tests leave out because it takes a while."""

from pathlib import Path

import numpy as np
import pytest

import refntk
from refntk.data import load_images
from refntk.truth.bench import command_memory

pytestmark = pytest.mark.slow


def _megabytes(folder: Path, images: np.ndarray, network: str, *options: str) -> float:
    """Peak memory of one `refntk compute` in a process of its own, compilation left out."""
    np.save(folder / "images.npy", images)
    arguments = [network, str(folder / "images.npy"), "-o", str(folder / "k.h5"), "--overwrite"]
    command_memory(["compute", *arguments, "--limit", "1", *options])
    return command_memory(["compute", *arguments, *options])


@pytest.mark.parametrize("name", ["gcnn-paper", "cnn-paper"])
def test_slices_agree_with_the_literal_recursion_on_tiles(name, assert_close):
    tiles = load_images("sample:histology").images[[5, 64]] / 255
    net = refntk.preset(name)
    fast = refntk.kernel(net, tiles[:1], tiles[1:])
    literal = refntk.kernel(net, tiles[:1], tiles[1:], backend="numpy")
    assert_close(fast.nngp, literal.nngp)
    assert_close(fast.ntk, literal.ntk)
    single = refntk.kernel(net, tiles[:1], tiles[1:], dtype="float32")
    assert_close(single.nngp, fast.nngp, 5e-6)
    assert_close(single.ntk, fast.ntk, 5e-6)


def test_the_gram_matrix_of_the_sample_is_positive_semidefinite():
    tiles = load_images("sample:histology").images
    k = refntk.kernel(refntk.preset("gcnn-paper"), tiles)
    for matrix in (k.nngp, k.ntk):
        assert (matrix == matrix.T).all()
        values = np.linalg.eigvalsh(matrix)
        assert values[0] >= -1e-12 * values[-1]


def test_peak_memory_of_ninety_images(tmp_path):
    images = np.random.default_rng(0).random((90, 32, 32, 3))
    assert _megabytes(tmp_path, images, "gcnn-paper", "--dtype", "float32") <= 350


def test_peak_memory_does_not_depend_on_depth_and_group(tmp_path):
    group_conv = '[[layer]]\ntype = "GroupConv"\nfilter_shape = [3, 3]\n[[layer]]\ntype = "Relu"\n'
    lift = group_conv.replace('"GroupConv"', '"Lift"\ngroup = "D4"')
    network = tmp_path / "deep.toml"
    network.write_text(lift + 29 * group_conv + '[[layer]]\ntype = "GroupPool"\n')
    images = np.random.default_rng(0).random((4, 32, 32, 3))
    assert _megabytes(tmp_path, images, str(network)) <= 350


def test_memory_grows_with_the_number_of_pixels_not_with_its_square(tmp_path):
    images = np.random.default_rng(0).random((2, 64, 64, 3))
    small = _megabytes(tmp_path, images[:, :16, :16], "cnn-paper")
    large = _megabytes(tmp_path, images, "cnn-paper")
    one_kernel_tensor = 64**4 * 8 / 2**20
    assert large - small < one_kernel_tensor / 2
