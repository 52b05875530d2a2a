"""Estimators for scikit-learn: what they compute, and that scikit-learn takes them for its own."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_moons
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import refntk
from refntk.data import load_images
from refntk.errors import InputError, MissingPackageError, NetworkError, NotPositiveDefiniteError
from refntk.inference import GaussianProcess, KernelRegression, class_targets
from refntk.sklearn import NTKClassifier, NTKRegressor

ESTIMATORS = [NTKRegressor(), NTKClassifier()]
MORE = [
    NTKRegressor(get="nngp"),
    NTKClassifier(get="nngp"),
    NTKRegressor("precomputed"),
    NTKClassifier("precomputed"),
]

NOT_A_KERNEL = {
    "check_positive_only_tag_during_fit": "the matrix of the check is not positive definite",
    "check_estimators_dtypes": "the check rounds its matrix, which is no longer positive definite",
}


def exceptions(estimator: Any) -> dict[str, str]:
    """Scikit-learn's checks that do not pass, each with its reason."""
    return NOT_A_KERNEL if estimator.network == "precomputed" else {}


# --- scikit-learn's own checks


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=exceptions)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(MORE, expected_failed_checks=exceptions)
def test_more_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


# --- what they compute


@pytest.fixture(scope="module")
def tiles() -> Any:
    """Thirty-six tiles of nine classes, 7 x 7 pixels, integers, and their labels."""
    loaded = load_images("sample:histology", limit=36, seed=1)
    return loaded.images[:, ::4, ::4], loaded.labels


TRAIN, TEST = slice(0, None, 2), slice(1, None, 2)


@pytest.mark.parametrize("get", ["ntk", "nngp"])
def test_a_regressor_is_kernel_regression(tiles: Any, get: str, assert_close: Any) -> None:
    images, labels = tiles
    targets = np.stack([np.sin(labels), labels / 9], axis=1)
    net = refntk.preset("gcnn-paper")
    model = NTKRegressor(net, get=get, diag_reg=1e-5).fit(images[TRAIN], targets[TRAIN])
    matrix = getattr(refntk.kernel(net, images), get)
    right = KernelRegression(1e-5).fit(matrix[TRAIN, TRAIN], targets[TRAIN])
    assert_close(model.predict(images[TEST]), right.predict(matrix[TEST, TRAIN]), 1e-9)
    one = NTKRegressor("gcnn-paper", get=get, diag_reg=1e-5).fit(images[TRAIN], targets[TRAIN, 0])
    assert_close(one.predict(images[TEST]), right.predict(matrix[TEST, TRAIN])[:, 0], 1e-9)


def test_the_deviation_is_that_of_the_gaussian_process(tiles: Any, assert_close: Any) -> None:
    images, labels = tiles
    net = refntk.preset("cnn-paper")
    model = NTKRegressor(net, get="nngp", diag_reg=1e-3).fit(images[TRAIN], labels[TRAIN])
    mean, deviation = model.predict(images[TEST], return_std=True)
    matrix = refntk.kernel(net, images, get="nngp").nngp
    right = GaussianProcess(1e-3).fit(matrix[TRAIN, TRAIN], labels[TRAIN])
    assert_close(mean, model.predict(images[TEST]))
    variance = right.variance(matrix[TEST, TRAIN], np.diagonal(matrix)[TEST])
    assert_close(deviation**2, variance, 1e-9, floor=1e-3)
    two = NTKRegressor(net, get="nngp", diag_reg=1e-3).fit(
        images[TRAIN], np.stack([labels, -labels], axis=1)[TRAIN]
    )
    mean, both = two.predict(images[TEST], return_std=True)
    assert_close(both, np.stack([deviation, deviation], axis=1))


