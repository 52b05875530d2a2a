"""Random divisions of labelled images into training and test sets, each class in proportion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError

__all__ = ["Split", "random_split", "stratified_order"]

IntArray = npt.NDArray[np.int64]


class Split(NamedTuple):
    """One division of a set of images.

    Attributes
    ----------
    train : array of int64, shape (N - M,)
        Indices in an order of which every beginning has the classes in proportion: the nested
        training sets are ``train[:16]``, ``train[:32]`` and so on.
    test : array of int64, shape (M,)
        Indices of the images that are tested.
    """

    train: IntArray
    test: IntArray


def stratified_order(labels: npt.NDArray[np.integer], rng: np.random.Generator) -> IntArray:
    """Put images into a random order of which every beginning has the classes in proportion.

    Parameters
    ----------
    labels : array of int, shape (N,)
    rng : numpy.random.Generator

    Returns
    -------
    array of int64, shape (N,)
        Of c classes, one of share p has less than 1 + p c more or fewer than p s of the first s
        images, whatever s is.

    Notes
    -----
    The images of a class of n, in random order, get the places (j + u) / n, j = 0, 1, ... with one
    random u between 0 and 1 for the class; sorting all places mixes the classes.
    """
    places = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ranks = rng.permutation(len(members))
        places[members] = (ranks + rng.random()) / len(members)
    # Places of two classes are equal with probability zero; a stable sort settles even that.
    return np.argsort(places, kind="stable").astype(np.int64)


def random_split(labels: npt.NDArray[np.integer], test: int, rng: np.random.Generator) -> Split:
    """Draw a test set and put the rest into an order for nested training sets.

    Parameters
    ----------
    labels : array of int, shape (N,)
        Class of each image.
    test : int
        M, the number of test images.
    rng : numpy.random.Generator

    Returns
    -------
    Split

    Raises
    ------
    InputError
        `test` leaves nothing to train on, or is not positive.

    Examples
    --------
    >>> split = random_split(np.repeat([0, 1], [60, 30]), 30, np.random.default_rng(0))
    >>> len(split.train), len(split.test)
    (60, 30)
    """
    if not 0 < test < len(labels):
        raise InputError(
            f"test {test}: expected a positive number of images below the {len(labels)} there are"
        )
    order = stratified_order(labels, rng)
    chosen, rest = order[:test], order[test:]
    return Split(rest[stratified_order(labels[rest], rng)], np.sort(chosen))
