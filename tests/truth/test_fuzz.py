"""Every network and every image: cases that were out of bounds once, and random ones."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import refntk
from refntk.network import Network
from refntk.network.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Layer,
    Lift,
    Relu,
)
from refntk.truth import fuzz
from refntk.truth.certified import certify

Close = Callable[..., None]
Images = npt.NDArray[np.float64]

WORST: dict[str, Any] = json.loads(Path(__file__).with_name("worst_trials.json").read_text())
"""The worst trial of each kind that a run found, before what was beyond the bound was mended."""

RNG = np.random.default_rng(0)
GREY, OTHER = RNG.normal(size=(2, 4, 4, 1))
COLOUR = RNG.normal(size=(4, 4, 2))
BLACK, HOT = np.zeros_like(GREY), np.zeros_like(GREY)
HOT[1, 2] = 1e6
PIXEL, WHITE = np.full((1, 1, 1), 0.7), np.ones((4, 4, 1))
TWO = RNG.normal(size=(1, 1, 2))
STANDARD = (OTHER - OTHER.mean()) / OTHER.std()
UPPER = (np.arange(4) < 2)[:, None, None]

HE = 2**0.5
LOW: dict[str, Any] = {"W_std": HE, "b_std": 0.001}
GAP: list[Layer] = [GlobalAvgPool()]
MLP: list[Layer] = [Flatten(), Dense(**LOW), Relu(), Dense(b_std=0.1), Relu(), Dense()]

CASES: dict[str, tuple[list[Layer], Images, Images]] = {
    "a pixel and a black one": ([Conv((1, 1), **LOW), Relu(), *GAP], PIXEL, 0 * PIXEL),
    "black": ([Conv((3, 3), **LOW), Relu(), *GAP], GREY, BLACK),
    "black, bias in the second layer": (
        [Conv((3, 3)), Relu(), Conv((1, 1), b_std=0.1), Relu(), *GAP], HOT, BLACK
    ),
    "dark mirror": ([Conv((3, 3), **LOW), Relu(), *GAP], GREY, 1e-6 * GREY[:, ::-1]),
    "dark mirror, deep": (
        [*[Conv((3, 3), **LOW), Relu()] * 4, *GAP, Dense()], GREY, 1e-6 * GREY[:, ::-1]
    ),
    "black, Flatten": ([*[Conv((3, 3), **LOW), Relu()] * 2, Flatten(), Dense()], GREY, BLACK),
    "black, MLP": (MLP, GREY, BLACK),
    "dark, MLP": (MLP, GREY, 1e-6 * OTHER),
    "apart, Flatten": (
        [Conv((1, 1)), Relu(), Conv((1, 1), b_std=0.01), Relu(), Flatten(), Dense()],
        GREY * UPPER, 1e3 * OTHER * ~UPPER,
    ),
    "nothing in common": ([Conv((3, 3)), Relu(), *GAP], COLOUR * [1, 0], COLOUR[::-1] * [0, 1]),
    "black, two convolutions": ([Conv((3, 3), **LOW), Conv((3, 3)), Relu(), *GAP], GREY, BLACK),
    "itself, two convolutions": ([Conv((1, 1)), Conv((1, 1)), Relu(), *GAP], STANDARD, STANDARD),
    "opposite, two convolutions": (
        [Conv((3, 3)), Conv((3, 3)), Relu(), Conv((3, 3)), Relu(), *GAP], COLOUR, -COLOUR
    ),
    "1 and -1, two convolutions": ([Conv((3, 3)), Conv((3, 3)), Relu(), *GAP], WHITE, -WHITE),
    "1 and -1": ([Conv((3, 3)), Relu(), *GAP], WHITE, -WHITE),
    "opposite pixels under D4": (
        [Lift((3, 3), group="D4"), Relu(), GroupConv((3, 3)), Relu(), GroupPool(), Dense()],
        TWO, -TWO,
    ),
    "black, no Relu": ([Conv((3, 3), **LOW), Conv((3, 3), **LOW), *GAP], GREY, BLACK),
    "near, three Relus at the end": (
        [Conv((3, 3)), Relu(), *GAP, *[Dense(), Relu()] * 3, Dense()], GREY, GREY + 7e-3 * OTHER
    ),
    "near, depth 8": (
        [*[Conv((3, 3)), Relu()] * 8, *GAP, Dense(), Relu(), Dense()], GREY, GREY + 0.04 * OTHER
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_what_was_out_of_bounds_once(name: str, dtype: str, assert_close: Close) -> None:
    layers, one, two = CASES[name]
    images = np.stack([one, two])
    result = refntk.kernel(Network(layers), images, dtype=dtype, method="slices")
    exact = certify(Network(layers), images)
    for kernel in ("nngp", "ntk"):
        right = getattr(exact, kernel)
        right[np.abs(right) < 1e-30] = 0
        assert_close(getattr(result, kernel), right)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_has_nothing_in_common_has_a_tangent_kernel_of_zero(dtype: str) -> None:
    red, blue = (COLOUR * part for part in ([1, 0], [0, 1]))
    net = Network([Lift((3, 3), group="C4"), Relu(), GroupPool()])
    for one, two in ((red, blue), (TWO, -TWO)):
        assert refntk.kernel(net, one[None], two[None], get="ntk", dtype=dtype).ntk == 0


def test_a_trial_is_drawn_alike_every_time() -> None:
    for number in range(30):
        one, two = fuzz.draw(3, number), fuzz.draw(3, number)
        assert str(one) == str(two)
        assert one.kind in fuzz.KINDS
        refntk.kernel(one.network, one.one[None], one.two[None], method="slices", get="nngp")


def test_a_failing_trial_is_made_small() -> None:
    trial = next(t for t in fuzz.trials(1, 1000) if len(t.network.layers) > 6 and t.one.size > 8)
    small = fuzz.minimised(trial, lambda t: any(isinstance(k, Relu) for k in t.network.layers))
    assert len(small.network.layers) <= 4
    assert small.one.size == 1
    assert "Relu()" in str(small)


Worst = dict[str, tuple[float, fuzz.Trial]]


def worst_trials(seed: int, count: int) -> Worst:
    """The worst of random networks by what is hard about the images, in units of the bound."""
    worst: Worst = {}
    for trial in fuzz.trials(seed, count):
        found = excess(trial), trial
        worst[trial.kind] = max(worst.get(trial.kind, found), found, key=lambda pair: pair[0])
    return worst


def hold(worst: Worst) -> None:
    """Hold trials to the bounds; the worst failure is printed as small as it goes."""
    most, trial = max(worst.values(), key=lambda pair: pair[0])
    if most > 1:
        small = fuzz.minimised(trial, lambda trial: excess(trial) > 1)
        pytest.fail(f"{most:.3g} times the bound\n{small}\n{fuzz.errors(small)}")


def excess(trial: fuzz.Trial) -> float:
    """The largest error in units of its bound."""
    found = fuzz.errors(trial)
    return max((error / fuzz.BOUNDS[dtype] for (dtype, _), error in found.items()), default=0.0)


def test_some_random_networks() -> None:
    hold(worst_trials(seed=15, count=25))


@pytest.mark.slow
def test_many_random_networks() -> None:
    """2,000 of another seed every day; REFNTK_FUZZ_SEED and REFNTK_FUZZ_COUNT say otherwise.

    REFNTK_FUZZ_SAVE names a file for the worst trial of each kind, such as worst_trials.json here.
    """
    seed = int(os.environ.get("REFNTK_FUZZ_SEED", time.strftime("%Y%m%d", time.gmtime())))
    count = int(os.environ.get("REFNTK_FUZZ_COUNT", "2000"))
    print(f"REFNTK_FUZZ_SEED={seed} REFNTK_FUZZ_COUNT={count}")
    worst = worst_trials(seed, count)
    if path := os.environ.get("REFNTK_FUZZ_SAVE"):
        records = {kind: worst[kind][1].record for kind in fuzz.KINDS if kind in worst}
        Path(path).write_text(json.dumps(records, indent=1) + "\n")
    hold(worst)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WORST)
def test_the_worst_trial_of_each_kind(kind: str) -> None:
    trial = fuzz.Trial.of_record(kind, WORST[kind])
    assert fuzz.Trial.of_record(kind, trial.record).record == trial.record
    assert excess(trial) <= 1, fuzz.errors(trial)
