"""The tables and the memory that the compiled functions work with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends.numba.lanes import LANE_BYTES, lanes_of
from refntk.backends.numba.layout import Layout, Step
from refntk.backends.numba.rows import LIMITS
from refntk.backends.table import is_usual, step_constants, step_table
from refntk.ops.dual import RELU
from refntk.plan.reduction import Plan

__all__ = ["Tables", "Workspace", "aligned", "tables_of"]

_ENTRIES_A_PART = 500_000
"""Entries of a pair of images after which its displacements are split into parts.

One part takes a few milliseconds for one image x and all lanes; it is what threads share out.
"""


@dataclass(frozen=True)
class Tables:
    """A plan as `refntk.backends.numba.slices.block_sums` reads it.

    Attributes
    ----------
    plan : Plan
    dtype : str
        Precision of the recursion.
    turned : bool
        Whether images x' have the shape of images x turned by 90 degrees.
    """

    plan: Plan
    dtype: str
    turned: bool = False

    @cached_property
    def both(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Tables of the steps for images x, and for x', of whom only sides and places differ."""
        return self.steps, self._other.steps

    @cached_property
    def _other(self) -> Tables:
        """The tables of images of the shape of x', among themselves."""
        return Tables(self.plan.turned(), self.dtype) if self.turned else self

    @cached_property
    def steps(self) -> npt.NDArray[np.int64]:
        """One row of `Step` for each convolution."""
        column, place = Step(), 0
        table = step_table(self.plan, column, len(column))
        table[:1, column.fresh] = 1
        for k, step in enumerate(self.plan.steps):
            repeats = 1 + self.wrap
            rows, columns = step.y.n_in + 2 * self.margin, step.x.n_out * repeats
            sizes = {
                column.below: rows * (step.x.n_in * repeats + 2 * self.margin),
                column.sums: rows * columns,
                column.scales: rows * columns,
                column.root: 2 * step.y.n_out * columns,
                column.level: 2,
            }
            for name, size in sizes.items():
                table[k, name] = place
                place += size
        scales, shifts = [1, 1], [0, 0]
        lows = [(step.y.low, step.x.low) for step in self._other.plan.steps]
        for k in reversed(range(len(table))):
            step = self.plan.steps[k]
            for axis, window in enumerate((step.y, step.x)):
                scales[axis] *= window.stride
                shifts[axis] = window.stride * shifts[axis] + window.low - lows[k][axis]
                table[k, column.scale_y + axis] = scales[axis]
                table[k, column.shift_y + axis] = shifts[axis]
                table[k, column.dilation_y + axis] = window.dilation
        return table

    @cached_property
    def rates(self) -> npt.NDArray[Any]:
        """Numbers of each step, see `refntk.backends.numba.slices.block_sums`."""
        parallel, opposite, _ = LIMITS[self.dtype]
        # Rounding of D adds up over layers, and the deeper ones have smaller u.
        limits = parallel * max(1, len(self.plan.steps) / 5) ** 3, opposite
        halves = [float((step.activation or RELU).half) for step in self.plan.steps]
        rates = [
            (s.weight, *limits, s.weight / 2, s.bias / 2, s.bias, half)
            for s, half in zip(self.plan.steps, halves, strict=True)
        ]
        return np.array(rates, self.dtype).reshape(-1, 7)

    @cached_property
    def constants(self) -> npt.NDArray[Any] | None:
        """Constants of each step, see `refntk.backends.table`; None where machine code has them."""
        return None if is_usual(self.plan) else step_constants(self.plan, self.dtype)

    @property
    def duals(self) -> npt.NDArray[np.float64]:
        """Gain and skip of each step's activation, shape (steps, 2)."""
        duals = [step.activation or RELU for step in self.plan.steps]
        return np.array([(dual.gain, dual.skip) for dual in duals], np.float64).reshape(-1, 2)

    @property
    def unlike(self) -> Any:
        """How unlike two images may be, see `refntk.backends.numba.rows.LIMITS`."""
        return np.dtype(self.dtype).type(LIMITS[self.dtype][2])

    @cached_property
    def wrap(self) -> int:
        """1 with circular padding, else 0."""
        return int(any(step.y.wrap for step in self.plan.steps))

    @cached_property
    def margin(self) -> int:
        """Positions that any window reaches out of its image, on the side where it is most."""
        windows = [window for step in self.plan.steps for window in (step.y, step.x)]
        high = [w.stride * (w.n_out - 1) - w.low + w.span - w.n_in for w in windows]
        return max([0, *high, *(w.low for w in windows)])

    @cached_property
    def displacements(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Range of the displacements after the last step, along y and along x."""
        if not self.plan.pooled:
            return (0, 1), (0, 1)
        height, width = self.plan.last
        if self.wrap:
            return (0, height), (0, width)
        height2, width2 = self._other.plan.last
        return (1 - height, height2), (1 - width, width2)

    @property
    def heights(self) -> tuple[int, int]:
        """Rows of positions at the readout, of x and of x'."""
        return self.plan.last[0], self._other.plan.last[0]

    @cached_property
    def layouts(self) -> tuple[Layout, Layout]:
        """The layout as images x have it, and as images x' have it."""
        height, width, _ = self._other.plan.shape
        return self.layout, self.layout._replace(height=height, width=width)

    @cached_property
    def cuts(self) -> tuple[int, ...]:
        """Where the displacements along y are cut into parts of about the same number of entries.

        Into how many is a matter of the plan alone, so that no sum depends on anything else.
        """
        (first, last), (one, two) = self.displacements[0], self.heights
        entries = self.plan.entries // self.plan.order
        # Sums over windows take slices from far apart.
        parts = 1 if self.plan.pools else max(1, min(last - first, entries // _ENTRIES_A_PART))
        rows = [
            1 if self.wrap else min(one, two - dy) - max(0, -dy) for dy in range(first, last)
        ]
        share = np.cumsum([0, *rows]) / sum(rows)
        return tuple(
            first + int(np.searchsorted(share, part / parts)) for part in range(parts + 1)
        )

    @property
    def map_size(self) -> int:
        """Number of positions of the maps of all steps."""
        return int(self.steps[-1, Step().level]) + 2 if self.plan.steps else 0

    @cached_property
    def layout(self) -> Layout:
        """Where everything lies in the workspace."""
        height, width, channels = self.plan.shape
        lanes = lanes_of(np.dtype(self.dtype))
        windows = self.plan.steps
        (tallest, widest), other = self.plan.extent, self._other
        widest = max(widest, other.plan.extent[1])
        line = (widest + 2 * self.margin) * lanes
        slot = widest * lanes
        slots = [
            (step.y.n_out * step.y.stride if self.wrap else 0) + step.y.span for step in windows
        ]
        ring = max([0, *slots]) * slot
        map_size, map_size2 = self.map_size, self._other.map_size
        pixels = height * channels * width * (1 + self.wrap) * lanes
        sizes = {
            "slice": tallest * line, "ring": ring, "zero": line, "gathered": line, "older": line,
            "tangent_size": 0, "chords": line, "halo": line, "unlike": lanes, "worst": lanes,
            "pixels1": height * channels * width, "pixels2": pixels,
            "maps1": map_size * lanes, "maps2": map_size2 * lanes, "map1": map_size,
            "map_size": 0, "size": 0,
        }  # fmt: skip
        places: dict[str, int] = {}
        end = 0
        for name, size in sizes.items():
            places[name] = end
            end += -(-size // lanes) * lanes  # every region begins on a register's boundary
        places["map_size"] = map_size
        return Layout(
            height=height, width=width, channels=channels, margin=self.margin, wrap=self.wrap,
            line=line, slot=slot, **places,
        )  # fmt: skip


@lru_cache(maxsize=16)
def tables_of(plan: Plan, dtype: str, turned: bool) -> Tables:
    """Write a plan as tables once: for small images that takes longer than their kernel.

    Parameters
    ----------
    plan, dtype, turned
        See `Tables`.

    Returns
    -------
    Tables
    """
    return Tables(plan, dtype, turned)


class Workspace:
    """Memory of one thread: a few images' worth, whatever the number of images.

    Parameters
    ----------
    tables : Tables
    ntk : bool
        Whether the NTK is wanted.

    Attributes
    ----------
    arrays : tuple of float arrays
        For the distance or the deficit and for all maps, for the NTK or None, for the excess and
        for K itself.
    """

    def __init__(self, tables: Tables, ntk: bool) -> None:
        work = aligned(tables.layout.size, tables.dtype)
        tangent, excess, plain = (
            aligned(tables.layout.tangent_size, tables.dtype) for _ in range(3)
        )
        self.arrays = work, tangent if ntk else None, excess, plain
        self._room = aligned(0, tables.dtype)

    def room(self, size: int) -> npt.NDArray[Any]:
        """Give an aligned array of at least this size, of any contents."""
        if self._room.size < size:
            self._room = aligned(size, str(self._room.dtype))
        return self._room


def aligned(size: int, dtype: str) -> npt.NDArray[Any]:
    """Zeros whose first element begins a cache line."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size * itemsize + LANE_BYTES, np.uint8)
    start = -raw.ctypes.data % LANE_BYTES
    return raw[start : start + size * itemsize].view(dtype)
