"""Kernel regression: what an ensemble of infinitely wide networks predicts after training."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from refntk.errors import InputError
from refntk.inference.definite import added, cholesky
from refntk.inference.gram import as_cross, as_gram
from refntk.inference.targets import as_noise, as_targets

__all__ = ["KernelRegression", "need_fit", "solve"]

Float64Array = npt.NDArray[np.float64]


class KernelRegression:
    r"""Regression with a kernel, by one Cholesky factorisation in float64.

    With the NTK, :math:`f(x) = \Theta(x, X) (\Theta(X, X) + \lambda I)^{-1} Y` with
    :math:`\lambda = 0` is the mean prediction of infinitely wide networks trained by gradient flow
    on squared error for infinite time; with the NNGP it is the mean of the posterior.

    Parameters
    ----------
    diag_reg : float
        :math:`\lambda` relative to the mean of the diagonal, tr K / N: adding 1e-4 means adding one
        ten-thousandth of it. 0 adds nothing.

    Attributes
    ----------
    coefficients : array of float64, shape of y
        :math:`(K + \lambda I)^{-1} Y`; there after `fit`.
    addition : float
        :math:`\lambda`; there after `fit`.

    Notes
    -----
    P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504,
    eq. 70. Memory: the kernel that is given and one copy of it in float64. A matrix that is not
    positive definite is an error; nothing is ever added that was not asked for.

    Examples
    --------
    >>> k = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> model = KernelRegression().fit(k, [1.0, -1.0])
    >>> [round(value, 6) for value in model.predict(k).tolist()]
    [1.0, -1.0]
    """

    coefficients: Float64Array
    addition: float

    def __init__(self, diag_reg: float = 0.0) -> None:
        self.diag_reg = diag_reg

    def fit(
        self,
        k_train_train: npt.ArrayLike,
        y: npt.ArrayLike,
        noise: npt.ArrayLike | None = None,
    ) -> Self:
        """Factor the kernel of the training images and solve for the coefficients.

        Parameters
        ----------
        k_train_train : float array, shape (N, N)
            Kernel of the training images with themselves; not written to.
        y : array of numbers, shape (N,) or (N, targets)
            Targets; `class_targets` makes them of classes.
        noise : array of numbers, shape (N,), optional
            Variance of the noise of each training target, zero or positive, added to the diagonal
            as it is, and to what `diag_reg` adds.

        Returns
        -------
        KernelRegression
            Itself.

        Raises
        ------
        InputError
            The kernel is not square, finite and symmetric; targets or noise do not fit it;
            `diag_reg` is negative.
        NotPositiveDefiniteError
            The factorisation failed. The error names the smallest eigenvalue, the condition number
            and a `diag_reg` that will do.
        """
        kernel = as_gram(k_train_train, "k_train_train")
        targets = as_targets(y, len(kernel))
        own = None if noise is None else as_noise(noise, len(kernel))
        factor = cholesky(kernel, self.diag_reg, "k_train_train", own)
        self.addition = added(kernel, self.diag_reg)
        self._keep(factor, targets)
        return self

    def _keep(self, factor: Float64Array, targets: Float64Array) -> None:
        """Solve for the coefficients; the factor itself is needed no more."""
        self.coefficients = solve(factor, targets)

    def predict(self, k_test_train: npt.ArrayLike) -> Float64Array:
        """Predict for other images.

        Parameters
        ----------
        k_test_train : float array, shape (M, N)
            Kernel of these images, the rows, with the training images, the columns.

        Returns
        -------
        array of float64, shape (M,) or (M, targets)
            The mean prediction.

        Raises
        ------
        InputError
            There was no `fit`, or the kernel has another number of columns or is not finite.
        """
        need_fit(self, "coefficients")
        kernel = as_cross(k_test_train, len(self.coefficients), "k_test_train")
        return np.asarray(kernel @ self.coefficients, np.float64)


def solve(factor: Float64Array, right: Float64Array) -> Float64Array:
    """Solve L L^T x = b for x, of the shape of b, (N,) or (N, k); b is not written to."""
    solution, info = lapack.dpotrs(factor, right, lower=1)
    assert info == 0  # only an argument of a wrong shape makes it another number
    return np.asarray(solution, np.float64).reshape(right.shape)


def need_fit(model: Any, attribute: str) -> None:
    """Refuse to predict before `fit`.

    Parameters
    ----------
    model : object
    attribute : str
        What `fit` sets.

    Raises
    ------
    InputError
        It is not there.
    """
    if not hasattr(model, attribute):
        raise InputError(f"{type(model).__name__}: call fit before asking for predictions")
