"""The literal recursion on a graphics processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refntk.backends import Block, Engine, Matrix, Setting
from refntk.backends.cupy.device import device_errors, usable_cupy
from refntk.backends.literal import LiteralEngine

__all__ = ["CupyLiteralEngine", "engine", "require"]


class CupyLiteralEngine(LiteralEngine):
    """The literal recursion on CuPy's arrays, with errors of one line.

    Parameters
    ----------
    cupy : module
    setting : Setting
    """

    def __init__(self, cupy: Any, setting: Setting) -> None:
        super().__init__(setting, cupy, cupy.asnumpy)

    def prepare(self, images: Matrix) -> Any:
        """Bring images to the device."""
        with device_errors(self._xp):
            return super().prepare(images)

    def diagonal(self, prepared: Any) -> Matrix:
        """NNGP of each image with itself, see `refntk.backends.Engine.diagonal`."""
        with device_errors(self._xp):
            return super().diagonal(prepared)

    def block(self, one: Any, two: Any | None, progress: Callable[[float], None]) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        with device_errors(self._xp):
            return super().block(one, two, progress)


def require() -> None:
    """Raise an error where CuPy cannot be used; see `refntk.backends.cupy.device.usable_cupy`."""
    usable_cupy()


def engine(setting: Setting) -> Engine:
    """Build the engine."""
    return CupyLiteralEngine(usable_cupy(), setting)
