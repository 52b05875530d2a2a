"""Experiments on training dynamics, their data, their picture and their command."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.data import load_images
from refntk.data.results.result_table import read_table
from refntk.dynamics.data import block_model_graphs, shape_images
from refntk.dynamics.study import (
    MODES,
    Schedule,
    build,
    dynamics_rows,
    subsample,
    summarize,
)
from refntk.errors import InputError
from refntk.plot.dynamics import plot_dynamics

SHORT = Schedule(steps=3, batch=4, rate=0.01, every=2)
BESIDE = replace(SHORT, beside=1e-2)


@pytest.fixture(scope="module")
def digits():
    sample = load_images("sample:digits")
    return subsample(sample.images / 255.0), sample.labels


def reachable(graph):
    """Whether every node is reached from the first one."""
    seen, border = {0}, [0]
    while border:
        border = [j for i in border for j in np.flatnonzero(graph[i]) if j not in seen]
        border = list(dict.fromkeys(border))
        seen.update(border)
    return len(seen) == len(graph)


def test_graphs_of_the_block_model(rng):
    x, y = block_model_graphs(300, 10, rng)
    graphs = x.reshape(-1, 10, 10)
    np.testing.assert_array_equal(graphs, graphs.transpose(0, 2, 1))
    assert set(np.unique(graphs)) == {0, 1}
    assert np.all(np.einsum("kii->ki", graphs) == 0)
    assert [reachable(g) for g in graphs] == list(y[:, 0] == 1)
    assert 0.3 < y.mean() < 0.7


def test_shapes_and_the_mask_of_the_triangle(rng):
    x, y = shape_images(200, 14, rng)
    assert set(np.unique(y)) == {0, 1}
    inside = y == 1
    assert abs(x[inside].mean() - 1) < 0.01
    assert 4 < inside.sum(axis=1).mean() < 30
    # Most images show pixels of the pentagon that are not the triangle's.
    assert np.mean([(np.round(a[b == 0]) == 1).any() for a, b in zip(x, y, strict=True)]) > 0.9


def test_digits_are_subsampled():
    images = np.random.default_rng(0).random((3, 28, 28, 1))
    np.testing.assert_array_equal(subsample(images).reshape(3, 14, 14), images[:, ::2, ::2, 0])
    with pytest.raises(InputError, match="expected 28×28 pixels of one channel, not"):
        subsample(images[:, 1:])
    with pytest.raises(InputError, match="trans: needs images of digits and their labels"):
        build("trans", "trans", np.random.default_rng(0))


@pytest.mark.parametrize("name", ["perm", "rot", "trans"])
def test_training_starts_in_e_and_each_mode_does_what_it_says(name, digits):
    rows = list(dynamics_rows(name, SHORT, 2, 7, digits))
    assert len(rows) == 2 * 4 * 3
    assert [row["mode"] for row in rows[:12]] == [m for m in MODES for _ in range(3)]
    assert [row["step"] for row in rows[:3]] == [0, 2, 3]
    starts = {row["risk"] for row in rows if row["step"] == 0 and row["repeat"] == 0}
    assert len(starts) == 1
    end = {row["mode"]: row for row in rows if row["step"] == 3 and row["repeat"] == 0}
    assert all(row["from_start"] > 0 for row in end.values())
    assert end["equivariant"]["from_E"] < 1e-12
    if name == "perm":  # drawn elements, so that training leaves E a little
        assert 0 < end["augmented"]["from_E"] < end["nominal"]["from_E"]
    else:
        assert end["augmented"]["from_E"] < 1e-12
        assert abs(end["augmented"]["risk"] - end["equivariant"]["risk"]) < 1e-10
        assert end["random"]["from_E"] > 1e-6
    assert end["nominal"]["from_E"] > 1e-6


def test_runs_go_on_where_they_stopped(digits):
    rows = list(dynamics_rows("rot", SHORT, 1, 0))
    steps = []
    rest = list(dynamics_rows("rot", SHORT, 1, 0, done=rows[:5], progress=steps.append))
    assert rest == rows[5:]
    assert sum(steps) == 4 * 3
    last = summarize(rows)
    assert [row["mode"] for row in last] == list(MODES)
    assert last[0]["risk"] == rows[2]["risk"]


def test_all_modes_start_at_the_same_place_beside_e():
    rows = list(dynamics_rows("rot", BESIDE, 1, 0))
    start = {(row["risk"], row["from_E"]) for row in rows if row["step"] == 0}
    assert len(start) == 1
    ((_, away),) = start
    end = {row["mode"]: row["from_E"] for row in rows if row["step"] == 3}
    # R_eqv does not see what is off E.
    assert abs(end["equivariant"] / away - 1) < 1e-12
    assert 1e-6 < abs(end["augmented"] / away - 1) < 0.1


def test_the_spread_over_repeats():
    rows = list(dynamics_rows("rot", SHORT, 3, 0))
    line = summarize(rows)[0]
    ends = [r["from_E"] for r in rows if r["mode"] == "nominal" and r["step"] == 3]
    assert (line["repeats"], line["from_E"]) == (3, np.mean(ends))
    assert abs(line["from_E_error"] - np.std(ends, ddof=1) / 3**0.5) < 1e-15
    assert line["most_from_E"] == max(ends)
    assert np.isnan(summarize([r for r in rows if r["repeat"] == 0])[0]["risk_error"])


def test_the_picture_has_a_panel_a_group_and_the_risk(digits):
    rows = list(dynamics_rows("rot", SHORT, 2, 0))
    figure = plot_dynamics(rows)
    assert [axes.get_title() for axes in figure.axes] == ["rot", "rot"]
    assert len(figure.axes[0].lines) == 4
    mean = np.mean([r["from_E"] for r in rows if r["mode"] == "nominal" and r["step"] == 3])
    assert figure.axes[0].lines[0].get_ydata()[-1] == mean
    with pytest.raises(InputError, match="rows: there is nothing to draw"):
        plot_dynamics([])


def run(*arguments):
    return CliRunner().invoke(main, ["dynamics", *map(str, arguments)])


@pytest.mark.parametrize("command", ["perm", "rot", "trans", "groups"])
def test_commands(command, tmp_path):
    table, picture = tmp_path / "a.csv", tmp_path / "a.svg"
    options = ["--steps", 1, "--batch", 1, "--repeats", 1, "-o", table]
    result = run(command, *options, "--plot", picture)
    assert (result.exit_code, result.stderr) == (0, "")
    count = 2 * 4 * (4 if command == "groups" else 1)
    assert f"{table}: {count} rows\n{picture}: picture of {table}\n" in result.stdout
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    assert run(command, *options, "--resume").exit_code == 0
    assert table.read_bytes() == whole
    assert len(read_table(table)[1]) == count


def test_more_repeats_are_added(tmp_path):
    few, many = tmp_path / "few.csv", tmp_path / "many.csv"
    options = ["--steps", 1, "--batch", 1, "--quiet"]
    run("rot", *options, "--repeats", 1, "-o", few)
    run("rot", *options, "--repeats", 2, "-o", many)
    assert run("rot", *options, "--repeats", 2, "-o", few, "--resume").exit_code == 0
    assert few.read_bytes() == many.read_bytes()
    result = run("rot", *options, "--beside", 0.1, "-o", few, "--resume")
    assert "was made with beside = None, not 0.1" in result.stderr
    run("rot", *options, "--repeats", 1, "--beside", 0.1, "-o", few, "--overwrite")
    assert read_table(few)[0]["beside"] == 0.1


def test_an_interrupt_keeps_the_rows(tmp_path, monkeypatch):
    from refntk.dynamics import study as dynamics_study

    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return gradient(*arguments)

    gradient = dynamics_study._gradient
    monkeypatch.setattr(dynamics_study, "_gradient", interrupted)
    options = ["--steps", 2, "--batch", 2, "--repeats", 1, "-o", tmp_path / "a.csv"]
    result = run("rot", *options)
    assert result.exit_code == 130
    assert "interrupted; 5 rows are kept in " in result.stderr
    assert "a.csv. To continue: refntk dynamics rot" in result.stderr
    assert len(read_table(tmp_path / "a.csv")[1]) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trans", "sample:histology"], "images: expected 28×28 pixels of one channel, not"),
        (["trans", "bare.npy"], "bare.npy: has no labels; the classes of the digits are needed"),
        (["rot", "--plot", "a.jpg"], "a.jpg: a picture has the ending '.jpg'"),
        (["rot", "--rate", "0"], "Invalid value for '--rate'"),
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    np.save("bare.npy", np.zeros((3, 28, 28, 1)))
    result = run(*arguments, "-o", "a.csv")
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "a.csv").exists()


def test_the_theorems_as_a_command():
    result = CliRunner().invoke(main, ["verify", "dynamics", "-h"])
    assert "points that are stable for one risk and not for another" in " ".join(
        result.stdout.split()
    )
