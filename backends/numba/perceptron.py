r"""Networks that begin with Flatten: products of vectors, and the layers after them, by blocks.

The arithmetic is that of `refntk.evaluation.head`, pair by pair while its numbers are in the cache:
with the deficit u = 1 - rho and the excess z = 1 + rho of two features, s and s' the roots of their
variances before a Dense layer and S, S' those after it, p = W s / S and q = b / S,

.. math::
    u \leftarrow p p' u + \tfrac12 (p - p')^2 + \tfrac12 (q - q')^2, \quad
    z \leftarrow p p' z + \tfrac12 (p - p')^2 + \tfrac12 (q - q')^2 + 2 q q'

and Relu takes u to A(u), see `refntk.backends.numba.rows`; after it u <= 1, and z is not asked for.
Roots are carried instead of variances, which overflow and underflow earlier.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from refntk.backends.numba.lanes import OPTIONS, angle, at, compiled, get, put, segment, start, wide
from refntk.backends.numba.products import COLUMNS, LANES, PANEL, half_square, product_rows
from refntk.backends.numba.team import share
from refntk.ops.dual import ArcCosine
from refntk.ops.operations import Filter, Operation, Pointwise, Stack
from refntk.plan.reduction import Plan

__all__ = ["Vectors", "is_perceptron", "perceptron_block", "vectors"]

_ROWS = 120
"""Vectors x of a block: with a chunk of the x' they stay in the second-level cache."""

_SURE = 1e-3
"""Deficits, or excesses, from this on are as good from products as from differences."""

_DENSE, _SCALE, _SIGNED, _NONNEGATIVE = 0, 1, 2, 3
"""Dense with a bias; Dense without one, which leaves u as it is; the first Relu; the later ones."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Vectors:
    """Flattened images, and what the layers make of their sizes.

    Attributes
    ----------
    units : float64 array, shape (N, F)
        Vectors of length 1, or 0, with zeros at the end: F is a multiple of the lanes.
    maps : float64 array, shape (1 + layers, 3, N)
        Root S of the variance at the readout and after each layer, and p and q of each Dense layer.
    """

    units: Array
    maps: Array


class _Task(NamedTuple):
    """A block of pairs: first image and the one after the last, among x and among x'."""

    rows: tuple[int, int]
    columns: tuple[int, int]


def is_perceptron(plan: Plan) -> bool:
    """Tell whether a plan is one for this module: Flatten, and then Dense layers and Relus."""
    begins = len(plan.body) == 1 and isinstance(plan.body.operations[0], Stack)
    return plan.method == "slices" and begins and all(map(_is_known, plan.head.operations))


def _is_known(operation: Operation) -> bool:
    if isinstance(operation, Filter):
        return operation.in_ntk_parametrization
    relu = ArcCosine(Fraction(1), Fraction(0))
    return isinstance(operation, Pointwise) and operation.dual.arccos == relu


