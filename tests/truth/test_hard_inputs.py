"""The fast method against certified kernels, on images that take digits away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.data import load_images
from refntk.errors import InputError
from refntk.evaluation.correlations import of_kernels, of_vectors
from refntk.evaluation.head import apply_head
from refntk.network import Network
from refntk.network.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Lift,
    Relu,
)
from refntk.ops.program import Builder
from refntk.ops.space import Space
from refntk.truth.accuracy import NEAR, hard_pairs
from refntk.truth.certified import certify

Close = Callable[..., None]

KERNELS = ("nngp", "ntk")
DTYPES = ("float64", "float32")


def stack(group: str, padding: str, depth: int, w: float = 1.0, b: float = 0.0) -> list[Any]:
    layers: list[Any] = []
    for k in range(depth):
        shape = (1, 1) if padding == "VALID" and k else (3, 3)
        first = Lift(shape, group=group, padding=padding, W_std=w, b_std=b)
        layers += [GroupConv(shape, padding=padding, W_std=w, b_std=b) if k else first, Relu()]
    return layers


def check(net: Network, side: int, assert_close: Close, single: float = 5e-6) -> None:
    for name, (x1, x2) in hard_pairs(side).items():
        exact = certify(net, x1[None], x2[None])
        for dtype in DTYPES:
            result = refntk.kernel(net, x1[None], x2[None], dtype=dtype, method="slices")
            tol = single if dtype == "float32" else 1e-12
            for kernel in KERNELS:
                try:
                    assert_close(getattr(result, kernel), getattr(exact, kernel), tol=tol)
                except pytest.fail.Exception as error:
                    pytest.fail(f"{name}, {kernel}, {dtype}: {error}")


@pytest.mark.parametrize(
    ("padding", "w", "b"),
    [("SAME", 1.0, 0.0), ("SAME", 1.4, 0.1), ("CIRCULAR", 1.4, 0.3)],
)
def test_hard_images(padding: str, w: float, b: float, assert_close: Close) -> None:
    check(Network([*stack("C1", padding, 2, w, b), GroupPool(), Dense()]), 4, assert_close)


# Where a single layer sees nothing but opposite patches the kernel itself vanishes, as the cube of
# what the patches are away from opposite.
@pytest.mark.slow
@pytest.mark.parametrize("b", [0.0, 0.2])
@pytest.mark.parametrize("depth", [2, 5, 10, 20, 50])
@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
def test_hard_images_at_any_depth(padding: str, depth: int, b: float, assert_close: Close) -> None:
    net = Network([*stack("C1", padding, depth, 1.4, b), GroupPool(), Dense()])
    check(net, 4, assert_close)


@pytest.mark.slow
@pytest.mark.parametrize("group", ["C2", "C4", "D1", "D4"])
def test_hard_images_and_groups(group: str, assert_close: Close) -> None:
    check(Network([*stack(group, "SAME", 2), GroupPool(), Dense()]), 4, assert_close)


@pytest.mark.slow
def test_filters_of_any_shape(assert_close: Close) -> None:
    for shape, strides in (((5, 5), (1, 1)), ((2, 4), (1, 1)), ((3, 2), (2, 1)), ((4, 1), (1, 2))):
        layers = [
            Conv(shape, strides=strides, b_std=0.1),
            Relu(),
            Conv((3, 3)),
            Conv((5, 4)),
            Relu(),
        ]
        # The NTK of opposite images is a difference of larger terms in some of these networks.
        check(Network([*layers, GlobalAvgPool()]), 5, assert_close, single=2e-5)


def test_wide_weights_do_not_overflow(assert_close: Close) -> None:
    for w, b in ((16.0, 0.0), (16.0, 0.3), (2.0**-3, 0.0)):
        net = Network([*stack("C1", "SAME", 20, w, b), GroupPool(), Dense()])
        # The kernels themselves are within the range of float32.
        x = 2.0**-8 * hard_pairs(3)["duplicates"][0][None] if w > 1 else np.full((1, 3, 3, 2), 1e9)
        exact = certify(net, x)
        for dtype in DTYPES:
            result = refntk.kernel(net, x, dtype=dtype)
            for kernel in KERNELS:
                assert_close(getattr(result, kernel), getattr(exact, kernel))


def test_kernels_that_float32_cannot_hold() -> None:
    net = Network([*stack("C1", "SAME", 20, 16.0), GroupPool(), Dense()])
    message = "^the kernels of these images are too large for float32: use the dtype float64"
    with pytest.raises(InputError, match=message):
        refntk.kernel(net, np.full((1, 4, 4, 1), 1e6), dtype="float32")
    assert np.isfinite(refntk.kernel(net, np.full((1, 4, 4, 1), 1e6)).ntk).all()


@pytest.mark.parametrize("after", [[], [Dense(W_std=1e100), Relu(), Dense()]])
def test_kernels_that_float64_cannot_hold(after: list[Any]) -> None:
    message = "^the kernels of these images are too large for float64: use smaller W_std or"
    net = Network([Conv((3, 3), W_std=1e100), Relu(), GlobalAvgPool(), *after])
    x = np.full((2, 4, 4, 1), 1e60)
    with pytest.raises(InputError, match=message):
        refntk.kernel(net, x)
    with pytest.raises(InputError, match=message):
        refntk.kernel(net, x, x, backend="numpy", method="literal")


def test_digits_less_their_mean(assert_close: Close) -> None:
    # Background and strokes are flat, of another brightness in each image, and of opposite signs.
    images = load_images("sample:digits").images[[0, 30, 60]] / 255.0
    images = (images - images.mean(axis=(1, 2, 3), keepdims=True))[:, 1:9, 10:18]
    net = Network([*stack("C1", "SAME", 2), GroupPool(), Dense()])
    exact = certify(net, images)
    for dtype in DTYPES:
        result = refntk.kernel(net, images, dtype=dtype)
        for kernel in KERNELS:
            assert_close(getattr(result, kernel), getattr(exact, kernel))


def test_flattened_networks(assert_close: Close) -> None:
    conv = [*stack("C1", "SAME", 2, 1.4), Flatten(), Dense()]
    dense = [Flatten(), *[Dense(W_std=1.4, b_std=0.1), Relu()] * 2, Dense()]
    for layers in (conv, dense, [Flatten(), Dense(), Relu(), Dense()]):
        net = Network(layers)
        for name, (x1, x2) in hard_pairs(4).items():
            exact = certify(net, x1[None], x2[None])
            for dtype, tol in (("float64", 1e-12), ("float32", 5e-6)):
                result = refntk.kernel(net, x1[None], x2[None], dtype=dtype)
                for kernel in KERNELS:
                    if "opposite" in name and layers.count(Relu()) == 1:
                        continue  # there the kernel itself vanishes
                    try:
                        assert_close(getattr(result, kernel), getattr(exact, kernel), tol=tol)
                    except pytest.fail.Exception as error:
                        pytest.fail(f"{name}, {kernel}, {dtype}, {layers}: {error}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_identical_images_give_exactly_the_diagonal(dtype: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 4, 2))
    for end in ([GroupPool(), Dense(), Relu(), Dense()], [Flatten(), Dense()]):
        net = Network([*stack("C1", "SAME", 2), *end])
        square, cross = refntk.kernel(net, x, dtype=dtype), refntk.kernel(net, x, x, dtype=dtype)
        for kernel in KERNELS:
            assert np.array_equal(
                np.diagonal(getattr(square, kernel)), np.diagonal(getattr(cross, kernel))
            )


@pytest.mark.parametrize("b", [0.0, 0.2])
def test_a_relu_after_pooling(b: float, assert_close: Close) -> None:
    head = [
        GroupPool(),
        Dense(W_std=1.2, b_std=b),
        Relu(),
        Dense(W_std=0.9, b_std=b),
        Relu(),
        Dense(),
    ]
    check(Network([*stack("C1", "SAME", 2, 1.3, b), *head]), 3, assert_close)


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
@pytest.mark.parametrize("group", ["C1", "C4", "D4"])
def test_a_relu_after_pooling_with_groups(group: str, padding: str, assert_close: Close) -> None:
    head = [GroupPool(), Dense(), Relu(), Dense()]
    check(Network([*stack(group, padding, 2, 1.4, 0.1), *head]), 4, assert_close)


def test_correlations_of_vectors(rng: np.random.Generator, assert_close: Close) -> None:
    x, noise = rng.normal(size=(2, 1, 30))
    for size in NEAR:
        # x and x + size * noise are at an angle whose sine is known from their parts.
        other = x + size * noise
        for sign, part in ((1.0, "deficit"), (-1.0, "excess")):
            found = getattr(of_vectors(x, sign * other), part)
            unit = x / np.linalg.norm(x)
            across = size * (noise - (noise @ unit.T) * unit)
            along = (other @ unit.T).item()
            angle = np.arctan2(np.linalg.norm(across), along)
            assert_close(found, [[2 * np.sin(angle / 2) ** 2]], tol=1e-6)
    zero = of_vectors(np.zeros((1, 3)), x[:, :3])
    assert zero.deficit == zero.excess == 1


def test_noise_of_pooled_kernels_counts_as_nothing() -> None:
    one = np.ones(1)
    assert of_kernels(np.array([[1 - 1e-16]]), one, one, 2.2e-16).deficit == 0
    assert of_kernels(np.array([[1 - 1e-14]]), one, one, 2.2e-16).deficit > 9e-15
    assert of_kernels(np.array([[0.0]]), 0 * one, one, 2.2e-16).deficit == 1


def test_head_against_the_plain_formulas(rng: np.random.Generator, assert_close: Close) -> None:
    features = rng.normal(size=(4, 9))
    nngp, ntk = features @ features.T, rng.random((4, 4))
    var = np.diagonal(nngp) + 0.1
    correlation = of_kernels(nngp, var, var, 2.2e-16)
    build, value = Builder(Space()), 0
    for layer in (Dense(W_std=1.2, b_std=0.3), Relu(), Dense(W_std=0.7)):
        value = layer.lower(build, value)
    result = apply_head(build.program(), nngp, ntk, var, var, correlation)
    k, v = 1.44 * nngp + 0.09, 1.44 * var + 0.09
    theta = k + 1.44 * ntk
    scale = np.sqrt(np.outer(v, v))
    angle = np.arccos(k / scale)
    k = scale / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
    theta = theta * (np.pi - angle) / (2 * np.pi)
    assert_close(result[0], 0.49 * k)
    assert_close(result[1], 0.49 * k + 0.49 * theta)


@pytest.mark.parametrize("relus", [1, 2, 3])
@pytest.mark.parametrize("depth", [1, 5, 8])
def test_float32_close_pairs_after_pooling(
    depth: int, relus: int, rng: np.random.Generator, assert_close: Close
) -> None:
    """Kernels of pairs at every distance, across the one from which on more digits are computed."""
    body = [layer for _ in range(depth) for layer in (Conv((3, 3), W_std=2**0.5), Relu())]
    head = [layer for _ in range(relus) for layer in (Dense(W_std=2**0.5), Relu())]
    net = Network([*body, GlobalAvgPool(), *head, Dense()])
    image, change = rng.normal(size=(2, 5, 5, 2))
    near = image + np.geomspace(3e-4, 3e-2, 60)[:, None, None, None] * change
    pairs = image[None].astype(np.float32), near.astype(np.float32)
    found, right = (refntk.kernel(net, *pairs, dtype=dtype) for dtype in ("float32", "float64"))
    assert_close(found.nngp, right.nngp)
    assert_close(found.ntk, right.ntk)


@pytest.mark.parametrize("relus", [1, 3])
@pytest.mark.parametrize("depth", [1, 5])
def test_float32_close_pairs_of_one_bright_pixel(
    depth: int, relus: int, rng: np.random.Generator, assert_close: Close
) -> None:
    """Kernels of images whose rounding no sum averages out."""
    body = [layer for _ in range(depth) for layer in (Conv((2, 3), W_std=2**0.5), Relu())]
    head = [layer for _ in range(relus) for layer in (Dense(W_std=2**0.5), Relu())]
    net = Network([*body, GlobalAvgPool(), *head, Dense()])
    image, change = np.zeros((6, 5, 1)), rng.normal(size=(6, 5, 1))
    image[5, 2] = 1
    near = image + np.geomspace(3e-5, 3e-2, 60)[:, None, None, None] * change
    pairs = image[None].astype(np.float32), near.astype(np.float32)
    found, right = (refntk.kernel(net, *pairs, dtype=dtype) for dtype in ("float32", "float64"))
    assert_close(found.nngp, right.nngp)
    assert_close(found.ntk, right.ntk)
