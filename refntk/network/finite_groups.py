"""Layers for signals on a finite set that a finite group acts on: sequences, tables, graphs.

A signal is a function f on the set X with values in R^C, an array (|X|, C). The group G moves it as
(g f)(x) = f(g⁻¹ x). `SetLift` makes functions on G of it, `SetGroupConv` and `CosetPool` take them
to others, and GroupPool and Flatten read them out.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1,
equations 38-47.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import ClassVar

from refntk.errors import NetworkError, ShapeError
from refntk.network.arguments import QUIET, by_name, canonical
from refntk.network.linear import Linear
from refntk.network.set_arguments import (
    Places,
    about,
    acting_group,
    canonical_group,
    canonical_places,
    canonical_set,
    canonical_weights,
    resolve,
)
from refntk.network.signal import Kind, Signal, require
from refntk.ops.finite_group import FiniteGroup
from refntk.ops.groups import PointGroup, point_group
from refntk.ops.gset import GSet
from refntk.ops.lattices import LATTICES
from refntk.ops.listed import (
    cosets_at,
    group_support,
    orbital_means,
    orbital_weights,
    set_support,
)
from refntk.ops.named_groups import Spec, finite_group, gset
from refntk.ops.operations import Average
from refntk.ops.program import Builder

__all__ = ["CosetPool", "SetGroupConv", "SetLift", "SetLinear"]


@by_name
@dataclass(frozen=True)
class SetLift(Linear):
    """Lifting layer from functions on a finite set to functions on the group that acts on it.

    The output at g is a weighted mean over the points g s, s in the support.

    Parameters
    ----------
    support : list of points, or "all"
        Where the filter has weights. A point is its number, from the end where it is negative, or
        its label: (i, j) in pairs, and (y, x) on the grid of a product such as C4xC3.
    group : str, list of permutations, or FiniteGroup
        A name such as C9, D5, S4, C4xC3, or permutations that generate the group; see
        `refntk.ops.named_groups`, which also says in which order elements and points are numbered.
    on : {"points", "pairs", "matrix", "group"} or list of permutations, default "points"
        The set: the points that the group permutes, ordered pairs of different ones, all ordered
        pairs, the elements of the group; or what each generator of the group does to the points of
        another set.
    weights : list of float, optional
        Share of each point in the mean, in proportion; not negative. By default all count alike,
        and those that come twice count twice.
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.

    Examples
    --------
    >>> SetLift([(0, 1), (1, 0)], group="S4", on="pairs").support
    ((0, 1), (1, 0))
    """

    takes: ClassVar[Kind] = "set"

    support: Places
    _: KW_ONLY
    group: Spec
    on: Spec = "points"
    weights: tuple[float, ...] = field(default=(), metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        with about("on"):
            points = gset(self.group, self.on)
            points.action(finite_group(self.group))
        resolve(self.support, points.size, points.number, self.weights)

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        return {
            "support": canonical_places, "group": canonical_group, "on": canonical_set,
            "weights": canonical_weights,
        }  # fmt: skip

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "set")
        _even(self.weights, signal)
        points = gset(self.group, self.on)
        _as_many(points, signal)
        return Signal("elements", elements=self.group, gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        group, points = finite_group(self.group), gset(self.group, self.on)
        places = resolve(self.support, points.size, points.number, self.weights)
        support = set_support(group, points.action(group), places, self.weights)
        return self.filter(build, below, support)


@by_name
@dataclass(frozen=True)
class SetGroupConv(Linear):
    """Group convolution over the group of the SetLift before it.

    The output at g is a weighted mean over the elements g h, h in the support.

    Parameters
    ----------
    support : list of elements, or "all"
        Where the filter has weights. An element is its number, from the end where it is negative,
        or the permutation of the points that it is.
    weights, W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        As for `SetLift`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    support: Places
    _: KW_ONLY
    weights: tuple[float, ...] = field(default=(), metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        resolve(self.support, None, lambda place: 0, self.weights)

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        return {"support": canonical_places, "weights": canonical_weights}

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        _even(self.weights, signal)
        self._elements(_group_of(signal))
        return replace(signal, gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        group = build.space(below).elements
        assert group is not None  # `after` has seen to it
        support = group_support(group, self._elements(group), self.weights)
        return self.filter(build, below, support)

    def _elements(self, group: FiniteGroup) -> list[int]:
        return resolve(self.support, group.order, group.number, self.weights)


@by_name
@dataclass(frozen=True)
class SetLinear(Linear):
    r"""The equivariant linear layer between functions on two finite sets: DeepSets, graphs.

    It has one matrix of weights for each orbit of the group on pairs (y, x) of their points, and
    takes at each y the mean over the x of each orbit. Only generators of the group are needed, so
    that it may be S100, say.

    Parameters
    ----------
    group : str, list of permutations, or FiniteGroup
        As for `SetLift`, of any size.
    on, to : {"points", "pairs", "matrix", "group", "one"} or list of permutations
        The sets below and above, by default "points": as for `SetLift`, or a single point that
        nothing moves, which makes the layer an invariant readout.
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.

    Notes
    -----
    With A_a the mean over the x of orbit a, none where there are none, and r orbits,

    .. math:: K' = \frac{\sigma_w^2}{r} \sum_a A_a K A_a^T + \sigma_b^2

    M. Zaheer et al., "Deep Sets", arXiv:1703.06114; H. Maron et al., "Invariant and Equivariant
    Graph Networks", arXiv:1812.09902.
    """

    takes: ClassVar[Kind] = "set"

    _: KW_ONLY
    group: Spec
    on: Spec = "points"
    to: Spec = "points"

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        for name in ("on", "to"):
            with about(name):
                gset(self.group, getattr(self, name)).orbitals(gset(self.group, "one"))

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        return {"group": acting_group, "on": canonical_set, "to": canonical_set}

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "set")
        _as_many(gset(self.group, self.on), signal)
        return Signal("set", points=gset(self.group, self.to).size, gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append a mean over each orbit, and a filter over the orbits; see `Layer.lower`."""
        orbitals = gset(self.group, self.to).orbitals(gset(self.group, self.on))
        means = build.add(Average(below, orbital_means(orbitals), "inside"))
        return self.filter(build, means, orbital_weights(orbitals))


@by_name
@dataclass(frozen=True)
class CosetPool:
    """Mean over the cosets g P of a subgroup P of the group of the SetLift or Lift before it.

    After a Lift the mean is over the features (t, r p) at (t, r).

    Parameters
    ----------
    subgroup : list of elements, or str
        Elements that generate P, as for `SetGroupConv`; after a Lift their numbers, or the name of
        a point group.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    subgroup: Places

    def __post_init__(self) -> None:
        """Check the argument and bring it to its canonical type."""
        canonical(self, subgroup=_subgroup)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "elements", "group")
        turns = signal.kind == "group"
        self._elements(signal.elements_of_grid if turns else _group_of(signal))
        return signal

    def lower(self, build: Builder, below: int) -> int:
        """Append a mean over cosets; see `Layer.lower`."""
        space = build.space(below)
        if space.group is not None:
            return build.add(Average(below, cosets_at(space, self._elements(space.group))))
        group = space.elements
        assert group is not None  # `after` has seen to it
        return build.add(Average(below, group_support(group, self._elements(group))))

    def _elements(self, group: FiniteGroup) -> tuple[int, ...]:
        """List all elements of P."""
        if isinstance(self.subgroup, str) and self.subgroup != "all":
            own = group.matrices.tolist() if isinstance(group, PointGroup) else []
            lattice = group.lattice if isinstance(group, PointGroup) else "square"
            named = point_group(self.subgroup, lattice).matrices.tolist()
            if not all(matrix in own for matrix in named):
                raise NetworkError(
                    f"subgroup: {self.subgroup} is no subgroup of {group.name}: list elements of it"
                    " by number", key="subgroup",
                )  # fmt: skip
            return tuple(own.index(matrix) for matrix in named)
        return group.subgroup(resolve(self.subgroup, group.order, group.number, (), "subgroup"))


def _subgroup(name: str, value: object) -> Places:
    """Return places, or the name of a point group."""
    if isinstance(value, str) and any(value in known for known in LATTICES.values()):
        return value
    return canonical_places(name, value)


def _as_many(points: GSet, signal: Signal) -> None:
    """Refuse signals on another number of points."""
    if signal.points not in (None, points.size):
        raise ShapeError(
            f"{points.name} are {points.size}, and signals must have as many along their second "
            f"axis, not {signal.points}"
        )


def _even(weights: tuple[float, ...], signal: Signal) -> None:
    """Refuse shares that differ where weights are trained as they are."""
    if signal.channels != "any" and len(set(weights)) > 1:
        raise NetworkError(
            "weights: shares that differ have no standard parametrisation, in which all weights of "
            'a layer are drawn alike; leave them out, or say parameterization="ntk"', key="weights",
        )  # fmt: skip


def _group_of(signal: Signal) -> FiniteGroup:
    """Return the group of a signal, or refuse one that has none."""
    require(signal, "elements")
    assert signal.elements is not None  # a signal of kind "elements" has its group
    return finite_group(signal.elements)
