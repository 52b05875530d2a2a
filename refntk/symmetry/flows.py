r"""The Lie derivative of a predictor: how it changes under small motions of an image.

For a flow :math:`\varphi_t` that moves images by :math:`\rho_1` and outputs by :math:`\rho_2`,

.. math:: L_Y f(x) = \frac{d}{dt}\Big|_0 \rho_2(\varphi_t)^{-1} f(\rho_1(\varphi_t) x),

zero for all x exactly where f is equivariant under the flow. The derivative is a central difference
at three steps h, h/2 and h/4, extrapolated (L. F. Richardson, 1911):

.. math:: R_j = \frac{4 D_{j+1} - D_j}{3}, \qquad D_j = \frac{F(h_j) - F(-h_j)}{2 h_j}.

The value is :math:`R_1`, the estimate of its discretisation error :math:`\|R_1 - R_0\|`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from refntk.errors import InputError, unknown
from refntk.evaluation.images import as_images
from refntk.symmetry.measures import FloatArray, Predictor, norms, predict, root_mean_square

__all__ = ["FLOWS", "Flow", "LieDerivative", "lie_derivative"]

FLOWS: dict[str, str] = {
    "translate-x": "pixel",
    "translate-y": "pixel",
    "rotate": "radian",
    "scale": "e-fold",
}
"""The flows by name, and the unit of t in each."""

_INTERPOLATIONS = ("fourier", "spline")
_Border = Literal["mirror", "grid-wrap"]


@dataclass(frozen=True)
class Flow:
    """A one-parameter group of motions of an image about its centre.

    Parameters
    ----------
    kind : {"translate-x", "translate-y", "rotate", "scale"}
        To the right or down by t pixels; anticlockwise, as seen with y downwards, by t radians;
        larger by the factor e^t.
    interpolation : {"fourier", "spline"}, optional
        ``fourier`` shifts the trigonometric polynomial through the pixels, for translations only
        and their default: periodic, and exactly a group but for the highest frequency of an even
        side. ``spline`` is the interpolating cubic spline, periodic for translations and mirrored
        at the centres of the outer pixels otherwise: twice differentiable in t, and a group up to
        interpolation only.

    Raises
    ------
    InputError
        There is no such flow or interpolation.
    """

    kind: str
    interpolation: str = ""

    def __post_init__(self) -> None:
        """Check the arguments and fill in the default."""
        if self.kind not in FLOWS:
            raise InputError(unknown("flow", self.kind, FLOWS))
        translates = self.kind.startswith("translate")
        if not self.interpolation:
            object.__setattr__(self, "interpolation", "fourier" if translates else "spline")
        if self.interpolation not in _INTERPOLATIONS:
            raise InputError(unknown("interpolation", self.interpolation, _INTERPOLATIONS))
        if self.interpolation == "fourier" and not translates:
            raise InputError(f"interpolation: fourier translates, and cannot {self.kind}")

    @property
    def unit(self) -> str:
        """Unit of t."""
        return FLOWS[self.kind]

    def reach(self, height: int, width: int) -> float:
        """Tell by how many pixels a border moves per unit of t."""
        return 1.0 if self.kind.startswith("translate") else max(height, width, 2) / 2

    def move(self, images: npt.ArrayLike, t: float) -> FloatArray:
        """Move images, (ρ(φ_t) x)(s) = x(φ₋ₜ s).

        Parameters
        ----------
        images : array of integer or real float, shape (N, H, W, C)
        t : float

        Returns
        -------
        array of float64 of the same shape

        Raises
        ------
        InputError
            Not images.
        """
        x = as_images(images, "images").astype(np.float64, copy=False)
        if self.interpolation == "fourier":
            return _fourier_shift(x, t, 2 if self.kind == "translate-x" else 1)
        matrix, shift = np.eye(2), np.zeros(2)
        mode: _Border = "mirror"
        if self.kind == "rotate":
            matrix = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
        elif self.kind == "scale":
            matrix = np.exp(-t) * matrix
        else:
            shift[1 if self.kind == "translate-x" else 0], mode = -t, "grid-wrap"
        return _spline(x, matrix, shift, mode)


def _fourier_shift(x: FloatArray, t: float, axis: int) -> FloatArray:
    side = x.shape[axis]
    phase = np.exp(-2j * np.pi * t * np.fft.rfftfreq(side))
    shape = [1] * x.ndim
    shape[axis] = len(phase)
    # Of the highest frequency of an even side, irfft keeps the real part: its cosine.
    turned = np.fft.rfft(x, axis=axis) * phase.reshape(shape)
    return np.asarray(np.fft.irfft(turned, n=side, axis=axis))


def _spline(x: FloatArray, matrix: FloatArray, shift: FloatArray, mode: _Border) -> FloatArray:
    """Sample the cubic spline of each channel at matrix (s - centre) + centre + shift."""
    middle = (np.array(x.shape[1:3]) - 1) / 2
    coefficients = x
    for axis in (1, 2):
        coefficients = scipy.ndimage.spline_filter1d(coefficients, 3, axis=axis, mode=mode)
    moved = np.empty_like(x)
    for image, out in zip(coefficients, moved, strict=True):
        for channel in range(x.shape[3]):
            out[:, :, channel] = scipy.ndimage.affine_transform(
                image[:, :, channel], matrix, middle - matrix @ middle + shift,
                order=3, mode=mode, prefilter=False,
            )  # fmt: skip
    return moved


@dataclass(frozen=True, eq=False)
class LieDerivative:
    """How fast a predictor changes along a flow, for each image.

    Attributes
    ----------
    values : array of float64, shape (N, ...)
        The derivative of the outputs, per unit of t.
    errors : array of float64, shape (N,)
        Estimated discretisation error of the norm of each.
    size : float
        Root mean square over the images of the norm of f(x), for comparison.
    """

    values: FloatArray
    errors: FloatArray
    size: float

    @property
    def norms(self) -> FloatArray:
        """Euclidean norm of the derivative for each image, shape (N,)."""
        return norms(self.values)

    @property
    def worst(self) -> float:
        """Largest norm."""
        return float(self.norms.max())

    @property
    def mean(self) -> float:
        """Mean norm over the images."""
        return float(self.norms.mean())

    @property
    def where(self) -> int:
        """Image of the largest norm."""
        return int(np.argmax(self.norms))


def lie_derivative(
    predictor: Predictor,
    images: npt.ArrayLike,
    flow: Flow,
    *,
    step: float = 0.25,
    outputs: Callable[[FloatArray, float], Any] | None = None,
) -> LieDerivative:
    """Differentiate a predictor along a flow.

    Parameters
    ----------
    predictor : callable
        From images (N, H, W, C) to outputs (N, ...).
    images : array of integer or real float, shape (N, H, W, C)
    flow : Flow
    step : float
        h, in pixels at the border of the image.
    outputs : callable, optional
        rho_2: from outputs (N, ...) and t to the outputs moved by phi_t. Default: they do not move.

    Returns
    -------
    LieDerivative

    Raises
    ------
    InputError
        Not images; a step that is not positive; the predictor returns no finite numbers of one
        shape, N rows.
    """
    x = as_images(images, "images").astype(np.float64, copy=False)
    if not 0 < step < np.inf:
        raise InputError(f"step: expected a positive number of pixels, not {step!r}")
    still = predict(predictor, x)

    def at(t: float) -> FloatArray:
        moved = predict(predictor, flow.move(x, t), still.shape)
        return moved if outputs is None else np.asarray(outputs(moved, -t), np.float64)

    steps = [step / flow.reach(*x.shape[1:3]) / 2**j for j in range(3)]
    differences = [(at(h) - at(-h)) / (2 * h) for h in steps]
    coarse, fine = ((4 * b - a) / 3 for a, b in zip(differences, differences[1:], strict=False))
    return LieDerivative(fine, norms(fine - coarse), root_mean_square(still))
