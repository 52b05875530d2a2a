"""Deviations of finite networks from the exact kernels, and the picture of them."""

import numpy as np
import pytest

from refntk.errors import InputError
from refntk.finite.convergence import Samples, converge
from refntk.finite.sampling import Draw
from refntk.plot import plot_convergence

EXACT = {"nngp": np.array([[2.0, 0.5], [0.5, 1.0]]), "ntk": np.array([[5.0, 2.0], [2.0, 3.0]])}


def draws(rng, width, count, bias=0.0, spread=0.0, lost=()):
    """Symmetric kernels around (1 + bias) times the exact ones."""
    samples = Samples(count, 2)
    for number in range(count):
        kernels = []
        for exact in EXACT.values():
            noise = rng.normal(size=(2, 2)) * spread
            kernels.append((1 + bias) * exact + noise + noise.T)
        samples.add(Draw(width, number, *kernels, number not in lost))
    return samples


def test_the_deviation_is_that_of_the_mean(rng, assert_close):
    samples = {8: draws(rng, 8, 30, 0.2, 0.5), 2: draws(rng, 2, 20, 0.4, 0.5)}
    result = converge(EXACT, samples)
    assert [(row.width, row.draws) for row in result.rows] == [(2, 20), (8, 30)]
    for row in result.rows:
        for name, exact in EXACT.items():
            triangle = samples[row.width].values[name]
            full = triangle[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
            mean, error = full.mean(axis=0), full.std(axis=0, ddof=1) / np.sqrt(row.draws)
            size = np.linalg.norm(exact)
            assert_close(row.kernels[name].deviation.value, np.linalg.norm(mean - exact) / size)
            assert_close(row.kernels[name].chance, np.linalg.norm(error) / size)
            assert_close(row.kernels[name].sigmas, np.abs((mean - exact) / error).max())


def test_the_band_is_that_of_repeated_experiments(rng, assert_close):
    experiments = [converge(EXACT, {4: draws(rng, 4, 50, 1.0, 2.0)}) for _ in range(100)]
    values = [result.rows[0].kernels["nngp"].deviation.value for result in experiments]
    band = experiments[0].rows[0].kernels["nngp"].deviation
    # Two independent estimates of one interval, each of some 10 % precision.
    wanted = np.diff(np.percentile(values, (2.5, 97.5)))[0]
    assert_close(band.high - band.low, wanted, 0.4)
    assert band.low < band.value < band.high


def test_the_slope_is_the_power_of_the_width(rng, assert_close):
    widths = (4, 8, 32)
    samples = {width: draws(rng, width, 20, bias=3 / width, spread=1e-4) for width in widths}
    for slope in converge(EXACT, samples).slopes.values():
        assert_close(slope.value, -1.0, 1e-3)
        assert -1.01 < slope.low < slope.high < -0.99


def test_rounding_has_no_slope_and_no_standard_errors(rng):
    samples = {width: draws(rng, width, 5, spread=1e-15) for width in (2, 4)}
    result = converge(EXACT, samples)
    assert result.slopes == {"nngp": None, "ntk": None}
    assert all(own.sigmas == 0 for row in result.rows for own in row.kernels.values())
    samples = {width: draws(rng, width, 5, bias=1e-7, spread=1e-9) for width in (2, 4)}
    assert converge(EXACT, samples, "float32").slopes == {"nngp": None, "ntk": None}
    assert converge(EXACT, samples).slopes["ntk"] is not None


def test_one_width_has_no_slope(rng):
    assert converge(EXACT, {4: draws(rng, 4, 5, 0.1, 0.1)}).slopes == {"nngp": None, "ntk": None}


def test_draws_that_overflowed_are_left_out_and_reported(rng, assert_close):
    rest = draws(np.random.default_rng(1), 4, 12, 0.3, 0.2, lost=(2, 7))
    result = converge(EXACT, {4: rest, 8: draws(rng, 8, 3, lost=(0, 1, 2))})
    (row,) = result.rows
    assert row.draws == 10
    kept = np.delete(rest.values["nngp"], (2, 7), axis=0)
    assert np.isnan(rest.values["nngp"][[2, 7]]).all()
    assert_close(row.kernels["nngp"].sigmas, _sigmas(kept, EXACT["nngp"]))
    assert result.overflowed == {4: 2, 8: 3}
    assert result.warnings[0].startswith("width 4: 2 draws overflowed and are left out")


def _sigmas(values, exact):
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return np.abs((values.mean(axis=0) - exact[np.triu_indices(2)]) / error).max()


def test_the_result_does_not_depend_on_the_order_of_the_draws(rng):
    samples = draws(rng, 4, 10, 0.1, 0.2)
    other = Samples(10, 2)
    for number in reversed(range(10)):
        full = [samples.values[n][number][[0, 1, 1, 2]].reshape(2, 2) for n in EXACT]
        other.add(Draw(4, number, *full, True))
    assert converge(EXACT, {4: samples}) == converge(EXACT, {4: other})


def test_another_width_changes_no_band(rng):
    samples = {width: draws(rng, width, 10, 0.1, 0.2) for width in (4, 8)}
    assert converge(EXACT, samples).rows[1] == converge(EXACT, {8: samples[8]}).rows[0]


@pytest.mark.parametrize("value", [0.0, np.inf])
def test_there_must_be_something_to_compare_with(rng, value):
    exact = EXACT | {"ntk": np.full((2, 2), value)}
    with pytest.raises(InputError, match="the exact NTK is zero or overflows"):
        converge(exact, {4: draws(rng, 4, 5)})


def test_the_table(rng):
    samples = {4: draws(rng, 4, 20, 0.2, 0.1), 16: draws(rng, 16, 20, 0.05, 0.1)}
    lines = converge(EXACT, samples).table().splitlines()
    assert lines[0].split() == [
        "width", "draws", "kernel", "deviation", "95", "%", "band", "by", "chance", "largest",
    ]  # fmt: skip
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["4", "20", "nngp"], ["4", "20", "ntk"], ["16", "20", "nngp"], ["16", "20", "ntk"],
    ]  # fmt: skip
    assert all(line.endswith("s.e.") for line in lines[1:5])
    assert [line.split()[:2] for line in lines[5:]] == [["slope", "nngp"], ["slope", "ntk"]]


