"""Learning curves as a picture: accuracy by the number of training images, with bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refntk.inference.curve import LearningCurve
from refntk.plot.style import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_learning_curve"]


def plot_learning_curve(curve: LearningCurve) -> Figure:
    """Draw accuracy by the number of training images, and the gain over the first network.

    Parameters
    ----------
    curve : LearningCurve
        Of one or more networks.

    Returns
    -------
    matplotlib.figure.Figure
        Left: mean accuracies with bands of one standard error over the repeats. Right, with two
        networks or more: the paired difference from the first network, with bands of two standard
        errors.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    paired = len(curve.networks) > 1
    figure, axes = new_figure(1, 2 if paired else 1)
    panels = [(curve.mean(), curve.standard_error(), 1, 0)]
    if paired:
        panels.append((*curve.difference(), 2, 1))
    for panel, (mean, error, width, first) in zip(axes, panels, strict=True):
        for k in range(len(curve.networks)):
            if k < first:
                # Keep the cycle in step, so that a network looks the same in both panels.
                panel.plot([], [])
                continue
            values, spread = 100 * mean[k], 100 * width * error[k]
            panel.plot(curve.sizes, values, label=curve.networks[k], markersize=4)
            panel.fill_between(
                curve.sizes, values - spread, values + spread,
                color=PALETTE[k % len(PALETTE)], alpha=0.2, linewidth=0,
            )  # fmt: skip
        panel.set_xscale("log", base=2)
        panel.set_xticks(curve.sizes, [str(size) for size in curve.sizes])
        panel.minorticks_off()
        panel.set_xlabel("training images")
    axes[0].set(ylabel="accuracy (%)", title=f"mean and standard error, {curve.repeats} repeats")
    axes[0].legend(frameon=False, fontsize=8)
    if paired:
        axes[1].axhline(0, color="0.4", linewidth=0.8)
        axes[1].set(
            ylabel=f"accuracy minus that of {curve.networks[0]} (points)",
            title="paired difference and 2 standard errors",
        )
        axes[1].legend(frameon=False, fontsize=8)
    return figure
