"""Where arrays live: images are taken from the host or from a device, kernels go back there."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from array_api_compat import is_cupy_array

from refntk.errors import InputError

__all__ = ["Residence"]


class Residence:
    """The place that the images of one call share, host or graphics processor.

    Parameters
    ----------
    x1 : array
        NumPy's, anything that NumPy makes an array of, or CuPy's.
    x2 : array, optional
        None means x1.
    backend : str
        Name of the backend that will compute.

    Raises
    ------
    InputError
        One is on the host and the other on a device, they are on different devices, or they are on
        a device that this backend does not compute on.
    """

    def __init__(self, x1: Any, x2: Any | None, backend: str) -> None:
        self._like = x1 if is_cupy_array(x1) else None
        places = {"X1": _place(x1)} | ({} if x2 is None else {"X2": _place(x2)})
        if len(set(places.values())) > 1:
            told = " and ".join(f"{name} is on {place}" for name, place in places.items())
            raise InputError(f"{told}: bring both to one place")
        if self._like is not None and backend != "cupy":
            raise InputError(
                f"X1 is a CuPy array, which the backend {backend} does not take: use the backend "
                "cupy, or bring it to the host with cupy.asnumpy"
            )

    def take(self, images: Any) -> Any:
        """Bring images to the host: they are few next to the work on their pairs."""
        return images.get() if is_cupy_array(images) else images

    def give(self, kernel: Any | None) -> Any | None:
        """Turn a NumPy array into one of the kind and at the place of x1; None stays None."""
        if self._like is None or kernel is None:
            return kernel
        with self.current():
            # It has been imported by whoever made x1.
            return sys.modules["cupy"].asarray(kernel)

    def current(self) -> AbstractContextManager[Any]:
        """Make the device of x1 the one that computes, within a ``with`` statement."""
        return nullcontext() if self._like is None else self._like.device


def _place(images: Any) -> str:
    return f"device {images.device.id}" if is_cupy_array(images) else "the host"