@pytest.mark.parametrize("get", ["ntk", "nngp"])
def test_a_classifier_takes_the_largest_output(tiles: Any, get: str, assert_close: Any) -> None:
    images, labels = tiles
    names = np.array([f"class {label}" for label in labels])
    model = NTKClassifier("gcnn-paper", get=get).fit(images[TRAIN], names[TRAIN])
    matrix = getattr(refntk.kernel(refntk.preset("gcnn-paper"), images), get)
    right = KernelRegression(1e-4).fit(matrix[TRAIN, TRAIN], class_targets(labels[TRAIN], 9))
    outputs = right.predict(matrix[TEST, TRAIN])
    # Rounding of the kernel, times the condition number of the regularised matrix.
    assert_close(model.decision_function(images[TEST]), outputs, 1e-8)
    assert model.predict(images[TEST]).tolist() == [f"class {k}" for k in outputs.argmax(axis=1)]
    assert model.score(images[TRAIN], names[TRAIN]) > 0.8


def test_probabilities_of_two_classes(assert_close: Any) -> None:
    """P(f1 > f0) = Phi((mu1 - mu0) / (sqrt 2 sigma)) for two independent outputs."""
    from scipy.stats import norm

    X, y = make_moons(60, noise=0.2, random_state=0)
    model = NTKClassifier("mlp-5", get="nngp", diag_reg=1e-2).fit(X[TRAIN], y[TRAIN])
    probability = model.predict_proba(X[TEST])
    matrix = refntk.kernel(refntk.preset("mlp-5"), X[:, None, None, :], get="nngp").nngp
    right = GaussianProcess(1e-2).fit(matrix[TRAIN, TRAIN], class_targets(y[TRAIN], 2))
    mean = right.predict(matrix[TEST, TRAIN])
    variance = right.variance(matrix[TEST, TRAIN], np.diagonal(matrix)[TEST])
    expected = norm.cdf((mean[:, 1] - mean[:, 0]) / np.sqrt(2 * variance))
    assert_close(probability[:, 1], expected, 1e-9, floor=1.0)
    assert np.array_equal(model.predict(X[TEST]), probability.argmax(axis=1))
    assert model.score(X[TEST], y[TEST]) > 0.85


def test_probabilities_of_many_classes(rng: np.random.Generator) -> None:
    """Against draws of the outputs, within four standard errors."""
    from refntk.sklearn.votes import largest_output

    mean, variance = rng.normal(size=(3, 4)), np.array([0.3, 1.0, 4.0])
    draws = mean + np.sqrt(variance)[:, None] * rng.normal(size=(200_000, 3, 4))
    seen = (draws.argmax(axis=2)[..., None] == np.arange(4)).mean(axis=0)
    found = largest_output(mean, variance)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-14
    error = np.sqrt(found * (1 - found) / len(draws))
    assert np.abs((found - seen) / error).max() < 4


def test_probabilities_without_variance() -> None:
    from refntk.sklearn.votes import largest_output

    mean = np.array([[1.0, 3.0, 2.0], [1.0, 1.0, 0.0], [1e6, -1e6, 0.0]])
    found = largest_output(mean, np.zeros(3))
    assert np.allclose(found, [[0, 1, 0], [0.5, 0.5, 0], [1, 0, 0]], atol=1e-12)


# --- shapes of samples


def test_images_as_arrays_and_as_rows_of_a_table(tiles: Any) -> None:
    images, labels = tiles
    table = images.reshape(len(images), -1)
    whole = NTKClassifier("gcnn-paper").fit(images[TRAIN], labels[TRAIN])
    rows = NTKClassifier("gcnn-paper", image_shape=(7, 7, 3)).fit(table[TRAIN], labels[TRAIN])
    right = whole.decision_function(images[TEST])
    assert np.array_equal(rows.decision_function(table[TEST]), right)
    assert np.array_equal(rows.X_fit_, whole.X_fit_)


def test_grey_images_need_no_channel_in_their_shape(rng: np.random.Generator) -> None:
    table, y = rng.random((8, 30)), np.arange(8.0)
    short = NTKRegressor("cnn-gap", image_shape=(5, 6)).fit(table, y)
    whole = NTKRegressor("cnn-gap").fit(table.reshape(8, 5, 6, 1), y)
    assert np.array_equal(short.predict(table), whole.predict(table.reshape(8, 5, 6, 1)))


