"""The oracle: its cases, its files, and that planted mistakes are caught and named."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import refntk
from refntk.cli import main
from refntk.data.results import oracle_file
from refntk.data.results.oracle_file import read_suite, write_suite
from refntk.network import Network
from refntk.network.layers import Conv, Dense, GlobalAvgPool, GroupConv, GroupPool, Lift, Relu
from refntk.ops.groups import GROUPS
from refntk.oracle.cases import Case, cases
from refntk.oracle.faults import FAULTS
from refntk.oracle.truth import Solved, deviation, solve
from refntk.oracle.verdicts import Verdict, judge, settle
from refntk.recursion import propagate

Answers = dict[str, dict[str, Any]]
Close = Callable[..., None]

CHOSEN = (
    "mlp-relu",
    "mlp-bias",
    "cnn-linear-same",
    "cnn-same-bias",
    "cnn-valid-flatten",
    "cnn-head",
    "cnn-depth-10",
    "gcnn-c2-linear",
    "gcnn-c4",
    "gcnn-d2",
    "gcnn-c4-bias",
    "gcnn-c4-lift-unpooled",
    "cnn-hard-duplicates",
    "cnn-hard-itself-flatten",
    "cnn-hard-zero-patch",
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["oracle", *map(str, arguments)])


@pytest.fixture(scope="module")
def solved() -> list[Solved]:
    return [solve(case) for case in cases() if case.name in CHOSEN]


@pytest.fixture
def suite(solved: list[Solved], tmp_path: Path) -> Path:
    path = tmp_path / "suite.h5"
    write_suite(path, solved)
    return path


def plain(case: Case, dtype: str = "float64", network: Network | None = None) -> dict[str, Any]:
    """Answer a case as another implementation would: the recursion in floating point."""
    x2 = None if case.x2 is None else case.x2.astype(dtype)
    state = propagate(network or case.network, case.x1.astype(dtype), x2)
    return {"nngp": state.nngp, "ntk": state.ntk}


def write(suite: Path, answers: Answers) -> Path:
    path = suite.with_name("answers.h5")
    with h5py.File(path, "w") as file:
        with h5py.File(suite) as asked:
            file.attrs["suite"] = asked.attrs["suite"]
        for name, kernels in answers.items():
            group = file.create_group(name)
            for kernel, values in kernels.items():
                group[kernel] = values
    return path


# ---------------------------------------------------------------------------------------------
# Mistakes, planted without the code that recognises them.


def twice(case: Case) -> dict[str, Any]:
    """Count twice what the weights of the first layer contribute to the NTK.

    The NTK is linear in itself: with nothing in the place of the first layer's it is what the other
    layers contribute, and with b^2 there the contribution of its biases comes to that.
    """
    layers = case.network.layers
    first = next(k for k, layer in enumerate(layers) if isinstance(layer, Conv | Lift | Dense))

    def beginning_as(value: float) -> Any:
        def alter(index: int, kernels: Any) -> Any:
            nngp, ntk = kernels
            return nngp, (ntk * 0 + value if ntk is not None and index == first else ntk)

        return propagate(case.network, case.x1, case.x2, alter=alter).ntk

    whole = plain(case)
    without_weights = beginning_as(layers[first].b_std ** 2)  # type: ignore[union-attr]
    return {"nngp": whole["nngp"], "ntk": 2 * whole["ntk"] - without_weights}


def scaled_weights(case: Case, factors: dict[int, float], last: float = 1.0) -> dict[str, Any]:
    """Scale what comes into the linear layers of these indices, by changing their W_std."""
    layers = [
        replace(layer, W_std=layer.W_std * factors[k]) if k in factors else layer  # type: ignore
        for k, layer in enumerate(case.network.layers)
    ]
    answer = plain(case, network=Network(layers))
    return {name: last * values for name, values in answer.items()}


def after(case: Case, kinds: Any, factor: Callable[[int], float]) -> dict[str, Any]:
    """Multiply the kernels above layers of these kinds, by the weights of the next linear layer."""
    layers, factors, pending = case.network.layers, {}, 1.0
    for k, layer in enumerate(layers):
        if isinstance(layer, kinds):
            pending *= factor(k)
        elif isinstance(layer, Conv | Lift | GroupConv | Dense):
            factors[k], pending = math.sqrt(pending), 1.0
    return scaled_weights(case, factors, pending)


def gain(case: Case) -> dict[str, Any]:
    return after(case, Relu, lambda k: 2.0)


def summed(case: Case) -> dict[str, Any]:
    order = 1
    for layer in case.network.layers:
        if isinstance(layer, Lift):
            order = {"C1": 1, "C2": 2, "C4": 4, "D1": 2, "D2": 4, "D4": 8}[layer.group]
    shapes = [signal.shape for signal in case.network.signals(case.x1.shape[1:])]
    return after(
        case,
        GroupPool | GlobalAvgPool,
        lambda k: float((order * math.prod(shapes[k - 1])) ** 2),  # type: ignore
    )


def undivided(case: Case) -> dict[str, Any]:
    order = {"C2": 2, "D2": 4, "C4": 4}
    group = next((x.group for x in case.network.layers if isinstance(x, Lift)), "")
    positions = [k for k, x in enumerate(case.network.layers) if isinstance(x, GroupConv)]
    return scaled_weights(case, {k: math.sqrt(order[group]) for k in positions})


def backwards(case: Case) -> dict[str, Any]:
    """Turn filters the other way: a mirrored image sees them so, at mirrored positions."""
    if "unpooled" not in case.name:
        return plain(case)
    assert case.x2 is not None
    flipped = replace(case, x1=case.x1[:, :, ::-1], x2=case.x2[:, :, ::-1])
    return {name: values[:, :, :, :, :, ::-1, :, ::-1] for name, values in plain(flipped).items()}


def single(case: Case) -> dict[str, Any]:
    return {name: values.astype(np.float64) for name, values in plain(case, "float32").items()}


HIDDEN = ("mlp-bias", "mlp-relu")


def standard(case: Case) -> dict[str, Any]:
    """Sum over layers what unscaled weights and biases contribute, at width 300."""
    x = case.x1.reshape(len(case.x1), -1)
    y = x if case.x2 is None else case.x2.reshape(len(case.x2), -1)
    k, kx, ky = x @ y.T / x.shape[1], (x * x).mean(axis=1), (y * y).mean(axis=1)
    ntk, width = 0 * k, x.shape[1]
    for layer in case.network.layers[1:]:
        if isinstance(layer, Dense):
            w, b = layer.W_std**2, layer.b_std**2
            ntk = width * k + (1 if b else 0) + w * ntk
            k, kx, ky, width = w * k + b, w * kx + b, w * ky + b, 300
        else:
            size = np.sqrt(np.outer(kx, ky))
            angle = np.arccos(np.clip(k / size, -1, 1))
            ntk = ntk * (np.pi - angle) / (2 * np.pi)
            k = size * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
            kx, ky = kx / 2, ky / 2
    return {"nngp": k, "ntk": ntk}


def swapped(case: Case) -> dict[str, Any]:
    answer = plain(case)
    return {"nngp": answer["ntk"], "ntk": answer["nngp"]}


def crossed(case: Case) -> dict[str, Any]:
    """Answer for the columns and the rows, where there are as many."""
    if case.x2 is None or len(case.x1) != len(case.x2):
        return plain(case)
    return plain(replace(case, x1=case.x2, x2=case.x1))


PLANTED: dict[str, tuple[Callable[[Case], dict[str, Any]], int]] = {
    "first-layer NTK twice": (twice, 15),
    "Relu gain of 2": (gain, 12),
    "sum for mean pooling": (summed, 10),
    "standard parametrisation": (standard, 2),
    "filters not divided by rotations": (undivided, 3),
    "rotations run backwards": (backwards, 1),
    "NNGP and NTK swapped": (swapped, 12),
    "transposed": (crossed, 13),
    "float32 where float64 is claimed": (single, 15),
}


def test_every_known_mistake_is_planted() -> None:
    elsewhere = "Hermite off unit variance"  # in test_oracle_activations
    names = [fault.name for fault in FAULTS]
    assert list(PLANTED) == [name for name in names if name != elsewhere]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_caught_and_named(
    name: str, solved: list[Solved], suite: Path
) -> None:
    wrong, count = PLANTED[name]
    planted = [one.case for one in solved if wrong is not standard or one.case.name in HIDDEN]
    path = write(suite, {case.name: wrong(case) for case in planted})
    result = run("check", suite, path, "--answered")
    assert result.exit_code == 1
    assert f"{len(planted) - count} right, {count} wrong, 0 not judged" in result.stdout
    assert f"diagnosis: {name}, in {count} of {count} wrong cases: " in result.stdout
    assert result.stdout.count("diagnosis") == 1
    assert len(re.findall(f"  wrong: {name}(; [^;]* × .*)?\n", result.stdout)) == count
    assert result.stderr == ""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_right_answers_pass(dtype: str, solved: list[Solved], suite: Path) -> None:
    path = write(suite, {one.case.name: plain(one.case, dtype) for one in solved})
    result = run("check", suite, path)
    assert result.exit_code == 0, result.stdout
    assert f"{len(solved)} right, 0 wrong, 0 not judged" in result.stdout
    assert "diagnosis" not in result.stdout
    assert result.stderr == ""


def test_a_mistake_nobody_knows(solved: list[Solved], suite: Path) -> None:
    answers = {one.case.name: plain(one.case) for one in solved}
    answers["gcnn-c4"]["ntk"] = answers["gcnn-c4"]["ntk"] * 1.01
    result = run("check", suite, write(suite, answers))
    assert result.exit_code == 1
    assert "14 right, 1 wrong, 0 not judged" in result.stdout
    assert "no known mistake explains 1 of 1 wrong cases" in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.startswith("gcnn-c4 "))
    assert row.split()[2:] == ["1e+10", "wrong:", "no", "known", "mistake;", "ntk", "×", "1.01"]
    assert "a constant factor, ntk × 1.01, explains 1 of them" in result.stdout


@pytest.mark.parametrize(
    ("name", "doubled"), [("cnn-linear-same", ("ntk",)), ("mlp-relu", ("nngp", "ntk"))]
)
def test_a_factor_in_one_case_of_many_is_no_convention(
    name: str, doubled: tuple[str, ...], solved: list[Solved], suite: Path
) -> None:
    # Alone, the case would show a first layer counted twice, or a Relu gain; but all the other
    # answers are right, which they would not be.
    answers = {one.case.name: plain(one.case) for one in solved}
    for kernel in doubled:
        answers[name][kernel] = 2 * answers[name][kernel]
    result = run("check", suite, write(suite, answers))
    assert "14 right, 1 wrong, 0 not judged" in result.stdout
    assert "diagnosis" not in result.stdout
    factors = ", ".join(f"{kernel} × 2" for kernel in doubled)
    assert f"wrong: no known mistake; {factors}\n" in result.stdout
    only = run("check", suite, suite.with_name("answers.h5"), "--only", name)
    assert "diagnosis: " in only.stdout  # where nothing speaks against it


def test_a_factor_is_named_where_single_precision_is_claimed(solved: list[Solved]) -> None:
    one = next(each for each in solved if each.case.name == "mlp-relu")
    answer = {name: np.float32(1.5) * values for name, values in plain(one.case, "float32").items()}
    factors = judge(one, answer).factors
    assert all(abs(factors[name] - 1.5) < 1e-5 for name in ("nngp", "ntk"))
    answer["ntk"][0, 0] *= 2
    assert list(judge(one, answer).factors) == ["nngp"]


def test_a_transposed_matrix_of_another_shape_is_named(solved: list[Solved]) -> None:
    one = next(each for each in solved if each.case.x2 is None)
    case = replace(one.case, x1=np.vstack([one.case.x1, 2 * one.case.x1]), x2=one.case.x1)
    answer = {name: values.T for name, values in plain(case).items()}
    obstacles = judge(solve(case), answer).obstacles
    assert all(words.endswith("; transposed it is right") for words in obstacles)
    obstacles = judge(solve(case), {name: 2 * values for name, values in answer.items()}).obstacles
    assert all(words.endswith(f"expected {answer['ntk'].shape[::-1]}") for words in obstacles)


def test_the_suite_may_be_a_string_of_variable_length(solved: list[Solved], suite: Path) -> None:
    path = write(suite, {one.case.name: plain(one.case) for one in solved[:2]})
    with h5py.File(path, "r+") as file:
        text = bytes(file.attrs["suite"]).decode()
        file.attrs["suite"] = text  # as h5py writes a str
    assert run("check", suite, path, "--answered").exit_code == 0
    with h5py.File(path, "r+") as file:
        file.attrs["suite"] = "x" + text[1:]
    assert "answers another version of the suite" in run("check", suite, path).stderr
    with h5py.File(path, "r+") as file:
        file.attrs["suite"] = [text, text]
    assert "does not say which suite it answers" in run("check", suite, path).stderr


def test_the_mistake_that_explains_most_is_named() -> None:
    both, other = ("Relu gain of 2", "sum for mean pooling"), ("sum for mean pooling",)
    rows = [
        Verdict(name, units={"ntk": 2.0}, suspects=suspects)
        for name, suspects in (("a", both), ("b", other), ("c", both), ("d", other), ("e", ()))
    ]
    assert [row.suspects for row in settle(rows)] == [other] * 4 + [()]


# ---------------------------------------------------------------------------------------------
# Files.


def test_the_suite_is_read_as_it_was_written(solved: list[Solved], suite: Path) -> None:
    read = read_suite(suite)
    assert list(read.solved) == [one.case.name for one in solved]
    assert not read.damaged
    for one in solved:
        again = read.solved[one.case.name]
        assert again.case.network == one.case.network
        assert again.case.about == one.case.about
        assert again.case.hard == one.case.hard
        np.testing.assert_array_equal(again.case.x1, one.case.x1)
        assert (again.case.x2 is None) == (one.case.x2 is None)
        for name, truth in one.truth.items():
            np.testing.assert_array_equal(again.truth[name].value, truth.value)
            np.testing.assert_array_equal(again.truth[name].radius, truth.radius)
            assert again.truth[name].tolerance == truth.tolerance


def test_a_suite_is_the_same_each_time_proven_or_taken_from_the_one_that_comes_along(
    tmp_path: Path,
) -> None:
    for name, prove in (("a.h5", "--prove"), ("b.h5", "--prove"), ("c.h5", "--quiet")):
        result = run("export", tmp_path / name, "--only", "mlp-*", "-q", prove)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"{tmp_path / name}: 5 cases\n"
        assert (tmp_path / name).read_bytes() == (tmp_path / "a.h5").read_bytes()


def test_the_suite_that_comes_along_has_todays_cases(tmp_path: Path) -> None:
    """Where not: ``refntk oracle export --prove suite.h5``, and gzip it into its place."""
    suite = read_suite()
    assert list(suite.solved) == [case.name for case in cases()]
    run("export", tmp_path / "today.h5")
    assert suite.identity == oracle_file._identity(cases())
    assert read_suite(tmp_path / "today.h5").identity == suite.identity
    assert not suite.damaged


@pytest.mark.slow
def test_the_suite_that_comes_along_is_proven(tmp_path: Path) -> None:
    run("export", tmp_path / "taken.h5")
    run("export", tmp_path / "proven.h5", "--prove")
    assert (tmp_path / "taken.h5").read_bytes() == (tmp_path / "proven.h5").read_bytes()


def test_what_cannot_be_judged_is_named_and_the_rest_is_judged(
    solved: list[Solved], suite: Path
) -> None:
    answers: Answers = {one.case.name: plain(one.case) for one in solved}
    del answers["mlp-relu"]
    del answers["gcnn-c4"]["nngp"]
    answers["cnn-head"]["ntk"] = answers["cnn-head"]["ntk"][:1]
    answers["gcnn-d2"]["ntk"][0, 1] = np.nan
    answers["mlp-bias"]["nngp"] = answers["mlp-bias"]["nngp"].astype(np.float16)
    answers["gcnn-c5"] = answers["gcnn-d2"]
    result = run("check", suite, write(suite, answers))
    assert result.exit_code == 2
    assert "10 right, 0 wrong, 5 not judged in full" in result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 6
    for words in (
        "answers.h5: gcnn-c5: the suite has no such case",
        "not judged: mlp-relu: has no answer",
        "not judged: gcnn-c4: nngp is missing",
        "not judged: cnn-head: ntk has the shape (1, 2), expected (2, 2)",
        "not judged: gcnn-d2: ntk has NaN or infinity in 1 of 4 entries",
        "not judged: mlp-bias: nngp has the dtype float16, expected float64 or float32",
    ):
        assert any(line.endswith(words) for line in lines), words
    result = run("check", suite, suite.with_name("answers.h5"), "--only", "*-linear*")
    assert (result.exit_code, "2 right, 0 wrong, 0 not judged" in result.stdout) == (0, True)


def test_a_wrong_answer_counts_more_than_a_missing_one(solved: list[Solved], suite: Path) -> None:
    answers = {one.case.name: plain(one.case) for one in solved}
    del answers["mlp-relu"]
    answers["gcnn-c4"] = gain(next(one.case for one in solved if one.case.name == "gcnn-c4"))
    result = run("check", suite, write(suite, answers))
    assert result.exit_code == 1
    assert "13 right, 1 wrong, 1 not judged" in result.stdout


def test_damaged_cases_of_a_suite_are_named(solved: list[Solved], suite: Path) -> None:
    path = write(suite, {one.case.name: plain(one.case) for one in solved})
    with h5py.File(suite, "r+") as file:
        del file["cases/mlp-relu"]
        del file["cases/gcnn-c4/ntk_radius"]
        file["cases/cnn-head/nngp"][0, 0] = np.nan
        del file["cases/gcnn-d2"].attrs["network"]
    result = run("check", suite, path)
    assert result.exit_code == 2
    assert "11 right, 0 wrong, 4 not judged" in result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    for name in ("mlp-relu", "gcnn-c4", "cnn-head", "gcnn-d2"):
        start = f"not judged: {name}: is damaged or missing in the suite ("
        assert sum(line.startswith(start) for line in lines) == 1


def _format(file: h5py.File) -> None:
    file.attrs["format"] = np.bytes_(b"refntk-oracle/2")


def _no_format(file: h5py.File) -> None:
    del file.attrs["format"]


def _no_names(file: h5py.File) -> None:
    del file["names"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_format, "has the format 'refntk-oracle/2'; expected 'refntk-oracle/1'"),
        (_no_format, "is not a suite; expected 'refntk-oracle/1', which `refntk oracle export`"),
        (_no_names, "is a damaged suite; export it again"),
    ],
)
def test_what_is_no_suite(
    change: Callable[[h5py.File], None], words: str, solved: list[Solved], suite: Path
) -> None:
    path = write(suite, {})
    with h5py.File(suite, "r+") as file:
        change(file)
    result = run("check", suite, path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {suite}: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        (None, 'does not say which suite it answers; copy the attribute: answers.attrs["suite"]'),
        (np.bytes_(b"0" * 64), "answers another version of the suite (000000000000, not "),
        ("of variable length", "answers another version of the suite (of variable "),
    ],
)
def test_answers_to_another_suite(attribute: Any, words: str, suite: Path) -> None:
    path = write(suite, {})
    with h5py.File(path, "r+") as file:
        del file.attrs["suite"]
        if attribute is not None:
            file.attrs["suite"] = attribute
    result = run("check", suite, path)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_answer_that_cannot_be_read(solved: list[Solved], suite: Path) -> None:
    answers: Answers = {one.case.name: plain(one.case) for one in solved}
    answers["mlp-relu"]["ntk"] = "many words"
    result = run("check", suite, write(suite, answers))
    assert result.exit_code == 2
    assert "not judged: mlp-relu: ntk cannot be read (" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "none.h5", "none.h5"), "none.h5: no such file"),
        (("check", "text.h5", "text.h5"), "text.h5: cannot be read"),
        (("export", "text.h5"), "text.h5: exists already; choose another name or allow it"),
        (("export", "none/suite.h5"), "the folder none does not exist; create it"),
        (("export", "."), ".: is a folder; give the name of a file"),
        (("export", "suite.h5", "--only", "rnn-*"), "no case has a name like 'rnn-*'"),
    ],
)
def test_bad_use_is_2_and_one_line(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.h5").write_text("this is text")
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["text.h5"]


def test_export_without_ball_arithmetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "refntk.truth.balls", raising=False)
    monkeypatch.setitem(sys.modules, "flint", None)
    result = run("export", tmp_path / "suite.h5", "--only", "mlp-linear", "--prove")
    assert result.exit_code == 2
    assert 'need python-flint; install it with pip install "refntk[oracle]"' in result.stderr
    assert not list(tmp_path.iterdir())
    assert run("export", tmp_path / "suite.h5", "--only", "mlp-linear").exit_code == 0


# ---------------------------------------------------------------------------------------------
# The cases themselves.


def test_the_cases_cover_what_they_promise() -> None:
    every = cases()
    assert len({case.name for case in every}) == len(every) >= 60
    layers = [layer for case in every for layer in case.network.layers]
    assert {layer.group for layer in layers if isinstance(layer, Lift)} == set(GROUPS)
    for kind in (Conv, Lift, GroupConv):
        paddings = {layer.padding for layer in layers if isinstance(layer, kind)}
        assert paddings == {"SAME", "VALID", "CIRCULAR"}
        assert any(layer.b_std > 0 for layer in layers if isinstance(layer, kind))
    depths = {
        sum(isinstance(layer, Conv | Lift | GroupConv) for layer in case.network.layers)
        for case in every
    }
    assert {1, 2, 5, 10, 20} <= depths
    assert sum(case.hard for case in every) >= 15
    assert all(case.x1.shape[1] * case.x1.shape[2] <= 36 for case in every)
    assert all(case.network.name == case.name and case.about.isprintable() for case in every)


def fast(case: Case, dtype: str) -> dict[str, Any]:
    """Answer a case that ends behind a readout by refntk's fast method."""
    found = refntk.kernel(case.network, case.x1, case.x2, dtype=dtype)
    return {"nngp": found.nngp, "ntk": found.ntk}


