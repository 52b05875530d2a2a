"""The inputs of one kernel, loaded and prepared in the one order that is documented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import ImageSet, InputInfo
from refntk.data.images.load import load_images
from refntk.data.images.preprocess import apply_statistics, channel_statistics, to_unit

__all__ = ["Inputs", "load_inputs"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Images ready for `refntk.kernel`, and the record of how they came to be.

    Parameters
    ----------
    x1 : array of float, shape (N1, H, W, C)
        Prepared images.
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


def _scaling(images: ImageSet) -> str:
    """How `to_unit` changes images of the dtype in which they were stored."""
    stored = np.dtype(images.info.dtype)
    return "none" if stored.kind == "f" else f"divided by {np.iinfo(stored).max}"


def load_inputs(
    x1: str,
    x2: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    size: int | None = None,
    standardize: bool = False,
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

    Returns
    -------
    Inputs
        With `preprocessing` = ``{"scaling": {"x1": ..., "x2": ...}, "size": ..., "limit": ...,
        "seed": ..., "standardize": None or {"mean": [...], "std": [...]}}``; `scaling` is
        ``"none"`` or ``"divided by 255"``, and ``"x2"`` is there where `x2` is. `size`, `limit`
        and `seed` are None where nothing was asked for.

    Raises
    ------
    InputError
        As `load_images`, or the channels differ where statistics are applied.
    """
    first = load_images(x1, limit=limit, seed=seed, size=size)
    second = None if x2 is None else load_images(x2, limit=limit, seed=seed, size=size)
    scaling = {"x1": _scaling(first)} | ({} if second is None else {"x2": _scaling(second)})
    images1 = to_unit(first.images)
    images2 = None if second is None else to_unit(second.images)
    statistics = None
    if standardize:
        mean, std = channel_statistics(images1)
        statistics = {"mean": mean.tolist(), "std": std.tolist()}
        images1 = apply_statistics(images1, mean, std)
        images2 = None if images2 is None else apply_statistics(images2, mean, std)
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
        },
    )