def test_a_table_is_taken_as_it_is(rng: np.random.Generator, assert_close: Any) -> None:
    """Integers in a table are numbers and not pixels."""
    table, y = rng.integers(-5, 6, size=(9, 4)), np.arange(9.0)
    model = NTKRegressor(diag_reg=1e-3).fit(table, y)
    as_floats = NTKRegressor(diag_reg=1e-3).fit(1.0 * table, y)
    assert_close(model.predict(table), as_floats.predict(table))
    matrix = refntk.kernel(refntk.preset("mlp-1"), 1.0 * table[:, None, None, :], get="ntk").ntk
    assert_close(model.predict(table), KernelRegression(1e-3).fit(matrix, y).predict(matrix), 1e-9)


# --- life among scikit-learn's tools


def test_pipelines_and_cross_validation() -> None:
    X, y = make_moons(80, noise=0.15, random_state=1)
    model = make_pipeline(StandardScaler(), NTKClassifier("mlp-5"))
    assert cross_val_score(model, 100 * X, y, cv=3).min() > 0.85


def test_targets_can_be_centred(rng: np.random.Generator) -> None:
    X = rng.normal(size=(40, 2))
    y = 1000 + X[:, 0]
    model = TransformedTargetRegressor(NTKRegressor("mlp-1"), transformer=StandardScaler())
    assert model.fit(X[TRAIN], y[TRAIN]).score(X[TEST], y[TEST]) > 0.9


def test_a_search_over_a_precomputed_kernel(tiles: Any) -> None:
    images, labels = tiles
    matrix = refntk.kernel(refntk.preset("gcnn-paper"), images, get="ntk").ntk
    grid = {"diag_reg": [1e-6, 1e-2]}
    found = GridSearchCV(NTKClassifier("precomputed"), grid, cv=3).fit(matrix, labels)
    slow = GridSearchCV(NTKClassifier("gcnn-paper"), grid, cv=3).fit(images, labels)
    for name in ("split0_test_score", "split1_test_score", "split2_test_score"):
        assert np.array_equal(found.cv_results_[name], slow.cv_results_[name])
    assert cross_val_predict(NTKClassifier("precomputed"), matrix, labels, cv=3).shape == (36,)


@pytest.mark.parametrize("network", ["mlp-1", refntk.preset("gcnn-paper")], ids=["name", "network"])
def test_clones_and_pickles(tiles: Any, network: Any) -> None:
    images, labels = tiles
    model = NTKClassifier(network, get="nngp", diag_reg=1e-3)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "classes_")
    model.fit(images[TRAIN], labels[TRAIN])
    again = pickle.loads(pickle.dumps(model))
    right = model.predict_proba(images[TEST])
    assert np.array_equal(again.predict_proba(images[TEST]), right)
    copy = clone(model).fit(images[TRAIN], labels[TRAIN])
    assert np.array_equal(copy.predict_proba(images[TEST]), right)


def test_probabilities_are_there_where_there_is_a_process() -> None:
    assert hasattr(NTKClassifier(get="nngp"), "predict_proba")
    assert not hasattr(NTKClassifier(get="ntk"), "predict_proba")


