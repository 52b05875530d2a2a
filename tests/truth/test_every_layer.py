"""Every layer, and ones that nobody knows, through every route: the right number, or its name.

The set of layers is open: a class in `LAYERS` is one of the network's. What a route has no rule for
must be refused, never skipped or taken for something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.backends.cupy.geometry import Limits, geometry
from refntk.errors import MethodError, NetworkError
from refntk.finite import FiniteNetwork
from refntk.network import Network
from refntk.network.layers import (
    LAYERS,
    ABRelu,
    Abs,
    AvgPool,
    CentreReadout,
    Concat,
    Conv,
    Cos,
    CosetPool,
    Dense,
    Dropout,
    Elementwise,
    Erf,
    Exp,
    ExpNormalized,
    Flatten,
    Gaussian,
    Gelu,
    GlobalAvgPool,
    GlobalSumPool,
    GroupConv,
    GroupPool,
    Hermite,
    Identity,
    LayerNorm,
    LeakyRelu,
    Lift,
    Polynomial,
    Product,
    Rbf,
    RectifiedMonomial,
    Relu,
    Residual,
    RotationPool,
    Sigmoid_like,
    Sign,
    Signal,
    Sin,
    SumPool,
)
from refntk.ops.operations import Add, Filter
from refntk.ops.program import Builder
from refntk.oracle.cases import Case
from refntk.oracle.faults import FAULTS, altered
from refntk.oracle.truth import solve
from refntk.plan.reduction import make_plan
from refntk.recursion import propagate
from refntk.symmetry.augmentation import ungrouped
from refntk.symmetry.exact import blind_to_shifts, blind_to_turns, moves_with_shifts, turns
from refntk.symmetry.three_ways import counterparts
from refntk.truth.certified import certify, literal

pytestmark = pytest.mark.usefixtures("one_machine_code")

Close = Callable[..., None]

CONV, RELU, DENSE = Conv((3, 3), b_std=0.3), Relu(), Dense(W_std=1.2, b_std=0.1)
HEAD = [DENSE, RELU, DENSE]
LEAKY = LeakyRelu(alpha=0.2)



def everywhere(act: Any) -> list[Any]:
    """On a group and in the head."""
    return [Lift((3, 3), group="C2", b_std=0.2), act, GroupConv((1, 3)), act, GroupPool(),
            DENSE, act, DENSE]  # fmt: skip


NETWORKS: dict[str, list[Any]] = {
    "Conv": [CONV, RELU, Conv((2, 3), strides=(1, 2), W_std=1.3), GlobalAvgPool()],
    "Lift": [Lift((3, 3), group="C4", b_std=0.2), RELU, GroupPool()],
    "GroupConv": [
        Lift((3, 3), group="C2"), RELU, GroupConv((1, 3), W_std=0.8, b_std=0.2), GroupPool()
    ],
    "Relu": [CONV, RELU, GlobalAvgPool(), *HEAD],
    "LeakyRelu": [CONV, LEAKY, Conv((3, 3)), LEAKY, GlobalAvgPool(), DENSE, LEAKY, DENSE],
    "Abs": [Lift((3, 3), group="C4"), Abs(), GroupConv((1, 1)), Abs(), GroupPool(), DENSE, Abs()],
    "GroupPool": [Lift((3, 3), group="D1"), GroupPool(), *HEAD],
    "GlobalAvgPool": [CONV, GlobalAvgPool(), *HEAD],
    "Flatten": [CONV, RELU, Flatten(), *HEAD],
    "AvgPool": [
        CONV, RELU, AvgPool((2, 2), strides=(1, 2), padding="SAME", normalize_edges=True), CONV,
        RELU, AvgPool((1, 2)), Flatten(), *HEAD
    ],
    "SumPool": [
        Lift((3, 3), group="C4"), RELU, SumPool((2, 2)), GroupConv((1, 1)), RELU, GroupPool(), *HEAD
    ],
    "GlobalSumPool": [CONV, RELU, GlobalSumPool(), *HEAD],
    "RotationPool": [
        Lift((3, 3), group="C4", mask=[[1, 1, 0], [0, 1, 0], [0, 1, 1]]), RELU, CosetPool("C2"),
        GroupConv((3, 3), rotations=[0, 1]), LEAKY, RotationPool(), Lift((1, 3), group="D1"), RELU,
        GroupPool(), DENSE
    ],
    "CentreReadout": [
        Lift((3, 3), group="C4", b_std=0.2), RELU, GroupConv((1, 1)), LEAKY, CentreReadout(), *HEAD
    ],
    "Dense": [Flatten(), *HEAD],
    "Residual": [
        CONV, Residual([RELU, CONV, Residual([LEAKY, CONV], shortcut=[RELU, Conv((1, 1))])]),
        AvgPool((2, 2)), RELU,
        Residual([Conv((2, 1), padding="VALID")], shortcut=[CONV, AvgPool((2, 1))]),
        GlobalAvgPool(), Residual([RELU, DENSE]), *HEAD[1:]
    ],
    "Concat": [
        CONV, Concat([[], [RELU, Conv((1, 1), b_std=0.2)], [RELU]], shares=[1, 2, 0.5]), CONV,
        RELU, GlobalAvgPool(), DENSE, Concat([[RELU], [RELU, DENSE]]), DENSE
    ],
    "Product": [
        Lift((3, 3), group="C2"), Product([[RELU], [GroupConv((1, 1), b_std=0.5), LEAKY]]),
        GroupConv((3, 3)), RELU, GroupPool(), Product([[DENSE], [DENSE]]), DENSE
    ],
    "LayerNorm": [
        CONV, LayerNorm(), RELU, CONV, LayerNorm(axes="all", eps=0.1), RELU, Flatten(), DENSE,
        LayerNorm(eps=0), RELU, DENSE
    ],
    "Dropout": [
        CONV, RELU, Dropout(0.7), CONV, RELU, Dropout(0.5, mode="test"), Flatten(), DENSE, RELU,
        Dropout(0.5), DENSE
    ],
    "ABRelu": [CONV, ABRelu(a=-0.3, b=0.8), GlobalAvgPool(), DENSE, ABRelu(a=0.4, b=1.1), DENSE],
    "Identity": [CONV, Identity(), Conv((2, 2)), RELU, GlobalAvgPool(), DENSE, Identity(), DENSE],
    "Erf": everywhere(Erf(a=1.2, b=0.7, c=0.3)),
    "Sigmoid_like": everywhere(Sigmoid_like()),
    "Gelu": everywhere(Gelu()),
    "Sin": everywhere(Sin(a=1.3, b=0.8, c=0.4)),
    "Cos": everywhere(Cos(a=0.7, b=1.3, c=-0.2)),
    "Rbf": everywhere(Rbf(gamma=0.6)),
    "Exp": everywhere(Exp(a=0.7, b=0.6)),
    "Gaussian": everywhere(Gaussian(a=1.2, b=-0.8)),
    "ExpNormalized": everywhere(ExpNormalized(gamma=1.7, shift=-0.8)),
    "RectifiedMonomial": everywhere(RectifiedMonomial(degree=2)),
    "Polynomial": everywhere(Polynomial(coef=(0.1, -0.4, 0.3, 0.2))),
    "Hermite": everywhere(Hermite(degree=3)),
    "Sign": everywhere(Sign()),
    "Elementwise": [CONV, Elementwise("sigmoid"), GlobalAvgPool(), DENSE],
}
"""A network in which each layer has a say; a new layer adds its own."""

GENERAL = {
    *("Erf", "Sigmoid_like", "Gelu", "Sin", "Cos", "Rbf", "Exp", "Gaussian", "ExpNormalized"),
    *("RectifiedMonomial", "Polynomial", "Hermite", "Sign", "Elementwise"),
}
"""Those beyond the Relu family, whose slices are the processor's alone."""

