"""The features of a layer, numbered: positions of a grid, for each element of a group."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refntk.ops.finite_group import FiniteGroup
from refntk.ops.groups import PointGroup

__all__ = ["Space"]


@dataclass(frozen=True)
class Space:
    r"""Where the features of a layer live.

    Attributes
    ----------
    shape : tuple of int
        Positions along each axis of the grid; () for a vector, which has one feature.
    group : PointGroup or None
        None where no such group turns the positions.
    elements : FiniteGroup or None
        The group whose elements number the features, where there are no positions; None elsewhere.
    hexagon : bool
        Whether only the positions of the hexagon in the axial square `shape` count: those with
        \|q + r\| at most the radius, from the middle.

    Examples
    --------
    >>> Space((4, 5)).size
    20
    """

    shape: tuple[int, ...] = ()
    group: PointGroup | None = None
    elements: FiniteGroup | None = None
    hexagon: bool = False

    @property
    def order(self) -> int:
        """Number n of group elements; 1 without a group."""
        group = self.group or self.elements
        return 1 if group is None else group.order

    @property
    def positions(self) -> int:
        """Number P of positions."""
        inside = self.inside
        return math.prod(self.shape) if inside is None else int(inside.sum())

    @property
    def inside(self) -> npt.NDArray[np.bool_] | None:
        """Which positions of `shape` there are; None: all."""
        return self.inside_below(self.shape)

    def inside_below(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_] | None:
        """Say the same of features of another shape, which those of this space read."""
        if not self.hexagon:
            return None
        radius = shape[0] // 2
        q, r = np.indices(shape) - radius
        return np.asarray(np.abs(q + r) <= radius)

    @property
    def size(self) -> int:
        """Number n P of features; element r at position p, counted row by row, is r P + p."""
        return self.order * self.positions

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the axes that the numbers stand for: (n, H, W), (H, W), (n,) or ().

        Positions of a hexagon are one axis: (n, P).
        """
        shape = (self.positions,) if self.hexagon else self.shape
        return (self.order, *shape) if self.group or self.elements else shape
