r"""Making any kernel or predictor invariant: the mean over a group, frames, canonical poses.

Of an image x, a frame keeps the elements h of a finite group whose energy E(h x) is smallest,
F(x) = argmin_h E(h x). Since F(g x) = F(x) g⁻¹, each of

.. math::
    \text{mean}  &: \frac1{|G|} \sum_h f(h x) \\
    \text{frame} &: \frac1{|F(x)|} \sum_{h \in F(x)} f(h x) \\
    \text{pose}  &: f(h_x x), \quad h_x \text{ the first of } F(x)

is invariant, the last one where F(x) has one element, or h x is the same for all of them (equizero:
S. Basu et al., "Efficient Equivariant Transfer Learning from Pretrained Models", NeurIPS 2023).
Elements of a point group permute pixels, so that invariance is exact. A frame and a pose jump where
two energies cross, however smooth f is; the mean does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, unknown
from refntk.evaluation.images import as_images
from refntk.symmetry.measures import FloatArray, Predictor, norms, predict
from refntk.symmetry.orbits import sweep

__all__ = ["Jump", "Symmetrization", "jumps", "slope_energy"]

Energy = Callable[[FloatArray], npt.ArrayLike]
"""From images (N, H, W, C) to N numbers."""

_KINDS = ("mean", "frame", "pose")
_TIE = 1e-12  # of the range of energies: what rounding may part
_POINTS, _HALVINGS = 33, 25


def slope_energy(images: FloatArray) -> FloatArray:
    """Minus the moment of an image along a direction that no rotation or reflection keeps.

    Parameters
    ----------
    images : array of float, shape (N, H, W, C)

    Returns
    -------
    array of float64, shape (N,)
        Smallest where the bright side is down, and then to the right.
    """
    height, width = images.shape[1:3]
    slope = np.linspace(-1, 1, height)[:, None] + 0.5 * np.linspace(-1, 1, width)
    return np.asarray(-np.einsum("nhwc,hw->n", images, slope), np.float64)


@dataclass(frozen=True)
class Symmetrization:
    """A way to make predictors invariant under a finite group.

    Attributes
    ----------
    kind : {"mean", "frame", "pose"}
    group : str or sequence of callables
        As for `refntk.symmetry.orbits.sweep`, such as ``"C4"``.
    energy : callable
        From images to numbers, the smaller the more canonical; of no use to a mean.
    """

    kind: Literal["mean", "frame", "pose"]
    group: Any = "C4"
    energy: Energy = slope_energy

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.kind not in _KINDS:
            raise InputError(unknown("kind", self.kind, _KINDS))

    def weights(self, images: FloatArray) -> FloatArray:
        """Give the share of each element of the group.

        Parameters
        ----------
        images : array of float, shape (N, H, W, C)

        Returns
        -------
        array of float64, shape (N, n)
            Each row sums to 1.
        """
        return self._parts(images)[1]

    def canonical(self, images: npt.ArrayLike) -> FloatArray:
        """Turn each image to its canonical pose, the first of smallest energy.

        Parameters
        ----------
        images : array of integer or real float, shape (N, H, W, C)

        Returns
        -------
        array of float64, shape (N, H, W, C)
        """
        x = as_images(images, "images").astype(np.float64, copy=False)
        poses, shares = Symmetrization("pose", self.group, self.energy)._parts(x)
        return np.asarray(poses[np.arange(len(x)), shares.argmax(axis=1)])

    def predictor(self, f: Predictor) -> Predictor:
        """Make a predictor invariant.

        Parameters
        ----------
        f : callable
            From images (N, H, W, C) to outputs (N, ...).

        Returns
        -------
        callable
            Of the same kind.
        """

        def invariant(images: FloatArray) -> FloatArray:
            x = as_images(images, "images").astype(np.float64, copy=False)
            poses, shares = self._parts(x)
            image, element = np.nonzero(shares)
            outputs = predict(f, poses[image, element])
            found = np.zeros((len(x), *outputs.shape[1:]))
            flat = shares[image, element].reshape(-1, *[1] * (outputs.ndim - 1))
            np.add.at(found, image, flat * outputs)
            return found

        return invariant

    def kernel(
        self, k: Callable[[FloatArray, FloatArray], npt.ArrayLike], x: FloatArray, y: FloatArray
    ) -> FloatArray:
        """Make a kernel invariant in both arguments: the mean over elements h and h' of each.

        Parameters
        ----------
        k : callable
            From images (N, H, W, C) and (M, H, W, C) to their kernel (N, M).
        x, y : array of float, shapes (N, H, W, C) and (M, H, W, C)

        Returns
        -------
        array of float64, shape (N, M)
        """
        sides = [(poses.reshape(-1, *poses.shape[2:]), s) for poses, s in map(self._parts, (x, y))]
        (left, p), (right, q) = sides
        full = np.asarray(k(left, right), np.float64).reshape(*p.shape, *q.shape)
        return np.asarray(np.einsum("ig,jh,igjh->ij", p, q, full))

    def _parts(self, images: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All poses (N, n, H, W, C) and the share of each, (N, n)."""
        poses = sweep(images, self.group)
        count, order = poses.shape[:2]
        if self.kind == "mean":
            return poses, np.full((count, order), 1 / order)
        flat = poses.reshape(-1, *poses.shape[2:])
        energies = np.asarray(self.energy(flat), np.float64).reshape(count, order)
        lowest = energies.min(axis=1, keepdims=True)
        smallest = energies <= lowest + _TIE * np.abs(energies).max(axis=1, keepdims=True)
        if self.kind == "pose":
            smallest &= smallest.cumsum(axis=1) == 1
        return poses, smallest / smallest.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Jump:
    """Where the canonical pose changes on the straight line between two images.

    Attributes
    ----------
    place : float
        Between 0 and 1.
    size : float
        Norm of the change of the predictor from one side to the other.
    """

    place: float
    size: float


def jumps(f: Predictor, way: Symmetrization, images: npt.ArrayLike) -> list[Jump]:
    """Measure how a predictor jumps where the frame changes, from each image to the next.

    Parameters
    ----------
    f : callable
        A predictor, such as of `Symmetrization.predictor`.
    way : Symmetrization
        Whose elements are watched: at 33 points of each line, and where they change, to 1e-9 of it.
    images : array of integer or real float, shape (N, H, W, C)

    Returns
    -------
    list of Jump
        None for a mean, whose shares are always the same.
    """
    x = as_images(images, "images").astype(np.float64, copy=False)
    found = []
    for start, end in pairwise(x):
        for low, high in _changes(way, start, end):
            sides = np.stack([(1 - t) * start + t * end for t in (low, high)])
            outputs = predict(f, sides)
            found.append(Jump((low + high) / 2, float(norms(outputs[1:] - outputs[:1])[0])))
    return found


def _changes(
    way: Symmetrization, start: FloatArray, end: FloatArray
) -> Iterator[tuple[float, float]]:
    """Places on both sides of each change of the shares on a line, 1e-9 of it apart.

    Closer by, rounding could take a crossing for a tie.
    """

    def shares(places: npt.ArrayLike) -> FloatArray:
        t = np.asarray(places).reshape(-1, 1, 1, 1)
        return way.weights((1 - t) * start + t * end)

    grid = np.linspace(0, 1, _POINTS)
    there = shares(grid)
    for k in range(_POINTS - 1):
        if (there[k] == there[k + 1]).all():
            continue
        low, high = grid[k], grid[k + 1]
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if (shares([middle])[0] == there[k]).all():
                low = middle
            else:
                high = middle
        yield float(low), float(high)
