"""Point groups of lattices, as integer matrices with a Cayley table.

A group element acts on offsets of the lattice. On the square one they are t = (y, x), first axis y:
the quarter turn is (y, x) -> (-x, y); the reflection of the dihedral groups is (y, x) -> (y, -x),
left against right. `refntk.ops.lattices` has the other lattices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace

from refntk.errors import NetworkError, ShapeError, unknown
from refntk.ops.finite_group import FiniteGroup, cayley_from_generators
from refntk.ops.lattices import COORDINATES, LATTICES, PointGroupName

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

    @cached_property
    def exchanges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of axes that some element maps to one another, each once."""
        mapped = (self.matrices != 0).any(axis=0)
        return tuple((i, j) for i, j in np.argwhere(mapped).tolist() if i < j)

    @property
    def swaps_axes(self) -> bool:
        """Whether some element maps an axis to another one, so that images must be square."""
        return bool(self.exchanges)

    def written(self, index: int) -> str:
        """Write an element as the map of coordinates that it is.

        Parameters
        ----------
        index : int

        Returns
        -------
        str

        Examples
        --------
        >>> point_group("C4").written(1)
        '(y, x) -> (-x, y)'
        """
        names = COORDINATES[self.lattice]
        signs = {-1: "-", 0: "", 1: "+"}
        terms = []
        for row in self.matrices[index].tolist():
            term = "".join(
                signs[entry] + name for entry, name in zip(row, names, strict=True) if entry
            )
            terms.append(term.removeprefix("+"))
        return f"({', '.join(names)}) -> ({', '.join(terms)})"

    def mover(self, offsets: Iterable[tuple[int, ...]]) -> int | None:
        """Find an element that does not map a set of offsets to itself.

        Parameters
        ----------
        offsets : iterable of tuples of int
            As for `acts_on`.

        Returns
        -------
        int or None
            The first one; None where the set is invariant.
        """
        support = {tuple(map(int, offset)) for offset in offsets}
        moved = np.array(sorted(support)) @ self.matrices.swapaxes(1, 2)
        for index, places in enumerate(moved.tolist()):
            if {tuple(place) for place in places} != support:
                return index
        return None

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
        return self.mover(offsets) is None


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
    reason = _elsewhere(name, lattice) if isinstance(name, str) else ""
    raise NetworkError(unknown("group", name, known) + reason, key="group")


def _elsewhere(name: str, lattice: str) -> str:
    """Say on which lattice a group is at home, or why it is on none."""
    there = [other for other, groups in LATTICES.items() if name in groups and other != lattice]
    ways = {
        "line": "filters of one side", "square": "filters of two sides",
        "hexagonal": 'lattice="hexagonal"', "cubic": "filters of three sides",
    }  # fmt: skip
    if there:
        return f"; {name} is a group of {' and of '.join(ways[other] for other in there)}"
    turns = re.fullmatch(r"[CD]([1-9]\d*)", name)
    if turns is None or int(turns[1]) in (1, 2, 3, 4, 6):
        return ""
    return (
        f"; turns by {360 / int(turns[1]):.4g} degrees map no lattice to itself, and interpolated "
        "filters are no symmetry (bilinear ones of 3x3 places keep 0.42 of their variance at 45 "
        'degrees): take C6 or D6 with lattice="hexagonal", or refntk.sphere, which has all turns'
    )


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


def rotate(
    images: Any,
    index: int,
    group: PointGroup,
    axes: tuple[int, ...] | None = None,
    wrap: bool = False,
) -> Any:
    """Let one group element act on images about their centre, (r . x)(t) = x(r^-1 t).

    Parameters
    ----------
    images : array of any dtype and any array-API namespace, shape (..., H, W, C)
        Images, or any other array with the axes of the lattice: (..., L, C) on the line,
        (..., D, H, W, C) of volumes, (..., side, side, C) of hexagons, which `refntk.ops.hexagons`
        describes.
    index : int
        The element r, as an index into ``group.matrices``.
    group : PointGroup
        The group that r belongs to.
    axes : tuple of int, optional
        Positions of the axes of the lattice; by default they are those before the last one.
    wrap : bool, default False
        Whether axial images are turned as a torus, about their first pixel; others do not mind.

    Returns
    -------
    array of the same namespace and dtype
        The images turned or reflected; axes change places where r swaps them. It may share
        memory with the input.

    Raises
    ------
    ShapeError
        On the hexagonal lattice: the two axes are not of one odd length.

    Examples
    --------
    >>> image = np.array([[[1], [2]], [[3], [4]]])
    >>> rotate(image, 1, point_group("C4"))[..., 0]
    array([[2, 4],
           [1, 3]])
    """
    xp, back = array_namespace(images), group.matrices[group.inverse[index]]
    places = [axis % images.ndim for axis in axes or range(-1 - len(back), -1)]
    if group.lattice == "hexagonal":
        return _turned_hexagon(images, back, (places[0], places[1]), wrap)
    # Each column of r^-1 has one entry, whose sign is that of the output axis.
    order = list(range(images.ndim))
    for place, source in zip(places, np.abs(back).argmax(axis=0).tolist(), strict=True):
        order[place] = places[source]
    if order != sorted(order):
        images = xp.permute_dims(images, tuple(order))
    signs = back.sum(axis=0).tolist()
    flipped = tuple(axis for axis, sign in zip(places, signs, strict=True) if sign < 0)
    return xp.flip(images, axis=flipped) if flipped else images


def _turned_hexagon(
    images: Any, back: npt.NDArray[np.int64], axes: tuple[int, int], wrap: bool
) -> Any:
    """Read each pixel of axial images where an element's inverse maps it; 0 outside."""
    xp, side = array_namespace(images), images.shape[axes[0]]
    if images.shape[axes[1]] != side or (side % 2 == 0 and not wrap):
        raise ShapeError(
            f"hexagons are turned about a pixel: expected axial images of one odd side, not "
            f"{side}x{images.shape[axes[1]]}"
        )
    middle = 0 if wrap else side // 2
    q, r = back @ (np.indices((side, side)).reshape(2, -1) - middle) + middle
    if wrap:
        q, r = q % side, r % side
    inside = (np.minimum(q, r) >= 0) & (np.maximum(q, r) < side)
    reads = np.where(inside, q * side + r, side * side)
    rest = [axis for axis in range(images.ndim) if axis not in axes]
    rows = xp.permute_dims(images, (*axes, *rest))
    shape = rows.shape
    rows = xp.reshape(rows, (side * side, *shape[2:]))
    rows = xp.concat([rows, xp.zeros_like(rows[:1, ...])], axis=0)
    turned = xp.reshape(xp.take(rows, xp.asarray(reads), axis=0), shape)
    return xp.permute_dims(turned, tuple(np.argsort([*axes, *rest]).tolist()))
