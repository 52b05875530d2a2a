"""Strides, dilations, even filters, images of any shape: slices against the literal recursion."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk.backends import obstacle_of
from refntk.errors import MethodError, MissingBackendError, NetworkError, RefntkWarning, ShapeError
from refntk.evaluation.evaluate import kernel
from refntk.network import Network
from refntk.network.layers import (
    Conv,
    Dense,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    LeakyRelu,
    Lift,
    Relu,
)
from refntk.ops.groups import GROUPS, point_group, rotate
from refntk.plan.reduction import make_plan

Close = Callable[..., None]

RATES = {"W_std": 1.3, "b_std": 0.2}
HEAD = [Dense(**RATES), Relu(), Dense()]

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
small = st.sampled_from([1, 1, 2, 3])


@st.composite
def slid(draw: st.DrawFn, padding: str, alike: bool) -> dict[str, Any]:
    """Arguments of a filter; with `alike` one number for both axes."""
    def sides(numbers: st.SearchStrategy[int]) -> tuple[int, int]:
        one = draw(numbers)
        return one, (one if alike else draw(numbers))

    return {
        "filter_shape": sides(st.integers(1, 3)), "strides": sides(small),
        "dilations": sides(small), "padding": padding, "W_std": 1.3,
        "b_std": draw(st.sampled_from([0.0, 0.2])),
    }  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, tuple[int, int]]:
    """Networks whose windows are of every kind, and shapes of images."""
    padding = draw(st.sampled_from(["SAME", "VALID", "CIRCULAR"]))
    group = draw(st.sampled_from([None, *GROUPS]))
    alike = group is not None and point_group(group).swaps_axes
    words = [draw(slid(padding, alike)) for _ in range(draw(st.integers(1, 3)))]
    if group is None:
        layers: list[Any] = [Conv(**each) for each in words]
    else:
        layers = [Lift(**words[0], group=group), *(GroupConv(**each) for each in words[1:])]
    activations = draw(st.sampled_from([Relu(), LeakyRelu(alpha=0.3)]))
    layers = [each for layer in layers for each in (layer, activations)]
    readout = GlobalAvgPool() if group is None else GroupPool()
    shape = draw(st.tuples(st.integers(2, 5), st.integers(2, 5)))
    return Network([*layers, readout]), shape


@given(networks())
def test_slices_and_the_literal_recursion_agree(case: tuple[Network, tuple[int, int]]) -> None:
    net, shape = case
    x, y = np.random.default_rng(3).normal(size=(2, 2, *shape, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefntkWarning)
        try:
            right = kernel(net, x, y, method="literal")
            found = kernel(net, x, y, method="slices")
        except (ShapeError, NetworkError):
            return  # the windows do not fit
        except MethodError as error:
            assert "slices does not apply" in str(error)  # noqa: PT017
            return
        single = kernel(net, x, y, method="slices", dtype="float32")
    for kernel_of in ("nngp", "ntk"):
        one, two, three = (getattr(each, kernel_of) for each in (right, found, single))
        scale = np.abs(one).max()  # sums of both signs may be small
        np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-12 * scale)
        np.testing.assert_allclose(three, one, rtol=5e-6, atol=5e-6 * scale)


OBLONG = {
    "C4": [Lift((3, 3), group="C4", **RATES), Relu(), GroupConv((3, 3), **RATES), Relu()],
    "D4": [Lift((2, 2), group="D4", padding="VALID"), Relu(), GroupConv((1, 1)), Relu()],
    "strides": [Lift((3, 3), group="C4", strides=(3, 3)), Relu(), GroupConv((3, 3)), Relu()],
}


@pytest.mark.parametrize("name", OBLONG)
def test_images_that_are_not_square(name: str, assert_close: Close) -> None:
    """Own kernels, duplicates, near duplicates and turned images, after a Relu that shows them."""
    net = Network([*OBLONG[name], GroupPool(), *HEAD])
    x = np.random.default_rng(5).normal(size=(3, 9, 4, 2))
    x = np.stack([*x, x[0], x[1] + 1e-8, np.zeros_like(x[0])])
    found = kernel(net, x)
    right = kernel(net, x[:3], method="literal")
    away = ~np.eye(3, dtype=bool)  # of near duplicates the literal recursion loses digits
    for one, two in ((found.nngp, right.nngp), (found.ntk, right.ntk)):
        assert_close(one[:3, :3], two)
        assert_close(one[:3, 3:5][away[:, :2]], two[:, :2][away[:, :2]], tol=1e-7)
        assert_close(one[[0, 1], [3, 3]], one[[0, 1], [0, 0]])
        assert_close(one[1, 4], one[1, 1], tol=1e-6)
    turned = np.asarray(rotate(x, 1, point_group("C4")))
    again = kernel(net, turned)
    assert_close(again.nngp, found.nngp)
    assert_close(again.ntk, found.ntk)


def test_a_backend_that_cannot_says_which_layer_it_is() -> None:
    turned = Network([Lift((3, 3), group="C4"), Relu(), GroupPool()])
    dilated = Network([Conv((3, 3), dilations=(2, 1)), Relu(), GlobalAvgPool()])
    x = np.ones((1, 3, 4, 1))
    for net, reason in (
        (turned, r"layer 0 \(Lift\) turns images that are not square by 90 degrees"),
        (dilated, r"layer 0 \(Conv\) is dilated"),
    ):
        with pytest.raises(MethodError, match=rf"^the backend cupy cannot: {reason}; use the met"):
            kernel(net, x, backend="cupy", method="slices")
        with pytest.raises(MissingBackendError):  # the literal recursion was chosen
            kernel(net, x, backend="cupy")
    assert obstacle_of("numba", make_plan(turned, (3, 4, 1))) is None
    assert obstacle_of("cupy", make_plan(turned, (4, 4, 1))) is None
