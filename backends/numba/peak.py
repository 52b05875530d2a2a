"""What the processor could do: the inner loop alone, on data that stay in the first-level cache."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from llvmlite import binding
from numba import njit

from refntk.backends.numba.lanes import OPTIONS, at, lanes_of, some, start
from refntk.backends.numba.rows import LIMITS, row_function
from refntk.backends.table import NONNEGATIVE

__all__ = ["inner_loop_time", "vector_bits"]

_COLUMNS = 14  # an average row of a 28 x 28 image
_relu = row_function(NONNEGATIVE, False, True)


@njit(**OPTIONS)
def _repeat(work, tangent, size, columns, repeats, rates):
    work, tangent = start(work), start(tangent)
    above = 3 * size, 4 * size, 5 * size
    for _ in range(repeats):
        _relu(
            at(work, 0), at(tangent, 0), at(work, size), at(tangent, size),
            some(work, above), some(tangent, above), some(work, (6 * size, 7 * size)),
            at(work, 9 * size), rates, None, columns,
        )  # fmt: skip


def inner_loop_time(dtype: str, ntk: bool, repeats: int = 10_000) -> float:
    """Time the inner loop of the slices where memory costs nothing.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    ntk : bool
        NNGP and NTK, or NNGP alone.
    repeats : int
        Rows in one measurement; the better of two counts.

    Returns
    -------
    float
        Seconds per entry and layer. Edges, the first layer, sums and loops come on top of it.
    """
    size = _COLUMNS * lanes_of(np.dtype(dtype))
    work: Any = np.full(10 * size, 0.5, dtype)
    tangent = work.copy() if ntk else None
    rates = tuple(np.array([1 / 9, *LIMITS[dtype][:2], 0.0], dtype))
    best = np.inf
    for _ in range(2):
        begin = time.perf_counter()
        _repeat(work, tangent, size, _COLUMNS, repeats, rates)
        best = min(best, time.perf_counter() - begin)
    return best / (repeats * size)


def vector_bits() -> int:
    """Return the width in bits of the widest registers that the compiled loops use here."""
    features = binding.get_host_cpu_features()
    return 512 if features.get("avx512f") else 256 if features.get("avx") else 128
