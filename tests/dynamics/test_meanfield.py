"""Shallow ensembles under a group: exact statements, the experiment and its command."""

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.data.results.result_table import read_table
from refntk.dynamics.meanfield import (
    MEAN_FIELD,
    descend,
    draw_units,
    meanfield_rows,
    outputs,
    project,
    shifts,
    summarize_meanfield,
    whole_orbits,
)
from refntk.errors import InputError
from refntk.plot.dynamics import plot_meanfield


@pytest.mark.parametrize("check", MEAN_FIELD, ids=lambda check: check.name)
def test_statements_hold(check):
    errors = [float(error) for error in check.errors()]
    assert errors
    assert max(errors) <= check.bound


def test_a_step_is_along_the_gradient(rng):
    units, x, y = draw_units(3, 4, rng), rng.normal(size=(5, 4)), rng.normal(size=5)
    group = shifts(4)

    def risk(u, averaged):
        moved = np.array([outputs(u, x @ g.T) for g in group])
        moved = moved.mean(axis=0, keepdims=True) if averaged else moved
        return np.square(moved - y).mean() / 2

    for averaged in (False, True):
        trained = descend(units, x, y, 1.0, 1, group, averaged)
        direction = draw_units(3, 4, rng)
        h = 1e-5
        ends = [
            risk(type(units)(*(u + e * v for u, v in zip(units, direction, strict=True))), averaged)
            for e in (h, -h)
        ]
        slope = sum(
            np.sum((u - w) * v) for u, w, v in zip(units, trained, direction, strict=True)
        ) / 3  # times N
        assert abs((ends[0] - ends[1]) / (2 * h) - slope) < 1e-8


def test_whole_orbits_and_fixed_units_are_invariant(rng, assert_close):
    group, x = shifts(4), rng.normal(size=(5, 4))
    units = draw_units(3, 4, rng)
    for invariant in (whole_orbits(units, group), project(units, group)):
        for g in group:
            assert_close(outputs(invariant, x @ g.T), outputs(invariant, x), tol=1e-14, floor=1)
    assert np.abs(outputs(units, x @ group[1].T) - outputs(units, x)).max() > 1e-3


def test_the_difference_falls_with_the_number_of_units():
    table = summarize_meanfield(list(meanfield_rows([8, 128], 40, 0.5, 6, 0)))
    assert [row["teacher"] for row in table] == ["WI", "WI", "SI", "SI", "arbitrary", "arbitrary"]
    assert all(-0.9 < row["power"] < -0.2 for row in table)
    with pytest.raises(InputError, match="rows: there is nothing to draw"):
        plot_meanfield([])


def run(*arguments):
    return CliRunner().invoke(main, ["dynamics", "meanfield", *map(str, arguments)])


def test_the_command(tmp_path):
    table, picture = tmp_path / "a.csv", tmp_path / "a.svg"
    options = ["--units", "3,6", "--steps", 2, "--repeats", 2, "-o", table]
    result = run(*options, "--plot", picture)
    assert (result.exit_code, result.stderr) == (0, "")
    assert picture.exists()
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    assert run(*options, "--resume").exit_code == 0
    assert table.read_bytes() == whole
    assert len(read_table(table)[1]) == 12


def test_bad_numbers_of_units(tmp_path):
    for units in ("ten", "0,3"):
        result = run("--units", units, "-o", tmp_path / "a.csv")
        assert result.exit_code == 2
        assert f"--units: expected numbers of units such as 10,100, not {units!r}" in result.stderr
    assert not (tmp_path / "a.csv").exists()
