"""Measure what layers cost beyond the networks of `refntk bench`, and which digits they keep.

    python benchmarks/layers.py activations   # an entry and layer, relative to Relu, float64
    python benchmarks/layers.py branches      # a residual network, relative to a stack
    python benchmarks/layers.py digits        # near duplicates under pooling, against certified
    python benchmarks/layers.py sets          # networks on finite sets, microseconds a pair
    python benchmarks/layers.py stages        # what myrtle-5 keeps, and what its first stage costs
    python benchmarks/layers.py volumes       # five filters of 3x3x3 places, VALID, float32

Times are processor time of one thread, the least of several turns in which all networks take part,
so that others on the machine slow all of them. Compilation is left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import refntk
from refntk import (
    AvgPool,
    CentreReadout,
    Conv,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Lift,
    Network,
    Relu,
    Residual,
    SetGroupConv,
    SetLift,
)
from refntk.backends.numba.band_tables import BandTables
from refntk.backends.numba.lanes import LANE_BYTES
from refntk.plan.reduction import make_plan

_TURNS = 7


def main(what: str) -> None:
    """Print one table."""
    tables = {
        "activations": activations, "branches": branches, "digits": digits, "sets": sets,
        "stages": stages, "volumes": volumes,
    }  # fmt: skip
    tables[what]()


def volumes() -> None:
    """Print seconds a pair, and nanoseconds an entry, of volumes under the group O."""
    body = [Lift((3, 3, 3), group="O", padding="VALID"), Relu()]
    body += [GroupConv((3, 3, 3), padding="VALID"), Relu()] * 4
    for side, count, end in ((14, 1, GroupPool()), (28, 6, CentreReadout())):
        net = Network([*body, end])
        x = np.random.default_rng(0).random((2, count, side, side, side, 1), np.float32)
        seconds = []
        for _ in range(3):
            start = time.process_time()
            refntk.kernel(net, x[0], x[1], dtype="float32", threads=1)
            seconds.append((time.process_time() - start) / count**2)
        entries = make_plan(net, x.shape[2:]).entries
        print(
            f"{side}^3, {type(end).__name__}: {entries:.4g} entries, {1e3 * min(seconds):.3g} ms a "
            f"pair, {1e9 * min(seconds) / entries:.3g} ns an entry"
        )


def _least(networks: dict[str, Network], x: Any, **options: Any) -> dict[str, float]:
    """Seconds of the fastest turn of each network."""
    best = dict.fromkeys(networks, np.inf)
    for turn in range(_TURNS + 1):  # the first compiles
        for name, net in networks.items():
            start = time.process_time()
            refntk.kernel(net, x[name] if isinstance(x, dict) else x, threads=1, **options)
            if turn:
                best[name] = min(best[name], time.process_time() - start)
    return best


def _print(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in (names, ["---"] * len(names), *rows):
        print("|", " | ".join(row), "|")


def activations() -> None:
    """Print what activations cost, four of them with biases on images of 16x16."""
    kinds = [
        Relu(), refntk.LeakyRelu(alpha=0.1), refntk.Rbf(gamma=0.6), refntk.ExpNormalized(),
        refntk.Gaussian(), refntk.RectifiedMonomial(degree=2), refntk.Gelu(), refntk.Sin(),
        refntk.Erf(), refntk.Elementwise("sigmoid", tolerance=1e-11),
    ]  # fmt: skip
    conv = Conv((3, 3), W_std=1.3, b_std=0.1)
    networks = {
        type(kind).__name__: Network([conv, kind] * 4 + [GlobalAvgPool()]) for kind in kinds
    }
    x = np.random.default_rng(0).normal(size=(12, 16, 16, 3))
    best = _least(networks, x, method="slices")
    _print(
        ("activation", "times Relu"),
        [(name, f"{seconds / best['Relu']:.2f}") for name, seconds in best.items()],
    )


def branches() -> None:
    """Print what a residual network costs, relative to a stack of as many filters."""
    conv = Conv((3, 3), W_std=2**0.5)
    block = Residual([Relu(), conv, Relu(), conv])
    networks = {
        "stack": Network([conv] + [Relu(), conv] * 4 + [Relu(), GlobalAvgPool()]),
        "residual": Network([conv, block, block, Relu(), GlobalAvgPool()]),
    }
    x = np.random.default_rng(0).normal(size=(12, 16, 16, 3))
    rows = []
    for dtype in ("float64", "float32"):
        stack = _least({"stack": networks["stack"]}, x, dtype=dtype)["stack"]
        forked = _least(
            {"residual": networks["residual"]}, x, dtype=dtype, method="branches"
        )["residual"]  # fmt: skip
        rows.append((dtype, f"{forked / stack:.2f}"))
    _print(("dtype", "times the stack"), rows)


def digits() -> None:
    """Print the largest relative error of the NTK of x and x + eps noise, 4x4 pixels."""
    pool = AvgPool((2, 2), strides=(2, 2))
    conv = Conv((3, 3))
    once = [conv, Relu(), pool, conv, Relu(), GlobalAvgPool()]
    twice = [conv, Relu(), conv, Relu(), pool, conv, Relu(), pool, conv, Relu(), GlobalAvgPool()]
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(4, 4, 2))
    sizes = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8]
    rows = []
    for name, layers, dtype in (
        ("one 2x2 pooling", once, "float64"),
        ("two 2x2 poolings", twice, "float64"),
        ("one 2x2 pooling", once, "float32"),
    ):
        row = [f"{name}, {dtype}"]
        for eps in sizes:
            near = np.stack([x, x + eps * rng.normal(size=x.shape)]).astype(dtype).astype(float)
            net = Network(layers)
            found = refntk.kernel(net, near, dtype=dtype, method="band").ntk
            row.append(f"{np.abs(found / refntk.certify(net, near).ntk - 1).max():.0e}")
        rows.append(row)
    _print(["eps", *(f"{eps:.0e}" for eps in sizes)], rows)


def sets() -> None:
    """Print microseconds a pair of networks on finite sets, both kernels, float64."""
    pairs = [(0, 1), (1, 0), (0, 2)]
    layers: dict[str, list[Any]] = {
        "S4 on ordered pairs, lift of 3 points, two filters of 4 elements": [
            SetLift(pairs, group="S4", on="pairs"), Relu(),
            SetGroupConv([0, 1, 5, 9]), Relu(), SetGroupConv([0, 2, 7, 11]), Relu(), GroupPool(),
        ],
        "C32 on a circle, windows of 3, two layers": [
            SetLift([-1, 0, 1], group="C32"), Relu(),
            SetGroupConv([-1, 0, 1]), Relu(), GroupPool(),
        ],
        "S5 on ordered pairs, lift of 3 points, one filter of 4 elements": [
            SetLift(pairs, group="S5", on="pairs"), Relu(),
            SetGroupConv([0, 1, 5, 9]), Relu(), GroupPool(),
        ],
    }  # fmt: skip
    networks = {name: Network(of) for name, of in layers.items()}
    rng = np.random.default_rng(0)
    count, sizes = 64, dict(zip(networks, (12, 32, 20), strict=True))
    x = {
        name: rng.normal(size=(count, sizes[name], 2))
        for name in networks
    }
    best = _least(networks, x, method="slices")
    entries = count * (count + 1) / 2
    _print(
        ("network", "microseconds a pair"),
        [(name, f"{1e6 * seconds / entries:.0f}") for name, seconds in best.items()],
    )


def stages() -> None:
    """Print how many numbers a lane are kept between stages, and the share of the first stage."""
    plan = make_plan(refntk.preset("myrtle-5"), (32, 32, 3))
    kept = BandTables(plan, "float32").schedule.size
    entries = [(step.y.n_out * step.x.n_out) ** 2 for step in plan.steps]
    first = sum(count for count in entries if count == entries[0]) / sum(entries)
    mebibytes = 2 * kept * LANE_BYTES / 2**20
    _print(
        ("numbers a lane and kernel", "MiB", "entries of the first stage"),
        [(str(kept), f"{mebibytes:.2f}", f"{100 * first:.0f} %")],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
