"""Answer a suite of `refntk oracle` with neural-tangents: its own dense and convolutional layers.

    python answer_neural_tangents.py suite.h5 answers.h5 [--float32]
    refntk oracle check suite.h5 answers.h5 --only '[cm][nl][np]-*'

It needs neural-tangents and h5py, and not refntk: the two can live in different environments. The
cases of group networks, whose layers neural-tangents does not have, stay unanswered.
"""

from __future__ import annotations

import argparse
import tomllib
from typing import Any

import h5py
import jax
import numpy as np
from neural_tangents import stax

SIZES = ("filter_shape", "strides")


def layer(about: dict[str, Any]) -> Any:
    """Build one layer; widths do not enter the kernel."""
    kind, rest = about["type"], {key: value for key, value in about.items() if key != "type"}
    if kind in ("Conv", "Dense"):
        # No bias at all is another network than a bias of deviation 0 in some parametrisations.
        rest["b_std"] = rest["b_std"] or None
        rest |= {key: tuple(rest[key]) for key in SIZES if key in rest}
        return getattr(stax, kind)(1, parameterization="ntk", **rest)
    return getattr(stax, kind)()


def kernels(toml: str, x1: Any, x2: Any) -> dict[str, Any]:
    """Compute NNGP and NTK of a network given as TOML."""
    layers = tomllib.loads(toml)["layer"]
    _, _, kernel_fn = stax.serial(*map(layer, layers))
    found = kernel_fn(x1, x2, ("nngp", "ntk"))
    answers = {"nngp": np.asarray(found.nngp), "ntk": np.asarray(found.ntk)}
    if answers["nngp"].ndim == 6:
        # Before a readout its axes are (N1, N2, y, y', x, x').
        answers = {name: value.transpose(0, 1, 2, 4, 3, 5) for name, value in answers.items()}
    return answers


def main() -> None:
    """Read the suite, answer what can be answered, and write the answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite")
    parser.add_argument("answers")
    parser.add_argument("--float32", action="store_true", help="claim and use single precision")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", not arguments.float32)
    dtype = np.float32 if arguments.float32 else np.float64
    with h5py.File(arguments.suite) as suite, h5py.File(arguments.answers, "w") as answers:
        answers.attrs["suite"] = suite.attrs["suite"]
        for name, case in suite["cases"].items():
            if name.startswith("gcnn-"):
                continue
            x1 = case["x1"][...].astype(dtype)
            x2 = case["x2"][...].astype(dtype) if "x2" in case else None
            for kernel, value in kernels(case.attrs["network"].decode(), x1, x2).items():
                answers[f"{name}/{kernel}"] = value


if __name__ == "__main__":
    main()
