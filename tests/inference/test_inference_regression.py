"""Kernel regression: against plain linear algebra, and what it refuses."""

import re
import tracemalloc

import numpy as np
import pytest

import refntk
from refntk.errors import InputError, NotPositiveDefiniteError
from refntk.inference import KernelRegression, class_targets
from refntk.inference.definite import least_diag_reg


@pytest.fixture
def problem(rng):
    """A Gram matrix of 40 training points, the kernel of 7 others with them, and three targets."""
    features = rng.normal(size=(47, 60))
    kernel = features @ features.T / 60
    kernel = (kernel + kernel.T) / 2
    return kernel[:40, :40], kernel[40:, :40], rng.normal(size=(40, 3))


@pytest.mark.parametrize("diag_reg", [0.0, 0.3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_it_solves_the_regularised_system(problem, assert_close, diag_reg, order):
    train, test, y = problem
    given = np.array(train, order=order)
    given.flags.writeable = False
    model = KernelRegression(diag_reg=diag_reg).fit(given, y)
    regularised = train + diag_reg * train.trace() / 40 * np.eye(40)
    coefficients = np.linalg.solve(regularised, y)
    assert model.addition == pytest.approx(diag_reg * train.trace() / 40, rel=1e-14, abs=0)
    assert_close(model.coefficients, coefficients, 1e-10, floor=1.0)
    assert_close(model.predict(test), test @ coefficients, 1e-10, floor=1.0)


@pytest.mark.parametrize("diag_reg", [0.0, 0.3])
def test_noise_of_each_target_is_added_to_the_diagonal(problem, assert_close, diag_reg):
    train, test, y = problem
    noise = np.linspace(0, 2, 40)
    model = KernelRegression(diag_reg).fit(train, y, noise)
    matrix = train + diag_reg * train.trace() / 40 * np.eye(40) + np.diag(noise)
    assert_close(model.predict(test), test @ np.linalg.solve(matrix, y), 1e-10, floor=1.0)
    assert model.addition == pytest.approx(diag_reg * train.trace() / 40, rel=1e-14, abs=0)


def test_the_remedy_of_a_singular_kernel_with_noise_will_do(rng):
    features = rng.normal(size=(12, 5))
    kernel, noise, y = features @ features.T, np.eye(12)[0], rng.normal(size=12)
    with pytest.raises(NotPositiveDefiniteError) as error:
        KernelRegression().fit(kernel, y, noise)
    KernelRegression(error.value.diag_reg).fit(kernel, y, noise)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (np.ones(39), "noise: expected 40 numbers, a variance for each training image, not"),
        (0.1, "noise: expected 40 numbers"),
        (["a"] * 40, "noise: expected 40 numbers"),
        (np.arange(40.0) - 1, "noise: entry 0 is -1, and a variance is a finite number"),
        (np.full(40, np.nan), "noise: entry 0 is nan"),
    ],
)
def test_noise_that_does_not_fit(problem, noise, words):
    train, _, y = problem
    with pytest.raises(InputError, match=words):
        KernelRegression().fit(train, y, noise)


def test_one_target_stays_one(problem, assert_close):
    train, test, y = problem
    single = KernelRegression().fit(train, y[:, 0])
    assert single.predict(test).shape == (7,)
    assert_close(single.predict(test), KernelRegression().fit(train, y).predict(test)[:, 0])


def test_without_regularisation_it_interpolates(problem, assert_close):
    train, _, y = problem
    assert_close(KernelRegression().fit(train, y).predict(train), y, 1e-9, floor=1.0)


