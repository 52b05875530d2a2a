"""Images that occur more than once, in one set or in two."""

from __future__ import annotations

import numpy as np

from refntk.data.images.imageset import InputInfo

__all__ = ["repeated_images", "shared_images"]


def repeated_images(info: InputInfo) -> int:
    """Count the images of a set that are equal to another one of it.

    Parameters
    ----------
    info : InputInfo

    Returns
    -------
    int
        Number of images whose digest occurs more than once.
    """
    _, counts = np.unique(info.sha256, return_counts=True)
    return int(counts[counts > 1].sum())


def shared_images(test: InputInfo, train: InputInfo) -> int:
    """Count the images of one set that are also in another.

    Parameters
    ----------
    test, train : InputInfo

    Returns
    -------
    int
        Number of images of `test` with a digest that `train` has, too.
    """
    return int(np.isin(test.sha256, train.sha256).sum())
