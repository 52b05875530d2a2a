"""Kernel regression without a factorisation, for kernels that stay on disk.

The matrix is only ever multiplied, in bands of rows, with a block of vectors: one for each target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.linalg

from refntk.errors import ConvergenceError, InputError, NotPositiveDefiniteError
from refntk.inference.banded import BandedMatrix
from refntk.inference.definite import added_to
from refntk.inference.gram import ASYMMETRY
from refntk.inference.nystrom import Nystrom
from refntk.inference.regression import KernelRegression
from refntk.inference.targets import as_noise, as_targets

__all__ = ["IterativeRegression", "SolveReport"]

Float64Array = npt.NDArray[np.float64]

_RANK = 500


@dataclass(frozen=True, eq=False)
class SolveReport:
    """How well an iterative solution solves the system, and what it cost.

    Attributes
    ----------
    residuals : array of float64, shape (targets,)
        Norm of Y - (K + lambda I) X over that of Y for each target, computed from the solution and
        not from the recursion.
    iterations : int
        Of conjugate gradients.
    passes : int
        How often the matrix was read: iterations, checks and preconditioner together.
    rank : int
        Of the preconditioner.
    """

    residuals: Float64Array
    iterations: int
    passes: int
    rank: int

    def __str__(self) -> str:
        return (
            f"largest relative residual {self.residuals.max():.2g} after {self.iterations} "
            f"iterations and {self.passes} passes over the matrix, preconditioner of rank "
            f"{self.rank}"
        )


class IterativeRegression(KernelRegression):
    """Kernel regression by conjugate gradients, for a matrix that stays on disk.

    Parameters
    ----------
    diag_reg : float
        As in `KernelRegression`.
    rank : int
        Number of images, drawn at random, whose columns make the preconditioner; N times that many
        numbers are kept in memory.
    tolerance : float
        Relative residual at which to stop.
    max_iterations : int
        At most so many iterations; each reads the matrix once.
    seed : int
        Of the choice of images.

    Attributes
    ----------
    coefficients, addition
        As in `KernelRegression`.
    report : SolveReport
        There after `fit`.

    Notes
    -----
    Block conjugate gradients, all targets in one Krylov space, with an orthogonal basis of the
    residuals: algorithm BCGrQ of A. A. Dubrulle, "Retooling the method of block conjugate
    gradients", ETNA 12 (2001), 216-233. Targets may depend on each other linearly.

    Examples
    --------
    >>> k = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> model = IterativeRegression().fit(k, [1.0, -1.0])
    >>> [round(value, 6) for value in model.predict(k).tolist()]
    [1.0, -1.0]
    """

    report: SolveReport

    def __init__(
        self,
        diag_reg: float = 0.0,
        *,
        rank: int = _RANK,
        tolerance: float = 1e-10,
        max_iterations: int = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__(diag_reg)
        self.rank = rank
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.seed = seed

    def fit(
        self, k_train_train: Any, y: npt.ArrayLike, noise: npt.ArrayLike | None = None
    ) -> Self:
        """Solve for the coefficients.

        Parameters
        ----------
        k_train_train : Rows, shape (N, N)
            Kernel of the training images with themselves: an HDF5 dataset, a memory map, an array.
        y : array of numbers, shape (N,) or (N, targets)
        noise : array of numbers, shape (N,), optional
            As for `KernelRegression.fit`.

        Returns
        -------
        IterativeRegression
            Itself.

        Raises
        ------
        InputError
            The kernel is not square, finite and symmetric; targets or noise do not fit it; an
            option is out of range.
        NotPositiveDefiniteError
            A direction was met along which the kernel is not positive.
        ConvergenceError
            The tolerance was not reached; the message says how far it came.
        """
        self._check_options()
        shape, kind = tuple(k_train_train.shape), np.dtype(k_train_train.dtype)
        if len(shape) != 2 or shape[0] != shape[1] or not shape[0] or kind.kind not in "iuf":
            raise InputError(
                f"k_train_train: expected a square Gram matrix, of one set of images with itself, "
                f"not {kind} of shape {shape}"
            )
        targets = as_targets(y, shape[0])
        right = targets.reshape(len(targets), -1)
        own = np.zeros(shape[0]) if noise is None else as_noise(noise, shape[0])
        matrix = BandedMatrix(k_train_train)
        preconditioner = self._survey(matrix, kind, own)
        solution, iterations, residuals = self._iterate(matrix, preconditioner, right)
        self.report = SolveReport(residuals, iterations, matrix.passes, preconditioner.rank)
        self.coefficients = solution.reshape(targets.shape)
        return self

    def _check_options(self) -> None:
        for name in ("rank", "max_iterations"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"{name}: expected a positive whole number, not {value!r}")
        if not (isinstance(self.tolerance, float) and 0 < self.tolerance < 1):
            raise InputError(
                f"tolerance: expected a number between 0 and 1, not {self.tolerance!r}"
            )

    def _survey(
        self, matrix: BandedMatrix, kind: np.dtype[Any], noise: Float64Array
    ) -> Nystrom:
        """Read the matrix once: check it, find what to add, and take columns from it."""
        count = matrix.shape[0]
        rng = np.random.default_rng(self.seed)
        chosen = np.sort(rng.choice(count, min(self.rank, count), replace=False))
        probes, moved = rng.normal(size=(count, 2)), np.empty((count, 2))
        columns, diagonal = np.empty((count, len(chosen))), np.empty(count)
        largest = 0.0

        def look(rows: slice, band: Float64Array) -> None:
            nonlocal largest
            if not np.isfinite(band).all():
                i, j = np.argwhere(~np.isfinite(band))[0]
                raise InputError(
                    f"k_train_train: entry ({rows.start + i}, {j}) is NaN or infinite; compute the "
                    "kernel again, or leave that image out"
                )
            largest = max(largest, float(np.abs(band).max()))
            columns[rows] = band[:, chosen]
            diagonal[rows] = np.diagonal(band[:, rows])
            moved[rows] = band @ probes

        matrix.visit(look)
        # x' K y = y' K x for random x and y; the two differ by N times the size of an asymmetry.
        gap = abs(probes[:, 0] @ moved[:, 1] - probes[:, 1] @ moved[:, 0])
        if gap > ASYMMETRY.get(kind.name, ASYMMETRY["float64"]) * count * largest:
            raise InputError(
                "k_train_train: is not symmetric, as a Gram matrix is; give (k + k.T) / 2 if that "
                "is rounding"
            )
        self._mean = float(diagonal.mean())
        self.addition = added_to(self._mean, self.diag_reg)
        matrix.addition = self.addition + noise
        return Nystrom(columns, chosen, self.addition + float(noise.mean()))

    def _iterate(
        self, matrix: BandedMatrix, preconditioner: Nystrom, right: Float64Array
    ) -> tuple[Float64Array, int, Float64Array]:
        """Solve from zero, and again for what is left, until the true residual is small."""
        norms = np.linalg.norm(right, axis=0)
        norms[norms == 0] = 1
        solution, left = np.zeros_like(right), right
        iterations, reached = 0, np.inf
        while True:
            step, done = self._gradients(matrix, preconditioner, left, norms, iterations)
            solution, iterations = solution + step, iterations + done
            left = right - matrix.multiply(solution)
            residuals = np.linalg.norm(left, axis=0) / norms
            if residuals.max() <= self.tolerance:
                return solution, iterations, np.asarray(residuals, np.float64)
            if iterations >= self.max_iterations or residuals.max() > reached / 2:
                raise ConvergenceError(
                    f"k_train_train: after {iterations} iterations the relative residual is "
                    f"{residuals.max():.2g}, above the tolerance {self.tolerance:.2g}; a larger "
                    "rank, diag_reg, tolerance or max_iterations helps"
                )
            reached = residuals.max()

    def _gradients(
        self,
        matrix: BandedMatrix,
        preconditioner: Nystrom,
        right: Float64Array,
        norms: Float64Array,
        before: int,
    ) -> tuple[Float64Array, int]:
        """Run block conjugate gradients until the residual of the recursion is small.

        All is in the variables in which the preconditioner is the identity: residuals are Q C with
        Q orthonormal.
        """
        basis, size = np.linalg.qr(preconditioner.multiply_root(right, -1))
        search, solution = basis, np.zeros_like(right)
        done = 0
        while done < self.max_iterations - before:
            done += 1
            along = preconditioner.multiply_root(search, -1)
            moved = preconditioner.multiply_root(matrix.multiply(along), -1)
            curvature = search.T @ moved
            curvature = (curvature + curvature.T) / 2
            try:
                factor = scipy.linalg.cho_factor(curvature)
            except np.linalg.LinAlgError:
                raise self._not_definite(curvature, along) from None
            solution += search @ scipy.linalg.cho_solve(factor, size)
            inverse = scipy.linalg.cho_solve(factor, np.eye(len(curvature)))
            basis, change = np.linalg.qr(basis - moved @ inverse)
            size = change @ size
            search = basis + search @ change.T
            left = preconditioner.multiply_root(basis @ size, 1)
            # A little below, so that the true residual passes as well.
            if (np.linalg.norm(left, axis=0) <= 0.5 * self.tolerance * norms).all():
                break
        return preconditioner.multiply_root(solution, -1), done

    def _not_definite(
        self, curvature: Float64Array, along: Float64Array
    ) -> NotPositiveDefiniteError:
        """Word the error about a direction along which the kernel is not positive."""
        vector = along @ np.linalg.eigh(curvature)[1][:, 0]
        quotient = float(np.linalg.eigvalsh(curvature)[0] / (vector @ vector))
        given = f"with diag_reg={self.diag_reg:g} " if self.diag_reg else ""
        return NotPositiveDefiniteError(
            f"k_train_train: {given}is not positive definite: an eigenvalue is {quotient:.3g} or "
            "less; a larger diag_reg is needed (equal images, and rounding in float32, make "
            "kernels singular)",
            smallest_eigenvalue=quotient,
            diag_reg=self.diag_reg - 2 * quotient / self._mean,
        )
