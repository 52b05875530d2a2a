"""Layers of finite width: forward against plain loops, derivatives against finite differences."""

import itertools
import math

import numpy as np
import pytest

import refntk.finite.layers
from refntk.finite.operator import LinearOperator, Weights
from refntk.network.filters import offsets
from refntk.network.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Lift,
    Relu,
    Signal,
)
from refntk.ops.groups import GROUPS, point_group
from refntk.ops.program import Builder
from refntk.ops.space import Space

PADDINGS = ("SAME", "VALID", "CIRCULAR")
SIDE = 4
GRID = Signal(shape=(SIDE, SIDE), gaussian=True)
VECTOR = Signal("vector", gaussian=True)


def on_group(name, shape=(SIDE, SIDE)):
    return Signal("group", shape, name, gaussian=True)


def operator(layer, below, channels):
    """The finite counterpart of a layer that gets a signal."""
    group = None if below.group is None else point_group(below.group)
    build = Builder(Space(below.shape or (), group))
    layer.lower(build, 0)
    return refntk.finite.layers.operator(build.program(), 0, channels)


STDS = {"W_std": 1.3, "b_std": 0.7}
LINEAR = [
    *((Conv((3, 3), padding=padding, **STDS), GRID) for padding in PADDINGS),
    (Conv((2, 3), strides=(2, 1), **STDS), GRID),
    (Conv((3, 2), strides=(2, 2), padding="VALID", **STDS), GRID),
    (Conv((2, 2), strides=(2, 1), padding="CIRCULAR", **STDS), GRID),
    (Conv((4, 1), padding="CIRCULAR", **STDS), GRID),
    (Conv((5, 3)), Signal(shape=(3, 4))),
    *((Lift((3, 3), group=name, **STDS), GRID) for name in GROUPS),
    *((Lift((3, 3), group="C4", padding=padding, **STDS), GRID) for padding in PADDINGS),
    (Lift((1, 3), group="D4", **STDS), GRID),
    (Lift((3, 1), group="C2", padding="CIRCULAR"), Signal(shape=(4, 5))),
    *((GroupConv((3, 3), **STDS), on_group(name)) for name in GROUPS),
    *((GroupConv((3, 3), padding=padding, **STDS), on_group("C4")) for padding in PADDINGS),
    (GroupConv((3, 1), padding="CIRCULAR", **STDS), on_group("D4")),
    (GroupConv((1, 3), padding="VALID"), on_group("D1", (2, 4))),
    (Dense(**STDS), VECTOR),
]
PLAIN = [
    *((Relu(), signal) for signal in (GRID, on_group("C4"), VECTOR)),
    (GlobalAvgPool(), GRID),
    (GroupPool(), on_group("D2")),
    *((Flatten(), signal) for signal in (GRID, on_group("C2"))),
]


def name(case):
    layer, below = case
    return f"{layer} on {below.group or below.kind}".replace(" ", "")


def features(rng, below, count, channels):
    places = () if below.kind == "vector" else below.shape
    turned = (point_group(below.group).order,) if below.kind == "group" else ()
    x = rng.normal(size=(count, *places, *turned, channels))
    return x + 0.1 * np.sign(x)  # finite differences must not cross the kink of Relu


def out_of_image(padding, t, shape):
    """The position to read, or None where it counts as zero."""
    if padding == "CIRCULAR":
        return tuple(i % n for i, n in zip(t, shape, strict=True))
    return t if all(0 <= i < n for i, n in zip(t, shape, strict=True)) else None


