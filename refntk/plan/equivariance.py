r"""Where a network of group layers is not equivariant: windows that the group does not keep.

A layer on a group reads position c(t) + r s for the element r of its output, with c(t) the centre
of a window. Turning the image about its centre turns the features where the centres c(t) are turned
onto one another, which is a matter of sides, strides and padding: along each axis that some element
flips the windows must be mirrored to windows, and axes that some element exchanges must have one
stride. The places of the filter do not matter, as they are turned with the output.
"""

from __future__ import annotations

import numpy as np

from refntk.network.arguments import times
from refntk.ops.groups import PointGroup
from refntk.ops.lattices import COORDINATES
from refntk.ops.operations import Average, Filter, Stack, read_by
from refntk.ops.program import Program
from refntk.ops.support import Window

__all__ = ["broken_symmetry"]


def broken_symmetry(program: Program) -> str | None:
    """Name the first layer on a group whose windows the group does not map to one another.

    Parameters
    ----------
    program : Program

    Returns
    -------
    str or None
        The layer and the reason; None where all features turn with the image.
    """
    mirrors: dict[int, list[int]] = {}
    for k, operation in enumerate(program.operations):
        below = mirrors.get(read_by(operation)[0], [])
        mirrors[k + 1] = below
        if isinstance(operation, Stack) and operation.support.above.group is not None:
            middle = [side - 1 for side in operation.support.below.shape]
            if below != middle:
                sides = times(operation.support.below.shape)
                return (
                    f"{program.name(k)} reads from the middle of {sides} positions, about which "
                    "the features do not turn, so that the network is not equivariant"
                )
        if not isinstance(operation, Filter | Average):
            continue
        support = operation.support
        group = support.above.group
        if group is None or not support.windows:
            continue
        if support.below.group is None:
            below = [window.n_in - 1 for window in support.windows]
        reason = _reason(group, support.windows, below)
        if reason is not None:
            return f"{program.name(k)} {reason}, so that the network is not equivariant"
        above = [
            window.mirrored(mirror) for window, mirror in zip(support.windows, below, strict=True)
        ]
        # Of an axis that nothing flips, any number will do.
        mirrors[k + 1] = [
            window.n_out - 1 if mirror is None else mirror
            for window, mirror in zip(support.windows, above, strict=True)
        ]
    return None


def _reason(group: PointGroup, windows: tuple[Window, ...], mirrors: list[int]) -> str | None:
    """Say why a group does not keep the windows of a layer."""
    strides = [window.stride for window in windows]
    if any(strides[i] != strides[j] for i, j in group.exchanges):
        return f"has strides {times(strides)} along axes that {group.name} swaps"
    for axis, (window, mirror) in enumerate(zip(windows, mirrors, strict=True)):
        flipping = np.flatnonzero((group.matrices[:, axis] < 0).any(axis=-1))
        if len(flipping) and window.mirrored(mirror) is None:
            return (
                f"has {window.n_out} windows of {window.span} every {window.stride} of "
                f"{window.n_in} positions along {COORDINATES[group.lattice][axis]}, which "
                f"{group.name} does not map to one another (element {flipping[0]}, "
                f"{group.written(int(flipping[0]))})"
            )
    return None
