"""The backend cupy against the Numba backend and the literal recursion.

``pytest -m cuda_on_host`` runs this with the CUDA sources compiled for the host, and
``pytest -m gpu`` on a graphics processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refntk
from refntk import (
    Abs,
    Conv,
    Dense,
    DeviceError,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Kernel,
    LeakyRelu,
    Lift,
    Network,
    Relu,
)
from refntk.backends.cupy import geometry, work
from refntk.network.filters import windows
from refntk.recursion import propagate
from refntk.truth.certified import certify

Close = Callable[..., None]

NETWORKS = {
    "SAME": [*[Conv((3, 3), b_std=0.2), Relu()] * 3, GlobalAvgPool()],
    "CIRCULAR": [*[Conv((3, 3), padding="CIRCULAR", b_std=0.2), Relu()] * 3, GlobalAvgPool()],
    "VALID": [*[Conv((3, 3), padding="VALID", W_std=1.4), Relu()] * 2, GlobalAvgPool()],
    "wide and VALID": [Conv((5, 5), padding="VALID", b_std=0.1), Relu(), Flatten()],
    "mixed": [Conv((3, 3), padding="VALID"), Relu(), Conv((3, 3)), Relu(), GlobalAvgPool()],
    "pixels": [*[Conv((1, 1), b_std=0.2), Relu()] * 2, GlobalAvgPool()],
    "wide": [Conv((5, 5), b_std=0.1), Relu(), Conv((5, 5)), GlobalAvgPool()],
    "wide circle": [*[Conv((5, 5), padding="CIRCULAR"), Relu()] * 2, GlobalAvgPool(), Dense()],
    "flatten": [*[Conv((3, 3)), Relu()] * 2, Flatten(), Dense(), Relu(), Dense()],
    "group": [Lift((3, 3), group="C4", b_std=0.1), Relu(), GroupConv((3, 3)), Relu(), GroupPool()],
    "mirror": [Lift((3, 3), group="D4"), Relu(), GroupConv((1, 1)), GroupPool(), Dense(), Relu()],
    "strides": [Conv((4, 3), strides=(2, 1)), Relu(), Conv((2, 3), padding="VALID"), Relu()]
    + [GlobalAvgPool()],
    "strides in a circle": [Conv((3, 3), strides=(2, 3), padding="CIRCULAR", b_std=0.1), Relu()]
    + [Conv((1, 2), padding="CIRCULAR"), Relu(), GlobalAvgPool()],
    "linear": [Conv((3, 3), b_std=0.4), Conv((3, 3), b_std=0.2), GlobalAvgPool()],
    "late": [Conv((3, 3), b_std=0.4), Conv((3, 1)), Relu(), Conv((3, 3)), Relu(), GlobalAvgPool()],
    "leaky": [*[Conv((3, 3), b_std=0.2), LeakyRelu(alpha=0.2)] * 3, Conv((3, 3)), GlobalAvgPool()],
    "absolute": [Lift((3, 3), group="D4"), Abs(), GroupConv((1, 1)), Abs(), GroupPool(), Dense()],
    "leaky strides": [Conv((4, 3), strides=(2, 1)), Conv((2, 2)), LeakyRelu(alpha=-0.5)]
    + [Conv((2, 3)), LeakyRelu(alpha=0.5), Conv((1, 1), b_std=0.1), Relu(), GlobalAvgPool()]
    + [Dense(), Abs()],
    "pooled images": [GlobalAvgPool(), Dense(b_std=1.0), Relu(), Dense()],
    "perceptron": [Flatten(), Dense(b_std=0.5), Relu(), Dense()],
}
"""Both mappings, every padding and readout, Relu behind the first convolution, later and never."""


def kernels(layers: list[Any], *images: Any, **options: Any) -> Kernel:
    return refntk.kernel(Network(layers), *images, **{"backend": "cupy"} | options)


def same(one: Kernel, two: Kernel) -> bool:
    return np.array_equal(one.nngp, two.nngp) and np.array_equal(one.ntk, two.ntk)


def check(result: Kernel, right: Kernel, assert_close: Close) -> None:
    """Compare: sums cancel, so that small entries have the errors of the large ones."""
    for name in ("nngp", "ntk"):
        assert_close(getattr(result, name), getattr(right, name), floor=0.1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(
    name: str, dtype: str, device: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    layers = NETWORKS[name]
    x1, x2 = rng.normal(size=(3, 6, 6, 2)), rng.normal(size=(2, 6, 6, 2))
    for images in ((x1,), (x1, x2)):
        result = kernels(layers, *images, dtype=dtype)
        assert result.nngp.dtype == result.ntk.dtype == dtype
        check(result, kernels(layers, *images, backend="numba"), assert_close)
        right = propagate(Network(layers), *images)
        check(result, Kernel(right.nngp, right.ntk), assert_close)
        alone = kernels(layers, *images, dtype=dtype, get="nngp")
        assert np.array_equal(alone.nngp, result.nngp)
        if len(images) == 1:
            assert np.array_equal(result.ntk.T, result.ntk)


def some_network(rng: np.random.Generator, shape: tuple[int, int]) -> list[Any]:
    """Draw a network that the method slices takes: any sides, strides and paddings."""
    circular = rng.random() < 0.3
    layers: list[Any] = []
    height, width = shape
    for _ in range(rng.integers(1, 4)):
        padding = "CIRCULAR" if circular else str(rng.choice(["SAME", "VALID"]))
        sides, strides = rng.integers(1, 5, 2).tolist(), rng.integers(1, 3, 2).tolist()
        if padding != "SAME":
            sides = [min(sides[0], height), min(sides[1], width)]
        if padding == "CIRCULAR":
            strides = [1 if n % s else s for n, s in zip((height, width), strides, strict=True)]
        layer = Conv(
            tuple(sides),
            strides=tuple(strides),
            padding=padding,
            b_std=float(rng.choice([0.0, 0.3])),
        )
        height, width = (window.n_out for window in windows(layer, (height, width)))
        layers += [layer, Relu()] if rng.random() < 0.7 else [layer]
    return [*layers, GlobalAvgPool() if rng.random() < 0.8 else Flatten()]


@pytest.mark.parametrize("seed", range(24))
def test_some_networks(seed: int, device: Any, assert_close: Close) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 9, 2).tolist())
    layers = some_network(rng, shape)
    # Of two channels at least: windows of one number have correlation 1, where digits are lost.
    images = rng.normal(size=(2, *shape, int(rng.integers(2, 4))))
    result = kernels(layers, images)
    right = propagate(Network(layers), images)
    check(result, Kernel(right.nngp, right.ntk), assert_close)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 7, 2), (5, 1, 1), (2, 3, 1), (9, 4, 3), (11, 13, 1), (4, 33, 1)]
)
@pytest.mark.parametrize("name", ["SAME", "wide", "CIRCULAR", "VALID", "late"])
def test_shapes_of_images(
    name: str, shape: tuple[int, ...], device: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    if name in ("CIRCULAR", "VALID"):
        shape = (max(shape[0], 5), max(shape[1], 6), shape[2])
    images = rng.normal(size=(2, *shape))
    result = kernels(NETWORKS[name], images)
    check(result, kernels(NETWORKS[name], images, backend="numba"), assert_close)


@pytest.mark.parametrize(
    ("size", "dtype"), [(28, "float32"), (33, "float64"), (64, "float32"), (64, "float64")]
)
def test_large_images(
    size: int, dtype: str, device: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    # Of the largest ones, the readout takes the equal positions alone.
    layers = [*[Conv((3, 3)), Relu()] * 3, GlobalAvgPool() if size < 64 else Flatten()]
    images = rng.normal(size=(2, size, size, 1))
    result = kernels(layers, images, dtype=dtype)
    check(result, kernels(layers, images, backend="numba", dtype="float64"), assert_close)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["SAME", "CIRCULAR", "VALID", "group", "mixed", "late"])
def test_tiles_and_memory_change_no_bit(
    name: str, dtype: str, device: Any, rng: np.random.Generator
) -> None:
    x1, x2 = rng.normal(size=(5, 5, 5, 1)), rng.normal(size=(3, 5, 5, 1))
    x1[3] = x1[0]
    for images in ((x1,), (x1, x2)):
        result = kernels(NETWORKS[name], *images, dtype=dtype)
        for options in ({"tile": 2}, {"tile": 3}, {"device_memory": 2**15}):
            assert same(kernels(NETWORKS[name], *images, dtype=dtype, **options), result)


@pytest.mark.parametrize("network", ["SAME", "CIRCULAR", "VALID", "late"])
def test_images_on_which_digits_are_lost(
    network: str, device: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    one = rng.normal(size=(5, 5, 2))
    flat = np.ones((5, 5, 2))
    half = one.copy()
    half[:3] = 0
    images = np.stack([one, one, -one, one + 1e-6 * flat, flat, 2 * flat, -flat, 0 * flat, half])
    layers = NETWORKS[network]
    exact = certify(Network(layers), images)
    for dtype in ("float64", "float32"):
        result = kernels(layers, images, dtype=dtype)
        for name, right in (("nngp", exact.nngp), ("ntk", exact.ntk)):
            # Entries of opposite images cancel, to a small part of the variances.
            floor = 1e-3 if dtype == "float64" else 1e-2
            assert_close(getattr(result, name), right, floor=floor)
        assert np.array_equal(result.ntk[0], result.ntk[1])  # duplicates


@pytest.mark.parametrize(("strip", "slices"), [(1, 1), (1, 5), (2, 3), (5, 16), (64, 2)])
@pytest.mark.parametrize("name", ["SAME", "CIRCULAR", "VALID", "wide", "flatten", "pixels"])
def test_shapes_of_blocks(
    name: str,
    strip: int,
    slices: int,
    device: Any,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
    assert_close: Close,
) -> None:
    images = rng.normal(size=(2, 7, 9, 2))
    right = kernels(NETWORKS[name], images, backend="numba")
    monkeypatch.setattr(geometry, "_STRIP", strip)
    monkeypatch.setattr(geometry, "_SLICES", slices)
    check(kernels(NETWORKS[name], images), right, assert_close)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["SAME", "CIRCULAR", "VALID", "late", "strides"])
def test_slices_in_global_memory(
    name: str,
    dtype: str,
    device: Any,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
    assert_close: Close,
) -> None:
    images = rng.normal(size=(3, 6, 6, 2))
    right = kernels(NETWORKS[name], images, backend="numba", dtype=dtype)
    monkeypatch.setattr(
        work, "geometry", lambda plan, dtype, limits: geometry.geometry(
            plan, dtype, limits._replace(block=6 * 1024)
        )
    )  # fmt: skip
    for blocks in (1, 4):
        monkeypatch.setattr(work, "_BLOCKS_A_MULTIPROCESSOR", blocks)
        check(kernels(NETWORKS[name], images, dtype=dtype), right, assert_close)


@pytest.mark.cuda_on_host
def test_memory_is_asked_for_once_a_tile(host: Any, rng: np.random.Generator) -> None:
    images = rng.normal(size=(4, 6, 6, 1))
    kernels(NETWORKS["group"], images)
    assert len(host.settings.allocations) == 1
    host.settings.allocations = []
    kernels(NETWORKS["group"], images, tile=2)
    assert len(host.settings.allocations) == 3
    host.settings.allocations = []
    kernels(NETWORKS["group"], images, device_memory=2**14)
    assert max(host.settings.allocations) <= 2**14
    assert len(host.settings.allocations) > 3


@pytest.mark.cuda_on_host
def test_out_of_memory(host: Any, rng: np.random.Generator) -> None:
    images = rng.normal(size=(4, 6, 6, 1))
    right = kernels(NETWORKS["group"], images)
    host.settings.memory = 2**15
    result = kernels(NETWORKS["group"], images)
    assert same(result, right)
    assert max(host.settings.allocations) > 2**15  # it was tried
    host.settings.memory = 2**10
    with pytest.raises(DeviceError, match=r"^out of device memory \(Out of memory allocating "):
        kernels(NETWORKS["group"], images)


def test_too_little_memory_is_allowed(device: Any) -> None:
    message = (
        r"^one pair of 6x6 images takes \d\.\d MiB of device memory, and 0.0 MiB are allowed: "
        "allow more, or use smaller images$"
    )
    with pytest.raises(DeviceError, match=message):
        kernels(NETWORKS["group"], np.ones((2, 6, 6, 1)), device_memory=2**10)


def test_arrays_of_cupy(device: Any, rng: np.random.Generator) -> None:
    images = rng.normal(size=(2, 5, 5, 3))
    result = kernels(NETWORKS["SAME"], device.asarray(images))
    assert isinstance(result.nngp, device.ndarray)
    right = kernels(NETWORKS["SAME"], images)
    assert isinstance(right.nngp, np.ndarray)
    assert np.array_equal(device.asnumpy(result.ntk), right.ntk)
