"""Measurements of speed and memory on the machine at hand, each against what it is to be held to.

One *entry* is one pair of positions (t, t') of one pair of images and one rotation; the unit of
speed is nanoseconds per entry and layer. Machines are noisy: every time is the best of several.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from refntk.backends import require
from refntk.evaluation.evaluate import DTYPES, KERNELS, Job, default_threads, kernel
from refntk.evaluation.options import Options
from refntk.network.layers import (
    Conv,
    Dense,
    Elementwise,
    Erf,
    ExpNormalized,
    Flatten,
    Gelu,
    GlobalAvgPool,
    Layer,
    LeakyRelu,
    Rbf,
    Relu,
    Sin,
)
from refntk.network.network import Network
from refntk.network.presets import preset

__all__ = ["Measurement", "command_memory", "device_measurements", "measurements"]

_DEPTH = 5
_ROWS = 4  # images x in a measurement of a single thread
_DEVICE_ROWS = 64  # images x, and x', in a measurement of a graphics processor
_DEVICE_SIZE = 32  # of these images
_SEED = 0
_Name = TypeVar("_Name")
_Array = np.ndarray[tuple[int, ...], np.dtype[Any]]


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    Attributes
    ----------
    what : str
        What was measured.
    value : str
        The figure with its unit.
    comment : str
        What it compares with, measured in the same run; may be empty.
    """

    what: str
    value: str
    comment: str = ""


def measurements(threads: int | None = None, full: bool = True) -> Iterator[Measurement]:
    """Measure, and give each line of the table as it is there.

    Parameters
    ----------
    threads : int, optional
        For the measurements with several threads. Default: all processors.
    full : bool, default True
        Also the slow ones: many images, and in processes of their own compilation, start-up and
        peak memory.

    Yields
    ------
    Measurement
    """
    count = threads or default_threads()
    peak = import_module("refntk.backends.numba.peak")
    yield Measurement("vector registers", f"{peak.vector_bits()} bits")
    yield from _entries(peak.inner_loop_time)
    yield from _networks(count)
    yield from _small()
    if full:
        yield from _activations()
        yield from _inner_pools()
        yield from _perceptrons()
        yield from _processes()


def device_measurements(threads: int | None = None) -> Iterator[Measurement]:
    """Measure a graphics processor beside its arithmetic ceiling and the processors.

    Parameters
    ----------
    threads : int, optional
        Of the processors. Default: all.

    Yields
    ------
    Measurement

    Raises
    ------
    MissingBackendError
        There is no CuPy, driver or device.
    DeviceError
        The device fails.
    """
    count = threads or default_threads()
    require("cupy")  # says what is missing
    peak = import_module("refntk.backends.cupy.peak")
    yield Measurement("graphics processor", peak.device_name())
    for dtype in reversed(DTYPES):
        for get in ("both", "nngp"):
            race = {
                "cupy": _timed(_block(_DEVICE_SIZE, dtype, get, _DEVICE_ROWS, 1, "cupy")),
                "numba": _timed(_block(_DEVICE_SIZE, dtype, get, _ROWS, count)),
            }
            times = _race(race, 5)
            entries = _DEVICE_SIZE**4 * _DEPTH
            value = times["cupy"] / (_DEVICE_ROWS**2 * entries)
            processors = times["numba"] / (_ROWS * _lanes(dtype) * entries)
            ceiling = peak.ceiling(dtype, get == "both")
            share = f"{ceiling / value:.0%} of its ceiling" if ceiling else "ceiling unknown"
            names = "NNGP + NTK" if get == "both" else "NNGP alone"
            yield Measurement(
                f"{dtype}, {names}, {_DEVICE_SIZE}x{_DEVICE_SIZE}, cupy",
                f"{value * 1e9:.5f} ns per entry and layer",
                f"{share}, {processors / value:.0f} x faster than {count} threads",
            )


