"""Compile before the first kernel is asked for: on all processors, one process a piece."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from refntk.backends import Setting
from refntk.backends.numba.close import close_correlations
from refntk.backends.numba.code_cache import COMPILING
from refntk.backends.numba.engine import SlicesEngine
from refntk.backends.numba.slices import block_sums
from refntk.errors import InputError
from refntk.network.activations import LeakyRelu, Relu
from refntk.network.dense import Dense
from refntk.network.filters import Conv
from refntk.network.network import Network
from refntk.network.pooling import Flatten, GlobalAvgPool
from refntk.network.signal import Layer
from refntk.plan.reduction import Plan, make_plan
from refntk.progress import say_once

__all__ = ["compile_piece", "folder", "pieces", "warm_up"]

_PROGRAM = "from refntk.backends.numba.warm_up import compile_piece; compile_piece({!r})"
_SECONDS_BETWEEN_LOOKS = 0.05


def folder() -> Path | None:
    """Find where machine code is kept; None where it cannot be kept.

    Returns
    -------
    pathlib.Path or None
    """
    path = getattr(block_sums._cache, "cache_path", None)
    return None if path is None else Path(path)


def pieces(
    dtypes: Sequence[str] = ("float32", "float64"),
    kernels: Sequence[str] = ("ntk", "nngp"),
    *,
    careful: bool = True,
    others: bool = False,
) -> tuple[str, ...]:
    """Name the pieces of machine code for some kernels.

    Parameters
    ----------
    dtypes : sequence of {"float64", "float32"}
    kernels : sequence of {"ntk", "nngp"}
        NTK stands for both, NNGP for the NNGP alone.
    careful : bool
        With the form that images in need of care take.
    others : bool
        For activations other than Relu, too.

    Returns
    -------
    tuple of str
        For `compile_piece`; what takes longest comes first.
    """
    form = "careful" if careful else "fast"
    activations = ("relu", "others") if others else ("relu",)
    names = [
        f"{activation} {dtype} {kernel} {form}"
        for activation in activations for kernel in kernels for dtype in dtypes
    ]  # fmt: skip
    return (*names, "close", "perceptron") if careful else (*names, "close")


def compile_piece(name: str) -> None:
    """Compile a piece in this process, and keep it on disk.

    Parameters
    ----------
    name : str
        One of `pieces`.
    """
    images = np.random.default_rng(0).random((2, 3, 3, 1))
    if name == "perceptron":
        SlicesEngine(Setting(_plan(Flatten(), Dense()))).whole(images, None, lambda fraction: None)
    elif name == "close":
        close_correlations(_plan(Conv((3, 3)), Relu(), GlobalAvgPool()), images, [(0, 1)], 1)
    else:
        activation, dtype, kernel, form = name.split()
        bent = LeakyRelu() if activation == "others" else Relu()
        plan = _plan(Conv((3, 3)), bent, GlobalAvgPool())
        engine = SlicesEngine(Setting(plan, dtype, kernel == "ntk"))
        for engine.careful in (False, True)[: 1 + (form == "careful")]:
            engine.block(engine.prepare(images), None, lambda fraction: None)


def _plan(*layers: Layer) -> Plan:
    return make_plan(Network(layers), (3, 3, 1))


def warm_up(names: Sequence[str], processes: int) -> Iterator[tuple[str, float]]:
    """Compile pieces side by side, each in a process of its own, and keep them on disk.

    Parameters
    ----------
    names : sequence of str
        Of `pieces`.
    processes : int
        How many at a time.

    Yields
    ------
    name, seconds : str, float
        A piece that is there, and how long it took: about a second where it was there before.

    Raises
    ------
    InputError
        Nothing that is compiled can be kept here.
    """
    if folder() is None:
        raise InputError(
            "nothing that is compiled can be kept here: set NUMBA_CACHE_DIR to a folder that only "
            "you can write to"
        )
    say_once(COMPILING)
    waiting = list(names)
    running: dict[subprocess.Popen[bytes], tuple[str, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                program = [sys.executable, "-P", "-c", _PROGRAM.format(waiting[0])]
                process = subprocess.Popen(program, stderr=subprocess.PIPE)
                running[process] = waiting.pop(0), time.perf_counter()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            for process in [each for each in running if each.poll() is not None]:
                name, begin = running.pop(process)
                lines = process.communicate()[1].decode(errors="replace").splitlines()
                if process.returncode:
                    reason = lines[-1] if lines else f"exit status {process.returncode}"
                    raise RuntimeError(f"compilation of {name} failed: {reason}")
                yield name, time.perf_counter() - begin
    finally:
        for process in running:
            process.kill()
            process.communicate()
