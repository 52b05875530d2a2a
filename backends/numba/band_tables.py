"""The tables of the method band: stages, the maps of their poolings, and the schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends.numba.layout import Stage
from refntk.backends.numba.layout import Step as Column
from refntk.backends.numba.pooling import FIELDS
from refntk.backends.numba.schedule import Axis, Runs, Schedule
from refntk.backends.numba.workspace import Tables
from refntk.backends.table import LATE, SIGNED
from refntk.plan.reduction import Pool, Step

__all__ = ["BandTables"]


@dataclass(frozen=True)
class BandTables(Tables):
    """A plan with poolings as `refntk.backends.numba.band.band_sums` reads it."""

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Of each stage, its first step and the one after the last."""
        return list(pairwise([0, *(pool.after for pool in self.plan.pools), len(self.plan.steps)]))

    @property
    def segments(self) -> list[tuple[Step, ...]]:
        """Steps of each stage."""
        return [self.plan.steps[first:stop] for first, stop in self.bounds]

    @property
    def exact(self) -> bool:
        """Whether features are pooled that no activation has come before, so that K may be tiny.

        Then K itself is summed up, and all slices take the careful form.
        """
        before = [self.plan.steps[: pool.after] for pool in self.plan.pools]
        return any(not steps or steps[-1].activation is None for steps in before)

    @cached_property
    def steps(self) -> npt.NDArray[np.int64]:
        """Table of the steps, whose displacements are those after their stage."""
        column, table = Column(), super().steps.copy()
        # Below a stage without steps the maps begin with the lengths of pixels.
        height, width, _ = self.plan.shape
        lengths = (height + 2 * self.margin) * self._pitch(width)
        if not self.segments[0]:
            for name in ("below", "sums", "scales", "root", "level"):
                table[:, getattr(column, name)] += lengths
        for number, (first, stop) in enumerate(self.bounds):
            scale_y = scale_x = 1
            for k in reversed(range(first, stop)):
                scale_y *= table[k, column.stride_y]
                scale_x *= table[k, column.stride_x]
                table[k, column.scale_y], table[k, column.scale_x] = scale_y, scale_x
                if number and table[k, column.activation] == SIGNED:
                    table[k, column.activation] = LATE  # excesses do not go through a pooling
        return table

    def _pitch(self, width: int) -> int:
        """Positions of a row of a map with margins."""
        return width * (1 + self.wrap) + 2 * self.margin

    @property
    def _steps_end(self) -> int:
        """Where the maps of the steps end."""
        return int(self.steps[-1, Column().level]) + 2

    @property
    def map_size(self) -> int:
        """Number of positions of the maps of all steps and poolings."""
        sizes = [FIELDS * p.y.n_out * p.x.n_out * (1 + self.wrap) for p in self.plan.pools]
        return self._steps_end + sum(sizes)

    @cached_property
    def stages(self) -> npt.NDArray[np.int64]:
        """One row of `Stage` for each stage."""
        column, pools = Stage(), self.plan.pools
        table = np.zeros((len(self.segments), len(column)), np.int64)
        place, own = self._steps_end, 0
        for k, (row, (first, stop)) in enumerate(zip(table, self.bounds, strict=True)):
            row[column.first], row[column.stop] = first, stop
            row[column.ends] = k == len(pools)
            row[column.pooled] = place
            (row[column.in_y], row[column.out_y], _), (row[column.in_x], row[column.out_x], _) = (
                axis[:3] for axis in self.axes[k]
            )
            row[[column.source, column.pitch, column.spacing]] = self._source(k, place)
            if k:
                place += FIELDS * int(row[column.in_y] * row[column.in_x]) * (1 + self.wrap)
            if k < len(pools):
                for axis, window in enumerate((pools[k].y, pools[k].x)):
                    row[column.size_y + axis] = window.size
                    row[column.stride_y + axis] = window.stride
                    row[column.low_y + axis] = window.low
                    row[column.wrap_y + axis] = window.wrap
                row[column.own], row[column.above] = own, pools[k].x.n_out
                own += pools[k].y.n_out * pools[k].x.n_out
        return table

    def _source(self, k: int, pooled: int) -> tuple[int, int, int]:
        """Where the roots of the variances after stage k are, before an activation's factor."""
        first, stop = self.bounds[k]
        if stop > first:
            step, line = self.steps[stop - 1], self.plan.steps[stop - 1].x.n_out * (1 + self.wrap)
            return int(step[Column().root]), 2 * line, 2
        if not k:
            pitch = self._pitch(self.plan.shape[1])
            return self.margin * pitch + self.margin, pitch, 1
        pool = self.plan.pools[k - 1]
        line = pool.x.n_out * (1 + self.wrap)
        return pooled + 2 * pool.y.n_out * line, line, 1

    @cached_property
    def axes(self) -> list[tuple[Axis, Axis]]:
        """Each stage along y and x."""
        shapes = [self.plan.shape[:2], *((p.y.n_out, p.x.n_out) for p in self.plan.pools)]
        return [
            (
                Axis(below[0], *_through(below[0], [s.y for s in part]), bool(self.wrap)),
                Axis(below[1], *_through(below[1], [s.x for s in part]), bool(self.wrap)),
            )
            for below, part in zip(shapes, self.segments, strict=True)
        ]

    @cached_property
    def factors(self) -> npt.NDArray[Any]:
        """By what roots of variances are multiplied by the last activation of each stage."""
        lasts = [part[-1].activation if part else None for part in self.segments]
        return np.array([math.sqrt(dual.half) if dual else 1.0 for dual in lasts], self.dtype)

    @cached_property
    def shares(self) -> npt.NDArray[Any]:
        """By what sums over windows are multiplied, at the positions of all poolings."""
        return np.concatenate([_shares(pool) for pool in self.plan.pools]).astype(self.dtype)

    @cached_property
    def pools(self) -> list[tuple[Runs, Runs]]:
        """Where entries go in each pooling, along y and x."""
        wrap = bool(self.wrap)
        return [(Runs(pool.y, wrap), Runs(pool.x, wrap)) for pool in self.plan.pools]

    @cached_property
    def runs(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """All runs, and where those of each stage begin, by axis and displacement."""
        flat = [runs for pair in self.pools for runs in pair]
        widest = max(len(runs.starts) for runs in flat)
        starts = np.zeros((len(self.pools), 2, widest), np.int64)
        place = 0
        for number, runs in enumerate(flat):
            starts[number // 2, number % 2, : len(runs.starts)] = place + runs.starts
            place += len(runs.table)
        return np.concatenate([runs.table for runs in flat]), starts

    @cached_property
    def schedule(self) -> Schedule:
        """That of a pair of images."""
        y, x = self.axes[-1]
        top = (y.every, x.every) if self.plan.pooled else ([y.zero], [x.zero])
        return Schedule(self.axes, self.pools, top)

    def own_schedule(self, k: int) -> tuple[Schedule, int]:
        """Plan what an image has of its own above pooling k, and tell where the sums then are."""
        pool, wrap = self.plan.pools[k], bool(self.wrap)
        y, x = (Axis(n, n, 1, wrap) for n in (pool.y.n_out, pool.x.n_out))
        stages = [*self.axes[: k + 1], (y, x)]
        schedule = Schedule(stages, self.pools[: k + 1], ([y.zero], [x.zero]), complete=False)
        return schedule, int(schedule.places[k + 1, y.zero, x.zero])


def _through(below: int, windows: list[Any]) -> tuple[int, int]:
    """Count the positions after some windows, and multiply their strides."""
    scale = math.prod(window.stride for window in windows)
    return (windows[-1].n_out if windows else below), scale


def _shares(pool: Pool) -> npt.NDArray[np.float64]:
    """Reciprocals of what the sums over windows are divided by, position by position."""
    counts = []
    for window in (pool.y, pool.x):
        inside = window.sums(np.ones(window.n_in), 0)
        counts.append(inside if pool.over == "inside" else np.full_like(inside, window.size))
    count = np.multiply.outer(*counts).ravel()
    return 1 / np.where(pool.over == "one", 1, count)
