"""Equivariant perceptrons: derivatives, projections, and the theorems on augmented training."""

import numpy as np
import pytest

from refntk.dynamics import (
    EquivariantMlp,
    add,
    augmented_gradient,
    distance,
    inner,
    scale,
)
from refntk.dynamics.nonlinearities import (
    LOSSES,
    AtEachPoint,
    BinaryCrossEntropy,
    Chain,
    CrossEntropy,
    Identity,
    LayerNorm,
    LeakyRelu,
    MeanSquare,
    Sigmoid,
    Softmax,
)
from refntk.dynamics.representations import Representation, image_group, symmetric_group
from refntk.errors import InputError

SIGMAS = [Identity(), LeakyRelu(0.2), Sigmoid(), Softmax(), LayerNorm()]
SIGMAS.append(Chain(Sigmoid(), LayerNorm()))


@pytest.mark.parametrize("sigma", SIGMAS, ids=lambda s: type(s).__name__)
def test_nonlinearities_and_their_derivatives(sigma, rng, assert_close):
    z, g, dz, dg = rng.normal(size=(4, 3, 7))
    s = sigma(z)
    h = 1e-5
    step = (sigma(z + h * dz) - sigma(z - h * dz)) / (2 * h)
    assert_close(sigma.push(z, s, dz), step, tol=1e-8, floor=1)
    assert abs(np.sum(sigma.pull(z, s, g) * dz) - np.sum(g * sigma.push(z, s, dz))) < 1e-12
    plus, minus = (sigma.pull(z + e * dz, sigma(z + e * dz), g + e * dg) for e in (h, -h))
    assert_close(sigma.bend(z, s, g, dz, dg), (plus - minus) / (2 * h), tol=1e-8, floor=1)
    p = rng.permutation(7)
    assert_close(sigma(z[:, p]), s[:, p], tol=1e-14, floor=1)


def test_what_happens_at_each_point(rng, assert_close):
    sigma, inner = AtEachPoint(LayerNorm(), 3), LayerNorm()
    z, g, dz, dg = rng.normal(size=(4, 2, 12))
    s = sigma(z)
    cases = {"pull": (z, s, g), "push": (z, s, dz), "bend": (z, s, g, dz, dg)}
    for k in range(4):  # the copies are listed one after the other
        one = slice(k, None, 4)
        assert_close(s[:, one], inner(z[:, one]), tol=1e-14, floor=1)
        for name, given in cases.items():
            expected = getattr(inner, name)(*(v[:, one] for v in given))
            assert_close(getattr(sigma, name)(*given)[:, one], expected, tol=1e-14, floor=1)


def test_a_loss_divided_by_the_number_of_pixels(rng, assert_close):
    out, d_out = rng.normal(size=(2, 3, 6))
    target = rng.integers(0, 2, (3, 6)) * 1.0
    whole, mean = BinaryCrossEntropy(), BinaryCrossEntropy(6)
    assert abs(whole(out, target) / 6 - mean(out, target)) < 1e-15
    assert_close(mean.gradient(out, target), whole.gradient(out, target) / 6, tol=1e-15, floor=1)
    bend = whole.bend(out, target, d_out)
    assert_close(mean.bend(out, target, d_out), bend / 6, tol=1e-15, floor=1)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_derivatives(name, rng, assert_close):
    loss = LOSSES[name]
    out, d_out = rng.normal(size=(2, 4, 5))
    target = rng.dirichlet(np.ones(5), 4)
    h = 1e-5
    slope = (loss(out + h * d_out, target) - loss(out - h * d_out, target)) / (2 * h)
    assert abs(np.sum(loss.gradient(out, target) * d_out) - slope) < 1e-9
    plus, minus = (loss.gradient(out + e * d_out, target) for e in (h, -h))
    assert_close(loss.bend(out, target, d_out), (plus - minus) / (2 * h), tol=1e-8, floor=1)


