r"""The kernel recursions, written down literally: the ground truth that fast methods are held to.

A network's program is evaluated operation by operation, by the formulas of
`refntk.recursion.formulas`, on whole kernels. Arrays are of any array-API namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from array_api_compat import array_namespace, device

from refntk.errors import InputError
from refntk.network.network import Network
from refntk.ops.operations import (
    Add,
    Average,
    Filter,
    Join,
    Multiply,
    Pointwise,
    Rescale,
    Stack,
    Thin,
    read_by,
)
from refntk.ops.program import Program
from refntk.ops.space import Space
from refntk.recursion.formulas import (
    Array,
    Kernels,
    activated,
    added,
    averaged,
    diagonal,
    filtered,
    image_kernel,
    multiplied,
    rescaled,
    stacked,
    thinned,
)

__all__ = ["Alter", "State", "propagate", "run"]

Alter: TypeAlias = Callable[[int, Kernels], Kernels]
"""Changes what an operation gave: its number in the network's program, and the kernels."""


@dataclass(frozen=True)
class State:
    """The kernels between two sets of images after the last layer of a network.

    Attributes
    ----------
    nngp : array, shape (N1, N2, H, W, H, W), (N1, N2, n, n, H, W, H, W) or (N1, N2)
        Covariance of the features of x1 and x2. On the grid: position t = (y, x) of x, then that of
        x'; on a group of order n: element r of x, element r' of x', then t and t'; of a vector. On
        a finite group alone (N1, N2, n, n).
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
        Images; or, for a network on a finite set, signals (N1, X, C).
    x2 : array of the same namespace, dtype and image shape, shape (N2, H, W, C), optional
        None means x1; the entries between an image and itself at equal indices are then exact.
    ntk : bool, default True
        Whether the tangent kernel is wanted.
    alter : callable, optional
        Changes the kernels after each operation, those of an image with itself included, to what
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
        There is no rule for what a layer does, or no tangent kernel.

    Notes
    -----
    Whole tensors are held: (n H W)^2 numbers a pair of images. The variances that activations need
    are the diagonals of the full kernels between each image and itself.
    """
    _check_images(x1, x1 if x2 is None else x2, net.axes)
    return run(net.program(x1.shape[1:]), x1, x2, ntk, alter)


@np.errstate(over="ignore", invalid="ignore")  # the formulas find what is too large
def run(
    program: Program,
    x1: Array,
    x2: Array | None = None,
    ntk: bool = True,
    alter: Alter | None = None,
) -> State:
    """Do the same with a network's program; see `propagate`."""
    if ntk:
        program.require_tangent()
    other, axes = x1 if x2 is None else x2, len(program.space.shape)
    xp, to = array_namespace(x1, other), device(x1)
    var1 = _variances(program, x1, alter)
    var2 = var1 if x2 is None else _variances(program, other, alter)
    if x2 is None:
        same = xp.eye(x1.shape[0], dtype=x1.dtype, device=to) == 1
    else:
        same = xp.zeros((x1.shape[0], other.shape[0]), dtype=xp.bool, device=to)
    pairs = [(v1[:, None, ...], v2[None, ...]) for v1, v2 in zip(var1, var2, strict=True)]
    nngp = image_kernel(x1[:, None, ...], other[None, ...], axes)
    start = nngp, xp.zeros_like(nngp) if ntk else None
    nngp, theta = _through(program, start, lambda value: pairs[value], same, alter)
    space = program.spaces[-1]
    theta = None if theta is None else _with_axes(theta, space)
    first, second = (xp.reshape(var[-1], (-1, *space.axes)) for var in (var1, var2))
    return State(
        _with_axes(nngp, space), theta, first, first if x2 is None else second
    )


def _check_images(x1: Array, x2: Array, axes: int) -> None:
    for name, x in (("x1", x1), ("x2", x2)):
        if x.ndim != axes + 2 or min(x.shape) < 1:
            wanted = {1: "signals (N, X, C)", 2: "images (N, H, W, C)"}.get(
                axes, "volumes (N, D, H, W, C)"
            )
            raise InputError(f"{name}: expected {wanted}, not the shape {x.shape}")
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
    start = image_kernel(x, x, len(program.space.shape)), None
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
            case Average(below):
                new = averaged(*values[below], operation)
            case Pointwise(below) | Rescale(below):
                var1, var2 = variances(below)
                same = _same_index(values[below][0], same_image)
                pair = var1[..., :, None], var2[..., None, :]
                try:
                    if isinstance(operation, Rescale):
                        new = rescaled(*values[below], operation, *pair, same)
                    else:
                        new = activated(*values[below], operation.dual, *pair, same)
                except InputError as error:
                    raise InputError(f"{program.name(k)}: {error}") from None
            case Thin(below, kept):
                new = thinned(*values[below], kept, _same_index(values[below][0], same_image))
            case Add(terms, weights) | Join(terms, weights):
                new = added([values[term] for term in terms], weights)
            case Multiply(terms):
                new = multiplied([values[term] for term in terms])
            case _:
                raise program.no_rule(k, "the literal recursion")
        if alter is not None:
            new = alter(k, new)
        values[k + 1] = new
        watch(new[0])
        for value in read_by(operation):
            if last[value] == k:
                values.pop(value, None)
    return values[len(program.operations)]


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