TANGENT = [name for name in NETWORKS if name != "Sign"]
WITHOUT_TANGENT = ("nngp",)


def kernels_of(name: str) -> tuple[str, ...]:
    return ("nngp", "ntk") if name in TANGENT else WITHOUT_TANGENT


INNER = {"AvgPool", "SumPool"}
"""Those that pool before the readout, which couples the slices."""

ON_FINITE_SETS = {"SetLift", "SetGroupConv", "SetLinear", "CosetPool"}
"""Layers of networks for other signals than images: `tests/network/test_finite_groups.py`."""

OTHERS = {
    "RotationPool": r"layer 0 \(Lift\) has a mask, and slices sum over whole windows",
    "CentreReadout": r"layer 4 \(CentreReadout\) reads all positions at the centre of rotation",
    "Residual": r"layer 1 \(Residual: Residual: Relu\) does not read the layer before it alone",
    "Concat": r"layer 1 \(Concat: Relu\) does not read the layer before it alone",
    "Product": r"layer 1 \(Product: GroupConv\) does not read the layer before it alone",
    "LayerNorm": r"layer 1 \(LayerNorm\) has no rule there",
    "Dropout": r"layer 2 \(Dropout\) has no rule there",
}
"""What else has no slices, and the words that say so."""


@dataclass(frozen=True)
class Turn:
    """An operation that nobody knows."""

    below: int


