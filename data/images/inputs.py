"""The inputs of one kernel, loaded and prepared in the one order that is documented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.hexagons import to_hexagons
from refntk.data.images.imageset import InputInfo
from refntk.data.images.load import read_stored
from refntk.data.images.preprocess import apply_statistics, channel_statistics, check_fit
from refntk.errors import InputError, unknown
from refntk.evaluation.images import divisors

__all__ = ["Inputs", "load_inputs", "scaling_text"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Images ready for `refntk.kernel`, and the record of how they came to be.

    Parameters
    ----------
    x1 : array of float, shape (N1, H, W, C)
        Prepared images; volumes have an axis more.
    x2 : array of float, shape (N2, H, W, C), or None
        Prepared images of the second argument; None where it is the first again.
    info1, info2 : InputInfo
        What the kernel file keeps of them; `info2` is None where `x2` is.
    preprocessing : dict
        What was done, of the types that JSON has: see `load_inputs`.
    """

    x1: NDArray[np.floating[Any]]
    x2: NDArray[np.floating[Any]] | None
    info1: InputInfo
    info2: InputInfo | None
    preprocessing: dict[str, Any]


def scaling_text(top: float | None) -> str:
    """Write what pixels are divided by, for the record.

    Parameters
    ----------
    top : float or None
        As `refntk.evaluation.images.divisors` gives it.

    Returns
    -------
    str

    Examples
    --------
    >>> scaling_text(None), scaling_text(255.0)
    ('none', 'divided by 255')
    """
    return "none" if top is None else f"divided by {top:.15g}"


def load_inputs(
    x1: str,
    x2: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    size: int | None = None,
    standardize: bool = False,
    scale: str | float = "auto",
    alpha: str | None = None,
    labels: Sequence[str] = (),
    fit: str = "resize",
    axes: int | None = None,
    lattice: str | None = None,
) -> Inputs:
    """Load one or two sets of images and prepare them: subset, resample, scale, standardise.

    Parameters
    ----------
    x1, x2 : str
        Forms of input, see `refntk.data.load_images`. `x2` None: the kernel of `x1` with itself.
    limit, seed, size : optional
        As in `load_images`, for each of the two.
    standardize : bool
        Subtract the mean of each channel and divide by its standard deviation. The statistics are
        those of the prepared `x1`, and are used for `x2` too.
    scale : str or float
        One rule for both, see `refntk.evaluation.images.divisors`: sets of one integer type are
        divided alike.
    alpha : str, optional
        As in `load_images`, for each of the two.
    labels : sequence of str
        Files of labels, as in `load_images`: of `x1`, and of `x2`.
    fit : str
        As in `load_images`, for each of the two.
    axes : int, optional
        As in `load_images`: `Network.axes` of the network that they are for.
    lattice : {"hexagonal"}, optional
        Bring the prepared images to hexagons, see `refntk.data.images.hexagons.to_hexagons`.

    Returns
    -------
    Inputs
        With `preprocessing` = ``{"scaling": {"x1": ..., "x2": ...}, "size": ..., "limit": ...,
        "seed": ..., "standardize": None or {"mean": [...], "std": [...]}}``; `scaling` is
        ``"none"`` or ``"divided by 255"``, and ``"x2"`` is there where `x2` is. `size`, `limit`
        and `seed` are None where nothing was asked for. ``"scale"``, ``"alpha"``, ``"fit"`` and
        ``"lattice"`` are there where they were asked for.

    Raises
    ------
    InputError
        As `load_images`, or the channels differ where statistics are applied.
    """
    check_fit(fit, size)
    given = [spec for spec in (x1, x2) if spec is not None]
    if len(labels) > len(given):
        raise InputError(f"--labels {labels[-1]}: is one file too many for {len(given)} set(s)")
    stored = [
        read_stored(
            spec, limit=limit, seed=seed, alpha=alpha, unlike=size is not None,
            labels=labels[place] if place < len(labels) else None, axes=axes,
        )
        for place, spec in enumerate(given)
    ]  # fmt: skip
    asked = scale != "auto"
    # By place, because both may be one file.
    names = (f"X{place} ({spec})" for place, spec in enumerate(given, 1))
    sides = {name: each.images for name, each in zip(names, stored, strict=True)}
    tops = divisors(sides, scale)
    scaling = {f"x{place}": scaling_text(top) for place, top in enumerate(tops.values(), 1)}
    images = [
        each.prepared(size, "none" if top is None else top, asked, fit)
        for each, top in zip(stored, tops.values(), strict=True)
    ]
    images1, images2 = images[0], images[1] if x2 is not None else None
    first, second = stored[0], stored[1] if x2 is not None else None
    statistics = None
    if standardize:
        mean, std = channel_statistics(images1)
        statistics = {"mean": mean.tolist(), "std": std.tolist()}
        images1 = apply_statistics(images1, mean, std)
        images2 = None if images2 is None else apply_statistics(images2, mean, std)
    if lattice is not None:
        if lattice != "hexagonal":
            raise InputError(unknown("lattice", lattice, ("hexagonal",)))
        images1 = to_hexagons(images1)
        images2 = None if images2 is None else to_hexagons(images2)
    return Inputs(
        x1=images1,
        x2=images2,
        info1=first.info,
        info2=None if second is None else second.info,
        preprocessing={
            "scaling": scaling,
            "size": size,
            "limit": limit,
            "seed": None if limit is None else seed,
            "standardize": statistics,
        }
        | ({"scale": str(scale)} if asked else {})
        | ({} if alpha is None else {"alpha": alpha})
        | ({} if size is None or fit == "resize" else {"fit": fit})
        | ({} if lattice is None else {"lattice": lattice}),
    )
