"""Pictures of the spectral theory of symmetry learning, from the rows of its experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from refntk.plot.style import PALETTE, new_figure, require_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "diagonal",
    "logs",
    "plot_advice",
    "plot_modular",
    "plot_pairs",
    "plot_poses",
    "plot_toy",
    "points",
    "wrong_above_one",
]

Rows = Sequence[Mapping[str, Any]]

_EXACT = "exact error ε of a pose"
_SPECTRAL = "spectral error $λ_N^{-1}/⟨λ_k^{-1}⟩$"
_BY_ORBIT = "error from each orbit's spectrum"
_SEPARATION = "separation: numerator of ε"
_DENSITY = "density: denominator of ε"
_SMALLEST = 1e-12

_KINDS: dict[str, dict[str, Any]] = {
    "exact": {"label": "exact", "linestyle": "-", "marker": "o", "markersize": 4},
    "spectral": {
        "label": "spectral, average of two orbits", "linestyle": ":", "marker": "o",
        "markersize": 4, "markerfacecolor": "none",
    },
    "by_orbit": {
        "label": "spectral, by orbit", "linestyle": "", "marker": "x", "markersize": 6,
    },
    "coset": {"label": "exact, one seed, between turns", "linestyle": "--", "marker": ""},
    "by sign": {"label": "exact, by sign", "linestyle": "-.", "marker": ""},
}  # fmt: skip
"""Curves of `plot_poses`, by the column of the error."""

_SHARES = {
    "exact": "accuracy", "spectral": "spectral_accuracy", "by_orbit": "by_orbit_accuracy",
    "coset": "coset_accuracy", "by sign": "sign",
}  # fmt: skip
"""The column of what is right, for each of them; the sign has no error of its own."""


def plot_toy(rows: Rows) -> Figure:
    """Draw the error on two circles against the number of points, separation, and missing points.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.spectral.toy.toy_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        Markers are exact, lines spectral.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    names = {
        "points": "points on each circle, N", "separation": "separation of the circles, Δ",
        "missing": "neighbours left out together, of 16",
    }  # fmt: skip
    there = [panel for panel in names if any(row["panel"] == panel for row in rows)]
    figure, panels = new_figure(1, len(there))
    for axes, panel in zip(panels, there, strict=True):
        some, label = [row for row in rows if row["panel"] == panel], names[panel]
        x = [row["x"] for row in some]
        formula = "eq. 59-61" if panel == "missing" else "eq. 7"
        axes.plot(x, [r["spectral"] for r in some], marker="", label=f"spectral, {formula}")
        axes.plot(x, [r["exact"] for r in some], linestyle="", label="exact")
        axes.set(xlabel=label, ylabel="error ε of a point left out")
        wrong_above_one(axes)
        axes.legend(fontsize=8, frameon=False)
    panels[0].set_yscale("log")
    return figure


