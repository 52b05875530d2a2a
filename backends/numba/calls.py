"""All row functions, and which of them takes a row through a step.

The callers have one signature: activation and kind, which say what the step is; `work`, `tangent`
and `second`, which are the excesses of a careful first step, else the NTK below; `places`, offsets
of what is written and read: the row above, the newest row below (of D or W, and of the second), two
older sums, the slot of the ring, the maps of roots of x and x', and the number of the newest row;
the rates of the step, its row of the table, and the frame of the slice.
"""

from __future__ import annotations

from numba import njit

from refntk.backends.numba.careful import LATE, careful_row_function
from refntk.backends.numba.frames import rows_of_sums
from refntk.backends.numba.lanes import INLINE, at, get, lane_count, some
from refntk.backends.numba.layout import Step
from refntk.backends.numba.rows import row_function
from refntk.backends.table import LINEAR, NONNEGATIVE, SIGNED

__all__ = ["careful_first_row", "careful_row", "fast_row"]

_S = Step()
_linear, _linear_last = (row_function(LINEAR, last, False) for last in (False, True))
_signed, _signed_last = (row_function(SIGNED, last, False) for last in (False, True))
_relu, _relu_last = (row_function(NONNEGATIVE, last, False) for last in (False, True))
_signed_three, _signed_last_three = (row_function(SIGNED, last, True) for last in (False, True))
_relu_three, _relu_last_three = (row_function(NONNEGATIVE, last, True) for last in (False, True))
_LINEAR, _LINEAR_LAST = (careful_row_function(LINEAR, last) for last in (False, True))
_SIGNED, _SIGNED_LAST = (careful_row_function(SIGNED, last) for last in (False, True))
_RELU, _RELU_LAST = (careful_row_function(NONNEGATIVE, last) for last in (False, True))
_LATE, _LATE_LAST = (careful_row_function(LATE, last) for last in (False, True))


@njit(**INLINE)
def fast_row(activation, kind, work, tangent, second, places, rates, step, frame, lay):
    """Call the row function of a step: kind is 2 x last + three columns to sum."""
    out, row, older, slot, map1, map2, newest = places
    d, t, below_d, below_t = at(work, out), at(tangent, out), at(work, row[0]), at(second, row[1])
    above_d, above_t = some(work, (*older, slot)), some(second, (*older, slot))
    maps, worst = some(work, (map1, map2)), at(work, lay.worst)
    arguments = d, t, below_d, below_t, above_d, above_t, maps, worst, rates[:3], frame.columns
    if activation == NONNEGATIVE:
        if kind == 0:
            _relu(*arguments)
        elif kind == 1:
            _relu_three(*arguments)
        elif kind == 2:
            _relu_last(*arguments)
        else:
            _relu_last_three(*arguments)
    elif activation == SIGNED:
        if kind == 0:
            _signed(*arguments)
        elif kind == 1:
            _signed_three(*arguments)
        elif kind == 2:
            _signed_last(*arguments)
        else:
            _signed_last_three(*arguments)
    elif kind == 0:
        _linear(*arguments)
    else:
        _linear_last(*arguments)


@njit(**INLINE)
def _careful_arguments(work, tangent, second, places, rates, step, frame, lay):
    """Arguments of a careful row function; of more than three rows the older ones are seen to."""
    out, row, older, slot, map1, map2, newest = places
    lanes, size = lane_count(work), get(step, _S.size_y)
    one = rows_of_sums(newest, get(step, _S.in_y), lanes, frame, lay)
    two = three = (lay.zero, lay.zero)
    if 1 < size < 4:
        two = rows_of_sums(newest - 1, get(step, _S.in_y), lanes, frame, lay)
    if size == 3:
        three = rows_of_sums(newest - 2, get(step, _S.in_y), lanes, frame, lay)
    ones = some(work, (one[0], two[0], three[0], map1))
    twos = some(work, (one[1], two[1], three[1], map2))
    above_w, above_t = some(work, older), some(second, older)
    return (
        at(work, out), at(tangent, out), at(work, row[0]), at(second, row[1]), above_w, above_t,
        ones, twos, rates[3], rates[4], frame.columns,
    )  # fmt: skip


@njit(**INLINE)
def careful_first_row(activation, kind, work, tangent, second, places, rates, step, frame, lay):
    """Call the careful row function of a first step with a Relu; `second` are excesses."""
    arguments = _careful_arguments(work, tangent, second, places, rates, step, frame, lay)
    if kind == 0:
        _SIGNED(*arguments)
    else:
        _SIGNED_LAST(*arguments)


@njit(**INLINE)
def careful_row(activation, kind, work, tangent, second, places, rates, step, frame, lay):
    """Call the careful row function of any other step; kind is 2 x last."""
    arguments = _careful_arguments(work, tangent, second, places, rates, step, frame, lay)
    if activation == NONNEGATIVE:
        if kind == 0:
            _RELU(*arguments)
        else:
            _RELU_LAST(*arguments)
    elif activation == SIGNED:
        if kind == 0:
            _LATE(*arguments)
        else:
            _LATE_LAST(*arguments)
    elif kind == 0:
        _LINEAR(*arguments)
    else:
        _LINEAR_LAST(*arguments)
