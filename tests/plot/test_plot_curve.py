"""The pictures of a learning curve and of predictions along the training time."""

import numpy as np
import pytest

from refntk.errors import InputError
from refntk.inference.curve import LearningCurve
from refntk.plot import plot_learning_curve, plot_trajectories
from refntk.plot.style import PALETTE


def curve(rng, networks):
    return LearningCurve(networks, (16, 32, 64), 50, rng.random((len(networks), 3, 5)))


def band(collection):
    """Lowest and highest ordinate of a band at each abscissa."""
    points = collection.get_paths()[0].vertices
    return {
        x: (points[points[:, 0] == x, 1].min(), points[points[:, 0] == x, 1].max())
        for x in np.unique(points[:, 0])
    }


def test_two_networks_and_their_difference(rng, assert_close):
    both = curve(rng, ("cnn", "gcnn"))
    left, right = plot_learning_curve(both).axes
    for k in range(2):
        assert_close(left.lines[k].get_ydata(), 100 * both.mean()[k])
        wanted = 100 * both.standard_error()[k]
        for place, size in enumerate(both.sizes):
            low, high = band(left.collections[k])[size]
            assert_close(high - low, 2 * wanted[place], 1e-9)
    mean, error = both.difference()
    assert_close(right.lines[1].get_ydata(), 100 * mean[1])
    assert right.lines[1].get_color() == left.lines[1].get_color() == PALETTE[1]
    low, high = band(right.collections[0])[32]
    assert_close([low, high], 100 * (mean[1, 1] + np.array([-2, 2]) * error[1, 1]), 1e-9)
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["cnn", "gcnn"]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["gcnn"]
    assert (left.get_xlabel(), left.get_ylabel()) == ("training images", "accuracy (%)")
    assert right.get_ylabel() == "accuracy minus that of cnn (points)"
    assert [text.get_text() for text in left.get_xticklabels()] == ["16", "32", "64"]


def test_one_network_has_one_panel(rng):
    assert len(plot_learning_curve(curve(rng, ("cnn",))).axes) == 1


def test_trajectories_have_bands_of_two_deviations(rng, assert_close):
    times, mean, variance = np.array([0, 1.0, 10]), rng.normal(size=(3, 2)), rng.random((3, 2))
    (axes,) = plot_trajectories(times, mean, variance, ["a", "b"], title="T").axes
    for k in range(2):
        assert_close(axes.lines[k].get_ydata(), mean[:, k])
        for place, time in enumerate(times):
            low, high = band(axes.collections[k])[time]
            assert_close((high - low) / 4, np.sqrt(variance[place, k]), 1e-9)
    assert axes.get_xscale() == "symlog"
    assert plot_trajectories(times[1:], mean[1:], variance[1:]).axes[0].get_xscale() == "log"
    assert axes.get_title() == "T"
    assert axes.get_xlabel() == "training time (in units of 1 / learning rate)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": np.ones(3)}, r"mean: expected one row for each of 3 times.*not shape \(3,\)"),
        ({"variance": np.ones((3, 1))}, r"variance: expected numbers.*not shape \(3, 1\)"),
        ({"variance": -np.ones((3, 2))}, "variance: expected numbers that are not negative"),
        ({"times": [0, 1, np.inf]}, "times: a picture needs finite times"),
        ({"times": [0, 2, 1]}, "zero or positive and ascending"),
        ({"times": [-1, 2, 3]}, "zero or positive and ascending"),
        ({"names": ["a"]}, "names: 1 for 2 curves"),
    ],
)
def test_what_is_no_trajectory(change, words):
    given = {"times": [0, 1, 2], "mean": np.ones((3, 2)), "variance": np.ones((3, 2)), **change}
    with pytest.raises(InputError, match=words):
        plot_trajectories(**given)
