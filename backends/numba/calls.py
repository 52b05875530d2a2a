"""All row functions, and which of them takes a row through a step.

The callers have one signature: what the step is, an activation and a kind; `memory`, the arrays of
D or W, of the NTK, of the excesses and of K itself; `places`, offsets of what is written and read:
the row above, the newest row below (of all but the NTK, and of the NTK), two older sums, the slot
of the ring, the maps of roots of x and x', and the number of the newest row; the rates of the step;
its constants or None; its row of the table; and the frame of the slice.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from refntk.backends.numba.careful import careful_row_function
from refntk.backends.numba.frames import rows_of_sums
from refntk.backends.numba.lanes import INLINE, at, get, lane_count, some
from refntk.backends.numba.layout import Step
from refntk.backends.numba.rows import DEFICIT, DISTANCE, KERNEL, row_function
from refntk.backends.table import LATE, LINEAR, NONNEGATIVE, SIGNED

__all__ = ["careful_row", "careful_row_through", "fast_row", "fast_row_to_pool"]

_S = Step()


def _of_four(functions: list[Any]) -> Any:
    """Build the function (kind, arguments) that calls the one of four functions with this number.

    It is one function, because each that is compiled takes its time.
    """
    first, second, third, fourth = functions

    @njit(**INLINE)
    def call(kind, arguments):
        if kind == 0:
            first(*arguments)
        elif kind == 1:
            second(*arguments)
        elif kind == 2:
            third(*arguments)
        else:
            fourth(*arguments)

    return call


def _fast(activation: int, ends: int) -> Any:
    """Row functions by kind: 2 x last + three columns to sum."""
    kinds = [(end, three) for end in (DISTANCE, ends) for three in (False, True)]
    return _of_four([row_function(activation, *kind) for kind in kinds])


def _fast_row(ends: int) -> Any:
    """Build the function that calls the row function of a step.

    Its kind is 2 x last + three columns to sum; what the last step stores is given.
    """
    signed, nonnegative, late = (_fast(kind, ends) for kind in (SIGNED, NONNEGATIVE, LATE))
    linear, linear_last = (row_function(LINEAR, end, False) for end in (DISTANCE, ends))

    @njit(**INLINE)
    def call(what, memory, places, rates, constants, step, frame, lay):
        (work, tangent, _, _), (activation, kind) = memory, what
        out, row, older, slot, map1, map2, _ = places
        d, t, below_d = at(work, out), at(tangent, out), at(work, row[0])
        below_t = at(tangent, row[1])
        above_d, above_t = some(work, (*older, slot)), some(tangent, (*older, slot))
        maps, worst = some(work, (map1, map2)), at(work, lay.worst)
        numbers = rates[0], rates[1], rates[2], rates[4] + rates[4]
        arguments = (
            d, t, below_d, below_t, above_d, above_t, maps, worst, numbers, constants,
            frame.columns,
        )  # fmt: skip
        if activation == NONNEGATIVE:
            nonnegative(kind, arguments)
        elif activation == SIGNED:
            signed(kind, arguments)
        elif activation == LATE:
            if constants is not None:  # never after a Relu
                late(kind, arguments)
        elif kind == 0:
            linear(*arguments)
        else:
            linear_last(*arguments)

    return call


fast_row = _fast_row(KERNEL)
fast_row_to_pool = _fast_row(DEFICIT)


def _careful_row(ends: bool) -> Any:
    """Build the function that calls the careful row function of a step.

    Its kind is 2 x last, where some step `ends` the network. Of more than three rows the older ones
    are seen to. Excesses are there up to the first activation.
    """
    lasts = False, ends
    linear, linear_last = (careful_row_function(LINEAR, last) for last in lasts)
    first, first_last = (careful_row_function(SIGNED, last) for last in lasts)
    late = _of_four(
        [careful_row_function(kind, last) for kind in (LATE, NONNEGATIVE) for last in lasts]
    )

    @njit(**INLINE)
    def call(what, memory, places, rates, constants, step, frame, lay):
        (work, tangent, excesses, plain), (activation, kind) = memory, what
        out, row, older, _, map1, map2, newest = places
        lanes, size = lane_count(work), get(step, _S.size_y)
        one = rows_of_sums(newest, get(step, _S.in_y), lanes, frame, lay)
        two = three = (lay.zero, lay.zero)
        apart = get(step, _S.dilation_y)
        if 1 < size < 4:
            two = rows_of_sums(newest - apart, get(step, _S.in_y), lanes, frame, lay)
        if size == 3:
            three = rows_of_sums(newest - 2 * apart, get(step, _S.in_y), lanes, frame, lay)
        ones = some(work, (one[0], two[0], three[0], map1))
        twos = some(work, (one[1], two[1], three[1], map2))
        arguments = (
            at(work, out), at(tangent, out), at(excesses, out), at(plain, out),
            at(work, row[0]), at(tangent, row[1]), at(excesses, row[0]), at(plain, row[0]),
            some(work, older), some(tangent, older), some(excesses, older), some(plain, older),
            ones, twos, rates[3:5], constants, frame.columns,
        )  # fmt: skip
        if activation == SIGNED:
            if kind == 0:
                first(*arguments)
            else:
                first_last(*arguments)
        elif activation != LINEAR:
            late(kind // 2 + (2 if activation == NONNEGATIVE else 0), arguments)
        elif kind == 0:
            linear(*arguments)
        else:
            linear_last(*arguments)

    return call


careful_row = _careful_row(True)
careful_row_through = _careful_row(False)
