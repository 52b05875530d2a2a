"""The method branches: displacement slices of networks whose layers fork, join, rescale or pool.

The program of a network becomes a table of operations on a few numbered arrays, which one compiled
function takes a slice through; `refntk.backends.numba.branch_rows` says what is carried. Poolings
before the readout cut it into stages, whose slices come in the order of
`refntk.backends.numba.schedule`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.backends import Block, Engine, Matrix, Setting
from refntk.backends.numba.branch_rows import branch_function
from refntk.backends.numba.branch_tables import Tables, tables_of, variances
from refntk.backends.numba.engine import over_rotations, require
from refntk.backends.numba.lanes import lanes_of
from refntk.backends.numba.schedule import Axis, Runs, Schedule
from refntk.backends.numba.team import share
from refntk.ops.groups import point_group, rotate
from refntk.ops.operations import Average, Filter, Stack
from refntk.ops.program import Program
from refntk.plan.branches import strides_below

__all__ = ["BranchesEngine", "engine", "require"]

Floats = npt.NDArray[np.float64]
Table = npt.NDArray[np.int64]

_TYPE = np.dtype("float64")
"""Always: in single precision a rescaled slice, or an activation after the readout, would have too
little left of how nearly parallel features are."""


@dataclass(frozen=True)
class _Prepared:
    """Images x, and blocks of lanes of all rotations of each, with what is known of variances.

    Attributes
    ----------
    one : float array, shape (N, P, C)
    maps : float array, shape (N, maps, size)
    two, maps2 : float array, shapes (blocks, P, C, lanes), (blocks, maps, size, lanes)
    """

    one: Floats
    maps: Floats
    two: Floats
    maps2: Floats


class _Task(NamedTuple):
    """One image x, and a block of lanes."""

    row: int
    block: int


class _Order:
    """Which slice comes when.

    Parameters
    ----------
    tables : Tables
    pooled : bool
        Whether the readout sums over all displacements.
    """

    def __init__(self, tables: Tables, pooled: bool) -> None:
        self._wrap = tables.wrap
        self._axes = [_axes(stage, tables.wrap) for stage in tables.stages]
        self._pools: list[tuple[Runs, Runs]] = []
        for stage in tables.stages[:-1]:
            y, x = stage.operations[-1].support.windows or ()  # type: ignore[union-attr]
            self._pools.append((Runs(y, tables.wrap), Runs(x, tables.wrap)))
        y, x = self._axes[-1]
        top = (y.every, x.every) if pooled else ([y.zero], [x.zero])
        self.whole = Schedule(self._axes, self._pools, top)
        self.own = [self._alone(k) for k in range(len(self._pools))]

    def _alone(self, k: int) -> tuple[Schedule, int]:
        """Plan what an image has of its own above pooling k, and tell where the sums then are."""
        wrap, (y, x) = self._wrap, self._axes[k + 1]
        y, x = (Axis(axis.below, axis.below, 1, wrap) for axis in (y, x))
        stages = [*self._axes[: k + 1], (y, x)]
        schedule = Schedule(stages, self._pools[: k + 1], ([y.zero], [x.zero]), complete=False)
        return schedule, int(schedule.places[k + 1, y.zero, x.zero])

    @property
    def size(self) -> int:
        """Number of sums that are kept at most."""
        return max(schedule.size for schedule in (self.whole, *(own for own, _ in self.own)))

    @property
    def runs(self) -> tuple[Table, Table]:
        """All runs, and where those of each stage begin, by axis and displacement."""
        flat = [runs for pair in self._pools for runs in pair]
        widest = max((len(runs.starts) for runs in flat), default=1)
        starts = np.zeros((max(1, len(self._pools)), 2, widest), np.int64)
        place = 0
        for number, runs in enumerate(flat):
            starts[number // 2, number % 2, : len(runs.starts)] = place + runs.starts
            place += len(runs.table)
        every = [np.zeros((0, 5), np.int64), *(runs.table for runs in flat)]
        return np.concatenate(every), starts


def _axes(stage: Program, wrap: bool) -> tuple[Axis, Axis]:
    """Write a stage along y and x."""
    below, above = stage.spaces[0].shape, stage.spaces[-2].shape
    y, x = (
        Axis(*sides, wrap)
        for sides in zip(below, above, strides_below(stage)[0], strict=True)
    )
    return y, x


class BranchesEngine(Engine):
    """Displacement slices of networks with branches and poolings, in Numba.

    Parameters
    ----------
    setting : Setting
    """

    def __init__(self, setting: Setting) -> None:
        self._setting, self._plan = setting, setting.plan
        body = self._plan.body
        self._lanes = lanes_of(_TYPE)
        self._tables = tables_of(body)
        self._order = _Order(self._tables, not isinstance(body.operations[-1], Stack))
        self._runs = self._order.runs
        spaces = body.spaces[:-1]
        self._size = max(space.positions for space in spaces)
        self._margin = _margin(body)
        sides = ([side + 2 * self._margin for side in space.shape] for space in spaces)
        self._room = self._lanes * max(height * width for height, width in sides)
        self._static = (
            np.array(self._tables.rows, np.int64),
            np.array(self._tables.constants, _TYPE),
            np.array(self._tables.bounds, np.int64),
        )

    def prepare(self, images: Matrix) -> _Prepared:
        """Turn, scale and lay out images, see `refntk.backends.Engine.prepare`."""
        group, (count, height, width, channels) = point_group(self._plan.group), images.shape
        scaled = images / np.sqrt(channels)
        turned = np.stack([rotate(scaled, r, group) for r in range(group.order)], axis=1)
        pixels = turned.reshape(count * group.order, height * width, channels)
        maps = self._maps(pixels)
        own = slice(None, None, group.order)
        return self._laid_out(pixels, maps, own)

    def _maps(self, pixels: Floats) -> Floats:
        """Find what is read of single images, stage by stage."""
        tables = self._tables
        maps = np.zeros((len(pixels), max(1, tables.maps), self._size))
        flat, first = maps.reshape(len(pixels), -1), (pixels * pixels).sum(axis=-1)
        for k, stage in enumerate(tables.stages):
            found = variances(stage, first)
            for number, recipe in tables.recipes[k].items():
                values, place = recipe(found), number * self._size
                flat[:, place : place + values.shape[1]] = values
            end = stage.operations[-1]
            if k + 1 < len(tables.stages):
                assert isinstance(end, Average)
                positions = end.support.above.positions
                shares = 1 / end.divisors[:positions]
                own = self._own(self._laid_out(pixels, maps, slice(None)), k, positions)
                distances, first = shares**2 * own[:, 0], shares**2 * own[:, 1]
                resumed = tables.resumed[k]
                for number, values in enumerate((distances, np.sqrt(np.maximum(first, 0)), shares)):
                    maps[:, resumed + number, :positions] = values
        return maps

    def _laid_out(self, pixels: Floats, maps: Floats, own: slice) -> _Prepared:
        """Put some images x by themselves, and all of them into lanes; the last fills the rest."""
        lanes = self._lanes
        blocks = -(-len(pixels) // lanes)
        places = np.minimum(np.arange(blocks * lanes), len(pixels) - 1)
        two, maps2 = (
            np.ascontiguousarray(
                np.moveaxis(array[places].reshape(blocks, lanes, *array.shape[1:]), 1, -1)
            )
            for array in (pixels, maps)
        )
        return _Prepared(pixels[own].copy(), maps[own].copy(), two, maps2)

    def _own(self, images: _Prepared, k: int, positions: int) -> Floats:
        """Sum D and K between each image and itself over the windows of pooling k: (N, 2, P)."""
        kept = np.zeros((len(images.one), 2, positions))
        schedule, place = self._order.own[k]
        nowhere = np.zeros((2, self._lanes))

        def work(memory: Any, row: int) -> None:
            block, lane = divmod(row, self._lanes)
            alone = kept[row], lane, place
            self._sums(images, images, _Task(row, block), schedule, memory, alone, nowhere)

        share(range(len(kept)), self._setting.threads, self._memory, work)
        return kept

    def diagonal(self, prepared: _Prepared) -> Matrix:
        """NNGP of each image with itself, see `refntk.backends.Engine.diagonal`."""
        order, count, lanes = self._plan.order, len(prepared.one), self._lanes
        tasks = [
            _Task(row, block)
            for row in range(count)
            for block in range(row * order // lanes, ((row + 1) * order - 1) // lanes + 1)
        ]
        nngp, _ = self._kernels(prepared, prepared, tasks, lambda fraction: None)
        return nngp[np.arange(count), np.arange(count)]

    def block(
        self, one: _Prepared, two: _Prepared | None, progress: Callable[[float], None]
    ) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        other = one if two is None else two
        order = self._plan.order
        tasks = [
            _Task(row, block)
            for row in range(len(one.one))
            for block in range(len(other.two))
            if two is not None or (block + 1) * self._lanes > row * order
        ]
        nngp, ntk = self._kernels(one, other, tasks, progress)
        return nngp, ntk if self._setting.ntk else None

    def _kernels(
        self, one: _Prepared, two: _Prepared, tasks: Sequence[_Task],
        progress: Callable[[float], None],
    ) -> tuple[Matrix, Matrix]:  # fmt: skip
        plan, sums = self._plan, np.zeros((len(one.one), 2, len(two.two), self._lanes))
        alone = np.zeros((2, 0)), 0, 0

        def work(memory: Any, task: _Task) -> None:
            out = sums[task.row, :, task.block]
            self._sums(one, two, task, self._order.whole, memory, alone, out)

        share(tasks, self._setting.threads, self._memory, work, progress)
        flat = sums.reshape(len(one.one), 2, -1)
        count = len(two.one) * plan.order
        total = over_rotations(flat[..., :count], plan.order)
        return total[:, 0] / plan.divisor, total[:, 1] / plan.divisor

    def _memory(self) -> tuple[Floats, Floats]:
        """Give a thread what it works with."""
        size = (1 + 3 * self._tables.slots) * self._room
        return np.zeros(size, _TYPE), np.zeros(max(1, 3 * self._order.size * self._lanes), _TYPE)

    def _sums(
        self, one: _Prepared, two: _Prepared, task: _Task, schedule: Schedule, memory: Any,
        alone: Any, out: Floats,
    ) -> None:  # fmt: skip
        """Do a task: see `refntk.backends.numba.branch_rows.branch_function`."""
        row, block = task
        shape = self._plan.shape[2], self._room, self._margin, self._order.size
        branch_function(self._tables.activations)(
            (one.one[row], two.two[block]), (one.maps[row], two.maps2[block]), self._static, shape,
            (schedule.events, schedule.fresh, schedule.places, *self._runs), self._tables.wrap,
            memory, alone, out,
        )  # fmt: skip


def _margin(body: Program) -> int:
    """Count the positions by which windows reach out of the image, at most."""
    most = 0
    for operation in body.operations:
        if isinstance(operation, Filter):
            for window in operation.support.windows or ():
                above = int(window.starts[-1]) + window.span - window.n_in
                most = max(most, window.low, 0 if window.wrap else above)
    return most


def engine(setting: Setting) -> Engine:
    """Build the engine."""
    return BranchesEngine(setting)
