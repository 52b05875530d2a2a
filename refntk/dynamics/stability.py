"""Whether the augmented risk curves up or down beside the equivariant parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, eigsh

from refntk.dynamics.network import (
    EquivariantMlp,
    Weights,
    add,
    augmented_hessian,
    flatten,
    unflatten,
)

__all__ = ["beside", "lowest_curvature"]

_SEED = 20230323


def beside(network: EquivariantMlp, a: Weights, size: float, rng: np.random.Generator) -> Weights:
    """Move a point of E off E in a random direction.

    Parameters
    ----------
    network : EquivariantMlp
    a : Weights
    size : float
        Distance from E afterwards, relative to the norm of `a`.
    rng : numpy.random.Generator

    Returns
    -------
    Weights
        `a` plus a direction from the uniform distribution off E.
    """
    place = flatten(a)
    off = _off(network, rng.normal(size=place.shape), a)
    return unflatten(place + off * (size * np.linalg.norm(place) / np.linalg.norm(off)), a)


def lowest_curvature(
    network: EquivariantMlp,
    a: Weights,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    tolerance: float = 1e-3,
) -> tuple[float, Weights]:
    """Find the direction off E along which R_aug curves downwards most, or upwards least.

    On E the Hessian of R_aug does not mix E with its complement (Proposition 2 of
    arXiv:2303.13458). Its smallest eigenvalue on the complement comes from Lanczos iterations on
    some dozens of products with the Hessian, each of as many gradients as G has elements. Where it
    is negative, what is beside E leaves E under the augmented flow.

    Parameters
    ----------
    network : EquivariantMlp
        Of a group that can be listed.
    a : Weights
        A point of E.
    x, y : array of float64, shapes (B, d_0) and (B, d_L)
    tolerance : float
        Relative error of the eigenvalue.

    Returns
    -------
    curvature : float
    direction : Weights
        Of norm 1, orthogonal to E.
    """
    size = len(flatten(a))

    def across(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        moved = unflatten(_off(network, v.ravel(), a), a)
        return _off(network, flatten(augmented_hessian(network, a, moved, x, y)), a)

    start = _off(network, np.random.default_rng(_SEED).normal(size=size), a)
    start /= np.linalg.norm(start)
    # On E the operator is lifted above the smallest eigenvalue, which the start's curvature bounds.
    lift = 2 * float(np.linalg.norm(across(start)))

    def lifted(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return across(v) + lift * (v.ravel() - _off(network, v.ravel(), a))

    operator: Any = LinearOperator((size, size), matvec=lifted, dtype=np.float64)
    values, vectors = eigsh(operator, k=1, which="SA", tol=tolerance, v0=start)
    direction = _off(network, vectors[:, 0], a)
    return float(values[0]), unflatten(direction / np.linalg.norm(direction), a)


def _off(
    network: EquivariantMlp, v: npt.NDArray[np.floating[Any]], like: Weights
) -> npt.NDArray[np.float64]:
    """Project a vector of parameters on the complement of E."""
    shaped = unflatten(v, like)
    return np.asarray(flatten(add(shaped, network.project(shaped), -1.0)), np.float64)
