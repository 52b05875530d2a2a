"""The invariance chain, and slices on cosets against the literal recursion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refntk
from refntk.errors import MethodError
from refntk.network import Network
from refntk.network.layers import (
    Abs,
    Conv,
    CosetPool,
    Dense,
    Erf,
    Flatten,
    Gelu,
    GlobalAvgPool,
    GroupPool,
    LeakyRelu,
    Relu,
    SetGroupConv,
    SetLift,
)
from refntk.ops.named_groups import finite_group, gset
from refntk.plan.cosets import cost, invariance_chain
from refntk.plan.reduction import make_plan
from refntk.recursion import propagate
from refntk.truth.certified import certify

Close = Callable[..., None]

RELU = Relu()
ACTIVATIONS = st.sampled_from([Relu(), LeakyRelu(alpha=0.3), Abs(), None])
SMOOTH = st.sampled_from([Erf(), Gelu(), Relu(), None])


@st.composite
def networks(draw: st.DrawFn, activations: Any = ACTIVATIONS) -> list[Any]:
    """Layers on a random subgroup of S_5, without a readout."""
    spec = tuple(draw(st.lists(st.permutations(range(5)).map(tuple), min_size=1, max_size=2)))
    group, on = finite_group(spec), draw(st.sampled_from(["points", "pairs"]))
    scales = st.sampled_from([0.0, 0.3]), st.sampled_from([0.7, 1.0, 1.4])

    def arguments(count: int) -> dict[str, Any]:
        support = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=4))
        if draw(st.integers(0, 4)) == 0:
            support = list(range(count))
        weights = draw(st.sampled_from([(), [1.0, *[0.5] * (len(support) - 1)]]))
        bias, weight = map(draw, scales)
        return {"support": support, "weights": weights, "b_std": bias, "W_std": weight}

    lift = arguments(gset(spec, on).size)
    layers: list[Any] = [SetLift(lift.pop("support"), group=spec, on=on, **lift)]
    for _ in range(draw(st.integers(0, 2))):
        layers.append(draw(activations))
        conv = arguments(group.order)
        layers.append(SetGroupConv(conv.pop("support"), **conv))
    layers.append(draw(activations))
    return [layer for layer in layers if layer is not None]


def signals(layers: list[Any], seed: int, count: int = 3) -> Any:
    size = gset(layers[0].group, layers[0].on).size
    return np.random.default_rng(seed).normal(size=(count, size, 3))


@settings(max_examples=60)
@given(networks() | networks(SMOOTH), st.sampled_from([GroupPool(), Flatten()]), st.integers(0, 99))
def test_slices_are_the_literal_recursion(
    assert_close: Close, layers: list[Any], readout: Any, seed: int
) -> None:
    net, x = Network([*layers, readout]), signals(layers, seed)
    right, found = (
        refntk.kernel(net, x[:1], x[1:], method=how) for how in ("literal", "slices")
    )
    # Signed sums of linear networks cancel: relative to the sizes of the signals.
    own = np.diagonal(refntk.kernel(net, x, method="literal").nngp)
    floor = np.sqrt(own[0] * own[1:])
    for kernel in ("nngp", "ntk"):
        one, two = getattr(found, kernel)[0], getattr(right, kernel)[0]
        assert_close(one + floor, two + floor, tol=1e-12)


@settings(max_examples=40)
@given(networks(st.just(RELU)), st.integers(0, 99))
def test_the_chain_is_what_kernels_are_invariant_under(layers: list[Any], seed: int) -> None:
    """K_{g q, g' q} = K_{g, g'} for q in Q, and for no other element."""
    x = signals(layers, seed, 2)
    chain = list(invariance_chain(Network(layers)))
    group, dense = finite_group(layers[0].group), False
    for k in range(1, len(layers), 2):
        nngp = propagate(Network(layers[: k + 1]), x[:1], x[1:]).nngp[0, 0]
        level = chain[k // 2]
        found = {
            q for q in range(group.order)
            if np.abs(nngp[np.ix_(group.cayley[:, q], group.cayley[:, q])] - nngp).max()
            < 1e-12 * np.abs(nngp).max()
        }  # fmt: skip
        assert found == set(level.invariance)
        assert group.is_subgroup(level.invariance)
        assert sum(level.shares) == 1
        assert level.size * len(level.invariance) == group.order
        dense = dense or level.size == 1
        assert not dense or level.size == 1  # from there on all is a Dense layer


def test_chain_and_cost_of_examples() -> None:
    def sizes(*layers: Any) -> list[int]:
        return [len(level.invariance) for level in invariance_chain(Network(list(layers)))]

    lift = SetLift([0, 1], group="S4")
    assert sizes(lift) == [4]
    assert sizes(lift, RELU, SetGroupConv([0])) == [4, 4]  # S in Q: a Dense layer
    assert sizes(lift, RELU, SetGroupConv("all"), RELU, SetGroupConv([3])) == [4, 24, 24]
    assert sizes(SetLift("all", group="S4"), RELU, SetGroupConv([5, 6])) == [24, 24]
    # It may grow and shrink.
    swap = [0, (1, 0, 2, 3)]
    assert sizes(SetLift([0], group="S4"), RELU, SetGroupConv(swap)) == [6, 4]
    assert sizes(SetLift([0], group="S4"), RELU, SetGroupConv(swap, weights=[1, 2])) == [6, 2]
    net = Network([lift, RELU, SetGroupConv([0, (1, 2, 3, 0)]), GroupPool()])
    chain = invariance_chain(net)
    first, second = chain
    assert cost(chain) == 24 * (first.size * 3 + second.size * len(second.shares))
    assert cost(chain, pooled=False) == cost(chain) // 24
    assert make_plan(net, (4, 1)).entries == cost(chain)
    assert make_plan(Network([*net.layers[:-1], Flatten()]), (4, 1)).entries == cost(chain) // 24


def test_shares_of_elements_in_one_coset_add_up() -> None:
    conv = SetGroupConv([0, (1, 0, 2), (2, 1, 0)], weights=[1, 2, 1])
    first, second = invariance_chain(Network([SetLift([2], group="S3"), RELU, conv]))
    assert first.invariance == (0, 2)  # swaps 0 and 1
    assert sorted(second.shares) == [0.25, 0.75]
    assert second.layer == "layer 2 (SetGroupConv)"


@given(networks(), st.data())
def test_slices_are_invariant_under_each_element(
    assert_close: Close, layers: list[Any], data: st.DataObject
) -> None:
    net, x = Network([*layers, GroupPool()]), signals(layers, 0, 2)
    group = finite_group(layers[0].group)
    action = gset(layers[0].group, layers[0].on).action(group)
    one = refntk.kernel(net, x[:1], x[1:], method="slices")
    scale = np.sqrt(np.prod(np.diagonal(refntk.kernel(net, x).nngp)))
    elements = st.integers(0, group.order - 1)
    for a, b in ((data.draw(elements), 0), (0, data.draw(elements))):
        two = refntk.kernel(net, x[:1][:, action[a]], x[1:][:, action[b]], method="slices")
        for kernel in ("nngp", "ntk"):
            first, second = (getattr(k, kernel) + scale for k in (one, two))
            assert_close(first, second, tol=1e-12)


HARD: dict[str, tuple[list[Any], str]] = {
    "signs": ([SetLift([0], group="C4"), RELU, SetGroupConv([0, 1]), RELU, GroupPool()], "one"),
    "alike": ([SetLift([0, 1], group="C6"), Abs(), SetGroupConv([0, 3]), RELU, GroupPool()], "hot"),
    "constant": ([SetLift([0], group="S3", b_std=0.2), RELU, GroupPool(), Dense()], "constant"),
    "zero": ([SetLift([0, 1], group="C3"), RELU, SetGroupConv([0]), RELU, GroupPool()], "zero"),
    "zero and a bias": ([SetLift([0, 1], group="C3", b_std=1), RELU, GroupPool()], "zero"),
    "unlike": ([SetLift([0, 1], group="C3", b_std=1e-3), RELU, GroupPool()], "unlike"),
    "lengths": ([SetLift([0, 1], group="D4"), RELU, SetGroupConv([0, 5]), Flatten()], "lengths"),
    "linear": (
        [SetLift([0], group="C4"), SetGroupConv([0, 1], b_std=0.1), RELU, GroupPool()], "one"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_hard_signals_keep_their_digits(name: str, assert_close: Close) -> None:
    layers, kind = HARD[name]
    net, rng = Network(layers), np.random.default_rng(0)
    size = gset(layers[0].group, layers[0].on).size
    x = {
        "one": rng.normal(size=(3, size, 1)),  # correlations are 1 or -1
        "hot": np.eye(4)[rng.integers(0, 4, (3, size))],
        "constant": np.ones((2, size, 1)) * [[[1.0]], [[3.0]]],
        "zero": np.concatenate([np.zeros((1, size, 2)), rng.normal(size=(1, size, 2))]),
        "unlike": rng.normal(size=(2, size, 2)) * [[[1e8]], [[1e-8]]],
        "lengths": rng.normal(size=(1, size, 2)) * [[[1.0]], [[7.0]], [[0.3]]],
    }[kind]
    proof = certify(net, x)
    for dtype in ("float64", "float32"):
        found = refntk.kernel(net, x, method="slices", dtype=dtype)
        assert_close(found.nngp, proof.nngp)
        assert_close(found.ntk, proof.ntk)


@pytest.mark.parametrize("readout", [GroupPool(), Flatten()])
def test_any_activation_has_slices(readout: Any, assert_close: Close) -> None:
    lift = SetLift([-1, 0, 1], group="D4", b_std=0.2)
    layers = [lift, Gelu(), SetGroupConv([0, 1, 5], W_std=1.2), Erf(), readout]
    net = Network([*layers, Dense(b_std=0.1), Erf()] if readout == GroupPool() else layers)
    x = np.random.default_rng(0).normal(size=(4, 4, 2))
    proof, found = certify(net, x), refntk.kernel(net, x, method="slices")
    assert_close(found.nngp, proof.nngp)
    assert_close(found.ntk, proof.ntk)
    assert np.array_equal(refntk.kernel(net, x, get="nngp").nngp, found.nngp)
    cross = refntk.kernel(net, x[:2], x[2:], tile=1)
    assert_close(cross.ntk, proof.ntk[:2, 2:])
    assert np.array_equal(cross.nngp, found.nngp[:2, 2:])


def test_numbers_do_not_depend_on_tiles_and_threads() -> None:
    lift = SetLift([0, 3], group="S4", on="pairs")
    net = Network([lift, RELU, SetGroupConv([0, 7]), GroupPool()])
    x = np.random.default_rng(0).normal(size=(9, 12, 2))
    whole = refntk.kernel(net, x, threads=1)
    for options in ({"threads": 2}, {"tile": 2}, {"tile": 5, "threads": 3}):
        again = refntk.kernel(net, x, **options)  # type: ignore[arg-type]
        assert np.array_equal(again.ntk, whole.ntk)
        assert np.array_equal(again.nngp, whole.nngp)
    assert np.array_equal(whole.ntk, whole.ntk.T)
    assert np.array_equal(refntk.kernel(net, x, get="nngp").nngp, whole.nngp)


def test_a_group_of_5040_elements(assert_close: Close) -> None:
    """A lift that covers the set: the mean over all permutations, of a kernel of their products."""
    net = Network([SetLift([0], group="S7"), RELU, GroupPool()])
    x = np.random.default_rng(0).normal(size=(2, 7, 2))
    found = refntk.kernel(net, x)
    gap = propagate(Network([SetLift([0], group="C7"), RELU, GroupPool()]), x)
    # K_{g,g'} depends on g 0 and g' 0 alone, each of which is each point equally often.
    assert_close(found.nngp[0, 1], gap.nngp[0, 1])
    assert_close(found.ntk[0, 1], gap.ntk[0, 1])


def test_networks_without_slices_are_computed_literally_and_named() -> None:
    lift, x = SetLift([0, 1], group="S3"), np.ones((1, 3, 1))
    cosets = Network([lift, RELU, CosetPool([1]), SetGroupConv([0]), GroupPool()])
    refntk.kernel(cosets, x)
    message = r"does not apply: layer 2 \(CosetPool\) couples the slices of unlike d; use the meth"
    with pytest.raises(MethodError, match=message):
        refntk.kernel(cosets, x, method="slices")
    with pytest.raises(MethodError, match=r"slices do not apply: layer 2 \(CosetPool\)"):
        invariance_chain(cosets)
    with pytest.raises(MethodError, match=r"layer 0 \(Conv\): slices on cosets are those of a net"):
        invariance_chain(Network([Conv((3, 3)), GlobalAvgPool()]))
    with pytest.raises(MethodError, match=r"slices on cosets on processors alone"):
        make_plan(Network([lift, GroupPool()]), (3, 1), "slices", ("slices", "literal"), "cupy")
    assert make_plan(Network([lift, GroupPool()]), (3, 1), backend="cupy").method == "literal"

