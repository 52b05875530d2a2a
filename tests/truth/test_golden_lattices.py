"""Networks on grids of any shape against numbers made elsewhere, by literal sums over the group."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refntk

GOLDEN = json.loads((Path(__file__).parent / "groups.json").read_text())
"""Cases in words of their own; ``note`` says what these are."""

CLAIMED = {case["name"] for case in GOLDEN["lattice"]}

LONG = {"O 3x3x3, 3^3 SAME", "Oh 3x3x3, 7-point SAME"}
"""Those of many seconds in the literal recursion."""


def _images(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Images of one pixel a position; positions are doubled, about the centre."""
    positions = np.array(case["positions_doubled"])
    shape = positions.max(axis=0) + 1
    hexagonal = "hexagon" in case["name"]
    assert len(positions) == (3 * np.prod(shape) + 1) // 4 if hexagonal else np.prod(shape)
    places = tuple(((positions + shape - 1) // 2).T)
    images = []
    for name in ("x", "y"):
        pixels = np.array(case[name])
        # Pixels outside of a hexagon are not read.
        image = np.full((*shape, pixels.shape[1]), 7.0 if hexagonal else np.nan)
        image[places] = pixels
        images.append(image[None])
    return images[0], images[1]


def _cases() -> list[Any]:
    """Each case by each method that it has; the long ones apart."""
    return [
        pytest.param(case, method, id=f"{case['name']}-{method}",
                     marks=[pytest.mark.slow] * (case["name"] in LONG and method == "literal"))
        for case in GOLDEN["lattice"] if case["name"] in CLAIMED
        for method in ("auto", "literal")
    ]  # fmt: skip


@pytest.mark.parametrize(("case", "method"), _cases())
def test_golden_lattices(
    case: dict[str, Any], method: str, assert_close: Callable[..., None]
) -> None:
    layers: list[Any] = []
    spacing = 1
    for depth, stride in enumerate(case["strides"]):
        support, all_places = np.array(case["support_doubled"]), len(case["support_doubled"])
        if spacing > 1:
            # Offsets are in pixels of the image throughout. Between the features there is nothing,
            # which counts as zero; the divisor stays.
            support = support[(support % (2 * spacing) == 0).all(axis=1)] // spacing
        sides = tuple((support.max(axis=0) + 1).tolist())
        mask = np.zeros(sides, int)
        mask[tuple(((support + sides - 1) // 2).T)] = 1
        words = {"padding": case["padding"], "strides": (stride,) * len(sides)}
        words |= {"mask": mask.tolist()}
        words |= {"W_std": case["W_std"] * np.sqrt(len(support) / all_places)}
        words |= {"b_std": case["b_std"]}
        if depth == 0:
            group = case["group"].split()[-1]  # without "1-D" and "time x"
            lattice = "hexagonal" if "hexagon" in case["name"] else None
            layers.append(refntk.Lift(sides, group=group, lattice=lattice, **words))
        else:
            layers.append(refntk.GroupConv(sides, **words))
        layers.append(refntk.Relu())
        spacing *= stride
    net = refntk.Network([*layers, refntk.GroupPool()])
    found = refntk.kernel(net, *_images(case), method=method)
    assert_close(found.nngp, [[case["nngp"]]])
    assert_close(found.ntk, [[case["ntk"]]])


def test_the_claimed_cases_are_there() -> None:
    assert {case["name"] for case in GOLDEN["lattice"]} >= CLAIMED


@pytest.mark.parametrize(("group", "shape"), [("C4", (4, 4)), ("T", (3, 3, 3))])
@pytest.mark.parametrize("method", ["orbits", "literal"])
def test_filters_over_the_whole_grid(
    group: str, shape: tuple[int, ...], method: str, assert_close: Callable[..., None]
) -> None:
    (case,) = (
        each for each in GOLDEN["other"]
        if each["label"].startswith(f"{group} {shape}") and "whole-grid" in each["label"]
    )  # fmt: skip
    words = {"W_std": 1.3, "b_std": 0.2}
    sides = (3,) * len(shape)
    lift, conv = refntk.Lift(sides, group=group, **words), refntk.GroupConv(sides, **words)
    layers = [lift, refntk.Relu(), conv, refntk.Relu(), refntk.CentreReadout()]
    volumes = np.random.default_rng(0).normal(size=(2, *shape, 2))
    found = refntk.kernel(layers, volumes[:1], volumes[1:], method=method)
    assert_close(found.nngp, [[case["nngp"]]])
    assert_close(found.ntk, [[case["ntk"]]])
