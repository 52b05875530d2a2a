r"""Which exact reductions apply to a network, and the plan of computation that results.

The literal recursion holds n² P² numbers for a pair of images of P positions under a group of order
n. Two theorems make it cheap:

**Orbit reduction.** Where every filter is invariant under the group and the padding treats all
sides alike, a lifted network's kernel after pooling is the mean over rotations of one image of the
kernel C of the ordinary network with the same filters, and after Flatten it is that kernel itself:

.. math::
    K(x, x') = \frac1n \sum_{\rho} C(x, \rho \cdot x')

**Displacement slices.** Convolutions move t and t' together and Relu is pointwise, so that the
entries with t' - t = d, a slice of at most P numbers, obey a recursion of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from refntk.errors import MethodError, NetworkError, unknown
from refntk.network.arguments import times
from refntk.network.layers import (
    Conv,
    Flatten,
    GroupConv,
    Layer,
    Lift,
    Relu,
    Window,
    offsets,
    windows,
)
from refntk.network.network import Network
from refntk.ops.groups import point_group

__all__ = ["METHODS", "Plan", "Step", "make_plan"]

METHODS: tuple[str, ...] = ("slices", "dense", "literal")
"""Methods, the cheapest first.

``slices`` uses both reductions. ``dense`` will use orbit reduction alone, for networks with pooling
in the middle; no layer asks for it yet. ``literal`` assumes nothing.
"""


_FAR = 16
"""Powers of two that a variance may be away from 1 before features are divided."""


@dataclass(frozen=True)
class Step:
    """A convolution of the reduced network, and the Relu after it if there is one.

    Attributes
    ----------
    y, x : Window
        How the filter slides along each axis.
    weight, bias : float
        W_std² / |S| and b_std².
    relu : bool
    """

    y: Window
    x: Window
    weight: float
    bias: float
    relu: bool


@dataclass(frozen=True)
class Plan:
    """How the kernel of one network on images of one shape is computed.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    shape : (int, int, int)
        Height, width and channels of an image.
    body : Network
        All layers up to the readout (GroupPool, GlobalAvgPool or Flatten), which is included: the
        expensive part, a kernel for each pair of images. Its features are those of the network
        divided by powers of two, so that no width of weights and no depth overflows or underflows.
    exponent : int
        The kernels of the network at the readout are those of `body` times 2 to this power.
    head : tuple of Layer
        Dense and Relu layers after it, elementwise on matrices of kernels.
    group : str
        Point group over which kernels of the body are averaged: C1 where there is nothing to do.
    steps : tuple of Step
        The body of the reduced network; empty for the literal method.
    pooled : bool
        Whether the readout is a mean over all pairs of positions, or over equal positions only.
    """

    method: str
    shape: tuple[int, int, int]
    body: Network
    exponent: int
    head: tuple[Layer, ...]
    group: str
    steps: tuple[Step, ...]
    pooled: bool

    @property
    def homogeneous(self) -> bool:
        """Whether the body has no biases, so that K(a x, b x') = a b K(x, x') for positive a, b."""
        return not any(getattr(layer, "b_std", 0) for layer in self.body.layers)

    @property
    def order(self) -> int:
        """Number of rotations of x' that are averaged over."""
        return point_group(self.group).order

    @property
    def entries(self) -> int:
        """Kernel entries that a pair of images costs, summed over layers and rotations."""
        height, width, _ = self.shape
        if self.method == "literal":
            lifted = [s.group for s in self.body.signals(self.shape) if s.group is not None]
            order = point_group(lifted[0]).order if lifted else 1
            return (order * height * width) ** 2 * len(self.body.layers)
        places = [step.y.n_out * step.x.n_out for step in self.steps] or [height * width]
        return self.order * sum(n * n if self.pooled else n for n in places)


