"""Every name of CuPy that the code uses exists in the real CuPy, and is called as it may be."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cpu_cupy
import pytest

import refntk.backends.cupy.device
import refntk.backends.cupy.engine
import refntk.backends.cupy.peak
import refntk.backends.cupy.source
import refntk.backends.cupy.work
import refntk.backends.literal
import refntk.evaluation.residence
import refntk.ops.exact
import refntk.ops.groups
import refntk.ops.rectifiers
import refntk.recursion.formulas
import refntk.recursion.literal

pytestmark = pytest.mark.cuda_on_host

LITERAL = [
    refntk.recursion.formulas,
    refntk.recursion.literal,
    refntk.ops.exact,
    refntk.ops.rectifiers,
    refntk.ops.groups,
    refntk.backends.literal,
]
BACKEND = [
    refntk.backends.cupy.engine,
    refntk.backends.cupy.device,
    refntk.backends.cupy.peak,
    refntk.backends.cupy.source,
    refntk.backends.cupy.work,
    refntk.evaluation.residence,
]


def tree_of(module: ModuleType) -> ast.AST:
    return ast.parse(Path(str(module.__file__)).read_text())


def chain(node: ast.AST) -> tuple[ast.AST, list[str]]:
    """Split ``a.b.c`` into ``a`` and ``["b", "c"]``."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return node, names


def is_namespace(node: ast.AST, names: list[str]) -> bool:
    """Whether a chain begins at a namespace: ``xp``, ``self._xp``, ``array_namespace(x)``."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "array_namespace"
    return isinstance(node, ast.Name) and (
        node.id in ("xp", "cupy") or (node.id == "self" and names[:1] in (["_xp"], ["_cupy"]))
    )


def used(modules: list[ModuleType]) -> Iterator[tuple[tuple[str, ...], ast.Call | None]]:
    """Names that code takes from the namespace, each with the call if it is called."""
    for module in modules:
        tree = tree_of(module)
        calls = {id(call.func): call for call in ast.walk(tree) if isinstance(call, ast.Call)}
        inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or id(node) in inner:
                continue
            root, names = chain(node)
            if not is_namespace(root, names):
                continue
            if isinstance(root, ast.Name) and root.id == "self":
                names = names[1:]
            if names:
                yield tuple(names), calls.get(id(node))


def resolve(namespace: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        namespace = getattr(namespace, name)
    return namespace


def check_call(function: Any, call: ast.Call) -> None:
    keywords = [keyword.arg for keyword in call.keywords]
    assert None not in keywords
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        pytest.fail("this test does not understand *arguments")
    if hasattr(function, "nin"):  # a ufunc
        assert len(call.args) == function.nin
        assert set(keywords) <= {"out", "dtype", "casting"}
    elif isinstance(function, type) and function.__text_signature__ is None:
        # A class of compiled code: its arguments are in its docstring.
        signature = inspect.getdoc(function).split("\n")[0]
        assert all(f"{keyword}=" in signature for keyword in keywords)
    else:
        arguments = dict.fromkeys(keywords)
        inspect.signature(function).bind(*[None] * len(call.args), **arguments)


def test_the_literal_recursion_is_in_array_api_compat() -> None:
    import array_api_compat.cupy as namespace

    seen = set()
    for names, call in used(LITERAL):
        function = resolve(namespace, names)
        seen.add(names)
        if call is not None:
            check_call(function, call)
    assert {("acos",), ("permute_dims",), ("eye",), ("isdtype",), ("flip",)} <= seen


def test_the_backend_is_in_cupy() -> None:
    import cupy

    seen = set()
    for names, call in used(BACKEND):
        thing = resolve(cupy, names)
        seen.add(names)
        if call is not None and not isinstance(thing, type(len)):
            check_call(thing, call)
    assert {("RawModule",), ("empty",), ("cuda", "Device"), ("asnumpy",)} <= seen
    assert ("cuda", "memory", "OutOfMemoryError") in seen


def test_what_the_stand_in_has_is_in_cupy() -> None:
    import cupy

    names = {
        name
        for name, thing in vars(cpu_cupy).items()
        if getattr(thing, "__module__", None) == "cpu_cupy" and not name.startswith("_")
    }
    errors = {name for name in names if name.endswith(("Error", "Exception"))}
    for name in names - errors - {"Settings", "settings", "Device"}:
        assert hasattr(cupy, name), name
    for name in ("get", "set", "device", "view", "fill", "reshape", "__getitem__", "__len__"):
        assert hasattr(cupy.ndarray, name), name
    for part, things in vars(cpu_cupy.cuda).items():
        for name in (
            vars(things) if part != "Device" else ("attributes", "id", "compute_capability")
        ):
            assert hasattr(getattr(cupy.cuda, part), name), (part, name)
    for name in cpu_cupy.ATTRIBUTES:
        # The attributes of a device are made from these.
        assert hasattr(cupy.cuda.runtime, f"cudaDevAttr{name}")
    assert "shared_mem=0" in cupy.RawKernel.__call__.__doc__
    assert hasattr(cupy.RawKernel, "max_dynamic_shared_size_bytes")
    assert hasattr(cupy.RawModule, "get_function")
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert issubclass(cupy.cuda.driver.CUDADriverError, RuntimeError)
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)


def test_cupy_says_what_is_missing_here() -> None:
    # The real CuPy, on a machine that may or may not have a driver.
    import cupy

    from refntk.backends import require
    from refntk.errors import MissingBackendError

    if cupy.cuda.runtime.driverGetVersion() == 0:
        message = "^the backend cupy cannot be used here: there is no NVIDIA driver: install one"
        with pytest.raises(MissingBackendError, match=message):
            require("cupy")
    else:
        require("cupy")


@pytest.mark.parametrize(
    "code",
    [
        "xp.permute_dims(x, order=(1, 0))",
        "xp.acos(x, y)",
        "xp.acos(x, where=y)",
        "xp.mean(x, axes=1)",
        "xp.RawModule(source=x)",
    ],
)
def test_a_wrong_call_is_noticed(code: str) -> None:
    import cupy

    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    _, names = chain(call.func)
    with pytest.raises((AssertionError, TypeError)):
        check_call(resolve(cupy, tuple(names)), call)
