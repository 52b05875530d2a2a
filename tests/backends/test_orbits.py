"""Orbits in NumPy against the literal recursion: volumes, centre readouts, strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.errors import InputError, MethodError, ShapeError
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.finite import FiniteNetwork
from refntk.network import Network
from refntk.network.layers import (
    CentreReadout,
    Conv,
    CosetPool,
    Dense,
    Erf,
    Flatten,
    GlobalSumPool,
    GroupConv,
    GroupPool,
    LeakyRelu,
    Lift,
    Relu,
)
from refntk.ops.groups import point_group, rotate
from refntk.recursion import propagate

Close = Callable[..., None]

RATES = {"W_std": 1.3, "b_std": 0.2}
HEAD = [Dense(**RATES), Relu(), Dense()]
STAR = np.zeros((3, 3, 3), int)
STAR[1, 1, :] = STAR[1, :, 1] = STAR[:, 1, 1] = 1

NETWORKS: dict[str, tuple[list[Any], tuple[int, ...]]] = {
    "oblong": (
        [Lift((3, 3, 3), group="T", mask=STAR.tolist(), **RATES), Relu(),
         GroupConv((1, 1, 1), rotations=[0, 3]), LeakyRelu(), GroupPool(), *HEAD], (2, 2, 3, 2),
    ),
    "even": (
        [Lift((2, 2, 2), group="D4h", padding="VALID", **RATES), Relu(),
         GroupConv((1, 2, 2), padding="VALID"), Relu(), CentreReadout(), *HEAD], (2, 3, 3, 1),
    ),
    "strides": (
        [Lift((3, 3, 3), group="D2h", strides=(1, 2, 2), b_std=0.3), Relu(),
         GroupConv((1, 3, 3), dilations=(1, 1, 2)), Relu(), GroupPool()], (2, 3, 5, 1),
    ),
    "circular": (
        [Lift((1, 3, 3), group="C4", padding="CIRCULAR", **RATES), Relu(),
         GroupConv((1, 3, 3), padding="CIRCULAR"), Erf(), GroupPool(), *HEAD], (2, 4, 4, 1),
    ),
    "flattened": ([Lift((3, 3, 3), group="O"), Relu(), Flatten(), *HEAD], (2, 2, 2, 1)),
    "ordinary": (
        [Conv((3, 2, 3), strides=(1, 2, 2), **RATES), Relu(), Conv((2, 1, 1), padding="VALID"),
         GlobalSumPool()], (3, 4, 5, 2),
    ),
    "images": (
        [Lift((3, 3), group="D4", mask=[[1, 0, 1], [0, 1, 0], [1, 0, 1]], **RATES), Relu(),
         GroupConv((3, 3), strides=(2, 2)), Relu(), CentreReadout(), *HEAD], (5, 5, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_orbits_and_literal_recursion(
    name: str, rng: np.random.Generator, assert_close: Close
) -> None:
    layers, shape = NETWORKS[name]
    net, x = Network(layers), rng.normal(size=(3, *shape))
    assert Job(net, x).method == "orbits"
    for one, two in ((x, None), (x[:2], x[2:])):
        for dtype in ("float64", "float32"):
            fast = refntk.kernel(net, one, two, dtype=dtype)
            literal = refntk.kernel(net, one, two, dtype=dtype, method="literal")
            assert_close(fast.nngp, literal.nngp)
            assert_close(fast.ntk, literal.ntk)


@pytest.mark.parametrize("name", ["even", "circular"])
def test_no_result_depends_on_the_tile(name: str, rng: np.random.Generator) -> None:
    layers, shape = NETWORKS[name]
    net, x = Network(layers), rng.normal(size=(5, *shape))
    whole, tiled = (refntk.kernel(net, x, tile=tile) for tile in (None, 2))
    for kernel in ("nngp", "ntk"):
        assert np.array_equal(getattr(whole, kernel), getattr(tiled, kernel))
        assert np.array_equal(getattr(whole, kernel), getattr(whole, kernel).T)


@pytest.mark.parametrize(("group", "readout"), [("O", GroupPool), ("D4h", CentreReadout)])
def test_the_kernel_does_not_see_rotations(
    group: str, readout: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    elements = point_group(group, "cubic")
    layers = [Lift((3, 3, 3), group=group, **RATES), Relu(), GroupConv((3, 3, 3)), Relu()]
    net = Network([*layers, readout(), Dense()])
    x, y = rng.normal(size=(2, 1, 3, 3, 3, 1))
    still = refntk.kernel(net, x, y)
    for r in (1, 5, elements.order - 1):
        for pair in ((rotate(x, r, elements), y), (x, rotate(y, r, elements))):
            turned = refntk.kernel(net, *pair)
            assert_close(turned.nngp, still.nngp)
            assert_close(turned.ntk, still.ntk)


def test_augmentation_with_volumes(rng: np.random.Generator, assert_close: Close) -> None:
    """A network on T with Flatten, trained on all turned volumes, is that with CentreReadout."""
    elements = point_group("T", "cubic")
    layers = [Lift((3, 3, 3), group="T", **RATES), Relu(), GroupConv((3, 3, 3)), Relu()]
    train, test = rng.normal(size=(3, 3, 3, 3, 1)), rng.normal(size=(2, 3, 3, 3, 1))
    targets = rng.normal(size=3)
    copies = np.concatenate([rotate(train, r, elements) for r in range(elements.order)])
    flat, centre = (Network([*layers, last, Dense()]) for last in (Flatten(), CentreReadout()))
    gram = refntk.kernel(flat, copies).ntk + 1e-3 * np.eye(len(copies))
    on_copies = refntk.kernel(flat, test, copies).ntk @ np.linalg.solve(
        gram, np.tile(targets, elements.order)
    )
    gram = refntk.kernel(centre, train).ntk + 1e-3 / elements.order * np.eye(len(train))
    on_volumes = refntk.kernel(centre, test, train).ntk @ np.linalg.solve(gram, targets)
    assert_close(on_volumes, on_copies, tol=1e-9)


def test_volumes_at_finite_width(rng: np.random.Generator) -> None:
    layers = [Lift((2, 2, 2), group="D2", padding="VALID", **RATES), Relu(), CosetPool("C2")]
    for readout in (GroupPool(), CentreReadout(), Flatten()):
        net = Network([*layers, GroupConv((1, 1, 1)), Relu(), readout, Dense()])
        x = rng.normal(size=(2, 2, 3, 2, 1))
        finite, draws = FiniteNetwork(net, (2, 3, 2, 1), width=96), []
        for _ in range(24):
            parameters = finite.draw(rng)
            features = finite.forward(parameters, x)
            draws.append([finite.nngp(features), finite.ntk(parameters, features, channels=4)])
        exact = refntk.kernel(net, x)
        for k, kernel in enumerate((exact.nngp, exact.ntk)):
            mean, error = np.mean(draws, axis=0)[k], np.std(draws, axis=0)[k] / 24**0.5
            assert np.all(np.abs(mean - kernel) < 4 * error + 0.02 * np.abs(kernel))


def test_the_centre_readout_is_a_filter_over_the_whole_grid(
    rng: np.random.Generator, assert_close: Close
) -> None:
    """A filter of twice the image is the same at the centre, but for zeros outside."""
    lift = [Lift((3, 3), group="C4", **RATES), Relu()]
    x = rng.normal(size=(2, 3, 3, 1))
    whole = propagate(Network([*lift, GroupConv((3, 3), padding="VALID", **RATES)]), x)
    centre = refntk.kernel(Network([*lift, CentreReadout(), Dense(**RATES)]), x, method="literal")
    assert_close(whole.nngp.mean(axis=(2, 3, 4, 5, 6, 7)), centre.nngp)
    assert_close(whole.ntk.mean(axis=(2, 3, 4, 5, 6, 7)), centre.ntk)


def test_errors_name_the_element() -> None:
    lift = Lift((3, 3, 3), group="O")
    with pytest.raises(
        ShapeError,
        match=r"^layer 1 \(CentreReadout\): element 1 of O, \(z, y, x\) -> \(z, -x, y\), does not "
        "map the 3x3x4 positions to themselves about their centre: use images whose sides",
    ):
        Network([lift, CentreReadout()]).signals((3, 3, 4))
    turned = Network([Lift((1, 1, 3), group="O"), GroupPool()])
    with pytest.raises(
        MethodError,
        match=r"orbits does not apply: layer 0 \(Lift\) has a 1x1x3 filter, which the group O does "
        r"not map to itself \(element 1, \(z, y, x\) -> \(z, -x, y\)\); use the method literal",
    ):
        Job(turned, np.ones((1, 2, 2, 2, 1)), None, Options(method="orbits"))
    wrapped = [Lift((2, 2, 2), group="C2", padding="CIRCULAR"), CentreReadout()]
    with pytest.warns(refntk.RefntkWarning, match=r"^layer 1 \(CentreReadout\) reads from the mid"):
        refntk.kernel(wrapped, np.ones((1, 2, 2, 2, 1)))


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([Conv((1, 1, 1)), Lift((1, 1, 1), group="T"), GroupPool()], r"layer 1 \(Lift\) comes aft"),
        ([Lift((1, 1, 1), group="C2"), CosetPool("C2"), Relu(), GroupPool()],
         r"layer 1 \(CosetPool\) pools before the readout"),
        ([Conv((1, 1, 1), padding="CIRCULAR"), Relu(), Conv((1, 1, 1)), GlobalSumPool()],
         r"layer 2 \(Conv\) has another padding"),
    ],
)  # fmt: skip
def test_where_orbits_do_not_apply(layers: list[Any], reason: str) -> None:
    with pytest.raises(MethodError, match=f"the method orbits does not apply: {reason}"):
        refntk.kernel(layers, np.ones((1, 2, 2, 2, 1)), method="orbits")


def test_kernels_that_are_too_large_are_named() -> None:
    layers = [Conv((2, 2, 2)), refntk.Exp(), Flatten()]
    with pytest.raises(InputError, match=r"^layer 1 \(Exp\): .*too large"):
        refntk.kernel(layers, np.full((1, 2, 2, 2, 1), 1e3), method="orbits")
