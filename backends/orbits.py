"""Orbits in NumPy: ordinary networks between x and the turned x' on grids of any dimension.

Slices of one displacement go through the formulas of the literal recursion, for many x' and all
elements of the group at once. `refntk.plan.orbits` says when that is exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends import Block, Engine, Matrix, Setting
from refntk.errors import InputError
from refntk.ops.groups import rotate
from refntk.ops.operations import Average, Filter, Pointwise, Stack
from refntk.ops.support import Window
from refntk.plan.orbits import group_of, is_centred
from refntk.recursion.formulas import activated

__all__ = ["OrbitEngine", "engine"]

_NUMBERS = 1 << 18
"""Numbers of a slice that are computed together: they stay in the cache."""

Array = npt.NDArray[np.floating[Any]]
Windows = tuple[Window, ...]


@dataclass(frozen=True)
class _Family:
    """Elements of the group that give x' one shape.

    Attributes
    ----------
    elements : list of int
    sources : list of int
        Which axis of x' runs along each axis of the turned one.
    """

    elements: list[int]
    sources: list[int]

    def turned(self, windows: Windows) -> Windows:
        """Say how a filter slides over the turned image."""
        return tuple(windows[source] for source in self.sources)


@dataclass(frozen=True)
class _Turned:
    """Images x', turned by the elements of a family, and their variances at each value.

    Attributes
    ----------
    family : _Family
    images : array, shape (N, elements, ..., C)
    variances : list of array, shape (N, elements, ...)
    """

    family: _Family
    images: Array
    variances: list[Array]

    def part(self, columns: slice) -> _Turned:
        """Keep some of the images."""
        variances = [variance[columns] for variance in self.variances]
        return _Turned(self.family, self.images[columns], variances)


class OrbitEngine(Engine):
    """Slices of ordinary networks, of any dimension and with any activation.

    Parameters
    ----------
    setting : Setting
        Of a plan of the method orbits.
    """

    def __init__(self, setting: Setting) -> None:
        self._plan, self._dtype, self._ntk = setting.plan, setting.dtype, setting.ntk
        body = self._plan.body
        self._group, self._centred = group_of(body), is_centred(body)
        self._steps = body.operations[: len(body) - (2 if self._centred else 1)]
        self._last = body.spaces[len(self._steps)]
        self._equal = self._centred or isinstance(body.operations[-1], Stack)
        # Which positions of each value there are; None: all.
        self._inside = [space.inside for space in body.spaces[: len(self._steps) + 1]]
        self._inside[0] = body.spaces[1].inside_below(body.spaces[0].shape)
        self._wraps = any(
            window.wrap for step in self._steps if isinstance(step, Filter)
            for window in step.support.windows or ()
        )  # fmt: skip
        self._families = self._in_families()

    def _in_families(self) -> list[_Family]:
        axes = len(self._plan.shape) - 1
        if self._group is None or (self._equal and not self._centred):
            return [_Family([0], list(range(axes)))]
        found: dict[tuple[int, ...], _Family] = {}
        for index, inverse in enumerate(self._group.inverse):
            sources = list(range(axes))
            if self._group.lattice != "hexagonal":
                sources = np.abs(self._group.matrices[inverse]).argmax(axis=0).tolist()
            shape = tuple(self._plan.shape[source] for source in sources)
            found.setdefault(shape, _Family([], sources)).elements.append(index)
        return list(found.values())

    def prepare(self, images: Matrix) -> Array:
        """Bring images to the precision of the recursion, see `refntk.backends.Engine.prepare`."""
        return images.astype(self._dtype)

    def diagonal(self, prepared: Array) -> Matrix:
        """NNGP of each image with itself, see `refntk.backends.Engine.diagonal`."""
        found = np.zeros(len(prepared))
        for k in range(len(prepared)):
            image = prepared[k : k + 1]
            found[k] = self._row(self._turned(image, 1)[0], self._turned(image), False)[0][0]
        return found

    def block(
        self, one: Array, two: Array | None, progress: Callable[[float], None]
    ) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        other = one if two is None else two
        shape = len(one), len(other)
        nngp, theta = np.zeros(shape), np.zeros(shape)
        each = max(len(f.elements) for f in self._families) * math.prod(self._plan.shape[:-1])
        step = max(1, _NUMBERS // each)
        for j in range(0, shape[1], step):
            columns = slice(j, min(j + step, shape[1]))
            turned = self._turned(other[columns])
            rows = columns.stop if two is None else shape[0]
            for i in range(rows):
                # Of images with themselves, what is below the diagonal is not needed.
                first = max(i - j, 0) if two is None else 0
                kept = slice(first, None)
                x = self._turned(one[i : i + 1], 1)[0]
                row = self._row(x, [each.part(kept) for each in turned], self._ntk)
                nngp[i, j + first : columns.stop], theta[i, j + first : columns.stop] = row
            progress((columns.stop - j) / shape[1])
        return nngp, theta if self._ntk else None

    def _turned(self, images: Array, count: int | None = None) -> list[_Turned]:
        """Turn images (N, ..., C) by the first elements of each family; by default by all."""
        return [self._turned_by(images, family, count) for family in self._families]

    def _turned_by(self, images: Array, family: _Family, count: int | None) -> _Turned:
        copies = [images]
        if self._group is not None:
            copies = [
                rotate(images, r, self._group, wrap=self._wraps) for r in family.elements[:count]
            ]
        x = np.stack(copies, axis=1)
        variance = _products(x, x)
        inside = self._inside[0]
        variances = [variance if inside is None else variance * inside]
        for k, (step, inside) in enumerate(zip(self._steps, self._inside[1:], strict=True)):
            if isinstance(step, Filter):
                assert step.support.windows is not None
                windows = family.turned(step.support.windows)
                variance = _mean(variances[-1], step, windows, [(0, w.n_in) for w in windows],
                                 [(0, w.n_out) for w in windows])  # fmt: skip
                variance = step.weight**2 * variance + step.bias**2
                variances.append(variance if inside is None else variance * inside)
            elif isinstance(step, Pointwise):
                with self._named(k):
                    variances.append(step.dual.itself(variances[-1])[0])
        return _Turned(family, x, variances)

    def _row(self, x: _Turned, two: list[_Turned], ntk: bool) -> tuple[Matrix, Matrix]:
        """Kernels of one image with others."""
        count = len(two[0].images)
        total = np.zeros((2, count))
        for turned in two:
            same = _same(x.images, turned.images)
            sides = self._last.shape, tuple(self._last.shape[k] for k in turned.family.sources)
            ranges = [
                range(n) if self._wraps else range(1 - m, n) for m, n in zip(*sides, strict=True)
            ]
            if self._equal:
                ranges = [range(1)] * len(ranges)
            for displacement in itertools.product(*ranges):
                total += self._slices(x, turned, displacement, same, ntk)
        total /= self._divisor
        return total[0], total[1]

    @property
    def _divisor(self) -> float:
        """What sums over positions and elements are divided by."""
        order = 1 if self._group is None else self._group.order
        last = self._plan.body.operations[-1]
        if self._centred:
            return float(order * self._last.positions)
        if isinstance(last, Average):
            return float(last.divisors[0]) ** 2 / order
        return float(self._last.positions)

    def _slices(
        self, x: _Turned, two: _Turned, displacement: tuple[int, ...], same: npt.NDArray[np.bool_],
        ntk: bool,
    ) -> Matrix:
        """Sum the slices of one displacement at the readout: (2, images)."""
        moves, ways = [displacement], []
        for step in reversed(self._steps):
            way: tuple[Windows, Windows] | None = None
            if isinstance(step, Filter):
                assert step.support.windows is not None
                windows = step.support.windows
                way = windows, two.family.turned(windows)
                moves.append(_below(moves[-1], *way))
            else:
                moves.append(moves[-1])
            ways.append(way)
        moves, ways = moves[::-1], ways[::-1]
        first = next(way for way in ways if way is not None)
        counts = tuple(w.n_in for w in first[0]), tuple(w.n_in for w in first[1])
        box = _overlap(*counts, moves[0], self._wraps)
        nngp = _products(
            _cut(x.images, box), _cut(two.images, box, moves[0], counts[1], self._wraps)
        )
        nngp = self._masked(nngp, 0, box, moves[0])
        theta = np.zeros_like(nngp) if ntk else None
        axes = len(displacement)
        itself = same.reshape(*same.shape, *(1,) * axes) & (not any(displacement))
        for k, (step, way) in enumerate(zip(self._steps, ways, strict=True)):
            if isinstance(step, Filter) and way is not None:
                counts = tuple(w.n_out for w in way[0]), tuple(w.n_out for w in way[1])
                above = _overlap(*counts, moves[k + 1], self._wraps)
                mean, weight = _mean(nngp, step, way[0], box, above), step.weight**2
                nngp = self._masked(weight * mean + step.bias**2, k + 1, above, moves[k + 1])
                if theta is not None:
                    alpha, beta = map(float, step.tangent)
                    theta = weight * _mean(theta, step, way[0], box, above) + (alpha * mean + beta)
                    theta = self._masked(theta, k + 1, above, moves[k + 1])
                box = above
            elif isinstance(step, Pointwise):
                var1 = _cut(x.variances[k], box, axes=axes)
                var2 = _cut(two.variances[k], box, moves[k], counts[1], self._wraps, axes)
                with self._named(k):
                    nngp, theta = activated(nngp, theta, step.dual, var1, var2, itself)
        sums = [_sums(nngp), np.zeros(len(nngp)) if theta is None else _sums(theta)]
        return np.array(sums)

    @contextmanager
    def _named(self, k: int) -> Iterator[None]:
        """Name the layer whose formulas find that kernels are too large."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                yield
        except InputError as error:
            raise InputError(f"{self._plan.body.name(k)}: {error}") from None

    def _masked(
        self, slices: Array, value: int, box: list[tuple[int, int]], move: tuple[int, ...]
    ) -> Array:
        """Set to zero what is outside of a hexagon at either position."""
        inside = self._inside[value]
        if inside is None:
            return slices
        both = _cut(inside, box, axes=2) & _cut(inside, box, move, inside.shape, False, 2)
        return np.asarray(slices * both)


