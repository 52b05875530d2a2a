"""Picture of heat on a circle and on its quotient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refntk.plot.style import new_figure, require_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_heat"]


def plot_heat(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw heat that began at one point of a circle, there and on the quotient.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.symmetry.heat.heat_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        A curve for each time: on the left over the first points of the orbits on the circle, on the
        right over the orbits, an equal share for each of their points; crosses are the group mean
        of the kernel on the circle.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    figure, (circle, folded) = new_figure(1, 2)
    for time in dict.fromkeys(row["time"] for row in rows):
        some = [row for row in rows if row["time"] == time]
        orbits = [row["orbit"] for row in some]
        circle.plot(orbits, [row["point"] for row in some], markersize=3, label=f"t = {time:g}")
        (line,) = folded.plot(
            orbits, [row["quotient"] / row["size"] for row in some], marker="",
            label=f"t = {time:g}",
        )  # fmt: skip
        folded.plot(
            orbits, [row["averaged"] / row["size"] for row in some], linestyle="", marker="x",
            markersize=5, color=line.get_color(),
        )  # fmt: skip
    circle.set(title="on the circle", ylabel="heat at a point")
    folded.set(title="on the quotient; crosses: group mean", ylabel="heat of an orbit, a point")
    for axes in (circle, folded):
        axes.set(xlabel="orbit, by distance from the start", yscale="log", ylim=(1e-6, 1.5))
        axes.legend(fontsize=8, frameon=False)
    return figure
