"""Point groups of lattices, as integer matrices with a Cayley table.

A group element acts on offsets of the lattice. On the square one they are t = (y, x), first axis y:
the quarter turn is (y, x) -> (-x, y); the reflection of the dihedral groups is (y, x) -> (y, -x),
left against right. `refntk.ops.lattices` has the other lattices.
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
from refntk.ops.finite_group import FiniteGroup, cayley_from_generators
from refntk.ops.lattices import LATTICES, PointGroupName

__all__ = ["GROUPS", "PointGroup", "point_group", "rotate"]

GROUPS: tuple[str, ...] = tuple(LATTICES["square"])
"""Names of the point groups of the square lattice, smallest cyclic group first."""


@dataclass(frozen=True, eq=False)
class PointGroup(FiniteGroup):
    """A finite group of integer matrices that acts on the offsets of a lattice.

    Attributes
    ----------
    name : str
        A key of `refntk.ops.lattices.LATTICES`, the Schoenflies symbol.
    lattice : str
        The lattice that it keeps.
    matrices : int array, shape (n, d, d)
        Element r maps the offset s to ``matrices[r] @ s``. Element 0 is the identity. C_n is listed
        as its powers e, r, r^2, ...; D_n of a plane lists C_n first, then each rotation followed on
        the right by the reflection, r^k m. Others are listed breadth first.
    """

    lattice: str = field(kw_only=True)
    matrices: npt.NDArray[np.int64] = field(kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Make the tables read-only."""
        super().__post_init__()
        self.matrices.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        """Compare names and lattices."""
        if not isinstance(other, PointGroup):
            return NotImplemented
        return (self.name, self.lattice) == (other.name, other.lattice)

    def __hash__(self) -> int:
        """Hash the name and the lattice."""
        return hash((self.name, self.lattice))

    @property
    def symbols(self) -> PointGroupName:
        """Hermann-Mauguin symbol, symbol with all translations, and generators."""
        return LATTICES[self.lattice][self.name]

    @property
    def swaps_axes(self) -> bool:
        """Whether some element maps the y axis to the x axis, so that images must be square."""
        return bool(self.matrices[:, 0, 1].any())

    def acts_on(self, offsets: Iterable[tuple[int, ...]]) -> bool:
        """Tell whether a set of offsets is invariant: r S = S for every element r.

        Parameters
        ----------
        offsets : iterable of tuples of int
            The set S of offsets, in any order; on the square lattice (y, x).

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
        support = {tuple(map(int, offset)) for offset in offsets}
        moved = np.array(sorted(support)) @ self.matrices.swapaxes(1, 2)
        return {tuple(offset) for offset in moved.reshape(-1, moved.shape[-1]).tolist()} == support


def point_group(name: str, lattice: str = "square") -> PointGroup:
    """Return the point group of this name.

    Parameters
    ----------
    name : str
        A Schoenflies symbol such as C1, C2, C4 (rotations) and D1, D2, D4 (rotations and
        reflections); or the Hermann-Mauguin symbol, alone or with that of all translations:
        D4, 4mm and p4m are one.
    lattice : {"square", "line", "hexagonal", "cubic"}, default "square"

    Returns
    -------
    PointGroup
        The same object at every call; its arrays are read-only.

    Raises
    ------
    NetworkError
        No group or no lattice has this name.

    Examples
    --------
    >>> point_group("C4").matrices[1] @ (1, 0)  # one step along y becomes one step along x
    array([0, 1])
    >>> point_group("Pm-3m", "cubic").name, point_group("p6m", "hexagonal").order
    ('Oh', 12)
    """
    if lattice not in LATTICES:
        raise NetworkError(unknown("lattice", lattice, LATTICES), key="lattice")
    known = LATTICES[lattice]
    if isinstance(name, str):
        for symbol, names in known.items():
            if name in (symbol, names.hermann_mauguin, names.space_group):
                return _build(symbol, lattice)
    raise NetworkError(unknown("group", name, known), key="group")


@cache
def _build(name: str, lattice: str) -> PointGroup:
    generators = [np.array(matrix) for matrix in LATTICES[lattice][name].generators]
    dimension = {"line": 1, "cubic": 3}.get(lattice, 2)
    elements = _closure([np.eye(dimension, dtype=np.int64)], generators)
    if name[0] == "D" and dimension == 2:
        rotations = _closure(elements[:1], generators[:-1])
        elements = rotations + [rotation @ generators[-1] for rotation in rotations]
    index = {matrix.tobytes(): i for i, matrix in enumerate(elements)}
    rows = [[index[(s @ r).tobytes()] for r in elements] for s in generators or elements]
    own = tuple(index[s.tobytes()] for s in generators)
    cayley = cayley_from_generators(rows).astype(np.int64)
    return PointGroup(name, cayley, own, lattice=lattice, matrices=np.stack(elements))


def _closure(
    elements: list[npt.NDArray[np.int64]], generators: list[npt.NDArray[np.int64]]
) -> list[npt.NDArray[np.int64]]:
    """List all products of matrices, breadth first."""
    found = {matrix.tobytes(): matrix for matrix in elements}
    border = elements
    while border:
        products = {(s @ r).tobytes(): s @ r for r in border for s in generators}
        border = [matrix for key, matrix in products.items() if key not in found]
        found |= {matrix.tobytes(): matrix for matrix in border}
    return list(found.values())


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
