"""What the rows of an experiment of the spectral theory say, condensed for people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["advice", "summarize_pairs", "summarize_trials", "worth"]

Row = dict[str, Any]

_KEYS = ("network", "poses", "class_a", "class_b", "image_a", "image_b")
_ERRORS = ("exact", "spectral", "by_orbit")
_MISSES = 0.1


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
        ``accuracy``, the mean; ``deviation``, the median; ``distance_r``, the correlation over
        pairs of λ_N with the squared distance of the means of the orbits (Figure 4D of the paper),
        and ``radius_r``, that of ⟨λ⁻¹⟩ with the inverse of their radius (4E); NaN for one pair.
    """
    condensed = []
    for name, poses in dict.fromkeys((row["network"], row["poses"]) for row in rows):
        some = [row for row in rows if (row["network"], row["poses"]) == (name, poses)]
        values = {k: np.array([row[k] for row in some]) for k in some[0] if k not in _KEYS}
        condensed.append(
            {
                "network": name,
                "poses": poses,
                "pairs": len(some),
                "exact": float(np.median(values["exact"])),
                "spectral": float(np.median(values["spectral"])),
                "spectral_within": _within(values["spectral"], values["exact"]),
                "by_orbit": float(np.median(values["by_orbit"])),
                "by_orbit_within": _within(values["by_orbit"], values["exact"]),
                "coset": float(np.median(values["coset"])),
                "same_side": float(np.mean((values["exact"] < 1) == (values["spectral"] < 1))),
                "accuracy": float(values["accuracy"].mean()),
                "deviation": float(np.median(values["deviation"])),
                "distance_r": _correlation(1 / values["top"], values["distance"]),
                "radius_r": _correlation(values["mean"], 1 / values["radius"]),
            }
        )
    return condensed


def summarize_trials(rows: Sequence[Row]) -> list[Row]:
    """Condense trials to a row for each network and number of poses.

    Parameters
    ----------
    rows : sequence of dict
        Of `refntk.spectral.study.trial_rows`.

    Returns
    -------
    list of dict
        ``trials``; means of ``exact``, ``spectral`` and ``by_orbit``; ``spectral_within`` and
        ``by_orbit_within`` as for `summarize_pairs`; ``r``, the correlation over trials of exact
        and spectral error; means of ``accuracy``, ``spectral_accuracy``, ``by_orbit_accuracy``.
    """
    condensed = []
    for name, poses in dict.fromkeys((row["network"], row["poses"]) for row in rows):
        some = [row for row in rows if (row["network"], row["poses"]) == (name, poses)]
        values = {kind: np.array([row[kind] for row in some]) for kind in _ERRORS}
        condensed.append(
            {"network": name, "poses": poses, "trials": len(some)}
            | {kind: float(values[kind].mean()) for kind in _ERRORS}
            | {
                "spectral_within": _within(values["spectral"], values["exact"]),
                "by_orbit_within": _within(values["by_orbit"], values["exact"]),
                "r": _correlation(values["exact"], values["spectral"]),
            }
            | {
                share: float(np.mean([row[share] for row in some]))
                for share in ("accuracy", "spectral_accuracy", "by_orbit_accuracy")
            }
        )
    return condensed


def _within(predicted: npt.NDArray[np.float64], exact: npt.NDArray[np.float64]) -> float:
    """Give the factor within which predictions are right in 90 % of the cases."""
    logs = [np.log(np.maximum(values, 1e-300)) for values in (predicted, exact)]
    return float(np.exp(np.quantile(np.abs(logs[0] - logs[1]), 0.9)))


