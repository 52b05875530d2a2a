"""What the rows of an experiment of the spectral theory say, condensed for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["advice", "summarize_pairs"]

Row = dict[str, Any]

_KEYS = ("network", "poses", "class_a", "class_b", "image_a", "image_b")
_CAUSES = ("spectral", "separation", "density")


def summarize_pairs(rows: Sequence[Row]) -> list[Row]:
    """Condense pairs to a row for each network and number of poses.

    Parameters
    ----------
    rows : sequence of dict
        Of `refntk.spectral.study.pair_rows`.

    Returns
    -------
    list of dict
        ``pairs``; medians of ``exact``, ``spectral``, ``by_orbit`` and ``coset``;
        ``spectral_within`` and ``by_orbit_within``, the factor within which the prediction is the
        exact error for 90 % of the pairs; ``same_side``, the share of pairs
        where exact and spectral error are on the same side of 1;
        ``accuracy``, the mean; ``deviation``, the median.
    """
    condensed = []
    for name, poses in dict.fromkeys((row["network"], row["poses"]) for row in rows):
        some = [row for row in rows if (row["network"], row["poses"]) == (name, poses)]
        values = {k: np.array([row[k] for row in some]) for k in some[0] if k not in _KEYS}

        def within(prediction: str, values: dict[str, Any] = values) -> float:
            logs = [np.log(np.maximum(values[k], 1e-300)) for k in (prediction, "exact")]
            return float(np.exp(np.quantile(np.abs(logs[0] - logs[1]), 0.9)))

        condensed.append(
            {
                "network": name,
                "poses": poses,
                "pairs": len(some),
                "exact": float(np.median(values["exact"])),
                "spectral": float(np.median(values["spectral"])),
                "spectral_within": within("spectral"),
                "by_orbit": float(np.median(values["by_orbit"])),
                "by_orbit_within": within("by_orbit"),
                "coset": float(np.median(values["coset"])),
                "same_side": float(np.mean((values["exact"] < 1) == (values["spectral"] < 1))),
                "accuracy": float(values["accuracy"].mean()),
                "deviation": float(np.median(values["deviation"])),
            }
        )
    return condensed


def advice(rows: Sequence[Row], class_names: Sequence[str]) -> list[Row]:
    """Say which pairs of classes will generalise to unseen poses, from how many angles, and why.

    Parameters
    ----------
    rows : sequence of dict
        Of `refntk.spectral.study.pair_rows`, over several numbers of poses.
    class_names : sequence of str
        Name of each class.

    Returns
    -------
    list of dict
        A row for each pair of classes and network: ``error``, the median of the spectral error with
        the most poses; ``separation`` and ``density``, the medians of its two causes;
        ``poses``, the smallest number tried from which on the error is below 1 for 90 % of the
        pairs, or "> N" for more than the largest.
    """
    out = []
    most = max(row["poses"] for row in rows)
    pairs = {(min(r["class_a"], r["class_b"]), max(r["class_a"], r["class_b"])) for r in rows}
    for pair in sorted(pairs):
        for name in dict.fromkeys(row["network"] for row in rows):
            some = [
                row for row in rows
                if row["network"] == name and {row["class_a"], row["class_b"]} == set(pair)
            ]  # fmt: skip
            enough: int | str = f"> {most}"
            for poses in sorted({row["poses"] for row in some}, reverse=True):
                errors = np.array([row["spectral"] for row in some if row["poses"] == poses])
                if np.mean(errors < 1) < 0.9:
                    break
                enough = poses
            last = [row for row in some if row["poses"] == most]
            medians = {k: float(np.median([r[k] for r in last])) for k in _CAUSES}
            out.append(
                {
                    "classes": " / ".join(class_names[c] for c in pair),
                    "network": name,
                    "error": medians["spectral"],
                    "separation": medians["separation"],
                    "density": medians["density"],
                    "poses": enough,
                }
            )
    return out
