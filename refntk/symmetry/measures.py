r"""How symmetric a predictor is: its largest and mean error over a finite group, and where.

A predictor f from images to outputs is :math:`\varepsilon`-approximately equivariant under a group
that acts on images by :math:`\rho_X` and on outputs by :math:`\rho_Y` where

.. math:: \|f(\rho_X(g) x) - \rho_Y(g) f(x)\| \le \varepsilon \quad\text{for all } g, x.

With :math:`\rho_Y` the identity, f is approximately invariant. A predictor is any function from an
array of N images, shape (N, H, W, C), to an array whose first axis has the length N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, unknown
from refntk.evaluation.images import as_images
from refntk.network.layers import Kind
from refntk.ops.groups import PointGroup, point_group, rotate
from refntk.symmetry.orbits import CyclicAction, sweep

__all__ = [
    "Action",
    "Predictor",
    "SymmetryError",
    "cyclic_action",
    "error_floor",
    "group_action",
    "norms",
    "point_action",
    "predict",
    "root_mean_square",
    "symmetry_error",
    "turn_features",
]

FloatArray = npt.NDArray[np.float64]
Predictor = Callable[[FloatArray], Any]
"""From images (N, H, W, C) to outputs (N, ...), real numbers."""


@dataclass(frozen=True)
class Action:
    """A finite group that acts on images, and on what a predictor makes of them.

    Attributes
    ----------
    labels : tuple of str
        Name of each of the n elements; the first is the identity.
    poses : callable
        From images (N, H, W, C) to their images under all elements, (N, n, H, W, C).
    outputs : callable, optional
        From outputs (N, ...) and the index of an element to the outputs that it makes of them.
        Default: outputs stay as they are, so that equivariance is invariance.
    """

    labels: tuple[str, ...]
    poses: Callable[[FloatArray], FloatArray]
    outputs: Callable[[FloatArray, int], npt.ArrayLike] | None = None


@dataclass(frozen=True, eq=False)
class SymmetryError:
    """Where a predictor fails to be symmetric, and by how much.

    Attributes
    ----------
    labels : tuple of str
        Name of each of the n elements.
    errors : array of float64, shape (n, N)
        Euclidean norm of f(g x) - g f(x) for element g and image x; row 0 is zero.
    size : float
        Root mean square over the images of the norm of f(x), for comparison.
    """

    labels: tuple[str, ...]
    errors: FloatArray
    size: float

    @property
    def worst(self) -> float:
        """Largest error: the smallest epsilon of the definition, over these images."""
        return float(self.errors.max())

    @property
    def mean(self) -> float:
        """Mean over the images and all elements but the identity; 0 for the group of one."""
        return float(self.errors[1:].mean()) if len(self.errors) > 1 else 0.0

    @property
    def where(self) -> tuple[int, str]:
        """Image and element of the largest error."""
        element, image = np.unravel_index(np.argmax(self.errors), self.errors.shape)
        return int(image), self.labels[int(element)]


def symmetry_error(predictor: Predictor, images: npt.ArrayLike, action: Action) -> SymmetryError:
    """Measure the error of invariance or equivariance over a finite group.

    Parameters
    ----------
    predictor : callable
        From images (N, H, W, C) to outputs (N, ...).
    images : array of integer or real float, shape (N, H, W, C)
    action : Action

    Returns
    -------
    SymmetryError

    Raises
    ------
    InputError
        Not images; the group does not act on images of this shape; its first element is not the
        identity; the predictor gives something else than finite numbers of one shape, N rows.
    """
    x = as_images(images, "images").astype(np.float64, copy=False)
    poses = action.poses(x)
    if poses.shape != (len(x), len(action.labels), *x.shape[1:]):
        raise InputError(
            f"the group turns images of shape {x.shape} into {poses.shape}: expected "
            f"{(len(x), len(action.labels), *x.shape[1:])}, one pose for each element"
        )
    if not np.array_equal(poses[:, 0], x):
        raise InputError("element 0 of the group moves images: list the identity first")
    still = predict(predictor, x)
    errors = np.zeros((len(action.labels), len(x)))
    for k in range(1, len(errors)):
        moved = predict(predictor, poses[:, k], still.shape)
        wanted = still
        if action.outputs is not None:
            wanted = np.asarray(action.outputs(still, k), np.float64)
            if wanted.shape != still.shape:
                raise InputError(
                    f"element {k} of the group turns outputs of shape {still.shape} into "
                    f"{wanted.shape}: it does not act on them"
                )
        errors[k] = norms(moved - wanted)
    return SymmetryError(action.labels, errors, root_mean_square(still))


def predict(
    predictor: Predictor, images: FloatArray, shape: tuple[int, ...] | None = None
) -> FloatArray:
    """Call a predictor and check what it returns.

    Parameters
    ----------
    predictor : callable
    images : array of float64, shape (N, H, W, C)
    shape : tuple of int, optional
        What it returned before.

    Returns
    -------
    array of float64, shape (N, ...)

    Raises
    ------
    InputError
        It returns no array of real numbers with N rows, another shape than before, or NaN or
        infinite numbers; the message says for which image.
    """
    try:
        outputs = np.asarray(predictor(images))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the predictor fails on images of shape {images.shape}: {error}"
        ) from error
    if outputs.dtype.kind not in "biuf":
        raise InputError(f"the predictor returns {outputs.dtype}: expected real numbers")
    if outputs.ndim == 0 or len(outputs) != len(images):
        raise InputError(
            f"the predictor returns the shape {outputs.shape} for {len(images)} images: expected "
            f"({len(images)}, ...), a row for each"
        )
    if shape is not None and outputs.shape != shape:
        raise InputError(
            f"the predictor returns the shape {outputs.shape}, but {shape} before the images were "
            "moved"
        )
    finite = np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
    if not finite.all():
        raise InputError(
            f"the predictor returns NaN or infinite numbers for image {int(np.argmin(finite))}"
        )
    return outputs.astype(np.float64)


def norms(outputs: FloatArray) -> FloatArray:
    """Euclidean norm of the outputs of each image: (N, ...) to (N,)."""
    return np.asarray(np.linalg.norm(outputs.reshape(len(outputs), -1), axis=1))


def root_mean_square(outputs: FloatArray) -> float:
    """Root of the mean over the images of the squared norm of the outputs."""
    return float(np.sqrt(np.square(norms(outputs)).mean()))


def error_floor(epsilon: float, kappa: float = 1.0) -> float:
    r"""Bound from below what any exactly equivariant model must get wrong.

    Let the target y be off by :math:`\|y(\rho_X(g) x) - \rho_Y(g) y(x)\| \ge \varepsilon` for some
    g and x, and let f be exactly equivariant. Then
    :math:`\varepsilon \le \|y(gx) - f(gx)\| + \|\rho_Y(g) (f(x) - y(x))\|`, so that f is wrong by
    at least :math:`\varepsilon / (1 + \kappa)` at x or at gx, where :math:`\kappa` is the Lipschitz
    constant with which errors pass the action on the outputs: 1 for invariance and for every
    orthogonal action.

    Parameters
    ----------
    epsilon : float
        How far the target is from equivariance, such as `SymmetryError.worst`.
    kappa : float

    Returns
    -------
    float

    Raises
    ------
    InputError
        A number is negative, infinite or NaN.

    Examples
    --------
    >>> error_floor(0.5)
    0.25
    """
    for name, value in (("epsilon", epsilon), ("kappa", kappa)):
        if not 0 <= value < np.inf:
            raise InputError(f"{name}: expected a number that is not negative, not {value!r}")
    return epsilon / (1 + kappa)


def point_action(name: str, outputs: Kind = "vector") -> Action:
    """Let a point group act on images about their centre.

    Parameters
    ----------
    name : str
        One of C1, C2, C4, D1, D2, D4.
    outputs : {"vector", "grid", "group"}
        What a network ends with: numbers that must not change; features on positions
        (N, H, W, C); or features on positions and the elements of the group (N, H, W, n, C).

    Returns
    -------
    Action
        Elements by their angle anticlockwise, as seen with y downwards; ``m`` mirrors left to right
        before the turn.

    Raises
    ------
    NetworkError
        No point group has this name.
    InputError
        Outputs are of no such kind.
    """
    group = point_group(name)
    kinds = ("vector", "grid", "group")
    if outputs not in kinds:
        raise InputError(unknown("outputs", outputs, kinds))
    turns = int(name[1])
    labels = [f"{360 * k // turns}°" for k in range(turns)]
    labels += [f"{label} m" for label in labels] if group.order > turns else []
    act = None if outputs == "vector" else lambda y, k: turn_features(y, k, group)
    return Action(tuple(labels), lambda x: sweep(x, name), act)


def turn_features(features: FloatArray, index: int, group: PointGroup) -> FloatArray:
    """Let a group element act on features, (g f)(t, r) = f(g^-1 t, g^-1 r).

    Parameters
    ----------
    features : array, shape (N, H, W, C) or (N, H, W, n, C)
        On positions, or on positions and group elements.
    index : int
        The element g.
    group : PointGroup
        Of order n.

    Returns
    -------
    array of the same number of axes

    Raises
    ------
    InputError
        Other numbers of axes, or a group axis of another length.
    """
    on_group = features.ndim == 5 and features.shape[3] == group.order
    if features.ndim != 4 and not on_group:
        raise InputError(
            f"features: expected the shape (N, H, W, C) or (N, H, W, {group.order}, C), "
            f"not {features.shape}"
        )
    moved = np.asarray(rotate(features, index, group, axes=(1, 2)))
    if on_group:
        moved = moved[:, :, :, group.cayley[group.inverse[index]]]
    return moved


def cyclic_action(action: CyclicAction) -> Action:
    """Let a cyclic group of rotations or shifts act on images.

    Parameters
    ----------
    action : CyclicAction
        Of N poses.

    Returns
    -------
    Action
        For predictors that must be invariant. Rotations between quarter turns are interpolated by
        cubic splines, zero outside, and are no group there: part of the error is interpolation.
    """
    n = action.order
    if action.kind == "rotation":
        labels = [f"{360 * k / n:g}°" for k in range(n)]
    else:
        labels = [f"{k}/{n}" for k in range(n)]
    return Action(tuple(labels), action.sweep)


def group_action(
    moves: Iterable[Callable[[FloatArray], npt.ArrayLike]],
    labels: Iterable[str] | None = None,
    outputs: Callable[[FloatArray, int], npt.ArrayLike] | None = None,
) -> Action:
    """Let a group act on images by functions of one's own.

    Parameters
    ----------
    moves : iterable of callables
        For each element, from images (N, H, W, C) to images of the same shape; the identity first.
    labels : iterable of str, optional
        Default: ``g0``, ``g1``, ....
    outputs : callable, optional
        As in `Action`.

    Returns
    -------
    Action

    Raises
    ------
    InputError
        There are no elements, or not as many labels as elements.
    """
    maps = tuple(moves)
    if not maps:
        raise InputError("group: has no elements")
    names = tuple(f"g{k}" for k in range(len(maps))) if labels is None else tuple(labels)
    if len(names) != len(maps):
        raise InputError(f"labels: {len(names)} for {len(maps)} elements of the group")
    return Action(names, lambda x: sweep(x, maps), outputs)
