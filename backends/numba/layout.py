"""Where things lie in the workspace, and which column of the table of steps is which."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Layout", "Step"]


class Layout(NamedTuple):
    """Sizes, and offsets in elements into the workspace.

    The regions up to `tangent_size` exist twice, for the distance in `work` and for the NTK in
    `tangent`.
    """

    height: int  # of the images, in positions
    width: int
    channels: int
    margin: int  # positions around a map or a row, enough for the widest filter
    wrap: int  # 1 with circular padding, else 0
    line: int  # elements of a row of the slice with its margins
    slot: int  # elements of a box sum in the ring
    slice: int  # the slice itself
    ring: int  # horizontal box sums
    zero: int  # a row of zeros
    gathered: int  # box sum of the newest row, where the row function cannot do it
    older: int  # sum of all older rows of the window
    tangent_size: int
    halo: int  # a row outside of the rectangle
    pixels1: int  # one image x, [y, channel, x]
    pixels2: int  # lanes of images x', likewise
    maps1: int  # lanes of maps: of all steps, variances, and roots with their reciprocals
    maps2: int
    map1: int  # the maps of a single image x, in which reciprocals are halved
    map_size: int  # positions
    size: int


class Step(NamedTuple):
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
    scale_y: int = 10  # displacement below, for a displacement of 1 after the last step
    scale_x: int = 11
    activation: int = 12
    variance: int = 13  # offsets into the maps, in positions: variance below, with margins
    root: int = 14  # in turns, the root of the variance after the convolution and its reciprocal
    after: int = 15  # variance after the step, with margins
