r"""Which features below a feature above reads, as maps between their numbers.

The general statement of the paper for a filter over a finite group is a mean over filter elements
e, each of which sends the feature i above to the feature m_e(i) below:

.. math::
    (A K)_{ij} = \frac{1}{|S|} \sum_{e \in S} K_{m_e(i)\, m_e(j)}

A filter of one shape on a grid is a box, a `Window` along each axis; fast methods read the windows,
and the literal recursion the maps.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1,
equations 38-47.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from refntk.ops.space import Space

__all__ = ["Support", "Window"]


@dataclass(frozen=True)
class Window:
    """How a filter slides along one axis.

    Output i reads inputs ``stride * i - low + dilation * a``, a < size.

    Attributes
    ----------
    n_in, n_out : int
        Number of positions below and above.
    size : int
        Side of the filter.
    stride : int
    low : int
        Number of positions by which the first window reaches out of the image.
    wrap : bool
        Whether positions outside are wrapped; they count as zero otherwise.
    dilation : int, default 1
        Distance of the positions that a window reads.
    """

    n_in: int
    n_out: int
    size: int
    stride: int
    low: int
    wrap: bool
    dilation: int = 1

    @property
    def span(self) -> int:
        """Number of positions from the first one that a window reads to the last one."""
        return (self.size - 1) * self.dilation + 1

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """First position that each output reads, outside of the image perhaps."""
        return self.stride * np.arange(self.n_out) - self.low

    def sums(self, values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
        """Sum over what each output reads, along one axis.

        Parameters
        ----------
        values : float64 array
            Of n_in positions along `axis`.
        axis : int

        Returns
        -------
        float64 array
            Of n_out positions there; terms are added in the order of the filter.
        """
        total: npt.NDArray[np.float64] | None = None
        for a in range(self.size):
            places = self.starts + a * self.dilation
            if self.wrap:
                term = values.take(places % self.n_in, axis=axis)
            else:
                inside = (places >= 0) & (places < self.n_in)
                shape = [1] * values.ndim
                shape[axis] = -1
                term = values.take(places.clip(0, self.n_in - 1), axis=axis)
                term = np.where(inside.reshape(shape), term, 0.0)
            total = term if total is None else total + term
        assert total is not None  # a filter has a position
        return total

    def mirrored(self, mirror: int) -> int | None:
        """Find the reflection above that goes with a reflection below.

        Parameters
        ----------
        mirror : int
            Positions below are mirrored by i -> mirror - i; this is n_in - 1 of an image.

        Returns
        -------
        int or None
            What those above are mirrored by, n_out - 1 where nothing is wrapped. None where windows
            are not mirrored to windows.
        """
        above, rest = divmod(mirror + 2 * self.low - self.span + 1, self.stride)
        if rest:
            return None
        if self.wrap:
            return above % self.n_out
        return above if above == self.n_out - 1 else None


@dataclass(frozen=True)
class Support:
    """The filter elements S of a layer, each a map from the features above to those below.

    Attributes
    ----------
    below, above : Space
        Above on a group, a filter is turned about its centre by the element of the output; below
        on that group, it covers all elements.
    windows : tuple of Window, or None
        One along each axis, for the identity of the group. None: every feature below is an element,
        and there is one feature above.
    rotations : tuple of int, or None
        Elements q of the group below that the filter covers; None: all of them. With (0,) an output
        at one of them reads features at the same one only.
    mask : tuple of bool, or None
        Which places of the windows, row by row, have weights; None: all of them.

    Examples
    --------
    >>> pair = Window(n_in=3, n_out=3, size=2, stride=1, low=0, wrap=False)
    >>> Support(Space((3,)), Space((3,)), (pair,)).maps
    array([[ 0,  1,  2],
           [ 1,  2, -1]])
    """

    below: Space
    above: Space
    windows: tuple[Window, ...] | None = None
    rotations: tuple[int, ...] | None = None
    mask: tuple[bool, ...] | None = None

    @property
    def size(self) -> int:
        """Number |S| of filter elements."""
        if self.windows is None:
            return self.below.size
        elements = self.below.order if self.rotations is None else len(self.rotations)
        places = math.prod(window.size for window in self.windows)
        return elements * (places if self.mask is None else sum(self.mask))

    @property
    def weights(self) -> tuple[Fraction, ...] | None:
        """Share of each filter element in a mean, 1 together; None where all are alike."""
        return None

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Places of the filter about its centre, row by row, doubled: (places, axes).

        Twice the offsets are whole numbers for even sides, too.
        """
        assert self.windows is not None
        sides = tuple(window.size for window in self.windows)
        places = np.indices(sides).reshape(len(sides), math.prod(sides)).T
        places = places if self.mask is None else places[np.array(self.mask)]
        steps = np.array([window.dilation for window in self.windows], np.int64)
        return steps * (2 * places - (np.array(sides, np.int64) - 1))

    @cached_property
    def maps(self) -> npt.NDArray[np.int64]:
        """Feature below that each filter element reads: (|S|, features above), -1 outside.

        Of a filter over a group, the places for its first element come first. The output (t, r)
        reads position c(t) + r s at the place s, where c(t) is the centre of its window, and there
        the element r q (Misof et al., theorems 1 and 3).
        """
        if self.windows is None:
            return np.arange(self.below.size)[:, None]
        group = self.above.group
        turned = self.offsets[None]
        if group is not None:
            turned = turned @ group.matrices.swapaxes(1, 2)
        # Axes: element r of the output, place of the filter, position of the output.
        places = np.zeros((*turned.shape[:2], 1), np.int64)
        for axis, window in enumerate(self.windows):
            # Twice the centre of each window, and twice the offset from it.
            reads = (2 * window.starts + window.span - 1 + turned[:, :, axis, None]) // 2
            reads = reads % window.n_in if window.wrap else reads
            inside = (reads >= 0) & (reads < window.n_in)
            along = places[..., None] * window.n_in + reads[:, :, None, :]
            outside = (places < 0)[..., None] | ~inside[:, :, None, :]
            places = np.where(outside, -1, along).reshape(*turned.shape[:2], -1)
        hexagon = self.above.inside
        if hexagon is not None:
            # Positions of a hexagon are numbered by themselves; pixels outside of it are not read.
            read = self.above.inside_below(self.below.shape)
            assert read is not None
            numbers = np.flatnonzero(read)
            own = numbers if not self.below.hexagon else np.arange(len(numbers))
            number = np.full(read.size + 1, -1)
            number[numbers] = own
            places = number[places][:, :, hexagon.ravel()]
        if self.below.group is None:
            return places.swapaxes(0, 1).reshape(places.shape[1], -1)
        # Axes: q, place, r, position.
        covers = slice(None) if self.rotations is None else list(self.rotations)
        element = self.below.group.cayley.T[covers, None, :, None] * self.below.positions
        covered = places.swapaxes(0, 1)[None]
        maps = np.where(covered < 0, -1, element + covered)
        return maps.reshape(maps.shape[0] * maps.shape[1], -1)
