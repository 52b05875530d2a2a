"""The method band: blocks of pairs of images through all stages, with poolings between them.

Slices of the first stage are those of `refntk.backends.numba.slices`; after their last step they
are added to sums over windows, in deficits. Slices of later stages, a few percent of the entries,
take the careful form from there on. `refntk.backends.numba.schedule` says which slice comes when.
"""

from __future__ import annotations

from numba import njit

from refntk.backends.numba.calls import careful_row_through, fast_row_to_pool
from refntk.backends.numba.frames import displaced, extent
from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    at,
    compiled,
    get,
    lane_count,
    number,
    put,
    start,
)
from refntk.backends.numba.layout import Stage, Step
from refntk.backends.numba.maps import build_maps, load_lanes, select, unit_pixels
from refntk.backends.numba.pooling import displacement, pool_maps, resume, scatter
from refntk.backends.numba.slices import (
    advance_function,
    begin,
    compare,
    needed,
    row_of,
    total,
)
from refntk.backends.table import LINEAR

__all__ = ["band_sums"]

_G, _S = Stage(), Step()

_advance = advance_function(fast_row_to_pool, False, True)
# Without an end: deficits and K both go on to the pooling, and what is summed at the end is K.
_advance_careful = advance_function(careful_row_through, True, False)


@njit(**OPTIONS)
def _maps(work, maps, numerator, pixels, own, first, static, band, lay):
    """Build the maps of all stages for the images in the lanes."""
    (table, rates, _, _), (stages, factors, shares, exact) = static, band
    load_lanes(pixels, first, work, lay.pixels2, lay)
    unit_pixels(work, maps, lay)
    for k in range(stages.shape[0]):
        if k > 0:
            pool_maps(work, maps, own, first, stages, k, (table, factors, shares, exact), lay)
        steps = table[stages[k, _G.first] : stages[k, _G.stop]]
        own_rates = rates[stages[k, _G.first] : stages[k, _G.stop]]
        build_maps(work, maps, numerator, steps, own_rates, lay)


@njit(**OPTIONS)
def _steps(memory, displaced_by, careful, k, stages, static, lay):
    """Take a slice through the steps of stage k; the displacement is that after it."""
    (work, tangent, _, plain), (table, rates, constants, _) = memory, static
    first, stop = stages[k, _G.first], stages[k, _G.stop]
    steps, early = table[first:stop], k == 0
    for j in range(first, stop):
        rate = rates[j, 0], rates[j, 1], rates[j, 2], rates[j, 3], rates[j, 4]
        own = row_of(constants, j)
        if not careful:
            later = work, tangent, None, None
            _advance(later, j - first, displaced_by, (steps, steps), rate, own, lay)
        elif early:
            _advance_careful(memory, j - first, displaced_by, (steps, steps), rate, own, lay)
        else:
            later = work, tangent, None, plain
            _advance_careful(later, j - first, displaced_by, (steps, steps), rate, own, lay)
        early = early and table[j, _S.activation] == LINEAR


@njit(**INLINE)
def _clear(array, place, size):
    """Set some sums to zero."""
    if array is not None:
        for k in range(size):
            put(array, place + k, number(array, 0.0))


@njit(**OPTIONS)
def _clear_all(sums, exact, fresh, first, last):
    """Set the sums to zero that begin."""
    (sums_w, sums_t, sums_p), lanes = sums, lane_count(sums[0])
    for j in range(first, last):
        place, size = fresh[j, 0] * lanes, fresh[j, 1] * lanes
        _clear(sums_w, place, size)
        _clear(sums_t, place, size)
        if exact:
            _clear(sums_p, place, size)


@njit(**INLINE)
def _mark(work, place, value):
    """Set one row of lanes."""
    for v in range(lane_count(work)):
        put(work, place + v, number(work, value))


@njit(**OPTIONS)
def _first(memory, sums, exact, numbers, displaced_by, static, stages, schedule, lay):
    """Compute a slice of the first stage, in both forms where lanes need them, and add it."""
    (work, tangent, excesses, plain), table, stage = memory, static[0], stages[0]
    keep, columns = at(work, lay.gathered), stages[0, _G.above]
    below_y, below_x = displaced(
        table[stage[_G.first] : stage[_G.stop]], 0, displaced_by[0], displaced_by[1]
    )
    for v in range(lane_count(work)):
        put(work, lay.worst + v, get(work, lay.unlike + v))
    for careful in (False, True):
        if needed(work, not careful, lay) == careful:
            begin(work, tangent, excesses, plain, below_y, below_x, careful, table, lay, lay)
            _steps(memory, displaced_by, careful, 0, stages, static, lay)
            for v in range(lane_count(work)):
                worst = get(work, lay.worst + v)
                mine = (worst < number(work, 0.0)) == careful
                put(keep, v, number(work, -1.0 if mine else 1.0))
            scatter(memory, sums, exact, keep, stage, (1, columns), numbers, schedule, lay)


