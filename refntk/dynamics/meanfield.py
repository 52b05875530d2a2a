r"""Shallow ensembles of units under a group: augmented, averaged and equivariant training.

"Symmetries in Overparametrized Neural Networks: A Mean Field View" has units
θ_i = (c_i, a_i, b_i) and

.. math::
    f(x) = \frac1N \sum_i c_i \tanh(a_i \cdot x + b_i),

trained by the gradient of ½ mean (f - y)², times N. A group of orthogonal matrices moves inputs,
and units by a_i ↦ g a_i. *Weakly invariant* (WI) are units that form whole orbits, *strongly
invariant* (SI) those with g a_i = a_i. At any finite N:

- free training on data that are closed under the group is full augmentation, step by step;
- it is training of the averaged function mean_g f(g x) if the units form whole orbits, and is
  not, by about N^(-1/2), if they are arbitrary;
- SI units stay SI under full batches, and not under single samples;
- SI units need not attain the optimum: under ±1 on the line their functions are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.truth.verify import Check

__all__ = [
    "MEAN_FIELD",
    "TEACHERS",
    "Units",
    "descend",
    "draw_units",
    "meanfield_rows",
    "outputs",
    "project",
    "shifts",
    "summarize_meanfield",
    "whole_orbits",
]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]

TEACHERS = "WI", "SI", "arbitrary"
"""What the targets come from."""

_DIMENSION = 4
_SAMPLES = 16
_TEACHER = 3
_SEED = 20240501


class Units(NamedTuple):
    """Parameters of N units in d dimensions: c (N,), a (N, d) and b (N,)."""

    c: FloatArray
    a: FloatArray
    b: FloatArray


def shifts(dimension: int) -> FloatArray:
    """Give the cyclic shifts of coordinates as matrices, shape (n, n, n); the identity first."""
    return np.stack([np.roll(np.eye(dimension), k, axis=0) for k in range(dimension)])


def draw_units(count: int, dimension: int, rng: np.random.Generator) -> Units:
    """Draw units with independent normal parameters."""
    return Units(
        rng.normal(size=count), rng.normal(size=(count, dimension)), rng.normal(size=count)
    )


def whole_orbits(units: Units, group: FloatArray) -> Units:
    """Put each unit into the company of its images: weakly invariant units, shape (n N,)."""
    return Units(
        np.tile(units.c, len(group)),
        np.concatenate([units.a @ g.T for g in group]),
        np.tile(units.b, len(group)),
    )


def project(units: Units, group: FloatArray) -> Units:
    """Project each unit on those that no element moves: strongly invariant units."""
    return units._replace(a=units.a @ group.mean(axis=0).T)


def outputs(units: Units, x: FloatArray) -> FloatArray:
    """Evaluate the ensemble, shape (B, d) to (B,)."""
    return np.asarray(np.tanh(x @ units.a.T + units.b) @ units.c / len(units.c))


def _gradient(units: Units, x: FloatArray, residual: FloatArray) -> Units:
    """Give N times the gradient of mean(residual · f) for residuals that are held, shape (B,)."""
    s = np.tanh(x @ units.a.T + units.b)
    back = residual[:, None] * (1 - s * s) * units.c / len(x)
    return Units(residual @ s / len(x), back.T @ x, back.sum(axis=0))


def descend(
    units: Units,
    x: FloatArray,
    y: FloatArray,
    rate: float,
    steps: int,
    group: FloatArray | None = None,
    averaged: bool = False,
    rng: np.random.Generator | None = None,
) -> Units:
    """Train units by gradient descent.

    Parameters
    ----------
    units : Units
    x, y : array of float64, shapes (B, d) and (B,)
    rate : float
    steps : int
    group : array of float64, shape (n, d, d), optional
        Augment by all its elements; None trains on the data as they are.
    averaged : bool
        Train the average of the function over the group instead.
    rng : numpy.random.Generator, optional
        Take one sample a step, drawn with it, instead of all.

    Returns
    -------
    Units
    """
    elements = np.eye(x.shape[1])[None] if group is None else group
    for _ in range(steps):
        some = slice(None) if rng is None else [int(rng.integers(len(x)))]
        moved = [x[some] @ g.T for g in elements]
        if averaged:
            mean = np.mean([outputs(units, z) for z in moved], axis=0)
            parts = [_gradient(units, z, mean - y[some]) for z in moved]
        else:
            parts = [_gradient(units, z, outputs(units, z) - y[some]) for z in moved]
        step = rate / len(parts)
        for part in parts:
            units = Units(*(u - step * v for u, v in zip(units, part, strict=True)))
    return units


def _teacher(kind: str, group: FloatArray, rng: np.random.Generator) -> Units:
    units = draw_units(_TEACHER, _DIMENSION, rng)
    units = units._replace(c=3 * units.c)
    if kind == "WI":
        return whole_orbits(units, group)
    return project(units, group) if kind == "SI" else units


def meanfield_rows(
    counts: Sequence[int],
    steps: int,
    rate: float,
    repeats: int,
    seed: int,
    done: Sequence[Row] = (),
    progress: Callable[[int], None] = lambda runs: None,
) -> Iterator[Row]:
    """Train students of teachers by augmentation, by averaging, and within SI.

    Parameters
    ----------
    counts : sequence of int
        Numbers N of units of the students.
    steps : int
    rate : float
    repeats : int
    seed : int
    done : sequence of dict
        Rows that are there already.
    progress : callable, optional
        Called with 1 after each row.

    Yields
    ------
    dict
        ``teacher``, ``units``, ``repeat``; risks ½ mean (f - y)² on 200 other points moved by the
        group, of ``augmented``, ``averaged`` and ``SI`` students from the same units; and
        ``difference``, the root mean square of augmented minus averaged function there.
    """
    known = {(row["teacher"], row["units"], row["repeat"]) for row in done}
    group = shifts(_DIMENSION)
    for k, teacher in enumerate(TEACHERS):
        for count in counts:
            for repeat in range(repeats):
                if (teacher, count, repeat) not in known:
                    rng = np.random.default_rng([seed, k, repeat])
                    target = _teacher(teacher, group, rng)
                    x, test = rng.normal(size=(_SAMPLES, 4)), rng.normal(size=(200, 4))
                    y, wanted = outputs(target, x), outputs(target, test)
                    start = draw_units(count, _DIMENSION, rng)
                    students = {
                        "augmented": descend(start, x, y, rate, steps, group),
                        "averaged": descend(start, x, y, rate, steps, group, averaged=True),
                        "SI": descend(project(start, group), x, y, rate, steps, group),
                    }
                    found = {name: outputs(units, test) for name, units in students.items()}
                    found["averaged"] = np.mean(
                        [outputs(students["averaged"], test @ g.T) for g in group], axis=0
                    )
                    gap = found["augmented"] - found["averaged"]
                    yield {
                        "teacher": teacher, "units": count, "repeat": repeat,
                        **{n: float(np.square(f - wanted).mean() / 2) for n, f in found.items()},
                        "difference": float(np.sqrt(np.square(gap).mean())),
                    }  # fmt: skip
                progress(1)


def summarize_meanfield(rows: Sequence[Row]) -> list[Row]:
    """Average over repeats, and fit the power of N by which the difference falls.

    Parameters
    ----------
    rows : sequence of dict
        Of `meanfield_rows`.

    Returns
    -------
    list of dict
        For each teacher and N means of the risks and of the difference; where there are several N
        also ``power``, that of the teacher's differences.
    """
    table: list[Row] = []
    for teacher in dict.fromkeys(row["teacher"] for row in rows):
        own = [row for row in rows if row["teacher"] == teacher]
        lines = []
        for count in sorted({row["units"] for row in own}):
            some = [row for row in own if row["units"] == count]
            names = "augmented", "averaged", "SI", "difference"
            means = {name: float(np.mean([row[name] for row in some])) for name in names}
            lines.append({"teacher": teacher, "units": count, "repeats": len(some)} | means)
        if len({row["units"] for row in rows}) > 1:
            logs = np.log([[line["units"], line["difference"]] for line in lines])
            fit = np.polyfit(logs[:, 0], logs[:, 1], 1) if len(lines) > 1 else [np.nan]
            power = float(fit[0])
            lines = [line | {"power": power} for line in lines]
        table += lines
    return table


def _setting(closed: bool = True) -> tuple[FloatArray, Units, FloatArray, FloatArray]:
    rng = np.random.default_rng(_SEED)
    group = shifts(_DIMENSION)
    x, start = rng.normal(size=(6, _DIMENSION)), draw_units(5, _DIMENSION, rng)
    y = outputs(_teacher("WI", group, rng), x)
    if closed:
        x, y = np.concatenate([x @ g.T for g in group]), np.tile(y, len(group))
    return group, start, x, y


def _apart(one: Units, other: Units) -> float:
    return max(float(np.abs(u - v).max()) for u, v in zip(one, other, strict=True))


def _free() -> Iterator[float]:
    group, start, x, y = _setting()
    once = x[: len(x) // len(group)], y[: len(x) // len(group)]
    for steps in (1, 100):
        yield _apart(descend(start, x, y, 0.1, steps), descend(start, *once, 0.1, steps, group))


def _averaged() -> Iterator[float]:
    group, start, x, y = _setting(closed=False)
    orbits = whole_orbits(start, group)
    one, other = (descend(orbits, x, y, 0.1, 100, group, averaged=mode) for mode in (False, True))
    yield _apart(one, other)
    arbitrary = [descend(start, x, y, 0.1, 100, group, averaged=mode) for mode in (False, True)]
    yield 0.0 if _apart(*arbitrary) > 1e-3 else float("inf")


def _strong() -> Iterator[float]:
    group, start, x, y = _setting()
    fixed = project(start, group)
    trained = descend(fixed, x, y, 0.1, 100)
    yield _apart(trained, project(trained, group))
    single = descend(fixed, x, y, 0.1, 100, rng=np.random.default_rng(_SEED))
    yield 0.0 if _apart(single, project(single, group)) > 1e-4 else float("inf")


def _not_attained() -> Iterator[float]:
    """|x| under ±1: SI functions are constants, and two units of Relu are |x| itself."""
    group = np.array([[[1.0]], [[-1.0]]])
    x = np.linspace(-1, 1, 21)[:, None]
    units = project(draw_units(7, 1, np.random.default_rng(_SEED)), group)
    yield float(np.ptp(outputs(units, x)))
    y = np.abs(x[:, 0])
    yield float(np.abs(np.maximum(x, 0)[:, 0] + np.maximum(-x, 0)[:, 0] - y).max())
    trained = descend(units, x, y, 0.3, 2000)
    yield abs(float(np.square(outputs(trained, x) - y).mean()) - float(y.var()))


MEAN_FIELD: tuple[Check, ...] = (
    Check("free training on closed data = augmentation", _free, 1e-12),
    Check("augmentation = averaging for whole orbits only", _averaged, 1e-12),
    Check("full batches keep units that do not move", _strong, 1e-12),
    Check("which need not attain the optimum", _not_attained, 1e-10),
)
"""Checks of the statements above."""
