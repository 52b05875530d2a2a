"""Blocks of kernels on all processor cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.backends import Block
from refntk.backends.array_api import ArrayApiBackend
from refntk.backends.numba.lanes import lanes_of
from refntk.backends.numba.perceptron import is_perceptron, perceptron_block, vectors
from refntk.backends.numba.slices import block_sums
from refntk.backends.numba.team import share
from refntk.backends.numba.workspace import Tables, Workspace
from refntk.ops.groups import point_group, rotate
from refntk.plan.reduction import Plan

__all__ = ["NumbaBackend", "load"]

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


class NumbaBackend(ArrayApiBackend):
    """Displacement slices in Numba; anything else by the literal recursion in NumPy."""

    def __init__(self) -> None:
        super().__init__("numba", np, ("slices", "literal"))

    def prepare(self, plan: Plan, images: npt.NDArray[np.float64], dtype: str) -> Any:
        """Scale and lay out images, see `refntk.backends.Backend.prepare`."""
        if plan.method != "slices":
            return super().prepare(plan, images, dtype)
        group = point_group(plan.group)
        scaled = images / np.sqrt(images.shape[-1])
        turned = np.stack([rotate(scaled, r, group) for r in range(group.order)], axis=1)
        # Without a convolution all that is left is elementwise and cheap: no precision is given up.
        kept = turned.swapaxes(-1, -2).astype(dtype if plan.steps else "float64")
        rotated = kept.reshape(len(images) * group.order, -1)
        return _Prepared(np.ascontiguousarray(rotated[:: group.order]), rotated)

    def diagonal(self, plan: Plan, prepared: Any, threads: int) -> npt.NDArray[np.float64]:
        """NNGP of each image with itself, see `refntk.backends.Backend.diagonal`."""
        if plan.method != "slices":
            return super().diagonal(plan, prepared, threads)
        count, parts = len(prepared.images), _parts(plan)
        tasks = [
            _Task((row, row + 1), row * plan.order, 0, part)
            for row in range(count)
            for part in range(parts)
        ]
        sums = _run(plan, prepared, prepared, tasks, 1, False, threads, lambda fraction: None)
        return _over_rotations(plan, sums[0, :, 0, : plan.order])[:, 0]

    def block(
        self,
        plan: Plan,
        one: Any,
        two: Any | None,
        *,
        ntk: bool,
        threads: int,
        progress: Callable[[float], None],
    ) -> Block:
        """Kernels at the readout, see `refntk.backends.Backend.block`."""
        if plan.method != "slices":
            return super().block(plan, one, two, ntk=ntk, threads=threads, progress=progress)
        other = one if two is None else two
        lanes, count = lanes_of(one.images.dtype), len(one.images)
        # Rotations of a few images fill the lanes. A group that they do not fill comes first: for
        # the same images it meets few rows there, as the last one it would meet all of them.
        last = range(len(other.rotated), 0, -lanes)[::-1]
        tasks = []
        for group, stop in enumerate(last):
            wanted = count if two is not None else stop // plan.order
            for first in range(0, wanted, lanes):
                rows, lane = (first, min(first + lanes, wanted)), max(stop - lanes, 0)
                tasks += [_Task(rows, lane, group, part) for part in range(_parts(plan))]
        sums = _run(plan, one, other, tasks, len(last), ntk, threads, progress)
        # Axes (group, x, kernel, lane) to (kernel, x, rotated x').
        flat = sums.transpose(2, 1, 0, 3).reshape(sums.shape[2], count, len(last) * lanes)
        if lanes > last[0]:
            flat = np.delete(flat, range(last[0], lanes), axis=2)
        kernels = _over_rotations(plan, flat)
        return kernels[0], kernels[1] if ntk else None

    def whole(
        self,
        plan: Plan,
        one: npt.NDArray[Any],
        two: npt.NDArray[Any] | None,
        threads: int,
        progress: Callable[[float], None],
    ) -> Block | None:
        """Kernels of perceptrons, see `refntk.backends.Backend.whole`."""
        if not is_perceptron(plan):
            return None
        other = None if two is None else vectors(plan, two)
        return perceptron_block(plan, vectors(plan, one), other, threads, progress)


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
    height, width, _ = plan.shape
    if plan.steps:
        height, width = plan.steps[-1].y.n_out, plan.steps[-1].x.n_out
    by_image = sums.reshape(*sums.shape[:-1], -1, plan.order)
    total = by_image[..., 0].copy()
    for r in range(1, plan.order):
        total += by_image[..., r]
    positions = height * width
    return total / (plan.order * (positions**2 if plan.pooled else positions))


def _run(
    plan: Plan,
    one: _Prepared,
    two: _Prepared,
    tasks: Sequence[_Task],
    groups: int,
    ntk: bool,
    threads: int,
    progress: Callable[[float], None],
) -> npt.NDArray[np.float64]:
    """Share out tasks among threads; sums of shape (groups, images x, kernels, lanes).

    Parts are added in their own order, so that the sums depend on nothing but the pair of images.
    """
    tables = Tables(plan, one.images.dtype.name)
    parts, lanes = _parts(plan), lanes_of(one.images.dtype)
    bounds, across = _bounds(tables, parts), tables.displacements[1]
    partial = np.zeros((parts, groups, len(one.images), 1 + ntk, lanes))
    static = tables.steps, tables.rates, tables.unlike, tables.layout

    def work(memory: Workspace, task: _Task) -> None:
        down = bounds[task.part], bounds[task.part + 1]
        block_sums(
            one.images, two.rotated, task.rows, task.lane, (*down, *across), *static,
            memory.arrays, partial[task.part, task.group],
        )  # fmt: skip

    share(tasks, threads, lambda: Workspace(tables, ntk), work, progress)
    total: npt.NDArray[np.float64] = partial[0]
    for part in range(1, parts):
        total += partial[part]
    return total


def load() -> NumbaBackend:
    """Build the backend."""
    return NumbaBackend()
