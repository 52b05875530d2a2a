"""What only the host can show: orders of threads, planted faults, races and stray accesses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refntk
from refntk import Conv, DeviceError, GlobalAvgPool, MissingBackendError, Network, Relu
from refntk.backends.cupy import geometry, peak, source
from refntk.errors import InputError
from refntk.truth import bench

pytestmark = pytest.mark.cuda_on_host

Close = Callable[..., None]

NETWORKS = {
    "march": [*[Conv((3, 3), b_std=0.2), Relu()] * 3, GlobalAvgPool()],
    "march in a circle": [*[Conv((3, 3), padding="CIRCULAR"), Relu()] * 3, GlobalAvgPool()],
    "march and shrink": [*[Conv((3, 3), padding="VALID"), Relu()] * 2, GlobalAvgPool()],
    "sweep": [Conv((3, 3)), Relu(), Conv((3, 2)), Relu(), GlobalAvgPool()],
}


def result_of(name: str, images: Any, backend: str = "cupy") -> Any:
    result = refntk.kernel(Network(NETWORKS[name]), images, backend=backend)
    return np.stack([result.nngp, result.ntk])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_order_of_threads_changes_no_bit(
    name: str, host: Any, rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.normal(size=(3, 7, 6, 2))
    results = []
    for order in (0, 1, 2):
        host.settings.order = order
        results.append(result_of(name, images))
    assert_close(results[0], result_of(name, images, "numba"))
    assert np.array_equal(results[1], results[0])
    assert np.array_equal(results[2], results[0])


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_missing_barrier_is_noticed(
    name: str, order: int, host: Any, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(geometry, "_STRIP", 2)
    images = rng.normal(size=(2, 9, 9, 1))
    right = result_of(name, images, "numba")
    host.settings.order, host.settings.defines = order, ("-DFAULT_BARRIER",)
    wrong = None
    with suppress(InputError):  # memory that nobody wrote may be no number
        wrong = result_of(name, images)
    assert wrong is None or not np.allclose(wrong, right, rtol=1e-6)


def test_a_halo_that_is_off_by_one_is_noticed(host: Any, rng: np.random.Generator) -> None:
    images = rng.normal(size=(2, 7, 6, 2))
    host.settings.defines = ("-DFAULT_HALO",)
    right = result_of("march", images, "numba")
    assert not np.allclose(result_of("march", images), right, rtol=1e-6)


# ---------------------------------------------------------------------------------------------
# Measurements, of a machine that is none.


def test_the_lines_of_a_benchmark(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_DEVICE_ROWS", 2)
    monkeypatch.setattr(bench, "_DEVICE_SIZE", 4)
    first, *lines = bench.device_measurements(threads=1)
    assert (first.what, first.value) == (
        "graphics processor",
        "this host, sm_90, 132 multiprocessors",
    )
    assert [line.what for line in lines] == [
        f"{dtype}, {names}, 4x4, cupy"
        for dtype in ("float32", "float64")
        for names in ("NNGP + NTK", "NNGP alone")
    ]
    for line in lines:
        assert re.fullmatch(r"\d+\.\d{5} ns per entry and layer", line.value)
        assert re.fullmatch(r"0% of its ceiling, 0 x faster than 1 threads", line.comment)


def test_the_ceiling_is_that_of_the_data_sheet(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # An H100: 66.9 and 33.5 TFLOP/s, a multiply-add counting as two.
    assert peak.ceiling("float32", True) == pytest.approx(46 / 33.45e12, rel=1e-3)
    assert peak.ceiling("float64", True) == pytest.approx(66 / 16.73e12, rel=1e-3)
    monkeypatch.setattr(host.Device, "compute_capability", "99")
    assert peak.ceiling("float64", True) is None


# ---------------------------------------------------------------------------------------------
# The stand-in refuses what a device would refuse.

REFUSED = """
__global__ void fill(float* out, int size) {
    DYNAMIC_SHARED(float, memory);
    memory[threadIdx.x] = size;
    if (threadIdx.x == 0 && size < 0)
        __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = memory[threadIdx.x];
}
"""


WARPS = """
__global__ void sum(const float* __restrict__ in, float* total, float* lanes, int size) {
    __shared__ float part[32];
    float value = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x)
        value += __ldg(in + i);
    for (int d = 16; d > 0; d /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, d);
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x < 32) {
        value = threadIdx.x < (blockDim.x + 31) / 32 ? part[threadIdx.x] : 0;
        for (int d = 16; d > 0; d /= 2)
            value += __shfl_down_sync(0xffffffffu, value, d);
        if (threadIdx.x == 0)
            atomicAdd(total, value);
        lanes[threadIdx.x] = __shfl_up_sync(0xffffffffu, float(threadIdx.x), 3);
    }
}
"""


@pytest.mark.parametrize("order", [0, 1, 2])
def test_warps(order: int, host: Any, rng: np.random.Generator) -> None:
    # No kernel of refntk needs them yet; what the shim offers must be right.
    host.settings.order = order
    values = rng.integers(0, 100, 1000).astype(np.float32)
    total, lanes = host.asarray(np.zeros(1, np.float32)), host.asarray(np.zeros(32, np.float32))
    function = host.RawModule(code=WARPS, name_expressions=("sum",)).get_function("sum")
    function((3,), (96,), (host.asarray(values), total, lanes, np.int32(1000)))
    assert total.get()[0] == values.sum()
    assert lanes.get().tolist() == [0, 1, 2, *range(29)]


def test_arguments_are_checked(host: Any) -> None:
    function = host.RawModule(code=REFUSED, name_expressions=("fill",)).get_function("fill")
    out = host.asarray(np.zeros(4, np.float32))
    function((1,), (4,), (out, np.int32(7)), shared_mem=16)
    assert out.get().tolist() == [7.0] * 4
    for arguments in (
        (out,),
        (np.zeros(4, np.float32), np.int32(7)),
        (host.asarray(np.zeros(4)), np.int32(7)),
        (out, np.int64(7)),
        (out, 7),
        (out[::2], np.int32(7)),
    ):
        with pytest.raises(TypeError, match="fill"):
            function((1,), (4,), arguments, shared_mem=16)
    with pytest.raises(host.CUDADriverError, match="too much dynamic shared memory"):
        function((1,), (4,), (out, np.int32(7)), shared_mem=2**18)
    with pytest.raises(host.CUDADriverError, match="bad launch shape"):
        function((1,), (2048,), (out, np.int32(7)), shared_mem=2**13)
    with pytest.raises(host.CUDADriverError, match="threads wait at different barriers"):
        function((1,), (4,), (out, np.int32(-1)), shared_mem=16)


def test_sources_that_do_not_compile(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_generated", lambda: "#error planted")
    source.source.cache_clear()
    try:
        with pytest.raises(DeviceError, match="^the CUDA sources cannot be compiled for this "):
            result_of("march", np.ones((1, 3, 3, 1)))
    finally:
        source.source.cache_clear()


def test_without_a_compiler(
    host: Any, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    images = rng.normal(size=(1, 3, 3, 1))

    def fail(module: Any, name: str) -> None:
        raise RuntimeError('Failure finding "libnvrtc.so.13"')

    monkeypatch.setattr(host.RawModule, "get_function", fail)
    message = (
        r"^the backend cupy cannot be used here: CuPy finds no CUDA compiler \(NVRTC\); to "
        r'install it: pip install "refntk\[gpu\]"$'
    )
    with pytest.raises(MissingBackendError, match=message):
        result_of("march", images)

    def refuse(module: Any, name: str) -> None:
        raise host.NVRTCError("NVRTC_ERROR_INVALID_OPTION (5)")

    monkeypatch.setattr(host.RawModule, "get_function", refuse)
    message = r"^the CUDA sources cannot be compiled for this device \(NVRTC_ERROR_INVALID_OPTION"
    with pytest.raises(DeviceError, match=message):
        result_of("march", images)


def test_a_device_that_fails(
    host: Any, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise host.CUDADriverError("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure")

    monkeypatch.setattr(host.RawKernel, "__call__", fail)
    message = (
        r"^the graphics processor failed \(CUDA_ERROR_LAUNCH_FAILED: unspecified launch "
        r"failure\): see what nvidia-smi says, and start again$"
    )
    with pytest.raises(DeviceError, match=message):
        result_of("march", rng.normal(size=(1, 3, 3, 1)))


# ---------------------------------------------------------------------------------------------
# Every CUDA thread a thread of the system, under the sanitizers: in a process of its own, whose
# runtime they must be loaded into first.

SANITIZED = """
import sys
import cpu_cupy
import numpy as np
import refntk
from refntk import Conv, GlobalAvgPool, GroupConv, GroupPool, Lift, Network, Relu
from refntk.backends.cupy import geometry

