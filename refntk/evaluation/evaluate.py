"""From a network and images to kernels: validate, plan, tile, and apply the layers of the head."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends import (
    RELU_FAMILY_ONLY,
    Block,
    Engine,
    Setting,
    engine,
    methods_of,
    obstacle_of,
)
from refntk.errors import InputError, InputWarning, MethodError, SymmetryWarning
from refntk.evaluation.correlations import at_readout
from refntk.evaluation.head import apply_head
from refntk.evaluation.images import as_image_sets
from refntk.evaluation.machine import default_threads, require_memory
from refntk.evaluation.options import DTYPES, KERNELS, Options, dtype_name
from refntk.evaluation.residence import Residence
from refntk.evaluation.result import Computed, Kernel, Origin
from refntk.evaluation.tables import as_tables
from refntk.evaluation.tiles import Tile, cut
from refntk.network.network import Network
from refntk.network.signal import Layer
from refntk.ops.dual import Dual
from refntk.ops.operations import Filter, Pointwise
from refntk.plan.orbits import orbits_too_long
from refntk.plan.reduction import Plan, make_plan
from refntk.progress import reporting

__all__ = ["DTYPES", "KERNELS", "Job", "Kernel", "Options", "default_threads", "kernel"]

_ENTRIES_A_TILE = {"numba": 1_000_000_000, "cupy": 40_000_000_000, "numpy": 50_000_000}
"""By backend, kernel entries that take about two seconds, a processor's core or a whole device."""

_IMAGES_AT_ONCE = 16
"""Rotated images that a vector register holds: fewer in a tile cost as much."""

_TILES = 1_000_000
"""A file has no more tiles than some times this: each costs some bytes and milliseconds."""

_AXES = {
    3: " (points, channels)",
    4: " (height, width, channels)",
    5: " (depth, height, width, channels)",
}

_VECTORS_A_TILE = 1000
"""Side of a tile where a pair costs so little that what is done once for each image counts. Not a
power of two, because of which the rows of a tile would compete for places in the caches."""

FloatArray = npt.NDArray[np.floating[Any]]


