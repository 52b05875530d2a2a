"""How many threads a computation takes where nobody says: what the machine and its owner allow."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["default_threads"]

_LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def default_threads(root: Path = Path("/")) -> int:
    """Count the processors that this process may use, or fewer where the environment says so.

    Batch scripts and the workers of joblib and dask set ``NUMBA_NUM_THREADS``, ``OMP_NUM_THREADS``
    or ``LOKY_MAX_CPU_COUNT``, and containers have a quota of processor time; the smallest holds.
    What is not a positive number counts as not set.

    Parameters
    ----------
    root : pathlib.Path
        Where ``proc`` and ``sys`` are.

    Returns
    -------
    int
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [os.environ.get(name, "") for name in _LIMITS]
    asked = [int(limit) for limit in limits if limit.isdecimal() and int(limit) > 0]
    return min([count or 1, *asked, *_quotas(root)])


def _quotas(root: Path) -> list[int]:
    """Processors by the quotas of the control groups, of either version, that hold this process."""
    found = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = mount / path.strip("/")
        # A container sees its own group as the root of the mount.
        for place in {group, *group.parents, mount}:
            if place == mount or mount in place.parents:
                words = " ".join(_lines(place / "cpu.max")).split()
                if not words:
                    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                    words = [word for name in names for word in _lines(place / name)]
                if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
                    found.append(max(1, -(-int(words[0]) // int(words[1]))))
    return found


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().splitlines()
    return []
