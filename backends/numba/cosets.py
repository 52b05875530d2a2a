"""Signals on a finite set that a group acts on: the engine of slices on cosets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends import Block, Engine, Matrix, Setting
from refntk.backends.numba.coset_rows import (
    ABOVE,
    BELOW,
    KIND,
    LATER,
    LINEAR,
    MOVED,
    PLACES,
    READS,
    ROOTS,
    SHARES,
    SIGNED,
    coset_kernels,
)
from refntk.backends.numba.team import share
from refntk.ops.dual import RELU
from refntk.ops.operations import Filter
from refntk.plan.cosets import action_below
from refntk.plan.reduction import Plan, tangent_of

__all__ = ["CosetsEngine"]

_LANES = 64
"""Slices of a block, at most and as long as its rows stay in the second-level cache."""

_NUMBERS_A_BLOCK = 1 << 14
"""Numbers of a row times rows, in each of the nine arrays of a block."""

_NUMBERS_A_TASK = 500_000
"""Kernel entries that threads take at once: some milliseconds."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Prepared:
    """Signals in units of their size, and the roots of the variances at each coset, (N, roots)."""

    units: Matrix
    roots: Matrix


class _Tables:
    """A plan as arrays of numbers."""

    def __init__(self, plan: Plan) -> None:
        self.plan, levels = plan, plan.levels
        self.filters = [op for op in plan.body.operations if isinstance(op, Filter)]
        slices = slice(None) if plan.pooled else slice(1)
        actions = [action_below(plan.body), *(level.action for level in levels)]
        self.slices = levels[0].group.order if plan.pooled else 1
        parts: list[npt.NDArray[np.int32]] = []
        self.layout = np.zeros((len(levels) + 1, 8), np.int64)
        self.rates = np.zeros((len(levels), 8))
        shares: list[list[float]] = []
        signed = True
        for row, level, action in zip(self.layout, (*levels, None), actions, strict=True):
            row[BELOW], row[SHARES] = action.shape[1], sum(map(len, shares))
            row[MOVED] = sum(part.size for part in parts)
            parts.append(action[slices].T.ravel().astype(np.int32))
            if level is None:
                break
            row[ABOVE], row[PLACES] = level.size, len(level.shares)
            row[READS] = sum(part.size for part in parts)
            parts.append(level.reads.T.ravel().astype(np.int32))
            shares.append([float(one) for one in level.shares])
            row[KIND] = (SIGNED if signed else LATER) if level.activation else LINEAR
            signed = signed and not level.activation
        # Roots: those of the signal, and after each filter S, 1/S and the root after what follows.
        sizes = [self.layout[0, BELOW], *(3 * row[ABOVE] for row in self.layout[:-1])]
        ends = np.cumsum(sizes)
        self.layout[0, ROOTS] = 0
        self.layout[1:, ROOTS] = ends[1:] - self.layout[:-1, ABOVE]
        self.room = int(ends[-1])
        self.index = np.concatenate(parts)
        self.shares = np.concatenate([np.array(one) for one in shares])
        for k, (rates, layer, level) in enumerate(
            zip(self.rates, self.filters, levels, strict=True)
        ):
            dual = self._dual(k) if level.activation else RELU
            rates[:] = (
                layer.weight**2, layer.bias**2, *tangent_of(layer),
                dual.half, dual.gain, dual.skip, dual.odd,
            )  # fmt: skip

    def _dual(self, k: int) -> Any:
        """Find the activation after filter k."""
        operations = self.plan.body.operations
        place = operations.index(self.filters[k])
        return operations[place + 1].dual.arccos  # type: ignore[union-attr]

    def roots(self, sizes: Matrix) -> Matrix:
        """Take the root of each signal's variances, (N, X), through the filters."""
        found = [sizes]
        for layer, level, rates in zip(self.filters, self.plan.levels, self.rates, strict=True):
            shares = np.sqrt([float(one) for one in level.shares])
            reads = layer.weight * shares[:, None] * found[-1][:, level.reads]
            root = np.hypot(_length(reads, axis=1), layer.bias)
            inverse = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
            found += [root, inverse, root * math.sqrt(rates[4]) if level.activation else root]
        return np.concatenate(found, axis=1)


class CosetsEngine(Engine):
    """Slices on cosets in Numba; all is computed in double precision.

    Parameters
    ----------
    setting : Setting
    """

    def __init__(self, setting: Setting) -> None:
        self._setting, self._tables = setting, _Tables(setting.plan)

    def prepare(self, images: Matrix) -> _Prepared:
        """Scale and measure signals (N, X, C), see `refntk.backends.Engine.prepare`."""
        size = _length(images, axis=2)
        inverse = np.divide(1, size, out=np.zeros_like(size), where=size > 0)
        roots = self._tables.roots(size / math.sqrt(images.shape[2]))
        return _Prepared(np.ascontiguousarray(images * inverse[:, :, None]), roots)

    def diagonal(self, prepared: _Prepared) -> Matrix:
        """NNGP of each signal with itself, see `refntk.backends.Engine.diagonal`."""
        own = np.arange(len(prepared.units))
        return self._pairs(prepared, prepared, own, own, False, lambda fraction: None)[0]

    def block(
        self, one: _Prepared, two: _Prepared | None, progress: Callable[[float], None]
    ) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        other = one if two is None else two
        shape = len(one.units), len(other.units)
        rows, columns = np.triu_indices(shape[0]) if two is None else np.indices(shape)
        rows, columns = rows.ravel(), columns.ravel()
        found = self._pairs(one, other, rows, columns, self._setting.ntk, progress)
        kernels = []
        for numbers in found:
            kernel = np.zeros(shape)
            kernel[rows, columns] = numbers
            kernels.append(kernel)
        return kernels[0], kernels[1] if self._setting.ntk else None

    def _pairs(
        self, one: _Prepared, two: _Prepared, rows: Ints, columns: Ints, ntk: bool,
        progress: Callable[[float], None],
    ) -> tuple[Matrix, Matrix]:  # fmt: skip
        """Kernels of pairs of signals, in tasks that threads share out."""
        tables, plan = self._tables, self._setting.plan
        nngp, theta = np.zeros(len(rows)), np.zeros(len(rows))
        step = max(1, _NUMBERS_A_TASK // plan.entries)
        tasks = [slice(first, first + step) for first in range(0, len(rows), step)]
        highest = int(tables.layout[:, [BELOW, ABOVE]].max())
        most = max(8, _NUMBERS_A_BLOCK // highest // 8 * 8)
        lanes = min(_LANES, most, -(-tables.slices // 8) * 8)

        def memory() -> tuple[Matrix, Matrix | None]:
            room = np.zeros((7 * highest + 6) * lanes)
            return room, np.zeros((2 * highest + 1) * lanes) if ntk else None

        def work(memory: tuple[Matrix, Matrix | None], task: slice) -> None:
            coset_kernels(
                rows[task], columns[task], one.units, two.units, one.roots, two.roots, tables.index,
                tables.shares, tables.layout, tables.rates, (tables.slices, lanes, highest),
                *memory, nngp[task], theta[task] if ntk else None,
            )  # fmt: skip

        share(tasks, self._setting.threads, memory, work, progress)
        return nngp, theta


def _length(vectors: Matrix, axis: int) -> Matrix:
    """Lengths whose squares may be beyond doubles."""
    largest = np.abs(vectors).max(axis=axis, keepdims=True)
    scaled = np.divide(vectors, largest, out=np.zeros_like(vectors), where=largest > 0)
    length: Matrix = largest.squeeze(axis) * np.sqrt((scaled * scaled).sum(axis=axis))
    return length
