"""The experiments of the spectral theory on real images, as rows of numbers that can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.network.network import Network
from refntk.spectral.measures import (
    classes_measures,
    orbit_geometry,
    pair_measures,
    seeds_measures,
)
from refntk.symmetry.orbits import CyclicAction, centre, orbit_kernel, orbit_pairs, pose_kernel

__all__ = [
    "Study",
    "draw_class_pairs",
    "draw_pairs",
    "draw_seeds",
    "draw_trials",
    "pair_rows",
    "seed_rows",
    "trial_rows",
]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Study:
    """Orbits of a data set under one kind of action, and the kernels between them.

    Parameters
    ----------
    images : array of integer or real float, shape (M, H, W, C)
        Seeds. Each pose has its mean subtracted and norm 1.
    kind : {"rotation", "shift-x", "shift-y"}
    get : {"nngp", "ntk"}
    threads : int, optional
    """

    images: npt.NDArray[Any]
    kind: Literal["rotation", "shift-x", "shift-y"]
    get: Literal["nngp", "ntk"] = "ntk"
    threads: int | None = None
    _own: dict[tuple[str, int, int], FloatArray] = field(default_factory=dict, init=False)

    def orbits(self, seeds: Sequence[int], poses: int) -> FloatArray:
        """Sweep some images into orbits, shape (S, poses, H, W, C)."""
        return centre(CyclicAction(self.kind, poses).sweep(self.images[list(seeds)]))

    def pair(self, net: Network, a: int, b: int, poses: int) -> FloatArray:
        """Kernel between the orbits of two images, each orbit's own kernel computed once.

        Returns
        -------
        array of float64, shape (2, poses, 2, poses)
        """
        orbits = self.orbits([a, b], poses)
        step, blind = self._steps(net, poses)
        out = np.empty((2, poses, 2, poses))
        for k, seed in enumerate((a, b)):
            key = net.hash, seed, poses
            if key not in self._own:
                own = orbit_kernel(
                    net, orbits[k : k + 1], step,
                    blind=blind, get=self.get, threads=self.threads,
                )  # fmt: skip
                self._own[key] = own[0, :, 0]
            out[k, :, k] = self._own[key]
        across = pose_kernel(
            net, orbits[:1], orbits[1:], step,
            blind=blind, get=self.get, threads=self.threads,
        )[0, :, 0]  # fmt: skip
        out[0, :, 1], out[1, :, 0] = across, across.T
        return out

    def kernel(
        self,
        net: Network,
        seeds: Sequence[int],
        poses: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Kernel between the orbits of many images, shape (S, poses, S, poses)."""
        step, blind = self._steps(net, poses)
        return orbit_kernel(
            net, self.orbits(seeds, poses), step,
            blind=blind, get=self.get, threads=self.threads, progress=progress,
        )  # fmt: skip

    def pairs(self, net: Network, seeds: int, poses: int) -> int:
        """Count the pairs of images that `kernel` computes."""
        return orbit_pairs(seeds, poses, *self._steps(net, poses))

    def equivariant(self, nets: Mapping[str, Network], poses: int) -> list[str]:
        """Name the networks that are invariant under those of so many poses that permute pixels."""
        action = CyclicAction(self.kind, poses)
        fewest = poses // action.exact
        return [name for name, net in nets.items() if action.blind_step(net) == fewest]

    def _steps(self, net: Network, poses: int) -> tuple[int, int]:
        action = CyclicAction(self.kind, poses)
        return action.exact_step(net), action.blind_step(net)


def pair_rows(
    study: Study,
    nets: Mapping[str, Network],
    labels: npt.NDArray[np.integer[Any]],
    pairs: Sequence[tuple[int, int]],
    poses: Sequence[int],
    diag_reg: float | None,
    done: Sequence[Row] = (),
) -> Iterator[Row]:
    """Measure pairs of images, network by network.

    Parameters
    ----------
    study : Study
    nets : mapping from str to Network
        Networks by the names they have in the rows.
    labels : array of int, shape (M,)
        Class of each image of the study.
    pairs : sequence of (int, int)
        As `draw_pairs` gives them.
    poses : sequence of int
    diag_reg : float or None
        As for `refntk.spectral.measures.pair_measures`.
    done : sequence of dict
        Rows that are there already and are left out.

    Yields
    ------
    dict
        ``network``, ``poses``, ``class_a``, ``class_b``, ``image_a``, ``image_b``, and what
        `pair_measures` and `orbit_geometry` of `refntk.spectral.measures` give.
    """
    geometry: dict[tuple[int, int, int], Row] = {}  # the same for all networks
    known = {(r["network"], r["poses"], r["image_a"], r["image_b"]) for r in done}
    for name, net in nets.items():
        for n in poses:
            for a, b in pairs:
                if (name, n, a, b) not in known:
                    row: Row = {"network": name, "poses": n}
                    row |= {"class_a": int(labels[a]), "class_b": int(labels[b])}
                    row |= {"image_a": a, "image_b": b}
                    exact = CyclicAction(study.kind, n).exact
                    row |= pair_measures(study.pair(net, a, b, n), diag_reg, exact)
                    if (a, b, n) not in geometry:
                        geometry[a, b, n] = orbit_geometry(study.orbits([a, b], n))
                    yield row | geometry[a, b, n]


