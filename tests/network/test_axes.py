"""Convolutions of signals and of volumes: one axis of positions, or three."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refntk.errors import InputError, InputWarning, MethodError, NetworkError, ShapeError
from refntk.evaluation.evaluate import Job, kernel
from refntk.network import Network
from refntk.network.layers import (
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    LeakyRelu,
    Lift,
    Relu,
    SumPool,
)
from refntk.oracle.cases import Case
from refntk.oracle.faults import altered
from refntk.recursion import propagate
from refntk.truth.certified import certify

Close = Callable[..., None]

RATES = {"W_std": 1.3, "b_std": 0.2}
HEAD = [Dense(**RATES), Relu(), Dense()]

NETWORKS: dict[str, tuple[list[Any], tuple[int, ...]]] = {
    "signals": (
        [Conv((3,), **RATES), Relu(), Conv((2,), strides=(2,), dilations=(3,)), LeakyRelu(),
         GlobalAvgPool(), *HEAD], (7, 2),
    ),
    "rings": (
        [Conv((3,), padding="CIRCULAR"), Relu(), Conv((2,), padding="CIRCULAR", **RATES), Relu(),
         Flatten(), Dense()], (6, 1),
    ),
    "pooled signals": (
        [Conv((4,), padding="VALID"), Relu(), AvgPool((2,), strides=(2,)), Conv((2,)), Relu(),
         GlobalAvgPool()], (9, 2),
    ),
    "volumes": (
        [Conv((2, 3, 1), **RATES), Relu(), Conv((1, 2, 2), strides=(1, 2, 1), padding="VALID"),
         Relu(), GlobalAvgPool(), *HEAD], (2, 3, 2, 1),
    ),
    "pooled volumes": (
        [Conv((2, 1, 3), dilations=(1, 1, 2)), Relu(), SumPool((1, 2, 2)), Conv((1, 1, 1)), Relu(),
         Flatten()], (2, 2, 3, 2),
    ),
}  # fmt: skip

FAST = {"signals": "slices", "rings": "slices", "pooled signals": "band", "volumes": "orbits"}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_route(name: str, rng: np.random.Generator, assert_close: Close) -> None:
    layers, shape = NETWORKS[name]
    net, x = Network(layers), rng.normal(size=(2, *shape))
    proof = certify(net, x)
    state = propagate(net, x)
    case = Case(name, "", net, x, None, False)
    found = {
        "recursion": {"nngp": state.nngp, "ntk": state.ntk},
        "oracle": altered(case, lambda index, kernels: kernels),
        "literal": vars(kernel(net, x, method="literal")),
        "auto": vars(kernel(net, x)),
    }
    assert Job(net, x).method == FAST.get(name, "literal")
    for route in found.values():
        for word in ("nngp", "ntk"):
            assert_close(route[word].astype(float), getattr(proof, word))
    assert Network.from_toml_string(net.to_toml()) == net


def wider(layer: Any) -> Any:
    """The layer on images of one row."""
    for name in ("filter_shape", "window_shape"):
        if hasattr(layer, name):
            layer = replace(layer, **{name: (1, *getattr(layer, name)), "strides": (1, 1)})
    return layer


def test_signals_are_images_of_one_row(rng: np.random.Generator, assert_close: Close) -> None:
    layers = [Conv((3,), **RATES), Relu(), AvgPool((2,)), Conv((2,)), Relu(), GlobalAvgPool()]
    x = rng.normal(size=(3, 6, 2))
    one = propagate(Network(layers), x)
    two = propagate(Network([wider(layer) for layer in layers]), x[:, None])
    assert_close(one.nngp, two.nngp)
    assert_close(one.ntk, two.ntk)


def test_arguments_follow_the_filter() -> None:
    assert Conv((3,)).strides == Conv((3,)).dilations == (1,)
    assert Conv((3, 3, 3), strides=(1, 1)) == Conv((3, 3, 3))
    assert "filter_shape 3x3x3, strides 1x1x1" in str(Network([Conv((3, 3, 3)), Flatten()]))
    assert Network([Conv((3, 3)), AvgPool((2, 2)), Flatten()]).axes == 2


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Conv((3, 3, 3, 3)), NetworkError, "^filter_shape: expected two positive integers"),
        (lambda: Conv((3,), strides=(2, 2)), NetworkError, "^strides: expected 1 numbers, as filt"),
        (
            lambda: Lift((3,), group="C2"), NetworkError,
            '^unknown group "C2"; known: C1, D1; C2 is a group of filters of two',
        ),
        (lambda: Lift((3, 3), group="O"), NetworkError, '^unknown group "O"; .*known: C1, C2'),
        (
            lambda: Network([Lift((3, 3, 3), group="O"), Relu(), GroupConv((3, 3))]),
            NetworkError,
            r"^layer 2 \(GroupConv\): filter_shape: expected 3 sides, as the filter of the Li",
        ),
        (
            lambda: Lift((3, 2, 3), group="O"),
            NetworkError,
            "^filter_shape: a 3x2x3 filter that the group O turns by 90 degrees would lie between",
        ),
        (
            lambda: Network(
                [Lift((1, 3, 3), group="T", padding="VALID"), Flatten()]
            ).signals((4, 4, 4)),
            ShapeError,
            r"^layer 0 \(Lift\): with padding VALID the group T .* use a filter of like sides",
        ),
        (
            lambda: Conv((3, 3, 3), mask=[[0, 1], [1, 1]]),
            NetworkError,
            "^mask: expected 3x3x3 numbers, as filter_shape says, not 2x2",
        ),
        (
            lambda: certify(
                Network([Lift((1, 1, 1), group="C2"), GroupPool()]), np.ones((1, 2, 2, 2, 1))
            ),
            MethodError,
            "Lift: ball arithmetic has no rule for groups that turn signals or volumes",
        ),
        (
            lambda: Network([Conv((3,)), Conv((3, 3)), Flatten()]),
            NetworkError,
            "^layers disagree about the axes of the inputs: filters and windows have 1 and 2 sides",
        ),
        (
            lambda: kernel(Network([Conv((3,)), Flatten()]), np.ones((2, 4, 4, 3))),
            InputError,
            r"^X1: expected signals of shape \(N, L, C\), channels last; .* not \(2, 4, 4, 3\)",
        ),
        (
            lambda: kernel(Network([Conv((3, 3, 3)), Flatten()]), np.ones((2, 4, 4))),
            InputError,
            r"^X1: expected volumes of shape \(N, D, H, W, C\), channels last, not \(2, 4, 4\)",
        ),
        (
            lambda: Network([Conv((3,)), Flatten()]).signals((4, 4, 1)),
            ShapeError,
            r"^expected the shape \(L,\) or \(L, C\) of a signal, not \(4, 4, 1\)",
        ),
        (
            lambda: kernel(
                Network([Conv((1, 1, 1)), GlobalAvgPool()]), np.ones((1, 2, 2, 2, 1)),
                method="slices",
            ),
            MethodError,
            r"does not apply: layer 0 \(Conv\) is no convolution of images",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    ("group", "words"),
    [("O", "CentreReadout in its place reads 6.5e+05"), (None, "Flatten in its place")],
)
def test_pooling_that_takes_hours_is_said_before_it_begins(group: Any, words: str) -> None:
    first = Conv((3, 3, 3)) if group is None else Lift((3, 3, 3), group=group)
    last = GlobalAvgPool() if group is None else GroupPool()
    x = np.zeros((200, 30, 30, 30, 1), np.float32)
    with pytest.warns(InputWarning) as caught:
        job = Job(Network([first, Relu(), last]), x)
    (said,) = [str(warning.message) for warning in caught]
    assert words in said
    assert f"hours of one core for {job.pairs} pairs; strides of 2 in the first layer" in said
