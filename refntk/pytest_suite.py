"""A plugin for pytest: every case of a suite as a test of somebody else's implementation.

    pytest --refntk-suite suite.h5

A test that asks for the fixture ``refntk_case`` runs once for each case. It answers it and hands
the answer to the fixture ``refntk_judge``, which fails with what is wrong::

    def test_my_kernels(refntk_case, refntk_judge):
        refntk_judge(my_kernels(refntk_case.network, refntk_case.x1, refntk_case.x2))

``--junit-xml`` of pytest writes the verdicts as JUnit XML.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["pytest_addoption", "pytest_configure", "pytest_generate_tests", "refntk_judge"]

_SUITE = pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --refntk-suite."""
    parser.addoption(
        "--refntk-suite",
        metavar="FILE",
        help="suite of `refntk oracle export`, or sample:oracle, which comes along; its cases "
        "become tests that ask for refntk_case",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the suite that is named."""
    path = config.getoption("--refntk-suite")
    if path is not None:
        from refntk.data.results.oracle_file import read_suite
        from refntk.errors import RefntkError

        try:
            suite = read_suite(path)
        except RefntkError as error:
            raise pytest.UsageError(f"--refntk-suite {error}") from None
        for name, reason in suite.damaged.items():
            raise pytest.UsageError(f"--refntk-suite {path}: {name}: {reason}; export it again")
        config.stash[_SUITE] = dict(suite.solved)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``refntk_case`` once for each case; without a suite skip it."""
    if "refntk_case" not in metafunc.fixturenames:
        return
    solved = metafunc.config.stash.get(_SUITE, None)
    if solved is None:
        skipped = pytest.param(None, marks=pytest.mark.skip(reason="needs --refntk-suite FILE"))
        metafunc.parametrize("refntk_case", [skipped], ids=["no-suite"])
    else:
        metafunc.parametrize("refntk_case", [one.case for one in solved.values()], ids=list(solved))


@pytest.fixture
def refntk_judge(request: pytest.FixtureRequest, refntk_case: Any) -> Callable[[Any], None]:
    """Judge the answer to ``refntk_case``: a mapping with nngp and ntk, or a pair of arrays."""
    from refntk.oracle.embedded import judge_solved

    solved = request.config.stash[_SUITE]

    def judge(answer: Any) -> None:
        __tracebackhide__ = True
        judgement = judge_solved({refntk_case.name: answer}, solved)
        if not judgement.right:
            pytest.fail(str(judgement), pytrace=False)

    return judge