def seed_rows(
    study: Study,
    nets: Mapping[str, Network],
    labels: npt.NDArray[np.integer[Any]],
    seeds: Sequence[int],
    poses: Sequence[int],
    diag_reg: float,
    *,
    two: bool,
    done: Sequence[Row] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Row]:
    """Measure sets of seeds, network by network and with more and more poses.

    Parameters
    ----------
    study : Study
    nets, labels, poses, diag_reg, done
        As for `pair_rows`.
    seeds : sequence of int
        As `draw_seeds` gives them, class by class.
    two : bool
        Whether there are two classes and errors are wanted, or accuracies of any number of classes.
    progress : callable, optional
        Called as ``progress(done, total)`` with numbers of pairs of images that are computed.

    Yields
    ------
    dict
        ``network``, ``poses``, and what `refntk.spectral.measures.seeds_measures` or
        `classes_measures` gives.
    """
    known = {(row["network"], row["poses"]) for row in done}
    tasks = [(name, n) for name in nets for n in poses if (name, n) not in known]
    sizes = [study.pairs(nets[name], len(seeds), n) for name, n in tasks]
    before = 0

    def report(now: int, of: int) -> None:
        progress(before + now, sum(sizes))

    for (name, n), size in zip(tasks, sizes, strict=True):
        kernel = study.kernel(nets[name], seeds, n, report)
        before += size
        measures = (
            seeds_measures(kernel, len(seeds) // 2, diag_reg, CyclicAction(study.kind, n).exact)
            if two
            else classes_measures(kernel, labels[list(seeds)], diag_reg)
        )
        yield {"network": name, "poses": n, **measures}


def trial_rows(
    study: Study,
    nets: Mapping[str, Network],
    labels: npt.NDArray[np.integer[Any]],
    trials: Sequence[Sequence[int]],
    poses: Sequence[int],
    diag_reg: float,
    done: Sequence[Row] = (),
) -> Iterator[Row]:
    """Measure seeds of many pairs of classes, network by network (Figure 6A of the paper).

    Parameters
    ----------
    study : Study
    nets, labels, poses, diag_reg, done
        As for `pair_rows`.
    trials : sequence of sequences of int
        As `draw_trials` gives them.

    Yields
    ------
    dict
        ``network``, ``poses``, ``trial``, ``class_a``, ``class_b``, and what
        `refntk.spectral.measures.seeds_measures` gives.
    """
    known = {(row["network"], row["poses"], row["trial"]) for row in done}
    for name, net in nets.items():
        for n in poses:
            exact = CyclicAction(study.kind, n).exact
            for number, seeds in enumerate(trials):
                if (name, n, number) not in known:
                    row: Row = {"network": name, "poses": n, "trial": number}
                    row |= {"class_a": int(labels[seeds[0]]), "class_b": int(labels[seeds[-1]])}
                    kernel = study.kernel(net, seeds, n)
                    yield row | seeds_measures(kernel, len(seeds) // 2, diag_reg, exact)


def draw_pairs(
    labels: npt.ArrayLike, count: int, seed: int, between: tuple[int, int] | None = None
) -> list[tuple[int, int]]:
    """Draw pairs of images of different classes, none of them twice before all have been used.

    Parameters
    ----------
    labels : array of int, shape (M,)
    count : int
    seed : int
    between : (int, int), optional
        The two classes, first that of the first image; default any two.

    Returns
    -------
    list of (int, int)

    Raises
    ------
    InputError
        There is one class only, or a class that is asked for has no images.
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    pools: dict[int, list[int]] = {int(c): [] for c in np.unique(labels)}
    wanted = list(between or pools)
    for c in wanted:
        if c not in pools:
            raise InputError(f"class {c}: has no images; there are {', '.join(map(str, pools))}")
    if len(set(wanted)) < 2:
        raise InputError("labels: pairs need images of two classes")

    def draw(c: int) -> int:
        if not pools[c]:
            pools[c] = rng.permutation(np.flatnonzero(labels == c)).tolist()
        return pools[c].pop()

    pairs = []
    for _ in range(count):
        a, b = between or rng.choice(wanted, 2, replace=False).tolist()
        pairs.append((draw(a), draw(b)))
    return pairs


def draw_class_pairs(labels: npt.ArrayLike, count: int, seed: int) -> list[tuple[int, int]]:
    """Draw so many pairs of images for each pair of classes, as `draw_pairs` does.

    Parameters
    ----------
    labels : array of int, shape (M,)
    count, seed : int

    Returns
    -------
    list of (int, int)
    """
    classes = np.unique(np.asarray(labels)).tolist()
    return [
        pair
        for a, b in combinations(classes, 2)
        for pair in draw_pairs(labels, count, seed, between=(a, b))
    ]


def draw_trials(labels: npt.ArrayLike, trials: int, count: int, seed: int) -> list[list[int]]:
    """Draw pairs of classes, and so many images of each, every trial by itself.

    Parameters
    ----------
    labels : array of int, shape (M,)
    trials, count, seed : int

    Returns
    -------
    list of list of int
        For each trial the images of the smaller class, then those of the larger; that of a number
        is the same however many there are.

    Raises
    ------
    InputError
        There is one class only, or a class has fewer images.
    """
    classes = np.unique(np.asarray(labels))
    if len(classes) < 2:
        raise InputError("labels: trials need images of two classes")
    drawn = []
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        two = sorted(rng.choice(classes, 2, replace=False).tolist())
        drawn.append(draw_seeds(labels, two, count, int(rng.integers(2**31))))
    return drawn


def draw_seeds(labels: npt.ArrayLike, classes: Sequence[int], count: int, seed: int) -> list[int]:
    """Draw so many images of each class.

    Parameters
    ----------
    labels : array of int, shape (M,)
    classes : sequence of int
    count, seed : int

    Returns
    -------
    list of int
        Class by class, in the order given.

    Raises
    ------
    InputError
        A class has fewer images.
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for c in classes:
        own = np.flatnonzero(labels == c)
        if len(own) < count:
            raise InputError(f"class {c}: has {len(own)} images, fewer than {count} seeds a class")
        chosen += rng.permutation(own)[:count].tolist()
    return chosen
