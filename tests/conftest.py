"""Fixtures that all tests share: seeded random numbers, and one way to compare arrays."""

from __future__ import annotations

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

def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile what most tests need once, side by side, before several processes begin to test.

    Each of them would do it for itself, since none finds the other's machine code on disk yet.
    """
    parallel = getattr(session.config.option, "numprocesses", None)
    if parallel and session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        from refntk.backends.numba.warm_up import pieces, warm_up

        for _ in warm_up(pieces(others=True), parallel):
            pass


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same at every run of a test and differ between tests."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture
def one_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile one function for activations of all kinds, in the place of one for each network."""
    from refntk.backends.numba import branch_tables
    from refntk.backends.numba.functions import FUNCTIONS
    from refntk.backends.numba.parameters import Parameters

    names = tuple(sorted({*FUNCTIONS, "series", "power 2", "power 3"}))
    monkeypatch.setattr(Parameters, "names", names)
    monkeypatch.setattr(branch_tables, "row_functions", lambda body: names)


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
