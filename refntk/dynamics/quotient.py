r"""Steepest descent and Newton's method where a symmetry makes a valley of the minimum.

The function f(x) = (‖x‖² - 1)²/4 of the plane does not change under rotations. On the quotient, the
half line of radii, it is φ(r) = (r² - 1)²/4 with one minimum that is not degenerate; in the plane
the minimum is a circle, along which the Hessian has the eigenvalue φ'(r)/r, which goes to zero.

- Steepest descent is the same in both (Y. Shen, Y. Zhang, I. Dinov, slides on invariance, after
  N. Boumal, "An Introduction to Optimization on Smooth Manifolds"): the gradient is radial.
- So is Newton's method in exact arithmetic, since the radial direction is an eigenvector of the
  Hessian. But what errs in the gradient along the circle is divided by φ'(r)/r: an error that would
  not be seen moves x along its orbit as far as it likes, the more the nearer the minimum is.
- Conjugate gradients on Newton's equation that stop at directions without curvature do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["conjugate_gradient", "curvature", "gradient", "quotient_rows"]

FloatArray = npt.NDArray[np.float64]

_FLAT = 1e-6  # of the largest curvature: directions of less are left alone


def gradient(x: npt.ArrayLike) -> FloatArray:
    """Give ∇f(x) = (‖x‖² - 1) x.

    Parameters
    ----------
    x : array of float, shape (n,)
        In one dimension, a radius.

    Returns
    -------
    array of float64, shape (n,)
    """
    point = np.asarray(x, np.float64)
    return (point @ point - 1) * point


def curvature(x: npt.ArrayLike) -> FloatArray:
    """Give the Hessian of f, (‖x‖² - 1) 1 + 2 x xᵀ.

    Parameters
    ----------
    x : array of float, shape (n,)

    Returns
    -------
    array of float64, shape (n, n)
    """
    point = np.asarray(x, np.float64)
    return (point @ point - 1) * np.eye(len(point)) + 2 * np.outer(point, point)


def conjugate_gradient(matrix: FloatArray, b: FloatArray) -> FloatArray:
    """Solve a symmetric system in the directions that have a curvature.

    Parameters
    ----------
    matrix : array of float64, shape (n, n)
    b : array of float64, shape (n,)

    Returns
    -------
    array of float64, shape (n,)
        The sum of steps along conjugate directions, up to one along which the matrix is below 1e-6
        of its norm.
    """
    x, residual = np.zeros_like(b), b
    direction, flat = residual, _FLAT * np.linalg.norm(matrix, 2)
    for _ in range(len(b)):
        square, bend = residual @ residual, direction @ matrix @ direction
        if bend <= flat * (direction @ direction):
            break
        step = square / bend
        x, residual = x + step * direction, residual - step * matrix @ direction
        direction = residual + (residual @ residual) / square * direction
    return x


def quotient_rows(
    start: Sequence[float] = (1.3, 0.4), steps: int = 8, error: float = 1e-8, rate: float = 0.3
) -> Iterator[dict[str, Any]]:
    """Go down from one point in the plane, and from its radius on the quotient.

    Parameters
    ----------
    start : (float, float)
    steps : int
    error : float
        Length of what is added to the gradient along the circle, in the second half of the rows.
    rate : float
        Of steepest descent.

    Yields
    ------
    dict
        For the methods ``descent``, ``newton`` and ``cg`` (Newton's equation by
        `conjugate_gradient`), without and with the error: ``method``, ``error``, ``step``;
        ``radius`` and ``angle`` in degrees in the plane; ``quotient``, the radius by the same
        method on the quotient; ``condition`` of the Hessian in the plane.
    """
    moves: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
        "descent": lambda h, g: rate * g,
        "newton": lambda h, g: np.asarray(np.linalg.solve(h, g), np.float64),
        "cg": conjugate_gradient,
    }  # fmt: skip
    for wrong in (0.0, error):
        for method, move in moves.items():
            x = np.array(start, np.float64)
            r = np.array([np.hypot(*x)])
            for step in range(steps + 1):
                hessian = curvature(x)
                values = np.abs(np.linalg.eigvalsh(hessian))
                yield {
                    "method": method, "error": wrong, "step": step,
                    "radius": float(np.hypot(*x)), "angle": float(np.degrees(np.arctan2(*x[::-1]))),
                    "quotient": float(r[0]),
                    "condition": float(values.max() / max(values.min(), np.finfo(float).tiny)),
                }  # fmt: skip
                along = np.array([-x[1], x[0]]) / np.hypot(*x)
                if (values > 0).all() or method != "newton":
                    x = x - move(hessian, gradient(x) + wrong * along)
                r = r - move(curvature(r), gradient(r))
