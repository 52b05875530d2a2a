r"""Three ways to a symmetric predictor at infinite width, on the same data.

With :math:`\Theta` the NTK of an ordinary network, :math:`\bar\Theta(x, x') = \frac1n \sum_g
\Theta(x, g x')`, and :math:`E(T) = T^{-1} (1 - e^{-\eta T t / N})`, the mean predictions at time t
are, for N images X with targets Y that do not change under the group,

.. math::
    \text{augmentation}  &: \Theta(x, GX)\, E(\Theta(GX, GX))\, GY \\
    \text{averaging}     &: \bar\Theta(x, X)\, E(\Theta(X, X))\, Y \\
    \text{architecture}  &: \bar\Theta(x, X)\, E(\bar\Theta(X, X))\, Y

on all nN copies GX; averaged over the group after training on X; and of the group network. The
first and the third agree where the network is linear behind its pooling (P. Misof, P. Kessel,
J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504). The second agrees with them
to first order in t; for all t where :math:`\Theta(X, X)` and :math:`\bar\Theta(X, X)` act alike on
Y, as they do where X already holds all copies of each image; and not in general.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import MethodError
from refntk.evaluation.evaluate import kernel
from refntk.evaluation.images import as_image_sets, as_images
from refntk.inference import GradientFlow
from refntk.network.layers import (
    Activation,
    AvgPool,
    Branching,
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
from refntk.network.linear import shared
from refntk.network.network import Network
from refntk.network.sequence import nested
from refntk.plan.reduction import make_plan
from refntk.symmetry.augmentation import (
    SCALED_TIMES,
    require_ntk_parametrization,
    rotated_copies,
    ungrouped,
)
from refntk.symmetry.measures import FloatArray, Predictor

__all__ = ["ThreeWays", "counterparts", "kernel_predictor", "three_ways"]


@dataclass(frozen=True, eq=False)
class ThreeWays:
    """Mean predictions of the three, and of the ordinary network that knows of no symmetry.

    Attributes
    ----------
    times : tuple of float
        Training times, for the learning rate 1 and the mean of the squared errors over the set,
        halved, as the loss.
    augmentation, averaging, architecture, ordinary : array of float64, shape (T, M, targets)
    """

    times: tuple[float, ...]
    augmentation: FloatArray
    averaging: FloatArray
    architecture: FloatArray
    ordinary: FloatArray

    def rows(self) -> list[dict[str, float]]:
        """Tell how far each is from the group network: the largest difference, a row for a time."""
        names = ("augmentation", "averaging", "ordinary")
        return [
            {"time": when, "of up to": float(np.abs(self.architecture[t]).max())}
            | {
                name: float(np.abs(getattr(self, name)[t] - self.architecture[t]).max())
                for name in names
            }
            for t, when in enumerate(self.times)
        ]


def counterparts(net: Network, group: str | None = None) -> tuple[Network, Network, str]:
    """Give the equivariant and the ordinary network with the same filters.

    Parameters
    ----------
    net : Network
        One of the two: with a Lift and a GroupPool, or with convolutions and a GlobalAvgPool.
    group : str, optional
        Of the Lift that the first convolution of an ordinary network becomes. Default: C4. A group
        network has its own.

    Returns
    -------
    equivariant, ordinary : Network
    group : str

    Raises
    ------
    MethodError
        There is no such pair: no convolution, no pooling over all positions, or strides.
    NetworkError
        No point group has this name, or filters that a group layer cannot have.
    """
    require_ntk_parametrization(net)
    kinds = [type(layer) for layer in net.layers]
    if Lift in kinds and GroupPool in kinds:
        own = next(layer.group for layer in net.layers if isinstance(layer, Lift))
        return net, ungrouped(net), own
    every = list(nested(net.layers))
    strided = any(isinstance(layer, Conv) and layer.strides != (1, 1) for layer in every)
    if Conv not in kinds or GlobalAvgPool not in kinds or strided:
        raise MethodError(
            "the network has no equivariant counterpart: expected convolutions without strides and "
            "a GlobalAvgPool, such as the preset cnn-gap, or a Lift and a GroupPool"
        )
    name, first, layers = group or "C4", True, []
    for index, layer in enumerate(net.layers):
        layers.append(_group_layer(index, layer, name, first))
        first = first and not isinstance(layer, Conv)
    return Network(layers), net, name


def _group_layer(index: int, layer: Layer, group: str, first: bool) -> Layer:
    match layer:
        case GlobalAvgPool():
            return GroupPool()
        case Conv() if first:
            return Lift(
                layer.filter_shape, group=group, padding=layer.padding, **shared(layer)
            )  # fmt: skip
        case Conv():
            return GroupConv(layer.filter_shape, padding=layer.padding, **shared(layer))
        case Activation() | AvgPool() | SumPool() | Dense() | Flatten() | LayerNorm() | Dropout():
            return layer
        case Branching() if not first:
            return layer.mapped(lambda inner: _group_layer(index, inner, group, False))
        case _:
            raise MethodError(
                f"layer {index} ({type(layer).__name__}): it is not known what becomes of it in an "
                "equivariant network"
            )


def kernel_predictor(
    net: Network,
    train: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    time: float = math.inf,
    diag_reg: float = 0.0,
    threads: int | None = None,
) -> Predictor:
    """Train an infinitely wide network; the mean prediction is a function of images.

    Parameters
    ----------
    net : Network
    train : array, shape (N, H, W, C)
    targets : array of numbers, shape (N,) or (N, targets)
    time : float
        Training time, as in `ThreeWays`.
    diag_reg, threads
        As for `refntk.inference.GradientFlow` and `refntk.kernel`.

    Returns
    -------
    callable
        From images (M, H, W, C) to predictions (M,) or (M, targets).

    Raises
    ------
    RefntkError
        As `refntk.kernel` and `refntk.inference.GradientFlow`.
    """
    images = as_images(train, "train")
    flow = _fit(net, images, targets, diag_reg, threads)
    flow.mean(time)  # an error, where rounding decides, comes before the first use

    def predictor(x: FloatArray) -> Any:
        return flow.mean(time, kernel(net, x, images, get="ntk", threads=threads).ntk)

    return predictor


def _fit(
    net: Network, images: npt.NDArray[Any], targets: Any, diag_reg: float, threads: int | None
) -> GradientFlow:
    gram = kernel(net, images, get="ntk", threads=threads).ntk
    assert gram is not None  # it was asked for
    return GradientFlow(loss="mean", diag_reg=diag_reg).fit(gram, targets)


def three_ways(
    net: Network,
    train: npt.ArrayLike,
    targets: npt.ArrayLike,
    test: npt.ArrayLike,
    *,
    group: str | None = None,
    augment: str | None = None,
    scaled_times: Sequence[float] = SCALED_TIMES,
    threads: int | None = None,
) -> ThreeWays:
    """Train with augmentation, average over the group, and train the group network.

    Parameters
    ----------
    net, group
        As for `counterparts`.
    train : array, shape (N, H, W, C)
    targets : array of numbers, shape (N, targets)
        The same for all copies of an image.
    test : array, shape (M, H, W, C)
        Images whose predictions are compared.
    augment : str, optional
        Point group of the copies and of the average. Default: that of the group network; with a
        smaller one the theorem does not hold.
    scaled_times : sequence of float
        Each training time, times the largest eigenvalue of the group network's NTK over N.
    threads : int, optional

    Returns
    -------
    ThreeWays

    Raises
    ------
    MethodError
        As `counterparts`, or the group's rotations change the ordinary kernel.
    RefntkError
        As `refntk.kernel` and `refntk.inference.GradientFlow`.
    """
    equivariant, ordinary, own = counterparts(net, group)
    acting = augment or own
    inside, outside = as_image_sets({"train": train, "test": test})
    make_plan(equivariant, inside.shape[1:], "slices")  # an error where rotations change the kernel
    wanted = np.asarray(targets, np.float64)
    copies, moved = rotated_copies(inside, acting), rotated_copies(outside, acting)
    order = len(moved) // len(outside)

    def cross(network: Network, x: Any, y: Any) -> FloatArray:
        return np.asarray(kernel(network, x, y, get="ntk", threads=threads).ntk, np.float64)

    flow = _fit(equivariant, inside, wanted, 0.0, threads)
    times = np.asarray(scaled_times) * len(inside) / flow.eigenvalues[-1]
    many = _fit(ordinary, copies, np.concatenate([wanted] * order), 0.0, threads)
    plain = _fit(ordinary, inside, wanted, 0.0, threads)
    turned = cross(ordinary, moved, inside).reshape(order, len(outside), -1)
    return ThreeWays(
        times=tuple(times.tolist()),
        augmentation=many.mean(times, cross(ordinary, outside, copies)),
        averaging=plain.mean(times, turned.mean(axis=0)),
        architecture=flow.mean(times, cross(equivariant, outside, inside)),
        ordinary=plain.mean(times, turned[0]),
    )
