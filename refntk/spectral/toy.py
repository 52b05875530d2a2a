"""The toy of the spectral theory: two circles of points under a Gaussian kernel, where it is exact.

A. Perin, S. Deny, arXiv:2412.11521, section 3.2, Figures 2 and 3; several points that are missing
are those of appendix A.1, which has formulas and no figure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.spectral.leave_out import leave_out_errors, missing_errors
from refntk.spectral.theory import (
    causes,
    circulant_spectrum,
    circularize,
    missing_errors_spectral,
)

__all__ = ["circle_kernel", "several_missing", "toy_measures", "toy_rows"]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]


def toy_rows(diag_reg: float) -> list[Row]:
    """Sweep the points on each circle of the theory's toy, and the separation of the circles.

    Parameters
    ----------
    diag_reg : float

    Returns
    -------
    list of dict
        ``panel`` ("points", "separation" or "missing"), ``x``, and what
        `toy_measures` gives: N = 4 ... 48 with Δ = 1, L = 1.4, and
        Δ = 0.1 ... 3 with N = 6, L = 0.85; and `several_missing` for 1 ... 15 neighbouring poses of
        16, Δ = 1, L = 1.4, where there is a nugget.
    """
    points = [
        {"panel": "points", "x": n} | toy_measures(n, 1.0, 1.4, diag_reg) for n in range(4, 49, 2)
    ]
    distances = [round(0.1 * k, 1) for k in range(1, 31)]
    apart = [
        {"panel": "separation", "x": d} | toy_measures(6, d, 0.85, diag_reg) for d in distances
    ]
    circles, most = circle_kernel(16, 1.0, 1.4), 15 if diag_reg else 0
    return points + apart + [
        {"panel": "missing", "x": count} | several_missing(circles, count, diag_reg)
        for count in range(1, most + 1)
    ]


def toy_measures(poses: int, separation: float, scale: float, diag_reg: float) -> Row:
    """Two circles of points under a Gaussian kernel: the theory's toy.

    Parameters
    ----------
    poses : int
        N, points on each circle; one is turned against the other by half a step.
    separation : float
        Distance of the planes of the two circles, of radius 1.
    scale : float
        L of the kernel exp(-L² |x - x'|²).
    diag_reg : float

    Returns
    -------
    dict
        ``exact``, ``spectral``, ``separation_part`` and ``density_part`` of the ratio.

    Raises
    ------
    InputError
        N is below 2, or the kernel is singular and there is no nugget.

    Examples
    --------
    >>> row = toy_measures(6, separation=1.0, scale=0.85, diag_reg=0.0)
    >>> round(row["exact"], 8), round(row["spectral"], 8)
    (0.39760077, 0.39760077)
    """
    kernel = circle_kernel(poses, separation, scale)
    targets = 1.0 - 2.0 * (np.arange(2 * poses) % 2)
    errors = leave_out_errors(kernel, targets, diag_reg) * targets
    spectrum = circulant_spectrum(circularize(kernel)[0])
    top, mean = causes(spectrum, diag_reg)
    return {
        "exact": float(errors.mean()),
        "spectral": top / mean,
        "separation_part": top,
        "density_part": mean,
    }


def circle_kernel(poses: int, separation: float, scale: float) -> FloatArray:
    """Gram matrix of the points of `toy_measures`, one circle and the other in turn.

    Parameters
    ----------
    poses, separation, scale
        As for `toy_measures`.

    Returns
    -------
    array of float64, shape (2N, 2N)
        Circulant.

    Raises
    ------
    InputError
        N is below 2.
    """
    if poses < 2:
        raise InputError(f"N = {poses} points on a circle: expected at least 2")
    k = np.arange(2 * poses)
    angle = np.pi * k / poses
    points = np.stack([np.cos(angle), np.sin(angle), separation / 2 * (1.0 - 2 * (k % 2))])
    square = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=0)
    return np.asarray(np.exp(-(scale**2) * square), np.float64)


def several_missing(kernel: FloatArray, count: int, diag_reg: float) -> Row:
    """Leave out neighbouring poses of one of two interleaved orbits (appendix A.1).

    Parameters
    ----------
    kernel : array of float, shape (2N, 2N)
        Circulant, as of `circle_kernel`.
    count : int
        Number of poses that are left out, below N.
    diag_reg : float
        Nugget, above 0 where the kernel is singular.

    Returns
    -------
    dict
        ``exact`` and ``spectral`` (eq. 59-61), means of the errors of these poses;
        ``separation_part`` and ``density_part``, those of eq. 7, for one.

    Raises
    ------
    InputError
        As `refntk.spectral.missing_errors`.
    """
    out = 2 * np.arange(count)
    targets = 1.0 - 2.0 * (np.arange(len(kernel)) % 2)
    exact = missing_errors(kernel, targets, out.tolist(), diag_reg)
    spectrum = circulant_spectrum(circularize(kernel)[0])
    top, mean = causes(spectrum, diag_reg)
    return {
        "exact": float(exact.mean()),
        "spectral": float(missing_errors_spectral(spectrum, out.tolist(), diag_reg).mean()),
        "separation_part": top,
        "density_part": mean,
    }
