r"""The kernel recursions, written down literally: the ground truth that fast methods are held to.

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

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from array_api_compat import array_namespace, device

from refntk.errors import InputError
from refntk.network.network import Network
from refntk.ops.dual import Dual
from refntk.ops.exact import constant
from refntk.ops.operations import Add, Average, Filter, Pointwise, Stack, read_by
from refntk.ops.program import Program
from refntk.ops.space import Space
from refntk.ops.support import Support

__all__ = [
    "Alter",
    "State",
    "activated",
    "added",
    "averaged",
    "diagonal",
    "filtered",
    "image_kernel",
    "propagate",
    "run",
    "stacked",
]

Array: TypeAlias = Any
Kernels: TypeAlias = tuple[Array, Array | None]
Alter: TypeAlias = Callable[[int, Kernels], Kernels]
"""Changes what a layer gave: its index in the network, and the kernels."""


@dataclass(frozen=True)
class State:
    """The kernels between two sets of images after the last layer of a network.

    Attributes
    ----------
    nngp : array, shape (N1, N2, H, W, H, W), (N1, N2, n, n, H, W, H, W) or (N1, N2)
        Covariance of the features of x1 and x2. On the grid: position t = (y, x) of x, then that of
        x'; on a group of order n: element r of x, element r' of x', then t and t'; of a vector.
    ntk : array of the same shape, or None
        Tangent kernel; None where it was not asked for.
    var1, var2 : array, shape (N, n, H, W) on the group, (N, H, W) on the grid, (N,) of a vector
        Variance of the features of each image, N1 of x1 and N2 of x2, at each index.
    """

    nngp: Array
    ntk: Array | None
    var1: Array
    var2: Array


def propagate(
    net: Network,
    x1: Array,
    x2: Array | None = None,
    ntk: bool = True,
    alter: Alter | None = None,
) -> State:
    """Take the kernels between two sets of images through all layers of a network.

    Parameters
    ----------
    net : Network
        It may end at any layer, so that kernels before the readout can be looked at.
    x1 : array of real floats, shape (N1, H, W, C)
    x2 : array of the same namespace, dtype and image shape, shape (N2, H, W, C), optional
        None means x1; the entries between an image and itself at equal indices are then exact.
    ntk : bool, default True
        Whether the tangent kernel is wanted.
    alter : callable, optional
        Changes the kernels after each layer, those of an image with itself included, to what
        another convention or a known mistake gives. There the tangent kernel is None. Kernels are
        matrices over features.

    Returns
    -------
    State
        Arrays of the namespace, dtype and device of x1.

    Raises
    ------
    InputError
        The arrays are not of real floats, or do not have the shapes above.
    ShapeError
        A layer cannot take images of this shape.
    MethodError
        There is no rule for what a layer does.

    Notes
    -----
    Whole tensors are held: (n H W)^2 numbers a pair of images. The variances that activations need
    are the diagonals of the full kernels between each image and itself.
    """
    _check_images(x1, x1 if x2 is None else x2)
    return run(net.program(x1.shape[1:]), x1, x2, ntk, alter)


def run(
    program: Program,
    x1: Array,
    x2: Array | None = None,
    ntk: bool = True,
    alter: Alter | None = None,
) -> State:
    """Do the same with a network's program; see `propagate`."""
    other = x1 if x2 is None else x2
    xp, to = array_namespace(x1, other), device(x1)
    var1 = _variances(program, x1, alter)
    var2 = var1 if x2 is None else _variances(program, other, alter)
    if x2 is None:
        same = xp.eye(x1.shape[0], dtype=x1.dtype, device=to) == 1
    else:
        same = xp.zeros((x1.shape[0], other.shape[0]), dtype=xp.bool, device=to)
    pairs = [(v1[:, None, ...], v2[None, ...]) for v1, v2 in zip(var1, var2, strict=True)]
    nngp = image_kernel(x1[:, None, ...], other[None, ...])
    start = nngp, xp.zeros_like(nngp) if ntk else None
    nngp, theta = _through(program, start, lambda value: pairs[value], same, alter)
    space = program.spaces[-1]
    theta = None if theta is None else _with_axes(theta, space)
    first, second = (xp.reshape(var[-1], (-1, *space.axes)) for var in (var1, var2))
    return State(
        _with_axes(nngp, space), theta, first, first if x2 is None else second
    )


def image_kernel(x1: Array, x2: Array) -> Array:
    r"""Return the kernel of the images themselves, K_{t,t'} = (1/C) sum_c x_c(t) x'_c(t').

    Parameters
    ----------
    x1, x2 : array, shape (..., H, W, C)
        Images whose batch axes broadcast.

    Returns
    -------
    array, shape (..., H W, H W)
        Misof et al., remark 4.
    """
    xp, channels = array_namespace(x1, x2), x1.shape[-1]
    rows, columns = (xp.reshape(x, (*x.shape[:-3], -1, channels)) for x in (x1, x2))
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


