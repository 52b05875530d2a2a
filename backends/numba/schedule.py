r"""The order in which slices of all stages are computed, so that few sums are kept at a time.

The *stages* of a network are what lies between its poolings. The entries of one slice of a stage,
of displacement d, go to slices d' of the next one, which is pooled:

.. math:: K'_{\sigma, \sigma + d'} = \sum_{a, a'} K_{t, t + d}, \quad
    t = s \sigma - \mathrm{low} + a, \quad t + d = s (\sigma + d') - \mathrm{low} + a'

over the places a, a' of a window, with s its stride. Slices of the first stage are taken row by
row. As soon as all that a slice of another stage sums up is there, it is taken through that stage
and added to the next one's, and its memory is free: each slice is computed once, and what is kept
are some rows of displacements of sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from refntk.ops.support import Window

__all__ = ["Axis", "Runs", "Schedule"]

Table: TypeAlias = npt.NDArray[np.int64]
Slice: TypeAlias = tuple[int, int]
"""Numbers of the displacements along y and x: from 0 for the least one."""


class Axis(NamedTuple):
    """One axis of a stage.

    Attributes
    ----------
    below, above : int
        Positions below its first convolution, and after the last one.
    scale : int
        Displacement below that goes with a displacement of 1 above.
    wrap : bool
        Whether displacements begin with 0, because convolutions wrap around.
    """

    below: int
    above: int
    scale: int
    wrap: bool

    @property
    def entire(self) -> int:
        """Number of all displacements below."""
        return self.below if self.wrap else 2 * self.below - 1

    @property
    def every(self) -> list[int]:
        """Numbers of all displacements above."""
        return list(range(self.above if self.wrap else 2 * self.above - 1))

    @property
    def zero(self) -> int:
        """Number of the displacement 0 above."""
        return 0 if self.wrap else self.above - 1

    def read(self, number: int) -> int:
        """Find the number of the displacement below that goes with one above."""
        if self.wrap:
            return self.scale * number
        return self.scale * (number - self.above + 1) + self.below - 1


@dataclass(frozen=True)
class Runs:
    """Where the entries of slices go along one axis.

    Parameters
    ----------
    window : Window
        Of the pooling.
    wrap : bool
        Whether slices have all positions, because the convolutions wrap around.

    Attributes
    ----------
    table : int array, shape (runs, 5)
        Number of d, number of d', first t and sigma in their slices, and how many follow: t in
        steps of the stride, sigma in steps of 1. Sorted by the first.
    """

    window: Window
    wrap: bool

    @cached_property
    def table(self) -> Table:
        """All runs."""
        window = self.window
        reads = window.starts[:, None] + np.arange(window.size)
        reads = reads % window.n_in if window.wrap else reads
        rows = sorted(
            row
            for number, (low, high) in enumerate(self._pairs())
            for a, b in product(range(window.size), repeat=2)
            for row in self._of(number, low, reads[low, a], reads[high, b])
        )
        return np.array(rows, np.int64).reshape(-1, 5)

    def _pairs(self) -> Iterator[tuple[Table, Table]]:
        """Pair outputs sigma with sigma + d', for each d'."""
        count = self.window.n_out
        every = np.arange(count)
        for d in range(count) if self.wrap else range(1 - count, count):
            low = every if self.wrap else np.arange(max(0, -d), count - max(0, d))
            yield low, (low + d) % count

    def _of(self, number: int, sigma: Table, t: Table, other: Table) -> Iterator[tuple[int, ...]]:
        """Find the runs of one displacement above, and of a place in each of the two windows."""
        n, first = self.window.n_in, int(sigma[0])
        inside = (t >= 0) & (t < n) & (other >= 0) & (other < n)
        d = (other - t) % n if self.wrap else other - t
        begin = np.zeros_like(d) if self.wrap else np.maximum(0, -d)
        places = [
            (int(d[k]) + (0 if self.wrap else n - 1), int(t[k] - begin[k]), k)
            for k in np.flatnonzero(inside).tolist()
        ]
        stride = self.window.stride

        def alike(place: tuple[int, int, int]) -> tuple[int, int]:
            return place[0], place[1] - stride * place[2]

        for (below, _), run in groupby(places, key=alike):
            members = list(run)
            yield below, number, members[0][1], int(sigma[members[0][2]]) - first, len(members)

    @cached_property
    def starts(self) -> Table:
        """First run of each d, and the number of runs at the end."""
        count = self.window.n_in if self.wrap else 2 * self.window.n_in - 1
        return np.searchsorted(self.table[:, 0], np.arange(count + 1))

    @cached_property
    def targets(self) -> list[list[int]]:
        """Numbers of the d' that entries of each d go to."""
        above = np.split(self.table[:, 1], self.starts[1:-1])
        return [np.unique(part).tolist() for part in above]

    def below(self, above: Sequence[int]) -> list[int]:
        """Numbers of the displacements that some of those above are made of."""
        rows = self.table[np.isin(self.table[:, 1], above)]
        return [int(d) for d in np.unique(rows[:, 0])]


