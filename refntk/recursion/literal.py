r"""The kernel recursions, written down literally: the ground truth that fast methods are held to.

One function a layer, here and in `refntk.recursion.linear`, each on arrays of any array-API
namespace, with any number of leading batch axes. Axes of a kernel between images x and x', after
the batch axes:

- on the grid, (..., H, W, H, W): position t = (y, x) of x, then position t' of x';
- on the group, (..., n, n, H, W, H, W): rotation r of x, rotation r' of x', then t and t';
- of a vector, (...).

Kernels are per channel, in the NTK parametrisation. The tangent kernel of the images themselves is
zero, so that it equals the NNGP after the first layer with parameters. Out-of-image terms are zero
(SAME) or wrapped (CIRCULAR); VALID keeps the positions whose whole window is inside. Inputs are
never written to, and a tangent kernel of None, which is not asked for, stays None.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1.
Y. Cho, L. K. Saul, "Kernel Methods for Deep Learning", NeurIPS 2009.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from array_api_compat import array_namespace, device

from refntk.errors import InputError
from refntk.network.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Kind,
    Layer,
    Lift,
    Relu,
    Signal,
)
from refntk.network.network import Network
from refntk.ops.groups import point_group
from refntk.recursion.linear import conv, dense, group_conv, lift

__all__ = [
    "Alter",
    "State",
    "diagonal",
    "flatten",
    "global_avg_pool",
    "group_pool",
    "image_kernel",
    "propagate",
    "relu",
]

Array: TypeAlias = Any
Kernels: TypeAlias = tuple[Array, Array | None]
Alter: TypeAlias = Callable[[int, Kernels], Kernels]
"""Changes what a layer gave: its index in the network, and the kernels."""

# The axes with which a function of the index of x, (..., [n,] [H, W]), or of the index of x',
# broadcasts on a kernel.
_ALL = slice(None)
_FIRST: dict[Kind, tuple[Any, ...]] = {
    "grid": (..., _ALL, _ALL, None, None),
    "group": (..., _ALL, None, _ALL, _ALL, None, None),
    "vector": (...,),
}
_SECOND: dict[Kind, tuple[Any, ...]] = {
    "grid": (..., None, None, _ALL, _ALL),
    "group": (..., None, _ALL, None, None, _ALL, _ALL),
    "vector": (...,),
}


@dataclass(frozen=True)
class State:
    """The kernels between two sets of images after the last layer of a network.

    Attributes
    ----------
    nngp : array, shape (N1, N2, ...)
        Covariance of the features of x1 and x2; the docstring of the module lists the axes.
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
        another convention or a known mistake gives. There the tangent kernel is None.

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

    Notes
    -----
    Whole tensors are held: n^2 (H W)^2 numbers a pair of images. The variances that Relu needs are
    the diagonals of the full kernels between each image and itself.
    """
    other = x1 if x2 is None else x2
    _check_images(x1, other)
    xp = array_namespace(x1, other)
    shape = (int(x1.shape[1]), int(x1.shape[2]))
    below = (Signal(shape=shape), *net.signals(shape))
    var1 = _variances(net, below, x1, alter)
    var2 = var1 if x2 is None else _variances(net, below, x2, alter)
    if x2 is None:
        same_image = xp.eye(x1.shape[0], dtype=x1.dtype, device=device(x1)) == 1
    else:
        pairs = (x1.shape[0], x2.shape[0])
        same_image = xp.zeros(pairs, dtype=xp.bool, device=device(x1))

    nngp = image_kernel(x1[:, None, ...], other[None, ...])
    theta = xp.zeros_like(nngp) if ntk else None
    steps = zip(net.layers, below[:-1], var1[:-1], var2[:-1], strict=True)
    for index, (layer, signal, v1, v2) in enumerate(steps):
        pair = v1[:, None, ...], v2[None, ...]
        nngp, theta = _step(layer, signal, nngp, theta, pair, same_image)
        if alter is not None:
            nngp, theta = alter(index, (nngp, theta))
    return State(nngp, theta, var1[-1], var2[-1])


def image_kernel(x1: Array, x2: Array) -> Array:
    r"""Return the kernel of the images themselves, K_{t,t'} = (1/C) sum_c x_c(t) x'_c(t').

    Parameters
    ----------
    x1, x2 : array, shape (..., H, W, C)
        Images whose batch axes broadcast.

    Returns
    -------
    array, shape (..., H, W, H, W)
        Misof et al., remark 4.
    """
    xp = array_namespace(x1, x2)
    products = x1[..., :, :, None, None, :] * x2[..., None, None, :, :, :]
    return xp.sum(products, axis=-1) / x1.shape[-1]


def relu(nngp: Array, ntk: Array | None, var1: Array, var2: Array, same: Array) -> Kernels:
    r"""Propagate the kernels through max(0, f), pointwise.

    Parameters
    ----------
    nngp : array, shape (...) of any kind
    ntk : array of the same shape, or None
    var1, var2 : array that broadcasts against nngp
        Variance of the features of x, at its index, and of x', at its own.
    same : bool array that broadcasts against nngp
        Where the two features are one and the same; there K' and the derivative are exact.

    Returns
    -------
    nngp, ntk : array of the shape of nngp

    Notes
    -----
    With v = var1, v' = var2; Misof et al., corollary 6, and Cho and Saul:

    .. math::
        \theta &= \arccos \frac{K_{ij}}{\sqrt{v} \sqrt{v'}} \\
        K'_{ij} &= \frac{\sqrt{v} \sqrt{v'}}{2\pi} (\sin\theta + (\pi - \theta) \cos\theta) \\
        \Theta'_{ij} &= \Theta_{ij} \frac{\pi - \theta}{2\pi}

    and K' = v/2, Theta' = Theta/2 for one and the same feature. A variance of zero means that the
    feature is zero whatever the parameters: K' = Theta' = 0. No gain is added.
    """
    xp = array_namespace(nngp)
    zero, one = (xp.asarray(value, dtype=nngp.dtype, device=device(nngp)) for value in (0, 1))
    pi = xp.acos(-one)
    # The mean of features that cancel has a variance that may round to less than zero.
    var1, var2 = xp.where(var1 > 0, var1, zero), xp.where(var2 > 0, var2, zero)
    # The product of the roots: that of the variances may overflow.
    scale = xp.sqrt(var1) * xp.sqrt(var2)
    cosine = xp.clip(nngp / xp.where(scale > 0, scale, one), -1, 1)
    theta = xp.acos(cosine)
    rectified = scale / (2 * pi) * (xp.sin(theta) + (pi - theta) * cosine)
    nngp = xp.where(same, var1 / 2, rectified)
    if ntk is None:
        return nngp, None
    derivative = xp.where(same, one / 2, (pi - theta) / (2 * pi))
    return nngp, xp.where(scale > 0, ntk * derivative, zero)


def group_pool(nngp: Array, ntk: Array | None) -> Kernels:
    """Propagate the kernels through the mean over the group: over all r, r', t, t'.

    Parameters
    ----------
    nngp : array, shape (..., n, n, H, W, H, W)
    ntk : array of the same shape, or None

    Returns
    -------
    nngp, ntk : array, shape (...)
        Misof et al., theorem 5 and lemma 9.
    """
    return _mean(nngp, ntk, axes=6)


def global_avg_pool(nngp: Array, ntk: Array | None) -> Kernels:
    """Propagate the kernels through the mean over the grid: over all t, t'.

    Parameters
    ----------
    nngp : array, shape (..., H, W, H, W)
    ntk : array of the same shape, or None

    Returns
    -------
    nngp, ntk : array, shape (...)
    """
    return _mean(nngp, ntk, axes=4)


def flatten(nngp: Array, ntk: Array | None, kind: Kind) -> Kernels:
    """Turn positions (and rotations) into channels: the mean over t = t' (and r = r').

    Parameters
    ----------
    nngp : array, shape (..., H, W, H, W) or (..., n, n, H, W, H, W)
    ntk : array of the same shape, or None
    kind : {"grid", "group"}
        Which of the two.

    Returns
    -------
    nngp, ntk : array, shape (...)
    """
    below = None if ntk is None else diagonal(ntk, kind)
    return _mean(diagonal(nngp, kind), below, axes=2 if kind == "grid" else 3)


def diagonal(kernel: Array, kind: Kind) -> Array:
    """Pick the entries of a kernel at equal indices of x and x'.

    Parameters
    ----------
    kernel : array, shape (..., H, W, H, W), (..., n, n, H, W, H, W) or (...)
    kind : {"grid", "group", "vector"}
        Which of the three.

    Returns
    -------
    array, shape (..., H, W), (..., n, H, W) or (...)
        Of the kernel between an image and itself, these are the variances.
    """
    if kind == "vector":
        return kernel
    if kind == "group":
        batch = kernel.ndim - 6
        order = (*range(batch), *(batch + axis for axis in (0, 2, 3, 1, 4, 5)))
        kernel = array_namespace(kernel).permute_dims(kernel, order)
    half = 2 if kind == "grid" else 3
    batch_shape, index = kernel.shape[: -2 * half], kernel.shape[-half:]
    size = math.prod(index)
    entries = array_namespace(kernel).reshape(kernel, (*batch_shape, size * size))
    return array_namespace(kernel).reshape(entries[..., :: size + 1], (*batch_shape, *index))


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


def _variances(
    net: Network, below: tuple[Signal, ...], x: Array, alter: Alter | None
) -> list[Array]:
    """Variances of the features below each layer, and after the last one."""
    xp = array_namespace(x)
    same_image = xp.ones(x.shape[:1], dtype=xp.bool, device=device(x))
    nngp = image_kernel(x, x)
    variances = [diagonal(nngp, "grid")]
    steps = zip(net.layers, below[:-1], below[1:], strict=True)
    for index, (layer, signal, after) in enumerate(steps):
        var = variances[-1]
        nngp, _ = _step(layer, signal, nngp, None, (var, var), same_image)
        if alter is not None:
            nngp, _ = alter(index, (nngp, None))
        variances.append(diagonal(nngp, after.kind))
    return variances


def _step(
    layer: Layer,
    signal: Signal,
    nngp: Array,
    ntk: Array | None,
    variances: tuple[Array, Array],
    same_image: Array,
) -> Kernels:
    """Apply one layer to the kernels of the signal below it."""
    match layer:
        case Conv():
            return conv(nngp, ntk, layer)
        case Lift():
            return lift(nngp, ntk, layer)
        case GroupConv():
            return group_conv(nngp, ntk, layer, point_group(str(signal.group)))
        case GroupPool():
            return group_pool(nngp, ntk)
        case GlobalAvgPool():
            return global_avg_pool(nngp, ntk)
        case Flatten():
            return flatten(nngp, ntk, signal.kind)
        case Dense():
            return dense(nngp, ntk, layer)
        case Relu():
            same = _same_index(nngp, signal.kind, same_image)
            var1, var2 = variances[0][_FIRST[signal.kind]], variances[1][_SECOND[signal.kind]]
            return relu(nngp, ntk, var1, var2, same)


def _mean(nngp: Array, ntk: Array | None, axes: int) -> Kernels:
    """Average over the last axes."""
    xp, last = array_namespace(nngp), tuple(range(-axes, 0))
    return xp.mean(nngp, axis=last), None if ntk is None else xp.mean(ntk, axis=last)


def _same_index(kernel: Array, kind: Kind, same_image: Array) -> Array:
    """Mark the entries of a kernel between an image and itself at equal indices.

    Parameters
    ----------
    kernel : array, shape (..., H, W, H, W), (..., n, n, H, W, H, W) or (...)
    kind : {"grid", "group", "vector"}
        Which of the three.
    same_image : bool array, shape (...)
        Where x and x' are one image.

    Returns
    -------
    bool array, shape of the kernel
    """
    if kind == "vector":
        return same_image
    xp = array_namespace(kernel)
    half = 2 if kind == "grid" else 3
    index = kernel.shape[-2:] if kind == "grid" else kernel.shape[-5:-4] + kernel.shape[-2:]
    equal = xp.eye(math.prod(index), dtype=kernel.dtype, device=device(kernel)) == 1
    equal = xp.reshape(equal, (*index, *index))
    if kind == "group":
        equal = xp.permute_dims(equal, (0, 3, 1, 2, 4, 5))
    return xp.logical_and(same_image[(..., *(None,) * (2 * half))], equal)
