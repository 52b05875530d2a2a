"""The experiments on training dynamics: networks, data, and where training starts.

Architectures and first parameters are those of O. Nordenfors, F. Ohlsson, A. Flinth,
arXiv:2303.13458, appendix D, and of the code that its authors released, without biases; inputs are
lowered by ½. Where text and code differ, `docs/dynamics.md` says which one this is. The small
networks are this package's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.dynamics.data import block_model_graphs, orientation_order, shape_images
from refntk.dynamics.network import EquivariantMlp, Weights
from refntk.dynamics.nonlinearities import (
    AtEachPoint,
    BinaryCrossEntropy,
    Chain,
    CrossEntropy,
    Identity,
    LayerNorm,
    LeakyRelu,
    Loss,
)
from refntk.dynamics.projection import Projection
from refntk.dynamics.representations import (
    PermutationGroup,
    Representation,
    image_group,
    symmetric_group,
)
from refntk.errors import InputError

__all__ = [
    "EXPERIMENTS",
    "SIDE",
    "Experiment",
    "build",
    "dimension_rows",
    "network",
    "shape_examples",
    "subsample",
]

FloatArray = npt.NDArray[np.float64]
Digits = tuple[FloatArray, npt.NDArray[np.int64]]

EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "perm": ("perm",),
    "trans": ("trans",),
    "rot": ("rot",),
    "groups": ("trans", "onedtrans", "rot", "transrot"),
}
"""Groups of each experiment."""

SIDE = 14
"""Height and width of the images in pixels."""

_NODES = 10
_SMALL_CHANNELS = 2


@dataclass(frozen=True, eq=False)
class Experiment:
    """A network, its data, and where training starts.

    Attributes
    ----------
    network : EquivariantMlp
    x, y : array of float64, shapes (N, d_0) and (N, d_L)
    start : callable
        Draws equivariant parameters with a generator of random numbers.
    exact : bool
        Whether the group can be averaged over, or is too large.
    """

    network: EquivariantMlp
    x: FloatArray
    y: FloatArray
    start: Callable[[np.random.Generator], Weights]
    exact: bool


def subsample(images: npt.NDArray[Any]) -> FloatArray:
    """Take every other pixel of 28×28 grey images, and flatten them.

    Parameters
    ----------
    images : array of float, shape (N, 28, 28, 1)

    Returns
    -------
    array of float64, shape (N, 196)

    Raises
    ------
    InputError
        The images have another shape.
    """
    if images.shape[1:] != (2 * SIDE, 2 * SIDE, 1):
        raise InputError(
            f"images: expected {2 * SIDE}×{2 * SIDE} pixels of one channel, "
            f"not {images.shape[1:]} (height, width, channels)"
        )
    return np.asarray(images[:, ::2, ::2, 0].reshape(len(images), -1), np.float64)


def build(
    name: str,
    group: str,
    rng: np.random.Generator,
    digits: Digits | None = None,
    channels: int | None = None,
    samples: int = 1000,
) -> Experiment:
    """Make the network and the data of an experiment.

    Parameters
    ----------
    name, group : str
        An experiment of `EXPERIMENTS`, and one of its groups.
    rng : numpy.random.Generator
        For the data that are generated: graphs for perm, shapes for rot.
    digits : (images, labels), optional
        Of shapes (N, 196) and (N,), for trans and groups.
    channels : int, optional
        Of the first hidden space of the paper's networks, which have 32; None means the small
        network, which starts at rows of norm 1.
    samples : int
        Number of graphs or shapes, and the most digits.

    Returns
    -------
    Experiment

    Raises
    ------
    InputError
        Digits are needed and missing.
    """
    if name == "perm":
        x, y = block_model_graphs(samples, _NODES, rng)
    elif name == "rot":
        x, y = shape_images(samples, SIDE, rng)
    elif digits is None:
        raise InputError(f"{name}: needs images of digits and their labels")
    else:
        x, labels = digits[0][:samples], digits[1]
        y = (labels[:samples, None] == np.unique(labels)).astype(np.float64)
    made = network(name, group, channels, y.shape[1])
    if channels is None:
        return Experiment(made, x, y, made.draw_equivariant, exact=name != "perm")
    return Experiment(made, x - 0.5, y, lambda rng: _start(made, rng), exact=name != "perm")


def network(name: str, group: str, channels: int | None, answers: int = 10) -> EquivariantMlp:
    """Make the network of an experiment.

    Parameters
    ----------
    name, group : str
        An experiment of `EXPERIMENTS`, and one of its groups.
    channels : int or None
        As for `build`.
    answers : int
        Classes of digits.

    Returns
    -------
    EquivariantMlp
    """
    acting = symmetric_group(_NODES) if name == "perm" else image_group(group, SIDE)
    if channels is None:
        return _small(name, acting, answers)

    def moved(copies: int = 1) -> Representation:
        return Representation(acting, "pairs" if name == "perm" else "points", copies)

    def fixed(copies: int) -> Representation:
        return Representation(acting, "trivial", copies)

    leaky, pooled = LeakyRelu(), Chain(LeakyRelu(), LayerNorm())
    if name == "rot":
        half = max(1, channels // 2)
        spaces = [moved(), moved(channels), moved(channels), moved(half), moved(2)]
        last = Chain(LeakyRelu(), AtEachPoint(LayerNorm(), 2))
        return EquivariantMlp(
            spaces, [leaky, leaky, leaky, last], BinaryCrossEntropy(SIDE * SIDE), biases=False
        )
    loss: Loss
    if name == "perm":
        spaces = [moved(), moved(channels), fixed(2 * channels), fixed(channels), fixed(1)]
        between, loss = [leaky, pooled, leaky, Identity()], BinaryCrossEntropy()
    else:
        spaces = [moved(), moved(channels), moved(channels), fixed(channels), fixed(answers)]
        between, loss = [leaky, leaky, pooled, Identity()], CrossEntropy()
    return EquivariantMlp(spaces, between, loss, biases=False)


def _small(name: str, group: PermutationGroup, answers: int) -> EquivariantMlp:
    """Three layers with two hidden channels."""
    kind = "pairs" if name == "perm" else "points"
    ends, hidden = Representation(group, kind), Representation(group, kind, _SMALL_CHANNELS)
    if name == "rot":
        spaces, middle = [ends, hidden, hidden, Representation(group, kind, 2)], LayerNorm()
        return EquivariantMlp(spaces, [LeakyRelu(), middle, Identity()], BinaryCrossEntropy())
    # Behind a layer norm the mean over positions is zero, and a pooled answer would see nothing.
    spaces = [ends, hidden, hidden, Representation(group, "trivial", answers)]
    loss = BinaryCrossEntropy() if name == "perm" else CrossEntropy()
    return EquivariantMlp(spaces, [LeakyRelu(), LeakyRelu(), Identity()], loss)


def _start(network: EquivariantMlp, rng: np.random.Generator) -> Weights:
    """Draw parameters as the released code does: projected normal layers, the pooling constant."""
    points = network.group.points
    pairs = network.spaces[0].kind == "pairs"
    side = points if pairs else math.isqrt(points)
    start: Weights = []
    for source, target in pairwise(network.spaces):
        if target.kind != "trivial":
            deviation = 1 / (side * np.sqrt(source.multiplicity))
            if pairs:
                deviation /= np.sqrt(target.multiplicity)
            layer = Projection(target, source).draw_projected(rng, deviation)
        else:
            layer = rng.normal(size=(target.multiplicity, source.multiplicity))
            if source.kind == "trivial":
                layer *= side / source.multiplicity
            else:
                layer = np.repeat(layer, source.dimension // source.multiplicity, axis=1)
                layer /= np.sqrt(target.multiplicity)
        start.append((layer, np.zeros(target.dimension)))
    return start


def shape_examples(seed: int) -> tuple[FloatArray, FloatArray, list[dict[str, Any]]]:
    """Draw 1000 images of rot, and tell how alike their shapes are turned.

    Parameters
    ----------
    seed : int

    Returns
    -------
    images, masks : array of float64
        Of `refntk.dynamics.data.shape_images`.
    rows : list of dict
        For triangles and pentagons their number and their orientation order.
    """
    images, masks = shape_images(1000, SIDE, np.random.default_rng([seed, 0]))
    kinds = zip(("triangle", "pentagon"), (3, 5), np.split(masks, 2, axis=1), strict=True)
    return images, masks, [
        {
            "shape": shape, "images": int(mask.any(axis=1).sum()),
            "orientation_order": orientation_order(mask, SIDE, corners),
        }
        for shape, corners, mask in kinds
    ]  # fmt: skip


def dimension_rows(channels: int = 32) -> list[dict[str, Any]]:
    """Compare the dimension of E with that of all parameters (Tables 1 and 2 of the paper).

    Parameters
    ----------
    channels : int
        As for `build`.

    Returns
    -------
    list of dict
        For each experiment and group the dimensions of single layers that commute with the group,
        ``E_square`` from the input space to itself and ``E_pool`` to one number, ``of_square`` and
        ``of_pool`` of all such layers; and ``relative``, that of all parameters together.
    """
    rows = []
    networks = [(name, group) for name in ("perm", "rot", "groups") for group in EXPERIMENTS[name]]
    for name, group in networks:
        made = network(name, group, channels)
        space, number = made.spaces[0], Representation(made.group, "trivial")
        square, pool = Projection(space, space), Projection(number, space)
        rows.append({
            "experiment": name, "group": group,
            "E_square": square.dimension, "of_square": math.prod(square.shape),
            "E_pool": pool.dimension, "of_pool": math.prod(pool.shape),
            "relative": made.relative_dimension,
        })  # fmt: skip
    return rows
