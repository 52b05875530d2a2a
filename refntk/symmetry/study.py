"""What `refntk symmetry` reports: networks trained on the same images, every measure of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.network.network import Network
from refntk.symmetry.canonical import Symmetrization, jumps
from refntk.symmetry.flows import FLOWS, Flow, lie_derivative
from refntk.symmetry.measures import (
    Predictor,
    SymmetryError,
    cyclic_action,
    error_floor,
    point_action,
    symmetry_error,
)
from refntk.symmetry.orbits import CyclicAction
from refntk.symmetry.three_ways import kernel_predictor

__all__ = ["Study", "study", "symmetrized_rows"]

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Study:
    """Measures of some predictors on the same images; worst and mean are over images.

    Attributes
    ----------
    elements : list of dict
        A row for each network and element of the point group.
    rotations : list of dict
        A row for each network: the worst of all angles, and where.
    flows : list of dict
        A row for each network and flow: the Lie derivative.
    floors : list of dict
        A row for each network: what an exactly invariant model must differ from it somewhere.
    angles : dict of str to SymmetryError
        Errors at the multiples of 360°/N, by network.
    """

    elements: list[Row] = field(default_factory=list)
    rotations: list[Row] = field(default_factory=list)
    flows: list[Row] = field(default_factory=list)
    floors: list[Row] = field(default_factory=list)
    angles: dict[str, SymmetryError] = field(default_factory=dict)


def study(
    networks: Mapping[str, Network],
    train: npt.ArrayLike,
    targets: npt.ArrayLike,
    test: npt.ArrayLike,
    *,
    group: str,
    poses: int = 24,
    time: float = math.inf,
    kappa: float = 1.0,
    diag_reg: float = 0.0,
    numbers: Sequence[int] | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda measures: None,
) -> Study:
    """Train infinitely wide networks and measure how symmetric their mean predictions are.

    Parameters
    ----------
    networks : mapping of str to Network
    train, targets
        As for `refntk.symmetry.three_ways.kernel_predictor`.
    test : array, shape (M, H, W, C)
        Images on which the predictions are measured.
    group : str
        Point group of the invariance.
    poses : int
        N, the number of rotations by multiples of 360°/N, even.
    time, diag_reg, threads
        As for `kernel_predictor`.
    kappa : float
        As for `error_floor`.
    numbers : sequence of int, optional
        What the M images are called in the rows. Default: 0 to M - 1.
    progress : callable, optional
        Called with the number of measures since the last call; there are six for each network.

    Returns
    -------
    Study

    Raises
    ------
    RefntkError
        As `symmetry_error`, `lie_derivative` and `kernel_predictor`.
    """
    images = np.asarray(test)
    names = range(len(images)) if numbers is None else numbers
    about, turns = point_action(group), cyclic_action(CyclicAction("rotation", poses))
    result = Study()
    for name, net in networks.items():
        predictor = kernel_predictor(
            net, train, targets, time=time, diag_reg=diag_reg, threads=threads
        )
        found = symmetry_error(predictor, images, about)
        result.elements.extend(_element_rows(name, found, names))
        result.floors.append({
            "network": name, "group": group, "epsilon": found.worst, "kappa": kappa,
            "floor": error_floor(found.worst, kappa), "size": found.size,
        })  # fmt: skip
        progress(1)
        result.angles[name] = symmetry_error(predictor, images, turns)
        result.rotations.append(_rotation_row(name, poses, result.angles[name], names))
        progress(1)
        for row in _flow_rows(name, predictor, images, names):
            result.flows.append(row)
            progress(1)
    return result


def symmetrized_rows(
    net: Network,
    train: npt.ArrayLike,
    targets: npt.ArrayLike,
    test: npt.ArrayLike,
    *,
    group: str,
    poses: int = 24,
    diag_reg: float = 0.0,
    threads: int | None = None,
) -> list[Row]:
    """Make an ordinary network invariant from outside, and measure how well that works.

    Parameters
    ----------
    net : Network
    train, targets, test, group, poses, diag_reg, threads
        As for `study`.

    Returns
    -------
    list of dict
        A row for ``mean``, the mean of the predictions over the group, and for ``pose``, training
        and prediction on canonical poses, which is regression with the canonicalised kernel:
        ``worst``, the error under the group; ``rotations``, that under rotations by 360°/N;
        ``changes``, how often the canonical pose changes on the lines from each test image to the
        next, and ``largest jump`` of the predictions there; ``size`` of the predictions.
    """
    inside, outside = np.asarray(train), np.asarray(test)
    about, turns = point_action(group), cyclic_action(CyclicAction("rotation", poses))
    rows = []
    for kind in ("mean", "pose"):
        way = Symmetrization(kind, group)
        shown = way.canonical(inside) if kind == "pose" else inside
        trained = kernel_predictor(net, shown, targets, diag_reg=diag_reg, threads=threads)
        predictor = way.predictor(trained)
        found, leaps = symmetry_error(predictor, outside, about), jumps(predictor, way, outside)
        rows.append({
            "way": kind, "worst": found.worst,
            "rotations": symmetry_error(predictor, outside, turns).worst, "changes": len(leaps),
            "largest jump": max((leap.size for leap in leaps), default=0.0), "size": found.size,
        })  # fmt: skip
    return rows


def _element_rows(name: str, found: SymmetryError, names: Sequence[int]) -> Iterator[Row]:
    for label, errors in zip(found.labels[1:], found.errors[1:], strict=True):
        yield {
            "network": name, "element": label, "worst": float(errors.max()),
            "mean": float(errors.mean()), "size": found.size,
            "worst image": int(names[int(np.argmax(errors))]),
        }  # fmt: skip


def _rotation_row(name: str, poses: int, found: SymmetryError, names: Sequence[int]) -> Row:
    image, label = found.where
    return {
        "network": name, "rotations": poses, "worst": found.worst, "mean": found.mean,
        "size": found.size, "worst angle": label, "worst image": int(names[image]),
    }  # fmt: skip


def _flow_rows(
    name: str, predictor: Predictor, images: npt.NDArray[Any], names: Sequence[int]
) -> Iterator[Row]:
    for kind in FLOWS:
        flow = Flow(kind)
        found = lie_derivative(predictor, images, flow)
        yield {
            "network": name, "flow": kind, "interpolation": flow.interpolation, "per": flow.unit,
            "worst": found.worst, "mean": found.mean, "step error": float(found.errors.max()),
            "size": found.size, "worst image": int(names[found.where]),
        }  # fmt: skip
