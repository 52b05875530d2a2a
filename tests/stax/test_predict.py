"""Predictions in the words of neural-tangents, against plain algebra, and what is refused."""

import numpy as np
import pytest
import scipy.linalg

from refntk import stax
from refntk.errors import InputError
from refntk.predict import Gaussian, gradient_descent_mse_ensemble


@pytest.fixture
def points(rng):
    return rng.normal(size=(5, 3)), rng.normal(size=(2, 3)), rng.normal(size=(5, 2))


@pytest.fixture
def kernel_fn():
    network = stax.serial(stax.Dense(64, 1.5, 0.2), stax.Erf(), stax.Dense(1, 1.5))
    return lambda x1, x2, get, **more: network.kernel_fn(x1, x2, get, backend="numpy", **more)


@pytest.mark.parametrize("absolute", [False, True])
def test_ntk_at_a_time_against_matrix_exponentials(points, kernel_fn, absolute, assert_close):
    x, z, y = points
    predict_fn = gradient_descent_mse_ensemble(
        kernel_fn, x, y, learning_rate=0.3, diag_reg=0.05, diag_reg_absolute_scale=absolute
    )
    k, cross = kernel_fn(x, None, ("nngp", "ntk")), kernel_fn(z, x, ("nngp", "ntk"))
    own = kernel_fn(z, None, "nngp")
    with_added = k.ntk + 0.05 * np.eye(5) * (1 if absolute else np.trace(k.ntk) / 5)
    left = scipy.linalg.expm(-0.3 * 7.0 / y.size * with_added)
    a = cross.ntk @ np.linalg.solve(with_added, np.eye(5) - left)
    found = predict_fn(t=7.0, x_test=z, get="ntk", compute_cov=True)
    assert isinstance(found, Gaussian)
    assert_close(found.mean, a @ y, tol=1e-11)
    moved = a @ cross.nngp.T
    assert_close(found.covariance, own + a @ k.nngp @ a.T - moved - moved.T, tol=1e-11)
    assert_close(predict_fn(7.0, z, "ntk"), a @ y, tol=1e-11)
    # The points of training: what was added is part of the kernel.
    found = predict_fn(t=7.0, get="ntk", compute_cov=True)
    assert_close(found.mean, (np.eye(5) - left) @ y, tol=1e-11)
    assert_close(found.covariance, left @ k.nngp @ left, tol=1e-11)


def test_infinite_time_by_solving_and_by_modes_agrees(points, kernel_fn, assert_close):
    x, z, y = points
    predict_fn = gradient_descent_mse_ensemble(kernel_fn, x, y, diag_reg=1e-3)
    solved, modes = (predict_fn(t, z, compute_cov=True) for t in (None, np.inf))
    for word in ("nngp", "ntk"):
        assert_close(getattr(solved, word).mean, getattr(modes, word).mean, tol=1e-9)
        one, two = (getattr(found, word).covariance for found in (solved, modes))
        assert_close(one, two, tol=1e-9)


def test_kernels_of_training_are_computed_once(points, kernel_fn):
    x, z, y = points
    calls = []

    def counted(x1, x2, get):
        calls.append((x2 is None, get))
        return kernel_fn(x1, x2, get)

    predict_fn = gradient_descent_mse_ensemble(counted, x, y)
    predict_fn(x_test=z)
    predict_fn(x_test=z)
    assert calls.count((True, "ntk")) == calls.count((True, "nngp")) == 1


def test_times_of_any_shape_come_first(points, kernel_fn):
    x, z, y = points
    predict_fn = gradient_descent_mse_ensemble(kernel_fn, x, y)
    found = predict_fn(np.ones((2, 3)), z, "nngp", compute_cov=True)
    assert found.mean.shape == (2, 3, 2, 2)
    assert found.covariance.shape == (2, 3, 2, 2)
    assert predict_fn(1.0, z, "nngp").shape == (2, 2)


def test_what_is_not_here_is_refused(points, kernel_fn):
    x, z, y = points
    with pytest.raises(InputError, match=r"trace_axes: \(\): only \(-1,\), the targets, is here"):
        gradient_descent_mse_ensemble(kernel_fn, x, y, trace_axes=())
    with pytest.raises(InputError, match=r"y_train: expected 5 rows"):
        gradient_descent_mse_ensemble(kernel_fn, x, y[:4])
    predict_fn = gradient_descent_mse_ensemble(kernel_fn, x, y)
    with pytest.raises(InputError, match=r'get: unknown kernel "ntkgp".*; known: nngp, ntk'):
        predict_fn(get="ntkgp")
    with pytest.raises(InputError, match=r"times: -1 is not a training time"):
        predict_fn(-1.0, z)
