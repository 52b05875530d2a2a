"""Where things lie in the workspace, and which column of the table of steps is which."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Frame", "Layout", "Stage", "Step"]


class Layout(NamedTuple):
    """Sizes, and offsets in elements into the workspace.

    The regions up to `tangent_size` exist four times: for the distance or the deficit in `work`,
    for the NTK in `tangent`, and for the excess and for K itself in arrays of their own.
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
    chords: int  # what Cauchy and Schwarz add to the box sum of a row
    halo: int  # a row outside of the rectangle
    unlike: int  # for each lane, whether the pair needs the careful form: below 0
    worst: int  # for each lane, whether the slice needs it
    pixels1: int  # one image x, [y, channel, x], each position in units of its length
    pixels2: int  # lanes of images x', likewise
    maps1: int  # lanes of the maps of all steps
    maps2: int
    map1: int  # the maps of a single image x
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
    below: int = 13  # offsets into the maps, in positions: roots of variances below, with margins
    sums: int = 14  # roots of their sums over the columns of a window, with margins of rows
    scales: int = 15  # reciprocals of these
    root: int = 16  # in turns, the root of the variance after the convolution and its reciprocal
    level: int = 17  # sum of these roots over all positions, and sum of the variances
    dilation_y: int = 18  # distance of the positions that a window reads
    dilation_x: int = 19
    shift_y: int = 20  # displacement below, for one of 0 after the last step
    shift_x: int = 21
    fresh: int = 22  # whether there is no NTK below, as it is at the first one


class Stage(NamedTuple):
    """Columns of the integer table of the method band that has a row for each stage.

    A stage is what lies between two poolings. After the last one there is none.
    """

    first: int = 0  # its steps, and the one after them
    stop: int = 1
    in_y: int = 2  # positions below and above
    in_x: int = 3
    out_y: int = 4
    out_x: int = 5
    pooled: int = 6  # offset into the maps of the pooling before it, in positions
    source: int = 7  # roots of the variances after it: offset into the maps,
    pitch: int = 8  # positions of a row,
    spacing: int = 9  # and from one to the next
    size_y: int = 10  # of the window of the pooling after it
    size_x: int = 11
    stride_y: int = 12
    stride_x: int = 13
    low_y: int = 14
    low_x: int = 15
    wrap_y: int = 16
    wrap_x: int = 17
    own: int = 18  # offset of what images have of their own after that
    above: int = 19  # positions along x after that
    ends: int = 20  # whether there is no pooling after it


class Frame(NamedTuple):
    """One slice at one step: its rectangles below and above the convolution, and their maps.

    Rows of the rectangles count from 0; offsets into the maps are of their first columns. Maps of
    x' have their own shape where it is turned by 90 degrees.
    """

    first: int  # row of x at row 0 below
    shift: int  # rows of x' less rows of x, below
    height: int  # of the rectangle below
    width: int
    low: int  # rows that windows read before it
    left: int  # columns that they read before it, and beyond
    right: int
    rows: int  # of the rectangle above
    columns: int
    slots: int  # of the ring
    direct: int  # whether the row function sums the columns of the newest row
    line1: int  # positions in a row of the maps of sums and, halved, of roots
    line2: int
    line_below1: int
    line_below2: int
    below1: int  # for x, and for x' in lanes
    below2: int
    sums1: int
    sums2: int
    scales1: int  # from the sums to their reciprocals, in positions
    scales2: int
    root1: int  # at row 0 above
    root2: int
    other: int  # row of x' at row 0 above
    rows2: int  # of x', all of them, above
