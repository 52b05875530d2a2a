"""Displacement slices for activations of any kind: blocks of pairs through all layers.

The slices are those of `refntk.backends.numba.slices`, with D, K and the NTK in its arrays `work`,
`plain` and `tangent`; what is different is the row functions, and that what depends on one image
alone is computed outside, by `refntk.backends.numba.parameters`. A block function is compiled for
the activations that a network has, and only when it is asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import njit

from refntk.backends.numba.frames import displaced, extent
from refntk.backends.numba.functions import FUNCTIONS, PARAMETERS, power_function
from refntk.backends.numba.general_rows import (
    linear_row_function,
    row_function,
    series_row,
)
from refntk.backends.numba.lanes import (
    INLINE,
    OPTIONS,
    at,
    compiled,
    get,
    lane_count,
    number,
    put,
    some,
    start,
)
from refntk.backends.numba.layout import Step
from refntk.backends.numba.maps import load_lanes
from refntk.backends.numba.slices import advance_function, begin, total
from refntk.backends.table import LINEAR

__all__ = ["activation_call", "general_sums"]

_S = Step()


def _of(functions: tuple[Any, ...]) -> Any:
    """Build the function (which, arguments) that calls the one of some functions of this number."""
    first, rest = functions[0], functions[1:]
    if not rest:

        @njit(**INLINE)
        def call(which, arguments):
            first(*arguments)

        return call
    others = _of(rest)

    @njit(**INLINE)
    def choose(which, arguments):
        if which == 0:
            first(*arguments)
        else:
            others(which - 1, arguments)

    return choose


def _row(name: str) -> Any:
    """Row function of an activation."""
    if name == "series":
        return series_row
    if name.startswith("power "):
        return row_function(power_function(int(name.split()[1])), 1)
    return row_function(FUNCTIONS[name], PARAMETERS[name])


def activation_call(names: tuple[str, ...]) -> Any:
    """Build the function (which, arguments) that calls the row function of an activation.

    Parameters
    ----------
    names : tuple of str
        As for `general_sums`, where they count from 1; here they do from 0. Without any, a function
        that does nothing.
    """
    return _of(tuple(map(_row, names)) or (_nothing,))


@njit(**INLINE)
def _nothing(*arguments):
    pass


_plain_sums, _sums_of_three = linear_row_function(False), linear_row_function(True)


def _calls(names: tuple[str, ...]) -> Any:
    """Build the function that takes a row through a step, as in `refntk.backends.numba.calls`.

    What comes in the place of constants is the parameters of x and of x', the numbers of the step,
    and where its parameters begin and how many there are of a feature.
    """
    activate = activation_call(names)

    @njit(**INLINE)
    def general_row(what, memory, places, rates, own, step, frame, lay):
        (work, tangent, _, plain), (activation, kind) = memory, what
        out, row, older, slot, map1, map2, _ = places
        one, two, numbers, first, count = own
        lanes = lane_count(work)
        d, t, p = at(work, out), at(tangent, out), at(plain, out)
        below = at(work, row[0]), at(tangent, row[1]), at(plain, row[1])
        newest = (*older, slot)
        above = some(work, newest), some(tangent, newest), some(plain, newest)
        if kind % 2 == 1:
            _sums_of_three(d, t, p, below, above, numbers, frame.columns)
        else:
            _plain_sums(d, t, p, below, above, numbers, frame.columns)
        if activation != LINEAR:
            # Places of the maps in positions, two numbers each.
            place1 = (map1 - lay.map1 - get(step, _S.root)) // 2
            place2 = ((map2 - lay.maps2) // lanes - get(step, _S.root)) // 2
            parameters = (
                at(one, first + place1 * count),
                at(two, (first + place2 * count) * lanes),
            )
            maps = some(work, (map1, map2))
            scratch = at(work, lay.chords)
            arguments = d, t, p, maps, parameters, numbers, scratch, frame.columns
            activate(activation - 1, arguments)

    return general_row


@njit(**OPTIONS)
def _lanes_of(table, first, target, work):
    """Spread rows first, first + 1, ... of an array over the lanes; the last one fills the rest."""
    lanes, last = lane_count(work), table.shape[0] - 1
    for v in range(lanes):
        row = min(first + v, last)
        for q in range(table.shape[1]):
            put(target, q * lanes + v, table[row, q])


@njit(**OPTIONS)
def _one_image(pixels, image, maps, row, work, lay):
    """Take one image x and its maps; pixels in units of their lengths."""
    zero = number(work, 0.0)
    for q in range(lay.map_size):
        put(work, lay.map1 + q, maps[row, q])
    line = lay.width * (1 + lay.wrap) + 2 * lay.margin
    for y in range(lay.height):
        for c in range(lay.channels):
            for x in range(lay.width):
                q = (y * lay.channels + c) * lay.width + x
                place = (y + lay.margin) * line + x + lay.margin
                length = get(work, lay.map1 + place)
                put(work, lay.pixels1 + q, pixels[image, q] / length if length > zero else zero)


@njit(**OPTIONS)
def _unit_lanes(work, lay):
    """Divide the pixels in the lanes by their lengths, which are in the maps."""
    lanes, zero = lane_count(work), number(work, 0.0)
    line = lay.width * (1 + lay.wrap)
    for y in range(lay.height):
        lengths = lay.maps2 + ((y + lay.margin) * (line + 2 * lay.margin) + lay.margin) * lanes
        for c in range(lay.channels):
            place = lay.pixels2 + (y * lay.channels + c) * line * lanes
            for q in range(line * lanes):
                length = get(work, lengths + q)
                value = get(work, place + q)
                put(work, place + q, value / length if length > zero else zero)


@njit(**OPTIONS)
def _clear(tangent, lay):
    """Set the NTK of a slice of images to zero."""
    if tangent is not None:
        for k in range(lay.ring - lay.slice):
            put(tangent, lay.slice + k, number(tangent, 0.0))


_advance: Any = None  # given to each version of the function below


def _block(pixels, parts, part, static, lay, memory, out):
    """Sum the kernels at the readout over positions and some displacements, for a block of pairs.

    Parameters
    ----------
    pixels : two float arrays, shapes (N, H C W), (M, H C W)
        As for `refntk.backends.numba.slices.block_sums`.
    parts : tuple
        Maps of the images x of the block, float array, shape (rows, map_size); their parameters,
        shape (rows, P); both of the images x' in the lanes.
    part : tuple
        As there: rows, the image x' in the first lane, and bounds.
    static : tuple
        The table of steps; the numbers of each, float array, shape (steps, 8); and where the
        parameters of each begin and how many there are of a feature, int array, shape (steps, 2).
    lay : Layout
    memory : four float arrays
        Work, tangent or None, plain, and room for the parameters of the lanes.
    out : float64 array, shape (N, 1 or 2, lanes)
    """
    (pixels1, pixels2), (maps1, own1, maps2, own2), (rows, lane, bounds) = pixels, parts, part
    (table, numbers, places), steps = static, static[0].shape[0]
    both = table, table  # of x and x', which have one shape
    work, tangent, plain, two = (
        start(memory[0]), start(memory[1]), start(memory[2]), start(memory[3])
    )
    load_lanes(pixels2, lane, work, lay.pixels2, lay)
    _lanes_of(maps2, 0, at(work, lay.maps2), work)
    _lanes_of(own2, 0, two, work)
    _unit_lanes(work, lay)
    for v in range(lane_count(work)):
        put(work, lay.worst + v, number(work, 1.0))
    for row in range(rows[0], rows[1]):
        _one_image(pixels1, row, maps1, row - rows[0], work, lay)
        one = at(start(own1), (row - rows[0]) * own1.shape[1])
        for dy in range(bounds[0], bounds[1]):
            for dx in range(bounds[2], bounds[3]):
                below_y, below_x = displaced(table, 0, dy, dx)
                _clear(tangent, lay)
                begin(work, plain, work, work, below_y, below_x, False, table, lay, lay)
                for k in range(steps):
                    given = at(start(numbers), 8 * k)
                    own = one, two, given, places[k, 0], places[k, 1]
                    _advance((work, tangent, None, plain), k, (dy, dx), both, (), own, lay)
                rows_out, columns_out = table[steps - 1, _S.out_y], table[steps - 1, _S.out_x]
                height = extent(rows_out, rows_out, dy, lay.wrap)[1]
                width = extent(columns_out, columns_out, dx, lay.wrap)[1]
                worst = at(work, lay.worst)
                total(plain, worst, False, out[row, 0], height, width, lay)
                if tangent is not None:
                    total(tangent, worst, False, out[row, 1], height, width, lay)


@cache
def general_sums(names: tuple[str, ...]) -> Any:
    """Build the block function for some activations.

    Parameters
    ----------
    names : tuple of str
        Of `refntk.backends.numba.functions.FUNCTIONS`, ``series``, or ``power K``: what the numbers
        1, 2, ... in the table of steps stand for.

    Returns
    -------
    compiled function
        See its docstring.
    """
    advance = advance_function(_calls(names), False, True)
    return compiled(_block, {"_advance": advance}, " ".join(names))
