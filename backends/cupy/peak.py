"""What a graphics processor could do: its arithmetic units alone, busy in every cycle."""

from __future__ import annotations

from typing import Any

__all__ = ["ceiling", "device_name"]

_INSTRUCTIONS = {
    ("float32", True): 46,
    ("float32", False): 29,
    ("float64", True): 66,
    ("float64", False): 40,
}
"""Of a precision, by dtype and whether the NTK is wanted: what `march` takes for an entry in the
middle of a network of 3x3 filters, counted in the disassembled code for sm_80 and sm_90."""

_UNITS = {
    "75": (64, 2), "80": (64, 32), "86": (128, 2), "89": (128, 2), "90": (128, 64),
    "100": (128, 64), "120": (128, 2),
}  # fmt: skip
"""Results a cycle and multiprocessor in float32 and in float64, by compute capability, from the
table of arithmetic instructions in NVIDIA's CUDA C++ Programming Guide."""


def device_name() -> str:
    """Name the current device, with its compute capability and multiprocessors."""
    device, properties = _device()
    count = device.attributes["MultiProcessorCount"]
    name = properties["name"].decode()
    return f"{name}, sm_{device.compute_capability}, {count} multiprocessors"


def ceiling(dtype: str, ntk: bool) -> float | None:
    """Tell how fast the arithmetic units of the current device could be.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    ntk : bool
        NNGP and NTK, or NNGP alone.

    Returns
    -------
    float or None
        Seconds per entry and layer at the highest clock; None for a compute capability that is not
        known here.
    """
    device, _ = _device()
    units = _UNITS.get(device.compute_capability)
    if units is None:
        return None
    attributes = device.attributes
    a_second = attributes["MultiProcessorCount"] * attributes["ClockRate"] * 1e3
    return float(_INSTRUCTIONS[dtype, ntk] / (units[dtype == "float64"] * a_second))


def _device() -> tuple[Any, dict[str, Any]]:
    import cupy

    device = cupy.cuda.Device()
    return device, cupy.cuda.runtime.getDeviceProperties(device.id)
