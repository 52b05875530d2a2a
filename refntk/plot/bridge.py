"""Trained ensembles of finite width against the equivariant kernel, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refntk.plot.style import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_bridge"]


def plot_bridge(summary: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Draw the deviation by the number of members, and by the width.

    Parameters
    ----------
    summary : sequence of mapping
        Of `refntk.finite.bridge.summarize`.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Left, the widest networks: the deviation of ensembles of single networks, dotted what theory
        says of their noise, and of pairs. Right, the largest ensembles of pairs: the deviation by
        width, and what chance explains of it as a hollow band from zero.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    figure, (left, right) = new_figure(1, 2, size=(10.4, 4.2))
    largest = max(row["width"] for row in summary)
    for k, when in enumerate(sorted({row["time"] for row in summary})):
        colour, at = PALETTE[k % len(PALETTE)], [row for row in summary if row["time"] == when]
        wide = [row for row in at if row["width"] == largest]
        members = [row["members"] for row in wide]
        for name, style, mark in (("single", "-", "o"), ("noise", ":", ""), ("pairs", "--", "s")):
            left.plot(
                members, [row[name] for row in wide], color=colour, linestyle=style, marker=mark,
                markersize=4, label=f"{name}, time {when:g}",
            )  # fmt: skip
        most = list({row["width"]: row for row in at}.values())
        widths = [row["width"] for row in most]
        right.plot(
            widths, [row["pairs"] for row in most], color=colour, linestyle="--", marker="s",
            markersize=4, label=f"pairs, time {when:g}",
        )  # fmt: skip
        right.plot(
            widths, [row["chance"] for row in most], color=colour, linestyle=":", marker="",
            label=f"chance, time {when:g}",
        )  # fmt: skip
    first = max(row["pairs"] for row in summary if row["members"] == most[0]["members"])
    right.plot(
        widths, [first * widths[0] / width for width in widths], color="0.5", linestyle="-",
        marker="", linewidth=0.8, label="1 / width",
    )  # fmt: skip
    left.set(xlabel="members of the ensemble", title=f"width {largest}",
             ylabel="deviation from the kernel, relative")  # fmt: skip
    right.set(xlabel="width", title=f"{most[-1]['members']} pairs")
    for axes, ticks in ((left, members), (right, widths)):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=7)
    figure.suptitle(title, fontsize=10)
    return figure
