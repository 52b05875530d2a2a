"""How far training leads from the start and from the equivariant parameters, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from refntk.plot.style import new_figure, require_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_dynamics"]

_SMALLEST = 1e-17


def plot_dynamics(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the distance from E against the distance from the start, a panel for each group.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.dynamics.study.dynamics_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        A curve for each way to train, the mean over repeats at each recorded step, with a band from
        the smallest to the largest; a last panel shows the nominal risk of the first group.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    groups = list(dict.fromkeys(row["group"] for row in rows))
    figure, panels = new_figure(1, len(groups) + 1, size=(4.2 * (len(groups) + 1), 3.8))
    for panel, group in zip(panels, [*groups, groups[0]], strict=True):
        last = panel is panels[-1]
        for mode in dict.fromkeys(row["mode"] for row in rows):
            some = [row for row in rows if row["group"] == group and row["mode"] == mode]
            steps = sorted({row["step"] for row in some})
            runs = {
                name: [[row[name] for row in some if row["step"] == step] for step in steps]
                for name in ("risk", "from_start", "from_E")
            }
            x = steps if last else [np.mean(v) for v in runs["from_start"]]
            values = runs["risk" if last else "from_E"]
            (line,) = panel.plot(
                x, [max(np.mean(v), _SMALLEST) for v in values], label=mode, markersize=3
            )
            low, high = ([max(end(v), _SMALLEST) for v in values] for end in (min, max))
            panel.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        if last:
            panel.set(xlabel="step of gradient descent", ylabel="nominal risk", title=group)
        else:
            panel.set(
                xlabel="distance from the start", ylabel="distance from E", yscale="log",
                title=group,
            )  # fmt: skip
    panels[0].legend(fontsize=8, frameon=False)
    return figure
