"""Layers after the readout: branches, rescaling and dropout on matrices of kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.network.layers import (
    Abs,
    Concat,
    Conv,
    Dense,
    Dropout,
    Erf,
    Flatten,
    Gelu,
    GlobalAvgPool,
    LayerNorm,
    LeakyRelu,
    Product,
    Relu,
    Residual,
)
from refntk.network.network import Network
from refntk.plan.reduction import make_plan
from refntk.truth.certified import certify

Close = Callable[..., None]

DENSE, RELU, LEAKY = Dense(W_std=1.2, b_std=0.3), Relu(), LeakyRelu(alpha=0.2)

HEADS: dict[str, list[Any]] = {
    "residual": [DENSE, Residual([RELU, DENSE]), Residual([LEAKY, DENSE], shortcut=[DENSE]), RELU],
    "concat": [DENSE, Concat([[RELU], [LEAKY, DENSE]], shares=[1, 3]), DENSE, Abs()],
    "product": [DENSE, Product([[RELU], [DENSE], [DENSE, Abs()]]), DENSE, RELU, DENSE],
    "opposite factors": [Dense(), Product([[Dense()], [Dense()]]), Dense(), RELU],
    "normalised": [DENSE, LayerNorm(), RELU, DENSE, LayerNorm(eps=0.2, axes="all"), RELU, DENSE],
    "dropout": [DENSE, RELU, Dropout(0.6), DENSE, RELU, DENSE],
    "smooth": [DENSE, Residual([Gelu(), DENSE]), LayerNorm(), Erf(), Dropout(0.5), DENSE],
    "among others": [DENSE, Residual([Gelu(), DENSE, RELU, DENSE]), LayerNorm(), RELU, DENSE],
}
BODIES: dict[str, list[Any]] = {
    "vectors": [Flatten()],
    "pooled": [Conv((3, 3), b_std=0.1), RELU, GlobalAvgPool()],
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("name", HEADS)
def test_heads_have_the_numbers_of_the_proof(
    name: str, body: str, rng: np.random.Generator, assert_close: Close
) -> None:
    net = Network([*BODIES[body], *HEADS[name]])
    x = rng.normal(size=(4, 3, 3, 2))
    x[2], x[3] = -x[0], x[1] + 1e-3 * x[0]
    assert make_plan(net, (3, 3, 2)).method == "slices"
    proof, found = certify(net, x), refntk.kernel(net, x)
    # Opposite vectors are orthogonal to each other but for what layers have in common.
    assert_close(found.nngp, proof.nngp, floor=1e-3)
    assert_close(found.ntk, proof.ntk, floor=1e-3)
    np.testing.assert_array_equal(found.ntk, found.ntk.T)


def test_near_duplicates_keep_their_digits(rng: np.random.Generator, assert_close: Close) -> None:
    x = rng.normal(size=(2, 2, 2, 2))
    x[1] = x[0] + 1e-7 * x[1]
    for name in ("residual", "concat", "product", "normalised"):
        net = Network([Flatten(), *HEADS[name]])
        proof, found = certify(net, x), refntk.kernel(net, x)
        assert_close(found.nngp, proof.nngp)
        assert_close(found.ntk, proof.ntk)


def test_dropout_after_the_readout_tells_an_image_from_its_copy(
    rng: np.random.Generator, assert_close: Close
) -> None:
    x = rng.normal(size=(2, 2, 2, 1))
    x[1] = x[0]
    net = Network([Flatten(), *HEADS["dropout"]])
    one, two = refntk.kernel(net, x), refntk.kernel(net, x, x)
    assert one.nngp[0, 0] == one.nngp[1, 1] > 1.1 * one.nngp[0, 1]
    assert_close(two.nngp, np.full((2, 2), one.nngp[0, 1]))
    assert_close(two.ntk, np.full((2, 2), one.ntk[0, 1]))
    assert_close(one.ntk, refntk.kernel(net, x, method="literal").ntk)


def test_black_images_have_no_direction(rng: np.random.Generator, assert_close: Close) -> None:
    x = rng.normal(size=(2, 2, 2, 1))
    x[1] = 0
    for layers in ([Dense(), LayerNorm(eps=0), RELU], [Dense(), Residual([RELU, Dense()]), RELU]):
        net = Network([Flatten(), *layers])
        found, proof = refntk.kernel(net, x), certify(net, x)
        assert_close(found.nngp, proof.nngp)
        assert_close(found.ntk, proof.ntk)
