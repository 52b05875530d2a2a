"""Steepest descent and Newton's method in the plane and on its quotient by rotations."""

import numpy as np
import pytest

from refntk.dynamics.quotient import conjugate_gradient, curvature, gradient, quotient_rows

ROWS = list(quotient_rows())


def of(method, error):
    return [row for row in ROWS if (row["method"], row["error"]) == (method, error)]


def test_derivatives(rng, assert_close):
    x, h = rng.normal(size=3), 1e-5
    f = lambda y: (y @ y - 1) ** 2 / 4  # noqa: E731
    steps = h * np.eye(3)
    assert_close(gradient(x), [(f(x + d) - f(x - d)) / (2 * h) for d in steps], tol=1e-8)
    rows = [(gradient(x + d) - gradient(x - d)) / (2 * h) for d in steps]
    assert_close(curvature(x), rows, tol=1e-8, floor=1)


@pytest.mark.parametrize("method", ["descent", "newton", "cg"])
def test_without_errors_the_plane_and_the_quotient_agree(method, assert_close):
    rows = of(method, 0.0)
    assert_close([r["radius"] for r in rows], [r["quotient"] for r in rows], tol=1e-12)
    assert max(abs(r["angle"] - rows[0]["angle"]) for r in rows) < 1e-10
    assert abs(rows[-1]["radius"] - 1) < (1e-2 if method == "descent" else 1e-12)
    assert rows[-1]["condition"] > 100 * rows[0]["condition"]


def test_newton_magnifies_an_error_along_the_orbit_and_the_others_do_not():
    moved = {
        method: max(abs(r["angle"] - rows[0]["angle"]) for r in rows)
        for method in ("descent", "newton", "cg")
        for rows in [of(method, 1e-8)]
    }
    assert moved["descent"] < 1e-5
    assert moved["cg"] < 0.01
    assert moved["newton"] > 0.1  # degrees, from an error of 1e-8


def test_conjugate_gradients_solve_what_is_regular(rng, assert_close):
    a = rng.normal(size=(4, 4))
    matrix, b = a @ a.T + np.eye(4), rng.normal(size=4)
    assert_close(conjugate_gradient(matrix, b), np.linalg.solve(matrix, b), tol=1e-9)
    assert (conjugate_gradient(np.zeros((2, 2)), np.ones(2)) == 0).all()
