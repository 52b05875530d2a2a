"""The method branches: displacement slices of networks whose layers fork, join or rescale.

The program of a network becomes a table of operations on a few numbered arrays, which one compiled
function takes a slice through; `refntk.backends.numba.branch_rows` says what is carried. What
activations and rescalings ask of variances is computed once for each image, in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.backends import Block, Engine, Matrix, Setting
from refntk.backends.numba.branch_rows import Kind, Part, branch_sums
from refntk.backends.numba.engine import over_rotations, require
from refntk.backends.numba.lanes import lanes_of
from refntk.backends.numba.team import share
from refntk.ops.groups import point_group, rotate
from refntk.ops.operations import (
    Add,
    Average,
    Filter,
    Join,
    Multiply,
    Operation,
    Pointwise,
    Rescale,
    Stack,
    read_by,
)
from refntk.ops.program import Program
from refntk.ops.support import Window
from refntk.plan.branches import strides_below
from refntk.plan.reduction import Plan

__all__ = ["BranchesEngine", "engine", "require"]

Floats = npt.NDArray[np.float64]

_DTYPE = np.dtype("float64")
"""What slices are computed in: without a careful form, single precision leaves too few digits."""


@dataclass
class _Tables:
    """Operations, and how the maps that they read come of the variances of images.

    Attributes
    ----------
    rows, constants : list
        Of the tables, see `refntk.backends.numba.branch_rows`.
    recipes : list of callable
        From the variances of all values to a map, each.
    slots : int
        Number of arrays that are in use at a time.
    wrap : bool
    """

    rows: list[list[int]] = field(default_factory=list)
    constants: list[tuple[float, ...]] = field(default_factory=list)
    recipes: list[Callable[[list[Floats]], Floats]] = field(default_factory=list)
    slots: int = 0
    wrap: bool = False

    def add(self, kind: Kind, constants: tuple[float, ...] = (), **places: int) -> None:
        """Append an operation."""
        row = [0] * len(Part)
        row[Part.KIND] = kind
        for name, value in places.items():
            row[Part[name]] = value
        self.rows.append(row)
        self.constants.append((*constants, *(0.0,) * (4 - len(constants))))

    def map(self, recipe: Callable[[list[Floats]], Floats]) -> int:
        """Append a map, and return its number."""
        self.recipes.append(recipe)
        return len(self.recipes) - 1


class _Slots:
    """Numbers of arrays, of which those that nobody reads any more are used again."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self.count = 0

    def take(self) -> int:
        """Give a free one."""
        if not self._free:
            self._free.append(self.count)
            self.count += 1
        return self._free.pop()

    def release(self, slot: int) -> None:
        """Take one back."""
        self._free.append(slot)


def _tables(body: Program) -> _Tables:
    """Write the operations of a body up to the readout, which the planner has looked at."""
    tables, slots = _Tables(), _Slots()
    strides, last = strides_below(body), {}
    for k, operation in enumerate(body.operations):
        for value in read_by(operation):
            last[value] = k

    def frame(value: int) -> dict[str, int]:
        height, width = body.spaces[value].shape
        shift_y, shift_x = strides[value]
        return {"OUT_Y": height, "OUT_X": width, "SHIFT_Y": shift_y, "SHIFT_X": shift_x}

    where = {0: slots.take()}
    tables.add(Kind.IMAGES, (), INTO=where[0], **frame(0))
    for k, operation in enumerate(body.operations[:-1]):
        _append(tables, operation, k, where, slots, frame, last)
        for value in dict.fromkeys(read_by(operation)):
            if last[value] == k and value in where:
                slots.release(where.pop(value))
        if isinstance(operation, Filter):
            assert operation.support.windows is not None
            tables.wrap = any(window.wrap for window in operation.support.windows)
    value = len(body) - 1
    tables.add(Kind.SUM, (), INTO=where[value], **frame(value))
    tables.slots = slots.count
    return tables


