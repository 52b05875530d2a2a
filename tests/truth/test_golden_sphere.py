"""Networks on SO(3) and SO(2) against numbers made elsewhere, to the error that is stated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refntk
from refntk import sphere

GOLDEN = json.loads((Path(__file__).parent / "groups.json").read_text())

ACTIVATIONS = {"relu": refntk.Relu, "erf": refntk.Erf}


def signals(name: str) -> np.ndarray:
    pairs = np.array(GOLDEN["so3"][name])
    return (pairs[..., 0] + 1j * pairs[..., 1])[None]


def network(name: str) -> list[Any]:
    """From a name such as ``SO(3) L=4 (f,g) erf2, hidden filters band-limited to l<4``."""
    word = name.split(") ")[2].split(",")[0].split()[0]
    act, depth = ACTIVATIONS[word[:-1]], int(word[-1])
    band = 4 if "band-limited to l<4" in name else None
    hidden = [sphere.GlobalConv(band=band), act()] * (depth - 1)
    return [sphere.SphereLift(), act(), *hidden, refntk.GroupPool()]


def assert_within(
    k: sphere.GlobalKernel, case: dict[str, float], scales: tuple[float, ...]
) -> None:
    for name, scale in zip(("nngp", "ntk"), scales, strict=True):
        error = abs(float(k.kernels[name][0, 0]) - case[name]) / scale
        # Beside what is stated there are the roundings of both, and the digits of the number.
        said = k.error[name]
        assert error <= said + 1e-14, f"{name}: off by {error:.3g}, said {said:.3g}"


@pytest.mark.parametrize("nodes", [5, 8, 16])
@pytest.mark.parametrize("case", GOLDEN["so3"]["cases"], ids=lambda case: case["name"])
def test_networks_on_rotations(case: dict[str, Any], nodes: int) -> None:
    net = network(case["name"])
    f, g = signals("f"), signals("f" if "(f,f)" in case["name"] else "g")
    own = [sphere.kernel(net, x, nodes=32) for x in (f, g)]
    scales = tuple(
        float(np.sqrt(own[0].kernels[name][0, 0] * own[1].kernels[name][0, 0]))
        for name in ("nngp", "ntk")
    )
    assert_within(sphere.kernel(net, f, g, nodes=nodes), case, scales)


@pytest.mark.parametrize("case", GOLDEN["so3"]["cases"][:3], ids=lambda case: case["name"])
def test_the_quadrature_converges(case: dict[str, Any], assert_close: Any) -> None:
    k = sphere.kernel(network(case["name"]), signals("f"), signals("g"), nodes=32)
    assert_close(k.nngp, [[case["nngp"]]])
    assert_close(k.ntk, [[case["ntk"]]])


def test_a_network_on_a_circle(assert_close: Any) -> None:
    (case,) = (each for each in GOLDEN["other"] if "SO(2)" in each["label"])
    phi = 2 * np.pi * np.arange(7) / 7
    waves = [wave(k * phi) for k in (1, 2, 3) for wave in (np.cos, np.sin)]
    columns = np.stack([np.ones(7), *waves], axis=1)
    x = columns @ np.random.default_rng(0).normal(size=(2, 7, 2))
    net = [sphere.CircleLift(), refntk.Erf(), sphere.GlobalConv(), refntk.Erf(), refntk.GroupPool()]
    k = sphere.kernel(net, x[:1], x[1:], nodes=64)
    assert_close(k.nngp, [[case["nngp"]]], tol=1e-11)  # its own error against 256 angles is 2e-11
    assert_close(k.ntk, [[case["ntk"]]], tol=1e-11)
