"""Finite point groups of the square grid, as integer matrices with a Cayley table.

A group element acts on grid offsets t = (y, x), first axis y. The quarter turn is
(y, x) -> (-x, y); the reflection of the dihedral groups is (y, x) -> (y, -x), left against right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace

from refntk.errors import NetworkError, unknown

__all__ = ["GROUPS", "PointGroup", "point_group", "rotate"]

GROUPS: tuple[str, ...] = ("C1", "C2", "C4", "D1", "D2", "D4")
"""Names of the point groups, smallest cyclic group first."""

_QUARTER_TURN = np.array([[0, -1], [1, 0]])
_REFLECTION = np.array([[1, 0], [0, -1]])


@dataclass(frozen=True)
class PointGroup:
    """A finite group of integer matrices that acts on grid offsets (y, x).

    Two groups are equal when their names are.

    Attributes
    ----------
    name : str
        One of `GROUPS`.
    order : int
        Number n of elements.
    matrices : int array, shape (n, 2, 2)
        Element r maps the offset s to ``matrices[r] @ s``. Element 0 is the identity. C_n is listed
        as its powers e, r, r^2, ...; D_n lists C_n first, then each rotation followed on the right
        by the reflection, r^k m.
    cayley : int array, shape (n, n)
        ``cayley[r, q]`` is the index of the product r q (q acts first).
    inverse : int array, shape (n,)
        Index of the inverse of each element.
    """

    name: str
    order: int = field(compare=False)
    matrices: npt.NDArray[np.int64] = field(compare=False, repr=False)
    cayley: npt.NDArray[np.int64] = field(compare=False, repr=False)
    inverse: npt.NDArray[np.int64] = field(compare=False, repr=False)

    @property
    def swaps_axes(self) -> bool:
        """Whether some element maps the y axis to the x axis, so that images must be square."""
        return bool(self.matrices[:, 0, 1].any())

    def acts_on(self, offsets: Iterable[tuple[int, int]]) -> bool:
        """Tell whether a set of offsets is invariant: r S = S for every element r.

        Parameters
        ----------
        offsets : iterable of (int, int)
            The set S of offsets (y, x), in any order.

        Returns
        -------
        bool

        Examples
        --------
        >>> point_group("C4").acts_on([(0, -1), (0, 0), (0, 1)])
        False
        >>> point_group("C2").acts_on([(0, -1), (0, 0), (0, 1)])
        True
        """
        support = {(int(y), int(x)) for y, x in offsets}
        return all(
            (int(m[0, 0] * y + m[0, 1] * x), int(m[1, 0] * y + m[1, 1] * x)) in support
            for m in self.matrices
            for y, x in support
        )


def point_group(name: str) -> PointGroup:
    """Return the point group of this name.

    Parameters
    ----------
    name : str
        One of C1, C2, C4 (rotations) and D1, D2, D4 (rotations and reflections).

    Returns
    -------
    PointGroup
        The same object at every call; its arrays are read-only.

    Raises
    ------
    NetworkError
        No group has this name.

    Examples
    --------
    >>> point_group("C4").matrices[1] @ (1, 0)  # one step along y becomes one step along x
    array([0, 1])
    """
    if name not in GROUPS:
        raise NetworkError(unknown("group", name, GROUPS), key="group")
    return _build(name)


@cache
def _build(name: str) -> PointGroup:
    turns = int(name[1])
    generator = np.linalg.matrix_power(_QUARTER_TURN, 4 // turns)
    elements = [np.linalg.matrix_power(generator, k) for k in range(turns)]
    if name.startswith("D"):
        elements += [rotation @ _REFLECTION for rotation in elements]
    index = {matrix.tobytes(): i for i, matrix in enumerate(elements)}
    matrices = np.stack(elements)
    cayley = np.array([[index[(r @ q).tobytes()] for q in elements] for r in elements])
    inverse = np.argmin(cayley, axis=1)  # the identity has index 0
    for table in (matrices, cayley, inverse):
        table.setflags(write=False)
    return PointGroup(name, len(elements), matrices, cayley, inverse)


def rotate(images: Any, index: int, group: PointGroup, axes: tuple[int, int] = (-3, -2)) -> Any:
    """Let one group element act on images about their centre, (r . x)(t) = x(r^-1 t).

    Parameters
    ----------
    images : array of any dtype and any array-API namespace, shape (..., H, W, C)
        Images, or any other array with a y and an x axis.
    index : int
        The element r, as an index into ``group.matrices``.
    group : PointGroup
        The group that r belongs to.
    axes : (int, int), default (-3, -2)
        Positions of the y and the x axis.

    Returns
    -------
    array of the same namespace and dtype
        The images turned or reflected; H and W change places where r swaps the axes. It may share
        memory with the input.

    Examples
    --------
    >>> image = np.array([[[1], [2]], [[3], [4]]])
    >>> rotate(image, 1, point_group("C4"))[..., 0]
    array([[2, 4],
           [1, 3]])
    """
    xp = array_namespace(images)
    y, x = (axis % images.ndim for axis in axes)
    (yy, yx), (xy, xx) = group.matrices[group.inverse[index]].tolist()
    if yx:
        order = list(range(images.ndim))
        order[y], order[x] = x, y
        images = xp.permute_dims(images, tuple(order))
    # One entry of each column of r^-1 is zero, so a column's sum is the sign of that output axis.
    flipped = tuple(axis for axis, sign in ((y, yy + xy), (x, xx + yx)) if sign < 0)
    return xp.flip(images, axis=flipped) if flipped else images
