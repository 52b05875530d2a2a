"""How kernels are to be computed: the options that everything shares."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, unknown

__all__ = ["DTYPES", "KERNELS", "Options", "dtype_name"]

KERNELS: tuple[str, ...] = ("nngp", "ntk")
DTYPES: tuple[str, ...] = ("float64", "float32")


@dataclass(frozen=True)
class Options:
    """How kernels are to be computed.

    Parameters
    ----------
    get : {"nngp", "ntk"} or a sequence of them
        Kernels wanted. NNGP alone is cheaper.
    dtype : {"float64", "float32"} or dtype
        Precision of the recursion and of the result. Sums over positions are in double precision.
    backend : str
        ``numba``, ``cupy`` for a graphics processor, or ``numpy`` for the literal recursion.
    method : {"auto", "slices", "band", "branches", "orbits", "literal"}
        See `refntk.plan.reduction`; ``auto`` takes the cheapest that applies.
    threads : int, optional
        Default: all processors this process may use.
    tile : int, optional
        Number of images along the side of the square blocks in which the work is done.
    device_memory : int, optional
        Bytes of a graphics processor's memory to use at most, with cupy. Default: 2 GiB.
    scale : str or float
        ``"auto"`` takes floats as they are, divides uint8 by 255 and other integers by the largest
        value of their type where the pixels fill it; else see
        `refntk.evaluation.images.divisors`.

    Raises
    ------
    InputError
        They are not as above; the backend and the method are for `Job` to judge.
    """

    get: str | Sequence[str] = KERNELS
    dtype: npt.DTypeLike = "float64"
    backend: str = "numba"
    method: str = "auto"
    threads: int | None = None
    tile: int | None = None
    device_memory: int | None = None
    scale: str | float = "auto"

    def __post_init__(self) -> None:
        """Check them, and bring the kernels that are wanted to a tuple in their order."""
        get = (self.get,) if isinstance(self.get, str) else tuple(self.get)
        object.__setattr__(self, "get", _words("kernel", get, KERNELS))
        object.__setattr__(self, "dtype", dtype_name(self.dtype))
        for name in ("threads", "tile", "device_memory"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))


def dtype_name(given: npt.DTypeLike) -> str:
    """Name a dtype; that of another array library, such as torch.float32, too.

    Parameters
    ----------
    given : dtype

    Returns
    -------
    {"float64", "float32"}

    Raises
    ------
    InputError
        It is none of these.

    Examples
    --------
    >>> dtype_name(np.float32)
    'float32'
    """
    try:
        name = np.dtype(given).name
    except TypeError:
        name = str(given).rpartition(".")[2]
    return _words("dtype", (name,), DTYPES)[0]


def _words(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Check names against the known ones, and put them in their order."""
    for word in given:
        if word not in known:
            raise InputError(unknown(what, word, known))
    if not given:
        raise InputError(f"{what}: ask for one of {', '.join(known)} at least")
    return tuple(word for word in known if word in given)


def _positive(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{name}: expected a positive whole number, not {value!r}")
    return number
