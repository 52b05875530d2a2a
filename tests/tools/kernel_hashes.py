"""Digests of kernels, to tell whether a change of the code changed a bit of any.

    python tests/tools/kernel_hashes.py write before.json
    python tests/tools/kernel_hashes.py compare before.json

The networks are all presets and some odd ones; the images contain random ones, one twice, a near
duplicate, a negative, a flat one, a black one and one of another size.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from refntk import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Lift,
    Network,
    Relu,
    kernel,
    preset,
    presets,
)

RELU, DENSE = Relu(), Dense(W_std=1.3, b_std=0.2)


def networks() -> Iterator[tuple[str, Network, tuple[int, ...]]]:
    """Name networks, with the shape of the images that they get."""
    for name in presets():
        net = preset(name)
        yield name, net, (12,) * net.axes + (3,)
    head = [DENSE, RELU, DENSE, RELU, Dense()]
    same, wide = Conv((3, 3), W_std=1.4, b_std=0.3), Conv((5, 3), W_std=0.9)
    for name, layers, shape in (
        ("valid", [Conv((3, 3), padding="VALID"), RELU, Conv((2, 3), padding="VALID"), RELU,
                   GlobalAvgPool(), *head], (7, 8, 2)),
        ("strides", [Conv((3, 3), strides=(2, 1)), RELU,
                     Conv((3, 2), strides=(1, 2), b_std=0.1), RELU,
                     GlobalAvgPool(), *head], (7, 6, 1)),
        ("valid-strides", [Conv((3, 3), strides=(2, 2), padding="VALID"), RELU,
                           Conv((2, 2), strides=(2, 1), padding="VALID"),
                           RELU, GlobalAvgPool()], (11, 9, 2)),
        ("circular", [Conv((3, 3), padding="CIRCULAR", b_std=0.2), RELU,
                      Conv((5, 5), padding="CIRCULAR"), RELU, GlobalAvgPool(), *head], (6, 5, 2)),
        ("circular-strides", [Conv((3, 3), strides=(2, 2), padding="CIRCULAR"), RELU,
                              Conv((2, 3), strides=(1, 2), padding="CIRCULAR"), RELU,
                              GlobalAvgPool()], (8, 8, 1)),
        ("biases", [same, RELU, same, RELU, same, RELU, GlobalAvgPool(), *head], (5, 6, 3)),
        ("linear-first", [wide, same, RELU, same, same, RELU, wide, GlobalAvgPool()], (6, 6, 2)),
        ("linear-last", [same, RELU, wide, GlobalAvgPool(), *head], (5, 5, 2)),
        ("flatten", [same, RELU, wide, RELU, Flatten(), *head], (6, 7, 2)),
        ("no-convolution", [Flatten(), *head], (5, 5, 2)),
        ("only-mean", [GlobalAvgPool(), *head], (5, 4, 3)),
        ("large-filters", [Conv((7, 7)), RELU, Conv((5, 1)), RELU, GlobalAvgPool()], (6, 6, 1)),
        ("one-pixel", [Conv((1, 1)), RELU, Conv((1, 1), b_std=0.1), RELU, GlobalAvgPool()],
         (4, 4, 2)),
        ("deep", [Conv((3, 3)), RELU] * 12 + [GlobalAvgPool(), *head], (5, 5, 2)),
        ("far", [Conv((3, 3), W_std=1e30), RELU, Conv((3, 3), W_std=1e-40), RELU, GlobalAvgPool(),
                 DENSE], (4, 4, 1)),
        ("d4", [Lift((3, 3), group="D4"), RELU, GroupConv((3, 3), b_std=0.2), RELU, GroupPool(),
                *head], (6, 6, 2)),
        ("d2-oblong", [Lift((3, 1), group="D2"), RELU, GroupConv((1, 3)), RELU, GroupPool(),
                       DENSE], (5, 7, 2)),
        ("c4-valid", [Lift((3, 3), group="C4", padding="VALID"), RELU,
                      GroupConv((3, 3), padding="VALID", W_std=1.2), RELU, GroupPool()], (7, 7, 1)),
        ("c4-circular-flatten", [Lift((3, 3), group="C4", padding="CIRCULAR"), RELU,
                                 GroupConv((3, 3), padding="CIRCULAR"), Flatten(), DENSE],
         (5, 5, 2)),
    ):  # fmt: skip
        yield name, Network(layers), shape


def images(shape: tuple[int, int, int]) -> np.ndarray:
    """Images that ask for every branch of the arithmetic."""
    rng = np.random.default_rng(16)
    x = rng.standard_normal((5, *shape))
    near = x[0] + 1e-6 * rng.standard_normal(shape)
    flat = np.full(shape, 0.7)
    black = x[1].copy()
    black[: shape[0] // 2] = 0
    return np.stack([*x, x[0], near, -x[2], flat, black, 1e4 * x[3], np.zeros(shape)])


def digests(backend: str) -> dict[str, str]:
    """Hash the kernels of all networks, by name, dtype and method."""
    found = {}
    for name, net, shape in networks():
        x = images(shape)
        for dtype in ("float64", "float32"):
            for part, (one, two) in {"own": (x, None), "cross": (x[:4], x[3:])}.items():
                k = kernel(net, one, two, dtype=dtype, backend=backend, threads=1)
                for word, array in (("nngp", k.nngp), ("ntk", k.ntk)):
                    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
                    found[f"{backend} {name} {dtype} {part} {word}"] = digest
    return found


def main(action: str, path: str, backend: str = "numba") -> int:
    """Write digests to a file, or compare with those in it."""
    found = digests(backend)
    if action == "write":
        Path(path).write_text(json.dumps(found, indent=0))
        return 0
    before = json.loads(Path(path).read_text())
    changed = [name for name in before if before[name] != found.get(name)]
    print(f"{len(before)} kernels, {len(changed)} changed")
    print("\n".join(changed))
    return len(changed) > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
