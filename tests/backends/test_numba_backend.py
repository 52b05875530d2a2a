"""The Numba backend: bitwise repeatable, on any number of threads, and compiled as intended."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from numba import types

import refntk
from refntk import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Kernel,
    Lift,
    Network,
    Relu,
)
from refntk.backends import Setting
from refntk.backends.arccos import ANGLE, SEGMENT
from refntk.backends.numba import engine, lanes
from refntk.backends.numba.careful import careful_row_function
from refntk.backends.numba.rows import row_function
from refntk.backends.numba.slices import block_sums, fast_sums
from refntk.backends.table import NONNEGATIVE, SIGNED
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.plan.reduction import make_plan

NETWORKS = {
    "group": [Lift((3, 3), group="C4", b_std=0.1), Relu(), GroupConv((3, 3)), Relu(), GroupPool()],
    "group with a head": [
        *[
            Lift((3, 3), group="D4"),
            Relu(),
            GroupConv((1, 1)),
            GroupPool(),
            Dense(),
            Relu(),
            Dense(),
        ]
    ],
    "circular": [Conv((3, 2), padding="CIRCULAR"), Relu(), Conv((1, 3), padding="CIRCULAR")]
    + [Relu(), GlobalAvgPool(), Dense(b_std=0.1), Relu(), Dense(), Relu()],
    "strides": [
        Conv((4, 3), strides=(2, 1)),
        Conv((2, 3), padding="VALID"),
        Relu(),
        GlobalAvgPool(),
    ],
    "flatten": [Conv((3, 3)), Relu(), Flatten(), Dense(), Relu(), Dense()],
    "perceptron": [Flatten(), Dense(b_std=0.5), Relu(), Dense()],
}


def same(one: Kernel, two: Kernel) -> bool:
    """Whether two results agree to the last bit."""
    return np.array_equal(one.nngp, two.nngp) and np.array_equal(one.ntk, two.ntk)


# ---------------------------------------------------------------------------------------------
# The result depends on nothing but the network and the two images.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["slices", "literal"])
@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_and_threads_change_no_bit(
    name: str, method: str, dtype: str, rng: np.random.Generator
) -> None:
    net = Network(NETWORKS[name])
    x1, x2 = rng.normal(size=(11, 5, 5, 2)), rng.normal(size=(7, 5, 5, 2))
    if method == "literal":
        x1, x2 = x1[:5, :3, :3], x2[:3, :3, :3]
    x1[3] = x1[0]  # equal images in unequal tiles
    for images in ((x1,), (x1, x2)):
        result = refntk.kernel(net, *images, dtype=dtype, method=method, threads=1)
        for tile, threads in ((1, 1), (2, 3), (3, 2), (4, 1), (64, 4)):
            other = refntk.kernel(
                net, *images, dtype=dtype, method=method, tile=tile, threads=threads
            )
            assert same(other, result), (tile, threads)


def test_parts_of_large_images_change_no_bit(rng: np.random.Generator) -> None:
    net = Network([*[Conv((3, 3)), Relu()] * 5, GlobalAvgPool(), Dense(), Relu()])
    images = rng.normal(size=(3, 26, 26, 1)).astype(np.float32)
    results = [
        refntk.kernel(net, images, dtype="float32", tile=tile, threads=threads)
        for tile, threads in ((3, 1), (3, 4), (1, 2))
    ]
    assert same(results[1], results[0])
    assert same(results[2], results[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_order_of_tiles_changes_no_bit(name: str, rng: np.random.Generator) -> None:
    # A tile off the diagonal computes the kernels of images with themselves that a head needs.
    net = Network(NETWORKS[name])
    images = rng.normal(size=(7, 5, 5, 2))
    result = refntk.kernel(net, images)
    for order in (1, -1):
        job = Job(net, images, options=Options(tile=3))
        for tile in job.tiles[::order]:
            block = job.block(tile)
            assert np.array_equal(block["nngp"], result.nngp[tile.rows, tile.cols])
            assert np.array_equal(block["ntk"], result.ntk[tile.rows, tile.cols])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_other_images_change_no_bit(name: str, dtype: str, rng: np.random.Generator) -> None:
    # In particular those in the other lanes, of which there may be any number.
    net = Network(NETWORKS[name])
    x1, x2 = rng.normal(size=(2, 4, 4, 3)), rng.normal(size=(33, 4, 4, 3))
    result = refntk.kernel(net, x1, x2, dtype=dtype)
    for count in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32):
        some = refntk.kernel(net, x1[:1], x2[-count:], dtype=dtype)
        assert np.array_equal(some.nngp, result.nngp[:1, -count:])
        assert np.array_equal(some.ntk, result.ntk[:1, -count:])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["slices", "literal"])
@pytest.mark.parametrize("name", NETWORKS)
def test_one_kernel_alone_is_the_same(
    name: str, method: str, dtype: str, rng: np.random.Generator
) -> None:
    net = Network(NETWORKS[name])
    images = rng.normal(size=(3, 4, 4, 3))
    both = refntk.kernel(net, images, dtype=dtype, method=method)
    nngp = refntk.kernel(net, images, get="nngp", dtype=dtype, method=method)
    assert nngp.ntk is None
    assert np.array_equal(nngp.nngp, both.nngp)
    ntk = refntk.kernel(net, images, get=["ntk"], dtype=dtype, method=method)
    assert ntk.nngp is None
    assert np.array_equal(ntk.ntk, both.ntk)


@pytest.mark.parametrize(
    ("name", "dtype", "count", "rows"),
    [
        # Groups of 2, 16, 16 and 16 images meet 2, 18, 34 and 50.
        ("circular", "float32", 50, 2 + 18 + 34 + 50),
        ("circular", "float64", 50, 2 + 10 + 18 + 26 + 34 + 42 + 50),
        ("group", "float32", 50, sum(range(2, 51, 4))),
        ("group with a head", "float64", 5, 1 + 2 + 3 + 4 + 5),
        ("circular", "float32", 16, 16),
        ("circular", "float32", 3, 3),
    ],
)
def test_the_mirrored_half_is_left_out(
    name: str, dtype: str, count: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each row of a task costs as much as its lanes do, whether all of them are asked for or not.
    done = []

    def sums(pixels: Any, part: tuple[tuple[int, int], Any, Any], *rest: Any) -> bool:
        done.append(part[0][1] - part[0][0])
        return True

    monkeypatch.setattr(engine, "fast_sums", sums)
    plan = make_plan(Network(NETWORKS[name]), (4, 4, 2))
    slices = engine.engine(Setting(plan, dtype))
    images = slices.prepare(np.ones((count, 4, 4, 2)))
    result = slices.block(images, None, lambda fraction: None)
    assert [kernel.shape for kernel in result] == [(count, count)] * 2
    assert sum(done) == rows


# ---------------------------------------------------------------------------------------------
# Threads.


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise MemoryError("no memory in a thread")

    net, images = Network(NETWORKS["group"]), np.ones((20, 4, 4, 1))
    before = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(engine, "fast_sums", fail)
        with pytest.raises(MemoryError, match="no memory in a thread"):
            refntk.kernel(net, images, threads=3)
    assert threading.active_count() == before
    assert np.isfinite(refntk.kernel(net, images, threads=3).ntk).all()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_in_the_progress_callback_stops_all_threads(error: type[BaseException]) -> None:
    done = []

    def stop(pairs: int, total: int) -> None:
        done.append(pairs)
        raise error("enough")

    before = threading.active_count()
    with pytest.raises(error, match="enough"):
        refntk.kernel(
            Network(NETWORKS["group"]), np.ones((40, 6, 6, 1)), threads=3, progress=stop
        )
    assert threading.active_count() == before
    assert len(done) == 1


# ---------------------------------------------------------------------------------------------
# The compiled code.


def test_nothing_is_compiled_again_for_another_network_or_image(rng: np.random.Generator) -> None:
    def run(dtype: str) -> None:
        for k, layers in enumerate(NETWORKS.values()):
            images = rng.normal(size=(1 + k, 5 + k, 5 + k, 1 + k % 4))
            for get in ("nngp", "ntk"):
                for x2 in (None, images[:1]):
                    refntk.kernel(Network(layers), images, x2, dtype=dtype, get=get)

    before = {each: set(each.signatures) for each in (fast_sums, block_sums)}  # of other tests
    for dtype in ("float64", "float32"):
        run(dtype)
    for each, known in before.items():
        # Two precisions, with the NTK and without it.
        assert len(set(each.signatures) - known) <= 4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_code_without_the_careful_form_gives_the_same_bits(
    name: str, dtype: str, rng: np.random.Generator
) -> None:
    net, images = Network(NETWORKS[name]), rng.random((5, 6, 6, 2))
    slices = engine.engine(Setting(make_plan(net, (6, 6, 2)), dtype))
    prepared = slices.prepare(images)
    fast = slices.block(prepared, None, lambda fraction: None)
    slices.careful = True
    whole = slices.block(prepared, None, lambda fraction: None)
    for one, two in zip(fast, whole, strict=True):
        upper = np.triu_indices(5)
        np.testing.assert_array_equal(one[upper], two[upper])


def test_the_careful_form_is_compiled_when_it_is_needed(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def careful(*given: Any) -> bool:
        asked.append(given)
        return bool(block_sums(*given))

    monkeypatch.setattr(engine, "block_sums", careful)
    images, conv = rng.random((3, 6, 6, 1)), refntk.Conv((3, 3))
    refntk.kernel([conv, refntk.Relu(), refntk.GlobalAvgPool()], images)
    assert not asked
    refntk.kernel([conv, conv, refntk.Relu(), refntk.GlobalAvgPool()], images)  # sums with signs
    assert asked


def assembly(
    dtype: str, activation: int, last: bool, three: bool | None, usual: bool
) -> str:
    """Compile a row function by itself: Numba does not show code that it loads from its cache.

    `three` is None for the careful form; where `usual`, it knows the constants of Relu.
    """
    number = numba.from_dtype(np.dtype(dtype))
    row = types.CPointer(number)
    several = [types.UniTuple(row, count) for count in range(5)]
    rows = [row, row, row, row]
    if three is None:
        function = careful_row_function(activation, last)
        # Excesses are there up to the first activation.
        early = row if activation == SIGNED else types.none
        outs, pairs = [row, row, early, row], [several[2]] * 4
        pairs[2] = several[2] if activation == SIGNED else types.none
        rows = [*outs, *outs, *pairs, several[4], several[4], types.UniTuple(number, 2)]
    else:
        function = row_function(activation, last, three)
        rows += [several[3], several[3], several[2], row, types.UniTuple(number, 4)]
    more = types.none if usual else types.UniTuple(number, 6)
    signature = (*rows, more, types.intp)
    function.compile(signature)
    return str(function.inspect_asm(signature))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("last", "three"), [(False, True), (True, False), (False, None), (True, None)]
)
@pytest.mark.parametrize("activation", [SIGNED, NONNEGATIVE])
@pytest.mark.parametrize("usual", [True, False])
def test_inner_loops_are_vectorised(
    dtype: str, activation: int, last: bool, three: bool | None, usual: bool
) -> None:
    features = llvm.get_host_cpu_features()
    if not features.get("avx"):
        pytest.skip("this processor has no vector registers of 256 bits")
    code = assembly(dtype, activation, last, three, usual)
    root, other = ("vsqrtps", "vsqrtpd") if dtype == "float32" else ("vsqrtpd", "vsqrtps")
    register = "zmm" if features.get("avx512f") else "ymm"
    assert re.search(rf"\b{root}\s+[^\n]*%{register}\d", code)
    # A stray literal of double precision would bring in conversions and half the speed.
    assert other not in code
    assert not re.search(r"\bvsqrts[sd]\b", code)
    called = set(re.findall(r"(?:\$|\bcallq?\s+|\bjmpq?\s+)([A-Za-z_]\w*)", code))
    assert "PyArg_UnpackTuple" in called  # the pattern finds what is called
    names = ["sqrt", "fma", "acos", "asin", "atan2", "sin", "cos", "pow", "fmax", "fmin"]
    assert not called & {name + suffix for name in names for suffix in ("", "f")}


def test_machine_code_on_disk_belongs_to_these_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    def double(x: float) -> float:
        return 2 * x

    def key() -> Any:
        function = lanes.compiled(double)
        assert function(1.5) == 3
        codegen = function.overloads[function.signatures[0]].library.codegen
        return function._cache._index_key(function.signatures[0], codegen)

    ours = key()
    assert key() == ours
    # A function that it might call is another one now.
    monkeypatch.setattr(lanes, "_sources", lambda: "another version")
    assert key() != ours


# ---------------------------------------------------------------------------------------------
# The polynomials. They stand for theta / (2 pi sqrt(u)) and (sin - theta cos) / (pi u sqrt(u)).


def exact_angle(u: Any) -> Any:
    pi = np.arccos(np.longdouble(-1))
    return np.arcsin(np.sqrt(u / 2)) / (pi * np.sqrt(u))


def exact_segment(u: Any) -> Any:
    pi = np.arccos(np.longdouble(-1))
    theta = 2 * np.arcsin(np.sqrt(u / 2))
    # sin theta - theta cos theta = sum (-1)^(k+1) 2k / (2k+1)! theta^(2k+1), without cancellation.
    term, total = theta**3 / 6, np.zeros_like(u)
    for k in range(1, 16):
        total += 2 * k * term
        term = -term * theta**2 / ((2 * k + 2) * (2 * k + 3))
    return total / (pi * u * np.sqrt(u))


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="long double has no more digits than double"
)
@pytest.mark.parametrize(
    ("table", "exact", "errors"),
    [
        (ANGLE, exact_angle, {32: 2.2e-8, 64: 6.5e-16}),
        (SEGMENT, exact_segment, {32: 4.7e-8, 64: 1.8e-15}),
    ],
)
def test_polynomials_have_the_errors_they_claim(
    table: dict[int, tuple[float, ...]], exact: Callable[[Any], Any], errors: dict[int, float]
) -> None:
    u = np.concatenate([np.linspace(0, 1, 20001)[1:], np.logspace(-30, -4, 200)])
    u = u.astype(np.longdouble)
    assert set(table) == set(errors)
    for bits, coefficients in table.items():
        kind = np.dtype(f"f{bits // 8}").type
        assert all(kind(c) == c for c in coefficients)  # nothing is lost when they are compiled
        value = np.polynomial.polynomial.polyval(u, np.array(coefficients, np.longdouble))
        error = np.max(np.abs(value / exact(u) - 1))
        assert errors[bits] / 2 < error <= errors[bits]
