"""Errors of invariance against the angle as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from refntk.plot.style import PALETTE, new_figure
from refntk.symmetry.measures import SymmetryError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_angles"]


def plot_angles(errors: Mapping[str, SymmetryError], title: str = "") -> Figure:
    """Draw how far predictions move when images are rotated.

    Parameters
    ----------
    errors : mapping of str to SymmetryError
        By the name of the predictor, over rotations by multiples of 360°/N.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Errors relative to the size of the predictions: the mean over the images as a curve, up to
        the worst image as a band.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    figure, (axes,) = new_figure(size=(6.4, 4.0))
    for k, (name, found) in enumerate(errors.items()):
        # The first angle closes the circle.
        relative = np.concatenate([found.errors, found.errors[:1]]) / (found.size or 1.0)
        angles = np.linspace(0, 360, len(relative))
        axes.plot(angles, relative.mean(axis=1), label=name, markersize=4)
        axes.fill_between(
            angles, relative.mean(axis=1), relative.max(axis=1),
            color=PALETTE[k % len(PALETTE)], alpha=0.18, linewidth=0,
        )  # fmt: skip
    axes.set_xticks(range(0, 361, 45))
    axes.set(
        xlabel="rotation of the image (degrees)",
        ylabel="change of the prediction / its size",
        title=title,
        ylim=(0, None),
    )
    axes.legend(frameon=False, fontsize=8)
    return figure
