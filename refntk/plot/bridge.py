"""Trained ensembles of finite width against the equivariant kernel, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refntk.plot.style import MARKERS, PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_bridge"]


def plot_bridge(summary: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Draw the deviation by the number of members, and by the width, time by time.

    Parameters
    ----------
    summary : sequence of mapping
        Of `refntk.finite.bridge.summarize`.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        A column for each training time. Above, the widest networks by the number of members: the
        deviation of ensembles of single networks, dotted what theory says of their noise, and of
        pairs. Below, the largest ensembles of pairs by width: the deviation, dotted what chance
        explains of it, and the fall as 1 / width.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    times = sorted({row["time"] for row in summary})
    figure, panels = new_figure(2, len(times), size=(3.6 * len(times), 6.4))
    above, below = panels[: len(times)], panels[len(times) :]
    largest = max(row["width"] for row in summary)
    for when, upper, lower in zip(times, above, below, strict=True):
        at = [row for row in summary if row["time"] == when]
        wide = [row for row in at if row["width"] == largest]
        members = [row["members"] for row in wide]
        _curve(upper, members, [row["single"] for row in wide], "single networks", 0)
        _curve(upper, members, [row["noise"] for row in wide], "their noise, by theory", 0, True)
        _curve(upper, members, [row["pairs"] for row in wide], "pairs", 1)
        upper.set(title=f"time {when:g}, width {largest}", xlabel="members of the ensemble")
        most = list({row["width"]: row for row in at}.values())
        widths = [row["width"] for row in most]
        _curve(lower, widths, [row["pairs"] for row in most], "pairs", 1)
        _curve(lower, widths, [row["chance"] for row in most], "their chance", 1, True)
        falling = [most[0]["pairs"] * widths[0] / width for width in widths]
        lower.plot(widths, falling, color="0.5", linestyle="-", linewidth=0.8, marker="",
                   label="1 / width")  # fmt: skip
        lower.set(title=f"time {when:g}, {most[-1]['members']} pairs", xlabel="width")
        for axes, ticks in ((upper, members), (lower, widths)):
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
    for row in (above, below):
        limits = [axes.get_ylim() for axes in row]
        for axes in row:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
            axes.minorticks_off()
        row[0].set_ylabel("deviation from the kernel, relative")
        row[-1].legend(frameon=False, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _curve(
    axes: Axes, x: Sequence[float], y: Sequence[float], label: str, kind: int, theory: bool = False
) -> None:
    """Draw what was measured with markers, and what explains it dotted, in the same colour."""
    axes.plot(
        x, y, label=label, color=PALETTE[kind], linestyle=":" if theory else "-",
        marker="" if theory else MARKERS[kind], markersize=4,
    )  # fmt: skip
