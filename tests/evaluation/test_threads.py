"""The number of threads where nobody says one."""

import os

import pytest

from refntk.evaluation.threads import default_threads

VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch):
    """A machine of eight processors, and an environment that says nothing."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def lay(root, **files):
    """Write files of a control group, names with __ for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(("value", "count"), [("3", 3), ("99", 8), ("0", 8), ("-1", 8), ("x", 8)])
def test_variables(tmp_path, monkeypatch, name, value, count):
    monkeypatch.setenv(name, value)
    assert default_threads(tmp_path) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", 8), ("", 8),
     ("99 0", 8), ("1600000 100000", 8)],
)  # fmt: skip
@pytest.mark.parametrize("place", ["", "job__", "job__step__"])
def test_the_second_version(tmp_path, text, count, place):
    lay(tmp_path, proc__self__cgroup="0::/job/step\n")
    lay(tmp_path, **{f"sys__fs__cgroup__{place}cpuDOTmax": text + "\n"})
    assert default_threads(tmp_path) == count


@pytest.mark.parametrize(("quota", "count"), [("300000", 3), ("-1", 8)])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_the_first_version(tmp_path, quota, count, controllers):
    lay(tmp_path, proc__self__cgroup=f"5:memory:/m\n4:{controllers}:/job\n")
    lay(
        tmp_path,
        sys__fs__cgroup__cpu__job__cpuDOTcfs_quota_us=quota + "\n",
        sys__fs__cgroup__cpu__job__cpuDOTcfs_period_us="100000\n",
    )
    assert default_threads(tmp_path) == count


def test_nothing_is_known(tmp_path):
    assert default_threads(tmp_path) == 8
    assert default_threads() >= 1
