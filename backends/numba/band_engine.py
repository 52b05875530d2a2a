"""Blocks of kernels with poolings before the readout, on all processor cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends import Engine, Images, Matrix, Setting
from refntk.backends.numba.band import band_sums
from refntk.backends.numba.band_tables import BandTables
from refntk.backends.numba.engine import Prepared, SlicesEngine, Task, require
from refntk.backends.numba.lanes import lanes_of
from refntk.backends.numba.layout import Stage
from refntk.backends.numba.team import share
from refntk.backends.numba.workspace import Tables, Workspace, aligned

__all__ = ["BandEngine", "engine", "require"]


_KNOWN_AT_MOST = 1 << 14
"""Images whose own numbers are kept: a tile asks for those of the one before it."""


@dataclass(frozen=True)
class _Pooled(Prepared):
    """Images, and what each of them, turned, has of its own after each pooling.

    That are sums over windows between an image and itself, of deficits and of K:
    (N n, 2, positions).
    """

    own: npt.NDArray[Any]


class _Memory:
    """What a thread works with: that of slices, and sums over windows."""

    def __init__(self, tables: BandTables, ntk: bool, size: int) -> None:
        self.arrays = Workspace(tables, ntk).arrays
        count = size * lanes_of(np.dtype(tables.dtype))
        deficits, theta, plain = (
            aligned(size_, tables.dtype) for size_ in (count, count, count if tables.exact else 1)
        )
        self.sums = deficits, theta if ntk else None, plain


class BandEngine(SlicesEngine):
    """Displacement slices between poolings, in Numba.

    Parameters
    ----------
    setting : Setting
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._band = BandTables(self._plan, self._dtype.name)
        self._families = [(elements, self._band) for elements, _ in self._families]
        self._known: dict[bytes, npt.NDArray[Any]] = {}
        self._alone = [self._band.own_schedule(k) for k in range(len(self._plan.pools))]

    def prepare(self, images: Matrix) -> _Pooled:
        """Lay out images and pool each with itself, see `refntk.backends.Engine.prepare`."""
        plain = super().prepare(images)
        (rotated,) = plain.rotated
        keys = [blake2b(image.tobytes(), digest_size=16).digest() for image in rotated]
        if len(self._known) > _KNOWN_AT_MOST:
            self._known.clear()
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            self._known.update(zip(new, self._pooled(rotated[list(new.values())]), strict=True))
        return _Pooled(plain.images, plain.rotated, np.stack([self._known[key] for key in keys]))

    def _pooled(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Find what images have of their own after each pooling."""
        own = np.zeros((len(images), 2, len(self._band.shares)), self._dtype)
        itself, lanes = _Pooled(images, [images], own), lanes_of(self._dtype)
        memory = partial(self._memory, self._band, self._setting.ntk)
        nowhere = np.zeros((len(images), 2, lanes))
        tasks = [
            Task((first, min(first + lanes, len(images))), first, 0, 0)
            for first in range(0, len(images), lanes)
        ]
        for k in range(len(self._plan.pools)):
            compute = self._through(itself, itself, k)
            share(tasks, self._setting.threads, memory, partial(_without_sums, compute, nowhere))
        return own

    def _run(
        self, one: Prepared, two: Prepared, family: int, tasks: Sequence[Task], groups: int,
        ntk: bool, progress: Callable[[float], None],
    ) -> Matrix:  # fmt: skip
        # One machine code for all: numbers of duplicates are then equal, and compiling takes long.
        ntk = self._setting.ntk
        return super()._run(one, two, family, tasks, groups, ntk, progress)

    def refine(self, images: Matrix, pairs: Sequence[tuple[int, int]]) -> None:
        """Leave close pairs with what rounding left of them."""
        return

    def whole(self, one: Images, two: Images | None, progress: Callable[[float], None]) -> None:
        """Leave the layers after the readout to others, see `refntk.backends.Engine.whole`."""
        return

    def _memory(self, tables: Tables, ntk: bool) -> _Memory:
        schedules = self._band.schedule, *(schedule for schedule, _ in self._alone)
        return _Memory(self._band, ntk, max(schedule.size for schedule in schedules))

    def _computation(
        self, one: Prepared, two: Prepared, family: int
    ) -> Callable[[Any, Task, npt.NDArray[np.float64]], None]:
        assert isinstance(one, _Pooled)
        assert isinstance(two, _Pooled)
        return self._through(one, two, len(self._plan.pools))

    def _through(
        self, one: _Pooled, two: _Pooled, pool: int
    ) -> Callable[[Any, Task, npt.NDArray[np.float64]], None]:
        """Build the function that does a task, up to a pooling or, after the last one, to the end.

        Up to a pooling it keeps what images have of their own.
        """
        tables, order = self._band, len(one.own) // len(one.images)
        images = one.images, two.rotated[0]
        own = np.ascontiguousarray(one.own[::order]), two.own
        static = tables.steps, tables.rates, tables.constants, tables.unlike
        band = tables.stages[: pool + 1], tables.factors, tables.shares, int(tables.exact)
        schedule, alone = tables.schedule, (two.own, 0, 0, 0)
        if pool < len(self._plan.pools):
            window = self._plan.pools[pool]
            schedule, place = self._alone[pool]
            first, count = int(tables.stages[pool, Stage().own]), window.y.n_out * window.x.n_out
            alone = two.own, first, place, count
        events = schedule.events, schedule.fresh, schedule.places, *tables.runs

        def compute(memory: _Memory, task: Task, out: npt.NDArray[np.float64]) -> None:
            band_sums(
                images, own, (task.rows, task.lane), static, band, events, alone, tables.layout,
                memory.arrays, memory.sums, out,
            )  # fmt: skip

        return compute


def _without_sums(
    compute: Callable[[Any, Task, npt.NDArray[np.float64]], None],
    nowhere: npt.NDArray[np.float64],
    memory: _Memory,
    task: Task,
) -> None:
    """Do a task that has no sums at the readout."""
    compute(memory, task, nowhere)


def engine(setting: Setting) -> Engine:
    """Build the engine."""
    return BandEngine(setting)
