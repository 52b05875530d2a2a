"""The rows of the benchmark, without their times."""

from __future__ import annotations

import numpy as np
import pytest

import refntk
from refntk.truth import bench


def test_the_plain_perceptron_computes_the_same(rng, assert_close):
    images = rng.random((6, 4, 4, 1))
    kernel = refntk.kernel(refntk.preset("mlp-5"), images)
    nngp, ntk = bench._plain_perceptron(images.reshape(6, -1), 5)
    apart = ~np.eye(6, dtype=bool)
    assert_close(nngp, kernel.nngp)
    assert_close(ntk[apart], kernel.ntk[apart])


@pytest.mark.parametrize(
    ("rows", "comments"),
    [
        (bench._perceptrons, ["1.0 x plain NumPy"]),
        (bench._inner_pools, ["1.00 x its layers before the first pooling"]),
        (
            bench._small,
            [
                "{square:.1f} x a pair among {lanes}x{lanes}",
                "{gram:.2f} x its pairs among {lanes}x{lanes}",
                "1.00 x without the head",
                "NNGP alone 1.00 x both",
            ],
        ),
    ],
)
def test_rows_stand_beside_their_peers(rows, comments, monkeypatch):
    asked = []

    def race(runners, rounds):
        asked.extend(runners)
        return dict.fromkeys(runners, 1.0)

    monkeypatch.setattr(bench, "_race", race)
    expected = []
    for lanes in (16, 8):
        square = lanes**2
        numbers = {"lanes": lanes, "square": square, "gram": square / 1275}
        expected += [comment.format(**numbers) for comment in comments]
    assert [row.comment for row in rows()] == expected
    assert asked


def test_activations_stand_beside_relu(monkeypatch):
    monkeypatch.setattr(bench, "_race", lambda runners, rounds: dict.fromkeys(runners, 1.0))
    rows = list(bench._activations())
    assert {row.comment for row in rows} == {"1.00 x Relu"}
    assert rows[0].what == "LeakyRelu, float64, NNGP + NTK, 28x28, 1 thread"
