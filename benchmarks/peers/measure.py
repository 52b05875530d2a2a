"""Time one network on one machine, with refntk or with neural-tangents, and print JSON.

    python measure.py refntk --size 16 --depth 5 --readout GlobalAvgPool --dtype float64 --pairs 64

The same file runs in two environments, because the two need different versions of NumPy: the same
network, the same images, the same clock. `compare.py` calls it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SECONDS = 20.0


def network(depth: int, readout: str) -> str:
    """Write a network as TOML: 3x3 SAME convolutions with Relu, a readout, a dense layer."""
    conv = (
        '[[layer]]\ntype = "Conv"\nfilter_shape = [3, 3]\nstrides = [1, 1]\npadding = "SAME"\n'
        'W_std = 1.0\nb_std = 0.0\n[[layer]]\ntype = "Relu"\n'
    )
    end = f'[[layer]]\ntype = "{readout}"\n[[layer]]\ntype = "Dense"\nW_std = 1.0\nb_std = 0.0\n'
    return conv * depth + end


def with_refntk(toml: str, x1: Any, x2: Any) -> Callable[[], dict[str, Any]]:
    """Prepare a call of refntk, on all processors."""
    import refntk

    net = refntk.Network.from_toml_string(toml)

    def run() -> dict[str, Any]:
        found = refntk.kernel(net, x1, x2, dtype=str(x1.dtype))
        return {"nngp": found.nngp, "ntk": found.ntk}

    return run


def with_neural_tangents(toml: str, x1: Any, x2: Any) -> Callable[[], dict[str, Any]]:
    """Prepare a compiled call of neural-tangents, on all processors."""
    import sys
    import tomllib
    from pathlib import Path

    import jax
    from neural_tangents import stax

    sys.path.append(str(Path(__file__).resolve().parent.parent / "adapters"))
    from answer_neural_tangents import layer

    jax.config.update("jax_enable_x64", x1.dtype == np.float64)
    _, _, kernel_fn = stax.serial(*map(layer, tomllib.loads(toml)["layer"]))
    compiled = jax.jit(lambda a, b: kernel_fn(a, b, ("nngp", "ntk")))

    def run() -> dict[str, Any]:
        found = jax.block_until_ready(compiled(x1, x2))
        return {"nngp": np.asarray(found.nngp), "ntk": np.asarray(found.ntk)}

    return run


def memory() -> float:
    """Tell the largest resident memory of this process, in units of 2**20 bytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Run once to compile, then until the time is up, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("implementation", choices=("refntk", "neural-tangents"))
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--readout", choices=("GlobalAvgPool", "Flatten"), required=True)
    parser.add_argument("--dtype", choices=("float64", "float32"), required=True)
    parser.add_argument("--pairs", type=int, required=True, help="a square number")
    asked = parser.parse_args()
    side = round(asked.pairs**0.5)
    # The first 16 images are the same for everybody: results can be compared.
    images = np.random.default_rng(0).random((2, 16, asked.size, asked.size, 3))
    x1, x2 = images[:, :side].astype(asked.dtype)
    prepare = with_refntk if asked.implementation == "refntk" else with_neural_tangents
    run = prepare(network(asked.depth, asked.readout), x1, x2)
    begin = time.perf_counter()
    kernels = run()
    first, times = time.perf_counter() - begin, []
    while not times or (sum(times) + times[-1] < SECONDS and len(times) < 5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    corner = {name: np.asarray(k, np.float64)[:2, :2].tolist() for name, k in kernels.items()}
    print(
        json.dumps(
            {"seconds": min(times) / side**2, "first": first, "memory": memory(), "corner": corner}
        )
    )


if __name__ == "__main__":
    main()