def positions(layer, shape):
    """Centres t of the output, in the coordinates of the input."""
    margin = [k // 2 if layer.padding == "VALID" else 0 for k in layer.filter_shape]
    return [range(m, n - m) for m, n in zip(margin, shape, strict=True)]


def loops_on_group(layer, below, parameters, x):
    """THEORY: f'(t, r) = sigma_w / sqrt(F) sum_q sum_s w(q, s) f(t + r s, r q) + sigma_b b."""
    group = point_group(layer.group if isinstance(layer, Lift) else below.group)
    lifted = isinstance(layer, Lift)
    support = offsets(layer)
    elements = [0] if lifted else range(group.order)
    entries = list(itertools.product(elements, support))
    fan_in = len(entries) * x.shape[-1]
    rows, columns = positions(layer, below.shape)
    out = np.zeros(
        (len(x), len(rows), len(columns), group.order, parameters.bias.size)
    ) + layer.b_std * parameters.bias
    for (i, y), (j, x_), r in itertools.product(
        enumerate(rows), enumerate(columns), range(group.order)
    ):
        for e, (q, s) in enumerate(entries):
            step = group.matrices[r] @ s
            t = out_of_image(layer.padding, (y + step[0], x_ + step[1]), below.shape)
            if t is not None:
                read = x[:, *t] if lifted else x[:, *t, group.cayley[r, q]]
                weight = layer.W_std / math.sqrt(fan_in) * parameters.weight[e]
                out[:, i, j, r] += read @ weight
    return out


def loops_on_grid(layer, below, parameters, x):
    """The same for Conv, with XLA's rule for SAME: the extra zero is at the end."""
    shape, sides, strides = below.shape, layer.filter_shape, layer.strides
    if layer.padding == "VALID":
        count = [(n - k) // s + 1 for n, k, s in zip(shape, sides, strides, strict=True)]
        low = [0, 0]
    else:
        count = [math.ceil(n / s) for n, s in zip(shape, strides, strict=True)]
        low = [
            (k - 1) // 2 if layer.padding == "CIRCULAR" else max((m - 1) * s + k - n, 0) // 2
            for m, n, k, s in zip(count, shape, sides, strides, strict=True)
        ]
    out = np.zeros((len(x), *count, parameters.bias.size)) + layer.b_std * parameters.bias
    fan_in = math.prod(sides) * x.shape[-1]
    for i, j in np.ndindex(*count):
        for e, place in enumerate(np.ndindex(*sides)):
            t = [k * s - m + a for k, s, m, a in zip((i, j), strides, low, place, strict=True)]
            read = out_of_image(layer.padding, tuple(t), shape)
            if read is not None:
                weight = layer.W_std / math.sqrt(fan_in) * parameters.weight[e]
                out[:, i, j] += x[:, *read] @ weight
    return out


@pytest.mark.parametrize("case", LINEAR[:-1], ids=name)
def test_a_convolution_is_what_plain_loops_give(rng, assert_close, case):
    layer, below = case
    op = operator(layer, below, 2)
    parameters = op.draw(rng, 3, "float64")
    x = features(rng, below, 2, 2)
    loops = loops_on_grid if isinstance(layer, Conv) else loops_on_group
    assert_close(op.forward(parameters, x), loops(layer, below, parameters, x), floor=1.0)


def test_dense_is_an_affine_map(rng, assert_close):
    op = operator(Dense(W_std=2.0, b_std=0.5), VECTOR, 4)
    weight, bias = op.draw(rng, 3, "float64")
    x = rng.normal(size=(5, 4))
    assert_close(op.forward(Weights(weight, bias), x), x @ weight + bias / 2, floor=1.0)


def test_layers_without_parameters(rng, assert_close):
    x = features(rng, on_group("C4"), 3, 2)
    assert_close(operator(Relu(), on_group("C4"), 2).forward(None, x), np.where(x > 0, x, 0.0))
    pooled = operator(GroupPool(), on_group("C4"), 2).forward(None, x)
    assert_close(pooled, x.mean(axis=(1, 2, 3)), floor=1.0)
    rows = operator(Flatten(), on_group("C4"), 2).forward(None, x)
    np.testing.assert_array_equal(rows, x.reshape(3, -1))
    grid = features(rng, GRID, 3, 2)
    pooled = operator(GlobalAvgPool(), GRID, 2).forward(None, grid)
    assert_close(pooled, grid.mean(axis=(1, 2)), floor=1.0)


# Every layer is linear in its parameters, and in its features on either side of the kink of Relu:
# a difference quotient over any step is the derivative, up to rounding.


@pytest.mark.parametrize("case", LINEAR + PLAIN, ids=name)
def test_the_derivative_in_the_features(rng, assert_close, case):
    layer, below = case
    op = operator(layer, below, 2)
    parameters = op.draw(rng, 3, "float64") if isinstance(op, LinearOperator) else None
    x = features(rng, below, 1, 2)
    value = op.forward(parameters, x)
    g = rng.normal(size=value.shape)
    step = 0.05
    steps = step * np.eye(x.size).reshape(x.size, *x.shape[1:])
    quotients = (op.forward(parameters, x + steps) - value) / step
    numeric = quotients.reshape(x.size, -1) @ g.ravel()
    exact = op.pull_back(parameters, x, g)
    assert_close(exact.ravel(), numeric, 1e-11, floor=1.0)


@pytest.mark.parametrize("case", LINEAR, ids=name)
def test_the_derivative_in_the_parameters(rng, assert_close, case):
    layer, below = case
    op = operator(layer, below, 2)
    parameters = op.draw(rng, 2, "float64")
    x = features(rng, below, 2, 2)
    value = op.forward(parameters, x)
    g = rng.normal(size=value.shape)
    exact = op.gradient(x, g)
    for which in (0, 1):
        numeric = np.empty_like(parameters[which])
        for index in np.ndindex(numeric.shape):
            moved = [array.copy() for array in parameters]
            moved[which][index] += 1
            numeric[index] = np.sum(g * (op.forward(Weights(*moved), x) - value))
        scale = np.abs(exact.weight).max()
        assert_close(exact[which] / scale, numeric / scale, 1e-11, floor=1.0)


@pytest.mark.parametrize("case", LINEAR, ids=name)
def test_the_tangent_kernel_contracts_the_gradients_of_single_images(rng, assert_close, case):
    layer, below = case
    op = operator(layer, below, 2)
    x = features(rng, below, 3, 2)
    g = rng.normal(size=op.forward(op.draw(rng, 2, "float64"), x).shape)
    gradients = [op.gradient(x[i : i + 1], g[i : i + 1]) for i in range(3)]
    rows = np.stack([np.concatenate([part.ravel() for part in own]) for own in gradients])
    assert_close(op.tangent_kernel(x, g), rows @ rows.T, floor=1.0)


def test_nothing_is_written_to_the_arguments(rng):
    for layer, below in LINEAR + PLAIN:
        op = operator(layer, below, 2)
        parameters = op.draw(rng, 3, "float64") if isinstance(op, LinearOperator) else None
        x = features(rng, below, 2, 2)
        g = rng.normal(size=op.forward(parameters, x).shape)
        for array in (x, g, *(parameters or ())):
            array.setflags(write=False)
        op.forward(parameters, x)
        op.pull_back(parameters, x, g)
        if isinstance(op, LinearOperator):
            op.gradient(x, g)
            op.tangent_kernel(x, g)
