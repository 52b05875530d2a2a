"""Networks of finite width: symmetry, derivatives, and the kernels they tend to."""

import numpy as np
import pytest

import refntk
from refntk.errors import InputError, NetworkError, ShapeError
from refntk.finite import FiniteNetwork
from refntk.network import Network
from refntk.network.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Lift,
    Relu,
)
from refntk.ops.groups import GROUPS, point_group, rotate

PADDINGS = ("SAME", "VALID", "CIRCULAR")


def draw(net, images, width, rng, **options):
    """A drawn network, its parameters and its features."""
    finite = FiniteNetwork(net, images.shape[1:], width, **options)
    parameters = finite.draw(rng)
    return finite, parameters, finite.forward(parameters, images)


def group_network(group, padding, *end):
    stds = {"padding": padding, "W_std": 1.2, "b_std": 0.4}
    return Network([
        Lift((3, 3), group=group, **stds), Relu(), GroupConv((3, 3), **stds), Relu(),
        GroupConv((1, 1), **stds), *end,
    ])  # fmt: skip


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("group", GROUPS)
def test_before_pooling_a_network_is_equivariant(rng, assert_close, group, padding):
    net, elements = group_network(group, padding), point_group(group)
    images = rng.normal(size=(2, 7, 7, 3))
    finite, parameters, features = draw(net, images, 3, rng)
    for h in range(elements.order):
        turned = finite.forward(parameters, rotate(images, h, elements))[-1]
        # N(h . x)(g) = N(x)(h^-1 g)
        moved = rotate(features[-1], h, elements, axes=(1, 2))
        moved = moved[..., elements.cayley[elements.inverse[h]], :]
        assert_close(turned, moved, 1e-13, floor=1.0)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("group", GROUPS)
def test_after_pooling_a_network_is_invariant(rng, assert_close, group, padding):
    net, elements = group_network(group, padding, GroupPool(), Dense()), point_group(group)
    images = rng.normal(size=(2, 7, 7, 3))
    orbit = np.concatenate([rotate(images, h, elements) for h in range(elements.order)])
    finite, parameters, features = draw(net, orbit, 3, rng)
    copies = (elements.order, 1)
    assert_close(features[-1], np.tile(features[-1][:2], copies), 1e-13, floor=1.0)
    ntk = finite.ntk(parameters, features)
    assert_close(ntk, np.tile(ntk[:2, :2], (elements.order,) * 2), 1e-12)


def test_shifts_of_a_circular_network_are_seen_by_its_features_and_not_by_its_mean(
    rng, assert_close
):
    net = group_network("C4", "CIRCULAR", GroupPool())
    images = rng.normal(size=(2, 5, 5, 3))
    shifted = np.roll(images, (1, 3), axis=(1, 2))
    finite, parameters, features = draw(net, images, 3, rng)
    moved = finite.forward(parameters, shifted)
    assert_close(moved[-2], np.roll(features[-2], (1, 3), axis=(1, 2)), 1e-13, floor=1.0)
    assert_close(moved[-1], features[-1], 1e-13, floor=1.0)


NETWORKS = {
    "group": group_network("C4", "SAME", GroupPool(), Dense(b_std=0.3), Relu(), Dense()),
    "ends in Relu": group_network("D1", "CIRCULAR", GroupPool(), Relu()),
    "ends in Flatten": group_network("C2", "SAME", Flatten()),
    "grid": Network([
        Conv((3, 2), strides=(2, 1), b_std=0.5), Relu(), Conv((2, 2), padding="CIRCULAR"), Relu(),
        Flatten(), Dense(), Relu(), Dense(W_std=1.5, b_std=0.2),
    ]),
    "mean": Network([Conv((3, 3), padding="VALID"), Relu(), GlobalAvgPool(), Dense()]),
}  # fmt: skip


@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
def test_the_derivative_of_a_network(rng, assert_close, net):
    images = rng.normal(size=(2, 4, 4, 2))
    finite, parameters, features = draw(net, images, 3, rng, outputs=2)
    covector = rng.normal(size=features[-1].shape)
    gradients, below = finite.backward(parameters, features, covector)
    direction = finite.draw(rng)
    step = 1e-6

    def quotient(move):
        def value(sign):
            return np.sum(covector * finite.forward(*move(sign * step))[-1])

        return (value(1) - value(-1)) / (2 * step)

    def along(scale):
        def moved(own, way):
            return own and type(own)(own.weight + scale * way.weight, own.bias + scale * way.bias)

        return [moved(*pair) for pair in zip(parameters, direction, strict=True)], images

    exact = sum(
        np.sum(got * way)
        for own, ways in zip(gradients, direction, strict=True)
        if own is not None
        for got, way in zip(own, ways, strict=True)
    )
    # The step costs 1e-6^2 of curvature and 1e-16 / 1e-6 of rounding.
    assert_close(exact, quotient(along), 1e-7)
    way = rng.normal(size=images.shape)
    numeric = quotient(lambda scale: (parameters, images + scale * way))
    assert_close(np.sum(below * way), numeric, 1e-7)


