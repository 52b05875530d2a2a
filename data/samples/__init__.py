"""Images that come with refntk: small labelled subsets of public data sets, and made volumes.

Each is a pair of files: ``NAME.npz`` with ``images``, ``labels``, ``class_names`` and, of subsets,
``source_indices``, and ``NAME.md`` with source or formula, choice, licence and citation.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from refntk.errors import InputError, unknown

__all__ = ["sample_file", "sample_names"]


def sample_names() -> tuple[str, ...]:
    """Names of the bundled samples.

    Returns
    -------
    tuple of str
        Sorted; each can be loaded as ``sample:NAME``.
    """
    names = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".npz") for name in names if name.endswith(".npz")))


def sample_file(name: str) -> Traversable:
    """Find the .npz file of a bundled sample.

    Parameters
    ----------
    name : str
        One of `sample_names`.

    Returns
    -------
    importlib.resources.abc.Traversable
        The file; `importlib.resources.as_file` makes a path of it.

    Raises
    ------
    InputError
        No such sample.
    """
    if name not in sample_names():
        raise InputError(unknown("sample", name, sample_names()))
    return files(__name__) / f"{name}.npz"
