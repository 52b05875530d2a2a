"""Gradient flow: against an integrated differential equation and against ensembles of networks."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import refntk
from refntk.errors import InputError, NotPositiveDefiniteError
from refntk.inference import GradientFlow, KernelRegression

TRAIN, TEST = 6, 3
TIMES = [0.0, 0.3, 1.0, 7.5, 40.0]


@pytest.fixture
def kernels():
    """NNGP and NTK of nine images, in units in which times of order 1 matter."""
    images = np.random.default_rng(5).normal(size=(TRAIN + TEST, 4, 4, 2))
    k = refntk.kernel(refntk.preset("mlp-1"), images)
    return k.nngp, k.ntk


@pytest.fixture
def y(rng):
    return rng.normal(size=(TRAIN, 2))


def parts(kernel):
    """Kernel of training, of test with training, and of test images."""
    return kernel[:TRAIN, :TRAIN], kernel[TRAIN:, :TRAIN], kernel[TRAIN:, TRAIN:]


def integrate(ntk, y, times, rate):
    """Integrate df/dt = -rate Theta(., X) (f(X) - Y) for the map from f(0) to f(t), and its shift.

    Row 0 of the state is the shift, the others the map: f(t) = shift(t) + f(0) map(t).
    """
    count = len(ntk)

    def derivative(_, state):
        state = state.reshape(y.shape[1] + count, count)
        force = state[:, :TRAIN].copy()
        force[: y.shape[1]] -= y.T
        return -rate * (force @ ntk[:TRAIN]).ravel()

    start = np.concatenate([np.zeros((y.shape[1], count)), np.eye(count)])
    solved = solve_ivp(
        derivative, (0, max(times)), start.ravel(), "DOP853", times, rtol=1e-11, atol=1e-13
    )
    states = solved.y.T.reshape(len(times), -1, count)
    return states[:, : y.shape[1]].swapaxes(1, 2), states[:, y.shape[1] :].swapaxes(1, 2)


@pytest.mark.parametrize(("loss", "rate"), [("sum", 0.5), ("mean", 0.5 / TRAIN)])
def test_mean_and_covariance_solve_the_differential_equation(kernels, y, assert_close, loss, rate):
    nngp, ntk = kernels
    shift, propagator = integrate(ntk, y, TIMES, rate)
    covariance = propagator @ nngp @ propagator.swapaxes(1, 2)
    flow = GradientFlow(learning_rate=0.5, loss=loss)
    flow.fit(parts(ntk)[0], y, parts(nngp)[0])
    assert_close(flow.mean(TIMES), shift[:, :TRAIN], 1e-8, floor=1.0)
    assert_close(flow.covariance(TIMES), covariance[:, :TRAIN, :TRAIN], 1e-8, floor=1.0)
    cross, test = parts(ntk)[1], parts(nngp)
    assert_close(flow.mean(TIMES, cross), shift[:, TRAIN:], 1e-8, floor=1.0)
    at_test = flow.covariance(TIMES, cross, test[1], test[2])
    assert_close(at_test, covariance[:, TRAIN:, TRAIN:], 1e-8, floor=1.0)
    np.testing.assert_array_equal(at_test, at_test.swapaxes(1, 2))


def test_variance_is_the_diagonal_of_the_covariance(kernels, y, assert_close):
    nngp, ntk = kernels
    flow = GradientFlow().fit(parts(ntk)[0], y, parts(nngp)[0])
    times = [0, 2.0, np.inf]
    diagonal = np.einsum("tmm->tm", flow.covariance(times))
    assert_close(flow.variance(times), np.maximum(diagonal, 0), 1e-11, floor=1.0)
    given = parts(ntk)[1], parts(nngp)[1]
    diagonal = np.einsum("tmm->tm", flow.covariance(times, *given, parts(nngp)[2]))
    assert_close(flow.variance(times, *given, parts(nngp)[2].diagonal()), diagonal, 1e-11)


@pytest.mark.parametrize("diag_reg", [0.0, 0.1])
def test_the_ends_of_time(kernels, y, assert_close, diag_reg):
    nngp, ntk = kernels
    flow = GradientFlow(diag_reg=diag_reg).fit(parts(ntk)[0], y, parts(nngp)[0])
    regression = KernelRegression(diag_reg).fit(parts(ntk)[0], y)
    assert not flow.mean(0.0).any()
    assert_close(flow.covariance(0), parts(nngp)[0], floor=1.0)
    for late in (np.inf, 1e12):
        assert_close(flow.mean(late), regression.predict(parts(ntk)[0]), 1e-9, floor=1.0)
        assert_close(flow.mean(late, parts(ntk)[1]), regression.predict(parts(ntk)[1]), 1e-9)
    if not diag_reg:
        assert np.abs(flow.covariance(np.inf)).max() < 1e-12 * nngp.max()
        assert_close(flow.mean(np.inf), y, 1e-9, floor=1.0)


def test_shapes_follow_times_and_targets(kernels, y, assert_close):
    nngp, ntk = kernels
    flow = GradientFlow().fit(parts(ntk)[0], y, parts(nngp)[0])
    assert flow.mean(1.0).shape == (TRAIN, 2)
    assert flow.mean([1.0, 2.0], parts(ntk)[1]).shape == (2, TEST, 2)
    assert flow.covariance(1.0).shape == (TRAIN, TRAIN)
    assert flow.variance([1.0]).shape == (1, TRAIN)
    single = GradientFlow().fit(parts(ntk)[0], y[:, 1])
    assert single.mean(1.0).shape == (TRAIN,)
    assert_close(single.mean([1.0, 2.0]), flow.mean([1.0, 2.0])[:, :, 1], floor=1.0)


def test_learning_rate_and_time_only_count_together(kernels, y, assert_close):
    ntk = parts(kernels[1])[0]
    fast = GradientFlow(learning_rate=4.0).fit(ntk, y)
    assert_close(fast.mean(0.5), GradientFlow().fit(ntk, y).mean(2.0))
    mean = GradientFlow(loss="mean").fit(ntk, y)
    assert_close(mean.mean(TRAIN * 2.0), GradientFlow().fit(ntk, y).mean(2.0))


def test_a_singular_kernel_flows_as_long_as_its_null_space_is_idle(rng, assert_close):
    """The function of the eigenvalue 0 is its limit, rate times t."""
    features = rng.normal(size=(5, 2))
    ntk = features @ features.T
    y = rng.normal(size=5)
    flow = GradientFlow().fit(ntk, y)
    shift, _ = integrate_square(ntk, y, 0.7)
    assert_close(flow.mean(0.7), shift, 1e-9, floor=1.0)
    with pytest.raises(NotPositiveDefiniteError, match=r"ntk_train_train: at t=inf: is not posit"):
        flow.mean(np.inf)
    with pytest.raises(NotPositiveDefiniteError, match="will do") as caught:
        flow.mean([0, 1e16])
    assert np.isfinite(GradientFlow(diag_reg=caught.value.diag_reg).fit(ntk, y).mean(1e16)).all()


def integrate_square(ntk, y, time):
    solved = solve_ivp(
        lambda _, f: -ntk @ (f - y), (0, time), np.zeros(len(y)), "DOP853", rtol=1e-11, atol=1e-13
    )
    return solved.y[:, -1], solved


def test_an_ensemble_of_linear_models(rng):
    """Models with frozen and trained weights, flowing in the space of their parameters.

    f(x) = a . phi(x) + b . psi(x), a trained, b frozen: K = phi phi^T + psi psi^T, Theta = phi
    phi^T.
    """
    phi, psi = rng.normal(size=(TRAIN + TEST, 12)) / 3, rng.normal(size=(TRAIN + TEST, 5)) / 4
    y, time, draws = rng.normal(size=TRAIN), 1.3, 40_000
    a, b = rng.normal(size=(draws, 12)), rng.normal(size=(draws, 5))
    values, vectors = np.linalg.eigh(phi[:TRAIN].T @ phi[:TRAIN])
    goal = (y - b @ psi[:TRAIN].T) @ phi[:TRAIN]  # da/dt = goal - (phi^T phi) a
    growth = -np.expm1(-values * time) / np.where(values > 1e-12, values, 1)
    growth[values <= 1e-12] = time
    a = (a @ vectors * np.exp(-values * time) + goal @ vectors * growth) @ vectors.T
    f = a @ phi.T + b @ psi.T
    nngp, ntk = phi @ phi.T + psi @ psi.T, phi @ phi.T
    flow = GradientFlow().fit(parts(ntk)[0], y, parts(nngp)[0])
    mean = np.concatenate([flow.mean(time), flow.mean(time, parts(ntk)[1])])
    check_draws(f[:, :TRAIN], mean[:TRAIN], flow.covariance(time))
    check_draws(
        f[:, TRAIN:], mean[TRAIN:], flow.covariance(time, parts(ntk)[1], *parts(nngp)[1:])
    )


def check_draws(f, mean, covariance):
    """Means and covariances of draws lie within 4.5 standard errors of what they should be."""
    draws = len(f)
    variances = np.diagonal(covariance)
    off_mean = np.abs(f.mean(axis=0) - mean) / np.sqrt(variances / draws)
    assert off_mean.max() < 4.5
    spread = np.sqrt((np.outer(variances, variances) + covariance**2) / draws)
    assert (np.abs(np.cov(f.T) - covariance) / spread).max() < 4.5


@pytest.mark.slow
def test_an_ensemble_of_wide_networks():
    """Networks of one hidden layer of width 1024, trained by small steps of gradient descent.

    Their spread differs from that of infinite width by an order of 1/1024, far below the standard
    error of 600 draws.
    """
    rng = np.random.default_rng(3)
    count, width, draws, pixels = TRAIN + TEST, 1024, 600, 8
    images = rng.normal(size=(count, 1, 1, pixels))
    y = rng.normal(size=TRAIN)
    k = refntk.kernel(refntk.preset("mlp-1"), images)
    nngp, ntk = k.nngp, k.ntk
    x = images.reshape(count, pixels) / np.sqrt(pixels)
    time, steps = 1.0, 200
    flow = GradientFlow().fit(parts(ntk)[0], y, parts(nngp)[0])
    f = np.empty((draws, count))
    for draw in range(draws):
        f[draw] = train_network(rng, x, y, width, time / steps, steps)
    check_draws(f[:, :TRAIN], flow.mean(time), flow.covariance(time))
    at_test = flow.covariance(time, parts(ntk)[1], *parts(nngp)[1:])
    check_draws(f[:, TRAIN:], flow.mean(time, parts(ntk)[1]), at_test)


def train_network(rng, x, y, width, rate, steps):
    """f(x) = v . relu(W x + b) / sqrt(width), by the midpoint rule along the gradient flow."""
    w, b, v = rng.normal(size=(width, x.shape[1])), rng.normal(size=width), rng.normal(size=width)
    scale, xt = 1 / np.sqrt(width), x[:TRAIN]

    def gradient(w, b, v):
        hidden = xt @ w.T + b
        active = np.maximum(hidden, 0)
        gap = (active @ v) * scale - y
        back = (hidden > 0) * v * scale * gap[:, None]
        return back.T @ xt, back.sum(axis=0), active.T @ gap * scale

    for _ in range(steps):
        half = [p - rate / 2 * g for p, g in zip((w, b, v), gradient(w, b, v), strict=True)]
        w, b, v = (p - rate * g for p, g in zip((w, b, v), gradient(*half), strict=True))
    return np.maximum(x @ w.T + b, 0) @ v * scale


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (-1.0, "times: -1 is not a training time; they are zero, positive or infinite"),
        ([0.0, np.nan], "times: nan is not a training time"),
        ([[1.0]], r"times: expected a number or a list of numbers, not float64 of shape \(1, 1\)"),
        ("now", "times: expected a number"),
    ],
)
def test_what_is_no_time(times, words):
    flow = GradientFlow().fit(np.eye(2), np.ones(2), np.eye(2))
    for method in (flow.mean, flow.covariance, flow.variance):
        with pytest.raises(InputError, match=words):
            method(times)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "sums"}, 'unknown loss "sums" .did you mean "sum".*; known: sum, mean'),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive number, not 0.0"),
        ({"learning_rate": np.inf}, "learning_rate: expected a positive number"),
        ({"diag_reg": -1.0}, "diag_reg: expected zero or a positive number"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(InputError, match=words):
        GradientFlow(**options).fit(np.eye(2), np.ones(2))


def test_what_does_not_fit_together():
    flow = GradientFlow().fit(np.eye(2), np.ones(2))
    with pytest.raises(InputError, match="fit needs nngp_train_train for covariances"):
        flow.covariance(1.0)
    with pytest.raises(InputError, match="call fit before"):
        GradientFlow().mean(1.0)
    with pytest.raises(InputError, match="nngp_train_train: 3 images, but ntk_train_train has 2"):
        flow.fit(np.eye(2), np.ones(2), np.eye(3))
    flow.fit(np.eye(2), np.ones(2), np.eye(2))
    with pytest.raises(InputError, match="give the NTK and both NNGP of other images, or none"):
        flow.covariance(1.0, np.eye(2))
    with pytest.raises(InputError, match="nngp_test_train: 1 rows, but ntk_test_train has 2"):
        flow.variance(1.0, np.eye(2), np.ones((1, 2)), np.ones(2))
    with pytest.raises(InputError, match="nngp_test_test: 3 images, but ntk_test_train has 2 rows"):
        flow.covariance(1.0, np.eye(2), np.eye(2), np.eye(3))
    with pytest.raises(InputError, match="nngp_test: expected the kernel of each of 2 images"):
        flow.variance(1.0, np.eye(2), np.eye(2), np.ones(3))
    with pytest.raises(InputError, match="nngp_test: the kernel of an image with itself is never"):
        flow.variance(1.0, np.eye(2), np.eye(2), [1.0, -1.0])


def test_an_indefinite_matrix_is_no_ntk():
    with pytest.raises(NotPositiveDefiniteError, match="smallest eigenvalue -0.5"):
        GradientFlow().fit(np.diag([2.0, -0.5]), np.ones(2))
