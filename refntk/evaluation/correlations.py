"""How nearly parallel the features of two images are at the readout, where a Relu comes after it.

A Relu needs theta = arccos rho, and rho = K / (s s') near 1 says little about it: after pooling all
features are nearly parallel, and those of duplicates exactly. So 1 - rho and 1 + rho are found,
each with its own precision: from kernels where they are large, and with more digits where not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refntk.backends import Engine
from refntk.ops.operations import Pointwise, Stack
from refntk.plan.reduction import Plan

__all__ = ["Correlation", "at_readout", "of_kernels", "of_vectors", "roots"]

Matrix = npt.NDArray[np.float64]

_SURE = 1e-3
"""Deficits from this on are as good from matrix products as from differences."""

_CLOSE = {"float64": (2e-6, 2e-6), "float32": (3e-6, 3e-5)}
"""Least and largest deficit from which on kernels are good enough, by their precision; see
`_close`."""

_MANY = 32
"""Pixels over which the rounding of a sum averages out."""


def _close(plan: Plan, dtype: str, one: Matrix, two: Matrix) -> Matrix:
    """Deficit below which pairs are computed once more.

    The derivative of a Relu is wrong by the noise of the deficit u over pi sqrt(2u) of itself, and
    several Relus add that up. In float64, where sums over positions have a noise of 1e-15, 2e-6
    leaves 2e-13. In float32 the noise grows with the layers below, and what is left is to be the
    same: so the limit grows as the square of the number of Relus, and as the cube of that of the
    layers from 5 on, as `refntk.backends.numba.rows.LIMITS` does; and where a few pixels carry an
    image, whose rounding no sum averages out, as one over their number. In float64 there is
    nothing to be gained by any of that.
    """
    least, most = _CLOSE[dtype]
    activations = sum(isinstance(op, Pointwise) for op in plan.head.operations)
    limit = least * activations**2 * max(1.0, len(plan.steps) / 5) ** 3
    if dtype == "float64":
        return np.asarray(min(most, limit))
    few = np.maximum(_few(one)[:, None], _few(two)[None, :])
    return np.asarray(np.minimum(min(most, limit) * few, 16 * most))


def _few(images: Matrix) -> Matrix:
    """Find for each image how many times too few its pixels are, weighted by squares: (N,)."""
    squares = (images * images).sum(axis=-1).reshape(len(images), -1)
    largest = squares.max(axis=1, keepdims=True, initial=0.0)
    shares = np.divide(squares, largest, out=np.zeros_like(squares), where=largest > 0)
    total = shares.sum(axis=1)
    squares = (shares * shares).sum(axis=1)
    count = np.divide(total**2, squares, out=np.ones_like(total), where=total > 0)
    return np.asarray(np.maximum(1.0, _MANY / count))


@dataclass(frozen=True)
class Correlation:
    """How far two sets of features are from parallel, and from opposite.

    Attributes
    ----------
    deficit, excess : float64 array, shape (N, M)
        1 - rho and 1 + rho, each with its own relative precision where it is small. Where a
        variance is zero rho is 0.
    """

    deficit: Matrix
    excess: Matrix


def of_kernels(nngp: Matrix, var1: Matrix, var2: Matrix, noise: float) -> Correlation:
    """Correlations of features from their kernel, with what its rounding leaves of them.

    Parameters
    ----------
    nngp : float64 array, shape (N, M)
    var1, var2 : float64 array, shape (N,), (M,)
    noise : float
        Relative precision of these numbers. A deficit, or excess, of less than twice that is 0:
        features that are parallel but for rounding, such as those of an image and its rotations.
    """
    scale = roots(var1)[:, None] * roots(var2)[None, :]
    rho = np.divide(nngp, scale, out=np.zeros_like(nngp), where=scale > 0)
    deficit, excess = np.clip(1 - rho, 0, 2), np.clip(1 + rho, 0, 2)
    for part in (deficit, excess):
        part[part < 2 * noise] = 0
    return Correlation(deficit, excess)


def of_vectors(one: Matrix, two: Matrix) -> Correlation:
    """Correlations of features that are plain vectors, such as the pixels of images.

    Parameters
    ----------
    one, two : float64 array, shape (N, F), (M, F)

    Notes
    -----
    With unit vectors n, n' the deficit is half the squared length of n - n': from their product
    where it is large, and from the differences where that would lose digits.
    """
    units = []
    for vectors in (one, two):
        largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
        scaled = np.divide(vectors, largest, out=np.zeros_like(vectors), where=largest > 0)
        length = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
        units.append(np.divide(scaled, length, out=np.zeros_like(scaled), where=length > 0))
    first, second = units
    rho = np.array([(row * second).sum(axis=1) for row in first])
    parts = 1 - rho, 1 + rho
    for part, sign in zip(parts, (-1.0, 1.0), strict=True):
        for i, row in enumerate(first):
            near = np.flatnonzero(part[i] < _SURE)
            difference = row + sign * second[near]
            part[i, near] = (difference * difference).sum(axis=1) / 2
    return Correlation(*parts)


def at_readout(
    plan: Plan,
    engine: Engine,
    one: Matrix,
    two: Matrix | None,
    kernels: tuple[Matrix, Matrix, Matrix],
    dtype: str,
) -> Correlation:
    """Find the correlations between images at the readout of a network.

    Parameters
    ----------
    plan : Plan
    engine : Engine
        Of this plan.
    one, two : float64 array, shape (N, H, W, C), (M, H, W, C)
        Images. None means the same images; entries below the diagonal then need not be right.
    kernels : tuple of float64 arrays, shape (N, M), (N,), (M,)
        NNGP between the images, and of each of them with itself, at the readout.
    dtype : str
        Precision that these numbers were computed in.

    Returns
    -------
    Correlation

    Notes
    -----
    Pairs too close for their kernels to tell are computed once more by the engine, where it can;
    the literal recursion leaves them with what rounding left.
    """
    others = one if two is None else two
    if len(plan.body) == 1 and isinstance(plan.body.operations[0], Stack):
        return of_vectors(*(images.reshape(len(images), -1) for images in (one, others)))
    result = of_kernels(*kernels, float(np.finfo(dtype).eps))
    near = np.minimum(result.deficit, result.excess) < _close(plan, dtype, one, others)
    _refine(engine, one, others, result, np.triu(near) if two is None else near)
    return result


def _refine(
    engine: Engine, one: Matrix, two: Matrix, result: Correlation, near: npt.NDArray[np.bool_]
) -> None:
    """Overwrite the correlations of the pairs that are marked."""
    pairs: list[tuple[int, int]] = []
    equal: list[tuple[int, int]] = []
    for i, j in np.argwhere(near).tolist():
        (equal if np.array_equal(one[i], two[j]) else pairs).append((i, j))
    images, offset = (one, 0) if two is one else (np.concatenate([one, two]), len(one))
    parts = engine.refine(images, [(i, offset + j) for i, j in pairs])
    if parts is None:
        return
    for found, (deficit, excess) in ((pairs, parts), (equal, (0.0, 2.0))):
        if found:
            rows, cols = np.array(found).T
            result.deficit[rows, cols], result.excess[rows, cols] = deficit, excess


def roots(variance: Matrix) -> Matrix:
    """Root of variances; that of a mean of features that cancel may round to less than zero."""
    return np.asarray(np.sqrt(np.maximum(variance, 0)))
