"""The fast method against the literal recursion, published numbers and the theory's symmetries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refntk
from refntk import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Kernel,
    Lift,
    Network,
    Relu,
)
from refntk.network.filters import windows
from refntk.network.layers import Layer
from refntk.ops.groups import GROUPS, point_group, rotate
from refntk.recursion import propagate

Close = Callable[..., None]

KERNELS = ("nngp", "ntk")
READOUTS = (GroupPool, GlobalAvgPool, Flatten)
PADDINGS = ("SAME", "VALID", "CIRCULAR")


def fast(net: Network, *images: Any, dtype: str = "float64") -> Kernel:
    return refntk.kernel(net, *images, dtype=dtype, method="slices")


def literal(net: Network, *images: Any) -> Kernel:
    return refntk.kernel(net, *images, backend="numpy", method="literal")


# ---------------------------------------------------------------------------------------------
# A sweep of networks. What is compared are correlations, K_ij / sqrt(K_ii K_jj): signed images
# cancel in a pooled kernel, whose rounding errors are relative to the variances that went into it.

STATISTICS = {"W_std": st.sampled_from([1.0, 0.7, 1.4]), "b_std": st.sampled_from([0.0, 0.0, 0.3])}
HEADS: tuple[tuple[Layer, ...], ...] = (
    (),
    (Dense(W_std=1.2, b_std=0.1),),
    (Dense(W_std=1.2), Relu(), Dense(b_std=0.1)),
    (Dense(b_std=0.2), Relu(), Dense(), Relu(), Dense(W_std=0.9)),
)


@st.composite
def convolution(
    draw: Any, kind: Any, group: str | None, padding: str, shape: tuple[int, int]
) -> Any:
    """A Conv, Lift or GroupConv that fits images of this shape, under which it is invariant."""
    if padding != "CIRCULAR":  # these two may be mixed
        padding = draw(st.sampled_from([padding, padding, "SAME", "VALID"]))
    largest = (5, 5) if padding == "SAME" else tuple(min(5, n) for n in shape)
    step = 1 if group is None else 2
    sides = [draw(st.sampled_from(range(1, n + 1, step))) for n in largest]
    if group is not None and point_group(group).swaps_axes:
        sides = [min(sides)] * 2
    arguments: dict[str, Any] = {name: draw(values) for name, values in STATISTICS.items()}
    arguments |= {"filter_shape": tuple(sides), "padding": padding}
    if kind is Lift:
        arguments["group"] = group
    if kind is Conv:
        allowed = [[s for s in (1, 2, 3) if padding != "CIRCULAR" or n % s == 0] for n in shape]
        arguments["strides"] = tuple(draw(st.sampled_from(strides)) for strides in allowed)
    return kind(**arguments)


def smallest_patch(layer: Any, shape: tuple[int, int], channels: int) -> int:
    """Numbers in the smallest window of an image, at its corner."""
    counts = []
    for w in windows(layer, shape):
        starts = [w.stride * i - w.low for i in range(w.n_out)]
        counts.append(min(min(s + w.size, w.n_in) - max(s, 0) for s in starts))
        if w.wrap:
            counts[-1] = w.size
    return channels * math.prod(counts)


@st.composite
def problem(draw: Any, group: str | None, padding: str) -> tuple[Network, Any, int]:
    """A network, images for it, and how many of them are to be x1."""
    order = 1 if group is None else point_group(group).order
    square = group is not None and point_group(group).swaps_axes
    sides = st.integers(1, {8: 4, 4: 5}.get(order, 7))
    height, channels = draw(sides), draw(st.integers(1, 5))
    shape = original = (height, height if square else draw(sides))
    body: list[Any] = []
    cost = 0
    for depth in range(draw(st.integers(1, 4))):
        kind = Conv if group is None else GroupConv if depth else Lift
        layer = draw(convolution(kind, group, padding, shape))
        if depth == 0:
            first = layer
        body.append(layer)
        cost += order**3 * math.prod(shape) ** 2 * math.prod(layer.filter_shape)
        y, x = windows(layer, shape)
        shape = y.n_out, x.n_out
        if draw(st.sampled_from([True, True, True, False])):
            body.append(Relu())
    pool = GlobalAvgPool() if group is None else GroupPool()
    readout = draw(st.sampled_from([pool, pool, Flatten()]))
    head = draw(st.sampled_from(HEADS))
    if readout == pool and not isinstance(body[-1], Relu) and draw(st.booleans()):
        head = (Relu(), *head)
    # The literal recursion takes arccos rho, and so loses half of the digits where rho is near +-1.
    # That happens by chance among features in a plane, and always to those that depend linearly on
    # a single number: here the pixels of a window, or the mean of an image.
    linear = not any(isinstance(layer, Relu) for layer in body)
    if smallest_patch(first, original, channels) < 3 or (linear and channels < 3):
        channels = max(channels, 2)
        body[0] = type(first)(**vars(first) | {"b_std": 0.5})
    most = max(2, math.isqrt(100_000_000 // cost))
    count = draw(st.sampled_from([n for n in (2, 3, 5, 7, 9, 10, 17) if n <= most]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # As floats of single precision, so that both precisions get the same images.
    images = rng.normal(size=(count, *original, channels)).astype(np.float32)
    if linear:  # else the variance of an image's mean may be nothing but rounding
        images = np.abs(images)
    return Network([*body, readout, *head]), images, draw(st.integers(1, count - 1))


def fixes_windows(net: Network, shape: tuple[int, int]) -> bool:
    """Whether an element of the group leaves every pixel of a first window where it is."""
    lift = net.layers[0]
    if not isinstance(lift, Lift):
        return False
    axes = [axis for axis in (0, 1) if min(lift.filter_shape[axis], shape[axis]) > 1]
    fixed = point_group(lift.group).matrices[:, :, axes] == np.eye(2)[:, axes]
    return int(fixed.all(axis=(1, 2)).sum()) > 1


def check(given: tuple[Network, Any, int], assert_close: Close) -> None:
    net, images, split = given
    desired = literal(net, images)
    results = {}
    for dtype in ("float64", "float32"):
        whole = fast(net, images, dtype=dtype)
        part = fast(net, images[:split], images[split:], dtype=dtype)
        for name in KERNELS:
            result = getattr(whole, name).copy()
            assert result.dtype == dtype
            assert np.array_equal(result, result.T)
            assert np.isfinite(result).all()
            result[:split, split:] = getattr(part, name)
            results[name, dtype] = result
    # A Relu of pooled features, which are strongly correlated, magnifies the rounding of their
    # kernel: theta is about sqrt(2 - 2 rho).
    readout = next(k for k, layer in enumerate(net.layers) if isinstance(layer, READOUTS))
    tol = 1e-4 if Relu() in net.layers[readout:] else 1e-5
    for name in KERNELS:
        roots = np.sqrt(np.diagonal(getattr(desired, name)))
        scale = np.outer(roots, roots)
        double = results[name, "float64"]
        assert_close(results[name, "float32"] / scale, double / scale, tol=tol, floor=1)
        right = getattr(desired, name) / scale
        if fixes_windows(net, images.shape[1:3]):
            # Features of one image at several rotations are equal: again rho = 1 where the literal
            # recursion does not know it, in the kernels of images with themselves alone.
            own = np.diagonal(double / scale)
            assert_close(own, np.diagonal(right), tol=1e-7)
            right[np.diag_indices_from(right)] = own
        assert_close(double / scale, right, tol=1e-12, floor=1)


@pytest.mark.parametrize("padding", PADDINGS)
@settings(max_examples=30)
@given(data=st.data())
def test_sweep_of_convolutions(padding: str, data: Any, assert_close: Close) -> None:
    check(data.draw(problem(None, padding)), assert_close)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("group", GROUPS)
@settings(max_examples=8)
@given(data=st.data())
def test_sweep_of_groups(group: str, padding: str, data: Any, assert_close: Close) -> None:
    check(data.draw(problem(group, padding)), assert_close)


def test_large_images(rng: np.random.Generator, assert_close: Close) -> None:
    # So many displacements that they are shared out in parts.
    net = Network([*[Conv((3, 3), b_std=0.1), Relu()] * 3, GlobalAvgPool(), Dense()])
    x1, x2 = rng.random(size=(1, 28, 28, 1)), rng.random(size=(2, 28, 28, 1))
    result, right = fast(net, x1, x2), literal(net, x1, x2)
    single = fast(net, x1, x2, dtype="float32")
    for name in KERNELS:
        assert_close(getattr(result, name), getattr(right, name), tol=1e-12)
        assert_close(getattr(single, name), getattr(right, name), tol=1e-5)


@pytest.mark.parametrize("group", [None, "C4"])
@pytest.mark.parametrize("b_std", [0.0, 0.3])
def test_windows_of_one_number(
    group: str | None, b_std: float, rng: np.random.Generator, assert_close: Close
) -> None:
    x1, x2 = rng.normal(size=(3, 4, 4, 1)), rng.normal(size=(5, 4, 4, 1))
    first: Layer = (
        Conv((1, 1), b_std=b_std) if group is None else Lift((1, 1), group=group, b_std=b_std)
    )
    above = stack(group, "SAME", 2).layers[-3:]
    net = Network([first, Relu(), *above])
    right, single = extended(net, x1, x2), fast(net, x1, x2, dtype="float32")
    for name in KERNELS:
        # Without a bias rho = +-1 everywhere, but only rho = 1 at distance zero is benign.
        tol = 1e-7 if b_std == 0 else 1e-12
        assert_close(getattr(fast(net, x1, x2), name), getattr(right, name), tol=tol)
        assert_close(getattr(single, name), getattr(right, name), tol=1e-3 if b_std == 0 else 1e-5)


def test_networks_that_begin_with_flatten(rng: np.random.Generator, assert_close: Close) -> None:
    x1, x2 = rng.normal(size=(3, 4, 5, 2)), rng.normal(size=(19, 4, 5, 2))
    for layers in (
        [Flatten()],
        [Flatten(), Dense(W_std=1.3, b_std=0.4)],
        [Flatten(), *[Dense(W_std=1.0, b_std=0.5), Relu()] * 3, Dense(W_std=1.2)],
    ):
        net = Network(layers)
        for images in ((x1, x2), (x2,)):
            result, right = fast(net, *images), literal(net, *images)
            assert_close(result.nngp, right.nngp, tol=1e-12, floor=1)
            assert_close(result.ntk, right.ntk, tol=1e-12, floor=1)


# ---------------------------------------------------------------------------------------------
# Independently computed numbers: 6x6x3 normal images of seed 0, 3x3 filters, no head.

GOLDEN = [
    ("C4", "SAME", 1, 0.11632350722061195, 0.004221093051621791),
    ("C4", "SAME", 2, 0.06962747667411551, 0.024406640557093583),
    ("C4", "SAME", 3, 0.034289379954972346, 0.021248583169731897),
    ("C4", "CIRCULAR", 1, 0.1496331536508572, 0.00637644783863804),
    ("C4", "CIRCULAR", 2, 0.11497635539954926, 0.047982870572314956),
    ("C4", "CIRCULAR", 3, 0.07023309048223858, 0.05442006440454384),
    (None, "SAME", 1, 0.1161715335258345, 0.004045731638309221),
    (None, "SAME", 2, 0.06956166075145583, 0.02425069787017235),
    (None, "CIRCULAR", 1, 0.14962875957589555, 0.00636696913214271),
    (None, "CIRCULAR", 2, 0.11497831675656112, 0.04798880001627979),
    (None, "VALID", 1, 0.15168065537476683, 0.003498581133621279),
    (None, "VALID", 2, 0.11713831346975281, 0.04522247837243934),
]

GOLDEN_OF_ONE_IMAGE = [
    (1, 0.12481958276351567, 0.013108189984055434),
    (2, 0.07243600384570968, 0.0295997958689803),
    (3, 0.035455717178035764, 0.023956987093646524),
]


def stack(group: str | None, padding: str, depth: int, head: Sequence[Layer] = ()) -> Network:
    if group is None:
        layers: list[Layer] = [Conv((3, 3), padding=padding), Relu()] * depth
        return Network([*layers, GlobalAvgPool(), *head])
    layers = [Lift((3, 3), group=group, padding=padding), Relu()]
    return Network(
        [*layers, *[GroupConv((3, 3), padding=padding), Relu()] * (depth - 1), GroupPool(), *head]
    )


def golden_images() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, 6, 6, 3)), rng.normal(size=(1, 6, 6, 3))


@pytest.mark.parametrize(("group", "padding", "depth", "nngp", "ntk"), GOLDEN)
def test_golden_numbers(
    group: str | None, padding: str, depth: int, nngp: float, ntk: float, assert_close: Close
) -> None:
    x, y = golden_images()
    for dtype, tol in (("float64", 1e-13), ("float32", 2e-6)):
        result = fast(stack(group, padding, depth), x, y, dtype=dtype)
        assert_close(result.nngp, [[nngp]], tol=tol)
        assert_close(result.ntk, [[ntk]], tol=tol)
        result = fast(stack(group, padding, depth, [Dense()]), x, y, dtype=dtype)
        assert_close(result.nngp, [[nngp]], tol=tol)
        assert_close(result.ntk, [[nngp + ntk]], tol=tol)


@pytest.mark.parametrize(("depth", "nngp", "ntk"), GOLDEN_OF_ONE_IMAGE)
def test_golden_numbers_of_one_image(
    depth: int, nngp: float, ntk: float, assert_close: Close
) -> None:
    x, _ = golden_images()
    for images in ((x,), (x, x.copy())):
        result = fast(stack("C4", "SAME", depth), *images)
        assert_close(result.nngp, [[nngp]], tol=1e-13)
        assert_close(result.ntk, [[ntk]], tol=1e-13)


# ---------------------------------------------------------------------------------------------
# Symmetries.

HEAD = (Dense(W_std=1.2, b_std=0.1), Relu(), Dense(b_std=0.2))


def group_images(rng: np.random.Generator, name: str, count: int) -> Any:
    return rng.normal(size=(count, 5, 5 if point_group(name).swaps_axes else 6, 2))


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "C1"])
def test_separate_invariance_under_the_group(
    name: str, rng: np.random.Generator, assert_close: Close
) -> None:
    group = point_group(name)
    x1, x2 = group_images(rng, name, 3), group_images(rng, name, 5)
    for padding in PADDINGS:
        for head in ((), HEAD):
            net = stack(name, padding, 2, head)
            right = fast(net, x1, x2)
            for r in range(1, group.order):
                for images in ((rotate(x1, r, group), x2), (x1, rotate(x2, r, group))):
                    result = fast(net, *images)
                    assert_close(result.nngp, right.nngp, tol=1e-12)
                    assert_close(result.ntk, right.ntk, tol=1e-12)


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "C1"])
def test_an_image_and_its_rotations_are_alike(
    name: str, rng: np.random.Generator, assert_close: Close
) -> None:
    group = point_group(name)
    image = group_images(rng, name, 1)
    orbit = np.concatenate([rotate(image, r, group) for r in range(group.order)])
    for head in ((), HEAD):
        net = stack(name, "SAME", 2, head)
        right, result = fast(net, image), fast(net, orbit)
        alike = np.ones((group.order, group.order))
        assert_close(result.nngp, right.nngp * alike, tol=1e-12)
        # Pooled kernels agree up to rounding, rho = 1 - O(eps): the Relu of the head takes them for
        # almost equal images, with theta = O(sqrt(eps)).
        assert_close(result.ntk, right.ntk * alike, tol=1e-7 if head else 1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "layers",
    [
        stack("D4", "SAME", 2).layers,
        stack("C4", "CIRCULAR", 3, HEAD).layers,
        stack(None, "VALID", 2, HEAD).layers,
        (Conv((3, 3)), Relu(), Conv((2, 2), strides=(2, 2), b_std=0.3), Relu(), Flatten(), Dense()),
        (Flatten(), Dense(b_std=1.0), Relu(), Dense()),
    ],
)
def test_gram_matrices(layers: tuple[Layer, ...], dtype: str, rng: np.random.Generator) -> None:
    images = rng.normal(size=(21, 5, 5, 3))
    images[-1], images[-2] = images[0], images[1] + 1e-5 * rng.normal(size=(5, 5, 3))
    result = fast(Network(layers), images, dtype=dtype)
    for kernel in (result.nngp, result.ntk):
        assert np.array_equal(kernel, kernel.T)
        values = np.linalg.eigvalsh(kernel.astype(np.float64))
        assert values[0] >= -(1e-12 if dtype == "float64" else 1e-5) * values[-1]


def test_homogeneity_without_biases(rng: np.random.Generator, assert_close: Close) -> None:
    net = stack("C4", "SAME", 3, [Dense(), Relu(), Dense()])
    x1, x2 = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(3, 5, 5, 3))
    one, scaled = fast(net, x1, x2), fast(net, 7 * x1, 0.3 * x2)
    assert_close(scaled.nngp, 2.1 * one.nngp)
    assert_close(scaled.ntk, 2.1 * one.ntk)


# ---------------------------------------------------------------------------------------------
# Images that are zero, constant, equal, almost equal, or of very different size.


def extended(net: Network, *images: Any) -> Any:
    """The literal recursion with 64 bits of mantissa, where rho is near 1."""
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("long double has no more digits than double here")
    return propagate(net, *[np.asarray(x, np.longdouble) for x in images])


SPECIAL = [
    *[stack(group, padding, 3) for group in (None, "C4", "D4") for padding in PADDINGS],
    stack("C4", "SAME", 2, HEAD),
    Network([Conv((3, 3)), Conv((2, 4), strides=(2, 1)), Relu(), Conv((1, 1)), Flatten(), Dense()]),
    Network([Flatten(), Dense(), Relu(), Dense()]),
]


def with_biases(net: Network, b_std: float) -> Network:
    return Network(
        [
            type(layer)(**(vars(layer) | {"b_std": b_std})) if hasattr(layer, "b_std") else layer
            for layer in net.layers
        ]
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("net", SPECIAL)
def test_zero_images(
    net: Network, dtype: str, rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.normal(size=(3, 7, 7, 2))
    images[1] = 0
    zero = fast(with_biases(net, 0.0), images, dtype=dtype)
    for kernel in (zero.nngp, zero.ntk):
        assert np.array_equal(kernel[1], [0, 0, 0])
        assert np.isfinite(kernel).all()
        assert np.all(np.diagonal(kernel)[::2] > 0)
    net = with_biases(net, 0.3)
    result, right = fast(net, images[:2], images[1:], dtype=dtype), literal(net, images)
    # The features of a zero image are its biases, the same at every position away from the margins:
    # rho = 1 in all of it, and half of the digits in the literal recursion.
    assert_close(result.nngp, right.nngp[:2, 1:], tol=1e-6, floor=1)
    assert_close(result.ntk, right.ntk[:2, 1:], tol=1e-5 if dtype == "float32" else 1e-7, floor=1)


def scalar(net: Network, c1: float, c2: float) -> tuple[Any, Any]:
    """The recursion between constant images without margins: all positions are alike."""
    v1, v2, k, theta = (np.longdouble(value) for value in (c1 * c1, c2 * c2, c1 * c2, 0))
    for layer in net.layers:
        if hasattr(layer, "W_std"):
            weight, bias = np.longdouble(layer.W_std) ** 2, np.longdouble(layer.b_std) ** 2
            v1, v2, k = (weight * value + bias for value in (v1, v2, k))
            theta = k + weight * theta
        elif isinstance(layer, Relu):
            scale = np.sqrt(v1) * np.sqrt(v2)
            angle = 2 * np.arcsin(np.sqrt(max((v1 * v2 - k * k) / (scale * (scale + k)), 0) / 2))
            pi = np.arccos(np.longdouble(-1))
            theta *= (pi - angle) / (2 * pi)
            k = scale * (np.sin(angle) + (pi - angle) * np.cos(angle)) / (2 * pi)
            v1, v2 = v1 / 2, v2 / 2
            k = v1 if c1 == c2 else k
    return k, theta


CONSTANTS = np.array([1.0, 0.75, 1.0, 0.1, 2.0])


def check_constants(net: Network, images: Any, right: Any, tol: float, close: Close) -> None:
    equal = CONSTANTS[:, None] == CONSTANTS
    double, single = fast(net, images), fast(net, images, dtype="float32")
    for name, kernel in zip(KERNELS, right, strict=True):
        close(getattr(double, name)[equal], kernel[equal], tol=tol)
        close(getattr(single, name)[equal], kernel[equal], tol=5e-6)
        # Without biases unequal constants are proportional. Then rho = 1 again, but the distance is
        # not zero, and theta = O(sqrt(eps)) in the NTK.
        half = name == "ntk"
        close(getattr(double, name), kernel, tol=1e-7 if half else tol)
        close(getattr(single, name), kernel, tol=1e-3 if half else 5e-6)


@pytest.mark.parametrize("b_std", [0.0, 0.3])
@pytest.mark.parametrize("group", [None, "C4", "D4"])
def test_constant_images_without_margins(
    group: str | None, b_std: float, assert_close: Close
) -> None:
    images = np.ones((1, 6, 6, 3)) * CONSTANTS[:, None, None, None]
    for padding in ("CIRCULAR", "VALID"):
        for head in ((), HEAD):
            net = with_biases(stack(group, padding, 2, head), b_std)
            right = np.array([[scalar(net, a, b) for b in CONSTANTS] for a in CONSTANTS]).T
            check_constants(net, images, right, 1e-12, assert_close)


@pytest.mark.parametrize("b_std", [0.0, 0.3])
@pytest.mark.parametrize("group", [None, "C4", "D4"])
def test_constant_images_with_margins(group: str | None, b_std: float, assert_close: Close) -> None:
    images = np.ones((1, 4, 4, 1)) * CONSTANTS[:, None, None, None]
    net = with_biases(stack(group, "SAME", 2), b_std)
    right = extended(net, images)
    check_constants(net, images, (right.nngp, right.ntk), 1e-9, assert_close)


@pytest.mark.parametrize("net", SPECIAL)
def test_duplicates(net: Network, rng: np.random.Generator, assert_close: Close) -> None:
    images = rng.random(size=(3, 7, 7, 2)).astype(np.float32)
    x1 = np.concatenate([images, images[:1]])
    x2 = np.concatenate([images[::-1], images[::-1]])
    results = {dtype: fast(net, x1, x2, dtype=dtype) for dtype in ("float64", "float32")}
    for name in KERNELS:
        for result in results.values():
            kernel = getattr(result, name)
            assert np.array_equal(kernel[0], kernel[3])
            assert np.array_equal(kernel[:, :3], kernel[:, 3:])
            own = getattr(fast(net, images, dtype=str(kernel.dtype)), name)
            assert np.array_equal(np.diagonal(kernel[:3, 2::-1]), np.diagonal(own))
        assert_close(
            getattr(results["float32"], name), getattr(results["float64"], name), tol=1e-3
        )


@pytest.mark.parametrize("distance", [1e-2, 1e-6])
@pytest.mark.parametrize("net", SPECIAL)
def test_near_duplicates(
    net: Network, distance: float, rng: np.random.Generator, assert_close: Close
) -> None:
    x1 = rng.random(size=(1, 7, 7, 2)).astype(np.float32)
    x2 = (x1 + distance * rng.normal(size=x1.shape)).astype(np.float32)
    double, single = fast(net, x1, x2), fast(net, x1, x2, dtype="float32")
    right = extended(net, x1, x2)
    for name in KERNELS:
        # In the head, a Relu takes the arccos of a correlation.
        tol = 1e-7 if Relu() in net.layers[-2:] else 1e-12
        assert_close(getattr(double, name), getattr(right, name), tol=tol)
        assert_close(getattr(single, name), getattr(double, name), tol=1e-3)


@pytest.mark.parametrize("net", SPECIAL)
def test_images_of_very_different_size(
    net: Network, rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.random(size=(4, 7, 7, 2)).astype(np.float32)
    images[::2] *= 1000
    for b_std, tol in ((0.0, 2e-6), (0.3, 1e-3)):  # biases keep images from being scaled alike
        biased = with_biases(net, b_std)
        double, single = fast(biased, images), fast(biased, images, dtype="float32")
        for name in KERNELS:
            assert_close(getattr(single, name), getattr(double, name), tol=tol)


def test_weights_of_zero(rng: np.random.Generator, assert_close: Close) -> None:
    images = rng.normal(size=(2, 4, 4, 2))
    for b_std in (0.0, 0.5):
        net = Network([Conv((3, 3), W_std=0.0, b_std=b_std), Relu(), GlobalAvgPool(), Dense()])
        result = fast(net, images)
        assert_close(result.nngp, np.full((2, 2), b_std**2 / 2), tol=1e-15)
        assert_close(result.ntk, np.full((2, 2), b_std**2), tol=1e-15)
