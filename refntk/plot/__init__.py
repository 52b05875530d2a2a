"""Pictures of kernels and of what is done with them: one module a picture, matplotlib behind them.

Each picture is a function that takes arrays and returns a `matplotlib.figure.Figure`. Nothing goes
through pyplot: no window opens, no figure stays behind, and the backend and settings of the caller
are left alone. matplotlib is imported when a picture is drawn; it comes with the extra ``plot``.
"""

from __future__ import annotations

from refntk.plot.bridge import plot_bridge
from refntk.plot.convergence import plot_convergence
from refntk.plot.curve import plot_learning_curve
from refntk.plot.gram import plot_gram
from refntk.plot.spectrum import plot_spectrum
from refntk.plot.style import save_figure
from refntk.plot.symmetry import plot_angles
from refntk.plot.tiles import plot_tiles
from refntk.plot.trajectories import plot_trajectories

__all__ = [
    "plot_angles",
    "plot_bridge",
    "plot_convergence",
    "plot_gram",
    "plot_learning_curve",
    "plot_spectrum",
    "plot_tiles",
    "plot_trajectories",
    "save_figure",
]
