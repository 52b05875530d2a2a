"""Layers: their arguments, what they accept, the shapes they give."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from refntk.errors import NetworkError, ShapeError
from refntk.network.arguments import QUIET, written
from refntk.network.filters import recast, windows
from refntk.network.layers import (
    LAYERS,
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
    Signal,
)
from refntk.ops.support import Window

GRID = Signal("grid", (6, 6), gaussian=True)
GROUP = Signal("group", (6, 6), "C4", gaussian=True)
VECTOR = Signal("vector", gaussian=True)


def test_every_layer_is_listed_and_frozen() -> None:
    assert list(LAYERS) == [
        "Conv", "Lift", "GroupConv", "Dense", "Relu", "LeakyRelu", "Abs",
        "GroupPool", "GlobalAvgPool", "Flatten",
        "ABRelu", "Identity", "Erf", "Sigmoid_like", "Gelu", "Sin", "Cos", "Rbf", "Exp", "Gaussian",
        "ExpNormalized", "RectifiedMonomial", "Polynomial", "Hermite", "Sign", "Elementwise",
        "AvgPool", "SumPool", "GlobalSumPool", "RotationPool", "CentreReadout",
        "SetLift", "SetGroupConv", "SetLinear", "CosetPool",
        "Residual", "Concat", "Product", "LayerNorm", "Dropout",
    ]  # fmt: skip
    with pytest.raises(dataclasses.FrozenInstanceError):
        Dense().W_std = 2.0  # type: ignore[misc]


def test_arguments_become_canonical() -> None:
    layer = Conv([np.int64(3), 5], strides=[1, 2], padding="VALID", W_std=1, b_std=np.float32(0.5))  # type: ignore[arg-type]
    assert layer == Conv((3, 5), strides=(1, 2), padding="VALID", W_std=1.0, b_std=0.5)
    assert hash(layer) == hash(Conv((3, 5), strides=(1, 2), padding="VALID", W_std=1.0, b_std=0.5))
    assert [type(value) for value in (*layer.filter_shape, layer.W_std)] == [int, int, float]
    assert str(Dense(b_std=-0.0).b_std) == "0.0"


@pytest.mark.parametrize("width", [1, 64, np.int32(512), 10**30])
@pytest.mark.parametrize(
    ("layer", "values", "named"),
    [
        (Dense, (), {}),
        (Dense, (1.5,), {}),
        (Dense, (1.5, 0.1), {"b_std": 0.1}),
        (Conv, ((3, 3),), {}),
        (Conv, ((3, 3), (1, 1), "SAME"), {}),
        (Conv, (3,), {"W_std": 2.0}),
        (Lift, ((3, 3),), {"group": "C4"}),
        (GroupConv, ((3, 3),), {}),
    ],
)
def test_a_width_is_refused_with_the_reason(
    layer: Any, values: tuple[Any, ...], named: dict[str, Any], width: int
) -> None:
    message = r"^\d[\d.]* is a width: networks are infinitely wide here.*leave it out.*W_std=1.5$"
    with pytest.raises(NetworkError, match=message):
        layer(width, *values, **named)


@pytest.mark.parametrize("name", ["out_dim", "out_chan", "units", "filters", "out_features"])
@pytest.mark.parametrize("layer", [Dense, Conv, GroupConv, Lift])
def test_a_width_by_name_is_refused_with_the_reason(layer: Any, name: str) -> None:
    with pytest.raises(NetworkError, match=rf"^{name}: networks are infinitely wide here"):
        layer(**{name: 512})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Dense(1.5, 0.1), r"^an argument has no name: write W_std=1\.5, b_std=0\.1$"),
        (lambda: Conv((3, 3), (2, 1)), r"^an argument has no name: write strides=\(2, 1\)$"),
        (lambda: Lift((3, 3), "C4"), r"^an argument has no name: write group='C4'$"),
        (lambda: GroupConv((3, 3), "SAME", 1.0), "write padding='SAME', W_std=1.0$"),
        (lambda: Relu("backprop"), r"^an argument has no name: there is none to give$"),
        (lambda: Relu(do_backprop=True), r'^unknown argument "do_backprop"; known: none$'),
        (lambda: Conv((3, 3), stride=(2, 2)), r'"stride" \(did you mean "strides"\?\)'),
        (lambda: Lift((3, 3)), r"^the argument group is missing$"),
        (lambda: Conv(), r"^the argument filter_shape is missing$"),
    ],
)
def test_calls_that_do_not_fit(build: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build()


@pytest.mark.parametrize("name", ["filter_shape", "strides"])
@pytest.mark.parametrize(
    ("value", "given"),
    [((100_001, 100_001), "100001x100001"), ((1_000_000_001, 1), "1000000001x1"),
     ((10**5000, 3), "so many")],
)  # fmt: skip
def test_sizes_beyond_any_image_are_refused(name: str, value: Any, given: str) -> None:
    arguments = {"filter_shape": (3, 3), name: value}
    with pytest.raises(NetworkError, match=f"^{name}: {given} positions are more than 1048576"):
        Conv(**arguments)


@pytest.mark.parametrize(
    "value",
    [3, (), (3, 3, 3, 3), (3, 0), (-1, 3), (3.0, 3), (True, 3), "33", None, ("3", 3)],
)
@pytest.mark.parametrize("name", ["filter_shape", "strides", "dilations"])
def test_sizes_are_two_positive_integers(name: str, value: Any) -> None:
    arguments = {"filter_shape": (3, 3), name: value}
    with pytest.raises(NetworkError, match=rf"^{name}: expected two positive integers.*, not"):
        Conv(**arguments)


@pytest.mark.parametrize("value", [-1, -1e-300, np.nan, np.inf, True, "1", None, 10**400, 1j])
@pytest.mark.parametrize("name", ["W_std", "b_std"])
@pytest.mark.parametrize("layer", [Conv, GroupConv, Dense])
def test_deviations_are_finite_and_not_negative(layer: Any, name: str, value: Any) -> None:
    arguments = {} if layer is Dense else {"filter_shape": (3, 3)}
    with pytest.raises(NetworkError, match=rf"^{name}: expected a finite standard deviation"):
        layer(**arguments, **{name: value})


@pytest.mark.parametrize("value", ["same", "FULL", None, ["SAME"]])
def test_padding_words_are_exact(value: Any) -> None:
    with pytest.raises(NetworkError, match=r"^padding: unknown padding .*SAME, VALID, CIRCULAR"):
        Lift((3, 3), group="C4", padding=value)


def test_a_misspelt_padding_gets_a_hint() -> None:
    with pytest.raises(NetworkError, match=r'\(did you mean "SAME"\?\)'):
        GroupConv((3, 3), padding="same")


@pytest.mark.parametrize("shape", [(2, 3), (3, 4)])
def test_filters_must_turn_onto_pixels(shape: tuple[int, int]) -> None:
    message = f"^filter_shape: a {shape[0]}x{shape[1]} filter that the group C4 turns by 90"
    with pytest.raises(NetworkError, match=message):
        Lift(shape, group="C4").after(GRID)
    with pytest.raises(NetworkError, match=message):
        GroupConv(shape).after(GROUP)
    assert Lift(shape, group="D2").after(GRID).shape == (6, 6)
    assert Lift((2, 3), group="C4", dilations=(2, 1)).after(GRID).shape == (6, 6)


def test_a_convolution_of_another_class() -> None:
    lift = Lift((3, 5), group="C4", padding="VALID", strides=(2, 1), dilations=(1, 2), b_std=0.3)
    assert recast(lift, Conv) == Conv(
        (3, 5), padding="VALID", strides=(2, 1), dilations=(1, 2), b_std=0.3
    )
    assert recast(recast(lift, GroupConv), Lift, group="C4") == lift


def test_lift_needs_a_known_group() -> None:
    with pytest.raises(NetworkError, match=r'unknown group "c4" \(did you mean "C4"\?\)'):
        Lift((3, 3), group="c4")


@pytest.mark.parametrize(
    ("layer", "below", "above"),
    [
        (Conv((3, 3)), Signal("grid", (6, 5)), Signal("grid", (6, 5), gaussian=True)),
        (Lift((3, 3), group="C4"), Signal("grid", (6, 5)), Signal("group", (6, 5), "C4", True)),
        (Lift((2, 2), group="C4", strides=(2, 2)), GRID, Signal("group", (3, 3), "C4", True)),
        (Lift((3, 3), group="D2"), Signal("grid", (6, 5)), Signal("group", (6, 5), "D2", True)),
        (Lift((3, 3), group="C4", padding="VALID"), GRID, Signal("group", (4, 4), "C4", True)),
        (GroupConv((5, 5), padding="VALID"), GROUP, Signal("group", (2, 2), "C4", True)),
        (Relu(), GRID, Signal("grid", (6, 6), gaussian=False)),
        (Relu(), VECTOR, Signal("vector", gaussian=False)),
        (GroupPool(), GROUP, Signal("vector", gaussian=True)),
        (GlobalAvgPool(), GRID, Signal("vector", gaussian=True)),
        (Flatten(), GRID, Signal("vector", gaussian=False)),
        (Flatten(), GROUP, Signal("vector", gaussian=False)),
        (Dense(), Signal("vector"), Signal("vector", gaussian=True)),
        (Conv((3, 3)), Signal(), Signal("grid", None, gaussian=True)),
        (Lift((3, 1), group="C4", padding="VALID"), Signal(), Signal("group", None, "C4", True)),
    ],
)
def test_what_comes_out(layer: Layer, below: Signal, above: Signal) -> None:
    assert layer.after(below) == above


@pytest.mark.parametrize(
    ("layer", "below", "message"),
    [
        (Conv((3, 3)), GROUP, "needs a grid, but gets functions on a group: use GroupConv"),
        (Conv((3, 3)), VECTOR, "needs a grid, but gets a vector: put it before the readout"),
        (Lift((3, 3), group="C2"), GROUP, "needs a grid, but gets functions on a group"),
        (Lift((3, 3), group="C2"), VECTOR, "needs a grid, but gets a vector"),
        (GroupConv((3, 3)), GRID, "needs functions on a group, but gets a grid: put a Lift before"),
        (GroupConv((3, 3)), VECTOR, "needs functions on a group, but gets a vector"),
        (GroupPool(), GRID, "needs functions on a group, but gets a grid: put a Lift before it"),
        (GlobalAvgPool(), GROUP, "needs a grid, but gets functions on a group: use .* GroupPool"),
        (Flatten(), VECTOR, "needs a grid or functions on a group, but gets a vector"),
        (Dense(), GRID, "needs a vector, but gets a grid: put GlobalAvgPool or Flatten before it"),
        (Dense(), GROUP, "needs a vector, but gets .* group: put GroupPool or Flatten before it"),
        (Relu(), Signal(), "needs Gaussian features.*: put a layer with weights"),
    ],
)
def test_what_does_not_fit(layer: Layer, below: Signal, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        layer.after(below)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            Conv((3, 3), padding="VALID", dilations=(3, 1)),
            (6, 6),
            "VALID the 7x3 filter eats the 6x6 image: use",
        ),
        (Conv((3, 7), padding="VALID"), (6, 6), "VALID the 3x7 filter eats the 6x6 image: use"),
        (
            Lift((7, 7), group="C2", padding="VALID"),
            (8, 6),
            "VALID the 7x7 filter eats the 8x6 image",
        ),
        (
            Lift((3, 1), group="C4", padding="VALID"),
            (6, 6),
            "VALID the group C4 must map the 3x1 filter to its",
        ),
        (Conv((7, 1), padding="CIRCULAR"), (6, 6), "7x1 filter would count pixels of the 6x6 im"),
        (
            Conv((1, 1), strides=(2, 1), padding="CIRCULAR"),
            (5, 6),
            "the strides 2x1 must divide the 5x6 image",
        ),
    ],
)
def test_what_does_not_fit_an_image(layer: Layer, shape: tuple[int, int], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer.after(Signal(shape=shape))


def test_a_rectangular_filter_may_be_valid_where_the_group_keeps_it() -> None:
    assert Lift((3, 1), group="D2", padding="VALID").after(Signal(shape=(6, 5))).shape == (4, 5)


@pytest.mark.parametrize(
    ("padding", "size", "dilation", "stride", "n_in", "n_out", "low"),
    [
        ("SAME", 3, 1, 1, 6, 6, 1),
        ("SAME", 2, 1, 1, 6, 6, 0),  # an even side has its extra zero at the end
        ("SAME", 4, 1, 1, 6, 6, 1),
        ("SAME", 3, 1, 2, 6, 3, 0),  # one zero in all, at the end
        ("SAME", 3, 1, 2, 5, 3, 1),
        ("SAME", 1, 1, 3, 5, 2, 0),
        ("SAME", 9, 1, 1, 2, 2, 4),  # larger than the image
        ("SAME", 2, 4, 1, 6, 6, 2),
        ("VALID", 3, 1, 2, 6, 2, 0),
        ("VALID", 6, 1, 1, 6, 1, 0),
        ("VALID", 2, 3, 2, 7, 2, 0),
        ("CIRCULAR", 3, 1, 2, 6, 3, 1),
        ("CIRCULAR", 2, 1, 1, 6, 6, 0),
        ("CIRCULAR", 3, 2, 1, 6, 6, 2),
    ],
)
def test_windows_follow_xla(
    padding: str, size: int, dilation: int, stride: int, n_in: int, n_out: int, low: int
) -> None:
    conv = Conv((size, 1), strides=(stride, 1), dilations=(dilation, 1), padding=padding)
    y, x = windows(conv, (n_in, 4))
    assert y == Window(n_in, n_out, size, stride, low, padding == "CIRCULAR", dilation)
    assert x == Window(4, 4, 1, 1, 0, wrap=padding == "CIRCULAR")


@pytest.mark.parametrize("name", ["W_std", "b_std"])
def test_a_variance_that_no_double_can_hold(name: str) -> None:
    assert getattr(Dense(**{name: 1e154}), name) == 1e154
    with pytest.raises(NetworkError, match=rf"^{name}: 1e\+155 is too large: its square, a varia"):
        Dense(**{name: 1e155})


def test_quiet_arguments_are_written_where_they_say_something() -> None:
    @dataclasses.dataclass(frozen=True)
    class Shared:
        _: dataclasses.KW_ONLY
        W_std: float = 1.0
        gain: float = dataclasses.field(default=1.0, metadata=QUIET)

    @dataclasses.dataclass(frozen=True)
    class Own(Shared):
        strides: tuple[int, int]

    assert written(Own((1, 1))) == {"strides": (1, 1), "W_std": 1.0}
    assert list(written(Own((1, 1), gain=2.0))) == ["strides", "W_std", "gain"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conv((2, 2), mask=[[1, 2], [0, 1]]), "^mask: expected rows of 0 and 1 such as"),
        (lambda: Conv((2, 2), mask=[[0, 0], [0, 0]]), "^mask: expected rows of 0 and 1 such as"),
        (lambda: Conv((2, 2), mask=[[1, 0], [1]]), "^mask: expected rows of 0 and 1 such as"),
        (lambda: Conv((2, 2), mask=3), "^mask: expected rows of 0 and 1 .* not 3$"),
        (
            lambda: Lift((3, 3), group="C4", mask=[[1, 0]]),
            "^mask: expected 3x3 numbers, as filter_shape says, not 1x2$",
        ),
        (lambda: GroupConv((1, 1), rotations=[0, 0]), "^rotations: expected different numbers of"),
        (lambda: GroupConv((1, 1), rotations=[]), "^rotations: expected different numbers of"),
        (lambda: GroupConv((1, 1), rotations="01"), "^rotations: expected different numbers of"),
        (
            lambda: GroupConv((1, 1), rotations=[4]).after(GROUP),
            "^rotations: the group C4 has the elements 0 to 3, and no 4$",
        ),
        (lambda: CosetPool("D2").after(GROUP), "^subgroup: D2 is no subgroup of C4: list elements"),
        (lambda: RotationPool().after(GRID), "^needs functions on a group, but gets a grid: put a"),
    ],
)
def test_parts_of_filters_and_of_groups_that_are_not_there(build: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build()


def test_parts_of_filters_are_written_where_there_are_any() -> None:
    whole = GroupConv((2, 2), mask=[[1, 1], [1, 1]])
    assert whole == GroupConv((2, 2))
    assert written(whole) == written(GroupConv((2, 2)))
    part = GroupConv((2, 2), mask=((True, 0), (1, 1)), rotations=(3, 0))
    assert (part.mask, part.rotations) == (((1, 0), (1, 1)), (0, 3))
    assert RotationPool().after(GROUP).kind == "grid"
