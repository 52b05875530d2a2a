"""Slices on cosets in NumPy, for any activation: the formulas of the literal recursion on slices.

`refntk.backends.numba.cosets` has those of piecewise linear ones, faster and with more digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refntk.backends import Block, Images, Matrix, Setting
from refntk.ops.operations import Filter, Pointwise
from refntk.plan.cosets import Level, action_below
from refntk.recursion.formulas import activated

__all__ = ["ArraySlices"]

_NUMBERS = 1 << 20
"""Numbers of a layer's slices that are computed together."""


@dataclass(frozen=True)
class _Prepared:
    """Signals (N, X, C), and the variances after each operation but the readout, (N, cosets)."""

    signals: Matrix
    variances: list[Matrix]


class ArraySlices:
    """Slices on cosets as arrays, of double precision.

    Parameters
    ----------
    setting : Setting
        Of a plan with levels.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting, self._plan = setting, setting.plan
        self._steps = self._plan.body.operations[:-1]
        own = slice(None) if self._plan.pooled else slice(1)
        levels = iter(self._plan.levels)
        # Where each slice moves a point, or a coset of the features before each operation.
        self._moved = [action_below(self._plan.body)[own].T]
        self._levels: list[Level | None] = []
        for step in self._steps:
            level = next(levels) if isinstance(step, Filter) else None
            self._levels.append(level)
            self._moved.append(self._moved[-1] if level is None else level.action[own].T)

    def prepare(self, images: Matrix) -> _Prepared:
        """Take variances through the layers, see `refntk.backends.Engine.prepare`."""
        variance = (images * images).sum(axis=2) / images.shape[2]
        found = [variance]
        for step, level in zip(self._steps, self._levels, strict=True):
            if isinstance(step, Filter) and level is not None:
                variance = step.weight**2 * _mean(variance[:, :, None], level)[..., 0]
                variance = variance + step.bias**2
            elif isinstance(step, Pointwise):
                variance = step.dual.itself(variance)[0]
            found.append(variance)
        return _Prepared(images, found)

    def diagonal(self, prepared: _Prepared) -> Matrix:
        """NNGP of each signal with itself, see `refntk.backends.Engine.diagonal`."""
        return np.array([
            self._row(prepared, prepared, i, slice(i, i + 1), True, False)[0][0]
            for i in range(len(prepared.signals))
        ])

    def block(
        self, one: _Prepared, two: _Prepared | None, progress: Callable[[float], None]
    ) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        other = one if two is None else two
        shape = len(one.signals), len(other.signals)
        nngp, theta = np.zeros(shape), np.zeros(shape)
        step = max(1, _NUMBERS // max(moved.size for moved in self._moved))
        for i in range(shape[0]):
            first = 0
            if two is None:
                own = slice(i, i + 1)
                nngp[i, own], theta[i, own] = self._row(one, one, i, own, True, self._setting.ntk)
                first = i + 1
            for j in range(first, shape[1], step):
                columns = slice(j, min(j + step, shape[1]))
                nngp[i, columns], theta[i, columns] = self._row(
                    one, other, i, columns, False, self._setting.ntk
                )
            progress(1 / shape[0])
        return nngp, theta if self._setting.ntk else None

    def refine(self, images: Matrix, pairs: Sequence[tuple[int, int]]) -> None:
        """Leave close pairs with what rounding left of them."""
        return

    def whole(self, one: Images, two: Images | None, progress: Callable[[float], None]) -> None:
        """Leave the layers after the readout to others, see `refntk.backends.Engine.whole`."""
        return

    def _row(
        self, one: _Prepared, two: _Prepared, i: int, columns: slice, itself: bool, ntk: bool
    ) -> tuple[Matrix, Matrix | float]:
        """Kernels of one signal with others; axes of slices are (signals, cosets, slices)."""
        f, others = one.signals[i], two.signals[columns]
        # Channel by channel: no sum may depend on how many signals there are.
        nngp = sum(
            mine[:, None] * other[:, self._moved[0]]
            for mine, other in zip(f.T, np.moveaxis(others, 2, 0), strict=True)
        ) / f.shape[1]
        theta = np.zeros_like(nngp) if ntk else None
        same: npt.NDArray[np.bool_] = np.zeros(nngp.shape[2], bool)
        same[0] = itself
        for k, (step, level) in enumerate(zip(self._steps, self._levels, strict=True)):
            if isinstance(step, Filter) and level is not None:
                mean, weight = _mean(nngp, level), step.weight**2
                nngp = weight * mean + step.bias**2
                if theta is not None:
                    alpha, beta = map(float, step.tangent)
                    theta = weight * _mean(theta, level) + (alpha * mean + beta)
            elif isinstance(step, Pointwise):
                var1 = one.variances[k][i][:, None]
                var2 = two.variances[k][columns][:, self._moved[k]]
                nngp, theta = activated(nngp, theta, step.dual, var1, var2, same)
        return _pooled(nngp), 0.0 if theta is None else _pooled(theta)


def _pooled(slices: Matrix) -> Matrix:
    """Average over cosets and slices."""
    return np.array([one.mean() for one in np.ascontiguousarray(slices)])


def _mean(slices: Matrix, level: Level) -> Matrix:
    """Apply a filter to slices, (..., cosets below, slices)."""
    shares = zip(level.shares, level.reads, strict=True)
    return np.asarray(sum(float(share) * slices[:, reads] for share, reads in shares))
