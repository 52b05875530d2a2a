"""Compare refntk with neural-tangents, number by number and side by side in time.

    python compare.py --python ../nt/bin/python --results peers.json --page ../benchmarks.md

`tox run -e peers` makes both environments and calls this in that of refntk; the interpreter of the
other one comes with --python. First all layers and paddings that both have are compared on the
cases of `refntk oracle`; then the same networks are timed in turns. What is in the results already
is not measured again, so that the work can be done in pieces (--seconds). The table goes into the
page, between its two marks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np

from refntk.data.results.oracle_file import read_answers, read_suite, write_suite
from refntk.oracle.cases import cases
from refntk.oracle.truth import solve
from refntk.oracle.verdicts import judge

HERE = Path(__file__).resolve().parent
ADAPTER = HERE.parent / "adapters" / "answer_neural_tangents.py"
MARKS = "<!-- peers: begin -->\n", "<!-- peers: end -->\n"
AGREEMENT = 1e-10
VERSIONS = """if True:
    from importlib.metadata import version
    names = ("neural-tangents", "jax", "jaxlib", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names))
"""
# Pairs of images a call, by readout and depth: neural-tangents needs minutes for many pooled pairs.
PAIRS = {
    ("refntk", "GlobalAvgPool"): {5: 256, 20: 256},
    ("refntk", "Flatten"): {5: 256, 20: 256},
    ("neural-tangents", "GlobalAvgPool"): {5: 4, 20: 1},
    ("neural-tangents", "Flatten"): {5: 256, 20: 256},
}
READOUTS, SIZES, DEPTHS = ("GlobalAvgPool", "Flatten"), (16, 28, 32), (5, 20)
DTYPES = ("float32", "float64")


def in_turns() -> list[tuple[str, int, int, str, str]]:
    """List all measurements: readout, size, depth, dtype, and who is measured."""
    return list(product(READOUTS, SIZES, DEPTHS, DTYPES, ("refntk", "neural-tangents")))


def call(python: str, *arguments: object) -> str:
    """Run a script in an environment, quietly and without accelerators, and give what it prints."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [python, *map(str, arguments)], env=environment, text=True, capture_output=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))} failed:\n{done.stderr}")
    return done.stdout.strip()


def agreement(python: str) -> dict[str, Any]:
    """Compare all cases that both can answer; the errors are those of neural-tangents."""
    solved = [solve(case) for case in cases() if not case.name.startswith("gcnn-")]
    with tempfile.TemporaryDirectory() as folder:
        suite, answers = Path(folder, "suite.h5"), Path(folder, "answers.h5")
        write_suite(suite, solved)
        call(python, ADAPTER, suite, answers)
        given = read_answers(answers, read_suite(suite))
    found: dict[str, Any] = {"cases": len(solved)}
    for one in solved:
        verdict = judge(one, given[one.case.name])
        if verdict.obstacles:
            sys.exit("; ".join(verdict.obstacles))
        kind = "hard" if one.case.hard else "benign"
        for kernel, error in verdict.errors.items():
            key = f"{kind} {kernel}"
            found[key] = max(found.get(key, 0.0), error)
    if max(found["benign nngp"], found["benign ntk"], found["hard nngp"]) > AGREEMENT:
        sys.exit(f"refntk and neural-tangents disagree by more than {AGREEMENT}: {found}")
    return found


def name_of(measurement: tuple[str, int, int, str, str]) -> str:
    """Name a measurement for the results."""
    return " ".join(map(str, measurement))


def measure(python: str, measurement: tuple[str, int, int, str, str]) -> dict[str, Any]:
    """Time one network with one of the two."""
    readout, size, depth, dtype, who = measurement
    pairs = PAIRS[who, readout][depth]
    arguments = ["--size", size, "--depth", depth, "--readout", readout, "--dtype", dtype]
    interpreter = sys.executable if who == "refntk" else python
    printed = call(interpreter, HERE / "measure.py", who, *arguments, "--pairs", pairs)
    return {**json.loads(printed.splitlines()[-1]), "pairs": pairs}


def milliseconds(seconds: float) -> str:
    """Write a time with three digits."""
    value = 1000 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def apart(one: dict[str, Any], two: dict[str, Any]) -> float:
    """Give the largest relative difference of two measurements, over the pairs that both have."""
    largest = 0.0
    for a, b in zip(one["corner"].values(), two["corner"].values(), strict=True):
        side = min(len(a), len(b))
        ratios = np.array(a)[:side, :side] / np.array(b)[:side, :side]
        largest = max(largest, float(np.max(np.abs(ratios - 1))))
    return largest


