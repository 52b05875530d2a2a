"""The literal recursion on a graphics processor, with CuPy."""

from __future__ import annotations

from refntk.backends.array_api import ArrayApiBackend

__all__ = ["load"]


def load() -> ArrayApiBackend:
    """Build the backend.

    Raises
    ------
    ImportError
        CuPy is not installed, or finds no graphics processor that it can use.
    """
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise ImportError(f"no usable graphics processor: {error}") from error
    if count < 1:
        raise ImportError("no graphics processor found")
    return ArrayApiBackend("cupy", cupy, to_numpy=cupy.asnumpy)
