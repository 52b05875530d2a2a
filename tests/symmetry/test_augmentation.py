"""Augmented data and group networks: the same mean predictions at every training time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refntk import (
    Conv,
    Dense,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    InputError,
    Lift,
    MethodError,
    Network,
    Relu,
    kernel,
    preset,
)
from refntk.ops.groups import GROUPS, point_group, rotate
from refntk.symmetry import augmentation as module
from refntk.symmetry.augmentation import (
    BOUND,
    compare,
    ordinary,
    pairs,
    rotated_copies,
    split_targets,
)


def network(group: str = "C4", padding: str = "SAME", filter_shape: Any = (3, 3)) -> Network:
    """Build a group network with biases and a linear head."""
    layers = [
        Lift(filter_shape, group=group, padding=padding, b_std=0.5),
        Relu(),
        GroupConv(filter_shape, padding=padding, W_std=1.5),
        Relu(),
        GroupPool(),
        Dense(W_std=1.25, b_std=0.25),
    ]
    return Network(layers, name="mine")


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Five images, their targets, and three other images."""
    return rng.normal(size=(5, 5, 5, 2)), rng.normal(size=(5, 3)), rng.normal(size=(3, 5, 5, 2))


def test_the_ordinary_network_has_the_same_filters() -> None:
    assert ordinary(network()) == Network(
        [
            Conv((3, 3), b_std=0.5),
            Relu(),
            Conv((3, 3), W_std=1.5),
            Relu(),
            GlobalAvgPool(),
            Dense(W_std=1.25, b_std=0.25),
        ]
    )


@pytest.mark.parametrize("group", GROUPS)
def test_copies_are_one_set_after_the_other(group: str, rng: np.random.Generator) -> None:
    images = rng.normal(size=(3, 4, 4, 1))
    copies = rotated_copies(images, group)
    elements = point_group(group)
    assert copies.shape == (3 * elements.order, 4, 4, 1)
    for r in range(elements.order):
        assert np.array_equal(copies[3 * r + 1], rotate(images[1], r, elements))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR"])
def test_the_theorem_for_every_group_by_the_literal_recursion(
    data: Any, group: str, padding: str
) -> None:
    train, targets, test = data
    if group == "D4":  # the literal kernel is large
        train, targets, test = train[:2], targets[:2], test[:1]
    found = compare(
        network(group, padding), train[:, :4, :4], targets, test[:, :4, :4], method="literal",
        scaled_times=(0.0, 1.0, 100.0, 1e6),
    )  # fmt: skip
    assert (found.group, found.copies) == (group, len(train) * point_group(group).order)
    assert max(found.differences) <= 1e-11
    assert found.differences[0] == found.largest[0] == 0.0
    assert found.largest[-1] > 0.5  # the networks have learnt something


def test_the_predictions_are_those_of_the_group_network(data: Any, assert_close: Any) -> None:
    """At late times the flow interpolates: mu = y on the training images."""
    train, targets, test = data
    found = compare(network(), train, targets, test, scaled_times=(1e12,))
    gram = kernel(network(), train).ntk
    cross = kernel(network(), test, train).ntk
    assert gram is not None
    off = np.abs(cross @ np.linalg.solve(gram, targets)).max()
    assert_close(np.array(found.largest), np.array([max(off, np.abs(targets).max())]), 1e-8)


def test_it_fails_where_the_theorem_does_not_hold(data: Any, monkeypatch: Any) -> None:
    """Without one of the copies the two ways differ: the comparison can tell."""
    copies = module.rotated_copies
    monkeypatch.setattr(
        module, "rotated_copies", lambda images, group: copies(images, "C2")
    )
    assert max(compare(network(), *data).differences) > 1e4 * BOUND


def test_progress_and_costs_add_up(data: Any) -> None:
    told: list[int] = []
    found = compare(network(), *data, progress=told.append)
    assert sum(told) == pairs(network(), data[0], data[2]) >= 15 + 15 + 20 * 21 // 2 + 60
    assert found.kernels == (20 * 21 // 2 + 60, 4 * (15 + 15))
    assert min(found.seconds) > 0
    assert found.cost_ratio == found.seconds[0] / found.seconds[1]


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (preset("cnn-paper"), "expected a network with a Lift and a GroupPool, such as the preset"),
        (preset("gcnn-paper"), r"layer 12 \(Relu\) comes after the pooling"),
        (network(filter_shape=(1, 3)), r"layer 0 \(Lift\) has a 1x3 filter, which the group C4"),
    ],
    ids=["ordinary", "Relu after pooling", "filter"],
)
def test_networks_for_which_it_does_not_hold(net: Network, message: str, data: Any) -> None:
    with pytest.raises(MethodError, match=message):
        compare(net, *data)


def test_division_of_labelled_images() -> None:
    labels = np.array([3, 3, 5, 5, 7, 7, 3])
    train, test, targets = split_targets(labels, seed=2)
    assert sorted([*train, *test]) == list(range(7))
    assert len(train) == 5
    assert targets.shape == (5, 3)
    assert np.array_equal(np.array([3, 5, 7])[targets.argmax(axis=1)], labels[train])


def test_too_few_images() -> None:
    with pytest.raises(InputError, match="needs three images at least, not 2"):
        split_targets(np.array([0, 1]))
