r"""Which exact reductions apply to a network, and the plan of computation that results.

The literal recursion holds n² P² numbers for a pair of images of P positions under a group of order
n. Two theorems make it cheap:

**Orbit reduction.** Where every filter is invariant under the group and all windows are mapped to
one another (`refntk.plan.equivariance`), a lifted network's kernel after pooling is the mean over
rotations of one image of the kernel C of the ordinary network with the same filters, and after
Flatten it is that kernel itself. Images of any shape do: one that is turned by 90 degrees has
another.

.. math::
    K(x, x') = \frac1n \sum_{\rho} C(x, \rho \cdot x')

**Displacement slices.** Convolutions move t and t' together and Relu is pointwise, so that the
entries with t' - t = d, a slice of at most P numbers, obey a recursion of their own. A pooling
before the readout sums slices of neighbouring displacements; between poolings the theorem holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from refntk.errors import MethodError, NetworkError, unknown
from refntk.network.network import Network
from refntk.ops.dual import ArcCosine
from refntk.ops.groups import point_group
from refntk.ops.operations import (
    Add,
    Average,
    Filter,
    Join,
    Multiply,
    Operation,
    Pointwise,
    Rescale,
    Stack,
    Thin,
    read_by,
)
from refntk.ops.powers import PolynomialDual
from refntk.ops.program import Program
from refntk.ops.series import SeriesDual
from refntk.ops.space import Space
from refntk.ops.support import Support, Window
from refntk.plan.axes import as_rows
from refntk.plan.branches import fork_obstacle
from refntk.plan.cosets import Level, cost, levels, obstacle_on_cosets
from refntk.plan.equivariance import broken_symmetry
from refntk.plan.means import without_inner_means
from refntk.plan.orbits import orbit_entries, orbit_obstacle, turned_obstacle
from refntk.plan.pools import pool_obstacle

__all__ = ["METHODS", "Plan", "Pool", "Step", "make_plan", "tangent_of"]

METHODS: tuple[str, ...] = ("slices", "band", "branches", "orbits", "literal")
"""Methods, the cheapest first: ``slices`` uses both reductions, ``band`` does so between poolings,
``branches`` where layers fork or rescale, ``orbits`` uses both in NumPy, on volumes and hexagons,
too, and ``literal`` assumes nothing."""


_FAR = 16
"""Powers of two that a variance may be away from 1 before features are divided."""


@dataclass(frozen=True)
class Step:
    """A convolution of the reduced network, and the activation after it if there is one.

    Attributes
    ----------
    y, x : Window
        How the filter slides along each axis.
    weight, bias : float
        W_std² / |S| and b_std².
    activation : ArcCosine or None
        The dual of the activation; None where there is none, or one beyond the Relu family, which
        `Plan.body` has.
    tangent : (float, float)
        The (alpha, beta) with which K after the convolution enters Theta: alpha K + beta. (1, 0) in
        the NTK parametrisation.
    """

    y: Window
    x: Window
    weight: float
    bias: float
    activation: ArcCosine | None
    tangent: tuple[float, float] = (1.0, 0.0)


@dataclass(frozen=True)
class Pool:
    """A pooling before the readout.

    Attributes
    ----------
    after : int
        Number of steps that come before it.
    y, x : Window
        How its window slides along each axis.
    over : {"window", "inside", "one"}
        What sums are divided by, see `refntk.ops.operations.Average`.
    """

    after: int
    y: Window
    x: Window
    over: str


@dataclass(frozen=True)
class Plan:
    """How the kernel of one network on images of one shape is computed.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    shape : (int, int, int) or (int, int)
        Height, width and channels of an image; points and channels of a signal on a finite set.
    body : Program
        All operations up to the readout (of GroupPool, GlobalAvgPool or Flatten), which is
        included: the expensive part, a kernel for each pair of images. Its features are those of
        the network divided by powers of two, so that no width of weights and no depth overflows or
        underflows.
    exponent : int
        The kernels of the network at the readout are those of `body` times 2 to this power.
    head : Program
        The operations after it, elementwise on matrices of kernels.
    group : str
        Point group over which kernels of the body are averaged: C1 where there is nothing to do.
    steps : tuple of Step
        The body of the reduced network; empty for the literal method.
    pooled : bool
        Whether the readout is a mean over all pairs of positions, or over equal positions only.
    levels : tuple of Level
        The body on a finite group, in slices on cosets; empty for images and the literal method.
    doubt : str or None
        Why the network is not equivariant, though it has layers on a group; None where it is.
    pools : tuple of Pool
        Poolings before the readout, for the method band.
    """

    method: str
    shape: tuple[int, ...]
    body: Program
    exponent: int
    head: Program
    group: str
    steps: tuple[Step, ...]
    pooled: bool
    levels: tuple[Level, ...] = ()
    doubt: str | None = None
    pools: tuple[Pool, ...] = ()

    @property
    def homogeneous(self) -> bool:
        """Whether K(a x, b x') = a b K(x, x') for positive a, b, and Theta likewise.

        It is so without biases, where the activations are of degree 1.
        """
        return _degree_one(self.body) and not any(
            op.bias or op.tangent[1] for op in self.body.operations if isinstance(op, Filter)
        )

    @property
    def general(self) -> bool:
        """Whether the slices have an activation beyond the Relu family."""
        duals = (op.dual for op in self.body.operations if isinstance(op, Pointwise))
        return self.method == "slices" and any(dual.arccos is None for dual in duals)

    @property
    def order(self) -> int:
        """Number of rotations of x' that are averaged over."""
        return point_group(self.group).order

    @property
    def oblong(self) -> bool:
        """Whether the group turns x' to another shape: by 90 degrees, where it is not square."""
        return self.shape[0] != self.shape[1] and point_group(self.group).swaps_axes

    @property
    def families(self) -> tuple[tuple[tuple[int, ...], bool], ...]:
        """Elements of the group that give x' one shape, and whether it is another than that of x.

        All elements are one family unless the plan is `oblong`.
        """
        elements = tuple(range(self.order))
        if not self.oblong:
            return ((elements, False),)
        swapped = point_group(self.group).matrices[:, 0, 1] != 0
        return tuple(
            (tuple(r for r in elements if swapped[r] == turned), turned)
            for turned in (False, True)
        )

    @property
    def last(self) -> tuple[int, int]:
        """Number of positions at the readout along y, and along x."""
        if not self.steps:
            return self.shape[0], self.shape[1]
        return self.steps[-1].y.n_out, self.steps[-1].x.n_out

    @property
    def extent(self) -> tuple[int, int]:
        """Most positions of any features along y, and along x."""
        height, width, _ = self.shape
        return (
            max([height, *(step.y.n_out for step in self.steps)]),
            max([width, *(step.x.n_out for step in self.steps)]),
        )

    def turned(self) -> Plan:
        """Give the plan of images that are turned by 90 degrees."""
        height, width, channels = self.shape
        steps = tuple(replace(step, y=step.x, x=step.y) for step in self.steps)
        return replace(self, shape=(width, height, channels), steps=steps)

    @property
    def divisor(self) -> float:
        """What sums over positions, and over the rotations of x', are divided by."""
        last = self.body.operations[-1]
        if isinstance(last, Average):
            # A sum over a group has as many terms for each rotation as there are elements.
            return self.order * (float(last.divisors[0]) / last.support.below.order) ** 2
        assert isinstance(last, Stack)  # else it is no readout
        return float(last.support.below.positions)

    @property
    def entries(self) -> int:
        """Kernel entries that a pair of images costs, summed over layers and rotations."""
        if self.method == "literal":
            return self.largest**2 * len(self.body.operations)
        if self.method == "orbits":
            return orbit_entries(self.body)
        if self.levels:
            return cost(self.levels, self.pooled)
        places = [step.y.n_out * step.x.n_out for step in self.steps]
        if self.method == "branches":
            places = [space.positions for space in self.body.spaces[1:-1]]
            if any(isinstance(op, Average) for op in self.body.operations[:-1]):
                return self.order * sum(n * n for n in places)
        places = places or [math.prod(self.shape[:-1])]
        if self.pools:
            return self.order * sum(n * n for n in places)
        return self.order * sum(n * n if self.pooled else n for n in places)

    @property
    def largest(self) -> int:
        """Number of features of the body where they are most."""
        return max(space.size for space in self.body.spaces)