sys.modules["cupy"] = cpu_cupy
cpu_cupy.settings.engine, defines = sys.argv[1], sys.argv[2:]
cpu_cupy.settings.defines = tuple(defines)
geometry._STRIP, geometry._SLICES = 2, 2
nets = {
    "march": [Lift((3, 3), "C2", b_std=0.2), Relu(), GroupConv((3, 3)), Relu(), GroupPool()],
    "circle": [*[Conv((3, 3), padding="CIRCULAR"), Relu()] * 2, GlobalAvgPool()],
    "shrink": [*[Conv((3, 3), padding="VALID"), Relu()] * 2, GlobalAvgPool()],
    "sweep": [Conv((3, 3), padding="VALID"), Conv((2, 1), (1, 2)), Relu(), GlobalAvgPool()],
}
images = np.random.default_rng(0).normal(size=(2, 5, 5, 1))
for name, layers in nets.items():
    result = refntk.kernel(Network(layers), images, backend="cupy")
    right = refntk.kernel(Network(layers), images, backend="numpy", method="literal")
    if not defines:
        assert np.allclose(result.ntk, right.ntk, rtol=1e-12)
print("done")
"""


def sanitized(engine: str, *defines: str) -> subprocess.CompletedProcess[str]:
    library = {"threads": "libtsan.so", "addresses": "libasan.so"}[engine]
    found = subprocess.run(
        ["g++", f"-print-file-name={library}"], capture_output=True, text=True, check=True
    )
    environment = os.environ | {
        "LD_PRELOAD": found.stdout.strip(),
        "PYTHONPATH": str(Path(__file__).parent),
        "OMP_NUM_THREADS": "1",
        "TSAN_OPTIONS": "exitcode=66 halt_on_error=0",
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
    }
    return subprocess.run(
        [sys.executable, "-c", SANITIZED, engine, *defines],
        env=environment, cwd="/", capture_output=True, text=True, timeout=900,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threads", "addresses"])
def test_sanitizers_find_nothing(engine: str) -> None:
    done = sanitized(engine)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "done\n"
    assert "runtime error" not in done.stderr


@pytest.mark.slow
def test_a_missing_barrier_is_a_race() -> None:
    done = sanitized("threads", "-DFAULT_BARRIER")
    assert done.returncode == 66
    assert "WARNING: ThreadSanitizer: data race" in done.stderr
