"""The posterior of a Gaussian process: what infinitely wide networks are before any training."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack, solve_triangular

from refntk.errors import InputError
from refntk.inference.gram import as_cross, as_gram
from refntk.inference.regression import KernelRegression, need_fit

__all__ = ["GaussianProcess", "variances_of"]

Float64Array = npt.NDArray[np.float64]


class GaussianProcess(KernelRegression):
    r"""Posterior of a Gaussian process with the NNGP as its prior covariance.

    The mean is that of `KernelRegression`. The targets are independent of each other and share one
    covariance, because the outputs of an infinitely wide network do.

    Parameters
    ----------
    diag_reg : float
        Variance :math:`\lambda` of the noise of the targets, relative to the mean of the diagonal,
        tr K / N. 0 means targets without noise.

    Attributes
    ----------
    coefficients : array of float64, shape of y
        :math:`(K + \lambda I)^{-1} Y`; there after `fit`.
    addition : float
        :math:`\lambda`; there after `fit`.

    Notes
    -----
    Formulas of C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine Learning",
    MIT Press 2006: 2.23 to 2.24 and 2.30, and 5.10 to 5.12 for what is left out.

    Examples
    --------
    >>> k = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> process = GaussianProcess().fit(k, [1.0, -1.0])
    >>> [round(value, 6) + 0.0 for value in process.variance(k, [2.0, 2.0]).tolist()]
    [0.0, 0.0]
    """

    def _keep(self, factor: Float64Array, targets: Float64Array) -> None:
        super()._keep(factor, targets)
        self._factor = factor
        self._targets = targets

    def covariance(self, k_test_train: npt.ArrayLike, k_test_test: npt.ArrayLike) -> Float64Array:
        r"""Covariance of the function values, without the noise of targets, at other images.

        Parameters
        ----------
        k_test_train : float array, shape (M, N)
        k_test_test : float array, shape (M, M)

        Returns
        -------
        array of float64, shape (M, M)
            :math:`K_{xx'} - K_{xX} (K + \lambda I)^{-1} K_{Xx'}`, exactly symmetric.

        Raises
        ------
        InputError
            There was no `fit`, or a kernel has the wrong shape, is not finite or not symmetric.
        """
        half = self._half(k_test_train)
        prior = as_gram(k_test_test, "k_test_test")
        if len(prior) != half.shape[1]:
            raise InputError(
                f"k_test_test: {len(prior)} images, but k_test_train has {half.shape[1]} rows"
            )
        posterior: Float64Array = prior - half.T @ half
        return (posterior + posterior.T) / 2

    def variance(self, k_test_train: npt.ArrayLike, k_test: npt.ArrayLike) -> Float64Array:
        """Variance of the function values at other images: the diagonal of `covariance`.

        Parameters
        ----------
        k_test_train : float array, shape (M, N)
        k_test : float array, shape (M,)
            Kernel of each of these images with itself.

        Returns
        -------
        array of float64, shape (M,)

        Raises
        ------
        InputError
            As `covariance`.
        """
        half = self._half(k_test_train)
        prior = variances_of(k_test, half.shape[1], "k_test")
        return np.asarray(prior - np.einsum("nm,nm->m", half, half), np.float64)

    def _half(self, k_test_train: npt.ArrayLike) -> Float64Array:
        """L^-1 K_Xx, shape (N, M)."""
        need_fit(self, "coefficients")
        kernel = as_cross(k_test_train, len(self._factor), "k_test_train")
        wide = kernel.T.astype(np.float64)
        half = solve_triangular(
            self._factor, wide, lower=True, overwrite_b=True, check_finite=False
        )
        return np.asarray(half, np.float64)

    def log_marginal_likelihood(self) -> float | Float64Array:
        r"""Logarithm of the density of the targets under the prior and the noise.

        Returns
        -------
        float, or array of float64 of shape (targets,)
            :math:`-\frac12 y^T (K + \lambda I)^{-1} y - \sum_i \log L_{ii} - \frac N2 \log 2\pi`,
            a number for each column of the targets. Targets are independent: add them up.

        Raises
        ------
        InputError
            There was no `fit`.
        """
        need_fit(self, "coefficients")
        fit = (self._targets * self.coefficients).sum(axis=0)
        volume = np.log(np.diagonal(self._factor)).sum()
        result = -fit / 2 - volume - len(self._factor) / 2 * math.log(2 * math.pi)
        return float(result) if np.ndim(result) == 0 else np.asarray(result, np.float64)

    def leave_one_out(self) -> tuple[Float64Array, Float64Array]:
        r"""Predict the target of each training image from all others, without fitting again.

        Returns
        -------
        mean : array of float64, shape of y
            :math:`y_i - [C^{-1}y]_i / [C^{-1}]_{ii}` with :math:`C = K + \lambda I`.
        variance : array of float64, shape (N,)
            :math:`1 / [C^{-1}]_{ii}`, of the target, so with its noise.

        Raises
        ------
        InputError
            There was no `fit`.

        Notes
        -----
        The addition is the one of `fit`, of all N images. Needs one more matrix while it runs.
        """
        need_fit(self, "coefficients")
        inverse, info = lapack.dpotri(self._factor, lower=1)
        assert info == 0  # the diagonal of a Cholesky factor is positive
        variance = 1 / np.diagonal(inverse).astype(np.float64)
        scale = variance if self.coefficients.ndim == 1 else variance[:, None]
        return self._targets - self.coefficients * scale, variance


def variances_of(diagonal: npt.ArrayLike, count: int, name: str) -> Float64Array:
    """Check the kernel of each image with itself.

    Parameters
    ----------
    diagonal : float array, shape (M,)
    count : int
        M, the number of images.
    name : str
        What messages call it.

    Returns
    -------
    array of float64, shape (M,)

    Raises
    ------
    InputError
        Another shape, not finite, or negative.
    """
    values = np.asarray(diagonal)
    if values.dtype.kind not in "iuf" or values.shape != (count,):
        raise InputError(
            f"{name}: expected the kernel of each of {count} images with itself, "
            f"not {values.dtype} of shape {values.shape}"
        )
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise InputError(f"{name}: the kernel of an image with itself is never negative or NaN")
    return values.astype(np.float64)
