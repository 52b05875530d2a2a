"""Run the scripts of tests/stax with refntk and with neural-tangents, and compare all numbers.

    python scripts.py --python ../nt/bin/python

`tox run -e peers` calls this in the environment of refntk; the interpreter of the other one comes
with --python. Kernels are compared entry by entry, means and covariances by the larger of an entry
and 1. The NTK of points with themselves is compared off its diagonal, and on it the difference is
shown: neural-tangents takes the root of 1 - c² of a correlation c there, which is rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import refntk
from refntk import stax

SCRIPTS = Path(__file__).resolve().parents[2] / "tests" / "stax" / "scripts.py"
AGREEMENT = 1e-10


def theirs(python: str) -> dict[str, Any]:
    """Compute everything with neural-tangents."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "numbers.json")
        done = subprocess.run(
            [python, str(SCRIPTS), "neural_tangents", str(out)],
            env=environment, text=True, capture_output=True,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"neural-tangents failed:\n{done.stderr}")
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found


def main() -> None:
    """Compare, and end with status 1 where something differs by more than `AGREEMENT`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="interpreter with neural-tangents")
    other = theirs(parser.parse_args().python)
    scripts = runpy.run_path(str(SCRIPTS))
    largest: dict[str, float] = defaultdict(float)
    for part, arrays in (
        ("kernels", scripts["kernels"](stax)),
        ("predictions", scripts["predictions"](refntk, stax)),
    ):
        for name, array in arrays:
            reference = np.array(other[part][name])
            scale = np.abs(reference) if part == "kernels" else np.maximum(np.abs(reference), 1)
            apart = np.abs(array - reference) / scale
            if name.endswith("itself"):
                diagonal = np.einsum("ii->i", apart)
                shown = float(np.nanmax(diagonal, initial=0.0))
                largest["diagonals"] = max(largest["diagonals"], shown)
                diagonal[...] = 0
            largest[part] = max(largest[part], float(apart.max()))
            if not apart.max() <= AGREEMENT:
                sys.exit(f"{name}: apart by {apart.max():.1e}, more than {AGREEMENT}")
    for what, apart in largest.items():
        print(f"{what}: apart by {apart:.1e} at most")


if __name__ == "__main__":
    main()
