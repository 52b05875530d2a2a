"""What is fitted: numbers, or classes as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError

__all__ = ["as_noise", "as_targets", "class_targets"]


def as_targets(y: npt.ArrayLike, count: int, name: str = "y") -> npt.NDArray[np.float64]:
    """Check the targets of the training images.

    Parameters
    ----------
    y : array of numbers, shape (N,) or (N, targets)
    count : int
        N, the number of training images.
    name : str
        What messages call it.

    Returns
    -------
    array of float64, the same shape

    Raises
    ------
    InputError
        Not numbers, not finite, of another length, or with other axes.
    """
    given = np.asarray(y)
    if given.dtype.kind not in "iufb":
        raise InputError(
            f"{name}: expected numbers, not {given.dtype}; class_targets makes numbers of classes"
        )
    if given.ndim not in (1, 2) or len(given) != count or not given.size:
        raise InputError(
            f"{name}: expected {count} rows, one a training image, and one or more targets, "
            f"not shape {given.shape}"
        )
    targets = given.astype(np.float64)
    if not np.isfinite(targets).all():
        row = int(np.argwhere(~np.isfinite(targets))[0][0])
        raise InputError(f"{name}: row {row} is NaN or infinite")
    return targets


def as_noise(noise: npt.ArrayLike, count: int) -> npt.NDArray[np.float64]:
    """Check the variances of the noise of training targets.

    Parameters
    ----------
    noise : array of numbers, shape (N,)
    count : int
        N, the number of training images.

    Returns
    -------
    array of float64, shape (N,)

    Raises
    ------
    InputError
        Not numbers, of another shape, negative or not finite.
    """
    given = np.asarray(noise)
    if given.dtype.kind not in "iuf" or given.shape != (count,):
        raise InputError(
            f"noise: expected {count} numbers, a variance for each training image, not "
            f"{given.dtype} of shape {given.shape}"
        )
    wrong = np.flatnonzero(~((given >= 0) & np.isfinite(given)))
    if wrong.size:
        raise InputError(
            f"noise: entry {wrong[0]} is {given[wrong[0]]:g}, and a variance is a finite number, "
            "zero or positive"
        )
    return given.astype(np.float64)


def class_targets(labels: npt.ArrayLike, classes: int) -> npt.NDArray[np.float64]:
    """Write classes as targets of a regression: one-hot, minus 1/c.

    Parameters
    ----------
    labels : array, shape (N,) or (N, classes)
        Class of each image, 0 to `classes` - 1; or its name, and then classes are numbered in the
        order of their names; or a row with a 1 in the column of the class and 0 elsewhere.
    classes : int
        Number c of classes.

    Returns
    -------
    array of float64, shape (N, classes)
        1 - 1/c in the column of the class, -1/c elsewhere: each row sums to 0.

    Raises
    ------
    InputError
        The labels are not whole numbers in that range, nor as many names as there are classes, nor
        one-hot; or all are the same class.

    Notes
    -----
    The targets of P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels",
    arXiv:2406.06504, section 5.2.

    Examples
    --------
    >>> class_targets([0, 1], 2).tolist()
    [[0.5, -0.5], [-0.5, 0.5]]
    """
    given = _numbered(np.asarray(labels), classes)
    if given.ndim != 1 or given.dtype.kind not in "iu" or not given.size:
        raise InputError(
            f"labels: expected whole numbers, one an image, not {given.dtype} of shape "
            f"{given.shape}"
        )
    if given.min() < 0 or given.max() >= classes:
        raise InputError(
            f"labels: from {given.min()} to {given.max()}, but there are {classes} classes, "
            f"0 to {classes - 1}"
        )
    if given.min() == given.max():
        raise InputError(
            f"labels: all {len(given)} images are of class {given[0]}; telling classes apart needs "
            "two at least"
        )
    targets = np.full((len(given), classes), -1 / classes)
    targets[np.arange(len(given)), given] += 1
    return targets


def _numbered(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
    """Turn names and one-hot rows into numbers of classes."""
    if labels.dtype == object and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(str)
    if labels.dtype.kind in "US" and labels.ndim == 1:
        names, numbers = np.unique(labels, return_inverse=True)
        if len(names) != classes:
            raise InputError(
                f"labels: {len(names)} different names, but there are {classes} classes; number "
                "the classes from 0 on"
            )
        return numbers
    if labels.dtype.kind not in "iufb" or not labels.size:
        return labels
    if labels.ndim == 2 and labels.shape[1] == classes > 1:
        if ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all():
            return np.asarray(labels.argmax(1))
        raise InputError(
            "labels: rows must have a single 1, the class, and 0 elsewhere; several classes an "
            "image are no classes to tell apart"
        )
    return labels