@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
def test_the_ntk_contracts_the_full_jacobian(rng, assert_close, net):
    images = rng.normal(size=(3, 4, 4, 2))
    finite, parameters, features = draw(net, images, 3, rng)
    rows = []
    for image, output in np.ndindex(features[-1].shape):
        covector = np.zeros_like(features[-1])
        covector[image, output] = 1
        gradients, _ = finite.backward(parameters, features, covector)
        rows.append(np.concatenate([p.ravel() for own in gradients if own for p in own]))
    jacobian = np.reshape(rows, (*features[-1].shape, -1))
    wanted = np.einsum("iop,jop->ijo", jacobian, jacobian)
    assert_close(finite.ntk(parameters, features, channels=3), wanted.mean(axis=-1))
    # One channel of the last layer with parameters; of those behind a Flatten, all positions.
    first = wanted[..., ::3] if net is NETWORKS["ends in Flatten"] else wanted[..., :1]
    assert_close(finite.ntk(parameters, features), first.mean(axis=-1))
    outputs = features[-1]
    assert_close(finite.nngp(features), np.einsum("io,jo->ij", outputs, outputs) / len(outputs[0]))


ONE_LAYER = {
    **{
        f"Lift {group} {padding}": Network(
            [Lift((3, 3), group=group, padding=padding, W_std=1.1, b_std=0.5), GroupPool()]
        )
        for group in GROUPS
        for padding in PADDINGS
    },
    "Lift 1x3": Network([Lift((1, 3), group="C4"), GroupPool()]),
    "Lift, Flatten": Network([Lift((3, 3), group="C4", b_std=0.5), Flatten()]),
    "Conv": Network([Conv((3, 2), strides=(2, 1), W_std=1.1, b_std=0.5), GlobalAvgPool()]),
    "Conv, Flatten": Network([Conv((3, 3), padding="CIRCULAR"), Flatten()]),
    "Dense": Network([Flatten(), Dense(W_std=1.1, b_std=0.5)]),
}


@pytest.mark.parametrize("net", ONE_LAYER.values(), ids=ONE_LAYER)
def test_the_ntk_of_one_layer_is_exact_in_every_draw(rng, assert_close, net):
    images = rng.normal(size=(3, 6, 6, 3))
    exact = refntk.kernel(net, images, method="literal", backend="numpy")
    for width in (1, 4):
        finite, parameters, features = draw(net, images, width, rng)
        assert_close(finite.ntk(parameters, features), exact.ntk, 1e-11, floor=1.0)


def test_a_network_without_parameters(rng, assert_close):
    images = rng.normal(size=(3, 2, 2, 2))
    net = Network([Flatten()])
    finite, parameters, features = draw(net, images, 4, rng)
    assert not finite.ntk(parameters, features).any()
    assert_close(finite.nngp(features), refntk.kernel(net, images).nngp, floor=1.0)


def test_float32_rounds_the_same_network(rng, assert_close):
    net = NETWORKS["group"]
    images = rng.normal(size=(2, 4, 4, 2))
    kernels = []
    for dtype in ("float64", "float32"):
        finite, parameters, features = draw(
            net, images, 8, np.random.default_rng(1), dtype=dtype
        )
        assert features[-1].dtype == dtype
        kernels.append((finite.nngp(features), finite.ntk(parameters, features)))
    for single, double in zip(kernels[1], kernels[0], strict=True):
        assert_close(single, double, 1e-4, floor=1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0}, "width: expected a positive number of channels, not 0"),
        ({"width": 2, "outputs": -1}, "outputs: expected a positive number of channels, not -1"),
        ({"width": 2, "dtype": "float46"}, r'unknown dtype "float46" \(did you mean "float64"'),
    ],
)
def test_options_that_are_wrong(options, words):
    with pytest.raises(InputError, match=words):
        FiniteNetwork(NETWORKS["grid"], (4, 4, 3), **options)


def test_images_that_do_not_fit():
    net = Network([Lift((5, 5), group="C4", padding="VALID"), GroupPool()])
    with pytest.raises(ShapeError, match=r"layer 0 \(Lift\): "):
        FiniteNetwork(net, (4, 4, 3), 2)


@pytest.mark.parametrize("shape", [(1, 4, 4, 2), (1, 4, 5, 3), (4, 4, 3)])
def test_other_images_than_the_network_was_made_for(rng, shape):
    finite = FiniteNetwork(NETWORKS["mean"], (4, 4, 3), 2)
    with pytest.raises(ShapeError, match=r"expected images of shape \(N, 4, 4, 3\), not \("):
        finite.forward(finite.draw(rng), np.ones(shape))


def test_kernels_need_a_readout(rng):
    images = rng.normal(size=(1, 4, 4, 3))
    finite, parameters, features = draw(group_network("C4", "SAME"), images, 2, rng)
    for kernel in (lambda: finite.nngp(features), lambda: finite.ntk(parameters, features)):
        with pytest.raises(NetworkError, match="ends without a readout: add GroupPool"):
            kernel()