def _same(one: Array, two: Array) -> npt.NDArray[np.bool_]:
    """Find which of the turned images are the first one, whose correlations with it are 1."""
    if one.shape[2:] != two.shape[2:]:
        return np.zeros(two.shape[:2], bool)
    return np.asarray((one == two).all(axis=tuple(range(2, two.ndim))))


def _below(move: tuple[int, ...], one: Windows, two: Windows) -> tuple[int, ...]:
    """Find the displacement below a filter that goes with one above."""
    return tuple(
        d * w.stride + w.low - v.low for d, w, v in zip(move, one, two, strict=True)
    )


def _overlap(
    one: tuple[int, ...], two: tuple[int, ...], move: tuple[int, ...], wraps: bool
) -> list[tuple[int, int]]:
    """Find the positions i along each axis for which i + d is one, too."""
    if wraps:
        return [(0, n) for n in one]
    found = [
        (max(0, -d), min(m, n - d)) for m, n, d in zip(one, two, move, strict=True)
    ]
    return [(low, max(low, high)) for low, high in found]


def _cut(
    values: npt.NDArray[Any], box: list[tuple[int, int]], move: tuple[int, ...] | None = None,
    counts: tuple[int, ...] = (), wraps: bool = False, axes: int | None = None,
) -> npt.NDArray[Any]:
    """Take the positions of a box, moved by a displacement; the last axis may be of channels."""
    first = values.ndim - len(box) - (axes is None)
    for axis, (low, high) in enumerate(box):
        d = 0 if move is None else move[axis]
        if wraps and d % counts[axis]:
            places = (np.arange(low, high) + d) % counts[axis]
            values = values.take(places, axis=first + axis)
        else:
            d = 0 if wraps else d
            values = values[(slice(None),) * (first + axis) + (slice(low + d, high + d),)]
    return values


