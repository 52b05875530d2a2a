"""Fixtures that all tests share: seeded random numbers, and one way to compare arrays."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("refntk", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("refntk")

TOLERANCES = {"float64": 1e-12, "float32": 5e-6}
"""Largest relative error by the precision of what is tested, where a test names none."""

_COMPILE = """if True:
    import sys, numpy, refntk
    net = refntk.Network([refntk.Conv((3, 3)), refntk.Relu(), refntk.GlobalAvgPool()])
    for get in ("ntk", "nngp"):
        refntk.kernel(net, numpy.ones((1, 3, 3, 1)), get=get, dtype=sys.argv[1])
    if sys.argv[1] == "float64":
        pooled = [net.layers[0], net.layers[1], refntk.AvgPool((2, 2)), *net.layers]
        refntk.kernel(pooled, numpy.ones((1, 3, 3, 1)))
"""


_COMPILE_ACTIVATIONS = """if True:
    import numpy, refntk
    from refntk.backends.numba.functions import FUNCTIONS
    from refntk.backends.numba.parameters import Parameters
    Parameters.names = tuple(sorted({*FUNCTIONS, "series", "power 2", "power 3"}))
    net = refntk.Network([refntk.Conv((3, 3)), refntk.Gelu(), refntk.GlobalAvgPool()])
    for get in ("ntk", "nngp"):
        refntk.kernel(net, numpy.ones((1, 3, 3, 1)), get=get)
"""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile each precision once, side by side, before several processes begin to test.

    Each of them would do it for itself, since none finds the other's machine code on disk yet.
    """
    parallel = getattr(session.config.option, "numprocesses", None)
    if parallel and session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        programs = [[_COMPILE, dtype] for dtype in TOLERANCES] + [[_COMPILE_ACTIVATIONS]]
        running = [subprocess.Popen([sys.executable, "-P", "-c", *each]) for each in programs]
        for process in running:
            process.wait()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same at every run of a test and differ between tests."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture
def one_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile one function for activations of all kinds, in the place of one for each network."""
    from refntk.backends.numba.functions import FUNCTIONS
    from refntk.backends.numba.parameters import Parameters

    names = tuple(sorted({*FUNCTIONS, "series", "power 2", "power 3"}))
    monkeypatch.setattr(Parameters, "names", names)


@pytest.fixture(scope="session")
def assert_close() -> Callable[..., None]:
    """Compare two arrays entry by entry; a failure tells the largest relative error and its place.

    ``assert_close(actual, desired, tol=None, floor=0.0)``: errors are relative to the desired
    entry, or to `floor` times the largest one where that is more; `tol` is by default that of the
    precision of `actual`.
    """
    return _assert_close


def _assert_close(actual: Any, desired: Any, tol: float | None = None, floor: float = 0.0) -> None:
    actual, desired = np.asarray(actual), np.asarray(desired)
    limit = TOLERANCES[str(actual.dtype)] if tol is None else tol
    if actual.shape != desired.shape:
        pytest.fail(f"shapes differ: {actual.shape} instead of {desired.shape}")
    if actual.size == 0:
        pytest.fail("nothing to compare")
    difference = np.abs(actual.astype(np.float64) - desired.astype(np.float64))
    scale = np.maximum(np.abs(desired), floor * np.max(np.abs(desired)))
    relative = np.full(difference.shape, np.inf)
    np.divide(difference, scale, out=relative, where=scale > 0)
    relative[difference == 0] = 0.0
    relative[~np.isfinite(difference)] = np.inf
    worst = np.unravel_index(np.argmax(relative), relative.shape)
    if not relative[worst] <= limit:
        pytest.fail(
            f"largest relative error {relative[worst]:.3g} > {limit:.3g} at "
            f"{tuple(int(i) for i in worst)}: {actual[worst]!r} instead of {desired[worst]!r}; "
            f"{np.count_nonzero(relative > limit)} of {relative.size} entries are too far"
        )