@dataclass(frozen=True)
class Stranger:
    """A layer that nobody knows, which leaves the shape of its signal alone."""

    def after(self, signal: Signal) -> Signal:
        return signal

    def lower(self, build: Builder, below: int) -> int:
        return build.add(Turn(below))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Silent:
    """A layer that does not say what it computes."""

    def after(self, signal: Signal) -> Signal:
        return signal


@dataclass(frozen=True)
class Twofold:
    """A layer of operations that are known: the sum of two convolutions."""

    one: Conv
    two: Conv

    def after(self, signal: Signal) -> Signal:
        return replace(self.one.after(signal), gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        first, second = self.one.lower(build, below), self.two.lower(build, below)
        return build.add(Add((first, second), (1.0, 0.5)))


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    for layer in (Stranger, Silent, Twofold, Trained):
        monkeypatch.setitem(LAYERS, layer.__name__, layer)


@pytest.fixture
def images(rng: np.random.Generator) -> Any:
    return rng.normal(size=(2, 3, 3, 1))


def test_each_layer_has_a_network() -> None:
    own = {name: layer for name, layer in LAYERS.items() if layer.__module__ != __name__}
    assert set(NETWORKS) | ON_FINITE_SETS == set(own)
    for name, layers in NETWORKS.items():
        assert any(isinstance(layer, own[name]) for layer in layers)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_route_gives_the_number_of_the_proof(
    name: str, images: Any, assert_close: Close
) -> None:
    net, get = Network(NETWORKS[name]), kernels_of(name)
    proof, state = certify(net, images, get=get), propagate(net, images, ntk="ntk" in get)
    methods = ("literal", "auto" if name in INNER | OTHERS.keys() else "slices")
    kernels = {
        "recursion": {"nngp": state.nngp, "ntk": state.ntk},
        **{
            method: refntk.kernel(net, images, method=method, get=get).kernels for method in methods
        },
    }
    if "ntk" in get:
        case = Case(name, "", net, images, None, False)
        kernels["oracle"] = altered(case, lambda index, kernels: kernels)
    for found in kernels.values():
        for kernel in get:
            assert_close(found[kernel].astype(float), getattr(proof, kernel), tol=1e-12)


@pytest.mark.parametrize("name", sorted(GENERAL))
def test_where_slices_are_for_relus_the_layer_is_named(name: str) -> None:
    with pytest.raises(MethodError, match=rf"does not apply: layer 1 \({name}\) is no Relu"):
        make_plan(Network(NETWORKS[name]), (3, 3, 1), "slices", general=False)


@pytest.mark.parametrize("name", sorted(INNER))
def test_slices_do_not_pool_before_the_readout(name: str, images: Any) -> None:
    with pytest.raises(MethodError, match=rf"not apply: layer 2 \({name}\) pools before the r"):
        refntk.kernel(Network(NETWORKS[name]), images, method="slices")


@pytest.mark.parametrize("name", OTHERS)
def test_slices_name_what_they_have_no_rule_for(name: str, images: Any) -> None:
    named = rf"does not apply: {OTHERS[name]}; use the method (literal|orbits|branches)"
    with pytest.raises(MethodError, match=named):
        refntk.kernel(Network(NETWORKS[name]), images, method="slices")


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - INNER - GENERAL - OTHERS.keys()))
def test_the_cuda_tables_know_each_layer(name: str) -> None:
    plan = make_plan(Network(NETWORKS[name]), (3, 3, 1))
    table = geometry(plan, np.dtype("float32"), Limits(10**5, 10**5, 8)).table
    assert len(table) == len(plan.steps)


