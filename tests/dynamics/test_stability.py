"""The curvature of the augmented risk beside the equivariant parameters."""

import numpy as np
import pytest

from refntk.dynamics import (
    EquivariantMlp,
    Representation,
    augmented_hessian,
    distance,
    flatten,
    image_group,
    inner,
)
from refntk.dynamics.counterexamples import (
    Counterexample,
    curvatures,
    dense,
    escaping,
    returning,
    splitting,
)
from refntk.dynamics.nonlinearities import BinaryCrossEntropy, Identity, Sigmoid
from refntk.dynamics.stability import beside, lowest_curvature


def small():
    """Give a network of quarter turns at a point of E, with its Hessian in full."""
    rng = np.random.default_rng(3)
    points = Representation(image_group("rot", 3), "points")
    net = EquivariantMlp([points] * 3, [Sigmoid(), Identity()], BinaryCrossEntropy())
    a = net.draw_equivariant(rng)
    x, y = rng.normal(size=(7, 9)), rng.integers(0, 2, (7, 9)) * 1.0
    hessian = dense(lambda v: augmented_hessian(net, a, v, x, y), a)
    return Counterexample(net, a, x, y, np.zeros(len(hessian)), hessian, hessian)


@pytest.mark.parametrize("make", [escaping, returning, splitting, small])
def test_the_lowest_curvature_off_e(make, assert_close):
    example = make()
    value, direction = lowest_curvature(example.network, example.a, example.x, example.y, 1e-10)
    assert_close(value, curvatures(example)[1][0], tol=1e-9)
    v = flatten(direction)
    assert_close(v @ example.augmented @ v, value, tol=1e-6)
    assert abs(v @ v - 1) < 1e-12
    projected = example.network.project(direction)
    assert inner(projected, projected) < 1e-24


def test_beside(rng, assert_close):
    example = small()
    net, a = example.network, example.a
    first, second = (beside(net, a, 1e-3, rng) for _ in range(2))
    assert_close(distance(first, a), 1e-3 * np.linalg.norm(flatten(a)), tol=1e-9)
    assert_close(distance(first, net.project(first)), distance(first, a), tol=1e-9)
    assert distance(first, second) > 1e-4