def make_plan(
    net: Network,
    shape: tuple[int, int, int],
    method: str = "auto",
    available: tuple[str, ...] = METHODS,
    backend: str = "",
) -> Plan:
    """Choose the cheapest method that applies to a network, or check one that is asked for.

    Parameters
    ----------
    net : Network
    shape : (H, W, C)
        Of one image.
    method : str, default "auto"
        One of `METHODS`, or ``auto``.
    available : tuple of str
        Methods of the backend.
    backend : str
        Its name, for messages.

    Returns
    -------
    Plan

    Raises
    ------
    MethodError
        The method is unknown, the backend does not have it, or it does not apply to the network;
        the message names the layer that prevents it.
    NetworkError
        The network has no readout.
    ShapeError
        A layer cannot take images of this shape.
    """
    if method not in ("auto", *METHODS):
        raise MethodError(unknown("method", method, ("auto", *METHODS)))
    last = net.signals(shape)[-1]
    if last.kind != "vector":
        raise NetworkError(
            f"layer {len(net.layers) - 1} ({type(net.layers[-1]).__name__}): the network ends "
            f"on {'a group' if last.kind == 'group' else 'a grid'}, and has no kernel for a pair "
            "of images: end it with GroupPool, GlobalAvgPool or Flatten"
        )
    obstacle = _obstacle(net)
    if method == "auto":
        method = "slices" if obstacle is None and "slices" in available else "literal"
    if method not in available:
        raise MethodError(
            f"the backend {backend} has no method {method}: use {' or '.join(available)}"
        )
    if method == "slices" and obstacle is not None:
        raise MethodError(f"the method slices does not apply: {obstacle}; use the method literal")
    return _plan(net, shape, method)


def _plan(net: Network, shape: tuple[int, int, int], method: str) -> Plan:
    signals = net.signals(shape)
    count = next(k for k, signal in enumerate(signals) if signal.kind == "vector") + 1
    (body, exponent), head = _balanced(net.layers[:count]), net.layers[count:]
    pooled = not isinstance(body.layers[-1], Flatten)
    if method == "literal":
        return Plan(method, shape, body, exponent, head, "C1", (), pooled)
    group = next((layer.group for layer in body.layers if isinstance(layer, Lift)), "C1")
    steps = []
    size = shape[:2]
    for k, layer in enumerate(body.layers):
        if isinstance(layer, Conv | Lift | GroupConv):
            y, x = windows(layer, size)
            weight = layer.W_std**2 / (y.size * x.size)
            relu = isinstance(body.layers[k + 1], Relu)
            steps.append(Step(y, x, weight, layer.b_std**2, relu))
            size = y.n_out, x.n_out
    group = group if pooled else "C1"
    return Plan(method, shape, body, exponent, head, group, tuple(steps), pooled)


def _balanced(layers: tuple[Layer, ...]) -> tuple[Network, int]:
    """Divide features by powers of two where variances would go far away from 1.

    That changes no digit of anything, and not even the layers where it is not needed.
    """
    balanced: list[Layer] = []
    variance, total = 1.0, 0
    for layer in layers:
        if isinstance(layer, Conv | Lift | GroupConv):
            bias = math.ldexp(layer.b_std, -total)
            variance = min(max(layer.W_std**2 * variance + bias**2, 1e-200), 1e200)
            far = layer.W_std > 0 and abs(math.log2(variance)) > _FAR
            power = round(math.log2(variance) / 2) if far else 0
            variance, total = math.ldexp(variance, -2 * power), total + power
            layer = replace(
                layer, W_std=math.ldexp(layer.W_std, -power), b_std=math.ldexp(bias, -power)
            )
        elif isinstance(layer, Relu):
            variance /= 2
        balanced.append(layer)
    return Network(balanced), 2 * total


def _obstacle(net: Network) -> str | None:
    """Say which layer prevents the reductions, and why; None if they hold."""
    paddings: set[bool] = set()
    group = None
    for k, layer in enumerate(net.layers):
        if not isinstance(layer, Conv | Lift | GroupConv):
            continue
        name = f"layer {k} ({type(layer).__name__})"
        if isinstance(layer, Lift):
            if paddings:
                return f"{name} comes after a Conv, and must be the first convolution"
            group = point_group(layer.group)
        if group is not None and not isinstance(layer, Conv) and not group.acts_on(offsets(layer)):
            return (
                f"{name} has a {times(layer.filter_shape)} filter, which the group {group.name} "
                "does not map to itself"
            )
        paddings.add(layer.padding == "CIRCULAR")
        if len(paddings) > 1:
            return f"{name} has padding {layer.padding}, and CIRCULAR does not mix with others"
    return None
