"""Kernels on orbits of finite groups: representations, spectra, and the error of a missing pose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk.errors import InputError
from refntk.ops.groups import point_group
from refntk.spectral.harmonic import (
    class_pose_errors,
    cyclic,
    dihedral,
    group_average,
    group_spectrum,
    pose_causes,
    pose_errors,
)
from refntk.spectral.theory import causes, circulant_spectrum, deinterleave

GROUPS = [cyclic(1), cyclic(2), cyclic(7), cyclic(2, 3), cyclic(2, 2, 4), dihedral(1), dihedral(2)]
GROUPS += [dihedral(3), dihedral(4), dihedral(7)]
groups = st.sampled_from(GROUPS)


def invariant_kernel(group, seeds, rng):
    """A positive definite kernel between orbits that is invariant, shape (S, n, S, n)."""
    root = rng.normal(size=(seeds, group.order, seeds, group.order))
    kappa, _ = group_average(root, group)
    inverse = np.argmin(group.cayley, axis=1)
    # A Gram matrix A Aᵀ of an invariant matrix is invariant.
    a = kappa[:, :, group.cayley[inverse]].transpose(0, 2, 1, 3)
    size = seeds * group.order
    a = a.reshape(size, size)
    return (a @ a.T + 0.1 * np.eye(size)).reshape(seeds, group.order, seeds, group.order)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_representations_are_homomorphisms_and_complete(group):
    for irrep in group.irreps:
        products = irrep.matrices[:, None] @ irrep.matrices
        assert np.abs(products - irrep.matrices[group.cayley]).max() < 1e-13
    assert sum(irrep.dimension**2 for irrep in group.irreps) == group.order
    characters = np.array([np.trace(i.matrices, axis1=1, axis2=2) for i in group.irreps])
    gram = characters @ characters.conj().T / group.order
    assert np.abs(gram - np.eye(len(gram))).max() < 1e-12
    assert np.all(group.irreps[0].matrices == 1)


def test_the_dihedral_group_of_the_square_lists_elements_as_the_point_group_does():
    np.testing.assert_array_equal(dihedral(4).cayley, point_group("D4").cayley)
    np.testing.assert_array_equal(cyclic(4).cayley, point_group("C4").cayley)


@given(group=groups, seeds=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_spectrum_is_that_of_the_gram_matrix(assert_close, group, seeds, seed):
    kernel = invariant_kernel(group, seeds, np.random.default_rng(seed))
    kappa, deviation = group_average(kernel, group)
    assert deviation < 1e-14
    spectra = group_spectrum(kappa, group)
    values = [np.repeat(spectra[i.name], i.dimension) for i in group.irreps]
    size = seeds * group.order
    direct = np.linalg.eigvalsh(kernel.reshape(size, size))
    assert_close(np.sort(np.concatenate(values)), direct, tol=1e-10, floor=1e-3)


@given(
    group=groups,
    seeds=st.integers(1, 3),
    seed=st.integers(0, 99),
    nugget=st.sampled_from([0.0, 1e-3, 10.0]),
)
def test_the_error_is_that_of_regression_without_the_pose(assert_close, group, seeds, seed, nugget):
    rng = np.random.default_rng(seed)
    n, size = group.order, seeds * group.order
    kernel = invariant_kernel(group, seeds, rng).reshape(size, size)
    targets = rng.choice([-2.0, -1.0, 1.0, 3.0], seeds)
    kappa, _ = group_average(kernel.reshape(seeds, n, seeds, n), group)
    predicted = pose_errors(kappa, targets, group, nugget)
    y = np.repeat(targets, n)
    for a in range(seeds):
        out = a * n + rng.integers(n)
        rest = np.delete(np.arange(size), out)
        gram = kernel[np.ix_(rest, rest)] + nugget * np.eye(size - 1)
        value = kernel[out, rest] @ np.linalg.solve(gram, y[rest])
        assert_close(predicted[a], 1 - value / y[out], tol=1e-8, floor=1)


@given(group=groups, seed=st.integers(0, 99), nugget=st.sampled_from([0.0, 0.3]))
def test_a_pose_left_out_of_a_whole_class_is_a_system_of_the_size_of_the_class(
    assert_close, group, seed, nugget
):
    rng = np.random.default_rng(seed)
    kernel, order = invariant_kernel(group, 4, rng), group.order
    kappa, _ = group_average(kernel, group)
    targets, members, pose = rng.normal(size=4), [2, 0], int(rng.integers(order))
    flat = kernel.reshape(4 * order, 4 * order) + nugget * np.eye(4 * order)
    y = np.repeat(targets, order)
    out = np.array(members) * order + pose
    known = np.delete(np.arange(4 * order), out)
    predicted = flat[np.ix_(out, known)] @ np.linalg.solve(flat[np.ix_(known, known)], y[known])
    errors = class_pose_errors(kappa, targets, group, members, nugget)
    # The condition of the kernels, up to 1e4, is what the digits are lost to.
    assert_close(errors, y[out] - predicted, tol=1e-10)
    one = class_pose_errors(kappa, targets, group, [1], nugget)
    assert_close(one, (pose_errors(kappa, targets, group, nugget) * targets)[[1]], tol=1e-10)


def test_a_singular_kernel_is_the_limit_of_a_nugget_that_vanishes():
    group = cyclic(4)
    kappa = np.ones((2, 2, 4)) + np.eye(2)[:, :, None]  # constant on each orbit
    assert list(pose_errors(kappa, [1, -1], group)) == [0, 0]
    assert list(pose_causes(kappa, [1, -1], group)[1]) == [np.inf, np.inf]
    assert 0 < pose_errors(kappa, [1, -1], group, 1e-6).max() < 1e-5
    one_collapses = kappa.copy()
    one_collapses[1, 1] += [4, 0, 0, 0]
    errors = pose_errors(one_collapses, [1, -1], group)
    assert errors[0] == 0 < errors[1]
    np.testing.assert_allclose(pose_errors(one_collapses, [1, -1], group, 1e-9), errors, atol=1e-7)


def test_the_causes_are_those_of_the_spectral_error_where_the_kernel_is_circulant(assert_close):
    row = np.exp(-np.minimum(np.arange(12), 12 - np.arange(12)) / 3.0)
    circulant = row[(np.arange(12) - np.arange(12)[:, None]) % 12]
    kappa, _ = group_average(deinterleave(circulant), cyclic(6))
    separation, density = pose_causes(kappa, [1, -1], cyclic(6), 1e-3)
    expected = causes(circulant_spectrum(row), 1e-3)
    assert_close(separation, np.full(2, expected[0]), tol=1e-12)
    assert_close(density, np.full(2, expected[1]), tol=1e-12)


def test_density_is_the_inverse_of_the_variance_of_a_pose_given_all_others(rng, assert_close):
    group = dihedral(3)
    kernel = invariant_kernel(group, 2, rng)
    kappa, _ = group_average(kernel, group)
    _, density = pose_causes(kappa, [1, 2], group)
    k = kernel.reshape(12, 12)
    for orbit, out in enumerate((3, 8)):
        rest = np.delete(np.arange(12), out)
        known = k[out, rest] @ np.linalg.solve(k[np.ix_(rest, rest)], k[rest, out])
        assert_close(1 / density[orbit], k[out, out] - known, tol=1e-10)


def test_the_average_tells_how_far_from_invariant_the_kernel_was(rng):
    group = dihedral(3)
    kernel = invariant_kernel(group, 2, rng)
    kappa, _ = group_average(kernel, group)
    noise = rng.normal(size=kernel.shape)
    noise -= group_average(noise, group)[0][
        :, :, group.cayley[np.argmin(group.cayley, 1)]
    ].transpose(0, 2, 1, 3)
    average, deviation = group_average(kernel + noise, group)
    assert np.abs(average - kappa).max() < 1e-12 * np.abs(kappa).max()
    expected = np.linalg.norm(noise) / np.linalg.norm(kernel + noise)
    assert abs(deviation / expected - 1) < 1e-12


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cyclic(), r"orders: expected whole numbers of at least 1, not \(\)"),
        (lambda: cyclic(3, 0), r"orders: .*not \(3, 0\)"),
        (lambda: dihedral(0), "n: expected a whole number of at least 1, not 0"),
        (
            lambda: group_average(np.ones((2, 3, 2, 4)), cyclic(3)),
            r"kernel: expected the shape \(S, 3, S, 3\) for orbits of Z3, not \(2, 3, 2, 4\)",
        ),
        (
            lambda: pose_errors(np.ones((2, 2, 3)), [1.0, -1.0], cyclic(3)),
            "cannot tell orbits of different targets apart, .* give a nugget above 0",
        ),
        (
            lambda: class_pose_errors(np.ones((2, 2, 3)), [1.0], cyclic(3), [0]),
            r"expected kappa of shape \(S, S, 3\) and S targets, not \(2, 2, 3\) and \(1,\)",
        ),
        (
            lambda: class_pose_errors(np.ones((2, 2, 3)), [1.0, -1.0], cyclic(3), [2]),
            r"members: expected indices below 2, not \[2\]",
        ),
        (
            lambda: class_pose_errors(np.ones((2, 2, 3)), [1.0, -1.0], cyclic(3), [0]),
            "the kernel is singular: several missing points need a nugget above 0",
        ),
        (
            lambda: pose_errors(np.ones((1, 1, 3)), [0.0], cyclic(3)),
            r"S targets that are not zero",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
