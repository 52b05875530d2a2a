"""Hexagonal grids: axial images, filters of 7 and 19 places, C3 to D6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.errors import MethodError, NetworkError, ShapeError
from refntk.evaluation.evaluate import Job
from refntk.finite import FiniteNetwork
from refntk.network import Network
from refntk.network.layers import (
    AvgPool,
    CentreReadout,
    CosetPool,
    Dense,
    Flatten,
    GroupConv,
    GroupPool,
    Lift,
    Relu,
    RotationPool,
)
from refntk.ops.groups import point_group, rotate
from refntk.ops.space import Space
from refntk.symmetry.augmentation import rotated_copies, ungrouped
from refntk.symmetry.exact import blind_to_turns
from refntk.truth.certified import certify

Close = Callable[..., None]

RATES = {"W_std": 1.3, "b_std": 0.2}
TRIANGLE = [[0, 0, 1], [1, 1, 0], [0, 1, 0]]
"""The centre and three of its neighbours, which thirds of a turn keep."""


def lift(group: str, side: int = 3, **words: Any) -> Lift:
    return Lift((side, side), group=group, lattice="hexagonal", **RATES | words)


def network(group: str, padding: str, readout: Any, **words: Any) -> Network:
    conv = GroupConv((3, 3), padding=padding)
    layers = [lift(group, padding=padding, **words), Relu(), conv, Relu()]
    return Network([*layers, readout, Dense(**RATES), Relu(), Dense()])


def test_positions_of_a_hexagon() -> None:
    sizes = [Space((side, side), hexagon=True).positions for side in (1, 3, 5, 21)]
    assert sizes == [1, 7, 19, 331]
    net = Network([lift("D6"), Relu(), GroupPool()])
    assert net.program((5, 5)).spaces[1].size == 12 * 19
    assert net.program((5, 5)).operations[0].support.size == 7  # type: ignore[union-attr]
    wide = Network([lift("C6", 5, padding="VALID"), GroupPool()]).program((7, 7))
    assert (wide.spaces[1].size, wide.operations[0].support.size) == (6 * 7, 19)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("group", "padding", "side", "readout", "words"),
    [
        ("D6", "SAME", 3, GroupPool(), {}),
        ("C6", "VALID", 5, CentreReadout(), {}),
        ("D3'", "SAME", 3, Flatten(), {}),
        ("C3", "SAME", 3, GroupPool(), {"mask": TRIANGLE}),
        ("D3", "CIRCULAR", 4, GroupPool(), {}),
    ],
)
def test_orbits_literal_recursion_and_rotations(
    group: str, padding: str, side: int, readout: Any, words: dict[str, Any],
    rng: np.random.Generator, assert_close: Close,
) -> None:  # fmt: skip
    net = network(group, padding, readout, **words)
    x, y = rng.normal(size=(2, 2, side, side, 2))
    assert Job(net, x).method == "orbits"
    fast, literal = (refntk.kernel(net, x, y, method=method) for method in ("orbits", "literal"))
    assert_close(fast.nngp, literal.nngp)
    assert_close(fast.ntk, literal.ntk)
    elements = point_group(group, "hexagonal")
    for r in (1, elements.order - 1):
        turned = rotate(x, r, elements, wrap=padding == "CIRCULAR")
        other = y if not isinstance(readout, Flatten) else rotate(y, r, elements)
        assert_close(refntk.kernel(net, turned, other).ntk, fast.ntk)
    assert Network.from_toml_string(net.to_toml()) == net


def test_what_is_outside_of_the_hexagon_is_not_read(rng: np.random.Generator) -> None:
    net, x = network("C3", "SAME", GroupPool()), rng.normal(size=(2, 5, 5, 1))
    q, r = np.indices((5, 5)) - 2
    other = np.where((abs(q + r) > 2)[..., None], 9.0, x)
    assert np.array_equal(refntk.kernel(net, x).ntk, refntk.kernel(net, other).ntk)


def test_hexagons_at_finite_width(rng: np.random.Generator) -> None:
    layers = [lift("C6"), Relu(), CosetPool("C2"), GroupConv((3, 3)), Relu(), GroupPool()]
    net, x = Network(layers), rng.normal(size=(2, 3, 3, 1))
    finite, draws = FiniteNetwork(net, (3, 3, 1), width=96), []
    for _ in range(24):
        parameters = finite.draw(rng)
        features = finite.forward(parameters, x)
        draws.append([finite.nngp(features), finite.ntk(parameters, features, channels=4)])
    exact = refntk.kernel(net, x)
    for k, kernel in enumerate((exact.nngp, exact.ntk)):
        mean, error = np.mean(draws, axis=0)[k], np.std(draws, axis=0)[k] / 24**0.5
        assert np.all(np.abs(mean - kernel) < 4 * error + 0.02 * np.abs(kernel))


def test_augmentation_with_hexagons(rng: np.random.Generator, assert_close: Close) -> None:
    layers = [lift("D6"), Relu(), GroupConv((3, 3)), Relu()]
    train, test = rng.normal(size=(3, 3, 3, 1)), rng.normal(size=(2, 3, 3, 1))
    copies, targets = rotated_copies(train, "D6", "hexagonal"), rng.normal(size=3)
    flat, centre = (Network([*layers, last, Dense()]) for last in (Flatten(), CentreReadout()))
    gram = refntk.kernel(flat, copies).ntk + 12e-3 * np.eye(36)
    one = refntk.kernel(flat, test, copies).ntk @ np.linalg.solve(gram, np.tile(targets, 12))
    gram = refntk.kernel(centre, train).ntk + 1e-3 * np.eye(3)
    assert_close(refntk.kernel(centre, test, train).ntk @ np.linalg.solve(gram, targets), one, 1e-9)


def test_nothing_is_claimed_about_quarter_turns() -> None:
    assert not blind_to_turns(network("C2", "SAME", GroupPool()), 2)
    with pytest.raises(MethodError, match="Lift: ball arithmetic has no rule for hexagons"):
        certify(network("C2", "SAME", GroupPool()), np.ones((1, 3, 3, 1)))
    with pytest.raises(MethodError, match=r"^layer 0 \(Lift\): hexagons have no ordinary conv"):
        ungrouped(network("C3", "SAME", GroupPool()))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: lift("C4"), NetworkError, '^unknown group "C4"; .*known: C1, C2, C3, C6, D3'),
        (lambda: Lift((3, 3), group="C2", lattice="cubic"), NetworkError, "^lattice: unknown"),
        (lambda: Network([lift("C3", 4)]), NetworkError, "filter_shape: expected two odd sides"),
        (lambda: Network([lift("C3", strides=(2, 2))]), NetworkError, "strides: on the hexagonal "),
        (
            lambda: Network([lift("C3"), GroupConv((3, 3), padding="CIRCULAR")]),
            NetworkError,
            r"^layer 1 \(GroupConv\): padding: CIRCULAR is for a rhombus that wraps around",
        ),
        (
            lambda: Network([lift("C3"), GroupPool()]).signals((4, 4)),
            ShapeError,
            r"^layer 0 \(Lift\): hexagons come as axial images of one odd side, not 4x4: the side",
        ),
        (lambda: Network([lift("C3"), RotationPool()]), NetworkError, "hexagons have no pooling b"),
        (lambda: Network([lift("C3"), AvgPool((3, 3))]), NetworkError, "hexagons have no pooling"),
        (
            lambda: refntk.kernel([lift("C6", mask=TRIANGLE), GroupPool()], np.ones((1, 3, 3, 1)),
                                  method="orbits"),
            MethodError,
            r"which the group C6 does not map to itself \(element 1, \(q, r\) -> \(-r, q\+r\)\)",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()
