"""Orbits of images under shifts, rotations or any finite group, and the kernel between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from refntk.errors import InputError
from refntk.evaluation.evaluate import kernel
from refntk.evaluation.images import as_images
from refntk.network.network import Network
from refntk.ops.groups import point_group, rotate
from refntk.symmetry.exact import blind_to_shifts, blind_to_turns, moves_with_shifts, turns

__all__ = ["CyclicAction", "centre", "orbit_kernel", "orbit_pairs", "pose_kernel", "sweep"]

FloatArray = npt.NDArray[np.float64]

_AXES = {"shift-y": 2, "shift-x": 3}
_ROWS_A_CALL = 64


@dataclass(frozen=True)
class CyclicAction:
    """A cyclic group of N poses that sweeps images into orbits.

    Parameters
    ----------
    kind : {"rotation", "shift-x", "shift-y"}
        Rotation of square images by multiples of 360°/N about the centre, anticlockwise as a
        picture with y downwards is seen: quarter and half turns are exact, what lies between them
        is interpolated by cubic splines, zero outside (`scipy.ndimage.rotate`). Or cyclic shifts by
        multiples of width/N or height/N pixels, all exact.
    order : int
        N, even.

    Raises
    ------
    InputError
        The kind is unknown, or N is odd or below 2.
    """

    kind: Literal["rotation", "shift-x", "shift-y"]
    order: int

    def __post_init__(self) -> None:
        """Check the arguments."""
        if self.kind != "rotation" and self.kind not in _AXES:
            raise InputError(f"kind: expected rotation, shift-x or shift-y, not {self.kind!r}")
        if self.order < 2 or self.order % 2:
            raise InputError(
                f"N = {self.order} poses: expected an even number of at least 2, because the "
                "alternating labels of two orbits must close to a circle"
            )

    def sweep(self, images: npt.ArrayLike) -> FloatArray:
        """Sweep images into orbits.

        Parameters
        ----------
        images : array of integer or real float, shape (S, H, W, C)
            One seed an orbit.

        Returns
        -------
        array of float64, shape (S, N, H, W, C)
            Pose k of seed s; pose 0 is the seed.

        Raises
        ------
        InputError
            Not images, not square for rotations, or a side that N does not divide for shifts.
        """
        seeds = as_images(images, "images").astype(np.float64)
        if self.kind == "rotation":
            return self._rotations(seeds)
        axis = _AXES[self.kind]
        side = seeds.shape[axis - 1]
        if side % self.order:
            raise InputError(
                f"N = {self.order} shifts of a side of {side} pixels: N must divide the side"
            )
        step = side // self.order
        return np.stack([np.roll(seeds, k * step, axis - 1) for k in range(self.order)], axis=1)

    def _rotations(self, seeds: FloatArray) -> FloatArray:
        if seeds.shape[1] != seeds.shape[2]:
            raise InputError(
                f"images of {seeds.shape[1]}×{seeds.shape[2]} pixels: rotations need square ones"
            )
        free = self.order // self.exact
        first = [
            scipy.ndimage.rotate(seeds, 360 * k / self.order, axes=(2, 1), reshape=False)
            if k
            else seeds
            for k in range(free)
        ]
        quarters = 4 // self.exact
        return np.stack(
            [
                np.rot90(first[k % free], -quarters * (k // free), axes=(2, 1))
                for k in range(self.order)
            ],
            axis=1,
        )

    @property
    def exact(self) -> int:
        """Order of the subgroup that permutes pixels: 4 or 2 for rotations, N for shifts."""
        if self.kind != "rotation":
            return self.order
        return 4 if self.order % 4 == 0 else 2

    def exact_step(self, net: Network) -> int:
        """Smallest number of poses by which both images can be moved without changing the kernel.

        Parameters
        ----------
        net : Network

        Returns
        -------
        int
            s, a divisor of N, with k(pose i + s, pose j + s) = k(pose i, pose j) exactly, for all
            orbits: 1 for shifts and N/4 or N/2 for rotations where padding, strides, filters and
            group of the network allow it, and N where nothing is known.
        """
        if self.kind != "rotation":
            return 1 if moves_with_shifts(net) else self.order
        return self._step(net, turns)

    def blind_step(self, net: Network) -> int:
        """Smallest number of poses by which one image can be moved without changing the kernel.

        Parameters
        ----------
        net : Network

        Returns
        -------
        int
            s, a divisor of N, with k(pose i + s, pose j) = k(pose i, pose j) exactly, for all
            orbits: 1 for shifts under global pooling, N/4 or N/2 for rotations where the network
            pools over these turns, and N where nothing is known.
        """
        if self.kind != "rotation":
            return 1 if blind_to_shifts(net) else self.order
        return self._step(net, blind_to_turns)

    def _step(self, net: Network, holds: Callable[[Network, int], bool]) -> int:
        """Poses in the smallest turn that permutes pixels and for which something holds."""
        if self.exact == 4 and holds(net, 1):
            return self.order // 4
        return self.order // 2 if holds(net, 2) else self.order


def sweep(
    images: npt.ArrayLike,
    group: str | Iterable[Callable[[FloatArray], npt.ArrayLike]],
) -> FloatArray:
    """Sweep images into orbits of any finite group, given by its action.

    Parameters
    ----------
    images : array of integer or real float, shape (S, H, W, C)
    group : str or iterable of callables
        Name of a point group (C1 ... D4), whose elements are taken in their order; or a function
        for each element, from images of shape (S, H, W, C) to images of the same shape.

    Returns
    -------
    array of float64, shape (S, n, H, W, C)

    Raises
    ------
    InputError
        Not images, or a function returns another shape: the orbits are of unequal length or the
        group does not act on such images.
    NetworkError
        No point group has this name.
    """
    seeds = as_images(images, "images").astype(np.float64)
    if isinstance(group, str):
        elements = point_group(group)
        maps: list[Callable[[FloatArray], Any]] = [
            lambda x, r=r: rotate(x, r, elements)  # type: ignore[misc]
            for r in range(elements.order)
        ]
    else:
        maps = list(group)
    poses = [np.asarray(move(seeds), np.float64) for move in maps]
    for k, pose in enumerate(poses):
        if pose.shape != seeds.shape:
            raise InputError(
                f"element {k} of the group turns images of shape {seeds.shape} into {pose.shape}: "
                "it does not act on them"
            )
    if not poses:
        raise InputError("group: has no elements")
    return np.stack(poses, axis=1)


def centre(orbits: npt.ArrayLike) -> FloatArray:
    """Subtract the mean of each image and bring it to norm 1, as the theory's experiments do.

    Parameters
    ----------
    orbits : array of float, shape (..., H, W, C)

    Returns
    -------
    array of float64 of the same shape

    Raises
    ------
    InputError
        An image is constant, so that nothing is left of it; the message says which.
    """
    x = np.array(orbits, np.float64)
    axes = (-3, -2, -1)
    x -= x.mean(axis=axes, keepdims=True)
    norm = np.sqrt(np.square(x).sum(axis=axes, keepdims=True))
    flat = norm <= 1e-12 * np.abs(orbits).max()
    if flat.any():
        where = tuple(int(k) for k in np.argwhere(flat)[0][:-3])
        raise InputError(f"image {where} is constant: nothing is left when its mean is subtracted")
    return np.asarray(x / norm)


def pose_kernel(
    net: Network,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    step: int | None = None,
    *,
    blind: int | None = None,
    get: Literal["nngp", "ntk"] = "ntk",
    dtype: str = "float64",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Compute the kernel between the poses of some orbits and those of others.

    Parameters
    ----------
    net : Network
    first, second : array of float, shapes (R, N, H, W, C) and (S, N, H, W, C)
    step : int, optional
        As `CyclicAction.exact_step` gives it: k(pose i + step, pose j + step) = k(pose i, pose j).
        Default N: no symmetry is used.
    blind : int, optional
        As `CyclicAction.blind_step` gives it: k(pose i, pose j + blind) = k(pose i, pose j).
        Default N.
    get : {"nngp", "ntk"}
    dtype, threads, progress
        As for `refntk.kernel`.

    Returns
    -------
    array of float64, shape (R, N, S, N)
        Of the R S N² entries R S step blind are computed.

    Raises
    ------
    InputError
        Not such arrays, or steps that do not divide N.
    RefntkError
        As `refntk.kernel`.
    """
    x, y = np.asarray(first), np.asarray(second)
    for orbits in (x, y):
        if orbits.ndim != 5 or orbits.shape[1:] != x.shape[1:]:
            raise InputError(
                f"orbits: expected the shape (S, N, H, W, C), all of one N, not {orbits.shape}"
            )
    poses = x.shape[1]
    step = poses if step is None else step
    blind = poses if blind is None else blind
    for name, value in (("step", step), ("blind", blind)):
        if value < 1 or poses % value:
            raise InputError(f"{name}: expected a divisor of {poses}, not {value}")
    rows, columns = (z.reshape(-1, *x.shape[2:]) for z in (x[:, :step], y[:, :blind]))
    result = kernel(net, rows, columns, get, dtype, threads=threads, progress=progress)
    block = getattr(result, get).reshape(len(x), step, len(y), blind)
    block = np.tile(block, poses // blind)
    moved = [np.roll(block, k, axis=3) for k in range(0, poses, step)]
    return np.concatenate(moved, axis=1, dtype=np.float64)


def orbit_kernel(
    net: Network,
    orbits: npt.ArrayLike,
    step: int | None = None,
    *,
    blind: int | None = None,
    get: Literal["nngp", "ntk"] = "ntk",
    dtype: str = "float64",
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Compute the kernel between all poses of some orbits, without what symmetry gives for free.

    Parameters
    ----------
    net : Network
    orbits : array of float, shape (S, N, H, W, C)
    step, blind, get, dtype, threads
        As for `pose_kernel`.
    progress : callable, optional
        Called as ``progress(done, total)`` with numbers of pairs of images that are computed.

    Returns
    -------
    array of float64, shape (S, N, S, N)
        Exactly symmetric. Of the S² N² entries about S² step blind / 2 are computed.

    Raises
    ------
    InputError, RefntkError
        As `pose_kernel`.
    """
    x = np.asarray(orbits)
    if x.ndim != 5:
        raise InputError(f"orbits: expected the shape (S, N, H, W, C), not {x.shape}")
    seeds, poses = x.shape[:2]
    total = orbit_pairs(seeds, poses, step, blind)
    done = 0

    def report(now: int, of: int) -> None:
        if progress is not None:
            progress(done + now, total)

    out = np.empty((seeds, poses, seeds, poses))
    for part in _parts(seeds, step or poses):
        out[part, :, part.start :] = pose_kernel(
            net, x[part], x[part.start :], step,
            blind=blind, get=get, dtype=dtype, threads=threads, progress=report,
        )  # fmt: skip
        done += _pairs(part, seeds, step or poses, blind or poses)
    for a in range(seeds):
        own = out[a, :, a]
        out[a, :, a] = (own + own.T) / 2
        out[a + 1 :, :, a] = out[a, :, a + 1 :].transpose(1, 2, 0)
    return out


def orbit_pairs(seeds: int, poses: int, step: int | None = None, blind: int | None = None) -> int:
    """Count the pairs of images that `orbit_kernel` computes.

    Parameters
    ----------
    seeds, poses : int
        S orbits of N poses.
    step, blind : int, optional
        As for `orbit_kernel`.

    Returns
    -------
    int
    """
    step, blind = step or poses, blind or poses
    return sum(_pairs(part, seeds, step, blind) for part in _parts(seeds, step))


def _parts(seeds: int, step: int) -> list[slice]:
    """Orbits whose rows are computed in one call."""
    chunk = max(1, _ROWS_A_CALL // step)
    return [slice(k, min(k + chunk, seeds)) for k in range(0, seeds, chunk)]


def _pairs(part: slice, seeds: int, step: int, blind: int) -> int:
    """Count the pairs of images of one call."""
    orbits: int = part.stop - part.start
    others: int = seeds - part.start
    return orbits * step * others * blind
