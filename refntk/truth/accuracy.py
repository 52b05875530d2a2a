"""How accurate the kernels are: errors against certified values, on benign and on hard images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from textwrap import dedent
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.evaluation.evaluate import DTYPES, KERNELS, kernel
from refntk.network.layers import Dense, Flatten, GroupConv, GroupPool, Layer, Lift, Relu
from refntk.network.network import Network
from refntk.truth.certified import Certified, certify

__all__ = ["NEAR", "hard_pairs", "page"]

Images = npt.NDArray[np.float64]
Pairs = dict[str, tuple[Images, Images]]
Errors = dict[tuple[str, str, str], float]  # by method, dtype and kernel

NEAR = (1e-2, 1e-4, 1e-6, 1e-8)
"""Relative distances of near duplicates, and of what is nearly constant or nearly opposite."""

_METHODS = ("slices", "literal")
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


def page(progress: Callable[[int, int], None] | None = None) -> Iterator[str]:
    """Measure, and give the lines of the page on accuracy, in Markdown.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total)`` with numbers of networks.

    Yields
    ------
    str
        One line.
    """
    jobs = [
        (group, padding, depth)
        for group in _SIDES
        for padding in ("SAME", "VALID", "CIRCULAR")
        for depth in _DEPTHS
    ]
    special = _special()
    by_kind: dict[str, Errors] = {}
    rows, others = [], []
    for done, (group, padding, depth) in enumerate(jobs):
        net = Network([*_stack(group, padding, depth), GroupPool(), Dense()])
        hard = _errors(net, _chosen(_SIDES[group], vanishing=depth == 1))
        for kind, errors in hard.items():
            by_kind[kind] = _worst([by_kind.get(kind, {}), errors])
        benign = _worst(list(_errors(net, _benign(_SIDES[group])).values()))
        rows.append((f"{group} | {padding} | {depth}", benign, _worst(list(hard.values()))))
        if progress is not None:
            progress(done + 1, len(jobs) + len(special))
    for done, (name, net, vanishing) in enumerate(special):
        hard = _errors(net, _chosen(3, vanishing))
        others.append((name, _worst(list(hard.values()))))
        if progress is not None:
            progress(len(jobs) + done + 1, len(jobs) + len(special))
    yield from _text(rows, by_kind, others)


def _text(rows: list[Any], by_kind: dict[str, Errors], others: list[Any]) -> Iterator[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("refntk", "numpy", "numba"))
    yield from _lines(f"""
        # Accuracy

        This page is the output of `refntk accuracy` ({packages}). Each figure is the largest
        relative error of a kernel of two small images against `refntk.certify`, whose own radius is
        1.2e-16 of it.
        Networks are stacks of 3×3 convolutions (1×1 after the first with VALID) with Relu,
        `GroupPool` and `Dense`; images are 4×4 (C1) and 3×3 pixels of two channels, seeded.

        Bounds on pooled networks, hard images included: 1e-12 in float64, 5e-6 in float32.
    """)
    for method in _METHODS:
        yield from ("", f"## Method {method}", "")
        heads = [f"{dtype} {kind} {name}" for dtype in DTYPES for kind in ("benign", "hard")
                 for name in KERNELS]  # fmt: skip
        yield "| group | padding | depth | " + " | ".join(heads) + " |"
        yield "|---" * (3 + len(heads)) + "|"
        for name, benign, hard in rows:
            cells = [
                f"{errors[method, dtype, which]:.1e}"
                for dtype in DTYPES
                for errors in (benign, hard)
                for which in KERNELS
            ]
            yield f"| {name} | " + " | ".join(cells) + " |"
    yield from ("", "## By what is hard", "", "The largest over all networks above.", "")
    yield from _table("images", by_kind.items())
    yield from ("", "## Other networks", "", "The largest over all hard images (3×3).", "")
    yield from _table("network", others)
    yield from _lines("""

        ## Where the bounds do not hold

        - The method literal is written as in the papers, and takes the arccos of a correlation:
          half of the digits are lost near 1 and -1, and with them as many of the NTK.
        - One layer that sees nothing but opposite patches has a kernel that vanishes as the cube of
          their distance from opposite; rounding of pixels is then seen in it. Such pairs are left
          out at depth 1.
        - Opposite patches under two convolutions without a Relu between them lose half of the
          digits of the derivative, as in the method literal.
        - Networks without any Relu, where signed products cancel in the mean, keep 1e-12 and 5e-6
          of the terms and not of the entry.
    """)


def _lines(text: str) -> Iterator[str]:
    """Lines of a text that is indented as its place in the code."""
    yield from dedent(text.removeprefix("\n")).rstrip().splitlines()


def _table(title: str, rows: Any) -> Iterator[str]:
    heads = [f"{m} {dtype} {name}" for m in _METHODS for dtype in DTYPES for name in KERNELS]
    yield f"| {title} | " + " | ".join(heads) + " |"
    yield "|---" * (1 + len(heads)) + "|"
    for name, errors in rows:
        cells = [
            f"{errors[m, dtype, which]:.1e}"
            for m in _METHODS
            for dtype in DTYPES
            for which in KERNELS
        ]
        yield f"| {name} | " + " | ".join(cells) + " |"


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


def _special() -> list[tuple[str, Network, bool]]:
    """Networks by name, and whether some pairs have a kernel that vanishes."""
    pool: list[Layer] = [GroupPool(), Dense()]
    dense: list[Layer] = [
        Dense(W_std=1.4, b_std=0.1),
        Relu(),
        Dense(W_std=1.4, b_std=0.1),
        Relu(),
        Dense(),
    ]
    return [
        ("depth 5, biases", Network([*_stack("C1", "SAME", 5, 1.4, 0.1), *pool]), False),
        ("depth 50, W_std 1.4", Network([*_stack("C1", "SAME", 50, 1.4), *pool]), False),
        ("the same, CIRCULAR", Network([*_stack("C1", "CIRCULAR", 50, 1.4), *pool]), False),
        ("depth 20, W_std 8", Network([*_stack("C1", "SAME", 20, 8.0), *pool]), False),
        ("depth 2, Flatten", Network([*_stack("C1", "SAME", 2), Flatten(), Dense()]), False),
        ("Flatten, Dense and Relu twice", Network([Flatten(), *dense]), False),
        (
            "depth 2, Relu after pooling",
            Network([*_stack("C1", "SAME", 2), *pool, Relu(), Dense()]),
            False,
        ),
    ]


def _benign(side: int) -> Pairs:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, side, side, 2))
    return {"signed": (x, y), "positive": (np.abs(x), np.abs(y))}


def _chosen(side: int, vanishing: bool) -> Pairs:
    pairs = hard_pairs(side)
    return {kind: pairs[kind] for kind in _SHOWN if not (vanishing and "opposite" in kind)}


def _errors(net: Network, pairs: Pairs) -> dict[str, Errors]:
    """Relative errors of each pair, by kind."""
    return {kind: _error(net, x1[None], x2[None]) for kind, (x1, x2) in pairs.items()}


def _error(net: Network, x1: Images, x2: Images) -> Errors:
    exact: Certified = certify(net, x1, x2)
    errors: Errors = {}
    for method in _METHODS:
        for dtype in DTYPES:
            result = kernel(net, x1, x2, dtype=dtype, method=method, threads=1)
            for name in KERNELS:
                value, right = float(getattr(result, name)[0, 0]), getattr(exact, name)[0, 0]
                difference = abs(value - right)
                errors[method, dtype, name] = difference / abs(right) if difference else 0.0
    return errors


def _worst(several: list[Errors]) -> Errors:
    keys = {key for errors in several for key in errors}
    return {key: max(errors.get(key, 0.0) for errors in several) for key in keys}