# --- what is refused


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (NTKRegressor("gcnn-paper"), (6, 12), "the network has a Lift layer and needs images"),
        (NTKRegressor(image_shape=(2, 2, 2)), (6, 12), r"\(2, 2, 2\) asks for 8 features a sample"),
        (NTKRegressor(image_shape=(2, 2, 3)), (6, 2, 2, 1), "but the images have the shape"),
        (NTKRegressor(image_shape=(2, 6.0)), (6, 12), "expected positive whole numbers"),
        (NTKRegressor(image_shape=(0, 12)), (6, 12), "expected positive whole numbers"),
        (NTKRegressor(image_shape=12), (6, 12), "expected positive whole numbers"),
        (NTKRegressor(), (6, 4, 4), r"images of shape \(N, H, W, C\), not \(6, 4, 4\)"),
        (NTKRegressor(get="nkt"), (6, 12), r'unknown kernel "nkt" \(did you mean "ntk"\?\)'),
        (NTKRegressor(network=5), (6, 12), "expected a Network, the name of a preset or a TOML f"),
        (NTKRegressor(dtype="float16"), (6, 12), 'unknown dtype "float16"'),
        (NTKRegressor(diag_reg=-1), (6, 12), "diag_reg: expected zero or a positive number"),
    ],
)  # fmt: skip
def test_parameters_and_samples_that_do_not_fit(
    model: Any, shape: tuple[int, ...], message: str, rng: np.random.Generator
) -> None:
    with pytest.raises(InputError, match=message):
        model.fit(rng.random(shape), np.arange(6.0))


def test_an_unknown_network(rng: np.random.Generator) -> None:
    with pytest.raises(NetworkError, match='did you mean "mlp-1"'):
        NTKRegressor("mpl-1").fit(rng.random((4, 2)), np.arange(4.0))


def test_other_images_than_those_of_fit(rng: np.random.Generator) -> None:
    model = NTKRegressor().fit(rng.random((4, 5, 5, 1)), np.arange(4.0))
    with pytest.raises(InputError, match=r"have the shape \(5, 5, 2\), those of fit \(5, 5, 1\)"):
        model.predict(rng.random((2, 5, 5, 2)))


def test_one_class_only(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="y: there is only 1 class, 'a'"):
        NTKClassifier().fit(rng.random((4, 2)), ["a"] * 4)


def test_a_singular_kernel_is_not_repaired(rng: np.random.Generator) -> None:
    # So many duplicates that rounding leaves some pivot that is not positive.
    X = np.repeat(rng.random((3, 2)), 8, axis=0)
    with pytest.raises(NotPositiveDefiniteError, match=r"diag_reg=\S+ will do"):
        NTKRegressor(diag_reg=0).fit(X, np.arange(24.0))
    assert NTKRegressor(diag_reg=1e-6).fit(X, np.arange(24.0)).predict(X).shape == (24,)


def test_deviations_that_are_not_there(rng: np.random.Generator) -> None:
    X = rng.random((4, 2))
    with pytest.raises(InputError, match='use get="nngp"'):
        NTKRegressor().fit(X, np.arange(4.0)).predict(X, return_std=True)
    matrix = np.eye(4)
    model = NTKRegressor("precomputed", get="nngp").fit(matrix, np.arange(4.0))
    with pytest.raises(InputError, match="a variance needs the kernel of each sample with itself"):
        model.predict(matrix, return_std=True)


@pytest.mark.parametrize("model", [NTKRegressor(get="nngp"), NTKClassifier(get="nngp")])
def test_predictions_before_fit(model: Any) -> None:
    methods = ("predict", "predict_proba", "decision_function")
    for method in (name for name in methods if hasattr(model, name)):
        with pytest.raises(NotFittedError):
            getattr(model, method)(np.ones((2, 2)))
    if isinstance(model, NTKRegressor):
        with pytest.raises(NotFittedError):
            model.predict(np.ones((2, 2)), return_std=True)


