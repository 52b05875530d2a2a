"""Orbits of images, and the kernel between them without what symmetry gives for free."""

import numpy as np
import pytest
import scipy.ndimage

import refntk
from refntk.errors import InputError
from refntk.symmetry.orbits import CyclicAction, centre, orbit_kernel, orbit_pairs, sweep


@pytest.mark.parametrize(("kind", "axis"), [("shift-x", 2), ("shift-y", 1)])
def test_shifts_are_cyclic_and_exact(rng, kind, axis):
    images = rng.random((3, 6, 12, 2))
    orbits = CyclicAction(kind, 6).sweep(images)
    assert orbits.shape == (3, 6, 6, 12, 2)
    step = images.shape[axis] // 6
    for k in range(6):
        np.testing.assert_array_equal(orbits[:, k], np.roll(images, k * step, axis))


@pytest.mark.parametrize("order", [2, 4, 6, 8, 12])
def test_rotations_are_those_of_scipy_with_exact_quarters(rng, order):
    images = scipy.ndimage.gaussian_filter(rng.random((2, 9, 9, 1)), (0, 1, 1, 0))
    orbits = CyclicAction("rotation", order).sweep(images)
    np.testing.assert_array_equal(orbits[:, 0], images)
    for k in range(order):
        angle = 360 * k / order
        literal = scipy.ndimage.rotate(images, angle, axes=(2, 1), reshape=False)
        # Where scipy interpolates at the very edge, rounding decides between a pixel and zero.
        inside = (slice(None), slice(1, -1), slice(1, -1))
        assert np.abs(orbits[:, k][inside] - literal[inside]).max() < 1e-9
    turns = 4 if order % 4 == 0 else 2
    step = order // turns
    turned = sweep(orbits.reshape(-1, 9, 9, 1), f"C{turns}")[:, 1].reshape(orbits.shape)
    moved = [np.roll(orbits, sign * step, axis=1) for sign in (1, -1)]
    assert any(np.array_equal(turned, m) for m in moved)


