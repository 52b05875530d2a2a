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

__all__ = ["plot_dynamics", "plot_meanfield", "plot_shapes"]

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
        several groups, instead the distance from E relative to nominal training, for augmented
        training and as the released code augments (Figures 1 and 6 of arXiv:2303.13458).

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
    ways = dict.fromkeys(mode for _, mode in runs if mode in ("augmented", "released"))
    ends = list(ways) if len(groups) > 1 else [""]
    across = min(3, len(groups) + len(ends))
    down = -(-(len(groups) + len(ends)) // across)
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
    for panel, way in zip(panels[len(groups) :], ends, strict=False):
        panel.set_xlabel("step of gradient descent")
        if len(groups) == 1:
            for (_, mode), run in runs.items():
                risks = [[row["risk"] for row in run[k]] for k in sorted(run)]
                _draw(panel, sorted(run), risks, mode)
            panel.set(ylabel="nominal risk", title=groups[0])
            continue
        for group in groups:
            nominal, moved = (runs.get((group, mode), {}) for mode in ("nominal", way))
            both = [k for k in sorted(moved) if k and k in nominal and _mean(nominal[k], "from_E")]
            ratios = [[_mean(moved[k], "from_E") / _mean(nominal[k], "from_E")] for k in both]
            _draw(panel, both, ratios, group)
        panel.set(yscale="log", ylabel="distance from E, of nominal", title=way)
        panel.legend(fontsize=8, frameon=False)
    for panel in panels[len(groups) + len(ends) :]:
        panel.set_axis_off()
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def plot_meanfield(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw risks of students by the number of units, and the difference of two ways to train.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.dynamics.meanfield.meanfield_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each teacher; in the last, augmented minus averaged function, with N^(-1/2).

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    teachers = list(dict.fromkeys(row["teacher"] for row in rows))
    figure, panels = new_figure(1, len(teachers) + 1, size=(3.6 * (len(teachers) + 1), 3.6))
    for panel, teacher in zip(panels, teachers, strict=False):
        own = [row for row in rows if row["teacher"] == teacher]
        counts = sorted({row["units"] for row in own})
        runs = [[row for row in own if row["units"] == count] for count in counts]
        for name in ("augmented", "averaged", "SI"):
            panel.plot(counts, [_mean(run, name) for run in runs], label=name)
        panel.set(xlabel="units", ylabel="risk on other points", title=f"{teacher} teacher")
        panel.set(xscale="log", yscale="log")
        gaps = [_mean(run, "difference") for run in runs]
        panels[-1].plot(counts, gaps, label=f"{teacher} teacher")
        if teacher == teachers[0]:
            expected = [gaps[0] * (counts[0] / count) ** 0.5 for count in counts]
    panels[-1].plot(counts, expected, color="0.5", marker="", linestyle=":", label="$N^{-1/2}$")
    panels[-1].set(xlabel="units", ylabel="augmented − averaged function, r.m.s.")
    panels[-1].set(xscale="log", yscale="log")
    for panel in (panels[0], panels[-1]):
        panel.legend(fontsize=8, frameon=False)
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
