"""Pairs that kernels cannot tell apart: double-double arithmetic, and what a Relu makes of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st
from numba import njit, types

import refntk
from refntk.backends.numba import close, double_double
from refntk.backends.numba.close import close_correlations
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
from refntk.ops.groups import point_group, rotate
from refntk.plan.reduction import make_plan
from refntk.truth.certified import certify

Close = Callable[..., None]
Number = tuple[float, float]

# ---------------------------------------------------------------------------------------------
# Arithmetic, against fractions and balls.



@njit
def add(a, b, c, d):
    return double_double.add(a, b, c, d)


@njit
def multiply(a, b, c, d):
    return double_double.multiply(a, b, c, d)


@njit
def root(a, b):
    return double_double.root(a, b)


@njit
def inverse(a, b):
    return double_double.inverse(a, b)


@njit
def rectified(a, b):
    return double_double.rectified(a, b)


numbers = st.builds(
    lambda hi, lo: (hi, lo * math.ulp(hi) / 2),
    st.floats(-8, 8).filter(lambda x: x == 0 or abs(x) > 1e-9),
    st.floats(-1, 1),
)


def value(number: Number) -> Fraction:
    return Fraction(number[0]) + Fraction(number[1])


@given(numbers, numbers)
def test_sums_and_products(a: Number, b: Number) -> None:
    size = abs(value(a)) + abs(value(b))
    assert abs(value(add(*a, *b)) - value(a) - value(b)) <= size * Fraction(1e-31)
    right = value(a) * value(b)
    assert abs(value(multiply(*a, *b)) - right) <= abs(right) * Fraction(1e-31)


@given(numbers)
def test_roots_and_reciprocals(a: Number) -> None:
    a = abs(a[0]), a[1] if a[0] >= 0 else -a[1]
    right = value(a)
    assert abs(value(root(*a)) ** 2 - right) <= right * Fraction(1e-30)
    if a[0] > 0:
        assert abs(value(inverse(*a)) * right - 1) <= Fraction(1e-30)


def test_roots_and_reciprocals_of_nothing() -> None:
    assert root(0.0, 0.0) == root(-1e-40, 0.0) == inverse(0.0, 0.0) == (0.0, 0.0)


def exact_rectified(cosine: Fraction) -> arb:
    rho = arb(cosine.numerator) / arb(cosine.denominator)
    theta = rho.acos()
    return ((1 - rho * rho).sqrt() + (arb.pi() - theta) * rho) / (2 * arb.pi())


def test_rectified() -> None:
    near = [0.0, *(10.0**-k for k in range(1, 17)), 0.3, 0.5, 0.7]
    cosines = [sign * (1 - u) for sign in (1, -1) for u in near] + [1e-30, -1e-30, 0.0]
    with ctx.workprec(400):
        for hi in cosines:
            for lo in (0.0, 1e-17 * hi if abs(hi) < 1 else -1e-20 * hi):
                found = rectified(hi, lo)
                error = exact_rectified(value((hi, lo))) - arb(found[0]) - arb(found[1])
                assert abs(error) < 1e-26, (hi, lo)
    assert rectified(1.0, 0.0) == (0.5, 0.0)
    assert rectified(-1.0, 0.0) == (0.0, 0.0)


@pytest.mark.parametrize(("name", "numbers"), [("_relu_row", 0), ("_activated_row", 2)])
def test_the_inner_loop_is_vectorised(name: str, numbers: int) -> None:
    features = llvm.get_host_cpu_features()
    if not features.get("fma"):
        pytest.skip("this processor has no fused multiply-add")
    pointer = types.CPointer(types.float64)
    # Compiled by itself: Numba does not show code that it loads from its cache.
    row = njit(**double_double.EXACT)(getattr(close, name).py_func)
    row.compile((*[pointer] * 10, *[types.float64] * numbers, types.intp))
    code = row.inspect_asm(row.signatures[0])
    register = "zmm" if features.get("avx512f") else "ymm"
    for operation in ("vsqrtpd", r"vfn?m(add|sub)\d+pd"):
        assert re.search(rf"\b{operation}\s+[^\n]*%{register}\d", code)


# ---------------------------------------------------------------------------------------------
# Networks. A Relu after the readout has a derivative that is wrong by half of what 1 - rho is.

HEAD = [Dense(W_std=1.2, b_std=0.1), Relu(), Dense()]


def bodies() -> list[list[Any]]:
    pool = GlobalAvgPool()
    lifted = [
        Lift((3, 3), group="C2", padding="CIRCULAR", W_std=1.3, b_std=0.2),
        Relu(),
        GroupConv((1, 3), padding="CIRCULAR"),
    ]
    return [
        [*lifted, Relu(), GroupPool()],
        [Lift((3, 3), group="C4", padding="VALID"), Relu(), GroupPool()],
        [Conv((3, 2), strides=(2, 1), b_std=0.3), Relu(), Conv((5, 4)), Relu(), pool],
        [
            Conv((3, 3), strides=(2, 2), padding="CIRCULAR"), Relu(),
            Conv((1, 2), strides=(1, 2), padding="CIRCULAR"), pool,
        ],
        [Conv((2, 2), strides=(1, 2), padding="VALID"), Relu(), Flatten()],
        [pool],
    ]  # fmt: skip


@pytest.mark.parametrize("layers", bodies(), ids=range(6))
def test_a_relu_sees_how_close_images_are(
    layers: list[Any], rng: np.random.Generator, assert_close: Close
) -> None:
    x, noise = rng.normal(size=(2, 4, 4, 2))
    others = np.stack([x + size * noise for size in (1e-3, 1e-6, 1e-8)] + [-x, x.copy()])
    net = Network([*layers, *HEAD])
    exact, result = certify(net, x[None], others), refntk.kernel(net, x[None], others)
    assert_close(result.nngp, exact.nngp)
    assert_close(result.ntk, exact.ntk)


def test_correlations(rng: np.random.Generator, assert_close: Close) -> None:
    # Without a Relu features are linear: of the means m, m' of pixels over positions.
    net = Network([GlobalAvgPool()])
    plan = make_plan(net, (3, 3, 2), "slices")
    x, noise = rng.normal(size=(2, 3, 3, 2))
    m, step = x.mean(axis=(0, 1)), noise.mean(axis=(0, 1))
    across = abs(m[0] * step[1] - m[1] * step[0])
    sizes = np.array([1e-4, 1e-8, 1e-12])
    others = np.stack([sign * (x + size * noise) for sign in (1, -1) for size in sizes])
    others = np.concatenate([others, x[None], 0 * x[None]])
    images = np.concatenate([x[None], others])
    deficit, excess = close_correlations(plan, images, [(0, 1 + j) for j in range(8)], 1)
    lengths = np.hypot(*m) * np.hypot(*(m + sizes[:, None] * step).T)
    angle = np.arcsin(sizes * across / lengths)
    small = 2 * np.sin(angle / 2) ** 2
    # Pixels near 1 are rounded to 1e-16: what is left of a step of 1e-12.
    for k, tol in enumerate((1e-11, 1e-7, 1e-3)):
        assert_close(deficit[[k]], small[[k]], tol=tol)
        assert_close(excess[[3 + k]], small[[k]], tol=tol)
    assert_close(excess[:3], 2 - deficit[:3])
    assert deficit[6] < 1e-27
    assert (deficit[7], excess[7]) == (1, 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rotated_copies(dtype: str, rng: np.random.Generator, assert_close: Close) -> None:
    net, group = refntk.preset("gcnn-paper"), point_group("C4")
    x = rng.normal(size=(2, 6, 6, 2))
    still = refntk.kernel(net, x, dtype=dtype)
    for r in range(1, 4):
        turned = refntk.kernel(net, x, rotate(x, r, group), dtype=dtype)
        assert_close(turned.nngp, still.nngp)
        assert_close(turned.ntk, still.ntk)


def test_any_threads_and_tiles(rng: np.random.Generator) -> None:
    x, noise = rng.normal(size=(2, 5, 6, 6, 1))
    x = np.concatenate([x, x + 1e-7 * noise])
    net = Network([Lift((3, 3), group="C4"), Relu(), GroupPool(), *HEAD])
    once = refntk.kernel(net, x, threads=1)
    for threads, tile in ((2, None), (3, 3), (1, 1)):
        again = refntk.kernel(net, x, threads=threads, tile=tile)
        assert np.array_equal(once.nngp, again.nngp)
        assert np.array_equal(once.ntk, again.ntk)
