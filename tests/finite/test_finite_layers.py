"""Layers of finite width: forward against plain loops, derivatives against finite differences."""

import itertools
import math

import numpy as np
import pytest

import refntk.finite.layers
from refntk.finite.operator import LinearOperator, Weights
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
    (Conv((3,), dilations=(2,), **STDS), Signal(shape=(5,))),
    (Conv((2,), strides=(2,), padding="CIRCULAR", **STDS), Signal(shape=(6,))),
    (Conv((2, 3, 1), strides=(1, 2, 1), **STDS), Signal(shape=(3, 4, 2))),
    (Conv((2, 2, 2), padding="VALID", dilations=(1, 1, 2)), Signal(shape=(2, 3, 4))),
    (Conv((2, 3), dilations=(3, 1), strides=(1, 2), **STDS), GRID),
    (Conv((2, 2), dilations=(2, 3), padding="VALID"), Signal(shape=(5, 6))),
    (Conv((3, 2), dilations=(1, 2), padding="CIRCULAR"), GRID),
    *((Lift((3, 3), group=name, **STDS), GRID) for name in GROUPS),
    *((Lift((3, 3), group="C4", padding=padding, **STDS), GRID) for padding in PADDINGS),
    (Lift((1, 3), group="D4", **STDS), GRID),
    (Lift((3, 1), group="C2", padding="CIRCULAR"), Signal(shape=(4, 5))),
    (Lift((2, 2), group="C4", padding="VALID", **STDS), Signal(shape=(4, 3))),
    (Lift((4, 2), group="D4", padding="SAME"), GRID),
    (Lift((3, 2), group="C4", dilations=(1, 2), strides=(2, 2)), Signal(shape=(5, 4))),
    (GroupConv((2, 2), padding="VALID", strides=(2, 2), **STDS), on_group("D4")),
    (GroupConv((3, 3), padding="CIRCULAR", dilations=(1, 2)), on_group("C4", (4, 6))),
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


def slid(layer, shape):
    """By axis, with XLA's rule for SAME, the extra zero at the end: count, low, step, dilation."""
    axes = zip(shape, layer.filter_shape, layer.strides, layer.dilations, strict=True)
    for n, k, step, d in axes:
        reach = (k - 1) * d
        count = (n - reach - 1) // step + 1 if layer.padding == "VALID" else math.ceil(n / step)
        low = {
            "VALID": 0,
            "CIRCULAR": reach // 2,
            "SAME": max((count - 1) * step + reach + 1 - n, 0) // 2,
        }[layer.padding]
        yield count, low, step, d


def loops_on_group(layer, below, parameters, x):
    """THEORY: f'(t, r) = sigma_w / sqrt(F) sum_q sum_s w(q, s) f(c(t) + r s, r q) + sigma_b b."""
    group = point_group(layer.group if isinstance(layer, Lift) else below.group)
    lifted = isinstance(layer, Lift)
    elements = [0] if lifted else range(group.order)
    axes = list(slid(layer, below.shape))
    # Twice the offsets from the centre of a window.
    reach = np.array([(k - 1) * d for k, (*_, d) in zip(layer.filter_shape, axes, strict=True)])
    apart = np.array([d for *_, d in axes])
    places = [2 * apart * e - reach for e in np.ndindex(*layer.filter_shape)]
    entries = list(itertools.product(elements, places))
    fan_in = len(entries) * x.shape[-1]
    count = [n for n, *_ in axes]
    out = np.zeros((len(x), *count, group.order, parameters.bias.size))
    out += layer.b_std * parameters.bias
    for *t, r in np.ndindex(*count, group.order):
        first = [i * step - low for i, (_, low, step, _) in zip(t, axes, strict=True)]
        for e, (q, s) in enumerate(entries):
            double = 2 * np.array(first) + reach + group.matrices[r] @ s
            assert not (double % 2).any()
            read = out_of_image(layer.padding, tuple((double // 2).tolist()), below.shape)
            if read is not None:
                values = x[:, *read] if lifted else x[:, *read, group.cayley[r, q]]
                weight = layer.W_std / math.sqrt(fan_in) * parameters.weight[e]
                out[:, *t, r] += values @ weight
    return out


def loops_on_grid(layer, below, parameters, x):
    """The same for Conv."""
    axes = list(slid(layer, below.shape))
    count = [n for n, *_ in axes]
    out = np.zeros((len(x), *count, parameters.bias.size)) + layer.b_std * parameters.bias
    fan_in = math.prod(layer.filter_shape) * x.shape[-1]
    for t in np.ndindex(*count):
        for e, place in enumerate(np.ndindex(*layer.filter_shape)):
            reads = [
                i * step - low + d * a
                for i, a, (_, low, step, d) in zip(t, place, axes, strict=True)
            ]
            read = out_of_image(layer.padding, tuple(reads), below.shape)
            if read is not None:
                weight = layer.W_std / math.sqrt(fan_in) * parameters.weight[e]
                out[:, *t] += x[:, *read] @ weight
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
