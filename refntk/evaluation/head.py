r"""The layers after the readout, in double precision: Dense and activations on matrices of kernels.

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
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.evaluation.correlations import Correlation, of_kernels, roots
from refntk.ops.dual import ArcCosine, Dual
from refntk.ops.operations import Filter, Pointwise
from refntk.ops.program import Program
from refntk.recursion.formulas import activated

__all__ = ["apply_head"]

Matrix = npt.NDArray[np.float64]


def apply_head(
    head: Program,
    nngp: Matrix,
    ntk: Matrix | None,
    var1: Matrix,
    var2: Matrix,
    correlation: Correlation | None,
) -> tuple[Matrix, Matrix | None]:
    """Propagate kernels through the operations after the readout.

    Parameters
    ----------
    head : Program
        Filters on a vector, and activations.
    nngp : float64 array, shape (N, M)
    ntk : float64 array of the same shape, or None
    var1, var2 : float64 array, shape (N,), (M,)
        Kernels of the images with themselves; they are read if there is an activation.
    correlation : Correlation, or None
        None if no activation has a kink.

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
    for k, layer in enumerate(head.operations):
        match layer:
            case Filter():
                w, b = layer.weight**2, layer.bias**2
                after = w * var1 + b, w * var2 + b
                if correlation is not None:
                    correlation = _dense(correlation, layer, (var1, var2), after)
                if ntk is not None:
                    trained, shifted = (float(rate) for rate in layer.tangent)
                    ntk = (trained * nngp + shifted) + w * ntk
                nngp = w * nngp + b
                var1, var2 = after
            case Pointwise(dual=dual) if dual.arccos is not None and correlation is not None:
                half = float(dual.arccos.half)
                nngp, slope, correlation = _activation(dual.arccos, correlation, var1, var2)
                nngp = np.where(same, half * var1[:, None], nngp)
                ntk = None if ntk is None else ntk * slope
                var1, var2 = half * var1, half * var2
            case Pointwise(dual=dual) if dual.kinked and correlation is not None:
                nngp, correlation = _jump(dual, correlation, var1, var2)
                var1, var2 = dual.itself(var1)[0], dual.itself(var2)[0]
                nngp = np.where(same, var1[:, None], nngp)
            case Pointwise(dual=dual):
                pair = var1[:, None], var2[None, :]
                try:
                    with np.errstate(over="ignore", invalid="ignore"):
                        nngp, ntk = activated(nngp, ntk, dual, *pair, same)
                except InputError as error:
                    raise InputError(f"{head.name(k)}: {error}") from None
                var1, var2 = dual.itself(var1)[0], dual.itself(var2)[0]
                if correlation is not None:
                    correlation = of_kernels(nngp, var1, var2, float(np.finfo(np.float64).eps))
            case _:
                raise head.no_rule(k, "what comes after the readout")
    return nngp, ntk


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
