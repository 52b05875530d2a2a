"""The method band: poolings before the readout, by slices that are added up between stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refntk
from refntk.backends.numba.band_tables import BandTables
from refntk.backends.numba.lanes import LANE_BYTES
from refntk.backends.numba.schedule import Axis, Runs, Schedule
from refntk.errors import MethodError
from refntk.network import Network, preset
from refntk.network.layers import (
    Abs,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    GroupConv,
    GroupPool,
    LeakyRelu,
    Lift,
    Relu,
    SumPool,
)
from refntk.ops.support import Window
from refntk.plan.reduction import make_plan
from refntk.truth.certified import certify

Close = Callable[..., None]

RELU, HALF = Relu(), AvgPool((2, 2), strides=(2, 2))
INSIDE = AvgPool((3, 2), strides=(2, 1), padding="SAME", normalize_edges=True)


def conv(padding: str = "SAME", **rest: Any) -> list[Any]:
    return [Conv((3, 3), padding=padding, W_std=1.4, **rest), RELU]


def wrapped() -> list[Any]:
    return conv("CIRCULAR")


NETWORKS: dict[str, list[Any]] = {
    "one": [*conv(), HALF, *conv(), GlobalAvgPool()],
    "myrtle": [*conv(b_std=0.3), *conv(), HALF, *conv(b_std=0.1), HALF, *conv(), GlobalAvgPool()],
    "flatten": [*conv(), HALF, *conv(strides=(1, 2)), Flatten()],
    "wrapped": [*wrapped(), HALF, *wrapped(), GlobalAvgPool()],
    "wrapped windows": [
        *wrapped(), AvgPool((3, 2), strides=(2, 1), padding="CIRCULAR"), *wrapped(), GlobalAvgPool()
    ],
    "edges": [*conv(b_std=0.2), INSIDE, *conv("VALID"), Flatten(), Dense()],
    "zeros outside": [*conv(), AvgPool((2, 2), padding="SAME"), *conv(), GlobalSumPool()],
    "pool of a pool": [*conv(b_std=0.1), AvgPool((2, 1)), HALF, *conv(), Flatten()],
    "readout": [*conv(b_std=0.1), AvgPool((3, 3), strides=(2, 2)), Flatten()],
    "images": [HALF, *conv(b_std=0.1), GlobalAvgPool(), Dense()],
    "linear": [Conv((3, 3), b_std=0.1), HALF, *conv(), GlobalAvgPool()],
    "group": [
        Lift((3, 3), group="C4", b_std=0.1), RELU, HALF, GroupConv((3, 3)), RELU, GroupPool(),
        Dense(), RELU, Dense(),
    ],
    "group, flat": [
        Lift((3, 3), group="D4", padding="CIRCULAR"), RELU, HALF,
        GroupConv((3, 3), padding="CIRCULAR"), RELU, Flatten(), Dense(),
    ],
}  # fmt: skip
"""All but a few are of Relu alone: machine code is compiled for these, and for all others."""

OTHERS: dict[str, list[Any]] = {
    "sums": [
        *conv()[:1], LeakyRelu(alpha=0.3), SumPool((3, 3)), Conv((3, 3), strides=(2, 1)), Abs(),
        GlobalSumPool(),
    ],
    "signed": [*conv()[:1], LeakyRelu(alpha=-0.5), HALF, Conv((2, 2), b_std=0.3), Abs(), Flatten()],
}  # fmt: skip


@pytest.fixture
def images(rng: np.random.Generator) -> Any:
    return rng.normal(size=(3, 6, 6, 2)), rng.normal(size=(2, 6, 6, 2))


def agree(layers: list[Any], images: Any, dtype: str, assert_close: Close) -> None:
    net = Network(layers)
    for others in (None, images[1]):
        found = refntk.kernel(net, images[0], others, method="band", dtype=dtype)
        right = refntk.kernel(net, images[0], others, method="literal", backend="numpy")
        for kernel in ("nngp", "ntk"):
            assert_close(getattr(found, kernel), getattr(right, kernel))


@pytest.mark.parametrize("name", NETWORKS)
def test_it_gives_the_numbers_of_the_literal_recursion(
    name: str, images: Any, assert_close: Close
) -> None:
    agree(NETWORKS[name], images, "float64", assert_close)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_so_it_does_in_single_precision(name: str, images: Any, assert_close: Close) -> None:
    agree(NETWORKS[name], images, "float32", assert_close)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OTHERS)
def test_and_after_other_activations(
    name: str, dtype: str, images: Any, assert_close: Close
) -> None:
    agree(OTHERS[name], images, dtype, assert_close)


@st.composite
def pooled(draw: Any) -> tuple[list[Any], int]:
    padding = draw(st.sampled_from(["SAME", "VALID", "CIRCULAR"]))
    sides = st.integers(1, 3)
    layers: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(0, 2))):
            filters, strides = (draw(sides), draw(sides)), (1, draw(st.integers(1, 2)))
            strides = (1, 1) if padding == "CIRCULAR" else strides
            bias = draw(st.sampled_from([0.0, 0.3]))
            layers += [Conv(filters, strides=strides, padding=padding, b_std=bias), RELU]
        words = ["VALID", "CIRCULAR"] if padding == "CIRCULAR" else ["SAME", "VALID"]
        arguments = {
            "strides": (1, 1) if padding == "CIRCULAR" else (draw(sides), draw(sides)),
            "padding": draw(st.sampled_from(words)),
        }
        if draw(st.booleans()):
            layers.append(SumPool((draw(sides), draw(sides)), **arguments))
        else:
            edges = draw(st.booleans())
            window = draw(sides), draw(sides)
            layers.append(AvgPool(window, normalize_edges=edges, **arguments))
    layers += [Conv((2, 3), padding=padding, b_std=0.2), RELU]
    layers.append(draw(st.sampled_from([Flatten(), GlobalAvgPool(), GlobalSumPool()])))
    return layers, draw(st.integers(0, 2**20))


@given(drawn=pooled())
def test_on_networks_drawn_at_random(drawn: Any, assert_close: Close) -> None:
    layers, seed = drawn
    net, images = Network(layers), np.random.default_rng(seed).normal(size=(2, 7, 8, 1))
    try:
        net.signals((7, 8))
        found = refntk.kernel(net, images, method="band")
    except (refntk.ShapeError, MethodError):
        return
    right = refntk.kernel(net, images, method="literal", backend="numpy")
    assert_close(found.nngp, right.nngp)
    assert_close(found.ntk, right.ntk)


HARD = ("twice", "flat", "opposite", "scaled", "black")


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("b_std", [0.0, 0.3])
def test_hard_images(
    kind: str, b_std: float, rng: np.random.Generator, assert_close: Close
) -> None:
    image, other = rng.uniform(size=(2, 4, 4, 2))
    second = {
        "twice": image, "flat": np.full_like(image, 0.7), "opposite": -2 * image,
        "scaled": 1000 * other, "black": 0 * image,
    }[kind]  # fmt: skip
    first = np.full_like(image, 0.5) if kind == "flat" else image
    net = Network([*conv(b_std=b_std), HALF, *conv(), GlobalAvgPool()])
    images = np.stack([first, second, other])
    found, proof = refntk.kernel(net, images, method="band"), certify(net, images)
    assert_close(found.nngp, proof.nngp)
    assert_close(found.ntk, proof.ntk)


@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3])
def test_images_that_are_close(
    distance: float, rng: np.random.Generator, assert_close: Close
) -> None:
    image, other = rng.uniform(size=(2, 4, 4, 2))
    images = np.stack([image, image + distance * other])
    net = Network(NETWORKS["one"])
    found, proof = refntk.kernel(net, images, method="band"), certify(net, images)
    assert_close(found.ntk, proof.ntk)


@pytest.mark.parametrize("threads", [1, 3])
def test_no_digit_depends_on_tiles_and_threads(threads: int, rng: np.random.Generator) -> None:
    images = rng.normal(size=(11, 4, 4, 1))
    net = Network(NETWORKS["one"])
    whole = refntk.kernel(net, images, method="band", threads=1)
    cut = refntk.kernel(net, images, method="band", threads=threads, tile=3)
    assert np.array_equal(whole.ntk, cut.ntk)
    assert np.array_equal(whole.nngp, cut.nngp)


def test_the_planner_takes_it() -> None:
    assert make_plan(preset("myrtle-5"), (32, 32, 3)).method == "band"
    assert make_plan(preset("myrtle-5"), (32, 32, 3), available=("literal",)).method == "literal"


def test_pools_that_tile_what_is_left_are_part_of_the_readout() -> None:
    """Myrtle networks as the paper has them are the presets, on images of its size."""
    body = list(preset("myrtle-5").layers[:-2])
    paper = Network([*body, HALF, HALF, HALF, Flatten(), Dense()])
    ours, theirs = (make_plan(net, (32, 32, 3)) for net in (preset("myrtle-5"), paper))
    assert (ours.steps, ours.pools, ours.pooled) == (theirs.steps, theirs.pools, theirs.pooled)
    assert ours.divisor == theirs.divisor
    assert len(make_plan(paper, (40, 40, 3)).pools) == 4
    one = make_plan(Network([*conv(), HALF, HALF, GlobalAvgPool()]), (4, 4, 1))
    assert one.method == "slices"
    sums = make_plan(Network([*conv(), SumPool((2, 2), strides=(2, 2)), GlobalSumPool()]), (4, 4))
    assert (sums.method, sums.divisor) == ("slices", 1.0)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([*conv(), GlobalAvgPool()], "no layer pools before layer 2 .GlobalAvgPool.; use the meth"),
        ([HALF, Flatten(), Dense()], "no convolution comes before layer 1 .Flatten."),
        ([*conv(), HALF, *conv("CIRCULAR"), Flatten()], "layer 3 .Conv. has padding CIRCULAR"),
        (
            [*conv(), AvgPool((2, 2), padding="CIRCULAR"), *conv(), Flatten()],
            "layer 2 .AvgPool. has padding CIRCULAR, and comes before or between",
        ),
        ([Conv((3, 3)), HALF, RELU, Flatten()], "layer 2 .Relu. does not come after a convolution"),
        (
            [Lift((3, 3), group="C4"), RELU, AvgPool((1, 2)), GroupConv((1, 1)), GroupPool()],
            "layer 2 .AvgPool. has a 1x2 window, which the group C4 does not map to itself",
        ),
        (
            [Lift((3, 3), group="C2"), RELU, AvgPool((2, 2), padding="SAME"), GroupPool()],
            "layer 2 .AvgPool. has 8 windows of 2 every 1 of 8 positions along y, which C2 does no",
        ),
        (
            [HALF, Lift((3, 3), group="C2"), RELU, GroupPool()],
            "layer 1 .Lift. comes after a pooling",
        ),
    ],
)
def test_what_prevents_it_is_named(layers: list[Any], reason: str) -> None:
    with pytest.raises(MethodError, match=f"^the method band does not apply: {reason}"):
        make_plan(Network(layers), (8, 8, 1), "band")


# ---------------------------------------------------------------------------------------------
# The schedule.


def _pools(n: int, wrap: bool) -> tuple[list[Any], list[Any]]:
    sides = [n, n // 2, n // 4]
    runs = [Runs(Window(side, side // 2, 2, 2, 0, False), wrap) for side in sides[:2]]
    return [(Axis(side, side, 1, wrap),) * 2 for side in sides], [(each, each) for each in runs]


@pytest.mark.parametrize("wrap", [False, True])
def test_each_slice_is_computed_once_and_after_all_that_it_sums_up(wrap: bool) -> None:
    stages, pools = _pools(8, wrap)
    schedule = Schedule(stages, pools, (stages[-1][0].every,) * 2)
    order = {tuple(event[:3]): place for place, event in enumerate(schedule.events.tolist())}
    assert len(order) == len(schedule.events) == sum(len(axis.every) ** 2 for axis, _ in stages)
    for stage, (y, x) in enumerate(pools):
        for dy, dx in np.ndindex(len(y.targets), len(x.targets)):
            for above in ((a, b) for a in y.targets[dy] for b in x.targets[dx]):
                assert order[stage, dy, dx] < order[stage + 1, *above]


@pytest.mark.parametrize("wrap", [False, True])
def test_sums_that_are_kept_do_not_overlap(wrap: bool) -> None:
    stages, pools = _pools(8, wrap)
    schedule = Schedule(stages, pools, (stages[-1][0].every,) * 2)
    owner, sizes = np.full(schedule.size, -1), {}
    for number, (stage, _, _, place, first, last) in enumerate(schedule.events.tolist()):
        if stage:
            size = sizes[place]
            assert (owner[place : place + size] == owner[place]).all()
            owner[place : place + size] = -1
        for start, size in schedule.fresh[first:last].tolist():
            assert (owner[start : start + size] == -1).all()
            owner[start : start + size] = number
            sizes[start] = size
    assert (owner == -1).all()


def test_a_myrtle_network_keeps_less_than_a_mebibyte_for_a_group_of_lanes() -> None:
    tables = BandTables(make_plan(preset("myrtle-5"), (32, 32, 3)), "float32")
    assert 2 * tables.schedule.size * LANE_BYTES < 2**20
    entries = [len(event) for event in (tables.schedule.events,)]
    assert entries == [63**2 + 31**2 + 15**2]