def _entries(inner_loop_time: Callable[[str, bool], float]) -> Iterator[Measurement]:
    """Speed of one thread, beside that of the bare inner loop."""
    cases = [
        ("float32", "both", 28), ("float32", "both", 32), ("float32", "nngp", 28),
        ("float64", "both", 28), ("float64", "nngp", 28),
    ]  # fmt: skip
    race: dict[object, Callable[[], float]] = {
        case: _timed(_block(case[2], case[0], case[1], _ROWS, 1)) for case in cases
    }
    race |= {
        (dtype, get): partial(inner_loop_time, dtype, get == "both") for dtype, get, _ in cases
    }
    times = _race(race, 12)
    entry = {
        case: times[case] / (_ROWS * _lanes(case[0]) * case[2] ** 4 * _DEPTH) for case in cases
    }
    for dtype, get, size in cases:
        value, bare = entry[dtype, get, size], times[dtype, get]
        names = "NNGP + NTK" if get == "both" else "NNGP alone"
        comment = f"{bare / value:.0%} of the bare inner loop ({bare * 1e9:.3f} ns)"
        if get == "nngp":
            comment += f", {value / entry[dtype, 'both', size]:.2f} x both"
        elif dtype == "float64":
            comment += f", {value / entry['float32', get, size]:.2f} x float32"
        yield Measurement(
            f"{dtype}, {names}, {size}x{size}, 1 thread",
            f"{value * 1e9:.3f} ns per entry and layer", comment,
        )  # fmt: skip


def _networks(threads: int) -> Iterator[Measurement]:
    """Speed of all threads on a Gram matrix of the paper's network."""
    net, images = preset("gcnn-paper"), _images(16, 32)
    times = _race(
        {
            (dtype, count): _timed(partial(kernel, net, images, dtype=dtype, threads=count))
            for dtype in DTYPES
            for count in (1, threads)
        },
        5,
    )
    pairs = len(images) * (len(images) + 1) / 2
    for dtype in reversed(DTYPES):
        gain = times[dtype, 1] / times[dtype, threads]
        yield Measurement(
            f"gcnn-paper, 32x32, {dtype}, {threads} threads",
            f"{times[dtype, threads] / pairs * 1e3:.1f} ms a pair",
            f"{gain:.2f} x faster than 1 thread",
        )


def _small() -> Iterator[Measurement]:
    """Problems that fill no lanes, each beside what its pairs cost among many, on one thread."""
    head: list[Layer] = [Dense(), Relu(), Dense()]
    flat = Network([*_network().layers[:-1], Flatten()])
    nets = {"pooled": _network(), "head": Network([*_network().layers, *head]), "flat": flat}
    for dtype in reversed(DTYPES):
        run = partial(partial, kernel, dtype=dtype, threads=1)
        small, large, lanes = _images(64, 8), _images(32, 28), _lanes(dtype)
        times = _race(
            {
                "pair": _timed(run(nets["pooled"], small[:1], small[1:2])),
                "full": _timed(run(nets["pooled"], small[:lanes], small[-lanes:])),
                "gram": _timed(run(nets["pooled"], small[:50])),
                "cross": _timed(run(nets["pooled"], small[:8], small[32:])),
                "head": _timed(run(nets["head"], small[:8], small[32:])),
                "flat": _timed(run(nets["flat"], large, large[::-1])),
                "nngp": _timed(run(nets["flat"], large, large[::-1], get="nngp")),
            },
            5,
        )
        pair = times["full"] / lanes**2
        yield Measurement(
            f"{dtype}, one pair, 8x8, 1 thread", f"{times['pair'] * 1e3:.2f} ms",
            f"{times['pair'] / pair:.1f} x a pair among {lanes}x{lanes}",
        )  # fmt: skip
        yield Measurement(
            f"{dtype}, Gram matrix of 50, 8x8, 1 thread", f"{times['gram'] * 1e3:.1f} ms",
            f"{times['gram'] / (50 * 51 / 2 * pair):.2f} x its pairs among {lanes}x{lanes}",
        )  # fmt: skip
        yield Measurement(
            f"{dtype}, 8 x 32 images, a head, 8x8, 1 thread", f"{times['head'] * 1e3:.1f} ms",
            f"{times['head'] / times['cross']:.2f} x without the head",
        )  # fmt: skip
        yield Measurement(
            f"{dtype}, Flatten, 28x28, 1 thread", f"{times['flat'] / 32**2 * 1e6:.1f} us a pair",
            f"NNGP alone {times['nngp'] / times['flat']:.2f} x both",
        )  # fmt: skip


