"""Pieces of networks that are put together as in neural-tangents, and their kernels."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np

from refntk.errors import InputError, NetworkError, unknown
from refntk.evaluation.evaluate import kernel
from refntk.network.composition import Concat, Product, Residual, has_weights
from refntk.network.dense import Dense
from refntk.network.filters import Conv
from refntk.network.linear import Linear
from refntk.network.network import Network
from refntk.network.pooling import Flatten
from refntk.network.sequence import through
from refntk.network.signal import Layer, Signal

__all__ = [
    "FanInConcat",
    "FanInProd",
    "FanInSum",
    "FanOut",
    "Forked",
    "Part",
    "batch",
    "parallel",
    "repeat",
    "serial",
]

Joint: TypeAlias = Literal["sum", "product", "concat"]

_OPTIONS = (
    "dtype", "backend", "method", "threads", "tile", "device_memory", "scale", "progress",
    "diagonal",
)  # fmt: skip
_ROW = "FanOut(n), parallel(...) and FanInSum(), FanInProd() or FanInConcat() come in a row"


@dataclass(frozen=True)
class Part:
    """A piece of a network; it unpacks to ``init_fn, apply_fn, kernel_fn``.

    Made by the functions of `refntk.stax`.

    Parameters
    ----------
    pieces : tuple of Layer and Forked
        Those with weights have their widths, whether these matter or not.
    parameterizations : frozenset of {"ntk", "standard"}
        What its layers with weights say.
    """

    pieces: tuple[Any, ...]
    parameterizations: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Any]:
        """Give the three functions."""
        return iter((self.init_fn, self.apply_fn, self.kernel_fn))

    def __getitem__(self, which: int) -> Any:
        """Give one of the three functions."""
        return tuple(self)[which]

    def network(self, shape: Sequence[int]) -> Network:
        """Say it in refntk's own words, for inputs of one shape.

        Parameters
        ----------
        shape : (H, W, C), (L, C), (D, H, W, C) or (F,)
            Of an image, a signal, a volume, or a row of a table. Dense is a convolution where there
            are positions, and Concat needs the number of channels that Flatten gives.

        Returns
        -------
        Network

        Raises
        ------
        NetworkError, ShapeError
            The layers do not fit together, or cannot take this shape.
        """
        flat = len(shape) == 1
        *positions, channels = (1, 1, *shape) if flat else shape
        counted = "standard" in self.parameterizations
        start = Signal(shape=tuple(positions), channels="known" if counted else "any")
        pieces = (Flatten(), *self.pieces) if flat else self.pieces
        layers, _ = _settled(pieces, start, channels, counted)
        return Network(layers, parameterization="standard" if counted else "ntk")

    def init_fn(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to draw parameters.

        Raises
        ------
        NetworkError
            Always.
        """
        raise NetworkError(
            "networks of infinite width have no parameters to draw or to apply: "
            "refntk.finite.FiniteNetwork draws networks of finite width"
        )

    apply_fn = init_fn

    def kernel_fn(
        self, x1: Any, x2: Any | None = None, get: str | Sequence[str] | None = None, **options: Any
    ) -> Any:
        """Compute kernels.

        Parameters
        ----------
        x1, x2 : array, shape (N, H, W, C), (N, L, C), (N, D, H, W, C) or (N, F)
            Images, signals, volumes or tables, taken as they are, integers too.
        get : {"nngp", "ntk"} or a sequence of them, optional
            Default: both, as a `refntk.Kernel`.
        **options
            ``dtype``, ``backend`` and others of `refntk.kernel`.

        Returns
        -------
        array, named tuple of arrays, or refntk.Kernel
            One kernel for one word; a tuple in the order of the words.

        Raises
        ------
        InputError
            An option is none of `refntk.kernel`, or an input has other axes.
        RefntkError
            As `refntk.kernel`.
        """
        for word in options:
            if word not in _OPTIONS:
                raise InputError(f"kernel_fn: {unknown('option', word, _OPTIONS)}")
        shape = np.shape(x1)
        if not 2 <= len(shape) <= 5:
            raise InputError(
                "X1: expected a table (N, F) or positions with channels, such as images "
                f"(N, H, W, C), not an array of shape {shape}"
            )
        network = self.network(shape[1:])
        if len(shape) in (3, 5) and network.axes == 2:
            # No filter: positions may be counted along any axes.
            x1, x2 = (None if x is None else _planar(x) for x in (x1, x2))
        words = ("nngp", "ntk") if get is None else (get,) if isinstance(get, str) else tuple(get)
        found = kernel(network, x1, x2, words, **{"scale": "none", **options})
        if get is None:
            return found
        if isinstance(get, str):
            return found.kernels[get]
        return namedtuple("Kernel", words)(*(found.kernels[word] for word in words))


@dataclass(frozen=True)
class Forked:
    """Parts side by side that get the same signal, and how theirs are joined.

    Also stands for what is not complete yet: a FanOut has only a count, what `parallel` gives only
    branches, and a FanInSum only its joint.
    """

    count: int = 0
    branches: tuple[Part, ...] = ()
    joint: Joint | None = None

    def settled(self, here: Signal, channels: int, counted: bool) -> tuple[Layer, int]:
        """Make it a layer with branches; as `_settled`."""
        ends = [_settled(part.pieces, here, channels, counted) for part in self.branches]
        branches, widths = [tuple(layers) for layers, _ in ends], [width for _, width in ends]
        if self.joint == "product":
            return Product(tuple(branches)), widths[0]
        if self.joint == "concat":
            alike = counted or len(set(widths)) == 1
            shares = None if alike else tuple(map(float, widths))
            return Concat(tuple(branches), shares=shares), sum(widths)
        # A branch without weights, of which there is one at most, is the innermost shortcut.
        branches.sort(key=has_weights, reverse=True)
        innermost = branches.pop()
        layer = Residual(branches.pop(), shortcut=innermost)
        while branches:
            layer = Residual(branches.pop(), shortcut=(layer,))
        return layer, widths[0]


