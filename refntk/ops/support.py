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

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from refntk.ops.space import Space

__all__ = ["Support", "Window"]


@dataclass(frozen=True)
class Window:
    """How a filter slides along one axis: output i reads inputs ``stride * i - low + a``, a < size.

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
    """

    n_in: int
    n_out: int
    size: int
    stride: int
    low: int
    wrap: bool


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
    apart : bool, default False
        Whether the elements of a group are kept apart: an output at one of them reads features at
        the same one only.

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
    apart: bool = False

    @property
    def size(self) -> int:
        """Number |S| of filter elements."""
        if self.windows is None:
            return self.below.size
        elements = 1 if self.apart else self.below.order
        return elements * int(np.prod([window.size for window in self.windows]))

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
        places = np.indices(sides).reshape(len(sides), int(np.prod(sides))).T
        return 2 * places - (np.array(sides, np.int64) - 1)

    @property
    def invariant(self) -> bool:
        """Whether the group above maps the filter's places to themselves: r S = S."""
        return self.above.group is None or self.above.group.acts_on(self.offsets.tolist())

    @cached_property
    def maps(self) -> npt.NDArray[np.int64]:
        """Feature below that each filter element reads: (|S|, features above), -1 outside.

        Of a filter over a group, the places for its first element come first. The output (t, r)
        reads position c(t) + r s at the place s, where c(t) is the centre of its window, and there
        the element r q (Misof et al., theorems 1 and 3); with elements kept apart, r alone.
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
            first = window.stride * np.arange(window.n_out) - window.low
            reads = (2 * first + window.size - 1 + turned[:, :, axis, None]) // 2
            reads = reads % window.n_in if window.wrap else reads
            inside = (reads >= 0) & (reads < window.n_in)
            along = places[..., None] * window.n_in + reads[:, :, None, :]
            outside = (places < 0)[..., None] | ~inside[:, :, None, :]
            places = np.where(outside, -1, along).reshape(*turned.shape[:2], -1)
        if self.below.group is None:
            return places.swapaxes(0, 1).reshape(places.shape[1], -1)
        # Axes: q, place, r, position.
        covers = slice(1) if self.apart else slice(None)
        element = self.below.group.cayley.T[covers, None, :, None] * self.below.positions
        covered = places.swapaxes(0, 1)[None]
        maps = np.where(covered < 0, -1, element + covered)
        return maps.reshape(maps.shape[0] * maps.shape[1], -1)
