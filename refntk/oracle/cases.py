"""The cases of the oracle: small networks and images that any implementation can be judged by.

Each case is small enough for a program in pure Python. Together they hold one layer to twenty, all
groups, paddings and readouts, filters of all kinds, biases, kernels before a readout, benign images
and hard ones: duplicates, near-duplicates, flat, opposite, zero and badly scaled ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.network.layers import (
    ABRelu,
    Abs,
    AvgPool,
    Conv,
    Cos,
    Dense,
    Elementwise,
    Erf,
    Exp,
    ExpNormalized,
    Flatten,
    Gaussian,
    Gelu,
    GlobalAvgPool,
    GlobalSumPool,
    GroupConv,
    GroupPool,
    Hermite,
    Layer,
    LeakyRelu,
    Lift,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    Relu,
    Sigmoid_like,
    Sin,
    SumPool,
)
from refntk.network.network import Network
from refntk.ops.groups import GROUPS
from refntk.oracle import hard

__all__ = ["Case", "cases"]

FloatArray = npt.NDArray[np.float64]

_RELU = Relu()


@dataclass(frozen=True, eq=False)
class Case:
    """A network, and images between which its kernels are asked for.

    Attributes
    ----------
    name : str
        Begins with the kind of network: ``mlp-``, ``cnn-`` or ``gcnn-``.
    about : str
        What the case is there for, in one line.
    network : Network
        It may end before a readout: the kernels are then those of all indices.
    x1 : float64 array, shape (N1, H, W, C)
    x2 : float64 array, shape (N2, H, W, C), or None
        None means x1.
    hard : bool
        Whether features of correlation near 1 or -1, or of very unlike size, meet in it.
    """

    name: str
    about: str
    network: Network
    x1: FloatArray
    x2: FloatArray | None
    hard: bool


def cases() -> tuple[Case, ...]:
    """Return all cases, in a fixed order; their images are the same at every call.

    Returns
    -------
    tuple of Case
    """
    return (
        *(*_mlps(), *_cnns(), *_deep(), *_gcnns(), *_group_layers(), *_inner_pools()),
        *(*_unpooled(), *_hard(), *_activations()),
    )


def _case(name: str, about: str, layers: list[Layer], *shape: int, others: int = 2) -> Case:
    """Build a case of random images, all different: an image with itself has correlation 1.

    `shape` is (H, W, C), by default 4x4 with two channels.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    size = shape or (4, 4, 2)
    x1 = rng.uniform(-0.5, 1, (2, *size))
    x2 = rng.uniform(-0.5, 1, (others, *size))
    return Case(name, about, Network(layers, name=name), x1, x2, hard=False)


def _conv(side: int = 3, padding: str = "SAME", **arguments: Any) -> Conv:
    return Conv((side, side), padding=padding, **arguments)


def _gcnn(group: str, padding: str = "SAME", depth: int = 2, **scales: Any) -> list[Layer]:
    """Lift and group convolutions, with Relu after each, up to the readout."""
    layers: list[Layer] = [Lift((3, 3), group=group, padding=padding, **scales), _RELU]
    return layers + [GroupConv((3, 3), padding=padding, **scales), _RELU] * (depth - 1)


def _mlps() -> Iterator[Case]:
    dense, wide = Dense(), Dense(W_std=1.4, b_std=0.5)
    hidden: list[Layer] = [dense, _RELU]
    yield _case("mlp-linear", "a single dense layer", [Flatten(), dense])
    yield _case("mlp-relu", "one hidden layer", [Flatten(), dense, _RELU, dense])
    yield _case(
        "mlp-bias",
        "two hidden layers with biases and weights of other scale",
        [Flatten(), wide, _RELU, wide, _RELU, wide],
    )
    yield _case("mlp-depth-20", "twenty layers", [Flatten(), *hidden * 19, dense])


