r"""The layers after the readout, in double precision, on matrices of kernels.

Smooth activations are evaluated as in the literal recursion. One with a kink needs
theta = arccos rho, and rho = K / (s s') near 1 says little about it: after pooling all kernels are
nearly parallel, and duplicates exactly. So where there is one two numbers are carried beside K, the
*deficit* u = 1 - rho and the *excess* z = 1 + rho. With s, s' the roots of the variances before a
Dense layer and S, S' those after it,

.. math::
    u \leftarrow \frac{\sigma_w^2 s s' u}{S S'}
        + \frac{\sigma_w^2}{2} \Bigl(\frac{s}{S} - \frac{s'}{S'}\Bigr)^2
        + \frac{\sigma_b^2}{2} \Bigl(\frac1S - \frac1{S'}\Bigr)^2,

z likewise but for what the biases have in common, 2 sigma_b^2 / (S S'). With
theta = 2 arcsin sqrt(u / 2), Relu takes u to A(u) = u - (sin theta - theta cos theta) / pi. An
activation of slopes a below zero and b above is an odd part of slope (a + b) / 2, which leaves u as
it is, and an even one of slope (b - a) / 2, which takes u to
w - 2 (sin theta - theta cos theta) / pi at w = min(u, 2 - u), theta = 2 arcsin sqrt(w / 2).
Branches that are added up are terms as those of a Dense layer are; of a product of features
1 - rho is u_1 + u_2 - u_1 u_2. A division of features by numbers changes neither u nor z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.evaluation.correlations import Correlation, of_kernels, roots
from refntk.ops.dual import ArcCosine, Dual
from refntk.ops.operations import (
    Add,
    Filter,
    Join,
    Multiply,
    Operation,
    Pointwise,
    Rescale,
    Thin,
    read_by,
)
from refntk.ops.program import Program
from refntk.recursion.formulas import activated, added, multiplied

__all__ = ["apply_head"]

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Value:
    """Kernels of a value after the readout.

    Attributes
    ----------
    nngp : float64 array, shape (N, M)
    ntk : float64 array of the same shape, or None
    var1, var2 : float64 array, shape (N,), (M,)
    correlation : Correlation, or None
    same : bool array, shape (N, M)
        Where the two features are one: the kernel is exactly the variance.
    """

    nngp: Matrix
    ntk: Matrix | None
    var1: Matrix
    var2: Matrix
    correlation: Correlation | None
    same: npt.NDArray[np.bool_]

    @property
    def kernels(self) -> tuple[Matrix, Matrix | None]:
        """NNGP and NTK."""
        return self.nngp, self.ntk


def apply_head(
    head: Program,
    nngp: Matrix,
    ntk: Matrix | None,
    var1: Matrix,
    var2: Matrix,
    correlation: Correlation | None,
    itself: npt.NDArray[np.bool_] | None = None,
) -> tuple[Matrix, Matrix | None]:
    """Propagate kernels through the operations after the readout.

    Parameters
    ----------
    head : Program
        Operations on vectors: filters, activations, branches, rescaling and dropout.
    nngp : float64 array, shape (N, M)
    ntk : float64 array of the same shape, or None
    var1, var2 : float64 array, shape (N,), (M,)
        Kernels of the images with themselves; they are read if there is more than filters.
    correlation : Correlation, or None
        None if no activation has a kink.
    itself : bool array, shape (N, M), optional
        Where x' is not only equal to x, but is x: both drop the same features. None: nowhere.

    Returns
    -------
    nngp, ntk : arrays of the same shape
        Where nngp is equal to both variances the two images are one: it stays the variance.

    Raises
    ------
    MethodError
        Another operation; the message names its layer.
    InputError
        Variances are too large for an activation; the message names its layer.
    """
    # Rounding of roots would tell an image from its duplicate, whose kernels are computed alike.
    same = (nngp == var1[:, None]) & (nngp == var2[None, :])
    values = {0: _Value(nngp, ntk, var1, var2, correlation, same)}
    last = {value: k for k, op in enumerate(head.operations) for value in read_by(op)}
    for k, operation in enumerate(head.operations):
        below = [values[value] for value in read_by(operation)]
        if isinstance(operation, Thin):
            alone = np.zeros_like(same) if itself is None else itself
            values[k + 1] = _thinned(operation, below[0], below[0].same & alone)
        else:
            values[k + 1] = _after(head, k, operation, below)
        for value in read_by(operation):
            if last[value] == k:
                values.pop(value, None)
    return values[len(head)].kernels


def _after(head: Program, k: int, operation: Operation, below: Sequence[_Value]) -> _Value:
    """Take kernels through operation k."""
    first = below[0]
    match operation:
        case Filter():
            return _filtered(operation, first)
        case Pointwise(dual=dual) if first.correlation is not None and dual.arccos is not None:
            half = float(dual.arccos.half)
            nngp, slope, correlation = _activation(
                dual.arccos, first.correlation, first.var1, first.var2
            )
            nngp = np.where(first.same, half * first.var1[:, None], nngp)
            ntk = None if first.ntk is None else first.ntk * slope
            return _Value(
                nngp, ntk, half * first.var1, half * first.var2, correlation, first.same
            )
        case Pointwise(dual=dual) if first.correlation is not None and dual.kinked:
            nngp, correlation = _jump(dual, first.correlation, first.var1, first.var2)
            var1, var2 = dual.itself(first.var1)[0], dual.itself(first.var2)[0]
            nngp = np.where(first.same, var1[:, None], nngp)
            return _Value(nngp, first.ntk, var1, var2, correlation, first.same)
        case Pointwise(dual=dual):
            try:
                return _smooth(dual, first)
            except InputError as error:
                raise InputError(f"{head.name(k)}: {error}") from None
        case Rescale():
            return _rescaled(operation, first)
        case Add() | Join():
            parts = operation.weights if isinstance(operation, Add) else operation.shares
            return _added(below, tuple(float(part) for part in parts))
        case Multiply():
            return _multiplied(below)
        case _:
            raise head.no_rule(k, "what comes after the readout")


def _filtered(layer: Filter, below: _Value) -> _Value:
    w, b = layer.weight**2, layer.bias**2
    before = below.var1, below.var2
    after = w * below.var1 + b, w * below.var2 + b
    correlation, ntk = below.correlation, below.ntk
    if correlation is not None:
        correlation = _dense(correlation, layer, before, after)
    if ntk is not None:
        trained, shifted = (float(rate) for rate in layer.tangent)
        ntk = (trained * below.nngp + shifted) + w * ntk
    return _Value(w * below.nngp + b, ntk, *after, correlation, below.same)


def _smooth(dual: Dual, below: _Value) -> _Value:
    pair = below.var1[:, None], below.var2[None, :]
    with np.errstate(over="ignore", invalid="ignore"):
        nngp, ntk = activated(*below.kernels, dual, *pair, below.same)
    var1, var2 = dual.itself(below.var1)[0], dual.itself(below.var2)[0]
    correlation = below.correlation
    if correlation is not None:
        correlation = of_kernels(nngp, var1, var2, float(np.finfo(np.float64).eps))
    return _Value(nngp, ntk, var1, var2, correlation, below.same)


def _rescaled(layer: Rescale, below: _Value) -> _Value:
    """Divide features by the root of their mean square; of a vector each is all of them."""
    squares = [np.maximum(var, 0) + layer.epsilon for var in (below.var1, below.var2)]
    one, two = (_inverse(roots(square)) for square in squares)
    var1, var2 = (
        var * _inverse(square)
        for var, square in zip((below.var1, below.var2), squares, strict=True)
    )
    factor = one[:, None] * two[None, :]
    nngp = np.where(below.same, var1[:, None], below.nngp * factor)
    ntk = below.ntk
    if ntk is not None:
        ntk = ntk * np.where(below.same, _inverse(squares[0])[:, None], factor)
    return _Value(nngp, ntk, var1, var2, below.correlation, below.same)


def _thinned(layer: Thin, below: _Value, same: npt.NDArray[np.bool_]) -> _Value:
    """Set features to zero at random: those of two images, even equal ones, by themselves."""
    kept = layer.kept
    nngp, ntk = (
        None if kernel is None else np.where(same, kernel / kept, kernel)
        for kernel in below.kernels
    )
    assert nngp is not None  # only the NTK may be
    correlation = below.correlation
    if correlation is not None:
        deficit, excess = (
            (1 - kept) + kept * part for part in (correlation.deficit, correlation.excess)
        )
        correlation = Correlation(np.where(same, 0, deficit), np.where(same, 2, excess))
    return _Value(nngp, ntk, below.var1 / kept, below.var2 / kept, correlation, same)


def _added(below: Sequence[_Value], weights: tuple[float, ...]) -> _Value:
    """Add up independent features: deficits and excesses as over the terms of a filter."""
    nngp, ntk = added([value.kernels for value in below], weights)
    pairs = list(zip(weights, below, strict=True))
    var1, var2 = (
        np.sum([weight * getattr(value, name) for weight, value in pairs], axis=0)
        for name in ("var1", "var2")
    )
    result = replace(_joined(below), nngp=nngp, ntk=ntk, var1=var1, var2=var2)
    if below[0].correlation is None:
        return result
    inverses = _inverse(roots(var1)), _inverse(roots(var2))
    deficit: Any = 0.0
    excess: Any = 0.0
    for weight, value in pairs:
        assert value.correlation is not None  # where one has it, all do
        one = roots(weight * value.var1) * inverses[0]
        two = roots(weight * value.var2) * inverses[1]
        rate, chord = one[:, None] * two[None, :], (one[:, None] - two[None, :]) ** 2 / 2
        deficit = deficit + (rate * value.correlation.deficit + chord)
        excess = excess + (rate * value.correlation.excess + chord)
    return replace(result, correlation=Correlation(deficit, excess))


def _multiplied(below: Sequence[_Value]) -> _Value:
    """Multiply independent features: 1 - rho rho' is u + u' - u u', or so with z and z'."""
    nngp, ntk = multiplied([value.kernels for value in below])
    var1 = np.prod([value.var1 for value in below], axis=0)
    var2 = np.prod([value.var2 for value in below], axis=0)
    correlation = below[0].correlation
    for value in below[1:]:
        if correlation is None or value.correlation is None:
            break  # where one has none, none has
        u, z = value.correlation.deficit, value.correlation.excess
        correlation = Correlation(
            _deficit(correlation.deficit, u, correlation.excess, z),
            _deficit(correlation.deficit, z, correlation.excess, u),
        )
    return replace(
        _joined(below), nngp=nngp, ntk=ntk, var1=var1, var2=var2, correlation=correlation
    )


def _deficit(u1: Matrix, u2: Matrix, z1: Matrix, z2: Matrix) -> Matrix:
    """1 - rho rho' from 1 - rho and 1 - rho', or from 1 + rho and 1 + rho' where these are less."""
    near = u1 + u2 <= z1 + z2
    one, two = np.where(near, u1, z1), np.where(near, u2, z2)
    return np.asarray(one + two - one * two)


