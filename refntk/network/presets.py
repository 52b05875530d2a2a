"""The shipped networks, and the network that a person names."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from refntk.errors import NetworkError, nearest, unknown
from refntk.network.network import Network

__all__ = ["as_network", "load_network", "preset", "preset_text", "presets"]


def presets() -> tuple[str, ...]:
    """Return the names of the shipped networks, sorted.

    Returns
    -------
    tuple of str
    """
    files = (entry.name for entry in resources.files("refntk.network.preset_files").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


@cache
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


_IMAGES = (
    ".bmp", ".gz", ".h5", ".hdf5", ".jpeg", ".jpg", ".nii", ".npy", ".npz", ".png", ".tif",
    ".tiff", ".webp",
)  # fmt: skip


def as_network(net: object) -> Network:
    """Take what means a network in a call.

    Parameters
    ----------
    net : Network, str, or sequence of layers
        A name is that of a preset or of a TOML file.

    Returns
    -------
    Network

    Raises
    ------
    NetworkError
        It is none of these, there is no such preset or file, or the layers do not fit each other.
    """
    if isinstance(net, Network):
        return net
    if isinstance(net, str | Path):
        return load_network(str(net))
    if isinstance(net, list | tuple):
        return Network(net)
    given = type(net).__name__
    images = hasattr(net, "shape") or hasattr(net, "images")
    order = "; the network comes first, and then the images" if images else ""
    raise NetworkError(
        f"net: expected a Network, the name of a preset or a list of layers, not {given}{order}"
    )


def _is_folder(spec: str) -> bool:
    try:
        return Path(spec).is_dir()
    except (OSError, ValueError):  # a name that no file can have
        return False


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
    if spec.startswith("sample:") or Path(spec).suffix.lower() in _IMAGES or _is_folder(spec):
        raise NetworkError(
            f"{spec}: names images where a network is expected; the network comes first, and then "
            "the images"
        )
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
