"""What flows from one layer to the next, and what a layer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from refntk.errors import NetworkError
from refntk.ops.program import Builder

__all__ = ["Channels", "Kind", "Layer", "Signal", "require"]

Kind: TypeAlias = Literal["grid", "group", "vector"]
Channels: TypeAlias = Literal["any", "known", "missing"]

_KIND_WORDS = {"grid": "a grid", "group": "functions on a group", "vector": "a vector"}

_REMEDIES = {
    ("grid", "group"): "use GroupConv and GroupPool after a Lift",
    ("grid", "vector"): "put it before the readout (GroupPool, GlobalAvgPool or Flatten)",
    ("group", "grid"): "put a Lift before it",
    ("group", "vector"): "put it before the readout (GroupPool, GlobalAvgPool or Flatten)",
    ("vector", "grid"): "put GlobalAvgPool or Flatten before it",
    ("vector", "group"): "put GroupPool or Flatten before it",
}


@dataclass(frozen=True)
class Signal:
    """What flows from one layer to the next.

    Attributes
    ----------
    kind : {"grid", "group", "vector"}
        Features indexed by position (y, x); by rotation and position (r, y, x); or by nothing,
        after a readout.
    shape : (int, int) or None
        Height and width of the positions; None for a vector, and while the input shape is unknown.
    group : str or None
        Name of the point group, for kind "group".
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
    shape: tuple[int, int] | None = None
    group: str | None = None
    gaussian: bool = False
    weighted: bool = False
    channels: Channels = "any"


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
    *kinds : {"grid", "group", "vector"}
        What the layer takes, what it is rather for first.

    Raises
    ------
    NetworkError
        The message names the remedy.
    """
    if signal.kind not in kinds:
        wanted = " or ".join(_KIND_WORDS[kind] for kind in kinds)
        remedy = _REMEDIES[kinds[0], signal.kind]
        raise NetworkError(f"needs {wanted}, but gets {_KIND_WORDS[signal.kind]}: {remedy}")
