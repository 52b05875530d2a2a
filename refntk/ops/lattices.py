"""The point groups of each lattice: names and generators.

A lattice is that of whole numbers; what tells two of one dimension apart is which integer matrices
keep lengths. Columns act on coordinates in the order of an image's axes:

===========  ===========  ====================================================================
lattice      coordinates  note
===========  ===========  ====================================================================
line         (x)          signals of one axis
square       (y, x)       images
hexagonal    (q, r)       axial: the steps (1, 0), (0, 1), (-1, 1) are 60 degrees apart
cubic        (z, y, x)    volumes; groups of boxes, whose main axis is z, are among them
===========  ===========  ====================================================================
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = ["COORDINATES", "GRIDS", "LATTICES", "PointGroupName"]

Matrix: TypeAlias = tuple[tuple[int, ...], ...]


class PointGroupName(NamedTuple):
    """A point group of a lattice.

    Attributes
    ----------
    hermann_mauguin : str
        Its symbol as a point group.
    space_group : str
        Symbol of the group of all translations and its elements: a wallpaper group on a square or
        hexagonal lattice.
    generators : tuple of integer matrices
    """

    hermann_mauguin: str
    space_group: str
    generators: tuple[Matrix, ...]


_TURN, _HALF, _MIRROR = ((0, -1), (1, 0)), ((-1, 0), (0, -1)), ((1, 0), (0, -1))
_SIXTH, _THIRD, _SWAP, _CROSS = (
    ((0, -1), (1, 1)), ((-1, -1), (1, 0)), ((0, 1), (1, 0)), ((0, -1), (-1, 0))
)  # fmt: skip
_INVERSION = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
_QUARTER_Z = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
_HALF_Z = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
_HALF_X = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
_MIRROR_X = ((1, 0, 0), (0, 1, 0), (0, 0, -1))
_MIRROR_Z = ((-1, 0, 0), (0, 1, 0), (0, 0, 1))
_CYCLE = ((0, 0, 1), (1, 0, 0), (0, 1, 0))
_DIAGONAL = ((1, 0, 0), (0, 0, 1), (0, 1, 0))

COORDINATES: dict[str, str] = {"line": "x", "square": "yx", "hexagonal": "qr", "cubic": "zyx"}
"""Names of the coordinates of each lattice, in the order of the axes of an image."""

GRIDS: tuple[str, ...] = ("line", "square", "cubic")
"""The lattice of ordinary grids of one, two and three axes."""

LATTICES: dict[str, dict[str, PointGroupName]] = {
    "line": {
        "C1": PointGroupName("1", "p1", ()),
        "D1": PointGroupName("m", "p1m1", (((-1,),),)),
    },
    "square": {
        "C1": PointGroupName("1", "p1", ()),
        "C2": PointGroupName("2", "p2", (_HALF,)),
        "C4": PointGroupName("4", "p4", (_TURN,)),
        "D1": PointGroupName("m", "pm", (_MIRROR,)),
        "D2": PointGroupName("2mm", "pmm", (_HALF, _MIRROR)),
        "D4": PointGroupName("4mm", "p4m", (_TURN, _MIRROR)),
    },
    "hexagonal": {
        "C1": PointGroupName("1", "p1", ()),
        "C2": PointGroupName("2", "p2", (_HALF,)),
        "C3": PointGroupName("3", "p3", (_THIRD,)),
        "C6": PointGroupName("6", "p6", (_SIXTH,)),
        # Mirrors across the shortest steps, or along them.
        "D3": PointGroupName("3m1", "p3m1", (_THIRD, _SWAP)),
        "D3'": PointGroupName("31m", "p31m", (_THIRD, _CROSS)),
        "D6": PointGroupName("6mm", "p6m", (_SIXTH, _SWAP)),
    },
    "cubic": {
        "C1": PointGroupName("1", "P1", ()),
        "Ci": PointGroupName("-1", "P-1", (_INVERSION,)),
        "C2": PointGroupName("2", "P2", (_HALF_Z,)),
        "Cs": PointGroupName("m", "Pm", (_MIRROR_Z,)),
        "C2h": PointGroupName("2/m", "P2/m", (_HALF_Z, _INVERSION)),
        "C2v": PointGroupName("mm2", "Pmm2", (_HALF_Z, _MIRROR_X)),
        "D2": PointGroupName("222", "P222", (_HALF_Z, _HALF_X)),
        "D2h": PointGroupName("mmm", "Pmmm", (_HALF_Z, _HALF_X, _INVERSION)),
        "C4": PointGroupName("4", "P4", (_QUARTER_Z,)),
        "C4h": PointGroupName("4/m", "P4/m", (_QUARTER_Z, _INVERSION)),
        "C4v": PointGroupName("4mm", "P4mm", (_QUARTER_Z, _MIRROR_X)),
        "D4": PointGroupName("422", "P422", (_QUARTER_Z, _HALF_X)),
        "D4h": PointGroupName("4/mmm", "P4/mmm", (_QUARTER_Z, _HALF_X, _INVERSION)),
        "T": PointGroupName("23", "P23", (_HALF_Z, _CYCLE)),
        "Td": PointGroupName("-43m", "P-43m", (_HALF_Z, _CYCLE, _DIAGONAL)),
        "Th": PointGroupName("m-3", "Pm-3", (_HALF_Z, _CYCLE, _INVERSION)),
        "O": PointGroupName("432", "P432", (_QUARTER_Z, _CYCLE)),
        "Oh": PointGroupName("m-3m", "Pm-3m", (_QUARTER_Z, _CYCLE, _INVERSION)),
    },
}
"""By lattice and Schoenflies symbol; D3' is the other way to put D3 on hexagons."""
