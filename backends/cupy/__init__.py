"""The backend for graphics processors: displacement slices in CUDA C++, run with CuPy."""

from __future__ import annotations

from refntk.backends.cupy.backend import CupyBackend
from refntk.backends.cupy.device import usable_cupy

__all__ = ["CupyBackend", "load"]


def load(device_memory: int | None = None) -> CupyBackend:
    """Build the backend.

    Parameters
    ----------
    device_memory : int, optional
        Bytes of device memory that it may take at most, beside what a literal recursion needs.

    Raises
    ------
    ImportError
        CuPy is not installed.
    MissingBackendError
        There is no driver or device that CuPy can use.
    """
    return CupyBackend(usable_cupy(), device_memory)
