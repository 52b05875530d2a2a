r"""The formulas of the kernel recursions, for any finite group: the paper's general statement.

A kernel between images x and x' is a matrix over their features, numbered as in
`refntk.ops.space`; any number of batch axes may come before. The operations are the paper's
statement for a general finite group (Misof et al., equations 38-47), of which its theorems are
cases. Let a filter have elements e, which send the feature i above to m_e(i) below.

- Theorem 1 and lemma 7, a group convolution, and theorem 3 and lemma 8, a lifting one, are
  `filtered`: for G = T x R a filter element (s, q) sends (t, r) to (t + r s, r q), and s sends
  (t, r) to t + r s. An ordinary convolution sends t to t + s, equations 28 and 31.
- Theorem 5 and lemma 9, group pooling, are `averaged` with all features as filter elements.
- Corollary 6, an activation, is `activated`.

Kernels are per channel. The tangent kernel of the images themselves is zero, so that it equals the
NNGP after the first layer with parameters. A feature outside of the image is zero. Arrays are of
any array-API namespace; inputs are never written to, and a tangent kernel of None, which is not
asked for, stays None.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

from array_api_compat import array_namespace, device

from refntk.errors import InputError
from refntk.ops.dual import Dual
from refntk.ops.exact import constant
from refntk.ops.operations import Average, Filter, Rescale
from refntk.ops.support import Support

__all__ = [
    "Array",
    "Kernels",
    "activated",
    "added",
    "averaged",
    "diagonal",
    "filtered",
    "image_kernel",
    "multiplied",
    "rescaled",
    "stacked",
    "thinned",
]

Array: TypeAlias = Any
Kernels: TypeAlias = tuple[Array, Array | None]


def image_kernel(x1: Array, x2: Array, axes: int = 2) -> Array:
    r"""Return the kernel of the images themselves, K_{t,t'} = (1/C) sum_c x_c(t) x'_c(t').

    Parameters
    ----------
    x1, x2 : array, shape (..., H, W, C)
        Images whose batch axes broadcast.
    axes : int, default 2
        Number of axes of positions: 1 of signals (..., X, C).

    Returns
    -------
    array, shape (..., H W, H W)
        Misof et al., remark 4.
    """
    xp, channels = array_namespace(x1, x2), x1.shape[-1]
    rows, columns = (xp.reshape(x, (*x.shape[: -1 - axes], -1, channels)) for x in (x1, x2))
    return xp.sum(rows[..., :, None, :] * columns[..., None, :, :], axis=-1) / channels


def filtered(nngp: Array, ntk: Array | None, layer: Filter) -> Kernels:
    r"""Propagate the kernels through a layer with weights.

    Parameters
    ----------
    nngp : array, shape (..., I, I)
    ntk : array of the same shape, or None
    layer : Filter

    Returns
    -------
    nngp, ntk : array, shape (..., J, J)

    Notes
    -----
    The formulas of `refntk.ops.operations.Filter`. In the NTK parametrisation they are

    .. math::
        K'_{ij} &= \sigma_b^2
            + \frac{\sigma_w^2}{|S|} \sum_{e \in S} K_{m_e(i)\, m_e(j)} \\
        \Theta'_{ij} &= K'_{ij}
            + \frac{\sigma_w^2}{|S|} \sum_{e \in S} \Theta_{m_e(i)\, m_e(j)}
    """
    weight, bias = constant(layer.weight, nngp), constant(layer.bias, nngp)
    alpha, beta = (constant(rate, nngp) for rate in layer.tangent)
    mean = _mean_over_maps(nngp, layer.support)
    new = weight * weight * mean + bias * bias
    if ntk is None:
        return new, None
    below = weight * weight * _mean_over_maps(ntk, layer.support)
    return new, below + (alpha * mean + beta)


def stacked(nngp: Array, ntk: Array | None, support: Support) -> Kernels:
    """Propagate the kernels through features that become channels, side by side.

    Parameters
    ----------
    nngp : array, shape (..., I, I)
    ntk : array of the same shape, or None
    support : Support
        Which become channels of which.

    Returns
    -------
    nngp, ntk : array, shape (..., J, J)
        Flattened, the mean over equal indices.
    """
    return _mean_over_maps(nngp, support), None if ntk is None else _mean_over_maps(ntk, support)


def averaged(nngp: Array, ntk: Array | None, layer: Average) -> Kernels:
    r"""Propagate the kernels through a sum of features over a number, for x and for x' by itself.

    Parameters
    ----------
    nngp : array, shape (..., I, I)
    ntk : array of the same shape, or None
    layer : Average

    Returns
    -------
    nngp, ntk : array, shape (..., J, J)

    Notes
    -----
    With the divisors c of the layer; Misof et al., theorem 5 and lemma 9, where S is all of the
    group and c its size:

    .. math:: K'_{ij} = \frac{1}{c_i c_j} \sum_{e, e' \in S} K_{m_e(i)\, m_{e'}(j)}
    """
    support = layer.support

    def mean(kernel: Array) -> Array:
        xp, kernel = array_namespace(kernel), _with_outside(kernel, support)
        maps = support.maps

        def total(kernel: Array, axis: int) -> Array:
            if support.above.size == 1:
                taken = xp.take(kernel, _as_index(maps[:, 0], kernel), axis=axis)
                return xp.sum(taken, axis=axis, keepdims=True)
            # One map at a time, for the sake of memory.
            return sum(xp.take(kernel, _as_index(places, kernel), axis=axis) for places in maps)

        both = total(total(kernel, -2), -1)
        divisors = xp.asarray(layer.divisors, dtype=kernel.dtype, device=device(kernel))
        return both / (divisors[:, None] * divisors)

    return mean(nngp), None if ntk is None else mean(ntk)


def activated(
    nngp: Array, ntk: Array | None, dual: Dual, var1: Array, var2: Array, same: Array
) -> Kernels:
    r"""Propagate the kernels through an activation, pointwise.

    Parameters
    ----------
    nngp : array, shape (...)
    ntk : array of the same shape, or None
    dual : Dual
    var1, var2 : array that broadcasts against nngp
        Variance of the features of x, at its index, and of x', at its own.
    same : bool array that broadcasts against nngp
        Where the two features are one and the same; there K' and the derivative are exact.

    Returns
    -------
    nngp, ntk : array of the shape of nngp
        Misof et al., corollary 6: K' = T(v, v', K), and Theta times the derivative of T in K.

    Raises
    ------
    InputError
        Variances are too large for this activation; the message does not know the layer.
    """
    xp = array_namespace(nngp)
    zero = xp.asarray(0, dtype=nngp.dtype, device=device(nngp))
    # The mean of features that cancel has a variance that may round to less than zero.
    var1, var2 = xp.where(var1 > 0, var1, zero), xp.where(var2 > 0, var2, zero)
    value, slope = dual.moments(nngp, var1, var2)
    own_value, own_slope = dual.itself(var1)
    value = xp.where(same, own_value, value)
    if dual.degree != 1 and not xp.all(xp.isfinite(value)):
        largest = float(xp.max(xp.where(var1 > var2, var1, var2)))
        raise InputError(
            f"kernels after it are too large for {nngp.dtype} at variances up to {largest:.3g}: "
            "use smaller W_std or smaller pixels"
        )
    return value, None if ntk is None else ntk * xp.where(same, own_slope, slope)


def rescaled(
    nngp: Array, ntk: Array | None, layer: Rescale, var1: Array, var2: Array, same: Array
) -> Kernels:
    r"""Propagate the kernels through a division by the root mean square of features.

    Parameters
    ----------
    nngp : array, shape (..., I, I)
    ntk : array of the same shape, or None
    layer : Rescale
    var1, var2 : array that broadcasts against nngp, with all features along its axis
        Variance of the features of x, and of x'.
    same : bool array that broadcasts against nngp
        Where the two features are one and the same.

    Returns
    -------
    nngp, ntk : array of the shape of nngp
        The formulas of `refntk.ops.operations.Rescale`.
    """
    xp, epsilon = array_namespace(nngp), constant(layer.epsilon, nngp)
    zero = xp.zeros_like(epsilon)
    sizes = []
    for var, axis in ((var1, -2), (var2, -1)):
        own = xp.mean(var, axis=axis, keepdims=True) if layer.whole else var
        sizes.append(xp.where(own > 0, own, zero) + epsilon)
    one, two = sizes
    divisor = xp.where(same, one, xp.sqrt(one) * xp.sqrt(two))
    factor = xp.where(divisor > 0, 1 / xp.where(divisor > 0, divisor, divisor + 1), zero)
    return nngp * factor, None if ntk is None else ntk * factor


def thinned(nngp: Array, ntk: Array | None, kept: float, same: Array) -> Kernels:
    """Propagate the kernels through features of which only a part is kept.

    Parameters
    ----------
    nngp : array, shape (...)
    ntk : array of the same shape, or None
    kept : float
        Probability of being kept.
    same : bool array that broadcasts against nngp
        Where the two features are one and the same.

    Returns
    -------
    nngp, ntk : array of the shape of nngp
    """
    part, where = constant(kept, nngp), array_namespace(nngp).where
    thinner = where(same, nngp / part, nngp)
    return thinner, None if ntk is None else where(same, ntk / part, ntk)


def multiplied(terms: list[Kernels]) -> Kernels:
    """Multiply the kernels of independent features.

    Parameters
    ----------
    terms : list of (nngp, ntk)
        Arrays of one shape; ntk may be None.

    Returns
    -------
    nngp, ntk : array of this shape
        The product, and the sum over terms of Theta times the others' K.
    """
    nngp, ntk = terms[0]
    for kernel, tangent in terms[1:]:
        ntk = None if ntk is None else ntk * kernel + nngp * tangent
        nngp = nngp * kernel
    return nngp, ntk


def added(terms: list[Kernels], weights: tuple[Fraction | float, ...]) -> Kernels:
    """Add up the kernels of independent features, times weights.

    Parameters
    ----------
    terms : list of (nngp, ntk)
        Arrays of one shape; ntk may be None.
    weights : tuple of numbers

    Returns
    -------
    nngp, ntk : array of this shape
    """
    def total(kernels: list[Array]) -> Array:
        pairs = zip(weights, kernels, strict=True)
        products = [constant(weight, kernel) * kernel for weight, kernel in pairs]
        return sum(products[1:], products[0])

    nngp = total([term[0] for term in terms])
    return nngp, None if terms[0][1] is None else total([term[1] for term in terms])


def diagonal(kernel: Array) -> Array:
    """Pick the entries of a kernel at equal indices of x and x'.

    Parameters
    ----------
    kernel : array, shape (..., I, I)

    Returns
    -------
    array, shape (..., I)
        Of the kernel between an image and itself, these are the variances.
    """
    size = kernel.shape[-1]
    entries = array_namespace(kernel).reshape(kernel, (*kernel.shape[:-2], size * size))
    return entries[..., :: size + 1]


def _mean_over_maps(kernel: Array, support: Support) -> Array:
    """Average K[m_e(i), m_e(j)] over the elements e of a filter."""
    xp, kernel = array_namespace(kernel), _with_outside(kernel, support)
    reads = [_as_index(places, kernel) for places in support.maps]
    terms = (xp.take(xp.take(kernel, m, axis=-2), m, axis=-1) for m in reads)
    if support.weights is not None:
        shares = zip(support.weights, terms, strict=True)
        return sum(constant(share, kernel) * term for share, term in shares)
    total = next(terms)
    for term in terms:
        total = total + term
    return total / len(reads)


def _with_outside(kernel: Array, support: Support) -> Array:
    """Append a feature that is zero, which the number -1 then stands for."""
    if (support.maps >= 0).all():
        return kernel
    xp = array_namespace(kernel)
    for axis in (-1, -2):
        edge = list(kernel.shape)
        edge[axis] = 1
        zeros = xp.zeros(tuple(edge), dtype=kernel.dtype, device=device(kernel))
        kernel = xp.concat([kernel, zeros], axis=axis)
    return kernel


def _as_index(places: Any, kernel: Array) -> Array:
    """Bring places of features to where a kernel is; -1 is its last feature."""
    return array_namespace(kernel).asarray(places % kernel.shape[-1], device=device(kernel))
