"""Gradient flow in time: what an ensemble of infinitely wide networks predicts during training."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.linalg

from refntk.errors import InputError, unknown
from refntk.inference.definite import added, not_definite, working_copy
from refntk.inference.gaussian import variances_of
from refntk.inference.gram import as_cross, as_gram
from refntk.inference.regression import need_fit
from refntk.inference.targets import as_targets

__all__ = ["LOSSES", "GradientFlow"]

LOSSES = ("sum", "mean")

Float64Array = npt.NDArray[np.float64]

_NO_KERNEL = 1e-5
"""A negative eigenvalue beyond this part of the largest is more than rounding of float32."""

_UNDECIDED = 1e-3
"""Exponent up to which an eigenvalue that is all rounding does no harm."""


class GradientFlow:
    r"""Mean and covariance of the predictions of infinitely wide networks at any training time.

    The parameters :math:`\theta` start as independent standard normals and follow
    :math:`\dot\theta = -\eta \nabla_\theta L`. With ``loss="sum"`` the loss is
    :math:`L = \frac12 \sum_i |f(x_i) - y_i|^2`, with ``loss="mean"`` it is that divided by the
    number N of training images, which divides all times by N.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta`; only the product with the time matters.
    loss : {"sum", "mean"}
    diag_reg : float
        Added to the diagonal of the NTK of the training images, relative to its mean. The limit of
        infinite time is then `KernelRegression` with the same `diag_reg`.

    Attributes
    ----------
    eigenvalues : array of float64, shape (N,)
        Of the NTK of the training images with what was added; ascending; there after `fit`.

    Notes
    -----
    J. Lee et al., "Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient
    Descent", arXiv:1902.06720, eq. 14 to 16. With :math:`T = \Theta(X, X)` and
    :math:`A_t = \Theta(x, X) T^{-1} (I - e^{-\eta T t})`,

    .. math::
        \mu_t(x) &= A_t Y \\
        \Sigma_t(x, x') &= K_{xx'} + A_t K_{XX} A_t^T - (A_t K_{Xx'} + \text{transpose})

    from one eigendecomposition of T: the function of an eigenvalue w is
    :math:`(1 - e^{-\eta w t}) / w`, which is :math:`\eta t` at w = 0. A time costs a product of a
    matrix and a vector for the mean.

    Examples
    --------
    >>> k = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> flow = GradientFlow().fit(k, [1.0, -1.0])
    >>> [round(value, 6) for value in flow.mean([0, np.log(2), np.inf])[:, 0].tolist()]
    [0.0, 0.5, 1.0]
    """

    eigenvalues: Float64Array

    def __init__(
        self, *, learning_rate: float = 1.0, loss: str = "sum", diag_reg: float = 0.0
    ) -> None:
        self.learning_rate = learning_rate
        self.loss = loss
        self.diag_reg = diag_reg

    def fit(
        self,
        ntk_train_train: npt.ArrayLike,
        y: npt.ArrayLike,
        nngp_train_train: npt.ArrayLike | None = None,
    ) -> Self:
        """Decompose the NTK of the training images.

        Parameters
        ----------
        ntk_train_train : float array, shape (N, N)
        y : array of numbers, shape (N,) or (N, targets)
        nngp_train_train : float array, shape (N, N), optional
            For `covariance` and `variance`; the mean does not need it.

        Returns
        -------
        GradientFlow
            Itself.

        Raises
        ------
        InputError
            A kernel is not square, finite and symmetric; the targets do not fit; an option is
            wrong.
        NotPositiveDefiniteError
            The NTK has an eigenvalue that is more negative than rounding can make it.
        """
        if not (isinstance(self.learning_rate, int | float | np.number)
                and 0 < self.learning_rate < math.inf):  # fmt: skip
            raise InputError(
                f"learning_rate: expected a positive number, not {self.learning_rate!r}"
            )
        if self.loss not in LOSSES:
            raise InputError(unknown("loss", self.loss, LOSSES))
        kernel = as_gram(ntk_train_train, "ntk_train_train")
        targets = as_targets(y, len(kernel))
        prior = None
        if nngp_train_train is not None:
            prior = as_gram(nngp_train_train, "nngp_train_train")
            if prior.shape != kernel.shape:
                raise InputError(
                    f"nngp_train_train: {len(prior)} images, but ntk_train_train has {len(kernel)}"
                )
        self._addition = added(kernel, self.diag_reg)
        values, vectors = scipy.linalg.eigh(
            working_copy(kernel, self._addition), overwrite_a=True, check_finite=False
        )
        self.eigenvalues = np.asarray(values, np.float64)
        if self.eigenvalues[0] < -_NO_KERNEL * self.eigenvalues[-1]:
            raise not_definite(
                self.eigenvalues, self._addition, self.diag_reg, "ntk_train_train"
            )
        self._vectors: Float64Array = np.asarray(vectors, np.float64)
        self._modes = self._vectors.T @ targets
        # The NNGP between the modes of the NTK.
        self._half_prior: Float64Array | None = None
        if prior is not None:
            self._half_prior = self._vectors.T @ prior
            self._prior: Float64Array = np.diagonal(prior).astype(np.float64)
            self._mode_prior: Float64Array = self._half_prior @ self._vectors
        return self

    def mean(
        self, times: npt.ArrayLike, ntk_test_train: npt.ArrayLike | None = None
    ) -> Float64Array:
        """Mean prediction of the ensemble at training times.

        Parameters
        ----------
        times : float, or array of float, shape (T,)
            Zero, positive or infinite.
        ntk_test_train : float array, shape (M, N), optional
            NTK of other images, the rows, with the training images. Default: the training images.

        Returns
        -------
        array of float64, shape (T, M) or (T, M, targets)
            Without its first axis for a single time.

        Raises
        ------
        InputError
            There was no `fit`; a time is negative or NaN; the kernel does not fit.
        NotPositiveDefiniteError
            At one of the times rounding of the NTK decides the answer; a `diag_reg` helps.
        """
        need_fit(self, "eigenvalues")
        when = _times(times)
        growth = self._growth(when)
        modes = self._modes if self._modes.ndim == 2 else self._modes[:, None]
        # All times and targets are columns of one product.
        grown = (growth.T[:, :, None] * modes[:, None, :]).reshape(len(modes), -1)
        if ntk_test_train is None:
            values = self._vectors @ ((self.eigenvalues - self._addition)[:, None] * grown)
        else:
            kernel = as_cross(ntk_test_train, len(self._vectors), "ntk_test_train")
            values = kernel @ (self._vectors @ grown)
        result = values.reshape(len(values), len(when), -1).swapaxes(0, 1)
        if self._modes.ndim == 1:
            result = result[:, :, 0]
        return np.ascontiguousarray(result if np.ndim(times) else result[0], np.float64)

    def covariance(
        self,
        times: npt.ArrayLike,
        ntk_test_train: npt.ArrayLike | None = None,
        nngp_test_train: npt.ArrayLike | None = None,
        nngp_test_test: npt.ArrayLike | None = None,
    ) -> Float64Array:
        """Covariance of the predictions over the ensemble, the same for each target.

        Parameters
        ----------
        times : float, or array of float, shape (T,)
        ntk_test_train, nngp_test_train : float array, shape (M, N), optional
        nngp_test_test : float array, shape (M, M), optional
            All three, or none for the training images.

        Returns
        -------
        array of float64, shape (T, M, M)
            Exactly symmetric; without its first axis for a single time.

        Raises
        ------
        InputError
            As `mean`; `fit` got no NNGP; one or two of the kernels are given.
        NotPositiveDefiniteError
            As `mean`.
        """
        when, sides, cross = self._sides(times, ntk_test_train, nngp_test_train, nngp_test_test)
        if nngp_test_test is None:
            prior = self._vectors @ np.asarray(self._half_prior)
        else:
            prior = as_gram(nngp_test_test, "nngp_test_test").astype(np.float64)
            if len(prior) != len(sides):
                raise InputError(
                    f"nngp_test_test: {len(prior)} images, but ntk_test_train has {len(sides)} rows"
                )
        result = np.empty((len(when), *prior.shape))
        for number, growth in enumerate(self._growth(when)):
            grown = sides * growth
            moved = grown @ cross
            one = prior + grown @ self._mode_prior @ grown.T - moved - moved.T
            result[number] = (one + one.T) / 2
        return result if np.ndim(times) else result[0]

    def variance(
        self,
        times: npt.ArrayLike,
        ntk_test_train: npt.ArrayLike | None = None,
        nngp_test_train: npt.ArrayLike | None = None,
        nngp_test: npt.ArrayLike | None = None,
    ) -> Float64Array:
        """Variance of the predictions over the ensemble: the diagonal of `covariance`.

        Parameters
        ----------
        times, ntk_test_train, nngp_test_train
            As for `covariance`.
        nngp_test : float array, shape (M,), optional
            NNGP of each of these images with itself.

        Returns
        -------
        array of float64, shape (T, M)
            Not negative; without its first axis for a single time.

        Raises
        ------
        InputError, NotPositiveDefiniteError
            As `covariance`.
        """
        when, sides, cross = self._sides(times, ntk_test_train, nngp_test_train, nngp_test)
        prior = self._prior
        if nngp_test is not None:
            prior = variances_of(nngp_test, len(sides), "nngp_test")
        result = np.empty((len(when), len(sides)))
        for number, growth in enumerate(self._growth(when)):
            grown = sides * growth
            left = grown @ self._mode_prior - 2 * cross.T
            result[number] = prior + np.einsum("mn,mn->m", left, grown)
        # A variance that vanishes, as on the training images at infinite time, is rounding.
        np.maximum(result, 0, out=result)
        return result if np.ndim(times) else result[0]

    def latest(self) -> float:
        """Find a finite time at which all is learned that rounding allows to learn.

        Returns
        -------
        float
            Ten times the time of the slowest mode, or the last time at which modes that are all
            rounding do no harm.

        Raises
        ------
        InputError
            There was no `fit`.
        """
        need_fit(self, "eigenvalues")
        rate, rounding = self._rate(), self._rounding()
        if self.eigenvalues[0] <= rounding:
            return float(0.99 * _UNDECIDED / (rate * max(rounding, -self.eigenvalues[0])))
        return float(10 / (rate * self.eigenvalues[0]))

    def _rate(self) -> float:
        return self.learning_rate / (len(self.eigenvalues) if self.loss == "mean" else 1)

    def _rounding(self) -> float:
        """Eigenvalues below this cannot be told from zero."""
        return float(np.finfo(np.float64).eps * self.eigenvalues[-1])

    def _growth(self, times: Float64Array) -> Float64Array:
        """(1 - e^(-eta w t)) / w for each time and eigenvalue, shape (T, N)."""
        rate, rounding, values = self._rate(), self._rounding(), self.eigenvalues
        if values[0] <= rounding and len(times):
            with np.errstate(over="ignore"):
                exponent = rate * times.max() * max(rounding, -values[0])
            if exponent > _UNDECIDED:
                raise not_definite(
                    values, self._addition, self.diag_reg, f"ntk_train_train: at t={times.max():g}"
                )
        safe = np.where(values == 0, 1.0, values)
        with np.errstate(over="ignore", invalid="ignore"):
            growth = -np.expm1(-rate * times[:, None] * safe) / safe
            growth[:, values == 0] = rate * times[:, None]
        return growth

    def _sides(
        self, times: npt.ArrayLike, ntk: Any, nngp: Any, nngp_test: Any
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Return times, and both kernels of the images with the modes: (M, N) and (N, M)."""
        need_fit(self, "eigenvalues")
        if self._half_prior is None:
            raise InputError("GradientFlow: fit needs nngp_train_train for covariances")
        given = [kernel is not None for kernel in (ntk, nngp, nngp_test)]
        if any(given) and not all(given):
            raise InputError(
                "GradientFlow: give the NTK and both NNGP of other images, or none of them for the "
                "training images"
            )
        when = _times(times)
        if ntk is None:
            sides = self._vectors * (self.eigenvalues - self._addition)
            return when, sides, self._half_prior
        count = len(self._vectors)
        first = as_cross(ntk, count, "ntk_test_train")
        second = as_cross(nngp, count, "nngp_test_train")
        if first.shape != second.shape:
            raise InputError(
                f"nngp_test_train: {len(second)} rows, but ntk_test_train has {len(first)}"
            )
        return when, first @ self._vectors, self._vectors.T @ second.T


def _times(times: npt.ArrayLike) -> Float64Array:
    """Check times; return an array of them, also for a single one."""
    given = np.asarray(times)
    if given.dtype.kind not in "iuf" or given.ndim > 1:
        raise InputError(
            f"times: expected a number or a list of numbers, not {given.dtype} of shape "
            f"{given.shape}"
        )
    when = np.atleast_1d(given).astype(np.float64)
    wrong = when[~(when >= 0)]
    if wrong.size:
        raise InputError(
            f"times: {wrong[0]:g} is not a training time; they are zero, positive or infinite"
        )
    return when
