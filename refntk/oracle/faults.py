"""Known mistakes and other conventions, recognised by the answers that they give.

Each is put into the literal recursion, and what comes out is compared with the answer in question.
A mistake that explains an answer to the digits of the comparison is hardly there by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.ops.operations import (
    Average,
    Filter,
    Join,
    Operation,
    Pointwise,
    Stack,
    read_by,
)
from refntk.ops.powers import PolynomialDual
from refntk.oracle.cases import Case
from refntk.oracle.truth import Answer, Solved, deviation
from refntk.recursion.formulas import Kernels
from refntk.recursion.literal import Alter, propagate, run

__all__ = ["FAULTS", "Fault", "altered", "standard_answer", "transposed", "turned_answer"]

_CLOSE = {"float64": 1e-6, "float32": 1e-3}
"""Relative error up to which an answer is taken for what a mistake gives, by its precision."""

_FLOAT32_FROM = 5e-9
"""Relative error below which nobody would blame float32."""

_WIDEST = 10**8
_USUAL = 64
"""A width of hidden layers, to see whether the standard parametrisation matters in a case."""

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Fault:
    """A known pattern of wrong answers.

    Attributes
    ----------
    name : str
        What the table calls it.
    remedy : str
        What is wrong and what to do, in one line.
    explains : callable
        Whether it gives this answer to a case, which is wrong.
    predicts : callable, optional
        What it answers to a case; None where it says nothing about it.
    """

    name: str
    remedy: str
    explains: Callable[[Solved, Answer], bool]
    predicts: Callable[[Solved], Mapping[str, FloatArray] | None] = lambda solved: None

    def matters(self, solved: Solved) -> bool:
        """Tell whether a program with this mistake would answer a case wrongly in any precision."""
        predicted = self.predicts(solved)
        return predicted is not None and any(
            deviation(values, solved.truth[name].value)
            > 10 * max(_CLOSE["float32"], solved.truth[name].tolerance["float32"])
            for name, values in predicted.items()
        )


def altered(case: Case, alter: Alter) -> dict[str, FloatArray]:
    """Answer a case by the literal recursion with a change after each layer.

    Parameters
    ----------
    case : Case
    alter : callable
        See `refntk.recursion.propagate`.

    Returns
    -------
    dict of float64 array
        ``nngp`` and ``ntk``.
    """
    state = propagate(case.network, case.x1, case.x2, alter=alter)
    return {"nngp": state.nngp, "ntk": state.ntk}


def standard_answer(case: Case, width: int) -> dict[str, FloatArray]:
    r"""Answer a case in the standard parametrisation, with all hidden layers of one width.

    Parameters
    ----------
    case : Case
    width : int
        Channels of every layer below the last one.

    Returns
    -------
    dict of float64 array
        ``nngp``, which is the same, and ``ntk``.

    Notes
    -----
    Weights have the deviation W_std / sqrt(F) at fan-in F, and are not scaled in the forward pass:

    .. math::
        \Theta' = F A(K) + [b] + \sigma_w^2 A(\Theta), \qquad K' = \sigma_w^2 A(K) + \sigma_b^2

    with [b] = 1 where the layer has a bias.
    """
    fan_ins: dict[int, int] = {}
    operations, channels = _operations(case), [case.x1.shape[-1]]
    for index, operation in enumerate(operations):
        read = [channels[value] for value in read_by(operation)]
        channels.append(sum(read) if isinstance(operation, Join) else read[0])
        if isinstance(operation, Filter):
            fan_ins[index] = read[0] * operation.support.size
            channels[-1] = width
        elif isinstance(operation, Stack):
            channels[-1] *= operation.support.size

    def alter(index: int, kernels: Kernels) -> Kernels:
        layer, (nngp, ntk) = operations[index], kernels
        if ntk is None or not isinstance(layer, Filter):
            return kernels
        bias, (trained, shifted) = layer.bias**2, (float(rate) for rate in layer.tangent)
        mean = (nngp - bias) / layer.weight**2 if layer.weight else 0
        return nngp, ntk + mean * (fan_ins[index] - trained) + (1 - shifted if bias else -shifted)

    return altered(case, alter)


def turned_answer(solved: Solved) -> dict[str, FloatArray] | None:
    """Answer a case before the readout with every group element in the place of its inverse.

    Parameters
    ----------
    solved : Solved

    Returns
    -------
    dict of float64 array, or None
        None where there is no axis of group elements.
    """
    network, shape = solved.case.network, solved.case.x1.shape[1:]
    last = network.signals(shape)[-1]
    if last.kind != "group":
        return None
    inverse = last.elements_of_grid.inverse
    values = {name: truth.value for name, truth in solved.truth.items()}
    return {name: value[:, :, inverse][:, :, :, inverse] for name, value in values.items()}


def _operations(case: Case) -> tuple[Operation, ...]:
    """Find the operations of a case.

    Raises
    ------
    MethodError
        A layer does what the mistakes here say nothing about; the message names it.
    """
    program = case.network.program(case.x1.shape[1:])
    for k, operation in enumerate(program.operations):
        if not isinstance(operation, Operation):
            raise program.no_rule(k, "the table of known mistakes")
    return program.operations


def _twice(case: Case) -> dict[str, FloatArray]:
    """Start from a tangent kernel of the images that is not zero but their kernel."""
    filters = ((k, x) for k, x in enumerate(_operations(case)) if isinstance(x, Filter))
    first, layer = next(filters)

    def alter(index: int, kernels: Kernels) -> Kernels:
        nngp, ntk = kernels
        changed = index == first and ntk is not None
        return (nngp, ntk + nngp - layer.bias**2) if changed else kernels

    return altered(case, alter)


def _gain(case: Case) -> dict[str, FloatArray]:
    """Double every kernel after an activation."""
    operations = _operations(case)

    def alter(index: int, kernels: Kernels) -> Kernels:
        return _scaled(kernels, 2) if isinstance(operations[index], Pointwise) else kernels

    return altered(case, alter)


def _summed(case: Case) -> dict[str, FloatArray]:
    """Pool by the sum over all positions and group elements where a mean is asked for."""
    operations = _operations(case)

    def alter(index: int, kernels: Kernels) -> Kernels:
        layer = operations[index]
        if not isinstance(layer, Average) or layer.over == "one":
            return kernels
        return _scaled(kernels, np.multiply.outer(layer.divisors, layer.divisors))

    return altered(case, alter)


def _undivided(case: Case) -> dict[str, FloatArray]:
    """Leave the number of rotations out of the fan-in of group convolutions."""
    operations = _operations(case)

    def alter(index: int, kernels: Kernels) -> Kernels:
        layer, (nngp, ntk) = operations[index], kernels
        if not isinstance(layer, Filter) or layer.support.below.group is None:
            return kernels
        bias, order = layer.bias**2, layer.support.below.order
        scaled = _scaled((nngp - bias, None if ntk is None else ntk - bias), order)
        return scaled[0] + bias, None if scaled[1] is None else scaled[1] + bias

    return altered(case, alter)


def _scaled(kernels: Kernels, factor: float | npt.NDArray[np.int64]) -> Kernels:
    nngp, ntk = kernels
    return factor * nngp, None if ntk is None else factor * ntk


def _matches(answer: Answer, predicted: Mapping[str, FloatArray], solved: Solved) -> bool:
    """Tell whether an answer is what a mistake gives, and the mistake matters in this case."""
    close, far = True, False
    for name, given in answer.items():
        limit = max(_CLOSE[str(given.dtype)], solved.truth[name].tolerance[str(given.dtype)])
        close = close and deviation(given, predicted[name]) <= limit
        far = far or deviation(predicted[name], solved.truth[name].value) > 10 * limit
    return close and far


def _known(
    name: str, remedy: str, predicts: Callable[[Solved], Mapping[str, FloatArray] | None]
) -> Fault:
    """Make a fault whose answer to each case is known."""

    def explains(solved: Solved, answer: Answer) -> bool:
        predicted = predicts(solved)
        return predicted is not None and _matches(answer, predicted, solved)

    return Fault(name, remedy, explains, predicts)


def _swapped(solved: Solved) -> dict[str, FloatArray]:
    return {"nngp": solved.truth["ntk"].value, "ntk": solved.truth["nngp"].value}


def transposed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Exchange the images of rows and columns, and what stands at each side.

    Parameters
    ----------
    values : array, shape (N1, N2), (N1, N2, n, n), (N1, N2, H, W, H, W), (N1, N2, n, n, H, W, H, W)
        Axes as in `refntk.recursion.literal`.

    Returns
    -------
    array, shape (N2, N1, ...)
    """
    grid = 4 * (values.ndim >= 6)
    first = values.ndim - grid
    axes = [axis + 1 - 2 * (axis % 2) for axis in range(first)]
    return values.transpose(axes + [first + (k + 2) % 4 for k in range(grid)])