@pytest.mark.parametrize("name", sorted(set(TANGENT) - {"ExpNormalized", "Dropout"}))
def test_networks_of_finite_width_tend_to_it(
    name: str, images: Any, rng: np.random.Generator
) -> None:
    net = Network(NETWORKS[name])
    finite = FiniteNetwork(net, (3, 3, 1), width=128)
    draws = []
    for _ in range(16):
        parameters = finite.draw(rng)
        features = finite.forward(parameters, images)
        draws.append([finite.nngp(features), finite.ntk(parameters, features, channels=4)])
    exact = refntk.kernel(net, images)
    for k, kernel in enumerate((exact.nngp, exact.ntk)):
        mean, error = np.mean(draws, axis=0)[k], np.std(draws, axis=0)[k] / 4
        assert np.linalg.norm(mean - kernel) < 0.1 * np.linalg.norm(kernel) + 3 * np.max(error)


def test_networks_of_finite_width_draw_no_zeros(images: Any) -> None:
    with pytest.raises(MethodError, match=r"^layer 2 \(Dropout\): networks of finite width draw n"):
        FiniteNetwork(Network(NETWORKS["Dropout"]), (3, 3, 1), width=4)


@pytest.mark.parametrize("name", TANGENT)
def test_the_known_mistakes_are_tried_on_each_layer(name: str, images: Any) -> None:
    solved = solve(Case(name, "", Network(NETWORKS[name]), images, None, False))
    answer = {kernel: truth.value for kernel, truth in solved.truth.items()}
    assert not any(fault.explains(solved, answer) for fault in FAULTS)


def test_a_map_of_kernels_is_no_finite_network() -> None:
    net = Network(NETWORKS["ExpNormalized"])
    with pytest.raises(MethodError, match=r"^layer 1 \(ExpNormalized\): is a map of kernels, and"):
        FiniteNetwork(net, (3, 3, 1), width=4)


@pytest.mark.parametrize("step", [Sign(), RectifiedMonomial(degree=0)])
def test_jumps_have_no_ntk(step: Any, images: Any, rng: np.random.Generator) -> None:
    net = Network([CONV, step, GlobalAvgPool()])
    finite = FiniteNetwork(net, (3, 3, 1), width=4)
    parameters = finite.draw(rng)
    features = finite.forward(parameters, images)
    assert np.isfinite(finite.nngp(features)).all()
    routes: list[Callable[[], object]] = [
        lambda: refntk.kernel(net, images),
        lambda: refntk.kernel(net, images, get="ntk", backend="numpy"),
        lambda: propagate(net, images),
        lambda: certify(net, images),
        lambda: literal(net, images),
        lambda: finite.ntk(parameters, features),
    ]
    word = type(step).__name__
    for route in routes:
        with pytest.raises(MethodError, match=rf"^layer 1 \({word}\): has no NTK: it jumps"):
            route()


UNKNOWN = {
    "body": [CONV, Stranger(), GlobalAvgPool(), *HEAD],
    "head": [CONV, RELU, Flatten(), Stranger(), *HEAD],
}


@pytest.mark.parametrize("place", UNKNOWN)
def test_no_route_takes_an_unknown_layer(place: str, images: Any) -> None:
    net = Network(UNKNOWN[place])
    at = [type(layer) for layer in net.layers].index(Stranger)
    case = Case("", "", net, images, None, False)
    routes: dict[str, Callable[[], object]] = {
        "recursion": lambda: propagate(net, images),
        "balls": lambda: certify(net, images),
        "digits": lambda: literal(net, images),
        "auto": lambda: refntk.kernel(net, images),
        "slices": lambda: refntk.kernel(net, images, method="slices"),
        "literal": lambda: refntk.kernel(net, images, method="literal"),
        "finite": lambda: FiniteNetwork(net, (3, 3, 1), width=4),
        "faults": lambda: altered(case, lambda index, kernels: kernels),
        "oracle": lambda: solve(case),
        "ordinary": lambda: ungrouped(net),
        "equivariant": lambda: counterparts(net),
    }
    if place == "head":
        del routes["equivariant"]  # refused for its readout
    for name, route in routes.items():
        print(name)  # shown where one does take it
        with pytest.raises(MethodError, match=rf"layer {at} \(Stranger\)"):
            route()


def test_nothing_is_known_of_the_symmetries_of_an_unknown_layer() -> None:
    net = Network([Conv((3, 3), padding="CIRCULAR"), Stranger(), GlobalAvgPool()])
    assert not any(ask(net) for ask in (moves_with_shifts, blind_to_shifts))
    assert not any(ask(net, 2) for ask in (turns, blind_to_turns))


def test_a_layer_must_say_what_it_computes(images: Any) -> None:
    with pytest.raises(NetworkError, match=r"^layer 1 \(Silent\): has no method lower, which says"):
        propagate(Network([CONV, Silent(), GlobalAvgPool()]), images)


