"""The backend cupy without a graphics processor: what is missing, and arrays of either kind.

What it computes is tested in `cuda_on_host`. CuPy is replaced by the stand-in of that folder.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import cpu_cupy
import numpy as np
import pytest

import refntk
from refntk.backends import methods_of, require
from refntk.backends.cupy.geometry import Limits, geometry
from refntk.errors import InputError, MissingBackendError
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.network import Network, preset
from refntk.network.layers import Conv, Dense, Flatten, GlobalAvgPool, GroupPool, Lift, Relu
from refntk.plan.reduction import make_plan

NETWORK = Network(
    [Lift((3, 3), group="C2", b_std=0.1), Relu(), GroupPool(), Dense(), Relu(), Dense()]
)
UNUSABLE = "^the backend cupy cannot be used here: "


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put the stand-in in the place of CuPy, with two devices."""
    monkeypatch.setitem(sys.modules, "cupy", cpu_cupy)
    monkeypatch.setattr(cpu_cupy, "settings", cpu_cupy.Settings())
    cpu_cupy.settings.devices = 2
    return cpu_cupy


def literal(*images: Any, **options: Any) -> refntk.Kernel:
    return refntk.kernel(NETWORK, *images, backend="cupy", method="literal", **options)


# ---------------------------------------------------------------------------------------------
# What is missing.


class Absent:
    """Finds no CuPy."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "cupy":
            raise ModuleNotFoundError("No module named 'cupy'", name=name)


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    message = r'^the backend cupy cannot be used here .*pip install "refntk\[gpu\]"$'
    with pytest.raises(MissingBackendError, match=message):
        require("cupy")
    with pytest.raises(MissingBackendError, match=message):
        literal(np.ones((1, 4, 4, 1)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"driver": 0}, "there is no NVIDIA driver: install one, and see that nvidia-smi finds "),
        (
            {"driver": 12040},
            "the NVIDIA driver is made for CUDA 12.4, and this CuPy for CUDA 13.2: update the "
            r"driver, or install the CuPy for an older CUDA \(cupy-cuda12x\)$",
        ),
        ({"devices": 0}, "no graphics processor found: see that nvidia-smi lists one and that "),
        (
            {"devices": -1},
            r"no usable graphics processor \(cudaErrorUnknown: unknown error\): see what ",
        ),
    ],
)
def test_without_a_driver_or_a_device(cupy: Any, settings: dict[str, int], message: str) -> None:
    for name, value in settings.items():
        setattr(cupy.settings, name, value)
    with pytest.raises(MissingBackendError, match=UNUSABLE + message):
        require("cupy")


def test_a_driver_for_a_newer_minor_version_will_do(cupy: Any) -> None:
    cupy.settings.driver = 13000
    assert methods_of("cupy") == ("slices", "literal")


def test_cupy_is_imported_when_it_is_asked_for() -> None:
    program = """
