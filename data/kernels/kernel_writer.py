"""Write a kernel tile by tile, so that whatever stops the process costs a tile and no more."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from refntk.data.kernels.assembly import assemble
from refntk.data.kernels.growth import Growth
from refntk.data.kernels.journal import Journal, is_journal
from refntk.data.kernels.kernel_format import KernelDescription
from refntk.data.kernels.kernel_reader import open_kernel
from refntk.data.kernels.kernel_record import KernelRecord, differences, share_text
from refntk.data.limits import one_line, size_text
from refntk.data.lock import Holder, Lock
from refntk.errors import RefntkError, StoreError
from refntk.evaluation.tiles import Tile, cut
from refntk.output import Output, is_ours, remove_ours

__all__ = ["KernelWriter"]


class KernelWriter:
    """Write a kernel file tile by tile; a context manager.

    Finished tiles go into a journal beside the target, ``NAME.part``; `finish` makes the kernel
    file from it and removes it. Leaving the context without that, by an exception or not, keeps the
    tiles for a later writer with `resume`. As long as the writer is open it holds ``NAME.lock``.

    Parameters
    ----------
    path : str or path
        The file to write.
    description : KernelDescription
        Shape, tiles, inputs and provenance of the kernel.
    resume : bool
        Continue what was begun before, if anything was. A finished file of the same description is
        complete: nothing is missing.
    overwrite : bool
        Replace an existing file, at the end and not before; without `resume`, drop what was begun.
    base : Growth, optional
        The existing file is part of the kernel: only what it lacks is missing, and it is replaced
        at the end. It stays open as long as the writer.
    inputs : iterable of str or path
        Files that are read besides the sources of the description: the file must not be one.

    Attributes
    ----------
    path : pathlib.Path
    description : KernelDescription
    complete : bool
        Whether the kernel file is there and is the one described.
    stale : Holder or None
        Who held the lock before and died with it.
    share : (int, int) or None
        See `refntk.data.kernels.shards.ShardWriter`.

    Raises
    ------
    StoreError
        The file exists, or a journal, and neither `overwrite` nor `resume` is true; what exists
        differs in network, images, dtype, tile, preprocessing or version, which is named; another
        process writes it; the folder is missing or cannot be written to; the disk has less room
        than the kernels need. Later, from `write` or `finish`: the disk is full or fails.

    Examples
    --------
    >>> with KernelWriter("out.h5", description, resume=True) as writer:  # doctest: +SKIP
    ...     for tile in writer.missing():
    ...         writer.write(tile, job.block(tile))
    ...     writer.finish()
    """

    share: tuple[int, int] | None = None
    _again = "continue with --resume"

    def __init__(
        self,
        path: str | Path,
        description: KernelDescription,
        *,
        resume: bool = False,
        overwrite: bool = False,
        base: Growth | None = None,
        inputs: Iterable[str | Path] = (),
    ) -> None:
        self.path = Path(path)
        self.description = description
        self.complete = False
        self._overwrite = overwrite
        self._base = base
        self._journal: Journal | None = None
        # Whether an existing file may be replaced is for `_begin` to say: it may be this kernel.
        infos = (description.x1, description.x2)
        sources = [info.source for info in infos if info is not None]
        self._output = Output(self.path, overwrite=True, inputs=[*sources, *inputs])
        self._output.overwrite = overwrite or base is not None
        self._lock = Lock(self._beside(".lock"), self.path)
        try:
            with self._worded():
                self._begin(resume)
        except BaseException:
            self.close()
            raise

    @property
    def stale(self) -> Holder | None:
        """Who held the lock before and is gone."""
        return self._lock.stale

    @property
    def kept(self) -> int:
        """Number of tiles that are done; a mirrored tile does not count on its own."""
        return 0 if self._journal is None else int(np.count_nonzero(self._journal.done))

    @property
    def kept_text(self) -> str:
        """What is kept so far, in words; empty where nothing is."""
        if not self.kept:
            return ""
        tiles = "1 tile is" if self.kept == 1 else f"{self.kept} tiles are"
        return f"{tiles} kept in {self._beside('.part')}"

    def _beside(self, suffix: str) -> Path:
        return self._output.beside(suffix)

    def _begin(self, resume: bool) -> None:
        """Continue a journal, recognise a finished file, or begin anew."""
        place = self._beside(".part")
        # An empty one was emptied by somebody: it holds nothing that could be continued.
        begun = is_ours(place, is_journal) and place.stat().st_size > 0
        here = KernelRecord(
            self.description,
            version("refntk"),
            datetime.now(UTC).isoformat(timespec="seconds"),
            secrets.token_hex(16),
            self.share,
        )
        if self._base is not None:
            self._refuse_version(self.path, self._base.file.record)
            self.complete = self._base.rows == self.description.shape[0]
        elif self.path.exists() and (resume or not self._overwrite):
            self._meet_finished(resume, begun)
        if self.complete:
            remove_ours(place, is_journal)
            return
        if begun and resume:
            self._journal = Journal.open(place)
            self._refuse_others(place, self._journal.record)
        elif begun and not self._overwrite:
            raise StoreError(
                f"{self.path}: an unfinished computation of it is in {place}; continue it with "
                "--resume, or begin anew with --overwrite"
            )
        self._check_room(place)
        if self._journal is None:
            self._journal = Journal.create(place, here)

    def _meet_finished(self, resume: bool, begun: bool) -> None:
        """Decide what an existing file of the target's name means."""
        if not resume:
            raise StoreError(
                f"{self.path}: exists already; choose another name or allow it to be replaced "
                "(--overwrite)"
            )
        if self._overwrite and begun:
            return
        try:
            self._refuse_others(self.path, self._finished())
        except StoreError:
            if not self._overwrite:
                raise
            return  # something else, which is replaced at the end
        self.complete = True

    def _finished(self) -> KernelRecord:
        """Read what the finished file of the target's name is."""
        with open_kernel(self.path) as kernel:
            return kernel.record

    def _refuse_others(self, place: Path, there: KernelRecord) -> None:
        """Refuse to continue what would not become the kernel that is asked for."""
        self._refuse_version(place, there)
        found = differences(there.description, self.description)
        if there.share != self.share:
            old, new = (share_text(share) for share in (there.share, self.share))
            found.append(f"tiles: {old} there, {new} here")
        if found:
            raise StoreError(
                f"{place}: cannot be continued, it is of another kernel ({'; '.join(found)}); "
                "repeat the command that began it, choose another name, or begin anew with "
                "--overwrite"
            )

    def _refuse_version(self, place: Path, there: KernelRecord) -> None:
        """Refuse tiles of another version, which may differ in their last digits."""
        here = version("refntk")
        if there.refntk_version != here:
            raise StoreError(
                f"{place}: cannot be continued, it was made by refntk {there.refntk_version} and "
                f"this is {here}; use that version, or begin anew with --overwrite"
            )

    def _check_room(self, place: Path) -> None:
        """Refuse a disk that has no room for the journal and the file."""
        needed = self._needed(place.stat().st_size if self._journal is not None else 0)
        free = shutil.disk_usage(self._output.target.parent).free
        if needed > free:
            raise StoreError(
                f"{self.path}: the kernels need {size_text(needed)} while they are computed, the "
                f"disk has {size_text(free)} left; free some space or choose another place"
            )

    def _needed(self, there: int) -> int:
        """Bytes of the journal that are still to come, and of the file."""
        about = self.description
        journal = about.nbytes // 2 if about.symmetric else about.nbytes
        return about.nbytes + max(0, journal - there)

    def _tiles(self) -> list[Tile]:
        """All tiles that this writer is for."""
        about = self.description
        return cut(about.shape, about.tile, about.symmetric)

    def missing(self) -> list[Tile]:
        """List the tiles that are not done, in the order in which they are best computed.

        Returns
        -------
        list of Tile
            Of a symmetric kernel those on the diagonal and above it: `write` takes care of the
            mirror images. Where a kernel grows, what is new of a tile.
        """
        if self._journal is None:
            return []
        done = self._journal.done
        left = [tile for tile in self._tiles() if not done[self._number(tile)]]
        if self._base is None:
            return left
        cuts = [self._base.parts(tile) for tile in left if not self._base.known(tile)]
        return [part for parts in cuts for part in parts]

    def write(self, tile: Tile, blocks: Mapping[str, NDArray[Any]]) -> None:
        """Write one tile. It is on the disk some seconds later at the latest.

        Parameters
        ----------
        tile : Tile
            One of `missing`, in any order; also one that is done, which is replaced.
        blocks : mapping of str to array, shape of the tile
            One for each kernel of the description, in its dtype.

        Raises
        ------
        StoreError
            No tile of this kernel; blocks missing, superfluous, of another shape or dtype; the disk
            is full or fails, and then the tile does not count.
        """
        if self._base is None:
            at = self._number(tile)
            self._check_blocks(tile, blocks)
        else:
            self._check_blocks(tile, blocks)
            whole = self._base.gather(tile, blocks)
            if whole is None:
                return
            at, blocks = self._number(whole[0]), whole[1]
        with self._worded():
            self._open_journal().append(*at, blocks)

    def finish(self, progress: Callable[[], None] = lambda: None) -> None:
        """Make the kernel file from the tiles; nothing happens where it is complete.

        Parameters
        ----------
        progress : callable, optional
            Called now and then; may raise to give up.

        Raises
        ------
        StoreError
            Tiles are missing or damaged; the disk is full or fails; a file of this name appeared
            meanwhile. The tiles are kept.
        """
        if self.complete:
            return
        journal, left = self._open_journal(), self.missing()
        if left:
            raise StoreError(
                f"{self.path}: {len(left)} of {len(left) + self.kept} tiles are missing; continue "
                "with --resume"
            )
        if self.path.exists() and not self._output.overwrite:
            raise StoreError(
                f"{self.path}: appeared while the kernel was computed and was left alone; "
                "--resume --overwrite replaces it by the kernel"
            )
        with self._worded():
            journal.sync()
            self._conclude(journal, progress)
        self.complete = True
        # From here on nothing can be lost: what cannot be removed is recognised by --resume.
        with contextlib.suppress(OSError):
            journal.remove()

    def _conclude(self, journal: Journal, progress: Callable[[], None]) -> None:
        source = journal if self._base is None else self._base.source(journal)
        assemble(self._output, journal.record, source, progress)

    def close(self) -> None:
        """Put the tiles on the disk and let go; a journal without tiles is removed."""
        journal, self._journal = self._journal, None
        try:
            if journal is not None and not self.complete:
                if journal.done.any():
                    with contextlib.suppress(OSError):
                        journal.sync()
                    journal.close()
                else:
                    with contextlib.suppress(OSError):
                        journal.remove()
        finally:
            self._lock.release()

    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise StoreError(f"{self.path}: is finished or closed; nothing more can be written")
        return self._journal

    def _number(self, tile: Tile) -> tuple[int, int]:
        """Return the number of a tile, down and across."""
        about = self.description
        row, col = (
            self._position(run, count)
            for run, count in zip((tile.rows, tile.cols), about.shape, strict=True)
        )
        if about.symmetric and row > col:
            raise StoreError(
                f"{self.path}: {tile} is below the diagonal; write its mirror image instead"
            )
        return row, col

    def _position(self, run: slice, count: int) -> int:
        """Return the number of a tile along one axis."""
        side = self.description.tile
        start, stop, step = run.indices(count)
        if start % side or stop != min(start + side, count) or start >= stop or step != 1:
            raise StoreError(
                f"{self.path}: {run} is no tile of an axis of {count} images in tiles of {side}"
            )
        return start // side

    def _check_blocks(self, tile: Tile, blocks: Mapping[str, NDArray[Any]]) -> None:
        """Refuse what would be cast or broadcast without a word."""
        wanted = self.description.kernels
        if set(blocks) != set(wanted):
            raise StoreError(f"{self.path}: blocks of {sorted(blocks)}, expected {sorted(wanted)}")
        for name, block in blocks.items():
            if block.shape != tile.shape or block.dtype != np.dtype(self.description.dtype):
                raise StoreError(
                    f"{self.path}: block of {name} has shape {block.shape} and dtype "
                    f"{block.dtype}, expected {tile.shape} and {self.description.dtype}"
                )

    @contextlib.contextmanager
    def _worded(self) -> Iterator[None]:
        """Word the failure of a disk."""
        try:
            yield
        except OSError as error:
            if isinstance(error, RefntkError):
                raise
            raise StoreError(
                f"{self.path}: writing failed ({one_line(error)}); "
                + (self.kept_text or "nothing was kept")
                + f": free some space or mend the disk, and {self._again}"
            ) from error

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the writer."""
        self.close()