def test_losses_are_those_of_the_textbook():
    out, target = np.array([[0.3, -1.0]]), np.array([[1.0, 0.0]])
    p = 1 / (1 + np.exp(-out))
    assert abs(MeanSquare()(out, target) - 0.5 * (0.49 + 1)) < 1e-15
    assert abs(BinaryCrossEntropy()(out, target) + np.log(p[0, 0] * (1 - p[0, 1]))) < 1e-15
    q = np.exp(out[0, 0]) / np.exp(out).sum()
    assert abs(CrossEntropy()(out, target) + np.log(q)) < 1e-15


def build(name):
    """A small network of each group, with data."""
    rng = np.random.default_rng(5)
    if name == "perm":
        group = symmetric_group(4)
        spaces = [Representation(group, kind) for kind in ("pairs", "pairs", "trivial")]
        net = EquivariantMlp(spaces, [Sigmoid(), Identity()], BinaryCrossEntropy())
        y = rng.integers(0, 2, (6, 1)).astype(float)
    elif name == "segment":
        space = Representation(image_group("rot", 4), "points")
        net = EquivariantMlp(
            [space] * 4, [LeakyRelu(), LayerNorm(), Identity()], BinaryCrossEntropy()
        )
        y = rng.integers(0, 2, (6, 16)).astype(float)
    else:
        group = image_group(name, 4)
        spaces = [Representation(group, "points")] * 3 + [Representation(group, "trivial", 3)]
        net = EquivariantMlp(spaces, [LeakyRelu(), Softmax(), Identity()], CrossEntropy())
        y = rng.dirichlet(np.ones(3), 6)
    x = rng.normal(size=(6, net.spaces[0].dimension))
    return net, net.draw(rng), x, y


NETWORKS = ["perm", "segment", "trans", "onedtrans", "transrot"]
networks = pytest.mark.parametrize("name", NETWORKS)


def some_biases(a, rng):
    return [(w, rng.normal(size=b.shape)) for w, b in a]


@networks
def test_gradients_and_hessians_against_differences(name, rng):
    net, a, x, y = build(name)
    a = some_biases(a, rng)
    v, u = (some_biases(net.draw(rng), rng) for _ in range(2))
    h = 1e-5
    slope = (net.risk(add(a, v, h), x, y) - net.risk(add(a, v, -h), x, y)) / (2 * h)
    assert abs(inner(net.gradient(a, x, y), v) - slope) < 1e-8
    ahead, behind = (net.gradient(add(a, v, e), x, y) for e in (h, -h))
    numeric = scale(add(ahead, behind, -1.0), 1 / (2 * h))
    product = net.hessian_product(a, v, x, y)
    assert distance(product, numeric) < 1e-6 * np.sqrt(inner(product, product))
    # The Hessian is symmetric.
    assert abs(inner(u, product) - inner(v, net.hessian_product(a, u, x, y))) < 1e-10


@networks
def test_equivariant_parameters_are_the_fixed_points(name, rng):
    net, a, x, _ = build(name)
    fixed = net.project(some_biases(a, rng))
    for g in net.group.elements[:8]:
        assert distance(net.act(g, fixed), fixed) < 1e-13
        moved = net(fixed, net.spaces[0].act(g, x))
        assert np.abs(moved - net.spaces[-1].act(g, net(fixed, x))).max() < 1e-12
    assert distance(net.project(fixed), fixed) < 1e-14
    mean = net.act(net.group.elements[0], a)
    for g in net.group.elements[1:]:
        mean = add(mean, net.act(g, a))
    assert distance(scale(mean, 1 / net.group.order), net.project(a)) < 1e-12


@networks
def test_the_augmented_gradient_is_that_of_the_mean_risk(name, rng):
    net, a, x, y = build(name)
    a = some_biases(a, rng)
    v = some_biases(net.draw(rng), rng)
    h = 1e-5

    def risk(b):
        return np.mean([net.risk(net.act(g, b), x, y) for g in net.group.elements])

    slope = (risk(add(a, v, h)) - risk(add(a, v, -h))) / (2 * h)
    assert abs(inner(augmented_gradient(net, a, x, y), v) - slope) < 1e-8


