"""Experiments on training dynamics, their data, their picture and their command."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.data import load_images
from refntk.data.results.result_table import read_table
from refntk.dynamics import add, distance, scale
from refntk.dynamics.data import block_model_graphs, orientation_order, shape_images
from refntk.dynamics.experiments import EXPERIMENTS, build, dimension_rows, subsample
from refntk.dynamics.study import MODES, Schedule, dynamics_rows, modes, summarize
from refntk.errors import InputError
from refntk.plot.dynamics import plot_dynamics, plot_shapes

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


def test_one_shape_an_image_always_turned_alike(rng):
    x, y = shape_images(400, 14, rng)
    triangles, pentagons = np.split(y, 2, axis=1)
    assert set(np.unique(y)) == {0, 1}
    np.testing.assert_array_equal(triangles.any(axis=1), ~pentagons.any(axis=1))
    assert 0.4 < triangles.any(axis=1).mean() < 0.6
    # The mask is where the image is darker than half way between background and shape.
    np.testing.assert_array_equal((triangles + pentagons) == 1, x < 1 - 0.57 / 2)
    assert x.max() == 1
    assert abs(x.min() - 0.43) < 1e-12
    assert orientation_order(triangles, 14, 3) > 0.99
    assert orientation_order(pentagons, 14, 5) > 0.98
    quarter = np.rot90(triangles.reshape(-1, 14, 14), axes=(1, 2)).reshape(400, -1)
    mixed = np.where(rng.integers(2, size=(400, 1)), triangles, quarter)
    assert orientation_order(mixed, 14, 3) < 0.8
    assert np.isnan(orientation_order(np.zeros((3, 196)), 14, 3))


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
    assert line["of_nominal"] == 1
    assert "risk_error" not in summarize([r for r in rows if r["repeat"] == 0])[0]


def test_the_picture_has_a_panel_a_group_and_the_risk(digits):
    rows = list(dynamics_rows("rot", SHORT, 2, 0))
    figure = plot_dynamics(rows)
    assert [axes.get_title() for axes in figure.axes] == ["rot", "rot"]
    assert list(figure.axes[1].lines[0].get_xdata()) == [0, 2, 3]
    assert len(figure.axes[0].lines) == 4
    mean = np.mean([r["from_E"] for r in rows if r["mode"] == "nominal" and r["step"] == 3])
    assert figure.axes[0].lines[0].get_ydata()[-1] == mean
    with pytest.raises(InputError, match="rows: there is nothing to draw"):
        plot_dynamics([])


PAPER = Schedule(steps=2, batch=2, rate=1e-2, every=1, passes=3, released=True)


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_training_as_the_paper_has_it(name, digits):
    schedule = replace(PAPER, released=name != "perm")
    seen = []
    rows = list(
        dynamics_rows(name, schedule, 1, 0, digits, progress=seen.append, channels=2, samples=8)
    )
    assert len(rows) == len(EXPERIMENTS[name]) * len(modes(schedule)) * 3
    assert sum(seen) == len(EXPERIMENTS[name]) * 2 * (5 if name == "perm" else 8)
    for group in EXPERIMENTS[name]:
        end = {r["mode"]: r for r in rows if r["group"] == group and r["step"] == 2}
        assert end["equivariant"]["from_E"] < 1e-12
        assert end["nominal"]["from_E"] > 1e-9
        assert 0 < end["augmented"]["from_E"] < end["nominal"]["from_E"]


def test_the_paper_s_networks_start_in_e_and_have_no_biases(digits):
    for name, groups in EXPERIMENTS.items():
        for group in groups:
            experiment = build(name, group, np.random.default_rng(0), digits, 2, 6)
            net = experiment.network
            a = experiment.start(np.random.default_rng(1))
            assert distance(a, net.project(a)) < 1e-12
            g = net.gradient(a, experiment.x, experiment.y)
            assert all(w.any() and not bias.any() for w, bias in g)
            assert abs(experiment.x).max() == 0.5
            assert len(experiment.x) == 6


@pytest.mark.parametrize(("group", "share"), [("rot", 1 / 5), ("onedtrans", 1 / 15)])
def test_draws_from_one_number_too_many_leave_a_part_of_the_nominal_gradient(group, share, digits):
    experiment = build("groups", group, np.random.default_rng(0), digits, 2, 20)
    net, x, y = experiment.network, experiment.x, experiment.y
    a = experiment.start(np.random.default_rng(1))
    order, (generator,) = net.group.order, net.group.generators
    total, element = scale(a, 0), np.arange(net.group.points)
    for _ in range(order + 1):  # each power once, and the identity again
        total = add(total, net.gradient(a, net.spaces[0].act(element, x), y), 1 / (order + 1))
        element = generator[element]
    nominal = net.gradient(a, x, y)
    away = [distance(g, net.project(g)) for g in (total, nominal)]
    assert abs(away[0] / away[1] - share) < 1e-10  # of gradients of 1e-6
    rng = np.random.default_rng(0)
    drawn = [net.group.draw_powers(rng) for _ in range(4000)]
    identity = np.mean([np.array_equal(g, np.arange(len(g))) for g in drawn])
    assert abs(identity - 2 / (order + 1)) < 4 * (share / 4000) ** 0.5


def test_relative_dimensions_are_those_of_the_paper():
    tables = dimension_rows()
    rows = {row["group"]: row["relative"] for row in tables if row["experiment"] == "groups"}
    # The paper takes a fourth of 196 for the 51 orbits of displacements.
    expected = {"rot": 0.25, "onedtrans": 0.0715, "trans": 0.0051, "transrot": 0.0014}
    for group, relative in expected.items():
        assert abs(rows[group] - relative) < 1e-4
    perm = tables[0]
    assert (perm["E_square"], perm["E_pool"]) == (15, 2)
    assert perm["relative"] == (15 * 32 + 2 * 32 * 64 + 64 * 32 + 32) / (
        10**4 * 32 + 100 * 32 * 64 + 64 * 32 + 32
    )


def test_the_picture_of_several_groups_compares_them(digits):
    schedule = replace(PAPER, released=False)
    rows = list(dynamics_rows("groups", schedule, 1, 0, digits, channels=2, samples=4))
    figure = plot_dynamics(rows)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [*EXPERIMENTS["groups"], "augmented", ""]
    for line, group in zip(figure.axes[4].lines, EXPERIMENTS["groups"], strict=True):
        end = {r["mode"]: r["from_E"] for r in rows if r["group"] == group and r["step"] == 2}
        assert line.get_ydata()[-1] == end["augmented"] / end["nominal"]


def test_examples_of_shapes_are_drawn(rng, tmp_path):
    figure = plot_shapes(*shape_images(5, 14, rng), 14)
    assert len(figure.axes) == 15
    result = run("shapes", "-o", tmp_path / "a.png")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines[:3]] == ["shape", "triangle", "pentagon"]
    assert lines[2][2].startswith("0.99")
    assert (tmp_path / "a.png").stat().st_size > 1000
    result = run("shapes", "-o", tmp_path / "a.png")
    assert result.exit_code == 2
    assert "a.png" in result.stderr


def test_dimensions_as_a_command():
    lines = run("dimensions").stdout.splitlines()
    assert lines[0].split()[-1] == "relative"
    assert lines[-1].split() == ["groups", "transrot", "51", "38416", "1", "196", "0.001354"]


def run(*arguments):
    return CliRunner().invoke(main, ["dynamics", *map(str, arguments)])


@pytest.mark.parametrize("command", ["perm", "rot", "trans", "groups"])
def test_commands(command, tmp_path):
    table, picture = tmp_path / "a.csv", tmp_path / "a.svg"
    options = ["--steps", 1, "--samples", 4, "--channels", 2, "--passes", 2, "-o", table]
    result = run(command, *options, "--plot", picture)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "nan" not in result.stdout
    count = 2 * 3 * (4 if command == "groups" else 1)
    assert f"{table}: {count} rows\n{picture}: picture of {table}\n" in result.stdout
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    assert run(command, *options, "--resume").exit_code == 0
    assert table.read_bytes() == whole
    assert len(read_table(table)[1]) == count


def test_more_repeats_are_added(tmp_path):
    few, many = tmp_path / "few.csv", tmp_path / "many.csv"
    options = ["--small", "--steps", 1, "--batch", 1, "--quiet"]
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
    options = ["--small", "--steps", 2, "--batch", 2, "--repeats", 1, "-o", tmp_path / "a.csv"]
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
        (["rot", "--small", "--channels", "3"], "--small: has two channels; leave --channels out"),
        (["rot", "--small", "--released"], "--released: is a way to draw passes; give"),
        (["perm", "--released"], "--released: draws permutations as --passes does; leave it out"),
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
