"""The method branches: slices of networks whose layers fork, join or rescale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refntk
from refntk.errors import InputError, MethodError
from refntk.network.layers import (
    Abs,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Dropout,
    Elementwise,
    Exp,
    ExpNormalized,
    Flatten,
    Gelu,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    LayerNorm,
    LeakyRelu,
    Lift,
    Product,
    Rbf,
    RectifiedMonomial,
    Relu,
    Residual,
    SumPool,
)
from refntk.network.network import Network
from refntk.plan.reduction import make_plan
from refntk.truth.accuracy import hard_pairs
from refntk.truth.certified import certify

Close = Callable[..., None]

SCALES: dict[str, Any] = {"W_std": 1.3, "b_std": 0.3}
RELU, LEAKY = Relu(), LeakyRelu(alpha=0.3)


def block(conv: Any = Conv, **strides: Any) -> Residual:
    shortcut = [conv((1, 1), **strides)] if strides else []
    main = [RELU, conv((3, 3), **SCALES, **strides), RELU, conv((3, 3), W_std=1.3)]
    return Residual(main, shortcut=shortcut)


def circular(*layers: Any) -> Conv:
    return Conv((3, 3), padding="CIRCULAR", **SCALES)


FIRST = Conv((3, 3), **SCALES)
NETWORKS: dict[str, list[Any]] = {
    "residual": [FIRST, block(), Residual([Abs(), FIRST, block()]), RELU, GlobalAvgPool(), Dense()],
    "strided": [FIRST, block(), block(strides=(2, 1)), RELU, GlobalAvgPool(), Dense()],
    "flat": [FIRST, block(), RELU, Flatten(), Dense(**SCALES), RELU, Dense()],
    "circular": [
        circular(), Residual([RELU, circular()]), LayerNorm(), RELU, circular(), GlobalAvgPool()
    ],
    "concat": [
        FIRST, Concat([[], [RELU, Conv((1, 1))], [LEAKY]], shares=[1, 2, 3]), Conv((2, 1)), Abs(),
        GlobalAvgPool(),
    ],
    "product": [
        FIRST, Product([[RELU], [Conv((2, 2))], [Conv((1, 1)), LEAKY]]), FIRST, GlobalAvgPool()
    ],
    "normalised": [
        FIRST, LayerNorm(axes="all", eps=0.1), RELU, Conv((2, 2)), LayerNorm(), RELU,
        GlobalAvgPool(), Dense(),
    ],
    "group": [
        Lift((3, 3), group="C4", **SCALES), block(GroupConv), LayerNorm(axes="all"), RELU,
        GroupPool(), Dense(), RELU, Dense(),
    ],
    "smooth": [
        FIRST, Residual([Gelu(), FIRST, RELU, Conv((2, 1))]), LayerNorm(), ExpNormalized(), FIRST,
        Residual([Rbf(gamma=0.4), Conv((1, 1), b_std=0.1)]), RectifiedMonomial(degree=2),
        GlobalAvgPool(), Dense(), RELU, Dense(),
    ],
    "pooled": [
        FIRST, block(), AvgPool((2, 2), padding="SAME", normalize_edges=True), LayerNorm(), RELU,
        FIRST, block(), SumPool((2, 2), strides=(2, 2)), Conv((1, 1), b_std=0.2), LEAKY,
        GlobalAvgPool(),
    ],
    "pooled, smooth": [
        FIRST, Gelu(), AvgPool((2, 2), strides=(2, 2)), FIRST, ExpNormalized(), Flatten(), Dense(),
    ],
    "pooled, circular": [
        circular(), Residual([RELU, circular()]), AvgPool((2, 2), strides=(2, 2)),
        Conv((2, 2), padding="CIRCULAR"), RELU, GlobalAvgPool(),
    ],
    "pooled, on a group": [
        Lift((3, 3), group="D4", **SCALES), block(GroupConv), AvgPool((2, 2), strides=(2, 2)),
        GroupConv((1, 1)), RELU, GroupPool(), Dense(),
    ],
    "smooth, circular": [
        circular(), Residual([Gelu(), circular()]), Rbf(gamma=0.4), circular(),
        RectifiedMonomial(degree=2), Conv((1, 1), padding="CIRCULAR"), LayerNorm(axes="all"),
        ExpNormalized(), Flatten(),
    ],
    "rates": [
        Conv((3, 3), learning_rate=0.5, **SCALES),
        Residual([RELU, Conv((3, 3), trainable=False)], shortcut=[Conv((1, 1), learning_rate=2.0)]),
        RELU, GlobalAvgPool(),
    ],
}  # fmt: skip


@pytest.fixture
def images(rng: np.random.Generator) -> Any:
    images = rng.normal(size=(3, 4, 4, 2))
    images[2] = images[0] + 1e-2 * rng.normal(size=(4, 4, 2))
    return images.astype(np.float32).astype(float)  # of which single precision drops nothing


@pytest.mark.parametrize("name", NETWORKS)
def test_branches_give_the_number_of_the_proof(name: str, images: Any, assert_close: Close) -> None:
    net = Network(NETWORKS[name])
    assert make_plan(net, (4, 4, 2)).method == "branches"
    proof = certify(net, images)
    for dtype in ("float64", "float32"):
        found = refntk.kernel(net, images, dtype=dtype)
        for kernel in ("nngp", "ntk"):
            assert_close(getattr(found, kernel), getattr(proof, kernel))
    others = np.concatenate([images, images[::-1], images])  # more than there are lanes
    cross = refntk.kernel(net, images[:2], others, threads=1, method="branches")
    assert_close(cross.ntk, proof.ntk[:2][:, [0, 1, 2, 2, 1, 0, 0, 1, 2]])
    again = refntk.kernel(net, images[:2], others, threads=3, tile=2, method="branches")
    np.testing.assert_array_equal(cross.ntk, again.ntk)
    np.testing.assert_array_equal(cross.nngp, again.nngp)


def test_networks_in_line_are_the_same(images: Any, assert_close: Close) -> None:
    net = [Lift((3, 3), group="D2", **SCALES), RELU, GroupConv((1, 1)), Abs(), GroupPool(), Dense()]
    slices = refntk.kernel(net, images)
    found = refntk.kernel(net, images, method="branches")
    assert_close(found.nngp, slices.nngp)
    assert_close(found.ntk, slices.ntk)


@pytest.mark.parametrize("name", ["residual", "strided", "normalised"])
def test_hard_images(name: str, assert_close: Close) -> None:
    """Half of the digits of the NTK go where features are parallel and of unlike size."""
    net = Network(NETWORKS[name])
    for x1, x2 in hard_pairs(4).values():
        exact = certify(net, x1[None], x2[None])
        found = refntk.kernel(net, x1[None], x2[None], method="branches")
        assert_close(found.nngp, exact.nngp, tol=1e-11)
        assert_close(found.ntk, exact.ntk, tol=1e-8)
        single = refntk.kernel(net, x1[None], x2[None], dtype="float32", method="branches")
        assert_close(single.nngp, exact.nngp)
        assert_close(single.ntk, exact.ntk)


convs = st.builds(
    lambda sides, b: Conv(sides, W_std=1.2, b_std=b),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from([0.0, 0.5]),
)
activations = st.sampled_from([[], [RELU], [LEAKY], [Abs()], [LayerNorm(), RELU]])
branches = st.recursive(
    st.builds(lambda a, conv: [*a, conv], activations, convs),
    lambda inner: st.one_of(
        st.builds(lambda a: [Residual(a)], inner),
        st.builds(lambda a, b: [RELU, FIRST, Residual(a, shortcut=b)], inner, inner),
        st.builds(lambda a, b, conv: [Concat([a, b], shares=[1, 3]), conv], inner, inner, convs),
        st.builds(lambda a, b, conv: [Product([a, b]), conv], inner, inner, convs),
        st.builds(lambda a, b: [*a, *b], inner, inner),
    ),
    max_leaves=5,
)


@settings(max_examples=15)
@given(branches, st.sampled_from([GlobalAvgPool(), Flatten()]), st.integers(0, 99))
def test_random_networks(layers: list[Any], readout: Any, seed: int) -> None:
    net = Network([FIRST, *layers, RELU, readout])
    images = np.random.default_rng(seed).normal(size=(2, 3, 4, 1))
    found = refntk.kernel(net, images, method="branches")
    literal = refntk.kernel(net, images, method="literal")
    for kernel, tol in (("nngp", 1e-12), ("ntk", 1e-9)):
        right = getattr(literal, kernel)
        scale = np.sqrt(np.outer(right.diagonal(), right.diagonal()))
        worst = np.max(np.abs(getattr(found, kernel) - right) / scale)
        assert worst < tol, f"{kernel}: {worst}"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [
                FIRST,
                Residual(
                    [Conv((1, 1), strides=(2, 2))], shortcut=[Conv((2, 2), padding="VALID")]
                ),
            ],
            r"layer 1 \(Residual: Conv\) has other strides than another branch",
        ),
        ([FIRST, Dropout(0.5), FIRST], r"layer 1 \(Dropout\) has no rule there"),
        ([FIRST, Residual([RELU, circular()])], "CIRCULAR does not mix with others"),
        (
            [FIRST, Residual([AvgPool((2, 2)), FIRST], shortcut=[Conv((2, 2), padding="VALID")])],
            r"layer 1 \(Residual: AvgPool\) pools in a branch, and others go on beside it",
        ),
        (
            [FIRST, Residual([Elementwise("tanh"), FIRST])],
            r"layer 1 \(Residual: Elementwise\) is a series, which slices of branches have no room",
        ),
    ],
)
def test_what_has_no_slices(layers: list[Any], message: str) -> None:
    net = Network([*layers, RELU, GlobalAvgPool()])
    with pytest.raises(MethodError, match=f"branches does not apply: .*{message}.*literal$"):
        make_plan(net, (3, 3, 1), "branches")
    assert make_plan(net, (3, 3, 1)).method == "literal"


def test_kernels_that_are_too_large_are_named(images: Any) -> None:
    net = Network([FIRST, LayerNorm(), Conv((1, 1), W_std=40.0), Exp(), GlobalAvgPool()])
    with pytest.raises(InputError, match=r"^layer 3 \(Exp\): kernels after it are too large"):
        refntk.kernel(net, images)


def test_graphics_processors_have_no_branches() -> None:
    net = Network(NETWORKS["residual"])
    with pytest.raises(MethodError, match="the backend cupy has no method branches"):
        make_plan(net, (4, 4, 2), "branches", ("slices", "literal"), "cupy")
    assert make_plan(net, (4, 4, 2), "auto", ("slices", "literal"), "cupy").method == "literal"