def make_plan(
    net: Network,
    shape: tuple[int, ...],
    method: str = "auto",
    available: tuple[str, ...] = METHODS,
    backend: str = "",
    general: bool = True,
) -> Plan:
    """Choose the cheapest method that applies to a network, or check one that is asked for.

    Parameters
    ----------
    net : Network
    shape : (H, W, C) or (X, C)
        Of one image, or of one signal on a finite set.
    method : str, default "auto"
        One of `METHODS`, or ``auto``.
    available : tuple of str
        Methods of the backend.
    backend : str
        Its name, for messages.
    general : bool
        Whether its slices take activations beyond the Relu family.

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
            f"on {'a grid' if last.kind == 'grid' else 'a group'}, and has no kernel for a pair "
            "of images: end it with GroupPool, GlobalAvgPool or Flatten"
        )
    program = without_inner_means(net.program(shape))
    if net.axes == 1 and net.takes == "grid":
        program, shape = as_rows(program), (1, *shape)
    # The first vector is the readout: branches do not go beyond it.
    count = program.spaces.index(Space())
    body, head = program.part(0, count), program.part(count, len(program))
    obstacle = doubt = broken_symmetry(program)
    on_cosets = net.takes == "set"
    name = program.name(0)
    reasons: dict[str, str | None] = dict.fromkeys(METHODS[:-1], obstacle)
    if on_cosets:
        alone = f"{name} has slices on cosets on processors alone" if backend == "cupy" else None
        reasons["slices"] = obstacle or obstacle_on_cosets(body) or alone
        reasons |= dict.fromkeys(("band", "branches", "orbits"), f"{name} is no layer on images")
    elif obstacle is None:
        reasons = {method_: _obstacle(body, method_, general) for method_ in reasons}
        reasons["orbits"] = orbit_obstacle(body)
    best = next(known for known in METHODS if known in available and reasons.get(known) is None)
    method = best if method == "auto" else method
    if method not in available:
        raise MethodError(
            f"the backend {backend} has no method {method}: use {' or '.join(available)}"
        )
    if reasons.get(method) is not None:
        raise MethodError(
            f"the method {method} does not apply: {reasons[method]}; use the method {best}"
        )
    body, exponent = _balanced(body)
    pooled = not isinstance(body.operations[-1], Stack)
    steps: tuple[Step, ...] = ()
    pools: tuple[Pool, ...] = ()
    chain: tuple[Level, ...] = ()
    group = "C1"
    if on_cosets and method != "literal":
        chain = levels(body)
    elif method == "branches":
        group = next((g.name for g in (space.group for space in body.spaces) if g), "C1")
    elif method not in ("orbits", "literal"):
        steps, pools, group = _steps(body)
    group = group if pooled else "C1"
    return Plan(method, shape, body, exponent, head, group, steps, pooled, chain, doubt, pools)


def _obstacle(body: Program, method: str, general: bool) -> str | None:
    """Say which layer prevents a method other than literal, and why; None if it applies."""
    wraps: set[bool] = set()
    last, forks, pools = len(body) - 1, method == "branches", 0
    for k, operation in enumerate(body.operations):
        name = body.name(k)
        if not forks and read_by(operation) != (k,):
            return f"{name} does not read the layer before it alone"
        match operation:
            case Add() | Join() | Multiply() | Rescale() if forks:
                pass
            case Filter(support=support):
                if support.windows is None or len(support.windows) != 2:
                    return f"{name} is no convolution of images"
                if support.above.group is not None and support.above.group.lattice != "square":
                    return f"{name} is on a {support.above.group.lattice} lattice"
                if support.above.group is not None and support.below.group is None and wraps:
                    return f"{name} comes after a Conv, and must be the first convolution"
                if support.above.group is not None and support.below.group is None and pools:
                    return f"{name} comes after a pooling, and must be the first layer"
                if support.mask is not None:
                    return f"{name} has a mask, and slices sum over whole windows"
                if operation.tangent[0] and not operation.weight:
                    return f"{name} trains weights of deviation 0"
                if forks and _oblong(support):
                    return f"{name} has branches beside it, and turns images to another shape"
                if obstacle := turned_obstacle(support, "filter") or _mixed(support, wraps):
                    return f"{name} {obstacle}"
            case Pointwise(dual=dual):
                below = body.operations[k - 1]
                if not (forks or isinstance(below, Filter)):
                    return f"{name} does not come after a convolution"
                if dual.arccos is None and (method == "band" or not (dual.sliced and general)):
                    return f"{name} is no Relu or the like, which these slices are for"
                if forks and isinstance(dual, SeriesDual | PolynomialDual):
                    return f"{name} is a series, which slices of branches have no room for"
                if dual.arccos is None and isinstance(below, Filter) and _oblong(below.support):
                    return f"{name} is no Relu or the like, and images are turned to another shape"
            case Average(support=support) if support.windows and (forks or method == "band"):
                pools += 1
                obstacle = turned_obstacle(support, "window")
                if obstacle := obstacle or pool_obstacle(support, True in wraps):
                    return f"{name} {obstacle}"
            case Stack(support=support) if support.above.group is not None:
                return f"{name} reads all positions at the centre of rotation"
            case Average(support=support) | Stack(support=support):
                if support.windows is not None or k < last:
                    return f"{name} pools before the readout"
            case _:
                return f"{name} has no rule there"
    if forks:
        return fork_obstacle(body)
    if method == "band" and not pools:
        return f"no layer pools before {body.name(last)}"
    if method == "band" and not wraps:
        return f"no convolution comes before {body.name(last)}"
    return None


def _mixed(support: Support, wraps: set[bool]) -> str | None:
    """Note the padding of a convolution, and say where it is not that of those before."""
    wrap = any(window.wrap for window in support.windows or ())
    if wrap and _oblong(support):
        return "wraps images that are not square, and the group turns them"
    wraps.add(wrap)
    if len(wraps) == 1:
        return None
    padding = "padding CIRCULAR" if wrap else "another padding"
    return f"has {padding}, and CIRCULAR does not mix with others"


def _oblong(support: Support) -> bool:
    """Whether the group of the features above turns an image to another shape."""
    group, shape = support.above.group, support.below.shape
    return group is not None and group.swaps_axes and len(set(shape)) > 1


def _steps(body: Program) -> tuple[tuple[Step, ...], tuple[Pool, ...], str]:
    """Turn a body that the reductions apply to into steps and pools, and name its group."""
    steps: list[Step] = []
    pools: list[Pool] = []
    group = "C1"
    for k, layer in enumerate(body.operations):
        if isinstance(layer, Filter):
            assert layer.support.windows is not None  # `_obstacle` has seen to it
            y, x = layer.support.windows
            above, after = layer.support.above.group, body.operations[k + 1]
            group = group if above is None else above.name
            dual = after.dual.arccos if isinstance(after, Pointwise) else None
            weight, bias = layer.weight**2 / (y.size * x.size), layer.bias**2
            steps.append(Step(y, x, weight, bias, dual, tangent_of(layer)))
        elif isinstance(layer, Average) and layer.support.windows:
            y, x = layer.support.windows
            pools.append(Pool(len(steps), y, x, layer.over))
    return tuple(steps), tuple(pools), group


def tangent_of(layer: Filter) -> tuple[float, float]:
    """Write what a layer adds to Theta, alpha A(K) + beta, in terms of K' = w² A(K) + b².

    Parameters
    ----------
    layer : Filter

    Returns
    -------
    (float, float)
        What K' is multiplied by, and what is added. (1, 0) in the NTK parametrisation.
    """
    if layer.in_ntk_parametrization:
        return 1.0, 0.0
    trained, shifted = layer.tangent
    rate = trained / Fraction(layer.weight) ** 2 if trained else Fraction(0)
    return float(rate), float(shifted - rate * Fraction(layer.bias) ** 2)


def _degree_one(program: Program) -> bool:
    """Whether features scale as the images do, but for biases."""
    return all(
        op.dual.degree == 1 if isinstance(op, Pointwise)
        else isinstance(op, Filter | Average | Stack | Add | Join | Thin)
        for op in program.operations
    )  # fmt: skip


def _balanced(body: Program) -> tuple[Program, int]:
    """Divide features by powers of two where variances would go far away from 1.

    That changes no digit of anything, and not even the layers where it is not needed. It is done
    where the layers are a chain and their activations of degree 1.
    """
    if not (body.chain and _degree_one(body)):
        return body, 0
    operations: list[Operation] = []
    variance, total = 1.0, 0
    for layer in body.operations:
        if isinstance(layer, Filter):
            bias = math.ldexp(layer.bias, -total)
            variance = min(max(layer.weight**2 * variance + bias**2, 1e-200), 1e200)
            far = layer.weight > 0 and abs(math.log2(variance)) > _FAR
            power = round(math.log2(variance) / 2) if far else 0
            variance, total = math.ldexp(variance, -2 * power), total + power
            trained, shifted = layer.tangent
            layer = replace(
                layer, weight=math.ldexp(layer.weight, -power), bias=math.ldexp(bias, -power),
                tangent=(trained / Fraction(4) ** power, shifted / Fraction(4) ** total),
            )  # fmt: skip
        elif isinstance(layer, Pointwise):
            value, _ = layer.dual.itself(np.float64(variance))
            variance = float(value)
        elif isinstance(layer, Average):
            # Of features that are all alike.
            variance *= (layer.support.size / float(layer.divisors.max())) ** 2
        operations.append(layer)
    return replace(body, operations=tuple(operations)), 2 * total