def _settled(
    pieces: Sequence[Any], start: Signal, channels: int, counted: bool
) -> tuple[list[Layer], int]:
    """Make layers of pieces, for a signal of this shape and with so many channels.

    Widths stay where `counted`; the number of channels at the end comes along.
    """
    layers: list[Layer] = []
    for piece in pieces:
        here = through(layers, start)[-1] if layers else start
        layer = piece
        if isinstance(piece, Forked):
            layer, channels = piece.settled(here, channels, counted)
        elif isinstance(piece, Linear):
            channels = piece.width or channels
            layer = piece if counted else replace(piece, width=None)
            if isinstance(layer, Dense) and here.kind == "grid":
                shared = {each.name: getattr(layer, each.name) for each in fields(Linear)}
                layer = Conv((1,) * len(here.shape or ()), **shared)
        elif isinstance(piece, Flatten):
            if here.kind == "vector":
                continue
            channels *= math.prod(here.shape or ())
        layers.append(layer)
    return layers, channels


def _planar(x: Any) -> Any:
    """Make images of signals or volumes."""
    return x.reshape(x.shape[0], x.shape[1], -1, x.shape[-1])


def serial(*parts: Part) -> Part:
    """Put parts one after the other.

    Parameters
    ----------
    *parts : Part
        ``FanOut(n), parallel(...), FanInSum()`` in a row become one layer that forks and joins.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        Forks and joins do not match, or parts have unlike parametrisations.
    """
    for part in parts:
        if not isinstance(part, Part):
            raise NetworkError(f"serial: expected parts such as Dense(1), not {part!r}")
    pieces: list[Any] = []
    waiting = [piece for part in parts for piece in part.pieces][::-1]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, Forked) and not (piece.branches and piece.joint):
            piece = _joined(piece, waiting)
        pieces.append(piece)
    return Part(tuple(pieces), _parameterizations(parts))


def _joined(fork: Forked, waiting: list[Any]) -> Forked:
    """Take what follows on a fork, the last one first, up to what joins it."""
    if not fork.count:
        raise NetworkError(_ROW)
    branches = [Part(()) for _ in range(fork.count)]
    while waiting and isinstance(waiting[-1], Forked) and not waiting[-1].count:
        row = waiting.pop()
        if row.joint:
            return Forked(branches=tuple(branches), joint=row.joint)
        if len(row.branches) != fork.count:
            many = len(row.branches)
            raise NetworkError(f"FanOut({fork.count}) in front of {many} parallel parts")
        branches = [serial(*both) for both in zip(branches, row.branches, strict=True)]
    raise NetworkError(_ROW)


def _parameterizations(parts: Sequence[Part]) -> frozenset[str]:
    said = frozenset[str]().union(*(part.parameterizations for part in parts))
    if len(said) > 1:
        raise NetworkError(
            "layers in the ntk and in the standard parametrisation: say the same in all"
        )
    return said


def repeat(layer: Part, n: int) -> Part:
    """Put a part `n` times in a row.

    Parameters
    ----------
    layer : Part
    n : int

    Returns
    -------
    Part
    """
    return serial(*[layer] * n)


def parallel(*layers: Part) -> Part:
    """Put parts side by side, between `FanOut` and what joins them.

    Parameters
    ----------
    *layers : Part

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        There are none, or they have unlike parametrisations.
    """
    if not layers or not all(isinstance(layer, Part) for layer in layers):
        raise NetworkError(f"parallel: expected parts such as Identity(), not {layers!r}")
    return Part((Forked(branches=layers),), _parameterizations(layers))


def FanOut(num: int) -> Part:
    """Hand a signal to several parts.

    Parameters
    ----------
    num : int
        How many: two or more.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        Fewer than two.
    """
    if not isinstance(num, int) or num < 2:
        raise NetworkError(f"FanOut: expected a whole number from 2 on, not {num!r}")
    return Part((Forked(count=num),))


def FanInSum() -> Part:
    """Add up the signals of parts, all but one of which have weights of their own.

    Returns
    -------
    Part
    """
    return Part((Forked(joint="sum"),))


def FanInProd() -> Part:
    """Multiply the signals of parts, all but one of which have weights of their own.

    Returns
    -------
    Part
    """
    return Part((Forked(joint="product"),))


def FanInConcat(axis: int = -1) -> Part:
    """Put the channels of parts side by side, as many of each as it is wide.

    Parameters
    ----------
    axis : int
        That of the channels, -1.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        Another axis.
    """
    if axis not in (-1, 3):
        raise NetworkError(f"FanInConcat: axis {axis} is not that of the channels, which is -1")
    return Part((Forked(joint="concat"),))


def batch(kernel_fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Give back a kernel function, which cuts its work into tiles by itself.

    Parameters
    ----------
    kernel_fn : callable
    *args, **kwargs
        Sizes of batches and numbers of devices, which change nothing.

    Returns
    -------
    callable
        The same.
    """
    return kernel_fn
