"""Pooling over windows, and the readouts: the global pools and Flatten."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

from refntk.errors import NetworkError, ShapeError
from refntk.network.arguments import by_name, canonical
from refntk.network.filters import Conv, windows
from refntk.network.signal import Signal, require
from refntk.ops.listed import about_the_centre, rotations_at
from refntk.ops.operations import Average, Stack
from refntk.ops.program import Builder
from refntk.ops.space import Space
from refntk.ops.support import Support, Window

__all__ = [
    "AvgPool",
    "CentreReadout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalSumPool",
    "GroupPool",
    "RotationPool",
    "SumPool",
]


@by_name
@dataclass(frozen=True)
class AvgPool:
    """Mean over the positions of a window, on a grid or, at each element, on a group.

    Parameters
    ----------
    window_shape : (int, int)
        Height and width of the window; on a group it turns with the element.
    strides : (int, int), default (1, 1)
        Step along y and x.
    padding : {"SAME", "VALID", "CIRCULAR"}, default "VALID"
    normalize_edges : bool, default False
        Whether the mean is over the positions inside of the image. Else it is over the whole
        window, in which those outside are zero; that differs with padding SAME alone.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    window_shape: tuple[int, ...]
    _: KW_ONLY
    strides: tuple[int, ...] = (1, 1)
    padding: str = "VALID"
    normalize_edges: bool = False

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        return _pooled_signal(self, signal)

    def lower(self, build: Builder, below: int) -> int:
        """Append a mean over windows; see `Layer.lower`."""
        return _pool(self, build, below, "inside" if self.normalize_edges else "window")


@by_name
@dataclass(frozen=True)
class SumPool:
    """Sum over the positions of a window, on a grid or, at each element, on a group.

    Parameters
    ----------
    window_shape : (int, int)
        Height and width of the window; on a group it turns with the element.
    strides : (int, int), default (1, 1)
        Step along y and x.
    padding : {"SAME", "VALID", "CIRCULAR"}, default "VALID"

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    window_shape: tuple[int, ...]
    _: KW_ONLY
    strides: tuple[int, ...] = (1, 1)
    padding: str = "VALID"

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        return _pooled_signal(self, signal)

    def lower(self, build: Builder, below: int) -> int:
        """Append a sum over windows; see `Layer.lower`."""
        return _pool(self, build, below, "one")


@by_name
@dataclass(frozen=True)
class GroupPool:
    """Mean over all positions and group elements; an invariant readout."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "group", "elements")
        return Signal("vector", gaussian=signal.gaussian)

    def lower(self, build: Builder, below: int) -> int:
        """Append a mean over all features; see `Layer.lower`."""
        return build.add(Average(below, Support(build.space(below), Space())))


@by_name
@dataclass(frozen=True)
class CentreReadout:
    """All positions and elements, as seen from the centre, become channels; mean over the group.

    With a Dense layer after it, this is a group convolution with a filter over the whole grid,
    evaluated at the centre only, and then the mean over the point group: it does not see rotations
    about the centre, but sees shifts. It costs n ordinary networks with Flatten, where GroupPool
    couples all pairs of positions.
    """

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "group")
        if signal.shape is not None:
            about_the_centre(signal.space)
        return Signal("vector", gaussian=False)

    def lower(self, build: Builder, below: int) -> int:
        """Append a filter's reads for each element, and their mean; see `Layer.lower`."""
        reads = build.add(Stack(below, about_the_centre(build.space(below))))
        return build.add(Average(reads, Support(build.space(reads), Space())))


@by_name
@dataclass(frozen=True)
class RotationPool:
    """Mean over the elements of the group at each position, from the group back to the grid."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "group")
        _require_grid(signal)
        return replace(signal, kind="grid", group=None)

    def lower(self, build: Builder, below: int) -> int:
        """Append a mean over elements; see `Layer.lower`."""
        return build.add(Average(below, rotations_at(build.space(below))))


@by_name
@dataclass(frozen=True)
class GlobalAvgPool:
    """Mean over all positions of the grid, or all points of a finite set."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "grid", "set")
        return Signal("vector", gaussian=signal.gaussian)

    def lower(self, build: Builder, below: int) -> int:
        """Append a mean over all features; see `Layer.lower`."""
        return build.add(Average(below, Support(build.space(below), Space())))


@by_name
@dataclass(frozen=True)
class GlobalSumPool:
    """Sum over all positions of the grid, and over all elements on a group."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "grid", "group")
        return Signal("vector", gaussian=signal.gaussian)

    def lower(self, build: Builder, below: int) -> int:
        """Append a sum over all features; see `Layer.lower`."""
        return build.add(Average(below, Support(build.space(below), Space()), "one"))


@by_name
@dataclass(frozen=True)
class Flatten:
    """All positions (and group elements) become channels."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "grid", "group", "set", "elements")
        # The kernel is now a mean over positions of unequal variances: Relu's formula fails.
        return Signal("vector", gaussian=False)

    def lower(self, build: Builder, below: int) -> int:
        """Append a stack of all features; see `Layer.lower`."""
        return build.add(Stack(below, Support(build.space(below), Space())))


def _windows(layer: AvgPool | SumPool, shape: tuple[int, ...]) -> tuple[Window, ...]:
    """Say how the window of a layer slides over an image: as the filter of a convolution does."""
    filter_like = Conv(layer.window_shape, strides=layer.strides, padding=layer.padding)
    try:
        return windows(filter_like, shape)
    except ShapeError as error:
        raise ShapeError(str(error).replace("filter", "window")) from None


def _pooled_signal(layer: AvgPool | SumPool, signal: Signal) -> Signal:
    require(signal, "grid", "group")
    _require_grid(signal)
    if signal.shape is None:
        return signal
    frame = _windows(layer, signal.shape)
    return replace(signal, shape=tuple(window.n_out for window in frame))


def _require_grid(signal: Signal) -> None:
    if signal.lattice == "hexagonal":
        raise NetworkError(
            "hexagons have no pooling before the readout: use GroupPool, CentreReadout or Flatten"
        )


def _pool(
    layer: AvgPool | SumPool, build: Builder, below: int, over: Literal["window", "inside", "one"]
) -> int:
    """Append the sum over windows of a layer, divided by what is said."""
    space = build.space(below)
    frame = _windows(layer, space.shape)
    above = Space(tuple(window.n_out for window in frame), space.group)
    support = Support(space, above, frame, rotations=None if space.group is None else (0,))
    return build.add(Average(below, support, over))