def averaged(nngp: Array, ntk: Array | None, support: Support) -> Kernels:
    r"""Propagate the kernels through a mean of features, on its own for x and for x'.

    Parameters
    ----------
    nngp : array, shape (..., I, I)
    ntk : array of the same shape, or None
    support : Support

    Returns
    -------
    nngp, ntk : array, shape (..., J, J)

    Notes
    -----
    Misof et al., theorem 5 and lemma 9, where S is all of the group:

    .. math:: K'_{ij} = \frac{1}{|S|^2} \sum_{e, e' \in S} K_{m_e(i)\, m_{e'}(j)}
    """
    (count, above), all_places = support.maps.shape, support.maps.reshape(-1)

    def mean(kernel: Array) -> Array:
        xp, kernel = array_namespace(kernel), _with_outside(kernel, support)
        batch, places = kernel.shape[:-2], _as_index(all_places, kernel)
        rows = xp.reshape(xp.take(kernel, places, axis=-2), (*batch, count, above, -1))
        half = xp.sum(rows, axis=-3)
        both = xp.reshape(xp.take(half, places, axis=-1), (*batch, above, count, above))
        return xp.sum(both, axis=-2) / count**2

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
    """
    xp = array_namespace(nngp)
    zero = xp.asarray(0, dtype=nngp.dtype, device=device(nngp))
    # The mean of features that cancel has a variance that may round to less than zero.
    var1, var2 = xp.where(var1 > 0, var1, zero), xp.where(var2 > 0, var2, zero)
    value, slope = dual.moments(nngp, var1, var2)
    own_value, own_slope = dual.itself(var1)
    value = xp.where(same, own_value, value)
    return value, None if ntk is None else ntk * xp.where(same, own_slope, slope)


def added(terms: list[Kernels], weights: tuple[float, ...]) -> Kernels:
    """Add up the kernels of independent features, times weights.

    Parameters
    ----------
    terms : list of (nngp, ntk)
        Arrays of one shape; ntk may be None.
    weights : tuple of float

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


def _check_images(x1: Array, x2: Array) -> None:
    for name, x in (("x1", x1), ("x2", x2)):
        if x.ndim != 4 or min(x.shape) < 1:
            raise InputError(f"{name}: expected images (N, H, W, C), not the shape {x.shape}")
        if not array_namespace(x).isdtype(x.dtype, "real floating"):
            raise InputError(f"{name}: expected real floating-point pixels, not {x.dtype}")
    if x1.shape[1:] != x2.shape[1:] or x1.dtype != x2.dtype:
        raise InputError(
            f"x2: expected images like those of x1, {x1.shape[1:]} of {x1.dtype}, "
            f"not {x2.shape[1:]} of {x2.dtype}"
        )


def _variances(program: Program, x: Array, alter: Alter | None) -> list[Array]:
    """Variances of the features of each value of a program, (N, I)."""
    xp = array_namespace(x)
    same = xp.ones(x.shape[:1], dtype=xp.bool, device=device(x))
    start = image_kernel(x, x), None
    found: list[Array] = []

    def own(value: int) -> tuple[Array, Array]:
        return found[value], found[value]

    _through(program, start, own, same, alter, lambda kernel: found.append(diagonal(kernel)))
    return found


def _through(
    program: Program,
    start: Kernels,
    variances: Callable[[int], tuple[Array, Array]],
    same_image: Array,
    alter: Alter | None,
    watch: Callable[[Array], None] = lambda nngp: None,
) -> Kernels:
    """Evaluate a program; `watch` gets the NNGP of each value, the first one included."""
    last = {value: k for k, op in enumerate(program.operations) for value in read_by(op)}
    values = {0: start}
    watch(start[0])
    for k, operation in enumerate(program.operations):
        match operation:
            case Filter(below):
                new = filtered(*values[below], operation)
            case Stack(below, support):
                new = stacked(*values[below], support)
            case Average(below, support):
                new = averaged(*values[below], support)
            case Pointwise(below, dual):
                var1, var2 = variances(below)
                same = _same_index(values[below][0], same_image)
                pair = var1[..., :, None], var2[..., None, :]
                new = activated(*values[below], dual, *pair, same)
            case Add(terms, weights):
                new = added([values[term] for term in terms], weights)
            case _:
                raise program.no_rule(k, "the literal recursion")
        layer = program.origin[k][0]
        if alter is not None and layer not in {index for index, _ in program.origin[k + 1 :]}:
            new = alter(layer, new)
        values[k + 1] = new
        watch(new[0])
        for value in read_by(operation):
            if last[value] == k:
                values.pop(value, None)
    return values[len(program.operations)]


def _mean_over_maps(kernel: Array, support: Support) -> Array:
    """Average K[m_e(i), m_e(j)] over the elements e of a filter."""
    xp, kernel = array_namespace(kernel), _with_outside(kernel, support)
    reads = [_as_index(places, kernel) for places in support.maps]
    terms = (xp.take(xp.take(kernel, m, axis=-2), m, axis=-1) for m in reads)
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


def _same_index(kernel: Array, same_image: Array) -> Array:
    """Mark the entries of a kernel (..., I, I) between an image and itself at equal indices."""
    xp = array_namespace(kernel)
    equal = xp.eye(kernel.shape[-1], dtype=kernel.dtype, device=device(kernel)) == 1
    return xp.logical_and(same_image[..., None, None], equal)


def _with_axes(kernel: Array, space: Space) -> Array:
    """Give a kernel (N1, N2, I, I) the axes that its features stand for, as `State` has them."""
    xp = array_namespace(kernel)
    kernel = xp.reshape(kernel, (*kernel.shape[:2], *space.axes, *space.axes))
    if space.group is None:
        return kernel
    first = 3 + len(space.shape)
    order = (0, 1, 2, first, *range(3, first), *range(first + 1, kernel.ndim))
    return xp.permute_dims(kernel, order)
