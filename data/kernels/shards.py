"""Shards: fixed shares of a kernel's tiles in files of their own, and the file joined from them.

A shard is a journal (docs/file-format.md) that was given its own name when all tiles of its share
were in it. It needs no other process while it is computed: one for each job of a batch queue.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.kernels.assembly import assemble
from refntk.data.kernels.journal import Journal
from refntk.data.kernels.kernel_format import KernelDescription
from refntk.data.kernels.kernel_record import KernelRecord, differences, share_text
from refntk.data.kernels.kernel_writer import KernelWriter
from refntk.errors import StoreError
from refntk.evaluation.tiles import Tile, cut

__all__ = ["ShardWriter", "merge"]

_SHOWN = 8


class ShardWriter(KernelWriter):
    """Write the I-th of N shares of the tiles of a kernel into a file of its own.

    Share I has the tiles I, I + N, I + 2N, ... of `refntk.evaluation.tiles.cut`, counted from 1.

    Parameters
    ----------
    path, description, resume, overwrite, inputs
        As for `KernelWriter`, which also lists the errors.
    share : (int, int)
        I and N, with 1 <= I <= N.
    """

    def __init__(
        self,
        path: str | Path,
        description: KernelDescription,
        share: tuple[int, int],
        *,
        resume: bool = False,
        overwrite: bool = False,
        inputs: Iterable[str | Path] = (),
    ) -> None:
        self.share = share
        super().__init__(path, description, resume=resume, overwrite=overwrite, inputs=inputs)

    def _tiles(self) -> list[Tile]:
        assert self.share is not None
        number, count = self.share
        return super()._tiles()[number - 1 :: count]

    def _needed(self, there: int) -> int:
        values = len(self.description.kernels) * sum(tile.pairs for tile in self._tiles())
        return max(0, values * np.dtype(self.description.dtype).itemsize - there)

    def _finished(self) -> KernelRecord:
        with contextlib.closing(Journal.open(self.path, write=False)) as journal:
            if not all(journal.done[self._number(tile)] for tile in self._tiles()):
                raise StoreError(
                    f"{self.path}: lacks tiles of its share, it is damaged or of another kernel; "
                    "compute it anew with --overwrite"
                )
            return journal.record

    def _conclude(self, journal: Journal, progress: Callable[[], None]) -> None:
        self._output.publish(journal.path)


def _refuse_others(names: Sequence[Path], journals: Sequence[Journal]) -> None:
    """Refuse shards of another kernel than the first."""
    first = journals[0].record
    for name, journal in zip(names, journals, strict=True):
        there = journal.record
        found = differences(first.description, there.description)
        if there.refntk_version != first.refntk_version:
            found.append(f"refntk: {first.refntk_version} there, {there.refntk_version} here")
        if found:
            raise StoreError(
                f"{name}: does not belong to {names[0]} ({'; '.join(found)}); merge shards of one "
                "kernel only"
            )


class _Joined:
    """The tiles of several shards, for `assemble`."""

    def __init__(self, journals: Sequence[Journal]) -> None:
        records = [journal.record for journal in journals]
        self.record = dataclasses.replace(
            records[0], created=min(record.created for record in records), share=None
        )
        self._journals = journals
        # Number of the shard that has a tile; -1 where none has.
        self._owner = np.full(self.record.description.tiles, -1, np.int64)
        for number, journal in enumerate(journals):
            self._owner[journal.done] = number

    def read(self, row: int, col: int) -> Mapping[str, NDArray[Any]]:
        """Blocks of a tile, see `refntk.data.kernels.assembly.TileSource`."""
        return self._journals[int(self._owner[row, col])].read(row, col)

    def check(self) -> None:
        """Name what is missing."""
        about = self.record.description
        tiles = cut(about.shape, about.tile, about.symmetric)
        side = about.tile
        missing = [
            number
            for number, tile in enumerate(tiles)
            if self._owner[tile.rows.start // side, tile.cols.start // side] < 0
        ]
        if missing:
            raise StoreError(
                f"{len(missing)} of {len(tiles)} tiles are missing: {self._named(missing, tiles)}; "
                "finish them, with --resume, and merge again"
            )

    def _named(self, missing: Sequence[int], tiles: Sequence[Tile]) -> str:
        """Name what is missing by the shards that should have it, or else by rows and columns."""
        counts = {None if s is None else s[1] for s in (j.record.share for j in self._journals)}
        (count,) = counts if len(counts) == 1 else (None,)
        if count is not None:
            shares = sorted({number % count + 1 for number in missing})
            names = [share_text((number, count)) for number in shares]
            what = "shard " if len(names) == 1 else "shards "
        else:
            names = [
                f"[{tile.rows.start}:{tile.rows.stop}, {tile.cols.start}:{tile.cols.stop}]"
                for tile in (tiles[number] for number in missing)
            ]
            what = "tiles "
        shown = ", ".join(names[:_SHOWN])
        return what + shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


class _Merger(KernelWriter):
    """Write a kernel file from tiles that are elsewhere."""

    _again = "merge again"

    def __init__(
        self, path: str | Path, source: _Joined, *, overwrite: bool, inputs: Iterable[Path]
    ) -> None:
        self._source = source
        super().__init__(path, source.record.description, overwrite=overwrite, inputs=inputs)

    def _begin(self, resume: bool) -> None:
        if self.path.exists() and not self._overwrite:
            self._meet_finished(resume, begun=False)
        self._check_room(self.path)

    def _needed(self, there: int) -> int:
        return self.description.nbytes

    def finish(self, progress: Callable[[], None] = lambda: None) -> None:
        """Make the kernel file, see `KernelWriter.finish`."""
        with self._worded():
            assemble(self._output, self._source.record, self._source, progress)
        self.complete = True


def merge(
    shards: Sequence[str | Path], path: str | Path, *, overwrite: bool = False
) -> KernelDescription:
    """Join shards to a kernel file.

    Parameters
    ----------
    shards : sequence of str or path
        Files of `ShardWriter`, at least one; also journals that an interrupted run left behind.
        Where two have the same tile, the latter counts.
    path : str or path
        The kernel file to write.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    KernelDescription
        What the file holds.

    Raises
    ------
    StoreError
        A file is no shard, is damaged, or belongs to another kernel than the first; tiles are
        missing, and the message names the shards that should have them; the file exists and
        `overwrite` is false, or cannot be written.
    """
    names = [Path(shard) for shard in shards]
    with contextlib.ExitStack() as stack:
        journals = [
            stack.enter_context(contextlib.closing(Journal.open(name, write=False)))
            for name in names
        ]
        _refuse_others(names, journals)
        source = _Joined(journals)
        source.check()
        writer = stack.enter_context(_Merger(path, source, overwrite=overwrite, inputs=names))
        writer.finish()
        return source.record.description
