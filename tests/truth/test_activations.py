"""Activations of one kink: published numbers, hard images against proofs, and CUDA's constants."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.errors import NetworkError
from refntk.network import Network
from refntk.network.layers import (
    Abs,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    LeakyRelu,
    Lift,
    Relu,
)
from refntk.ops.dual import ArcCosine
from refntk.ops.rectifiers import Rectifier
from refntk.truth.certified import certify

Close = Callable[..., None]

# ---------------------------------------------------------------------------------------------
# Numbers that neural-tangents 0.6.5 gives as well, but for the NTK of near duplicates, where its
# formulas lose digits.

NUMBERS = json.loads((Path(__file__).parent / "activations.json").read_text())
"""Two images, and the first with some noise; kernels of LeakyRelu(alpha=0.2) and of Abs."""


@pytest.mark.parametrize(
    ("activation", "name"), [(LeakyRelu(alpha=0.2), "leaky"), (Abs(), "abs")]
)
def test_published_numbers(activation: Any, name: str, assert_close: Close) -> None:
    conv = Conv((3, 3), W_std=1.4, b_std=0.3)
    net = Network([conv, activation, conv, activation, GlobalAvgPool()])
    for method in ("slices", "literal"):
        found = refntk.kernel(net, np.array(NUMBERS["images"]), method=method)
        for kernel, right in NUMBERS[name].items():
            tol = 1e-12 if method == "slices" else 1e-10
            assert_close(getattr(found, kernel), right, tol=tol)


# ---------------------------------------------------------------------------------------------
# Hard images.

ACTIVATIONS = [LeakyRelu(alpha=0.2), LeakyRelu(alpha=-0.5), LeakyRelu(alpha=1.0), Abs()]
HEAD = [Dense(W_std=1.2, b_std=0.1), Dense()]


def networks(act: Any) -> dict[str, list[Any]]:
    conv, group = Conv((3, 3), b_std=0.2, W_std=1.3), GroupConv((3, 1))
    head = [HEAD[0], act, HEAD[1]]
    return {
        "pooled": [conv, act, Conv((3, 3)), act, conv, act, GlobalAvgPool(), *head],
        "circular": [
            *[Conv((3, 3), padding="CIRCULAR"), act, Conv((1, 3), padding="CIRCULAR"), act],
            GlobalAvgPool(),
        ],
        "linear first": [conv, Conv((2, 2), strides=(2, 1)), act, conv, act, GlobalAvgPool()],
        "mixed": [conv, Relu(), conv, act, conv, Relu(), conv, GlobalAvgPool(), *head],
        "group": [Lift((3, 3), group="C2"), act, group, act, GroupPool(), *head],
        "flatten": [conv, act, conv, act, Flatten(), *head],
        "perceptron": [Flatten(), HEAD[0], act, HEAD[0], act, Dense()],
    }  # fmt: skip


@pytest.mark.slow  # what they compile alone takes minutes
@pytest.mark.parametrize("name", networks(Abs()))
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_hard_images(
    activation: Any, name: str, rng: np.random.Generator, assert_close: Close
) -> None:
    x, noise, y = rng.normal(size=(3, 3, 3, 1))
    near = [x + size * noise for size in (1e-2, 1e-5, 1e-8)]
    images = np.stack([x, y, *near, x.copy(), -x, 0.7 + 0 * x, 1.3 * x])
    net = Network(networks(activation)[name])
    proof = certify(net, images[:1], images)
    for dtype in ("float64", "float32"):
        found = refntk.kernel(net, images[:1], images, dtype=dtype)
        for kernel in ("nngp", "ntk"):
            # Kernels of either sign may be small by themselves.
            assert_close(getattr(found, kernel), getattr(proof, kernel), floor=0.1)


def test_a_leaky_relu_of_slope_zero_is_relu(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 4, 1))
    one, two = (
        refntk.kernel(Network([Conv((3, 3)), act, GlobalAvgPool()]), x)
        for act in (Relu(), LeakyRelu(alpha=0.0))
    )
    assert np.array_equal(one.ntk, two.ntk)


# ---------------------------------------------------------------------------------------------
# The dual.


@pytest.mark.parametrize("slopes", [(0.0, 1.0), (0.2, 1.0), (-1.0, 1.0), (1.0, 1.0), (-2.0, 0.5)])
def test_the_dual_is_the_mean_over_gaussians(
    slopes: tuple[float, float], assert_close: Close
) -> None:
    dual = Rectifier(*slopes)
    # Gauss and Laguerre: the angle between the two features, and their common length.
    angle = (np.arange(4000) + 0.5) * 2 * np.pi / 4000
    for v, w, rho in ((1.0, 1.0, 0.3), (0.5, 2.0, -0.6), (3.0, 0.1, 0.999)):
        theta = np.arccos(rho)
        a, b = np.sqrt(v) * np.cos(angle), np.sqrt(w) * np.cos(angle - theta)
        # The mean of r² is 2 for a standard Gaussian pair.
        value = 2 * np.mean(dual.value(a) * dual.value(b))
        slope = np.mean(dual.slope(a) * dual.slope(b))
        k = np.asarray(rho * np.sqrt(v * w))
        found = dual.moments(k, np.asarray(v), np.asarray(w))
        assert_close(found[0], value, tol=1e-3, floor=1.0)
        assert abs(float(found[1]) - slope) < 2e-3
    own, rate = dual.itself(np.asarray(1.7))
    assert_close(own, 1.7 * np.mean(np.square(slopes)))
    assert_close(rate, np.mean(np.square(slopes)))


def test_facts_of_the_dual() -> None:
    relu, leaky, absolute = (Rectifier(slope, 1.0).arccos for slope in (0.0, 0.25, -1.0))
    assert relu == ArcCosine(Fraction(1), Fraction(0))
    assert (leaky.gain, leaky.skip) == (Fraction(9, 16), Fraction(1, 4))
    assert (leaky.half, leaky.odd) == (Fraction(17, 32), Fraction(25, 16))
    assert (absolute.half, absolute.odd) == (1, 0)
    assert relu.nonnegative
    assert absolute.nonnegative
    assert not leaky.nonnegative


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        ("steep", "^alpha: expected a finite number, not 'steep'$"),
        (float("inf"), "^alpha: expected a finite number, not inf$"),
        (True, "^alpha: expected a finite number, not True$"),
        (1e200, r"^alpha: 1e\+200 is too large: its square, a variance, is beyond float64$"),
    ],
)
def test_slopes_that_are_refused(alpha: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        LeakyRelu(alpha=alpha)


def test_through_toml() -> None:
    net = Network([Conv((3, 3)), LeakyRelu(alpha=0.3), Conv((3, 3)), Abs(), GlobalAvgPool()])
    assert Network.from_toml_string(net.to_toml()) == net