def kernel(
    net: Network | str | Sequence[Layer],
    x1: npt.ArrayLike,
    x2: npt.ArrayLike | None = None,
    get: str | Sequence[str] = KERNELS,
    dtype: npt.DTypeLike = "float64",
    backend: str = "numba",
    method: str = "auto",
    threads: int | None = None,
    *,
    tile: int | None = None,
    device_memory: int | None = None,
    scale: str | float = "auto",
    progress: Callable[[int, int], None] | bool | None = None,
    diagonal: bool = False,
) -> Kernel:
    """Compute the NNGP and the NTK of an infinitely wide network between images.

    Parameters
    ----------
    net : Network, str or sequence of layers
        It must end behind a readout: GroupPool, GlobalAvgPool or Flatten. A name is that of a
        preset or of a TOML file.
    x1 : array, shape (N1, H, W, C)
        Images, channels last; `scale` says what they are divided by. Grey ones may be (N1, H, W).
        For networks that begin with Flatten, or a list that begins with Dense, also a table
        (N1, F) of features; for a network on a finite set signals, shape (N1, X, C). An array of
        any library that keeps to the array API, what `refntk.data.load_images` gives, or CuPy's
        with the backend cupy.
    x2 : array, shape (N2, H, W, C), optional
        None means x1; the result is then exactly symmetric. Else on the same device as x1.
    get, dtype, backend, method, threads, tile, device_memory, scale
        As for `refntk.evaluation.options.Options`.
    progress : callable or bool, optional
        Called as ``progress(done, total)`` with numbers of pairs of images. True: a progress bar
        on stderr, at a terminal or in a notebook.
    diagonal : bool
        Only entries (k, k), the variances where `x2` is None; else x1 and x2 must be as many.

    Returns
    -------
    Kernel
        ``nngp`` and ``ntk`` of shape (N1, N2), or (N1,) of a diagonal, of the library and on the
        device of x1. Bitwise the same for any `threads` and `tile`, alone or in a larger matrix.

    Raises
    ------
    InputError
        Images or options are not as above, or there is not enough memory for the result.
    ShapeError
        The network cannot take images of this shape.
    NetworkError
        The network has no readout.
    MethodError
        The method does not apply to the network, or the backend does not have it. Or the network
        has no NTK, which is asked for.
    UnknownBackendError, MissingBackendError
        There is no such backend, or a package or a device for it is missing.
    DeviceError
        The graphics processor fails, or has not enough memory for a pair of images.

    Notes
    -----
    The recursions of P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels",
    arXiv:2406.06504, with Theta = 0 below the first layer.

    Examples
    --------
    >>> from refntk.network import preset
    >>> k = kernel(preset("gcnn-paper"), np.ones((2, 4, 4, 3)))
    >>> k.ntk.shape, bool(k.ntk[0, 1] == k.ntk[1, 0] > 0)
    ((2, 2), True)
    """
    sets = (x1,) if x2 is None else (x1, x2)
    place = Residence(*(_pixels(images) for images in sets), backend=backend)
    options = Options(get, dtype, backend, method, threads, tile, device_memory, scale)
    taken = [place.take(_pixels(images)) for images in sets]
    job = Job(net, taken[0], None if x2 is None else taken[1], options)
    parts: Sequence[Tile] = job.tiles
    shape: tuple[int, ...] = job.shape
    if diagonal:
        parts, shape = _diagonal(job), job.shape[:1]
    require_memory(
        len(job.get) * math.prod(shape) * np.dtype(job.dtype).itemsize,
        f"{' and '.join(job.get)} of {' x '.join(map(str, shape))} images",
        "compute them into a file, refntk compute NETWORK X1 -o OUT.h5, and read parts of it with "
        "refntk.data.open_kernel",
    )
    result = {name: np.empty(shape, job.dtype) for name in job.get}
    total = sum(part.pairs for part in parts)
    place.give(np.zeros(1, job.dtype))  # what cannot be given back is said before it is computed
    with place.current(), reporting(progress, total) as report:
        for part in parts:
            for name, block in job.block(part, report).items():
                if diagonal:
                    result[name][part.rows] = block[0]
                    continue
                result[name][part.rows, part.cols] = block
                if job.symmetric and part.rows != part.cols:
                    result[name][part.cols, part.rows] = block.T
    origin = None if diagonal else Origin(Computed.by(job), sets, scale)
    return Kernel(place.give(result.get("nngp")), place.give(result.get("ntk")), origin)


def _diagonal(job: Job) -> list[Tile]:
    """Tiles of one pair each, along the diagonal."""
    if job.shape[0] != job.shape[1]:
        raise InputError(
            f"diagonal: X1 has {job.shape[0]} images and X2 {job.shape[1]}; expected as many"
        )
    return [Tile(slice(k, k + 1), slice(k, k + 1)) for k in range(job.shape[0])]


