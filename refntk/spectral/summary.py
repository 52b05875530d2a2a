"""What the rows of an experiment of the spectral theory say, condensed for people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["advice", "summarize_pairs", "worth"]

Row = dict[str, Any]

_KEYS = ("network", "poses", "class_a", "class_b", "image_a", "image_b")
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