def _joined(below: Sequence[_Value]) -> _Value:
    """Give the first value, with features the same where they are in all of them."""
    same = np.logical_and.reduce([value.same for value in below])
    return replace(below[0], same=same)


def _dense(
    correlation: Correlation,
    layer: Filter,
    before: tuple[Matrix, Matrix],
    after: tuple[Matrix, Matrix],
) -> Correlation:
    sizes = [roots(var) for var in before]
    inverses = [_inverse(roots(var)) for var in after]
    pairs = zip(sizes, inverses, strict=True)
    one, two = (layer.weight * root * inverse for root, inverse in pairs)
    rate = one[:, None] * two[None, :]
    chord = (one[:, None] - two[None, :]) ** 2
    chord += layer.bias**2 * (inverses[0][:, None] - inverses[1][None, :]) ** 2
    common = 2 * layer.bias**2 * inverses[0][:, None] * inverses[1][None, :]
    deficit = rate * correlation.deficit + chord / 2
    return Correlation(deficit, rate * correlation.excess + chord / 2 + common)


def _activation(
    dual: ArcCosine, correlation: Correlation, var1: Matrix, var2: Matrix
) -> tuple[Matrix, Matrix, Correlation]:
    """Kernel after an activation, the derivative's kernel, and the correlation."""
    gain, skip, half, odd = (
        float(number) for number in (dual.gain, dual.skip, dual.half, dual.odd)
    )
    scale = roots(var1)[:, None] * roots(var2)[None, :]
    near = correlation.deficit <= correlation.excess
    small = np.minimum(correlation.deficit, correlation.excess)
    angle = 2 * np.arcsin(np.sqrt(small / 2))
    even = gain / (2 * half) * (_segment(angle) / np.pi)
    turn = np.where(near, np.pi - angle, angle) / (2 * np.pi)
    slope = np.where(scale > 0, gain * turn + skip, 0)
    line = skip / half
    rho = np.where(near, 1 - small, line * (small - 1)) + even
    deficit = np.where(near, small, odd / (2 * half) - line * small) - even
    # Far away 1 + rho in terms of which none is negative where both slopes are positive.
    excess = np.where(near, 1 + rho, gain / (2 * half) + line * small + even)
    return scale * half * rho, slope, Correlation(deficit, excess)


