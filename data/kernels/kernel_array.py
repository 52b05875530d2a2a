"""A kernel of a file as an array: read where it is indexed, each tile compared with its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.limits import one_line
from refntk.errors import StoreError
from refntk.evaluation.machine import require_memory

__all__ = ["KernelArray"]

FloatArray = NDArray[np.floating[Any]]


class KernelArray:
    """A kernel in an open file, shape (N1, N2): rows are images of x1, columns images of x2.

    ``kernel.ntk[3]``, ``kernel.ntk[:, 100:200]``, ``kernel.ntk[np.ix_(train, test)]`` read what
    they name and no more than the tiles around it; ``np.asarray(kernel.ntk)`` reads everything. A
    tile that is read for the first time is compared with its digest in the file. With `chunks`,
    `shape`, `dtype` and indexing it is what ``dask.array.from_array`` takes.

    Attributes
    ----------
    name : str
        ``"nngp"`` or ``"ntk"``.
    shape : (int, int)
    dtype : numpy.dtype
    ndim : int
    size, nbytes : int
    chunks : (int, int)
        Shape of a tile; parts of the array that follow it are read best.
    """

    ndim = 2

    def __init__(
        self, path: Path, dataset: h5py.Dataset, digests: NDArray[np.uint8], side: int
    ) -> None:
        self.path = path
        self.name: str = dataset.name.lstrip("/")
        self.shape: tuple[int, int] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype
        self.size = self.shape[0] * self.shape[1]
        self.nbytes = self.size * self.dtype.itemsize
        self.chunks = min(side, self.shape[0]), min(side, self.shape[1])
        self._dataset = dataset
        self._digests = digests
        self._side = side
        down, across = (-(-count // side) for count in self.shape)
        self._trusted = np.zeros((down, across), bool)

    @property
    def fits(self) -> bool:
        """Whether there is a digest for each tile, and the values are stored tile by tile.

        A chunk of another size, or one that was packed, may unpack to far more than a tile.
        """
        wanted = (*self._trusted.shape, hashlib.sha256().digest_size)
        stored = self._dataset.chunks == self.chunks and self._dataset.compression is None
        return stored and (self._digests.dtype, self._digests.shape) == (np.dtype(np.uint8), wanted)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{self.name} {self.shape} {self.dtype.name} in {self.path}>"

    def __getitem__(self, key: Any) -> Any:
        """Read a part, as NumPy would index it.

        Parameters
        ----------
        key : int, slice, Ellipsis, array of int or bool, or a pair of them
            Arrays for both axes are either those of ``np.ix_`` or of equal length, then element by
            element.

        Returns
        -------
        float or array of float
            In memory, at most two axes.

        Raises
        ------
        IndexError
            It is out of range, or of more than two axes.
        StoreError
            A tile is damaged.
        InputError
            What is read does not fit into memory.
        """
        rows, cols = _both_axes(key)
        i, j = np.arange(self.shape[0])[rows], np.arange(self.shape[1])[cols]
        if i.ndim == 2 and j.ndim == 2 and i.shape[1] == j.shape[0] == 1:
            return self._outer(i[:, 0], j[0])
        if i.ndim > 1 or j.ndim > 1:
            raise IndexError(f"{self.name}: only indices of one axis each, or np.ix_, are possible")
        if _is_array(rows) and _is_array(cols):
            return self._pointwise(*np.broadcast_arrays(i, j))
        part = self._outer(np.atleast_1d(i), np.atleast_1d(j))
        return part[0 if i.ndim == 0 else slice(None), 0 if j.ndim == 0 else slice(None)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything."""
        if copy is False:
            raise ValueError(f"{self.name} is in a file: an array of it is always a copy")
        return np.asarray(self[...], dtype=dtype)

    def __dask_tokenize__(self) -> tuple[str, str, int]:
        """Name the contents for dask: the same file at the same time is the same array."""
        return str(self.path.absolute()), self.name, self.path.stat().st_mtime_ns

    def __reduce__(self) -> Any:
        """Travel to another process by name: it opens the file itself."""
        return _reopen, (self.path.absolute(), self.name)

    def bands(self) -> Iterator[tuple[slice, FloatArray]]:
        """Read everything, one row of tiles at a time.

        Yields
        ------
        rows : slice
        values : float array, shape (rows, N2)
        """
        for top in range(0, self.shape[0], self._side):
            rows = slice(top, min(top + self._side, self.shape[0]))
            yield rows, self[rows]

    def damaged(self, row: int) -> list[str]:
        """Find the damaged tiles of a row of tiles.

        Parameters
        ----------
        row : int
            Its number.

        Returns
        -------
        list of str
            What is wrong, one text a tile.
        """
        found = []
        for col in range(self._trusted.shape[1]):
            try:
                self.tile(row, col)
            except StoreError as error:
                found.append(str(error))
        return found

    def tile(self, row: int, col: int) -> FloatArray:
        """Read one tile, compared with its digest.

        Parameters
        ----------
        row, col : int
            Its number, down and across.

        Returns
        -------
        float array

        Raises
        ------
        StoreError
            It is damaged.
        """
        return self._verified(row, col, col + 1)

    def _outer(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> FloatArray:
        """Entries of some rows and columns, every row with every column."""
        require_memory(
            len(rows) * len(cols) * self.dtype.itemsize,
            f"{len(rows)} x {len(cols)} entries of {self.name} in {self.path}",
            "read fewer rows or columns at a time, or the array tile by tile with dask",
        )
        out = np.empty((len(rows), len(cols)), self.dtype)
        bands, across = rows // self._side, cols // self._side
        for band in np.unique(bands):
            of_band = np.flatnonzero(bands == band)
            for first, last in _runs(np.unique(across)):
                inside = np.flatnonzero((across >= first) & (across < last))
                values, top = self._part(int(band), first, last, rows[of_band])
                i, j = rows[of_band] - top, cols[inside] - first * self._side
                block = values[_slice(i)][:, _slice(j)]
                where = _slice(of_band), _slice(inside)
                if all(isinstance(index, slice) for index in where):
                    out[where] = block
                else:
                    out[np.ix_(of_band, inside)] = block
        return out

    def _pointwise(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> FloatArray:
        """Entries at pairs of a row and a column, tile by tile."""
        out = np.empty(rows.shape, self.dtype)
        numbers = np.stack([rows // self._side, cols // self._side])
        tiles, of_tile = np.unique(numbers, axis=1, return_inverse=True)
        for index, (band, col) in enumerate(tiles.T.tolist()):
            inside = np.flatnonzero(of_tile == index)
            values, top = self._part(band, col, col + 1, rows[inside])
            out[inside] = values[rows[inside] - top, cols[inside] - col * self._side]
        return out

    def _part(
        self, band: int, first: int, last: int, rows: NDArray[np.intp]
    ) -> tuple[FloatArray, int]:
        """Rows of tiles `first` to `last` of a band that hold some rows, and the first of them."""
        if not self._trusted[band, first:last].all():
            return self._verified(band, first, last), band * self._side
        top, bottom = int(rows.min()), int(rows.max()) + 1
        return self._read(band, first, last, slice(top, bottom)), top

    def _verified(self, band: int, first: int, last: int) -> FloatArray:
        """Tiles `first` to `last` of a band, each compared with its digest."""
        top = band * self._side
        values = self._read(band, first, last, slice(top, min(top + self._side, self.shape[0])))
        for col in range(first, last):
            start = (col - first) * self._side
            block = np.ascontiguousarray(values[:, start : start + self._side])
            digest = hashlib.sha256(block.data).digest()
            if digest != self._digests[band, col].tobytes():
                raise self._damaged(band, col, "it does not match its SHA-256")
        self._trusted[band, first:last] = True
        return values

    def _read(self, band: int, first: int, last: int, rows: slice) -> FloatArray:
        """Read from the file; where that fails, find the tile that is to blame."""
        start, stop = first * self._side, min(last * self._side, self.shape[1])
        try:
            return np.asarray(self._dataset[rows, start:stop])
        except (OSError, ValueError, RuntimeError) as error:
            if last - first > 1:
                for col in range(first, last):
                    self._read(band, col, col + 1, rows)
            raise self._damaged(band, first, one_line(error)) from error

    def _damaged(self, row: int, col: int, reason: str) -> StoreError:
        return StoreError(
            f"{self.path}: tile ({row}, {col}) of {self.name} is damaged ({reason}); "
            "compute the kernel again"
        )


def _both_axes(key: Any) -> tuple[Any, Any]:
    """Split an index into those of the two axes."""
    parts = list(key) if isinstance(key, tuple) else [key]
    dots = [place for place, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if dots:
        parts[dots[0] : dots[0] + 1] = [slice(None)] * (3 - len(parts))
    parts += [slice(None)] * (2 - len(parts))
    if len(parts) != 2 or any(part is None for part in parts):
        raise IndexError("a kernel has two axes, and no new ones can be made")
    return parts[0], parts[1]


def _is_array(index: Any) -> bool:
    """Whether an index is an array or a list, not a number or a slice."""
    return not isinstance(index, slice) and np.ndim(index) > 0


def _slice(indices: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Write indices that follow each other as a slice, which needs no number for each of them."""
    if len(indices) and np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
        return slice(int(indices[0]), int(indices[0]) + len(indices))
    return indices


def _runs(numbers: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Cut sorted numbers into runs without gaps: first, and after the last."""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    for run in np.split(numbers, breaks):
        if len(run):
            yield int(run[0]), int(run[-1]) + 1


def _reopen(path: Path, name: str) -> KernelArray:
    """Open a kernel of a file in another process."""
    from refntk.data.kernels.kernel_reader import open_kernel

    array: KernelArray = getattr(open_kernel(path), name)
    return array
