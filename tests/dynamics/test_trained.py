"""Trained networks of finite width, beside the theory of symmetry learning."""

import numpy as np
import pytest

import refntk
from refntk.dynamics.trained import Training, summarize_trained, train, trained_rows
from refntk.errors import InputError
from refntk.finite import FiniteNetwork
from refntk.finite.operator import Weights
from refntk.plot.spectral_points import plot_trained
from refntk.spectral.measures import pair_measures
from refntk.spectral.study import Study

NET = refntk.preset("mlp-1")


@pytest.fixture(scope="module")
def images():
    """Four images, far from each other and from their own turns."""
    return np.random.default_rng(3).random((4, 4, 4, 1))


def test_a_step_of_adam_moves_every_parameter_by_the_rate(images, assert_close):
    rate, targets = 1e-3, np.array([[1.0], [-1.0]])
    found, _ = train(
        NET, images[:2], targets, images[2:], Training(8, 1, rate, dtype="float64"),
        np.random.default_rng(0),
    )  # fmt: skip
    finite = FiniteNetwork(NET, (4, 4, 1), 8, 1)
    start = finite.draw(np.random.default_rng(0))
    features = finite.forward(start, images[:2])
    # The network is trained on the targets less nothing: its start is subtracted.
    gradients, _ = finite.backward(start, features, -targets)
    moved = [
        None if p is None
        else Weights(*(v - rate * g / (abs(g) + 1e-8) for v, g in zip(p, d, strict=True)))
        for p, d in zip(start, gradients, strict=True)
    ]
    expected = finite.forward(moved, images[2:])[-1] - finite.forward(start, images[2:])[-1]
    assert_close(found, expected, tol=1e-12)


def test_a_wide_network_errs_as_regression_does_where_it_descends(images):
    study, labels = Study(images, "rotation"), np.array([0, 0, 1, 1])
    rows = {}
    for optimizer, rate in (("descent", 0.8), ("adam", 1e-3)):
        training = Training(width=4096, steps=500, rate=rate, optimizer=optimizer)
        (row,) = trained_rows(study, {"mlp-1": NET}, labels, [(0, 2)], [4], 1e-6, training)
        assert row["loss"] < 1e-5
        rows[optimizer] = row
    # Quarter turns are exact symmetries: all poses of an orbit have one error.
    exact = pair_measures(study.pair(NET, 0, 2, 4), 1e-6)
    assert abs(row["exact"] - exact["exact"]) < 1e-9
    assert abs(row["spectral"] - exact["spectral"]) < 1e-12
    assert abs(rows["descent"]["trained"] - row["exact"]) < 0.05
    # Adam fits the same points, and answers otherwise.
    assert abs(rows["adam"]["trained"] - row["exact"]) > 0.3
    again = trained_rows(study, {"mlp-1": NET}, labels, [(0, 2)], [4], 1e-6, training, done=[row])
    assert list(again) == []


def test_rows_are_condensed_and_drawn():
    rows = [
        {
            "network": "a", "poses": 4, "trained": t, "exact": e, "spectral": e + 0.1,
            "trained_right": float(t < 1), "exact_right": float(e < 1), "loss": 0.01 * t,
        }
        for t, e in ((0.5, 0.7), (1.2, 0.9), (1.4, 1.4))
    ]  # fmt: skip
    (line,) = summarize_trained(rows)
    assert line["pairs"] == 3
    assert line["same_side"] == pytest.approx(2 / 3)
    assert line["gap"] == pytest.approx(np.sqrt((0.04 + 0.09) / 3))
    assert line["loss"] == pytest.approx(0.014)
    (axes,) = plot_trained(rows).axes
    expected = [(row["exact"], row["trained"]) for row in rows]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), expected)
    with pytest.raises(InputError, match="rows: there is nothing to draw"):
        plot_trained([])


def test_a_training_that_diverges_is_refused(images):
    training = Training(4, 5, 1e30, "descent")
    with (
        np.errstate(all="ignore"),
        pytest.raises(InputError, match=r"rate 1e\+30: the training diverges; choose a smaller"),
    ):
        train(NET, images[:2], [1, -1], images[2:], training, np.random.default_rng(0))


def test_an_unknown_optimizer():
    with pytest.raises(InputError, match='unknown optimizer "sgd"'):
        Training(optimizer="sgd")
