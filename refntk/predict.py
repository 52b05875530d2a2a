"""Predictions in the words of ``neural_tangents.predict``, by the classes of `refntk.inference`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, unknown
from refntk.inference.definite import added
from refntk.inference.flow import GradientFlow
from refntk.inference.gaussian import GaussianProcess
from refntk.inference.gram import as_gram
from refntk.inference.targets import as_targets

__all__ = ["Gaussian", "gradient_descent_mse_ensemble"]

FloatArray = npt.NDArray[np.floating[Any]]

_KERNELS = ("nngp", "ntk")


class Gaussian(NamedTuple):
    """Mean and covariance of an ensemble.

    Attributes
    ----------
    mean : array of float64, shape (..., M, targets)
    covariance : array of float64, shape (..., M, M)
        The same for each target.
    """

    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]


def gradient_descent_mse_ensemble(
    kernel_fn: Callable[..., Any],
    x_train: Any,
    y_train: npt.ArrayLike,
    learning_rate: float = 1.0,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Sequence[int] = (-1,),
    **options: Any,
) -> Callable[..., Any]:
    r"""Predict what infinitely wide networks do that are trained by gradient flow.

    The loss is the mean of squares over all N x targets numbers, divided by two.

    Parameters
    ----------
    kernel_fn : callable
        ``kernel_fn(x1, x2, get)``, as `refntk.stax` makes them.
    x_train : array, shape (N, H, W, C) or (N, F)
    y_train : array of numbers, shape (N, targets) or (N,)
    learning_rate : float
        Only its product with the time matters.
    diag_reg : float
        Added to the diagonal of the kernel of the training images, relative to its mean.
    diag_reg_absolute_scale : bool
        Whether it is added as it is.
    trace_axes : sequence of int
        The axis of the targets, (-1,), over which the kernel is constant.
    **options
        For `kernel_fn`.

    Returns
    -------
    callable
        ``predict_fn(t=None, x_test=None, get=None, compute_cov=False)``. At `t`, a number or an
        array of numbers, and None is infinity, it gives the mean for `x_test`, or a `Gaussian` with
        the covariance; by "nngp", where only the last layer is trained, or "ntk". For several
        words, by default both, it gives a named tuple. Without `x_test` it predicts for the
        training images, and as if what `diag_reg` adds were part of the kernel.

    Raises
    ------
    InputError
        Options, targets or times are not as above.
    NotPositiveDefiniteError
        By `predict_fn`: the kernel is not positive definite to the precision of the arithmetic.

    Notes
    -----
    As `refntk.inference.GradientFlow`, with times divided by the number of targets in all.
    For "nngp" with a `diag_reg` the covariance is the posterior's: the networks begin with noise of
    that variance on the training images.

    Examples
    --------
    >>> from refntk import stax
    >>> _, _, kernel_fn = stax.serial(stax.Dense(64), stax.Relu(), stax.Dense(1))
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> predict_fn = gradient_descent_mse_ensemble(kernel_fn, x, np.array([[1.0], [-1.0]]))
    >>> predict_fn(x_test=x, get="ntk").round(6).tolist()
    [[1.0], [-1.0]]
    """
    if tuple(trace_axes) not in ((-1,), (1,)):
        raise InputError(f"trace_axes: {tuple(trace_axes)}: only (-1,), the targets, is here")
    regularization = diag_reg, diag_reg_absolute_scale
    return _Ensemble(kernel_fn, x_train, y_train, learning_rate, regularization, options)


class _Ensemble:
    """What `gradient_descent_mse_ensemble` gives; kernels and factors are kept."""

    def __init__(
        self,
        kernel_fn: Callable[..., Any],
        x_train: Any,
        y_train: npt.ArrayLike,
        learning_rate: float,
        regularization: tuple[float, bool],
        options: dict[str, Any],
    ) -> None:
        self._kernel_fn = kernel_fn
        self._x = x_train
        self._y = as_targets(y_train, len(x_train), "y_train")
        self._rate = learning_rate / self._y.size
        self._diag_reg, self._absolute = regularization
        self._options = options
        self._kernels: dict[str, FloatArray] = {}
        self._posteriors: dict[str, GaussianProcess] = {}
        self._flows: dict[tuple[str, bool], GradientFlow] = {}

    def __call__(
        self,
        t: npt.ArrayLike | None = None,
        x_test: Any | None = None,
        get: str | Sequence[str] | None = None,
        compute_cov: bool = False,
        **options: Any,
    ) -> Any:
        """Predict; see `gradient_descent_mse_ensemble`."""
        words = _KERNELS if get is None else (get,) if isinstance(get, str) else tuple(get)
        for word in words:
            if word not in _KERNELS:
                raise InputError(f"get: {unknown('kernel', word, _KERNELS)}")
        test = None
        if x_test is not None:
            options = self._options | options
            needed = dict.fromkeys([*words, *(["nngp"] if compute_cov else [])])
            kernels = self._kernel_fn(x_test, self._x, tuple(needed), **options)
            test = {word: getattr(kernels, word) for word in needed}
            if compute_cov:
                test["prior"] = self._kernel_fn(x_test, None, "nngp", **options)
        found = [self._predict(word, t, test, compute_cov) for word in words]
        return found[0] if isinstance(get, str) else namedtuple("Gaussians", words)(*found)

    def _predict(self, word: str, t: Any, test: dict[str, Any] | None, spread: bool) -> Any:
        """Predict by one kernel."""
        if t is None and test is None:
            exact = np.zeros((len(self._y),) * 2)
            return Gaussian(self._y.copy(), exact) if spread else self._y.copy()
        if t is None and test is not None and (word == "nngp" or not spread):
            posterior = self._posterior(word)
            mean = posterior.predict(test[word])
            if not spread:
                return mean
            return Gaussian(mean, posterior.covariance(test["nngp"], test["prior"]))
        if test is None:
            begin = self._begin(word) if spread else None
            test = {"nngp": begin, "prior": begin, word: self._regularized(word)}
        times = np.asarray(np.inf if t is None else t)
        flow = self._flow(word, spread)
        mean = flow.mean(times.ravel(), test[word])
        mean = mean.reshape(*times.shape, *mean.shape[1:])
        if not spread:
            return mean
        covariance = flow.covariance(times.ravel(), test[word], test["nngp"], test["prior"])
        return Gaussian(mean, covariance.reshape(*times.shape, *covariance.shape[1:]))

    def _train(self, word: str) -> FloatArray:
        """Kernel of the training images."""
        if word not in self._kernels:
            kernel = self._kernel_fn(self._x, None, word, **self._options)
            self._kernels[word] = as_gram(kernel, word)
        return self._kernels[word]

    def _relative(self, word: str) -> float:
        """Say what is added to the diagonal, relative to its mean."""
        if not self._absolute:
            return self._diag_reg
        return self._diag_reg / float(np.diagonal(self._train(word)).mean(dtype=np.float64))

    def _regularized(self, word: str) -> FloatArray:
        """Kernel of the training images, with what is added to its diagonal."""
        kernel = self._train(word)
        return kernel + added(kernel, self._relative(word)) * np.eye(len(kernel))

    def _begin(self, word: str) -> FloatArray:
        """Covariance of the networks on the training images before they are trained."""
        return self._regularized("nngp") if word == "nngp" else self._train("nngp")

    def _posterior(self, word: str) -> GaussianProcess:
        if word not in self._posteriors:
            process = GaussianProcess(self._relative(word))
            self._posteriors[word] = process.fit(self._train(word), self._y)
        return self._posteriors[word]

    def _flow(self, word: str, spread: bool) -> GradientFlow:
        if (word, spread) not in self._flows:
            flow = GradientFlow(learning_rate=self._rate, diag_reg=self._relative(word))
            prior = self._begin(word) if spread else None
            self._flows[word, spread] = flow.fit(self._train(word), self._y, prior)
        return self._flows[word, spread]
