r"""The augmentation theorem: rotating the data, or building rotations into the network.

Train an ordinary network on every rotated copy of the data, or the group network with the same
filters on the data alone: the mean predictions of the two ensembles agree at every training time
and for every input, on or off the training set. The kernel of the group network is the mean of the
ordinary one over rotations of one image, :math:`\bar\Theta(x, x') = \frac1n \sum_g \Theta(x, gx')`,
and an ordinary network that starts without a preferred rotation keeps none on augmented data, so
that its dynamics close on the n times smaller set:

.. math::
    \dot\mu_t(x) = -\frac{\eta}{n N} \sum_{i,g} \Theta(x, g x_i) (\mu_t(g x_i) - y_i)
                 = -\frac{\eta}{N} \sum_i \bar\Theta(x, x_i) (\mu_t(x_i) - y_i)

P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504. What
follows the pooling must be linear, for the mean over rotations does not pass through a Relu.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, MethodError, ShapeError
from refntk.evaluation.evaluate import Job, kernel
from refntk.evaluation.images import as_image_sets, as_images
from refntk.inference import GradientFlow, class_targets
from refntk.network.arguments import times
from refntk.network.filters import recast
from refntk.network.layers import (
    Activation,
    AvgPool,
    Branching,
    CentreReadout,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Layer,
    LayerNorm,
    Lift,
    SumPool,
)
from refntk.network.network import Network
from refntk.ops.groups import point_group, rotate
from refntk.ops.lattices import GRIDS
from refntk.plan.reduction import make_plan

__all__ = [
    "BOUND",
    "SCALED_TIMES",
    "Comparison",
    "compare",
    "ordinary",
    "pairs",
    "require_ntk_parametrization",
    "rotated_copies",
    "split_targets",
    "ungrouped",
]

BOUND = 1e-9
"""Largest difference of mean predictions that rounding explains, for targets of size 1."""

SCALED_TIMES = (0.1, 1.0, 10.0, 100.0, 1e4, 1e6)
"""Training times at which predictions are compared, times the largest rate of learning."""

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Comparison:
    """How far the two ways of training are apart.

    Attributes
    ----------
    times : tuple of float
        Training times, for the learning rate 1 and the mean of the squared errors over the set,
        halved, as the loss.
    differences : tuple of float
        Largest difference of the mean predictions at each time, over training images, other images
        and targets.
    largest : tuple of float
        Largest mean prediction at each time, for comparison.
    group : str
        Name of the group whose elements turned the copies.
    copies : int
        Images that the ordinary network is trained on.
    kernels : (int, int)
        Ordinary kernels that were needed, for the ordinary network on the copies and for the group
        network on the data: pairs of images, for the latter times the order of the group.
    seconds : (float, float)
        Time spent for each of the two: kernels, decomposition, predictions; no compilation.
    """

    times: tuple[float, ...]
    differences: tuple[float, ...]
    largest: tuple[float, ...]
    group: str
    copies: int
    kernels: tuple[int, int]
    seconds: tuple[float, float]

    @property
    def cost_ratio(self) -> float:
        """How many times longer the ordinary network on the copies took."""
        return self.seconds[0] / self.seconds[1]


def ordinary(net: Network) -> Network:
    """Give the ordinary network with the filters of a group network.

    Parameters
    ----------
    net : Network
        It begins with a Lift and ends behind a GroupPool or a CentreReadout.

    Returns
    -------
    Network
        Lift and GroupConv have become Conv, GroupPool GlobalAvgPool, and CentreReadout, which has
        one filter over all positions, Flatten; all else is as it was.

    Raises
    ------
    MethodError
        There is no Lift or no such readout, or a Relu after the pooling, for which the theorem does
        not hold.
    """
    _group(net)
    return ungrouped(net)


def ungrouped(net: Network) -> Network:
    """Replace group layers by ordinary ones with the same filters, whatever the theorem says.

    Parameters
    ----------
    net : Network

    Returns
    -------
    Network
        As of `ordinary`.

    Raises
    ------
    MethodError
        The network is in the standard parametrisation, or it is not known what becomes of a layer.
    """
    require_ntk_parametrization(net)
    return Network([_ordinary_layer(index, layer) for index, layer in enumerate(net.layers)])


def require_ntk_parametrization(net: Network) -> None:
    """Refuse the standard parametrisation.

    Raises
    ------
    MethodError
        There the fan-in of a group convolution, and with it the NTK, counts the rotations, so that
        group networks and ordinary ones have kernels of unlike weights.
    """
    if net.parameterization != "ntk":
        raise MethodError(
            "a group network and its ordinary counterpart have the same kernels in the NTK "
            f'parametrisation alone: expected parameterization="ntk", not {net.parameterization!r}'
        )


def _group(net: Network) -> str:
    """Name the group of a network for which the theorem holds; `ordinary` says which do."""
    kinds = [type(layer) for layer in net.layers]
    ends = [place for place, kind in enumerate(kinds) if kind in (GroupPool, CentreReadout)]
    if Lift not in kinds or not ends:
        raise MethodError(
            "augmentation: expected a network with a Lift and a GroupPool, such as the preset "
            "gcnn-convergence"
        )
    for place in range(ends[0] + 1, len(kinds)):
        if kinds[place] is not Dense:
            raise MethodError(
                f"augmentation: layer {place} ({kinds[place].__name__}) comes after the pooling, "
                "and the theorem holds for linear layers there; take a network without it, such as "
                "the preset gcnn-convergence"
            )
    return next(layer.group for layer in net.layers if isinstance(layer, Lift))


def _ordinary_layer(index: int, layer: Layer) -> Layer:
    match layer:
        case Lift() if layer.elements.lattice == "hexagonal":
            raise MethodError(
                f"layer {index} (Lift): hexagons have no ordinary convolution: compare with "
                'Lift(group="C1", lattice="hexagonal")'
            )
        case Lift() | GroupConv():
            return recast(layer, Conv)
        case GroupPool():
            return GlobalAvgPool()
        case CentreReadout():
            return Flatten()
        case Conv() | Activation() | AvgPool() | SumPool() | Flatten() | GlobalAvgPool() | Dense():
            return layer
        case LayerNorm() | Dropout():
            return layer
        case Branching():
            return layer.mapped(lambda inner: _ordinary_layer(index, inner))
        case _:
            raise MethodError(
                f"layer {index} ({type(layer).__name__}): it is not known what becomes of it in an "
                "ordinary network"
            )


def rotated_copies(
    images: FloatArray, group: str, lattice: str | None = None
) -> FloatArray:
    """Let every element of a group act on every image.

    Parameters
    ----------
    images : float array, shape (N, H, W, C)
        Or signals (N, L, C), or volumes (N, D, H, W, C).
    group : str
        Name of a point group of order n.
    lattice : {"hexagonal"}, optional
        For axial images of hexagons.

    Returns
    -------
    float array, shape (n N, H, W, C)
        All images as they are, then all turned by the second element, and so on.

    Raises
    ------
    ShapeError
        The group turns images that are not square by 90 degrees, so that copies differ in shape.
    """
    elements = point_group(group, lattice or GRIDS[images.ndim - 3])
    sides = images.shape[1:-1]
    if any(sides[i] != sides[j] for i, j in elements.exchanges):
        raise ShapeError(
            f"the group {group} turns {times(sides)} images by 90 degrees, and copies of two "
            "shapes are no set of images: crop them to like sides, or use a group without such "
            "turns, as C1, C2, D1, D2 are"
        )
    return np.concatenate([rotate(images, r, elements) for r in range(elements.order)])


def split_targets(
    labels: npt.NDArray[np.int64], seed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Divide labelled images into two thirds to train on and one third to predict.

    Parameters
    ----------
    labels : array of int, shape (N,)
        Class of each image.
    seed : int
        Of the division.

    Returns
    -------
    train, test : arrays of int
        Indices of the images.
    targets : array of float64, shape (number of training images, classes)
        Those of `refntk.inference.class_targets`.

    Raises
    ------
    InputError
        Fewer than three images, or the training images are all of one class.
    """
    if len(labels) < 3:
        raise InputError(f"augmentation: needs three images at least, not {len(labels)}")
    order = np.random.default_rng(seed).permutation(len(labels))
    train, test = np.split(order, [-(-2 * len(labels) // 3)])
    names, classes = np.unique(labels, return_inverse=True)
    return train, test, class_targets(classes[train], len(names))


def pairs(net: Network, train: npt.ArrayLike, test: npt.ArrayLike) -> int:
    """Count the pairs of images that `compare` reports to `progress`.

    Parameters
    ----------
    net : Network
        The group network.
    train, test : arrays, shape (N, H, W, C) and (M, H, W, C)

    Returns
    -------
    int

    Raises
    ------
    MethodError, InputError, ShapeError, NetworkError
        As `compare`.
    """
    plain = ordinary(net)
    inside = as_images(train, "train", axes=net.axes)
    copies = rotated_copies(inside, _group(net))
    return sum(
        Job(network, images).pairs + Job(network, test, images).pairs
        for network, images in ((net, inside), (plain, copies))
    )


def _counts(train: int, test: int, order: int) -> tuple[int, int]:
    """Different pairs of images of the group network, and of the ordinary one on the copies."""
    few, many = (n * (n + 1) // 2 + n * test for n in (train, order * train))
    return few, many


def compare(
    net: Network,
    train: npt.ArrayLike,
    targets: npt.ArrayLike,
    test: npt.ArrayLike,
    *,
    scaled_times: Sequence[float] = SCALED_TIMES,
    method: str = "auto",
    threads: int | None = None,
    progress: Callable[[int], None] = lambda pairs: None,
) -> Comparison:
    """Train both ways, and compare the mean predictions at several times.

    Parameters
    ----------
    net : Network
        The group network; `ordinary` says what it must be.
    train : array, shape (N, H, W, C)
        Training images, as for `refntk.kernel`.
    targets : float array, shape (N,) or (N, k)
        One row an image; its rotated copies get the same.
    test : array, shape (M, H, W, C)
        Other images, for predictions off the training set.
    scaled_times : sequence of float
        Each training time, times the largest eigenvalue of the group network's NTK over N.
    method : str
        How the kernel of the group network is computed. ``slices``, which is what ``auto`` takes,
        averages the ordinary kernel over rotations; ``literal`` does not know of the theorem.
    threads : int, optional
        As for `refntk.kernel`.
    progress : callable, optional
        Called with numbers of pairs of images that have been computed; `pairs` gives their sum.

    Returns
    -------
    Comparison

    Raises
    ------
    MethodError
        The network has no ordinary counterpart, or its filters are not mapped to themselves.
    InputError, ShapeError, NetworkError
        As `refntk.kernel` and `refntk.inference.GradientFlow`.
    NotPositiveDefiniteError
        Rounding decides the predictions at one of the times.
    """
    plain = ordinary(net)
    inside, outside = as_image_sets({"train": train, "test": test}, axes=net.axes)
    reduced = "slices" if net.axes == 2 else "orbits"
    make_plan(net, inside.shape[1:], reduced)  # an error where rotations change the kernel
    group = _group(net)
    copies = rotated_copies(inside, group)
    wanted = np.asarray(targets)
    repeated = np.concatenate([wanted] * (len(copies) // len(inside)))
    counts = _counts(len(inside), len(outside), len(copies) // len(inside))
    times: npt.NDArray[np.float64] | None = None
    answers, seconds = [], []
    for network, images, values, how in (
        (net, inside, wanted, method),
        (plain, copies, repeated, "auto"),
    ):
        kernel(network, images[:1], get="ntk", method=how, threads=threads)  # compiles
        begin = time.perf_counter()
        report = _Increments(progress)
        gram = kernel(network, images, get="ntk", method=how, threads=threads, progress=report)
        report = _Increments(progress)
        cross = kernel(
            network, outside, images, get="ntk", method=how, threads=threads, progress=report
        )
        flow = GradientFlow(loss="mean").fit(_there(gram.ntk), values)
        if times is None:
            times = np.asarray(scaled_times) * len(inside) / flow.eigenvalues[-1]
        on = flow.mean(times)[:, : len(inside)]
        off = flow.mean(times, _there(cross.ntk))
        answers.append(np.concatenate([on, off], axis=1).reshape(len(times), -1))
        seconds.append(time.perf_counter() - begin)
    assert times is not None
    return Comparison(
        times=tuple(times.tolist()),
        differences=tuple(np.abs(answers[1] - answers[0]).max(axis=1).tolist()),
        largest=tuple(np.abs(answers[0]).max(axis=1).tolist()),
        group=group,
        copies=len(copies),
        kernels=(counts[1], counts[0] * (len(copies) // len(inside))),
        seconds=(seconds[1], seconds[0]),
    )


class _Increments:
    """Turn a running count, as `kernel` gives it, into what is new since the last call."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        self._progress(done - self._done)
        self._done = done


def _there(kernel_matrix: FloatArray | None) -> FloatArray:
    assert kernel_matrix is not None  # it was asked for
    return kernel_matrix