class Schedule:
    """Which slice comes when, and where the sums of later stages lie.

    Parameters
    ----------
    stages : sequence of (Axis, Axis)
        Along y and x.
    pools : sequence of (Runs, Runs)
        Likewise, one for each stage but the last one.
    top : (list of int, list of int)
        Numbers of the displacements along y and x that are wanted after the last stage.
    complete : bool
        Whether that is computed, or the sums only that it begins with.

    Attributes
    ----------
    events : int array, shape (events, 6)
        Stage, numbers of the displacements along y and x after it, where the sums lie that it
        begins with, and from where to where in `fresh` the sums are that begin with it.
    fresh : int array, shape (slices of later stages, 2)
        Place of sums and how many they are.
    places : int array, shape (stages, displacements along y, along x)
        Where the sums of a slice lie, by the numbers of its displacements below a stage; -1 of one
        that is not wanted.
    size : int
        Number of sums that are kept at most, holes between them included.
    """

    def __init__(
        self,
        stages: Sequence[tuple[Axis, Axis]],
        pools: Sequence[tuple[Runs, Runs]],
        top: tuple[list[int], list[int]],
        complete: bool = True,
    ) -> None:
        self._stages, self._pools, self._complete = stages, pools, complete
        # By stage and axis, the numbers above that go with numbers below.
        self._wanted: list[list[dict[int, int]]] = []
        above = top
        for k in reversed(range(len(stages))):
            wanted = [
                {axis.read(number): number for number in numbers}
                for axis, numbers in zip(stages[k], above, strict=True)
            ]
            self._wanted.insert(0, wanted)
            if k:
                y, x = pools[k - 1]
                above = y.below(list(wanted[0])), x.below(list(wanted[1]))
        # Of all displacements: entries go to some that are not wanted, too.
        widest = np.max([[y.entire, x.entire] for y, x in stages], axis=0).tolist()
        self.places = np.full((len(stages), *widest), -1, np.int64)
        self.size = 0
        self._free: list[tuple[int, int]] = []
        self._left = [self._counts(stage) for stage in range(len(pools))]
        self._fresh: list[tuple[int, int]] = []
        self._events: list[tuple[int, ...]] = []
        for dy, dx in product(*self._wanted[0]):
            self._compute(0, (dy, dx))
        self.events = np.array(self._events, np.int64).reshape(-1, 6)
        self.fresh = np.array(self._fresh, np.int64).reshape(-1, 2)

    def _counts(self, stage: int) -> dict[Slice, int]:
        """Count the slices that each one above a pooling is made of."""
        along = []
        for runs, above in zip(self._pools[stage], self._wanted[stage + 1], strict=True):
            pairs = np.unique(runs.table[:, :2], axis=0)
            along.append({d: int(np.sum(pairs[:, 1] == d)) for d in above})
        return {(dy, dx): m * n for dy, m in along[0].items() for dx, n in along[1].items()}

    def _compute(self, stage: int, slice_: Slice) -> None:
        """Note that a slice is computed, and those that it makes possible."""
        begin, last = len(self._fresh), stage + 1 == len(self._stages)
        place = int(self.places[(stage, *slice_)])
        if stage:
            self._free.append((place, self._sums(stage, slice_)))
        dy, dx = (wanted[d] for wanted, d in zip(self._wanted[stage], slice_, strict=True))
        ready = [] if last else self._add(stage, dy, dx)
        self._events.append((stage, dy, dx, place, begin, len(self._fresh)))
        for above in ready:
            if stage + 2 < len(self._stages) or self._complete:
                self._compute(stage + 1, above)

    def _add(self, stage: int, dy: int, dx: int) -> list[Slice]:
        """Find places for what a slice is added to, and tell which sums are complete with it."""
        (y, x), left, ready = self._pools[stage], self._left[stage], []
        for above in product(y.targets[dy], x.targets[dx]):
            if above in left:
                if self.places[(stage + 1, *above)] < 0:
                    self._open(stage + 1, above)
                left[above] -= 1
                if not left[above]:
                    ready.append(above)
        return ready

    def _open(self, stage: int, slice_: Slice) -> None:
        """Find a place for the sums of a slice: the first gap that is large enough."""
        size = self._sums(stage, slice_)
        self._free = _joined(self._free)
        for k, (place, room) in enumerate(self._free):
            last = place + room == self.size
            if room >= size or last:
                self._free[k : k + 1] = [(place + size, room - size)] if room > size else []
                break
        else:
            place = self.size
        self.size = max(self.size, place + size)
        self.places[(stage, *slice_)] = place
        self._fresh.append((place, size))

    def _sums(self, stage: int, slice_: Slice) -> int:
        """Count the positions of a slice above a pooling."""
        size = 1
        for axis, d in zip(self._stages[stage], slice_, strict=True):
            size *= axis.below if axis.wrap else axis.below - abs(d - axis.below + 1)
        return size


def _joined(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join gaps that touch each other, in order."""
    joined: list[tuple[int, int]] = []
    for place, room in sorted(gaps):
        if joined and sum(joined[-1]) == place:
            joined[-1] = joined[-1][0], joined[-1][1] + room
        else:
            joined.append((place, room))
    return joined
