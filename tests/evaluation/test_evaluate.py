"""`refntk.kernel` and the job behind it: arguments, tiles, heads and progress."""

from __future__ import annotations

import math
import os
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refntk
from refntk.backends import methods_of
from refntk.data import load_images
from refntk.errors import (
    InputError,
    MethodError,
    NetworkError,
    RefntkError,
    ShapeError,
    UnknownBackendError,
)
from refntk.evaluation.evaluate import DTYPES, KERNELS, Job, Kernel, default_threads, kernel
from refntk.evaluation.options import Options
from refntk.evaluation.tiles import Tile
from refntk.network import Network, preset
from refntk.network.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Layer,
    Lift,
    Relu,
)

Close = Callable[..., None]

BODY: list[Layer] = [
    Lift((3, 3), group="C4", b_std=0.1),
    Relu(),
    GroupConv((3, 3)),
    Relu(),
    GroupPool(),
]
NETWORK = Network([*BODY, Dense(W_std=1.2, b_std=0.3)])
DEEP_HEAD = Network([*BODY, Dense(), Relu(), Dense(b_std=0.1), Relu()])


def test_the_function_is_public() -> None:
    assert refntk.kernel is kernel
    assert refntk.Kernel is Kernel


# ---------------------------------------------------------------------------------------------
# Images.


