"""Perceptrons in Numba: the NumPy head entry by entry, and the same bits in any company."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba import types

import refntk
from refntk import Conv, Dense, Flatten, GlobalAvgPool, Network, Relu
from refntk.backends.numba import perceptron, products
from refntk.backends.numba.perceptron import is_perceptron, perceptron_block, vectors
from refntk.errors import InputError
from refntk.evaluation.correlations import of_vectors
from refntk.evaluation.evaluate import Job
from refntk.evaluation.head import apply_head
from refntk.evaluation.options import Options
from refntk.plan.reduction import make_plan

Close = Callable[..., None]

HEADS = {
    "none": [],
    "linear": [Dense(W_std=1.3, b_std=0.4)],
    "mlp-1": [Dense(), Relu(), Dense()],
    "mlp-5": [*[Dense(), Relu()] * 5, Dense()],
    "biases": [*[Dense(W_std=1.4, b_std=0.3), Relu()] * 3, Dense(W_std=0.7, b_std=0.1)],
    "a bias later": [Dense(), Relu(), Dense(), Relu(), Dense(W_std=1.2, b_std=0.5), Relu()],
    "two Dense": [
        *[Dense(W_std=0.9, b_std=0.2), Dense(W_std=1.1), Relu()],
        *[Dense(W_std=0.8), Dense(W_std=1.0, b_std=2.0), Relu()],
    ],
    "no weights": [Dense(W_std=0.0, b_std=0.5), Relu(), Dense(), Relu()],
}
"""What comes after Flatten."""


def hard_images(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Images that are duplicates, near duplicates, opposite, zero, and of unlike size."""
    x, noise = rng.normal(size=(2, 3, 5, 2))
    near = [x + size * noise for size in (1e-1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-12)]
    sizes = [2.0**20 * x, 2.0**-20 * noise]
    return np.array([x, noise, x, -x, *near, *(-image for image in near), *sizes, 0 * x])


def numpy_kernels(net: Network, x1: Any, x2: Any) -> tuple[Any, Any]:
    """Kernels by products of NumPy and by `apply_head`."""
    one, two = x1.reshape(len(x1), -1), x2.reshape(len(x2), -1)
    size = one.shape[1]
    var1, var2 = ((x * x).sum(axis=1) / size for x in (one, two))
    # In this form nothing cancels where images are opposite, either.
    correlation = of_vectors(one, two)
    scale = np.sqrt(var1)[:, None] * np.sqrt(var2)
    near = correlation.deficit <= correlation.excess
    nngp = scale * np.where(near, 1 - correlation.deficit, correlation.excess - 1)
    head = make_plan(net, x1.shape[1:]).head
    return apply_head(head, nngp, np.zeros_like(nngp), var1, var2, correlation)


@pytest.mark.parametrize("name", HEADS)
def test_the_head_entry_by_entry(name: str, rng: np.random.Generator, assert_close: Close) -> None:
    net = Network([Flatten(), *HEADS[name]])
    images = hard_images(rng)
    nngp, ntk = numpy_kernels(net, images, images)
    gram, cross = refntk.kernel(net, images), refntk.kernel(net, images, images[::-1])
    for actual, desired in ((gram.nngp, nngp), (gram.ntk, ntk)):
        if name == "none" and desired is ntk:
            assert not actual.any()
            continue
        assert_close(actual, desired, floor=1e-14)
    assert np.array_equal(cross.nngp[:, ::-1], gram.nngp)
    assert np.array_equal(cross.ntk[:, ::-1], gram.ntk)
    single = refntk.kernel(net, images, dtype="float32")
    assert np.array_equal(single.nngp, gram.nngp.astype(np.float32))
    assert np.array_equal(single.ntk, gram.ntk.astype(np.float32))


def test_small_entries_keep_their_digits(rng: np.random.Generator, assert_close: Close) -> None:
    # Opposite but for a little: the kernel after one Relu is the cube of that little.
    net = Network([Flatten(), Dense(), Relu(), Dense()])
    x, noise = rng.normal(size=(2, 1, 6, 6, 1))
    for size in (1e-1, 1e-2, 1e-4, 1e-8):
        y = size * noise - x
        result = refntk.kernel(net, x, y)
        nngp, ntk = numpy_kernels(net, x, y)
        assert_close(result.nngp, nngp)
        assert_close(result.ntk, ntk)


def test_duplicates_are_told_by_equality(rng: np.random.Generator) -> None:
    net = Network([Flatten(), *HEADS["biases"]])
    images = rng.normal(size=(5, 4, 4, 3))
    result = refntk.kernel(net, images, np.concatenate([images, images]))
    gram = refntk.kernel(net, images)
    for kernel in ("nngp", "ntk"):
        entries = getattr(result, kernel)
        assert np.array_equal(entries[:, :5], entries[:, 5:])
        assert np.array_equal(entries[:, :5], getattr(gram, kernel))


