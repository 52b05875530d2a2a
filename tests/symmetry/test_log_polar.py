"""Scaling and rotation as shifts of the log-polar grid, and matrices under S_m × S_n."""

import numpy as np
import pytest

import refntk
from refntk.errors import InputError
from refntk.symmetry.canonical import Symmetrization
from refntk.symmetry.log_polar import log_polar, ratio, scaled

NET = refntk.preset("cnn-gap")


@pytest.fixture
def smooth():
    """Smooth images of 33×33 pixels that are nearly zero at their borders."""
    y, x = np.mgrid[:33, :33] - 16.0
    spots = [(4, 3, 3), (-3, 5, 2.5), (2, -4, 3.5)]
    return np.stack([np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * s**2)) for a, b, s in spots])[
        ..., None
    ]


@pytest.mark.parametrize("axis", [1, 2])
def test_shifts_of_the_grid_are_an_exact_symmetry(smooth, assert_close, axis):
    polar = log_polar(smooth, 8, 12)
    moved = refntk.kernel(NET, np.roll(polar, 3, axis=axis), polar)
    plain = refntk.kernel(NET, polar)
    assert_close(moved.ntk, plain.ntk, tol=1e-12)
    assert_close(moved.nngp, plain.nngp, tol=1e-12)


def test_scaling_moves_rings_and_turning_moves_rays(smooth):
    polar, q = log_polar(smooth, 12, 16, inner=2.0), ratio(33, 12, 2.0)
    assert q**11 * 2.0 == pytest.approx(16)
    larger = log_polar(scaled(smooth, q), 12, 16, inner=2.0)
    # Ring k of the enlarged image is ring k - 1 of the image; the first one is new.
    gap = np.abs(larger[:, 1:] - polar[:, :-1]).max()
    assert 0 < gap < 2e-3 * np.abs(polar).max()
    turned = log_polar(np.rot90(smooth, -1, axes=(1, 2)), 12, 16, inner=2.0)
    np.testing.assert_allclose(turned, np.roll(polar, 4, axis=2), atol=1e-12)


def test_the_kernel_on_rings_sees_less_of_a_scaling_than_that_on_pixels(smooth):
    q = ratio(33, 12, 2.0)

    def change(form):
        x, y = form(smooth), form(scaled(smooth, q))
        own = refntk.kernel(NET, x).ntk
        return np.abs(refntk.kernel(NET, y, x).ntk - own).max() / np.abs(own).max()

    assert change(lambda x: log_polar(x, 12, 16, inner=2.0)) < 0.5 * change(lambda x: x)


def test_matrices_under_permutations_of_rows_and_of_columns(rng, assert_close):
    """Two ways to kernels on matrices: invariant layers, and rows and columns sorted before."""
    net = refntk.Network([
        refntk.SetLinear(group="S3xS4", to="points"), refntk.Relu(), refntk.GlobalAvgPool(),
        refntk.Dense(),
    ])  # fmt: skip
    x = rng.normal(size=(5, 3, 4))
    moved = x[:, [2, 0, 1]][:, :, [1, 3, 0, 2]]
    flat = lambda m: m.reshape(5, 12, 1)  # noqa: E731
    plain = refntk.kernel(net, flat(x))
    turned = refntk.kernel(net, flat(moved), flat(x))
    assert_close(turned.nngp, plain.nngp, tol=1e-12)
    # Layers on sets are computed literally, where the NTK keeps half of the digits (groups.md).
    assert_close(turned.ntk, plain.ntk, tol=1e-8)

    def in_order(m):
        rows = np.take_along_axis(m, m.sum(axis=2).argsort(axis=1)[:, :, None], axis=1)
        return np.take_along_axis(rows, rows.sum(axis=1).argsort(axis=1)[:, None], axis=2)

    np.testing.assert_allclose(in_order(moved), in_order(x), atol=1e-15)
    mlp = refntk.preset("mlp-1")
    still, turned = (in_order(m)[..., None] for m in (x, moved))
    assert_close(refntk.kernel(mlp, turned, still).ntk, refntk.kernel(mlp, still).ntk, tol=1e-12)


def test_sets_and_sequences_as_images(rng, assert_close):
    """A set is an image with filters of 1×1, a sequence one with circular filters along it."""
    x = rng.normal(size=(4, 6, 1, 3))
    order = rng.permutation(6)
    sets = refntk.Network(
        [refntk.Conv((1, 1)), refntk.Relu(), refntk.GlobalAvgPool(), refntk.Dense()]
    )
    plain = refntk.kernel(sets, x).ntk
    assert_close(refntk.kernel(sets, x[:, order], x).ntk, plain, tol=1e-12)
    ring = refntk.Network([
        refntk.Conv((3, 1), padding="CIRCULAR"), refntk.Relu(), refntk.GlobalAvgPool(),
        refntk.Dense(),
    ])  # fmt: skip
    plain = refntk.kernel(ring, x).ntk
    assert_close(refntk.kernel(ring, np.roll(x, 2, axis=1), x).ntk, plain, tol=1e-12)
    assert np.abs(refntk.kernel(ring, x[:, order], x).ntk - plain).max() > 1e-3


def test_a_canonical_pose_on_rings(smooth):
    """Any finite group of maps will do: the cyclic one of scalings, on the grid of rings."""
    polar = log_polar(smooth, 6, 6)
    rolls = [lambda x, k=k: np.roll(x, k, axis=1) for k in range(6)]
    way = Symmetrization("pose", rolls)
    np.testing.assert_array_equal(way.canonical(np.roll(polar, 2, axis=1)), way.canonical(polar))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: log_polar(np.ones((1, 5, 5, 1)), 1, 4), "radii: expected two rings or more"),
        (lambda: ratio(5, 3, 2.0), "inner: expected a radius between 0 and 2 pixels, not 2"),
        (lambda: scaled(np.ones((1, 5, 5, 1)), 0), "factor: expected a positive number, not 0"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
