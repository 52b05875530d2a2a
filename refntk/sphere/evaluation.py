"""Kernels of a laid-out network with one quadrature, pair by pair in batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.evaluation.head import apply_head
from refntk.ops.dual import Dual
from refntk.ops.operations import Filter, Pointwise
from refntk.sphere.circle import Turns
from refntk.sphere.layout import Layout
from refntk.sphere.rotations import Rotations

__all__ = ["Evaluation"]

Float64Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Kernels = tuple[Float64Array, Float64Array | None]

_NUMBERS_AT_ONCE = 1 << 15
"""Elements of the group times pairs in a batch: what stays in a processor's cache."""


_PAIRS_AT_ONCE = 256
"""In a batch, at most: each brings the coefficients of two signals."""


class Evaluation:
    """A network with a quadrature on its group.

    Parameters
    ----------
    layout : Layout
    nodes : int
        N of the quadrature.
    limit : int
        Band limit of the signals.
    names : tuple of str
        Kernels that are wanted.
    """

    def __init__(self, layout: Layout, nodes: int, limit: int, names: tuple[str, ...]) -> None:
        self._layout, self._names = layout, names
        self._grid: Rotations | Turns = layout.lift.grid(nodes, limit)

    def block(self, first: ComplexArray, second: ComplexArray | None) -> dict[str, Float64Array]:
        """Compute the kernels between two sets of prepared signals.

        Parameters
        ----------
        first : array, shape (N1, ...)
        second : array, shape (N2, ...), or None
            None means the first set; the result is then symmetric.

        Returns
        -------
        dict of float64 array, shape (N1, N2)
        """
        symmetric = second is None
        other = first if second is None else second
        variances = self._variances(first)
        pair = variances, variances if symmetric else self._variances(other)
        shape = len(first), len(other)
        rows, cols = (
            np.triu_indices(shape[0])
            if symmetric
            else tuple(grid.ravel() for grid in np.indices(shape))
        )
        nngp, ntk = (
            None if values is None else _matrix(values, shape, (rows, cols), symmetric)
            for values in self._readout((first, other), (rows, cols), pair, symmetric)
        )
        assert nngp is not None
        if symmetric:
            var1 = var2 = np.diagonal(nngp).copy()
        else:
            var1, var2 = (
                self._own(signals, own)
                for signals, own in zip((first, other), pair, strict=True)
            )
        nngp, ntk = apply_head(self._layout.head, nngp, ntk, var1, var2, None)
        found = {"nngp": nngp, "ntk": ntk}
        return {name: values for name in self._names if (values := found[name]) is not None}

    def _own(self, signals: ComplexArray, variances: list[Float64Array]) -> Float64Array:
        """Variances at the readout, where the head reads them."""
        if not any(isinstance(op, Pointwise) for op in self._layout.head.operations):
            return np.zeros(len(signals))
        each = np.arange(len(signals))
        return self._readout((signals, signals), (each, each), (variances, variances), True)[0]

    def _variances(self, signals: ComplexArray) -> list[Float64Array]:
        """Variances of the features of each signal before each step, each (N,)."""
        found = []
        whole = self._layout.bands > 0
        for part in self._batches(len(signals), whole):
            mine = signals[part]
            nngp = self._start(mine, mine, whole)
            variances = []
            for step in self._layout.steps:
                variances.append(np.maximum(nngp[:, -1], 0.0))
                match step.operation:
                    case Filter(weight=w, bias=b):
                        if step.band is not None:
                            nngp = self._grid.projected(nngp, step.band)
                        nngp = w * w * nngp + b * b
                    case Pointwise(dual=dual):
                        own = variances[-1][:, None]
                        nngp, _ = self._pointwise(dual, nngp, None, (own, own), np.ones(1, bool))
            found.append(variances)
        return [np.concatenate(values) for values in zip(*found, strict=True)]

    def _readout(
        self,
        sets: tuple[ComplexArray, ComplexArray],
        pairs: tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]],
        variances: tuple[list[Float64Array], list[Float64Array]],
        symmetric: bool,
    ) -> Kernels:
        """Compute the kernels of pairs after the readout, each (pairs,)."""
        pooled, tangent = self._layout.pooled, "ntk" in self._names
        whole = pooled or self._layout.bands > 0
        turns = [sets[1]]
        if pooled and self._layout.lift.reflects:
            turns.append(self._grid.reflected(sets[1]))
        nngp = np.zeros(len(pairs[0]))
        ntk = np.zeros(len(pairs[0])) if tangent else None
        for other in turns:
            for part in self._batches(len(pairs[0]), whole):
                rows, cols = pairs[0][part], pairs[1][part]
                same = (rows == cols) & (symmetric and other is sets[1])
                own = [v[rows, None] for v in variances[0]], [v[cols, None] for v in variances[1]]
                values = self._start(sets[0][rows], other[cols], whole)
                kernels = self._through(values, tangent, own, same)
                for total, found in zip((nngp, ntk), kernels, strict=True):
                    if total is not None and found is not None:
                        mean = found[:, :-1] @ self._grid.weights if pooled else found[:, -1]
                        total[part] += mean / len(turns)
        return nngp, ntk

    def _batches(self, count: int, whole: bool) -> list[slice]:
        size = len(self._grid.weights) if whole else 1
        step = max(1, min(_PAIRS_AT_ONCE, _NUMBERS_AT_ONCE // size))
        return [slice(start, start + step) for start in range(0, count, step)]

    def _start(self, first: ComplexArray, second: ComplexArray, whole: bool) -> Float64Array:
        """Correlate signals on the group, or at the identity alone."""
        if whole:
            return self._grid.correlate(first, second)
        return self._grid.at_identity(first, second)[:, None]

    def _through(
        self,
        nngp: Float64Array,
        tangent: bool,
        variances: tuple[list[Float64Array], list[Float64Array]],
        same: npt.NDArray[np.bool_],
    ) -> Kernels:
        """Take functions on the group through the body."""
        ntk = None
        for k, step in enumerate(self._layout.steps):
            match step.operation:
                case Filter() as layer:
                    if step.band is not None:
                        nngp = self._grid.projected(nngp, step.band)
                        ntk = None if ntk is None else self._grid.projected(ntk, step.band)
                    below, nngp = nngp, _affine(nngp, layer.weight**2, layer.bias**2)
                    if tangent:
                        trained = nngp
                        if not layer.in_ntk_parametrization:
                            trained = _affine(below, *map(float, layer.tangent))
                        ntk = trained if ntk is None else trained + layer.weight**2 * ntk
                case Pointwise(dual=dual):
                    pair = variances[0][k], variances[1][k]
                    nngp, ntk = self._pointwise(dual, nngp, ntk, pair, same)
        return nngp, ntk

    def _pointwise(
        self,
        dual: Dual,
        nngp: Float64Array,
        ntk: Float64Array | None,
        variances: tuple[Float64Array, Float64Array],
        same: npt.NDArray[np.bool_],
    ) -> Kernels:
        """Apply an activation; a signal with itself is exact at the identity, the last place."""
        with np.errstate(over="ignore", invalid="ignore"):
            value, slope = dual.moments(nngp, *variances)
            own_value, own_slope = dual.itself(variances[0][:, 0])
        value[:, -1] = np.where(same, own_value, value[:, -1])
        if ntk is not None:
            slope[:, -1] = np.where(same, own_slope, slope[:, -1])
            ntk = np.multiply(ntk, slope, out=slope)
        if not np.isfinite(value.sum()):
            raise InputError(
                f"the kernels are too large for {type(dual).__name__} at variances up to "
                f"{max(float(each.max()) for each in variances):.3g}: use smaller W_std or signals"
            )
        return value, ntk


def _affine(values: Float64Array, scale: float, shift: float) -> Float64Array:
    """Find scale · values + shift; what changes nothing costs nothing."""
    scaled = values if scale == 1 else scale * values
    return scaled + shift if shift else scaled


def _matrix(
    values: Float64Array,
    shape: tuple[int, int],
    pairs: tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]],
    symmetric: bool,
) -> Float64Array:
    """Write the kernels of pairs into a matrix, and its mirror image where it is symmetric."""
    matrix = np.empty(shape)
    matrix[pairs] = values
    if symmetric:
        matrix[pairs[::-1]] = values
    return matrix
