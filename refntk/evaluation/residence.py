"""Where arrays live: images are taken from the host or from a device, kernels go back there."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from array_api_compat import (
    array_namespace,
    is_array_api_obj,
    is_cupy_array,
    is_dask_array,
    is_numpy_array,
    is_torch_array,
)

from refntk.errors import InputError

__all__ = ["Residence"]


class Residence:
    """The library and the place that the images of one call share.

    One rule for all libraries: kernels come back as arrays of the library of x1, at its place, and
    without a copy where DLPack allows that. On the host the work is NumPy's and Numba's.

    Parameters
    ----------
    x1 : array
        NumPy's, anything that NumPy makes an array of, CuPy's, or of another library that keeps to
        the array API, such as PyTorch or JAX.
    x2 : array, optional
        None means x1.
    backend : str
        Name of the backend that will compute.

    Raises
    ------
    InputError
        One is on the host and the other on a device, they are on different devices, or they are on
        a device that this backend does not compute on; a lazy array of dask.
    """

    def __init__(self, x1: Any, x2: Any | None = None, *, backend: str) -> None:
        self._like = x1 if _is_foreign(x1) else None
        for name, images in (("X1", x1), ("X2", x2)):
            if is_dask_array(images):
                raise InputError(
                    f"{name} is a lazy dask array: compute it first, {name.lower()}.compute(), or "
                    "compute with dask's workers, refntk compute --scheduler"
                )
        places = {"X1": _place(x1)} | ({} if x2 is None else {"X2": _place(x2)})
        if len(set(places.values())) > 1:
            told = " and ".join(f"{name} is on {place}" for name, place in places.items())
            raise InputError(f"{told}: bring both to one place")
        if is_cupy_array(x1) and backend != "cupy":
            raise InputError(
                f"X1 is a CuPy array, which the backend {backend} does not take: use the backend "
                "cupy, or bring it to the host with cupy.asnumpy"
            )

    def take(self, images: Any) -> Any:
        """Bring images to the host: they are few next to the work on their pairs."""
        if is_cupy_array(images):
            return images.get()
        if not _is_foreign(images):
            return images
        try:
            # What PyTorch would differentiate it does not export.
            return np.from_dlpack(images.detach() if is_torch_array(images) else images)
        except (BufferError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"images of {_library(images)} cannot be read from here ({reason}): bring them to "
                "the host, as a NumPy array"
            ) from error

    def give(self, kernel: Any | None) -> Any | None:
        """Turn a NumPy array into one of the library and at the place of x1; None stays None."""
        if self._like is None or kernel is None:
            return kernel
        with self.current():
            if is_cupy_array(self._like):
                # It has been imported by whoever made x1.
                return sys.modules["cupy"].asarray(kernel)
            xp = array_namespace(self._like)
            given = xp.from_dlpack(kernel)
            if str(kernel.dtype) not in str(given.dtype):
                raise InputError(
                    f"{_library(self._like)} does not keep {kernel.dtype}, as JAX does not without "
                    f'jax.config.update("jax_enable_x64", True): set it, or ask for dtype="float32"'
                )
            return given

    def current(self) -> AbstractContextManager[Any]:
        """Make the device of x1 the one that computes, within a ``with`` statement."""
        if self._like is None or not is_cupy_array(self._like):
            return nullcontext()
        device: AbstractContextManager[Any] = self._like.device
        return device


def _is_foreign(images: Any) -> bool:
    """Whether it is an array of a library other than NumPy."""
    return is_cupy_array(images) or (is_array_api_obj(images) and not is_numpy_array(images))


def _library(images: Any) -> str:
    return type(images).__module__.partition(".")[0]


def _place(images: Any) -> str:
    return f"device {images.device.id}" if is_cupy_array(images) else "the host"
