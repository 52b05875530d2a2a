"""Errors of invariance and equivariance, Lie derivatives, and the three ways to a symmetry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refntk import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    InputError,
    Lift,
    MethodError,
    Network,
    Relu,
    preset,
)
from refntk.finite import FiniteNetwork
from refntk.ops.groups import GROUPS, point_group, rotate
from refntk.symmetry import (
    Action,
    cyclic_action,
    error_floor,
    group_action,
    point_action,
    symmetry_error,
    turn_features,
)
from refntk.symmetry.flows import Flow, lie_derivative
from refntk.symmetry.orbits import CyclicAction
from refntk.symmetry.three_ways import counterparts, kernel_predictor, three_ways


def group_network(group="C4", padding="SAME", head=()):
    lift = Lift((3, 3), group=group, padding=padding, b_std=0.5)
    conv = GroupConv((3, 3), padding=padding, W_std=1.5)
    return Network([lift, Relu(), conv, Relu(), GroupPool(), *head])


@pytest.fixture
def images(rng):
    return rng.normal(size=(4, 6, 6, 2))


# --- errors over a finite group ----------------------------------------------------------------


def test_error_of_a_function_known_in_closed_form(images):
    """f(x) = x at pixel (0, 0): the error is the difference of two corners."""
    found = symmetry_error(lambda x: x[:, 0, 0, 0], images, point_action("C4"))
    x = images[:, :, :, 0]
    # A quarter turn anticlockwise brings the right upper corner to the left upper one.
    corners = np.stack([x[:, 0, 0], x[:, 0, -1], x[:, -1, -1], x[:, -1, 0]])
    assert np.array_equal(found.errors, np.abs(corners - corners[0]))
    assert found.labels == ("0°", "90°", "180°", "270°")
    image, label = found.where
    assert found.errors[found.labels.index(label), image] == found.worst == found.errors.max()
    assert found.mean == found.errors[1:].mean()
    assert found.size == pytest.approx(np.sqrt(np.square(x[:, 0, 0]).mean()), rel=1e-14)


def drawn_network(net, rng):
    finite = FiniteNetwork(net, (6, 6, 2), width=5)
    parameters = finite.draw(rng)
    return lambda x: finite.forward(parameters, x)[-1]


@pytest.mark.parametrize("group", GROUPS)
def test_finite_networks_are_equivariant_to_rounding(group, images, rng):
    """On positions and group elements before the pooling, and invariant after it."""
    layers = group_network(group).layers
    for net, kind in ((Network(layers[:-1]), "group"), (Network(layers), "vector")):
        action = point_action(group, kind)
        found = symmetry_error(drawn_network(net, rng), images, action)
        assert found.size > 0.1
        assert found.worst <= 1e-12 * found.size


def test_a_network_of_another_group_is_not_equivariant(images, rng):
    found = symmetry_error(drawn_network(group_network("C2"), rng), images, point_action("C4"))
    assert found.errors[2].max() <= 1e-13
    assert found.errors[1].min() > 1e-3


def test_kernel_predictors(images, rng):
    """The group network is invariant under its group, the ordinary one is not."""
    equivariant, ordinary, _ = counterparts(group_network(head=[Dense()]))
    train, targets = rng.normal(size=(5, 6, 6, 2)), rng.normal(size=(5, 2))
    action = point_action("C4")
    for time in (1.0, math.inf):
        good = symmetry_error(kernel_predictor(equivariant, train, targets, time=time),
                              images, action)  # fmt: skip
        bad = symmetry_error(kernel_predictor(ordinary, train, targets, time=time),
                             images, action)  # fmt: skip
        assert good.worst <= 1e-10 * good.size
        assert bad.worst > 1e-3 * bad.size


def test_shifts_and_rotations(images):
    found = symmetry_error(lambda x: x.mean(axis=(1, 2)), images,
                           cyclic_action(CyclicAction("shift-x", 6)))  # fmt: skip
    assert found.labels[2] == "2/6"
    assert found.worst <= 1e-14
    action = cyclic_action(CyclicAction("rotation", 8))
    assert action.labels == ("0°", "45°", "90°", "135°", "180°", "225°", "270°", "315°")
    eight = symmetry_error(lambda x: x[:, 0, 0], images, action)
    four = symmetry_error(lambda x: x[:, 0, 0], images, point_action("C4"))
    assert np.array_equal(eight.errors[::2], four.errors)


def test_shift_equivariance_of_circular_features(images, rng):
    network = drawn_network(Network([Conv((3, 3), padding="CIRCULAR"), Relu()]), rng)
    moves = [lambda x, k=k: np.roll(x, k, axis=2) for k in range(6)]
    action = group_action(moves, outputs=lambda y, k: np.roll(y, k, axis=2))
    assert symmetry_error(network, images, action).worst <= 1e-14
    found = symmetry_error(network, images, group_action(moves))
    assert found.worst > 0.1
    assert found.where[1] in {"g1", "g2", "g3", "g4", "g5"}


def test_the_group_of_one_has_no_error(images):
    found = symmetry_error(lambda x: x[:, 0, 0], images, point_action("C1"))
    assert (found.worst, found.mean) == (0.0, 0.0)


def test_the_floor_holds_for_the_average_over_the_group(images):
    """The nearest invariant function, the middle of each orbit, is off by epsilon / 2 or more."""
    group = point_group("C2")
    turned = np.stack([rotate(images, r, group)[:, 0, 0, 0] for r in range(2)])
    found = symmetry_error(lambda x: x[:, 0, 0, 0], images, point_action("C2"))
    off = np.abs(turned - turned.mean(axis=0)).max()
    assert off == pytest.approx(error_floor(found.worst), rel=1e-14)
    assert error_floor(3.0, 2.0) == 1.0


def nothing(x):
    return None


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        (lambda x: x[:1], r"returns the shape \(1, 6, 6, 2\) for 4 images: expected \(4, \.\.\.\)"),
        (lambda x: x.sum(), r"returns the shape \(\) for 4 images"),
        (lambda x: x[:, 0, 0] * np.where(np.arange(4) == 2, np.nan, 1)[:, None],
         "returns NaN or infinite numbers for image 2"),
        (lambda x: x[:, : 1 + int(x[0, 0, 0, 0] != 1.0)], "but .* before the images were moved"),
        (lambda x: x + 1j, "returns complex128: expected real numbers"),
        (nothing, "returns object: expected real numbers"),
        (lambda x: x.reshape(7, -1), "the predictor fails on images of shape"),
    ],
    ids=["rows", "scalar", "NaN", "shape", "complex", "nothing", "fails"],
)  # fmt: skip
def test_predictors_that_are_none(predictor, message, images):
    images[0, 0, 0, 0] = 1.0
    with pytest.raises(InputError, match=message):
        symmetry_error(predictor, images, point_action("C4"))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: point_action("C4"), r"element 1 of the group turns images .* does not act"),
        (lambda: cyclic_action(CyclicAction("shift-y", 4)), "N must divide the side"),
        (lambda: group_action([lambda x: 2 * x]), "list the identity first"),
        (lambda: group_action([lambda x: x] * 2, outputs=lambda y, k: y[:, :1]),
         r"element 1 of the group turns outputs of shape \(3, 6, 2\) into \(3, 1, 2\)"),
        (lambda: Action(("a", "b"), lambda x: x[:, None]), "one pose for each element"),
        (lambda: group_action([]), "has no elements"),
        (lambda: group_action([abs], ["a", "b"]), "labels: 2 for 1 elements"),
        (lambda: point_action("C4", "grids"), 'unknown outputs "grids"'),
    ],
)  # fmt: skip
def test_groups_that_do_not_act(action, message, rng):
    with pytest.raises(InputError, match=message):
        symmetry_error(lambda x: x[:, 0], rng.normal(size=(3, 5, 6, 2)), action())


def test_other_bad_input(images):
    with pytest.raises(InputError, match=r"expected the shape \(N, H, W, C\) or \(N, H, W, 4, C\)"):
        turn_features(np.zeros((2, 3, 3, 3, 1)), 1, point_group("C4"))
    with pytest.raises(InputError, match="kappa: expected a number that is not negative, not -1"):
        error_floor(1.0, -1)
    with pytest.raises(InputError, match="step: expected a positive number of pixels, not 0"):
        lie_derivative(lambda x: x, images, Flow("scale"), step=0)
    with pytest.raises(InputError, match='unknown flow "rotat" .did you mean "rotate"'):
        Flow("rotat")
    with pytest.raises(InputError, match='unknown interpolation "linear"'):
        Flow("rotate", "linear")
    with pytest.raises(InputError, match="fourier translates, and cannot rotate"):
        Flow("rotate", "fourier")


# --- Lie derivatives ---------------------------------------------------------------------------


def blob(side=49):
    """A smooth image off the centre, and its derivatives along y and x."""
    y, x = np.meshgrid(*[np.arange(side) - (side - 1) / 2.0] * 2, indexing="ij")
    value = np.exp(-((y - 2.0) ** 2 + (x + 3.0) ** 2) / 18)
    return y, x, value, -(y - 2) / 9 * value, -(x + 3) / 9 * value


@pytest.mark.parametrize("kind", ["translate-x", "translate-y", "rotate", "scale"])
@pytest.mark.parametrize("interpolation", ["fourier", "spline"])
def test_derivative_of_the_image_itself(kind, interpolation, assert_close):
    """d/dt x(phi_-t s) = -v(s) . grad x, with v the velocity of the flow."""
    if interpolation == "fourier" and not kind.startswith("translate"):
        interpolation = ""
    y, x, value, dy, dx = blob()
    velocity = {"translate-x": (0, 1), "translate-y": (1, 0), "rotate": (-x, y), "scale": (y, x)}
    vy, vx = velocity[kind]
    flow = Flow(kind, interpolation)
    found = lie_derivative(lambda z: z, value[None, :, :, None], flow)
    # Cubic splines of this blob are good to 2e-4 in the derivative, Fourier series to its tails.
    tolerance = 1e-6 if flow.interpolation == "fourier" else 1e-3
    assert_close(found.values[0, :, :, 0], -(vy * dy + vx * dx), tolerance, floor=1.0)
    assert found.errors[0] <= 1e-3 * found.worst
    assert found.where == 0


def test_flows_are_turns_and_shifts(images, assert_close):
    quarter = Flow("rotate").move(images, math.pi / 2)
    assert_close(quarter, rotate(images, 1, point_group("C4")), 1e-10, floor=1.0)
    for interpolation in ("fourier", "spline"):
        moved = Flow("translate-y", interpolation).move(images, 2)
        assert_close(moved, np.roll(images, 2, axis=1), 1e-12, floor=1.0)
    assert_close(Flow("scale").move(images, 0.0), images, 1e-12, floor=1.0)


def test_equivariant_functions_have_no_derivative(images):
    """The mean under translations; and the identity, where outputs move along."""
    found = lie_derivative(lambda x: x.mean(axis=(1, 2)), images, Flow("translate-x"))
    assert found.worst <= 1e-13
    odd = images[:, :5, :5]  # of an even side the highest frequency is no group
    flow = Flow("translate-y")
    assert lie_derivative(lambda x: x, odd, flow, outputs=flow.move).worst <= 1e-12
    assert lie_derivative(lambda x: x, odd, flow).worst > 1


def test_the_estimate_bounds_the_discretisation_error(images):
    """Cosines of pixels: the derivative is known, and the estimate no smaller than the error."""
    flow = Flow("translate-x")
    slope = lie_derivative(lambda x: x, images, flow, step=1e-2).values[:, 0, 0]
    for step in (1.0, 0.5):
        found = lie_derivative(lambda x: np.cos(2 * x[:, 0, 0]), images, flow, step=step)
        true = -2 * np.sin(2 * images[:, 0, 0]) * slope
        error = np.linalg.norm(found.values - true, axis=1)
        assert (error <= found.errors).all()
        assert found.errors.max() > 1e-6
    assert found.mean == pytest.approx(np.linalg.norm(found.values, axis=1).mean())


# --- augmentation, averaging, architecture -----------------------------------------------------


@pytest.fixture
def data(rng):
    return rng.normal(size=(4, 5, 5, 2)), rng.normal(size=(4, 2)), rng.normal(size=(3, 5, 5, 2))


def far(found, name):
    return np.array([row[name] / row["of up to"] for row in found.rows()])


def test_linear_head(data):
    """Augmentation and architecture agree at all times; averaging agrees at short times only."""
    found = three_ways(group_network(head=[Dense()]), *data, scaled_times=(1e-4, 1e-3, 1.0, 1e6))
    assert far(found, "augmentation").max() <= 1e-8
    averaging = far(found, "averaging")
    assert averaging[1] == pytest.approx(10 * averaging[0], rel=1e-2)  # second order, over first
    assert averaging[-1] > 0.02
    assert far(found, "ordinary").min() > 1e-3


def test_all_three_agree_on_data_that_hold_all_copies(data):
    train, targets, test = data
    group = point_group("C4")
    copies = np.concatenate([rotate(train[:2], r, group) for r in range(4)])
    # The copies make the group network's kernel singular: early times only.
    found = three_ways(
        group_network(), copies, np.concatenate([targets[:2]] * 4), test, scaled_times=(0.1, 10)
    )
    for name in ("augmentation", "averaging", "ordinary"):
        assert far(found, name).max() <= 1e-8


def test_where_they_differ(data):
    """A Relu behind the pooling, and copies under a part of the group only."""
    head = [Dense(), Relu(), Dense()]
    assert far(three_ways(group_network(head=head), *data), "augmentation").max() > 1e-4
    part = three_ways(group_network(head=[Dense()]), *data, augment="C2")
    assert far(part, "augmentation").max() > 1e-3


def test_counterparts():
    ordinary = Network([Conv((3, 3), b_std=0.5), Relu(), Conv((3, 3), W_std=1.5), Relu(),
                        GlobalAvgPool()])  # fmt: skip
    assert counterparts(ordinary, "D2") == (group_network("D2"), ordinary, "D2")
    assert counterparts(group_network("D2"), "C4") == (group_network("D2"), ordinary, "D2")
    assert counterparts(ordinary)[2] == "C4"


@pytest.mark.parametrize(
    "net",
    [
        preset("mlp-1"),
        preset("cnn-fc"),
        Network([Flatten()]),
        Network([Conv((3, 3), strides=(2, 2)), Relu(), GlobalAvgPool()]),
    ],
    ids=["mlp", "flat", "no weights", "strides"],
)
def test_no_counterpart(net):
    with pytest.raises(MethodError, match="no equivariant counterpart: expected convolutions"):
        counterparts(net)
