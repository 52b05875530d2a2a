"""The registry of backends, and the literal recursion as a backend."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest

import refntk
from refntk import backends
from refntk.backends import Setting, available_backends, engine, methods_of, require
from refntk.backends.literal import LiteralEngine
from refntk.errors import (
    InputError,
    MethodError,
    MissingBackendError,
    UnknownBackendError,
    unknown,
)
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.network import Network
from refntk.network.layers import Conv, Dense, GlobalAvgPool, GroupPool, Lift, Relu
from refntk.plan.reduction import METHODS, make_plan
from refntk.recursion import propagate

Close = Callable[..., None]

LOCAL = {"numba": ("slices", "band", "branches", "orbits", "literal"), "numpy": ("literal",)}
"""Methods of the backends that every machine has."""

NETWORK = Network(
    [Lift((3, 3), group="C2", b_std=0.1), Relu(), GroupPool(), Dense(), Relu(), Dense()]
)

PLAN = make_plan(NETWORK, (3, 3, 1))


@pytest.mark.parametrize("name", LOCAL)
def test_backends_are_found_by_name(name: str) -> None:
    assert name in available_backends()
    assert methods_of(name) == LOCAL[name]
    assert set(LOCAL[name]) <= set(METHODS)
    require(name)


@pytest.mark.parametrize("name", ["Numba", "torch", None])
def test_a_backend_that_does_not_exist(name: Any) -> None:
    message = re.escape(unknown("backend", name, available_backends()))
    for ask in (methods_of, require, lambda name: engine(name, Setting(PLAN))):
        with pytest.raises(UnknownBackendError, match=f"^{message}$"):
            ask(name)
    with pytest.raises(UnknownBackendError, match=f"^{message}$"):
        refntk.kernel(NETWORK, np.ones((1, 3, 3, 1)), backend=name)


def test_the_nearest_backend_is_suggested() -> None:
    message = r'^unknown backend "Numba" \(did you mean "numba"\?\); known: numba, numpy'
    with pytest.raises(UnknownBackendError, match=message):
        methods_of("Numba")


def test_a_backend_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends.ENGINES, ("ghost", "slices"), "refntk.no_such_module")
    monkeypatch.setitem(backends._INSTALL, "ghost", "pip install it")
    message = (
        r"^the backend ghost cannot be used here \(No module named 'refntk.no_such_module'\); "
        "to install what it needs: pip install it$"
    )
    with pytest.raises(MissingBackendError, match=message) as info:
        engine("ghost", Setting(PLAN))
    assert isinstance(info.value, ImportError)
    assert isinstance(info.value.__cause__, ImportError)


def test_without_numba() -> None:
    # In a process of its own: what Numba has compiled here cannot be unloaded.
    program = """
import sys
sys.modules["numba"] = None
import numpy as np
import refntk
net = refntk.Network([refntk.Conv((3, 3)), refntk.GlobalAvgPool()])
assert refntk.kernel(net, np.ones((1, 3, 3, 1)), backend="numpy").nngp > 0
try:
    refntk.kernel(net, np.ones((1, 3, 3, 1)))
except refntk.MissingBackendError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("the backend numba cannot be used here (import of numba halted")
    assert done.stdout.endswith("); to install what it needs: pip install refntk\n")


def test_backends_are_imported_when_they_are_asked_for() -> None:
    program = "import sys, refntk.evaluation.evaluate; print('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


# ---------------------------------------------------------------------------------------------
# The literal recursion.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_literal_recursion_is_that_of_the_theory(
    dtype: str, rng: np.random.Generator
) -> None:
    x1, x2 = rng.normal(size=(3, 3, 4, 2)), rng.normal(size=(4, 3, 4, 2))
    net = Network(NETWORK.layers[:3])
    for name in LOCAL:
        arguments = {"dtype": dtype, "backend": name, "method": "literal"}
        result = refntk.kernel(net, x1, x2, **arguments)
        right = propagate(net, x1.astype(dtype), x2.astype(dtype))
        assert np.array_equal(result.nngp, right.nngp)
        assert np.array_equal(result.ntk, right.ntk)
        assert result.nngp.dtype == result.ntk.dtype == dtype


def test_the_literal_recursion_through_a_head(
    rng: np.random.Generator, assert_close: Close
) -> None:
    x1, x2 = rng.normal(size=(3, 3, 4, 2)), rng.normal(size=(4, 3, 4, 2))
    for images in ((x1,), (x1, x2)):
        result = refntk.kernel(NETWORK, *images, backend="numpy")
        right = propagate(NETWORK, *images)
        assert_close(result.nngp, right.nngp)
        assert_close(result.ntk, right.ntk)


def test_pairs_go_through_the_literal_recursion_in_batches(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    images = rng.normal(size=(5, 3, 4, 2))
    result = refntk.kernel(NETWORK, images, backend="numpy")
    monkeypatch.setattr("refntk.backends.literal._BYTES_A_BATCH", 2 * 8 * (2 * 12) ** 2)
    batched = refntk.kernel(NETWORK, images, backend="numpy")
    assert np.array_equal(batched.nngp, result.nngp)
    assert np.array_equal(batched.ntk, result.ntk)


def test_any_array_namespace(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    images = rng.normal(size=(3, 3, 4, 2))
    right = refntk.kernel(NETWORK, images, backend="numpy")
    monkeypatch.setattr(
        "refntk.evaluation.evaluate.engine",
        lambda name, setting: LiteralEngine(setting, array_api_strict),
    )
    for tile in (1, 3):
        result = refntk.kernel(NETWORK, images, backend="numpy", tile=tile)
        assert np.array_equal(result.nngp, right.nngp)
        assert np.array_equal(result.ntk, right.ntk)


@pytest.mark.parametrize(("group", "side", "size"), [("C1", 182, 8), ("D4", 80, 20)])
def test_images_too_large_for_the_literal_recursion(group: str, side: int, size: int) -> None:
    layers = [Lift((3, 3), group=group), GroupPool()]
    images = np.zeros((2, side, side, 1))
    message = (
        f"^the literal recursion would need {size} GiB for one pair of {side}x{side} images: "
        "use smaller images, or a network and a backend that allow the method slices$"
    )
    for name in LOCAL:
        job = Job(Network(layers), images, options=Options(backend=name, method="literal"))
        with pytest.raises(MethodError, match=message):
            job.block(job.tiles[0])


def test_the_limit_of_the_literal_recursion() -> None:
    net = Network([Conv((3, 3)), GlobalAvgPool()])
    fits, fails = (
        engine("numpy", Setting(make_plan(net, (side, side, 1), "literal"), "float32"))
        for side in (181, 182)
    )
    assert fits.prepare(np.zeros((1, 181, 181, 1))).dtype == np.float32
    with pytest.raises(MethodError, match="the literal recursion would need 8 GiB"):
        fails.prepare(np.zeros((1, 182, 182, 1)))


def test_numba_without_compiling_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    message = r"^NUMBA_DISABLE_JIT is set.*unset it.*--backend numpy"
    for ask in (require, lambda name: engine(name, Setting(PLAN))):
        with pytest.raises(InputError, match=message):
            ask("numba")
    require("numpy")
