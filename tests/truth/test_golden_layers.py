"""Every layer against numbers made elsewhere, by recursions, sampled networks and quadrature."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.errors import MethodError
from refntk.plan.reduction import METHODS

pytestmark = pytest.mark.usefixtures("one_machine_code")

GOLDEN = json.loads((Path(__file__).parent / "layers.json").read_text())
"""Cases in words of their own: ``network``, a number into ``images``, ``nngp`` and ``ntk``."""


def _linear(spec: dict[str, Any]) -> dict[str, Any]:
    same = "W_std", "b_std", "strides", "padding", "group", "mask", "rotations"
    words = dict(zip(same, same, strict=True))
    words |= {"lr": "learning_rate", "lr_bias": "learning_rate_bias"}
    known = {"type", "shape", "parameterization", "fan_in", *words}
    assert set(spec) <= known, f"no translation of {set(spec) - known}"
    # Below the last layer the width of a case is that of every layer.
    width = {"width": 64} if "fan_in" in spec else {}
    return {words[word]: spec[word] for word in words if word in spec} | width


def _arguments(spec: dict[str, Any], words: Sequence[str]) -> dict[str, float]:
    return dict(zip(words, spec.get("args", []), strict=False))


TRANSLATED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "Conv": lambda spec: refntk.Conv(tuple(spec["shape"]), **_linear(spec)),
    "Lift": lambda spec: refntk.Lift(tuple(spec["shape"]), **_linear(spec)),
    "GroupConv": lambda spec: refntk.GroupConv(tuple(spec["shape"]), **_linear(spec)),
    "Dense": lambda spec: refntk.Dense(**_linear(spec)),
    "Relu": lambda spec: refntk.Relu(),
    "LeakyRelu": lambda spec: refntk.LeakyRelu(alpha=spec["args"][0]),
    "Abs": lambda spec: refntk.Abs(),
    "Erf": lambda spec: refntk.Erf(**_arguments(spec, "abc")),
    "Gelu": lambda spec: refntk.Gelu(),
    "Sin": lambda spec: refntk.Sin(**_arguments(spec, "abc")),
    "Rbf": lambda spec: refntk.Rbf(**_arguments(spec, ["gamma"])),
    "Exp": lambda spec: refntk.Exp(**_arguments(spec, "ab")),
    "Gaussian": lambda spec: refntk.Gaussian(**_arguments(spec, "ab")),
    "ExpNormalized": lambda spec: refntk.ExpNormalized(**_arguments(spec, ["gamma"])),
    "Relu2": lambda spec: refntk.RectifiedMonomial(degree=2),
    "Sign": lambda spec: refntk.Sign(),
    "AvgPool": lambda spec: refntk.AvgPool(tuple(spec["shape"]), **_linear(spec)),
    "SumPool": lambda spec: refntk.SumPool(tuple(spec["shape"]), **_linear(spec)),
    "GlobalAvgPool": lambda spec: refntk.GlobalAvgPool(),
    "GlobalSumPool": lambda spec: refntk.GlobalSumPool(),
    "GroupPool": lambda spec: refntk.GroupPool(),
    "RotationPool": lambda spec: refntk.RotationPool(),
    "Flatten": lambda spec: refntk.Flatten(),
    "Sum": lambda spec: refntk.Residual(
        _layers(spec["branches"][0]), shortcut=_layers(spec["branches"][1])
    ),
    "Prod": lambda spec: refntk.Product([_layers(branch) for branch in spec["branches"]]),
    "LayerNorm": lambda spec: refntk.LayerNorm(),
    "Dropout": lambda spec: refntk.Dropout(spec["rate"]),
}
"""How each type of the file is said here."""


def _layers(specs: list[dict[str, Any]]) -> list[Any]:
    return [TRANSLATED[spec["type"]](spec) for spec in specs]


CASES = list(GOLDEN["cases"])

ROUGH = {("act-erf-large-variance", "ntk"): 2e-12}
"""What the file itself has less right than that: by 1.45e-12 between near duplicates."""


def _case(name: str) -> tuple[refntk.Network, Any, tuple[str, ...]]:
    """Network, images, and the kernels that there are."""
    case = GOLDEN["cases"][name]
    parameterization = "standard" if "fan_in" in case["network"][0] else "ntk"
    net = refntk.Network(_layers(case["network"]), parameterization=parameterization)
    get = ("nngp",) if case["ntk"] is None else ("nngp", "ntk")
    return net, np.array(GOLDEN["images"][case["images"]]), get


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", METHODS)
def test_golden_layers(name: str, method: str, assert_close: Callable[..., None]) -> None:
    net, images, get = _case(name)
    try:
        found = refntk.kernel(net, images, method=method, get=get)
    except MethodError:
        assert method != "literal"
        return
    for kernel in get:
        # The literal recursion loses digits of the NTK between an image and nearly the same one.
        tol = 1e-10 if method == "literal" and kernel == "ntk" else 1e-12
        right = np.array(GOLDEN["cases"][name][kernel])
        if (name, kernel) in ROUGH:
            right = getattr(refntk.certify(net, images), kernel).astype(float)
        assert_close(getattr(found, kernel), right, tol=tol)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if "group" in name else ()) for name in CASES],
)
def test_the_proof_has_the_numbers_of_the_file(
    name: str, assert_close: Callable[..., None]
) -> None:
    net, images, get = _case(name)
    proof = refntk.certify(net, images, get=get)
    for kernel in get:
        found = getattr(proof, kernel).astype(float)
        tol = ROUGH.get((name, kernel), 1e-12)
        assert_close(found, GOLDEN["cases"][name][kernel], tol=tol)
