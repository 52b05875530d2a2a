"""`refntk env`: what refntk runs on, for a bug report."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from importlib import metadata

import click

from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["env"]

_VECTOR_FEATURES = ("sse4.2", "avx", "fma", "avx2", "avx512f", "avx512vl", "neon", "sve")


@click.command(
    cls=Command,
    epilog="""\b
Example:
  refntk env""",
)
def env() -> None:
    """Describe the installation, for a bug report.

    Prints the versions of refntk and of what it builds on, the processor with its threads and
    vector instructions, where compiled code is kept, and the graphics processors.
    """
    rows = [
        ("refntk", metadata.version("refntk")),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        *_packages(),
        *_processor(),
        ("GPUs", _gpus()),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"{name:<{width}}  {value}")


def _packages() -> Iterator[tuple[str, str]]:
    """Each package that refntk needs or can use, with its version; the tests' own are left out."""
    for requirement in metadata.requires("refntk") or ():
        extra = re.search(r"""extra == ["']([^"']+)["']""", requirement)
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if extra is not None and extra[1] == "test":
            continue
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            remedy = f' (pip install "refntk[{extra[1]}]")' if extra is not None else ""
            yield name, f"not installed{remedy}"


def _processor() -> Iterator[tuple[str, str]]:
    """Name, threads and vector instructions of the processor."""
    import llvmlite.binding as llvm

    from refntk.backends.numba.code_cache import describe
    from refntk.evaluation.machine import default_threads

    features = llvm.get_host_cpu_features()
    vectors = [name for name in _VECTOR_FEATURES if features.get(name)]
    yield "processor", f"{llvm.get_host_cpu_name()}, {os.cpu_count()} cores"
    yield "threads", f"{default_threads()} by default"
    yield "vectors", " ".join(vectors) or "none known"
    yield "machine code", describe()


def _gpus() -> str:
    """Name, memory and driver of each graphics processor, as NVIDIA's own tool tells them."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except FileNotFoundError:
        return "none found: there is no nvidia-smi"
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown: {error}"
    return "; ".join(answer.stdout.splitlines()) or "none"
