"""What flows from one layer to the next, and what a layer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from refntk.errors import NetworkError
from refntk.ops.groups import PointGroup, point_group
from refntk.ops.named_groups import Spec
from refntk.ops.program import Builder
from refntk.ops.space import Space

__all__ = ["Channels", "Kind", "Layer", "Signal", "require"]

Kind: TypeAlias = Literal["grid", "group", "vector", "set", "elements"]
Channels: TypeAlias = Literal["any", "known", "missing"]

_KIND_WORDS = {
    "grid": "a grid", "group": "functions on a group", "vector": "a vector",
    "set": "functions on a finite set", "elements": "functions on a finite group",
}  # fmt: skip

_REMEDIES = {
    ("grid", "group"): "use GroupConv and GroupPool after a Lift, or put RotationPool first",
    ("grid", "vector"): "put it before the readout (GroupPool, GlobalAvgPool or Flatten)",
    ("group", "grid"): "put a Lift before it",
    ("group", "vector"): "put it before the readout (GroupPool, GlobalAvgPool or Flatten)",
    ("vector", "grid"): "put GlobalAvgPool or Flatten before it",
    ("vector", "group"): "put GroupPool or Flatten before it",
    ("vector", "set"): "put GlobalAvgPool or Flatten, or a SetLift and GroupPool before it",
    ("vector", "elements"): "put GroupPool or Flatten before it",
    ("group", "elements"): "after a SetLift use SetGroupConv",
    ("elements", "group"): "after a Lift use GroupConv",
    ("elements", "set"): "put a SetLift before it",
    ("elements", "vector"): "put it before the readout (GroupPool or Flatten)",
}

_ON_SETS = ("set", "elements")

_FIRST = "a network for images has no SetLift, and one for a finite set begins with it"


@dataclass(frozen=True)
class Signal:
    """What flows from one layer to the next.

    Attributes
    ----------
    kind : {"grid", "group", "vector", "set", "elements"}
        Features indexed by position (y, x); by rotation and position (r, y, x); by nothing, after a
        readout; by the points of a set; or by the elements of a group that acts on such a set.
    shape : tuple of int, or None
        Height and width of the positions, or what inputs of one or three axes have; None for a
        vector, and while the input shape is unknown.
    group : str or None
        Name of the point group, for kind "group".
    points : int or None
        Number of points, for kind "set"; None while the input shape is unknown.
    elements : str, tuple of permutations, or None
        The finite group, for kind "elements"; see `refntk.ops.named_groups`.
    lattice : str
        The lattice of `group`, see `refntk.ops.lattices`.
    hexagon : bool
        Whether only positions of a hexagon count, see `refntk.ops.space`.
    gaussian : bool
        Whether the features are Gaussian over the draw of the last linear layer, which the formula
        for Relu needs.
    weighted : bool
        Whether a layer with weights came before.
    channels : {"any", "known", "missing"}
        What the network says of the number of channels: nothing, as in the NTK parametrisation; how
        many there are; or nothing where, in the standard parametrisation, it should.
    """

    kind: Kind = "grid"
    shape: tuple[int, ...] | None = None
    group: str | None = None
    gaussian: bool = False
    weighted: bool = False
    channels: Channels = "any"
    points: int | None = None
    elements: Spec | None = None
    lattice: str = "square"
    hexagon: bool = False

    @property
    def elements_of_grid(self) -> PointGroup:
        """The point group of a signal of kind "group"."""
        assert self.group is not None  # a signal of kind "group" names its group
        return point_group(self.group, self.lattice)

    @property
    def space(self) -> Space:
        """The features of a signal of kind "group", of known shape."""
        assert self.shape is not None
        return Space(self.shape, self.elements_of_grid, hexagon=self.hexagon)


class Layer(Protocol):
    """What a layer is: a frozen dataclass of its arguments, with two methods."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or say why it cannot follow on this one.

        Raises
        ------
        NetworkError, ShapeError
            The message names the remedy.
        """
        ...

    def lower(self, build: Builder, below: int) -> int:
        """Append the operations of this layer to a program.

        Parameters
        ----------
        build : Builder
        below : int
            Number of the value that the layer gets.

        Returns
        -------
        int
            Number of the value that it gives.
        """
        ...


def require(signal: Signal, *kinds: Kind) -> None:
    """Refuse a signal that a layer cannot follow on.

    Parameters
    ----------
    signal : Signal
    *kinds : {"grid", "group", "vector", "set", "elements"}
        What the layer takes, what it is rather for first.

    Raises
    ------
    NetworkError
        The message names the remedy.
    """
    if signal.kind not in kinds:
        # Of the kinds that a network for the same inputs can have, if there are any.
        near = [kind for kind in kinds if (kind in _ON_SETS) == (signal.kind in _ON_SETS)]
        kinds = tuple(near) or kinds
        wanted = " or ".join(_KIND_WORDS[kind] for kind in kinds)
        remedy = _REMEDIES.get((kinds[0], signal.kind), _FIRST)
        raise NetworkError(f"needs {wanted}, but gets {_KIND_WORDS[signal.kind]}: {remedy}")
