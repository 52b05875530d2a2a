"""Pictures of the spectral theory with a point for each pair of images or classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refntk.plot.spectral import diagonal, points, wrong_above_one
from refntk.plot.style import PALETTE, new_figure, require_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_geometry", "plot_trained", "plot_trials"]

Rows = Sequence[Mapping[str, Any]]


def plot_geometry(rows: Rows) -> Figure:
    """Draw the causes of eq. 7 against what two orbits are in the space of images.

    Figures 4D, 4E, 7 and G.1 of arXiv:2412.11521, with its axes.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.spectral.study.pair_rows`; the largest number of poses is drawn.

    Returns
    -------
    matplotlib.figure.Figure
        A column for each network. Above the squared distance Δ² of the means of the orbits against
        λ_N, below the inverse of their radius ρ against ⟨λ⁻¹⟩, both of the circulant average and in
        units of the mean diagonal.

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
    figure, panels = new_figure(2, len(names), size=(max(3.0 * len(names), 6.0), 6.0))
    for k, name in enumerate(names):
        some = [r for r in rows if r["network"] == name and r["poses"] == poses]
        above, below, colour = panels[k], panels[len(names) + k], PALETTE[k % len(PALETTE)]
        points(above, [1 / r["top"] for r in some], [r["distance"] for r in some], colour)
        points(below, [r["mean"] for r in some], [1 / r["radius"] for r in some], colour)
        above.set(title=name, xlabel="λ_N")
        below.set(xlabel="⟨λ⁻¹⟩")
        for axes in (above, below):
            axes.ticklabel_format(axis="x", scilimits=(-2, 4), useMathText=True)
            axes.locator_params(axis="x", nbins=5)
    panels[0].set_ylabel("distance of the means, Δ²")
    panels[len(names)].set_ylabel("1 / radius of the orbits, 1/ρ")
    figure.suptitle(f"Causes of eq. 7 and the space of images, {poses} poses", fontsize=10)
    return figure


def plot_trials(rows: Rows) -> Figure:
    """Draw predicted against exact errors over random pairs of classes, as in Figure 6A.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.spectral.study.trial_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        A column for each network, a colour for each number of poses, a point for each trial: above
        the mean of eq. 7 over all pairs of seeds, below the error from all orbits at once.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    names = list(dict.fromkeys(row["network"] for row in rows))
    poses = sorted({row["poses"] for row in rows})
    figure, panels = new_figure(2, len(names), size=(max(3.2 * len(names), 6.4), 6.4))
    kinds = {"spectral": "mean of eq. 7 over pairs", "by_orbit": "from all orbits' spectra"}
    most = max(row[kind] for row in rows for kind in ("exact", *kinds))
    for line, (kind, label) in enumerate(kinds.items()):
        for k, name in enumerate(names):
            axes = panels[line * len(names) + k]
            for index, n in enumerate(poses):
                some = [r for r in rows if r["network"] == name and r["poses"] == n]
                axes.plot(
                    [r["exact"] for r in some], [r[kind] for r in some], linestyle="", markersize=4,
                    markerfacecolor="none", color=PALETTE[index % len(PALETTE)], label=f"N = {n}",
                )  # fmt: skip
            diagonal(axes, [0.0, most])
            wrong_above_one(axes)
            axes.axvline(1, color="0.5", linewidth=0.8, linestyle="--", marker="")
            axes.set(xlim=(0, 1.05 * most), ylim=(0, 1.05 * most))
        panels[line * len(names)].set_ylabel(label)
    for k, name in enumerate(names):
        panels[k].set_title(name)
        panels[len(names) + k].set_xlabel("exact error ε")
    panels[0].legend(fontsize=8, frameon=False, loc="upper left")
    figure.suptitle(
        "A pose left out of all seeds of a class, over random pairs of classes", fontsize=10
    )
    return figure


def plot_trained(rows: Rows) -> Figure:
    """Draw errors of trained networks against those of regression, as in Figures 5B and 11.

    Parameters
    ----------
    rows : sequence of mapping
        Of `refntk.dynamics.trained.trained_rows`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each network, a point for each pair of images: filled against the exact error at
        the same poses, hollow against eq. 7.

    Raises
    ------
    InputError
        There are no rows.
    MissingPackageError
        matplotlib is not installed.
    """
    require_rows(rows)
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure, panels = new_figure(1, len(names), size=(max(3.2 * len(names), 6.4), 3.8))
    every = [row[kind] for row in rows for kind in ("trained", "exact", "spectral")]
    ends = [min(0.0, *every), 1.05 * max(*every, 1.0)]
    styles = {"exact": ("regression", PALETTE[0]), "spectral": ("eq. 7", "none")}
    for axes, name in zip(panels, names, strict=True):
        some = [row for row in rows if row["network"] == name]
        for kind, (label, face) in styles.items():
            axes.plot(
                [row[kind] for row in some], [row["trained"] for row in some], linestyle="",
                marker="o", markersize=5, color=PALETTE[0], markerfacecolor=face, label=label,
            )  # fmt: skip
        diagonal(axes, ends)
        wrong_above_one(axes)
        axes.set(title=name, xlabel="predicted error ε", xlim=ends, ylim=ends)
    panels[0].set_ylabel("error of trained networks")
    panels[0].legend(fontsize=8, frameon=False, loc="upper left")
    figure.suptitle("A pose left out: trained networks of finite width", fontsize=10)
    return figure
