r"""The kernels of networks with global filters on compact groups.

After the lifting layer kernels depend on the relative element Q of the group alone, features have
one variance a signal, and every layer acts on each Q by itself but for band-limited filters, which
are projections on the harmonics below their band. Pooling is the mean over Q,

.. math:: K(f, f') = \int K_Q \, dQ, \qquad \Theta(f, f') = \int \Theta_Q \, dQ,

by a quadrature with N nodes; its error is measured against 3N/2 nodes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, RefntkWarning, unknown
from refntk.evaluation.options import KERNELS
from refntk.evaluation.result import Kernel
from refntk.sphere.evaluation import Evaluation
from refntk.sphere.layout import lay_out

__all__ = ["Blocks", "GlobalKernel", "kernel", "measured", "names_of"]

Float64Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]


class _Sliced(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Self: ...


_Set = TypeVar("_Set", bound=_Sliced)

Blocks: TypeAlias = Callable[[_Set, _Set | None], dict[str, Float64Array]]
"""Computes the kernels between two sets, by name; None stands for the first set."""

_REST = 4 / 3
"""By what the difference from 3N/2 nodes is multiplied: where the error falls as N⁻⁴, as it does
for the NTK of Relu between a signal and itself, it is 1 / (1 - (2/3)⁴) = 1.25 times that."""

_SAMPLE = 8
"""Signals of each set, at most, between which the error of the quadrature is measured."""

_ROUNDING = 1e-12
"""Eigenvalues less negative than this part of the mean diagonal, times N, are zeros."""


@dataclass(frozen=True, eq=False)
class GlobalKernel(Kernel):
    """Kernels, and how exact the quadrature over the group is.

    Attributes
    ----------
    nngp, ntk : float64 array, shape (N1, N2), or None
    nodes : int
        N of the quadrature.
    error : dict of float
        Of the quadrature of each kernel: 4/3 of the largest difference between N and 3N/2 nodes,
        among the pairs of up to eight signals of each set, relative to the mean of the diagonals. 0
        of networks without a quadrature.
    smallest_eigenvalue : dict of float
        Of each kernel, relative to the mean of the diagonal; empty for two sets of signals. The
        quadrature does not keep kernels positive.
    """

    nodes: int = 0
    error: dict[str, float] = field(default_factory=dict)
    smallest_eigenvalue: dict[str, float] = field(default_factory=dict)


def kernel(
    layers: Sequence[Any],
    x1: npt.ArrayLike,
    x2: npt.ArrayLike | None = None,
    get: str | Sequence[str] = KERNELS,
    *,
    nodes: int | None = None,
    nugget: float | None = None,
) -> GlobalKernel:
    """Compute the NNGP and the NTK between signals on the sphere, on circles or on discs.

    Parameters
    ----------
    layers : sequence of layers
        `SphereLift` or `CircleLift`, then `GlobalConv` and activations, GroupPool (the mean over
        the group, which makes the kernel invariant) or Flatten, then Dense and activations.
    x1 : array
        Signals: coefficients (N1, L², C) for SphereLift, samples (N1, P, C) or (N1, rings, P, C)
        for CircleLift.
    x2 : array, optional
        Others of the same band limit and channels. None means x1; the result is then symmetric.
    get : {"nngp", "ntk"} or both
    nodes : int, optional
        N of the quadrature: of nodes in cos beta on SO(3), by default 2L; of angles on SO(2), by
        default eight for each frequency.
    nugget : float, optional
        What will be added to the diagonal, relative to its mean. The error of the quadrature must
        be smaller, and no eigenvalue below minus half of it.

    Returns
    -------
    GlobalKernel

    Raises
    ------
    NetworkError
        The layers do not fit together.
    InputError
        Signals or options are not as above, `nodes` are too few for the band limit or, with a
        nugget, for that.
    MethodError
        The NTK is asked for and an activation has none.

    Warns
    -----
    RefntkWarning
        A symmetric kernel has a negative eigenvalue, and no nugget was given.

    Examples
    --------
    >>> import refntk
    >>> from refntk import sphere
    >>> net = [sphere.SphereLift(), refntk.Relu(), refntk.GroupPool(), refntk.Dense()]
    >>> x = sphere.random_signals(np.random.default_rng(0), 2, limit=3)
    >>> turned = sphere.rotate(x, (0.1, 0.2, 0.3))
    >>> k, same = sphere.kernel(net, x), sphere.kernel(net, turned, x)
    >>> bool(abs(k.ntk - same.ntk).max() < 5 * k.error["ntk"])
    True
    """
    names = names_of(get)
    layout = lay_out(layers, "ntk" in names)
    first, limit = layout.lift.prepare(x1, "X1")
    second = None
    if x2 is not None:
        second, _ = layout.lift.prepare(x2, "X2")
        if second.shape[1:] != first.shape[1:]:
            raise InputError(
                f"X2: its signals have the shape {np.shape(x2)[1:]}, those of X1 "
                f"{np.shape(x1)[1:]}: both must be alike"
            )
    count = layout.lift.nodes(nodes, limit, layout.bands)

    def blocks(number: int) -> Blocks[ComplexArray]:
        return Evaluation(layout, number, limit, names).block

    return measured(blocks, first, second, count, names, nugget)


def measured(
    blocks: Callable[[int], Blocks[_Set]],
    first: _Set,
    second: _Set | None,
    nodes: int,
    names: tuple[str, ...],
    nugget: float | None,
) -> GlobalKernel:
    """Compute kernels between two sets, with the error of the quadrature and the eigenvalues.

    Parameters
    ----------
    blocks : callable
        Makes the function that computes the kernels between two sets, for a number of nodes.
    first, second : sets
        Of signals, or of what consists of signals; they are cut by slices. None as in `kernel`.
    nodes, names, nugget
        As in `kernel`, which also lists the errors.

    Returns
    -------
    GlobalKernel
    """
    if nugget is not None and not 0 < nugget < math.inf:
        raise InputError(f"nugget: expected a positive number, not {nugget!r}")
    error = _error(blocks, nodes, first, second, names)
    for name, value in error.items():
        if nugget is not None and value >= nugget:
            raise InputError(
                f"nodes: with {nodes} the quadrature of the {name} is off by {value:.1g} of the "
                f"mean diagonal, which the nugget {nugget:g} does not cover: take "
                f"nodes={-(-3 * nodes // 2)} or more"
            )
    found = blocks(nodes)(first, second)
    smallest = {}
    if second is None:
        for name in names:
            smallest[name] = _positive(found[name], name, nodes, nugget)
    return GlobalKernel(found.get("nngp"), found.get("ntk"), None, nodes, error, smallest)


def names_of(get: str | Sequence[str]) -> tuple[str, ...]:
    """Check which kernels are asked for."""
    names = (get,) if isinstance(get, str) else tuple(get)
    for name in names or ("",):
        if name not in KERNELS:
            raise InputError(f"get: {unknown('kernel', name, KERNELS)}")
    return names


def _error(
    blocks: Callable[[int], Blocks[_Set]],
    nodes: int,
    first: _Set,
    second: _Set | None,
    names: tuple[str, ...],
) -> dict[str, float]:
    """Compare with half as many nodes again on some members of the sets."""
    one = first[:: -(-len(first) // _SAMPLE)]
    two = None if second is None else second[:: -(-len(second) // _SAMPLE)]
    finer = blocks(-(-3 * nodes // 2))
    coarse, fine = blocks(nodes)(one, two), finer(one, two)
    own = [fine] if two is None else [finer(each, None) for each in (one, two)]
    found = {}
    for name in names:
        means = [float(np.mean(np.diagonal(block[name]))) for block in own]
        scale = math.prod(means) ** (1 / len(means))
        worst = float(np.abs(coarse[name] - fine[name]).max())
        found[name] = _REST * worst / (scale or 1.0)
    return found


def _positive(matrix: Float64Array, name: str, nodes: int, nugget: float | None) -> float:
    """Find the smallest eigenvalue relative to the mean diagonal, and say where it is too low."""
    mean = float(np.mean(np.diagonal(matrix)))
    smallest = float(np.linalg.eigvalsh(matrix)[0]) / (mean or 1.0)
    lowest = _ROUNDING * len(matrix) if nugget is None else nugget / 2
    if smallest < -lowest:
        message = (
            f"the smallest eigenvalue of the {name} is {smallest:.1g} of its mean diagonal: the "
            f"quadrature with nodes={nodes} does not keep it positive; take more nodes"
        )
        if nugget is not None:
            raise InputError(f"{message}, or a nugget of more than {-2 * smallest:.1g}")
        warnings.warn(f"{message}, or add a nugget", RefntkWarning, stacklevel=4)
    return smallest
