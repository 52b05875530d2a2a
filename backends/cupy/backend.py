"""Blocks of kernels on a graphics processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends import Block
from refntk.backends.array_api import ArrayApiBackend
from refntk.backends.cupy.device import device_errors
from refntk.backends.cupy.work import Prepared, Work
from refntk.ops.groups import point_group, rotate
from refntk.plan.reduction import Plan

__all__ = ["CupyBackend"]


class CupyBackend(ArrayApiBackend):
    """Displacement slices in CUDA C++; anything else by the literal recursion in CuPy.

    Parameters
    ----------
    cupy : module
    device_memory : int, optional
        Bytes of device memory that the slices of a block may take at most.
    """

    def __init__(self, cupy: Any, device_memory: int | None = None) -> None:
        super().__init__("cupy", cupy, ("slices", "literal"), to_numpy=cupy.asnumpy)
        self._memory = device_memory

    def prepare(self, plan: Plan, images: npt.NDArray[np.float64], dtype: str) -> Any:
        """Scale and lay out images, on the host; see `refntk.backends.Backend.prepare`."""
        if plan.method != "slices":
            with device_errors(self._xp):
                return super().prepare(plan, images, dtype)
        group = point_group(plan.group)
        scaled = np.moveaxis(images / np.sqrt(images.shape[-1]), -1, 1)
        # Without a convolution all that is left is elementwise and cheap: no precision is given up.
        kept = scaled.astype(dtype if plan.steps else "float64")
        turned = [rotate(kept, r, group, axes=(-2, -1)) for r in range(group.order)]
        rotated = np.ascontiguousarray(np.stack(turned, axis=1).reshape(-1, *kept.shape[1:]))
        return Prepared(np.ascontiguousarray(kept), rotated)

    def diagonal(self, plan: Plan, prepared: Any, threads: int) -> npt.NDArray[np.float64]:
        """NNGP of each image with itself, see `refntk.backends.Backend.diagonal`."""
        if plan.method != "slices":
            with device_errors(self._xp):
                return super().diagonal(plan, prepared, threads)
        work = Work(self._xp, plan, prepared, prepared, ntk=False, memory=self._memory)
        return work.diagonal()

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
        """Kernels at the readout, see `refntk.backends.Backend.block`."""
        if plan.method != "slices":
            with device_errors(self._xp):
                return super().block(plan, one, two, ntk=ntk, threads=threads, progress=progress)
        other = one if two is None else two
        work = Work(self._xp, plan, one, other, ntk=ntk, memory=self._memory)
        result = work.kernels(symmetric=two is None, progress=progress)
        return result[0], result[1] if ntk else None
