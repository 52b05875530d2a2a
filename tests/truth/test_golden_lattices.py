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

CLAIMED = {
    "C4 square 4x4 SAME",
    "C4 NON-SQUARE 3x5 SAME",
    "C4 EVEN filter 2x2 VALID 5x5 depth 2",
    "C4 stride 2, 5x5 SAME then 3x3",
}


def _images(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Images of one pixel a position; positions are doubled, about the centre."""
    positions = np.array(case["positions_doubled"])
    shape = positions.max(axis=0) + 1
    assert len(positions) == np.prod(shape)
    places = tuple(((positions + shape - 1) // 2).T)
    images = []
    for name in ("x", "y"):
        pixels = np.array(case[name])
        image = np.full((*shape, pixels.shape[1]), np.nan)
        image[places] = pixels
        images.append(image[None])
    return images[0], images[1]


@pytest.mark.parametrize(
    "case",
    [case for case in GOLDEN["lattice"] if case["name"] in CLAIMED],
    ids=lambda case: case["name"],
)
@pytest.mark.parametrize("method", ["slices", "literal"])
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
        assert len(support) == np.prod(sides)
        words = {"padding": case["padding"], "strides": (stride,) * len(sides)}
        words |= {"W_std": case["W_std"] * np.sqrt(len(support) / all_places)}
        words |= {"b_std": case["b_std"]}
        if depth == 0:
            layers.append(refntk.Lift(sides, group=case["group"], **words))
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
