"""Networks of finite width against the exact kernels, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refntk.errors import InputError
from refntk.plot.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from refntk.finite.convergence import Convergence

__all__ = ["plot_convergence"]


def plot_convergence(convergence: Convergence, title: str | None = None) -> Figure:
    """Draw the deviation of the mean over draws against the width, on logarithmic axes.

    Parameters
    ----------
    convergence : Convergence
        From `refntk.finite.convergence.converge`.
    title : str, optional
        Such as the name of the network.

    Returns
    -------
    matplotlib.figure.Figure
        A curve for each kernel with the 95 % band of the bootstrap, its slope in the legend; the
        thin line without markers is the deviation that is expected by chance alone.

    Raises
    ------
    InputError
        No width has two draws.
    MissingPackageError
        matplotlib is not installed.
    """
    rows = convergence.rows
    if not rows:
        raise InputError("there is nothing to draw: no width has two draws yet")
    figure, (axes,) = new_figure(size=(6.4, 4.4))
    widths = [row.width for row in rows]
    for name, slope in convergence.slopes.items():
        bands = [row.kernels[name].deviation for row in rows]
        label = name.upper()
        if slope is not None and not slope.determined:
            label += ": slope not determined"
        elif slope is not None:
            label += f": slope {slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
        (line,) = axes.plot(widths, [band.value for band in bands], label=label)
        colour = line.get_color()
        lows, highs = [band.low for band in bands], [band.high for band in bands]
        axes.fill_between(widths, lows, highs, color=colour, alpha=0.2, linewidth=0)
        chance = [row.kernels[name].chance for row in rows]
        axes.plot(
            widths,
            chance,
            label=f"{name.upper()}: by chance alone",
            color=colour,
            linestyle=line.get_linestyle(),
            linewidth=0.7,
            marker="",
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="width (channels of each layer)",
        ylabel="relative deviation of the mean over draws",
    )
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False)
    if title is not None:
        axes.set_title(title)
    if not np.isfinite(axes.get_ylim()).all():  # every deviation is zero
        axes.set_yscale("linear")
    return figure
