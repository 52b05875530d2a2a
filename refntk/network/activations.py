"""The activations: functions that are applied to every feature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from refntk.errors import NetworkError
from refntk.network.arguments import by_name, canonical, finite_number
from refntk.network.signal import Signal
from refntk.ops.dual import Dual
from refntk.ops.operations import Pointwise
from refntk.ops.program import Builder
from refntk.ops.rectifiers import Rectifier

__all__ = ["ABRelu", "Abs", "Activation", "Identity", "LeakyRelu", "Relu"]


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
                "needs Gaussian features, which the input, an activation and a Flatten do not "
                "give: put a layer with weights (Conv, Lift, GroupConv or Dense) right before it"
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


@by_name
@dataclass(frozen=True)
class LeakyRelu(Activation):
    """Pointwise f where it is positive, and alpha f where it is not, on features of any kind.

    Parameters
    ----------
    alpha : float, default 0.01
        Slope below zero; of either sign.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    alpha: float = 0.01

    def __post_init__(self) -> None:
        """Check the argument and bring it to its canonical type."""
        canonical(self, alpha=finite_number)

    @property
    def dual(self) -> Dual:
        """Of slope alpha below zero, and 1 above."""
        return Rectifier(self.alpha, 1.0)


@by_name
@dataclass(frozen=True)
class Abs(Activation):
    """Pointwise absolute value, on features of any kind."""

    @property
    def dual(self) -> Dual:
        """Of slope -1 below zero, and 1 above."""
        return Rectifier(-1.0, 1.0)


@by_name
@dataclass(frozen=True)
class ABRelu(Activation):
    """Pointwise a min(f, 0) + b max(f, 0), on features of any kind.

    Parameters
    ----------
    a, b : float
        Slopes below and above zero; of either sign.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    a: float
    b: float

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, a=finite_number, b=finite_number)

    @property
    def dual(self) -> Dual:
        """Of slope a below zero, and b above."""
        return Rectifier(self.a, self.b)


@by_name
@dataclass(frozen=True)
class Identity(Activation):
    """Pointwise f itself."""

    @property
    def dual(self) -> Dual:
        """Of slope 1 below zero, and above."""
        return Rectifier(1.0, 1.0)