def test_forms_of_images(rng: np.random.Generator) -> None:
    images = rng.normal(size=(4, 6, 6, 2))
    right = kernel(NETWORK, images)
    frozen = images.copy()
    frozen.setflags(write=False)
    strided = np.zeros((4, 12, 6, 3))[:, ::2, :, :2]
    strided[...] = images
    turned = np.ascontiguousarray(images.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    swapped = images.astype(images.dtype.newbyteorder())
    for form in (frozen, strided, turned, swapped, images.tolist()):
        for other in (None, images):
            result = kernel(NETWORK, form, other)
            assert np.array_equal(result.nngp, kernel(NETWORK, images, other).nngp)
            if other is None:
                assert np.array_equal(result.ntk, right.ntk)
    assert np.array_equal(kernel(NETWORK, images, strided).ntk, kernel(NETWORK, images, images).ntk)


def test_integers_are_scaled(rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, size=(3, 4, 4, 3), dtype=np.uint8)
    before = images.copy()
    result, right = kernel(NETWORK, images), kernel(NETWORK, images / 255)
    assert np.array_equal(result.ntk, right.ntk)
    assert np.array_equal(images, before)
    # Each argument by itself.
    mixed = kernel(NETWORK, images, images / 255)
    assert np.array_equal(mixed.ntk, kernel(NETWORK, images / 255, images / 255).ntk)


@pytest.mark.parametrize("dtype", DTYPES)
def test_images_of_lower_precision(dtype: str, rng: np.random.Generator) -> None:
    images = rng.normal(size=(3, 4, 4, 3)).astype(np.float16)
    result = kernel(NETWORK, images, dtype=dtype)
    assert result.nngp.dtype == result.ntk.dtype == dtype
    assert np.array_equal(result.ntk, kernel(NETWORK, images.astype(np.float64), dtype=dtype).ntk)


@pytest.mark.parametrize("net", [NETWORK, DEEP_HEAD, Network([Flatten(), Dense(), Relu()])])
def test_the_same_images_given_twice(
    net: Network, rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.normal(size=(5, 4, 4, 2))
    once, twice = kernel(net, images), kernel(net, images, images.copy())
    for name in KERNELS:
        one, two = getattr(once, name), getattr(twice, name)
        assert np.array_equal(np.triu(one), np.triu(two))
        assert_close(two, one, tol=1e-13)
        assert np.array_equal(one, one.T)


def test_a_single_image() -> None:
    result = kernel(NETWORK, np.full((1, 1, 1, 1), 0.5))
    assert result.nngp.shape == result.ntk.shape == (1, 1)
    assert result.ntk[0, 0] > result.nngp[0, 0] > 0


def test_no_warnings_for_zeros(rng: np.random.Generator) -> None:
    images = rng.normal(size=(4, 4, 4, 2))
    images[1] = 0
    net = Network([*BODY, Dense(), Relu(), Dense()])
    no_bias = Network([Lift((3, 3), group="C4"), *net.layers[1:]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tile in (2, 4):
            result = kernel(no_bias, images, tile=tile)
            assert not result.ntk[1].any()
            assert not result.nngp[:, 1].any()
            assert np.isfinite(result.ntk).all()


@pytest.mark.parametrize("method", ["slices", "literal"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_without_biases_the_size_of_an_image_is_of_no_account(
    dtype: str, method: str, rng: np.random.Generator
) -> None:
    net = Network([Lift((3, 3), group="C4"), Relu(), *BODY[2:], Dense()])
    images = rng.normal(size=(4, 4, 4, 2))
    right = kernel(net, images, dtype=dtype, method=method)
    powers = np.array([0, 40, -40, 3])
    scaled = np.ldexp(images, powers[:, None, None, None])
    for tile in (None, 2):
        result = kernel(net, scaled, dtype=dtype, method=method, tile=tile)
        for name in KERNELS:
            expected = np.ldexp(getattr(right, name), powers[:, None] + powers)
            assert np.array_equal(getattr(result, name), expected)


@pytest.mark.parametrize("scale", [1e-150, 1e-18, 1e18, 1e150])
def test_very_large_and_very_small_images(
    scale: float, rng: np.random.Generator, assert_close: Close
) -> None:
    images = rng.random(size=(3, 4, 4, 2))
    net = Network([Conv((3, 3)), Relu(), Conv((3, 3)), Relu(), GlobalAvgPool(), Dense(), Relu()])
    right, result = kernel(net, images), kernel(net, images * scale)
    assert_close(result.nngp / scale**2, right.nngp)
    assert_close(result.ntk / scale**2, right.ntk)
    if 1e-20 < scale < 1e20:
        single = kernel(net, images * scale, dtype="float32")
        assert_close(single.ntk.astype(np.float64) / scale**2, right.ntk, tol=1e-5)


# ---------------------------------------------------------------------------------------------
# What to compute.


def test_kernels_by_name(rng: np.random.Generator) -> None:
    images = rng.normal(size=(2, 4, 4, 1))
    both = kernel(NETWORK, images)
    for get in (("nngp", "ntk"), ["ntk", "nngp"], ("ntk", "nngp", "ntk"), {"nngp", "ntk"}):
        result = kernel(NETWORK, images, get=get)
        assert np.array_equal(result.nngp, both.nngp)
        assert np.array_equal(result.ntk, both.ntk)
        assert Job(NETWORK, images, options=Options(get=get)).get == ("nngp", "ntk")
    for get in ("nngp", ["nngp"], ("nngp",)):
        result = kernel(NETWORK, images, get=get)
        assert np.array_equal(result.nngp, both.nngp)
        assert result.ntk is None
    result = kernel(NETWORK, images, get="ntk")
    assert result.nngp is None
    assert np.array_equal(result.ntk, both.ntk)


def test_single_precision_of_the_result(rng: np.random.Generator, assert_close: Close) -> None:
    images = rng.random(size=(3, 5, 5, 3))
    for method in ("slices", "literal"):
        single = kernel(NETWORK, images, dtype="float32", method=method)
        double = kernel(NETWORK, images, dtype="float64", method=method)
        assert single.ntk.dtype == single.nngp.dtype == np.float32
        assert double.ntk.dtype == double.nngp.dtype == np.float64
        assert_close(single.nngp, double.nngp, tol=1e-5)
        assert_close(single.ntk, double.ntk, tol=1e-5)


def test_numpy_types_name_the_precision(rng: np.random.Generator) -> None:
    images = rng.random(size=(1, 3, 3, 1))
    assert kernel(NETWORK, images, dtype=np.dtype(np.float32)).ntk.dtype == np.float32


@pytest.mark.parametrize(
    "head",
    [
        (),
        (Dense(),),
        (Dense(W_std=0.7, b_std=0.3), Dense(W_std=1.5)),
        (Dense(W_std=1.3, b_std=0.2), Relu()),
        (Dense(), Relu(), Dense(b_std=0.5), Relu(), Dense()),
    ],
)
def test_layers_of_the_head(
    head: tuple[Layer, ...], rng: np.random.Generator, assert_close: Close
) -> None:
    x1, x2 = rng.normal(size=(3, 4, 4, 2)), rng.normal(size=(4, 4, 4, 2))
    nngp, ntk = (getattr(kernel(Network(BODY), x1, x2), name) for name in KERNELS)
    var1, var2 = (np.diagonal(kernel(Network(BODY), x).nngp) for x in (x1, x2))
    for layer in head:
        if isinstance(layer, Dense):
            nngp, var1, var2 = (
                layer.W_std**2 * k + layer.b_std**2 for k in (nngp, var1, var2)
            )
            ntk = nngp + layer.W_std**2 * ntk
        else:
            roots = np.sqrt(np.outer(var1, var2))
            theta = np.arccos(nngp / roots)
            ntk = ntk * (math.pi - theta) / (2 * math.pi)
            sine = np.sin(theta) + (math.pi - theta) * np.cos(theta)
            nngp, var1, var2 = roots * sine / (2 * math.pi), var1 / 2, var2 / 2
    result = kernel(Network([*BODY, *head]), x1, x2)
    assert_close(result.nngp, nngp)
    assert_close(result.ntk, ntk)


def test_a_relu_right_after_pooling(rng: np.random.Generator, assert_close: Close) -> None:
    images = rng.normal(size=(4, 4, 4, 2))
    net = Network([Conv((3, 3), b_std=0.3), GlobalAvgPool(), Relu()])
    linear, result = kernel(Network(net.layers[:2]), images), kernel(net, images)
    assert np.array_equal(np.diagonal(result.nngp), np.diagonal(linear.nngp) / 2)
    assert np.array_equal(np.diagonal(result.ntk), np.diagonal(linear.ntk) / 2)
    right = kernel(net, images, backend="numpy")
    assert_close(result.nngp, right.nngp)
    assert_close(result.ntk, right.ntk)


# ---------------------------------------------------------------------------------------------
# Methods and backends.


def test_the_cheapest_method_is_taken() -> None:
    images = np.ones((1, 6, 6, 1))
    assert Job(NETWORK, images).method == "slices"
    assert Job(NETWORK, images, options=Options(backend="numpy")).method == "literal"
    turned = Network([Lift((1, 3), group="C4"), Relu(), GroupPool()])
    assert Job(turned, images).method == "literal"


@pytest.mark.parametrize(
    "layers",
    [
        [Conv((3, 3)), Relu(), Lift((3, 3), group="C4"), Relu(), GroupPool()],
        [Lift((1, 3), group="C4"), Relu(), GroupConv((3, 3)), Relu(), GroupPool(), Dense(), Relu()],
        [Conv((3, 3), padding="CIRCULAR"), Relu(), Conv((3, 3)), Relu(), GlobalAvgPool()],
    ],
)
def test_networks_without_reductions(layers: list[Layer], rng: np.random.Generator) -> None:
    images = rng.normal(size=(3, 4, 4, 2))
    result = kernel(Network(layers), images)
    right = kernel(Network(layers), images, backend="numpy", method="literal")
    assert np.array_equal(result.nngp, right.nngp)
    assert np.array_equal(result.ntk, right.ntk)
    with pytest.raises(MethodError, match="^the method slices does not apply: layer "):
        kernel(Network(layers), images, method="slices")


# ---------------------------------------------------------------------------------------------
# Tiles.


def test_a_job_says_what_it_will_do() -> None:
    x1, x2 = np.ones((5, 4, 4, 3)), np.ones((3, 4, 4, 3), np.uint8)
    job = Job(NETWORK, x1, x2, options=Options(get="ntk", dtype="float32", threads=3, tile=2))
    assert (job.net, job.shape, job.symmetric, job.get) == (NETWORK, (5, 3), False, ("ntk",))
    assert (job.dtype, job.backend, job.method) == ("float32", "numba", "slices")
    assert (job.threads, job.tile, job.pairs) == (3, 2, 15)
    job = Job(NETWORK, x1)
    assert (job.shape, job.symmetric, job.get, job.dtype) == ((5, 5), True, KERNELS, "float64")
    assert job.threads == default_threads()
    assert job.tiles == [Tile(slice(0, 5), slice(0, 5))]
    assert job.pairs == 25


def test_all_processors_of_the_process_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert default_threads() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert default_threads() == 7


@pytest.mark.parametrize("tile", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize("other", [None, 5])
def test_tiles_cover_everything_once(tile: int, other: int | None) -> None:
    x2 = None if other is None else np.ones((other, 3, 3, 1))
    job = Job(NETWORK, np.ones((7, 3, 3, 1)), x2, options=Options(tile=tile))
    covered = np.zeros(job.shape, int)
    for part in job.tiles:
        covered[part.rows, part.cols] += 1
        assert part.shape == covered[part.rows, part.cols].shape
        assert max(part.shape) <= tile
        if job.symmetric and part.rows != part.cols:
            assert part.rows.stop <= part.cols.start
            covered[part.cols, part.rows] += 1
    assert (covered == 1).all()
    assert job.pairs == sum(part.shape[0] * part.shape[1] for part in job.tiles)


def test_blocks_make_up_the_kernel(rng: np.random.Generator) -> None:
    x1, x2 = rng.normal(size=(7, 4, 4, 2)), rng.normal(size=(4, 4, 4, 2))
    for images in ((x1,), (x1, x2)):
        right = kernel(DEEP_HEAD, *images)
        job = Job(DEEP_HEAD, *images, options=Options(tile=3))
        for part in job.tiles:
            block = job.block(part)
            assert set(block) == {"nngp", "ntk"}
            for name, entries in block.items():
                assert entries.shape == part.shape
                assert np.array_equal(entries, getattr(right, name)[part.rows, part.cols])
                if job.symmetric and part.rows == part.cols:
                    assert np.array_equal(entries, entries.T)


def test_expensive_networks_have_small_tiles() -> None:
    sides = [
        Job(preset(name), np.ones((1, size, size, 3))).tile
        for name, size in (("mlp-1", 32), ("cnn-paper", 8), ("gcnn-paper", 32), ("gcnn-paper", 96))
    ]
    assert sides == sorted(sides, reverse=True)
    assert sides == [1000, 64, 4, 4]


def test_many_images_have_larger_tiles_that_are_not_too_many() -> None:
    images = np.broadcast_to(np.ones((1, 32, 32, 3), np.float32), (40_000, 32, 32, 3))
    assert Job(preset("gcnn-paper"), images, options=Options(dtype="float32")).tile == 64


# ---------------------------------------------------------------------------------------------
# Progress.


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("tile", [None, 1, 3])
@pytest.mark.parametrize("symmetric", [True, False])
def test_progress_ends_at_the_total(
    backend: str, tile: int | None, symmetric: bool, rng: np.random.Generator
) -> None:
    x1, x2 = rng.normal(size=(7, 3, 3, 1)), rng.normal(size=(11, 3, 3, 1))
    images = (x1,) if symmetric else (x1, x2)
    told: list[tuple[int, int]] = []
    kernel(
        DEEP_HEAD, *images, backend=backend, tile=tile,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    done, totals = zip(*told, strict=True)
    assert set(totals) == {Job(DEEP_HEAD, *images, options=Options(tile=tile)).pairs}
    assert list(done) == sorted(done)
    assert done[0] >= 0
    assert done[-1] == totals[0]


def test_progress_of_a_block() -> None:
    job = Job(NETWORK, np.ones((40, 4, 4, 1)), np.ones((33, 4, 4, 1)))
    told: list[int] = []
    (tile,) = job.tiles
    job.block(tile, told.append)
    assert sum(told) == 40 * 33
    assert len(told) > 1


# ---------------------------------------------------------------------------------------------
# What is refused.

IMAGES = np.ones((2, 6, 6, 3))


def with_nan(index: int) -> Any:
    images = np.ones((4, 6, 6, 3))
    images[index, 2, 3, 1] = np.nan
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((with_nan(3),), "^X1: image 3 has NaN or infinite pixels: repair or remove it$"),
        ((IMAGES, with_nan(1) * np.inf), "^X2: image 0 has NaN or infinite pixels: "),
        ((IMAGES[0],), r"^X1: shape \(6, 6, 3\) is taken as \(N, H, W\), 6 grey images of 6 x 3 "),
        ((IMAGES[None],), r"^X1: expected images of shape \(N, H, W, C\), .*not \(1, "),
        ((IMAGES, IMAGES[:0]), r"^X2: there is nothing in an array of shape \(0, 6, 6, 3\)$"),
        ((IMAGES > 0,), "^X1: expected integer or floating-point pixels, not bool$"),
        ((IMAGES, IMAGES * 1j), "^X2: expected integer or floating-point pixels, not complex128$"),
        ((IMAGES, [[1.0], [1.0, 2.0]]), r"^X2: expected images of shape \(N, H, W, C\), "),
        (
            (IMAGES, np.ones((2, 6, 6, 1))),
            r"^X2: its images have the shape \(6, 6, 1\) .*, those of X1 \(6, 6, 3\): both ",
        ),
        ((IMAGES, np.ones((2, 6, 5, 3))), r"^X2: its images have the shape \(6, 5, 3\) "),
    ],
)
def test_images_that_are_refused(images: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        kernel(NETWORK, *images)
    with pytest.raises(InputError, match=message):
        Job(NETWORK, *images)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"get": "ntks"},
            InputError,
            r'^unknown kernel "ntks" \(did you mean "ntk"\?\); known: nngp, ntk$',
        ),
        ({"get": ["ntk", "nope"]}, InputError, '^unknown kernel "nope"; known: nngp, ntk$'),
        ({"get": ()}, InputError, "^kernel: ask for one of nngp, ntk at least$"),
        (
            {"dtype": "float16"},
            InputError,
            r'^unknown dtype "float16" \(did you mean ".*"\?\); known: float64, float32$',
        ),
        ({"dtype": "half"}, InputError, '^unknown dtype "float16" '),
        ({"threads": 0}, InputError, "^threads: expected a positive whole number, not 0$"),
        ({"threads": -2}, InputError, "^threads: expected a positive whole number, not -2$"),
        ({"threads": True}, InputError, "^threads: expected a positive whole number, not True$"),
        ({"threads": 1.5}, InputError, r"^threads: expected a positive whole number, not 1\.5$"),
        ({"threads": "two"}, InputError, "^threads: expected a positive whole number, not 'two'$"),
        ({"tile": 0}, InputError, "^tile: expected a positive whole number, not 0$"),
        ({"tile": math.nan}, InputError, "^tile: expected a positive whole number, not nan$"),
        ({"tile": 10**20}, InputError, "^tile: 1000.*000 is beyond all sizes; choose"),
        (
            {"method": "literall"},
            MethodError,
            r'^unknown method "literall" \(did you mean "literal"\?\)',
        ),
        (
            {"method": "slices", "backend": "numpy"},
            MethodError,
            "^the backend numpy has no method slices: use literal$",
        ),
        ({"backend": "numbo"}, UnknownBackendError, '^unknown backend "numbo" .*"numba"'),
    ],
)
def test_arguments_that_are_refused(
    arguments: dict[str, Any], error: type[RefntkError], message: str
) -> None:
    with pytest.raises(error, match=message):
        kernel(NETWORK, IMAGES, **arguments)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([Conv((3, 3)), Relu()], NetworkError, r"^layer 1 \(Relu\): the network ends on a grid"),
        (
            [Lift((3, 3), group="C4")],
            NetworkError,
            r"^layer 0 \(Lift\): the network ends on a group",
        ),
        (
            [Conv((7, 3), padding="VALID"), GlobalAvgPool()],
            ShapeError,
            r"^layer 0 \(Conv\): with padding VALID the 7x3 filter eats the 6x6 image",
        ),
    ],
)
def test_networks_that_are_refused(
    layers: list[Layer], error: type[RefntkError], message: str
) -> None:
    for backend in ("numba", "numpy"):
        with pytest.raises(error, match=message):
            kernel(Network(layers), IMAGES, backend=backend)


def test_numpy_integers_count_as_numbers() -> None:
    job = Job(NETWORK, IMAGES, options=Options(threads=np.int64(2), tile=np.uint8(3)))
    assert (job.threads, job.tile) == (2, 3)
    assert type(job.tile) is int
    assert job.method in methods_of(job.backend)


# ---------------------------------------------------------------------------------------------
# Other processes.


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_a_pickled_job_goes_on_from_its_first_tile(
    rng: np.random.Generator, backend: str
) -> None:
    options = Options(tile=2, threads=1, backend=backend)
    job = Job(DEEP_HEAD, rng.normal(size=(5, 4, 4, 1)), options=options)
    before = [job.block(tile) for tile in job.tiles]
    data = pickle.dumps(job)
    there = pickle.loads(data)
    # In the reverse order: the variance of an image is found without its tile on the diagonal.
    after = [there.block(tile) for tile in reversed(job.tiles)][::-1]
    for one, two in zip(before, after, strict=True):
        for name in KERNELS:
            assert one[name].tobytes() == two[name].tobytes()


def test_a_pickled_job_has_no_backend_and_no_variances(rng: np.random.Generator) -> None:
    job = Job(DEEP_HEAD, rng.normal(size=(200, 2, 2, 1)), options=Options(tile=100, threads=1))
    small = len(pickle.dumps(job))
    for tile in job.tiles:
        job.block(tile)
    assert len(pickle.dumps(job)) == small
    assert np.isnan(pickle.loads(pickle.dumps(job))._variances[0]).all()


@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_environment_limits_the_default_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(other, raising=False)
    everything = default_threads()
    for word, count in [("1", 1), ("", everything), ("0", everything), ("100000", everything)]:
        monkeypatch.setenv(name, word)
        assert default_threads() == count


def test_what_is_meant_by_a_network_and_by_images(rng: np.random.Generator) -> None:
    tiles = load_images("sample:digits", limit=2)
    net = preset("mlp-1")
    expected = kernel(net, tiles.images)
    for given in ("mlp-1", list(net.layers)):
        assert np.array_equal(kernel(given, tiles).ntk, expected.ntk)
        assert np.array_equal(Job(given, tiles).shape, (2, 2))
