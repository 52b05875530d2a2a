"""Where the conformance suite runs: the CUDA sources on this host, or a graphics processor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import cpu_cupy
import pytest

from refntk.backends.cupy import source
from refntk.backends.cupy.device import usable_cupy


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put the stand-in in the place of CuPy; its settings may be changed."""
    monkeypatch.setitem(sys.modules, "cupy", cpu_cupy)
    monkeypatch.setattr(cpu_cupy, "settings", cpu_cupy.Settings())
    source.compiled.cache_clear()
    yield cpu_cupy
    source.compiled.cache_clear()


@pytest.fixture(
    params=[
        pytest.param("host", marks=pytest.mark.cuda_on_host),
        pytest.param("gpu", marks=pytest.mark.gpu),
    ]
)
def device(request: pytest.FixtureRequest) -> Any:
    """CuPy, or what stands in for it."""
    if request.param == "host":
        return request.getfixturevalue("host")
    return usable_cupy()