import sys
import numpy as np
import refntk
net = refntk.Network([refntk.Conv((3, 3)), refntk.GlobalAvgPool()])
refntk.kernel(net, np.ones((1, 3, 3, 1)), backend="numpy")
print("cupy" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


# ---------------------------------------------------------------------------------------------
# Arrays are taken from either side, and given back there.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_arrays_come_back(cupy: Any, dtype: str, rng: np.random.Generator) -> None:
    images = rng.normal(size=(3, 3, 3, 1))
    result = literal(images, dtype=dtype)
    right = refntk.kernel(NETWORK, images, backend="numpy", method="literal", dtype=dtype)
    for name in ("nngp", "ntk"):
        assert type(getattr(result, name)) is np.ndarray
        assert np.array_equal(getattr(result, name), getattr(right, name))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cupy_arrays_come_back_to_their_device(
    cupy: Any, dtype: str, number: int, rng: np.random.Generator
) -> None:
    x1, x2 = rng.normal(size=(3, 3, 3, 1)), rng.normal(size=(2, 3, 3, 1))
    for images in ((x1,), (x1, x2)):
        with cupy.cuda.Device(number):
            given = [cupy.asarray(x) for x in images]
        result = literal(*given, dtype=dtype, get="ntk")
        right = literal(*images, dtype=dtype, get="ntk")
        assert result.nngp is None
        assert type(result.ntk) is cupy.ndarray
        assert (result.ntk.device.id, result.ntk.dtype) == (number, dtype)
        assert np.array_equal(result.ntk.get(), right.ntk)
    assert cupy.cuda.Device().id == 0


def test_integer_cupy_arrays_are_scaled(cupy: Any, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, size=(2, 3, 3, 1), dtype=np.uint8)
    result = literal(cupy.asarray(images))
    assert np.array_equal(result.nngp.get(), literal(images / 255).nngp)


def test_arrays_in_different_places(cupy: Any) -> None:
    image = np.ones((1, 3, 3, 1))
    first = cupy.asarray(image)
    with cupy.cuda.Device(1):
        second = cupy.asarray(image)
    for images, message in (
        ((first, second), "X1 is on device 0 and X2 is on device 1: bring both to one place"),
        ((image, second), "X1 is on the host and X2 is on device 1: bring both to one place"),
        ((second, image), "X1 is on device 1 and X2 is on the host: bring both to one place"),
    ):
        with pytest.raises(InputError, match=f"^{message}$"):
            literal(*images)


def test_cupy_arrays_for_another_backend(cupy: Any) -> None:
    message = (
        "^X1 is a CuPy array, which the backend numba does not take: use the backend cupy, or "
        "bring it to the host with cupy.asnumpy$"
    )
    with pytest.raises(InputError, match=message):
        refntk.kernel(NETWORK, cupy.asarray(np.ones((1, 3, 3, 1))))


def test_device_memory_is_for_this_backend_alone(cupy: Any) -> None:
    images = np.ones((1, 3, 3, 1))
    message = "^device_memory: the backend numpy takes none; it is for cupy$"
    with pytest.raises(InputError, match=message):
        refntk.kernel(NETWORK, images, backend="numpy", device_memory=2**20)
    for wrong in (0, -1, 1.5, True):
        message = re.escape(f"device_memory: expected a positive whole number, not {wrong!r}")
        with pytest.raises(InputError, match=f"^{message}$"):
            literal(images, device_memory=wrong)


# ---------------------------------------------------------------------------------------------
# Which mapping a network gets.

H100 = Limits(block=227 * 1024, multiprocessor=228 * 1024, multiprocessors=132)
SMALL = Limits(block=48 * 1024, multiprocessor=64 * 1024, multiprocessors=20)


@pytest.mark.parametrize(
    ("layers", "side", "padding"),
    [
        ([Conv((3, 3)), Relu(), Conv((3, 3)), GlobalAvgPool()], 3, "SAME"),
        ([Conv((5, 5), padding="CIRCULAR"), Relu(), Flatten()], 5, "CIRCULAR"),
        ([Conv((3, 3), padding="VALID"), Relu(), GlobalAvgPool()], 3, "VALID"),
        ([Conv((1, 1), padding="VALID"), Relu(), GlobalAvgPool()], 1, "SAME"),
        ([Conv((3, 3)), Relu(), Conv((1, 1)), GlobalAvgPool()], 0, ""),
        ([Conv((3, 3)), Relu(), Conv((3, 3), padding="VALID"), GlobalAvgPool()], 0, ""),
        ([Conv((3, 3), padding="VALID"), Relu(), Conv((3, 3)), GlobalAvgPool()], 0, ""),
        ([Conv((3, 3), strides=(2, 2)), Relu(), GlobalAvgPool()], 0, ""),
        ([Conv((3, 5)), Relu(), GlobalAvgPool()], 0, ""),
        ([Conv((7, 7)), Relu(), GlobalAvgPool()], 0, ""),
        ([Conv((3, 3)), Conv((3, 3)), Relu(), GlobalAvgPool()], 0, ""),  # no place for the sum
        ([GlobalAvgPool()], 0, ""),
    ],
)
def test_networks_of_one_filter_march(layers: list[Any], side: int, padding: str) -> None:
    plan = make_plan(Network(layers), (9, 9, 2))
    layout = geometry(plan, np.dtype("float32"), H100)
    assert (layout.side, layout.padding) == (side, padding)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 3, 28, 32, 64])
def test_slices_of_common_sizes_fit_into_shared_memory(size: int, dtype: str) -> None:
    plan = make_plan(preset("gcnn-paper"), (size, size, 3))
    for limits in (H100, Limits(block=163 * 1024, multiprocessor=164 * 1024, multiprocessors=108)):
        layout = geometry(plan, np.dtype(dtype), limits)
        assert layout.side == 3
        assert layout.shared + 1024 <= limits.block
        assert layout.threads <= 512
        assert layout.threads == layout.sizes.slices * -(-size // layout.sizes.strip) * size


def test_large_slices_go_to_global_memory() -> None:
    plan = make_plan(preset("gcnn-paper"), (64, 64, 3))
    layout = geometry(plan, np.dtype("float32"), SMALL)
    assert (layout.side, layout.sizes.scratch, layout.shared) == (0, 1, 0)
    plan = make_plan(preset("gcnn-paper"), (36, 36, 3))
    layout = geometry(plan, np.dtype("float64"), SMALL)
    assert (layout.side, layout.sizes.scratch, layout.shared) == (0, 0, 4 * 36**2 * 8)


def test_a_job_travels_to_a_worker(cupy: Any, rng: np.random.Generator) -> None:
    # What a scheduler sends: images and the plan, but neither CuPy nor its functions.
    images = rng.normal(size=(3, 3, 3, 1))
    options = Options(backend="cupy", method="literal", device_memory=2**30)
    job = Job(NETWORK, images, options=options)
    copy = pickle.loads(pickle.dumps(job))
    assert copy.tiles == job.tiles
    assert np.array_equal(copy.block(copy.tiles[0])["ntk"], literal(images).ntk)
