"""Kernels with error radii, and the literal recursion with as many digits as one likes.

Two routes that share nothing but the description of the network: `certify` encloses every kernel in
ball arithmetic, which proves its radius, and `literal` runs `refntk.recursion` itself, line by
line, on arrays of arbitrary precision. Both are for small images: they hold whole kernels of
Python objects, some microseconds an entry and layer in `certify` and a hundred times that in
`literal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, missing_package
from refntk.evaluation.evaluate import KERNELS, Job
from refntk.evaluation.images import as_image_sets
from refntk.evaluation.options import Options
from refntk.network.layers import Flatten
from refntk.network.network import Network

__all__ = ["Certified", "certify", "certify_entries", "literal"]


@dataclass(frozen=True, eq=False)
class Certified:
    """Kernels between two sets of images with proven error radii.

    Attributes
    ----------
    nngp, ntk : float64 array, shape (N1, N2), or None
        The kernels, rounded to the nearest double; None where one was not asked for. Before a
        readout there are more axes.
    nngp_radius, ntk_radius : float64 array of the same shape, or None
        The exact kernel of the exact pixels is within this distance, rounding to double included.
    """

    nngp: npt.NDArray[np.float64] | None
    ntk: npt.NDArray[np.float64] | None
    nngp_radius: npt.NDArray[np.float64] | None
    ntk_radius: npt.NDArray[np.float64] | None


def certify(
    network: Network,
    x1: npt.ArrayLike,
    x2: npt.ArrayLike | None = None,
    get: str | Sequence[str] = KERNELS,
) -> Certified:
    """Compute kernels in ball arithmetic, by an implementation of its own.

    Parameters
    ----------
    network : Network
        It must end behind a readout: GroupPool, GlobalAvgPool or Flatten.
    x1 : array, shape (N1, H, W, C)
        Images, channels last, as for `refntk.kernel`: float pixels are exact as they are, integers
        are divided in double precision by the largest value of their type.
    x2 : array, shape (N2, H, W, C), optional
        None means x1; the result is then symmetric.
    get : {"nngp", "ntk"} or a sequence of them
        Kernels wanted.

    Returns
    -------
    Certified
        Values and radii of shape (N1, N2). The radius is hardly ever more than the rounding of the
        value to double, a relative 1.2e-16.

    Raises
    ------
    InputError
        Images or words are not as above.
    NetworkError, ShapeError
        The network has no readout, or cannot take images of this shape.
    MissingPackageError
        python-flint is not installed.

    Notes
    -----
    `refntk.truth.balls` says how, and why the radii stay small where arccos loses digits.

    Examples
    --------
    >>> from refntk.network import preset
    >>> k = certify(preset("cnn-gap"), np.ones((1, 3, 3, 1)))
    >>> k.ntk.shape, bool(k.ntk_radius[0, 0] < 1e-15 * k.ntk[0, 0])
    ((1, 1), True)
    """
    names, first, second = _arguments(network, x1, x2, get)
    nngp, ntk = _balls().enclosures(network, first, second, "ntk" in names)
    values, radii = nngp if "nngp" in names else (None, None)
    return Certified(nngp=values, ntk=ntk[0], nngp_radius=radii, ntk_radius=ntk[1])


def certify_entries(
    network: Network, x1: npt.ArrayLike, x2: npt.ArrayLike | None = None
) -> Certified:
    """Compute all entries of the kernels of a network that ends before a readout.

    Parameters
    ----------
    network : Network
        One that ends on the grid or on the group.
    x1, x2
        As for `certify`.

    Returns
    -------
    Certified
        Arrays of shape (N1, N2, H, W, H, W) on the grid, (N1, N2, n, n, H, W, H, W) on the group;
        `refntk.recursion` says what the axes mean.

    Raises
    ------
    InputError, ShapeError, MissingPackageError
        As for `certify`.
    NetworkError
        The network ends behind a readout.
    """
    readout = Network(
        [*network.layers, Flatten()], parameterization=network.parameterization
    )
    _, first, second = _arguments(readout, x1, x2, KERNELS)
    nngp, ntk = _balls().entry_enclosures(network, first, second)
    return Certified(nngp=nngp[0], ntk=ntk[0], nngp_radius=nngp[1], ntk_radius=ntk[1])


def literal(
    network: Network,
    x1: npt.ArrayLike,
    x2: npt.ArrayLike | None = None,
    get: str | Sequence[str] = KERNELS,
    digits: int = 50,
) -> dict[str, npt.NDArray[np.object_]]:
    """Evaluate the literal recursion of `refntk.recursion` with many digits.

    Parameters
    ----------
    network, x1, x2, get
        As for `certify`.
    digits : int, default 50
        Decimal digits of every number and operation. About half of them are lost where the
        recursion takes the arccos of 1.

    Returns
    -------
    dict of object arrays, shape (N1, N2)
        ``mpmath.mpf`` numbers, by the name of the kernel.

    Raises
    ------
    InputError
        As for `certify`, and where `digits` is not a positive whole number.
    NetworkError, ShapeError
        The network has no readout, or cannot take images of this shape.
    MissingPackageError
        mparray is not installed.
    """
    names, first, second = _arguments(network, x1, x2, get)
    if isinstance(digits, bool) or not isinstance(digits, int) or digits < 1:
        raise InputError(f"digits: expected a positive whole number, not {digits!r}")
    try:
        import mparray
        from mpmath import mp
    except ImportError as error:
        raise missing_package("evaluation with many digits needs mparray", "oracle") from error
    from refntk.recursion.literal import propagate

    with mp.workdps(digits):
        other = None if second is None else mparray.asarray(second)
        state = propagate(network, mparray.asarray(first), other, ntk="ntk" in names)
        kernels = {"nngp": state.nngp, "ntk": state.ntk}
        # The array of mpf numbers inside; what is public converts to double.
        return {name: kernels[name]._data for name in names}


def _balls() -> ModuleType:
    try:
        return import_module("refntk.truth.balls")
    except ImportError as error:
        raise missing_package("error radii need python-flint", "oracle") from error


def _arguments(
    network: Network, x1: npt.ArrayLike, x2: npt.ArrayLike | None, get: str | Sequence[str]
) -> tuple[tuple[str, ...], npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Check arguments the way `refntk.kernel` does; images come back in float64, scaled."""
    names = Job(network, x1, x2, options=Options(get=get, backend="numpy", method="literal")).get
    sets = {"X1": x1} | ({} if x2 is None else {"X2": x2})
    images = as_image_sets(sets, "auto", network.axes)
    first, *second = (each.astype(np.float64) for each in images)
    return names, first, second[0] if second else None