def _jump(
    dual: Dual, correlation: Correlation, var1: Matrix, var2: Matrix
) -> tuple[Matrix, Correlation]:
    """Kernel after an activation that jumps, and the correlation."""
    near = correlation.deficit <= correlation.excess
    angle = 2 * np.arcsin(np.sqrt(np.minimum(correlation.deficit, correlation.excess) / 2))
    theta, rest = np.where(near, angle, np.pi - angle), np.where(near, np.pi - angle, angle)
    value, deficit, excess = dual.turned(theta, rest)
    apart = (var1 > 0)[:, None] & (var2 > 0)[None, :]
    parts = (np.where(apart, part, 1) for part in (deficit, excess))
    return np.where(apart, value, 0), Correlation(*parts)


def _segment(theta: Matrix) -> Matrix:
    """Value of sin theta - theta cos theta for theta from 0 to pi / 2, without cancellation."""
    # The sum over k > 0 of (-1)^(k+1) 2k / (2k+1)! theta^(2k+1).
    term = theta**3 / 6
    total = np.zeros_like(theta)
    for k in range(1, 14):
        total += 2 * k * term
        term = term * (-(theta**2) / ((2 * k + 2) * (2 * k + 3)))
    return total


def _inverse(root: Matrix) -> Matrix:
    return np.divide(1, root, out=np.zeros_like(root), where=root > 0)
