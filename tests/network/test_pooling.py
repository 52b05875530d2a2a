"""Pooling over windows: arguments, shapes, and sums written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refntk.errors import NetworkError, ShapeError
from refntk.finite import FiniteNetwork
from refntk.network import Network
from refntk.network.layers import (
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    GroupPool,
    Lift,
    Relu,
    Signal,
    SumPool,
)
from refntk.recursion import propagate

Close = Callable[..., None]

BODY = [Conv((3, 3), W_std=1.3, b_std=0.2), Relu()]
TURNED = [Lift((3, 3), group="C4"), Relu()]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AvgPool(2), r"^window_shape: expected two positive integers"),
        (lambda: AvgPool((2, 0)), r"^window_shape: expected two positive integers"),
        (lambda: SumPool((2, 2), strides=2), r"^strides: expected two positive integers"),
        (lambda: AvgPool((2, 2), padding="FULL"), r"^padding: .*FULL"),
        (lambda: AvgPool((2, 2), normalize_edges=1), r"^normalize_edges: expected True or False"),
        (lambda: SumPool((2, 2), normalize_edges=True), r'^unknown argument "normalize_edges"'),
        (lambda: AvgPool((2, 2), (2, 2)), r"^an argument has no name: write strides=\(2, 2\)$"),
        (lambda: AvgPool(), r"^the argument window_shape is missing$"),
        (lambda: Network([Flatten(), AvgPool((2, 2))]), r"^layer 1 \(AvgPool\): needs a grid or "),
        (lambda: Network([Flatten(), GlobalSumPool()]), r"^layer 1 \(GlobalSumPool\): needs a g"),
        (lambda: Network([*BODY, AvgPool((2, 2)), Relu()]), r"^layer 3 \(Relu\): needs Gaussian"),
        (
            lambda: Network([*BODY, SumPool((5, 1))]).signals((4, 4)),
            r"^layer 2 \(SumPool\): with padding VALID the 5x1 window eats the 4x4 image",
        ),
        (
            lambda: Network([*BODY, AvgPool((2, 2), padding="CIRCULAR", strides=(3, 1))]).signals(
                (4, 4)
            ),
            r"^layer 2 \(AvgPool\): with padding CIRCULAR the strides 3x1 must divide",
        ),
    ],
)
def test_what_does_not_fit_is_refused(build: Any, message: str) -> None:
    with pytest.raises((NetworkError, ShapeError), match=message):
        build()


def test_files_and_tables_keep_all_arguments() -> None:
    pool = AvgPool((2, 3), strides=(1, 2), padding="SAME", normalize_edges=True)
    net = Network([*BODY, pool, SumPool((2, 2)), GlobalSumPool()])
    assert Network.from_toml_string(net.to_toml()) == net
    assert "window_shape 2x3, strides 1x2, padding SAME, normalize_edges True  4x2" in net.summary(
        (4, 4)
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
def test_windows_slide_as_filters_do(padding: str) -> None:
    pool = AvgPool((3, 2), strides=(2, 1), padding=padding)
    conv = Conv((3, 2), strides=(2, 1), padding=padding)
    grid = Signal("grid", (6, 5))
    assert pool.after(grid).shape == conv.after(grid).shape


@pytest.mark.parametrize("inside", [False, True])
def test_a_mean_over_windows_by_hand(
    inside: bool, rng: np.random.Generator, assert_close: Close
) -> None:
    """Windows of SAME begin at the position of the output, and end outside of the image."""
    images = rng.normal(size=(2, 3, 4, 1))
    below = propagate(Network(BODY), images)
    pool = AvgPool((2, 2), padding="SAME", normalize_edges=inside)
    above = propagate(Network([*BODY, pool]), images)
    for kernel in ("nngp", "ntk"):
        given = getattr(below, kernel)
        padded = np.pad(given, [(0, 0), (0, 0), *[(0, 1)] * 4])
        right = np.zeros_like(given)
        for a, b, c, d in np.ndindex(2, 2, 2, 2):
            right += padded[:, :, a : a + 3, b : b + 4, c : c + 3, d : d + 4]
        count = np.full((3, 4), 4.0)
        if inside:
            count[-1], count[:, -1], count[-1, -1] = 2, 2, 1
        assert_close(getattr(above, kernel), right / count[:, :, None, None] / count)
    own = np.einsum("iiyxyx->iyx", above.nngp)
    assert_close(above.var1, own)


def test_sums_are_means_times_the_number_of_positions(
    rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.normal(size=(2, 4, 4, 2))
    pairs = [
        ([*BODY, SumPool((2, 2)), GlobalAvgPool()], [*BODY, AvgPool((2, 2)), GlobalAvgPool()], 4),
        ([*BODY, GlobalSumPool()], [*BODY, GlobalAvgPool()], 16),
        ([*TURNED, GlobalSumPool()], [*TURNED, GroupPool()], 64),
        ([*TURNED, SumPool((2, 2)), GroupPool()], [*TURNED, AvgPool((2, 2)), GroupPool()], 4),
    ]
    for summed, averaged, count in pairs:
        one, two = (propagate(Network(layers), images) for layers in (summed, averaged))
        assert_close(one.nngp, count**2 * two.nngp)
        assert_close(one.ntk, count**2 * two.ntk)


def test_windows_that_tile_the_image_are_a_mean_over_it(
    rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.normal(size=(2, 4, 4, 1))
    halved = AvgPool((2, 2), strides=(2, 2))
    one, two = (
        propagate(Network([*BODY, *pools]), images)
        for pools in ([halved, halved, Flatten()], [GlobalAvgPool()])
    )
    assert_close(one.ntk, two.ntk)


@pytest.mark.parametrize("layers", [
    [*BODY, AvgPool((2, 2), strides=(1, 2), padding="SAME", normalize_edges=True), Dense()],
    [*TURNED, SumPool((1, 3), padding="CIRCULAR"), Dense()],
])  # fmt: skip
def test_derivatives_of_finite_width_are_those_of_differences(
    layers: list[Any], rng: np.random.Generator
) -> None:
    pool = FiniteNetwork(Network([*layers[:-1], Flatten()]), (4, 4, 1), width=3).operators[2]
    x = rng.normal(size=(2, 4, 4, *([4] if layers[:2] == TURNED else []), 3))
    y = pool.forward(None, x)
    g, direction, step = rng.normal(size=y.shape), rng.normal(size=x.shape), 1e-3
    change = (pool.forward(None, x + step * direction) - y) / step
    assert np.sum(g * change) == pytest.approx(np.sum(pool.pull_back(None, x, g) * direction))
