r"""Heat kernels on the quotient of a finite set by a group.

Let L be a generator on a finite set X (symmetric, such as the Laplacian of a graph) that a group G
of permutations leaves as it is, L(g x, g y) = L(x, y). The heat kernel of the quotient X/G is the
group mean of that of X, for orbits A of x and B of y

.. math::
    \bar p_t(A, B) = |B| \frac1{|G|} \sum_g p_t(x, g y) = e^{-t \bar L}(A, B), \qquad
    \bar L(A, B) = \sum_{y \in B} L(x, y),

so that heat may be spread on X and then folded, or be spread on orbits alone: diffusion on a
quotient needs no group. What "Quotient-Space Diffusion Models" states for compact groups; here it
is exact at finite size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

from refntk.errors import InputError

__all__ = [
    "averaged_heat",
    "circle_laplacian",
    "circle_moves",
    "heat",
    "heat_rows",
    "orbits_of",
    "quotient",
]

FloatArray = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def heat(generator: npt.ArrayLike, time: float) -> FloatArray:
    """Give the heat kernel exp(-t L).

    Parameters
    ----------
    generator : array of float, shape (n, n)
    time : float
        t, not negative.

    Returns
    -------
    array of float64, shape (n, n)
        Row x is the distribution at time t of what begins at x, for a Laplacian.

    Raises
    ------
    InputError
        The generator is not square, or the time is negative.
    """
    matrix = np.asarray(generator, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"generator: expected a square matrix, not shape {matrix.shape}")
    if not time >= 0:
        raise InputError(f"time: expected a number that is not negative, not {time!r}")
    return np.asarray(scipy.linalg.expm(-time * matrix), np.float64)


def circle_laplacian(points: int) -> FloatArray:
    """Give the Laplacian of a circle of points, 2 on the diagonal and -1 for neighbours.

    Parameters
    ----------
    points : int

    Returns
    -------
    array of float64, shape (points, points)
    """
    one = np.eye(points)
    return 2 * one - np.roll(one, 1, axis=1) - np.roll(one, -1, axis=1)


def orbits_of(elements: npt.ArrayLike) -> Indices:
    """Give each point the number of its orbit.

    Parameters
    ----------
    elements : array of int, shape (order of G, n)
        Element g moves point i to ``elements[g, i]``.

    Returns
    -------
    array of int64, shape (n,)
        Orbit of each point, in the order of their first points.
    """
    smallest = np.asarray(elements).min(axis=0)
    return np.unique(smallest, return_inverse=True)[1].astype(np.int64)


def quotient(generator: npt.ArrayLike, elements: npt.ArrayLike) -> FloatArray:
    """Fold a generator, such as a Laplacian, to the orbits of a group.

    Parameters
    ----------
    generator : array of float, shape (n, n)
    elements : array of int, shape (order of G, n)
        As for `orbits_of`; a group.

    Returns
    -------
    array of float64, shape (m, m)
        Between orbits, in their order; symmetric where it is weighted with their sizes.

    Raises
    ------
    InputError
        The group does not leave the generator as it is.
    """
    matrix, moves = np.asarray(generator, np.float64), np.asarray(elements)
    for k, move in enumerate(moves):
        gap = np.abs(matrix[np.ix_(move, move)] - matrix).max()
        if gap > 1e-12 * np.abs(matrix).max():
            raise InputError(f"generator: element {k} of the group changes it by up to {gap:.2g}")
    orbit = orbits_of(moves)
    members = np.eye(orbit.max() + 1)[orbit]
    first = [int(np.flatnonzero(orbit == k)[0]) for k in range(members.shape[1])]
    return np.asarray((matrix @ members)[first], np.float64)


def averaged_heat(generator: npt.ArrayLike, elements: npt.ArrayLike, time: float) -> FloatArray:
    """Give the heat kernel on orbits as the group mean of that on points.

    Parameters
    ----------
    generator, elements
        As for `quotient`.
    time : float

    Returns
    -------
    array of float64, shape (m, m)
        The same as ``heat(quotient(generator, elements), time)``.

    Raises
    ------
    InputError
        As `heat`.
    """
    kernel, moves = heat(generator, time), np.asarray(elements)
    orbit = orbits_of(moves)
    sizes = np.bincount(orbit)
    first = np.array([np.flatnonzero(orbit == k)[0] for k in range(len(sizes))])
    mean = np.mean([kernel[np.ix_(first, move[first])] for move in moves], axis=0)
    return np.asarray(mean * sizes, np.float64)


def circle_moves(points: int, turns: int, mirror: bool) -> Indices:
    """List the turns of a circle of points by multiples of 360°/turns, and its reflections.

    Parameters
    ----------
    points : int
        Divisible by the number of turns.
    turns : int
    mirror : bool
        Whether the reflection that keeps point 0, and its products with the turns, are there.

    Returns
    -------
    array of int64, shape (turns, points), or twice as many with reflections
        What each element makes of each point.

    Raises
    ------
    InputError
        The number of points is not a multiple of that of turns.
    """
    if turns < 1 or points < 3 or points % turns:
        raise InputError(
            f"points: expected a multiple of the {turns} turns from 3 on, not {points}"
        )
    signs = (1, -1) if mirror else (1,)
    starts = points // turns * np.arange(turns)
    return np.concatenate([(starts[:, None] + s * np.arange(points)) % points for s in signs])


def heat_rows(
    points: int, turns: int, mirror: bool, times: Sequence[float]
) -> Iterator[dict[str, Any]]:
    """Let heat spread from one point of a circle, and from its orbit on the quotient.

    Parameters
    ----------
    points, turns, mirror
        As for `circle_moves`.
    times : sequence of float

    Yields
    ------
    dict
        For each time and orbit: ``time``, ``orbit``, its ``size``; ``point``, the heat at its first
        point on the circle; ``averaged`` and ``quotient``, that of the orbit by both formulas.

    Raises
    ------
    InputError
        As `circle_moves` and `heat`.
    """
    moves = circle_moves(points, turns, mirror)
    laplacian = circle_laplacian(points)
    folded, orbit = quotient(laplacian, moves), orbits_of(moves)
    sizes = np.bincount(orbit)
    first = [int(np.flatnonzero(orbit == k)[0]) for k in range(len(sizes))]
    for time in times:
        whole = heat(laplacian, time)[0]
        mean, alone = averaged_heat(laplacian, moves, time)[0], heat(folded, time)[0]
        for k, size in enumerate(sizes.tolist()):
            yield {
                "time": time, "orbit": k, "size": size, "point": float(whole[first[k]]),
                "averaged": float(mean[k]), "quotient": float(alone[k]),
            }  # fmt: skip
