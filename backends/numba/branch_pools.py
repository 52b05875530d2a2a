r"""Poolings before the readout, of slices of branches: what is summed over windows, and goes on.

With bars for means over the windows of a pooling, and w the mean of D between an image and itself
over one window,

.. math::
    D' = \bar D - \tfrac12 (w + w'), \quad K' = \bar K, \quad \Theta' = \bar\Theta

and D is never less than the square of the difference of the roots of variances; where it is more by
rounding alone it is taken as that, as of duplicates.
"""

from __future__ import annotations

from numba import njit

from refntk.backends.numba.lanes import INLINE, OPTIONS, at, get, lane_count, number, put, wide
from refntk.backends.numba.pooling import displacement

__all__ = ["add_to_pools", "clear_sums", "keep_own", "resume_row"]

_NOISE = (*[0.0] * 8, 1.8e-15, *[0.0] * 7, 9.6e-7)
"""By the number of lanes, the relative difference of mean distances that is rounding."""


@njit(**OPTIONS)
def resume_row(d, k, t, sums, ones, twos, columns):
    """Turn sums over windows of a row into its D, K and NTK.

    `ones` and `twos` are rows of maps, numbers of x and lanes of x': w, the root of the variance,
    and by what sums are multiplied.
    """
    wide()
    (sum_d, sum_k, sum_t), (own1, root1, share1), (own2, root2, share2) = sums, ones, twos
    lanes, half = lane_count(d), number(d, 0.5)
    noise = number(d, _NOISE[lanes])
    for j in range(columns):
        w1, r1, h1 = get(own1, j), get(root1, j), get(share1, j)
        for v in range(lanes):
            i = j * lanes + v
            share, both = h1 * get(share2, i), w1 + get(own2, i)
            delta, total = r1 - get(root2, i), share * get(sum_d, i)
            least, rest = delta * delta, total - half * both
            put(d, i, rest if rest - least > noise * (total + both) else least)
            put(k, i, share * get(sum_k, i))
            put(t, i, share * get(sum_t, i))


@njit(**OPTIONS)
def clear_sums(sums, room, fresh, first, last):
    """Set the sums to zero that begin: those of D, K and the NTK lie `room` apart."""
    lanes = lane_count(sums)
    for j in range(first, last):
        for part in range(3):
            for i in range(fresh[j, 0] * lanes, (fresh[j, 0] + fresh[j, 1]) * lanes):
                put(sums, part * room + i, number(sums, 0.0))


@njit(**INLINE)
def _add_run(out, row, stride, count):
    """Add every `stride`-th position of a row to the positions of another."""
    lanes = lane_count(out)
    for j in range(count):
        for v in range(lanes):
            i = j * lanes + v
            put(out, i, get(out, i) + get(row, j * stride * lanes + v))


@njit(**OPTIONS)
def add_to_pools(source, sums, rooms, begin, line, stage, numbers, strides, above, goes, wrap):
    """Add a slice after a stage to the sums of the next one.

    Parameters
    ----------
    source, sums : pointers
        D at its first position, and the first sum; K and the NTK are each one room further on.
    rooms : (int, int)
        How far these are, in the slice and in the sums.
    begin : (int, int)
        First row and column of the slice.
    line : int
        Elements from one row of it to the next.
    stage : int
    numbers : (int, int)
        Of its displacements.
    strides : (int, int)
        Of the pooling.
    above : int
        Positions along x after it.
    goes : tuple
        Places of `refntk.backends.numba.schedule.Schedule`; all runs, an int array, shape
        (runs, 5); where those of each stage begin, by axis and number of the displacement.
    wrap : bool
    """
    (places, runs, starts), lanes = goes, lane_count(sums)
    for a in range(starts[stage, 0, numbers[0]], starts[stage, 0, numbers[0] + 1]):
        for b in range(starts[stage, 1, numbers[1]], starts[stage, 1, numbers[1] + 1]):
            place = places[stage + 1, runs[a, 1], runs[b, 1]]
            if place >= 0:
                dx = displacement(above, runs[b, 1], wrap)
                columns = above if wrap else above - abs(dx)
                for i in range(runs[a, 4]):
                    y = begin[0] + runs[a, 2] + i * strides[0]
                    row = y * line + (begin[1] + runs[b, 2]) * lanes
                    out = (place + (runs[a, 3] + i) * columns + runs[b, 3]) * lanes
                    for part in range(3):
                        _add_run(
                            at(sums, part * rooms[1] + out), at(source, part * rooms[0] + row),
                            strides[1], runs[b, 4],
                        )  # fmt: skip


@njit(**OPTIONS)
def keep_own(sums, room, own, lane, place):
    """Store the sums of D and K of an image with itself, which is in one of the lanes."""
    lanes = lane_count(sums)
    for i in range(own.shape[1]):
        own[0, i] = get(sums, (place + i) * lanes + lane)
        own[1, i] = get(sums, room + (place + i) * lanes + lane)
