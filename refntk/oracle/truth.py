"""The certified answers of the oracle's cases, and how far another answer is from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refntk.oracle.cases import Case
from refntk.truth.certified import certify, certify_entries

__all__ = ["TOLERANCES", "Answer", "Solved", "Truth", "deviation", "solve"]

FloatArray = npt.NDArray[np.floating[Any]]
Answer: TypeAlias = Mapping[str, FloatArray]
"""Kernels of one case by name, ``nngp`` and ``ntk``."""

TOLERANCES: Mapping[bool, Mapping[str, Mapping[str, float]]] = {
    False: {
        "nngp": {"float64": 1e-12, "float32": 1e-5},
        "ntk": {"float64": 1e-12, "float32": 1e-5},
    },
    # The arccos of a correlation near 1 loses half of the digits, which enter the NTK at once. A
    # program that takes it plainly is right; its digits are counted in the table.
    True: {
        "nngp": {"float64": 1e-12, "float32": 1e-5},
        "ntk": {"float64": 1e-7, "float32": 1e-2},
    },
}
"""Largest relative error: by whether the case is hard, by kernel, and by precision."""

_FLOOR = 1e-2


@dataclass(frozen=True, eq=False)
class Truth:
    """One kernel of a case.

    Attributes
    ----------
    value, radius : float64 array, shape (N1, N2, ...)
        The exact kernel is within `radius` of `value`.
    tolerance : mapping
        Relative error that is forgiven, by the precision of the answer: ``float64``, ``float32``.
    """

    value: npt.NDArray[np.float64]
    radius: npt.NDArray[np.float64]
    tolerance: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Solved:
    """A case with its certified kernels, ``nngp`` and ``ntk``."""

    case: Case
    truth: Mapping[str, Truth]


def solve(case: Case) -> Solved:
    """Compute the kernels of a case in ball arithmetic.

    Parameters
    ----------
    case : Case

    Returns
    -------
    Solved

    Raises
    ------
    MissingPackageError
        python-flint is not installed.
    """
    pooled = case.network.signals(case.x1.shape[1:])[-1].kind == "vector"
    found = (certify if pooled else certify_entries)(case.network, case.x1, case.x2)
    pairs = {"nngp": (found.nngp, found.nngp_radius), "ntk": (found.ntk, found.ntk_radius)}
    truth = {}
    for name, (value, radius) in pairs.items():
        assert value is not None  # both kernels were asked for
        assert radius is not None
        truth[name] = Truth(value, radius, TOLERANCES[case.hard][name])
    return Solved(case, truth)


def deviation(answer: FloatArray, value: FloatArray, radius: FloatArray | float = 0.0) -> float:
    """Give the largest relative error of an answer.

    Parameters
    ----------
    answer, value : float array, shape (N1, N2, ...)
        Of one shape; all values finite.
    radius : float array of the same shape, or float
        Error that is the value's own.

    Returns
    -------
    float
        Errors are relative to the entry. Where a pair of images has many entries, before a readout,
        they are relative to the pair's largest entry times 1e-2, if that is more. Infinite where
        something else than 0 stands for 0.
    """
    value = value.astype(np.float64)
    error = np.maximum(np.abs(answer.astype(np.float64) - value) - radius, 0)
    within = tuple(range(2, value.ndim))
    largest = np.max(np.abs(value), axis=within, keepdims=True) if within else np.abs(value)
    scale = np.maximum(np.abs(value), _FLOOR * largest)
    relative = np.where(error > 0, np.inf, 0.0)
    np.divide(error, scale, out=relative, where=scale > 0)
    return float(np.max(relative))
