"""The features of a layer, numbered: positions of a grid, for each element of a group."""

from __future__ import annotations

import math
from dataclasses import dataclass

from refntk.ops.finite_group import FiniteGroup
from refntk.ops.groups import PointGroup

__all__ = ["Space"]


@dataclass(frozen=True)
class Space:
    """Where the features of a layer live.

    Attributes
    ----------
    shape : tuple of int
        Positions along each axis of the grid; () for a vector, which has one feature.
    group : PointGroup or None
        None where no such group turns the positions.
    elements : FiniteGroup or None
        The group whose elements number the features, where there are no positions; None elsewhere.

    Examples
    --------
    >>> Space((4, 5)).size
    20
    """

    shape: tuple[int, ...] = ()
    group: PointGroup | None = None
    elements: FiniteGroup | None = None

    @property
    def order(self) -> int:
        """Number n of group elements; 1 without a group."""
        group = self.group or self.elements
        return 1 if group is None else group.order

    @property
    def positions(self) -> int:
        """Number P of positions."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Number n P of features; element r at position p, counted row by row, is r P + p."""
        return self.order * self.positions

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the axes that the numbers stand for: (n, H, W), (H, W), (n,) or ()."""
        return (self.order, *self.shape) if self.group or self.elements else self.shape
