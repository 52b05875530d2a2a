"""A network as a sequence of operations on numbered values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from refntk.errors import MethodError
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
from refntk.ops.space import Space
from refntk.ops.support import Support

__all__ = ["Builder", "Program"]


@dataclass(frozen=True)
class Program:
    """Operations in the order of evaluation; the value of the last one is the result.

    Attributes
    ----------
    space : Space
        Of value 0, the images.
    operations : tuple of Operation
        Operation k gives value k + 1.
    origin : tuple of (int, str)
        Index and class of the layer that asked for each operation, for messages.
    """

    space: Space
    operations: tuple[Operation, ...]
    origin: tuple[tuple[int, str], ...]

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """Where the features of each value live."""
        spaces = [self.space]
        for operation in self.operations:
            spaces.append(_space_after(operation, spaces))
        return tuple(spaces)

    @property
    def chain(self) -> bool:
        """Whether each operation reads the value before it, and nothing else."""
        return all(read_by(op) == (k,) for k, op in enumerate(self.operations))

    def __len__(self) -> int:
        return len(self.operations)

    def name(self, k: int) -> str:
        """Name the layer of operation k in the words of messages, ``layer 3 (Relu)``."""
        index, layer = self.origin[k]
        return f"layer {index} ({layer})"

    def no_rule(self, k: int, route: str) -> MethodError:
        """Make the error of a route that has no rule for operation k."""
        kind = type(self.operations[k]).__name__
        return MethodError(f"{self.name(k)}: {route} has no rule for its operation {kind}")

    def require_tangent(self) -> None:
        """Refuse a program that has no tangent kernel.

        Raises
        ------
        MethodError
            The derivative of an activation has no finite variance; the message names the layer.
        """
        for k, operation in enumerate(self.operations):
            if isinstance(operation, Pointwise) and not operation.dual.tangent:
                raise MethodError(
                    f"{self.name(k)}: has no NTK: it jumps, so that its derivative is zero almost "
                    'everywhere and has no finite variance; ask for the NNGP alone, get="nngp"'
                )

    def part(self, start: int, stop: int) -> Program:
        """Cut out operations start to stop - 1, which read no value before number `start`."""
        operations = tuple(_renumbered(op, start) for op in self.operations[start:stop])
        return Program(self.spaces[start], operations, self.origin[start:stop])


class Builder:
    """Collects the operations of a network's layers.

    Parameters
    ----------
    space : Space
        Of the images.
    channels : int, optional
        Of the images, in the standard parametrisation, which counts channels.

    Attributes
    ----------
    layer : (int, str)
        Index and class of the layer that is at work, set by the network.
    """

    def __init__(self, space: Space, channels: int | None = None) -> None:
        self.layer = (0, "")
        self._spaces, self._channels = [space], [channels]
        self._operations: list[Operation] = []
        self._origin: list[tuple[int, str]] = []

    def space(self, value: int) -> Space:
        """Tell where the features of a value live."""
        return self._spaces[value]

    def channels(self, value: int) -> int | None:
        """Tell how many channels a value has; None where nobody counts them."""
        return self._channels[value]

    def add(self, operation: Operation, width: int | None = None) -> int:
        """Append an operation, and return the number of its value.

        Parameters
        ----------
        operation : Operation
        width : int, optional
            Channels of a layer with weights, where they are counted.
        """
        self._spaces.append(_space_after(operation, self._spaces))
        self._channels.append(_channels_after(operation, self._channels, width))
        self._operations.append(operation)
        self._origin.append(self.layer)
        return len(self._operations)

    def filter(
        self,
        below: int,
        support: Support,
        weight: float,
        bias: float,
        tangent: tuple[Fraction, Fraction] | None = None,
        width: int | None = None,
    ) -> int:
        """Append a layer with weights; without a tangent that of the NTK parametrisation."""
        tangent = tangent or (Fraction(weight) ** 2, Fraction(bias) ** 2)
        return self.add(Filter(below, support, weight, bias, tangent), width)

    def program(self) -> Program:
        """Return what has been collected."""
        return Program(self._spaces[0], tuple(self._operations), tuple(self._origin))


def _renumbered(operation: Operation, start: int) -> Operation:
    """Read values whose numbers are less by `start`."""
    if isinstance(operation, Add | Join | Multiply):
        return replace(operation, below=tuple(value - start for value in operation.below))
    return replace(operation, below=operation.below - start)


def _channels_after(
    operation: Operation, channels: list[int | None], width: int | None
) -> int | None:
    read = [channels[value] for value in read_by(operation)]
    match operation:
        case Filter():
            return width
        case Stack(support=support):
            return read[0] and read[0] * support.size
        case Join():
            counted = [count for count in read if count is not None]
            return sum(counted) if len(counted) == len(read) else None
        case _:
            return read[0]


def _space_after(operation: Operation, spaces: list[Space]) -> Space:
    match operation:
        case Filter() | Stack() | Average():
            return operation.support.above
        case Pointwise() | Rescale() | Thin() | Add() | Join() | Multiply():
            return spaces[read_by(operation)[0]]
        case _:
            # A route meets it first, and refuses it with the layer's name.
            return spaces[-1]
