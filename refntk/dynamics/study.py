"""Nominal, augmented and equivariant training side by side.

All start from the same equivariant parameters. The distances from the start and from E tell whether
training leaves the equivariant parameters (Figures 1 and 6 of arXiv:2303.13458).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refntk.dynamics.experiments import EXPERIMENTS, Digits, Experiment, build
from refntk.dynamics.network import Weights, add, augmented_gradient, distance, scale
from refntk.dynamics.representations import Permutation, PermutationGroup
from refntk.dynamics.stability import beside

__all__ = ["MODES", "Schedule", "dynamics_rows", "modes", "passes_a_step", "summarize"]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]
Mode = Literal["nominal", "augmented", "random", "released", "equivariant"]

MODES: tuple[Mode, ...] = ("nominal", "augmented", "random", "equivariant")
"""Ways to train: the gradient as it is; its mean over the group, exact; its value at one random
element of the group a step; its projection on E."""

_DRAWN = 32


@dataclass(frozen=True)
class Schedule:
    """How long to train, and how to augment.

    Attributes
    ----------
    steps : int
        Of gradient descent.
    batch : int
        Samples a step, drawn anew each time; with `passes`, samples that one element of the group
        moves.
    rate : float
        Learning rate.
    every : int
        Steps from one recorded row to the next.
    beside : float, default 0
        Distance from E at the start, relative to the parameters, in a random direction.
    passes : int, optional
        How often an augmented step goes over all samples, each batch of which a random element of
        its own moves; every way to train then takes all samples in each step, as the paper has it.
        Default: augmented steps average over the group, or over 32 random elements where it is too
        large.
    released : bool, default False
        With `passes`: augment also as the paper's released code does, whose shifts and turns are
        drawn from one number too many (`PermutationGroup.draw_powers`).
    """

    steps: int
    batch: int
    rate: float
    every: int
    beside: float = 0.0
    passes: int | None = None
    released: bool = False


def modes(schedule: Schedule) -> tuple[Mode, ...]:
    """List the ways to train under a schedule."""
    if schedule.passes is None:
        return MODES
    if schedule.released:
        return "nominal", "augmented", "released", "equivariant"
    return "nominal", "augmented", "equivariant"


def passes_a_step(schedule: Schedule, mode: Mode) -> int:
    """Tell how often a step goes over its samples, as far as that is known without the group."""
    return schedule.passes or 1 if mode in ("augmented", "released") else 1


def dynamics_rows(
    name: str,
    schedule: Schedule,
    repeats: int,
    seed: int,
    digits: Digits | None = None,
    done: Sequence[Row] = (),
    progress: Callable[[int], None] = lambda steps: None,
    channels: int | None = None,
    samples: int = 1000,
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
        Called with the passes (`passes_a_step`) that have been made or skipped.
    channels, samples : int, optional
        As for `refntk.dynamics.experiments.build`.

    Yields
    ------
    dict
        ``group``, ``mode``, ``repeat``, ``step``; ``risk``, nominal, on the first 500 samples;
        ``from_start`` and ``from_E``, Euclidean distances of all parameters.
    """
    known = {(row["group"], row["mode"], row["repeat"], row["step"]) for row in done}
    for group in EXPERIMENTS[name]:
        rng = np.random.default_rng([seed, 0])
        experiment = build(name, group, rng, digits, channels, samples)
        for repeat in range(repeats):
            for mode in modes(schedule):
                if (group, mode, repeat, schedule.steps) in known:
                    progress(schedule.steps * passes_a_step(schedule, mode))
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
    start = experiment.start(np.random.default_rng(seed))
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
            # R_eqv(A) = R(Π_E A); the projection of a point of E would only change its rounding.
            at = net.project(a) if mode == "equivariant" and schedule.beside else a
            if schedule.passes is None:
                size = min(schedule.batch, len(experiment.x))
                some = batches.choice(len(experiment.x), size, replace=False)
                g = _gradient(experiment, mode, at, some, elements)
            else:
                g = _full_gradient(experiment, mode, at, schedule, elements)
            a = add(a, g, -schedule.rate)
            progress(passes_a_step(schedule, mode))


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


def _full_gradient(
    experiment: Experiment, mode: Mode, a: Weights, schedule: Schedule, rng: np.random.Generator
) -> Weights:
    """Give the gradient over all samples, or its mean over passes that move each batch anew."""
    net, x, y = experiment.network, experiment.x, experiment.y
    if mode in ("nominal", "equivariant"):
        gradient = net.gradient(a, x, y)
        return net.project(gradient) if mode == "equivariant" else gradient
    draw = net.group.draw_powers if mode == "released" else net.group.draw
    total: Weights | None = None
    for _ in range(passes_a_step(schedule, mode)):
        moved = _moved(experiment, schedule.batch, lambda: draw(rng))
        gradient = net.gradient(a, *moved)
        total = gradient if total is None else add(total, gradient)
    assert total is not None
    return scale(total, 1 / passes_a_step(schedule, mode))


def _moved(
    experiment: Experiment, batch: int, draw: Callable[[], Permutation]
) -> tuple[FloatArray, FloatArray]:
    """Move each batch of the samples by an element of its own."""
    inputs, outputs = experiment.network.spaces[0], experiment.network.spaces[-1]
    x, y = np.empty_like(experiment.x), np.empty_like(experiment.y)
    for begin in range(0, len(x), batch):
        some, element = slice(begin, begin + batch), draw()
        x[some] = inputs.act(element, experiment.x[some])
        y[some] = outputs.act(element, experiment.y[some])
    return x, y


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
        error (``risk_error`` and so on) where there is more than one repeat; the largest
        ``from_E``; and ``of_nominal``, the mean ``from_E`` over that of nominal training.
    """
    last = max(row["step"] for row in rows)
    ends = [row for row in rows if row["step"] == last]
    runs: dict[tuple[str, str], list[Row]] = {}
    for row in ends:
        runs.setdefault((row["group"], row["mode"]), []).append(row)
    several = min(map(len, runs.values())) > 1
    condensed = []
    for (group, mode), some in runs.items():
        line: Row = {"group": group, "mode": mode, "repeats": len(some)}
        for name in ("risk", "from_start", "from_E"):
            values = np.array([row[name] for row in some])
            line[name] = float(values.mean())
            if several:
                line[f"{name}_error"] = float(values.std(ddof=1) / np.sqrt(len(some)))
        line["most_from_E"] = max(row["from_E"] for row in some)
        nominal = np.mean([row["from_E"] for row in runs[group, "nominal"]])
        condensed.append(line | {"of_nominal": float(line["from_E"] / nominal)})
    return condensed
