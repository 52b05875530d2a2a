"""Blocks of kernels on all processor cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.backends import Block, Engine, Images, Matrix, Setting
from refntk.backends.cosets import ArraySlices
from refntk.backends.numba.close import close_correlations
from refntk.backends.numba.cosets import CosetsEngine
from refntk.backends.numba.general import general_sums
from refntk.backends.numba.lanes import lanes_of
from refntk.backends.numba.parameters import Parameters, Sides
from refntk.backends.numba.perceptron import is_perceptron, perceptron_block, vectors
from refntk.backends.numba.slices import block_sums, fast_sums
from refntk.backends.numba.team import share
from refntk.backends.numba.workspace import Tables, Workspace, tables_of
from refntk.errors import InputError
from refntk.ops.groups import point_group, rotate
from refntk.ops.operations import Pointwise
from refntk.plan.reduction import Plan

__all__ = ["Prepared", "SlicesEngine", "Task", "engine", "over_rotations", "require"]

@dataclass(frozen=True)
class Prepared:
    """Images x, and all rotations of each of them one after the other; axes [y, channel, x].

    Rotations are one array for each family of the plan.
    """

    images: npt.NDArray[Any]
    rotated: list[npt.NDArray[Any]]


class Task(NamedTuple):
    """One call of the compiled function."""

    rows: tuple[int, int]  # images x, first and after the last
    lane: int  # rotated image x' in the first lane
    group: int  # where to keep the sums
    part: int  # of the displacements


_Computation = Callable[[Any, Task, npt.NDArray[np.float64]], None]
_Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


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
        self._families = [
            (elements, self._tables(turned))
            for elements, turned in self._plan.families
        ]
        self.careful = False
        """Whether some slice needed the careful form, which is compiled only then."""
        tables = self._families[0][1]  # the only ones, where these are asked for
        self._general = Parameters(self._plan, tables) if self._plan.general else None

    def _tables(self, turned: bool) -> Tables:
        """Write the plan as tables; whether x' has the shape of x turned by 90 degrees."""
        return tables_of(self._plan, self._dtype.name, turned)

    def prepare(self, images: Matrix) -> Prepared:
        """Scale and lay out images, see `refntk.backends.Engine.prepare`."""
        group = point_group(self._plan.group)
        scaled = images / np.sqrt(images.shape[-1])
        rotated = []
        for elements, _ in self._families:
            turned = np.stack([rotate(scaled, r, group) for r in elements], axis=1)
            kept = turned.swapaxes(-1, -2).astype(self._dtype)
            rotated.append(kept.reshape(len(images) * len(elements), -1))
        one = rotated[0][:: len(self._families[0][0])]  # the identity comes first
        return Prepared(np.ascontiguousarray(one), rotated)

    def diagonal(self, prepared: Prepared) -> Matrix:
        """NNGP of each image with itself, see `refntk.backends.Engine.diagonal`."""
        by_family = []
        for family, (elements, tables) in enumerate(self._families):
            order = len(elements)
            tasks = [
                Task((row, row + 1), row * order, 0, part)
                for row in range(len(prepared.images))
                for part in range(len(tables.cuts) - 1)
            ]
            sums = self._run(prepared, prepared, family, tasks, 1, False, lambda fraction: None)
            by_family.append(over_rotations(sums[0, :, 0, :order], order)[:, 0])
        return _mean(self._plan, by_family)

    def block(
        self, one: Prepared, two: Prepared | None, progress: Callable[[float], None]
    ) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        by_family = [
            self._sums(one, two, family, progress) for family in range(len(self._families))
        ]
        kernels = _mean(self._plan, by_family)
        return kernels[0], kernels[1] if self._setting.ntk else None

    def _sums(
        self, one: Prepared, two: Prepared | None, family: int,
        progress: Callable[[float], None],
    ) -> Matrix:  # fmt: skip
        """Sum kernels over positions and the rotations of one family: (kernels, N, M)."""
        (elements, tables), ntk = self._families[family], self._setting.ntk
        order, other = len(elements), one if two is None else two
        lanes, count = lanes_of(self._dtype), len(one.images)
        # Rotations of a few images fill the lanes. A group that they do not fill comes first: for
        # the same images it meets few rows there, as the last one it would meet all of them.
        last = range(len(other.rotated[family]), 0, -lanes)[::-1]
        parts, tasks = range(len(tables.cuts) - 1), []
        for group, stop in enumerate(last):
            wanted = count if two is not None else stop // order
            for first in range(0, wanted, lanes):
                rows, lane = (first, min(first + lanes, wanted)), max(stop - lanes, 0)
                tasks += [Task(rows, lane, group, part) for part in parts]
        share = len(self._families)
        sums = self._run(
            one, other, family, tasks, len(last), ntk, lambda fraction: progress(fraction / share)
        )
        # Axes (group, x, kernel, lane) to (kernel, x, rotated x').
        flat = sums.transpose(2, 1, 0, 3).reshape(sums.shape[2], count, len(last) * lanes)
        if lanes > last[0]:
            flat = np.delete(flat, range(last[0], lanes), axis=2)
        return over_rotations(flat, order)

    def refine(
        self, images: Matrix, pairs: Sequence[tuple[int, int]]
    ) -> tuple[Matrix, Matrix] | None:
        """Compute pairs once more in double-double, see `refntk.backends.Engine.refine`."""
        if self._general is not None:
            return None
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
        self, one: Prepared, two: Prepared, family: int, tasks: Sequence[Task], groups: int,
        ntk: bool, progress: Callable[[float], None],
    ) -> Matrix:  # fmt: skip
        """Share out tasks among threads; sums of shape (groups, images x, kernels, lanes).

        Parts are added in their own order, so that the sums depend on nothing but the pair of
        images.
        """
        tables = self._families[family][1]
        parts, lanes = len(tables.cuts) - 1, lanes_of(self._dtype)
        partial = np.zeros((parts, groups, len(one.images), 1 + ntk, lanes))
        compute = self._computation(one, two, family)

        def work(memory: Any, task: Task) -> None:
            compute(memory, task, partial[task.part, task.group])

        share(tasks, self._setting.threads, lambda: self._memory(tables, ntk), work, progress)
        total: Matrix = partial[0]
        for part in range(1, parts):
            total += partial[part]
        return total

    def _memory(self, tables: Tables, ntk: bool) -> Any:
        """Give a thread what it works with."""
        return Workspace(tables, ntk)

    def _computation(self, one: Prepared, two: Prepared, family: int) -> _Computation:
        """Build the function that does a task and adds to its sums: (images x, kernels, lanes)."""
        images, tables = (one.images, two.rotated[family]), self._families[family][1]
        if self._general is not None:
            return self._any_activation(self._general, images, tables)
        bounds, across = tables.cuts, tables.displacements[1]
        static = tables.both, tables.rates, tables.constants, tables.unlike
        layouts = tables.layouts

        def compute(memory: Workspace, task: Task, out: npt.NDArray[np.float64]) -> None:
            part = task.rows, task.lane, (*bounds[task.part : task.part + 2], *across)
            given = images, part, static, layouts, memory.arrays, out
            if not self.careful and fast_sums(*given):
                return
            self.careful = True  # what is compiled by now, or asked for once, is asked for again
            out[task.rows[0] : task.rows[1]] = 0.0
            block_sums(*given)

        return compute

    def _any_activation(self, general: Parameters, images: _Pair, tables: Tables) -> _Computation:
        """Do the same for activations of any kind."""
        bounds, across = tables.cuts, tables.displacements[1]
        sums, sides, lanes = general_sums(general.names), Sides(general), lanes_of(self._dtype)
        one, two = images

        def compute(memory: Workspace, task: Task, out: npt.NDArray[np.float64]) -> None:
            parts, numbers, places = general.joined(
                sides.of(one, *task.rows),
                sides.of(two, task.lane, min(task.lane + lanes, len(two))),
            )
            plain, room = memory.arrays[3], memory.room(parts[3].shape[1] * lanes)
            sums(
                images, parts,
                (task.rows, task.lane, (*bounds[task.part : task.part + 2], *across)),
                (general.steps, numbers, places), tables.layout,
                (*memory.arrays[:2], plain, room), out,
            )  # fmt: skip

        return compute


