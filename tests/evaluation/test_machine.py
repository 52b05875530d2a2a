"""The number of threads where nobody says one."""

import os

import numpy as np
import pytest

import refntk
from refntk.errors import InputError
from refntk.evaluation.machine import available_memory, default_threads
from refntk.inference.definite import working_copy

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


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({"proc__meminfo": "MemTotal: 8 kB\nMemAvailable:   5 kB\n"}, 5120),
        ({"proc__meminfo": "MemAvailable: many kB\n"}, None),
        (
            {
                "proc__self__cgroup": "0::/job\n",
                "proc__meminfo": "MemAvailable: 5 kB\n",
                "sys__fs__cgroup__job__memoryDOTmax": "3000\n",
                "sys__fs__cgroup__job__memoryDOTcurrent": "1000\n",
            },
            2000,
        ),
        (
            {
                "proc__self__cgroup": "4:memory:/job\n",
                "sys__fs__cgroup__memory__job__memoryDOTlimit_in_bytes": "100\n",
                "sys__fs__cgroup__memory__job__memoryDOTusage_in_bytes": "300\n",
            },
            0,
        ),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__memoryDOTmax": "max\n"}, None),
        (
            {
                "proc__self__cgroup": "0::/job\n",
                "sys__fs__cgroup__job__memoryDOTmax": "3000\n",
                "sys__fs__cgroup__job__memoryDOTcurrent": "2900\n",
                "sys__fs__cgroup__job__memoryDOTstat": "anon 900\nactive_file 1500\n"
                "inactive_file 500\n",
            },
            2100,
        ),
        (
            {
                "proc__self__cgroup": "4:memory:/job\n",
                "sys__fs__cgroup__memory__job__memoryDOTlimit_in_bytes": "3000\n",
                "sys__fs__cgroup__memory__job__memoryDOTusage_in_bytes": "2900\n",
                "sys__fs__cgroup__memory__job__memoryDOTstat": "active_file 7\n"
                "total_active_file 1500\ntotal_inactive_file 500\n",
            },
            2100,
        ),
    ],
)  # fmt: skip
def test_available_memory(tmp_path, files, size):
    lay(tmp_path, **files)
    assert available_memory(tmp_path) == size


def test_a_kernel_that_does_not_fit_is_refused_before_it_is_made(rng):
    images = np.lib.stride_tricks.as_strided(np.ones(1), (2_000_000, 2, 2, 1), (0, 0, 0, 0))
    with pytest.raises(InputError) as caught:
        refntk.kernel("mlp-1", images)
    said = str(caught.value)
    assert said.startswith("nngp and ntk of 2000000 x 2000000 images take 6.4e+04 GB of memory")
    assert "refntk compute NETWORK X1 -o OUT.h5" in said


def test_a_factor_that_does_not_fit_is_refused():
    kernel = np.lib.stride_tricks.as_strided(np.ones(1), (2_000_000, 2_000_000), (0, 0))
    with pytest.raises(InputError, match=r"2000000 images take 3.2e\+04 GB .*IterativeR"):
        working_copy(kernel, 0.0)
