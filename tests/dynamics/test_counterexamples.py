"""Equivariant points that are stable for one risk and not for another."""

from dataclasses import replace

import numpy as np
import pytest

from refntk.dynamics import add, augmented_gradient, distance, flatten, inner, unflatten
from refntk.dynamics.counterexamples import (
    curvatures,
    dense,
    escaping,
    returning,
    splitting,
)
from refntk.dynamics.theorems import _by_hand

ACROSS = np.array([1, -1, 0]) / 2**0.5


def nominal_gradient(net, a, x, y):
    return net.gradient(a, x, y)


def equivariant_gradient(net, a, x, y):
    return net.project(net.gradient(net.project(a), x, y))


def descend(example, gradient, off, steps, rate):
    """Start beside the point and follow a gradient.

    What is compared with powers of 1 - rate · curvature agrees to first order in the distance from
    the point, which is 2e-5 at most.
    """
    a = add(example.a, unflatten(np.asarray(off), example.a))
    for _ in range(steps):
        a = add(a, gradient(example.network, a, example.x, example.y), -rate)
    return a


def from_e(example, a):
    return distance(a, example.network.project(a))


def augmented_risk(example, a):
    """Give the mean of the risks of both orders of the inputs."""
    return np.mean(
        [example.network.risk(a, example.x[:, order], example.y) for order in ([0, 1], [1, 0])]
    )


@pytest.mark.parametrize("example", [escaping(), returning()], ids=["escaping", "returning"])
def test_what_they_share(example, assert_close):
    assert set(example.y.ravel()) == {0, 1}
    points = {(*x, *y) for x, y in zip(example.x, example.y, strict=True)}
    assert points == {(-x1, -x2, 1 - y) for x1, x2, y in points}
    assert distance(example.a, example.network.project(example.a)) == 0
    answers = np.sort(example.network(example.a, example.x).ravel())
    assert_close(answers, np.repeat([0.25, 0.75], len(answers) // 2))
    assert max(_by_hand(example)) < 1e-14
    wrong = replace(example, augmented=example.nominal + 1e-3)
    assert max(_by_hand(wrong)) > 1e-4


def test_the_augmented_risk_alone_escapes(assert_close):
    example = escaping()
    on_e, off_e = curvatures(example)
    assert_close(on_e, [9 / 256, 9 / 128])
    assert_close(off_e, [-9 / 128])
    start, steps, rate = 1e-6, 400, 0.1
    left = descend(example, augmented_gradient, start * ACROSS, steps, rate)
    growth = (1 + rate * 9 / 128) ** steps
    assert abs(from_e(example, left) / start / growth - 1) < 1e-6
    # On E it comes back, as fast as the smaller curvature allows.
    back = descend(example, augmented_gradient, start * np.array([0, 0, 1]), steps, rate)
    assert abs(distance(back, example.a) / start / (1 - rate * 9 / 256) ** steps - 1) < 1e-6
    stays = descend(example, equivariant_gradient, start * ACROSS, steps, rate)
    assert abs(from_e(example, stays) / start - 1) < 1e-9


def test_where_it_escapes_to():
    example = escaping()
    far = descend(example, augmented_gradient, 0.1 * ACROSS, steps=4000, rate=1)
    assert abs(augmented_risk(example, example.a) - 3 / 32) < 1e-15
    # One of (3, -1) and (-1, 3) is answered rightly, and nothing else wrongly.
    assert 1 / 16 < augmented_risk(example, far) < 1 / 16 + 2e-3
    assert from_e(example, far) > 2


def test_the_augmented_risk_alone_returns(assert_close):
    example = returning()
    assert_close(np.linalg.eigvalsh(example.nominal)[0], -27 / 256)
    on_e, off_e = curvatures(example)
    assert_close(on_e, [9 / 256, 81 / 512])
    assert_close(off_e, [81 / 512])
    start, steps, rate = 1e-6, 400, 0.05
    back = descend(example, augmented_gradient, start * ACROSS, steps, rate)
    assert abs(from_e(example, back) / start / (1 - rate * 81 / 512) ** steps - 1) < 1e-6
    left = descend(example, nominal_gradient, [0, start, 0], steps, rate)
    moved = flatten(add(left, example.a, -1.0)) / start
    assert abs(moved[1] / (1 + rate * 27 / 256) ** steps - 1) < 1e-4
    assert abs(moved[0]) < 1e-3


def test_two_neurons_split():
    example = splitting()
    assert np.abs(example.gradient).max() < 1e-10
    on_e, off_e = curvatures(example)
    assert (len(on_e), len(off_e)) == (4, 3)
    assert on_e[0] > 1e-4
    assert off_e[0] < -1e-3
    values, vectors = np.linalg.eigh(example.augmented)
    assert abs(values[0] - off_e[0]) < 1e-12
    start, steps, rate = 1e-6, 1000, 0.1
    left = descend(example, augmented_gradient, start * vectors[:, 0], steps, rate)
    assert abs(from_e(example, left) / start / (1 - rate * values[0]) ** steps - 1) < 1e-4


def test_parameters_as_vectors_and_maps_as_matrices(rng, assert_close):
    net = returning().network
    a, b = ([(w, rng.normal(size=bias.shape)) for w, bias in net.draw(rng)] for _ in range(2))
    assert distance(unflatten(flatten(a), a), a) == 0
    assert abs(flatten(a) @ flatten(b) - inner(a, b)) < 1e-15
    matrix = dense(net.project, a)
    assert_close(matrix @ flatten(a), flatten(net.project(a)))
    assert_close(matrix, [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]], floor=1)
