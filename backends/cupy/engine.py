"""Blocks of kernels on a graphics processor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refntk.backends import Block, Engine, Matrix, Setting
from refntk.backends.cupy.device import usable_cupy
from refntk.backends.cupy.work import Prepared, Work
from refntk.ops.groups import point_group, rotate

__all__ = ["SlicesEngine", "engine", "require"]


class SlicesEngine(Engine):
    """Displacement slices in CUDA C++.

    Parameters
    ----------
    cupy : module
    setting : Setting
        Its bound on device memory is for the slices of a block.
    """

    def __init__(self, cupy: Any, setting: Setting) -> None:
        self._cupy, self._setting, self._plan = cupy, setting, setting.plan

    def prepare(self, images: Matrix) -> Prepared:
        """Scale and lay out images, on the host; see `refntk.backends.Engine.prepare`."""
        group = point_group(self._plan.group)
        scaled = np.moveaxis(images / np.sqrt(images.shape[-1]), -1, 1)
        # Without a convolution all that is left is elementwise and cheap: no precision is given up.
        kept = scaled.astype(self._setting.dtype if self._plan.steps else "float64")
        turned = [rotate(kept, r, group, axes=(-2, -1)) for r in range(group.order)]
        rotated = np.ascontiguousarray(np.stack(turned, axis=1).reshape(-1, *kept.shape[1:]))
        return Prepared(np.ascontiguousarray(kept), rotated)

    def diagonal(self, prepared: Prepared) -> Matrix:
        """NNGP of each image with itself, see `refntk.backends.Engine.diagonal`."""
        return self._work(prepared, prepared, ntk=False).diagonal()

    def block(
        self, one: Prepared, two: Prepared | None, progress: Callable[[float], None]
    ) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        work = self._work(one, one if two is None else two, ntk=self._setting.ntk)
        result = work.kernels(symmetric=two is None, progress=progress)
        return result[0], result[1] if self._setting.ntk else None

    def refine(
        self, images: Matrix, pairs: Sequence[tuple[int, int]]
    ) -> tuple[Matrix, Matrix]:
        """Compute pairs once more, on the host; see `refntk.backends.Engine.refine`."""
        # Numba takes its time to import, and few blocks have such pairs.
        from refntk.backends.numba.close import close_correlations

        return close_correlations(self._plan, images, pairs, self._setting.threads)

    def _work(self, one: Prepared, two: Prepared, ntk: bool) -> Work:
        memory = self._setting.device_memory
        return Work(self._cupy, self._plan, one, two, ntk=ntk, memory=memory)


def require() -> None:
    """Raise an error where CuPy cannot be used; see `refntk.backends.cupy.device.usable_cupy`."""
    usable_cupy()


def engine(setting: Setting) -> Engine:
    """Build the engine."""
    return SlicesEngine(usable_cupy(), setting)
