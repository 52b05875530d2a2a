"""The readouts: GroupPool, GlobalAvgPool and Flatten."""

from __future__ import annotations

from dataclasses import dataclass

from refntk.network.arguments import by_name
from refntk.network.signal import Signal, require
from refntk.ops.operations import Average, Stack
from refntk.ops.program import Builder
from refntk.ops.space import Space
from refntk.ops.support import Support

__all__ = ["Flatten", "GlobalAvgPool", "GroupPool"]


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
class GlobalAvgPool:
    """Mean over all positions of the grid."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "grid")
        return Signal("vector", gaussian=signal.gaussian)

    def lower(self, build: Builder, below: int) -> int:
        """Append a mean over all features; see `Layer.lower`."""
        return build.add(Average(below, Support(build.space(below), Space())))


@by_name
@dataclass(frozen=True)
class Flatten:
    """All positions (and group elements) become channels."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "grid", "group", "elements")
        # The kernel is now a mean over positions of unequal variances: Relu's formula fails.
        return Signal("vector", gaussian=False)

    def lower(self, build: Builder, below: int) -> int:
        """Append a stack of all features; see `Layer.lower`."""
        return build.add(Stack(below, Support(build.space(below), Space())))