def over_rotations(sums: npt.NDArray[np.float64], order: int) -> npt.NDArray[np.float64]:
    """Add up the rotations of each image, along the last axis.

    Parameters
    ----------
    sums : float64 array, shape (..., M n)
        All rotations of an image one after the other.
    order : int
        Number n of rotations.

    Returns
    -------
    float64 array, shape (..., M)
    """
    by_image = sums.reshape(*sums.shape[:-1], -1, order)
    total = by_image[..., 0].copy()
    for r in range(1, order):
        total += by_image[..., r]
    return total


def _mean(plan: Plan, by_family: list[Matrix]) -> Matrix:
    """Turn sums over positions and the rotations of each family into means."""
    total = by_family[0]
    for more in by_family[1:]:
        total = total + more
    return np.asarray(total / plan.divisor)


def require() -> None:
    """Raise `InputError` where Numba is told not to compile."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise InputError(
            "NUMBA_DISABLE_JIT is set, and the backend numba is nothing without compiling: unset "
            "it, or use the backend numpy (--backend numpy)"
        )


def engine(setting: Setting) -> Engine:
    """Build the engine, of images or of signals on a finite set."""
    if not setting.plan.levels:
        return SlicesEngine(setting)
    activations = [op for op in setting.plan.body.operations if isinstance(op, Pointwise)]
    linear = all(operation.dual.arccos is not None for operation in activations)
    return CosetsEngine(setting) if linear else ArraySlices(setting)