def test_without_scikit_learn(monkeypatch: Any) -> None:
    for name in [name for name in sys.modules if name.startswith("refntk.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingPackageError, match=r'pip install "refntk\[sklearn\]"'):
        import refntk.sklearn  # noqa: F401


def test_centred_targets(rng):
    X, y = rng.random((12, 3)), rng.random((12, 2)) + 100
    plain = NTKRegressor(diag_reg=1e-2).fit(X, y - y.mean(axis=0))
    centred = NTKRegressor(diag_reg=1e-2, center_y=True).fit(X, y)
    new = rng.random((5, 3))
    np.testing.assert_allclose(centred.predict(new), plain.predict(new) + y.mean(axis=0), 1e-12)
    process = NTKRegressor(get="nngp", diag_reg=1e-2, center_y=True).fit(X, y[:, 0])
    mean, deviation = process.predict(new, return_std=True)
    np.testing.assert_allclose(mean, process.predict(new), 1e-12)
    assert (deviation > 0).all()


def test_a_search_with_centred_targets_over_a_precomputed_kernel(rng):
    X, y = rng.random((12, 3)), rng.random(12) + 100
    kernel, grid = X @ X.T + np.eye(12), [1e-4, 1e-2]
    model = NTKRegressor("precomputed", center_y=True)
    search = GridSearchCV(model, {"diag_reg": grid}, cv=3, error_score="raise").fit(kernel, y)
    assert np.abs(search.predict(kernel) - y).max() < 1
    hidden = TransformedTargetRegressor(
        NTKRegressor("precomputed"), transformer=StandardScaler()
    )
    search = GridSearchCV(hidden, {"regressor__diag_reg": grid}, cv=3, error_score="raise")
    with pytest.raises(InputError, match=r"not shape \(8, 12\); .* NTKRegressor\(center_y=True\)"):
        search.fit(kernel, y)


@pytest.mark.parametrize("get", ["ntk", "nngp"])
@pytest.mark.parametrize("precomputed", [False, True])
def test_weights_of_samples_divide_what_is_added(rng, assert_close, get, precomputed):
    X, y, new = rng.normal(size=(9, 3)), rng.normal(size=9), rng.normal(size=(4, 3))
    weights = np.array([1.0, 2.0, 0.0, 0.5, 1.0, 4.0, 0.0, 1.0, 3.0])
    counted = weights > 0
    kernel = getattr(refntk.kernel("mlp-1", np.concatenate([X, new]), get=get), get)
    train, cross = kernel[:9, :9][np.ix_(counted, counted)], kernel[9:, :9]
    mean = weights @ kernel.diagonal()[:9] / weights.sum()
    matrix = train + np.diag(0.1 * mean / weights[counted])
    wanted = cross[:, counted] @ np.linalg.solve(matrix, y[counted])
    options = {"get": get, "diag_reg": 0.1}
    if precomputed:
        model = NTKRegressor("precomputed", **options).fit(kernel[:9, :9], y, weights)
        assert_close(model.predict(cross), wanted, 1e-10, floor=1.0)
    else:
        model = NTKRegressor("mlp-1", **options).fit(X, y, sample_weight=weights)
        assert_close(model.predict(new), wanted, 1e-10, floor=1.0)


def test_a_weight_of_two_is_a_sample_twice(rng, assert_close):
    X, y, new = rng.normal(size=(8, 3)), rng.integers(0, 3, 8), rng.normal(size=(5, 3))
    weights = np.array([1, 2, 1, 3, 1, 0, 2, 1])
    weighted = NTKClassifier(diag_reg=0.05).fit(X, y, weights)
    repeated = NTKClassifier(diag_reg=0.05).fit(X.repeat(weights, 0), y.repeat(weights))
    assert_close(
        weighted.decision_function(new), repeated.decision_function(new), 1e-9, floor=1.0
    )


def test_a_mean_of_targets_has_weights(rng, assert_close):
    X, y, new = rng.normal(size=(6, 3)), rng.normal(size=6) + 50, rng.normal(size=(5, 3))
    weights = np.array([1, 2, 1, 3, 1, 2])
    weighted = NTKRegressor(diag_reg=0.05, center_y=True).fit(X, y, weights)
    repeated = NTKRegressor(diag_reg=0.05, center_y=True)
    repeated.fit(X.repeat(weights, 0), y.repeat(weights))
    assert_close(weighted.predict(new), repeated.predict(new), 1e-9)


def test_weights_that_leave_nothing(rng):
    # Newer releases of scikit-learn refuse it themselves, in words of their own.
    with pytest.raises(ValueError, match="(?i)sample.weight.*(zero|0)"):
        NTKRegressor().fit(rng.normal(size=(4, 2)), rng.normal(size=4), np.zeros(4))