def rounding(results: dict[str, Any], who: str) -> float:
    """Give the largest difference between a float32 result and refntk's in float64."""
    networks = product(READOUTS, SIZES, DEPTHS)
    return max(
        apart(
            results[name_of((*network, "float32", who))],
            results[name_of((*network, "float64", "refntk"))],
        )
        for network in networks
    )


def rows(results: dict[str, Any]) -> list[str]:
    """Write a row for each network."""
    lines = []
    for readout, size, depth, dtype in product(READOUTS, SIZES, DEPTHS, DTYPES):
        ours, theirs = (
            results[name_of((readout, size, depth, dtype, who))]
            for who in ("refntk", "neural-tangents")
        )
        ratio = theirs["seconds"] / ours["seconds"]
        lines.append(
            f"| {readout} | {size}×{size} | {depth} | {dtype} | {milliseconds(ours['seconds'])} "
            f"| {milliseconds(theirs['seconds'])} | {ratio:.0f} | {ours['memory']:.0f} "
            f"| {theirs['memory']:.0f} | {theirs['pairs']} | {apart(ours, theirs):.0e} |"
        )
    return lines


ABOUT = """{cases} cases of `refntk oracle` have only layers that both have. In float64 the largest
relative error of neural-tangents is {benign nngp:.0e} in the NNGP and {benign ntk:.0e} in the NTK;
on the hard ones among them it is {hard nngp:.0e} and {hard ntk:.0e}.

Measured in turns: refntk {refntk} with Numba, and {versions}, compiled with `jax.jit`; Python
{python}; each with all {cores} cores of a processor that LLVM calls {processor}. Compilation is not
counted. Networks: 3×3 SAME convolutions with Relu, the readout, a dense layer; NNGP and NTK of
seeded random images (seed 0) of three channels. Each time is the best of up to five calls, of 256
pairs of images with refntk, and of as many as the table says with neural-tangents. The machine is
shared, and a single time may be too long by a factor of two or three. Memory is the largest
resident size of
the process in MB, libraries included. *Apart* is the largest relative difference of the two. In
float32 it is the rounding of one of them: against refntk in float64, refntk in float32 is off by
{ours:.0e} at most in these networks, neural-tangents by {theirs:.0e}."""
COLUMNS = (
    "readout", "images", "layers", "dtype", "refntk, ms a pair", "neural-tangents, ms a pair",
    "ratio", "refntk, MB", "neural-tangents, MB", "its pairs", "apart",
)  # fmt: skip


def section(results: dict[str, Any]) -> str:
    """Write what goes into the page."""
    about = ABOUT.format(
        **results["agreement"],
        refntk=version("refntk"),
        versions=results["versions"],
        python=platform.python_version(),
        cores=os.cpu_count(),
        ours=rounding(results, "refntk"),
        theirs=rounding(results, "neural-tangents"),
        processor=llvmlite.binding.get_host_cpu_name(),
    )
    paragraphs = (textwrap.fill(part, 125, break_on_hyphens=False) for part in about.split("\n\n"))
    table = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *rows(results)]
    return "\n\n".join([*paragraphs, "\n".join(table)]) + "\n"


def write(page: Path, text: str) -> None:
    """Replace what is between the marks of the page."""
    content = page.read_text(encoding="utf-8")
    before, rest = content.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    page.write_text(before + MARKS[0] + text + MARKS[1] + after, encoding="utf-8")


def main() -> None:
    """Compare, measure what is not measured yet, and write the page when all is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="interpreter with neural-tangents")
    parser.add_argument("--results", type=Path, required=True, help="JSON file that is kept")
    parser.add_argument("--page", type=Path, required=True, help="page with the two marks")
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin nothing after that")
    asked = parser.parse_args()
    begin = time.monotonic()
    results = json.loads(asked.results.read_text()) if asked.results.exists() else {}

    def missing(key: str) -> bool:
        return key not in results and time.monotonic() - begin < asked.seconds

    def keep(key: str, value: Any) -> None:
        results[key] = value
        asked.results.write_text(json.dumps(results, indent=1))
        print(f"{key}: {value}", file=sys.stderr)

    if missing("versions"):
        keep("versions", call(asked.python, "-c", VERSIONS))
    if missing("agreement"):
        keep("agreement", agreement(asked.python))
    for measurement in in_turns():
        if missing(name_of(measurement)):
            keep(name_of(measurement), measure(asked.python, measurement))
    left = [m for m in in_turns() if name_of(m) not in results]
    if left:
        print(f"{len(left)} measurements are left: call again", file=sys.stderr)
    else:
        write(asked.page, section(results))


if __name__ == "__main__":
    main()
