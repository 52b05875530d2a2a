"""Layers that fork and join: Residual, Concat and Product."""

from __future__ import annotations

import dataclasses
import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Self, TypeAlias

from refntk.errors import NetworkError, ShapeError
from refntk.network.arguments import QUIET, by_name, canonical, finite_number, times
from refntk.network.linear import Linear
from refntk.network.sequence import lower, nested, through
from refntk.network.signal import Layer, Signal
from refntk.ops.operations import Add, Join, Multiply
from refntk.ops.program import Builder

__all__ = ["Branching", "Concat", "Product", "Residual", "has_weights"]

Branch: TypeAlias = tuple[Layer, ...]


class Branching(ABC):
    """A layer whose signal goes through branches of layers, which join again.

    A branch without layers hands on the signal as it is.

    Attributes
    ----------
    branches : tuple of tuple of Layer
    independent : bool
        Whether the branches must be independent of each other.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    independent: ClassVar[bool] = True
    branches: tuple[Branch, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """What messages and tables call each branch."""
        return tuple(f"branch {k}" for k in range(len(self.branches)))

    @abstractmethod
    def mapped(self, change: Callable[[Layer], Layer]) -> Self:
        """Change each layer of the branches."""

    @abstractmethod
    def joined(self, ends: list[Signal]) -> Signal:
        """Give the signal of the joined branches, or raise `NetworkError`."""

    @abstractmethod
    def join(self, build: Builder, below: tuple[int, ...]) -> int:
        """Append the operation that joins the values of the branches."""

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        ends = []
        for word, branch in zip(self.words, self.branches, strict=True):
            try:
                ends.append(through(branch, signal)[-1] if branch else signal)
            except NetworkError as error:
                raise NetworkError(f"{word}, {error}", key=error.key) from None
            except ShapeError as error:
                raise ShapeError(f"{word}, {error}") from None
        if signal.kind != "vector" and any(end.kind == "vector" for end in ends):
            raise NetworkError(
                "a branch ends on a vector: put the readout (GroupPool, GlobalAvgPool or Flatten) "
                "behind the branches"
            )
        _alike(ends)
        bare = sum(not has_weights(branch) for branch in self.branches)
        if bare > 1 and self.independent:
            raise NetworkError(
                f"{bare} branches have no weights of their own, and their features are not "
                "independent: put a layer with weights, such as Conv((1, 1)), into all but one"
            )
        if bare and not signal.weighted:
            raise NetworkError(
                "a branch without weights gets the input, whose channels are fixed numbers and few "
                "beside those of a wide layer: put a layer with weights, such as Conv((1, 1)), "
                "on it"
            )
        missing = any(end.channels == "missing" for end in ends)
        return replace(self.joined(ends), channels="missing" if missing else ends[0].channels)

    def lower(self, build: Builder, below: int) -> int:
        """Append the operations of all branches, and what joins them; see `Layer.lower`."""
        return self.join(build, tuple(lower(branch, build, below) for branch in self.branches))


def has_weights(branch: Sequence[Layer]) -> bool:
    """Whether a layer of a branch has weights.

    Parameters
    ----------
    branch : sequence of Layer

    Returns
    -------
    bool
    """
    return any(isinstance(layer, Linear) for layer in nested(branch))


@by_name
@dataclass(frozen=True)
class Residual(Branching):
    """The sum of layers and a shortcut past them.

    Parameters
    ----------
    layers : sequence of Layer
        The main branch, which ends in a layer with weights.
    shortcut : sequence of Layer, default ()
        The other one. Without layers it is the identity; else it ends in weights of its own.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    layers: Branch
    _: KW_ONLY
    shortcut: Branch = ()

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, layers=_branch, shortcut=_branch)

    @property
    def branches(self) -> tuple[Branch, ...]:  # type: ignore[override]
        """The layers and the shortcut."""
        return self.layers, self.shortcut

    @property
    def words(self) -> tuple[str, ...]:
        """Their names."""
        return "layers", "shortcut"

    def mapped(self, change: Callable[[Layer], Layer]) -> Self:
        """Change each layer; see `Branching.mapped`."""
        layers, shortcut = (tuple(map(change, branch)) for branch in self.branches)
        return replace(self, layers=layers, shortcut=shortcut)

    def joined(self, ends: list[Signal]) -> Signal:
        """Ask for Gaussian features; see `Branching.joined`."""
        for word, branch, end in zip(self.words, self.branches, ends, strict=True):
            if not end.gaussian:
                where = f"ends in {type(branch[-1]).__name__}" if branch else "is bare"
                raise NetworkError(
                    f"{word} {where}: it does not give independent Gaussian features, which a sum "
                    "needs, as the input, an activation and a pool after one do not; let it end in "
                    "a layer with weights, such as Conv((1, 1))"
                )
        return ends[0]

    def join(self, build: Builder, below: tuple[int, ...]) -> int:
        """Append a sum; see `Branching.join`."""
        _same_channels(build, below)
        return build.add(Add(below, (1.0,) * len(below)))