def _products(one: Array, two: Array) -> Array:
    """Mean over channels of products; channel by channel, as no sum may depend on the batch."""
    channels = one.shape[-1]
    total = one[..., 0] * two[..., 0]
    for c in range(1, channels):
        total = total + one[..., c] * two[..., c]
    return np.asarray(total / channels)


def _mean(
    slices: Array, step: Filter, windows: Windows, box: list[tuple[int, int]],
    above: list[tuple[int, int]],
) -> Array:
    """Average a slice over the places of a filter; positions outside of its box count as zero."""
    first = slices.ndim - len(windows)
    starts = [low * w.stride - w.low for w, (low, _) in zip(windows, above, strict=True)]
    lengths = [
        max(0, (high - low - 1) * w.stride + w.span)
        for w, (low, high) in zip(windows, above, strict=True)
    ]
    if any(w.wrap for w in windows):
        for axis, (w, start, length) in enumerate(zip(windows, starts, lengths, strict=True)):
            slices = slices.take(np.arange(start, start + length) % w.n_in, axis=first + axis)
    else:
        padded = np.zeros((*slices.shape[:first], *lengths), slices.dtype)
        to, of = [slice(None)] * first, [slice(None)] * first
        for start, length, (low, high) in zip(starts, lengths, box, strict=True):
            begin, end = max(start, low), min(start + length, high)
            end = max(begin, end)
            to.append(slice(begin - start, end - start))
            of.append(slice(begin - low, end - low))
        padded[tuple(to)] = slices[tuple(of)]
        slices = padded
    counts = [high - low for low, high in above]

    def reads(values: Array, axis: int, place: int) -> Array:
        w, begin = windows[axis], place * windows[axis].dilation
        along = slice(begin, begin + max(0, (counts[axis] - 1) * w.stride + 1), w.stride)
        return values[(slice(None),) * (first + axis) + (along,)]

    if step.support.mask is None:
        for axis, w in enumerate(windows):
            total = reads(slices, axis, 0)
            for place in range(1, w.size):
                total = total + reads(slices, axis, place)
            slices = total
        return np.asarray(slices / math.prod(w.size for w in windows))
    mask = np.array(step.support.mask).reshape([w.size for w in windows])
    terms = []
    for spot in np.argwhere(mask).tolist():
        term = slices
        for axis, along in enumerate(spot):
            term = reads(term, axis, along)
        terms.append(term)
    return np.asarray(sum(terms[1:], terms[0]) / len(terms))


def _sums(slices: Array) -> Matrix:
    """Sum over elements and positions, each image by itself."""
    rows = np.ascontiguousarray(slices, np.float64).reshape(len(slices), -1)
    return np.array([row.sum() for row in rows])


def engine(setting: Setting) -> Engine:
    """Build the engine that computes orbits."""
    return OrbitEngine(setting)