def _correlation(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Correlation of two columns; NaN where one does not vary or is not finite."""
    if not (np.isfinite(x).all() and np.ptp(x) > 0 and np.ptp(y) > 0):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def advice(
    rows: Sequence[Row], class_names: Sequence[str], equivariant: Collection[str] = ()
) -> list[Row]:
    """Say which pairs of classes will generalise to unseen poses, from how many angles, and why.

    Parameters
    ----------
    rows : sequence of dict
        Of `refntk.spectral.study.pair_rows`, over several numbers of poses.
    class_names : sequence of str
        Name of each class.
    equivariant : collection of str
        Networks that are invariant under the poses that permute pixels, as
        `refntk.spectral.study.Study.equivariant` gives them.

    Returns
    -------
    list of dict
        A row for each pair of classes and network. Errors are those with the most poses, predicted
        from the spectra of each orbit (``by_orbit``); wrong above 1. A network is right where this
        holds for 90 % of the pairs of images.

        ``error``, that of the pair of images in the middle, and ``separation`` and ``density``, its
        two causes for the same pair: error is separation / density. ``between``, the median error
        where a pose is left out together with its quarter turns (half turns where 4 does not divide
        N), so that it lies between all that is known up to these; NaN for shifts and where nothing
        else is in the orbit. ``poses``, the smallest number tried from which on the network is
        right, or "> N" for more than the largest.

        ``equivariant``, whether a network that is equivariant under these turns (or shifts) is
        worth it: "not needed" where this one is right by itself; "worth it" where it is not, and
        "worth it, not between" where the equivariant one is right at turns of known poses alone;
        "is one". The counterpart need not be among the networks: where it knows a turn of the pose
        left out, its error is 0, and elsewhere it is the error ``between`` of this network, whose
        data hold the turns that the other one has in its group. This is exact where turns of both
        images leave the kernel as it is.
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
            last = sorted(
                (row for row in some if row["poses"] == most), key=lambda row: row["by_orbit"]
            )
            middle = last[len(last) // 2]
            enough = _enough(some)
            between = np.array([row["coset"] for row in last])
            if name in equivariant:
                verdict = "is one"
            elif isinstance(enough, int):
                verdict = "not needed"
            else:
                verdict = "worth it, not between" if _wrong(between) else "worth it"
            out.append(
                {
                    "classes": " / ".join(class_names[c] for c in pair),
                    "network": name,
                    "error": middle["by_orbit"],
                    "separation": middle["separation"],
                    "density": middle["density"],
                    "between": float(np.median(between)),
                    "poses": enough,
                    "equivariant": verdict,
                }
            )
    return out


def worth(table: Sequence[Row]) -> list[str]:
    """Say in a sentence for each network whether an equivariant one is worth it.

    Parameters
    ----------
    table : sequence of dict
        What `advice` gives.

    Returns
    -------
    list of str
    """
    out = []
    for name in dict.fromkeys(row["network"] for row in table):
        verdicts = [row["equivariant"] for row in table if row["network"] == name]
        right = sum(isinstance(row["poses"], int) for row in table if row["network"] == name)
        known = f"{name}: right at unseen poses for {right} of {len(verdicts)} pairs of classes; "
        if "is one" in verdicts:
            out.append(known + "it is equivariant.")
        elif right == len(verdicts):
            out.append(known + "an equivariant network is not needed.")
        else:
            only = verdicts.count("worth it, not between")
            less = f" ({only} at turns of known poses only)" if only else ""
            out.append(
                known + f"an equivariant network is worth it for the other "
                f"{len(verdicts) - right}{less}."
            )
    return out


def _enough(rows: Sequence[Row]) -> int | str:
    """Smallest number of poses from which on nearly all errors are below 1."""
    numbers = sorted({row["poses"] for row in rows}, reverse=True)
    enough: int | str = f"> {numbers[0]}"
    for poses in numbers:
        if _wrong(np.array([row["by_orbit"] for row in rows if row["poses"] == poses])):
            break
        enough = poses
    return enough


def _wrong(errors: npt.NDArray[np.float64]) -> bool:
    """Whether too many errors are 1 or above; NaN is not."""
    return bool(np.mean(errors >= 1) > _MISSES)
