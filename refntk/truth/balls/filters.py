"""Rules of layers that average over a filter or over windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
from flint import arb

from refntk.errors import MethodError
from refntk.network.layers import (
    AvgPool,
    Conv,
    CosetPool,
    Dense,
    GroupConv,
    Lift,
    RotationPool,
    SetGroupConv,
    SetLift,
    SetLinear,
    SumPool,
)
from refntk.network.linear import Linear
from refntk.truth.balls.grid_maps import (
    IDENTITY,
    box_maps,
    filter_maps,
    grid,
    number,
    point_group,
    times,
    turned,
    turned_windows,
)
from refntk.truth.balls.kernels import Balls, Kernels, mean_over_maps, square, sum_of_pairs, trained
from refntk.truth.balls.set_maps import conv_maps, coset_maps, lift_maps, orbital_rows, shares

__all__ = [
    "average_orbitals",
    "convolve",
    "convolve_on_group",
    "dense",
    "from_the_centre",
    "pool",
    "pool_cosets",
    "pool_rotations",
]


def convolve(layer: Conv | Lift | GroupConv, below: Kernels) -> Kernels:
    """Average over the maps of a filter."""
    shape: tuple[int, ...]
    if isinstance(layer, Lift) and layer.lattice is not None:
        raise MethodError("Lift: ball arithmetic has no rule for hexagons")
    if len(below.shape) == 2:
        height, width = below.shape
        shape, elements, maps = filter_maps(layer, (height, width), below.elements)
    elif isinstance(layer, Conv):
        (shape, maps), elements = box_maps(layer, below.shape), below.elements
    else:
        raise MethodError(
            f"{type(layer).__name__}: ball arithmetic has no rule for groups that turn signals or "
            "volumes"
        )
    above = _weighed(layer, below, lambda kernel: mean_over_maps(kernel, maps), len(maps))
    return replace(above, shape=shape, elements=elements)


def pool(layer: AvgPool | SumPool, below: Kernels) -> Kernels:
    """Sum over all pairs of positions of two windows, of one group element each, and divide.

    The windows turn as filters do; `own` holds what is above already.
    """
    if len(below.shape) == 2:
        tall, broad = below.shape
        shape, maps = turned_windows(layer, (tall, broad), below.elements)
    else:
        box = Conv(layer.window_shape, strides=layer.strides, padding=layer.padding)
        shape, maps = box_maps(box, below.shape)
    count = np.full(maps.shape[1], len(maps))
    if isinstance(layer, SumPool):
        count[:] = 1
    elif layer.normalize_edges:
        count = (maps >= 0).sum(axis=0)
    divisors = np.array([[arb(int(c * d)) for d in count] for c in count], object)
    nngp, theta = (sum_of_pairs(kernel, maps) / divisors for kernel in (below.nngp, below.theta))
    return replace(_of_pairs(below, nngp, theta), shape=shape)


def convolve_on_group(layer: SetLift | SetGroupConv, below: Kernels) -> Kernels:
    """Average over the maps of a filter on a finite group, with the shares of its elements."""
    if isinstance(layer, SetLift):
        elements, maps = lift_maps(layer)
    else:
        elements, maps = below.elements, conv_maps(layer, below.elements)
    parts = [
        (np.array(m), arb(share.numerator) / share.denominator)
        for m, share in zip(maps, shares(layer.weights, len(maps)), strict=True)
    ]

    def mean(kernel: Balls) -> Balls:
        return np.asarray(sum(kernel[np.ix_(*[m] * kernel.ndim)] * part for m, part in parts))

    return replace(_weighed(layer, below, mean, len(maps)), shape=(), elements=elements)


def average_orbitals(layer: SetLinear, below: Kernels) -> Kernels:
    """Average over each orbital on both sides; `own` holds what is above already."""
    orbitals = orbital_rows(layer)

    def mean(kernel: Balls) -> Balls:
        total = arb(0)
        for rows in orbitals:
            half = [sum(kernel[x] for x in row) / max(len(row), 1) for row in rows]
            half = [each if row else kernel[0] * 0 for each, row in zip(half, rows, strict=True)]
            both = np.array(half, object)
            columns = [
                both[:, row].sum(axis=1) / len(row) if row else both[:, 0] * 0 for row in rows
            ]
            total = total + np.array(columns, object).T
        return np.asarray(total / len(orbitals))

    above = _weighed(layer, below, mean, len(orbitals), from_own=True)
    return replace(above, shape=(len(above.nngp),), elements=[])


def pool_cosets(layer: CosetPool, below: Kernels) -> Kernels:
    """Average over pairs of elements of two cosets; `own` holds what is above already."""
    elements = below.elements
    if len(below.shape) != 2:
        return _averaged(below, coset_maps(layer, elements))
    chosen = layer.subgroup
    if isinstance(chosen, str):
        pooled = elements if chosen == "all" else point_group(chosen)
    else:
        pooled = [elements[int(number)] for number in chosen]  # type: ignore[arg-type]
        for one, two in ((one, two) for one in pooled for two in pooled):  # grows as it goes
            if times(one, two) not in pooled:
                pooled.append(times(one, two))
    height, width = below.shape
    reads = [[(elements.index(times(r, p)), y, x) for r in elements for y, x in
              grid(height, width)] for p in pooled]  # fmt: skip
    maps = [[number(place, (height, width), False) for place in read] for read in reads]
    return _averaged(below, maps)


def pool_rotations(layer: RotationPool, below: Kernels) -> Kernels:
    """Average over pairs of elements at two positions."""
    height, width = below.shape
    maps = [
        [number((r, y, x), (height, width), False) for y, x in grid(height, width)]
        for r in range(len(below.elements))
    ]
    return replace(_averaged(below, maps), elements=[IDENTITY])


def from_the_centre(kernel: Balls, below: Kernels) -> arb:
    """Average over pairs of elements r, r', and over what both see alike from the centre."""
    (height, width), elements = below.shape, below.elements
    total = arb(0)
    for q, (y, x) in product(elements, grid(height, width)):
        offset = 2 * y - height + 1, 2 * x - width + 1
        read = []
        for r in elements:
            dy, dx = turned(r, offset)
            place = elements.index(times(r, q)), (dy + height - 1) // 2, (dx + width - 1) // 2
            read.append(number(place, (height, width), False))
        total += kernel[np.ix_(read, read)].sum()
    return total / (len(elements) ** 2 * len(kernel))


