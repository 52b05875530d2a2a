"""The tables of the method branches: operations, maps of single images, and what variances become.

A network is cut into stages by its poolings before the readout. The operations of each work on a
few numbered arrays; what they read of single images is computed once for each, in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends.numba.branch_rows import Kind, Part
from refntk.backends.numba.parameters import function_of
from refntk.errors import InputError
from refntk.ops.dual import Dual
from refntk.ops.operations import (
    Add,
    Average,
    Filter,
    Join,
    Multiply,
    Operation,
    Pointwise,
    Rescale,
    read_by,
)
from refntk.ops.program import Program
from refntk.ops.support import Window
from refntk.plan.branches import stages, strides_below

__all__ = ["Slots", "Tables", "row_functions", "tables_of", "variances"]

Floats = npt.NDArray[np.float64]
Recipe = Callable[[list[Floats]], Floats]


@dataclass
class Tables:
    """Operations, and how the maps that they read come of the variances of images.

    Attributes
    ----------
    stages : list of Program
        What lies between poolings; each ends in one, the last one in the readout.
    rows, constants : list
        Of the tables, see `refntk.backends.numba.branch_rows`.
    bounds : list of (int, int)
        First operation of each stage, and the one after its last.
    recipes : list of dict
        For each stage, by the number of a map, how it comes of the variances of its values.
    resumed : list of int
        For each stage but the first one, the number of the first of the three maps it begins with.
    maps : int
        How many there are: some take the place of several.
    activations : tuple of str
        Row functions beyond the Relu family, each once.
    slots : int
        Number of arrays that are in use at a time.
    wrap : bool
    """

    stages: list[Program]
    rows: list[list[int]] = field(default_factory=list)
    constants: list[tuple[float, ...]] = field(default_factory=list)
    bounds: list[tuple[int, int]] = field(default_factory=list)
    recipes: list[dict[int, Recipe]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)
    maps: int = 0
    activations: tuple[str, ...] = ()
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

    def map(self, recipe: Recipe, width: int = 1) -> int:
        """Append a map of so many numbers a position, and return its number."""
        self.recipes[-1][self.maps] = recipe
        self.maps += width
        return self.maps - width


class Slots:
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


def row_functions(body: Program) -> tuple[str, ...]:
    """Name the row functions of the activations beyond the Relu family, each once."""
    duals = [op.dual for op in body.operations if isinstance(op, Pointwise)]
    black = np.zeros(1)
    names = {function_of(dual, black).name for dual in duals if dual.arccos is None}
    return tuple(sorted(names))


def tables_of(body: Program) -> Tables:
    """Write the operations of a body up to the readout, which the planner has looked at.

    Parameters
    ----------
    body : Program

    Returns
    -------
    Tables
    """
    tables = Tables(stages(body), activations=row_functions(body))
    filters = [op for op in body.operations if isinstance(op, Filter)]
    tables.wrap = any(window.wrap for op in filters for window in op.support.windows or ())
    for stage in tables.stages:
        begin = len(tables.rows)
        _append_stage(tables, stage)
        tables.bounds.append((begin, len(tables.rows)))
    return tables


def _append_stage(tables: Tables, body: Program) -> None:
    """Write the operations of a stage."""
    slots, strides = Slots(), strides_below(body)
    last = {value: k for k, op in enumerate(body.operations) for value in read_by(op)}
    tables.recipes.append({})

    def frame(value: int) -> dict[str, int]:
        height, width = body.spaces[value].shape
        shift_y, shift_x = strides[value]
        return {"OUT_Y": height, "OUT_X": width, "SHIFT_Y": shift_y, "SHIFT_X": shift_x}

    where = {0: slots.take()}
    if len(tables.recipes) == 1:
        tables.add(Kind.IMAGES, (), INTO=where[0], **frame(0))
    else:
        own = tables.maps
        tables.maps += 3  # filled where the pooling is
        tables.resumed.append(own)
        tables.add(
            Kind.RESUME, (), INTO=where[0], MAP=own, MAP_OTHER=own + 1, WHICH=own + 2, **frame(0)
        )
    for k, operation in enumerate(body.operations[:-1]):
        _append(tables, operation, k, where, slots, frame, last)
        for value in dict.fromkeys(read_by(operation)):
            if last[value] == k and value in where:
                slots.release(where.pop(value))
    value, end = len(body) - 1, body.operations[-1]
    if isinstance(end, Average) and end.support.windows is not None:
        y, x = end.support.windows
        tables.add(
            Kind.POOL, (), INTO=where[value], STRIDE_Y=y.stride, STRIDE_X=x.stride, IN_X=x.n_out,
            **frame(value),
        )  # fmt: skip
    else:
        tables.add(Kind.SUM, (), INTO=where[value], **frame(value))
    tables.slots = max(tables.slots, slots.count)


def _append(
    tables: Tables, operation: Operation, k: int, where: dict[int, int], slots: Slots,
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
        case Pointwise(below, dual) if dual.arccos is None:
            function = function_of(dual, np.zeros(1))
            pairs = tables.map(partial(_root_pairs, below), 2)
            count = len(function.of_features)
            read_own = tables.map(partial(_parameters, dual, below), count) if count else 0
            tables.add(
                Kind.ACTIVATE, function.numbers, INTO=into, MAP=pairs, MAP_OTHER=read_own,
                WHICH=tables.activations.index(function.name), COUNT=count, **places,
            )  # fmt: skip
        case Pointwise(below, dual):
            assert dual.arccos is not None  # as the case above has the others
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


def _root_pairs(below: int, variances: list[Floats]) -> Floats:
    """Roots of variances and their reciprocals, in turns."""
    root = np.sqrt(variances[below])
    inverse = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
    return np.stack([root, inverse], axis=-1).reshape(len(root), -1)


def _parameters(dual: Dual, below: int, variances: list[Floats]) -> Floats:
    """Find what the row function of an activation reads of each feature."""
    found = function_of(dual, variances[below]).of_features
    return np.stack(found, axis=-1).reshape(len(variances[below]), -1)


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


def variances(body: Program, first: Floats) -> list[Floats]:
    """Find the variances of the features of each value of a stage: (N, positions).

    Parameters
    ----------
    body : Program
        A stage, with the pooling or the readout at its end.
    first : float64 array, shape (N, positions)
        Those of value 0.

    Raises
    ------
    InputError
        They are too large; the message names the layer.
    """
    found = [first]
    for k, operation in enumerate(body.operations[:-1]):
        below = [found[value] for value in read_by(operation)]
        match operation:
            case Filter(support=support):
                assert support.windows is not None
                found.append(_filtered(operation, support.windows, below[0]))
            case Pointwise(dual=dual):
                with np.errstate(over="ignore", invalid="ignore"):
                    found.append(dual.itself(below[0])[0])
                if not np.isfinite(found[-1]).all():
                    raise InputError(
                        f"{body.name(k)}: kernels after it are too large for float64 at variances "
                        f"up to {below[0].max():.3g}: use smaller W_std or smaller pixels"
                    )
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
