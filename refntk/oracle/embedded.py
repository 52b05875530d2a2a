"""The judge for programs that hold their answers in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.oracle.cases import Case
from refntk.oracle.truth import Solved
from refntk.oracle.verdicts import Verdict, difference_text, report, settle
from refntk.oracle.verdicts import judge as judge_case

__all__ = ["Judgement", "judge", "judge_solved"]

Answers = Mapping[str, Any] | Callable[[Case], Any]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is to be said about answers to a suite; it prints as a table.

    Attributes
    ----------
    verdicts : tuple of Verdict
        One for each case that was answered.
    details : dict of str to str
        Of each wrong case what is wrong: the ratio where it is constant, the worst entry, what was
        expected there.
    """

    verdicts: tuple[Verdict, ...]
    details: Mapping[str, str]

    @classmethod
    def of(
        cls,
        verdicts: Sequence[Verdict],
        solved: Mapping[str, Solved],
        answers: Mapping[str, Mapping[str, Any]],
    ) -> Judgement:
        """Settle verdicts, and look at what is wrong.

        Parameters
        ----------
        verdicts : sequence of Verdict
        solved : mapping of Solved
        answers : mapping of mappings of arrays
            Both by the name of the case.

        Returns
        -------
        Judgement
        """
        details = {
            verdict.case: _details(verdict, solved[verdict.case], answers[verdict.case])
            for verdict in verdicts
            if verdict.wrong
        }
        return cls(tuple(settle(verdicts, solved)), details)

    @property
    def right(self) -> bool:
        """Whether every answer is right and could be judged."""
        return not any(verdict.wrong or verdict.obstacles for verdict in self.verdicts)

    def __str__(self) -> str:
        return "\n".join([*report(self.verdicts), *self.details.values()])

    def to_json(self) -> dict[str, Any]:
        """Write everything in types that JSON has.

        Returns
        -------
        dict
            ``right``, and ``cases``: for each its name, whether it is wrong, errors and units of
            the tolerance by kernel, obstacles, suspects, factors and details. What is not finite is
            text.
        """
        return {
            "right": self.right,
            "cases": [
                {
                    "case": verdict.case,
                    "wrong": verdict.wrong,
                    "errors": _plain(verdict.errors),
                    "units": _plain(verdict.units),
                    "obstacles": list(verdict.obstacles),
                    "suspects": list(verdict.suspects),
                    "factors": _plain(verdict.factors),
                    "details": self.details.get(verdict.case, ""),
                }
                for verdict in self.verdicts
            ],
        }


def _plain(numbers: Mapping[str, float]) -> dict[str, float | str]:
    return {name: n if np.isfinite(n) else str(n) for name, n in numbers.items()}


def judge(answers: Answers, suite: str | Path = "sample:oracle") -> Judgement:
    """Compare answers with the certified ones of a suite.

    Parameters
    ----------
    answers : mapping or callable
        By the name of a case ``{"nngp": array, "ntk": array}``, a `refntk.Kernel` or a pair of
        arrays; or a function that gives this for a `Case`, and None for one that it cannot answer.
    suite : str or path
        A file of ``refntk oracle export``; by default the suite that comes with refntk.

    Returns
    -------
    Judgement
        Of the cases that were answered.

    Raises
    ------
    InputError
        The suite cannot be read, a case that is answered is damaged, it has no such case, or
        nothing is answered.

    Examples
    --------
    >>> judgement = judge(my_kernels)  # doctest: +SKIP
    >>> assert judgement.right, judgement  # doctest: +SKIP
    """
    # Files are above this module: they are read by the name of what reads them.
    read = import_module("refntk.data.results.oracle_file").read_suite(suite)
    for name, reason in read.damaged.items():
        if callable(answers) or name in answers:
            raise InputError(f"{suite}: {name}: {reason}; export the suite again")
    return judge_solved(answers, read.solved)


def judge_solved(answers: Answers, solved: Mapping[str, Solved]) -> Judgement:
    """Do as `judge`, for cases that are solved already.

    Parameters
    ----------
    answers : mapping or callable
    solved : mapping of Solved
        By the name of the case.

    Returns
    -------
    Judgement

    Raises
    ------
    InputError
        There is no such case, or nothing is answered.
    """
    if callable(answers):
        given = {name: answers(one.case) for name, one in solved.items()}
    else:
        given = dict(answers)
        for name in given:
            if name not in solved:
                raise InputError(f"{name}: the suite has no such case")
    usable = {name: _arrays(name, each) for name, each in given.items() if each is not None}
    if not usable:
        raise InputError("answers: there are none; expected one case at least")
    verdicts = [judge_case(solved[name], each) for name, each in usable.items()]
    return Judgement.of(verdicts, solved, usable)


def _details(verdict: Verdict, solved: Solved, answer: Mapping[str, Any]) -> str:
    """Say what is wrong with each kernel that is, a line each."""
    lines = []
    for name, units in verdict.units.items():
        if not units <= 1:
            truth, given = solved.truth[name], answer[name]
            text = difference_text(given, truth.value, truth.tolerance[str(given.dtype)])
            lines.append(f"{verdict.case}: {name}: {text}")
    return "\n".join(lines)


def _arrays(name: str, answer: Any) -> dict[str, npt.NDArray[Any]]:
    if isinstance(answer, Mapping):
        return {kernel: np.asarray(values) for kernel, values in answer.items()}
    try:
        nngp, ntk = answer
    except (TypeError, ValueError):
        raise InputError(
            f"{name}: expected a mapping with nngp and ntk, or a pair of arrays, not "
            f"{type(answer).__name__}"
        ) from None
    pairs = (("nngp", nngp), ("ntk", ntk))
    return {kernel: np.asarray(values) for kernel, values in pairs if values is not None}
