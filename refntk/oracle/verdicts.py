"""Judge the answers of another implementation to the cases of the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.evaluation.evaluate import DTYPES, KERNELS
from refntk.network.layers import Elementwise, ExpNormalized, Polynomial, RectifiedMonomial
from refntk.oracle.faults import FAULTS, transposed
from refntk.oracle.truth import Solved, Truth, deviation

__all__ = ["Verdict", "difference_text", "judge", "report", "settle"]


_NAN_THERE = (Elementwise, ExpNormalized, Polynomial, RectifiedMonomial)
_NAN_REASON = (
    ", as neural-tangents 0.6.5 does for this activation where a variance is zero, or a feature "
    "meets itself"
)

@dataclass(frozen=True)
class Verdict:
    """What is to be said about the answer to one case.

    Attributes
    ----------
    case : str
        Its name.
    errors : dict
        Largest relative error of each kernel that could be judged.
    units : dict
        The same in units of the tolerance: right up to 1.
    obstacles : tuple of str
        Why something could not be judged, each in one line.
    suspects : tuple of str
        Names of the known mistakes that give this answer.
    factors : dict
        Of each kernel that is wrong by one factor throughout, that factor.
    """

    case: str
    errors: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    obstacles: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    factors: Mapping[str, float] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether a kernel that was judged is wrong."""
        return any(not value <= 1 for value in self.units.values())


def judge(solved: Solved, answer: Mapping[str, npt.NDArray[Any] | str]) -> Verdict:
    """Compare an answer with the truth, and look for a known mistake where it is wrong.

    Parameters
    ----------
    solved : Solved
    answer : mapping of arrays
        ``nngp`` and ``ntk``; the precision of an array is the one that is claimed. What is missing,
        of another shape or not finite becomes an obstacle, and so do words in place of an array.

    Returns
    -------
    Verdict
    """
    usable: dict[str, npt.NDArray[Any]] = {}
    obstacles = [] if answer else [f"{solved.case.name}: has no answer"]
    for name in KERNELS if answer else ():
        given = answer.get(name, "is missing")
        if not isinstance(given, str):
            usable[name] = given
            given = _obstacle(given, solved.truth[name])
        if given:
            layers = solved.case.network.layers
            if "NaN" in given and any(isinstance(layer, _NAN_THERE) for layer in layers):
                given += _NAN_REASON
            usable.pop(name, None)
            obstacles.append(f"{solved.case.name}: {name} {given}")
    errors, units = {}, {}
    for name, given in usable.items():
        truth = solved.truth[name]
        errors[name] = deviation(given, truth.value, truth.radius)
        units[name] = errors[name] / truth.tolerance[str(given.dtype)]
    verdict = Verdict(solved.case.name, errors, units, tuple(obstacles))
    if verdict.wrong:
        suspects = tuple(fault.name for fault in FAULTS if fault.explains(solved, usable))
        found = {name: _factor(given, solved.truth[name]) for name, given in usable.items()}
        factors = {name: factor for name, factor in found.items() if factor is not None}
        return replace(verdict, suspects=suspects, factors=factors)
    return verdict


def _factor(given: npt.NDArray[Any], truth: Truth) -> float | None:
    """Find the factor by which an answer differs from the truth, up to its precision."""
    ratios = (given.astype(np.float64) / np.where(truth.value == 0, np.nan, truth.value)).ravel()
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios):
        return None
    factor, dtype = float(np.median(ratios)), str(given.dtype)
    limit = max(_CONSTANT, truth.tolerance[dtype])
    error = deviation(given, factor * truth.value, abs(factor) * truth.radius)
    return factor if error <= limit and abs(factor - 1) > 10 * truth.tolerance[dtype] else None


def settle(
    verdicts: Sequence[Verdict], solved: Mapping[str, Solved] | None = None
) -> list[Verdict]:
    """Leave each wrong case the one suspect that explains the most cases.

    A mistake that would show in more of the right cases than it explains wrong ones is no suspect.

    Parameters
    ----------
    verdicts : sequence of Verdict
    solved : mapping of Solved, optional
        The cases by name; None leaves the right ones out of consideration.

    Returns
    -------
    list of Verdict
        With one suspect at most.
    """
    settled = {verdict.case: replace(verdict, suspects=()) for verdict in verdicts}
    cleared = _cleared(verdicts, solved or {})
    left = [
        replace(verdict, suspects=tuple(name for name in verdict.suspects if name not in cleared))
        for verdict in verdicts
    ]
    open_cases = [verdict for verdict in left if verdict.suspects]
    while open_cases:
        counts = Counter(name for verdict in open_cases for name in verdict.suspects)
        # Of equal counts the first in the order of the known mistakes.
        name = max((fault.name for fault in FAULTS), key=lambda fault: counts[fault])
        for verdict in open_cases:
            if name in verdict.suspects:
                settled[verdict.case] = replace(verdict, suspects=(name,))
        open_cases = [verdict for verdict in open_cases if name not in verdict.suspects]
    return list(settled.values())


def _cleared(verdicts: Sequence[Verdict], solved: Mapping[str, Solved]) -> set[str]:
    """Name the suspects that more right cases speak against than wrong ones for."""
    counts = Counter(name for verdict in verdicts for name in verdict.suspects)
    right = [
        solved[verdict.case]
        for verdict in verdicts
        if verdict.case in solved and not verdict.wrong and not verdict.obstacles
    ]
    cleared = set()
    for fault in FAULTS:
        against = (1 for case in right if counts[fault.name] and fault.matters(case))
        # No more cases are answered with the mistake than it takes.
        if len(list(islice(against, counts[fault.name] + 1))) > counts[fault.name]:
            cleared.add(fault.name)
    return cleared


