"""Networks on SO(3), O(3), SO(2), O(2): symmetries, literal values, drawn networks, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

import refntk
from refntk import sphere
from refntk.errors import InputError, MethodError, NetworkError, RefntkWarning
from refntk.recursion.literal import propagate
from refntk.sphere.harmonics import band_limit, wigner_d
from refntk.sphere.rotations import Rotations

SCALES = {"W_std": 1.3, "b_std": 0.2}
DEEP = [
    sphere.SphereLift(**SCALES), refntk.Erf(), sphere.GlobalConv(**SCALES), refntk.Gelu(),
    refntk.GroupPool(), refntk.Dense(**SCALES), refntk.Relu(), refntk.Dense(W_std=0.7),
]  # fmt: skip
BANDED = [
    sphere.SphereLift(**SCALES), refntk.Erf(), sphere.GlobalConv(band=3, **SCALES), refntk.Erf(),
    refntk.GroupPool(), refntk.Dense(b_std=0.1),
]  # fmt: skip


def turned(net: list[Any], group: str) -> list[Any]:
    """Put the same network on another group."""
    return [type(net[0])(group=group, **SCALES), *net[1:]]


@given(st.lists(st.floats(-7, 7), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_coefficients_turn_as_functions_do(angles: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    f, n = sphere.random_signals(rng, 1, 5, 2)[0], rng.normal(size=(4, 3))
    matrix = scipy.spatial.transform.Rotation.from_euler("ZYZ", angles).as_matrix()
    found = sphere.harmonics(n, 5) @ sphere.rotate(f, angles)
    # Row by row: (Q f)(n) = f(Q⁻¹ n).
    expected = sphere.harmonics(n @ matrix, 5) @ f
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found.imag, 0, atol=1e-12)


def test_small_matrices_have_their_closed_forms() -> None:
    beta = np.linspace(0, np.pi, 7)
    d = wigner_d(31, beta)
    root, half = np.sin(beta) / np.sqrt(2), (1 + np.cos(beta)) / 2
    np.testing.assert_allclose(d[1][:, 1, 1], np.cos(beta), atol=1e-15)
    np.testing.assert_allclose(d[1][:, 2, 1], -root, atol=1e-15)
    np.testing.assert_allclose(d[1][:, 0, 0], half, atol=1e-15)
    legendre = scipy.special.eval_legendre(30, np.cos(beta))
    np.testing.assert_allclose(d[30][:, 30, 30], legendre, atol=1e-13)


def test_zonal_functions_have_the_coefficients_of_funk_and_hecke(rng: np.random.Generator) -> None:
    axis, n = np.array([0.6, 0.0, 0.8]), rng.normal(size=(9, 3))
    n /= np.linalg.norm(n, axis=1)[:, None]
    scales = sphere.zonal(4, lambda t: 1 + t**3)
    f = np.repeat(scales, [1, 3, 5, 7]) * sphere.harmonics(axis, 4).conj()
    np.testing.assert_allclose(sphere.harmonics(n, 4) @ f, 1 + (n @ axis) ** 3, atol=1e-13)


def test_the_grid_is_a_mean_over_rotations_and_their_inverses(rng: np.random.Generator) -> None:
    x = sphere.random_signals(rng, 4, 4, 2)
    grid = Rotations(5, 4)
    f, g = (grid.prepared(part) for part in (x[:2], x[2:]))
    found = grid.correlate(f, g)
    for k in rng.integers(len(grid.weights), size=8):
        alpha, beta, gamma = grid.angles[k]
        moved = sphere.rotate(x[2:], (-gamma, -beta, -alpha))
        literal = np.real((moved.conj() * x[:2]).sum(axis=(1, 2))) / (4 * np.pi * 2)
        np.testing.assert_allclose(found[:, k], literal, rtol=1e-12, atol=1e-15)
    at_rest = np.real((x[2:].conj() * x[:2]).sum(axis=(1, 2))) / (4 * np.pi * 2)
    np.testing.assert_allclose(found[:, -1], at_rest, rtol=1e-12)
    assert grid.weights.sum() == pytest.approx(1, abs=1e-14)
    back = grid.correlate(g, f)
    np.testing.assert_allclose(np.sort(found[:, :-1]), np.sort(back[:, :-1]), atol=1e-15)
    np.testing.assert_allclose(grid.projected(found, 4), found, atol=1e-14)
    cut = x.copy()
    cut[:, 4:] = 0
    low = grid.correlate(*(grid.prepared(part) for part in (cut[:2], cut[2:])))
    np.testing.assert_allclose(grid.projected(found, 2), low, atol=1e-14)


@pytest.mark.parametrize("net", [DEEP, BANDED], ids=["deep", "banded"])
def test_kernels_do_not_see_rotations(net: list[Any], rng: np.random.Generator) -> None:
    x = 0.5 * sphere.random_signals(rng, 3, 3, 2)
    y = 0.5 * sphere.random_signals(rng, 2, 3, 2)
    k = sphere.kernel(net, x, y, nodes=12)
    q, p = rng.uniform(0, 2 * np.pi, (2, 3))
    for one, two in ((sphere.rotate(x, q), y), (x, sphere.rotate(y, p))):
        other = sphere.kernel(net, one, two, nodes=12)
        for name in ("nngp", "ntk"):
            difference = np.abs(other.kernels[name] - k.kernels[name]).max()
            assert difference < 1e-9 * np.abs(k.kernels[name]).max(), difference


def test_reflections_count_in_o3_alone(rng: np.random.Generator) -> None:
    x = sphere.random_signals(rng, 3, 4, 2)
    signs = np.where(np.repeat(np.arange(4), [1, 3, 5, 7]) % 2, -1, 1)[:, None]
    full = turned(DEEP, "O3")
    k, mirrored = (sphere.kernel(full, each, x, nodes=12) for each in (x, signs * x))
    np.testing.assert_allclose(mirrored.ntk, k.ntk, rtol=1e-8)
    k, mirrored = (sphere.kernel(DEEP, each, x, nodes=12) for each in (x, signs * x))
    assert np.abs(mirrored.ntk - k.ntk).max() > 1e-3


@pytest.mark.parametrize("rings", [None, 3])
@pytest.mark.parametrize("count", [8, 9])
def test_circles_and_discs(rings: int | None, count: int, rng: np.random.Generator) -> None:
    shape = (2, count, 2) if rings is None else (2, rings, count, 2)
    x, axis = 0.5 * rng.normal(size=shape), len(shape) - 2
    spread = () if rings is None else (0.5, 1.0, 1.5)
    net = [sphere.CircleLift(group="O2", radii=spread, **SCALES), *DEEP[1:]]
    k = sphere.kernel(net, x, nodes=90)
    for moved in (np.roll(x, 2, axis), np.flip(x, axis)):
        other = sphere.kernel(net, moved, x, nodes=90)
        np.testing.assert_allclose(other.ntk, k.ntk, rtol=1e-7)
    # At the angles of the samples the correlation is a literal sum over them.
    samples = x if rings is not None else x[:, None]
    shares = np.array(spread or [1.0])
    turns = np.stack([np.roll(samples[1], -t, axis=1) for t in range(count)])
    literal = np.einsum("rpc,trpc,r->t", samples[0], turns, shares / shares.sum()) / (2 * count)
    if count % 2:
        lift = sphere.CircleLift(radii=spread)
        prepared, limit = lift.prepare(x, "X1")
        found = lift.grid(count, limit).correlate(prepared[:1], prepared[1:])[0]
        np.testing.assert_allclose(found[:-1], literal, atol=1e-13)


def test_pooling_is_the_mean_of_fully_connected_kernels(rng: np.random.Generator) -> None:
    """Literally, for random rotations of the quadrature, and at the identity by Flatten."""
    x = sphere.random_signals(rng, 2, 3, 2)
    body = [sphere.SphereLift(**SCALES), refntk.Relu(), sphere.GlobalConv(**SCALES), refntk.Erf()]
    columns = np.moveaxis(x, 0, 0).reshape(2, -1)
    flat = np.concatenate([columns.real, columns.imag], axis=1)
    scale = np.sqrt(flat.shape[1] / (4 * np.pi * 2))
    dense = refntk.Network([
        refntk.Flatten(), refntk.Dense(**SCALES), refntk.Relu(), refntk.Dense(**SCALES),
        refntk.Erf(),
    ])  # fmt: skip
    expected = refntk.kernel(dense, scale * flat[:, None, None, :], method="literal")
    found = sphere.kernel([*body, refntk.Flatten()], x)
    np.testing.assert_allclose(found.nngp, expected.nngp, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, expected.ntk, rtol=1e-12)
    assert found.error == {"nngp": 0.0, "ntk": 0.0}
    grid = Rotations(4, 3)
    moved = [sphere.rotate(x[1], -angles[::-1]) for angles in grid.angles]
    total = sphere.kernel([*body, refntk.Flatten()], x[:1], np.stack(moved)).ntk @ grid.weights
    pooled = sphere.kernel([*body, refntk.GroupPool()], x[:1], x[1:], nodes=4)
    np.testing.assert_allclose(pooled.ntk[0], total, rtol=1e-12)


def test_a_wide_band_is_no_band(rng: np.random.Generator) -> None:
    x = 0.3 * sphere.random_signals(rng, 2, 3, 2)
    hidden = [sphere.GlobalConv(band=band, **SCALES) for band in (None, 12)]
    free, wide = (
        sphere.kernel([*BANDED[:2], layer, *BANDED[3:]], x, nodes=12) for layer in hidden
    )
    np.testing.assert_allclose(wide.ntk, free.ntk, rtol=1e-8)
    cut = sphere.kernel([sphere.SphereLift(band=2, **SCALES), *BANDED[1:]], x, nodes=10)
    low = sphere.kernel(BANDED, x[:, :4], nodes=10)
    np.testing.assert_allclose(cut.ntk, low.ntk, rtol=1e-14)


def test_the_stated_error_holds(rng: np.random.Generator) -> None:
    x = sphere.random_signals(rng, 3, 4, 1)
    hidden = [refntk.Relu(), sphere.GlobalConv(), refntk.Relu()]
    net = [sphere.SphereLift(), *hidden, refntk.GroupPool()]
    truth = sphere.kernel(net, x, nodes=32)
    for nodes in (4, 6, 9):
        k = sphere.kernel(net, x, nodes=nodes)
        for name in ("nngp", "ntk"):
            scale = np.mean(np.diagonal(truth.kernels[name]))
            wrong = np.abs(k.kernels[name] - truth.kernels[name]).max() / scale
            assert 0.2 * k.error[name] < wrong < 1.5 * k.error[name], (nodes, name, wrong)
        assert np.array_equal(k.ntk, k.ntk.T)


def test_a_kernel_says_its_smallest_eigenvalue(rng: np.random.Generator) -> None:
    x = sphere.random_signals(rng, 4, 3)
    k = sphere.kernel(DEEP, x, nugget=1e-3)
    for name in ("nngp", "ntk"):
        smallest = np.linalg.eigvalsh(k.kernels[name])[0] / np.mean(np.diagonal(k.kernels[name]))
        assert k.smallest_eigenvalue[name] == pytest.approx(smallest)
    assert sphere.kernel(DEEP, x, x).smallest_eigenvalue == {}
    assert sphere.kernel(DEEP, x, get="nngp").ntk is None


def test_what_the_quadrature_breaks_is_said(rng: np.random.Generator) -> None:
    x = sphere.random_signals(rng, 1, 3)
    orbit = np.concatenate([sphere.rotate(x, angles) for angles in rng.uniform(0, 6, (8, 3))])
    net = [sphere.SphereLift(W_std=4.0), refntk.Erf(), refntk.GroupPool()]
    with pytest.warns(RefntkWarning, match=r"smallest eigenvalue of the n.* or add a nugget"):
        sphere.kernel(net, orbit, nodes=3)
    with pytest.raises(InputError, match=r"nodes: with 3 .* nodes=5 or more"):
        sphere.kernel(net, orbit, nodes=3, nugget=1e-6)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "expected a list of layers that begins with SphereLift or CircleLift"),
        ([refntk.Relu()], "expected a list of layers that begins with SphereLift or CircleLift"),
        (DEEP[:4], "expected one readout, GroupPool or Flatten, among the layers, not 0"),
        ([*DEEP[:5], refntk.Flatten()],
         "expected one readout, GroupPool or Flatten, among the layers, not 2"),
        ([DEEP[0], refntk.Dense(), DEEP[4]],
         "layer 1 (Dense): does not fit here: between the lift and the readout use "
         "GlobalConv and activations such as Relu"),
        ([DEEP[0], DEEP[4], DEEP[2]],
         "layer 2 (GlobalConv): does not fit here: after the readout use Dense and "
         "activations such as Relu"),
        ([DEEP[0], DEEP[0], DEEP[4]],
         "layer 1 (SphereLift): does not fit here: between the lift and the readout use "
         "GlobalConv and activations such as Relu"),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit(layers: list[Any], message: str) -> None:
    with pytest.raises(NetworkError) as error:
        sphere.kernel(layers, np.zeros((1, 4, 1)))
    assert str(error.value) == message


def test_activations_need_weights_before_them_and_a_derivative() -> None:
    with pytest.raises(NetworkError, match=r"layer 2 \(Relu\): needs Gaussian features"):
        sphere.kernel([DEEP[0], refntk.Relu(), refntk.Relu(), DEEP[4]], np.zeros((1, 4, 1)))
    signs = [sphere.SphereLift(), refntk.Sign(), refntk.GroupPool()]
    with pytest.raises(MethodError, match=r"layer 1 \(Sign\): has no NTK"):
        sphere.kernel(signs, np.zeros((1, 4, 1)))
    loud = [sphere.SphereLift(W_std=1e3), refntk.Exp(), refntk.GroupPool()]
    with pytest.raises(InputError, match=r"too large for Exponential at .* 7\.96e\+04"):
        sphere.kernel(loud, np.ones((1, 1, 1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sphere.SphereLift(group="SO4"),
         'group: unknown group "SO4" (did you mean "SO3"?); known: SO3, O3'),
        (lambda: sphere.CircleLift(group="O3"), 'group: unknown group "O3"; known: SO2, O2'),
        (lambda: sphere.GlobalConv(band=0),
         "band: expected a band limit, a positive whole number, not 0"),
        (lambda: sphere.CircleLift(radii=[1, -1]), "radii: expected positive numbers, not [1, -1]"),
        (lambda: sphere.GlobalConv(W_std=-1),
         "W_std: expected a finite standard deviation, zero or positive, not -1"),
    ],
)  # fmt: skip
def test_arguments_that_are_wrong(make: Any, message: str) -> None:
    with pytest.raises(NetworkError) as error:
        make()
    assert str(error.value) == message


GOOD = np.zeros((1, 4, 1))
CIRCLE = [sphere.CircleLift(radii=(1.0, 2.0)), refntk.Relu(), refntk.GroupPool()]


@pytest.mark.parametrize(
    ("net", "sets", "options", "message"),
    [
        (DEEP, (GOOD[0],), {},
         "X1: expected coefficients (N, L², C) of functions on the sphere, not the shape "
         "(4, 1)"),
        (DEEP, (GOOD[:, :3],), {},
         "X1: 3 rows of coefficients are no square: a signal of band limit L has L², one "
         "for each l < L and |m| <= l"),
        (DEEP, (GOOD, GOOD[:, :1]), {},
         "X2: its signals have the shape (1, 1), those of X1 (4, 1): both must be alike"),
        (DEEP, (GOOD + np.nan,), {}, "X1: the entry (0, 0, 0) is not finite"),
        (DEEP, (GOOD.astype(str),), {}, "X1: expected numbers of complex128, not <U32"),
        (DEEP, (GOOD + 1,), {},
         "X1: signal 0 is no real function: its coefficient at l = 1, m = -1 is not "
         "(-1)^m times the conjugate of that at -m; use orthonormal complex harmonics, "
         "row l² + l + m"),
        (DEEP, (GOOD,), {"nodes": 1},
         "nodes: expected at least 2 nodes in cos beta at this band limit, not 1: with "
         "fewer the correlation of two signals is not exact; 4 are usual"),
        (BANDED, (GOOD,), {"nodes": 2},
         "nodes: expected at least 3 nodes in cos beta at this band limit, not 2: with "
         "fewer the correlation of two signals is not exact; 6 are usual"),
        (DEEP, (GOOD,), {"get": "cov"}, 'get: unknown kernel "cov"; known: nngp, ntk'),
        (DEEP, (GOOD,), {"nugget": 0}, "nugget: expected a positive number, not 0"),
        (CIRCLE, (GOOD,), {}, "X1: has 1 rings, and radii names 2: give one for each"),
        (CIRCLE, (GOOD[0],), {},
         "X1: expected samples (N, P, C) on a circle or (N, rings, P, C) on a disc, not "
         "the shape (4, 1)"),
        (CIRCLE, (1j * np.ones((1, 2, 8, 1)),), {},
         "X1: expected numbers of float64, not complex128"),
        (CIRCLE, (np.ones((1, 2, 8, 1)),), {"nodes": 8},
         "nodes: expected at least 9 angles at this band limit, not 8: with fewer the "
         "correlation of two signals is not exact; 40 are usual"),
    ],
)  # fmt: skip
def test_input_that_is_wrong(
    net: list[Any], sets: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as error:
        sphere.kernel(net, *sets, **options)
    assert str(error.value) == message


def test_band_limits() -> None:
    assert [band_limit(n) for n in (1, 4, 36)] == [1, 2, 6]


SMOOTH_OR_NOT = [
    refntk.Relu(), refntk.LeakyRelu(alpha=0.1), refntk.Abs(), refntk.ABRelu(a=-0.5, b=1.0),
    refntk.Identity(), refntk.Erf(), refntk.Sigmoid_like(), refntk.Gelu(), refntk.Sin(),
    refntk.Cos(),
    refntk.Rbf(), refntk.Exp(b=0.5), refntk.Gaussian(), refntk.ExpNormalized(),
    refntk.RectifiedMonomial(degree=2), refntk.Polynomial(coef=(0.0, 1.0, 0.3)),
    refntk.Hermite(degree=2), refntk.Elementwise("tanh"),
]  # fmt: skip


@pytest.mark.parametrize("activation", SMOOTH_OR_NOT, ids=lambda layer: type(layer).__name__)
def test_every_activation(activation: Any, rng: np.random.Generator) -> None:
    """By Flatten, whose kernel another implementation has, and invariant by GroupPool."""
    x = 0.5 * sphere.random_signals(rng, 2, 2, 2)
    body = [sphere.SphereLift(**SCALES), activation, sphere.GlobalConv(**SCALES), activation]
    flat = np.concatenate([x.real, x.imag], axis=1).reshape(2, -1)
    scale = np.sqrt(flat.shape[1] / (4 * np.pi * 2))
    dense = [refntk.Flatten(), refntk.Dense(**SCALES), activation, refntk.Dense(**SCALES)]
    state = propagate(refntk.Network([*dense, activation]), scale * flat[:, None, None, :])
    found = sphere.kernel([*body, refntk.Flatten()], x)
    np.testing.assert_allclose(found.nngp, state.nngp, rtol=1e-9)
    np.testing.assert_allclose(found.ntk, state.ntk, rtol=1e-7)
    k = sphere.kernel([*body, refntk.GroupPool()], x, x[::-1], nodes=10)
    moved = sphere.rotate(x, (1, 2, 3))
    turned = sphere.kernel([*body, refntk.GroupPool()], moved, x[::-1], nodes=10)
    assert np.abs(turned.ntk - k.ntk).max() < 1e-4 * np.abs(k.ntk).max()
