"""The shipped networks, and the network that a person names."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from refntk.errors import NetworkError, nearest, unknown
from refntk.network.network import Network

__all__ = ["load_network", "preset", "preset_text", "presets"]


def presets() -> tuple[str, ...]:
    """Return the names of the shipped networks, sorted.

    Returns
    -------
    tuple of str
    """
    files = (entry.name for entry in resources.files("refntk.network.preset_files").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def preset(name: str) -> Network:
    """Return the shipped network of this name.

    Parameters
    ----------
    name : str
        One of `presets()`.

    Returns
    -------
    Network

    Raises
    ------
    NetworkError
        No preset has this name.
    """
    return Network.from_toml_string(preset_text(name), source=f"preset {name}")


def preset_text(name: str) -> str:
    """Return the TOML file of the shipped network of this name, with its comments.

    Parameters
    ----------
    name : str
        One of `presets()`.

    Returns
    -------
    str

    Raises
    ------
    NetworkError
        No preset has this name.
    """
    if name not in presets():
        raise NetworkError(unknown("preset", name, presets()))
    file = resources.files("refntk.network.preset_files").joinpath(f"{name}.toml")
    return file.read_text(encoding="utf-8")


def load_network(spec: str) -> Network:
    """Return the network that a person named: a preset or a TOML file.

    Parameters
    ----------
    spec : str
        The name of a preset, which comes first, or the path of a file ("./gcnn-paper" is a path).

    Returns
    -------
    Network

    Raises
    ------
    NetworkError
        There is neither such a preset nor such a file, or the file is wrong.
    """
    if spec in presets():
        return preset(spec)
    try:
        exists = Path(spec).exists()
    except (OSError, ValueError):  # a name that no file can have
        exists = False
    if exists:
        return Network.from_toml(spec)
    raise NetworkError(
        f"no preset and no file is called {spec!r}{nearest(spec, presets())}; "
        f"presets: {', '.join(presets())}"
    )
