"""Poolings before the readout: which are part of it, and which allow the exact reductions."""

from __future__ import annotations

from dataclasses import replace

from refntk.ops.operations import Average, Stack
from refntk.ops.program import Program
from refntk.ops.space import Space
from refntk.ops.support import Support, Window

__all__ = ["merged_pools", "pool_obstacle"]


def merged_pools(body: Program) -> Program:
    """Take means over windows that tile the image, right before a mean over it, as part of that.

    Likewise sums before a sum; and a single position is its own mean.

    Parameters
    ----------
    body : Program
        A chain up to the readout, which is included.

    Returns
    -------
    Program
    """
    last, start = body.operations[-1], len(body) - 1
    over = "window" if isinstance(last, Stack) else getattr(last, "over", None)
    single = body.spaces[start].size == 1
    if not isinstance(last, Average) and not (isinstance(last, Stack) and single):
        return body
    while start > 0:
        below = body.operations[start - 1]
        if not isinstance(below, Average) or (below.over == "one") != (over == "one"):
            break
        if not below.support.windows or not all(map(_tiles, below.support.windows)):
            break
        start -= 1
    if start == len(body) - 1:
        return body
    support = Support(body.spaces[start], Space())
    pool = Average(start, support, "one" if over == "one" else "window")
    return replace(
        body,
        operations=(*body.operations[:start], pool),
        origin=(*body.origin[:start], body.origin[-1]),
    )


def pool_obstacle(support: Support, wraps: bool) -> str | None:
    """Say why a pooling before the readout prevents the reductions, if it does.

    Parameters
    ----------
    support : Support
        Of the pooling.
    wraps : bool
        Whether the convolutions before it have padding CIRCULAR.

    Returns
    -------
    str or None
        What it has that prevents them.
    """
    windows = support.windows or ()
    if not wraps and any(w.wrap and (w.low or not _tiles(w)) for w in windows):
        return "has padding CIRCULAR, and comes before or between convolutions without it"
    group, shape = support.above.group, support.below.shape
    if group is not None and group.swaps_axes and len(set(shape)) > 1:
        return f"pools images that are not square, and the group {group.name} turns them"
    return None


def _tiles(window: Window) -> bool:
    """Whether windows cover each position once."""
    exact = window.stride == window.size and window.n_in == window.n_out * window.size
    return exact and (window.wrap or not window.low)