def _cnns() -> Iterator[Case]:
    pool, flat, dense = GlobalAvgPool(), Flatten(), Dense()
    for padding in ("SAME", "VALID", "CIRCULAR"):
        low = padding.lower()
        yield _case(
            f"cnn-linear-{low}",
            f"a single {padding} convolution, pooled",
            [_conv(padding=padding), pool],
        )
        body: list[Layer] = [_conv(padding=padding), _RELU] * 2
        shape = (6, 5, 2) if padding == "VALID" else (4, 5, 2)
        yield _case(
            f"cnn-{low}-pool", f"two {padding} convolutions, pooled", [*body, pool, dense], *shape
        )
        yield _case(
            f"cnn-{low}-flatten",
            f"two {padding} convolutions, flattened",
            [*body, flat, dense],
            *shape,
        )
        biased: list[Layer] = [_conv(padding=padding, W_std=1.3, b_std=0.4), _RELU] * 2
        yield _case(
            f"cnn-{low}-bias",
            f"two {padding} convolutions with biases, pooled",
            [*biased, pool, Dense(W_std=0.7, b_std=0.2)],
            *shape,
        )
    two: list[Layer] = [_conv(), _RELU, _conv(), _RELU]
    yield _case("cnn-1x1", "filters of one pixel", [_conv(1), _RELU, _conv(1), _RELU, pool])
    yield _case("cnn-5x5", "filters larger than the image", [_conv(5), _RELU, pool, dense], 3, 3, 2)
    yield _case(
        "cnn-even",
        "filters of even sides, which SAME pads at the end",
        [Conv((2, 4)), _RELU, Conv((4, 2)), _RELU, pool, dense],
    )
    yield _case(
        "cnn-oblong",
        "oblong filters and images",
        [Conv((1, 3)), _RELU, Conv((3, 1)), _RELU, pool, dense],
        3,
        5,
        2,
    )
    yield _case(
        "cnn-strides-same",
        "strides with SAME, which pads as the stride needs",
        [_conv(strides=(2, 2)), _RELU, _conv(), _RELU, pool, dense],
        6,
        5,
        1,
    )
    yield _case(
        "cnn-strides-valid",
        "strides with VALID",
        [_conv(padding="VALID", strides=(1, 2)), _RELU, flat, dense],
        5,
        5,
        1,
    )
    yield _case("cnn-head", "a dense hidden layer after pooling", [*two, pool, dense, _RELU, dense])
    yield _case(
        "cnn-pool-relu",
        "pooling right after a convolution, then Relu",
        [_conv(), _RELU, _conv(), pool, _RELU, dense],
    )
    yield _case("cnn-cross", "sets of two and of three images", [*two, pool, dense], others=3)
    yield _case("cnn-grey", "one channel", [*two, pool, dense], 4, 4, 1)


def _inner_pools() -> Iterator[Case]:
    pool, dense = GlobalAvgPool(), Dense()
    conv: list[Layer] = [_conv(), _RELU]
    halved = AvgPool((2, 2), strides=(2, 2))
    yield _case("pool-avg", "a mean over windows, then Conv", [*conv, halved, *conv, pool])
    yield _case(
        "pool-avg-twice",
        "two means over windows, and a dense hidden layer",
        [*conv, *conv, halved, *conv, halved, *conv, pool, dense, _RELU, dense],
    )
    same = AvgPool((2, 3), padding="SAME")
    yield _case(
        "pool-edges-zero",
        "windows that count zeros outside of the image",
        [*conv, same, *conv, Flatten(), dense],
    )
    inside = AvgPool((2, 3), padding="SAME", normalize_edges=True)
    yield _case(
        "pool-edges-inside",
        "windows that count what is inside of the image alone",
        [*conv, inside, *conv, Flatten(), dense],
    )
    sums: list[Layer] = [_conv(b_std=0.3), _RELU, SumPool((2, 2), strides=(2, 2)), *conv]
    yield _case("pool-sum", "sums over windows and over positions", [*sums, GlobalSumPool(), dense])
    wrapped: list[Layer] = [_conv(padding="CIRCULAR"), _RELU]
    around = AvgPool((3, 2), strides=(2, 1), padding="CIRCULAR")
    yield _case(
        "pool-circular", "windows that wrap around", [*wrapped, around, *wrapped, pool], 6, 4, 2
    )
    yield _case(
        "pool-group",
        "a mean over windows at each group element",
        [*_gcnn("C4", depth=1), halved, GroupConv((3, 3)), _RELU, GroupPool(), dense],
        4, 4, 2,
    )  # fmt: skip


