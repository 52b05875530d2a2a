r"""Orbits in any dimension: ordinary networks between x and the turned x', slice by slice.

Both reductions of `refntk.plan.reduction` hold on every lattice. Where each filter is invariant
under the group R of order n, and all windows are mapped to one another, the kernel of a network on
T x R after pooling is

.. math::
    K(x, x') = \frac1n \sum_{\rho \in R} C(x, \rho \cdot x')

with C that of the ordinary network, and of a centre readout likewise, C then being the mean over
equal positions about the centre of rotation. In C the entries of one displacement t' - t obey a
recursion of their own.
"""

from __future__ import annotations

from refntk.network.arguments import times
from refntk.ops.groups import PointGroup
from refntk.ops.listed import Listed
from refntk.ops.operations import Average, Filter, Pointwise, Stack
from refntk.ops.program import Program
from refntk.ops.support import Support

__all__ = [
    "group_of",
    "is_centred",
    "orbit_entries",
    "orbit_obstacle",
    "orbits_too_long",
    "turned_obstacle",
]

_SECONDS_AN_ENTRY = 16e-9
"""Of the NTK in float32 on one core, as docs/benchmarks.md has it."""

_PATIENCE = 3.0
"""Hours that are not worth a word."""


def group_of(body: Program) -> PointGroup | None:
    """Find the point group of the features of a body; None where there is none."""
    return next((space.group for space in body.spaces if space.group is not None), None)


def is_centred(body: Program) -> bool:
    """Whether a body ends with a centre readout: one vector for each element, and their mean."""
    before = body.operations[-2] if len(body) > 1 else None
    return isinstance(before, Stack) and isinstance(body.operations[-1], Average)


def orbit_entries(body: Program) -> int:
    """Count the kernel entries that a pair of images costs in slices of ordinary networks."""
    group, last = group_of(body), body.operations[-1]
    places = [
        space.positions
        for space, operation in zip(body.spaces[1:], body.operations, strict=True)
        if isinstance(operation, Filter)
    ]
    order = 1 if group is None or isinstance(last, Stack) else group.order
    equal = isinstance(last, Stack) or is_centred(body)
    return order * sum(count if equal else count**2 for count in places)


def orbits_too_long(body: Program, pairs: int) -> str | None:
    """Say how long a pooled kernel takes where that is hours, and what would take less.

    Parameters
    ----------
    body : Program
        Operations up to the readout, to which orbits apply.
    pairs : int
        Pairs of images.

    Returns
    -------
    str or None
    """
    last, group = body.operations[-1], group_of(body)
    entries = orbit_entries(body)
    hours = entries * pairs * _SECONDS_AN_ENTRY / 3600
    if hours < _PATIENCE or isinstance(last, Stack) or is_centred(body):
        return None
    order = 1 if group is None else group.order
    equal = order * sum(
        space.positions
        for space, operation in zip(body.spaces[1:], body.operations, strict=True)
        if isinstance(operation, Filter)
    )
    readout = "Flatten" if group is None else "CentreReadout"
    return (
        f"{body.name(len(body) - 1)}: pooling takes {entries:.2g} kernel entries a pair, some "
        f"{hours:.0f} hours of one core for {pairs} pairs; strides of 2 in the first layer divide "
        f"that by {4 ** len(body.spaces[0].shape)}, and {readout} in its place reads {equal:.2g}"
    )


def orbit_obstacle(body: Program) -> str | None:
    """Say which layer prevents orbits, and why; None if they apply.

    Parameters
    ----------
    body : Program
        Operations up to the readout.
    """
    ends = len(body) - (2 if is_centred(body) else 1)
    wraps: set[bool] = set()
    for k, operation in enumerate(body.operations[:ends]):
        name = body.name(k)
        match operation:
            case _ if not body.chain:
                return "its layers fork, and slices of branches are those of images"
            case Filter(support=support) if support.windows and not isinstance(support, Listed):
                if support.above.group is not None and support.below.group is None and wraps:
                    return f"{name} comes after a Conv, and must be the first convolution"
                if reason := turned_obstacle(support, "filter"):
                    return f"{name} {reason}"
                wraps.add(any(window.wrap for window in support.windows))
                if len(wraps) > 1:
                    return f"{name} has another padding, and CIRCULAR does not mix with others"
                if True in wraps and _oblong(support):
                    return f"{name} wraps images that the group turns to another shape"
            case Pointwise():
                pass
            case Filter():
                return f"{name} is no convolution"
            case Average():
                return f"{name} pools before the readout"
            case _:
                return f"{name} has no rule there"
    return None if wraps else f"no convolution comes before {body.name(ends)}"


def turned_obstacle(support: Support, what: str) -> str | None:
    """Say where a group does not map a filter or a window to itself, and which element shows it."""
    group = support.above.group
    mover = None if group is None else group.mover(support.offsets.tolist())
    if group is None or mover is None:
        return None
    assert support.windows is not None
    sides = times([window.size for window in support.windows])
    return (
        f"has a {sides} {what}, which the group {group.name} does not map to itself (element "
        f"{mover}, {group.written(mover)})"
    )


def _oblong(support: Support) -> bool:
    """Whether the group of the features above turns an image to another shape."""
    group, shape = support.above.group, support.below.shape
    return group is not None and any(shape[i] != shape[j] for i, j in group.exchanges)