def test_a_layer_of_several_operations(images: Any, assert_close: Close) -> None:
    """Known operations are enough for the literal recursion; the other routes name the layer."""
    one, two = Conv((3, 3), W_std=1.2, b_std=0.1), Conv((1, 1), W_std=0.7)
    layers = [CONV, RELU, Twofold(one, two), RELU, GlobalAvgPool(), Dense()]
    net = Network(layers)
    below = propagate(Network(layers[:2]), images)
    state = propagate(Network(layers[:3]), images)
    for kernel in ("nngp", "ntk"):
        first, second = (
            getattr(propagate(Network([*layers[:2], conv]), images), kernel) for conv in (one, two)
        )
        assert_close(getattr(state, kernel), first + 0.5 * second)
    assert below.nngp.shape == state.nngp.shape
    full = propagate(net, images)
    found = refntk.kernel(net, images)
    assert_close(found.nngp, full.nngp)
    assert_close(found.ntk, full.ntk)
    with pytest.raises(MethodError, match=r"does not apply: layer 2 \(Twofold\) does not read the"):
        refntk.kernel(net, images, method="slices")
    finite = FiniteNetwork(net, (3, 3, 1), width=4)
    assert finite.forward(finite.draw(np.random.default_rng(0)), images)[-1].shape == (2, 4)
    for route in (
        lambda: certify(net, images),
        lambda: FAULTS[0].explains(solve(Case("", "", net, images, None, False)), {}),
    ):
        with pytest.raises(MethodError, match=r"layer 2 \(Twofold\)"):
            route()


@dataclass(frozen=True)
class Trained:
    """A layer that trains at rates of its own."""

    layer: Any
    rates: tuple[Fraction, Fraction]

    def after(self, signal: Signal) -> Signal:
        return self.layer.after(signal)

    def lower(self, build: Builder, below: int) -> int:
        inner = Builder(build.space(below))
        self.layer.lower(inner, 0)
        (operation,) = inner.program().operations
        assert isinstance(operation, Filter)
        return build.add(replace(operation, below=below, tangent=self.rates))


def test_tangents_of_other_weights(images: Any, assert_close: Close) -> None:
    """A sum over layers: the NTK is that of each layer alone, times what it trains with."""
    layers = [Conv((3, 3), b_std=0.3, W_std=1.2), RELU, Conv((2, 2), W_std=0.8, b_std=0.2), LEAKY]
    layers += [GlobalAvgPool(), DENSE]
    linear, exact = (0, 2, 5), refntk.kernel(Network(layers), images)

    def rated(rates: dict[int, tuple[Fraction, Fraction]]) -> Network:
        return Network([Trained(x, rates[k]) if k in linear else x for k, x in enumerate(layers)])

    squares = {k: (Fraction(layers[k].W_std) ** 2, Fraction(layers[k].b_std) ** 2) for k in linear}
    frozen = dict.fromkeys(linear, (Fraction(0), Fraction(0)))
    alone = [rated(frozen | {k: squares[k]}) for k in linear]
    for method, dtype in (("literal", "float64"), ("slices", "float64"), ("slices", "float32")):
        found = [refntk.kernel(net, images, method=method, dtype=dtype) for net in alone]
        assert_close(np.sum([each.ntk for each in found], axis=0, dtype=dtype), exact.ntk)
        for each in found:
            assert_close(each.nngp, exact.nngp)
    net = rated({0: (Fraction(18), Fraction(1)), 2: squares[2], 5: (Fraction(1, 3), Fraction(0))})
    slices, right = (refntk.kernel(net, images, method=how) for how in ("slices", "literal"))
    assert_close(slices.ntk, right.ntk)
    dead = Network([Trained(Conv((3, 3), W_std=0.0), (Fraction(1), Fraction(0))), GlobalAvgPool()])
    assert refntk.kernel(dead, images).ntk.all()
    with pytest.raises(MethodError, match=r"layer 0 \(Trained\) trains weights of dev"):
        refntk.kernel(dead, images, method="slices")


def test_a_field_without_a_rule_is_refused() -> None:
    from refntk.network.arguments import canonical

    @dataclass(frozen=True)
    class Careless:
        W_std: float = 1.0
        gain: float = 1.0

    with pytest.raises(NetworkError, match="^gain: no rule checks this argument of Careless: give"):
        canonical(Careless())
    canonical(Careless(), gain=lambda name, value: value)
