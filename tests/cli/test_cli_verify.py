"""`refntk verify`."""

from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.symmetry import augmentation
from refntk.truth import verify
from refntk.truth.verify import CHECKS, Check


def run(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


@pytest.fixture
def checks(monkeypatch):
    """Replace the checks by some that take no time."""

    def checks(*made):
        monkeypatch.setattr(verify, "CHECKS", made)

    return checks


@pytest.mark.slow
def test_all_checks_pass_on_this_machine():
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [check.name for check in CHECKS]
    assert all(line.endswith("  ok") for line in lines[1:])


def test_a_row_begins_before_its_check(checks, capsys):
    seen = []

    def look():
        seen.append(capsys.readouterr().out)
        return [0.0]

    checks(Check("one thing", look, 1.0), Check("another", look, 1.0))
    main(["verify"], standalone_mode=False)
    assert seen[0].endswith("time\none thing  ")
    assert seen[1].endswith("ok\nanother    ")


@pytest.mark.parametrize("arguments", [(), ("all",)])
def test_a_table_of_errors_and_bounds(checks, arguments):
    checks(
        Check("one thing", lambda: [1e-16, 2.5e-15], 1e-12),
        Check("a second one", lambda: [0.0], 0.0),
    )
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "check            error     bound     time",
        "one thing      2.5e-15     1e-12    0.0 s  ok",
        "a second one         0         0    0.0 s  ok",
    ]


def test_a_check_that_fails_is_1_after_the_whole_table(checks):
    checks(Check("bad", lambda: [1e-3], 1e-12), Check("good", lambda: [0.0], 0.0))
    result = run()
    assert result.exit_code == 1
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["time", "FAILED", "ok"]
    assert result.stderr.startswith("Error: 1 of 2 checks failed; please report the table")
    assert result.stderr.count("\n") == 1


def test_a_check_that_cannot_run_is_told(checks):
    def missing():
        from refntk.errors import missing_package

        raise missing_package("error radii need python-flint", "oracle")

    checks(Check("balls", missing, 1e-12))
    result = run()
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].endswith(
        'skipped: error radii need python-flint; install it with pip install "refntk[oracle]"'
    )


@pytest.fixture
def labelled(tmp_path):
    """Nine images of three classes."""
    rng = np.random.default_rng(3)
    path = tmp_path / "x.npz"
    np.savez(path, images=rng.random((9, 6, 6, 1)), labels=np.repeat([0, 1, 2], 3))
    return path


def test_augmentation(labelled):
    result = run("augmentation", labelled)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "ordinary network on 24 images, all copies under C4 of 6; gcnn-convergence on these 6; "
        "predictions for them and 3 others"
    )
    assert lines[1].split()[:2] == ["training", "time"]
    rows = [[float(cell) for cell in line.split()] for line in lines[2:-1]]
    assert len(rows) == len(augmentation.SCALED_TIMES)
    assert all(0 <= gap <= 1e-9 < size for _, gap, size in rows)
    assert lines[-1].startswith("cost: 372 ordinary kernels and ")
    assert ", 156 and " in lines[-1]
    assert ": 2.38 and " in lines[-1]


def test_a_difference_that_is_too_large_is_1(labelled, monkeypatch):
    found = SimpleNamespace(
        times=(1.0,), differences=(2e-9,), largest=(1.0,), group="C4", copies=24,
        kernels=(2, 1), seconds=(2.0, 1.0), cost_ratio=2.0,
    )  # fmt: skip
    monkeypatch.setattr(augmentation, "compare", lambda *args, **options: found)
    result = run("augmentation", labelled)
    assert result.exit_code == 1
    assert "Error: the largest difference, 2e-09, is above 1e-09" in result.stderr
    assert result.stdout.count("\n") == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["augmentation", "x.npy"], "x.npy: has no labels"),
        (["augmentation", "x.npz", "--network", "gcnn-paper"], "layer 12 (Relu) comes after the p"),
        (["augmentation", "x.npz", "--network", "gcnn-papr"], 'did you mean "gcnn-paper"?'),
        (["augmentation", "x.npz", "--limit", "2"], "needs three images at least, not 2"),
        (["augmentation", "nothing.npz"], "nothing.npz: no such file"),
        (["augmentashun"], "Did you mean 'augmentation'?"),
    ],
)
def test_wrong_use_is_2_and_one_line(labelled, monkeypatch, arguments, words):
    monkeypatch.chdir(labelled.parent)
    np.save("x.npy", np.ones((4, 6, 6, 1)))
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
