"""What needs a graphics processor: real sizes, every device, memory that is really full.

``pytest -m gpu`` runs this and the conformance suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refntk
from refntk import GlobalAvgPool, Network, Relu, preset
from refntk.backends.cupy.device import usable_cupy
from refntk.network.layers import Conv

pytestmark = pytest.mark.gpu

Close = Callable[..., None]


@pytest.fixture
def cupy() -> Any:
    return usable_cupy()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [28, 32])
def test_the_network_of_the_paper(
    size: int, dtype: str, cupy: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.random((3, size, size, 3))
    result = refntk.kernel(preset("gcnn-paper"), images, backend="cupy", dtype=dtype)
    right = refntk.kernel(preset("gcnn-paper"), images)
    assert_close(result.nngp, right.nngp)
    assert_close(result.ntk, right.ntk)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_literal_recursion(
    dtype: str, cupy: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.random((3, 5, 5, 3))
    arguments = {"method": "literal", "dtype": dtype}
    result = refntk.kernel(preset("gcnn-paper"), images, backend="cupy", **arguments)
    right = refntk.kernel(preset("gcnn-paper"), images, backend="numpy", **arguments)
    assert_close(result.nngp, right.nngp)
    assert_close(result.ntk, right.ntk, tol=1e-3 if dtype == "float32" else 1e-10)


def test_every_device_gives_the_same_bits(cupy: Any, rng: np.random.Generator) -> None:
    # Devices of one kind; a different one may share out sums in another way.
    images = rng.random((3, 9, 9, 3))
    results, names = [], []
    for number in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(number):
            given = cupy.asarray(images)
        result = refntk.kernel(preset("gcnn-paper"), given, backend="cupy")
        assert result.ntk.device.id == number
        results.append(cupy.asnumpy(result.ntk))
        names.append(cupy.cuda.runtime.getDeviceProperties(number)["name"])
    for result, name in zip(results, names, strict=True):
        assert name != names[0] or np.array_equal(result, results[0])


def test_again_and_again_gives_the_same_bits(cupy: Any, rng: np.random.Generator) -> None:
    images = rng.random((20, 16, 16, 3))
    first = refntk.kernel(preset("gcnn-paper"), images, backend="cupy", dtype="float32")
    for _ in range(5):
        again = refntk.kernel(preset("gcnn-paper"), images, backend="cupy", dtype="float32")
        assert np.array_equal(again.ntk, first.ntk)


def test_a_full_device(cupy: Any, rng: np.random.Generator) -> None:
    layers = [Conv((3, 3)), Relu(), GlobalAvgPool()]
    images = rng.random((64, 32, 32, 3))
    right = refntk.kernel(Network(layers), images, backend="cupy")
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=2**22)
    try:
        result = refntk.kernel(Network(layers), images, backend="cupy")
    finally:
        pool.set_limit(size=0)
    assert np.array_equal(result.ntk, right.ntk)
