"""What this process may use of the machine: processors and memory, as its owner shares them out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from refntk.errors import InputError

__all__ = ["available_memory", "default_threads", "require_memory"]

_LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")

_MEMORY = (
    (("memory.max", "memory.current"), ("inactive_file", "active_file")),
    (
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("total_inactive_file", "total_active_file"),
    ),
)
"""Files of a control group, of either version, with the limit and what is used of it; and the
entries of ``memory.stat`` that are files kept in memory."""

_SMALL = 1 << 26
"""Bytes that are not asked about: the system takes longer to say what it has than such a kernel."""

_ROOT = Path("/")


def default_threads(root: Path = _ROOT) -> int:
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


def available_memory(root: Path = _ROOT) -> int | None:
    """Find how many bytes this process can still take, as the system and its containers say.

    Parameters
    ----------
    root : pathlib.Path
        Where ``proc`` and ``sys`` are.

    Returns
    -------
    int or None
        All memory of the machine where it has no ``/proc``; None where nothing says so.

    Notes
    -----
    Control groups count files that the system keeps in memory as used. It drops them before it
    refuses memory to anybody, so that they count as available here, as in ``MemAvailable``.
    """
    found = []
    for line in _lines(root / "proc/meminfo"):
        name, _, size = line.partition(":")
        if name == "MemAvailable" and size.split()[:1] and size.split()[0].isdecimal():
            found.append(1024 * int(size.split()[0]))
    for group in _control_groups(root, "memory"):
        stat = dict(line.partition(" ")[::2] for line in _lines(group / "memory.stat"))
        for names, files in _MEMORY:
            limit, used = ("".join(_lines(group / name)) for name in names)
            if limit.isdecimal() and used.isdecimal():
                kept = sum(int(stat[name]) for name in files if stat.get(name, "").isdecimal())
                found.append(max(0, int(limit) - max(0, int(used) - kept)))
    if not found and root == _ROOT:
        with contextlib.suppress(AttributeError, ValueError, OSError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def require_memory(size: int, what: str, remedy: str) -> None:
    """Refuse what would not fit into memory, before anything of it is allocated.

    Parameters
    ----------
    size : int
        Bytes.
    what, remedy : str
        For the message: what needs them, in the plural, and what to do instead.

    Raises
    ------
    InputError
        There are fewer bytes.
    """
    if size <= _SMALL:
        return
    free = available_memory()
    if free is not None and size > free:
        raise InputError(
            f"{what} take {_gigabytes(size)} of memory, and {_gigabytes(free)} are available: "
            f"{remedy}"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def _quotas(root: Path) -> Iterator[int]:
    """Processors by the quotas of the control groups that hold this process."""
    for group in _control_groups(root, "cpu"):
        words = " ".join(_lines(group / "cpu.max")).split()
        if not words:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [word for name in names for word in _lines(group / name)]
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
            yield max(1, -(-int(words[0]) // int(words[1])))


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups, of either version, that hold this process."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = mount / path.strip("/")
        # A container sees its own group as the root of the mount.
        for place in {group, *group.parents, mount}:
            if place == mount or mount in place.parents:
                yield place


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().splitlines()
    return []