@pytest.mark.parametrize("name", ["nngp", "ntk"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_of_a_network_are_taken_as_they_come(rng, assert_close, name, dtype):
    images = rng.random((14, 5, 5, 2))
    k = refntk.kernel(refntk.preset("gcnn-convergence"), images, get=name, dtype=dtype)
    kernel, y = getattr(k, name), class_targets(np.arange(10) % 3, 3)
    predicted = KernelRegression(1e-2).fit(kernel[:10, :10], y).predict(kernel[10:, :10])
    wide = kernel.astype(np.float64)
    ridge = wide[:10, :10] + 1e-2 * wide[:10, :10].trace() / 10 * np.eye(10)
    assert predicted.dtype == np.float64
    assert_close(predicted, wide[10:, :10] @ np.linalg.solve(ridge, y), 1e-9, floor=1.0)


def test_memory_is_one_copy_of_the_kernel():
    count = 1200
    kernel = np.eye(count) + 1 / count
    tracemalloc.start()
    KernelRegression().fit(kernel, np.ones((count, 10)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * kernel.nbytes  # the kernel itself comes on top: 2.2 matrices


def test_a_singular_kernel_is_an_error_that_names_the_remedy(rng, assert_close):
    features = rng.normal(size=(30, 6))
    kernel = features @ features.T
    y = rng.normal(size=30)
    with pytest.raises(NotPositiveDefiniteError) as caught:
        KernelRegression().fit(kernel - 0.5 * np.eye(30), y)
    error = caught.value
    assert_close(error.smallest_eigenvalue, -0.5, 1e-9)
    largest = np.linalg.eigvalsh(kernel).max() - 0.5
    assert_close(error.condition, largest / 0.5, 1e-9)
    assert re.fullmatch(
        r"k_train_train: is not positive definite: smallest eigenvalue -0\.5, largest \S+, "
        rf"condition number \S+; diag_reg={error.diag_reg:g} will do \(.*\)",
        str(error),
    )
    model = KernelRegression(error.diag_reg).fit(kernel - 0.5 * np.eye(30), y)
    assert np.isfinite(model.coefficients).all()


def test_the_remedy_is_the_same_whatever_was_tried(rng):
    kernel = np.diag([-1.0, 1, 1, 3])
    found = set()
    for diag_reg in (0.0, 0.5):
        with pytest.raises(NotPositiveDefiniteError, match="will do") as caught:
            KernelRegression(diag_reg).fit(kernel, np.ones(4))
        found.add(caught.value.diag_reg)
    assert found == {2.0 + 1}  # twice 1 over the mean 1, and rounding lifts it to the next digit


@pytest.mark.parametrize("copies", [2, 5])
def test_equal_images_need_regularisation_and_what_is_named_will_do(rng, copies):
    features = np.repeat(rng.normal(size=(20, 50)), copies, axis=0)
    kernel = features @ features.T - 1e-12 * np.eye(20 * copies)
    with pytest.raises(NotPositiveDefiniteError) as caught:
        KernelRegression().fit(kernel, np.ones(20 * copies))
    assert KernelRegression(caught.value.diag_reg).fit(kernel, np.ones(20 * copies))
    assert caught.value.diag_reg < 1e-9


def test_least_diag_reg_has_one_digit_and_covers_rounding():
    assert least_diag_reg(np.array([-0.011, 4.0]), 2.0) == 0.02
    assert 0 < least_diag_reg(np.array([0.0, 1.0]), 0.5) < 1e-13


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (np.ones((3, 2)), r"k_train_train: expected a square Gram matrix.*not shape \(3, 2\)"),
        (np.ones((0, 0)), "expected a square Gram matrix"),
        (np.diag([1.0, np.nan, 1.0]), r"entry \(1, 1\) is NaN or infinite"),
        (np.diag([1.0, 1.0, np.inf]), r"entry \(2, 2\) is NaN or infinite"),
        (np.eye(3) + np.eye(3, k=1) / 9, r"not symmetric.*entries \(0, 1\) and \(1, 0\) differ by"),
        (-np.eye(3), "kernel: the mean of its diagonal is -1, not positive"),
        (np.array([["a"]]), "expected an array of numbers"),
    ],
)
def test_what_is_no_kernel(kernel, words):
    with pytest.raises(InputError, match=words):
        KernelRegression().fit(kernel, np.ones(3))


def test_asymmetry_is_found_across_bands(rng):
    kernel = np.eye(600)
    kernel[580, 3] = 1e-6
    with pytest.raises(InputError, match=r"entries \(580, 3\) and \(3, 580\) differ by 1e-06"):
        KernelRegression().fit(kernel, np.ones(600))
    KernelRegression().fit(kernel.astype(np.float32), np.ones(600))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.ones(4), r"y: expected 3 rows, one a training image.*not shape \(4,\)"),
        (np.ones((3, 0)), r"one or more targets, not shape \(3, 0\)"),
        (np.ones((3, 1, 1)), r"not shape \(3, 1, 1\)"),
        (["a", "b", "c"], "expected numbers, not <U1; class_targets makes numbers of classes"),
        ([0, np.nan, 1], "y: row 1 is NaN or infinite"),
    ],
)
def test_targets_that_do_not_fit(y, words):
    with pytest.raises(InputError, match=words):
        KernelRegression().fit(np.eye(3), y)


@pytest.mark.parametrize("diag_reg", [-1e-9, np.nan, np.inf, "1"])
def test_a_wrong_regularisation(diag_reg):
    with pytest.raises(InputError, match="diag_reg: expected zero or a positive number"):
        KernelRegression(diag_reg).fit(np.eye(3), np.ones(3))


def test_what_cannot_be_predicted():
    with pytest.raises(InputError, match="KernelRegression: call fit before"):
        KernelRegression().predict(np.eye(3))
    model = KernelRegression().fit(np.eye(3), np.ones(3))
    with pytest.raises(InputError, match=r"and 3 columns.*not shape \(3, 2\); transpose it"):
        model.predict(np.ones((3, 2)))
    with pytest.raises(InputError, match=r"k_test_train: entry \(0, 2\) is NaN"):
        model.predict([[0, 0, np.nan]])


def test_class_targets():
    targets = class_targets([2, 0, 2], 4)
    np.testing.assert_array_equal(
        targets, np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]) - 0.25
    )


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 4], "labels: from 0 to 4, but there are 3 classes, 0 to 2"),
        ([-1, 1], "labels: from -1 to 1"),
        ([1, 1], "labels: all 2 images are of class 1; telling classes apart needs two at least"),
        ([0.0, 1.0], "labels: expected whole numbers, one an image, not float64"),
        ([], "labels: expected whole numbers"),
    ],
)
def test_labels_that_are_no_classes(labels, words):
    with pytest.raises(InputError, match=words):
        class_targets(labels, 3)
