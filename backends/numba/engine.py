"""Blocks of kernels on all processor cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.backends import Block, Engine, Images, Matrix, Setting
from refntk.backends.numba.close import close_correlations
from refntk.backends.numba.cosets import CosetsEngine
from refntk.backends.numba.lanes import lanes_of
from refntk.backends.numba.perceptron import is_perceptron, perceptron_block, vectors
from refntk.backends.numba.slices import block_sums
from refntk.backends.numba.team import share
from refntk.backends.numba.workspace import Tables, Workspace
from refntk.errors import InputError
from refntk.ops.groups import point_group, rotate
from refntk.plan.reduction import Plan

__all__ = ["SlicesEngine", "engine", "require"]

_ENTRIES_A_PART = 500_000
"""Entries of a pair of images after which its displacements are split into parts.

One part takes a few milliseconds for one image x and all lanes; it is what threads share out.
"""


@dataclass(frozen=True)
class _Prepared:
    """Images x, and all rotations of each of them one after the other; axes [y, channel, x]."""

    images: npt.NDArray[Any]
    rotated: npt.NDArray[Any]


class _Task(NamedTuple):
    """One call of the compiled function."""

    rows: tuple[int, int]  # images x, first and after the last
    lane: int  # rotated image x' in the first lane
    group: int  # where to keep the sums
    part: int  # of the displacements


class SlicesEngine:
    """Displacement slices in Numba.

    Parameters
    ----------
    setting : Setting
    """

    def __init__(self, setting: Setting) -> None:
        self._setting, self._plan = setting, setting.plan
        # Without a convolution all that is left is elementwise and cheap: no precision is given up.
        self._dtype = np.dtype(setting.dtype if self._plan.steps else "float64")
        self._tables = Tables(self._plan, self._dtype.name)

    def prepare(self, images: Matrix) -> _Prepared:
        """Scale and lay out images, see `refntk.backends.Engine.prepare`."""
        group = point_group(self._plan.group)
        scaled = images / np.sqrt(images.shape[-1])
        turned = np.stack([rotate(scaled, r, group) for r in range(group.order)], axis=1)
        kept = turned.swapaxes(-1, -2).astype(self._dtype)
        rotated = kept.reshape(len(images) * group.order, -1)
        return _Prepared(np.ascontiguousarray(rotated[:: group.order]), rotated)

    def diagonal(self, prepared: _Prepared) -> Matrix:
        """NNGP of each image with itself, see `refntk.backends.Engine.diagonal`."""
        count, order = len(prepared.images), self._plan.order
        tasks = [
            _Task((row, row + 1), row * order, 0, part)
            for row in range(count)
            for part in range(_parts(self._plan))
        ]
        sums = self._run(prepared, prepared, tasks, 1, False, lambda fraction: None)
        return _over_rotations(self._plan, sums[0, :, 0, :order])[:, 0]

    def block(
        self, one: _Prepared, two: _Prepared | None, progress: Callable[[float], None]
    ) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        plan, ntk = self._plan, self._setting.ntk
        other = one if two is None else two
        lanes, count = lanes_of(self._dtype), len(one.images)
        # Rotations of a few images fill the lanes. A group that they do not fill comes first: for
        # the same images it meets few rows there, as the last one it would meet all of them.
        last = range(len(other.rotated), 0, -lanes)[::-1]
        tasks = []
        for group, stop in enumerate(last):
            wanted = count if two is not None else stop // plan.order
            for first in range(0, wanted, lanes):
                rows, lane = (first, min(first + lanes, wanted)), max(stop - lanes, 0)
                tasks += [_Task(rows, lane, group, part) for part in range(_parts(plan))]
        sums = self._run(one, other, tasks, len(last), ntk, progress)
        # Axes (group, x, kernel, lane) to (kernel, x, rotated x').
        flat = sums.transpose(2, 1, 0, 3).reshape(sums.shape[2], count, len(last) * lanes)
        if lanes > last[0]:
            flat = np.delete(flat, range(last[0], lanes), axis=2)
        kernels = _over_rotations(plan, flat)
        return kernels[0], kernels[1] if ntk else None

    def refine(
        self, images: Matrix, pairs: Sequence[tuple[int, int]]
    ) -> tuple[Matrix, Matrix]:
        """Compute pairs once more in double-double, see `refntk.backends.Engine.refine`."""
        return close_correlations(self._plan, images, pairs, self._setting.threads)

    def whole(
        self, one: Images, two: Images | None, progress: Callable[[float], None]
    ) -> Block | None:
        """Kernels of perceptrons, see `refntk.backends.Engine.whole`."""
        plan = self._plan
        if not is_perceptron(plan):
            return None
        other = None if two is None else vectors(plan, two)
        return perceptron_block(plan, vectors(plan, one), other, self._setting.threads, progress)

    def _run(
        self, one: _Prepared, two: _Prepared, tasks: Sequence[_Task], groups: int, ntk: bool,
        progress: Callable[[float], None],
    ) -> Matrix:  # fmt: skip
        """Share out tasks among threads; sums of shape (groups, images x, kernels, lanes).

        Parts are added in their own order, so that the sums depend on nothing but the pair of
        images.
        """
        tables = self._tables
        parts, lanes = _parts(self._plan), lanes_of(self._dtype)
        bounds, across = _bounds(tables, parts), tables.displacements[1]
        partial = np.zeros((parts, groups, len(one.images), 1 + ntk, lanes))
        static = tables.steps, tables.rates, tables.constants, tables.unlike

        def work(memory: Workspace, task: _Task) -> None:
            down = bounds[task.part], bounds[task.part + 1]
            block_sums(
                (one.images, two.rotated), (task.rows, task.lane, (*down, *across)), static,
                tables.layout, memory.arrays, partial[task.part, task.group],
            )  # fmt: skip

        share(tasks, self._setting.threads, lambda: Workspace(tables, ntk), work, progress)
        total: Matrix = partial[0]
        for part in range(1, parts):
            total += partial[part]
        return total


def _parts(plan: Plan) -> int:
    """Into how many parts the displacements are split: a matter of the plan alone."""
    (first, last), _ = Tables(plan, "float64").displacements
    return max(1, min(last - first, plan.entries // plan.order // _ENTRIES_A_PART))


def _bounds(tables: Tables, parts: int) -> list[int]:
    """Cut the displacements along y into parts of about the same number of entries."""
    first, last = tables.displacements[0]
    rows = [1 if tables.wrap else last - abs(dy) for dy in range(first, last)]
    share = np.cumsum([0, *rows]) / sum(rows)
    cuts = [int(np.searchsorted(share, part / parts)) for part in range(parts + 1)]
    return [first + cut for cut in cuts]


def _over_rotations(plan: Plan, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turn sums over positions into means over positions and rotations, along the last axis."""
    by_image = sums.reshape(*sums.shape[:-1], -1, plan.order)
    total = by_image[..., 0].copy()
    for r in range(1, plan.order):
        total += by_image[..., r]
    return total / plan.divisor


def require() -> None:
    """Raise `InputError` where Numba is told not to compile."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise InputError(
            "NUMBA_DISABLE_JIT is set, and the backend numba is nothing without compiling: unset "
            "it, or use the backend numpy (--backend numpy)"
        )


def engine(setting: Setting) -> Engine:
    """Build the engine, of images or of signals on a finite set."""
    return CosetsEngine(setting) if setting.plan.levels else SlicesEngine(setting)
