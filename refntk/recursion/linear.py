r"""The layers with parameters: Conv, Lift, GroupConv and Dense, written down literally.

Each averages the kernels over its filter, jointly over both images; the docstring of
`refntk.recursion` lists the axes of a kernel. Out-of-image terms are zero (SAME) or wrapped
(CIRCULAR); VALID keeps the positions whose whole window is inside. A tangent kernel of None, which
is not asked for, stays None.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from array_api_compat import array_namespace, device

from refntk.network.layers import Conv, Dense, GroupConv, Lift, Window, offsets, windows
from refntk.ops.groups import PointGroup, point_group

__all__ = ["conv", "dense", "group_conv", "lift", "turned_places"]

Array: TypeAlias = Any
Kernels: TypeAlias = tuple[Array, Array | None]
Frame: TypeAlias = tuple[Window, Window]
Place: TypeAlias = tuple[int, int]


def conv(nngp: Array, ntk: Array | None, layer: Conv) -> Kernels:
    r"""Propagate the kernels through an ordinary convolution.

    Parameters
    ----------
    nngp : array, shape (..., H, W, H, W)
    ntk : array of the same shape, or None
    layer : Conv

    Returns
    -------
    nngp, ntk : array, shape (..., H', W', H', W')

    Notes
    -----
    With the filter's offsets S; Misof et al., equations 28 and 31:

    .. math::
        K'_{t,t'} &= \sigma_b^2 + \frac{\sigma_w^2}{|S|} \sum_{s \in S} K_{t+s, t'+s} \\
        \Theta'_{t,t'} &= K'_{t,t'} + \frac{\sigma_w^2}{|S|} \sum_{s \in S} \Theta_{t+s, t'+s}
    """
    frame = windows(layer, nngp.shape[-2:])
    height, width = layer.filter_shape
    places = [(a, b) for a in range(height) for b in range(width)]

    def average(kernel: Array) -> Array:
        padded = _pad(kernel, frame)
        return sum(_read(padded, frame, place, place) for place in places) / len(places)

    return _with_parameters(nngp, ntk, layer, average)


def lift(nngp: Array, ntk: Array | None, layer: Lift) -> Kernels:
    r"""Propagate the kernels through a lifting convolution.

    Parameters
    ----------
    nngp : array, shape (..., H, W, H, W)
    ntk : array of the same shape, or None
    layer : Lift

    Returns
    -------
    nngp, ntk : array, shape (..., n, n, H', W', H', W')

    Notes
    -----
    Misof et al., theorem 3 and lemma 8:

    .. math::
        K'_{(t,r),(t',r')} &= \sigma_b^2
            + \frac{\sigma_w^2}{|S|} \sum_{s \in S} K_{t + r s,\, t' + r' s} \\
        \Theta' &= K' + \text{the same sum, weight and all, over } \Theta
    """
    group = point_group(layer.group)
    frame, places = turned_places(layer, group, nngp.shape[-2:])

    def average(kernel: Array) -> Array:
        padded = _pad(kernel, frame)

        def entry(r: int, r2: int) -> Array:
            pairs = zip(places[r], places[r2], strict=True)
            return sum(_read(padded, frame, p, p2) for p, p2 in pairs) / len(places[r])

        return _on_group(entry, group)

    return _with_parameters(nngp, ntk, layer, average)


def group_conv(nngp: Array, ntk: Array | None, layer: GroupConv, group: PointGroup) -> Kernels:
    r"""Propagate the kernels through a group convolution.

    Parameters
    ----------
    nngp : array, shape (..., n, n, H, W, H, W)
    ntk : array of the same shape, or None
    layer : GroupConv
    group : PointGroup
        The group R of order n that the rotation axes stand for.

    Returns
    -------
    nngp, ntk : array, shape (..., n, n, H', W', H', W')

    Notes
    -----
    Misof et al., theorem 1 and lemma 7:

    .. math::
        K'_{(t,r),(t',r')} &= \sigma_b^2 + \frac{\sigma_w^2}{n|S|} \sum_{q \in R} \sum_{s \in S}
            K_{(t + r s,\, r q),\,(t' + r' s,\, r' q)} \\
        \Theta' &= K' + \text{the same double sum, weight and all, over } \Theta
    """
    frame, places = turned_places(layer, group, nngp.shape[-2:])
    product = group.cayley.tolist()

    def average(kernel: Array) -> Array:
        padded = _pad(kernel, frame)

        def entry(r: int, r2: int) -> Array:
            over_q = sum(
                padded[..., rq, r2q, :, :, :, :]
                for rq, r2q in zip(product[r], product[r2], strict=True)
            )
            pairs = zip(places[r], places[r2], strict=True)
            over_s = sum(_read(over_q, frame, p, p2) for p, p2 in pairs)
            return over_s / (group.order * len(places[r]))

        return _on_group(entry, group)

    return _with_parameters(nngp, ntk, layer, average)


def dense(nngp: Array, ntk: Array | None, layer: Dense) -> Kernels:
    r"""Propagate the kernels through a fully connected layer.

    Parameters
    ----------
    nngp : array, shape (...)
    ntk : array of the same shape, or None
    layer : Dense

    Returns
    -------
    nngp, ntk : array, shape (...)

    Notes
    -----
    .. math::
        K' = \sigma_b^2 + \sigma_w^2 K, \qquad \Theta' = K' + \sigma_w^2 \Theta
    """
    return _with_parameters(nngp, ntk, layer, lambda kernel: kernel)


def _with_parameters(
    nngp: Array,
    ntk: Array | None,
    layer: Conv | Lift | GroupConv | Dense,
    average: Callable[[Array], Array],
) -> Kernels:
    """Apply K' = b^2 + w^2 A(K), Theta' = K' + w^2 A(Theta), where A averages over the filter."""
    xp, stds = array_namespace(nngp), (layer.W_std, layer.b_std)
    # Squared in the precision of the kernel, which may be higher than that of a Python float.
    w, b = (xp.asarray(std, dtype=nngp.dtype, device=device(nngp)) for std in stds)
    new = b * b + w * w * average(nngp)
    return new, None if ntk is None else new + w * w * average(ntk)


def _pad(kernel: Array, frame: Frame) -> Array:
    """Extend the four spatial axes by all that windows read outside the image, zero or wrapped.

    Parameters
    ----------
    kernel : array, shape (..., H, W, H, W)
    frame : (Window, Window)
        Along y and along x, the same for both images.

    Returns
    -------
    array
        Position ``stride * i + a`` of an axis is what output i reads at place a of the window.
    """
    xp = array_namespace(kernel)
    for axis, window in zip((-4, -3, -2, -1), frame * 2, strict=True):
        low, n = window.low, window.n_in
        high = max(window.stride * (window.n_out - 1) + window.size - low - n, 0)
        if window.wrap:
            trailing = (slice(None),) * (-axis - 1)
            below = kernel[(..., slice(n - low, n), *trailing)]
            above = kernel[(..., slice(0, high), *trailing)]
        else:
            before, after = kernel.shape[:axis], kernel.shape[kernel.ndim + axis + 1 :]
            shapes = ((*before, width, *after) for width in (low, high))
            below, above = (
                xp.zeros(shape, dtype=kernel.dtype, device=device(kernel)) for shape in shapes
            )
        kernel = xp.concat([below, kernel, above], axis=axis)
    return kernel


def _read(padded: Array, frame: Frame, place: Place, place2: Place) -> Array:
    """Read, for all outputs at once, one place of the window of x and one of the window of x'.

    Parameters
    ----------
    padded : array, shape (..., Y, X, Y, X)
        As `_pad` gives it.
    frame : (Window, Window)
        Along y and along x.
    place, place2 : (int, int)
        Places (a, b) in the windows of x and of x', counted from 0.

    Returns
    -------
    array, shape (..., H', W', H', W')
    """
    slices = (
        slice(a, a + window.stride * (window.n_out - 1) + 1, window.stride)
        for a, window in zip(place + place2, frame * 2, strict=True)
    )
    return padded[(..., *slices)]


def turned_places(
    layer: Lift | GroupConv, group: PointGroup, shape: tuple[int, int]
) -> tuple[Frame, list[list[Place]]]:
    """Find the window that holds a filter in all its orientations, and the filter's places in it.

    Parameters
    ----------
    layer : Lift or GroupConv
    group : PointGroup
    shape : (int, int)
        Height and width of the image below.

    Returns
    -------
    frame : (Window, Window)
        Along y and along x.
    places : list of lists of (int, int)
        For each group element r, the place of r s for each filter offset s.

    Raises
    ------
    ShapeError
        The window does not fit the image.
    """
    sides = layer.filter_shape
    if group.swaps_axes:
        sides = (max(sides), max(sides))
    y, x = windows(replace(layer, filter_shape=sides), shape)
    places = [
        [(y.size // 2 + yy * a + yx * b, x.size // 2 + xy * a + xx * b) for a, b in offsets(layer)]
        for (yy, yx), (xy, xx) in group.matrices.tolist()
    ]
    return (y, x), places


def _on_group(entry: Callable[[int, int], Array], group: PointGroup) -> Array:
    """Assemble a kernel on the group from its blocks.

    Parameters
    ----------
    entry : callable
        The block (..., H, W, H, W) of the elements r of x and r' of x', given their indices.
    group : PointGroup
        Of order n.

    Returns
    -------
    array, shape (..., n, n, H, W, H, W)
    """
    elements = range(group.order)
    blocks = [[entry(r, r2) for r2 in elements] for r in elements]
    xp = array_namespace(blocks[0][0])
    return xp.stack([xp.stack(row, axis=-5) for row in blocks], axis=-6)
