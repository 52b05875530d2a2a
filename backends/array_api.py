"""The literal recursion on the arrays of any array-API namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends import Block
from refntk.errors import MethodError
from refntk.plan.reduction import Plan
from refntk.recursion.literal import run

__all__ = ["ArrayApiBackend", "load"]

_BYTES_A_BATCH = 2**28
"""Size of the kernel tensor up to which pairs of images go through the recursion together."""

_BYTES_AT_MOST = 2**33
"""Size of the kernel tensor of a single pair beyond which the literal recursion is refused."""


class ArrayApiBackend:
    """The recursion of the theory, with nothing assumed: for small images, and as an oracle.

    Parameters
    ----------
    name : str
    namespace : array-API namespace
    methods : tuple of str
    to_numpy : callable
        Brings an array of the namespace to the host.
    """

    def __init__(
        self,
        name: str,
        namespace: Any,
        methods: tuple[str, ...] = ("literal",),
        to_numpy: Callable[[Any], npt.NDArray[Any]] = np.asarray,
    ) -> None:
        self.name = name
        self.methods = methods
        self._xp = namespace
        self._to_numpy = to_numpy

    def prepare(self, plan: Plan, images: npt.NDArray[np.float64], dtype: str) -> Any:
        """Make arrays of the namespace, see `refntk.backends.Backend.prepare`.

        Raises
        ------
        MethodError
            The kernel tensor of a single pair is too large to be held.
        """
        size = _bytes_a_pair(plan)
        if size > _BYTES_AT_MOST:
            height, width, _ = plan.shape
            raise MethodError(
                f"the literal recursion would need {size / 2**30:.0f} GiB for one pair of "
                f"{height}x{width} images: use smaller images, or a network and a backend that "
                "allow the method slices"
            )
        return self._xp.asarray(images.astype(dtype))

    def diagonal(self, plan: Plan, prepared: Any, threads: int) -> npt.NDArray[np.float64]:
        """NNGP of each image with itself, see `refntk.backends.Backend.diagonal`."""
        kernels = [
            self._to_numpy(run(plan.body, prepared[k : k + 1, ...], ntk=False).nngp)
            for k in range(prepared.shape[0])
        ]
        return np.array([kernel[0, 0] for kernel in kernels], np.float64)

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
        other = one if two is None else two
        shape = one.shape[0], other.shape[0]
        nngp = np.zeros(shape)
        theta = np.zeros(shape) if ntk else None
        batch = max(1, _BYTES_A_BATCH // _bytes_a_pair(plan))

        def put(i: int, columns: slice, x2: Any) -> None:
            state = run(plan.body, one[i : i + 1, ...], x2, ntk=ntk)
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

    def whole(
        self,
        plan: Plan,
        one: npt.NDArray[Any],
        two: npt.NDArray[Any] | None,
        threads: int,
        progress: Callable[[float], None],
    ) -> Block | None:
        """Leave the layers after the readout to others, see `refntk.backends.Backend.whole`."""
        return None


def _bytes_a_pair(plan: Plan) -> int:
    return 8 * plan.largest**2


def load() -> ArrayApiBackend:
    """Build the backend that runs on NumPy."""
    return ArrayApiBackend("numpy", np)