@networks
def test_at_equivariant_points_the_three_gradients_agree(name, rng):
    """Proposition 1: ∇R_aug = Π_E ∇R = ∇R_eqv on E."""
    net, a, x, y = build(name)
    a = net.project(some_biases(a, rng))
    augmented = augmented_gradient(net, a, x, y)
    projected = net.project(net.gradient(a, x, y))
    size = np.sqrt(inner(projected, projected))
    assert distance(augmented, projected) < 1e-12 * max(size, 1)
    # R_eqv(A) = R(Π_E A) has the gradient Π_E ∇R(Π_E A); here against differences of R_eqv.
    v = some_biases(net.draw(rng), rng)
    h = 1e-5
    slope = (
        net.risk(net.project(add(a, v, h)), x, y) - net.risk(net.project(add(a, v, -h)), x, y)
    ) / (2 * h)
    assert abs(inner(projected, v) - slope) < 1e-8
    # Off E they differ.
    off = net.draw(rng)
    assert distance(augmented_gradient(net, off, x, y), net.project(net.gradient(off, x, y))) > 1e-4


@networks
def test_the_hessians_of_the_three_risks(name, rng):
    """Proposition 2: on E, ∇²R_aug is the mean of ρ̄(g)ᵀ∇²R ρ̄(g), ∇²R_eqv is Π_E ∇²R Π_E."""
    net, a, x, y = build(name)
    a = net.project(some_biases(a, rng))
    v = some_biases(net.draw(rng), rng)
    h = 1e-5
    ahead, behind = (augmented_gradient(net, add(a, v, e), x, y) for e in (h, -h))
    numeric = scale(add(ahead, behind, -1.0), 1 / (2 * h))
    inverse = {g.tobytes(): np.argsort(g) for g in net.group.elements}
    total = None
    for g in net.group.elements:
        one = net.act(inverse[g.tobytes()], net.hessian_product(a, net.act(g, v), x, y))
        total = one if total is None else add(total, one)
    mean = scale(total, 1 / net.group.order)
    assert distance(mean, numeric) < 1e-6 * np.sqrt(inner(mean, mean))
    # On E, it is the Hessian of R_eqv; it maps E to E and its complement to itself.
    w = net.project(v)
    inside = net.project(net.hessian_product(a, w, x, y))
    total = None
    for g in net.group.elements:
        one = net.act(inverse[g.tobytes()], net.hessian_product(a, net.act(g, w), x, y))
        total = one if total is None else add(total, one)
    assert distance(scale(total, 1 / net.group.order), inside) < 1e-11


@networks
def test_augmented_training_stays_equivariant(name, rng):
    """Corollary 1, over 100 exact steps; nominal training leaves E at once."""
    net, a, x, y = build(name)
    a = nominal = net.project(some_biases(a, rng))
    for _ in range(100 if net.group.order < 20 else 20):
        a = add(a, augmented_gradient(net, a, x, y), -0.01)
        nominal = add(nominal, net.gradient(nominal, x, y), -0.01)
    assert distance(a, net.project(a)) < 1e-12
    assert distance(nominal, net.project(nominal)) > 1e-7


def test_what_is_refused(rng):
    net, a, x, y = build("segment")
    with pytest.raises(InputError, match=r"x: expected the shape \(B, 16\), not \(6, 15\)"):
        net(a, x[:, 1:])
    with pytest.raises(InputError, match="expected a nonlinearity for each layer, not 1 for 3"):
        EquivariantMlp(net.spaces, [Identity()], MeanSquare())
    with pytest.raises(InputError, match="elements: expected one at least"):
        augmented_gradient(net, a, x, y, [])
    large = symmetric_group(9)
    spaces = [Representation(large, "points"), Representation(large, "trivial")]
    big = EquivariantMlp(spaces, [Identity()], MeanSquare())
    points, targets = rng.normal(size=(2, 9)), np.zeros((2, 1))
    with pytest.raises(InputError, match="too many to list"):
        augmented_gradient(big, big.draw(rng), points, targets)
    some = [large.draw(rng) for _ in range(3)]
    assert len(augmented_gradient(big, big.draw(rng), points, targets, some)) == 1