def _averaged(below: Kernels, listed: list[list[int]]) -> Kernels:
    """Average over all pairs of maps; `own` holds what is above already."""
    maps: npt.NDArray[np.int64] = np.array(listed, np.int64)
    sums = (sum_of_pairs(kernel, maps) for kernel in (below.nngp, below.theta))
    nngp, theta = (total / len(maps) ** 2 for total in sums)
    return _of_pairs(below, nngp, theta)


def _of_pairs(below: Kernels, nngp: Balls, theta: Balls) -> Kernels:
    """Put in kernels whose variances need those of each image with itself; see `own`."""
    first, second = (nngp, nngp) if below.own is None else (own.nngp for own in below.own)
    same = np.eye(len(nngp), dtype=bool) & below.same.any()
    return replace(
        below, nngp=nngp, theta=theta, var1=first.diagonal(), var2=second.diagonal(), same=same,
    )  # fmt: skip


def _weighed(
    layer: Linear,
    below: Kernels,
    mean: Callable[[Balls], Balls],
    count: int,
    *,
    from_own: bool = False,
) -> Kernels:
    """Apply weights and biases behind the mean over `count` places of a filter.

    The variances are means likewise, or `from_own` those of each image with itself.
    """
    w, b = square(layer.W_std), square(layer.b_std)
    read = mean(below.nngp)
    nngp, theta = read * w + b, read * 0
    alpha, beta = trained(layer, below.channels and below.channels * count)
    if below.ntk:
        theta = mean(below.theta) * w + read * alpha + beta
    above = _of_pairs(below, nngp, theta)
    if not from_own:
        var1, var2 = (mean(var) * w + b for var in (below.var1, below.var2))
        above = replace(above, var1=var1, var2=var2)
    return replace(above, channels=layer.width, own=None)


def dense(layer: Dense, below: Kernels) -> Kernels:
    """Multiply and add, entry by entry."""
    w, b = square(layer.W_std), square(layer.b_std)
    nngp, var1, var2 = below.nngp * w + b, below.var1 * w + b, below.var2 * w + b
    alpha, beta = trained(layer, below.channels)
    theta = below.theta * w + below.nngp * alpha + beta
    return replace(below, nngp=nngp, theta=theta, var1=var1, var2=var2, channels=layer.width)
