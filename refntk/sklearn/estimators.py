"""Regressor and classifier in the manner of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from refntk.errors import InputError, unknown
from refntk.evaluation.evaluate import KERNELS
from refntk.inference import GaussianProcess, KernelRegression, class_targets
from refntk.inference.definite import added_to
from refntk.network.network import Network
from refntk.sklearn.batches import as_batch, cross, gram, resolve, self_kernels
from refntk.sklearn.votes import largest_output

__all__ = ["NTKClassifier", "NTKRegressor"]

_PRECOMPUTED = "precomputed"


class _KernelEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What regressor and classifier share: parameters, kernels, the fitted model."""

    def __init__(
        self,
        network: Network | str = "mlp-1",
        *,
        get: str = "ntk",
        diag_reg: float = 1e-4,
        image_shape: tuple[int, ...] | None = None,
        dtype: str = "float64",
        backend: str = "numba",
        threads: int | None = None,
    ) -> None:
        self.network = network
        self.get = get
        self.diag_reg = diag_reg
        self.image_shape = image_shape
        self.dtype = dtype
        self.backend = backend
        self.threads = threads

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that rows and columns of a kernel matrix go together."""
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self._precomputed
        return tags

    @property
    def _precomputed(self) -> bool:
        return isinstance(self.network, str) and self.network == _PRECOMPUTED

    @property
    def _options(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "backend": self.backend, "threads": self.threads}

    def _learn(
        self, x: npt.NDArray[Any], targets: npt.NDArray[Any], weights: npt.NDArray[Any] | None
    ) -> None:
        """Fit a model to validated samples."""
        if self.get not in KERNELS:
            raise InputError(unknown("kernel", self.get, KERNELS))
        if self._precomputed:
            if x.ndim != 2 or x.shape[0] != x.shape[1]:
                raise InputError(
                    f"X: network={_PRECOMPUTED!r} takes the square kernel matrix of the training "
                    f"samples, not shape {x.shape}; scikit-learn cuts the columns of a matrix only "
                    "where it sees this estimator itself, not inside of TransformedTargetRegressor:"
                    " to centre targets use NTKRegressor(center_y=True)"
                )
            matrix = x
        else:
            self.network_ = resolve(self.network)
            self.X_fit_ = as_batch(x, self.image_shape, self.network_)
            matrix = gram(self.network_, self.X_fit_, self.get, **self._options)
        model = GaussianProcess if self.get == "nngp" else KernelRegression
        self.model_: Any
        self._counted: Any = slice(None)
        if weights is None:
            self.model_ = model(self.diag_reg).fit(matrix, targets)
            return
        # What has no weight is as if it were not there.
        self._counted = counted = np.flatnonzero(weights)
        matrix, weights = matrix[np.ix_(counted, counted)], weights[counted]
        mean = float(np.average(np.diagonal(matrix), weights=weights))
        noise = added_to(mean, self.diag_reg) / weights
        self.model_ = model().fit(matrix, targets[counted], noise)

    def _weights(self, x: npt.NDArray[Any], given: Any) -> npt.NDArray[np.float64] | None:
        """Check the weights of samples."""
        if given is None:
            return None
        weights = np.asarray(
            _check_sample_weight(given, x, dtype=np.float64, ensure_non_negative=True), np.float64
        )
        if not weights.any():
            raise InputError("sample_weight: all are 0; a fit needs a sample that counts")
        return weights

    def _samples(self, X: Any) -> npt.NDArray[Any]:
        """Validate samples to predict; images, or rows of a kernel matrix."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, allow_nd=True)
        return x if self._precomputed else as_batch(x, self.image_shape, self.network_)

    def _kernel(self, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Kernel of samples with the training samples that count, (M, N)."""
        if self._precomputed:
            return samples[:, self._counted]
        if samples.shape[1:] != self.X_fit_.shape[1:]:
            raise InputError(
                f"X: its images have the shape {samples.shape[1:]}, those of fit "
                f"{self.X_fit_.shape[1:]}"
            )
        training = self.X_fit_[self._counted]
        return cross(self.network_, samples, training, self.get, **self._options)

    def _outputs(self, X: Any) -> npt.NDArray[np.float64]:
        """Mean predictions, (M,) or (M, targets)."""
        samples = self._samples(X)
        return np.asarray(self.model_.predict(self._kernel(samples)), np.float64)

    def _posterior(self, X: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean (M,) or (M, targets), and variance (M,), of the Gaussian process."""
        if self._precomputed:
            raise InputError(
                f"network={_PRECOMPUTED!r}: a variance needs the kernel of each sample with "
                "itself, which the matrix does not hold; use refntk.inference.GaussianProcess"
            )
        samples = self._samples(X)
        matrix = self._kernel(samples)
        own = self_kernels(self.network_, samples, self.get, **self._options)
        return self.model_.predict(matrix), np.maximum(self.model_.variance(matrix, own), 0)


class NTKRegressor(RegressorMixin, _KernelEstimator):  # type: ignore[misc]
    r"""Regression with an infinitely wide network.

    With ``get="ntk"`` it predicts the mean of an ensemble of such networks after training by
    gradient flow on squared error for infinite time; with ``get="nngp"`` the mean of the posterior
    of the Gaussian process that the untrained networks are.

    Parameters
    ----------
    network : Network or str, default "mlp-1"
        A network, the name of a preset, the path of a TOML file, or ``"precomputed"``: X is then a
        kernel matrix, (N, N) for `fit` and (M, N) for `predict`.
    get : {"ntk", "nngp"}
    diag_reg : float, default 1e-4
        Added to the diagonal of the kernel of the training samples, relative to its mean; 0 adds
        nothing.
    image_shape : (H, W, C) or (H, W), optional
        X is a table, and its rows hold the pixels of images of this shape, channels last.
    center_y : bool, default False
        Fit the targets less their mean, which predictions get back: for targets far from 0, which
        the prior mean of the networks is.
    dtype, backend, threads
        As for `refntk.kernel`.

    Attributes
    ----------
    network_ : Network
    X_fit_ : array, shape (N, H, W, C)
        The training samples as images; a table without `image_shape` gives images of one pixel.
    model_ : KernelRegression or GaussianProcess
        Of `refntk.inference`.
    y_mean_ : float or array of float64, shape (targets,)
        What was taken off the targets; 0 without `center_y`.
    n_features_in_ : int
        Columns of a table, or the height of images.

    Notes
    -----
    X is a table (N, features) or images (N, H, W, C). Integer images are divided by the largest
    value of their type, as everywhere in refntk: give pixels from 0 to 255 as uint8.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = NTKRegressor(diag_reg=1e-9).fit(X, [0.0, 1.0, 2.0, 1.0])
    >>> model.predict(X).round(3).tolist()
    [0.0, 1.0, 2.0, 1.0]
    """

    def __init__(
        self,
        network: Network | str = "mlp-1",
        *,
        get: str = "ntk",
        diag_reg: float = 1e-4,
        image_shape: tuple[int, ...] | None = None,
        center_y: bool = False,
        dtype: str = "float64",
        backend: str = "numba",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            network, get=get, diag_reg=diag_reg, image_shape=image_shape,
            dtype=dtype, backend=backend, threads=threads,
        )  # fmt: skip
        self.center_y = center_y

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Compute the kernel of the training samples and solve for the coefficients.

        Parameters
        ----------
        X : array, shape (N, features) or (N, H, W, C)
        y : array of numbers, shape (N,) or (N, targets)
        sample_weight : array of numbers, shape (N,), optional
            What `diag_reg` adds is divided by the weight of each sample: a weight of 2 counts as
            the sample twice, 0 as none, and 1/s² suits noise of variance s². Without a
            `diag_reg` a weight above 0 changes nothing.

        Returns
        -------
        NTKRegressor
            Itself.

        Raises
        ------
        InputError, NetworkError, ShapeError
            A parameter is wrong, or network and samples do not fit.
        NotPositiveDefiniteError
            The kernel is singular to rounding; the message names a `diag_reg` that will do.
        """
        x, targets = validate_data(
            self, X, y, allow_nd=True, multi_output=True, y_numeric=True
        )
        targets = np.asarray(targets, np.float64)
        weights = self._weights(x, sample_weight)
        self.y_mean_ = np.average(targets, axis=0, weights=weights) if self.center_y else 0.0
        self._learn(x, targets - self.y_mean_, weights)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the targets of samples.

        Parameters
        ----------
        X : array, shape (M, features) or (M, H, W, C)
        return_std : bool, default False
            Also the standard deviation of the posterior, without the noise of targets.

        Returns
        -------
        mean : array of float64, shape (M,) or (M, targets)
        std : array of float64, the same shape
            Where it is asked for.

        Raises
        ------
        InputError
            The samples do not fit those of `fit`; a standard deviation is asked for without
            ``get="nngp"``.
        """
        if not return_std:
            return self._outputs(X) + self.y_mean_
        check_is_fitted(self)
        if self.get != "nngp":
            raise InputError('return_std: only the Gaussian process has one; use get="nngp"')
        mean, variance = self._posterior(X)
        deviation = np.sqrt(variance)
        if mean.ndim == 2:
            deviation = np.repeat(deviation[:, None], mean.shape[1], axis=1)
        return mean + self.y_mean_, deviation

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that there can be several targets."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _has_posterior(estimator: NTKClassifier) -> bool:
    return estimator.get == "nngp"


class NTKClassifier(ClassifierMixin, _KernelEstimator):  # type: ignore[misc]
    r"""Classification with an infinitely wide network: regression on one-hot targets minus 1/c.

    The class with the largest output is predicted. With ``get="nngp"`` there is `predict_proba`:
    outputs of the posterior are independent Gaussians, and the probability of a class is that of
    its output to be the largest.

    Parameters
    ----------
    network, get, diag_reg, image_shape, dtype, backend, threads
        As for `NTKRegressor`.

    Attributes
    ----------
    classes_ : array, shape (c,)
        The labels, sorted.
    network_, X_fit_, model_, n_features_in_
        As for `NTKRegressor`.

    Notes
    -----
    The targets are those of P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent
    Kernels", arXiv:2406.06504, section 5.2.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = NTKClassifier(get="nngp").fit(X, ["low", "low", "high", "high"])
    >>> model.predict([[0.4], [2.6]]).tolist()
    ['low', 'high']
    >>> model.predict_proba([[0.4], [2.6]]).shape
    (2, 2)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Compute the kernel of the training samples and solve for the coefficients.

        Parameters
        ----------
        X : array, shape (N, features) or (N, H, W, C)
        y : array of labels, shape (N,)
            Of two classes at least.
        sample_weight : array of numbers, shape (N,), optional
            As for `NTKRegressor.fit`.

        Returns
        -------
        NTKClassifier
            Itself.

        Raises
        ------
        InputError, NetworkError, ShapeError, NotPositiveDefiniteError
            As `NTKRegressor.fit`, or all labels are the same.
        """
        x, labels = validate_data(self, X, y, allow_nd=True)
        check_classification_targets(labels)
        self.classes_, classes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            (only,) = self.classes_.tolist()
            raise InputError(f"y: there is only 1 class, {only!r}; telling classes apart needs two")
        targets = class_targets(classes, len(self.classes_))
        self._learn(x, targets, self._weights(x, sample_weight))
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """Give the outputs of the network.

        Parameters
        ----------
        X : array, shape (M, features) or (M, H, W, C)

        Returns
        -------
        array of float64, shape (M, c), or (M,) for two classes
            Mean outputs in the order of `classes_`; for two classes the second minus the first.

        Raises
        ------
        InputError
            The samples do not fit those of `fit`.
        """
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict the label of samples: that of the largest output.

        Parameters
        ----------
        X : array, shape (M, features) or (M, H, W, C)

        Returns
        -------
        array of labels, shape (M,)

        Raises
        ------
        InputError
            The samples do not fit those of `fit`.
        """
        best = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    @available_if(_has_posterior)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probability of each class to have the largest output, over networks of the posterior.

        Parameters
        ----------
        X : array, shape (M, features) or (M, H, W, C)

        Returns
        -------
        array of float64, shape (M, c)
            In the order of `classes_`. It says how sure the Gaussian process is of its largest
            output, and is not calibrated to frequencies.

        Raises
        ------
        InputError
            The samples do not fit those of `fit`, or the kernel was precomputed.
        """
        return largest_output(*self._posterior(X))
