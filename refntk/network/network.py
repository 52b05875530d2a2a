"""A network is a tuple of layers: its checks, its hash, TOML in and out."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, overload

from refntk.errors import NetworkError, ShapeError, unknown
from refntk.network.layers import LAYERS, Kind, Layer, Signal
from refntk.network.network_text import (
    find_line,
    network_text,
    parse_toml,
    read_layer,
    read_network_text,
)
from refntk.network.sequence import described, nested, through
from refntk.network.signal import Channels
from refntk.network.table import html_table, text_table
from refntk.ops.program import Builder, Program
from refntk.ops.space import Space

__all__ = ["Network"]

_PARAMETERIZATIONS: tuple[str, ...] = ("ntk", "standard")


@dataclass(frozen=True)
class Network:
    """An infinitely wide network: layers in the order in which an image passes them.

    Two networks are equal when their layers and their parametrisation are; the name does not count.

    Parameters
    ----------
    layers : sequence of Layer
        At least one. The rules that need no image size are checked here.
    name : str, optional
        One line of printable text.
    parameterization : {"ntk", "standard"}, default "ntk"
        In the NTK parametrisation weights and biases are standard normal and scaled in the forward
        pass. In the standard one they are drawn with the deviations W_std / sqrt(F) at fan-in F,
        and b_std, and not scaled; the NNGP is the same, and the NTK depends on the widths of the
        layers, which must be said.

    Raises
    ------
    NetworkError
        The layers do not fit together; the message names the layer's index (from 0), its type, the
        reason and the remedy.

    Examples
    --------
    >>> from refntk.network.layers import Dense, Flatten, Relu
    >>> Network([Flatten(), Dense(), Relu(), Dense()]).signals((28, 28))[-1].kind
    'vector'
    """

    layers: tuple[Layer, ...]
    name: str | None = field(default=None, compare=False)
    parameterization: str = "ntk"

    def __init__(
        self, layers: Sequence[Layer], name: str | None = None, parameterization: str = "ntk"
    ) -> None:
        """Check the layers and what they say to each other."""
        if parameterization not in _PARAMETERIZATIONS:
            message = unknown("parameterization", parameterization, _PARAMETERIZATIONS)
            raise NetworkError(message, key="parameterization")
        if name is not None and not (isinstance(name, str) and name and name.isprintable()):
            message = f"name: expected one line of printable text, not {reprlib.repr(name)}"
            raise NetworkError(message, key="name")
        object.__setattr__(self, "layers", _as_layers(layers))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameterization", parameterization)
        through(self.layers, self._start())
        self.axes  # noqa: B018  (says now if layers disagree)

    @property
    def takes(self) -> Kind:
        """What the network is for: images on a grid, or signals on a finite set."""
        return getattr(self.layers[0], "takes", "grid")

    @property
    def axes(self) -> int:
        """Number of axes of positions of an input: 2 of images, 1 of signals on a finite set.

        Convolutions and windows of one or three sides say otherwise.

        Raises
        ------
        NetworkError
            Layers disagree about it.
        """
        if self.takes == "set":
            return 1
        sides = [
            len(getattr(layer, name))
            for layer in nested(self.layers)
            for name in ("filter_shape", "window_shape")
            if hasattr(layer, name)
        ]
        if len(set(sides)) > 1:
            raise NetworkError(
                "layers disagree about the axes of the inputs: filters and windows have "
                f"{' and '.join(map(str, sorted(set(sides))))} sides"
            )
        return sides[0] if sides else 2

    def __call__(self, x1: Any, x2: Any | None = None, **options: Any) -> Any:
        """Compute the kernels of this network, as `refntk.kernel` does with the same arguments."""
        # Networks are below what computes: it is called by its name.
        return import_module("refntk.evaluation.evaluate").kernel(self, x1, x2, **options)

    def __len__(self) -> int:
        """Count the layers."""
        return len(self.layers)

    @overload
    def __getitem__(self, which: int) -> Layer: ...

    @overload
    def __getitem__(self, which: slice) -> Network: ...

    def __getitem__(self, which: int | slice) -> Layer | Network:
        """Take one layer, or a network of some in a row.

        Raises
        ------
        IndexError
            There is no such layer.
        NetworkError
            The layers are none, or make no network.
        """
        if isinstance(which, slice):
            return Network(self.layers[which], parameterization=self.parameterization)
        return self.layers[which]

    def __add__(self, other: Network | Sequence[Layer]) -> Network:
        """Put more layers behind these; a network without name.

        Raises
        ------
        NetworkError
            The layers do not fit together, or the networks have unlike parametrisations.
        """
        if isinstance(other, Network):
            if other.parameterization != self.parameterization:
                raise NetworkError(
                    f"a network in the {self.parameterization} parametrisation and one in the "
                    f"{other.parameterization} parametrisation: bring both to one"
                )
            other = other.layers
        if not isinstance(other, list | tuple):
            return NotImplemented
        return Network([*self.layers, *other], parameterization=self.parameterization)

    def signals(self, shape: Sequence[int]) -> tuple[Signal, ...]:
        """Say what comes out of each layer for images of this shape.

        Parameters
        ----------
        shape : (H, W) or (H, W, C)
            Shape of one image, or (X,) or (X, C) of one signal on a finite set; the number of
            channels does not matter.

        Returns
        -------
        tuple of Signal
            One after each layer.

        Raises
        ------
        ShapeError
            A layer cannot take its input; the message names its index, its type and the reason.
        """
        return through(self.layers, self._start(self._positions(shape)))

    def _start(self, positions: tuple[int, ...] | None = None) -> Signal:
        """Describe the images, or signals on a set; without positions those of any shape."""
        channels: Channels = "any" if self.parameterization == "ntk" else "known"
        start = Signal(self.takes, channels=channels)
        if positions is None:
            return start
        if self.takes == "set":
            return replace(start, points=positions[0])
        return replace(start, shape=positions)

    def _positions(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Take the channels off a shape."""
        if len(shape) not in (self.axes, self.axes + 1) or min(shape) < 1:
            expected = {
                1: "(L,) or (L, C) of a signal",
                2: "(H, W) or (H, W, C) of an image",
                3: "(D, H, W) or (D, H, W, C) of a volume",
            }[self.axes]
            if self.takes == "set":
                expected = "(X,) or (X, C) of a signal on a finite set"
            raise ShapeError(f"expected the shape {expected}, not {tuple(shape)}")
        return tuple(int(side) for side in shape[: self.axes])

    def program(self, shape: Sequence[int]) -> Program:
        """Lower the network to operations, for images of this shape.

        Parameters
        ----------
        shape : (H, W) or (H, W, C)
            Shape of one image, or (X,) or (X, C) of one signal on a finite set; the number of
            channels matters in the standard parametrisation.

        Returns
        -------
        Program

        Raises
        ------
        ShapeError
            As `signals`.
        NetworkError
            A layer does not say which operations it stands for.
        """
        self.signals(shape)
        positions, counted = self._positions(shape), self.parameterization == "standard"
        if counted and len(shape) == len(positions):
            raise ShapeError(
                "the standard parametrisation counts the channels of images, too: expected the "
                f"shape with them as its last number, not {tuple(shape)}"
            )
        build, value = Builder(Space(positions), int(shape[-1]) if counted else None), 0
        for index, layer in enumerate(self.layers):
            build.layer = index, type(layer).__name__
            if not hasattr(layer, "lower"):
                place = f"layer {index} ({type(layer).__name__})"
                message = f"{place}: has no method lower, which says what it computes"
                raise NetworkError(message, layer=index)
            value = layer.lower(build, value)
        return build.program()

    def _repr_html_(self) -> str:
        return html_table(self.name, self.parameterization, self.layers, self._start())

    def summary(self, shape: Sequence[int] | None = None) -> str:
        """Lay out the network as a table, with the shapes that images of one size get inside it.

        Parameters
        ----------
        shape : (H, W) or (H, W, C), optional
            Of one image. Without it, shapes on the grid are called ``grid``.

        Returns
        -------
        str
            One line a layer: number, name, arguments, output; `refntk.network.table` shows one.

        Raises
        ------
        ShapeError
            As `signals`.
        """
        start = self._start(None if shape is None else self._positions(shape))
        return text_table(self.name, self.parameterization, self.layers, start)

    __str__ = summary

    @cached_property
    def hash(self) -> str:
        """SHA-256, in hexadecimal, of the layers with all their arguments; not of the name.

        Raises
        ------
        NetworkError
            As `to_toml`.
        """
        layers = [described(layer, index) for index, layer in enumerate(self.layers)]
        canonical = {"parameterization": self.parameterization, "layers": layers}
        text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_toml(self) -> str:
        """Write the network as TOML, with the arguments of every layer.

        Returns
        -------
        str
            `from_toml_string` gives back an equal network of the same name.

        Raises
        ------
        NetworkError
            A layer has a function of one's own, which no text can say.
        """
        return network_text(self.name, self.parameterization, self.layers)

    @classmethod
    def from_toml(cls, path: str | Path) -> Network:
        """Read a network from a TOML file.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Network

        Raises
        ------
        NetworkError
            The file cannot be read, or what it says is wrong; the message names the file and, where
            one is to blame, the line.
        """
        try:
            text = read_network_text(Path(path))
        except NetworkError:
            raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise NetworkError(f"{path}: cannot be read as a network file: {reason}") from error
        except ValueError as error:  # not UTF-8, or a NUL in the path
            raise NetworkError(f"{path}: a network file is TOML in UTF-8: {error}") from error
        return cls.from_toml_string(text, source=str(path))

    @classmethod
    def from_toml_string(cls, text: str, source: str = "<string>") -> Network:
        """Read a network from TOML text; `from_toml` tells more.

        Parameters
        ----------
        text : str
            TOML with the optional keys name and parameterization, and one [[layer]] table a layer:
            its type, and its arguments by name.
        source : str
            What messages call the text.

        Returns
        -------
        Network

        Raises
        ------
        NetworkError
            As `from_toml`.
        """
        document = parse_toml(text, source)
        tables = document.get("layer")
        try:
            for key in document:
                if key not in ("name", "parameterization", "layer"):
                    known = ("name", "parameterization", "layer")
                    raise NetworkError(unknown("key", key, known), key=key)
            if not isinstance(tables, list) or not tables:
                raise NetworkError("expected one [[layer]] table a layer, found none", key="layer")
            layers = [read_layer(index, table) for index, table in enumerate(tables)]
            parameterization = document.get("parameterization", "ntk")
            return cls(layers, document.get("name"), parameterization)
        except NetworkError as error:
            line = find_line(text, error, len(tables) if isinstance(tables, list) else 0)
            where = source if line is None else f"{source}, line {line}"
            message = f"{where}: {error}"
            raise NetworkError(message, layer=error.layer, key=error.key) from error


def _as_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    if not isinstance(layers, Sequence) or isinstance(layers, str) or not layers:
        raise NetworkError(f"expected a list of at least one layer, not {reprlib.repr(layers)}")
    for index, layer in enumerate(layers):
        if not isinstance(layer, tuple(LAYERS.values())):
            given = layer.__name__ if isinstance(layer, type) else reprlib.repr(layer)
            message = f"layer {index}: expected a layer such as Conv((3, 3)) or Relu(), not {given}"
            raise NetworkError(message, layer=index)
    return tuple(layers)
