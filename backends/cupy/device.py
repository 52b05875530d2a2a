"""What the backend needs from the machine: CuPy, NVIDIA's driver, and a graphics processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from refntk.errors import DeviceError, MissingBackendError

__all__ = ["device_errors", "usable_cupy"]


def usable_cupy() -> Any:
    """Import CuPy, and make sure that it can compute.

    Returns
    -------
    module
        `cupy`.

    Raises
    ------
    ImportError
        There is no CuPy.
    MissingBackendError
        There is no driver, a driver that is too old for this CuPy, or no device; the message says
        which, and what to do.
    """
    import cupy

    runtime = cupy.cuda.runtime
    try:
        driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        if driver == 0:
            raise _unusable(
                "there is no NVIDIA driver: install one, and see that nvidia-smi finds the device"
            )
        if driver // 1000 < needed // 1000:
            raise _unusable(
                f"the NVIDIA driver is made for CUDA {_version(driver)}, and this CuPy for CUDA "
                f"{_version(needed)}: update the driver, or install the CuPy for an older CUDA "
                f"(cupy-cuda{driver // 1000}x)"
            )
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise _unusable(
            f"no usable graphics processor ({error}): see what nvidia-smi says"
        ) from error
    if count < 1:
        raise _unusable(
            "no graphics processor found: see that nvidia-smi lists one and that "
            "CUDA_VISIBLE_DEVICES does not hide it"
        )
    return cupy


@contextmanager
def device_errors(cupy: Any) -> Iterator[None]:
    """Turn what CuPy raises within a ``with`` statement into errors of one line.

    Parameters
    ----------
    cupy : module

    Raises
    ------
    DeviceError
        The device is out of memory or fails, or the sources cannot be compiled for it.
    """
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise DeviceError(
            f"out of device memory ({_line(error)}): end what else runs on the device, or use "
            "smaller tiles or images"
        ) from error
    except (cupy.cuda.compiler.CompileException, cupy.cuda.nvrtc.NVRTCError) as error:
        raise DeviceError(
            f"the CUDA sources cannot be compiled for this device ({_line(error)}): please report "
            "it with the output of refntk env"
        ) from error
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        raise DeviceError(
            f"the graphics processor failed ({_line(error)}): see what nvidia-smi says, and start "
            "again"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[:1])


def _unusable(reason: str) -> MissingBackendError:
    return MissingBackendError(f"the backend cupy cannot be used here: {reason}")


def _version(number: int) -> str:
    """Write CUDA's number of a version as people do, 13020 as 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"
