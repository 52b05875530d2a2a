"""The CUDA sources, completed by what they share with Python, and compiled for the device."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from refntk.backends.arccos import ANGLE, SEGMENT
from refntk.backends.cupy.device import device_errors
from refntk.backends.cupy.geometry import HELD_THREADS, SWEEP_THREADS, Columns, Sizes
from refntk.backends.table import LATE, LINEAR, NONNEGATIVE, SIGNED
from refntk.errors import MissingBackendError

__all__ = ["OPTIONS", "compiled", "source", "specializations"]

OPTIONS: tuple[str, ...] = ("-std=c++17", "--fmad=false")
"""Options of the compiler. The sources say themselves where multiply and add are fused."""

_FILES = ("entry.cu", "maps.cu", "march.cu", "sweep.cu")


@cache
def source() -> str:
    """Put the sources together.

    Returns
    -------
    str
        One translation unit: generated lines first, then the files.
    """
    package = files("refntk.backends.cupy")
    texts = [f'#line 1 "{name}"\n{package.joinpath(name).read_text()}' for name in _FILES]
    return "\n".join([_generated(), *texts])


def specializations(
    dtype: str, ntk: bool, side: int, padding: str, usual: bool
) -> dict[str, str]:
    """Name the kernels that a computation needs.

    Parameters
    ----------
    dtype : {"float64", "float32"}
    ntk : bool
    side : int
        Of the filters, for `march`; 0 for `sweep`.
    padding : str
        Of the filters, for `march`.
    usual : bool
        Whether activations are Relu, in the NTK parametrisation.

    Returns
    -------
    dict
        C++ expressions: of ``maps``, of ``slices`` and of ``means``.
    """
    number, flag = {"float32": "float", "float64": "double"}[dtype], str(ntk).lower()
    shape = f"{side}, {padding}, " if side else ""
    kind = "march" if side else "sweep"
    slices = f"{kind}<{number}, {flag}, {shape}{str(usual).lower()}>"
    return {"maps": f"variance_maps<{number}>", "slices": slices, "means": f"means<{flag}>"}


def _generated() -> str:
    """Polynomials, and the names of places in tables."""
    lines = [
        f"constexpr int SWEEP_THREADS = {SWEEP_THREADS};",
        *(f"constexpr int HELD_THREADS_{size} = {held};" for size, held in HELD_THREADS.items()),
        f"enum Size {{ {', '.join(name.upper() for name in Sizes._fields)} }};",
        f"enum Activation {{ LINEAR = {LINEAR}, SIGNED = {SIGNED}, "
        f"NONNEGATIVE = {NONNEGATIVE}, LATE = {LATE} }};",
        f"enum Column {{ {', '.join(name.upper() for name in Columns._fields)}, COLUMNS }};",
    ]
    for name, polynomial in (("angle", ANGLE), ("segment", SEGMENT)):
        lines += [_polynomial(name, bits, polynomial[bits]) for bits in (32, 64)]
    return "\n".join(lines)


def _polynomial(name: str, bits: int, coefficients: tuple[float, ...]) -> str:
    """Write a polynomial as nested multiply-adds; hexadecimal numbers lose no digit."""
    number, fma, suffix = ("float", "fmaf", "f") if bits == 32 else ("double", "fma", "")
    terms = [f"{coefficient.hex()}{suffix}" for coefficient in coefficients]
    lines = []
    if bits == 64:
        # An instruction has room for 32 bits of a number, or for a place in constant memory.
        lines.append(f"__constant__ double {name}_64[] = {{ {', '.join(terms)} }};")
        terms = [f"{name}_64[{k}]" for k in range(len(terms))]
    value = terms[-1]
    for term in terms[-2::-1]:
        value = f"{fma}({value}, u, {term})"
    lines.append(f"__device__ __forceinline__ {number} {name}({number} u) {{ return {value}; }}")
    return "\n".join(lines)


@cache
def compiled(
    cupy: Any, device: int, dtype: str, ntk: bool, side: int, padding: str, usual: bool
) -> dict[str, Any]:
    """Compile what a computation needs.

    Parameters
    ----------
    cupy : module
    device : int
        The current one.
    dtype, ntk, side, padding, usual
        As in `specializations`.

    Returns
    -------
    dict of cupy.RawKernel
        With the keys of `specializations`.

    Raises
    ------
    MissingBackendError
        There is no compiler.
    DeviceError
        It does not compile the sources for this device.
    """
    names = specializations(dtype, ntk, side, padding, usual)
    with device_errors(cupy):
        module = cupy.RawModule(
            code=source(), options=OPTIONS, name_expressions=tuple(names.values())
        )
        try:
            return {key: module.get_function(name) for key, name in names.items()}
        except (RuntimeError, OSError) as error:
            # Where the library is not there, the error is of whatever looked for it.
            known = isinstance(error, cupy.cuda.nvrtc.NVRTCError)
            if known or "nvrtc" not in str(error).lower():
                raise
            raise MissingBackendError(
                "the backend cupy cannot be used here: CuPy finds no CUDA compiler (NVRTC); to "
                'install it: pip install "refntk[gpu]"'
            ) from error
