"""A network as a table for people: one row a layer, as plain text or as HTML for notebooks."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from html import escape

from refntk.network.arguments import times, written
from refntk.network.composition import Branching
from refntk.network.layers import Layer, Signal
from refntk.network.sequence import through
from refntk.ops.named_groups import finite_group

__all__ = ["html_table", "text_table"]

_WORDS = {"ntk": "NTK", "standard": "standard"}
_HEADER = ("", "layer", "parameters", "output")


def text_table(
    name: str | None,
    parameterization: str,
    layers: Sequence[Layer],
    start: Signal,
) -> str:
    """Lay out a network as lines of text.

    Parameters
    ----------
    name : str or None
    parameterization : str
    layers : sequence of Layer
    start : Signal
        What the first layer gets.

    Returns
    -------
    str
        A title, a header and a line for each layer: its number from 0, its name, its arguments,
        its output. Those of a branch come below the layer that forks, moved to the right. No
        newline at the end.

    Examples
    --------
    >>> from refntk.network.layers import Conv
    >>> conv = Conv((3, 3), padding="VALID")
    >>> print(text_table("mine", "ntk", [conv], Signal(shape=(8, 8))))
    Network mine of 1 layer, NTK parametrisation
       layer  parameters                                                      output
    0  Conv   filter_shape 3x3, strides 1x1, padding VALID, W_std 1, b_std 0  6x6
    """
    rows = [_HEADER, *_rows(layers, start)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = []
    for number, *cells in rows:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([number.rjust(widths[0]), *padded]).rstrip())
    return "\n".join([_title(name, parameterization, layers), *lines])


def html_table(
    name: str | None,
    parameterization: str,
    layers: Sequence[Layer],
    start: Signal,
) -> str:
    """Lay out a network as an HTML table.

    Parameters
    ----------
    name, parameterization, layers, start
        As for `text_table`. The title becomes the caption; no text is taken for HTML.

    Returns
    -------
    str
        A ``<table>``.
    """
    head = "".join(f"<th>{cell}</th>" for cell in _HEADER)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in _rows(layers, start)
    )
    title = _title(name, parameterization, layers)
    return (
        f"<table><caption>{escape(title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _title(name: str | None, parameterization: str, layers: Sequence[Layer]) -> str:
    called = "" if name is None else f" {name}"
    count = f"{len(layers)} layer{'s' if len(layers) > 1 else ''}"
    return f"Network{called} of {count}, {_WORDS[parameterization]} parametrisation"


def _rows(layers: Sequence[Layer], start: Signal) -> Iterator[tuple[str, str, str, str]]:
    signals = through(layers, start)
    for index, (layer, below) in enumerate(zip(layers, (start, *signals[:-1]), strict=True)):
        output = _output(signals[index])
        yield str(index), type(layer).__name__, _arguments(layer), output
        yield from _inside(layer, below, 1)


def _inside(layer: Layer, below: Signal, depth: int) -> Iterator[tuple[str, str, str, str]]:
    """Rows of the branches of a layer."""
    if not isinstance(layer, Branching):
        return
    for word, branch in zip(layer.words, layer.branches, strict=True):
        indent = "  " * depth
        yield "", f"{indent}{word}:", "" if branch else "the signal as it is", ""
        signals = (below, *through(branch, below))
        for inner, before, after in zip(branch, signals, signals[1:], strict=False):
            yield "", f"{indent}  {type(inner).__name__}", _arguments(inner), _output(after)
            yield from _inside(inner, before, depth + 2)


def _arguments(layer: Layer) -> str:
    """Write the arguments in the words of the layer, such as ``filter_shape 3x3, W_std 1``."""
    return ", ".join(
        f"{name} {_value(name, value)}"
        for name, value in written(layer).items()
        if not isinstance(layer, Branching) or name not in ("layers", "shortcut", "branches")
    )


_SIDES = ("filter_shape", "strides", "dilations", "window_shape")
"""Arguments with a number for each axis."""


def _value(name: str, value: object) -> str:
    if isinstance(value, tuple) and name in _SIDES:
        return times(value)
    if isinstance(value, tuple) and name != "weights" and _floats(value):
        return " ".join(_value(name, part) for part in value)
    if isinstance(value, tuple):
        return reprlib.repr(list(value))
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _floats(values: tuple[object, ...]) -> bool:
    return all(isinstance(value, float) for value in values)


def _output(signal: Signal) -> str:
    """Axes of the features, with their lengths where these are known: ``C4 x 32x32``."""
    if signal.kind == "vector":
        return "vector"
    if signal.kind == "set":
        count = signal.points
        return "set" if count is None else f"{count} point{'s' if count > 1 else ''}"
    if signal.elements is not None:
        return finite_group(signal.elements).name
    grid = "grid" if signal.shape is None else times(signal.shape)
    return grid if signal.group is None else f"{signal.group} x {grid}"
