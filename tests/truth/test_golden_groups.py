"""Networks on finite groups against numbers made elsewhere, by literal sums over all elements."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.ops.groups import point_group
from refntk.ops.named_groups import finite_group, gset

GOLDEN = json.loads((Path(__file__).parent / "groups.json").read_text())
"""Cases in words of their own; ``note`` says what these are."""

S4 = ((1, 0, 2, 3), (1, 2, 3, 0))

FINITE: dict[str, dict[str, Any]] = {
    "S4 pairs, lift {0,3,7}, conv {0,5,9,17}": {"group": S4, "on": "pairs"},
    "S4 global lift": {"group": S4, "on": "pairs"},
    "S4 flatten, partial supports": {"group": S4, "on": "pairs"},
    "Z9 circular sequence, k=3": {"group": "C9"},
    "Z4 x Z3, rows x cols, S = 3-window x full": {
        "group": ((3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2), (1, 2, 0, 4, 5, 3, 7, 8, 6, 10, 11, 9))
    },
}
"""How the group of each case is said here."""

CLAIMED = {case["name"] for case in GOLDEN["finite"]}
"""All that stand under `finite`; of the others, the mean over cosets, the linear layer and
the point groups."""


def _network(case: dict[str, Any]) -> refntk.Network:
    scales = {"W_std": case["W_std"], "b_std": case["b_std"]}
    translated: dict[str, Callable[..., Any]] = {
        "lift": lambda support: refntk.SetLift(support, **FINITE[case["name"]], **scales),
        "conv": lambda support: refntk.SetGroupConv(support, **scales),
        "relu": refntk.Relu,
        "pool": refntk.GroupPool,
        "flatten": refntk.Flatten,
    }
    return refntk.Network([translated[name](*args) for name, *args in case["layers"]])


@pytest.mark.parametrize("case", GOLDEN["finite"], ids=lambda case: case["name"])
@pytest.mark.parametrize("method", ["literal", "slices"])
def test_networks_on_finite_groups(
    case: dict[str, Any], method: str, assert_close: Callable[..., None]
) -> None:
    words = FINITE[case["name"]]
    group = finite_group(words["group"])
    assert np.array_equal(group.permutations, case["elements"])
    assert np.array_equal(group.cayley, case["multiplication"])
    action = gset(words["group"], words.get("on", "points")).action(group)
    assert np.array_equal(action, case["action"])
    x, y = (np.array(case[name])[None] for name in ("x", "y"))
    found = refntk.kernel(_network(case), x, y, method=method)
    assert_close(found.nngp, [[case["nngp"]]])
    assert_close(found.ntk, [[case["ntk"]]])


def test_a_mean_over_the_cosets_of_a_subgroup(assert_close: Callable[..., None]) -> None:
    (case,) = (each for each in GOLDEN["other"] if "mean over cosets of V4" in each["label"])
    rng = np.random.default_rng(0)
    rng.normal(size=(2, 12, 3))
    signals = rng.normal(size=(2, 12, 3))
    scales = {"W_std": 1.3, "b_std": 0.2}
    net = refntk.Network([
        refntk.SetLift([0, 3, 7], group=S4, on="pairs", **scales),
        refntk.Relu(),
        refntk.CosetPool([(1, 0, 3, 2), (2, 3, 0, 1)]),
        refntk.SetGroupConv([0, 5, 9], **scales),
        refntk.Relu(),
        refntk.GroupPool(),
    ])
    found = refntk.kernel(net, signals[:1], signals[1:])
    assert_close(found.nngp, [[case["nngp"]]])
    assert_close(found.ntk, [[case["ntk"]]])


def test_a_linear_layer_between_sets(assert_close: Callable[..., None]) -> None:
    (case,) = (each for each in GOLDEN["other"] if "DeepSets" in each["label"])
    linear = refntk.SetLinear(group="S4")
    net = refntk.Network([linear, refntk.Relu(), linear, refntk.Relu(), refntk.GlobalAvgPool()])
    signals = np.random.default_rng(0).normal(size=(2, 4, 3))
    found = refntk.kernel(net, signals[:1], signals[1:])
    assert_close(found.nngp, [[case["nngp"]]])
    assert_close(found.ntk, [[case["ntk"]]])


def test_all_cases_on_finite_groups_are_claimed() -> None:
    assert set(FINITE) == CLAIMED


@pytest.mark.parametrize("case", GOLDEN["lattice"], ids=lambda case: case["name"])
def test_the_point_groups_of_lattices(case: dict[str, Any]) -> None:
    dimension = len(case["matrices"][0])
    plane = "hexagonal" if "hexagon" in case["name"] else "square"
    lattice = {1: "line", 2: plane, 3: "cubic"}[dimension]
    name = case["group"].removeprefix("1-D ").removeprefix("time x ")
    elements = {matrix.tobytes() for matrix in point_group(name, lattice).matrices}
    assert {np.array(matrix).tobytes() for matrix in case["matrices"]} == elements
