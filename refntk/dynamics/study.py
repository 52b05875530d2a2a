"""Experiments on training dynamics: nominal, augmented and equivariant training side by side.

All start from the same equivariant parameters. The distances from the start and from E tell whether
training leaves the equivariant parameters (Figures 1 and 6 of arXiv:2303.13458).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refntk.dynamics.data import block_model_graphs, shape_images
from refntk.dynamics.network import EquivariantMlp, Weights, add, augmented_gradient, distance
from refntk.dynamics.nonlinearities import (
    BinaryCrossEntropy,
    CrossEntropy,
    Identity,
    LayerNorm,
    LeakyRelu,
    Loss,
)
from refntk.dynamics.representations import (
    PermutationGroup,
    Representation,
    image_group,
    symmetric_group,
)
from refntk.dynamics.stability import beside
from refntk.errors import InputError

__all__ = [
    "EXPERIMENTS",
    "MODES",
    "Experiment",
    "Schedule",
    "build",
    "dynamics_rows",
    "subsample",
    "summarize",
]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]
Mode = Literal["nominal", "augmented", "random", "equivariant"]

MODES: tuple[Mode, ...] = ("nominal", "augmented", "random", "equivariant")
"""Ways to train: the gradient as it is; its mean over the group, exact; its value at one random
element of the group a step; its projection on E."""

EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "perm": ("perm",),
    "trans": ("trans",),
    "rot": ("rot",),
    "groups": ("trans", "onedtrans", "rot", "transrot"),
}
"""Groups of each experiment."""

_NODES = 10
_SIDE = 14
_DRAWN = 32
_CHANNELS = 2


@dataclass(frozen=True, eq=False)
class Experiment:
    """A network, its data, and how augmentation is done.

    Attributes
    ----------
    network : EquivariantMlp
    x, y : array of float64, shapes (N, d_0) and (N, d_L)
    exact : bool
        Whether augmentation runs over the whole group, or over 32 random elements a step.
    """

    network: EquivariantMlp
    x: FloatArray
    y: FloatArray
    exact: bool


@dataclass(frozen=True)
class Schedule:
    """How long to train.

    Attributes
    ----------
    steps : int
        Of gradient descent.
    batch : int
        Samples a step, drawn anew each time.
    rate : float
        Learning rate.
    every : int
        Steps from one recorded row to the next.
    beside : float, default 0
        Distance from E at the start, relative to the parameters, in a random direction.
    """

    steps: int
    batch: int
    rate: float
    every: int
    beside: float = 0.0


def subsample(images: npt.NDArray[Any]) -> FloatArray:
    """Take every other pixel of 28×28 grey images, and flatten them.

    Parameters
    ----------
    images : array of float, shape (N, 28, 28, 1)

    Returns
    -------
    array of float64, shape (N, 196)

    Raises
    ------
    InputError
        The images have another shape.
    """
    if images.shape[1:] != (2 * _SIDE, 2 * _SIDE, 1):
        raise InputError(
            f"images: expected {2 * _SIDE}×{2 * _SIDE} pixels of one channel, "
            f"not {images.shape[1:]} (height, width, channels)"
        )
    return np.asarray(images[:, ::2, ::2, 0].reshape(len(images), -1), np.float64)


def build(
    name: str,
    group: str,
    rng: np.random.Generator,
    digits: tuple[FloatArray, npt.NDArray[np.int64]] | None = None,
) -> Experiment:
    """Make the network and the data of an experiment.

    Parameters
    ----------
    name, group : str
        An experiment of `EXPERIMENTS`, and one of its groups.
    rng : numpy.random.Generator
        For the data that are generated: graphs for perm, shapes for rot.
    digits : (images, labels), optional
        Of shapes (N, 196) and (N,), for trans and groups.

    Returns
    -------
    Experiment

    Raises
    ------
    InputError
        Digits are needed and missing.
    """
    if name == "perm":
        x, y = block_model_graphs(1000, _NODES, rng)
        network = _network(symmetric_group(_NODES), "pairs", None, BinaryCrossEntropy())
        return Experiment(network, x, y, exact=False)
    acting = image_group(group, _SIDE)
    if name == "rot":
        x, y = shape_images(1000, _SIDE, rng)
        return Experiment(_network(acting, "points", 0, BinaryCrossEntropy()), x, y, exact=True)
    if digits is None:
        raise InputError(f"{name}: needs images of digits and their labels")
    x, labels = digits
    classes = np.unique(labels)
    y = (labels[:, None] == classes).astype(np.float64)
    network = _network(acting, "points", len(classes), CrossEntropy())
    return Experiment(network, x, y, exact=True)


def _network(group: PermutationGroup, kind: str, answers: int | None, loss: Loss) -> EquivariantMlp:
    """Three layers with two hidden channels; 0 answers means one for each point."""
    ends = Representation(group, kind)
    hidden = Representation(group, kind, _CHANNELS)
    out = ends if answers == 0 else Representation(group, "trivial", answers or 1)
    # Behind a layer norm the mean over positions is zero, and a pooled answer would see nothing.
    middle = LayerNorm() if answers == 0 else LeakyRelu()
    return EquivariantMlp([ends, hidden, hidden, out], [LeakyRelu(), middle, Identity()], loss)


def dynamics_rows(
    name: str,
    schedule: Schedule,
    repeats: int,
    seed: int,
    digits: tuple[FloatArray, npt.NDArray[np.int64]] | None = None,
    done: Sequence[Row] = (),
    progress: Callable[[int], None] = lambda steps: None,
) -> Iterator[Row]:
    """Train, and record distances.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    schedule : Schedule
    repeats : int
        Runs from different parameters and with different batches.
    seed : int
        Repeat k of a group is the same whatever else is run.
    digits : (images, labels), optional
        As for `build`.
    done : sequence of dict
        Rows that are there already: a run that is complete is not repeated, and of one that is not,
        only the rest is given.
    progress : callable, optional
        Called with the number of steps that have been made or skipped.

    Yields
    ------
    dict
        ``group``, ``mode``, ``repeat``, ``step``; ``risk``, nominal, on the first 500 samples;
        ``from_start`` and ``from_E``, Euclidean distances of all parameters.
    """
    known = {(row["group"], row["mode"], row["repeat"], row["step"]) for row in done}
    for group in EXPERIMENTS[name]:
        experiment = build(name, group, np.random.default_rng([seed, 0]), digits)
        for repeat in range(repeats):
            for mode in MODES:
                if (group, mode, repeat, schedule.steps) in known:
                    progress(schedule.steps)
                    continue
                for row in _train(experiment, mode, schedule, [seed, 1, repeat], progress):
                    row = {"group": group, "mode": mode, "repeat": repeat} | row
                    if (group, mode, repeat, row["step"]) not in known:
                        yield row


def _train(
    experiment: Experiment,
    mode: Mode,
    schedule: Schedule,
    seed: list[int],
    progress: Callable[[int], None],
) -> Iterator[Row]:
    """Train in one mode; start and batches depend on the seed alone, not on the mode."""
    net = experiment.network
    start = net.draw_equivariant(np.random.default_rng(seed))
    if schedule.beside:
        start = beside(net, start, schedule.beside, np.random.default_rng([*seed, 3]))
    batches, elements = (np.random.default_rng([*seed, k]) for k in (1, 2))
    a = start
    for step in range(schedule.steps + 1):
        if step % schedule.every == 0 or step == schedule.steps:
            yield {
                "step": step,
                "risk": net.risk(a, experiment.x[:500], experiment.y[:500]),
                "from_start": distance(a, start),
                "from_E": distance(a, net.project(a)),
            }
        if step < schedule.steps:
            some = batches.choice(len(experiment.x), min(schedule.batch, len(experiment.x)), False)
            # R_eqv(A) = R(Π_E A); the projection of a point of E would only change its rounding.
            at = net.project(a) if mode == "equivariant" and schedule.beside else a
            g = _gradient(experiment, mode, at, some, elements)
            a = add(a, g, -schedule.rate)
            progress(1)


def _gradient(
    experiment: Experiment,
    mode: Mode,
    a: Weights,
    some: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Weights:
    net, x, y = experiment.network, experiment.x[some], experiment.y[some]
    if mode == "augmented":
        return augmented_gradient(net, a, x, y, _elements(experiment, net.group, rng))
    if mode == "random":
        return augmented_gradient(net, a, x, y, [net.group.draw(rng)])
    gradient = net.gradient(a, x, y)
    return net.project(gradient) if mode == "equivariant" else gradient


def _elements(
    experiment: Experiment, group: PermutationGroup, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]] | None:
    return None if experiment.exact else [group.draw(rng) for _ in range(_DRAWN)]


def summarize(rows: Sequence[Row]) -> list[Row]:
    """Condense the last step of all runs to a row for each group and mode.

    Parameters
    ----------
    rows : sequence of dict
        Of `dynamics_rows`.

    Returns
    -------
    list of dict
        Means over repeats of ``risk``, ``from_start`` and ``from_E``, each followed by its standard
        error (``risk_error`` and so on; nan of one repeat), and the largest ``from_E``.
    """
    last = max(row["step"] for row in rows)
    condensed = []
    for group, mode in dict.fromkeys((row["group"], row["mode"]) for row in rows):
        some = [r for r in rows if (r["group"], r["mode"], r["step"]) == (group, mode, last)]
        line: Row = {"group": group, "mode": mode, "repeats": len(some)}
        for name in ("risk", "from_start", "from_E"):
            values = np.array([row[name] for row in some])
            error = values.std(ddof=1) / np.sqrt(len(some)) if len(some) > 1 else np.nan
            line |= {name: float(values.mean()), f"{name}_error": float(error)}
        condensed.append(line | {"most_from_E": max(row["from_E"] for row in some)})
    return condensed
