"""The spectral theory of symmetry learning against direct regression."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk.errors import InputError
from refntk.spectral import (
    causes,
    circulant_spectrum,
    circularize,
    deinterleave,
    interleave,
    interleaved_row,
    missing_errors_spectral,
    spectral_error,
)
from refntk.spectral.harmonic import cyclic, group_average, pose_errors
from refntk.spectral.leave_out import (
    accuracy_one_against_rest,
    leave_out_errors,
    missing_errors,
    missing_sets_errors,
)


def circles(n, separation=1.0, scale=0.85):
    """Gaussian kernel of two interleaved orbits of rotations about an axis, n points each."""
    angle = np.pi * np.arange(2 * n) / n
    points = np.stack([np.cos(angle), np.sin(angle), separation / 2 * (-1.0) ** np.arange(2 * n)])
    square = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=0)
    return np.exp(-(scale**2) * square)


def regression(kernel, targets, out, nugget):
    """Targets minus predictions at the points `out`, by a linear solver and nothing else."""
    rest = np.setdiff1d(np.arange(len(kernel)), out)
    gram = kernel[np.ix_(rest, rest)] + nugget * np.eye(len(rest))
    return targets[out] - kernel[np.ix_(out, rest)] @ np.linalg.solve(gram, targets[rest])


def gram_matrix(rng, n):
    root = rng.normal(size=(n, n + 3))
    return root @ root.T


def test_the_golden_number_of_two_circles():
    kernel = circles(6)
    row, deviation = circularize(kernel)
    assert deviation < 1e-15
    assert abs(spectral_error(circulant_spectrum(row)) - 0.39760077) < 5e-9
    targets = (-1.0) ** np.arange(12)
    errors = leave_out_errors(kernel, targets) * targets
    np.testing.assert_allclose(errors, 0.39760077, atol=5e-9)


@given(
    n=st.integers(1, 9),
    separation=st.floats(0.2, 2),
    nugget=st.sampled_from([0.0, 1e-6, 1e-2, 1.0]),
)
def test_exact_equals_spectral_for_a_circulant_kernel(assert_close, n, separation, nugget):
    kernel = circles(n, separation) + 1e-3 * np.eye(2 * n)
    targets = (-1.0) ** np.arange(2 * n)
    predicted = spectral_error(circulant_spectrum(circularize(kernel)[0]), nugget)
    exact = leave_out_errors(kernel, targets, nugget) * targets
    assert_close(exact, np.full(2 * n, predicted), tol=1e-9)
    # The interleaved order has half-step symmetry on top of that of the two orbits.
    kappa, _ = group_average(deinterleave(kernel), cyclic(n))
    assert_close(pose_errors(kappa, [1, -1], cyclic(n), nugget), exact[:2], tol=1e-8)


@given(n=st.integers(2, 12), seed=st.integers(0, 99), nugget=st.sampled_from([0.0, 1e-3, 1.0]))
def test_leaving_out_equals_regression_without_the_point(assert_close, n, seed, nugget):
    rng = np.random.default_rng(seed)
    kernel, targets = gram_matrix(rng, n), rng.normal(size=(n, 3))
    errors = leave_out_errors(kernel, targets, nugget)
    expected = np.concatenate([regression(kernel, targets, [i], nugget) for i in range(n)])
    assert_close(errors, expected, tol=1e-7, floor=1)
    assert_close(leave_out_errors(kernel, targets[:, 0], nugget), errors[:, 0], tol=1e-14)


@given(n=st.integers(3, 12), seed=st.integers(0, 99), nugget=st.sampled_from([0.0, 1e-3, 1.0]))
def test_several_missing_points(assert_close, n, seed, nugget):
    rng = np.random.default_rng(seed)
    out = rng.permutation(n)[: rng.integers(1, n)]
    kernel, targets = gram_matrix(rng, n), rng.normal(size=n)
    expected = regression(kernel, targets, out, nugget)
    assert_close(missing_errors(kernel, targets, out, nugget), expected, tol=1e-7, floor=1)


@pytest.mark.parametrize("shape", [(12,), (12, 3)])
def test_sets_are_left_out_one_by_one(rng, assert_close, shape):
    kernel, targets = gram_matrix(rng, 12), rng.normal(size=shape)
    sets = [[0, 5, 7], [1, 2, 3], [7, 5, 11]]
    errors = missing_sets_errors(kernel, targets, sets, 0.1)
    assert errors.shape == (3, 3, *shape[1:])
    for some, error in zip(sets, errors, strict=True):
        assert_close(error, regression(kernel, targets, some, 0.1), tol=1e-9, floor=1)


@given(n=st.integers(2, 9), seed=st.integers(0, 99), nugget=st.sampled_from([0.0, 1e-3, 1.0]))
def test_several_missing_points_of_a_circulant_kernel(assert_close, n, seed, nugget):
    rng = np.random.default_rng(seed)
    out = rng.permutation(2 * n)[: rng.integers(1, 2 * n)]
    kernel = circles(n) + 1e-3 * np.eye(2 * n)
    spectrum = circulant_spectrum(circularize(kernel)[0])
    expected = regression(kernel, (-1.0) ** np.arange(2 * n), out, nugget)
    assert_close(missing_errors_spectral(spectrum, out, nugget), expected, tol=1e-8, floor=1)


def test_interleaving_orders_points_in_turn(rng):
    kernel = rng.normal(size=(2, 5, 2, 5))
    mixed = interleave(kernel)
    for i in range(10):
        for j in range(10):
            assert mixed[i, j] == kernel[i % 2, i // 2, j % 2, j // 2]
    np.testing.assert_array_equal(deinterleave(mixed), kernel)


@given(n=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_row_of_invariant_kernels_is_that_of_the_gram_matrix(assert_close, n, seed):
    kernel = gram_matrix(np.random.default_rng(seed), 2 * n).reshape(2, n, 2, n)
    kappa, _ = group_average(kernel, cyclic(n))
    row = interleaved_row(kappa[0, 0], kappa[0, 1], kappa[1, 1])
    assert_close(row, circularize(interleave(kernel))[0], tol=1e-12, floor=1)


@given(n=st.integers(1, 12), seed=st.integers(0, 99))
def test_circularising_is_the_projection_on_circulant_matrices(assert_close, n, seed):
    rng = np.random.default_rng(seed)
    kernel = gram_matrix(rng, n)
    row, deviation = circularize(kernel)
    index = (np.arange(n) - np.arange(n)[:, None]) % n
    circulant = row[index]
    literal = np.mean([np.roll(kernel, (m, m), (0, 1)) for m in range(n)], axis=0)
    assert_close(circulant, literal, tol=1e-11, floor=1)
    expected = np.linalg.norm(kernel - circulant) / np.linalg.norm(kernel)
    assert abs(deviation - expected) < 1e-13
    assert_close(circularize(circulant)[0], row, tol=1e-13, floor=1)
    values = np.sort(circulant_spectrum(row))
    assert_close(values, np.linalg.eigvalsh((circulant + circulant.T) / 2), tol=1e-11, floor=1)


def constant_orbits(n, own=2.0, across=1.0):
    return interleave(
        np.array([[own, across], [across, own]])[:, None, :, None] * np.ones((1, n, 1, n))
    )


def test_singular_kernels_are_the_limit_of_a_nugget_that_vanishes():
    kernel = constant_orbits(4)
    targets = (-1.0) ** np.arange(8)
    spectrum = circulant_spectrum(circularize(kernel)[0])
    assert spectral_error(spectrum) == 0
    assert causes(spectrum)[1] == np.inf
    assert np.abs(leave_out_errors(kernel, targets)).max() == 0
    for nugget in (1e-3, 1e-6):
        predicted = spectral_error(spectrum, nugget)
        exact = leave_out_errors(kernel, targets, nugget) * targets
        np.testing.assert_allclose(exact, predicted, rtol=1e-6)
        assert 0 < predicted < 10 * nugget


def test_accuracy_is_the_share_of_points_whose_class_wins(rng):
    labels = np.repeat([3, 5, 8], 6)
    centres = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    points = np.repeat(centres, 6, axis=0) + 0.5 * rng.normal(size=(18, 3))
    kernel = np.exp(-((points[:, None] - points) ** 2).sum(axis=2))
    right = []
    for i in range(18):
        one_hot = 2.0 * (labels[:, None] == [3, 5, 8]) - 1
        predicted = one_hot[i] - regression(kernel, one_hot, [i], 1e-3)[0]
        right.append([3, 5, 8][predicted.argmax()] == labels[i])
    assert accuracy_one_against_rest(kernel, labels, nugget=1e-3) == np.mean(right)
    some = accuracy_one_against_rest(kernel, labels, points=[0, 7], nugget=1e-3)
    assert some == np.mean(np.array(right)[[0, 7]])
    assert 0 < np.mean(right) < 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interleave(np.ones((2, 3, 2, 4))), "two orbits of N poses each"),
        (lambda: interleave(np.ones((3, 4, 3, 4))), r"shape \(2, N, 2, N\), not \(3, 4, 3, 4\)"),
        (lambda: deinterleave(np.eye(3)), "square matrix of even size"),
        (lambda: circularize(np.ones((2, 3))), "expected a square matrix, not"),
        (lambda: circularize([[1.0, 2.0], [0.0, 1.0]]), "not symmetric, entries differ by up to 2"),
        (lambda: circularize([[np.nan]]), "NaN or infinite"),
        (lambda: spectral_error(np.ones(3)), "expected 2N eigenvalues"),
        (lambda: spectral_error([1.0, 0.0]), "prediction is undefined: give a nugget above 0"),
        (lambda: leave_out_errors(np.ones((2, 2)), [1.0, -1.0]), "prediction is undefined"),
        (lambda: leave_out_errors(np.eye(2), [1.0]), "targets: expected 2, one for each row"),
        (lambda: missing_errors(np.eye(3), np.ones(3), []), "missing: expected different indices"),
        (lambda: missing_errors(np.eye(3), np.ones(3), [1, 1]), "missing: expected"),
        (lambda: missing_errors(np.eye(3), np.ones(3), [3]), "indices below 3"),
        (lambda: missing_errors(np.ones((3, 3)), np.ones(3), [1]), "several missing points need"),
        (lambda: missing_sets_errors(np.eye(3), np.ones(3), [[0], [1, 2]]), "as many missing"),
        (lambda: missing_errors_spectral([1.0, 1, 0, 0], [1]), "prediction is undefined"),
        (lambda: missing_errors_spectral([1.0, 0, 1, 0], [1]), "several missing points need"),
        (lambda: accuracy_one_against_rest(np.eye(2), [1, 1]), "at least two classes"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
