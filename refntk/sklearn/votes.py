"""From means and variances of independent outputs to the probability that each is the largest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

__all__ = ["largest_output"]

Float64Array = npt.NDArray[np.float64]

# The integrand below has the width of a standard normal, whatever the means are: the trapezoidal
# rule with this step is right to 1e-15, though not relative to probabilities smaller than that.
_NODES = np.linspace(-9.0, 9.0, 181)
_WEIGHTS = np.exp(-(_NODES**2) / 2) * (_NODES[1] - _NODES[0]) / np.sqrt(2 * np.pi)


def largest_output(mean: Float64Array, variance: Float64Array) -> Float64Array:
    r"""Probability of each of several independent Gaussian outputs to be the largest.

    Parameters
    ----------
    mean : array of float64, shape (M, c)
        Means of c outputs.
    variance : array of float64, shape (M,)
        Variance that the outputs of a sample share; zero or positive.

    Returns
    -------
    array of float64, shape (M, c)
        :math:`p_k = \int \varphi(z) \prod_{l \ne k} \Phi(z + (\mu_k - \mu_l)/\sigma) \, dz`, with
        the density and the distribution function of the standard normal. Rows sum to 1. Without
        variance all falls to the largest mean, in equal parts to equal ones.

    Examples
    --------
    >>> largest_output(np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([1.0, 0.0])).round(6).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    deviation = np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))[:, None]
    result = np.empty(mean.shape)
    for k in range(mean.shape[1]):
        with np.errstate(over="ignore"):
            ahead = (mean[:, k : k + 1] - np.delete(mean, k, axis=1)) / deviation
        below = log_ndtr(_NODES[:, None, None] + ahead).sum(axis=2)
        result[:, k] = _WEIGHTS @ np.exp(below)
    total: Float64Array = result.sum(axis=1, keepdims=True)
    return result / total