NETWORKS = {
    "mlp": "mlp-1",
    "cnn-fc": "cnn-fc",
    "cnn-gap": "cnn-gap",
    "zero padding": [refntk.Conv((3, 3)), refntk.Relu(), refntk.GlobalAvgPool()],
    "lopsided": [refntk.Conv((1, 3), padding="CIRCULAR"), refntk.Relu(), refntk.GlobalAvgPool()],
    "strided": [
        refntk.Conv((3, 3), strides=(2, 2), padding="CIRCULAR"), refntk.Relu(),
        refntk.GlobalAvgPool(),
    ],
    "C4": [refntk.Lift((3, 3), group="C4", padding="CIRCULAR"), refntk.Relu(), refntk.GroupPool()],
    "D1": [refntk.Lift((3, 3), group="D1", padding="CIRCULAR"), refntk.Relu(), refntk.GroupPool()],
    "D2": [refntk.Lift((3, 3), group="D2", padding="CIRCULAR"), refntk.Relu(), refntk.GroupPool()],
    "no pool": [
        refntk.Lift((3, 3), group="C4", padding="CIRCULAR"), refntk.Relu(), refntk.Flatten(),
    ],
}  # fmt: skip
STEPS = {  # of 8 rotations, and of 8 shifts
    "mlp": (2, 1), "cnn-fc": (2, 1), "cnn-gap": (2, 1), "zero padding": (2, 8), "lopsided": (4, 1),
    "strided": (8, 8), "C4": (2, 1), "D1": (4, 1), "D2": (2, 1), "no pool": (2, 1),
}  # fmt: skip
BLIND = {
    "mlp": (8, 8), "cnn-fc": (8, 8), "cnn-gap": (8, 1), "zero padding": (8, 8), "lopsided": (8, 1),
    "strided": (8, 8), "C4": (2, 1), "D1": (8, 1), "D2": (4, 1), "no pool": (8, 8),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["rotation", "shift-x"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_symmetry_gives_the_same_kernel(rng, assert_close, name, kind, get):
    layers = NETWORKS[name]
    net = refntk.preset(layers) if isinstance(layers, str) else refntk.Network(layers)
    action = CyclicAction(kind, 8)
    step, blind = action.exact_step(net), action.blind_step(net)
    assert step == STEPS[name][kind != "rotation"]
    assert blind == BLIND[name][kind != "rotation"]
    orbits = centre(action.sweep(rng.random((3, 8, 8, 1))))
    whole = orbit_kernel(net, orbits, get=get)
    told = []
    quick = orbit_kernel(
        net, orbits, step, blind=blind, get=get,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert quick.shape == (3, 8, 3, 8)
    assert_close(quick, whole, tol=2e-12)
    flat = quick.reshape(24, 24)
    np.testing.assert_array_equal(flat, flat.T)
    assert told[-1] == (9 * step * blind,) * 2 == (orbit_pairs(3, 8, step, blind),) * 2


def test_many_orbits_are_computed_in_pieces(rng, assert_close, monkeypatch):
    monkeypatch.setattr("refntk.symmetry.orbits._ROWS_A_CALL", 2)
    net = refntk.preset("mlp-1")
    orbits = CyclicAction("shift-x", 4).sweep(rng.random((5, 4, 4, 1)))
    told = []
    pieces = orbit_kernel(net, orbits, 1, progress=lambda done, total: told.append((done, total)))
    assert_close(pieces, orbit_kernel(net, orbits), tol=1e-12)
    assert told[-1] == (2 * 20 + 2 * 12 + 4, 2 * 20 + 2 * 12 + 4)


def test_any_group_can_be_given_by_its_action(rng):
    images = rng.random((2, 4, 4, 1))
    maps = [lambda x: x, lambda x: x[:, ::-1]]
    orbits = sweep(images, maps)
    np.testing.assert_array_equal(orbits[:, 1], images[:, ::-1])
    assert sweep(images, "D4").shape == (2, 8, 4, 4, 1)


def test_centred_images_have_mean_zero_and_norm_one(rng):
    x = centre(rng.random((2, 3, 5, 5, 2)))
    assert np.abs(x.mean(axis=(2, 3, 4))).max() < 1e-15
    np.testing.assert_allclose(np.square(x).sum(axis=(2, 3, 4)), 1, rtol=1e-14)


def images(*shape):
    return np.random.default_rng(0).random(shape)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: CyclicAction("rotation", 5), "N = 5 poses: expected an even number"),
        (lambda: CyclicAction("shift-x", 0), "N = 0 poses"),
        (lambda: CyclicAction("shear", 4), "expected rotation, shift-x or shift-y, not 'shear'"),
        (
            lambda: CyclicAction("rotation", 4).sweep(images(1, 4, 6, 1)),
            "images of 4×6 pixels: rotations need square ones",
        ),
        (
            lambda: CyclicAction("shift-x", 4).sweep(images(1, 4, 6, 1)),
            "N = 4 shifts of a side of 6 pixels: N must divide the side",
        ),
        (lambda: sweep(images(1, 4, 6, 1), "C4"), "element 1 of the group turns images of shape"),
        (lambda: sweep(images(1, 4, 4, 1), []), "group: has no elements"),
        (lambda: centre(np.ones((2, 4, 4, 1))), r"image \(0,\) is constant"),
        (lambda: orbit_kernel(refntk.preset("mlp-1"), images(2, 4, 4, 1)), "expected the shape"),
        (
            lambda: orbit_kernel(refntk.preset("mlp-1"), images(1, 4, 4, 4, 1), 3),
            "step: expected a divisor of 4, not 3",
        ),
        (
            lambda: orbit_kernel(refntk.preset("mlp-1"), images(1, 4, 4, 4, 1), blind=8),
            "blind: expected a divisor of 4, not 8",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