@by_name
@dataclass(frozen=True)
class Concat(Branching):
    """The channels of several branches side by side; a layer with weights must follow.

    Parameters
    ----------
    branches : sequence of sequences of Layer
        Two at least.
    shares : sequence of float, optional
        How many channels come from each, relative to each other. By default as many from each; in
        the standard parametrisation the widths say it.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    independent = False
    branches: tuple[Branch, ...]
    _: KW_ONLY
    shares: tuple[float, ...] | None = dataclasses.field(default=None, metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, branches=_branches, shares=_shares)
        if self.shares is not None and len(self.shares) != len(self.branches):
            message = f"{len(self.shares)} shares for {len(self.branches)} branches: give one each"
            raise NetworkError(f"shares: {message}", key="shares")

    def mapped(self, change: Callable[[Layer], Layer]) -> Self:
        """Change each layer; see `Branching.mapped`."""
        return replace(self, branches=_mapped(self.branches, change))

    def joined(self, ends: list[Signal]) -> Signal:
        """Give a signal that is not Gaussian; see `Branching.joined`."""
        if self.shares is not None and ends[0].channels != "any":
            message = "in the standard parametrisation the widths of the branches say it"
            raise NetworkError(f"shares: {message}; leave it out", key="shares")
        return replace(ends[0], gaussian=False)

    def join(self, build: Builder, below: tuple[int, ...]) -> int:
        """Append a `Join`; see `Branching.join`."""
        counts = [build.channels(value) for value in below]
        given = self.shares or tuple(1.0 if count is None else count for count in counts)
        total = sum(map(Fraction, given))
        return build.add(Join(below, tuple(Fraction(share) / total for share in given)))


@by_name
@dataclass(frozen=True)
class Product(Branching):
    """The product of branches, feature by feature; a layer with weights must follow.

    Parameters
    ----------
    branches : sequence of sequences of Layer
        Two at least, of which one at most has no weights of its own.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    branches: tuple[Branch, ...]

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, branches=_branches)

    def mapped(self, change: Callable[[Layer], Layer]) -> Self:
        """Change each layer; see `Branching.mapped`."""
        return replace(self, branches=_mapped(self.branches, change))

    def joined(self, ends: list[Signal]) -> Signal:
        """Give a signal that is not Gaussian; see `Branching.joined`."""
        return replace(ends[0], gaussian=False)

    def join(self, build: Builder, below: tuple[int, ...]) -> int:
        """Append a product; see `Branching.join`."""
        _same_channels(build, below)
        return build.add(Multiply(below))


def _mapped(
    branches: tuple[Branch, ...], change: Callable[[Layer], Layer]
) -> tuple[Branch, ...]:
    return tuple(tuple(map(change, branch)) for branch in branches)


def _alike(ends: list[Signal]) -> None:
    """Refuse branches whose features cannot be added."""
    first = ends[0]
    for end in ends[1:]:
        if (end.kind, end.group) != (first.kind, first.group):
            one, two = first.group or f"a {first.kind}", end.group or f"a {end.kind}"
            raise NetworkError(f"the branches end on {one} and on {two}: let all end on the same")
        if end.shape != first.shape and end.shape and first.shape:
            raise ShapeError(
                f"the branches give {times(first.shape)} and {times(end.shape)} positions: use the "
                "same strides and paddings in all, for instance Conv((1, 1), strides=(2, 2))"
            )


def _same_channels(build: Builder, below: tuple[int, ...]) -> None:
    """Refuse branches of unlike widths, where these are counted."""
    counts = [build.channels(value) for value in below]
    if len(set(counts)) > 1:
        index, name = build.layer
        given = " and ".join(map(str, counts))
        raise NetworkError(
            f"layer {index} ({name}): its branches have {given} channels: give their last layers "
            "with weights the same width",
            layer=index,
        )


def _branch(name: str, value: object) -> Branch:
    """Return layers as a tuple."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        message = f"{name}: expected a list of layers, not {reprlib.repr(value)}"
        raise NetworkError(message, key=name)
    for layer in value:
        if isinstance(layer, type) or not hasattr(layer, "after"):
            given = layer.__name__ if isinstance(layer, type) else reprlib.repr(layer)
            message = f"{name}: expected layers such as Conv((3, 3)) or Relu(), not {given}"
            raise NetworkError(message, key=name)
    return tuple(value)


def _branches(name: str, value: object) -> tuple[Branch, ...]:
    """Return two or more lists of layers as tuples."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < 2:
        message = f"{name}: expected two lists of layers or more, not {reprlib.repr(value)}"
        raise NetworkError(message, key=name)
    return tuple(_branch(name, branch) for branch in value)


def _shares(name: str, value: object) -> tuple[float, ...] | None:
    """Return positive numbers as a tuple, or None."""
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise NetworkError(f"{name}: expected a list of numbers, not {value!r}", key=name)
    words = "a finite number above zero"
    return tuple(finite_number(name, share, words, math.ulp(0.0)) for share in value)
