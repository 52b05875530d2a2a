"""The runnable examples of docs/: adapters that answer a suite, and sampled networks beside it."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result

from refntk.cli import main
from refntk.data.results.oracle_file import write_suite
from refntk.oracle.cases import cases
from refntk.oracle.truth import solve

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"
CHOSEN = (
    "mlp-relu",
    "cnn-strides-same",
    "gcnn-c4-linear",
    "gcnn-c4",
    "gcnn-c4-bias",
    "gcnn-c4-circular",
    "gcnn-c4-lift-unpooled",
    "gcnn-c4-valid",
    "gcnn-hard-near-5",
)
GROUP_CASES = 7


def check(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["oracle", "check", *map(str, arguments)])


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "suite.h5"
    write_suite(path, [solve(case) for case in cases() if case.name in CHOSEN])
    return path


def answer(script: str, suite: Path, answers: Path, *options: str) -> None:
    path = str(SCRIPTS / "adapters" / script)
    program = [sys.executable, path, str(suite), str(answers), *options]
    subprocess.run(program, check=True)


def test_the_released_recursion_has_the_right_nngp_and_twice_the_first_ntk(
    suite: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.h5"
    answer("answer_released_code.py", suite, answers)
    result = check(suite, answers, "--answered")
    assert (result.exit_code, result.stderr) == (1, "")
    count = f"in {GROUP_CASES} of {GROUP_CASES} wrong cases"
    assert f"diagnosis: first-layer NTK twice, {count}" in result.stdout
    table = [line.split() for line in result.stdout.splitlines()[1 : GROUP_CASES + 1]]
    assert all(float(row[1]) < 1 < float(row[2]) for row in table)
    with h5py.File(answers) as given:
        ratio = given["gcnn-c4-linear/ntk"][...] / given["gcnn-c4-linear/nngp"][...]
    assert ratio == pytest.approx(2)


def test_the_released_recursion_is_right_from_an_ntk_of_zero(suite: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.h5"
    answer("answer_released_code.py", suite, answers, "--ntk-from-zero")
    result = check(suite, answers, "--answered")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{GROUP_CASES} right, 0 wrong" in result.stdout
    result = check(suite, answers)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "not judged: mlp-relu: has no answer",
        "not judged: cnn-strides-same: has no answer",
    ]


def test_sampled_networks_beside_both(suite: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.h5"
    answer("answer_released_code.py", suite, answers)
    script = SCRIPTS / "adapters" / "compare_sampled.py"
    program = [sys.executable, script, suite, answers, "gcnn-c4-linear", "--width", 8]
    printed = subprocess.run(
        [*map(str, program), "--draws", "2"], check=True, capture_output=True, text=True
    ).stdout
    rows = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines()[2:]]
    assert len(rows) == 4
    # The NTK of a single layer does not depend on its weights: two draws are exact.
    assert all(float(row[5]) < 1e-15 and float(row[7]) > 0.01 for row in rows)


def test_neural_tangents(suite: Path, tmp_path: Path) -> None:
    pytest.importorskip("neural_tangents", reason="lives in an environment of its own")
    answers = tmp_path / "answers.h5"
    answer("answer_neural_tangents.py", suite, answers)
    result = check(suite, answers, "--answered")
    assert (result.exit_code, "2 right, 0 wrong" in result.stdout) == (0, True)


def test_the_table_of_the_peers(tmp_path: Path) -> None:
    peers = runpy.run_path(str(SCRIPTS / "peers" / "compare.py"))
    corner = {"nngp": [[2.0, 1.0], [1.0, 2.0]], "ntk": [[4.0]]}
    other = {"nngp": [[2.0]], "ntk": [[4.0004]]}
    results = {
        "versions": "neural-tangents 0",
        "agreement": {"cases": 3} | {f"{a} {b}": 1e-15 for a in ("benign", "hard") for b in corner},
    }
    for measurement in peers["in_turns"]():
        ours = measurement[-1] == "refntk"
        results[peers["name_of"](measurement)] = {
            "seconds": 0.012345 if ours else 1.2345,
            "memory": 99.6 if ours else 700.4,
            "pairs": 64 if ours else 1,
            "corner": corner if ours else other,
        }
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- peers: begin -->\nold\n<!-- peers: end -->\nafter\n")
    peers["write"](page, peers["section"](results))
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "old" not in lines
    table = [line for line in lines if line.startswith("| GlobalAvgPool") or "| Flatten" in line]
    assert len(table) == 24
    assert table[0] == (
        "| GlobalAvgPool | 16×16 | 5 | float32 | 12.3 | 1234 | 100 | 100 | 700 | 1 | 1e-04 |"
    )
