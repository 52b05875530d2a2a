"""How kernels are computed: one engine for each backend and method, imported when asked for.

An engine knows one thing, how to compute blocks of kernels at the readout for one plan. Validation,
planning, tiling, the layers after the readout and storage are written once, above it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, MissingBackendError, UnknownBackendError, unknown
from refntk.plan.reduction import Plan

__all__ = [
    "ENGINES",
    "RELU_FAMILY_ONLY",
    "Block",
    "Engine",
    "Setting",
    "available_backends",
    "engine",
    "methods_of",
    "obstacle_of",
    "require",
]

Images = npt.NDArray[np.floating[Any]]
Matrix = npt.NDArray[np.float64]
Block = tuple[Matrix, Matrix | None]
"""NNGP and NTK at the readout, each of shape (rows, columns); None if the NTK is not asked for."""


@dataclass(frozen=True)
class Setting:
    """What an engine is to compute, and with what.

    Attributes
    ----------
    plan : Plan
    dtype : {"float64", "float32"}
        Precision of the recursion.
    ntk : bool
        Whether the NTK is wanted.
    threads : int
        Number of threads to use; no result depends on it.
    device_memory : int, optional
        Bytes of a graphics processor's memory to take at most.
    """

    plan: Plan
    dtype: str = "float64"
    ntk: bool = True
    threads: int = 1
    device_memory: int | None = None


class Engine(Protocol):
    """What computes with one setting. By default it has no more than its kernels at the readout."""

    def prepare(self, images: Matrix) -> Any:
        """Bring images (N, H, W, C) into the engine's own layout, for `diagonal` and `block`."""
        ...

    def diagonal(self, prepared: Any) -> Matrix:
        """NNGP between each image and itself at the readout, shape (N,).

        The same arithmetic as in `block`, so that duplicates can be told by equality.
        """
        ...

    def block(self, one: Any, two: Any | None, progress: Callable[[float], None]) -> Block:
        """Kernels at the readout between prepared images x and x'.

        Parameters
        ----------
        one, two : prepared images
            N and M of them; None means the same images, and then only entries with row <= column
            need to be right.
        progress : callable
            Called now and then, from this thread, with the fraction of the block that has been
            computed since the last call.

        Returns
        -------
        nngp, ntk : float64 arrays, shape (N, M)
        """
        ...

    def whole(
        self, one: Images, two: Images | None, progress: Callable[[float], None]
    ) -> Block | None:
        """Kernels of the whole network, the layers after the readout included.

        Parameters
        ----------
        one, two : float array, shape (N, H, W, C), (M, H, W, C)
            Images, not prepared. None means the same images, and then only entries with
            row <= column need to be right.
        progress : callable
            As for `block`.

        Returns
        -------
        nngp, ntk : float64 arrays, shape (N, M), or None
            None where it has no way of its own for this plan, and `block` is to be asked.
        """
        return None

    def refine(
        self, images: Matrix, pairs: Sequence[tuple[int, int]]
    ) -> tuple[Matrix, Matrix] | None:
        """Find how far features at the readout are from parallel, and from opposite.

        Parameters
        ----------
        images : float64 array, shape (N, H, W, C)
        pairs : sequence of (int, int)
            P pairs of their numbers, which kernels are not precise enough for.

        Returns
        -------
        deficit, excess : float64 array, shape (P,)
            1 - rho and 1 + rho, each to some 15 digits of its own; 1 where a variance is zero. None
            where the engine can do no better than its kernels.
        """
        return None


ENGINES: dict[tuple[str, str], str] = {
    ("numba", "slices"): "refntk.backends.numba.engine",
    ("numba", "band"): "refntk.backends.numba.band_engine",
    ("numba", "branches"): "refntk.backends.numba.branches",
    ("numba", "orbits"): "refntk.backends.orbits",
    ("numba", "literal"): "refntk.backends.literal",
    ("numpy", "literal"): "refntk.backends.literal",
    ("cupy", "slices"): "refntk.backends.cupy.engine",
    ("cupy", "literal"): "refntk.backends.cupy.literal",
}
"""By backend and method, the module with a function ``engine``, which builds one of a `Setting`."""

RELU_FAMILY_ONLY = frozenset({"cupy"})
"""Backends whose slices take no other activations; these are left to the literal recursion."""

_INSTALL = {
    "numba": "pip install refntk",
    "numpy": "pip install refntk",
    "cupy": 'pip install "refntk[gpu]"',
}
"""How to get what a backend needs."""


def available_backends() -> tuple[str, ...]:
    """List the names of the backends, installed or not."""
    return tuple(dict.fromkeys(backend for backend, _ in ENGINES))


def methods_of(backend: str) -> tuple[str, ...]:
    """List the methods that a backend has, the cheapest first.

    Parameters
    ----------
    backend : str
        ``numba`` (fast, on the processor), ``cupy`` (fast, on a graphics processor), or ``numpy``
        (the literal recursion).

    Returns
    -------
    tuple of str

    Raises
    ------
    UnknownBackendError
        No backend has this name.
    """
    if backend not in available_backends():
        raise UnknownBackendError(unknown("backend", backend, available_backends()))
    return tuple(method for name, method in ENGINES if name == backend)


def obstacle_of(backend: str, plan: Plan) -> str | None:
    """Say what a backend has no code for in a plan of the method slices; None if nothing.

    Parameters
    ----------
    backend : str
        As for `methods_of`.
    plan : Plan

    Returns
    -------
    str or None
        The layer and the reason.
    """
    if backend != "cupy" or plan.method != "slices":
        return None
    obstacle: str | None = import_module("refntk.backends.cupy.geometry").obstacle(plan)
    return obstacle


def require(backend: str) -> None:
    """Raise an error where a backend cannot be used.

    Parameters
    ----------
    backend : str
        As for `methods_of`.

    Raises
    ------
    UnknownBackendError
        No backend has this name.
    MissingBackendError
        A package that the backend needs cannot be imported, or it finds no device.
    """
    for method in methods_of(backend):
        _module(backend, method)


def engine(backend: str, setting: Setting) -> Engine:
    """Build the engine of a backend for the method of a plan.

    Parameters
    ----------
    backend : str
        As for `methods_of`.
    setting : Setting

    Returns
    -------
    Engine

    Raises
    ------
    UnknownBackendError, MissingBackendError
        As `require`.
    InputError
        A bound on device memory for a backend that uses none; NUMBA_DISABLE_JIT is set.
    """
    methods_of(backend)  # says where there is no such backend
    if setting.device_memory is not None and backend != "cupy":
        raise InputError(f"device_memory: the backend {backend} takes none; it is for cupy")
    built: Engine = _module(backend, setting.plan.method).engine(setting)
    return built


def _module(backend: str, method: str) -> Any:
    """Import the module of an engine."""
    try:
        module = import_module(ENGINES[backend, method])
        if hasattr(module, "require"):
            module.require()
    except MissingBackendError:
        raise
    except ImportError as error:
        raise MissingBackendError(
            f"the backend {backend} cannot be used here ({error}); to install what it needs: "
            f"{_INSTALL[backend]}"
        ) from error
    return module
