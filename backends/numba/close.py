r"""Correlations of pairs of images that a network hardly tells apart, in double-double.

After a mean over positions, features of different images are nearly parallel: of near duplicates,
and of an image and its rotated copy, rounding in double precision is all that is left of 1 - rho,
and a Relu that follows shows it to first order. Here K of such a pair, and of both images with
themselves, runs through the same slices as in `refntk.backends.numba.slices`, in its plain form

.. math::
    K \leftarrow s s' \frac{\sin\theta + (\pi - \theta) \cos\theta}{2 \pi}, \quad
    \cos\theta = \frac{K}{s s'}

with 31 digits, of which the difference leaves enough; theta itself, which would lose half of them,
is not asked for. It takes some ten times as long, for few pairs. Lanes are pairs and rotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import sqrt

import numpy as np
import numpy.typing as npt
from numba import njit

from refntk.backends.numba.double_double import EXACT, add, fma, inverse, multiply, rectified, root
from refntk.backends.numba.frames import displaced, extent
from refntk.backends.numba.lanes import at, compiled, get, put, start, wide
from refntk.backends.numba.layout import Step
from refntk.backends.numba.team import share
from refntk.backends.numba.workspace import Tables
from refntk.backends.table import LINEAR
from refntk.ops.groups import point_group, rotate
from refntk.plan.reduction import Plan

__all__ = ["close_correlations"]

_LANES = 16

_S = Step()

Array = npt.NDArray[np.float64]


@njit(**EXACT)
def _add_row(hi, lo, hi2, lo2, size):
    """Add a row of numbers to another."""
    wide()
    for k in range(size):
        a, b = add(get(hi, k), get(lo, k), get(hi2, k), get(lo2, k))
        put(hi, k, a)
        put(lo, k, b)


@njit(**EXACT)
def _scale_row(hi, lo, weight, bias, size):
    """Multiply a row of numbers by a weight, and add a bias."""
    wide()
    for k in range(size):
        a, b = multiply(get(hi, k), get(lo, k), weight, 0.0)
        a, b = add(a, b, bias, 0.0)
        put(hi, k, a)
        put(lo, k, b)


@njit(**EXACT)
def _relu_row(hi, lo, root1, low1, over1, rest1, root2, low2, over2, rest2, size):
    """Take a row of K through Relu, given roots of the variances and their reciprocals."""
    wide()
    for k in range(size):
        a, b = multiply(get(hi, k), get(lo, k), get(over1, k), get(rest1, k))
        a, b = multiply(a, b, get(over2, k), get(rest2, k))
        a, b = rectified(a, b)
        a, b = multiply(a, b, get(root1, k), get(low1, k))
        a, b = multiply(a, b, get(root2, k), get(low2, k))
        put(hi, k, a)
        put(lo, k, b)


@njit(**EXACT)
def _activated_row(hi, lo, root1, low1, over1, rest1, root2, low2, over2, rest2, gain, skip, size):
    """Take a row of K through an activation that is no Relu, likewise."""
    wide()
    for k in range(size):
        c, d = multiply(get(hi, k), get(lo, k), get(over1, k), get(rest1, k))
        c, d = multiply(c, d, get(over2, k), get(rest2, k))
        a, b = rectified(c, d)
        a, b = multiply(a, b, gain, 0.0)
        c, d = multiply(c, d, skip, 0.0)
        a, b = add(a, b, c, d)
        a, b = multiply(a, b, get(root1, k), get(low1, k))
        a, b = multiply(a, b, get(root2, k), get(low2, k))
        put(hi, k, a)
        put(lo, k, b)


@njit(**EXACT)
def _roots_row(hi, lo, root1, low1, over1, rest1, gain, skip, size):
    """Find the roots of a row of variances before an activation, and their reciprocals.

    The activation multiplies the variances by gain / 2 + skip.
    """
    wide()
    half, rest = add(0.5 * gain, 0.0, skip, 0.0)
    for k in range(size):
        a, b = root(get(hi, k), get(lo, k))
        c, d = inverse(a, b)
        put(root1, k, a)
        put(low1, k, b)
        put(over1, k, c)
        put(rest1, k, d)
        a, b = multiply(get(hi, k), get(lo, k), half, rest)
        put(hi, k, a)
        put(lo, k, b)


@njit(**EXACT)
def _products(hi, lo, pixels1, pixels2, channels, size):
    """Set a position's lanes to the mean over channels of x x'."""
    scale = 1.0 / channels
    for v in range(size):
        a, b = 0.0, 0.0
        for c in range(channels):
            one, two = get(pixels1, c * size + v), get(pixels2, c * size + v)
            product = one * two
            a, b = add(a, b, product, fma(one, two, -product))
        a, b = multiply(a, b, scale, 0.0)
        put(hi, v, a)
        put(lo, v, b)


@njit(**EXACT)
def _begin(slice_, pixels1, pixels2, dy, dx, wrap):
    """Set the slice of displacement dy, dx to the kernel of the images."""
    (height, width, channels, lanes), (height2, width2) = pixels1.shape, pixels2.shape[:2]
    y0, rows = extent(height, height2, dy, wrap)
    x0, columns = extent(width, width2, dx, wrap)
    one, two = start(pixels1), start(pixels2)
    hi, lo = start(slice_[0]), start(slice_[1])
    line = slice_.shape[2] * lanes
    for y in range(y0, y0 + rows):
        for x in range(x0, x0 + columns):
            place = y * line + x * lanes
            first = (y * width + x) * channels * lanes
            second = ((y + dy) % height2 * width2 + (x + dx) % width2) * channels * lanes
            _products(
                at(hi, place), at(lo, place), at(one, first), at(two, second), channels, lanes
            )


@njit(**EXACT)
def _convolve(slice_, sums, step, below, above, wrap):
    """Sum the slice over the windows of a filter: along rows first, and then over rows.

    Rectangles `below` and `above` are a first row, rows, a first column and columns.
    """
    hi, lo, sum_hi, sum_lo = start(slice_[0]), start(slice_[1]), start(sums[0]), start(sums[1])
    lanes = slice_.shape[3]
    line = slice_.shape[2] * lanes
    y0, rows, x0, columns = below
    top, rows_above, left, columns_above = above
    sums[:, y0 : y0 + rows, left : left + columns_above] = 0.0
    for y in range(y0, y0 + rows):
        for b in range(step[_S.size_x]):
            shift = b * step[_S.dilation_x] - step[_S.low_x]
            if step[_S.stride_x] == 1 and not wrap:
                first = max(left, x0 - shift)
                count = min(left + columns_above, x0 + columns - shift) - first
                out, place = y * line + first * lanes, y * line + (first + shift) * lanes
                _add_row(
                    at(sum_hi, out), at(sum_lo, out), at(hi, place), at(lo, place), count * lanes
                )
            else:
                for j in range(left, left + columns_above):
                    x = step[_S.stride_x] * j + shift
                    x = x % step[_S.in_x] if wrap else x
                    if x0 <= x < x0 + columns:
                        out, place = y * line + j * lanes, y * line + x * lanes
                        _add_row(
                            at(sum_hi, out), at(sum_lo, out), at(hi, place), at(lo, place), lanes
                        )
    slice_[:, top : top + rows_above, left : left + columns_above] = 0.0
    for i in range(top, top + rows_above):
        for a in range(step[_S.size_y]):
            y = step[_S.stride_y] * i - step[_S.low_y] + a * step[_S.dilation_y]
            y = y % step[_S.in_y] if wrap else y
            if y0 <= y < y0 + rows:
                out, place = i * line + left * lanes, y * line + left * lanes
                _add_row(
                    at(hi, out), at(lo, out), at(sum_hi, place), at(sum_lo, place),
                    columns_above * lanes,
                )  # fmt: skip


@njit(**EXACT)
def _maps(pixels, slice_, sums, table, rates, duals, wrap, maps):
    """Find the roots of the variances before each Relu, and their reciprocals.

    They are maps[0] + maps[1] and maps[2] + maps[3], for each step a map of its positions; with
    circular padding each row is there twice.
    """
    _begin(slice_, pixels, pixels, 0, 0, wrap)
    lanes = slice_.shape[3]
    place = 0
    for k in range(table.shape[0]):
        step = table[k]
        below = 0, step[_S.in_y], 0, step[_S.in_x]
        above = 0, step[_S.out_y], 0, step[_S.out_x]
        _convolve(slice_, sums, step, below, above, wrap)
        size = step[_S.out_x] * lanes
        for i in range(step[_S.out_y]):
            hi, lo = start(slice_[0, i]), start(slice_[1, i])
            _scale_row(hi, lo, rates[k, 0], rates[k, 5], size)
            if step[_S.activation] != LINEAR:
                a, b, c, d = maps[0, place:], maps[1, place:], maps[2, place:], maps[3, place:]
                gain, skip = duals[k, 0], duals[k, 1]
                _roots_row(hi, lo, start(a), start(b), start(c), start(d), gain, skip, size)
            for part in range(4 * wrap):
                # Assigning a slice would take seconds to compile.
                for each in range(place, place + size):
                    maps[part, each + size] = maps[part, each]
            place += size * (1 + wrap)


@njit(**EXACT)
def _activate(slice_, maps1, maps2, place, step, other, dual, above, dy, dx, wrap):
    """Take a slice through an activation; its maps begin at `place`."""
    lanes = slice_.shape[3]
    line1, line2 = step[_S.out_x] * (1 + wrap), other[_S.out_x] * (1 + wrap)
    top, rows, left, columns = above
    one0, one1, one2, one3 = start(maps1[0]), start(maps1[1]), start(maps1[2]), start(maps1[3])
    two0, two1, two2, two3 = start(maps2[0]), start(maps2[1]), start(maps2[2]), start(maps2[3])
    for i in range(top, top + rows):
        p = place + (i * line1 + left) * lanes
        q = place + ((i + dy) % other[_S.out_y] * line2 + left + dx) * lanes
        rows = (
            at(start(slice_[0, i]), left * lanes), at(start(slice_[1, i]), left * lanes),
            at(one0, p), at(one1, p), at(one2, p), at(one3, p),
            at(two0, q), at(two1, q), at(two2, q), at(two3, q),
        )  # fmt: skip
        if dual == (1.0, 0.0):
            _relu_row(*rows, columns * lanes)
        else:
            _activated_row(*rows, dual[0], dual[1], columns * lanes)


@compiled
def _sums(pixels1, pixels2, tables, rates, duals, wrap, bounds, across, maps, work, out):
    """Sum K at the readout over positions, for some displacements along y and all along x.

    Parameters
    ----------
    pixels1, pixels2 : float64 array, shape (H, W, C, lanes)
        Those of x' have the shape of x, or all have that of x turned by 90 degrees.
    tables, rates
        As for `refntk.backends.numba.slices.block_sums`.
    duals : float64 array, shape (steps, 2)
        Gain and skip of each activation.
    wrap : int
    bounds, across : (int, int)
        Displacements along y, and along x, from and to.
    maps : float64 array, shape (2, 4, places)
    work : float64 array, shape (2, 2, rows, columns, lanes)
        Room for a slice, and for its sums along rows.
    out : float64 array, shape (displacements along y, 2, lanes)
        Sums, hi and lo, are put where a displacement's place in `bounds` is.
    """
    slice_, sums, lanes = work[0], work[1], pixels1.shape[3]
    table, other = tables
    steps = table.shape[0]
    _maps(pixels1, slice_, sums, table, rates, duals, wrap, maps[0])
    _maps(pixels2, slice_, sums, other, rates, duals, wrap, maps[1])
    for dy in range(bounds[0], bounds[1]):
        total = out[dy - bounds[0]]
        for dx in range(across[0], across[1]):
            below_y, below_x = displaced(table, 0, dy, dx)
            _begin(slice_, pixels1, pixels2, below_y, below_x, wrap)
            y0, rows = extent(pixels1.shape[0], pixels2.shape[0], below_y, wrap)
            x0, columns = extent(pixels1.shape[1], pixels2.shape[1], below_x, wrap)
            place = 0
            for k in range(steps):
                step, step2 = table[k], other[k]
                above_y, above_x = displaced(table, k + 1, dy, dx)
                below = y0, rows, x0, columns
                y0, rows = extent(step[_S.out_y], step2[_S.out_y], above_y, wrap)
                x0, columns = extent(step[_S.out_x], step2[_S.out_x], above_x, wrap)
                above = y0, rows, x0, columns
                _convolve(slice_, sums, step, below, above, wrap)
                for i in range(y0, y0 + rows):
                    hi, lo = start(slice_[0, i, x0]), start(slice_[1, i, x0])
                    _scale_row(hi, lo, rates[k, 0], rates[k, 5], columns * lanes)
                if step[_S.activation] != LINEAR:
                    _activate(
                        slice_, maps[0], maps[1], place, step, step2,
                        (duals[k, 0], duals[k, 1]), above, above_y, above_x, wrap,
                    )  # fmt: skip
                place += step[_S.out_y] * step[_S.out_x] * (1 + wrap) * lanes
            for i in range(y0, y0 + rows):
                for j in range(x0, x0 + columns):
                    one, two = start(slice_[0, i, j]), start(slice_[1, i, j])
                    _add_row(start(total[0]), start(total[1]), one, two, lanes)


def close_correlations(
    plan: Plan, images: Array, pairs: Sequence[tuple[int, int]], threads: int
) -> tuple[Array, Array]:
    """Find how far features at the readout are from parallel, and from opposite.

    Parameters
    ----------
    plan : Plan
        Of the method slices.
    images : float64 array, shape (N, H, W, C)
    pairs : sequence of (int, int)
        P pairs of their numbers.
    threads : int

    Returns
    -------
    deficit, excess : float64 array, shape (P,)
        1 - rho and 1 + rho, each to 1e-27 and to some 15 digits of its own. Where a variance is
        zero rho is 0.
    """
    if not pairs:
        return np.zeros(0), np.zeros(0)
    used = sorted({image for pair in pairs for image in pair})
    kernels = _kernels(plan, images, [*((k, k) for k in used), *pairs], threads)
    variances = dict(zip(used, kernels, strict=False))  # pairs come after them
    parts = [
        _parts(kernel, variances[i], variances[j])
        for (i, j), kernel in zip(pairs, kernels[len(used) :], strict=True)
    ]
    deficit, excess = np.array(parts).T
    return deficit, excess


def _parts(kernel: Fraction, var1: Fraction, var2: Fraction) -> tuple[float, float]:
    """Turn a kernel and its variances into 1 - rho and 1 + rho."""
    square = var1 * var2
    if square <= 0:
        return 1.0, 1.0
    scale = sqrt(square)
    large = 1 + min(float(abs(kernel)) / scale, 1.0)
    small = max(float((square - kernel * kernel) / square), 0.0) / large
    return (small, large) if kernel > 0 else (large, small)


def _kernels(
    plan: Plan, images: Array, pairs: Sequence[tuple[int, int]], threads: int
) -> list[Fraction]:
    """Sum K at the readout over positions and rotations of x', for pairs of numbers of images."""
    totals = [Fraction()] * len(pairs)
    for elements, turned in plan.families:
        sums = _rotated_sums(Tables(plan, "float64", turned), images, pairs, elements, threads)
        totals = [total + part for total, part in zip(totals, sums, strict=True)]
    return totals