@njit(**OPTIONS)
def _keep(sums, exact, row, lane, alone):
    """Store the sums of an image with itself, which is in one of the lanes."""
    (sums_w, _, sums_p), (target, first, place, size) = sums, alone
    for k in range(size):
        source = (place + k) * lane_count(sums_w) + row - lane
        target[row, 0, first + k] = get(sums_w, source)
        if exact:
            target[row, 1, first + k] = get(sums_p, source)


@compiled
def band_sums(pixels, own, part, static, band, schedule, alone, lay, memory, sums, out):
    """Sum the kernels at the readout over positions and displacements, for a block of pairs.

    Parameters
    ----------
    pixels : two float arrays, shapes (N, H C W), (M, H C W)
        Images x and x', as for `refntk.backends.numba.slices.block_sums`.
    own : two float arrays, shapes (N, 2, positions), (M, 2, positions)
        What images have of their own, see `refntk.backends.numba.pooling.pool_maps`.
    part : tuple
        Rows (first image x, and the one after the last; as many as there are lanes at most), and
        the image x' in the first lane.
    static : tuple
        As for `refntk.backends.numba.slices.block_sums`.
    band : tuple
        Table of the stages; by what roots of variances are multiplied after each of them; by what
        sums over windows are multiplied, for each position of each pooling; and whether all slices
        take the careful form and K is summed up.
    schedule : tuple
        Events, fresh sums and places of `refntk.backends.numba.schedule.Schedule`; and the runs,
        see `refntk.backends.numba.pooling.scatter`.
    alone : tuple
        What to keep of images x with themselves, where they are x', too, and in the lanes: an array
        like `own`, the first position in it, the place of the sums and how many they are, perhaps
        none.
    lay : Layout
    memory : four float arrays
        As for `refntk.backends.numba.slices.block_sums`.
    sums : three float arrays
        Room for sums of deficits, of the NTK, which is None where it is not wanted, and of K.
    out : float64 array, shape (N, 1 or 2, lanes)
        Sums are added to it: NNGP, and NTK where there is a tangent.
    """
    (pixels1, pixels2), (own1, own2), (rows, lane) = pixels, own, part
    (table, _, _, limit), (stages, _, _, exact) = static, band
    events, fresh, places, runs, starts = schedule
    goes = places, runs, starts
    work, tangent, plain = start(memory[0]), start(memory[1]), start(memory[3])
    pointers = work, tangent, start(memory[2]), plain
    targets = start(sums[0]), start(sums[1]), start(sums[2])
    half, one = number(work, 0.5), number(work, 1.0)
    _maps(work, lay.maps1, half, pixels1, own1, rows[0], static, band, lay)
    _maps(work, lay.maps2, one, pixels2, own2, lane, static, band, lay)
    for row in range(rows[0], rows[1]):
        select(pixels1, row, work, row - rows[0], table, lay)
        steps = table[: stages[0, _G.stop]]
        compare(work, steps, steps, limit, lay)
        if exact:
            _mark(work, lay.unlike, -1.0)
        for e in range(events.shape[0]):
            k, numbers = events[e, 0], (events[e, 1], events[e, 2])
            stage = stages[k]
            by = (
                displacement(stage[_G.out_y], numbers[0], lay.wrap),
                displacement(stage[_G.out_x], numbers[1], lay.wrap),
            )
            if k > 0:
                _mark(work, lay.worst, -1.0)
                below = displaced(table[stage[_G.first] : stage[_G.stop]], 0, by[0], by[1])
                resume(pointers, targets, exact, stage, (below[0], below[1], events[e, 3]), lay)
            _clear_all(targets, exact, fresh, events[e, 4], events[e, 5])
            if k == 0:
                _first(pointers, targets, exact, numbers, by, static, stages, goes, lay)
                continue
            _steps(pointers, by, True, k, stages, static, lay)
            if stage[_G.ends]:
                height = extent(stage[_G.out_y], stage[_G.out_y], by[0], lay.wrap)[1]
                width = extent(stage[_G.out_x], stage[_G.out_x], by[1], lay.wrap)[1]
                worst = at(work, lay.worst)
                total(plain, worst, True, out[row, 0], height, width, lay)
                if tangent is not None:
                    total(tangent, worst, True, out[row, 1], height, width, lay)
            else:
                keep, above = at(work, lay.worst), (k + 1, stage[_G.above])
                scatter(pointers, targets, exact, keep, stage, above, numbers, goes, lay)
        _keep(targets, exact, row, lane, alone)
