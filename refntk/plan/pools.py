"""Poolings before the readout: which of them allow the exact reductions."""

from __future__ import annotations

from refntk.ops.support import Support, Window

__all__ = ["pool_obstacle"]


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
