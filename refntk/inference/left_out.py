"""What an ensemble predicts for one image during its training on all others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.inference.flow import GradientFlow
from refntk.inference.gram import as_gram
from refntk.inference.targets import class_targets

__all__ = ["LeftOut", "left_out"]

Float64Array = npt.NDArray[np.float64]

_POINTS = 200


class LeftOut(NamedTuple):
    """Scores of one image along the training time.

    Attributes
    ----------
    times : array of float64, shape (T,)
        In units of 1 / learning rate, for the loss that is summed over the training images; from
        before the fastest mode moves until after the slowest, or as far as rounding allows.
    mean : array of float64, shape (T, classes)
    variance : array of float64, shape (T,)
        Over the ensemble; the same for each class.
    """

    times: Float64Array
    mean: Float64Array
    variance: Float64Array


def left_out(
    nngp: npt.ArrayLike,
    ntk: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    classes: int,
    image: int,
    diag_reg: float = 0.0,
) -> LeftOut:
    """Follow the scores of one image while the ensemble learns all others.

    Parameters
    ----------
    nngp, ntk : float array, shape (N, N)
        Kernels of all images.
    labels : array of int, shape (N,)
        Class of each image, 0 to `classes` - 1.
    classes : int
    image : int
        The image that is left out.
    diag_reg : float
        As in `GradientFlow`.

    Returns
    -------
    LeftOut

    Raises
    ------
    InputError
        Kernels and labels do not fit; there is no such image; the others are of one class only.
    NotPositiveDefiniteError
        The NTK has an eigenvalue that is more negative than rounding can make it.
    """
    prior, tangent = as_gram(nngp, "nngp"), as_gram(ntk, "ntk")
    given = np.asarray(labels)
    if not prior.shape == tangent.shape == (len(given),) * 2:
        raise InputError(
            f"kernels of shape {prior.shape} and {tangent.shape} do not fit {len(given)} labels"
        )
    if not 0 <= image < len(given):
        raise InputError(f"image {image}: there are {len(given)}, from 0 to {len(given) - 1}")
    rest = np.delete(np.arange(len(given)), image)
    flow = GradientFlow(diag_reg=diag_reg)
    flow.fit(
        tangent[np.ix_(rest, rest)], class_targets(given[rest], classes), prior[np.ix_(rest, rest)]
    )
    times = np.geomspace(0.01 / flow.eigenvalues[-1], flow.latest(), _POINTS)
    row, own = np.ix_(np.array([image]), rest), prior[image : image + 1, image]
    mean = flow.mean(times, tangent[row])[:, 0]
    variance = flow.variance(times, tangent[row], prior[row], own)[:, 0]
    return LeftOut(times, mean, variance)