def _append(
    tables: _Tables, operation: Operation, k: int, where: dict[int, int], slots: _Slots,
    frame: Callable[[int], dict[str, int]], last: dict[int, int],
) -> None:  # fmt: skip
    """Write one operation, whose value is k + 1."""
    read, places = read_by(operation), frame(k + 1)
    if isinstance(operation, Filter):
        assert operation.support.windows is not None
        y, x = operation.support.windows
        count = y.size * x.size
        alpha, beta = (float(rate) for rate in operation.tangent)
        rates = operation.weight**2 / count, operation.bias**2, alpha / count, beta
        where[k + 1] = slots.take()
        tables.add(
            Kind.FILTER, rates, INTO=where[k + 1], FROM=where[read[0]], **_window("Y", y),
            **_window("X", x), MAP=tables.map(lambda variances: variances[read[0]]), **places,
        )  # fmt: skip
        return
    weights: Sequence[Any] = (1,) * len(read)
    if isinstance(operation, Add | Join):
        weights = operation.weights if isinstance(operation, Add) else operation.shares
    # In place where nobody else reads what is below, else in a copy.
    own = last[read[0]] == k and read.count(read[0]) == 1
    where[k + 1] = into = where[read[0]] if own else slots.take()
    if not own or weights[0] != 1:
        tables.add(
            Kind.SCALE, (float(weights[0]),), INTO=into, FROM=where[read[0]], **places
        )
    if own:
        del where[read[0]]
    match operation:
        case Pointwise(below, dual):
            assert dual.arccos is not None
            constants = tuple(map(float, (dual.arccos.gain, dual.arccos.skip, dual.arccos.odd)))
            number = tables.map(lambda variances: np.sqrt(variances[below]))
            tables.add(Kind.RECTIFY, constants, INTO=into, MAP=number, **places)
        case Add() | Join():
            for value, weight in zip(read[1:], weights[1:], strict=True):
                tables.add(Kind.ADD, (float(weight),), INTO=into, FROM=where[value], **places)
        case Multiply():
            for count, value in enumerate(read[1:], 1):
                one = tables.map(partial(_product, read[:count]))
                two = tables.map(partial(_product, (value,)))
                tables.add(
                    Kind.MULTIPLY, (), INTO=into, FROM=where[value], MAP=one, MAP_OTHER=two,
                    **places,
                )  # fmt: skip
        case Rescale(below):
            rescale = operation
            one = tables.map(lambda variances: np.sqrt(variances[below]))
            two = tables.map(lambda variances: _factor(rescale, variances[below]))
            tables.add(Kind.RESCALE, (), INTO=into, MAP=one, MAP_OTHER=two, **places)


def _window(axis: str, window: Window) -> dict[str, int]:
    words = {
        "IN": window.n_in, "SIZE": window.size, "STRIDE": window.stride, "LOW": window.low,
        "APART": window.dilation,
    }  # fmt: skip
    return {f"{word}_{axis}": value for word, value in words.items()}


def _product(values: Sequence[int], variances: list[Floats]) -> Floats:
    """Multiply the variances of some values."""
    return np.asarray(np.prod([variances[value] for value in values], axis=0))


def _factor(operation: Rescale, variance: Floats) -> Floats:
    """By what features are multiplied."""
    own = variance
    if operation.whole:
        own = np.broadcast_to(own.mean(axis=-1, keepdims=True), own.shape)
    size = np.sqrt(own + operation.epsilon)
    return np.asarray(np.divide(1, size, out=np.zeros_like(size), where=size > 0))


def _variances(body: Program, pixels: Floats) -> list[Floats]:
    """Variances of the features of each value before the readout: (N, positions)."""
    found = [(pixels * pixels).sum(axis=-1)]
    for operation in body.operations[:-1]:
        below = [found[value] for value in read_by(operation)]
        match operation:
            case Filter(support=support):
                assert support.windows is not None
                found.append(_filtered(operation, support.windows, below[0]))
            case Pointwise(dual=dual):
                found.append(dual.itself(below[0])[0])
            case Add() | Join():
                parts = operation.weights if isinstance(operation, Add) else operation.shares
                total = np.zeros_like(below[0])
                for part, variance in zip(map(float, parts), below, strict=True):
                    total = total + part * variance
                found.append(total)
            case Multiply():
                found.append(np.prod(below, axis=0))
            case Rescale():
                found.append(below[0] * _factor(operation, below[0]) ** 2)
            case _:
                raise AssertionError(operation)  # the planner has refused it
    return found