def _deep() -> Iterator[Case]:
    pool, flat, dense = GlobalAvgPool(), Flatten(), Dense()
    for depth in (5, 10, 20):
        body: list[Layer] = [_conv(), _RELU] * depth
        yield _case(f"cnn-depth-{depth}", f"{depth} convolutions, pooled", [*body, pool], 3, 3, 2)
    wrapped: list[Layer] = [_conv(padding="CIRCULAR", W_std=2**0.5, b_std=0.1), _RELU] * 20
    yield _case(
        "cnn-depth-20-gain",
        "20 CIRCULAR convolutions with W_std = sqrt 2 and biases",
        [*wrapped, flat, dense],
        3,
        3,
        2,
    )
    yield _case(
        "gcnn-c4-depth-5",
        "lift and 4 group convolutions, pooled",
        [*_gcnn("C4", depth=5), GroupPool(), dense],
        3,
        3,
        2,
    )
    yield _case(
        "gcnn-d2-depth-10",
        "lift and 9 group convolutions, pooled",
        [*_gcnn("D2", depth=10), GroupPool()],
        2,
        3,
        1,
    )
    yield _case(
        "gcnn-c4-depth-20",
        "lift and 19 group convolutions, pooled",
        [*_gcnn("C4", depth=20), GroupPool(), dense],
        2,
        2,
        2,
    )


def _gcnns() -> Iterator[Case]:
    pool, dense = GroupPool(), Dense()
    for group in GROUPS:
        low = group.lower()
        yield _case(
            f"gcnn-{low}-linear",
            f"a single lifting convolution over {group}, pooled",
            [Lift((3, 3), group=group), pool],
        )
        yield _case(
            f"gcnn-{low}",
            f"lift and group convolution over {group}, pooled",
            [*_gcnn(group), pool, dense],
            3,
            3,
            2,
        )
    for padding in ("VALID", "CIRCULAR"):
        shape = (5, 5, 1) if padding == "VALID" else (3, 3, 2)
        yield _case(
            f"gcnn-c4-{padding.lower()}",
            f"lift and group convolution, {padding}",
            [*_gcnn("C4", padding), pool, dense],
            *shape,
        )
    for group in ("C4", "D4"):
        yield _case(
            f"gcnn-{group.lower()}-bias",
            f"biases and weights of other scale, {group}",
            [*_gcnn(group, W_std=1.3, b_std=0.4), pool, Dense(W_std=1.2, b_std=0.3)],
            3,
            3,
            1,
        )
    yield _case(
        "gcnn-c4-cross",
        "sets of two and of three images",
        [*_gcnn("C4"), pool, dense],
        3,
        3,
        2,
        others=3,
    )


def _group_layers() -> Iterator[Case]:
    pool, flat, dense = GroupPool(), Flatten(), Dense()
    yield _case(
        "gcnn-c2-oblong",
        "oblong filters and images, which C2 maps to themselves",
        [Lift((1, 3), group="C2"), _RELU, GroupConv((3, 1)), _RELU, pool],
        3,
        4,
        2,
    )
    yield _case(
        "gcnn-c4-oblong",
        "oblong filters, which C4 does not map to themselves",
        [Lift((1, 3), group="C4"), _RELU, GroupConv((3, 1)), _RELU, pool],
        3,
        3,
        2,
    )
    yield _case(
        "gcnn-c4-flatten", "a group network that is flattened", [*_gcnn("C4"), flat, dense], 3, 3, 2
    )
    yield _case(
        "gcnn-c4-head",
        "a dense hidden layer after pooling over the group",
        [*_gcnn("C4"), pool, dense, _RELU, dense],
        3,
        3,
        2,
    )
    yield _case(
        "gcnn-c4-conv-lift",
        "an ordinary convolution below the lift",
        [_conv(), _RELU, *_gcnn("C4"), pool, dense],
        3,
        3,
        2,
    )


def _unpooled() -> Iterator[Case]:
    yield _case(
        "cnn-unpooled",
        "all entries of the kernel on the grid, (N1, N2, H, W, H, W)",
        [_conv(), _RELU, _conv()],
        3,
        3,
        2,
    )
    yield _case(
        "gcnn-c4-lift-unpooled",
        "all entries after the lift, (N1, N2, n, n, H, W, H, W)",
        [Lift((3, 3), group="C4")],
        3,
        3,
        1,
    )
    yield _case(
        "gcnn-c4-unpooled", "all entries after a group convolution and a Relu", _gcnn("C4"), 3, 3, 1
    )
    yield _case(
        "gcnn-d4-unpooled",
        "all entries after a lift over D4",
        [Lift((3, 3), group="D4"), _RELU],
        3,
        3,
        1,
    )