def plot_pairs(rows: Rows) -> Figure:
    """Draw exact against spectral errors over pairs of orbits, and the two causes.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.spectral.study.pair_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        A column for each network, a point for each pair, those of the other networks in grey.
        Above the spectral error, which averages the two orbits; in the middle that of each orbit by
        itself; below the two causes of the latter.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure, panels = new_figure(3, len(names), size=(max(3.0 * len(names), 6.0), 9.0))
    values = [v for name in ("exact", "spectral", "by_orbit") for v in logs(rows, name)]
    causes = logs(rows, "density")
    line_end = max(causes)
    for row, (x, y, label, line) in enumerate((
        ("spectral", "exact", _SPECTRAL, values),
        ("by_orbit", "exact", _BY_ORBIT, values),
        ("density", "separation", _DENSITY, causes),
    )):  # fmt: skip
        for k, name in enumerate(names):
            axes = panels[row * len(names) + k]
            others = [pair for pair in rows if pair["network"] != name]
            some = [pair for pair in rows if pair["network"] == name]
            points(axes, logs(some, x), logs(some, y), PALETTE[k % len(PALETTE)])
            points(axes, logs(others, x), logs(others, y), "0.85", behind=True)
            axes.set(xscale="log", yscale="log", xlabel=label)
            diagonal(axes, line)
            if y == "exact":
                wrong_above_one(axes)
            else:
                axes.annotate("ε = 1", (line_end, line_end), xytext=(-4, 0), ha="right",
                              textcoords="offset points", fontsize=7, color="0.4")  # fmt: skip
        panels[row * len(names)].set_ylabel(_EXACT if y == "exact" else _SEPARATION)
    for axes, name in zip(panels, names, strict=False):
        axes.set_title(name)
    figure.suptitle("A pose left out: its exact error, two predictions, two causes", fontsize=10)
    return figure


def plot_poses(rows: Rows) -> Figure:
    """Draw errors and accuracies against the number of poses, a curve for each network.

    Parameters
    ----------
    rows : sequence of mapping
        With ``network``, ``poses``, ``spectral``, ``accuracy``, ``spectral_accuracy``,
        ``by_orbit_accuracy`` and where known ``exact``, ``by_orbit``, ``coset`` and
        ``coset_accuracy``: of `refntk.spectral.study.seed_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        A column for each network: above the error, below the accuracy. Solid with markers: exact;
        dotted: predicted from the spectrum of the average of two orbits; crosses: from the spectra
        of all orbits; dashed, where known (``coset``): exact, where a pose of one seed is left out
        with its images under the turns or shifts that permute pixels; dash-dotted, of many classes
        (``sign``): where the prediction of the right class is positive.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure, panels = new_figure(2, len(names), size=(max(3.0 * len(names), 6.0), 6.4))
    above, below = panels[: len(names)], panels[len(names) :]
    for k, name in enumerate(names):
        some = sorted((r for r in rows if r["network"] == name), key=lambda row: row["poses"])
        colour = PALETTE[k % len(PALETTE)]
        poses = [row["poses"] for row in some]
        for kind, style in _KINDS.items():
            if kind in some[0]:
                above[k].plot(poses, logs(some, kind), **style, color=colour)
            if (share := _SHARES[kind]) in some[0]:
                below[k].plot(poses, [row[share] for row in some], **style, color=colour)
        for axes in (above[k], below[k]):
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
        above[k].set(yscale="log", title=name)
        below[k].set(ylim=(-0.03, 1.03), xlabel="poses on each orbit, N")
    lowest, highest = zip(*(axes.get_ylim() for axes in above), strict=True)
    for axes in above:
        axes.set_ylim(min(lowest), max(*highest, 1.5))
        wrong_above_one(axes)
    above[0].set_ylabel("error ε of a pose left out")
    below[0].set_ylabel("share of poses that are right")
    figure.legend(
        *_fullest(below), loc="outside lower center", ncols=4 if len(names) > 3 else 2, fontsize=8,
        frameon=False,
    )  # fmt: skip
    figure.suptitle("A pose left out of its orbit, by the number of poses", fontsize=10)
    return figure


def _fullest(panels: Sequence[Axes]) -> tuple[Any, Any]:
    """Give the legend of the panel with most curves."""
    return max((axes.get_legend_handles_labels() for axes in panels), key=lambda it: len(it[1]))


def plot_advice(rows: Rows, class_names: Sequence[str]) -> Figure:
    """Draw the predicted error of each pair of classes as a matrix, a panel for each network.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.spectral.study.pair_rows`; the largest number of poses is drawn.
    class_names : sequence of str

    Returns
    -------
    matplotlib.figure.Figure
        Medians over the pairs of seeds of the error from the spectra of each orbit, on a
        logarithmic scale around 1.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    poses = max(row["poses"] for row in rows)
    names = list(dict.fromkeys(row["network"] for row in rows))
    classes = sorted({c for row in rows for c in (row["class_a"], row["class_b"])})
    place = {c: k for k, c in enumerate(classes)}
    figure, panels = new_figure(1, len(names), size=(4.4 * len(names) + 0.6, 4.2))
    from matplotlib.colors import TwoSlopeNorm

    for axes, name in zip(panels, names, strict=True):
        values: dict[tuple[int, int], list[float]] = {}
        for row in rows:
            if row["network"] == name and row["poses"] == poses:
                key = place[row["class_a"]], place[row["class_b"]]
                values.setdefault(key, []).append(max(row["by_orbit"], _SMALLEST))
        matrix = np.full((len(classes), len(classes)), np.nan)
        for (a, b), errors in values.items():
            matrix[a, b] = matrix[b, a] = np.log10(np.median(errors))
        image = axes.imshow(matrix, cmap="PuOr_r", norm=TwoSlopeNorm(0.0, -1.0, 0.5))
        axes.grid(visible=False)
        labels = [class_names[c] for c in classes]
        axes.set_xticks(
            range(len(classes)), labels, rotation=90 if max(map(len, labels)) > 2 else 0
        )
        axes.set_yticks(range(len(classes)), labels)
        axes.set_title(f"{name}, {poses} poses", fontsize=10)
    figure.colorbar(image, ax=panels, label="log₁₀ of the predicted error ε (above 0: wrong)")
    return figure


def plot_modular(rows: Rows) -> Figure:
    """Draw the accuracy of addition modulo p against the share of the table that is known.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.spectral.modular.modular_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each network: kernels as they are, and their means over the symmetry.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure, panels = new_figure(1, len(networks))
    for axes, network in zip(panels, networks, strict=True):
        for p in dict.fromkeys(row["p"] for row in rows):
            some = [row for row in rows if (row["network"], row["p"]) == (network, p)]
            shares = sorted({row["share"] for row in some})
            for name, words in (("averaged", "averaged over the symmetry"), ("accuracy", "plain")):
                axes.plot(
                    shares,
                    [np.mean([row[name] for row in some if row["share"] == x]) for x in shares],
                    label=f"p = {p}, {words}",
                )
        axes.set(
            xlabel="share of the table that is known", ylabel="accuracy on the rest",
            title=network, ylim=(-0.05, 1.05),
        )  # fmt: skip
        axes.legend(fontsize=8, frameon=False, loc="center left")
    return figure


def logs(rows: Rows, name: str) -> list[float]:
    """Give a column for a logarithmic axis; what is zero to rounding goes to its lower end."""
    return [max(float(row[name]), _SMALLEST) for row in rows]


def diagonal(axes: Axes, values: Sequence[float]) -> None:
    """Draw where abscissa and ordinate are equal, over the range of values."""
    ends = [min(values), max(values)]
    axes.plot(ends, ends, color="0.4", linewidth=0.8, linestyle="-", marker="", zorder=0)


def points(
    axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, *, behind: bool = False
) -> None:
    """Draw small points."""
    axes.plot(
        x, y, linestyle="", marker="o", color=colour, markersize=2.5, markeredgewidth=0,
        alpha=0.7, zorder=1 if behind else 2,
    )  # fmt: skip


def wrong_above_one(axes: Axes) -> None:
    """Draw where answers become wrong, and say so to the right of the data."""
    axes.axhline(1, color="0.5", linewidth=0.8, linestyle="--", marker="")
    axes.annotate(
        "wrong\nabove", (1, 1), xycoords=("axes fraction", "data"), xytext=(3, 0),
        textcoords="offset points", fontsize=7, va="center", color="0.4",
    )  # fmt: skip
