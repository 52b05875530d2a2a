"""Extreme eigenvalues by products with vectors alone."""

import numpy as np
import pytest

from refntk.data.kernels.lanczos import extreme_eigenvalues


def matrix_of(eigenvalues, rng):
    vectors = np.linalg.qr(rng.standard_normal((len(eigenvalues),) * 2))[0]
    return (vectors * eigenvalues) @ vectors.T


@pytest.mark.parametrize(
    "eigenvalues",
    [
        np.linspace(1, 2, 50),
        np.r_[-3.0, np.linspace(1, 2, 60)],
        np.r_[np.full(30, 1.0), np.full(30, 5.0)],
        np.r_[-1e-3, np.geomspace(1e-1, 1e2, 90)],
        np.zeros(5),
        [7.0],
    ],
    ids=["even", "negative", "two values", "wide", "zero", "single"],
)
def test_both_ends(rng, eigenvalues, assert_close):
    matrix = matrix_of(np.asarray(eigenvalues), rng)
    found = extreme_eigenvalues(lambda vector: matrix @ vector, len(matrix))
    size = max(np.abs(eigenvalues).max(), 1.0)
    assert abs(found.smallest - np.min(eigenvalues)) <= 1e-12 * size
    assert abs(found.largest - np.max(eigenvalues)) <= 1e-12 * size
    assert found.steps <= len(matrix)


def test_few_steps_bound_from_inside_and_the_error_is_honest(rng):
    exact = np.geomspace(1e-8, 1, 300)
    matrix = matrix_of(exact, rng)
    found = extreme_eigenvalues(lambda vector: matrix @ vector, 300, steps=20)
    assert found.steps == 20
    assert exact[0] - 1e-14 <= found.smallest
    assert found.largest <= exact[-1] + 1e-14
    assert np.abs(exact - found.smallest).min() <= found.error + 1e-14


def test_it_is_repeatable(rng):
    matrix = matrix_of(np.arange(1.0, 40), rng)
    one, two = (extreme_eigenvalues(lambda v: matrix @ v, 39, steps=9, seed=4) for _ in range(2))
    assert one == two