def vectors(plan: Plan, images: npt.NDArray[Any]) -> Vectors:
    """Flatten images, and take their sizes through the layers.

    Parameters
    ----------
    plan : Plan
    images : float array, shape (N, H, W, C)

    Returns
    -------
    Vectors
    """
    flat = images.reshape(len(images), -1)
    units = np.zeros((len(flat), -(-flat.shape[1] // LANES) * LANES))
    largest = np.abs(flat).max(axis=1).astype(np.float64)
    inside = units[:, : flat.shape[1]]
    # Two divisions: neither the squares nor a reciprocal may overflow or vanish.
    np.divide(flat, largest[:, None], out=inside, where=largest[:, None] > 0)
    # Not by matrix products, whose last digits depend on how many vectors there are.
    length = np.sqrt((inside * inside).sum(axis=1))
    np.divide(inside, length[:, None], out=inside, where=length[:, None] > 0)
    root = largest * (length / math.sqrt(flat.shape[1]))
    maps = np.zeros((1 + len(plan.head), 3, len(flat)))
    maps[0, 0] = root
    for layer, (after, p, q) in zip(plan.head.operations, maps[1:], strict=True):
        if isinstance(layer, Filter):
            after[:] = np.hypot(layer.weight * root, layer.bias)
            np.divide(layer.weight * root, after, out=p, where=after > 0)
            np.divide(layer.bias, after, out=q, where=after > 0)
        else:
            after[:] = root / math.sqrt(2)
        root = after
    return Vectors(units, maps)


def perceptron_block(
    plan: Plan, one: Vectors, two: Vectors | None, threads: int, progress: Callable[[float], None]
) -> tuple[Array, Array]:
    """Compute the kernels of a network between images.

    Parameters
    ----------
    plan : Plan
        See `is_perceptron`.
    one, two : Vectors
        N and M of them; None means the same, and then only entries with row <= column are right.
    threads : int
    progress : callable
        As for `refntk.backends.Backend.block`.

    Returns
    -------
    nngp, ntk : float64 array, shape (N, M)
        Each pair's numbers depend on nothing but these two images.
    """
    other = one if two is None else two
    shape = len(one.units), len(other.units)
    nngp, ntk = np.zeros(shape), np.zeros(shape)
    kinds, rates = _tables(plan)
    tasks = [
        _Task((row, min(row + _ROWS, shape[0])), (column, min(column + COLUMNS, shape[1])))
        for row in range(0, shape[0], _ROWS)
        for column in range(0, shape[1], COLUMNS)
        if two is not None or column + COLUMNS > row
    ]

    def work(memory: Array, task: _Task) -> None:
        _block(
            one.units, other.units, one.maps, other.maps, *task, kinds, rates, memory, nngp, ntk
        )

    # The products of a block, the room for a chunk of vectors, and that for u and z.
    room = PANEL + (2 + _ROWS + LANES) * COLUMNS
    share(tasks, threads, lambda: np.zeros(room), work, progress)
    return nngp, ntk


def _tables(plan: Plan) -> tuple[npt.NDArray[np.int64], Array]:
    """Kind of each layer after Flatten, and its W_std² and b_std²."""
    kinds, rates, positive = [], [], False
    for layer in plan.head.operations:
        if isinstance(layer, Filter):
            kinds.append(_DENSE if layer.bias else _SCALE)
            rates.append((layer.weight**2, layer.bias**2))
        else:
            kinds.append(_NONNEGATIVE if positive else _SIGNED)
            rates.append((0.0, 0.0))
            positive = True
    return np.array(kinds, np.int64), np.array(rates, np.float64).reshape(-1, 2)


@njit(**OPTIONS)
def _correlate(one, two, size, row, columns, products, u, z):
    """Turn the products of a row into deficits and excesses."""
    for j in range(columns[1] - columns[0]):
        rho = get(products, j)
        deficit, excess = 1.0 - rho, 1.0 + rho
        if min(deficit, excess) < _SURE:
            first, second = at(one, row * size), at(two, (columns[0] + j) * size)
            if deficit < excess:
                deficit = half_square(first, second, -1.0, size)
            else:
                excess = half_square(first, second, 1.0, size)
        put(u, j, deficit)
        put(z, j, excess)


@njit(**OPTIONS)
def _begin_row(u, z, nngp, ntk, root1, roots2, size):
    """Set a row of kernels to those at the readout."""
    wide()
    for j in range(size):
        scale = root1 * get(roots2, j)
        near = get(u, j) <= get(z, j)
        put(nngp, j, scale * (1.0 - get(u, j) if near else get(z, j) - 1.0))
        put(ntk, j, 0.0)


@njit(**OPTIONS)
def _dense_row(nngp, ntk, weight, bias, size):
    """Take a row of kernels through a Dense layer."""
    wide()
    for j in range(size):
        new = weight * get(nngp, j) + bias
        put(nngp, j, new)
        put(ntk, j, new + weight * get(ntk, j))


@njit(**OPTIONS)
def _bias_row(u, z, p1, q1, p2, q2, size):
    """Take a row of deficits and excesses through a Dense layer with a bias."""
    wide()
    for j in range(size):
        rate, both = p1 * get(p2, j), q1 * get(q2, j)
        dp, dq = p1 - get(p2, j), q1 - get(q2, j)
        chord = 0.5 * (dp * dp) + 0.5 * (dq * dq)
        put(u, j, rate * get(u, j) + chord)
        put(z, j, rate * get(z, j) + chord + 2.0 * both)


@njit(**OPTIONS)
def _first_relu_row(u, z, nngp, ntk, root1, roots2, size):
    """Take a row through the first Relu."""
    wide()
    for j in range(size):
        near = get(u, j) <= get(z, j)
        w = get(u, j) if near else get(z, j)
        tau = math.sqrt(w)
        turn = tau * angle(w)
        cap = (w * tau) * segment(w)
        scale = root1 * get(roots2, j)
        slope = 0.5 - turn if near else turn
        put(u, j, (w if near else 1.0) - cap)
        put(nngp, j, scale * ((1.0 - w if near else 0.0) + cap))
        put(ntk, j, get(ntk, j) * slope if scale > 0.0 else 0.0)


@njit(**OPTIONS)
def _relu_row(u, nngp, ntk, root1, roots2, size):
    """Take a row through another Relu."""
    wide()
    for j in range(size):
        w = get(u, j)
        tau = math.sqrt(w)
        deficit = w - (w * tau) * segment(w)
        scale = root1 * get(roots2, j)
        put(u, j, deficit)
        put(nngp, j, scale * (1.0 - deficit))
        slope = 0.5 - tau * angle(w)
        put(ntk, j, get(ntk, j) * slope if scale > 0.0 else 0.0)


@compiled
def _block(one, two, maps1, maps2, rows, columns, kinds, rates, room, nngp, ntk):
    """Compute the kernels of a block of pairs.

    Parameters
    ----------
    one, two : float64 array, shape (N, F), (M, F)
    maps1, maps2 : float64 array, shape (1 + layers, 3, N), (1 + layers, 3, M)
        See `Vectors`.
    rows, columns : (int, int)
    kinds : int64 array, shape (layers,)
    rates : float64 array, shape (layers, 2)
    room : float64 array
        Memory of a thread, see `perceptron_block`.
    nngp, ntk : float64 array, shape (N, M)
        Written to where the block is.
    """
    size, width = one.shape[1], columns[1] - columns[0]
    x1, x2, panel = start(one), start(two), start(room)
    u, z = at(panel, PANEL), at(panel, PANEL + COLUMNS)
    products = at(panel, PANEL + 2 * COLUMNS)
    other, count1, count2 = start(maps2), maps1.shape[2], maps2.shape[2]
    first = start(maps1)
    product_rows(x1, x2, size, rows, columns, panel, products)
    for i in range(rows[0], rows[1]):
        k, t = at(start(nngp), i * count2 + columns[0]), at(start(ntk), i * count2 + columns[0])
        _correlate(x1, x2, size, i, columns, at(products, (i - rows[0]) * COLUMNS), u, z)
        _begin_row(u, z, k, t, get(first, i), at(other, columns[0]), width)
        for layer in range(len(kinds)):
            place1, place2 = 3 * (layer + 1) * count1 + i, 3 * (layer + 1) * count2 + columns[0]
            root1, roots2 = get(first, place1), at(other, place2)
            if kinds[layer] == _SIGNED:
                _first_relu_row(u, z, k, t, root1, roots2, width)
            elif kinds[layer] == _NONNEGATIVE:
                _relu_row(u, k, t, root1, roots2, width)
            else:
                if kinds[layer] == _DENSE:
                    p1, q1 = get(first, place1 + count1), get(first, place1 + 2 * count1)
                    p2, q2 = at(other, place2 + count2), at(other, place2 + 2 * count2)
                    _bias_row(u, z, p1, q1, p2, q2, width)
                _dense_row(k, t, rates[layer, 0], rates[layer, 1], width)
