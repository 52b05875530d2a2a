"""The judge inside of another program: in memory, as JSON, and as a plugin for pytest."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data.results.oracle_file import write_suite
from refntk.errors import InputError
from refntk.oracle.truth import solve

CHOSEN = ("mlp-relu", "cnn-linear-same", "cnn-same-bias")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "suite.h5"
    write_suite(path, [solve(case) for case in refntk.oracle.cases() if case.name in CHOSEN])
    return path


def right(case):
    return refntk.kernel(case.network, case.x1, case.x2, backend="numpy", scale="none")


def twice(case):
    k = right(case)
    return {"nngp": k.nngp, "ntk": 2 * k.ntk}


def test_right_answers(suite):
    judgement = refntk.oracle.judge(right, suite)
    assert judgement.right
    assert {verdict.case for verdict in judgement.verdicts} == set(CHOSEN)
    assert "3 right, 0 wrong, 0 not judged in full" in str(judgement)
    assert json.loads(json.dumps(judgement.to_json()))["right"] is True


def test_without_a_suite_it_is_the_one_that_comes_along():
    judgement = refntk.oracle.judge(lambda case: right(case) if case.name in CHOSEN else None)
    assert judgement.right
    assert {verdict.case for verdict in judgement.verdicts} == set(CHOSEN)


def test_some_answers(suite):
    case = next(case for case in refntk.oracle.cases() if case.name == "mlp-relu")
    k = right(case)
    for answer in (k, (k.nngp, k.ntk), {"nngp": k.nngp, "ntk": k.ntk}):
        (verdict,) = refntk.oracle.judge({"mlp-relu": answer}, suite).verdicts
        assert not verdict.wrong
    only = refntk.oracle.judge(lambda each: right(each) if each.name == "mlp-relu" else None, suite)
    assert len(only.verdicts) == 1


def test_wrong_answers_are_shown(suite):
    judgement = refntk.oracle.judge(twice, suite)
    assert not judgement.right
    for name in CHOSEN:
        assert f"{name}: ntk: " in str(judgement)
        assert "the ratio is 2.000000 everywhere" in judgement.details[name]
        assert "expected " in judgement.details[name]
    told = judgement.to_json()
    assert [case["wrong"] for case in told["cases"]] == [True] * 3


def test_what_is_no_answer(suite):
    with pytest.raises(InputError, match="mlp-relo: the suite has no such case"):
        refntk.oracle.judge({"mlp-relo": (1, 2)}, suite)
    with pytest.raises(InputError, match="answers: there are none"):
        refntk.oracle.judge(lambda case: None, suite)
    with pytest.raises(InputError, match="mlp-relu: expected a mapping with nngp and ntk, or a pa"):
        refntk.oracle.judge({"mlp-relu": 3.0}, suite)
    judgement = refntk.oracle.judge({"mlp-relu": {"nngp": np.ones((9, 9))}}, suite)
    assert not judgement.right
    assert "ntk is missing" in str(judgement)


def test_the_command_prints_json(suite, tmp_path):
    answers = tmp_path / "answers.h5"
    with h5py.File(suite) as asked, h5py.File(answers, "w") as file:
        file.attrs["suite"] = asked.attrs["suite"]
        for case in refntk.oracle.cases():
            if case.name in CHOSEN:
                for name, values in twice(case).items():
                    file[f"{case.name}/{name}"] = values
    arguments = ["oracle", "check", str(suite), str(answers)]
    plain = CliRunner().invoke(main, arguments)
    assert plain.exit_code == 1
    assert "mlp-relu: ntk: 4 of 4 entries are wrong; the ratio is 2.000000 everyw" in plain.stdout
    result = CliRunner().invoke(main, [*arguments, "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {case["case"]: case["wrong"] for case in told["cases"]} == dict.fromkeys(CHOSEN, True)


PROGRAM = """
import refntk

def test_mine(refntk_case, refntk_judge):
    k = refntk.kernel(refntk_case.network, refntk_case.x1, refntk_case.x2, backend="numpy",
                      scale="none")
    refntk_judge((k.nngp, (1 + (refntk_case.name == "mlp-relu")) * k.ntk))
"""


def run_pytest(folder, *arguments):
    (folder / "test_mine.py").write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-p", "refntk.pytest_suite", "-q",
         "-p", "no:cacheprovider", "--rootdir", folder, folder, *arguments],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_cases_are_tests_of_pytest(suite, tmp_path):
    done = run_pytest(tmp_path, "--refntk-suite", suite, "--junit-xml", tmp_path / "a.xml")
    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout
    assert "test_mine[mlp-relu]" in done.stdout
    assert "ratio is 2.000000 everywhere" in done.stdout
    assert 'tests="3"' in (tmp_path / "a.xml").read_text()


def test_without_a_suite_nothing_is_judged(tmp_path):
    done = run_pytest(tmp_path, "-rs")
    assert done.returncode == 0
    assert "needs --refntk-suite FILE" in done.stdout
    missing = run_pytest(tmp_path, "--refntk-suite", "nowhere.h5")
    assert missing.returncode == 4
    assert "--refntk-suite nowhere.h5: " in missing.stderr


def test_a_damaged_case_is_named_and_never_passed_over(suite, tmp_path):
    path = tmp_path / "damaged.h5"
    path.write_bytes(suite.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["cases/mlp-relu"]
    message = r"damaged\.h5: mlp-relu: is damaged or missing .*; export the suite again"
    for answers in (right, {"mlp-relu": (np.ones((2, 2)), None)}):
        with pytest.raises(InputError, match=message):
            refntk.oracle.judge(answers, path)
    done = run_pytest(tmp_path, "--refntk-suite", path)
    assert done.returncode == 4
    assert "damaged.h5: mlp-relu: is damaged or missing" in done.stderr
