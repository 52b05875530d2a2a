"""Learning curves: the accuracy of kernel regression by the number of training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, NotPositiveDefiniteError, missing_package
from refntk.inference.gram import as_gram
from refntk.inference.regression import KernelRegression
from refntk.inference.splits import random_split
from refntk.inference.targets import class_targets

__all__ = ["LearningCurve", "learning_curve"]

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Accuracies of several networks on the same random divisions of the same images.

    Attributes
    ----------
    networks : tuple of str
        Names, in the order of the first axis below.
    sizes : tuple of int
        Numbers of training images, ascending.
    test : int
        Number of test images of each repeat.
    accuracies : array of float64, shape (networks, sizes, repeats)
        Share of the test images that were classified right, between 0 and 1. Repeat r of every
        network and size has the same test images, and smaller training sets lie inside larger ones.
    """

    networks: tuple[str, ...]
    sizes: tuple[int, ...]
    test: int
    accuracies: Float64Array

    @property
    def repeats(self) -> int:
        """Number of random divisions."""
        return int(self.accuracies.shape[2])

    def mean(self) -> Float64Array:
        """Return the mean accuracy over the repeats, shape (networks, sizes)."""
        return np.asarray(self.accuracies.mean(axis=2), np.float64)

    def standard_error(self) -> Float64Array:
        """Return the standard error of the mean over the repeats, shape (networks, sizes)."""
        return _standard_error(self.accuracies)

    def difference(self) -> tuple[Float64Array, Float64Array]:
        """Compare each network with the first one, repeat by repeat.

        Returns
        -------
        mean, standard_error : arrays of float64, shape (networks, sizes)
            Of the accuracy minus that of the first network on the same images. What makes a
            division easy or hard for both cancels. Row 0 is zero.
        """
        gaps = self.accuracies - self.accuracies[:1]
        return np.asarray(gaps.mean(axis=2), np.float64), _standard_error(gaps)

    def finding(self) -> str:
        """Say what the largest training sets show, in one sentence.

        Returns
        -------
        str
            Of one network its accuracy; of more the accuracy of the first one, and how far each
            other is from it, repeat by repeat. A difference of less than two of its standard errors
            is called none.
        """
        accuracies = [
            f"{name} {100 * mean[-1]:.1f} ± {100 * error[-1]:.1f} %"
            for name, mean, error in zip(
                self.networks, self.mean(), self.standard_error(), strict=True
            )
        ]
        told = [f"{self.sizes[-1]} training images: {', '.join(accuracies)} right"]
        gaps, errors = self.difference()
        for name, gap, error in zip(self.networks[1:], gaps[1:], errors[1:], strict=True):
            points = f"{100 * abs(gap[-1]):.1f} ± {100 * error[-1]:.1f} points, repeat by repeat"
            if abs(gap[-1]) <= 2 * error[-1]:
                told.append(f"{name} and {self.networks[0]} cannot be told apart ({points})")
            else:
                told.append(f"{name} is {'better' if gap[-1] > 0 else 'worse'} by {points}")
        return "; ".join(told)

    def rows(self) -> tuple[list[str], list[list[str | int | float]]]:
        """Write everything as a table, a row for each network and size.

        Returns
        -------
        header : list of str
        rows : list of list
            Network, training and test images, repeats, mean accuracy and standard error, mean
            difference from the first network and its standard error, and the accuracy of each
            repeat.
        """
        header = [
            "network", "train", "test", "repeats", "accuracy", "standard_error",
            "difference", "difference_standard_error",
            *(f"repeat_{number}" for number in range(self.repeats)),
        ]  # fmt: skip
        mean, error = self.mean(), self.standard_error()
        gap, gap_error = self.difference()
        rows: list[list[str | int | float]] = [
            [
                network, size, self.test, self.repeats,
                *(float(value[k, s]) for value in (mean, error, gap, gap_error)),
                *self.accuracies[k, s].tolist(),
            ]
            for k, network in enumerate(self.networks)
            for s, size in enumerate(self.sizes)
        ]  # fmt: skip
        return header, rows

    def to_pandas(self) -> Any:
        """Give the same table as a DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns as `rows` names them.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise missing_package("a DataFrame needs pandas", "pandas") from error
        header, rows = self.rows()
        return pandas.DataFrame(rows, columns=header)


def _standard_error(values: Float64Array) -> Float64Array:
    return np.asarray(values.std(axis=2, ddof=1) / np.sqrt(values.shape[2]), np.float64)


def learning_curve(
    kernels: Mapping[str, npt.ArrayLike],
    labels: npt.ArrayLike,
    *,
    classes: int,
    sizes: Sequence[int],
    test: int,
    repeats: int = 20,
    seed: int = 0,
    diag_reg: float = 0.0,
    progress: Callable[[int], None] = lambda done: None,
) -> LearningCurve:
    """Measure the accuracy of kernel regression by the number of training images.

    Every repeat draws `test` images, and from the rest nested training sets, with the classes in
    proportion. The targets are one-hot minus 1/c, the class with the largest prediction counts.

    Parameters
    ----------
    kernels : mapping of str to float array, shape (N, N)
        Gram matrices of all images by the name of the network.
    labels : array of int, shape (N,)
        Class of each image, 0 to `classes` - 1.
    classes : int
    sizes : sequence of int
        Numbers of training images.
    test : int
        Number of test images.
    repeats : int
        Number of random divisions, two at least.
    seed : int
        Division r comes from ``numpy.random.default_rng([seed, r])``: more repeats add to fewer.
    diag_reg : float
        As in `KernelRegression`.
    progress : callable, optional
        Called with the number of fits since the last call.

    Returns
    -------
    LearningCurve

    Raises
    ------
    InputError
        Nothing to compare; kernels and labels do not fit; more images are asked for than there are;
        a training set has one class only.
    NotPositiveDefiniteError
        A kernel needs a larger `diag_reg`; the message names it.
    """
    given = np.asarray(labels)
    class_targets(given, classes)  # refuses labels that are no classes
    wanted = _check_sizes(sizes, test, repeats, seed, len(given))
    if not kernels:
        raise InputError("kernels: expected one Gram matrix at least")
    grams = {name: as_gram(kernel, name) for name, kernel in kernels.items()}
    for name, gram in grams.items():
        if len(gram) != len(given):
            raise InputError(f"{name}: a kernel of {len(gram)} images, but {len(given)} labels")
    accuracies = np.empty((len(grams), len(wanted), repeats))
    for repeat in range(repeats):
        split = random_split(given, test, np.random.default_rng([seed, repeat]))
        for s, size in enumerate(wanted):
            train = split.train[:size]
            where = f"{size} training images, repeat {repeat}"
            try:
                targets = class_targets(given[train], classes)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            for k, (name, gram) in enumerate(grams.items()):
                model = KernelRegression(diag_reg)
                try:
                    model.fit(gram[np.ix_(train, train)], targets)
                except NotPositiveDefiniteError as error:
                    raise NotPositiveDefiniteError(
                        f"{name}, {where}: {error}",
                        error.smallest_eigenvalue,
                        error.condition,
                        error.diag_reg,
                    ) from None
                scores = model.predict(gram[np.ix_(split.test, train)])
                right = scores.argmax(axis=1) == given[split.test]
                accuracies[k, s, repeat] = right.mean()
                progress(1)
    return LearningCurve(tuple(grams), wanted, test, accuracies)


def _check_sizes(
    sizes: Sequence[int], test: int, repeats: int, seed: int, count: int
) -> tuple[int, ...]:
    """Check the numbers of images and repeats; return the sizes, ascending."""
    wanted = tuple(sorted(set(sizes)))
    if not wanted or wanted[0] < 2:
        raise InputError(f"train {list(sizes)}: expected numbers of images, 2 or more each")
    if test < 1:
        raise InputError(f"test {test}: expected a positive number of images")
    if wanted[-1] + test > count:
        raise InputError(
            f"train {wanted[-1]} and test {test}: need {wanted[-1] + test} images, but there are "
            f"{count}"
        )
    if repeats < 2:
        raise InputError(f"repeats {repeats}: expected 2 or more; one has no error bar")
    if seed < 0:
        raise InputError(f"seed {seed}: expected an integer that is not negative")
    return wanted