@pytest.mark.parametrize("features", [1, 7, 127, 128, 129, 300])
def test_the_same_bits_in_any_company(features: int, rng: np.random.Generator) -> None:
    # More rows and columns than fit into a block, and numbers of them that fill none.
    net = Network([Flatten(), *HEADS["biases"]])
    x1, x2 = rng.normal(size=(131, 1, features, 1)), rng.normal(size=(73, 1, features, 1))
    x2[3] = x1[5]
    whole = refntk.kernel(net, x1, x2, threads=1)
    order1, order2 = rng.permutation(131), rng.permutation(73)
    mixed = refntk.kernel(net, x1[order1], x2[order2], threads=3, tile=50)
    swapped = refntk.kernel(net, x2, x1)
    both = refntk.kernel(net, np.concatenate([x1, x2]))
    few = refntk.kernel(net, x1[129:], x2[66:71])
    for kernel in ("nngp", "ntk"):
        right = getattr(whole, kernel)
        assert np.array_equal(getattr(mixed, kernel), right[np.ix_(order1, order2)])
        assert np.array_equal(getattr(swapped, kernel), right.T)
        assert np.array_equal(getattr(both, kernel)[:131, 131:], right)
        assert np.array_equal(getattr(few, kernel), right[129:, 66:71])


def test_sizes_that_squares_do_not_have(rng: np.random.Generator, assert_close: Close) -> None:
    net = Network([Flatten(), *HEADS["mlp-5"]])
    x, y = rng.normal(size=(2, 3, 4, 4, 1))
    right = refntk.kernel(net, x, y)
    result = refntk.kernel(net, 1e250 * x, 1e-250 * y)
    assert_close(result.nngp, right.nngp)
    assert_close(result.ntk, right.ntk)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_that_are_too_large(dtype: str) -> None:
    net = Network([Flatten(), *HEADS["mlp-1"]])
    images = np.array([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 1, 2, 1) * 1e200
    with pytest.raises(InputError, match=f"these images are too large for {dtype}: use"):
        refntk.kernel(net, images, dtype=dtype)


def test_progress_counts_all_pairs(rng: np.random.Generator) -> None:
    seen: list[tuple[int, int]] = []
    refntk.kernel(
        Network([Flatten(), *HEADS["mlp-1"]]), rng.normal(size=(150, 2, 2, 1)), tile=80,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen[-1][0] == seen[-1][1] == 80**2 + 70**2 + 80 * 70
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("layers", "method", "is_one"),
    [
        ([Flatten(), Dense()], "auto", True),
        ([Flatten(), Dense()], "literal", False),
        ([Conv((3, 3)), Relu(), Flatten(), Dense()], "auto", False),
        ([GlobalAvgPool(), Dense()], "auto", False),
    ],
)
def test_which_networks_go_this_way(layers: list[Any], method: str, is_one: bool) -> None:
    plan = make_plan(Network(layers), (4, 4, 2), method)
    assert is_perceptron(plan) == is_one
    images = np.ones((2, 4, 4, 2))
    job = Job(Network(layers), images, options=Options(method=method))
    whole = job._engine.whole(images, None, lambda fraction: None)
    assert (whole is not None) == is_one


def test_a_block_of_one_pair(rng: np.random.Generator, assert_close: Close) -> None:
    net = Network([Flatten(), *HEADS["mlp-5"]])
    images = rng.normal(size=(2, 3, 3, 1))
    plan = make_plan(net, (3, 3, 1))
    one, two = (vectors(plan, images[k : k + 1]) for k in (0, 1))
    result = perceptron_block(plan, one, two, 1, lambda fraction: None)
    for actual, desired in zip(result, numpy_kernels(net, images[:1], images[1:]), strict=True):
        assert_close(actual, desired)


@pytest.mark.parametrize("name", ["_first_relu_row", "_relu_row"])
def test_rows_are_vectorised(name: str) -> None:
    features = llvm.get_host_cpu_features()
    if not features.get("avx"):
        pytest.skip("this processor has no vector registers of 256 bits")
    function = getattr(perceptron, name)
    row, number = types.CPointer(types.float64), types.float64
    rows = 4 if name == "_first_relu_row" else 3
    function.compile((*[row] * rows, number, row, types.intp))
    code = str(function.inspect_asm(function.signatures[0]))
    register = "zmm" if features.get("avx512f") else "ymm"
    assert re.search(rf"\bvsqrtpd\s+[^\n]*%{register}\d", code)
    called = set(re.findall(r"(?:\$|\bcallq?\s+|\bjmpq?\s+)([A-Za-z_]\w*)", code))
    assert not called & {"sqrt", "fma", "asin", "acos", "fmin", "fmax"}


def test_products_fill_the_registers() -> None:
    features = llvm.get_host_cpu_features()
    if not features.get("fma"):
        pytest.skip("this processor has no fused multiply-add")
    function = products.product_rows
    row, pair = types.CPointer(types.float64), types.UniTuple(types.intp, 2)
    function.compile((row, row, types.intp, pair, pair, row, row))
    code = str(function.inspect_asm(function.signatures[0]))
    used = set(re.findall(r"\bvfmadd\d+pd\s+[^\n]*%([yz]mm\d+)", code))
    assert len(used) >= (12 if any(name.startswith("y") for name in used) else 6)
