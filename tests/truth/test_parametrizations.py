"""How layers are trained: both parametrisations, rates of layers, and the NTK layer by layer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refntk
from refntk.errors import MethodError, NetworkError, ShapeError
from refntk.finite import FiniteNetwork
from refntk.network.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    LeakyRelu,
    Lift,
    Relu,
    SetGroupConv,
    SetLift,
)
from refntk.network.network import Network
from refntk.symmetry.augmentation import ungrouped
from refntk.symmetry.three_ways import counterparts
from refntk.truth.certified import certify

Close = Callable[..., None]

SCALES: dict[str, Any] = {"W_std": 1.3, "b_std": 0.4}
NETWORKS = {
    "standard": Network(
        [
            *(Lift((3, 3), group="C4", width=5, **SCALES), Relu()),
            *(GroupConv((1, 1), width=7, W_std=0.8, bias=False), Relu(), GroupPool()),
            *(Dense(width=3, **SCALES), Relu(), Dense()),
        ],
        parameterization="standard",
    ),
    "standard, flat": Network(
        [
            *(Conv((2, 3), width=5, strides=(1, 2), **SCALES), LeakyRelu(alpha=0.2), Flatten()),
            *(Dense(width=4, learning_rate=0.25, W_std=1.1), Relu(), Dense(bias=False)),
        ],
        parameterization="standard",
    ),
    "rates": Network(
        [
            *(Conv((3, 3), learning_rate=0.5, learning_rate_bias=2.0, **SCALES), Relu()),
            *(Conv((3, 3), trainable=False, **SCALES), Relu(), GlobalAvgPool()),
            *(Dense(learning_rate=3, **SCALES), Relu(), Dense(learning_rate_bias=0, b_std=1)),
        ]
    ),
}


@pytest.fixture
def images(rng: np.random.Generator) -> Any:
    return rng.normal(size=(2, 3, 3, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_route_gives_the_number_of_the_proof(
    name: str, images: Any, assert_close: Close
) -> None:
    net = NETWORKS[name]
    proof = certify(net, images)
    for method in ("literal", "slices"):
        found = refntk.kernel(net, images, method=method)
        assert_close(found.nngp, proof.nngp)
        assert_close(found.ntk, proof.ntk)
    single = refntk.kernel(net, images, dtype="float32")
    assert_close(single.ntk, proof.ntk)
    parts = refntk.ntk_by_layer(net, images)
    assert_close(sum(parts.values()), proof.ntk)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_finite_width_tend_to_it(
    name: str, images: Any, rng: np.random.Generator
) -> None:
    net = NETWORKS[name]
    finite, draws = FiniteNetwork(net, (3, 3, 2), width=128), []
    for _ in range(16):
        parameters = finite.draw(rng)
        features = finite.forward(parameters, images)
        draws.append([finite.nngp(features), finite.ntk(parameters, features, channels=4)])
    exact = refntk.kernel(net, images)
    for k, kernel in enumerate((exact.nngp, exact.ntk)):
        mean, error = np.mean(draws, axis=0)[k], np.std(draws, axis=0)[k] / 4
        assert np.linalg.norm(mean - kernel) < 0.1 * np.linalg.norm(kernel) + 3 * np.max(error)


def test_the_parametrisations_differ_in_the_ntk_alone(images: Any, assert_close: Close) -> None:
    """By hand: Theta = F K / w² + 1 of a single layer, and A of it below another."""
    layers = [Conv((3, 3), width=4, **SCALES), GlobalAvgPool(), Dense(W_std=0.5)]
    standard = refntk.kernel(Network(layers, parameterization="standard"), images)
    first = refntk.kernel([Conv((3, 3), W_std=1.0), GlobalAvgPool()], images)
    plain = [Conv((3, 3), **SCALES), GlobalAvgPool(), Dense(W_std=0.5)]
    assert_close(standard.nngp, refntk.kernel(plain, images).nngp)
    below = refntk.kernel(plain[:2], images).nngp
    assert_close(standard.ntk, 0.25 * (9 * 2 * first.nngp + 1) + 4 * below + 1)


def test_a_bias_of_deviation_0_is_a_bias_in_the_standard_parametrisation(
    images: Any, assert_close: Close
) -> None:
    with_it, without, plain = (
        refntk.kernel(Network(layers, parameterization=words), images).ntk
        for layers, words in (
            ([Flatten(), Dense()], "standard"),
            ([Flatten(), Dense(bias=False)], "standard"),
            ([Flatten(), Dense(bias=False)], "ntk"),
        )
    )
    assert_close(with_it, without + 1)
    assert_close(plain, refntk.kernel([Flatten(), Dense()], images).ntk)


def test_weights_of_deviation_0_are_trained_in_the_standard_parametrisation(
    images: Any, assert_close: Close
) -> None:
    layers = [Conv((3, 3), W_std=0.0), GlobalAvgPool()]
    found = refntk.kernel(Network(layers, parameterization="standard"), images)
    first = refntk.kernel([Conv((3, 3)), GlobalAvgPool()], images)
    assert_close(found.nngp, 0 * first.nngp)
    assert_close(found.ntk, 18 * first.nngp + 1)
    finite = FiniteNetwork(Network(layers, parameterization="standard"), (3, 3, 2), width=3)
    parameters = finite.draw(np.random.default_rng(0))
    features = finite.forward(parameters, images)
    assert_close(finite.ntk(parameters, features), found.ntk)


def test_contributions_of_layers(images: Any, assert_close: Close) -> None:
    net = NETWORKS["rates"]
    parts = refntk.ntk_by_layer(net, images[:1], images, method="literal")
    assert list(parts) == [0, 5, 7]
    assert_close(parts[7], 1.0 * refntk.kernel(net.layers[:7], images[:1], images).nngp)
    frozen = [Flatten(), Dense(trainable=False)]
    with pytest.raises(NetworkError, match="^no layer of the network is trained, so that its NTK"):
        refntk.ntk_by_layer(frozen, images)
    assert not refntk.kernel(frozen, images).ntk.any()


def test_gradients_of_what_is_not_trained_are_zero(images: Any) -> None:
    finite = FiniteNetwork(NETWORKS["rates"], (3, 3, 2), width=4, outputs=1)
    parameters = finite.draw(np.random.default_rng(0))
    features = finite.forward(parameters, images)
    gradients, _ = finite.backward(parameters, features, np.ones_like(features[-1]))
    moved = [each is not None and bool(each.weight.any()) for each in gradients]
    assert moved == [True, False, False, False, False, True, False, True]
    last = gradients[7]
    assert last is not None
    assert not last.bias.any()


rates = st.floats(0, 1e6)
trainings = st.fixed_dictionaries(
    {},
    optional={
        "bias": st.booleans(),
        "learning_rate": rates,
        "learning_rate_bias": st.none() | rates,
        "trainable": st.booleans(),
    },
)


@given(trainings, trainings, st.integers(1, 2**20))
def test_toml_gives_the_network_back(
    first: dict[str, Any], last: dict[str, Any], width: int
) -> None:
    layers = [Conv((3, 3), width=width, **first), Relu(), Flatten(), Dense(**last)]
    net = Network(layers, parameterization="standard")
    again = Network.from_toml_string(net.to_toml())
    assert again == net
    assert again.hash == net.hash


def test_what_is_not_said_is_not_written() -> None:
    assert Network([Flatten(), Dense(learning_rate=1, trainable=True, width=None)]).hash == (
        Network([Flatten(), Dense()]).hash
    )
    hashes = {
        Network([Flatten(), Dense(**words)], parameterization=named).hash
        for named in ("ntk", "standard")
        for words in ({}, {"bias": False}, {"trainable": False}, {"learning_rate": 2.0})
    }
    assert len(hashes) == 8
    table = str(Network([Flatten(), Dense(width=3, bias=False)], parameterization="standard"))
    assert table.startswith("Network of 2 layers, standard parametrisation\n")
    assert table.endswith("W_std 1, b_std 0, bias False, width 3  vector")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"bias": 1}, "bias: expected True or False, not 1"),
        ({"bias": False, "b_std": 0.5}, "bias: without a bias it has no deviation, but b_std is 0"),
        ({"trainable": "no"}, "trainable: expected True or False, not 'no'"),
        ({"learning_rate": -1}, "learning_rate: expected a finite factor, zero or positive, not"),
        ({"learning_rate_bias": float("nan")}, "learning_rate_bias: expected a finite factor"),
        ({"width": 0}, "width: expected a number of channels from 1 to 1099511627776, not 0"),
        ({"width": 1.5}, "width: expected a number of channels from 1 to 1099511627776, not 1.5"),
        ({"width": 10**13}, "width: expected a number of channels from 1 to 1099511627776, not 1"),
    ],
)
def test_wrong_arguments(words: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}"):
        Dense(**words)


def test_widths_belong_to_the_standard_parametrisation() -> None:
    layers = [Conv((3, 3), width=8), Relu(), GlobalAvgPool(), Dense()]
    message = r"^layer 0 \(Conv\): width: networks are infinitely wide here, .* no kernel depends"
    with pytest.raises(NetworkError, match=message):
        Network(layers)
    layers[0] = Conv((3, 3))
    message = r"^layer 3 \(Dense\): the layer with weights before it has no width, which the fan-in"
    with pytest.raises(NetworkError, match=message):
        Network(layers, parameterization="standard")
    text = 'layer = [{type = "Flatten"}, {type = "Dense"}]\nparameterization = "standard"'
    assert Network.from_toml_string(text).parameterization == "standard"
    with pytest.raises(NetworkError, match=r"net.toml, line 5: layer 1 \(Dense\): width: networks"):
        Network.from_toml_string(
            '[[layer]]\ntype = "Flatten"\n[[layer]]\ntype = "Dense"\nwidth = 3\n', "net.toml"
        )


def test_the_channels_of_images_count_there() -> None:
    net = NETWORKS["standard"]
    with pytest.raises(ShapeError, match=r"counts the channels of images, too: expected the shape"):
        net.program((3, 3))
    assert net.signals((3, 3))[-1].kind == "vector"


def test_counterparts_have_the_same_kernels_in_the_ntk_parametrisation_alone() -> None:
    for route in (ungrouped, counterparts):
        with pytest.raises(MethodError, match="expected parameterization=\"ntk\", not 'standard'"):
            route(NETWORKS["standard"])
    net = Network([Lift((3, 3), group="C4", learning_rate=2.0, bias=False), GroupPool()])
    assert ungrouped(net).layers[0] == Conv((3, 3), learning_rate=2.0, bias=False)
    assert counterparts(ungrouped(net))[0] == net


def test_networks_on_finite_sets_are_trained_alike(
    rng: np.random.Generator, assert_close: Close
) -> None:
    net = Network(
        [
            SetLift([0, 1], group="C4", width=5, learning_rate=0.5, **SCALES),
            *(Relu(), SetGroupConv([0, 1, 3], width=7, **SCALES), Relu()),
            *(GroupPool(), Dense(width=3, bias=False), Relu(), Dense()),
        ],
        parameterization="standard",
    )
    signals = rng.normal(size=(3, 4, 2))
    exact = certify(net, signals)
    for method in ("slices", "literal"):
        found = refntk.kernel(net, signals, method=method)
        assert_close(found.nngp, exact.nngp, tol=1e-10)
        assert_close(found.ntk, exact.ntk, tol=1e-10)
    in_ntk = Network([replace(layer, width=None) if hasattr(layer, "width") else layer
                      for layer in net.layers])  # fmt: skip
    assert_close(refntk.kernel(in_ntk, signals).nngp, exact.nngp, tol=1e-10)
