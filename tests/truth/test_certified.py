"""Kernels with error radii: two routes, closed forms, and radii that enclose."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp

import refntk
from refntk.errors import InputError, MissingPackageError, NetworkError, ShapeError
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
from refntk.ops.groups import GROUPS
from refntk.recursion import propagate
from refntk.truth import balls
from refntk.truth.certified import Certified, certify, certify_entries, literal

Close = Callable[..., None]

ROUNDING = 2.0**-52
"""Largest relative radius: half of it is the rounding of the value to double."""


def lifted(group: str, padding: str = "SAME", bias: float = 0.0, depth: int = 1) -> list[Any]:
    layers: list[Any] = [Lift((3, 3), group=group, padding=padding, b_std=bias), Relu()]
    for _ in range(depth):
        layers += [
            GroupConv(
                (1, 1) if padding == "VALID" else (3, 3), padding=padding, W_std=1.3, b_std=bias
            ),
            Relu(),
        ]
    return layers


NETWORKS = {
    "C2": [*lifted("C2"), GroupPool(), Dense(W_std=1.5, b_std=0.2), Relu(), Dense()],
    "D1 wrapped": [*lifted("D1", "CIRCULAR", 0.3), GroupPool()],
    "C4 valid": [*lifted("C4", "VALID", 0.1), GroupPool(), Dense()],
    "D2 flat": [*lifted("D2", bias=0.1, depth=0), Flatten(), Dense()],
    "long filter": [Lift((1, 3), group="C4"), Relu(), GroupPool()],
    "strides": [
        Conv((2, 3), strides=(2, 1), b_std=0.1),
        Relu(),
        Conv((1, 2)),
        GlobalAvgPool(),
        Relu(),
    ],
    "wrapped strides": [Conv((2, 2), strides=(1, 3), padding="CIRCULAR"), Relu(), GlobalAvgPool()],
    "dense": [Flatten(), Dense(b_std=0.1), Relu(), Dense(W_std=2.0), Relu(), Dense()],
}

HARD = {
    "duplicate": lambda x: x.copy(),
    "near": lambda x: x * (1 + 1e-8 * np.sign(x[::-1])),
    "antipodal": lambda x: -x,
    "constant": lambda x: np.full_like(x, 0.7),
    "zero": np.zeros_like,
    "large": lambda x: 1e6 * x[:, ::-1],
}


def assert_encloses(certified: Certified, exact: dict[str, Any], slack: float = 0.0) -> None:
    """Each exact number, but for `slack` relative to it, is within the radius of its value."""
    for name, numbers in exact.items():
        values, radii = getattr(certified, name), getattr(certified, f"{name}_radius")
        assert values.shape == radii.shape == numbers.shape
        for place in np.ndindex(*numbers.shape):
            distance = abs(mp.mpf(values[place]) - numbers[place])
            allowed = mp.mpf(radii[place]) + slack * abs(numbers[place])
            assert distance <= allowed, (name, place, values[place], distance, radii[place])


def assert_tight(certified: Certified) -> None:
    for name in ("nngp", "ntk"):
        values, radii = getattr(certified, name), getattr(certified, f"{name}_radius")
        assert (radii <= ROUNDING * np.abs(values)).all(), (name, values, radii)


@pytest.mark.parametrize("name", NETWORKS)
def test_two_routes_agree(name: str, rng: np.random.Generator) -> None:
    net = Network(NETWORKS[name])
    x1, x2 = rng.normal(size=(1, 3, 3, 2)), rng.normal(size=(1, 3, 3, 2))
    with mp.workdps(60):
        for images in ((x1,), (x1, x2)):
            certified = certify(net, *images)
            assert_encloses(certified, literal(net, *images), slack=1e-40)
            assert_tight(certified)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
def test_two_routes_agree_for_all_groups(
    group: str, padding: str, rng: np.random.Generator
) -> None:
    net = Network([*lifted(group, padding, 0.1), GroupPool(), Dense(), Relu(), Dense()])
    images = rng.normal(size=(2, 3, 3, 2))
    with mp.workdps(60):
        assert_encloses(certify(net, images), literal(net, images), slack=1e-40)


@pytest.mark.parametrize("case", HARD)
def test_two_routes_agree_on_hard_images(case: str, rng: np.random.Generator) -> None:
    net = Network([*lifted("C2"), GroupPool(), Dense(), Relu(), Dense()])
    x = rng.normal(size=(1, 2, 2, 1))
    other = HARD[case](x)
    certified = certify(net, x, other)
    with mp.workdps(60):
        # Where the correlation is 1 the literal recursion keeps half of its digits.
        assert_encloses(certified, literal(net, x, other), slack=1e-22)
    assert_tight(certified)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
def test_certified_kernels_are_those_of_refntk(
    group: str, padding: str, rng: np.random.Generator, assert_close: Close
) -> None:
    net = Network([*lifted(group, padding, 0.1), GroupPool(), Dense(), Relu(), Dense()])
    x1, x2 = rng.normal(size=(1, 3, 3, 2)), rng.normal(size=(1, 3, 3, 2))
    certified, right = certify(net, x1, x2), refntk.kernel(net, x1, x2)
    assert_close(right.nngp, certified.nngp)
    assert_close(right.ntk, certified.ntk)


def test_a_kernel_in_closed_form() -> None:
    # Orthogonal pixels of equal variance v = 1/2: K = v / (2 pi), Theta = 0; then Dense.
    x1, x2 = np.array([[[[1.0, 0.0]]]]), np.array([[[[0.0, 1.0]]]])
    net = Network([Conv((1, 1)), Relu(), GlobalAvgPool(), Dense(W_std=3.0)])
    with mp.workdps(60):
        value = np.array([[9 / (4 * mp.pi)]], object)
        certified = certify(net, x1, x2)
        assert_encloses(certified, {"nngp": value, "ntk": value}, slack=1e-50)
        assert_tight(certified)
        # With itself: K = v / 2, Theta = v / 2.
        value = np.array([[mp.mpf(9) / 4]], object)
        itself = certify(net, x1)
        assert_encloses(itself, {"nngp": value, "ntk": 2 * value})
        assert itself.nngp_radius == 0


def test_radii_enclose_at_low_precision(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(1, 3, 3, 2))
    for name, layers in NETWORKS.items():
        net = Network(layers)
        for other in (x[:, ::-1].copy(), x.copy(), -x, 1.001 * x):
            certified = certify(net, x, other)
            for bits in (30, 60):
                with monkeypatch.context() as patch:
                    patch.setattr(balls, "PRECISION", bits)
                    rough = certify(net, x, other)
                for kernel in ("nngp", "ntk"):
                    value, radius = getattr(rough, kernel), getattr(rough, f"{kernel}_radius")
                    distance = np.abs(value - getattr(certified, kernel))
                    # Both values are rounded.
                    allowed = radius + getattr(certified, f"{kernel}_radius")
                    assert (distance <= allowed).all(), (name, kernel, bits)
                    if bits == 30:
                        assert (radius > 1e-11 * np.abs(value)).all()
                        assert (radius < 1e-2).all()


def test_a_variance_that_may_be_zero(rng: np.random.Generator) -> None:
    # The mean of features that cancel: no ball says whether it is zero, and none is wrong.
    x = np.array([[[[1.0], [-1.0]]]])
    net = Network([Conv((1, 1)), GlobalAvgPool(), Relu(), Dense()])
    for other in (x, x / 3, rng.normal(size=x.shape)):
        certified = certify(net, x, other)
        assert certified.nngp == pytest.approx(0, abs=1e-100)
        assert (np.abs(certified.nngp) <= certified.nngp_radius).all()
        assert (certified.nngp_radius < 1e-50).all()


def test_one_kernel_and_symmetry(rng: np.random.Generator) -> None:
    net, x = Network(NETWORKS["C2"]), rng.normal(size=(3, 2, 2, 1))
    both = refntk.certify(net, x)
    assert np.array_equal(both.ntk, both.ntk.T)
    assert np.array_equal(both.nngp_radius, both.nngp_radius.T)
    for name, other in (("nngp", "ntk"), ("ntk", "nngp")):
        alone = certify(net, x, get=name)
        assert np.array_equal(getattr(alone, name), getattr(both, name))
        assert getattr(alone, other) is None
        assert getattr(alone, f"{other}_radius") is None
        assert list(literal(net, x[:1], get=name, digits=20)) == [name]


@pytest.mark.parametrize("name", ["grid", "C2", "C4 valid"])
@pytest.mark.parametrize("cross", [False, True])
def test_entries_before_a_readout(
    name: str, cross: bool, rng: np.random.Generator, assert_close: Close
) -> None:
    grid = [Conv((2, 3), b_std=0.2), Relu(), Conv((3, 3), strides=(2, 1))]
    net = Network(grid if name == "grid" else NETWORKS[name][:3])
    x1 = rng.normal(size=(2, 3, 3, 2))
    x2 = rng.normal(size=(3, 3, 3, 2)) if cross else None
    found = certify_entries(net, x1, x2)
    plain = propagate(net, x1, x2)
    assert_close(found.nngp, plain.nngp, floor=1e-2)
    assert_close(found.ntk, plain.ntk, floor=1e-2)
    assert_tight(found)


def test_entries_need_a_network_without_readout() -> None:
    with pytest.raises(NetworkError, match=r"^layer 7 \(Flatten\): needs a grid"):
        certify_entries(Network(NETWORKS["C2"][:-1]), np.ones((1, 3, 3, 1)))


def test_integer_images_are_scaled(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, size=(2, 2, 2, 1), dtype=np.uint8)
    net = Network(NETWORKS["C2"])
    assert np.array_equal(certify(net, pixels).ntk, certify(net, pixels / 255).ntk)


def test_digits_are_kept(rng: np.random.Generator) -> None:
    net, x = Network([Conv((2, 2)), Relu(), GlobalAvgPool()]), rng.normal(size=(2, 2, 2, 1))
    with mp.workdps(100):
        few, many = (literal(net, x, digits=digits)["ntk"] for digits in (30, 80))
        errors = [abs(a / b - 1) for a, b in zip(few.ravel(), many.ravel(), strict=True)]
        assert 1e-40 < max(errors) < 1e-28
    assert mp.dps == 15


@pytest.mark.parametrize("function", [certify, literal])
def test_arguments_are_checked(function: Callable[..., Any]) -> None:
    net, x = Network(NETWORKS["C2"]), np.ones((1, 3, 3, 1))
    with pytest.raises(InputError, match='^unknown kernel "NTK"'):
        function(net, x, get="NTK")
    with pytest.raises(InputError, match="^X2: its images have the shape"):
        function(net, x, np.ones((1, 3, 2, 1)))
    with pytest.raises(InputError, match="^X1: image 0 has NaN"):
        function(net, x * np.nan)
    with pytest.raises(NetworkError, match="has no kernel for a pair"):
        function(Network([Conv((3, 3))]), x)
    with pytest.raises(ShapeError, match="^layer 0"):
        function(Network(NETWORKS["C4 valid"]), np.ones((1, 1, 1, 1)))


@pytest.mark.parametrize("digits", [0, -3, 1.5, True, "many"])
def test_a_wrong_number_of_digits(digits: Any) -> None:
    message = f"^digits: expected a positive whole number, not {re.escape(repr(digits))}$"
    with pytest.raises(InputError, match=message):
        literal(Network(NETWORKS["C2"]), np.ones((1, 2, 2, 1)), digits=digits)


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = Network(NETWORKS["C2"]), np.ones((1, 2, 2, 1))
    monkeypatch.delitem(sys.modules, "refntk.truth.balls")
    monkeypatch.setitem(sys.modules, "flint", None)
    monkeypatch.setitem(sys.modules, "mparray", None)
    message = r'^error radii need python-flint; install it with pip install "refntk\[oracle\]"$'
    with pytest.raises(MissingPackageError, match=message):
        certify(net, x)
    message = r'^evaluation with many digits needs mparray; .* "refntk\[oracle\]"$'
    with pytest.raises(MissingPackageError, match=message):
        literal(net, x)
