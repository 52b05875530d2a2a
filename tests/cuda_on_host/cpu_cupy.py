"""A stand-in for CuPy on a machine without a graphics processor: what the backend uses of it.

Arrays are NumPy's, of a class of their own; a RawModule is compiled by g++ through
``cuda_on_cpu.h``, which runs the threads of each block as fibers or as threads of the system.
Put it in the place of CuPy with ``monkeypatch.setitem(sys.modules, "cupy", cpu_cupy)``; the
variables below say what kind of device there is.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
CACHE = Path(tempfile.gettempdir()) / f"refntk_cuda_on_host_{os.getuid()}"

ENGINES = {
    "fibers": ["-O2", "-march=native", "-fopenmp"],
    "threads": ["-O1", "-g", "-DCTA_THREADS", "-pthread", "-fsanitize=thread"],
    "addresses": ["-O1", "-g", "-DCTA_THREADS", "-pthread", "-fsanitize=address,undefined"],
}

ATTRIBUTES = {  # those of an H100
    "MaxSharedMemoryPerBlockOptin": 227 * 1024,
    "MaxSharedMemoryPerMultiprocessor": 228 * 1024,
    "MultiProcessorCount": 132,
    "ClockRate": 1980000,
}


class Settings:
    """What the device is, and how it runs its threads."""

    engine = "fibers"
    order = 0  # of a block's threads: in turns forward; forward and backward; shuffled
    defines: tuple[str, ...] = ()
    devices = 1
    driver, runtime = 13020, 13020
    memory = 2**40

    def __init__(self) -> None:
        self.allocations: list[int] = []  # bytes, of every request


settings = Settings()

# Threads that wait do not spin: launches are short, and machines are shared. Read when the first
# library is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


class CUDARuntimeError(RuntimeError):
    """What CuPy raises where the runtime reports an error."""


class CUDADriverError(RuntimeError):
    """The same of the driver."""


class OutOfMemoryError(MemoryError):
    """What CuPy raises where the device's memory is full."""


class NVRTCError(RuntimeError):
    """What CuPy raises where the compiler fails."""


class CompileException(Exception):
    """What CuPy raises where a source cannot be compiled."""


class Device:
    """A graphics processor."""

    _current = [0]
    compute_capability = "90"

    def __init__(self, number: int | None = None) -> None:
        self.id = self._current[-1] if number is None else number
        self.attributes = dict(ATTRIBUTES)

    def __enter__(self) -> Device:
        self._current.append(self.id)
        return self

    def __exit__(self, *error: object) -> None:
        self._current.pop()


class ndarray(np.ndarray):
    """An array that knows its device."""

    _device = 0

    def __array_finalize__(self, source: Any) -> None:
        self._device = getattr(source, "_device", Device().id)

    @property
    def device(self) -> Device:
        return Device(self._device)

    def get(self) -> Any:
        return np.array(self.view(np.ndarray))

    def set(self, array: Any) -> None:
        if type(array) is not np.ndarray or array.dtype != self.dtype:
            raise TypeError(f"set: a NumPy array of {self.dtype} is needed")
        self.view(np.ndarray)[...] = array


def empty(shape: Any, dtype: Any = float) -> ndarray:
    """Return memory full of ones, which are NaN: what is not written is noticed."""
    array = np.full(shape, 255, np.uint8) if dtype is np.uint8 else np.empty(shape, dtype)
    settings.allocations.append(array.nbytes)
    if array.nbytes > settings.memory:
        raise OutOfMemoryError(f"Out of memory allocating {array.nbytes:,} bytes")
    return array.view(ndarray)


def asarray(array: Any, dtype: Any = None) -> ndarray:
    """Copy to the device."""
    return np.array(array, dtype).view(ndarray)


def asnumpy(array: Any) -> Any:
    """Copy from the device; as CuPy's, it takes NumPy arrays as they are."""
    return array.get() if isinstance(array, ndarray) else np.asarray(array)


def get_default_memory_pool() -> Any:
    """Return an object that frees nothing."""
    return SimpleNamespace(free_all_blocks=lambda: None)


def _device_count() -> int:
    if settings.devices < 0:
        raise CUDARuntimeError("cudaErrorUnknown: unknown error")
    return settings.devices


cuda = SimpleNamespace(
    Device=Device,
    runtime=SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        driverGetVersion=lambda: settings.driver,
        runtimeGetVersion=lambda: settings.runtime,
        getDeviceCount=_device_count,
        getDeviceProperties=lambda number: {"name": b"this host"},
    ),
    driver=SimpleNamespace(CUDADriverError=CUDADriverError),
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    compiler=SimpleNamespace(CompileException=CompileException),
    nvrtc=SimpleNamespace(NVRTCError=NVRTCError),
)


