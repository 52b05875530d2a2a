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

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from flint import arb, ctx

from refntk.errors import MethodError
from refntk.network.layers import (
    AvgPool,
    CentreReadout,
    Concat,
    CosetPool,
    Dense,
    Flatten,
    Product,
    Residual,
    RotationPool,
    SetLinear,
    SumPool,
)
from refntk.network.network import Network
from refntk.network.sequence import nested
from refntk.truth.balls.grid_maps import IDENTITY
from refntk.truth.balls.kernels import Balls, Kernels
from refntk.truth.balls.rules import JOINTS, READOUTS, RULES

__all__ = ["JOINTS", "PRECISION", "READOUTS", "RULES", "Kernels", "enclosures", "entry_enclosures"]

PRECISION = 400
"""Bits of the midpoints: 120 digits, of which even the NTK at rho = 1 keeps 60 in a first layer."""

Enclosure: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


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

    last = type(net.layers[end])
    readout, stacks = READOUTS[last], last in (Flatten, CentreReadout)
    channels: int | None = None

    def pair(x: Balls, y: Balls, wanted: bool, equal: bool) -> tuple[arb, arb]:
        nonlocal channels
        below = _through(net, x, y, wanted, equal, end)
        channels = below.channels and below.channels * (len(below.nngp) if stacks else 1)
        return readout(below.nngp, below), readout(below.theta, below)

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
    kernels = Kernels(nngp, theta, var1, var2, same, True, (), [IDENTITY], channels)
    for k in head:
        layer = net.layers[k]
        kernels = _after(f"layer {k} ({type(layer).__name__})", layer, kernels)
    return kernels.nngp, kernels.theta


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
    return Kernels(nngp, theta, var1, var2, equal, ntk, x.shape[:-1], [IDENTITY], counted)


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


def _balls(image: npt.NDArray[np.floating[Any]]) -> Balls:
    """Exact balls of the pixels of one image."""
    balls = np.empty(image.shape, object)
    for place in np.ndindex(*image.shape):
        balls[place] = arb(float(image[place]))
    return balls
