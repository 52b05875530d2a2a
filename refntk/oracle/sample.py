"""Judge a big kernel matrix by computing a random sample of its entries again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from refntk.errors import InputError
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.evaluation.tiles import Tile
from refntk.network.network import Network

__all__ = ["CONFIDENCE", "MATRIX_TOLERANCES", "Matrix", "Sample", "judge_matrix"]

CONFIDENCE = 0.95

MATRIX_TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
"""Largest relative error that is right, by the precision of a matrix, where no other is given."""

_SAME_RATIO = 1e-3


class Matrix(Protocol):
    """A kernel matrix in memory or on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N1, N2)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the entries."""

    def __getitem__(self, place: tuple[int, int], /) -> Any:
        """One entry."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What a random sample says about a kernel matrix.

    Attributes
    ----------
    places : int array, shape (S, 2)
        Row and column of each entry, drawn independently and uniformly.
    given, exact : float64 array, shape (S,)
        The entries, and what they should be. Of a kernel of one set of images with itself, `given`
        is the worse of an entry and its mirror image.
    tolerance : float
        Relative error that counts as right.
    entries : int
        Size of the matrix.
    """

    places: npt.NDArray[np.int64]
    given: npt.NDArray[np.float64]
    exact: npt.NDArray[np.float64]
    tolerance: float
    entries: int

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Relative error of each entry; infinite where it is not a number."""
        return _relative(self.given, self.exact)

    @property
    def wrong(self) -> int:
        """Number of entries that are wrong."""
        return int(np.count_nonzero(self.errors > self.tolerance))

    @property
    def share(self) -> float:
        """Upper bound, of the confidence `CONFIDENCE`, of the share of wrong entries.

        That of Clopper and Pearson: for S entries, all right, 1 - 0.05^(1/S).
        """
        count, wrong = len(self.exact), self.wrong
        return 1.0 if wrong == count else float(betaincinv(wrong + 1, count - wrong, CONFIDENCE))

    @property
    def ratio(self) -> float | None:
        """The number by which all entries are too large, if all are wrong and wrong alike."""
        if self.wrong < len(self.exact) or not np.isfinite(self.errors).all():
            return None
        ratios = self.given / self.exact
        middle = float(np.median(ratios))
        alike = np.abs(ratios - middle) <= _SAME_RATIO * abs(middle)
        return middle if alike.all() else None

    def report(self) -> list[str]:
        """Write lines for a person: the largest error, its place, and what follows for the rest.

        Returns
        -------
        list of str
        """
        worst = int(np.argmax(self.errors))
        row, column = self.places[worst]
        count = len(self.exact)
        lines = [
            f"{count} of {self.entries} entries computed again",
            f"largest relative error {self.errors[worst]:.1e}, of entry ({row}, {column}): "
            f"{self.given[worst]:.9g}, exactly {self.exact[worst]:.9g}",
            f"{self.wrong} of {count} wrong by more than {self.tolerance:.0e}: with "
            f"{CONFIDENCE:.0%} confidence at most {self.share:.2%} of all entries are",
        ]
        if self.ratio is not None:
            lines.append(f"all of these entries are {self.ratio:.6g} times what they should be")
        return lines


def judge_matrix(
    net: Network,
    matrix: Matrix,
    x1: npt.NDArray[Any],
    x2: npt.NDArray[Any] | None = None,
    *,
    get: str = "ntk",
    count: int = 200,
    seed: int = 0,
    tolerance: float | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda entries: None,
) -> Sample:
    """Compute a random sample of the entries of a kernel matrix again, in double precision.

    Parameters
    ----------
    net : Network
    matrix : array-like, shape (N1, N2)
        It is read one entry at a time.
    x1, x2
        Images, as for `refntk.kernel`.
    get : {"nngp", "ntk"}
        Which kernel the matrix is.
    count : int
        Entries to draw.
    seed : int
        Seed of the draw.
    tolerance : float, optional
        Relative error that counts as right. Default: `MATRIX_TOLERANCES`.
    threads : int, optional
        As for `refntk.kernel`.
    progress : callable, optional
        Called with the number of entries computed since it was called last.

    Returns
    -------
    Sample

    Raises
    ------
    InputError
        The matrix does not have the shape of these images, or is not of float64 or float32.
    RefntkError
        Whatever `refntk.kernel` raises.

    Notes
    -----
    Entries are drawn independently, with replacement, so that the bound on the share of wrong ones
    holds wherever these are. A few wrong entries in a big matrix stay unseen.
    """
    rows, columns = len(x1), len(x1 if x2 is None else x2)
    if tuple(matrix.shape) != (rows, columns):
        raise InputError(
            f"the matrix has the shape {tuple(matrix.shape)}, but there are {rows} and {columns} "
            "images: expected one row an image of X1, one column an image of X2, or of X1 again"
        )
    if str(matrix.dtype) not in MATRIX_TOLERANCES:
        raise InputError(f"the matrix has the dtype {matrix.dtype}: expected float64 or float32")
    limit = MATRIX_TOLERANCES[str(matrix.dtype)] if tolerance is None else tolerance
    others = x1 if x2 is None else x2
    rng = np.random.default_rng(seed)
    places = np.stack([rng.integers(rows, size=count), rng.integers(columns, size=count)], axis=1)
    given, exact = np.empty(count), np.empty(count)
    for k, (i, j) in enumerate(places.tolist()):
        exact[k] = _entry(net, get, x1[i], others[j], x2 is None and i == j, threads)
        given[k] = matrix[i, j]
        if x2 is None:
            mirrored = np.array([given[k], matrix[j, i]], np.float64)
            given[k] = mirrored[np.argmax(_relative(mirrored, exact[k]))]
        progress(1)
    return Sample(places, given, exact, limit, rows * columns)


def _entry(
    net: Network,
    get: str,
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    same: bool,
    threads: int | None,
) -> float:
    job = Job(net, x[None], None if same else y[None], options=Options(get=get, threads=threads))
    return float(job.block(Tile(slice(0, 1), slice(0, 1)))[get][0, 0])


def _relative(given: npt.NDArray[np.float64], exact: Any) -> npt.NDArray[np.float64]:
    """Relative errors, infinite for what is not a number and for something in the place of 0."""
    difference = np.abs(given - exact)
    relative = np.where(difference > 0, np.inf, 0.0)
    np.divide(difference, np.abs(exact), out=relative, where=np.asarray(exact != 0))
    relative[~np.isfinite(given)] = np.inf
    return relative
