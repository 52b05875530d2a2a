"""Duals against integrals over two Gaussians, at zero, at many digits, in other namespaces."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import array_api_strict
import numpy as np
import pytest

import refntk
from refntk.errors import InputError, NetworkError
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.network import Network
from refntk.network.layers import (
    ABRelu,
    Abs,
    Conv,
    Cos,
    Dense,
    Elementwise,
    Erf,
    Exp,
    ExpNormalized,
    Flatten,
    Gaussian,
    Gelu,
    GlobalAvgPool,
    Hermite,
    Identity,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    Relu,
    Sigmoid_like,
    Sign,
    Sin,
)
from refntk.ops.functions import FUNCTIONS
from refntk.truth.certified import certify, literal

Close = Callable[..., None]

SMOOTH = [
    Erf(), Erf(a=1.2, b=0.7, c=0.3), Sigmoid_like(), Gelu(), Sin(a=1.3, b=0.8, c=0.4),
    Cos(a=0.7, b=1.3, c=-0.2), Rbf(gamma=0.6), Exp(a=0.7, b=0.6), Gaussian(a=1.2, b=-0.8),
    Polynomial(coef=(0.1, -0.4, 0.3, 0.2)), Hermite(degree=3), Hermite(degree=0),
    *map(Elementwise, ("tanh", "sigmoid", "softplus", "swish", "mish")),
]  # fmt: skip
KINKED = [RectifiedMonomial(degree=2), RectifiedMonomial(degree=3), ABRelu(a=-0.3, b=0.8),
          Identity(), RectifiedMonomial(degree=1)]  # fmt: skip
JUMPS = [Sign(), RectifiedMonomial(degree=0)]
PAIRS = [(1.0, 1.0, 0.3), (0.5, 2.0, -0.6), (1.3, 0.1, 0.99), (0.7, 0.7, -0.999)]


def expected(dual: Any, v: float, w: float, rho: float) -> tuple[float, float]:
    """Means over two Gaussians, by Gauss and Hermite in both."""
    x, weights = np.polynomial.hermite_e.hermegauss(180)
    weights = np.outer(weights, weights) / (2 * np.pi)
    a = np.sqrt(v) * x[:, None] + 0 * x
    b = np.sqrt(w) * (rho * x[:, None] + np.sqrt(1 - rho**2) * x)
    value = np.sum(weights * dual.value(a) * dual.value(b))
    return float(value), float(np.sum(weights * dual.slope(a) * dual.slope(b)))


@pytest.mark.parametrize("layer", SMOOTH, ids=str)
def test_smooth_duals_are_means_over_gaussians(layer: Any, assert_close: Close) -> None:
    for v, w, rho in PAIRS:
        found = layer.dual.moments(*map(np.asarray, (rho * np.sqrt(v * w), v, w)))
        right = expected(layer.dual, v, w, rho)
        # The quadrature is not exact for functions with poles near the real axis.
        assert_close(np.array(found), np.array(right), tol=1e-8, floor=1e-2)


@pytest.mark.parametrize("layer", [*KINKED, *JUMPS], ids=str)
def test_other_duals_are_means_over_gaussians(layer: Any, assert_close: Close) -> None:
    dual = layer.dual
    angle = (np.arange(20000) + 0.5) * 2 * np.pi / 20000
    for v, w, rho in PAIRS:
        a = np.sqrt(v) * np.cos(angle)
        b = np.sqrt(w) * np.cos(angle - np.arccos(rho))
        # The common length r has E[r^(2k)] = 2^k k!.
        k = dual.degree
        length = float(2**k * np.prod(np.arange(1, k + 1)))
        value, _ = dual.moments(*map(np.asarray, (rho * np.sqrt(v * w), v, w)))
        assert_close(value, length * np.mean(dual.value(a) * dual.value(b)), tol=1e-2)


@pytest.mark.parametrize("layer", [*SMOOTH, *KINKED, ExpNormalized(gamma=1.7, shift=-0.8)], ids=str)
def test_the_slope_is_the_derivative(layer: Any, assert_close: Close) -> None:
    h = 1e-6
    v, w, rho = np.array(PAIRS).T
    k = rho * np.sqrt(v * w)
    low, high = (layer.dual.moments(k + step, v, w)[0] for step in (-h, h))
    assert_close((high - low) / (2 * h), layer.dual.moments(k, v, w)[1], tol=1e-7, floor=1.0)


@pytest.mark.parametrize("layer", [*SMOOTH, *KINKED, *JUMPS, ExpNormalized()], ids=str)
def test_a_feature_with_itself_and_one_that_is_zero(layer: Any, assert_close: Close) -> None:
    dual, v = layer.dual, np.array([0.7, 1e-9, 30.0])
    if isinstance(layer, Exp | Elementwise):
        v = v[:1]
    value, _ = dual.moments(v, v, v)
    assert_close(value, dual.itself(v)[0], tol=1e-7 if dual.kinked else 1e-12)
    zero, one = np.zeros(2), np.array([0.0, 1.3])
    for found in (*dual.moments(zero, zero, one)[: 1 + dual.tangent], dual.itself(zero)[0]):
        assert np.isfinite(found).all()
    if dual.pointwise:
        start = dual.value(np.zeros(1))[0]
        means = np.sqrt(dual.itself(zero)[0])
        assert_close(means, np.full(2, abs(start)), tol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_named_slopes_are_derivatives(name: str, assert_close: Close) -> None:
    x = np.linspace(-30, 30, 601) + 1e-3
    function, slope = FUNCTIONS[name]
    assert_close(slope(x), (function(x + 1e-5) - function(x - 1e-5)) / 2e-5, tol=1e-8, floor=1e-2)
    assert np.isfinite([part(np.array([-800.0, 800.0])) for part in (function, slope)]).all()


@pytest.mark.parametrize("act", [*SMOOTH[:12], *KINKED[:2], ExpNormalized(gamma=0.7)], ids=str)
def test_fifty_digits_and_the_strict_namespace(
    act: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    x = rng.normal(size=(2, 2, 2, 1))
    net = Network([Conv((2, 2), b_std=0.3, W_std=1.2), act, Conv((2, 2)), act, GlobalAvgPool()])
    proof, digits = certify(net, x), literal(net, x)
    state = refntk.recursion.propagate(net, array_api_strict.asarray(x))
    for kernel in ("nngp", "ntk"):
        right = getattr(proof, kernel)
        assert_close(digits[kernel].astype(float), right, tol=1e-15, floor=1e-2)
        assert_close(np.asarray(getattr(state, kernel)), right, tol=1e-12, floor=1e-2)


def test_hermite_polynomials_are_orthonormal(assert_close: Close) -> None:
    k, one = np.array([0.3, -0.8]), np.ones(2)
    for degree in (1, 2, 5, 9):
        assert_close(Hermite(degree=degree).dual.moments(k, one, one)[0], k**degree, tol=1e-12)
    assert Hermite(degree=2).dual.coefficients == (Fraction(-1), Fraction(0), Fraction(1))


# ---------------------------------------------------------------------------------------------
# Heads.


@pytest.mark.parametrize("act", [*SMOOTH, *KINKED, ExpNormalized(gamma=0.7), *JUMPS], ids=str)
def test_heads_of_hard_images(act: Any, rng: np.random.Generator, assert_close: Close) -> None:
    if act not in map(Elementwise, ("tanh", "softplus", "swish", "mish")):  # they take too long
        x, noise, y = rng.normal(size=(3, 2, 2, 1))
        images = np.stack([x, y, *(x + size * noise for size in (1e-2, 1e-5)), x, -x, 1.3 * x])
        first = Dense(W_std=0.8, b_std=0.1)
        net = Network([Flatten(), first, act, first, Relu(), first, act, Dense()])
        get = ("nngp", "ntk") if act.dual.tangent else ("nngp",)
        proof = certify(net, images[:1], images, get=get)
        found = refntk.kernel(net, images[:1], images, get=get)
        assert Job(net, images, options=Options(get=get)).method == "slices"
        for kernel in get:
            # Between smooth activations the angle is that of the rounded kernels.
            tol = 1e-12 if kernel == "nngp" else 1e-7
            assert_close(getattr(found, kernel), getattr(proof, kernel), tol=tol, floor=0.1)


# ---------------------------------------------------------------------------------------------
# Elementwise.


def cube(x: Any) -> Any:
    return x**3 / 3 - x


def test_a_function_of_ones_own(rng: np.random.Generator, assert_close: Close) -> None:
    x = rng.normal(size=(2, 3, 3, 1))
    conv = Conv((3, 3), b_std=0.3)
    kernels = [
        refntk.kernel([conv, act, conv, act, GlobalAvgPool()], x, backend="numpy")
        for act in (Elementwise(cube), Polynomial(coef=(0.0, -1.0, 0.0, 1 / 3)))
    ]
    assert_close(kernels[0].nngp, kernels[1].nngp, tol=1e-12)
    assert_close(kernels[0].ntk, kernels[1].ntk, tol=1e-9)
    layer = Elementwise(cube, breakpoints=[1.0])
    assert pickle.loads(pickle.dumps(layer)) == layer
    assert pickle.loads(pickle.dumps(layer.dual)) == layer.dual
    one, two = (refntk.kernel([conv, act, GlobalAvgPool()], x, backend="numpy")
                for act in (layer, Elementwise(cube)))  # fmt: skip
    assert_close(one.nngp, two.nngp, tol=1e-12)


def test_elementwise_agrees_with_others(rng: np.random.Generator, assert_close: Close) -> None:
    from scipy.special import erf, ndtr

    x = rng.normal(size=(2, 3, 3, 1))
    for fn, act in ((erf, Erf()), (lambda x: x * ndtr(x), Gelu()), (np.sin, Sin())):
        one, two = (
            refntk.kernel([Conv((3, 3)), layer, GlobalAvgPool()], x, backend="numpy")
            for layer in (Elementwise(fn), act)
        )
        assert_close(one.nngp, two.nngp, tol=1e-12)
        assert_close(one.ntk, two.ntk, tol=1e-9)


def run(act: Any, scale: float = 1.0, **options: Any) -> Any:
    x, noise = scale * np.random.default_rng(3).normal(size=(2, 3, 3, 1))
    x = np.stack([x, x + 1e-3 * noise])
    return refntk.kernel([Conv((3, 3)), act, GlobalAvgPool()], x, backend="numpy", **options)


@pytest.mark.parametrize(
    ("act", "scale", "message"),
    [
        (Elementwise(np.exp), 300.0, r"exp is \S+ at \S+, which is no finite number with a"),
        (Elementwise(np.log1p), 1.0, r"log1p is nan at -\d.*: use smaller W_std or smaller"),
        (Elementwise("elu"), 1.0, r"384 terms of the series of elu leave an error of \S+ of"),
        (Elementwise("tanh"), 1e3, "384 terms of the series of tanh leave an error"),
        (Elementwise(np.sum), 1.0, r"sum gives an array of the shape \(\) for one of \(\d+, 400\)"),
        (Exp(), 30.0, r"kernels after it are too large for float64 at variances up "),
        (Polynomial(coef=[1.0] * 40), 1e6, "kernels after it are too large for float64"),
        (RectifiedMonomial(degree=40), 1e6, "kernels after it are too large for float64"),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide|invalid)")
def test_functions_that_grow_too_much_are_named(act: Any, scale: float, message: str) -> None:
    name = type(act).__name__
    with pytest.raises(InputError, match=rf"^layer 1 \({name}\): (the derivative of )?{message}"):
        run(act, scale)


def test_a_larger_tolerance_takes_a_kink() -> None:
    found = run(Elementwise("elu", tolerance=1e-4))
    assert np.isfinite(found.ntk).all()


def test_overflow_in_the_head_is_named() -> None:
    net = [Flatten(), Dense(W_std=30.0), Exp(), Dense()]
    with pytest.raises(InputError, match=r"^layer 2 \(Exp\): kernels after it are too large for"):
        refntk.kernel(net, np.ones((2, 2, 2, 1)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Gaussian(b=0.5), "^b: expected a negative number, not 0.5$"),
        (lambda: Rbf(gamma=-1), "^gamma: expected a finite number that is not negative, not -1$"),
        (lambda: Hermite(degree=1.5), "^degree: expected a whole number from 0 to 64, not 1.5$"),
        (lambda: RectifiedMonomial(), "^the argument degree is missing$"),
        (lambda: Polynomial(coef=[]), "^coef: expected at least one number$"),
        (lambda: Polynomial(coef="x"), "^coef: expected a list of at most 65 numbers, not 'x'$"),
        (lambda: Polynomial(coef=[1, "x"]), "^coef: expected a finite number, not 'x'$"),
        (lambda: Elementwise("tan"), r'^fn: unknown function "tan" \(did you mean "tanh"\?\)'),
        (lambda: Elementwise(2.5), "^fn: expected a name or a function, not 2.5$"),
        (lambda: Elementwise("tanh", derivative=np.sin), "^derivative: known of tanh already; lea"),
        (lambda: Elementwise("tanh", breakpoints=[1]), "^breakpoints: known of tanh already; leav"),
        (lambda: Elementwise(np.sin, derivative=3), "^derivative: expected a function, not 3$"),
        (lambda: Erf(2.0), "^an argument has no name: write a=2.0$"),
        (lambda: Sin(a=float("nan")), "^a: expected a finite number, not nan$"),
    ],
)
def test_arguments_that_are_refused(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build()


def test_through_toml() -> None:
    acts = [*SMOOTH, *KINKED, *JUMPS, ExpNormalized(shift=-0.5), Elementwise("elu", tolerance=1e-6)]
    for act in acts:
        net = Network([Conv((3, 3)), act, GlobalAvgPool()])
        again = Network.from_toml_string(net.to_toml())
        assert again == net
        assert again.hash == net.hash
        assert type(act).__name__ in str(net)
    net = Network([Conv((3, 3)), Abs(), Conv((3, 3)), Elementwise(cube), GlobalAvgPool()])
    assert "fn cube" in str(net)
    with pytest.raises(NetworkError, match=r"^layer 3 \(Elementwise\): fn is a function of your"):
        net.to_toml()
