"""How a plan is laid out on a device: tables for the kernels, mapping, shape and memory of blocks.

Nothing here depends on how many images there are, so that a kernel of two images does not depend on
its tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.backends.table import is_usual, step_constants, step_table
from refntk.ops.operations import Filter
from refntk.plan.reduction import Plan, Step

__all__ = [
    "HELD_THREADS",
    "MARCH_THREADS",
    "SWEEP_THREADS",
    "Columns",
    "Geometry",
    "Limits",
    "Sizes",
    "geometry",
    "obstacle",
]

MARCH_THREADS = 512
SWEEP_THREADS = 256
"""Threads of a block, at most."""

HELD_THREADS = {4: 768, 8: 512}
"""Threads of `march` that a multiprocessor holds, by the bytes of a number: their registers fit."""

_STRIP = 8  # rows that a thread takes in turn, at least: more than the window, to read few twice
_SLICES = 16  # classes of displacements that a block takes side by side, at most
_RESERVED = 1024  # bytes of shared memory that the system takes for each block
_SIDES = (1, 3, 5)  # of the filters for which `march` is compiled; from 7 on it would spill


class Sizes(NamedTuple):
    """The integers that a kernel reads, in their order; in CUDA an enumeration in upper case."""

    height: int  # of the images, in positions
    width: int
    channels: int
    steps: int
    wrap: int  # 1 with circular padding, else 0
    last_y: int  # positions after the last step
    last_x: int
    map_size: int  # elements of the maps of an image
    field: int  # elements of one field of a slice, its halo included
    fields: int  # D, Theta, and S where it has no place of its own
    summed: int  # steps whose input has S
    slices: int  # side by side in a block
    strip: int  # rows that a thread takes in turn
    classes_y: int  # displacements, or classes of them, along y
    classes_x: int
    first_y: int  # displacement after the last step
    first_x: int
    scale_y: int  # displacement of the images, for a displacement of 1 after the last step
    scale_x: int
    order: int  # of the group
    columns_of_pairs: int = 0  # rotated images x'
    skip: int = -(2**30)  # pairs with row + skip > column are not wanted
    diagonal: int = 0  # 1: image x' has the number of its row
    scratch: int = 0  # 1: slices lie in global memory


class Columns(NamedTuple):
    """Columns of the integer table that has a row for each step; one axis after the other."""

    in_y: int = 0  # positions below and above
    in_x: int = 1
    out_y: int = 2
    out_x: int = 3
    size_y: int = 4  # of the filter
    size_x: int = 5
    stride_y: int = 6
    stride_x: int = 7
    low_y: int = 8  # positions by which the first window reaches out of the image
    low_x: int = 9
    scale_above_y: int = 10  # displacement above, for a displacement of 1 after the last step
    scale_above_x: int = 11
    activation: int = 12
    variance: int = 13  # places in the maps: variance below
    root: int = 14  # in turns, the root of the variance after the convolution and its reciprocal
    after: int = 15  # variance after the step


class Limits(NamedTuple):
    """What a device has: bytes of shared memory for a block and in all, and multiprocessors."""

    block: int
    multiprocessor: int
    multiprocessors: int


@dataclass(frozen=True)
class Geometry:
    """A plan as the kernels see it.

    Attributes
    ----------
    sizes : Sizes
    table : int32 array, shape (steps, 16)
        See `Columns`.
    weights, biases : float array, shape (steps,)
        W_std² / |S| and b_std².
    constants : float array, shape (steps, 6)
        See `refntk.backends.table.step_constants`.
    usual : bool
        Whether the compiled code may know them.
    side : int
        Of all filters, for the mapping `march`; 0 for the mapping `sweep`.
    padding : str
        Of all filters, for the mapping `march`.
    threads : int
        Of a block.
    shared : int
        Bytes of dynamic shared memory of a block.
    positions : float
        By how many a sum over entries and rotations is divided.
    """

    sizes: Sizes
    table: npt.NDArray[np.int32]
    weights: npt.NDArray[Any]
    biases: npt.NDArray[Any]
    constants: npt.NDArray[Any]
    usual: bool
    side: int
    padding: str
    threads: int
    shared: int
    positions: float

    @property
    def parts(self) -> int:
        """Sums that a pair of images and one rotation has."""
        return self.sizes.classes_y


def obstacle(plan: Plan) -> str | None:
    """Say which layer of a plan of the method slices the kernels cannot do, and why."""
    for k, operation in enumerate(plan.body.operations):
        if isinstance(operation, Filter) and operation.support.windows:
            if any(window.dilation > 1 for window in operation.support.windows):
                return f"{plan.body.name(k)} is dilated"
            if plan.oblong and operation.support.above.group is not None:
                return f"{plan.body.name(k)} turns images that are not square by 90 degrees"
    return None


def geometry(plan: Plan, dtype: np.dtype[Any], limits: Limits) -> Geometry:
    """Lay out a plan for a device.

    Parameters
    ----------
    plan : Plan
        Of the method slices.
    dtype : dtype
        Of the recursion.
    limits : Limits

    Returns
    -------
    Geometry
        With the mapping `march` where it applies and fits; else `sweep`, whose slices lie in shared
        memory where they fit, and in global memory where not.
    """
    height, width, channels = plan.shape
    steps = plan.steps
    last = (steps[-1].y.n_out, steps[-1].x.n_out) if steps else (height, width)
    wrap = any(step.y.wrap for step in steps)
    table, map_size = _table(plan)
    relus = [k for k, step in enumerate(steps) if step.activation]
    summed = relus[0] + 1 if relus else 1
    scale = _scale(steps)
    low = 0 if wrap else 1
    spans = [2 * n - 1 if low else n for n in last]
    sizes = Sizes(
        height, width, channels, len(steps), int(wrap), *last, map_size,
        field=max([height * width, *(step.y.n_out * step.x.n_out for step in steps)]),
        fields=3 if summed > 1 else 2, summed=summed, slices=1, strip=1,
        classes_y=spans[0] if plan.pooled else 1, classes_x=spans[1] if plan.pooled else 1,
        first_y=low * (1 - last[0]) if plan.pooled else 0,
        first_x=low * (1 - last[1]) if plan.pooled else 0,
        scale_y=scale[0], scale_x=scale[1], order=plan.order,
    )  # fmt: skip
    weights, biases = (
        np.array([getattr(step, name) for step in steps], dtype) for name in ("weight", "bias")
    )
    rates = weights, biases, step_constants(plan, dtype.name), is_usual(plan)
    count = plan.divisor
    side = _side(steps, summed)
    if side:
        padding = "VALID" if _crops(steps) else "CIRCULAR" if wrap else "SAME"
        marched = _march(sizes, side, padding, dtype.itemsize, plan.pooled, limits)
        if marched is not None:
            return Geometry(marched[0], table, *rates, side, padding, *marched[1:], count)
    shared = 2 * sizes.fields * sizes.field * dtype.itemsize
    if shared + 16 * SWEEP_THREADS + _RESERVED > limits.block:
        sizes, shared = sizes._replace(scratch=1), 0
    threads = min(SWEEP_THREADS, -(-sizes.field // 32) * 32)
    return Geometry(sizes, table, *rates, 0, "", threads, shared, count)


def _table(plan: Plan) -> tuple[npt.NDArray[np.int32], int]:
    """Table of the steps, and number of elements of an image's maps."""
    height, width, _ = plan.shape
    column = Columns()
    table = step_table(plan, column, len(column)).astype(np.int32)
    place, end = 0, _even(height * width)
    for k, step in enumerate(plan.steps):
        scale = _scale(plan.steps[k + 1 :])
        table[k, column.scale_above_y], table[k, column.scale_above_x] = scale
        area = step.y.n_out * step.x.n_out
        table[k, column.variance] = place
        table[k, column.root] = end
        place = table[k, column.after] = end + 2 * area
        end = place + _even(area)  # pairs of numbers lie at multiples of their size
    return table, int(end)


