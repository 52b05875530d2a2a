"""The kernel of a network in scikit-learn's Gaussian processes, as a function and as a matrix."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

import refntk
from refntk.errors import InputError
from refntk.inference import GaussianProcess
from refntk.sklearn import RefntkKernel, batches, gp_kernel

TRAIN, TEST = slice(0, None, 2), slice(1, None, 2)


@pytest.fixture
def table(rng: np.random.Generator) -> Any:
    """Thirty rows of three features, and targets."""
    X = rng.normal(size=(30, 3))
    return X, np.sin(X[:, 0]) + X[:, 1]


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_matrix_and_diagonal(table: Any, get: str) -> None:
    X, _ = table
    kernel = RefntkKernel("mlp-5", get)
    images = X[:, None, None, :]
    right = getattr(refntk.kernel(refntk.preset("mlp-5"), images), get)
    assert np.array_equal(kernel(X), right)
    assert np.array_equal(kernel.diag(X), np.diagonal(right))
    other = getattr(refntk.kernel(refntk.preset("mlp-5"), images[:4], images[4:]), get)
    assert np.array_equal(kernel(X[:4], X[4:]), other)
    matrix, gradient = kernel(X, eval_gradient=True)
    assert np.array_equal(matrix, right)
    assert gradient.shape == (30, 30, 0)


def test_images_in_rows(rng: np.random.Generator) -> None:
    images = rng.random((5, 6, 6, 2))
    right = refntk.kernel(refntk.preset("gcnn-paper"), images, get="ntk").ntk
    rows = RefntkKernel("gcnn-paper", "ntk", image_shape=(6, 6, 2))
    assert np.array_equal(rows(images.reshape(5, -1)), right)
    assert np.array_equal(RefntkKernel("gcnn-paper", "ntk")(images), right)


def test_a_gaussian_process_of_scikit_learn(table: Any, assert_close: Any) -> None:
    X, y = table
    kernel = RefntkKernel("mlp-5")
    noise = 1e-3 * float(kernel.diag(X[TRAIN]).mean())
    theirs = GaussianProcessRegressor(kernel, alpha=noise).fit(X[TRAIN], y[TRAIN])
    matrix = kernel(X)
    ours = GaussianProcess(1e-3).fit(matrix[TRAIN, TRAIN], y[TRAIN])
    mean, covariance = theirs.predict(X[TEST], return_cov=True)
    assert_close(mean, ours.predict(matrix[TEST, TRAIN]), 1e-8)
    right = ours.covariance(matrix[TEST, TRAIN], matrix[TEST, TEST])
    assert_close(covariance, right, 1e-8, floor=1e-3)
    _, deviation = theirs.predict(X[TEST], return_std=True)
    assert_close(deviation**2, np.diagonal(right), 1e-6)
    assert_close(theirs.log_marginal_likelihood(), ours.log_marginal_likelihood(), 1e-9)


def test_a_search_over_other_hyperparameters_computes_the_kernel_once(
    table: Any, monkeypatch: Any
) -> None:
    X, y = table
    calls = []
    gram = gp_kernel.gram

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return gram(*args, **options)

    monkeypatch.setattr(gp_kernel, "gram", counted)
    kernel = ConstantKernel(1.0) * RefntkKernel("mlp-1") + WhiteKernel(0.5, (1e-8, 1e1))
    model = GaussianProcessRegressor(kernel, n_restarts_optimizer=1, random_state=0)
    model.fit(X[TRAIN], 10 * y[TRAIN])
    assert model.kernel_.n_dims == 2
    before = model.log_marginal_likelihood(model.kernel.theta)
    assert model.log_marginal_likelihood() > before + 1
    assert model.score(X[TEST], 10 * y[TEST]) > 0.8
    assert len(calls) <= 4  # the fit, its last likelihood, and the two likelihoods of this test


def test_the_matrix_that_is_kept_follows_the_samples(table: Any) -> None:
    X, _ = table
    kernel = RefntkKernel("mlp-1")
    first = kernel(X)
    first[:] = 0  # the caller's own
    X[0, 0] += 1
    assert np.array_equal(kernel(X), RefntkKernel("mlp-1")(X))
    kernel.get = "ntk"
    assert np.array_equal(kernel(X), RefntkKernel("mlp-1", "ntk")(X))
    assert "_last" not in pickle.loads(pickle.dumps(kernel)).__dict__
    assert "_last" not in clone(kernel).__dict__


def test_a_classifier_of_scikit_learn(table: Any) -> None:
    X, y = table
    kernel = ConstantKernel(100.0) * RefntkKernel("mlp-1")
    model = GaussianProcessClassifier(kernel).fit(X[TRAIN], y[TRAIN] > 0)
    assert model.score(X[TEST], y[TEST] > 0) > 0.7


def test_a_function_and_a_precomputed_matrix_are_the_same(table: Any) -> None:
    X, y = table
    kernel = RefntkKernel("mlp-5", "ntk")
    function = SVC(kernel=kernel).fit(X[TRAIN], y[TRAIN] > 0)
    matrix = SVC(kernel="precomputed").fit(kernel(X[TRAIN]), y[TRAIN] > 0)
    right = matrix.decision_function(kernel(X[TEST], X[TRAIN]))
    assert np.array_equal(function.decision_function(X[TEST]), right)


def test_distances_for_a_precomputed_metric(table: Any, assert_close: Any) -> None:
    X, y = table
    kernel = RefntkKernel("mlp-1")
    distance = kernel.distance(X)
    matrix = kernel(X)
    assert np.array_equal(distance, distance.T)
    assert not np.diagonal(distance).any()
    expected = np.sqrt(matrix[3, 3] + matrix[7, 7] - 2 * matrix[3, 7])
    assert_close(distance[3, 7], expected)
    assert_close(kernel.distance(X[TEST], X[TRAIN]), distance[TEST, TRAIN], 1e-9)
    near = KNeighborsClassifier(1, metric="precomputed").fit(distance[TRAIN, TRAIN], y[TRAIN] > 0)
    chosen = distance[TEST, TRAIN].argmin(axis=1)
    assert np.array_equal(near.predict(distance[TEST, TRAIN]), (y[TRAIN] > 0)[chosen])


def test_it_is_a_kernel_of_scikit_learn() -> None:
    kernel = RefntkKernel(refntk.preset("gcnn-paper"), "ntk", image_shape=(4, 4))
    assert kernel == clone(kernel)
    assert kernel != RefntkKernel("mlp-1")
    assert kernel.n_dims == 0
    assert not kernel.is_stationary()
    assert repr(kernel) == "RefntkKernel('gcnn-paper', 'ntk')"
    assert repr(2.0 * RefntkKernel("mlp-1")) == "1.41**2 * RefntkKernel('mlp-1', 'nngp')"


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (RefntkKernel("mlp-1", "nnpg"), r'unknown kernel "nnpg" \(did you mean "nngp"\?\)'),
        (RefntkKernel("cnn-gap"), "the network has a Conv layer and needs images"),
        (RefntkKernel("cnn-gap", image_shape=(2, 2)), r"\(2, 2, 1\) asks for 4 features"),
    ],
)
def test_what_is_refused(kernel: RefntkKernel, message: str, table: Any) -> None:
    for call in (kernel, kernel.diag, kernel.distance):
        with pytest.raises(InputError, match=message):
            call(table[0])


def test_a_gradient_between_two_sets(table: Any) -> None:
    X, _ = table
    with pytest.raises(InputError, match="there is a gradient for Y=None only"):
        RefntkKernel()(X, X, eval_gradient=True)


def test_the_kernel_of_each_image_with_itself(rng: np.random.Generator) -> None:
    images = rng.random((5, 5, 5, 1))
    net = refntk.preset("gcnn-paper")
    right = refntk.kernel(net, images)
    for get in ("nngp", "ntk"):
        found = batches.self_kernels(net, images, get)
        assert np.array_equal(found, np.diagonal(getattr(right, get)))