class RawModule:
    """CUDA sources, compiled for the host.

    Parameters
    ----------
    code : str
    options : tuple of str
        Only definitions of macros count.
    name_expressions : tuple of str
        The kernels wanted.
    """

    def __init__(
        self, code: str, options: tuple[str, ...] = (), name_expressions: tuple[str, ...] = ()
    ) -> None:
        body = ['#include "cuda_on_cpu.h"', code, '#line 1 "launchers"']
        for i, name in enumerate(name_expressions):
            body.append(
                f'extern "C" const char* launch_{i}(const unsigned* d, unsigned m, void** a, int o)'
                f" {{ return cta::launch({name}, d, m, a, o); }}\n"
                f'extern "C" int signature_{i}(char* k, int* s)'
                f" {{ return cta::signature({name}, k, s); }}"
            )
        defines = [option for option in options if option.startswith("-D")]
        self._library = _library("\n".join(body), [*defines, *settings.defines])
        self._names = list(name_expressions)

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self._library, self._names.index(name), name)


def _library(text: str, defines: list[str]) -> ctypes.CDLL:
    """Compile, unless that has been done before."""
    if shutil.which("g++") is None:
        raise CompileException("there is no g++ on this machine, which runs CUDA sources here")
    command = [
        "g++", "-std=c++20", "-fPIC", "-shared", "-Wall", "-Wno-unknown-pragmas", "-Wno-psabi",
        "-ffp-contract=off", "-U_FORTIFY_SOURCE", f"-I{HERE}", *ENGINES[settings.engine], *defines,
    ]  # fmt: skip
    shim = [path.read_text() for path in sorted(HERE.glob("*.h"))]
    key = hashlib.sha256("\0".join([text, *shim, *command]).encode()).hexdigest()[:24]
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    library = CACHE / f"{key}.so"
    if not library.exists():
        source = CACHE / f"{key}.cpp"
        source.write_text(text)
        part = CACHE / f"{key}.{os.getpid()}"
        done = subprocess.run(
            [*command, str(source), "-o", str(part)], capture_output=True, text=True
        )
        if done.returncode or "warning" in done.stderr:
            raise CompileException(done.stderr)
        part.replace(library)
    return ctypes.CDLL(str(library))


class RawKernel:
    """One kernel; it is called with a grid, a block and arguments, whose types are checked."""

    def __init__(self, library: ctypes.CDLL, index: int, name: str) -> None:
        self._launch, self.name = getattr(library, f"launch_{index}"), name
        self._launch.restype = ctypes.c_char_p
        kinds, sizes = ctypes.create_string_buffer(64), (ctypes.c_int * 64)()
        count = getattr(library, f"signature_{index}")(kinds, sizes)
        self.signature = [(kinds.raw[j : j + 1].decode(), sizes[j]) for j in range(count)]
        self.max_dynamic_shared_size_bytes = 48 * 1024

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
    ) -> None:
        if len(args) != len(self.signature):
            raise TypeError(f"{self.name}: {len(args)} arguments for {len(self.signature)}")
        most = min(self.max_dynamic_shared_size_bytes, ATTRIBUTES["MaxSharedMemoryPerBlockOptin"])
        if shared_mem > most:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: too much dynamic shared memory")
        keep: list[Any] = []
        places = (ctypes.c_void_p * max(1, len(args)))()
        for j, (argument, wanted) in enumerate(zip(args, self.signature, strict=True)):
            if isinstance(argument, ndarray):
                if not argument.flags.c_contiguous:
                    raise TypeError(f"{self.name}: argument {j} is not contiguous")
                got = argument.dtype.kind.upper(), argument.dtype.itemsize
                cell: Any = ctypes.c_void_p(argument.ctypes.data)
                address = ctypes.addressof(cell)
            elif isinstance(argument, np.generic):
                cell = np.array(argument)
                got, address = (cell.dtype.kind, cell.dtype.itemsize), cell.ctypes.data
            else:
                raise TypeError(f"{self.name}: argument {j} is a {type(argument).__name__}")
            if got != wanted:
                raise TypeError(f"{self.name}: argument {j} is {got}, the kernel takes {wanted}")
            keep.append(cell)
            places[j] = address
        dims = (ctypes.c_uint * 6)(*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3])
        error = self._launch(dims, ctypes.c_uint(shared_mem), places, ctypes.c_int(settings.order))
        if error:
            raise CUDADriverError(f"{self.name}: {error.decode()}")