def _activations() -> Iterator[Measurement]:
    """Other activations beside Relu, in the same network and on one thread."""
    others: list[Layer] = [
        LeakyRelu(alpha=0.1), Sin(), Rbf(), ExpNormalized(), Gelu(), Erf(), Elementwise("sigmoid"),
    ]  # fmt: skip
    layers: list[Layer] = [Relu(), *others]
    race = {
        layer: _timed(_block(28, "float64", "both", _ROWS, 1, net=_network(layer)))
        for layer in layers
    }
    times = _race(race, 5)
    for layer in others:
        value = times[layer] / (_ROWS * _lanes("float64") * 28**4 * _DEPTH)
        yield Measurement(
            f"{type(layer).__name__}, float64, NNGP + NTK, 28x28, 1 thread",
            f"{value * 1e9:.3f} ns per entry and layer",
            f"{times[layer] / times[layers[0]]:.2f} x Relu",
        )


def _inner_pools() -> Iterator[Measurement]:
    """Time a network that pools before its readout, beside its layers before the first pooling."""
    net, size = preset("myrtle-5"), 32
    first = Network([*net.layers[:4], GlobalAvgPool()])
    for dtype in reversed(DTYPES):
        times = _race(
            {
                name: _timed(_block(size, dtype, "both", _ROWS, 1, net=each))
                for name, each in (("whole", net), ("first", first))
            },
            5,
        )
        yield Measurement(
            f"myrtle-5, {size}x{size}, {dtype}, 1 thread",
            f"{times['whole'] / (_ROWS * _lanes(dtype)) * 1e3:.2f} ms a pair",
            f"{times['whole'] / times['first']:.2f} x its layers before the first pooling",
        )


def _perceptrons() -> Iterator[Measurement]:
    """Time a Gram matrix of a perceptron on one thread, beside plain NumPy."""
    net, images = preset("mlp-5"), _images(3000, 28)[..., :1]
    flat = images.reshape(len(images), -1)
    for dtype in reversed(DTYPES):
        times = _race(
            {
                "refntk": _timed(partial(kernel, net, images, dtype=dtype, threads=1)),
                "numpy": _timed(partial(_plain_perceptron, flat.astype(dtype), 5)),
            },
            2,
        )
        yield Measurement(
            f"mlp-5, {len(images)} images of 28x28, {dtype}, 1 thread",
            f"{times['refntk']:.2f} s", f"{times['numpy'] / times['refntk']:.1f} x plain NumPy",
        )  # fmt: skip


def _plain_perceptron(flat: _Array, depth: int) -> tuple[_Array, _Array]:
    """Kernels of `mlp-5` as the formulas say, which lose digits near duplicates."""
    nngp = flat @ flat.T / flat.dtype.type(flat.shape[1])
    ntk, variance = np.zeros_like(nngp), np.diagonal(nngp).copy()
    for _ in range(depth):
        nngp, variance = nngp + 1, variance + 1  # the biases
        scale = np.sqrt(np.outer(variance, variance))
        cosine = np.clip(nngp / scale, -1, 1)
        angle = np.arccos(cosine)
        slope = (np.pi - angle) / (2 * np.pi)
        ntk = (ntk + nngp) * slope
        nngp = scale * (np.sin(angle) / (2 * np.pi) + slope * cosine)
        variance = variance / 2
    return nngp, nngp + ntk


