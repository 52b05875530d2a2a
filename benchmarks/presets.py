"""Show the NTK of every preset on images of the shape of CIFAR, and what a pair of them costs.

    python benchmarks/presets.py [NAME ...]     # writes docs/presets.md

Images are made up: four smooth patterns in colour, each twice, moved and with noise. Times are
processor time of one thread, the least of two runs, for all pairs of the images.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import refntk
from refntk.plan.reduction import make_plan

_PAGE = Path(__file__).parents[1] / "docs" / "presets.md"
_MARKS = "<!-- presets: begin -->\n", "<!-- presets: end -->\n"
_SIDE, _PATTERNS, _SEED = 32, 4, 0
_HEAD = (
    "preset", "method", "NTK(x, x)", "one pattern", "two patterns", "ms a pair, float32",
    "ms a pair, float64",
)  # fmt: skip


def images() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Draw the images: (8, 32, 32, 3), two of each pattern after each other, from 0 to 1."""
    rng, found = np.random.default_rng(_SEED), []
    y, x = np.mgrid[:_SIDE, :_SIDE] * (2 * np.pi / _SIDE)
    for _ in range(_PATTERNS):
        waves = rng.integers(-3, 4, (6, 2))
        colours, phases = rng.normal(size=(6, 3)), rng.uniform(0, 2 * np.pi, 6)
        for _ in range(2):
            down, right = rng.integers(-4, 5, 2) * (2 * np.pi / _SIDE)
            total = sum(
                np.cos(a * (y - down) + b * (x - right) + phase)[..., None] * colour
                for (a, b), phase, colour in zip(waves, phases, colours, strict=True)
            )
            noise = 0.15 * rng.normal(size=(_SIDE, _SIDE, 3))
            found.append(np.clip(0.5 + 0.12 * total + noise, 0, 1))
    return np.array(found)


def row(name: str, x: np.ndarray[Any, np.dtype[np.float64]]) -> list[str]:
    """Compute and time one preset."""
    net, pairs = refntk.preset(name), len(x) * (len(x) + 1) / 2
    method = make_plan(net, x.shape[1:]).method
    cells, ntk = [], np.zeros(0)
    for dtype in ("float32", "float64"):
        refntk.kernel(net, x[:2], dtype=dtype, threads=1)  # compiles
        best = np.inf
        for _ in range(1 if method == "literal" else 2):
            begin = time.process_time()
            ntk = refntk.kernel(net, x, dtype=dtype, threads=1).ntk
            best = min(best, time.process_time() - begin)
        cells.append(f"{1e3 * best / pairs:.3g}")
    size = np.sqrt(ntk.diagonal())
    cosine = ntk / np.outer(size, size)
    pattern = np.arange(len(x)) // 2
    one = (pattern[:, None] == pattern) & ~np.eye(len(x), dtype=bool)
    two = pattern[:, None] != pattern
    means = [f"{cosine[where].mean():.3f}" for where in (one, two)]
    return [f"`{name}`", method, f"{np.mean(ntk.diagonal()):.3g}", *means, *cells]


def main(names: list[str]) -> None:
    """Measure some presets, or all of them, and write their rows into the page."""
    x, page = images(), _PAGE.read_text(encoding="utf-8")
    before, rest = page.split(_MARKS[0])
    old, after = rest.split(_MARKS[1])
    rows = {line.split("|")[1].strip(): line for line in old.splitlines()[2:] if line}
    for name in names or refntk.presets():
        cells = row(name, x)
        rows[cells[0]] = f"| {' | '.join(cells)} |"
        print(rows[cells[0]], flush=True)
    head = [f"| {' | '.join(_HEAD)} |", "|" + "---|" * len(_HEAD)]
    table = "\n".join([*head, *(rows[key] for key in sorted(rows))])
    _PAGE.write_text(f"{before}{_MARKS[0]}{table}\n{_MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