def report(verdicts: Iterable[Verdict]) -> list[str]:
    """Write verdicts as a table with a summary.

    Parameters
    ----------
    verdicts : iterable of Verdict
        As `settle` gives them.

    Returns
    -------
    list of str
        Lines: for each case its errors in units of the tolerance and the verdict; then the counts,
        the largest relative errors, and one line a diagnosis.
    """
    rows = list(verdicts)
    width = max(len("case"), *(len(row.case) for row in rows))
    columns = f"{'nngp':>8}  {'ntk':>8}"
    lines = [f"{'case':<{width}}  {columns}  verdict (errors in units of the tolerance)"]
    for row in rows:
        cells = "  ".join(f"{_cell(row.units.get(name)):>8}" for name in KERNELS)
        lines.append(f"{row.case:<{width}}  {cells}  {_words(row)}")
    wrong = [row for row in rows if row.wrong]
    unjudged = [row for row in rows if row.obstacles]
    right = [row for row in rows if not row.wrong and not row.obstacles]
    lines += ["", f"{len(right)} right, {len(wrong)} wrong, {len(unjudged)} not judged in full"]
    for name in KERNELS:
        errors = [(row.errors[name], row.case) for row in right]
        if errors:
            largest, case = max(errors)
            lines.append(f"largest relative error of a right {name}: {largest:.1e} ({case})")
    for fault in FAULTS:
        count = sum(fault.name in row.suspects for row in wrong)
        if count:
            share = f"{count} of {len(wrong)} wrong cases"
            lines.append(f"diagnosis: {fault.name}, in {share}: {fault.remedy}")
    unknown = [row for row in wrong if not row.suspects]
    if unknown:
        lines.append(f"no known mistake explains {len(unknown)} of {len(wrong)} wrong cases")
        factors = Counter(_factors_text(row) for row in unknown if row.factors)
        for text, count in factors.most_common():
            lines.append(f"a constant factor, {text}, explains {count} of them")
    return lines


_CONSTANT = 1e-6
"""Relative spread of ratios up to which they count as one."""


def difference_text(
    answer: npt.NDArray[Any], value: npt.NDArray[np.floating[Any]], tolerance: float
) -> str:
    """Say how an array differs from the truth; nothing where it is right.

    Parameters
    ----------
    answer : array of float
    value : float array of the same shape
        The truth.
    tolerance : float
        Largest relative error that is right.

    Returns
    -------
    str
        How many entries are wrong, whether by one factor, and the worst of them.

    Examples
    --------
    >>> difference_text(np.array([2.0, 4.0]), np.array([1.0, 2.0]), 1e-12)
    '2 of 2 entries are wrong; the ratio is 2.000000 everywhere; the largest relative error 1, \
above 1e-12, is at (0,): got 2.0, expected 1.0'
    """
    given, right = np.asarray(answer, np.float64), np.asarray(value, np.float64)
    error, scale = np.abs(given - right), np.abs(right)
    relative = np.where(error > 0, np.inf, 0.0)
    np.divide(error, scale, out=relative, where=scale > 0)
    relative[~np.isfinite(given)] = np.inf
    wrong = ~(relative <= tolerance)
    if not wrong.any():
        return ""
    place = tuple(int(k) for k in np.unravel_index(np.argmax(relative), relative.shape))
    parts = [f"{np.count_nonzero(wrong)} of {wrong.size} entries are wrong"]
    if (scale > 0).all() and np.isfinite(given).all():
        ratio = given / right
        middle = float(np.median(ratio))
        if np.abs(ratio - middle).max() <= _CONSTANT * abs(middle):
            parts.append(f"the ratio is {middle:.6f} everywhere")
    parts.append(
        f"the largest relative error {relative[place]:.3g}, above {tolerance:.3g}, is at {place}: "
        f"got {float(given[place])!r}, expected {float(right[place])!r}"
    )
    return "; ".join(parts)


def _obstacle(given: npt.NDArray[Any], truth: Truth) -> str:
    """Say why an array cannot be judged; nothing if it can."""
    shape = truth.value.shape
    if given.shape != shape:
        words = f"has the shape {given.shape}, expected {shape}"
        if given.ndim == len(shape) and str(given.dtype) in DTYPES:
            turned = transposed(given)
            if turned.shape == shape and np.isfinite(turned).all():
                limit = truth.tolerance[str(given.dtype)]
                if deviation(turned, truth.value, truth.radius) <= limit:
                    words += "; transposed it is right"
        return words
    if str(given.dtype) not in DTYPES:
        return f"has the dtype {given.dtype}, expected float64 or float32"
    bad = int(np.count_nonzero(~np.isfinite(given)))
    if bad:
        return f"has NaN or infinity in {bad} of {given.size} entries"
    return ""


def _cell(units: float | None) -> str:
    return "-" if units is None else f"{units:.2g}"


def _factors_text(row: Verdict) -> str:
    return ", ".join(f"{name} × {factor:.6g}" for name, factor in row.factors.items())


def _words(row: Verdict) -> str:
    words = []
    if row.wrong:
        words.append(f"wrong: {', '.join(row.suspects) or 'no known mistake'}")
        words += [_factors_text(row)] if row.factors else []
    words += [obstacle.removeprefix(f"{row.case}: ") for obstacle in row.obstacles]
    return "; ".join(words) or "right"
