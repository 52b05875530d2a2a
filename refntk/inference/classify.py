"""Classes predicted from kernels, with scores and the table of what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, unknown
from refntk.inference.regression import KernelRegression
from refntk.inference.targets import class_targets

__all__ = ["Classification", "class_list", "classify", "renumber"]

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Classification:
    """What was predicted for images, and what they are where that is known.

    Attributes
    ----------
    class_names : tuple of str
        Name of class 0, 1, ...
    scores : array of float64, shape (M, classes)
        Predicted targets; those of training images are one-hot minus 1/c.
    predicted : array of int64, shape (M,)
        The class with the largest score.
    labels : array of int64, shape (M,), or None
        The true classes.
    """

    class_names: tuple[str, ...]
    scores: Float64Array
    predicted: IntArray
    labels: IntArray | None

    @property
    def accuracy(self) -> float | None:
        """Share of the images whose class was found, or None where the classes are not known."""
        return None if self.labels is None else float((self.predicted == self.labels).mean())

    @property
    def confusion(self) -> IntArray | None:
        """Numbers of images by true class, the rows, and predicted class, the columns."""
        if self.labels is None:
            return None
        table = np.zeros((len(self.class_names),) * 2, np.int64)
        np.add.at(table, (self.labels, self.predicted), 1)
        return table


def class_list(labels: IntArray, names: Sequence[str] | None) -> tuple[str, ...]:
    """Name the classes of training images.

    Parameters
    ----------
    labels : array of int, shape (N,)
    names : sequence of str, or None
        Name of class 0, 1, ..., where known.

    Returns
    -------
    tuple of str
        The names, or ``"0"``, ``"1"``, ... up to the largest label.

    Raises
    ------
    InputError
        A label has no name, or is negative.
    """
    if labels.min() < 0 or (names is not None and labels.max() >= len(names)):
        known = "they count from 0" if names is None else f"there are {len(names)} class names"
        raise InputError(f"labels: from {labels.min()} to {labels.max()}, but {known}")
    return tuple(map(str, range(int(labels.max()) + 1))) if names is None else tuple(names)


def renumber(
    labels: IntArray, names: Sequence[str] | None, known: Sequence[str], source: str
) -> IntArray:
    """Express the classes of test images by the numbers that the training images give them.

    Parameters
    ----------
    labels : array of int, shape (M,)
    names : sequence of str, or None
        Name of class 0, 1, ... of these labels; None: the numbers are the names.
    known : sequence of str
        Classes of the training images, of `class_list`.
    source : str
        What messages call the test images.

    Returns
    -------
    array of int64, shape (M,)

    Raises
    ------
    InputError
        A class that the training images do not know.
    """
    own = class_list(labels, names)
    # Unnamed classes on one side can only be matched by their numbers.
    unnamed = names is None or tuple(known) == tuple(map(str, range(len(known))))
    numbers = {name: number for number, name in enumerate(known)}
    if unnamed:
        if labels.max() >= len(known):
            raise InputError(f"{source}: {unknown('class', str(labels.max()), known)}")
        return labels.astype(np.int64)
    for label in np.unique(labels):
        if own[label] not in numbers:
            raise InputError(f"{source}: {unknown('class', own[label], known)}")
    return np.array([numbers[own[label]] for label in labels], np.int64)


def classify(
    k_train_train: npt.ArrayLike,
    labels: npt.ArrayLike,
    k_test_train: npt.ArrayLike,
    *,
    class_names: Sequence[str],
    test_labels: npt.ArrayLike | None = None,
    diag_reg: float = 0.0,
) -> Classification:
    """Predict classes by kernel regression on one-hot targets minus 1/c.

    Parameters
    ----------
    k_train_train : float array, shape (N, N)
    labels : array of int, shape (N,)
        Classes of the training images, 0 to c - 1.
    k_test_train : float array, shape (M, N)
    class_names : sequence of str
        Names of the c classes.
    test_labels : array of int, shape (M,), optional
        True classes of the test images.
    diag_reg : float
        As in `KernelRegression`.

    Returns
    -------
    Classification

    Raises
    ------
    InputError
        Kernels, labels and names do not fit each other; there is one class only.
    NotPositiveDefiniteError
        The kernel needs a `diag_reg`, which the message names.
    """
    targets = class_targets(labels, len(class_names))
    scores = KernelRegression(diag_reg).fit(k_train_train, targets).predict(k_test_train)
    true = None
    if test_labels is not None:
        true = np.asarray(test_labels).astype(np.int64)
        if true.shape != (len(scores),):
            raise InputError(
                f"test_labels: expected {len(scores)}, one a test image, not shape {true.shape}"
            )
        if true.size and not 0 <= true.min() <= true.max() < len(class_names):
            raise InputError(
                f"test_labels: from {true.min()} to {true.max()}, but there are "
                f"{len(class_names)} classes"
            )
    return Classification(
        tuple(class_names), scores, scores.argmax(axis=1).astype(np.int64), true
    )
