"""Assertions for tests of other programs that compute kernels of wide networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.evaluation.evaluate import KERNELS, kernel
from refntk.evaluation.options import dtype_name
from refntk.network.network import Network
from refntk.network.signal import Layer
from refntk.oracle.verdicts import difference_text

__all__ = ["TOLERANCES", "assert_kernel"]

TOLERANCES = {"float64": 1e-10, "float32": 1e-4}
"""Largest relative error that passes by default, by the precision of what is tested."""


def assert_kernel(
    network: Network | str | Sequence[Layer],
    x1: npt.ArrayLike,
    x2: npt.ArrayLike | None = None,
    *,
    nngp: npt.ArrayLike | None = None,
    ntk: npt.ArrayLike | None = None,
    dtype: npt.DTypeLike | None = None,
    tolerance: float | None = None,
    **options: Any,
) -> None:
    """Compare kernels that another program computed with the exact ones.

    Parameters
    ----------
    network, x1, x2
        As for `refntk.kernel`.
    nngp, ntk : array, shape (N1, N2), optional
        What is tested; one of them at least.
    dtype : dtype, optional
        Precision that is claimed. Default: that of the array.
    tolerance : float, optional
        Largest error relative to the entry. Default: `TOLERANCES` of the precision.
    **options
        As for `refntk.kernel`, such as ``scale="none"``.

    Raises
    ------
    AssertionError
        A kernel is wrong. The message says by how much, where it is worst, what was expected there,
        and whether all entries are wrong by one factor.
    ValueError
        Neither `nngp` nor `ntk` is given.

    Examples
    --------
    >>> from refntk.network.layers import Dense
    >>> x = np.array([[1.0, 2.0], [0.5, 1.0]])
    >>> assert_kernel([Dense()], x, nngp=x @ x.T / 2, ntk=x @ x.T / 2)
    >>> assert_kernel([Dense()], x, ntk=x @ x.T)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    AssertionError: ntk: 4 of 4 entries are wrong; the ratio is 2.000000 everywhere; the largest \
relative error 1, above 1e-10, is at (0, 0): got 5.0, expected 2...
    """
    given = {name: a for name, a in zip(KERNELS, (nngp, ntk), strict=True) if a is not None}
    if not given:
        raise ValueError("assert_kernel: give nngp or ntk, or both")
    exact = kernel(network, x1, x2, get=tuple(given), **options)
    for name, values in given.items():
        array = np.asarray(values)
        claimed = dtype_name(array.dtype if dtype is None else dtype)
        expected = exact.kernels[name]
        if array.shape != expected.shape:
            raise AssertionError(f"{name}: has the shape {array.shape}, expected {expected.shape}")
        limit = TOLERANCES[claimed] if tolerance is None else tolerance
        text = difference_text(array, np.asarray(expected), limit)
        if text:
            raise AssertionError(f"{name}: {text}")
