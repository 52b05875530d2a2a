"""Heat kernels on quotients of finite sets."""

import numpy as np
import pytest

from refntk.errors import InputError
from refntk.ops.named_groups import finite_group, gset
from refntk.plot.heat import plot_heat
from refntk.symmetry.heat import (
    averaged_heat,
    circle_laplacian,
    circle_moves,
    heat,
    heat_rows,
    orbits_of,
    quotient,
)


@pytest.mark.parametrize(("turns", "mirror"), [(1, False), (1, True), (4, False), (3, True)])
@pytest.mark.parametrize("time", [0.0, 0.3, 20.0])
def test_folding_heat_is_heat_on_the_quotient(assert_close, turns, mirror, time):
    laplacian, moves = circle_laplacian(12), circle_moves(12, turns, mirror)
    alone = heat(quotient(laplacian, moves), time)
    assert_close(averaged_heat(laplacian, moves, time), alone, tol=1e-12, floor=1)
    assert_close(alone.sum(axis=1), np.ones(len(alone)), tol=1e-12)  # heat is kept
    sizes = np.bincount(orbits_of(moves))
    weighted = sizes[:, None] * alone
    assert_close(weighted, weighted.T, tol=1e-12, floor=1)  # detailed balance


def test_any_set_and_any_generator_that_the_group_keeps(rng, assert_close):
    points = gset("S4", "pairs")
    moves = points.action(finite_group("S4"))
    matrix = rng.normal(size=(12, 12))
    kept = np.mean([matrix[np.ix_(move, move)] for move in moves], axis=0)
    kept += kept.T
    # S4 takes any pair to any other: one orbit, and the sum of a row.
    assert_close(quotient(kept, moves), [[kept[0].sum()]], tol=1e-12)
    few = moves[[0, 6]] if (moves[6][moves[6]] == np.arange(12)).all() else moves[:1]
    assert_close(
        averaged_heat(kept, few, 0.2), heat(quotient(kept, few), 0.2), tol=1e-12, floor=1
    )


def test_a_mirrored_circle_is_a_path_with_reflecting_ends():
    folded = quotient(circle_laplacian(8), circle_moves(8, 1, True))
    expected = [[2, -2, 0, 0, 0], [-1, 2, -1, 0, 0], [0, -1, 2, -1, 0], [0, 0, -1, 2, -1],
                [0, 0, 0, -2, 2]]  # fmt: skip
    np.testing.assert_array_equal(folded, expected)


def test_rows_and_picture(assert_close):
    rows = list(heat_rows(12, 2, True, [0.5, 5.0]))
    assert [row["size"] for row in rows] == [2, 4, 4, 2] * 2
    assert_close([r["averaged"] for r in rows], [r["quotient"] for r in rows], tol=1e-12, floor=1)
    assert sum(row["quotient"] for row in rows[:4]) == pytest.approx(1, abs=1e-12)
    figure = plot_heat(rows)
    np.testing.assert_array_equal(
        figure.axes[1].lines[0].get_ydata(), [row["quotient"] / row["size"] for row in rows[:4]]
    )
    with pytest.raises(InputError, match="rows: there is nothing to draw"):
        plot_heat([])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: heat(np.ones((2, 3)), 1), r"generator: expected a square matrix, not shape \("),
        (lambda: heat(np.eye(2), -1), "time: expected a number that is not negative, not -1"),
        (lambda: circle_moves(7, 2, False), "points: expected a multiple of the 2 turns"),
        (
            lambda: quotient(np.diag([1.0, 2, 3]), circle_moves(3, 3, False)),
            "generator: element 1 of the group changes it by up to",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
