"""Which reductions apply to a network, and the plan that results."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from refntk.errors import MethodError, NetworkError, ShapeError, SymmetryWarning
from refntk.evaluation.evaluate import kernel
from refntk.network import Network, preset, presets
from refntk.network.filters import windows
from refntk.network.layers import (
    AvgPool,
    Conv,
    CosetPool,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Layer,
    Lift,
    Relu,
    RotationPool,
)
from refntk.ops.dual import ArcCosine
from refntk.ops.groups import GROUPS, point_group, rotate
from refntk.ops.operations import Filter, Pointwise
from refntk.ops.support import Window
from refntk.plan.reduction import METHODS, Step, make_plan
from refntk.recursion import propagate

RELU = ArcCosine(Fraction(1), Fraction(0))
CNN = Network([Conv((3, 3)), Relu(), GlobalAvgPool()])


def test_a_group_network_becomes_an_ordinary_one() -> None:
    layers = [
        Lift((3, 3), group="D4", W_std=1.5, b_std=0.5),
        Relu(),
        GroupConv((5, 5), padding="VALID"),
        GroupConv((1, 1)),
        Relu(),
        GroupPool(),
    ]
    head = [Dense(), Relu(), Dense(b_std=1.0)]
    plan = make_plan(Network([*layers, *head]), (8, 8, 3))
    same, valid = Window(8, 8, 3, 1, 1, False), Window(8, 4, 5, 1, 0, False)
    single = Window(4, 4, 1, 1, 0, False)
    assert plan.method == "slices"
    assert plan.shape == (8, 8, 3)
    assert plan.body == Network(layers).program((8, 8))
    names = [plan.head.name(k) for k in range(3)]
    assert names == ["layer 6 (Dense)", "layer 7 (Relu)", "layer 8 (Dense)"]
    assert (plan.group, plan.order, plan.pooled) == ("D4", 8, True)
    assert plan.steps == (
        Step(same, same, 1.5**2 / 9, 0.25, RELU),
        Step(valid, valid, 1 / 25, 0.0, None),
        Step(single, single, 1.0, 0.0, RELU),
    )
    assert plan.entries == 8 * (8**4 + 4**4 + 4**4)


def test_an_ordinary_network() -> None:
    first, second = Conv((4, 3), strides=(2, 3)), Conv((2, 1), padding="VALID", b_std=0.2)
    plan = make_plan(Network([first, Relu(), second, GlobalAvgPool()]), (7, 10, 1))
    y, x = windows(first, (7, 10))
    assert (y.n_out, x.n_out) == (4, 4)
    y2, x2 = windows(second, (4, 4))
    assert plan.steps == (Step(y, x, 1 / 12, 0.0, RELU), Step(y2, x2, 0.5, 0.2**2, None))
    assert (plan.group, plan.order, plan.pooled) == ("C1", 1, True)
    assert plan.entries == 16**2 + 12**2


def test_flatten_needs_no_rotations_and_no_displacements() -> None:
    layers = [Lift((3, 3), group="C4"), Relu(), GroupConv((3, 3)), Flatten(), Dense()]
    plan = make_plan(Network(layers), (6, 6, 1))
    assert (plan.group, plan.order, plan.pooled) == ("C1", 1, False)
    assert len(plan.steps) == 2
    assert plan.entries == 36 + 36


def test_a_network_that_begins_with_flatten() -> None:
    plan = make_plan(Network([Flatten(), Dense(), Relu(), Dense()]), (3, 4, 2))
    assert plan.steps == ()
    assert plan.body == Network([Flatten()]).program((3, 4))
    assert [type(op) for op in plan.head.operations] == [Filter, Pointwise, Filter]
    assert plan.entries == 12


@pytest.mark.parametrize("group", GROUPS)
def test_the_literal_method_takes_the_network_as_it_is(group: str) -> None:
    layers = [Lift((3, 3), group=group), Relu(), GroupPool()]
    plan = make_plan(Network([*layers, Dense()]), (4, 4, 1), "literal")
    assert plan.method == "literal"
    assert plan.steps == ()
    assert (plan.group, plan.order) == ("C1", 1)
    assert plan.body == Network(layers).program((4, 4))
    assert [type(op) for op in plan.head.operations] == [Filter]
    assert plan.entries == 3 * (16 * point_group(group).order) ** 2


@pytest.mark.parametrize("name", presets())
def test_both_reductions_apply_to_every_preset(name: str) -> None:
    net = preset(name)
    method = "band" if name.startswith("myrtle") else "slices" if net.axes == 2 else "orbits"
    if name.endswith("expnormalized") or "resnet" in name:
        method = "branches"
    assert make_plan(net, (28,) * net.axes + (1,)).method == method


@pytest.mark.parametrize("method", ["slices", "literal"])
def test_biases_before_the_readout_prevent_homogeneity(method: str) -> None:
    for b_std, head in ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0)):
        layers = [Lift((3, 3), group="C2"), Relu(), GroupConv((3, 3), b_std=b_std), GroupPool()]
        plan = make_plan(Network([*layers, Dense(b_std=head)]), (4, 5, 1), method)
        assert plan.homogeneous == (b_std == 0)


# ---------------------------------------------------------------------------------------------
# What prevents the reductions.

OBSTACLES: list[tuple[list[Layer], str]] = [
    (
        [Conv((3, 3)), Lift((3, 3), group="C4"), GroupPool()],
        r"layer 1 \(Lift\) comes after a Conv, and must be the first convolution",
    ),
    (
        [Lift((1, 3), group="C4"), Relu(), GroupPool()],
        r"layer 0 \(Lift\) has a 1x3 filter, which the group C4 does not map to itself "
        r"\(element 1, \(y, x\) -> \(-x, y\)\)",
    ),
    (
        [Lift((3, 3), group="D4"), Relu(), GroupConv((5, 3)), GroupPool()],
        r"layer 2 \(GroupConv\) has a 5x3 filter, which the group D4 does not map to itself "
        r"\(element 1, \(y, x\) -> \(-x, y\)\)",
    ),
    (
        [Conv((3, 3), padding="CIRCULAR"), Relu(), Conv((3, 3)), GlobalAvgPool()],
        r"layer 2 \(Conv\) has another padding, and CIRCULAR does not mix with others",
    ),
    (
        [
            Lift((3, 3), group="C2", padding="VALID"),
            GroupConv((3, 3), padding="CIRCULAR"),
            GroupPool(),
        ],
        r"layer 1 \(GroupConv\) has padding CIRCULAR, and CIRCULAR does not mix with others",
    ),
]


LOST = [
    (
        [Lift((3, 3), group="C4", strides=(2, 2)), GroupPool()],
        r"layer 0 \(Lift\) has 3 windows of 3 every 2 of 6 positions along y, which C4 does not "
        r"map to one another \(element 1, \(y, x\) -> [^;]*\)",
    ),
    (
        [Lift((3, 3), group="C4"), Relu(), GroupConv((2, 2)), GroupPool()],
        r"layer 2 \(GroupConv\) has 6 windows of 2 every 1 of 6 positions along y, which C4 does "
        r"not map to one another \(element 1, \(y, x\) -> [^;]*\)",
    ),
    (
        [Lift((1, 1), group="D4", strides=(1, 5)), Relu(), GroupConv((1, 1)), GroupPool()],
        r"layer 0 \(Lift\) has strides 1x5 along axes that D4 swaps",
    ),
    (
        [Lift((2, 2), group="D1"), GroupPool()],
        r"layer 0 \(Lift\) has 6 windows of 2 every 1 of 6 positions along x, which D1 does not "
        r"map to one another \(element 1, \(y, x\) -> [^;]*\)",
    ),
    (
        [
            Lift((2, 2), group="C2", padding="CIRCULAR"),
            GroupConv((2, 2), strides=(2, 2), padding="CIRCULAR"),
            GroupPool(),
        ],
        r"layer 1 \(GroupConv\) has 3 windows of 2 every 2 of 6 positions along y, which C2 does "
        r"not map to one another \(element 1, \(y, x\) -> [^;]*\)",
    ),
]


@pytest.mark.parametrize(("layers", "reason"), LOST)
def test_where_a_network_on_a_group_is_not_equivariant(layers: list[Layer], reason: str) -> None:
    net, lost = Network(layers), f"{reason}, so that the network is not equivariant"
    plan = make_plan(net, (6, 6, 1))
    assert plan.method == "literal"
    assert re.fullmatch(lost, str(plan.doubt))
    with pytest.raises(MethodError, match=f"^the method slices does not apply: {lost}; use the"):
        make_plan(net, (6, 6, 1), "slices")
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1))
    with pytest.warns(SymmetryWarning, match=f"^{lost}$"):
        k = kernel(net, x)
    group = point_group(net.layers[0].group)  # type: ignore[union-attr]
    with pytest.warns(SymmetryWarning, match=f"^{lost}$"):
        turned = [kernel(net, rotate(x, r, group), x) for r in range(1, group.order)]
    # The network is not equivariant, indeed.
    assert max(np.abs(each.nngp / k.nngp - 1).max() for each in turned) > 1e-4


def test_where_it_is_though_windows_are_even_or_strided() -> None:
    even = {"padding": "CIRCULAR", "strides": (2, 2)}
    for layers, shape in (
        ([Lift((2, 2), group="C4", padding="VALID"), GroupConv((4, 4), padding="VALID")], (7, 6)),
        ([Lift((3, 3), group="D4", strides=(2, 2)), GroupConv((3, 3), strides=(2, 2))], (9, 5)),
        ([Lift((2, 3), group="D1"), GroupConv((4, 3))], (6, 6)),
        ([Lift((2, 2), group="D4", **even), GroupConv((3, 3), padding="CIRCULAR")], (8, 8)),
        ([Lift((2, 2), group="C4", padding="CIRCULAR")] * 1, (6, 6)),
        ([Lift((3, 3), group="C4", strides=(2, 2), padding="VALID", dilations=(2, 2))], (7, 9)),
    ):
        net = Network([*layers, Relu(), GroupPool()])
        plan = make_plan(net, shape)
        assert (plan.method, plan.doubt) == ("slices", None)
        x, y = np.random.default_rng(0).normal(size=(2, 2, *shape, 2))
        k = kernel(net, x, y, method="literal")
        group = point_group(net.layers[0].group)
        for r in range(1, group.order):
            if not (group.matrices[r, 0, 1] and shape[0] != shape[1]):
                turned = kernel(net, rotate(x, r, group), y, method="literal")
                assert_allclose(turned.nngp, k.nngp, rtol=1e-13)
                assert_allclose(turned.ntk, k.ntk, rtol=1e-13)


def test_images_that_wrap_and_are_turned_must_be_square_for_slices() -> None:
    net = Network([Lift((3, 3), group="C4", padding="CIRCULAR"), GroupPool()])
    assert make_plan(net, (5, 6, 1)).method == "literal"
    with pytest.raises(MethodError, match=r"layer 0 \(Lift\) wraps images that are not square"):
        make_plan(net, (5, 6, 1), "slices")


@pytest.mark.parametrize(("layers", "reason"), OBSTACLES)
def test_where_the_reductions_do_not_apply(layers: list[Layer], reason: str) -> None:
    net = Network(layers)
    assert make_plan(net, (6, 6, 1)).method == "literal"
    assert make_plan(net, (6, 6, 1), "literal").method == "literal"
    message = f"^the method slices does not apply: {reason}; use the method literal$"
    with pytest.raises(MethodError, match=message):
        make_plan(net, (6, 6, 1), "slices")


@pytest.mark.parametrize(
    "layers",
    [
        [Lift((1, 3), group="D2"), GroupConv((5, 1)), GroupPool()],
        [Conv((3, 3)), Conv((2, 2), strides=(2, 2), padding="VALID"), GlobalAvgPool()],
        [Lift((3, 3), group="C4", padding="VALID"), Relu(), GroupConv((3, 3)), GroupPool()],
        [
            Conv((2, 4), strides=(2, 3), padding="CIRCULAR"),
            Conv((3, 1), padding="CIRCULAR"),
            GlobalAvgPool(),
        ],
    ],
)
def test_where_they_do(layers: list[Layer]) -> None:
    for method in ("auto", "slices"):
        assert make_plan(Network(layers), (6, 6, 1), method).method == "slices"


# ---------------------------------------------------------------------------------------------
# Methods by name.


def test_the_methods_there_are() -> None:
    assert METHODS == ("slices", "band", "branches", "orbits", "literal")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("slice", r'^unknown method "slice" \(did you mean "slices"\?\); known: auto, slices, '),
        ("fft", '^unknown method "fft"; known: auto, slices, band, branches, orbits, literal$'),
        (None, "^unknown method None; known: auto, slices, band, branches, orbits, literal$"),
    ],
)
def test_a_method_that_does_not_exist(method: Any, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        make_plan(CNN, (4, 4, 1), method)


@pytest.mark.parametrize(
    ("method", "available", "message"),
    [
        ("slices", ("literal",), "^the backend toy has no method slices: use literal$"),
        ("literal", ("slices",), "^the backend toy has no method literal: use slices$"),
    ],
)
def test_a_method_that_the_backend_does_not_have(
    method: str, available: tuple[str, ...], message: str
) -> None:
    with pytest.raises(MethodError, match=message):
        make_plan(CNN, (4, 4, 1), method, available, "toy")
    assert make_plan(CNN, (4, 4, 1), "auto", available, "toy").method == available[0]


# ---------------------------------------------------------------------------------------------
# Networks and shapes without a kernel.


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv((3, 3)), Relu()], r"^layer 1 \(Relu\): the network ends on a grid, and has no ker"),
        (
            [Lift((3, 3), group="C4")],
            r"^layer 0 \(Lift\): the network ends on a group, and has no ke",
        ),
    ],
)
def test_a_network_without_readout(layers: list[Layer], message: str) -> None:
    for method in ("auto", "slices", "literal"):
        with pytest.raises(NetworkError, match=message) as info:
            make_plan(Network(layers), (4, 4, 1), method)
        assert str(info.value).endswith("end it with GroupPool, GlobalAvgPool or Flatten")


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        (
            [Conv((3, 3), padding="VALID"), Conv((3, 3), padding="VALID"), GlobalAvgPool()],
            (4, 9, 3),
            r"^layer 1 \(Conv\): with padding VALID the 3x3 filter eats the 2x7 image",
        ),
    ],
)
def test_images_that_the_network_cannot_take(
    layers: list[Layer], shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        make_plan(Network(layers), shape)


# ---------------------------------------------------------------------------------------------
# Parts of filters and of groups.

RATES = {"W_std": 1.3, "b_std": 0.2}


@pytest.mark.parametrize(
    "layers",
    [
        [Lift((3, 3), group="C4", **RATES), Relu(), GroupConv((3, 3), rotations=[1]), Relu(),
         GroupPool()],
        [Lift((3, 3), group="D4", **RATES), Relu(), RotationPool(), GlobalAvgPool()],
        [Lift((3, 3), group="D4", **RATES), Relu(), GroupConv((1, 1)), CosetPool("D2"),
         RotationPool(), GlobalAvgPool(), Dense(), Relu(), Dense(**RATES)],
        [Lift((3, 3), group="C4", **RATES), Relu(), GroupConv((3, 3), rotations=[0, 3]), Flatten()],
        [Conv((3, 3), **RATES), Relu(), AvgPool((2, 2), strides=(2, 2)), GlobalAvgPool()],
    ],
    ids=lambda layers: type(layers[-2]).__name__,
)  # fmt: skip
def test_what_changes_nothing_does_not_stand_in_the_way(layers: list[Layer]) -> None:
    net, (x, y) = Network(layers), np.random.default_rng(1).normal(size=(2, 2, 4, 4, 2))
    assert make_plan(net, (4, 4, 2)).method == "slices"
    found, state = kernel(net, x, y), propagate(net, x, y)
    assert_allclose(found.nngp, state.nngp, rtol=1e-12)
    assert_allclose(found.ntk, state.ntk, rtol=1e-12)


def test_what_does_is_named() -> None:
    cross = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    lifted = [Lift((3, 3), group="C4"), Relu()]
    for layers, reason in (
        ([Conv((3, 3), mask=cross), GlobalAvgPool()], r"layer 0 \(Conv\) has a mask, and slices"),
        ([Lift((3, 3), group="C4", mask=cross), GroupPool()], r"layer 0 \(Lift\) has a mask, and"),
        ([*lifted, RotationPool(), Flatten()], r"layer 2 \(RotationPool\) pools before the rea"),
        ([*lifted, CosetPool("C2"), Flatten()], r"layer 2 \(CosetPool\) pools before the readout"),
        ([*lifted, RotationPool(), Lift((1, 1), group="C2"), GroupPool()], r"layer 2 \(Rotation"),
    ):
        with pytest.raises(MethodError, match=f"^the method slices does not apply: {reason}"):
            make_plan(Network(layers), (4, 4, 1), "slices")
