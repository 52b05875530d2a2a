"""The posterior of a Gaussian process: against plain linear algebra, and left-out images."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import refntk
from refntk.errors import InputError, NotPositiveDefiniteError
from refntk.inference import GaussianProcess, KernelRegression

TRAIN = 9


@pytest.fixture
def nngp():
    images = np.random.default_rng(8).normal(size=(TRAIN + 4, 3, 3, 2))
    return refntk.kernel(refntk.preset("mlp-1"), images, get="nngp").nngp


@pytest.fixture
def y(rng):
    return rng.normal(size=(TRAIN, 2))


@pytest.mark.parametrize("diag_reg", [0.0, 0.2])
def test_mean_and_covariance_condition_the_joint_normal(nngp, y, assert_close, diag_reg):
    train, cross, test = nngp[:TRAIN, :TRAIN], nngp[TRAIN:, :TRAIN], nngp[TRAIN:, TRAIN:]
    noisy = train + diag_reg * train.trace() / TRAIN * np.eye(TRAIN)
    process = GaussianProcess(diag_reg).fit(train, y)
    assert_close(process.predict(cross), cross @ np.linalg.solve(noisy, y), 1e-9, floor=1.0)
    wanted = test - cross @ np.linalg.solve(noisy, cross.T)
    covariance = process.covariance(cross, test)
    assert_close(covariance, wanted, 1e-10, floor=1.0)
    np.testing.assert_array_equal(covariance, covariance.T)
    variance = process.variance(cross, test.diagonal())
    assert_close(variance, wanted.diagonal(), 1e-10, floor=1.0)
    np.testing.assert_array_equal(
        process.predict(cross), KernelRegression(diag_reg).fit(train, y).predict(cross)
    )


def test_noise_of_each_target_conditions_the_joint_normal(nngp, y, assert_close):
    train, cross, test = nngp[:TRAIN, :TRAIN], nngp[TRAIN:, :TRAIN], nngp[TRAIN:, TRAIN:]
    noise = np.linspace(0.01, 0.5, TRAIN)
    noisy = train + np.diag(noise)
    process = GaussianProcess().fit(train, y, noise)
    assert_close(process.predict(cross), cross @ np.linalg.solve(noisy, y), 1e-9, floor=1.0)
    wanted = test - cross @ np.linalg.solve(noisy, cross.T)
    assert_close(process.covariance(cross, test), wanted, 1e-10, floor=1.0)
    density = [multivariate_normal(cov=noisy).logpdf(column) for column in y.T]
    assert_close(process.log_marginal_likelihood(), density, 1e-10)
    mean, variance = process.leave_one_out()
    rest = np.arange(1, TRAIN)
    without = GaussianProcess().fit(train[1:, 1:], y[1:], noise[1:])
    assert_close(mean[:1], without.predict(train[:1, rest]), 1e-9, floor=1.0)
    alone = without.variance(train[:1, rest], train[:1, 0]) + noise[0]
    assert_close(variance[:1], alone, 1e-9)


def test_log_marginal_likelihood_is_the_density_of_the_targets(nngp, y, assert_close):
    train = nngp[:TRAIN, :TRAIN]
    noisy = train + 0.1 * train.trace() / TRAIN * np.eye(TRAIN)
    wanted = [multivariate_normal(cov=noisy).logpdf(column) for column in y.T]
    assert_close(GaussianProcess(0.1).fit(train, y).log_marginal_likelihood(), wanted, 1e-10)
    single = GaussianProcess(0.1).fit(train, y[:, 1]).log_marginal_likelihood()
    assert isinstance(single, float)
    assert single == pytest.approx(wanted[1], rel=1e-10)


@pytest.mark.parametrize("targets", [None, slice(None)])
def test_leave_one_out_is_fitting_again_without_it(nngp, y, assert_close, targets):
    train = nngp[:TRAIN, :TRAIN]
    y = y[:, 0] if targets is None else y
    process = GaussianProcess(0.05).fit(train, y)
    before = process.predict(train)
    mean, variance = process.leave_one_out()
    for out in range(TRAIN):
        rest = np.delete(np.arange(TRAIN), out)
        others = train[np.ix_(rest, rest)]
        # The same noise, although the mean of the diagonal differs.
        noise = process.addition * len(rest) / others.trace()
        again = GaussianProcess(noise).fit(others, y[rest])
        assert_close(mean[out], again.predict(train[[out]][:, rest])[0], 1e-9, floor=1.0)
        alone = again.variance(train[[out]][:, rest], [train[out, out]])[0] + process.addition
        assert_close(variance[out], alone, 1e-9)
    np.testing.assert_array_equal(process.predict(train), before)


def test_on_the_training_images_nothing_is_uncertain(nngp, y):
    train = nngp[:TRAIN, :TRAIN]
    covariance = GaussianProcess().fit(train, y).covariance(train, train)
    assert np.abs(covariance).max() < 1e-11 * train.max()


def test_what_does_not_fit_together(nngp, y):
    with pytest.raises(InputError, match="GaussianProcess: call fit before"):
        GaussianProcess().leave_one_out()
    with pytest.raises(InputError, match="GaussianProcess: call fit before"):
        GaussianProcess().log_marginal_likelihood()
    process = GaussianProcess().fit(nngp[:TRAIN, :TRAIN], y)
    cross = nngp[TRAIN:, :TRAIN]
    with pytest.raises(InputError, match="k_test_test: 3 images, but k_test_train has 4 rows"):
        process.covariance(cross, np.eye(3))
    with pytest.raises(InputError, match="k_test: expected the kernel of each of 4 images"):
        process.variance(cross, np.ones(3))
    with pytest.raises(InputError, match="k_test_train: expected one row an image and 9 columns"):
        process.variance(cross[:, 1:], np.ones(4))
    with pytest.raises(NotPositiveDefiniteError, match="k_train_train: is not positive definite"):
        process.fit(np.ones((3, 3)) - 1e-3 * np.eye(3), np.ones(3))