def test_a_slope_is_said_where_its_sign_is_known(rng):
    known = converge(EXACT, {w: draws(rng, w, 20, 1 / w, 0.01) for w in (2, 4, 8)})
    chance = converge(EXACT, {w: draws(rng, w, 20, 0.0, 0.5) for w in (2, 3)})
    for result, said in ((known, True), (chance, False)):
        labels = [line.get_label() for line in plot_convergence(result).axes[0].lines[::2]]
        rows = result.table().splitlines()[-2:]
        for slope, label, row in zip(result.slopes.values(), labels, rows, strict=True):
            assert slope.determined is said
            assert label.endswith("slope not determined") is not said
            assert ("not determined" in row) is not said
            assert f"{slope.low:.2f} to {slope.high:.2f}" in row


def test_the_picture(rng):
    result = converge(EXACT, {w: draws(rng, w, 20, 1 / w, 0.1) for w in (2, 4, 8)})
    figure = plot_convergence(result, "a network")
    (axes,) = figure.axes
    for index, name in enumerate(EXACT):
        curve, chance = axes.lines[2 * index : 2 * index + 2]
        np.testing.assert_array_equal(curve.get_xdata(), [2, 4, 8])
        values = [row.kernels[name].deviation.value for row in result.rows]
        np.testing.assert_array_equal(curve.get_ydata(), values)
        np.testing.assert_array_equal(
            chance.get_ydata(), [row.kernels[name].chance for row in result.rows]
        )
        assert chance.get_label() == f"{name.upper()}: by chance alone"
        slope = result.slopes[name]
        assert curve.get_label().startswith(f"{name.upper()}: slope {slope.value:.2f} [")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title() == "a network"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["2", "4", "8"]
    assert len(axes.collections) == 2


def test_a_picture_needs_draws(rng):
    with pytest.raises(InputError, match="no width has two draws"):
        plot_convergence(converge(EXACT, {4: Samples(3, 2)}))
