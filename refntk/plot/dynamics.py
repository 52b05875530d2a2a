"""How far training leads from the start and from the equivariant parameters, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from refntk.plot.style import new_figure, require_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_dynamics", "plot_shapes"]

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
        A curve for each way to train, the mean over repeats at each recorded step after the start,
        with a band from the smallest to the largest. A last panel shows the nominal risk; of
        several groups, the distance from E of augmented training relative to nominal training
        instead (Figures 1 and 6 of arXiv:2303.13458).

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    groups = list(dict.fromkeys(row["group"] for row in rows))
    runs: dict[tuple[str, str], dict[int, list[Mapping[str, Any]]]] = {}
    for row in rows:
        run = runs.setdefault((row["group"], row["mode"]), {})
        run.setdefault(row["step"], []).append(row)
    across = min(3, len(groups) + 1)
    down = -(-(len(groups) + 1) // across)
    figure, panels = new_figure(down, across, size=(4.2 * across, 3.8 * down))
    for panel, group in zip(panels, groups, strict=False):
        for (of, mode), run in runs.items():
            if of == group:
                later = {step: run[step] for step in sorted(run) if step}
                x = [float(np.mean([row["from_start"] for row in some])) for some in later.values()]
                _draw(panel, x, [[row["from_E"] for row in r] for r in later.values()], mode)
        panel.set(
            xlabel="distance from the start", ylabel="distance from E", yscale="log", title=group
        )  # fmt: skip
        panel.ticklabel_format(axis="x", style="sci", scilimits=(-2, 4))
    last = panels[len(groups)]
    if len(groups) > 1:
        for group in groups:
            nominal, moved = (runs.get((group, mode), {}) for mode in ("nominal", "augmented"))
            both = [k for k in sorted(moved) if k in nominal and _mean(nominal[k], "from_E") > 0]
            ratios = [[_mean(moved[k], "from_E") / _mean(nominal[k], "from_E")] for k in both]
            _draw(last, both, ratios, group)
        last.set(yscale="log", ylabel="distance from E, of nominal", title="augmented")
        last.legend(fontsize=8, frameon=False)
    else:
        for (_, mode), run in runs.items():
            risks = [[row["risk"] for row in run[k]] for k in sorted(run)]
            _draw(last, sorted(run), risks, mode)
        last.set(ylabel="nominal risk", title=groups[0])
    last.set_xlabel("step of gradient descent")
    for panel in panels[len(groups) + 1 :]:
        panel.set_axis_off()
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def _draw(panel: Axes, x: Sequence[float], runs: Sequence[Sequence[float]], label: str) -> None:
    """Draw means with a band from the smallest to the largest; zeros as the smallest number."""
    values = [np.maximum(v, _SMALLEST) for v in runs]
    (line,) = panel.plot(x, [v.mean() for v in values], label=label, markersize=3)
    low, high = [v.min() for v in values], [v.max() for v in values]
    panel.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def plot_shapes(
    images: npt.NDArray[np.float64], masks: npt.NDArray[np.float64], side: int, count: int = 8
) -> Figure:
    """Draw images of triangles and pentagons above their masks (Figure 4 of arXiv:2303.13458).

    Parameters
    ----------
    images, masks : array of float64, shapes (N, side²) and (N, 2 · side²)
        Of `refntk.dynamics.data.shape_images`.
    side, count : int
        Of the images in pixels; and how many are drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    count = min(count, len(images))
    lines = [images, *np.split(masks, 2, axis=1)]
    figure, panels = new_figure(3, count, size=(1.15 * count + 0.7, 3.7))
    for k, panel in enumerate(panels):
        line, column = divmod(k, count)
        panel.imshow(lines[line][column].reshape(side, side), cmap="gray", vmin=0, vmax=1)
        panel.grid(False)
        panel.set(xticks=[], yticks=[])
        if not column:
            panel.set_ylabel(("image", "triangle", "pentagon")[line])
    return figure
