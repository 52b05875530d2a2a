"""Tiles: the parts of a kernel matrix in which it is computed, kept and shared out."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Tile", "cut"]


class Tile(NamedTuple):
    """Part of a kernel matrix: a range of rows and one of columns."""

    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    @property
    def pairs(self) -> int:
        """Number of pairs of images."""
        rows, cols = self.shape
        return rows * cols


def cut(shape: tuple[int, int], side: int, symmetric: bool) -> list[Tile]:
    """Cut a kernel matrix into tiles.

    Parameters
    ----------
    shape : (int, int)
        (N1, N2), of the matrix.
    side : int
        Rows and columns are cut into runs of this length, the last ones shorter.
    symmetric : bool
        Whether the part below the diagonal mirrors the part above it, and is left out.

    Returns
    -------
    list of Tile
        In the order in which they are computed: of a symmetric matrix first those on the diagonal,
        which teach the variance of each image.

    Examples
    --------
    >>> [(tile.rows.start, tile.cols.start) for tile in cut((5, 5), 3, symmetric=True)]
    [(0, 0), (3, 3), (0, 3)]
    """
    rows, cols = ([slice(k, min(k + side, n)) for k in range(0, n, side)] for n in shape)
    if not symmetric:
        return [Tile(r, c) for r in rows for c in cols]
    above = [Tile(r, c) for k, r in enumerate(rows) for c in cols[k + 1 :]]
    return [Tile(r, r) for r in rows] + above
