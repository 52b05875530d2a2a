"""Add images to a kernel that is finished: which entries are known, and which are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import InputInfo
from refntk.data.images.inputs import Inputs
from refntk.data.kernels.assembly import TileSource
from refntk.data.kernels.journal import Journal
from refntk.data.kernels.kernel_format import KernelDescription
from refntk.data.kernels.kernel_reader import KernelFile
from refntk.data.kernels.kernel_record import differences
from refntk.errors import StoreError
from refntk.evaluation.tiles import Tile

__all__ = ["Growth", "in_stored_order"]

Blocks = dict[str, NDArray[Any]]
_Part = tuple[Tile, Mapping[str, NDArray[Any]]]

# They say which images were taken, not what was done to them.
_SELECTION = ("limit", "seed")


def in_stored_order(file: KernelFile, inputs: Inputs) -> Inputs:
    """Put the images of a kernel file first, in its order, and new ones behind them.

    Parameters
    ----------
    file : KernelFile
        Open.
    inputs : Inputs
        Old and new images of the rows, in any order, told by their digests.

    Returns
    -------
    Inputs

    Raises
    ------
    StoreError
        An image of the file is not among them.
    """
    places: dict[bytes, list[int]] = {}
    for place, digest in reversed(list(enumerate(inputs.info1.sha256.tolist()))):
        places.setdefault(digest, []).append(place)
    order: list[int] = []
    for number, digest in enumerate(file.x1.sha256.tolist()):
        if not places.get(digest):
            raise StoreError(
                f"{inputs.info1.source}: lacks image {number} of {file.path}; to append, X1 must "
                "hold the images that are there and the new ones"
            )
        order.append(places[digest].pop())
    new = sorted(set(range(inputs.info1.count)) - set(order))
    where = np.array([*order, *new])
    return dataclasses.replace(inputs, x1=inputs.x1[where], info1=_pick(inputs.info1, where))


def _pick(info: InputInfo, where: NDArray[np.int64]) -> InputInfo:
    """Keep what is known about some of the images, in the order given."""
    return dataclasses.replace(
        info,
        indices=info.indices[where],
        sha256=info.sha256[where],
        labels=None if info.labels is None else info.labels[where],
        names=None if info.names is None else tuple(info.names[i] for i in where.tolist()),
    )


class Growth:
    """A finished kernel as a part of a larger one: its images are the first of the rows.

    Parameters
    ----------
    file : KernelFile
        Open, and complete.
    description : KernelDescription
        The larger kernel; made from `in_stored_order`.

    Attributes
    ----------
    file : KernelFile
    rows : int
        Number of images that are there.

    Raises
    ------
    StoreError
        The file is not complete; its network, images, dtype, tile, preparation or version differ,
        which is named.
    """

    def __init__(self, file: KernelFile, description: KernelDescription) -> None:
        if not file.complete:
            raise StoreError(f"{file.path}: is not complete; finish the computation first")
        self.file = file
        self.rows = file.x1.count
        self._about = description
        self._pending: dict[tuple[int, int], list[_Part]] = {}
        there = file.record.description
        shown = _pick(description.x1, np.arange(min(self.rows, description.x1.count)))
        found = differences(_comparable(there, there.x1), _comparable(description, shown))
        if found:
            raise StoreError(
                f"{file.path}: cannot be added to, it is of another kernel ({'; '.join(found)}); "
                "repeat the command that made it, with more images"
            )

    def known(self, tile: Tile) -> bool:
        """Whether the file holds a whole tile of the larger kernel.

        Parameters
        ----------
        tile : Tile
            Of the grid of the larger kernel.
        """
        last = tile.cols.stop if self._about.symmetric else 0
        return bool(max(tile.rows.stop, last) <= self.rows)

    def parts(self, tile: Tile) -> list[Tile]:
        """Cut what is not known out of a tile.

        Parameters
        ----------
        tile : Tile
            Of the grid of the larger kernel, not `known`.

        Returns
        -------
        list of Tile
            They do not overlap; of a tile on the diagonal what mirrors another part is left out.
        """
        old, new = _split(tile.rows, self.rows)
        if not self._about.symmetric:
            return [Tile(new, tile.cols)]
        cols = _split(tile.cols, self.rows)[1]
        return [Tile(rows, cols) for rows in (old, new) if rows.start < rows.stop]

    def gather(self, part: Tile, blocks: Mapping[str, NDArray[Any]]) -> tuple[Tile, Blocks] | None:
        """Keep a part of a tile until the tile is whole.

        Parameters
        ----------
        part : Tile
            One of the `parts` of a tile.
        blocks : mapping of str to array, shape of the part

        Returns
        -------
        (Tile, dict of array) or None
            The tile of the grid, with what the file holds of it; None where parts are missing.

        Raises
        ------
        StoreError
            It is no such part, or the file is damaged.
        """
        tile = self._around(part)
        parts = self.parts(tile)
        if self.known(tile) or part not in parts:
            raise StoreError(f"{self.file.path}: {part} is no part of a tile that is missing")
        key = tile.rows.start, tile.cols.start
        kept = [pair for pair in self._pending.pop(key, []) if pair[0] != part]
        kept.append((part, blocks))
        if len(kept) < len(parts):
            self._pending[key] = kept
            return None
        return tile, self._whole(tile, kept)

    def source(self, journal: Journal) -> TileSource:
        """Read the larger kernel: tiles of a journal, and what it lacks from the file.

        Parameters
        ----------
        journal : Journal
            Of the larger kernel.

        Returns
        -------
        TileSource
        """
        return _Grown(self.file, journal)

    def _around(self, part: Tile) -> Tile:
        """Tile of the grid that holds a part."""
        side = self._about.tile
        return Tile(
            *(
                slice(run.start // side * side, min(run.start // side * side + side, count))
                for run, count in zip(part, self._about.shape, strict=True)
            )
        )

    def _whole(self, tile: Tile, parts: list[_Part]) -> Blocks:
        """Put a tile together from the file and from the parts that were computed."""
        out: Blocks = {}
        old = _split(tile.rows, self.rows)[0], tile.cols
        if self._about.symmetric:
            old = old[0], _split(tile.cols, self.rows)[0]
        for name in self._about.kernels:
            block = np.empty(tile.shape, self._about.dtype)
            block[_inside(tile, *old)] = getattr(self.file, name)[old]
            for part, blocks in parts:
                block[_inside(tile, *part)] = blocks[name]
                if self._about.symmetric and tile.rows == tile.cols:
                    block[_inside(tile, *part[::-1])] = blocks[name].T
            out[name] = block
        return out


class _Grown:
    """The tiles of a journal and of a file of which they are more."""

    def __init__(self, file: KernelFile, journal: Journal) -> None:
        self._file = file
        self._journal = journal

    def read(self, row: int, col: int) -> Mapping[str, NDArray[Any]]:
        """Blocks of a tile, see `refntk.data.kernels.assembly.TileSource`."""
        if self._journal.done[row, col]:
            return self._journal.read(row, col)
        about = self._journal.record.description
        place = about.run(0, row), about.run(1, col)
        return {name: getattr(self._file, name)[place] for name in about.kernels}


def _split(run: slice, count: int) -> tuple[slice, slice]:
    """Cut a run of images into those that are there and new ones; either may be empty."""
    middle = min(max(run.start, count), run.stop)
    return slice(run.start, middle), slice(middle, run.stop)


def _inside(tile: Tile, rows: slice, cols: slice) -> tuple[slice, slice]:
    """Rows and columns of a kernel as rows and columns of a tile."""
    top, left = tile.rows.start, tile.cols.start
    return slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left)


def _comparable(about: KernelDescription, x1: InputInfo) -> KernelDescription:
    """Leave out what may change when images are added: labels, and how they were chosen."""
    prepared = {k: v for k, v in about.preprocessing.items() if k not in _SELECTION}
    return dataclasses.replace(
        about,
        x1=dataclasses.replace(x1, labels=None, class_names=None),
        preprocessing=prepared,
    )