def _filtered(layer: Filter, windows: tuple[Window, ...], variance: Floats) -> Floats:
    """Take variances through a convolution, in its own order of rows and columns."""
    y, x = windows
    sums = x.sums(y.sums(variance.reshape(-1, y.n_in, x.n_in), 1), 2)
    flat = sums.reshape(len(variance), -1)
    return np.asarray(layer.weight**2 / (y.size * x.size) * flat + layer.bias**2)


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


class BranchesEngine(Engine):
    """Displacement slices of networks with branches, in Numba.

    Parameters
    ----------
    setting : Setting
    """

    def __init__(self, setting: Setting) -> None:
        self._setting, self._plan = setting, setting.plan
        self._lanes = lanes_of(_DTYPE)
        self._tables = _tables(self._plan.body)
        spaces = self._plan.body.spaces[:-1]
        self._size = max(space.positions for space in spaces)
        self._margin = _margin(self._plan.body)
        sides = ([side + 2 * self._margin for side in space.shape] for space in spaces)
        self._room = self._lanes * max(height * width for height, width in sides)

    def prepare(self, images: Matrix) -> _Prepared:
        """Turn, scale and lay out images, see `refntk.backends.Engine.prepare`."""
        group, (count, height, width, channels) = point_group(self._plan.group), images.shape
        scaled = images / np.sqrt(channels)
        turned = np.stack([rotate(scaled, r, group) for r in range(group.order)], axis=1)
        pixels = turned.reshape(count * group.order, height * width, channels)
        variances = _variances(self._plan.body, pixels)
        maps = np.zeros((len(pixels), max(1, len(self._tables.recipes)), self._size))
        for number, recipe in enumerate(self._tables.recipes):
            found = recipe(variances)
            maps[:, number, : found.shape[1]] = found
        blocks = -(-len(pixels) // self._lanes)
        places = np.minimum(np.arange(blocks * self._lanes), len(pixels) - 1)
        two, maps2 = (
            np.ascontiguousarray(
                np.moveaxis(array[places].reshape(blocks, self._lanes, *array.shape[1:]), 1, -1)
            )
            for array in (pixels, maps)
        )
        own = slice(None, None, group.order)
        return _Prepared(pixels[own].copy(), maps[own].copy(), two, maps2)

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
        plan, tables = self._plan, self._tables
        table = np.array(tables.rows, np.int64)
        constants = np.array(tables.constants)
        shape, bounds = (plan.shape[2], self._room, self._margin), _displacements(plan, tables.wrap)
        sums = np.zeros((len(one.one), 2, len(two.two), self._lanes))

        def work(memory: Floats, task: _Task) -> None:
            row, block = task
            branch_sums(
                (one.one[row], two.two[block]), (one.maps[row], two.maps2[block]), table,
                constants, shape, bounds, tables.wrap, memory, sums[row, :, block],
            )  # fmt: skip

        size = (1 + 3 * tables.slots) * self._room
        share(tasks, self._setting.threads, lambda: np.zeros(size, _DTYPE), work, progress)
        flat = sums.reshape(len(one.one), 2, -1)
        count = len(two.one) * plan.order
        total = over_rotations(flat[..., :count], plan.order)
        return total[:, 0] / plan.divisor, total[:, 1] / plan.divisor


def _margin(body: Program) -> int:
    """Count the positions by which windows reach out of the image, at most."""
    most = 0
    for operation in body.operations:
        if isinstance(operation, Filter):
            for window in operation.support.windows or ():
                above = int(window.starts[-1]) + window.span - window.n_in
                most = max(most, window.low, 0 if window.wrap else above)
    return most


def _displacements(plan: Plan, wrap: bool) -> tuple[int, int, int, int]:
    """Displacements at the readout that count: dy from, to, dx from, to."""
    if isinstance(plan.body.operations[-1], Stack):
        return 0, 1, 0, 1
    assert isinstance(plan.body.operations[-1], Average)
    height, width = plan.body.spaces[-2].shape
    return (0, height, 0, width) if wrap else (1 - height, height, 1 - width, width)


def engine(setting: Setting) -> Engine:
    """Build the engine."""
    return BranchesEngine(setting)