@pytest.mark.slow
def test_refntk_answers_all_cases_right(tmp_path: Path) -> None:
    suite = tmp_path / "suite.h5"
    assert run("export", suite, "--prove").exit_code == 0
    truth = read_suite(suite).solved.values()
    for dtype in ("float64", "float32"):
        path = write(suite, {one.case.name: plain(one.case, dtype) for one in truth})
        result = run("check", suite, path)
        assert result.exit_code == 0, result.stdout
        pooled = [one.case for one in truth if one.truth["nngp"].value.ndim == 2]
        path = write(suite, {case.name: fast(case, dtype) for case in pooled})
        result = run("check", suite, path, "--answered")
        assert result.exit_code == 0, result.stdout
        assert f"{len(pooled)} right" in result.stdout
    for one in truth:
        for kernel in one.truth.values():
            # The radius is the rounding of the value to double, or little more.
            assert (kernel.radius <= 2.0**-51 * np.abs(kernel.value)).all()


def test_deviation_of_scalars_and_of_entries() -> None:
    value = np.array([[1.0, 0.0], [1e-9, 2.0]])
    assert deviation(value, value) == 0
    assert deviation(value + np.diag([0.0, 0.2]), value) == pytest.approx(0.1)
    assert deviation(value + [[0, 0], [1e-10, 0]], value) == pytest.approx(0.1)
    assert deviation(value + [[0, 1e-300], [0, 0]], value) == math.inf
    assert deviation(value + 0.25, value, np.full((2, 2), 0.25)) == 0
    entries = np.array([[[1.0, 1e-9]]])
    assert deviation(entries + [[[0, 1e-5]]], entries) == pytest.approx(1e-3)


def test_judge_by_kernel(solved: list[Solved]) -> None:
    one = next(one for one in solved if one.case.name == "gcnn-c4")
    answer = plain(one.case)
    verdict = judge(one, {"nngp": answer["nngp"]})
    assert (verdict.wrong, set(verdict.units)) == (False, {"nngp"})
    assert verdict.obstacles == ("gcnn-c4: ntk is missing",)