def _activations() -> Iterator[Case]:
    """Put each activation after two convolutions, with images that have black pixels."""
    for name, layer in (
        ("abrelu", ABRelu(a=-0.3, b=0.8)), ("leaky", LeakyRelu(alpha=0.2)), ("abs", Abs()),
        ("erf", Erf(a=1.2, b=0.7, c=0.3)), ("sigmoid-like", Sigmoid_like()), ("gelu", Gelu()),
        ("sin", Sin(a=1.3, b=0.8, c=0.4)), ("cos", Cos(a=0.7, b=1.3, c=-0.2)),
        ("rbf", Rbf(gamma=0.6)), ("exp", Exp(a=0.7, b=0.6)), ("gaussian", Gaussian(a=1.2, b=-0.8)),
        ("expnormalized", ExpNormalized(gamma=1.7)), ("relu2", RectifiedMonomial(degree=2)),
        ("polynomial", Polynomial(coef=(0.1, -0.4, 0.3, 0.2))), ("hermite", Hermite(degree=3)),
        ("elementwise", Elementwise("sigmoid")),
    ):  # fmt: skip
        conv = _conv() if name == "elementwise" else _conv(W_std=1.4, b_std=0.3)
        case = _case(
            f"act-{name}",
            f"{type(layer).__name__} after convolutions",
            [conv, layer, conv, layer, GlobalAvgPool()],
            3, 3, 2,
        )  # fmt: skip
        case.x1[0, 0, 0] = 0.0
        yield case


def _hard() -> Iterator[Case]:
    """Put hard images through pooled, flattened and group networks."""
    body: list[Layer] = [_conv(), _RELU, _conv(), _RELU, _conv(), _RELU]
    pooled: list[Layer] = [*body, GlobalAvgPool(), Dense()]
    flattened: list[Layer] = [*body, Flatten(), Dense()]
    turned: list[Layer] = [*_gcnn("C4"), GroupPool(), Dense()]
    biased: list[Layer] = [_conv(b_std=0.3), _RELU, _conv(b_std=0.3), _RELU, GlobalAvgPool()]
    single: list[Layer] = [Lift((1, 1), group="D4"), _RELU, GroupConv((1, 1)), _RELU, GroupPool()]
    strong: list[Layer] = [_conv(W_std=16.0), _RELU] * 17
    strong.append(GlobalAvgPool())
    dense: list[Layer] = [Flatten(), Dense(), _RELU, Dense(), _RELU, Dense()]
    for name, about, network, make in (
        ("mlp-hard-itself", "images with themselves", dense, hard.itself),
        ("cnn-hard-itself", "images with themselves, pooled", pooled, hard.itself),
        ("cnn-hard-itself-flatten", "images with themselves, flattened", flattened, hard.itself),
        ("cnn-hard-duplicates", "images that come twice", pooled, hard.near(0.0)),
        ("cnn-hard-near-2", "near-duplicates at distance 1e-2", pooled, hard.near(1e-2)),
        ("cnn-hard-near-5", "near-duplicates at distance 1e-5", pooled, hard.near(1e-5)),
        ("cnn-hard-near-8", "near-duplicates at distance 1e-8", pooled, hard.near(1e-8)),
        (
            "cnn-hard-flatten-near-5",
            "near-duplicates at 1e-5, flattened",
            flattened,
            hard.near(1e-5),
        ),
        ("cnn-hard-constant", "images of one grey", pooled, hard.grey(0.0)),
        ("cnn-hard-nearly-constant", "images of nearly one grey", pooled, hard.grey(1e-4)),
        ("cnn-hard-bias-constant", "images of one grey, with biases", biased, hard.grey(0.0)),
        ("cnn-hard-opposite", "an image and its negative", pooled, hard.times(-1.0)),
        ("cnn-hard-opposite-flatten", "an image and its negative", flattened, hard.times(-1.0)),
        ("cnn-hard-zero-patch", "images with black parts", pooled, hard.black),
        ("cnn-hard-scaled", "images scaled by 1e6 and by 1e-6", pooled, hard.times(1e6, 1e-6)),
        ("cnn-hard-strong", "W_std = 16, close to the end of float32", strong, hard.near(1e-5)),
        ("gcnn-hard-1x1", "filters of one pixel: rotations see the same", single, hard.near(1e-2)),
        ("gcnn-hard-itself", "images with themselves", turned, hard.itself),
        ("gcnn-hard-near-5", "near-duplicates at distance 1e-5", turned, hard.near(1e-5)),
        ("gcnn-hard-symmetric", "images that the group maps to themselves", turned, hard.symmetric),
        ("gcnn-hard-constant", "images of one grey", turned, hard.grey(0.0)),
    ):
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        x1, x2 = make(rng.uniform(-0.5, 1, (3, 3, 2)), rng)
        yield Case(name, about, Network(network, name=name), x1, x2, hard=True)