def _rotated_sums(
    tables: Tables,
    images: Array,
    pairs: Sequence[tuple[int, int]],
    elements: Sequence[int],
    threads: int,
) -> list[Fraction]:
    """Do so for the rotations that give x' one shape."""
    (first, last), across = tables.displacements
    rotations = [(i, j, r) for i, j in pairs for r in elements]
    chunks = [rotations[k : k + _LANES] for k in range(0, len(rotations), _LANES)]
    out = np.zeros((len(chunks), last - first, 2, _LANES))
    # Cut further where there are few pairs: a sum for each displacement does not depend on it.
    cuts = np.linspace(first, last, 1 + min(last - first, max(1, 2 * threads // len(chunks))))
    tasks = [
        (k, bounds) for k in range(len(chunks)) for bounds in pairwise(cuts.astype(int).tolist())
    ]

    def work(room: tuple[Array, Array], task: tuple[int, tuple[int, int]]) -> None:
        k, (begin, end) = task
        _sums(
            *_lanes(tables.plan, images, chunks[k]), tables.both, tables.rates, tables.duals,
            tables.wrap, (begin, end), across, *room, out[k, begin - first : end - first],
        )  # fmt: skip

    share(tasks, threads, lambda: _room(tables.plan, tables.wrap), work)
    sums = [
        sum((Fraction(hi) + Fraction(lo) for hi, lo in lane), Fraction())
        for chunk in out
        for lane in chunk.transpose(2, 0, 1).tolist()
    ]
    n = len(elements)
    return [sum(sums[k * n : (k + 1) * n], Fraction()) for k in range(len(pairs))]


def _lanes(
    plan: Plan, images: Array, rotations: Sequence[tuple[int, int, int]]
) -> tuple[Array, Array]:
    """Bring images x, and rotations of x', into lanes, each of shape (H, W, C, lanes)."""
    group = point_group(plan.group)
    filled = [*rotations] + [rotations[-1]] * (_LANES - len(rotations))
    one = np.stack([images[i] for i, _, _ in filled], axis=-1)
    two = np.stack([rotate(images[j], r, group) for _, j, r in filled], axis=-1)
    # NumPy keeps the order in memory of images that are views or turned, compiled code has its own.
    return np.ascontiguousarray(one), np.ascontiguousarray(two)


def _room(plan: Plan, wrap: int) -> tuple[Array, Array]:
    """Give memory for the maps of two images, and for a slice and its sums."""
    places = sum(step.y.n_out * step.x.n_out for step in plan.steps) * (1 + wrap) * _LANES
    shapes = [each.extent for each in ((plan, plan.turned()) if plan.oblong else (plan,))]
    tallest, widest = np.max(shapes, axis=0).tolist()
    return np.zeros((2, 4, places)), np.zeros((2, 2, tallest, widest, _LANES))
