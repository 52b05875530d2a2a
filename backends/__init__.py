"""How kernels are computed: one backend for each way, found by name and imported when asked for.

A backend knows one thing, how to compute a block of kernels at the readout. Validation, planning,
tiling, the layers after the readout and storage are written once, above it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, MissingBackendError, UnknownBackendError, unknown
from refntk.plan.reduction import Plan

__all__ = ["Backend", "Block", "available_backends", "get_backend"]

Block = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]
"""NNGP and NTK at the readout, each of shape (rows, columns); None if the NTK is not asked for."""


class Backend(Protocol):
    """What a backend offers.

    Attributes
    ----------
    name : str
    methods : tuple of str
        Those of `refntk.plan.reduction.METHODS` that it has.
    """

    name: str
    methods: tuple[str, ...]

    def prepare(self, plan: Plan, images: npt.NDArray[Any], dtype: str) -> Any:
        """Bring images into the backend's own layout.

        Parameters
        ----------
        plan : Plan
        images : float64 array, shape (N, H, W, C)
        dtype : {"float64", "float32"}
            Precision of the recursion.

        Returns
        -------
        Prepared images, for the other two methods only.
        """
        ...

    def diagonal(self, plan: Plan, prepared: Any, threads: int) -> npt.NDArray[np.float64]:
        """NNGP between each image and itself at the readout, shape (N,).

        The same arithmetic as in `block`, so that duplicates can be told by equality.
        """
        ...

    def block(
        self,
        plan: Plan,
        one: Any,
        two: Any | None,
        *,
        ntk: bool,
        threads: int,
        progress: Callable[[float], None],
    ) -> Block:
        """Kernels at the readout between prepared images x and x'.

        Parameters
        ----------
        plan : Plan
        one, two : prepared images
            N and M of them; None means the same images, and then only entries with row <= column
            need to be right.
        ntk : bool
            Whether the NTK is wanted.
        threads : int
            Number of threads to use; the result does not depend on it.
        progress : callable
            Called now and then, from this thread, with the fraction of the block that has been
            computed since the last call.

        Returns
        -------
        nngp, ntk : float64 arrays, shape (N, M)
        """
        ...

    def whole(
        self,
        plan: Plan,
        one: npt.NDArray[Any],
        two: npt.NDArray[Any] | None,
        threads: int,
        progress: Callable[[float], None],
    ) -> Block | None:
        """Kernels of the whole network, the layers after the readout included.

        Parameters
        ----------
        plan : Plan
        one, two : float array, shape (N, H, W, C), (M, H, W, C)
            Images, not prepared. None means the same images, and then only entries with
            row <= column need to be right.
        threads, progress
            As for `block`.

        Returns
        -------
        nngp, ntk : float64 arrays, shape (N, M), or None
            None where it has no way of its own for this plan, and `block` is to be asked.
        """
        ...


_MODULES = {
    "numba": ("refntk.backends.numba", "pip install refntk"),
    "numpy": ("refntk.backends.array_api", "pip install refntk"),
    "cupy": ("refntk.backends.cupy", 'pip install "refntk[gpu]"'),
}
"""Where each backend is, and how to get what it needs."""


def available_backends() -> tuple[str, ...]:
    """List the names of the backends, installed or not."""
    return tuple(_MODULES)


def get_backend(name: str, device_memory: int | None = None) -> Backend:
    """Return the backend of this name.

    Parameters
    ----------
    name : str
        ``numba`` (fast, on the processor), ``cupy`` (fast, on a graphics processor), or ``numpy``
        (the literal recursion).
    device_memory : int, optional
        Bytes of a graphics processor's memory to take at most; for ``cupy`` alone.

    Returns
    -------
    Backend

    Raises
    ------
    UnknownBackendError
        No backend has this name.
    MissingBackendError
        A package that the backend needs cannot be imported, or it finds no device.
    InputError
        A bound on device memory for a backend that uses none; NUMBA_DISABLE_JIT is set.
    """
    if name not in _MODULES:
        raise UnknownBackendError(unknown("backend", name, available_backends()))
    if device_memory is not None and name != "cupy":
        raise InputError(f"device_memory: the backend {name} takes none; it is for cupy")
    if name == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise InputError(
            "NUMBA_DISABLE_JIT is set, and the backend numba is nothing without compiling: unset "
            "it, or use the backend numpy (--backend numpy)"
        )
    module, install = _MODULES[name]
    options = {} if device_memory is None else {"device_memory": device_memory}
    try:
        backend: Backend = import_module(module).load(**options)
    except MissingBackendError:
        raise
    except ImportError as error:
        raise MissingBackendError(
            f"the backend {name} cannot be used here ({error}); to install what it needs: {install}"
        ) from error
    return backend
