"""Pictures of the spectral theory of symmetry learning, from the rows of its experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from refntk.plot.style import MARKERS, PALETTE, new_figure, require_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_advice", "plot_modular", "plot_pairs", "plot_poses", "plot_toy"]

Rows = Sequence[Mapping[str, Any]]

_EXACT = "exact error ε of a pose left out"
_SPECTRAL = "spectral error $λ_N^{-1}/⟨λ_k^{-1}⟩$"
_BY_ORBIT = "error from the spectra of each orbit"
_SEPARATION = "separation: numerator of the error in the middle"
_DENSITY = "density: its denominator"
_SMALLEST = 1e-12


def plot_toy(rows: Rows) -> Figure:
    """Draw the error on two circles against the number of points and against their separation.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.spectral.study.toy_rows`.

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
    figure, panels = new_figure(1, 2)
    names = {"points": "points on each circle, N", "separation": "separation of the circles, Δ"}
    for axes, (panel, label) in zip(panels, names.items(), strict=True):
        some = [row for row in rows if row["panel"] == panel]
        x = [row["x"] for row in some]
        axes.plot(x, [r["spectral"] for r in some], marker="", label="spectral, eq. 7")
        axes.plot(x, [r["exact"] for r in some], linestyle="", label="exact")
        axes.set(xlabel=label, ylabel="error ε of a point left out")
        _wrong_above_one(axes)
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
        A point for each pair; colours and markers tell networks apart. Left: the spectral error,
        which averages the two orbits; middle: that of each orbit by itself; right: the two causes
        of the latter.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    figure, (left, middle, right) = new_figure(1, 3, size=(14.4, 4.2))
    for k, name in enumerate(dict.fromkeys(row["network"] for row in rows)):
        some = [row for row in rows if row["network"] == name]
        style = {
            "linestyle": "",
            "marker": MARKERS[k % len(MARKERS)],
            "color": PALETTE[k % len(PALETTE)],
            "markersize": 3,
            "alpha": 0.5,
            "label": name,
        }
        left.plot(_logs(some, "spectral"), _logs(some, "exact"), **style)
        middle.plot(_logs(some, "by_orbit"), _logs(some, "exact"), **style)
        right.plot(_logs(some, "density"), _logs(some, "separation"), **style)
    values = [v for name in ("exact", "spectral", "by_orbit") for v in _logs(rows, name)]
    for axes, label in ((left, _SPECTRAL), (middle, _BY_ORBIT)):
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel=_EXACT)
        _diagonal(axes, values)
        _wrong_above_one(axes)
    right.set(xscale="log", yscale="log", xlabel=_DENSITY, ylabel=_SEPARATION)
    _diagonal(right, _logs(rows, "density"))
    right.annotate(
        "ε = 1", (max(_logs(rows, "density")),) * 2, xytext=(-4, 4), textcoords="offset points",
        fontsize=8, ha="right", color="0.4",
    )  # fmt: skip
    left.legend(fontsize=8, frameon=False)
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
        Solid with markers: exact; dotted: predicted from the spectrum of the average of two orbits;
        crosses: from the spectra of all orbits; dashed, where known (``coset``): exact, where a
        pose of one seed is left out with its images under the turns or shifts that permute pixels;
        of many classes (``sign``), where the prediction of the right class is positive.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    figure, (left, right) = new_figure(1, 2)
    names = list(dict.fromkeys(row["network"] for row in rows))
    for k, name in enumerate(names):
        some = sorted((r for r in rows if r["network"] == name), key=lambda row: row["poses"])
        poses = [row["poses"] for row in some]
        solid: dict[str, Any] = {
            "color": PALETTE[k % len(PALETTE)], "marker": MARKERS[k % len(MARKERS)],
            "linestyle": "-", "markersize": 4,
        }  # fmt: skip
        dotted = solid | {"linestyle": ":", "markerfacecolor": "none"}
        crosses = solid | {"linestyle": "", "marker": "x", "markersize": 6}
        dashed = solid | {"linestyle": "--", "marker": ""}
        if "exact" in some[0]:
            left.plot(poses, _logs(some, "exact"), **solid)
            left.plot(poses, _logs(some, "by_orbit"), **crosses)
        left.plot(poses, _logs(some, "spectral"), **dotted)
        right.plot(poses, [r["accuracy"] for r in some], **solid, label=f"{name}, exact")
        right.plot(poses, [r["spectral_accuracy"] for r in some], **dotted, label="spectral")
        right.plot(poses, [r["by_orbit_accuracy"] for r in some], **crosses, label="by orbit")
        if "coset" in some[0]:
            left.plot(poses, _logs(some, "coset"), **dashed)
            label = "one seed, between turns"
            right.plot(poses, [r["coset_accuracy"] for r in some], **dashed, label=label)
        if "sign" in some[0]:
            right.plot(poses, [r["sign"] for r in some], **dashed, label="exact, by sign")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("poses on each orbit, N")
        axes.xaxis.set_major_formatter("{x:g}")
    left.set(yscale="log", ylabel="error ε of a pose left out")
    _wrong_above_one(left)
    right.set(ylabel="share of poses left out that are right", ylim=(-0.03, 1.03))
    figure.legend(
        *right.get_legend_handles_labels(), loc="outside lower center", ncols=len(names),
        fontsize=7, frameon=False,
    )  # fmt: skip
    return figure


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


def _logs(rows: Rows, name: str) -> list[float]:
    """Values for a logarithmic axis; what is zero to rounding is drawn at its lower end."""
    return [max(float(row[name]), _SMALLEST) for row in rows]


def _diagonal(axes: Axes, values: Sequence[float]) -> None:
    ends = [min(values), max(values)]
    axes.plot(ends, ends, color="0.4", linewidth=0.8, linestyle="-", marker="", zorder=0)


def _wrong_above_one(axes: Axes) -> None:
    axes.axhline(1, color="0.5", linewidth=0.8, linestyle="--", marker="")
    axes.annotate(
        "wrong above", (1, 1), xycoords=("axes fraction", "data"), xytext=(-2, 2),
        textcoords="offset points", fontsize=7, ha="right", color="0.4",
    )  # fmt: skip