def _transposed(solved: Solved) -> dict[str, FloatArray] | None:
    values = {name: transposed(truth.value) for name, truth in solved.truth.items()}
    same = all(solved.truth[name].value.shape == value.shape for name, value in values.items())
    return values if same else None


def _standard(solved: Solved, answer: Answer) -> bool:
    """Find the width that explains an NTK: it is linear in the width, and the width is whole."""
    if "ntk" not in answer:
        return False
    one, two = (standard_answer(solved.case, width)["ntk"] for width in (1, 2))
    slope, rest = two - one, answer["ntk"].astype(np.float64) - (2 * one - two)
    size = float(np.sum(slope * slope))
    width = 1 if size == 0 else float(np.sum(slope * rest)) / size
    if not 0.5 < width < _WIDEST:
        return False
    return _matches(answer, standard_answer(solved.case, round(width)), solved)


@dataclass(frozen=True)
class _OfUnitVariance(PolynomialDual):
    """A Hermite polynomial whose variances are taken for 1: T = K^d."""

    def moments(self, nngp: FloatArray, var1: FloatArray, var2: FloatArray) -> Any:
        """Raise to the power, whatever the variances."""
        degree = len(self.coefficients) - 1
        return nngp**degree, degree * nngp ** max(degree - 1, 0)


