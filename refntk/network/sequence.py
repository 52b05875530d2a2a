"""Layers one after the other: their signals, their operations, and what is written of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from refntk.errors import NetworkError, ShapeError
from refntk.network.arguments import written
from refntk.network.linear import Linear
from refntk.network.signal import Layer, Signal
from refntk.ops.program import Builder

__all__ = ["described", "lower", "nested", "through"]


def through(layers: Sequence[Layer], signal: Signal) -> tuple[Signal, ...]:
    """Pass a signal through layers.

    Parameters
    ----------
    layers : sequence of Layer
    signal : Signal
        Before the first.

    Returns
    -------
    tuple of Signal
        After each.

    Raises
    ------
    NetworkError, ShapeError
        A layer cannot follow; the message begins with its index and its type.
    """
    signals = []
    for index, layer in enumerate(layers):
        place = f"layer {index} ({type(layer).__name__})"
        try:
            signal = _after(layer, signal)
        except NetworkError as error:
            raise NetworkError(f"{place}: {error}", layer=index, key=error.key) from None
        except ShapeError as error:
            raise ShapeError(f"{place}: {error}") from None
        signals.append(signal)
    return tuple(signals)


def _after(layer: Layer, below: Signal) -> Signal:
    """Pass a signal through a layer, with what is known of weights and channels."""
    signal = layer.after(below)
    if isinstance(layer, Linear):
        return replace(signal, weighted=True, channels=layer.channels(below.channels))
    if hasattr(layer, "branches"):
        return signal  # it has passed through layers
    return replace(signal, weighted=below.weighted, channels=below.channels)


def lower(layers: Sequence[Layer], build: Builder, below: int) -> int:
    """Append the operations of the layers of a branch.

    Parameters
    ----------
    layers : sequence of Layer
    build : Builder
    below : int
        Number of the value that the first gets.

    Returns
    -------
    int
        Number of the value that the last one gives.
    """
    index, outer = build.layer
    for layer in layers:
        build.layer = index, f"{outer}: {type(layer).__name__}"
        below = layer.lower(build, below)
    build.layer = index, outer
    return below


def nested(layers: Iterable[Layer]) -> Iterator[Layer]:
    """List layers, and after each those of its branches."""
    for layer in layers:
        yield layer
        for branch in getattr(layer, "branches", ()):
            yield from nested(branch)


def described(layer: Layer, index: int, outer: str = "") -> dict[str, Any]:
    """Write a layer as files and hashes do: its type and its arguments, layers in it likewise.

    Parameters
    ----------
    layer : Layer
    index : int
        Of the layer, or of the one with the branch that it is in.
    outer : str
        Names of the layers that it is in.

    Returns
    -------
    dict
        Of text, numbers, lists and such.

    Raises
    ------
    NetworkError
        An argument is a function.
    """
    name = type(layer).__name__
    place = f"{outer}: {name}" if outer else name
    arguments = written(layer)
    for key, value in arguments.items():
        if callable(value):
            raise NetworkError(
                f"layer {index} ({place}): {key} is a function of your own, which cannot be "
                "written to a file: use a known name, or compute in Python",
                layer=index,
                key=key,
            )

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(entry) for entry in value]
        is_layer = hasattr(value, "__dataclass_fields__")
        return described(value, index, place) if is_layer else value

    return {"type": name, **{key: plain(value) for key, value in arguments.items()}}
