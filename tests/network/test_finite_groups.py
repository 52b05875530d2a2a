"""Networks on finite sets and groups: the layers, their words, and every route through them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import array_api_strict
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import refntk
from refntk.cli import main
from refntk.errors import InputError, MethodError, NetworkError, ShapeError
from refntk.finite import FiniteNetwork
from refntk.network import Network
from refntk.network.layers import (
    Conv,
    CosetPool,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Lift,
    Relu,
    SetGroupConv,
    SetLift,
    SetLinear,
)
from refntk.ops.finite_group import from_table
from refntk.ops.groups import point_group
from refntk.ops.named_groups import finite_group, gset
from refntk.oracle.cases import Case
from refntk.oracle.faults import FAULTS, altered
from refntk.oracle.truth import solve
from refntk.recursion import propagate
from refntk.symmetry.augmentation import ungrouped
from refntk.symmetry.exact import blind_to_shifts, blind_to_turns, moves_with_shifts, turns
from refntk.symmetry.three_ways import counterparts
from refntk.truth.certified import certify, certify_entries, literal

Close = Callable[..., None]

RELU, HEAD = Relu(), [Dense(W_std=1.2, b_std=0.1), Relu(), Dense()]
S3 = ((1, 2, 0), (1, 0, 2))

NETWORKS: dict[str, list[Any]] = {
    "sequence": [SetLift([-1, 0, 1], group="C7"), RELU, SetGroupConv([-1, 0, 1]), GroupPool()],
    "mirrored": [
        SetLift([-1, 0, 1], group="D5", b_std=0.2), RELU,
        SetGroupConv([0, 1, -3], weights=[2, 1, 0.5], W_std=1.3), RELU, GroupPool(), *HEAD
    ],
    "graphs": [
        SetLift([(0, 1), (1, 0), (0, 0)], group="S3", on="matrix", weights=[1, 2, 1], b_std=0.2),
        RELU, SetGroupConv([0, 2, 2, 5], W_std=1.1, b_std=0.3), RELU, Flatten(), Dense()
    ],
    "cosets": [
        SetLift([(0, 1), (2, 1)], group=S3, on="pairs", W_std=1.3), RELU,
        CosetPool([(1, 0, 2)]), SetGroupConv([1, 3, 4], b_std=0.2), RELU, GroupPool()
    ],
    "tables": [SetLift([(0, 0), (1, 2)], group="C2xD3"), RELU, SetGroupConv("all"), GroupPool()],
    "an action": [SetLift([1], group="S3", on=[[1, 0], [0, 1]]), RELU, GroupPool()],
    "its elements": [SetLift("all", group="C4", on="group"), RELU, SetGroupConv([1]), GroupPool()],
    "sets": [
        SetLinear(group="S4", W_std=1.3, b_std=0.2), RELU, SetLinear(group="S4"), RELU,
        GlobalAvgPool(), *HEAD
    ],
    "adjacency": [
        SetLinear(group="S3", on="matrix", to="matrix", b_std=0.2), RELU,
        SetLinear(group="S3", on="matrix"), RELU, SetLinear(group="S3", to="one"), Flatten()
    ],
    "mixed": [
        SetLinear(group="C2xC3", to=[[1, 0], [0, 1]]), RELU,
        SetLift([0], group=[[1, 0]]), RELU, GroupPool(),
    ],
    "readout alone": [SetLift([0, 1], group="C3"), GroupPool(), *HEAD],
}  # fmt: skip

LINEAR = ("sets", "adjacency", "mixed")
"""Those that begin with a SetLinear, to which slices do not apply."""


def signals(layers: list[Any], rng: np.random.Generator, count: int = 2) -> Any:
    lift = layers[0]
    return rng.normal(size=(count, gset(lift.group, lift.on).size, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_route_gives_the_number_of_the_proof(
    name: str, rng: np.random.Generator, assert_close: Close
) -> None:
    net, x = Network(NETWORKS[name]), signals(NETWORKS[name], rng)
    proof, state = certify(net, x), propagate(net, x)
    many = literal(net, x)
    kernels = {
        "recursion": {"nngp": state.nngp, "ntk": state.ntk},
        "digits": many,
        "oracle": altered(Case(name, "", net, x, None, False), lambda index, kernels: kernels),
        **{how: vars(refntk.kernel(net, x, method=how)) for how in ("auto", "literal")},
    }
    # Features are alike at all elements of a coset: there literal doubles lose digits.
    tol = 1e-8 if name in ("cosets", "an action", *LINEAR) else 1e-12
    if name not in ("cosets", *LINEAR):
        kernels["slices"] = vars(refntk.kernel(net, x, method="slices"))
    for how, found in kernels.items():
        for kernel in ("nngp", "ntk"):
            number, right = found[kernel].astype(float), getattr(proof, kernel)
            assert_close(number, right, tol=1e-12 if how == "slices" else tol)
    assert_close(many["ntk"].astype(float), proof.ntk, tol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_finite_width_tend_to_it(name: str, rng: np.random.Generator) -> None:
    net, x = Network(NETWORKS[name]), signals(NETWORKS[name], rng)
    finite, draws = FiniteNetwork(net, x.shape[1:], width=96), []
    for _ in range(20):
        parameters = finite.draw(rng)
        features = finite.forward(parameters, x)
        draws.append([finite.nngp(features), finite.ntk(parameters, features, channels=4)])
    exact = refntk.kernel(net, x)
    for k, kernel in enumerate((exact.nngp, exact.ntk)):
        mean, error = np.mean(draws, axis=0)[k], np.std(draws, axis=0)[k] / np.sqrt(20)
        # Width 96 is not infinite: kernels are off by some percent.
        assert np.all(np.abs(mean - kernel) < 3 * error + 0.1 * np.max(np.abs(kernel)))


@pytest.mark.parametrize("name", ["mirrored", "cosets", "graphs", "adjacency"])
def test_derivatives_of_networks_of_finite_width(
    name: str, rng: np.random.Generator, assert_close: Close
) -> None:
    net, x = Network(NETWORKS[name]), signals(NETWORKS[name], rng)
    finite = FiniteNetwork(net, x.shape[1:], width=3)
    parameters = finite.draw(rng)
    features = finite.forward(parameters, x)
    covector = rng.normal(size=features[-1].shape)
    gradients, below = finite.backward(parameters, features, covector)

    def slope(parameters: Any, step: Any, x: Any, dx: Any) -> float:
        ahead, behind = (
            finite.forward([p and type(p)(*(a + sign * b for a, b in zip(p, s, strict=True)))
                            for p, s in zip(parameters, step, strict=True)], x + sign * dx)[-1]
            for sign in (1e-6, -1e-6)
        )  # fmt: skip
        return float(((ahead - behind) * covector).sum() / 2e-6)

    step = [p and type(p)(*(rng.normal(size=a.shape) for a in p)) for p in parameters]
    dx = rng.normal(size=x.shape)
    expected = (below * dx).sum() + sum(
        (g * s).sum() for own, by in zip(gradients, step, strict=True) if own
        for g, s in zip(own, by, strict=True)
    )  # fmt: skip
    assert_close(np.array(slope(parameters, step, x, dx)), expected, tol=1e-6)


@given(st.data())
def test_kernels_are_invariant_and_equivariant(data: st.DataObject) -> None:
    """K_{g,g'}(a f, b f') = K_{a⁻¹g, b⁻¹g'}(f, f'), and pooling does not see a and b."""
    spec = tuple(data.draw(st.lists(st.permutations(range(5)).map(tuple), min_size=1, max_size=2)))
    group = finite_group(spec)
    points = gset(spec, data.draw(st.sampled_from(["points", "pairs"])))
    action = points.action(group)
    elements = st.integers(0, group.order - 1)
    on = tuple(map(tuple, points.generators.tolist()))
    support = data.draw(st.lists(st.integers(0, points.size - 1), min_size=1, max_size=3))
    layers = [
        SetLift(support, group=spec, on=on, b_std=0.3), RELU,
        SetGroupConv(data.draw(st.lists(elements, min_size=1, max_size=3)), W_std=1.2), RELU
    ]  # fmt: skip
    x = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(2, points.size, 2))
    a, b = data.draw(elements), data.draw(elements)
    moved = np.empty_like(x)
    for f, g, out in zip(x, (a, b), moved, strict=True):
        out[action[g]] = f  # (g f)(g x) = f(x)
    below, above = (propagate(Network(layers), s[:1], s[1:]) for s in (x, moved))
    rows, columns = (group.cayley[group.inverse[g]] for g in (a, b))
    for kernel in ("nngp", "ntk"):
        expected = getattr(below, kernel)[:, :, rows][:, :, :, columns]
        np.testing.assert_allclose(getattr(above, kernel), expected, rtol=1e-9, atol=1e-12)
    pooled = Network([*layers, GroupPool()])
    one, two = (refntk.kernel(pooled, s[:1], s[1:]) for s in (x, moved))
    np.testing.assert_allclose(one.ntk, two.ntk, rtol=1e-9)
    np.testing.assert_allclose(one.nngp, two.nngp, rtol=1e-12)


def test_entries_before_the_readout(rng: np.random.Generator, assert_close: Close) -> None:
    layers = NETWORKS["graphs"][:3]
    x = signals(layers, rng, 1)
    state, proof = propagate(Network(layers), x), certify_entries(Network(layers), x)
    assert state.ntk.shape == (1, 1, 6, 6)
    assert state.var1.shape == (1, 6)
    assert_close(state.nngp, proof.nngp)
    assert_close(state.ntk, proof.ntk)


def test_literal_recursion_runs_in_any_namespace(
    rng: np.random.Generator, assert_close: Close
) -> None:
    x = signals(NETWORKS["mirrored"], rng)
    device = array_api_strict.Device("device1")
    net = Network(NETWORKS["mirrored"])
    state = propagate(net, array_api_strict.asarray(x, device=device))
    assert state.ntk.device == device
    ntk = np.asarray(state.ntk.to_device(array_api_strict.Device("CPU_DEVICE")))
    assert_close(ntk, propagate(net, x).ntk)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_written_and_read(name: str) -> None:
    net = Network(NETWORKS[name], name="mine")
    again = Network.from_toml_string(net.to_toml())
    assert again == net
    assert again.hash == net.hash
    assert again.name == "mine"
    text = net.summary((gset(net.layers[0].group, net.layers[0].on).size,))  # type: ignore[attr-defined]
    assert type(net.layers[0]).__name__ in text


def test_the_table_says_group_and_support() -> None:
    table = str(Network(NETWORKS["sequence"]))
    assert "support [-1, 0, 1], group C7, on points, W_std 1, b_std 0" in table
    assert table.splitlines()[2].endswith("C7")
    assert "weights [2.0, 1.0, 0.5]" in str(Network(NETWORKS["mirrored"]))


def test_a_network_file() -> None:
    text = """
        [[layer]]
        type = "SetLift"
        support = [[0, 1], [1, 0]]
        group = "S4"
        on = "pairs"
        [[layer]]
        type = "SetGroupConv"
        support = [0, [1, 0, 2, 3]]
        [[layer]]
        type = "GroupPool"
    """
    layers = [SetLift([(0, 1), (1, 0)], group="S4", on="pairs")]
    assert Network.from_toml_string(text).layers[0] == layers[0]
    with pytest.raises(NetworkError, match=r"net, line 5: layer 0 \(SetLift\): group: unknown"):
        Network.from_toml_string(text.replace("S4", "Q8"), source="net")


def test_a_group_is_given_by_a_name_permutations_or_an_object() -> None:
    klein = from_table([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
    lift = SetLift([0], group=klein)
    assert np.array_equal(finite_group(lift.group).cayley, klein.cayley)
    assert SetLift([0], group=finite_group("D5")).group == "D5"
    assert SetLift([0], group=point_group("D4")).group == "D4"
    assert SetLift([0], group=finite_group(S3)).group == S3
    assert SetLift([0], group=[[1, 2, 0], [1, 0, 2]]).group == S3
    octahedral = point_group("O", "cubic")
    spec = SetLift([0], group=octahedral).group
    assert np.array_equal(finite_group(spec).cayley, octahedral.cayley)
    # Its own generators list these elements in another order.
    cyclic = from_table((np.arange(5)[:, None] * 2 + np.arange(5) * 2) * 3 % 5)
    shuffled = np.array([0, 3, 1, 4, 2])
    table = np.argsort(shuffled)[(shuffled[:, None] + shuffled) % 5]
    for group in (cyclic, from_table(table)):
        assert np.array_equal(finite_group(SetLift([0], group=group).group).cayley, group.cayley)


LIFT = SetLift([0], group="C3")

BAD: dict[str, tuple[Callable[[], object], str]] = {
    "no support": (lambda: SetLift([], group="C3"), "^support: expected a list of places such as"),
    "a word": (lambda: SetLift("most", group="C3"), "^support: expected a list of places"),
    "floats": (lambda: SetLift([0.5], group="C3"), "^support: expected a list of places"),
    "truth": (lambda: SetLift([True], group="C3"), "^support: expected a list of places"),
    "a width": (lambda: SetLift(64, group="C3"), "^support: expected a list of places .* not 64"),
    "no group": (lambda: SetLift([0]), "^the argument group is missing"),
    "a point": (
        lambda: SetLift([0, 3], group="C3"),
        "^support: 3 is no point of the points of C3, which are 3, from 0 to 2$",
    ),
    "a pair": (
        lambda: SetLift([(1, 1)], group="S3", on="pairs"),
        r"^support: \(1, 1\) is no point of ordered pairs of the points of S3, which are 6, from "
        r"\(0, 1\) to \(2, 1\)$",
    ),
    "a set": (lambda: SetLift([0], group="C3", on="edges"), '^on: unknown set "edges"; known: po'),
    "an action": (
        lambda: SetLift([0], group="C3", on=[[1, 0]]),
        "^on: the given points is no action of C3: moving points by element 2 and then by 1",
    ),
    "generators": (
        lambda: SetLift([0], group="S3", on=[[1, 0]]),
        "^on: the given points: 1 permutations for the 2 generators of S3; give one for each",
    ),
    "permutations": (
        lambda: SetLift([0], group=[[0, 0]]),
        "^group: the points of the group: generator 0 is no permutation of the points 0 to 1",
    ),
    "numbers": (lambda: SetLift([0], group=[1, 0]), "^group: expected a name, or a list of perm"),
    "nothing": (lambda: SetLift([0], group=None), "^group: expected a name, or a list of perm"),
    "name": (lambda: SetLift([0], group="Q8"), '^group: unknown group "Q8"; known: C1, C2, ...'),
    "large": (lambda: SetLift([0], group="S8"), "^group: S8: more than 5040 elements"),
    "weights": (
        lambda: SetLift([0, 1], group="C3", weights=[1]),
        "^weights: expected one for each of the 2 places of the support, not 1",
    ),
    "all weights": (
        lambda: SetLift("all", group="C3", weights=[1]),
        "^weights: expected one for each of the 3 places of the support, not 1",
    ),
    "weights of a convolution": (
        lambda: SetGroupConv([0, 1], weights=[1]),
        "^weights: expected one for each of the 2 places of the support, not 1",
    ),
    "negative": (
        lambda: SetGroupConv([0], weights=[-1]),
        "^weights: expected numbers that are not negative, and not all zero, not -1",
    ),
    "zero": (lambda: SetGroupConv([0], weights=[0.0]), "^weights: expected numbers that are not"),
    "a number": (lambda: SetGroupConv([0], weights=1), "^weights: expected numbers that are not"),
    "an element": (
        lambda: Network([LIFT, SetGroupConv([7])]),
        r"^layer 1 \(SetGroupConv\): support: 7 is no element of C3, which has 3: give a number fr",
    ),
    "a permutation": (
        lambda: Network([LIFT, SetGroupConv([(1, 0, 2)])]),
        r"^layer 1 \(SetGroupConv\): support: \(1, 0, 2\) is no element of C3",
    ),
    "a subgroup": (
        lambda: Network([LIFT, CosetPool([4])]),
        r"^layer 1 \(CosetPool\): subgroup: 4 is no element of C3",
    ),
    "later weights": (
        lambda: Network([LIFT, SetGroupConv("all", weights=[1, 1])]),
        r"^layer 1 \(SetGroupConv\): weights: expected one for each of the 3 places",
    ),
    "order": (
        lambda: Network([SetGroupConv([0])]),
        r"^layer 0 \(SetGroupConv\): needs functions on a finite group, but gets a grid: a network",
    ),
    "twice": (
        lambda: Network([LIFT, LIFT]),
        r"^layer 1 \(SetLift\): needs functions on a finite set, but gets functions on a finite g",
    ),
    "after a lift": (
        lambda: Network([LIFT, GroupConv((3, 3))]),
        r"^layer 1 \(GroupConv\): needs functions on a group, but gets functions on a finite group"
        ": after a SetLift use SetGroupConv",
    ),
    "after an image's": (
        lambda: Network([Lift((3, 3), group="C4"), SetGroupConv([0])]),
        r"^layer 1 \(SetGroupConv\): needs functions on a finite group, but gets functions on a gr"
        "oup: after a Lift use GroupConv",
    ),
    "an image's": (
        lambda: Network([LIFT, Conv((3, 3))]),
        r"^layer 1 \(Conv\): needs a grid, but gets functions on a finite group: a network for",
    ),
    "global pool": (
        lambda: Network([LIFT, GlobalAvgPool()]),
        r"^layer 1 \(GlobalAvgPool\): needs functions on a finite set, but gets functions on a f",
    ),
    "dense": (
        lambda: Network([LIFT, Dense()]),
        r"^layer 1 \(Dense\): needs a vector, but gets functions on a finite group: put GroupPool",
    ),
    "linear group": (lambda: SetLinear(group="Q8"), '^group: unknown group "Q8"'),
    "linear set": (lambda: SetLinear(group="C3", to="edges"), '^to: unknown set "edges"; known: p'),
    "linear action": (
        lambda: SetLinear(group="S3", on=[[1, 0]]),
        "^on: the given points and a single point: 1 and 2 generators; both must be acted on by",
    ),
    "shares in standard": (
        lambda: Network(
            [SetLift([0, 1], group="C3", weights=[1, 2]), GroupPool()], parameterization="standard"
        ),
        r"^layer 0 \(SetLift\): weights: shares that differ have no standard parametrisation",
    ),
    "readout": (
        lambda: refntk.kernel(Network([LIFT, RELU]), np.ones((1, 3, 1))),
        r"^layer 1 \(Relu\): the network ends on a group, and has no kernel for a pair",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case: str) -> None:
    build, message = BAD[case]
    with pytest.raises(NetworkError, match=message):
        build()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((1, 4, 2)), ShapeError,
         r"^layer 0 \(SetLift\): the points of C3 are 3, and signals must have as many along their "
         "second axis, not 4"),
        (np.ones((1, 3, 3, 2)), InputError,
         r"X1: expected signals .*; on a finite set \(N, X, C\), not \(1, 3"),
        (np.full((2, 3, 1), np.nan), InputError, "X1: image 0 has NaN or infinite pixels"),
        ([[[1.0]], [[1.0], [2.0]]], InputError, r"expected signals .* and all of one shape"),
    ],
)  # fmt: skip
def test_signals_of_another_shape_are_refused(x: Any, error: Any, message: str) -> None:
    net = Network([LIFT, RELU, GroupPool()])
    with pytest.raises(error, match=message):
        refntk.kernel(net, x)


def test_shapes_of_signals() -> None:
    net = Network([LIFT, RELU, GroupPool()])
    assert (net.takes, net.axes) == ("set", 1)
    assert [signal.kind for signal in net.signals((3, 5))] == ["elements", "elements", "vector"]
    with pytest.raises(ShapeError, match=r"expected the shape \(X,\) or \(X, C\) of a signal on"):
        net.signals((3, 3, 1))
    with pytest.raises(InputError, match=r"x1: expected signals \(N, X, C\), not the shape"):
        propagate(net, np.ones((1, 3, 3, 1)))
    with pytest.raises(InputError, match="X2: its images have the shape"):
        refntk.kernel(net, np.ones((1, 3, 1)), np.ones((1, 3, 2)))


def test_a_set_of_a_hundred_points(assert_close: Close) -> None:
    """Two orbitals need no list of 100! permutations; the order of points is not seen."""
    linear, rng = SetLinear(group="S100", b_std=0.3), np.random.default_rng(0)
    net = Network([linear, RELU, linear, RELU, SetLinear(group="S100", to="one"), Flatten()])
    x = rng.normal(size=(2, 100, 3))
    one = refntk.kernel(net, x[:1], x[1:])
    two = refntk.kernel(net, x[:1], x[1:, rng.permutation(100)])
    assert_close(one.ntk, two.ntk)
    assert_close(one.nngp, two.nngp)
    # Both orbitals of a network of one layer, written down.
    first = refntk.kernel(Network([SetLinear(group="S100"), GlobalAvgPool()]), x)
    mean = x.mean(axis=1)
    assert_close(first.nngp, mean @ mean.T / 3, tol=1e-12)
    gram = np.einsum("nxc,mxc->nm", x, x) / 300
    flat = refntk.kernel(Network([SetLinear(group="S100"), Flatten()]), x)
    others = (100 * mean[:, None] - x) / 99
    rest = np.einsum("nxc,mxc->nm", others, others) / 300
    assert_close(flat.nngp, (gram + rest) / 2, tol=1e-12)


def test_slices_name_the_linear_layer() -> None:
    net = Network(NETWORKS["mixed"])
    with pytest.raises(MethodError, match=r"does not apply: layer 0 \(SetLinear\) couples the"):
        refntk.kernel(net, np.ones((1, 6, 1)), method="slices")


@pytest.mark.parametrize("trained", [True, False])
def test_the_standard_parametrisation_counts_channels(
    trained: bool, rng: np.random.Generator, assert_close: Close
) -> None:
    layers = [
        SetLift([0, 1], group="S3", b_std=0.2, width=50, trainable=trained), RELU,
        SetGroupConv([0, 3], W_std=1.2, width=20, learning_rate=0.5), RELU, GroupPool(),
        Dense(b_std=0.1)
    ]  # fmt: skip
    net, x = Network(layers, parameterization="standard"), rng.normal(size=(2, 3, 2))
    proof = certify(net, x)
    for method in ("literal", "slices"):
        found = refntk.kernel(net, x, method=method)
        assert_close(found.nngp, proof.nngp)
        assert_close(found.ntk, proof.ntk, tol=1e-7 if method == "literal" else 1e-12)
    finite = FiniteNetwork(net, (3, 2), width=20)
    parameters = finite.draw(rng)
    features = finite.forward(parameters, x)
    assert finite.ntk(parameters, features).shape == (2, 2)


def test_signals_from_files(tmp_path: Path, assert_close: Close) -> None:
    net = Network(NETWORKS["sequence"])
    x = np.random.default_rng(0).normal(size=(3, 7, 2))
    network, source, out = tmp_path / "net.toml", tmp_path / "x.npy", tmp_path / "k.h5"
    network.write_text(net.to_toml())
    np.save(source, x)
    result = CliRunner().invoke(main, ["compute", str(network), str(source), "-o", str(out)])
    assert result.exit_code == 0, result.output
    with refntk.open_kernel(out) as file:
        assert_close(file.ntk[:], refntk.kernel(net, x).ntk)
    result = CliRunner().invoke(main, ["compute", "cnn-gap", str(source), "-o", str(out)])
    assert result.exit_code == 2


def test_integers_are_divided_as_pixels_are(assert_close: Close) -> None:
    net = Network([LIFT, RELU, GroupPool()])
    whole = np.array([[[0], [255], [51]]], np.uint8)
    assert_close(refntk.kernel(net, whole).ntk, refntk.kernel(net, whole / 255.0).ntk)


def test_routes_for_images_refuse_or_know_nothing(rng: np.random.Generator) -> None:
    net = Network(NETWORKS["mirrored"])
    x = signals(NETWORKS["mirrored"], rng)
    with pytest.raises(MethodError, match=r"layer 0 \(SetLift\)"):
        ungrouped(net)
    with pytest.raises(MethodError, match="the network has no equivariant counterpart"):
        counterparts(net)
    assert not any(ask(net) for ask in (moves_with_shifts, blind_to_shifts))
    assert not any(ask(net, 2) for ask in (turns, blind_to_turns))
    solved = solve(Case("mirrored", "", net, x, None, False))
    answer = {kernel: truth.value for kernel, truth in solved.truth.items()}
    assert not any(fault.explains(solved, answer) for fault in FAULTS)


@settings(max_examples=10)
@given(st.integers(2, 7), st.integers(0, 99))
def test_a_full_filter_is_the_mean_of_a_fully_connected_kernel(n: int, seed: int) -> None:
    """K_pool(f, f') = mean_d FC(<f, d f'>): the lift covers the set, and all else is Dense."""
    x = np.random.default_rng(seed).normal(size=(2, n, 3))
    group = f"C{n}"
    net = Network([SetLift("all", group=group, b_std=0.2), RELU, SetGroupConv([0, 1]), GroupPool()])
    plain = Network([Flatten(), Dense(b_std=0.2), RELU, Dense()])
    turned = np.concatenate([np.roll(x[1], d, axis=0)[None] for d in range(n)])
    expected = refntk.kernel(plain, x[:1, None], turned[:, None])
    found = refntk.kernel(net, x[:1], x[1:])
    np.testing.assert_allclose(found.ntk[0, 0], expected.ntk.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.nngp[0, 0], expected.nngp.mean(), rtol=1e-12)
