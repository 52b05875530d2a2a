r"""Kernels in ball arithmetic: each number comes with an error radius that is a proof.

A second implementation of the recursions, on purpose not that of `refntk.recursion`: it shares no
line with it, and only reads what a network is. A network's features are numbered, x by x: position
(y, x) of a grid is y W + x, and element r of the group adds r H W. A kernel between two images is
then a matrix, and every convolution the mean of K[m(i), m(j)] over maps m of its filter, one map a
filter element; -1 stands for a position outside of the image. That is the statement for a general
finite group in Misof et al., equations 38-47.

Entries are balls of `python-flint` (Arb): a midpoint of `PRECISION` bits and a radius, and every
operation encloses all values that its inputs may have. Three facts keep the radii of Relu tight,
with f(rho) = (sin theta + (pi - theta) rho) / (2 pi) and theta = arccos rho:

- f has a slope between 0 and 1/2, so its value at the midpoint of rho, widened by half the radius
  of rho, encloses it also at rho = +-1, where arccos has no derivative;
- theta falls with rho, so the ends of the ball of rho enclose it; half of the digits are lost at
  rho = +-1, of a number of digits that is chosen for it;
- the variances of an image obey a recursion of their own, v <- b^2 + w^2 mean of v, and v / 2; up
  to a mean over windows, which needs the whole kernel of an image with itself.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1.
F. Johansson, "Arb: efficient arbitrary-precision midpoint-radius interval arithmetic", 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from flint import arb, ctx

from refntk.errors import MethodError
from refntk.network.layers import (
    ABRelu,
    Abs,
    Activation,
    AvgPool,
    Concat,
    Conv,
    CosetPool,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    GroupConv,
    GroupPool,
    Identity,
    LayerNorm,
    LeakyRelu,
    Lift,
    Product,
    Relu,
    Residual,
    RotationPool,
    SetGroupConv,
    SetLift,
    SetLinear,
    SumPool,
)
from refntk.network.linear import Linear
from refntk.network.network import Network
from refntk.network.sequence import nested
from refntk.truth.ball_functions import FUNCTIONS
from refntk.truth.set_maps import conv_maps, coset_maps, lift_maps, orbital_rows, shares

__all__ = ["JOINTS", "PRECISION", "READOUTS", "RULES", "Kernels", "enclosures", "entry_enclosures"]

PRECISION = 400
"""Bits of the midpoints: 120 digits, of which even the NTK at rho = 1 keeps 60 in a first layer."""

Balls: TypeAlias = npt.NDArray[Any]  # of arb
Enclosure: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Matrix: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
Place: TypeAlias = tuple[int, int, int]  # group element, y, x

_IDENTITY: Matrix = ((1, 0), (0, 1))
_TURN: Matrix = ((0, -1), (1, 0))
_MIRROR: Matrix = ((1, 0), (0, -1))


def enclosures(
    net: Network,
    x1: npt.NDArray[np.floating[Any]],
    x2: npt.NDArray[np.floating[Any]] | None,
    ntk: bool,
) -> tuple[Enclosure, Enclosure | tuple[None, None]]:
    """Enclose the kernels of a network between images.

    Parameters
    ----------
    net : Network
        One that ends behind a readout.
    x1 : float array, shape (N1, H, W, C)
        Taken as the exact numbers that they are.
    x2 : float array, shape (N2, H, W, C), or None
        None means x1; the result is then symmetric.
    ntk : bool
        Whether the NTK is wanted.

    Returns
    -------
    nngp, ntk : pairs of float64 arrays, shape (N1, N2)
        The kernel, rounded to double, and the distance within which the exact kernel is. The NTK is
        (None, None) where it is not wanted.
    """
    with ctx.workprec(PRECISION):
        nngp, theta = _between(net, x1, x2, ntk)
        return _rounded(nngp), _rounded(theta) if ntk else (None, None)


def entry_enclosures(
    net: Network, x1: npt.NDArray[np.floating[Any]], x2: npt.NDArray[np.floating[Any]] | None
) -> tuple[Enclosure, Enclosure]:
    """Enclose all entries of the kernels of a network that ends before a readout.

    Parameters
    ----------
    net, x1, x2
        As for `enclosures`, but without the readout.

    Returns
    -------
    nngp, ntk : pairs of float64 arrays, shape (N1, N2, H, W, H, W), (N1, N2, n, n, H, W, H, W)
        Values and radii; axes as in `refntk.recursion`.
    """
    end = net.signals(x1.shape[1:])[-1]
    with ctx.workprec(PRECISION):
        first = [_balls(image) for image in x1]
        second = first if x2 is None else [_balls(image) for image in x2]
        pairs = [
            [_through(net, x, y, True, x2 is None and i == j) for j, y in enumerate(second)]
            for i, x in enumerate(first)
        ]
        nngp, theta = (
            np.array([[getattr(pair, name) for pair in row] for row in pairs])
            for name in ("nngp", "theta")
        )
        if end.shape is None:  # of a finite set or a finite group
            return _rounded(nngp), _rounded(theta)
        index = (nngp.shape[-1] // (end.shape[0] * end.shape[1]), *end.shape)
        kernels = (kernel.reshape(*kernel.shape[:2], *index, *index) for kernel in (nngp, theta))
        nngp, theta = (kernel.transpose(0, 1, 2, 5, 3, 4, 6, 7) for kernel in kernels)
        if end.kind == "grid":
            nngp, theta = nngp[:, :, 0, 0], theta[:, :, 0, 0]
        return _rounded(nngp), _rounded(theta)


def _rounded(balls: Balls) -> Enclosure:
    """Round balls to doubles, and bound the distance to all that they enclose."""
    values, radii = np.empty(balls.shape), np.empty(balls.shape)
    for place, ball in enumerate(balls.flat):
        value = float(ball.mid())
        bound = abs(ball - arb(value)).upper()
        values.flat[place] = value
        # The conversion may round down.
        radii.flat[place] = np.nextafter(float(bound), np.inf) if bound > 0 else 0.0
    return values, radii


def _between(
    net: Network,
    x1: npt.NDArray[np.floating[Any]],
    x2: npt.NDArray[np.floating[Any]] | None,
    ntk: bool,
) -> tuple[Balls, Balls]:
    end = next((k for k, layer in enumerate(net.layers) if type(layer) in READOUTS), None)
    if end is None:
        # It ends on a vector, so that some layer is a readout.
        known = {*RULES, *JOINTS}
        k = next(k for k, layer in enumerate(net.layers) if type(layer) not in known)
        raise MethodError(
            f"layer {k} ({type(net.layers[k]).__name__}): ball arithmetic has no rule for it"
        )
    first = [_balls(image) for image in x1]
    second = first if x2 is None else [_balls(image) for image in x2]
    shape = len(first), len(second)
    nngp, theta = np.empty(shape, object), np.empty(shape, object)
    same = np.eye(*shape, dtype=bool) & (x2 is None)

    readout, stacks = READOUTS[type(net.layers[end])], type(net.layers[end]) is Flatten
    channels: int | None = None

    def pair(x: Balls, y: Balls, wanted: bool, equal: bool) -> tuple[arb, arb]:
        nonlocal channels
        below = _through(net, x, y, wanted, equal, end)
        channels = below.channels and below.channels * (len(below.nngp) if stacks else 1)
        return readout(below.nngp), readout(below.theta)

    for i, j in np.ndindex(*shape):
        if x2 is None and j < i:
            nngp[i, j], theta[i, j] = nngp[j, i], theta[j, i]
        else:
            nngp[i, j], theta[i, j] = pair(first[i], second[j], ntk, bool(same[i, j]))
    head = range(end + 1, len(net.layers))
    if any(type(net.layers[k]) is not Dense for k in head):
        var1, var2 = (
            nngp.diagonal()
            if x2 is None
            else np.array([pair(x, x, False, True)[0] for x in images], object)
            for images in (first, second)
        )
    else:
        var1, var2 = (np.full(size, arb(0), object) for size in shape)  # nobody asks for them
    kernels = Kernels(nngp, theta, var1, var2, same, True, (), [_IDENTITY], channels)
    for k in head:
        layer = net.layers[k]
        kernels = _after(f"layer {k} ({type(layer).__name__})", layer, kernels)
    return kernels.nngp, kernels.theta


@dataclass(frozen=True)
class Kernels:
    """Kernels between features: of two images, or of two sets of them after a readout.

    Attributes
    ----------
    nngp, theta : object array of balls, shape (S, S')
        Theta is 0 where it is not wanted.
    var1, var2 : object array of balls, shape (S,), (S',)
        Variances.
    same : bool array, shape (S, S')
        Where the two features are one.
    ntk : bool
        Whether Theta is wanted.
    shape : tuple of int
        Height and width of the positions; () after a readout.
    elements : list of Matrix or of Permutation
        The group.
    channels : int or None
        Number of channels, in the standard parametrisation.
    own : pair of Kernels, or None
        Those of x with itself and of x' with itself, where a mean over windows asks for them.
    """

    nngp: Balls
    theta: Balls
    var1: Balls
    var2: Balls
    same: npt.NDArray[np.bool_]
    ntk: bool
    shape: tuple[int, ...]
    elements: list[Any]
    channels: int | None = None
    own: tuple[Kernels, Kernels] | None = None


def _through(
    net: Network, x: Balls, x2: Balls, ntk: bool, same: bool, end: int | None = None
) -> Kernels:
    """Kernels of one pair of images, (H, W, C) each, before layer `end` or after the last one."""
    counted = x.shape[-1] if net.parameterization == "standard" else None
    kernels = _of_images(x, x2, ntk, same, counted)
    pools = AvgPool, SumPool, CosetPool, RotationPool, SetLinear
    if not same and any(type(layer) in pools for layer in nested(net.layers[:end])):
        first, second = (_of_images(image, image, False, True, counted) for image in (x, x2))
        kernels = replace(kernels, own=(first, second))
    for k, layer in enumerate(net.layers[:end]):
        kernels = _after(f"layer {k} ({type(layer).__name__})", layer, kernels)
    return kernels


def _of_images(x: Balls, x2: Balls, ntk: bool, same: bool, counted: int | None) -> Kernels:
    """Kernels of the pixels of two images."""
    channels = x.shape[-1]
    one, two = x.reshape(-1, channels), x2.reshape(-1, channels)
    nngp = one.dot(two.T) / channels
    theta = np.full(nngp.shape, arb(0), object)
    var1, var2 = ((pixels * pixels).sum(axis=1) / channels for pixels in (one, two))
    equal = np.eye(len(nngp), dtype=bool) & same
    return Kernels(nngp, theta, var1, var2, equal, ntk, x.shape[:-1], [_IDENTITY], counted)


def _after(place: str, layer: Any, below: Kernels) -> Kernels:
    """Apply a layer to the kernels of two images, and of each with itself where these are there."""
    if type(layer) in JOINTS:
        ends = []
        for branch in layer.branches:
            ends.append(below)
            for inner in branch:
                ends[-1] = _after(f"{place[:-1]}: {type(inner).__name__})", inner, ends[-1])
        return _joined(layer, ends)
    if type(layer) not in RULES:
        raise MethodError(f"{place}: ball arithmetic has no rule for it")
    rule = RULES[type(layer)]
    if below.own is None:
        return rule(layer, below)
    first, second = (_after(place, layer, own) for own in below.own)
    return replace(rule(layer, replace(below, own=(first, second))), own=(first, second))


def _joined(layer: Residual | Concat | Product, ends: list[Kernels]) -> Kernels:
    """Join the kernels of branches, and those of each image with itself likewise."""
    own = None
    if all(end.own is not None for end in ends):
        first, second = ([end.own[k] for end in ends if end.own is not None] for k in (0, 1))
        own = _joined(layer, first), _joined(layer, second)
    return replace(JOINTS[type(layer)](layer, ends), own=own)


def _sum_of_branches(layer: Residual, ends: list[Kernels]) -> Kernels:
    """Add up kernels; of independent features the products of unlike branches have mean zero."""
    return _weighted(ends, [arb(1)] * len(ends), ends[0].channels)


def _concatenated(layer: Concat, ends: list[Kernels]) -> Kernels:
    """Average kernels over the channels of all branches."""
    widths = [end.channels for end in ends if end.channels is not None]
    counted = len(widths) == len(ends)
    parts = [arb(part) for part in (widths if counted else layer.shares or [1] * len(ends))]
    total = sum(parts, arb(0))
    channels = sum(widths) if counted else None
    return _weighted(ends, [part / total for part in parts], channels)


def _weighted(ends: list[Kernels], weights: list[arb], channels: int | None) -> Kernels:
    sums = {
        name: sum(getattr(end, name) * w for end, w in zip(ends, weights, strict=True))
        for name in ("nngp", "theta", "var1", "var2")
    }
    return replace(ends[0], **sums, channels=channels)


def _multiplied(layer: Product, ends: list[Kernels]) -> Kernels:
    """Multiply the kernels of independent features."""
    done = ends[0]
    for end in ends[1:]:
        theta = done.theta * end.nngp + done.nngp * end.theta
        nngp, var1, var2 = done.nngp * end.nngp, done.var1 * end.var1, done.var2 * end.var2
        done = replace(done, nngp=nngp, theta=theta, var1=var1, var2=var2)
    return done


def _normalised(layer: LayerNorm, below: Kernels) -> Kernels:
    """Divide by the roots of variances, or of their mean; an exact 0 stays 0."""
    sizes = []
    for var in (below.var1, below.var2):
        if layer.axes == "all" and below.shape:  # after a readout each entry is an image
            var = np.full(len(var), var.sum() / len(var), object)
        sizes.append(var + arb(layer.eps))
    one, two = sizes
    roots = np.array([[_root(a) * _root(b) for b in two] for a in one], object)
    for i, j in zip(*np.nonzero(below.same), strict=True):
        roots[i, j] = one[i]
    nngp, theta = _quotient(below.nngp, roots), _quotient(below.theta, roots)
    var1, var2 = _quotient(below.var1, one), _quotient(below.var2, two)
    return replace(below, nngp=nngp, theta=theta, var1=var1, var2=var2)


def _quotient(balls: Balls, divisors: Balls) -> Balls:
    """Divide entry by entry; 0 where the divisor is exactly that."""
    pairs = zip(balls.flat, divisors.flat, strict=True)
    quotients = [arb(0) if d.is_zero() else ball / d for ball, d in pairs]
    return np.array(quotients, object).reshape(balls.shape)


def _thinned(layer: Dropout, below: Kernels) -> Kernels:
    """Divide what a feature has with itself by the part that is kept."""
    if layer.mode == "test":
        return below
    kept = arb(layer.rate)
    nngp, theta = (
        np.where(below.same, kernel / kept, kernel) for kernel in (below.nngp, below.theta)
    )
    return replace(
        below, nngp=nngp, theta=theta, var1=below.var1 / kept, var2=below.var2 / kept
    )


def _filter(layer: Conv | Lift | GroupConv, below: Kernels) -> Kernels:
    """Average over the maps of a filter."""
    shape: tuple[int, ...]
    if len(below.shape) == 2:
        height, width = below.shape
        shape, elements, maps = _maps(layer, (height, width), below.elements)
    else:
        (shape, maps), elements = _box_maps(layer, below.shape), below.elements
    w, b = _square(layer.W_std), _square(layer.b_std)
    mean = _mean_over_maps(below.nngp, maps)
    nngp = mean * w + b
    alpha, beta = _trained(layer, below.channels and below.channels * len(maps))
    theta = nngp * 0
    if below.ntk:
        theta = _mean_over_maps(below.theta, maps) * w + mean * alpha + beta
    var1, var2 = (_mean_over_maps(var, maps) * w + b for var in (below.var1, below.var2))
    same = np.eye(len(nngp), dtype=bool) & below.same.any()
    return Kernels(nngp, theta, var1, var2, same, below.ntk, shape, elements, layer.width)


def _turned_windows(
    layer: AvgPool | SumPool, below: Kernels
) -> tuple[tuple[int, ...], npt.NDArray[np.int64]]:
    """Shape above, and the maps of windows, of one group element each."""
    (height, width), (tall, broad) = layer.window_shape, below.shape
    step_y, step_x = layer.strides
    rows, low_y = _reach(layer.padding, height, 1, step_y, tall)
    columns, low_x = _reach(layer.padding, width, 1, step_x, broad)
    places: list[list[Place]] = []
    for a, b in _grid(height, width):
        # Twice the places, turned about the centre of the window.
        turned = [_apply(r, (2 * a - height + 1, 2 * b - width + 1)) for r in below.elements]
        turned = [(height - 1 + dy, width - 1 + dx) for dy, dx in turned]
        places.append([
            (r, i * step_y - low_y + dy // 2, j * step_x - low_x + dx // 2)
            for r, (dy, dx) in enumerate(turned)
            for i, j in _grid(rows, columns)
        ])
    wrap = layer.padding == "CIRCULAR"
    maps = np.array([[_number(place, (tall, broad), wrap) for place in read] for read in places])
    return (rows, columns), maps


def _pooled(layer: AvgPool | SumPool, below: Kernels) -> Kernels:
    """Sum over all pairs of positions of two windows, of one group element each, and divide.

    The windows turn as filters do; `own` holds what is above already.
    """
    if len(below.shape) == 2:
        shape, maps = _turned_windows(layer, below)
    else:
        box = Conv(layer.window_shape, strides=layer.strides, padding=layer.padding)
        shape, maps = _box_maps(box, below.shape)
    count = np.full(maps.shape[1], len(maps))
    if isinstance(layer, SumPool):
        count[:] = 1
    elif layer.normalize_edges:
        count = (maps >= 0).sum(axis=0)
    divisors = np.array([[arb(int(c * d)) for d in count] for c in count], object)
    nngp, theta = (_sum_of_pairs(kernel, maps) / divisors for kernel in (below.nngp, below.theta))
    first, second = (nngp, nngp) if below.own is None else (own.nngp for own in below.own)
    same = np.eye(len(nngp), dtype=bool) & below.same.any()
    var1, var2 = first.diagonal(), second.diagonal()
    return replace(
        below, nngp=nngp, theta=theta, var1=var1, var2=var2, same=same, shape=shape
    )


def _set_filter(layer: SetLift | SetGroupConv, below: Kernels) -> Kernels:
    """Average over the maps of a filter on a finite group, with the shares of its elements."""
    if isinstance(layer, SetLift):
        elements, maps = lift_maps(layer)
    else:
        elements, maps = below.elements, conv_maps(layer, below.elements)
    parts = [
        (np.array(m), arb(share.numerator) / share.denominator)
        for m, share in zip(maps, shares(layer.weights, len(maps)), strict=True)
    ]

    def mean(kernel: Balls) -> Balls:
        return np.asarray(sum(kernel[np.ix_(*[m] * kernel.ndim)] * part for m, part in parts))

    w, b = _square(layer.W_std), _square(layer.b_std)
    read = mean(below.nngp)
    nngp, theta = read * w + b, read * 0
    alpha, beta = _trained(layer, below.channels and below.channels * len(maps))
    if below.ntk:
        theta = mean(below.theta) * w + read * alpha + beta
    var1, var2 = (mean(var) * w + b for var in (below.var1, below.var2))
    same = np.eye(len(nngp), dtype=bool) & below.same.any()
    return Kernels(nngp, theta, var1, var2, same, below.ntk, (), elements, layer.width)


def _orbitals(layer: SetLinear, below: Kernels) -> Kernels:
    """Average over each orbital on both sides; `own` holds what is above already."""
    orbitals = orbital_rows(layer)
    w, b = _square(layer.W_std), _square(layer.b_std)

    def mean(kernel: Balls) -> Balls:
        total = arb(0)
        for rows in orbitals:
            half = [sum(kernel[x] for x in row) / max(len(row), 1) for row in rows]
            half = [each if row else kernel[0] * 0 for each, row in zip(half, rows, strict=True)]
            both = np.array(half, object)
            columns = [
                both[:, row].sum(axis=1) / len(row) if row else both[:, 0] * 0 for row in rows
            ]
            total = total + np.array(columns, object).T
        return np.asarray(total / len(orbitals))

    read = mean(below.nngp)
    nngp, theta = read * w + b, read * 0
    alpha, beta = _trained(layer, below.channels and below.channels * len(orbitals))
    if below.ntk:
        theta = mean(below.theta) * w + read * alpha + beta
    first, second = (nngp, nngp) if below.own is None else (own.nngp for own in below.own)
    same = np.eye(len(nngp), dtype=bool) & below.same.any()
    var1, var2 = first.diagonal(), second.diagonal()
    return Kernels(nngp, theta, var1, var2, same, below.ntk, (len(nngp),), [], layer.width)


def _cosets(layer: CosetPool, below: Kernels) -> Kernels:
    """Average over pairs of elements of two cosets; `own` holds what is above already."""
    elements = below.elements
    if len(below.shape) != 2:
        return _averaged(below, coset_maps(layer, elements))
    chosen = layer.subgroup
    if isinstance(chosen, str):
        pooled = elements if chosen == "all" else _group(chosen)
    else:
        pooled = [elements[int(number)] for number in chosen]  # type: ignore[arg-type]
        for one, two in ((one, two) for one in pooled for two in pooled):  # grows as it goes
            if _times(one, two) not in pooled:
                pooled.append(_times(one, two))
    height, width = below.shape
    reads = [[(elements.index(_times(r, p)), y, x) for r in elements for y, x in
              _grid(height, width)] for p in pooled]  # fmt: skip
    maps = [[_number(place, (height, width), False) for place in read] for read in reads]
    return _averaged(below, maps)


def _over_rotations(layer: RotationPool, below: Kernels) -> Kernels:
    """Average over pairs of elements at two positions."""
    height, width = below.shape
    maps = [
        [_number((r, y, x), (height, width), False) for y, x in _grid(height, width)]
        for r in range(len(below.elements))
    ]
    return replace(_averaged(below, maps), elements=[_IDENTITY])


def _averaged(below: Kernels, listed: list[list[int]]) -> Kernels:
    """Average over all pairs of maps; `own` holds what is above already."""
    maps: npt.NDArray[np.int64] = np.array(listed, np.int64)
    sums = (_sum_of_pairs(kernel, maps) for kernel in (below.nngp, below.theta))
    nngp, theta = (total / len(maps) ** 2 for total in sums)
    first, second = (nngp, nngp) if below.own is None else (own.nngp for own in below.own)
    same = np.eye(len(nngp), dtype=bool) & below.same.any()
    return replace(
        below, nngp=nngp, theta=theta, var1=first.diagonal(), var2=second.diagonal(), same=same,
    )  # fmt: skip


def _dense(layer: Dense, below: Kernels) -> Kernels:
    """Multiply and add, entry by entry."""
    w, b = _square(layer.W_std), _square(layer.b_std)
    nngp, var1, var2 = below.nngp * w + b, below.var1 * w + b, below.var2 * w + b
    alpha, beta = _trained(layer, below.channels)
    theta = below.theta * w + below.nngp * alpha + beta
    return replace(below, nngp=nngp, theta=theta, var1=var1, var2=var2, channels=layer.width)


def _trained(layer: Linear, fan_in: int | None) -> tuple[arb, arb]:
    """Find what training adds to Theta: of the mean of K, and at all; without a fan-in as NTK."""
    if not layer.trainable:
        return arb(0), arb(0)
    weights, own = arb(layer.learning_rate), layer.learning_rate_bias
    biases = weights if own is None else arb(own)
    if fan_in is None:
        return weights * _square(layer.W_std), biases * _square(layer.b_std)
    return weights * fan_in, biases * layer.bias


def _slopes(negative: float, positive: float, below: Kernels) -> Kernels:
    """Apply a x where x < 0 and b x where x > 0: T = (a - b)² T_relu + a b K."""
    a, b = arb(negative), arb(positive)
    half = (a * a + b * b) / 2
    nngp, theta = _rectified((a - b) ** 2, a * b, half, below)
    return replace(below, nngp=nngp, theta=theta, var1=below.var1 * half, var2=below.var2 * half)


def _pointwise(layer: Activation, below: Kernels) -> Kernels:
    """Apply an activation whose moments `refntk.truth.ball_functions` knows."""
    moments = FUNCTIONS[type(layer)](layer)
    nngp, theta = np.empty_like(below.nngp), np.empty_like(below.theta)
    for i, j in np.ndindex(*nngp.shape):
        covariance: Any = below.nngp[i, j]
        one: Any = below.var1[i]
        two: Any = below.var2[j]
        if below.same[i, j]:
            nngp[i, j], slope = moments.itself(one)
        else:
            nngp[i, j], slope = moments.between(covariance, one, two)
        theta[i, j] = below.theta[i, j] * slope if below.ntk else arb(0)
    var1, var2 = (
        np.array([moments.itself(v)[0] for v in var], object) for var in (below.var1, below.var2)
    )
    return replace(below, nngp=nngp, theta=theta, var1=var1, var2=var2)


def _maps(
    layer: Conv | Lift | GroupConv, shape: tuple[int, int], elements: list[Matrix]
) -> tuple[tuple[int, int], list[Matrix], npt.NDArray[np.int64]]:
    """Shape and group of the features above, and the maps, of shape (filter elements, features)."""
    (height, width), (tall, broad) = layer.filter_shape, shape
    (step_y, step_x), (apart_y, apart_x) = layer.strides, layer.dilations
    rows, low_y = _reach(layer.padding, height, apart_y, step_y, tall)
    columns, low_x = _reach(layer.padding, width, apart_x, step_x, broad)
    above = _group(layer.group) if isinstance(layer, Lift) else elements
    below = [0]
    if isinstance(layer, GroupConv):
        below = list(layer.rotations or range(len(elements)))
    # Twice what the centre of a window is away from its first position.
    middle_y, middle_x = apart_y * (height - 1), apart_x * (width - 1)
    places = []
    for q, (a, b) in product(below, _grid(height, width)):
        if layer.mask is not None and not layer.mask[a][b]:
            continue
        offset = 2 * apart_y * a - middle_y, 2 * apart_x * b - middle_x
        read: list[Place] = []
        for r in above:
            target = above.index(_times(r, above[q])) if isinstance(layer, GroupConv) else 0
            # Offsets s about the centre, turned by the element r of the output: c(t) + r s.
            dy, dx = _apply(r, offset)
            read += [
                (
                    target,
                    i * step_y - low_y + _half(middle_y + dy),
                    j * step_x - low_x + _half(middle_x + dx),
                )
                for i, j in _grid(rows, columns)
            ]
        places.append(read)
    wrap = layer.padding == "CIRCULAR"
    maps = [[_number(place, shape, wrap) for place in read] for read in places]
    return (rows, columns), above, np.array(maps)


def _box_maps(
    layer: Conv | Lift | GroupConv, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], npt.NDArray[np.int64]]:
    """Do the same for signals and volumes, which nothing turns: shape above, and maps."""
    sides, steps, apart = layer.filter_shape, layer.strides, layer.dilations
    axes = [
        _reach(layer.padding, side, gap, step, size)
        for side, gap, step, size in zip(sides, apart, steps, shape, strict=True)
    ]
    above = tuple(count for count, _ in axes)
    maps = []
    for offset in np.ndindex(*sides):
        read = []
        for place in np.ndindex(*above):
            number = 0
            for axis, size in enumerate(shape):
                position = place[axis] * steps[axis] - axes[axis][1] + apart[axis] * offset[axis]
                position = position % size if layer.padding == "CIRCULAR" else position
                outside = number < 0 or not 0 <= position < size
                number = -1 if outside else number * size + position
            read.append(number)
        maps.append(read)
    return above, np.array(maps)


def _grid(rows: int, columns: int) -> list[tuple[int, int]]:
    return list(np.ndindex(rows, columns))


def _half(double: int) -> int:
    """Halve an even number: what a group turns stays on pixels."""
    half, rest = divmod(double, 2)
    assert not rest
    return half


def _reach(padding: str, side: int, apart: int, step: int, size: int) -> tuple[int, int]:
    """Count the outputs along an axis, and the places by which the first window is outside."""
    reach = apart * (side - 1)  # from the first position that a window reads to the last one
    if padding == "VALID":
        return (size - reach - 1) // step + 1, 0
    count = (size + step - 1) // step
    if padding == "CIRCULAR":
        return count, reach // 2
    return count, max(0, (count - 1) * step + reach + 1 - size) // 2


def _number(place: Place, shape: tuple[int, int], wrap: bool) -> int:
    """Find the number of a feature; -1 outside of the image."""
    r, y, x = place
    height, width = shape
    if wrap:
        y, x = y % height, x % width
    if not (0 <= y < height and 0 <= x < width):
        return -1
    return (r * height + y) * width + x


def _group(name: str) -> list[Matrix]:
    """List the matrices of a point group: powers of the rotation, and then their reflections."""
    turn = _IDENTITY
    for _ in range(4 // int(name[1])):
        turn = _times(turn, _TURN)
    rotations = [_IDENTITY]
    while (power := _times(rotations[-1], turn)) != _IDENTITY:
        rotations.append(power)
    return rotations + [_times(r, _MIRROR) for r in rotations if name[0] == "D"]


def _times(one: Matrix, two: Matrix) -> Matrix:
    (a, b), (c, d) = one
    (e, f), (g, h) = two
    return (a * e + b * g, a * f + b * h), (c * e + d * g, c * f + d * h)


def _apply(matrix: Matrix, offset: tuple[int, int]) -> tuple[int, int]:
    (a, b), (c, d) = matrix
    y, x = offset
    return a * y + b * x, c * y + d * x


def _mean_over_maps(kernel: Balls, maps: npt.NDArray[np.int64]) -> Balls:
    """Average a kernel, or variances, over the maps of a filter; features outside are 0."""
    padded = np.full([size + 1 for size in kernel.shape], arb(0), object)
    padded[(slice(-1),) * kernel.ndim] = kernel
    total = sum(padded[np.ix_(*[m] * kernel.ndim)] for m in maps)
    return np.asarray(total / len(maps))


def _sum_of_pairs(kernel: Balls, maps: npt.NDArray[np.int64]) -> Balls:
    """Sum K[m(i), m'(j)] over all pairs of maps; features outside are 0."""
    padded = np.full([size + 1 for size in kernel.shape], arb(0), object)
    padded[:-1, :-1] = kernel
    rows = sum(padded[m] for m in maps)
    return np.asarray(sum(rows[:, m] for m in maps))


def _rectified(gain: arb, skip: arb, half: arb, below: Kernels) -> tuple[Balls, Balls]:
    """Kernels after an activation with T = gain T_relu + skip K, which is half v at K = v = v'."""
    roots1, roots2 = ([_root(v) for v in var] for var in (below.var1, below.var2))
    nngp = below.nngp
    new, slope = np.empty(nngp.shape, object), np.empty(nngp.shape, object)
    for i, j in np.ndindex(*nngp.shape):
        scale = roots1[i] * roots2[j]
        if below.same[i, j]:
            new[i, j], slope[i, j] = below.var1[i] * half, half
        elif scale.is_zero():
            new[i, j], slope[i, j] = arb(0), arb(0)
        elif scale > 0:
            value, rate = _at_correlation(nngp[i, j] / scale)
            new[i, j], slope[i, j] = gain * scale * value + skip * nngp[i, j], gain * rate + skip
        else:  # whether the variance is zero is not decided: everything that is possible
            slope[i, j] = arb(0).union(skip).union(half)
            new[i, j] = scale * (-half).union(half)
    return new, below.theta * slope


def _root(variance: arb) -> arb:
    """Square root of a variance, whose ball may reach below 0 where features cancel."""
    return variance.nonnegative_part().sqrt()


def _at_correlation(rho: arb) -> tuple[arb, arb]:
    """Enclose f(rho) and (pi - arccos rho) / (2 pi); see the docstring of the module."""
    one, two_pi = arb(1), 2 * arb.pi()
    low, high = rho.lower().max(-one), rho.upper().min(one)
    middle = rho.mid().max(-one).min(one)
    theta = middle.acos()
    value = ((one - middle * middle).sqrt() + (arb.pi() - theta) * middle) / two_pi
    value += arb(0, rho.rad().upper() / 2)
    angle = low.acos().union(high.acos())
    return value, (arb.pi() - angle) / two_pi


def _balls(image: npt.NDArray[np.floating[Any]]) -> Balls:
    """Exact balls of the pixels of one image."""
    balls = np.empty(image.shape, object)
    for place in np.ndindex(*image.shape):
        balls[place] = arb(float(image[place]))
    return balls


def _square(deviation: float) -> arb:
    return arb(deviation) ** 2


RULES: dict[type, Callable[[Any, Kernels], Kernels]] = {
    Conv: _filter, Lift: _filter, GroupConv: _filter, Dense: _dense,
    AvgPool: _pooled, SumPool: _pooled,
    Relu: lambda layer, below: _slopes(0.0, 1.0, below),
    LeakyRelu: lambda layer, below: _slopes(layer.alpha, 1.0, below),
    Abs: lambda layer, below: _slopes(-1.0, 1.0, below),
    LayerNorm: _normalised, Dropout: _thinned,
    ABRelu: lambda layer, below: _slopes(layer.a, layer.b, below),
    Identity: lambda layer, below: _slopes(1.0, 1.0, below),
    **dict.fromkeys(FUNCTIONS, _pointwise),
    SetLift: _set_filter, SetGroupConv: _set_filter, CosetPool: _cosets,
    SetLinear: _orbitals,
    RotationPool: _over_rotations,
}  # fmt: skip
"""What each class of layers does to kernels; a class without a rule is refused."""

JOINTS: dict[type, Callable[[Any, list[Kernels]], Kernels]] = {
    Residual: _sum_of_branches, Concat: _concatenated, Product: _multiplied,
}  # fmt: skip
"""What each class of layers with branches makes of the kernels at their ends."""

READOUTS: dict[type, Callable[[Balls], arb]] = {
    GroupPool: lambda kernel: kernel.sum() / kernel.size,
    GlobalAvgPool: lambda kernel: kernel.sum() / kernel.size,
    GlobalSumPool: lambda kernel: kernel.sum(),
    Flatten: lambda kernel: kernel.diagonal().sum() / len(kernel),
}
"""What each readout makes of the kernel of one pair of images."""
