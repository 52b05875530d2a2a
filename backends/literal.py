"""The literal recursion on the arrays of any array-API namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends import Block, Engine, Matrix, Setting
from refntk.errors import MethodError
from refntk.recursion.literal import run

__all__ = ["LiteralEngine", "engine"]

_BYTES_A_BATCH = 2**28
"""Size of the kernel tensor up to which pairs of images go through the recursion together."""

_BYTES_AT_MOST = 2**33
"""Size of the kernel tensor of a single pair beyond which the literal recursion is refused."""


class LiteralEngine(Engine):
    """The recursion of the theory, with nothing assumed: for small images, and as an oracle.

    Parameters
    ----------
    setting : Setting
    namespace : array-API namespace
    to_numpy : callable
        Brings an array of the namespace to the host.
    """

    def __init__(
        self,
        setting: Setting,
        namespace: Any = np,
        to_numpy: Callable[[Any], npt.NDArray[Any]] = np.asarray,
    ) -> None:
        self._plan, self._dtype, self._ntk = setting.plan, setting.dtype, setting.ntk
        self._xp, self._to_numpy = namespace, to_numpy
        self._bytes_a_pair = 8 * self._plan.largest**2

    def prepare(self, images: Matrix) -> Any:
        """Make arrays of the namespace, see `refntk.backends.Engine.prepare`.

        Raises
        ------
        MethodError
            The kernel tensor of a single pair is too large to be held.
        """
        if self._bytes_a_pair > _BYTES_AT_MOST:
            kind = "images" if images.ndim == 4 else "signals"
            size = "x".join(map(str, self._plan.shape[:-1]))
            raise MethodError(
                f"the literal recursion would need {self._bytes_a_pair / 2**30:.0f} GiB for one "
                f"pair of {size} {kind}: use smaller {kind}, or a network and a "
                "backend that allow the method slices"
            )
        return self._xp.asarray(images.astype(self._dtype))

    def diagonal(self, prepared: Any) -> Matrix:
        """NNGP of each image with itself, see `refntk.backends.Engine.diagonal`."""
        kernels = [
            self._to_numpy(run(self._plan.body, prepared[k : k + 1, ...], ntk=False).nngp)
            for k in range(prepared.shape[0])
        ]
        return np.array([kernel[0, 0] for kernel in kernels], np.float64)

    def block(self, one: Any, two: Any | None, progress: Callable[[float], None]) -> Block:
        """Kernels at the readout, see `refntk.backends.Engine.block`."""
        other = one if two is None else two
        shape = one.shape[0], other.shape[0]
        nngp = np.zeros(shape)
        theta = np.zeros(shape) if self._ntk else None
        batch = max(1, _BYTES_A_BATCH // self._bytes_a_pair)

        def put(i: int, columns: slice, x2: Any) -> None:
            state = run(self._plan.body, one[i : i + 1, ...], x2, ntk=self._ntk)
            nngp[i, columns] = self._to_numpy(state.nngp)[0]
            if theta is not None:
                theta[i, columns] = self._to_numpy(state.ntk)[0]

        for i in range(shape[0]):
            first = 0
            if two is None:
                # An image with itself: its diagonal is exact.
                put(i, slice(i, i + 1), None)
                first = i + 1
            for j in range(first, shape[1], batch):
                columns = slice(j, min(j + batch, shape[1]))
                put(i, columns, other[columns, ...])
            progress(1 / shape[0])
        return nngp, theta


def engine(setting: Setting) -> Engine:
    """Build the engine that runs on NumPy."""
    return LiteralEngine(setting)
