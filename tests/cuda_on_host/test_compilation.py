"""The CUDA sources, compiled by NVRTC as CuPy does it: for an A100 and an H100, without either."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from refntk.backends.cupy.geometry import HELD_THREADS, MARCH_THREADS, SWEEP_THREADS
from refntk.backends.cupy.source import OPTIONS, source, specializations

pytestmark = pytest.mark.cuda_on_host

ADDED_BY_CUPY = ("-ftz=true", "--device-as-default-execution-space")
EXPRESSIONS = sorted(
    {
        expression
        for dtype in ("float32", "float64")
        for ntk in (True, False)
        for side in (0, 1, 3, 5)
        for padding in ("SAME", "VALID", "CIRCULAR")
        for usual in (True, False)
        if (side, padding) != (1, "VALID")  # counts as SAME
        for expression in specializations(dtype, ntk, side, padding, usual).values()
    }
)


@cache
def compiled(architecture: str) -> tuple[bytes, dict[str, str]]:
    """Return the machine code, and for each kernel what the assembler says about it."""
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(source(), "refntk.cu", (), ())
    for expression in EXPRESSIONS:
        nvrtc.addNameExpression(program, expression)
    options = (f"-arch={architecture}", *OPTIONS, *ADDED_BY_CUPY, "--ptxas-options=-v")
    try:
        nvrtc.compileProgram(program, options)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    log = nvrtc.getProgramLog(program)
    assert "warning" not in log, log
    parts = re.split(r"Compiling entry function '(\w+)' for '(\w+)'", log)
    assert set(parts[2::3]) == {architecture}
    said = dict(zip(parts[1::3], parts[3::3], strict=True))
    names = {nvrtc.getLoweredName(program, e): e for e in EXPRESSIONS}
    assert set(said) == set(names)
    return nvrtc.getCUBIN(program), {names[name]: text for name, text in said.items()}


def number(pattern: str, text: str) -> int:
    (found,) = re.findall(pattern, text)
    return int(found)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_it_compiles_to_machine_code(architecture: str) -> None:
    code, said = compiled(architecture)
    assert code[:4] == b"\x7fELF"
    assert sorted(said) == EXPRESSIONS


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_nothing_spills(expression: str, architecture: str) -> None:
    _, said = compiled(architecture)
    text = said[expression]
    assert number(r"(\d+) bytes stack frame", text) == 0
    assert number(r"(\d+) bytes spill stores", text) == 0
    assert number(r"(\d+) bytes spill loads", text) == 0
    threads = MARCH_THREADS if "march" in expression else SWEEP_THREADS
    assert registers(text) * threads <= 2**16


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("expression", [e for e in EXPRESSIONS if "march" in e])
def test_registers_leave_room_for_the_threads_that_hide_latency(
    expression: str, architecture: str
) -> None:
    used = registers(compiled(architecture)[1][expression])
    held = HELD_THREADS[4 if "float" in expression else 8]
    assert -(-used // 8) * 8 * held <= 2**16  # they are given out in eights


def test_the_table_of_registers_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    rows = re.findall(r"^\| `(march|sweep)<(.+?)>` \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    told = {f"{name}<{arguments}>": (int(a), int(b)) for name, arguments, a, b in rows}
    assert len(told) == 12
    for expression, used in told.items():
        for architecture, count in zip(("sm_80", "sm_90"), used, strict=True):
            # Compilers differ by a few registers.
            assert abs(registers(compiled(architecture)[1][expression]) - count) <= 8


def registers(text: str) -> Any:
    return number(r"Used (\d+) registers", text)