def _unit_variance(case: Case) -> dict[str, FloatArray]:
    """Take features before a Hermite polynomial for ones of variance 1."""
    program = case.network.program(case.x1.shape[1:])
    operations = tuple(
        replace(op, dual=_OfUnitVariance(op.dual.coefficients))
        if isinstance(op, Pointwise)
        and isinstance(op.dual, PolynomialDual)
        and program.origin[k][1] == "Hermite"
        else op
        for k, op in enumerate(program.operations)
    )
    state = run(replace(program, operations=operations), case.x1, case.x2)
    return {"nngp": state.nngp, "ntk": state.ntk}


def _single(solved: Solved, answer: Answer) -> bool:
    """Tell whether numbers that claim double precision are ones of single precision.

    The size of the error alone proves nothing: on hard cases single precision allows a lot.
    """
    if any(given.dtype != np.float64 for given in answer.values()):
        return False
    with np.errstate(over="ignore"):
        if any(np.any(given.astype(np.float32) != given) for given in answer.values()):
            return False
    errors = {
        name: deviation(given, solved.truth[name].value, solved.truth[name].radius)
        for name, given in answer.items()
    }
    within = all(error <= solved.truth[name].tolerance["float32"] for name, error in errors.items())
    return within and max(errors.values()) > _FLOAT32_FROM


FAULTS: tuple[Fault, ...] = (
    _known(
        "first-layer NTK twice",
        "the NTK starts from the kernel of the images; below the first layer it is zero, so that "
        "after it NTK = NNGP",
        lambda solved: _twice(solved.case),
    ),
    _known(
        "Relu gain of 2",
        "each Relu doubles the kernels; in the NTK parametrisation there is no gain, a He gain is "
        "W_std = sqrt(2)",
        lambda solved: _gain(solved.case),
    ),
    _known(
        "sum for mean pooling",
        "pooling adds up; GroupPool, GlobalAvgPool and AvgPool are means over positions and group "
        "elements",
        lambda solved: _summed(solved.case),
    ),
    Fault(
        "standard parametrisation",
        "the NTK is that of unscaled weights, and grows with the width; use the NTK "
        "parametrisation, in which the forward pass divides by the root of the fan-in",
        _standard,
        lambda solved: standard_answer(solved.case, _USUAL),
    ),
    _known(
        "filters not divided by rotations",
        "group convolutions are too large by the order of the group; their fan-in counts the "
        "group elements of a filter too",
        lambda solved: _undivided(solved.case),
    ),
    _known(
        "rotations run backwards",
        "entries before pooling are right with each group element in the place of its inverse; the "
        "quarter turn is (y, x) -> (-x, y)",
        turned_answer,
    ),
    _known(
        "Hermite off unit variance",
        "kernels after Hermite are powers of the kernel, as for features of variance 1; at other "
        "variances lower degrees have a share",
        lambda solved: _unit_variance(solved.case),
    ),
    _known(
        "NNGP and NTK swapped",
        "each kernel is right in the place of the other one",
        _swapped,
    ),
    _known(
        "transposed",
        "the matrices are right with rows and columns exchanged; rows are the images x1",
        _transposed,
    ),
    Fault(
        "float32 where float64 is claimed",
        "the numbers are right to single precision only; in JAX, switch jax_enable_x64 on before "
        "anything else, and look for dtypes that are written out",
        _single,
    ),
)
"""All known patterns; the precision comes last, because it explains what nothing else does."""