def _race(runners: dict[_Name, Callable[[], float]], rounds: int) -> dict[_Name, float]:
    """Let functions that return seconds run in turns, and keep the best of each.

    In turns, because a machine that others use is fast for some seconds and slow for the next.
    """
    for run in runners.values():
        run()  # compiles, and fills the caches
    times = [{name: run() for name, run in runners.items()} for _ in range(rounds)]
    return {name: min(time[name] for time in times) for name in runners}


def _timed(function: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        begin = time.perf_counter()
        function()
        return time.perf_counter() - begin

    return run


def _lanes(dtype: str) -> int:
    """Count the images x' that are computed side by side."""
    return 64 // np.dtype(dtype).itemsize


def _images(count: int, size: int) -> _Array:
    return np.random.default_rng(_SEED).random((count, size, size, 3))


def _network(activation: Layer = Relu()) -> Network:  # noqa: B008  (frozen)
    """Build an ordinary network, whose pairs of images cost a single rotation."""
    layers: list[Layer] = [Conv((3, 3)), activation]
    return Network([*layers * _DEPTH, GlobalAvgPool()])


def _block(
    size: int, dtype: str, get: str, rows: int, threads: int, backend: str = "numba",
    net: Network | None = None,
) -> Callable[[], object]:  # fmt: skip
    """Prepare kernels between `rows` images and as many as there are lanes, or rows again."""
    columns = _lanes(dtype) if backend == "numba" else rows
    job = Job(
        net or _network(), _images(rows, size), _images(columns, size),
        options=Options(
            backend=backend, get=KERNELS if get == "both" else get, dtype=dtype, threads=threads
        ),
    )  # fmt: skip
    return lambda: [job.block(tile) for tile in job.tiles]


def _processes() -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        cold = os.environ | {"NUMBA_CACHE_DIR": folder}
        images = Path(folder, "images.npy")
        np.save(images, _images(1, 4))
        once = ["compute", "gcnn-paper", str(images), "--overwrite", "-o", f"{folder}/once.h5"]
        first, second = (_command(once, cold) for _ in range(2))
        yield Measurement(
            "compute one 4x4 image, compiling", f"{first:.1f} s", f"{second:.1f} s once cached"
        )
        version = min(_command(["--version"], dict(os.environ)) for _ in range(5))
        yield Measurement("refntk --version", f"{version:.2f} s")
        np.save(images, _images(90, 32))
        many = ["compute", "gcnn-paper", str(images), "--dtype", "float32"]
        begin = time.perf_counter()
        peak = command_memory([*many, "-o", f"{folder}/many.h5"])
        seconds = time.perf_counter() - begin
        yield Measurement(
            "compute gcnn-paper, 90 images of 32x32", f"{peak:.0f} MB at most", f"{seconds:.0f} s"
        )


def command_memory(arguments: list[str]) -> float:
    """Run the command line in a process of its own.

    Parameters
    ----------
    arguments : list of str
        Those of `refntk`.

    Returns
    -------
    float
        Largest resident memory of the process, in units of 2**20 bytes.
    """
    # Not the usage that the system reports of a child: that counts the memory of its parent, too.
    code = """if True:
        import sys
        from refntk.cli import main
        main(sys.argv[1:], standalone_mode=False)
        status = open("/proc/self/status").read().split()
        print(status[status.index("VmHWM:") + 1])
    """
    return int(_run(code, arguments, dict(os.environ)).split()[-1]) / 1024


def _command(arguments: list[str], environment: dict[str, str]) -> float:
    """Run the command line in a process of its own, and time it."""
    begin = time.perf_counter()
    _run("from refntk.cli import main; main()", arguments, environment)
    return time.perf_counter() - begin


def _run(code: str, arguments: list[str], environment: dict[str, str]) -> str:
    # Without -P a folder refntk/ in the current one would hide the installed package.
    program = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(
        program, check=True, env=environment, capture_output=True, text=True
    ).stdout