class Job:
    """One kernel computation, validated and planned, to be done tile by tile in any order.

    Parameters
    ----------
    net, x1, x2
        As for `kernel`, which also lists the errors.
    options : Options

    Attributes
    ----------
    net : Network
    shape : (int, int)
        (N1, N2), of the result.
    symmetric : bool
        Whether x2 is x1.
    get : tuple of str
    dtype, backend : str
    method : str
        The one that was chosen.
    tile : int
    threads : int
    """

    def __init__(
        self,
        net: Network | str | Sequence[Layer],
        x1: npt.ArrayLike,
        x2: npt.ArrayLike | None = None,
        options: Options = Options(),  # noqa: B008  (frozen)
    ) -> None:
        self.get: tuple[str, ...] = tuple(options.get)
        self.dtype, self.backend = dtype_name(options.dtype), options.backend
        self._device_memory = options.device_memory
        net, x1, x2 = as_tables(net, _pixels(x1), _pixels(x2))
        sets = {"X1": x1} | ({} if x2 is None else {"X2": x2})
        self._images = as_image_sets(sets, options.scale, net.axes)
        if x2 is not None:
            _same_shape(*self._images)
        shape = self._images[0].shape[1:]
        self._plan: Plan = _plan(net, shape, options.method, self.backend)
        if self._plan.doubt is not None:
            warnings.warn(f"{self._plan.doubt}", SymmetryWarning, stacklevel=3)
        if "ntk" in self.get:
            self._plan.body.require_tangent()
            self._plan.head.require_tangent()
        # The plan takes signals as images of one row.
        self._images = [each.reshape(len(each), *self._plan.shape) for each in self._images]
        self.net = net
        self.shape = len(self._images[0]), len(self._images[-1])
        self.symmetric = x2 is None
        self.method = self._plan.method
        self.threads = options.threads or default_threads()
        self.tile = options.tile or _tile(self._plan, self.backend, self.shape)
        if self.method == "orbits" and (doubt := orbits_too_long(self._plan.body, self.pairs)):
            warnings.warn(doubt, InputWarning, stacklevel=3)
        self._variances = self._unknown()
        self._engine  # noqa: B018  (says now if there is none)
        logging.getLogger("refntk").info(
            "%s of %s images of %s: backend %s, method %s, %s, %d threads, tiles of %d",
            " and ".join(self.get), " x ".join(map(str, self.shape)),
            " x ".join(map(str, shape)), self.backend, self.method, self.dtype, self.threads,
            self.tile,
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs, which finds the engine by its name."""
        left = "_engine", "tiles", "_variances"
        return {name: value for name, value in vars(self).items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin in another process, whose processor computes the variances itself.

        Only numbers that one processor computed tell duplicates by equality.
        """
        vars(self).update(state)
        self._variances = self._unknown()

    def _unknown(self) -> list[npt.NDArray[np.float64]]:
        return [np.full(len(images), np.nan) for images in self._images]

    @cached_property
    def _engine(self) -> Engine:
        setting = Setting(
            self._plan, self.dtype, "ntk" in self.get, self.threads, self._device_memory
        )
        return engine(self.backend, setting)

    @property
    def pairs(self) -> int:
        """Number of pairs of images that are computed, the mirrored half left out."""
        return sum(tile.pairs for tile in self.tiles)

    @cached_property
    def tiles(self) -> list[Tile]:
        """All tiles; for a symmetric result those on the diagonal, and then those above it."""
        return cut(self.shape, self.tile, self.symmetric)

    def block(
        self, tile: Tile, progress: Callable[[int], None] = lambda pairs: None
    ) -> dict[str, FloatArray]:
        """Compute one tile.

        Parameters
        ----------
        tile : Tile
            One of `tiles`.
        progress : callable, optional
            Called now and then with the number of pairs that have been computed since.

        Returns
        -------
        dict of float array, shape of the tile
            The kernels asked for, by name. A tile on the diagonal of a symmetric result is exactly
            symmetric; one above it stands for its mirror image, too.
        """
        mirrored = self.symmetric and tile.rows == tile.cols
        area, share, told = tile.shape[0] * tile.shape[1], 0.0, 0

        def report(fraction: float) -> None:
            nonlocal share, told
            share += fraction
            pairs = round(share * area) - told
            told += pairs
            progress(pairs)

        one = self._images[0][tile.rows]
        two = None if mirrored else self._images[-1][tile.cols]
        whole = self._engine.whole(one, two, report)
        if whole is None:
            whole = self._layered(tile, mirrored, report)
        kernels = dict(zip(KERNELS, whole, strict=True))
        return {name: self._finish(kernels[name], mirrored) for name in self.get}

    def _layered(self, tile: Tile, mirrored: bool, report: Callable[[float], None]) -> Block:
        """Compute the kernels of a tile up to the readout, and then those after the head."""
        one, power1 = self._scaled(0, tile.rows)
        two, power2 = (None, power1) if mirrored else self._scaled(-1, tile.cols)
        first, second = (
            None if images is None else self._engine.prepare(images) for images in (one, two)
        )
        nngp, ntk = self._engine.block(first, second, report)
        powers = power1[:, None] + power2 + self._plan.exponent
        with np.errstate(over="ignore", invalid="ignore"):  # `_finish` finds what is too large
            readout = np.ldexp(nngp, powers), None if ntk is None else np.ldexp(ntk, powers)
            if mirrored:
                self._variances[0][tile.rows] = np.diagonal(readout[0])
            var1 = self._variance(0, tile.rows, first, power1)
            var2 = self._variance(-1, tile.cols, second, power2)
            correlation = None
            if any(dual.kinked for dual in self._activations):
                given = readout[0], var1, var2
                correlation = at_readout(
                    self._plan, self._engine, one, two, given, self.dtype
                )
            itself = np.eye(len(var1), dtype=bool) if mirrored else None
            return apply_head(self._plan.head, *readout, var1, var2, correlation, itself)

    def _scaled(
        self, which: int, part: slice
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Images, and the power of two that each was divided by.

        Without biases images can be brought to a common size first: the recursion then neither
        overflows nor subtracts numbers of unlike size. A power of two changes no digit.
        """
        images = self._images[which][part].astype(np.float64, copy=False)
        powers = np.zeros(len(images), np.int64)
        if self._plan.homogeneous:
            powers[:] = np.frexp(np.abs(images).reshape(len(images), -1).max(axis=1))[1]
            images = np.ldexp(images, -powers.reshape(-1, *[1] * (images.ndim - 1)))
        return images, powers

    def _variance(
        self, which: int, part: slice, prepared: Any, powers: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Kernel of each image with itself at the readout, computed once for each image."""
        known = self._variances[which][part]
        if self._nonlinear and np.isnan(known).any():
            diagonal = self._engine.diagonal(prepared)
            known[:] = np.ldexp(diagonal, 2 * powers + self._plan.exponent)
        return known

    @property
    def _nonlinear(self) -> bool:
        """Whether what comes after the readout needs variances there."""
        return not all(isinstance(op, Filter) for op in self._plan.head.operations)

    @property
    def _activations(self) -> list[Dual]:
        """The activations after the readout."""
        return [op.dual for op in self._plan.head.operations if isinstance(op, Pointwise)]

    def _finish(self, block: FloatArray | None, mirrored: bool) -> FloatArray:
        assert block is not None  # the backend gives what it is asked for
        with np.errstate(over="ignore"):
            block = block.astype(self.dtype, copy=False)
        if not np.isfinite(block).all():
            remedy = "" if self.dtype == "float64" else "the dtype float64, or "
            raise InputError(
                f"the kernels of these images are too large for {self.dtype}: use {remedy}"
                "smaller W_std or smaller pixels"
            )
        if mirrored:
            upper = np.triu_indices(len(block), 1)
            block.T[upper] = block[upper]
        return block


@lru_cache(maxsize=16)
def _plan(net: Network, shape: tuple[int, ...], method: str, backend: str) -> Plan:
    """Plan for a backend; small kernels take less time than that, and are often asked for again."""
    available = methods_of(backend)
    general = backend not in RELU_FAMILY_ONLY
    plan = make_plan(net, shape, method, available, backend, general)
    obstacle = obstacle_of(backend, plan)
    if obstacle is not None and method != "auto":
        raise MethodError(
            f"the backend {backend} cannot: {obstacle}; use the method literal, or the backend "
            "numba"
        )
    if obstacle is not None:
        plan = make_plan(net, shape, "literal", available, backend)
    return plan


def _pixels(x: Any) -> Any:
    """Take the pixels of a `refntk.data.ImageSet`, and anything else as it is."""
    return x.images if hasattr(x, "images") and hasattr(x, "info") else x


def _same_shape(first: FloatArray, second: FloatArray) -> None:
    if first.shape[1:] != second.shape[1:]:
        raise InputError(
            f"X2: its images have the shape {second.shape[1:]}{_AXES[first.ndim]}, "
            f"those of X1 {first.shape[1:]}: both must be alike"
        )


def _tile(plan: Plan, backend: str, shape: tuple[int, int]) -> int:
    """Choose the side of a tile so that what is done is kept often, and tiles are not too many."""
    if not (plan.steps or plan.levels or plan.pooled) and plan.method == "slices":
        return _VECTORS_A_TILE
    pairs = shape[0] * shape[1]
    side, least = 64, max(4, _IMAGES_AT_ONCE // plan.order, math.isqrt(pairs // _TILES))
    rate = _ENTRIES_A_TILE["numpy" if plan.method == "orbits" else backend]
    while side // 2 >= least and side * side * plan.entries > rate:
        side //= 2
    return side
