"""Slices for activations of any kind: hard images against proofs, and the literal recursion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refntk
from refntk.errors import InputError, MethodError
from refntk.network import Network
from refntk.network.layers import (
    Abs,
    Conv,
    Cos,
    Dense,
    Elementwise,
    Erf,
    Exp,
    ExpNormalized,
    Flatten,
    Gaussian,
    Gelu,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Hermite,
    LeakyRelu,
    Lift,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    Relu,
    Sigmoid_like,
    Sign,
    Sin,
)
from refntk.truth.certified import certify

Close = Callable[..., None]

pytestmark = pytest.mark.usefixtures("one_machine_code")

SMOOTH = [
    Erf(a=1.2, b=0.7, c=0.3), Sigmoid_like(), Gelu(), Sin(a=1.3, b=0.8, c=0.4), Sin(),
    Cos(a=0.7, b=1.3, c=-0.2), Rbf(gamma=0.6), Exp(a=0.7, b=0.4), Gaussian(a=1.2, b=-0.8),
    ExpNormalized(gamma=1.7, shift=-0.8), RectifiedMonomial(degree=2), RectifiedMonomial(degree=3),
    Polynomial(coef=(0.1, -0.4, 0.3, 0.2)), Hermite(degree=3), Elementwise("sigmoid"),
]  # fmt: skip


def hard(rng: np.random.Generator, side: int = 3) -> Any:
    x, noise, y = rng.normal(size=(3, side, side, 1))
    near = [x + size * noise for size in (1e-2, 1e-5, 1e-8)]
    return np.stack([x, y, *near, x.copy(), -x, 0.7 + 0 * x, 0 * x, 1.3 * x])


def networks(act: Any) -> dict[str, list[Any]]:
    conv, circular = Conv((3, 3), b_std=0.2, W_std=1.3), Conv((2, 3), padding="CIRCULAR", b_std=0.1)
    return {
        "pooled": [conv, act, Conv((2, 2)), act, conv, act, GlobalAvgPool(), Dense(), act, Dense()],
        "circular": [circular, act, circular, act, GlobalAvgPool()],
        "strides": [conv, Conv((2, 2), strides=(2, 1)), act, conv, act, conv, GlobalAvgPool()],
        "group": [Lift((3, 3), group="C4"), act, GroupConv((3, 3)), act, GroupPool(), Dense()],
        "flatten": [conv, act, conv, act, Flatten(), Dense(), act],
    }


def check_hard_images(
    act: Any, dtype: str, rng: np.random.Generator, assert_close: Close
) -> None:
    images = hard(rng)
    # The proofs of series take long.
    names = ["circular"] if isinstance(act, Elementwise) else list(networks(act))
    for name in names:
        net = Network(networks(act)[name])
        proof = certify(net, images[:1], images)
        found = refntk.kernel(net, images[:1], images, dtype=dtype, method="slices")
        for kernel in ("nngp", "ntk"):
            assert_close(getattr(found, kernel), getattr(proof, kernel), floor=0.1)


@pytest.mark.parametrize("act", [SMOOTH[0], Gelu(), Rbf(gamma=0.6), SMOOTH[-1]], ids=str)
def test_hard_images(act: Any, rng: np.random.Generator, assert_close: Close) -> None:
    check_hard_images(act, "float64", rng, assert_close)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("act", SMOOTH, ids=str)
def test_hard_images_of_each(
    act: Any, dtype: str, rng: np.random.Generator, assert_close: Close
) -> None:
    check_hard_images(act, dtype, rng, assert_close)


@pytest.mark.parametrize("act", [Erf(), Sin(), Rbf(), ExpNormalized(), Gelu()], ids=str)
def test_large_variances(act: Any, rng: np.random.Generator, assert_close: Close) -> None:
    conv = Conv((3, 3), W_std=30.0, b_std=0.2)
    net = Network([conv, act, Conv((3, 3), W_std=3.0), act, GlobalAvgPool()])
    images = hard(rng)
    proof = certify(net, images[:1], images)
    found = refntk.kernel(net, images[:1], images, method="slices")
    for kernel in ("nngp", "ntk"):
        assert_close(getattr(found, kernel), getattr(proof, kernel), tol=1e-11, floor=0.1)


@pytest.mark.parametrize("act", [Sign(), RectifiedMonomial(degree=0)], ids=str)
def test_jumps(act: Any, rng: np.random.Generator, assert_close: Close) -> None:
    images = hard(rng)
    conv = Conv((3, 3), b_std=0.2, W_std=1.3)
    for layers, tol in (
        ([conv, act, conv, act, GlobalAvgPool()], 1e-11),
        # What Gelu leaves of distances of 1e-8 is rounding, and they are known to first order.
        ([conv, Gelu(), conv, act, Flatten()], 1e-9),
    ):
        net = Network(layers)
        proof = certify(net, images[:1], images, get="nngp")
        found = refntk.kernel(net, images[:1], images, method="slices", get="nngp")
        # Of images that differ in size the angle is half of the digits.
        assert_close(found.nngp[:, :-1], proof.nngp[:, :-1], tol=tol, floor=0.1)
        assert_close(found.nngp, proof.nngp, tol=1e-7, floor=0.1)


ACTS = [*SMOOTH, Relu(), Abs(), LeakyRelu(alpha=0.3), None]


@st.composite
def random_networks(draw: Any) -> list[Any]:
    padding = draw(st.sampled_from([("SAME", "VALID"), ("CIRCULAR",)]))
    layers: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        layers.append(
            Conv(
                draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
                strides=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
                padding=draw(st.sampled_from(padding)),
                W_std=draw(st.floats(0.5, 1.5)), b_std=draw(st.sampled_from([0.0, 0.3])),
            )
        )  # fmt: skip
        act = draw(st.sampled_from(ACTS))
        layers += [] if act is None else [act]
    head = draw(st.sampled_from([[], [Dense(b_std=0.2), Gelu(), Dense()], [Dense(), Relu()]]))
    return [*layers, draw(st.sampled_from([GlobalAvgPool(), Flatten()])), *head]


@given(layers=random_networks(), seed=st.integers(0, 2**16))
def test_random_networks_agree_with_the_literal_recursion(
    layers: list[Any], seed: int, assert_close: Close
) -> None:
    x = np.random.default_rng(seed).normal(size=(3, 6, 7, 2))
    try:
        net = Network(layers)
        one = refntk.kernel(net, x, method="slices")
    except refntk.ShapeError:
        return
    two = refntk.kernel(net, x, backend="numpy")
    for kernel in ("nngp", "ntk"):
        assert_close(getattr(one, kernel), getattr(two, kernel), tol=1e-11, floor=1e-2)


def test_nothing_depends_on_tiles_and_threads(rng: np.random.Generator) -> None:
    x = rng.normal(size=(11, 4, 4, 1)) * np.linspace(0.1, 2, 11)[:, None, None, None]
    conv = Conv((3, 3), b_std=0.1)
    net = Network([conv, Elementwise("sigmoid"), conv, Erf(), GlobalAvgPool(), Dense(), Gelu()])
    one = refntk.kernel(net, x, method="slices")
    two = refntk.kernel(net, x, method="slices", tile=3, threads=2)
    assert np.array_equal(one.ntk, two.ntk)
    assert np.array_equal(one.nngp, two.nngp)


@pytest.mark.parametrize(
    ("act", "scale", "message"),
    [
        (Exp(), 60.0, "kernels after it are too large for float64 at variances up to"),
        (Elementwise("elu"), 1.0, r"384 terms of the series of elu leave an error of \S+ of the v"),
        (Elementwise(np.exp), 300.0, "exp is "),
    ],
)
def test_what_is_too_large_is_named(act: Any, scale: float, message: str) -> None:
    x = scale * np.random.default_rng(0).normal(size=(2, 3, 3, 1))
    net = [Conv((3, 3)), act, GlobalAvgPool()]
    with pytest.raises(InputError, match=rf"^layer 1 \({type(act).__name__}\): {message}"):
        refntk.kernel(net, x, method="slices")


def test_cuda_leaves_them_to_the_literal_recursion() -> None:
    from refntk.backends import methods_of
    from refntk.plan.reduction import make_plan

    net = Network([Conv((3, 3)), Gelu(), GlobalAvgPool()])
    assert make_plan(net, (4, 4, 1)).method == "slices"
    plan = make_plan(net, (4, 4, 1), available=methods_of("cupy"), general=False)
    assert plan.method == "literal"
    with pytest.raises(MethodError, match=r"does not apply: layer 1 \(Gelu\) is no Relu or the li"):
        make_plan(net, (4, 4, 1), "slices", general=False)
