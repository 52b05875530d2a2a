"""Which feature of a grid or a point group each filter element reads."""

from __future__ import annotations

from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from refntk.network.layers import AvgPool, Conv, GroupConv, Lift, SumPool

__all__ = [
    "IDENTITY",
    "Matrix",
    "box_maps",
    "filter_maps",
    "grid",
    "number",
    "point_group",
    "times",
    "turned",
    "turned_windows",
]

Matrix: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
Place: TypeAlias = tuple[int, int, int]  # group element, y, x

IDENTITY: Matrix = ((1, 0), (0, 1))
_TURN: Matrix = ((0, -1), (1, 0))
_MIRROR: Matrix = ((1, 0), (0, -1))

def filter_maps(
    layer: Conv | Lift | GroupConv, shape: tuple[int, int], elements: list[Matrix]
) -> tuple[tuple[int, int], list[Matrix], npt.NDArray[np.int64]]:
    """Shape and group of the features above, and the maps, of shape (filter elements, features)."""
    (height, width), (tall, broad) = layer.filter_shape, shape
    (step_y, step_x), (apart_y, apart_x) = layer.strides, layer.dilations
    rows, low_y = _reach(layer.padding, height, apart_y, step_y, tall)
    columns, low_x = _reach(layer.padding, width, apart_x, step_x, broad)
    above = point_group(layer.group) if isinstance(layer, Lift) else elements
    below = [0]
    if isinstance(layer, GroupConv):
        below = list(layer.rotations or range(len(elements)))
    # Twice what the centre of a window is away from its first position.
    middle_y, middle_x = apart_y * (height - 1), apart_x * (width - 1)
    places = []
    for q, (a, b) in product(below, grid(height, width)):
        if layer.mask is not None and not layer.mask[a][b]:
            continue
        offset = 2 * apart_y * a - middle_y, 2 * apart_x * b - middle_x
        read: list[Place] = []
        for r in above:
            target = above.index(times(r, above[q])) if isinstance(layer, GroupConv) else 0
            # Offsets s about the centre, turned by the element r of the output: c(t) + r s.
            dy, dx = turned(r, offset)
            read += [
                (
                    target,
                    i * step_y - low_y + _half(middle_y + dy),
                    j * step_x - low_x + _half(middle_x + dx),
                )
                for i, j in grid(rows, columns)
            ]
        places.append(read)
    wrap = layer.padding == "CIRCULAR"
    maps = [[number(place, shape, wrap) for place in read] for read in places]
    return (rows, columns), above, np.array(maps)


def turned_windows(
    layer: AvgPool | SumPool, shape: tuple[int, int], elements: list[Matrix]
) -> tuple[tuple[int, ...], npt.NDArray[np.int64]]:
    """Shape above, and the maps of windows, of one group element each."""
    (height, width), (tall, broad) = layer.window_shape, shape
    step_y, step_x = layer.strides
    rows, low_y = _reach(layer.padding, height, 1, step_y, tall)
    columns, low_x = _reach(layer.padding, width, 1, step_x, broad)
    places: list[list[Place]] = []
    for a, b in grid(height, width):
        # Twice the places, turned about the centre of the window.
        ways = [turned(r, (2 * a - height + 1, 2 * b - width + 1)) for r in elements]
        ways = [(height - 1 + dy, width - 1 + dx) for dy, dx in ways]
        places.append([
            (r, i * step_y - low_y + dy // 2, j * step_x - low_x + dx // 2)
            for r, (dy, dx) in enumerate(ways)
            for i, j in grid(rows, columns)
        ])
    wrap = layer.padding == "CIRCULAR"
    maps = np.array([[number(place, (tall, broad), wrap) for place in read] for read in places])
    return (rows, columns), maps


def box_maps(
    layer: Conv | Lift | GroupConv, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], npt.NDArray[np.int64]]:
    """Do the same for signals and volumes, which nothing turns: shape above, and maps."""
    sides, steps, apart = layer.filter_shape, layer.strides, layer.dilations
    axes = [
        _reach(layer.padding, side, gap, step, size)
        for side, gap, step, size in zip(sides, apart, steps, shape, strict=True)
    ]
    above = tuple(count for count, _ in axes)
    maps = []
    for offset in np.ndindex(*sides):
        if layer.mask is not None and not np.array(layer.mask)[offset]:
            continue
        read = []
        for place in np.ndindex(*above):
            number = 0
            for axis, size in enumerate(shape):
                position = place[axis] * steps[axis] - axes[axis][1] + apart[axis] * offset[axis]
                position = position % size if layer.padding == "CIRCULAR" else position
                outside = number < 0 or not 0 <= position < size
                number = -1 if outside else number * size + position
            read.append(number)
        maps.append(read)
    return above, np.array(maps)


def grid(rows: int, columns: int) -> list[tuple[int, int]]:
    """List positions, row by row."""
    return list(np.ndindex(rows, columns))


def _half(double: int) -> int:
    """Halve an even number: what a group turns stays on pixels."""
    half, rest = divmod(double, 2)
    assert not rest
    return half


def _reach(padding: str, side: int, apart: int, step: int, size: int) -> tuple[int, int]:
    """Count the outputs along an axis, and the places by which the first window is outside."""
    reach = apart * (side - 1)  # from the first position that a window reads to the last one
    if padding == "VALID":
        return (size - reach - 1) // step + 1, 0
    count = (size + step - 1) // step
    if padding == "CIRCULAR":
        return count, reach // 2
    return count, max(0, (count - 1) * step + reach + 1 - size) // 2


def number(place: Place, shape: tuple[int, int], wrap: bool) -> int:
    """Find the number of a feature; -1 outside of the image."""
    r, y, x = place
    height, width = shape
    if wrap:
        y, x = y % height, x % width
    if not (0 <= y < height and 0 <= x < width):
        return -1
    return (r * height + y) * width + x


def point_group(name: str) -> list[Matrix]:
    """List the matrices of a point group: powers of the rotation, and then their reflections."""
    turn = IDENTITY
    for _ in range(4 // int(name[1])):
        turn = times(turn, _TURN)
    rotations = [IDENTITY]
    while (power := times(rotations[-1], turn)) != IDENTITY:
        rotations.append(power)
    return rotations + [times(r, _MIRROR) for r in rotations if name[0] == "D"]


def times(one: Matrix, two: Matrix) -> Matrix:
    """Multiply two matrices."""
    (a, b), (c, d) = one
    (e, f), (g, h) = two
    return (a * e + b * g, a * f + b * h), (c * e + d * g, c * f + d * h)


def turned(matrix: Matrix, offset: tuple[int, int]) -> tuple[int, int]:
    """Turn an offset."""
    (a, b), (c, d) = matrix
    y, x = offset
    return a * y + b * x, c * y + d * x
