"""How accurate the kernels are: errors against certified values, on benign and on hard images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from refntk.evaluation.evaluate import DTYPES, KERNELS, kernel
from refntk.network.layers import Dense, Flatten, GroupConv, GroupPool, Layer, Lift, Relu
from refntk.network.network import Network
from refntk.truth import fuzz
from refntk.truth.certified import Certified, certify

__all__ = ["METHODS", "NEAR", "Errors", "Measured", "hard_pairs", "measure"]

Images = npt.NDArray[np.float64]
Pairs = dict[str, tuple[Images, Images]]
Errors = dict[tuple[str, str, str], float]
"""Largest relative errors by method, dtype and kernel."""
_Key = TypeVar("_Key", bound=tuple[str, ...])

NEAR = (1e-2, 1e-4, 1e-6, 1e-8)
"""Relative distances of near duplicates, and of what is nearly constant or nearly opposite."""

METHODS = ("slices", "literal")
"""Methods that are measured."""

_SIDES = {"C1": 4, "C4": 3, "D4": 3}
_DEPTHS = (1, 2, 5, 10, 20)
_SHOWN = (
    "duplicates", "near, 0.01", "near, 1e-06", "near, 1e-08", "constant, unlike", "flat regions",
    "flat regions, 0.01", "flat regions, 1e-06", "opposite", "nearly opposite, 0.0001",
    "zero patches", "1e6 times", "1e6 times itself", "hot pixel", "nearly constant, 0.01",
)  # fmt: skip


@cache
def hard_pairs(side: int) -> Pairs:
    """Make pairs of images by what is hard about them.

    Parameters
    ----------
    side : int
        Height and width; there are two channels.

    Returns
    -------
    dict of (array, array), each of shape (side, side, 2)
        Seeded: the same at every call.
    """
    rng = np.random.default_rng(5)
    x, y, noise = rng.normal(size=(3, side, side, 2))
    sign = np.sign(rng.normal(size=x.shape))
    halves = np.where(np.arange(side)[:, None, None] < side // 2, 0.9, 0.3) * np.ones_like(x)
    pairs = {
        "duplicates": (x, x.copy()),
        "constant": (np.full_like(x, 0.7), np.full_like(x, 0.7)),
        "constant, unlike": (np.full_like(x, 0.7), np.full_like(x, 0.2)),
        "flat regions": (halves, halves[::-1] / 3),
        "opposite": (x, -x),
        "opposite, constant": (np.full_like(x, 0.7), np.full_like(x, -0.2)),
        "signs": (sign, sign[::-1].copy()),
        "zero patches": (x * (np.arange(side) < 2)[:, None, None], y),
        "zero image": (x, np.zeros_like(x)),
        "zero images": (np.zeros_like(x), np.zeros_like(x)),
        "1e6 times": (x, 1e6 * y),
        "1e-6 times": (x, 1e-6 * y),
        "1e6 times itself": (x, 1e6 * x),
        "hot pixel": (x * np.where(np.arange(side) == 1, 1e6, 1)[:, None, None], y),
    }
    for size in NEAR:
        pairs[f"near, {size:g}"] = (x, x + size * noise)
        pairs[f"nearly constant, {size:g}"] = (0.7 + size * noise, 0.3 + size * y)
        pairs[f"flat regions, {size:g}"] = (halves + size * noise, halves[::-1] / 3 + size * y)
        pairs[f"nearly opposite, {size:g}"] = (x, size * noise - x)
    return pairs


@dataclass(frozen=True)
class Measured:
    """Errors of kernels against certified ones.

    Attributes
    ----------
    stacks : dict of (Errors, Errors), by (group, padding, depth)
        On benign and on hard images.
    kinds : dict of Errors
        Of all stacks, by what is hard about the images.
    others : dict of Errors
        Of networks of other forms on all hard images, by name.
    random : dict of dict of float, by (dtype, kernel)
        Of random networks, by what is hard about the images, see `refntk.truth.fuzz`.
    """

    stacks: dict[tuple[str, str, int], tuple[Errors, Errors]]
    kinds: dict[str, Errors]
    others: dict[str, Errors]
    random: dict[str, fuzz.Errors]


def measure(
    progress: Callable[[int, int], None] = lambda done, total: None,
    trials: int = 500,
    seed: int = 0,
) -> Measured:
    """Measure both methods in both precisions.

    Parameters
    ----------
    progress : callable
        Called as ``progress(done, total)`` with numbers of networks.
    trials, seed : int
        How many random networks there are, and their seed, see `refntk.truth.fuzz`.

    Returns
    -------
    Measured
    """
    jobs = [
        (group, padding, depth)
        for group in _SIDES
        for padding in ("SAME", "VALID", "CIRCULAR")
        for depth in _DEPTHS
    ]
    special = _special()
    total = len(jobs) + len(special) + trials
    measured = Measured({}, {}, {}, {})
    for done, (group, padding, depth) in enumerate(jobs, 1):
        net = Network([*_stack(group, padding, depth), GroupPool(), Dense()])
        hard = _errors(net, _chosen(_SIDES[group], vanishing=depth == 1))
        for kind, errors in hard.items():
            measured.kinds[kind] = _worst([measured.kinds.get(kind, {}), errors])
        benign = _errors(net, _benign(_SIDES[group]))
        both = _worst(list(benign.values())), _worst(list(hard.values()))
        measured.stacks[group, padding, depth] = both
        progress(done, total)
    for done, (name, net) in enumerate(special.items(), len(jobs) + 1):
        measured.others[name] = _worst(list(_errors(net, _chosen(3)).values()))
        progress(done, total)
    for done, trial in enumerate(fuzz.trials(seed, trials), len(jobs) + len(special) + 1):
        worst = measured.random.get(trial.kind, {})
        measured.random[trial.kind] = _worst([worst, fuzz.errors(trial)])
        progress(done, total)
    return measured


def _stack(group: str, padding: str, depth: int, w: float = 1.0, b: float = 0.0) -> list[Layer]:
    layers: list[Layer] = []
    for k in range(depth):
        shape = (1, 1) if padding == "VALID" and k else (3, 3)
        layer = (
            GroupConv(shape, padding=padding, W_std=w, b_std=b)
            if k
            else Lift(shape, group=group, padding=padding, W_std=w, b_std=b)
        )
        layers += [layer, Relu()]
    return layers


def _special() -> dict[str, Network]:
    pool: list[Layer] = [GroupPool(), Dense()]
    dense: list[Layer] = [
        Dense(W_std=1.4, b_std=0.1),
        Relu(),
        Dense(W_std=1.4, b_std=0.1),
        Relu(),
        Dense(),
    ]
    return {
        name: Network(layers)
        for name, layers in {
            "depth 5, biases": [*_stack("C1", "SAME", 5, 1.4, 0.1), *pool],
            "depth 50, W_std 1.4": [*_stack("C1", "SAME", 50, 1.4), *pool],
            "the same, CIRCULAR": [*_stack("C1", "CIRCULAR", 50, 1.4), *pool],
            "depth 20, W_std 8": [*_stack("C1", "SAME", 20, 8.0), *pool],
            "depth 2, Flatten": [*_stack("C1", "SAME", 2), Flatten(), Dense()],
            "Flatten, Dense and Relu twice": [Flatten(), *dense],
            "depth 2, Relu after pooling": [*_stack("C1", "SAME", 2), *pool, Relu(), Dense()],
        }.items()
    }


def _benign(side: int) -> Pairs:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, side, side, 2))
    return {"signed": (x, y), "positive": (np.abs(x), np.abs(y))}


def _chosen(side: int, vanishing: bool = False) -> Pairs:
    pairs = hard_pairs(side)
    return {kind: pairs[kind] for kind in _SHOWN if not (vanishing and "opposite" in kind)}


def _errors(net: Network, pairs: Pairs) -> dict[str, Errors]:
    """Relative errors of each pair, by kind."""
    return {kind: _error(net, x1[None], x2[None]) for kind, (x1, x2) in pairs.items()}


def _error(net: Network, x1: Images, x2: Images) -> Errors:
    exact: Certified = certify(net, x1, x2)
    errors: Errors = {}
    for method in METHODS:
        for dtype in DTYPES:
            result = kernel(net, x1, x2, dtype=dtype, method=method, threads=1)
            for name in KERNELS:
                value, right = float(getattr(result, name)[0, 0]), getattr(exact, name)[0, 0]
                difference = abs(value - right)
                errors[method, dtype, name] = difference / abs(right) if difference else 0.0
    return errors


def _worst(several: list[dict[_Key, float]]) -> dict[_Key, float]:
    keys = {key for errors in several for key in errors}
    return {key: max(errors.get(key, 0.0) for errors in several) for key in keys}
