"""The activations: functions that are applied to every feature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from refntk.errors import NetworkError
from refntk.network.arguments import by_name
from refntk.network.signal import Signal
from refntk.ops.dual import Dual
from refntk.ops.operations import Pointwise
from refntk.ops.program import Builder
from refntk.ops.rectifiers import Rectifier

__all__ = ["Activation", "Relu"]


class Activation(ABC):
    """A function that is applied to every feature."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    @abstractmethod
    def dual(self) -> Dual:
        """What kernels have to know of it."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        if not signal.gaussian:
            raise NetworkError(
                "needs Gaussian features, which the input, a Relu and a Flatten do not give: "
                "put a layer with weights (Conv, Lift, GroupConv or Dense) right before it"
            )
        return replace(signal, gaussian=False)

    def lower(self, build: Builder, below: int) -> int:
        """Append a pointwise operation; see `Layer.lower`."""
        return build.add(Pointwise(below, self.dual))


@by_name
@dataclass(frozen=True)
class Relu(Activation):
    """Pointwise max(0, f), on features of any kind."""

    @property
    def dual(self) -> Dual:
        """Of slope 0 below zero, and 1 above."""
        return Rectifier(0.0, 1.0)
