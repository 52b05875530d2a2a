"""The pairs of a block, as many at a time as the device's memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.backends.cupy.device import device_errors
from refntk.backends.cupy.geometry import Limits, geometry
from refntk.backends.cupy.source import compiled
from refntk.errors import DeviceError
from refntk.plan.reduction import Plan

__all__ = ["DEVICE_MEMORY", "Piece", "Prepared", "Work"]

DEVICE_MEMORY = 2**31
"""Bytes of device memory that a block may take, where the user does not say."""

_IMAGES_AT_MOST = 4096
"""Images along a side of one launch: rows, and rotations of x', are told apart by 16 bits."""

_ENTRIES_A_LAUNCH = 10**11
"""Kernel entries of one launch: some tenths of a second, so that progress can be told."""

_BLOCKS_A_MULTIPROCESSOR = 4
"""Blocks whose slices lie in global memory, where the memory allows as many."""

_ALIGNMENT = 256


@dataclass(frozen=True)
class Prepared:
    """Images, and all rotations of each of them one after the other; axes [channel, y, x]."""

    images: npt.NDArray[Any]
    rotated: npt.NDArray[Any]


class Piece(NamedTuple):
    """Some of the images x and of the images x'."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def halves(self) -> tuple[Piece, Piece]:
        """Cut the longer side, or the rows where both are as long."""
        rows, columns = self
        if self.shape[0] >= self.shape[1]:
            middle = (rows.start + rows.stop) // 2
            upper, lower = slice(rows.start, middle), slice(middle, rows.stop)
            return Piece(upper, columns), Piece(lower, columns)
        middle = (columns.start + columns.stop) // 2
        left, right = slice(columns.start, middle), slice(middle, columns.stop)
        return Piece(rows, left), Piece(rows, right)


class Work:
    """Kernels between two sets of prepared images.

    Parameters
    ----------
    cupy : module
    plan : Plan
        Of the method slices.
    one, two : Prepared
    ntk : bool
        Whether the NTK is wanted.
    memory : int, optional
        Bytes of device memory to take at most, by default `DEVICE_MEMORY`.
    """

    def __init__(
        self, cupy: Any, plan: Plan, one: Prepared, two: Prepared, *, ntk: bool, memory: int | None
    ) -> None:
        self._cupy, self._plan, self._one, self._two, self._ntk = cupy, plan, one, two, ntk
        self._memory = memory or DEVICE_MEMORY
        with device_errors(cupy):
            device = cupy.cuda.Device()
            self._limits = Limits(
                block=device.attributes["MaxSharedMemoryPerBlockOptin"],
                multiprocessor=device.attributes["MaxSharedMemoryPerMultiprocessor"],
                multiprocessors=device.attributes["MultiProcessorCount"],
            )
        dtype = one.images.dtype
        self._layout = geometry(plan, dtype, self._limits)
        self._functions = compiled(
            cupy, device.id, dtype.name, ntk, self._layout.side, self._layout.padding,
            self._layout.usual,
        )

    def kernels(
        self, symmetric: bool, progress: Callable[[float], None]
    ) -> npt.NDArray[np.float64]:
        """Kernels at the readout, shape (kernels, N, M); NNGP, and NTK if it is wanted.

        Parameters
        ----------
        symmetric : bool
            Whether only entries with row <= column are needed.
        progress : callable
            Called with the fraction that has been computed since the last call.

        Raises
        ------
        DeviceError
            The memory is too small for a single pair of images, or the device fails.
        """
        count, others = len(self._one.images), len(self._two.images)
        result = np.zeros((1 + self._ntk, count, others))
        whole = Piece(slice(0, count), slice(0, others))
        for piece, kernels in self._pieces(whole, symmetric=symmetric, diagonal=False):
            if kernels is not None:
                result[:, piece.rows, piece.columns] = kernels
            progress(piece.shape[0] * piece.shape[1] / (count * others))
        return result

    def diagonal(self) -> npt.NDArray[np.float64]:
        """NNGP of each image with itself, shape (N,); errors as of `kernels`."""
        result = np.zeros(len(self._one.images))
        whole = Piece(slice(0, len(result)), slice(0, 1))
        for piece, kernels in self._pieces(whole, symmetric=False, diagonal=True):
            if kernels is not None:
                result[piece.rows] = kernels[0, :, 0]
        return result

    def _pieces(
        self, whole: Piece, symmetric: bool, diagonal: bool
    ) -> Iterator[tuple[Piece, npt.NDArray[np.float64] | None]]:
        """Compute piece after piece, and halve those that are too large; None: not needed."""
        todo = [whole]
        while todo:
            piece = todo.pop()
            kernels = None
            if not symmetric or piece.rows.start < piece.columns.stop:
                try:
                    self._check(piece, diagonal)
                    kernels = self._launch(piece, symmetric, diagonal)
                except _TooLarge as error:
                    if max(piece.shape) == 1:
                        raise DeviceError(str(error)) from error.__cause__
                    todo.extend(reversed(piece.halves()))
                    continue
            yield piece, kernels

    def _check(self, piece: Piece, diagonal: bool) -> None:
        """Refuse a piece that is known to be too large."""
        size = sum(_aligned(shape, dtype) for shape, dtype in self._arrays(piece, diagonal))
        if size > self._memory:
            height, width, _ = self._plan.shape
            raise _TooLarge(
                f"one pair of {height}x{width} images takes {size / 2**20:.1f} MiB of device "
                f"memory, and {self._memory / 2**20:.1f} MiB are allowed: allow more, or use "
                "smaller images"
            )
        pairs = piece.shape[0] * piece.shape[1]
        if pairs > 1 and (
            max(piece.shape) > _IMAGES_AT_MOST or pairs * self._plan.entries > _ENTRIES_A_LAUNCH
        ):
            raise _TooLarge

    def _arrays(self, piece: Piece, diagonal: bool) -> list[tuple[tuple[int, ...], Any]]:
        """Shapes and dtypes of all that a piece needs on the device, in the order of `_launch`."""
        sizes, dtype, kernels = self._layout.sizes, self._one.images.dtype, 1 + self._ntk
        rows, columns = piece.shape[0], piece.shape[1] * sizes.order
        turned = rows * sizes.order if diagonal else columns
        image = sizes.channels * sizes.height * sizes.width
        return [
            ((rows, image), dtype),
            ((turned, image), dtype),
            ((rows, sizes.map_size), dtype),
            ((turned, sizes.map_size), dtype),
            ((len(sizes),), np.dtype(np.int32)),
            (self._layout.table.shape, np.dtype(np.int32)),
            (self._layout.weights.shape, dtype),
            (self._layout.biases.shape, dtype),
            (self._layout.constants.shape, dtype),
            ((rows, columns, self._layout.parts, kernels), np.dtype(np.float64)),
            ((kernels, *piece.shape), np.dtype(np.float64)),
            ((self._scratch_blocks(rows * columns), self._slices), dtype),
        ]

    @property
    def _slices(self) -> int:
        """Elements of the slices of a block in global memory."""
        sizes = self._layout.sizes
        return 2 * sizes.fields * sizes.field if sizes.scratch else 0

    def _scratch_blocks(self, pairs: int) -> int:
        """Count the blocks whose slices lie in global memory."""
        if not self._slices:
            return 1
        fitting = self._memory // 2 // (self._slices * self._one.images.dtype.itemsize)
        wanted = self._limits.multiprocessors * _BLOCKS_A_MULTIPROCESSOR
        return max(1, min(pairs * self._layout.parts, fitting, wanted))

    def _launch(self, piece: Piece, symmetric: bool, diagonal: bool) -> npt.NDArray[np.float64]:
        """Compute the kernels of one piece, shape (kernels, rows, columns)."""
        cupy, layout, order = self._cupy, self._layout, self._layout.sizes.order
        which = piece.rows if diagonal else piece.columns
        turned = slice(which.start * order, which.stop * order)
        skip = piece.rows.start - piece.columns.start if symmetric else layout.sizes.skip
        sizes = layout.sizes._replace(
            columns_of_pairs=piece.shape[1] * order, skip=skip, diagonal=int(diagonal)
        )
        given = [self._one.images[piece.rows], self._two.rotated[turned]]
        tables = [
            np.array(sizes, np.int32), layout.table, layout.weights, layout.biases,
            layout.constants,
        ]  # fmt: skip
        try:
            with device_errors(cupy):
                views = _allocate(cupy, self._arrays(piece, diagonal))
                pixels, maps, constants = views[:2], views[2:4], views[4:9]
                partial, out, scratch = views[9:]
                for view, array in zip([*pixels, *constants], [*given, *tables], strict=True):
                    if array.size:
                        view.set(np.ascontiguousarray(array).reshape(view.shape))
                partial.fill(0)  # pairs that are not needed write nothing
                for pixel, variances in zip(pixels, maps, strict=True):
                    self._functions["maps"]((len(pixel),), (256,), (pixel, *constants, variances))
                self._run_slices((*pixels, *maps, *constants, partial), scratch, piece.shape)
                pairs = piece.shape[0] * piece.shape[1]
                self._functions["means"](
                    (-(-pairs // 128),), (128,),
                    (
                        partial, np.int64(pairs), np.int32(order), np.int32(layout.parts),
                        np.float64(layout.positions), out,
                    ),
                )  # fmt: skip
                result: npt.NDArray[np.float64] = cupy.asnumpy(out)
                return result
        except DeviceError as error:
            if isinstance(error.__cause__, cupy.cuda.memory.OutOfMemoryError):
                cupy.get_default_memory_pool().free_all_blocks()
                raise _TooLarge(str(error)) from error.__cause__
            raise

    def _run_slices(self, arrays: tuple[Any, ...], scratch: Any, shape: tuple[int, int]) -> None:
        layout, function = self._layout, self._functions["slices"]
        columns = shape[1] * layout.sizes.order
        function.max_dynamic_shared_size_bytes = layout.shared
        if layout.side:
            grid: tuple[int, ...] = layout.parts, columns, shape[0]
        else:
            works = shape[0] * columns * layout.parts
            arrays = (*arrays, scratch, np.int64(works))
            grid = (len(scratch) if self._slices else works,)
        function(grid, (layout.threads,), arrays, shared_mem=layout.shared)


class _TooLarge(Exception):
    """A piece is to be halved."""


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Bytes of an array, rounded up to where the next one may begin; never 0."""
    size = max(1, int(np.prod(shape, dtype=np.int64))) * dtype.itemsize
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _allocate(cupy: Any, arrays: list[tuple[tuple[int, ...], Any]]) -> list[Any]:
    """Ask for the memory of all arrays at once."""
    buffer = cupy.empty(sum(_aligned(*array) for array in arrays), np.uint8)
    views, place = [], 0
    for shape, dtype in arrays:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        views.append(buffer[place : place + size].view(dtype).reshape(shape))
        place += _aligned(shape, dtype)
    return views