def _even(number: int) -> int:
    return number + number % 2


def _scale(steps: tuple[Step, ...]) -> tuple[int, int]:
    """Displacement below some steps, for a displacement of 1 above them, along y and x."""
    y = x = 1
    for step in steps:
        y, x = y * step.y.stride, x * step.x.stride
    return y, x


def _side(steps: tuple[Step, ...], summed: int) -> int:
    """Side of all filters, if `march` can do them; else 0."""
    if not steps or summed > 1:
        return 0
    side = steps[0].y.size
    windows = [window for step in steps for window in (step.y, step.x)]
    eaten = side - 1 if _crops(steps) else 0
    alike = all(w.size == side and w.stride == 1 and w.n_in - w.n_out == eaten for w in windows)
    return side if alike and side in _SIDES else 0


def _crops(steps: tuple[Step, ...]) -> bool:
    """Whether the first convolution has padding VALID and a filter of more than one position."""
    return bool(steps) and steps[0].y.n_in > steps[0].y.n_out


def _march(
    sizes: Sizes, side: int, padding: str, itemsize: int, pooled: bool, limits: Limits
) -> tuple[Sizes, int, int] | None:
    """Sizes, threads and shared memory of the mapping `march`; None if a slice does not fit."""
    last, margin = (sizes.last_y, sizes.last_x), (2 if sizes.wrap else 4) * (side // 2)
    eaten = side - 1 if padding == "VALID" else 0
    # Numbers along each axis below the first step and above it, as Span::count has them.
    below = [2 * n - m for n, m in zip((sizes.height, sizes.width), last, strict=True)]
    rows, columns = (n - 2 * eaten for n in below)
    halo = 0
    if padding != "VALID":
        halo = margin * (sizes.height + margin + sizes.width)  # as Frame::halo_cells has it
        below = [n + margin for n in below]
    field = below[0] * below[1]
    if field > 2**16 or sizes.height * sizes.width > 2**14 - 1 or columns > MARCH_THREADS:
        return None
    classes = sizes.last_x if pooled else 1

    def memory(slices: int, crew: int) -> int:
        return max(slices * (4 * field * itemsize + 4 * halo), 16 * slices * crew)

    def resident(shape: tuple[int, int, int]) -> tuple[int, int, int]:
        strip, slices, crew = shape
        fitting = limits.multiprocessor // (memory(slices, crew) + _RESERVED)
        blocks = min(fitting, max(1, HELD_THREADS[itemsize] // (slices * crew)))
        return blocks * slices * crew, -strip, slices

    shapes = []
    for strips in range(1, max(1, min(-(-rows // _STRIP), MARCH_THREADS // columns)) + 1):
        strip = -(-rows // strips)
        crew = -(-rows // strip) * columns
        for slices in range(1, min(_SLICES, classes, MARCH_THREADS // crew) + 1):
            if memory(slices, crew) + _RESERVED <= limits.block:
                shapes.append((strip, slices, crew))
    if not shapes:
        return None
    strip, slices, crew = max(shapes, key=resident)
    sizes = sizes._replace(
        field=field, slices=slices, strip=strip, classes_y=sizes.last_y if pooled else 1,
        classes_x=classes, first_y=0, first_x=0,
    )  # fmt: skip
    return sizes, slices * crew, memory(slices, crew)
