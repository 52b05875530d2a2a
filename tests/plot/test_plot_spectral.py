"""Pictures of the spectral theory."""

import numpy as np
import pytest

from refntk.errors import InputError
from refntk.plot import save_figure
from refntk.plot.spectral import plot_advice, plot_pairs, plot_poses, plot_toy
from refntk.plot.spectral_points import plot_geometry, plot_trials
from refntk.spectral.toy import toy_rows

PAIRS = [
    {
        "network": name, "poses": 8, "class_a": a, "class_b": b, "exact": e, "spectral": 0.9 * e,
        "by_orbit": e, "separation": 3 * e, "density": 3.0, "top": 2.0 + e, "mean": 4.0 - e,
        "distance": 0.1 + e, "radius": 0.5 + e,
    }
    for name, scale in (("plain", 1.0), ("equivariant", 0.0))
    for a, b, e in ((0, 1, 0.5 * scale), (0, 2, 2.0 * scale), (1, 2, 0.1 * scale))
]  # fmt: skip
POSES = [
    {
        "network": name, "poses": n, "exact": 1 / n, "spectral": 1.5 / n, "by_orbit": 1 / n,
        "accuracy": 1 - 1 / n, "spectral_accuracy": 1 - 1 / n, "by_orbit_accuracy": 1 - 1 / n,
        "coset": 3 / n, "coset_accuracy": 0.25,
    }
    for name in ("a", "b")
    for n in (8, 2, 4)
]  # fmt: skip


def test_the_toy(tmp_path):
    rows = toy_rows(1e-5)
    figure = plot_toy(rows)
    for axes, panel in zip(figure.axes, ("points", "separation", "missing"), strict=True):
        some = [row for row in rows if row["panel"] == panel]
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), [row["x"] for row in some])
        np.testing.assert_array_equal(axes.lines[1].get_ydata(), [row["exact"] for row in some])
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    save_figure(figure, tmp_path / "toy.svg")


def test_pairs_have_a_point_each(tmp_path):
    figure = plot_pairs(PAIRS)
    spectral, by_orbit, causes = np.reshape(figure.axes, (3, 2))
    for k, some in enumerate((PAIRS[:3], PAIRS[3:])):
        exact = [max(row["exact"], 1e-12) for row in some]
        np.testing.assert_array_equal(spectral[k].lines[0].get_ydata(), exact)
        np.testing.assert_array_equal(by_orbit[k].lines[0].get_xdata(), exact)
        assert len(causes[k].lines[0].get_xdata()) == 3
        others = spectral[1 - k].lines[1]
        np.testing.assert_array_equal(others.get_ydata(), exact)
        assert others.get_zorder() < spectral[1 - k].lines[0].get_zorder()
    assert [axes.get_title() for axes in spectral] == ["plain", "equivariant"]
    save_figure(figure, tmp_path / "pairs.svg")


def test_causes_are_drawn_against_the_space_of_images(tmp_path):
    figure = plot_geometry([*PAIRS, {**PAIRS[0], "poses": 4}])
    distance, radius = np.reshape(figure.axes, (2, 2))
    line = distance[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [1 / row["top"] for row in PAIRS[:3]])
    np.testing.assert_array_equal(line.get_ydata(), [row["distance"] for row in PAIRS[:3]])
    line = radius[1].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [row["mean"] for row in PAIRS[3:]])
    np.testing.assert_array_equal(line.get_ydata(), [1 / row["radius"] for row in PAIRS[3:]])
    save_figure(figure, tmp_path / "geometry.png")


def test_trials_have_a_point_each(tmp_path):
    figure = plot_trials(POSES)
    above, below = np.reshape(figure.axes, (2, 2))
    for axes, kind in ((above[0], "spectral"), (below[1], "by_orbit")):
        some = [row for row in POSES if row["network"] == axes.get_title() or kind == "by_orbit"]
        found = [(float(x), float(y)) for line in axes.lines[:3] for x, y in [line.get_xydata()[0]]]
        assert sorted(found) == sorted({(row["exact"], row[kind]) for row in some})
    assert [axes.get_title() for axes in above] == ["a", "b"]
    save_figure(figure, tmp_path / "trials.png")


@pytest.mark.parametrize("errors", [True, False])
def test_curves_run_over_the_poses_in_order(tmp_path, errors):
    rows = [dict(row) for row in POSES]
    if not errors:
        for row in rows:
            del row["exact"], row["by_orbit"], row["coset"], row["coset_accuracy"]
    figure = plot_poses(rows)
    above, below = np.reshape(figure.axes, (2, 2))
    assert [axes.get_title() for axes in above] == ["a", "b"]
    assert len({axes.get_ylim() for axes in above}) == 1
    for axes in below:
        exact, *others = axes.lines
        assert list(exact.get_xdata()) == [2, 4, 8]
        assert list(exact.get_ydata()) == [0.5, 0.75, 0.875]
        dashed = [list(line.get_ydata()) for line in others if line.get_linestyle() == "--"]
        assert dashed == [[0.25] * 3] * errors
    save_figure(figure, tmp_path / "poses.png")


def test_advice_is_a_matrix_a_network(tmp_path):
    figure = plot_advice(PAIRS, ["x", "y", "zebra"])
    matrix = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(matrix[0, 1], np.log10(0.5))
    np.testing.assert_array_equal(np.ma.filled(matrix, 9), np.ma.filled(matrix.T, 9))
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "plain, 8 poses",
        "equivariant, 8 poses",
    ]
    save_figure(figure, tmp_path / "advice.pdf")


@pytest.mark.parametrize(
    "draw",
    [
        plot_toy, plot_pairs, plot_poses, plot_geometry, plot_trials,
        lambda rows: plot_advice(rows, []),
    ],
)
def test_nothing_to_draw(draw):
    with pytest.raises(InputError, match="rows: there is nothing to draw"):
        draw([])
