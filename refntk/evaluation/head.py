r"""The layers after the readout, in double precision: Dense and Relu on matrices of kernels.

Relu needs theta = arccos rho, and rho = K / (s s') near 1 says little about it: after pooling all
kernels are nearly parallel, and duplicates exactly. So two numbers are carried beside K, the
*deficit* u = 1 - rho and the *excess* z = 1 + rho. With s, s' the roots of the variances before a
Dense layer and S, S' those after it,

.. math::
    u \leftarrow \frac{\sigma_w^2 s s' u}{S S'}
        + \frac{\sigma_w^2}{2} \Bigl(\frac{s}{S} - \frac{s'}{S'}\Bigr)^2
        + \frac{\sigma_b^2}{2} \Bigl(\frac1S - \frac1{S'}\Bigr)^2,

z likewise but for what the biases have in common, 2 sigma_b^2 / (S S'); and Relu takes u to
A(u) = u - (sin theta - theta cos theta) / pi, with theta = 2 arcsin sqrt(u / 2).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refntk.evaluation.correlations import Correlation, roots
from refntk.network.layers import Dense, Layer

__all__ = ["apply_head"]

Matrix = npt.NDArray[np.float64]


def apply_head(
    head: tuple[Layer, ...],
    nngp: Matrix,
    ntk: Matrix | None,
    var1: Matrix,
    var2: Matrix,
    correlation: Correlation | None,
) -> tuple[Matrix, Matrix | None]:
    """Propagate kernels through the layers after the readout.

    Parameters
    ----------
    head : tuple of Dense and Relu
    nngp : float64 array, shape (N, M)
    ntk : float64 array of the same shape, or None
    var1, var2 : float64 array, shape (N,), (M,)
        Kernels of the images with themselves; they are read if there is a Relu.
    correlation : Correlation, or None
        None if there is no Relu.

    Returns
    -------
    nngp, ntk : arrays of the same shape
        Where nngp is equal to both variances the two images are one: it stays the variance.
    """
    # Rounding of roots would tell an image from its duplicate, whose kernels are computed alike.
    same = (nngp == var1[:, None]) & (nngp == var2[None, :])
    for layer in head:
        if isinstance(layer, Dense):
            w, b = layer.W_std**2, layer.b_std**2
            after = w * var1 + b, w * var2 + b
            if correlation is not None:
                correlation = _dense(correlation, layer, (var1, var2), after)
            nngp = w * nngp + b
            ntk = None if ntk is None else nngp + w * ntk
            var1, var2 = after
        else:
            assert correlation is not None  # there is a Relu
            nngp, slope, correlation = _relu(correlation, var1, var2)
            nngp = np.where(same, var1[:, None] / 2, nngp)
            ntk = None if ntk is None else ntk * slope
            var1, var2 = var1 / 2, var2 / 2
    return nngp, ntk


def _dense(
    correlation: Correlation,
    layer: Dense,
    before: tuple[Matrix, Matrix],
    after: tuple[Matrix, Matrix],
) -> Correlation:
    sizes = [roots(var) for var in before]
    inverses = [_inverse(roots(var)) for var in after]
    one, two = (layer.W_std * root * inverse for root, inverse in zip(sizes, inverses, strict=True))
    rate = one[:, None] * two[None, :]
    chord = (one[:, None] - two[None, :]) ** 2
    chord += layer.b_std**2 * (inverses[0][:, None] - inverses[1][None, :]) ** 2
    common = 2 * layer.b_std**2 * inverses[0][:, None] * inverses[1][None, :]
    deficit = rate * correlation.deficit + chord / 2
    return Correlation(deficit, rate * correlation.excess + chord / 2 + common)


def _relu(
    correlation: Correlation, var1: Matrix, var2: Matrix
) -> tuple[Matrix, Matrix, Correlation]:
    """Kernel after a Relu, the derivative's kernel, and the correlation."""
    scale = roots(var1)[:, None] * roots(var2)[None, :]
    near = correlation.deficit <= correlation.excess
    small = np.minimum(correlation.deficit, correlation.excess)
    angle = 2 * np.arcsin(np.sqrt(small / 2))
    cap = _segment(angle) / np.pi
    cosine = np.where(near, 1 - small, small - 1)
    # sin theta + (pi - theta) cos theta, over pi.
    rho = np.where(near, cosine, 0) + cap
    slope = np.where(scale > 0, np.where(near, np.pi - angle, angle) / (2 * np.pi), 0)
    deficit = np.where(near, small, 1) - cap
    return scale / 2 * rho, slope, Correlation(deficit, 1 + rho)


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
