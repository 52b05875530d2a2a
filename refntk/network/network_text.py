"""The text of a network file: TOML in and out."""

from __future__ import annotations

import json
import re
import reprlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refntk.errors import NetworkError
from refntk.network.layers import LAYERS, Layer
from refntk.network.missing import unknown_layer
from refntk.network.sequence import described

__all__ = ["find_line", "network_text", "parse_toml", "read_layer", "read_network_text"]

_MOST_BYTES = 1 << 24


def read_network_text(path: Path) -> str:
    """Read a regular file that is not too large; a pipe or a device may never end.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    str

    Raises
    ------
    NetworkError
        No regular file, or one that is too large for a network.
    OSError, UnicodeDecodeError
        It cannot be read, or is not UTF-8.
    """
    if not path.is_file() and path.exists() and not path.is_dir():
        raise NetworkError(f"{path}: is no regular file; a network file is TOML in UTF-8")
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise NetworkError(f"{path}: is larger than {_MOST_BYTES} bytes, too large for a network")
    return data.decode("utf-8-sig")  # as editors on Windows begin it


def network_text(name: str | None, parameterization: str, layers: Sequence[Layer]) -> str:
    """Write a network as TOML.

    Parameters
    ----------
    name : str or None
    parameterization : str
    layers : sequence of Layer

    Returns
    -------
    str
        One [[layer]] table a layer; the layers of a branch are inline tables, one a line.

    Raises
    ------
    NetworkError
        An argument is a function.
    """
    lines = [] if name is None else [f"name = {_written(name)}"]
    lines.append(f"parameterization = {_written(parameterization)}")
    for index, layer in enumerate(layers):
        lines += ["", "[[layer]]"]
        for key, value in described(layer, index).items():
            if isinstance(value, list) and value and isinstance(value[0], dict | list):
                inside = "".join(f"    {_written(entry)},\n" for entry in value)
                lines.append(f"{key} = [\n{inside}]")
            else:
                lines.append(f"{key} = {_written(value)}")
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    """Write a value as TOML on one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)  # of printable text, this is TOML as well
        case dict():
            pairs = ", ".join(f"{key} = {_written(entry)}" for key, entry in value.items())
            return f"{{{pairs}}}"
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case _:
            return repr(value)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Parse TOML; errors are `NetworkError` and name the source and the line."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise NetworkError(f"{source}: brackets are nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, or a number of more digits than int() takes
        reason, line = str(error), ""
        if found := re.search(r" \(at line (\d+), column \d+\)$", reason):
            reason, line = reason[: found.start()], f", line {found[1]}"
        elif reason.endswith(" (at end of document)"):
            line = f", line {len(text.splitlines())}"
        raise NetworkError(f"{source}{line}: not valid TOML: {reason}") from None


def read_layer(index: int, table: object) -> Layer:
    """Build one layer from its table.

    Parameters
    ----------
    index : int
        Of the layer, for messages.
    table : object
        What should be a table; layers in it are tables in lists.

    Returns
    -------
    Layer

    Raises
    ------
    NetworkError
        It carries the layer's index and the key.
    """
    if not isinstance(table, dict):
        message = f"layer {index}: expected a table, not {reprlib.repr(table)}"
        raise NetworkError(message, layer=index)
    arguments = {key: value for key, value in table.items() if key != "type"}
    name = table.get("type")
    known = isinstance(name, str) and name in LAYERS
    try:
        if name is None:
            raise NetworkError(f"the key type is missing; known: {', '.join(LAYERS)}")
        if not isinstance(name, str) or name not in LAYERS:
            raise NetworkError(unknown_layer(name), key="type")
        layer: Layer = LAYERS[name](**{key: _value(value) for key, value in arguments.items()})
        return layer
    except NetworkError as error:
        place = f"layer {index} ({name})" if known else f"layer {index}"
        raise NetworkError(f"{place}: {error}", layer=index, key=error.key) from None


def _value(value: object) -> object:
    """Build the layers of branches, which are lists of tables."""
    if not isinstance(value, list):
        return value
    if value and all(isinstance(entry, dict) for entry in value):
        return [read_layer(index, entry) for index, entry in enumerate(value)]
    return [_value(entry) for entry in value]


_LAYER_HEADER = re.compile(r"""\s*\[\[\s*(layer|"layer"|'layer')\s*\]\]""")


def find_line(text: str, error: NetworkError, count: int) -> int | None:
    """Find the line, counted from 1, that an error is about.

    Parameters
    ----------
    text : str
    error : NetworkError
    count : int
        Number of layers.

    Returns
    -------
    int or None
        None where the text hides it: layers may also be written as inline tables, or a text may
        quote a header, so that lines are reported only if there are as many headers as layers.
    """
    lines = text.split("\n")
    headers = [i for i, line in enumerate(lines) if _LAYER_HEADER.match(line)]
    if error.layer is None:
        start, stop = 0, headers[0] if headers else len(lines)
    elif len(headers) != count:
        return None
    else:
        start, stop = headers[error.layer], (*headers, len(lines))[error.layer + 1]
    if error.key is not None:
        key = re.escape(error.key)
        pattern = re.compile(rf"""\s*\[*\s*["']?{key}["']?\s*[\].=]""")
        for i in range(start, stop):
            if pattern.match(lines[i]):
                return i + 1
    return None if error.layer is None else start + 1
