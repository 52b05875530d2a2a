r"""The inner loops for activations of any kind: one row of one slice through one layer.

A row has `columns` positions of `lane_count` lanes each. Three numbers of an entry are carried: the
squared distance D = E[(f(t) - f'(t'))²], K itself and the NTK, all of which a convolution adds up.
D tells how far nearly parallel features are from parallel, and K what is left where they have
little in common: with s, s' the roots of the variances after the convolution and m = s s',

.. math::
    u = 1 - \rho = \frac{D - (s - s')^2}{2m} \text{ where } D < m, \quad
    u = 1 - \frac Km \text{ elsewhere}

and the function of the activation takes (K, D, u) to the three numbers above it, in place.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from refntk.backends.numba.functions import Constants, Entry, spread
from refntk.backends.numba.lanes import INLINE, OPTIONS, at, get, lane_count, number, put, wide

__all__ = ["TERMS", "linear_row_function", "row_function", "series_row"]

_NEAR = (*[0.0] * 8, 1e-14, *[0.0] * 7, 2e-6)
_LEAST = (*[0.0] * 8, -708.0, *[0.0] * 7, -87.0)
_LOG_HIGH = (*[0.0] * 8, 0.6931471803691238, *[0.0] * 7, 0.693359375)
_LOG_LOW = (*[0.0] * 8, 1.9082149292705877e-10, *[0.0] * 7, -2.12194440e-4)
"""By the number of lanes, which is that of a type."""

TERMS = 8
"""Terms of a series that are added at once."""


@njit(**INLINE)
def _constants(d, numbers):
    """Numbers of the type of the rows, and the four of a layer."""
    lanes = lane_count(d)
    return Constants(
        number(d, 0.0), number(d, 0.5), number(d, 1.0), number(d, 2.0), number(d, 4.0),
        number(d, 3.141592653589793), number(d, 1.5707963267948966), number(d, _NEAR[lanes]),
        number(d, _LEAST[lanes]), number(d, 1.4426950408889634),
        number(d, _LOG_HIGH[lanes]), number(d, _LOG_LOW[lanes]),
        get(numbers, 0), get(numbers, 1), get(numbers, 2), get(numbers, 3),
    )  # fmt: skip


@njit(**INLINE)
def _no_parameters(pointer, place, step):
    return ()


@njit(**INLINE)
def _one_parameter(pointer, place, step):
    return (get(pointer, place),)


@njit(**INLINE)
def _two_parameters(pointer, place, step):
    return get(pointer, place), get(pointer, place + step)


@njit(**INLINE)
def _three_parameters(pointer, place, step):
    return get(pointer, place), get(pointer, place + step), get(pointer, place + 2 * step)


_READERS = (_no_parameters, _one_parameter, _two_parameters, _three_parameters)


@njit(**INLINE)
def _newest(row, older, k, lanes, three):
    """Sum of the newest row, which is kept for later where it is made here."""
    value = get(row, k)
    if three:
        value = value + get(row, k + lanes) + get(row, k + 2 * lanes)
        put(older, k, value)
    return value


@njit(**INLINE)
def _entry(kernel, distance, maps, j, v, lanes, c):
    """Find the deficit of an entry."""
    map1, map2 = maps
    root, back = get(map1, 2 * j), get(map1, 2 * j + 1)
    pair = 2 * j * lanes + v
    other, inverse = get(map2, pair), back * get(map2, pair + lanes)
    scale, gap = root * other, root - other
    close = c.half * ((distance - gap * gap) * inverse)
    u = close if distance < scale else c.one - kernel * inverse
    u = u if u > c.zero else c.zero
    u = u if u < c.two else c.two
    return Entry(kernel, distance, u, scale, root, other)


def linear_row_function(three: bool) -> Any:
    """Build the function that takes one row through a convolution.

    Parameters
    ----------
    three : bool
        The newest row is summed here, over three columns; else it comes as a sum.

    Returns
    -------
    compiled function
        (d, t, p, below, above, numbers, columns): D, the NTK and K are written. `below` are the
        newest rows of the three, `above` for each the sums of two older ones and a place for the
        newest. `numbers` are four constants of the activation, the weight, the squared bias, and
        the tangent's alpha and beta. The NTK is None where it is not wanted. Nothing that is
        written may overlap anything else.
    """

    @njit(**OPTIONS)
    def row(d, t, p, below, above, numbers, columns):
        wide()
        (below_d, below_t, below_p), (above_d, above_t, above_p) = below, above
        weight, bias = get(numbers, 4), get(numbers, 5)
        alpha, beta = get(numbers, 6), get(numbers, 7)
        lanes = lane_count(d)
        for k in range(columns * lanes):
            distance = _newest(below_d, above_d[2], k, lanes, three)
            put(d, k, (distance + (get(above_d[0], k) + get(above_d[1], k))) * weight)
            kernel = _newest(below_p, above_p[2], k, lanes, three)
            kernel = (kernel + (get(above_p[0], k) + get(above_p[1], k))) * weight + bias
            put(p, k, kernel)
            if t is not None:
                theta = _newest(below_t, above_t[2], k, lanes, three)
                theta = (theta + (get(above_t[0], k) + get(above_t[1], k))) * weight
                put(t, k, theta + (alpha * kernel + beta))

    return row


def row_function(function: Any, count: int) -> Any:
    """Build the function that takes one row through an activation, in place.

    Parameters
    ----------
    function : compiled function
        One of `refntk.backends.numba.functions`.
    count : int
        Parameters that it reads of a feature.

    Returns
    -------
    compiled function
        (d, t, p, maps, parameters, numbers, scratch, columns): D, the NTK and K. `maps` have in
        turns the root of the variance of x and its reciprocal, and rows of lanes of those of x'.
        `parameters` are `count` numbers of each position of x, and as many rows of lanes of each of
        x'. `numbers` begin with the constants of the layer. `scratch` is room for a row.
    """
    read = _READERS[count]

    @njit(**OPTIONS)
    def row(d, t, p, maps, parameters, numbers, scratch, columns):
        wide()
        c, lanes = _constants(d, numbers), lane_count(d)
        parameters1, parameters2 = parameters
        for j in range(columns):
            one = read(parameters1, j * count, 1)
            for v in range(lanes):
                k = j * lanes + v
                two = read(parameters2, j * count * lanes + v, lanes)
                entry = _entry(get(p, k), get(d, k), maps, j, v, lanes, c)
                value, slope, spread = function(entry, c, one, two)
                put(d, k, spread)
                put(p, k, value)
                if t is not None:
                    put(t, k, get(t, k) * slope)

    return row


@njit(**OPTIONS)
def _open_series(d, p, maps, numbers, scratch, columns):
    """Write the deficit into the scratch row, and set the sums to zero: D is that of slopes."""
    wide()
    c, lanes = _constants(d, numbers), lane_count(d)
    for j in range(columns):
        for v in range(lanes):
            k = j * lanes + v
            put(scratch, k, _entry(get(p, k), get(d, k), maps, j, v, lanes, c).deficit)
            put(p, k, c.zero)
            put(d, k, c.zero)


@njit(**OPTIONS)
def _add_terms(value, slope, deficit, one, two):
    """Horner: take the sums of one position through `TERMS` terms, the last one first.

    `one` and `two` have pairs of coefficients, of the function and of the derivative, for each
    term; those of x' are rows of lanes.
    """
    wide()
    lanes, whole = lane_count(value), number(value, 1.0)
    for v in range(lanes):
        rho, total, rate = whole - get(deficit, v), get(value, v), get(slope, v)
        for n in range(TERMS):
            total = total * rho + get(one, 2 * n) * get(two, 2 * n * lanes + v)
            rate = rate * rho + get(one, 2 * n + 1) * get(two, (2 * n + 1) * lanes + v)
        put(value, v, total)
        put(slope, v, rate)


@njit(**OPTIONS)
def _close_series(d, t, p, maps, own1, own2, numbers, scratch, columns, step):
    """Turn the sums into the NTK and D."""
    wide()
    (map1, map2), c, lanes = maps, _constants(d, numbers), lane_count(d)
    for j in range(columns):
        one, root = get(own1, j * step), get(map1, 2 * j)
        for v in range(lanes):
            k = j * lanes + v
            value, slope = get(p, k), get(d, k)
            if t is not None:
                put(t, k, get(t, k) * slope)
            two, scale = get(own2, j * step * lanes + v), root * get(map2, 2 * j * lanes + v)
            put(d, k, spread(one, two, value, slope, get(scratch, k), scale, c))


@njit(**OPTIONS)
def series_row(d, t, p, maps, parameters, numbers, scratch, columns):
    """Take one row through an activation that is a series; see `row_function`.

    Its parameters are the root of T(v, v, v), and then for each term, the last one first, the
    coefficients of the function and of the derivative. The first constant of the layer is the
    number of terms, a multiple of `TERMS`.
    """
    lanes = lane_count(d)
    _open_series(d, p, maps, numbers, scratch, columns)
    one, two = parameters
    terms = int(get(numbers, 0))
    step = 1 + 2 * terms
    for j in range(columns):
        for n in range(0, terms, TERMS):
            place = j * step + 1 + 2 * n
            _add_terms(
                at(p, j * lanes), at(d, j * lanes), at(scratch, j * lanes),
                at(one, place), at(two, place * lanes),
            )  # fmt: skip
    _close_series(d, t, p, maps, one, two, numbers, scratch, columns, step)
