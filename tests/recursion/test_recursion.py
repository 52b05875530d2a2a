"""The literal recursion against nested loops, published numbers and the theory's symmetries."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refntk.errors import InputError, ShapeError
from refntk.network import Network
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
from refntk.ops.groups import GROUPS, point_group, rotate
from refntk.ops.rectifiers import Rectifier
from refntk.recursion.formulas import activated
from refntk.recursion.literal import State, propagate

Close = Callable[..., None]
Entry = Callable[[Any, Any], float]

# ---------------------------------------------------------------------------------------------
# The naive oracle: loops over indices in pure Python, nothing of refntk but the layers' arguments.
# Kernels are functions of an index of x and an index of x', computed when asked and remembered.

ROTATIONS = [(1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0)]
MIRRORED = [(a, -b, c, -d) for a, b, c, d in ROTATIONS]
ELEMENTS = {
    "C1": ROTATIONS[:1],
    "C2": ROTATIONS[::2],
    "C4": ROTATIONS,
    "D1": ROTATIONS[:1] + MIRRORED[:1],
    "D2": ROTATIONS[::2] + MIRRORED[::2],
    "D4": ROTATIONS + MIRRORED,
}


def turn(r: tuple[int, ...], s: tuple[int, int]) -> tuple[int, int]:
    return r[0] * s[0] + r[1] * s[1], r[2] * s[0] + r[3] * s[1]


def times(r: tuple[int, ...], q: tuple[int, ...]) -> tuple[int, ...]:
    (a, c), (b, d) = turn(r, (q[0], q[2])), turn(r, (q[1], q[3]))
    return a, b, c, d


class Naive:
    """K and Theta between two images, with the variances of each, layer by layer."""

    def __init__(self, x: Any, y: Any, equal: bool = False) -> None:
        self.shape = (len(x), len(x[0]))
        self.group: str | None = None
        self.equal = equal

        def products(a: Any, b: Any) -> Entry:
            return lambda t, u: (
                math.fsum(p * q for p, q in zip(a[t[0]][t[1]], b[u[0]][u[1]], strict=True))
                / len(a[0][0])
            )

        self.k, self.kx, self.ky = products(x, y), products(x, x), products(y, y)
        self.theta: Entry = lambda t, u: 0.0

    def outputs(self, layer: Any) -> tuple[int, int]:
        """Number of output positions along y and x."""
        strides = getattr(layer, "strides", (1, 1))
        if layer.padding == "VALID":
            sides = zip(self.shape, layer.filter_shape, strides, strict=True)
            y, x = ((n - k) // s + 1 for n, k, s in sides)
        else:
            y, x = (math.ceil(n / s) for n, s in zip(self.shape, strides, strict=True))
        return y, x

    def below(self, layer: Any, t: tuple[int, int]) -> list[tuple[int, int]]:
        """Top left position of the window of output t, which may lie outside the image."""
        strides = getattr(layer, "strides", (1, 1))
        corner = []
        for i, n, out, k, s in zip(
            t, self.shape, self.outputs(layer), layer.filter_shape, strides, strict=True
        ):
            low = {
                "VALID": 0,
                "CIRCULAR": (k - 1) // 2,
                "SAME": max((out - 1) * s + k - n, 0) // 2,
            }[layer.padding]
            corner.append(s * i - low)
        return corner

    def inside(self, layer: Any, t: tuple[int, int]) -> tuple[int, int] | None:
        height, width = self.shape
        if layer.padding == "CIRCULAR":
            return t[0] % height, t[1] % width
        return t if 0 <= t[0] < height and 0 <= t[1] < width else None

    def linear(self, layer: Any, reads: Callable[[Any], list[Any]]) -> None:
        """Average over what an output index reads; reads gives None for a term out of the image."""
        reads = cache(reads)  # an index is asked for with every other one

        def average(k: Entry) -> Entry:
            def entry(i: Any, j: Any) -> float:
                pairs = list(zip(reads(i), reads(j), strict=True))
                terms = [k(a, b) for a, b in pairs if a is not None and b is not None]
                return layer.W_std**2 * math.fsum(terms) / len(pairs)

            return entry

        ks = [average(k) for k in (self.k, self.kx, self.ky)]
        self.k, self.kx, self.ky = (cache(lambda i, j, k=k: layer.b_std**2 + k(i, j)) for k in ks)
        k_new, theta = self.k, average(self.theta)
        self.theta = cache(lambda i, j: k_new(i, j) + theta(i, j))

    def conv(self, layer: Conv) -> None:
        copy = self.frozen()
        shape = self.outputs(layer)

        def reads(t: Any) -> list[Any]:
            y, x = copy.below(layer, t)
            height, width = layer.filter_shape
            places = itertools.product(range(height), range(width))
            return [copy.inside(layer, (y + a, x + b)) for a, b in places]

        self.linear(layer, reads)
        self.shape = shape

    def frozen(self) -> Naive:
        """The geometry below the layer being applied."""
        copy = object.__new__(Naive)
        copy.shape = self.shape
        return copy

    def group_layer(self, layer: Any, lifting: bool) -> None:
        copy = self.frozen()
        shape = self.outputs(layer)
        self.group = layer.group if lifting else self.group
        assert self.group is not None
        elements = ELEMENTS[self.group]
        height, width = layer.filter_shape
        support = [
            (a, b)
            for a in range(-(height // 2), height // 2 + 1)
            for b in range(-(width // 2), width // 2 + 1)
        ]
        centre = (height // 2, width // 2) if layer.padding == "VALID" else (0, 0)

        def reads(index: Any) -> list[Any]:
            r, t = index
            found: list[Any] = []
            for q in elements[:1] if lifting else elements:
                for s in support:
                    u, v = turn(r, s)
                    place = copy.inside(layer, (t[0] + centre[0] + u, t[1] + centre[1] + v))
                    found.append(place if lifting or place is None else (times(r, q), place))
            return found

        self.linear(layer, reads)
        self.shape = shape

    def relu(self) -> None:
        k, kx, ky, theta, equal = self.k, self.kx, self.ky, self.theta, self.equal

        def rectified(k: Entry, kx: Entry, ky: Entry, same: bool) -> Entry:
            def entry(i: Any, j: Any) -> float:
                v, w = kx(i, i), ky(j, j)
                if same and i == j:
                    return v / 2
                if v <= 0 or w <= 0:
                    return 0.0
                angle = math.acos(max(-1.0, min(1.0, k(i, j) / math.sqrt(v * w))))
                angular = math.sin(angle) + (math.pi - angle) * math.cos(angle)
                return math.sqrt(v * w) * angular / (2 * math.pi)

            return cache(entry)

        def derived(i: Any, j: Any) -> float:
            v, w = kx(i, i), ky(j, j)
            if v <= 0 or w <= 0:
                return 0.0
            angle = math.acos(max(-1.0, min(1.0, k(i, j) / math.sqrt(v * w))))
            angle = 0.0 if equal and i == j else angle
            return theta(i, j) * (math.pi - angle) / (2 * math.pi)

        self.k = rectified(k, kx, ky, equal)
        self.kx, self.ky = rectified(kx, kx, kx, True), rectified(ky, ky, ky, True)
        self.theta = cache(derived)

    def indices(self) -> list[Any]:
        positions = list(itertools.product(range(self.shape[0]), range(self.shape[1])))
        if self.group is None:
            return positions
        return [(r, t) for r in ELEMENTS[self.group] for t in positions]

    def readout(self, flat: bool) -> None:
        indices = self.indices()

        def mean(k: Entry) -> Entry:
            every = itertools.product(indices, indices)
            pairs = [(i, i) for i in indices] if flat else list(every)
            return cache(lambda i, j: math.fsum(k(a, b) for a, b in pairs) / len(pairs))

        self.k, self.kx, self.ky = mean(self.k), mean(self.kx), mean(self.ky)
        self.theta = mean(self.theta)
        self.shape, self.group = (1, 1), None

    def apply(self, layer: Layer) -> None:
        if isinstance(layer, Conv):
            self.conv(layer)
        elif isinstance(layer, Lift | GroupConv):
            self.group_layer(layer, lifting=isinstance(layer, Lift))
        elif isinstance(layer, Relu):
            self.relu()
        elif isinstance(layer, Dense):
            self.linear(layer, lambda index: [index])
        else:
            self.readout(flat=isinstance(layer, Flatten))


def naive(layers: list[Layer], x: Any, y: Any, equal: bool = False) -> tuple[Any, Any]:
    """NNGP and NTK as nested lists over the flattened indices of x and of x'."""
    oracle = Naive(x.tolist(), y.tolist(), equal)
    for layer in layers:
        oracle.apply(layer)
    indices = oracle.indices()
    nngp = [[oracle.k(i, j) for j in indices] for i in indices]
    ntk = [[oracle.theta(i, j) for j in indices] for i in indices]
    return nngp, ntk


def flat(kernel: Any) -> Any:
    """The kernel of one pair of images as a matrix over flattened indices."""
    axes = {0: (), 4: (0, 1, 2, 3), 6: (0, 2, 3, 1, 4, 5)}[kernel.ndim]
    size = math.isqrt(kernel.size)
    return np.transpose(kernel, axes).reshape(size, size)


def compare(layers: list[Layer], x: Any, y: Any, close: Close) -> None:
    """Every pair of images of x and y, every entry; errors of cancelling terms count from 1e-3."""
    state = propagate(Network(layers), x, y)
    for i, j in itertools.product(range(len(x)), range(len(y))):
        nngp, ntk = naive(layers, x[i], y[j])
        close(flat(state.nngp[i, j]), nngp, tol=1e-11, floor=1e-3)
        close(flat(state.ntk[i, j]), ntk, tol=1e-11, floor=1e-3)


def at_equal_indices(kernel: Any, *axes: int) -> Any:
    """The diagonal of the kernel of an image with itself, with the axes of a feature."""
    return np.diagonal(flat(kernel)).reshape(axes)


def pair(rng: np.random.Generator, *shape: int) -> tuple[Any, Any]:
    return rng.normal(size=(2, *shape)), rng.normal(size=(1, *shape))


CONV_CASES: list[tuple[tuple[int, int], list[Layer]]] = [
    ((4, 3), [Conv((3, 3))]),
    ((4, 3), [Conv((2, 4), b_std=0.3), Relu(), Conv((1, 3), W_std=1.3)]),
    (
        (5, 4),
        [Conv((3, 2), strides=(2, 3)), Relu(), Conv((3, 3), strides=(1, 2), b_std=0.1), Relu()],
    ),
    (
        (5, 4),
        [
            Conv((3, 3), strides=(2, 1), padding="VALID", W_std=1.2, b_std=0.5),
            Relu(),
            GlobalAvgPool(),
        ],
    ),
    (
        (4, 4),
        [
            Conv((3, 2), strides=(2, 2), padding="CIRCULAR"),
            Relu(),
            Conv((2, 2), padding="CIRCULAR"),
        ],
    ),
    ((2, 2), [Conv((5, 7)), Relu(), Flatten(), Dense()]),
    ((3, 3), [Conv((3, 3)), GlobalAvgPool(), Relu(), Dense(W_std=0.5, b_std=0.2)]),
    ((3, 3), [Conv((3, 3)), Flatten(), Dense(), Relu(), Dense()]),
    (
        (2, 3),
        [
            Flatten(),
            Dense(W_std=1.1, b_std=0.7),
            Relu(),
            Dense(W_std=0.9),
            Relu(),
            Dense(b_std=1.0),
        ],
    ),
    ((2, 3), [GlobalAvgPool(), Dense(), Relu()]),
    ((2, 3), [Flatten()]),
]

GROUP_CASES: list[tuple[tuple[int, int], list[Layer]]] = [
    *(((3, 3), [Lift((3, 3), group=name, b_std=0.2), Relu()]) for name in GROUPS),
    *(((3, 3), [Lift((3, 1), group=name), Relu(), GroupConv((1, 3))]) for name in ("C4", "D2")),
    (
        (2, 4),
        [
            Lift((1, 3), group="D2", padding="CIRCULAR"),
            Relu(),
            GroupConv((1, 3)),
            Relu(),
            Flatten(),
        ],
    ),
    (
        (4, 3),
        [
            Lift((3, 3), group="C2", padding="VALID"),
            Relu(),
            GroupConv((1, 1), padding="VALID", W_std=1.2, b_std=0.4),
        ],
    ),
    (
        (4, 4),
        [Lift((3, 3), group="C4", padding="VALID"), Relu(), GroupConv((1, 1)), Relu(), GroupPool()],
    ),
    (
        (3, 3),
        [
            Lift((3, 3), group="C4", padding="CIRCULAR"),
            Relu(),
            GroupConv((3, 3), padding="CIRCULAR"),
            GroupPool(),
        ],
    ),
    (
        (3, 2),
        [Conv((2, 2), b_std=0.1), Relu(), Lift((3, 3), group="D1"), Relu(), GroupPool(), Dense()],
    ),
    ((2, 2), [Lift((3, 5), group="D4", b_std=0.1), Relu(), GroupConv((3, 1)), Flatten(), Dense()]),
    ((3, 3), [Lift((3, 3), group="C2"), GroupPool(), Relu(), Dense()]),
    # Not commutative, and not right invariant below: the order of r and q shows.
    ((2, 2), [Lift((3, 1), group="D4"), Relu(), GroupConv((1, 3), b_std=0.1)]),
    ((3, 3), [Lift((1, 3), group="D4", padding="CIRCULAR"), Relu(), GroupConv((1, 1)), Relu()]),
]


@pytest.mark.parametrize(("shape", "layers"), CONV_CASES, ids=range(len(CONV_CASES)))
def test_naive_loops_on_the_grid(
    shape: tuple[int, int], layers: list[Layer], rng: np.random.Generator, assert_close: Close
) -> None:
    compare(layers, *pair(rng, *shape, 2), assert_close)


@pytest.mark.parametrize(("shape", "layers"), GROUP_CASES, ids=range(len(GROUP_CASES)))
def test_naive_loops_on_the_group(
    shape: tuple[int, int], layers: list[Layer], rng: np.random.Generator, assert_close: Close
) -> None:
    compare(layers, *pair(rng, *shape, 2), assert_close)


paddings = st.sampled_from(["SAME", "VALID", "CIRCULAR"])
biases = st.sampled_from([0.0, 0.3, 1.0])
# Weights of zero, or a filter of one pixel on one channel, would make all features proportional:
# there the arc cosine loses half of the digits, of the oracle as well.
weights = st.sampled_from([0.6, 1.0, 1.4])
odd = st.sampled_from([1, 3])


@settings(max_examples=100)
@given(st.data(), st.integers(0, 2**32), st.integers(2, 4), st.integers(2, 4))
def test_naive_loops_on_any_convolution(
    assert_close: Close, data: st.DataObject, seed: int, height: int, width: int
) -> None:
    layers: list[Layer] = []
    for _ in range(data.draw(st.integers(1, 2))):
        side = st.integers(1, 3)
        shape, strides = data.draw(st.tuples(side, side)), data.draw(st.tuples(side, side))
        layers += [
            Conv(
                shape,
                strides=strides,
                padding=data.draw(paddings),
                W_std=data.draw(weights),
                b_std=data.draw(biases),
            ),
            Relu(),
        ]
    x, y = pair(np.random.default_rng(seed), height, width, 3)
    try:
        Network(layers).signals((height, width))
    except ShapeError:
        with pytest.raises(ShapeError):
            propagate(Network(layers), x, y)
    else:
        compare(layers, x[:1], y, assert_close)


@settings(max_examples=100)
@given(st.data(), st.integers(0, 2**32), st.sampled_from(GROUPS), st.integers(2, 3))
def test_naive_loops_on_any_group_convolution(
    assert_close: Close, data: st.DataObject, seed: int, group: str, height: int
) -> None:
    width = height if point_group(group).swaps_axes else data.draw(st.integers(2, 3))
    lift = Lift(
        data.draw(st.tuples(odd, odd)),
        group=group,
        padding=data.draw(paddings),
        W_std=1.1,
        b_std=data.draw(biases),
    )
    above = GroupConv(
        data.draw(st.tuples(odd, odd)), padding=data.draw(paddings), W_std=data.draw(weights)
    )
    layers: list[Layer] = [lift, Relu(), above, Relu()]
    x, y = pair(np.random.default_rng(seed), height, width, 3)
    try:
        Network(layers).signals((height, width))
    except ShapeError:
        with pytest.raises(ShapeError):
            propagate(Network(layers), x, y)
    else:
        compare(layers, x[:1], y, assert_close)


def test_naive_loops_between_an_image_and_itself(
    rng: np.random.Generator, assert_close: Close
) -> None:
    layers: list[Layer] = [Lift((3, 3), group="C2", b_std=0.1), Relu(), GroupConv((3, 3)), Relu()]
    x, _ = pair(rng, 3, 2, 2)
    state = propagate(Network(layers), x)
    for i, j in itertools.product(range(2), repeat=2):
        nngp, ntk = naive(layers, x[i], x[j], equal=i == j)
        assert_close(flat(state.nngp[i, j]), nngp, tol=1e-11)
        assert_close(flat(state.ntk[i, j]), ntk, tol=1e-11, floor=1e-3)


# ---------------------------------------------------------------------------------------------
# Published and independently computed numbers.

GOLDEN = [
    ("C4", "SAME", 1, 0.11632350722061195, 0.004221093051621791),
    ("C4", "SAME", 2, 0.06962747667411551, 0.024406640557093583),
    ("C4", "SAME", 3, 0.034289379954972346, 0.021248583169731897),
    ("C4", "CIRCULAR", 1, 0.1496331536508572, 0.00637644783863804),
    ("C4", "CIRCULAR", 2, 0.11497635539954926, 0.047982870572314956),
    ("C4", "CIRCULAR", 3, 0.07023309048223858, 0.05442006440454384),
    (None, "SAME", 1, 0.1161715335258345, 0.004045731638309221),
    (None, "SAME", 2, 0.06956166075145583, 0.02425069787017235),
    (None, "CIRCULAR", 1, 0.14962875957589555, 0.00636696913214271),
    (None, "CIRCULAR", 2, 0.11497831675656112, 0.04798880001627979),
    (None, "VALID", 1, 0.15168065537476683, 0.003498581133621279),
    (None, "VALID", 2, 0.11713831346975281, 0.04522247837243934),
]


def stack(group: str | None, padding: str, depth: int, pool: bool = True) -> list[Layer]:
    if group is None:
        layers: list[Layer] = [Conv((3, 3), padding=padding), Relu()] * depth
    else:
        above: list[Layer] = [GroupConv((3, 3), padding=padding), Relu()]
        layers = [Lift((3, 3), group=group, padding=padding), Relu(), *above * (depth - 1)]
    readout: Layer = GlobalAvgPool() if group is None else GroupPool()
    return [*layers, readout] if pool else layers


def golden_images() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, 6, 6, 3)), rng.normal(size=(1, 6, 6, 3))


@pytest.mark.parametrize(("group", "padding", "depth", "nngp", "ntk"), GOLDEN)
def test_golden_numbers(
    group: str | None, padding: str, depth: int, nngp: float, ntk: float, assert_close: Close
) -> None:
    layers = stack(group, padding, depth)
    state = propagate(Network(layers), *golden_images())
    assert_close(state.nngp, [[nngp]], tol=1e-14)
    assert_close(state.ntk, [[ntk]], tol=1e-13)
    with_head = propagate(Network([*layers, Dense()]), *golden_images())
    assert_close(with_head.nngp, [[nngp]], tol=1e-14)
    assert_close(with_head.ntk, [[nngp + ntk]], tol=1e-14)


@pytest.mark.parametrize(
    ("depth", "nngp", "ntk"),
    [
        (1, 0.12481958276351567, 0.013108189984055434),
        (2, 0.07243600384570968, 0.0295997958689803),
        (3, 0.035455717178035764, 0.023956987093646524),
    ],
)
def test_golden_numbers_of_one_image(
    depth: int, nngp: float, ntk: float, assert_close: Close
) -> None:
    state = propagate(Network(stack("C4", "SAME", depth)), golden_images()[0])
    assert_close(state.nngp, [[nngp]], tol=1e-14)
    assert_close(state.ntk, [[ntk]], tol=1e-13)


def test_golden_numbers_before_pooling(assert_close: Close) -> None:
    state = propagate(Network(stack("C4", "SAME", 2, pool=False)), *golden_images())
    assert_close(state.nngp[0, 0, 0, 1, 2, 3, 4, 1], 0.10617255637127167, tol=1e-14)
    assert_close(state.ntk[0, 0, 0, 1, 2, 3, 4, 1], 0.05709910172899403, tol=1e-14)
    assert_close(state.nngp[0, 0, 2, 2, 0, 0, 5, 5], 0.021470967825435935, tol=1e-14)


@pytest.mark.parametrize(
    "layers",
    [
        [Conv((3, 3), W_std=1.3, b_std=0.4)],
        [Lift((3, 3), group="D4", W_std=1.3, b_std=0.4)],
        [Flatten(), Dense(W_std=1.3, b_std=0.4)],
        [Lift((3, 3), group="C4"), GroupPool()],
    ],
)
def test_the_ntk_is_the_nngp_after_the_first_linear_layer(
    layers: list[Layer], rng: np.random.Generator
) -> None:
    state = propagate(Network(layers), *pair(rng, 3, 3, 2))
    assert np.array_equal(state.ntk, state.nngp)


# ---------------------------------------------------------------------------------------------
# Symmetries.


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
@pytest.mark.parametrize("name", ["C2", "C4", "D1", "D2", "D4"])
def test_equivariance_before_pooling(
    name: str, padding: str, rng: np.random.Generator, assert_close: Close
) -> None:
    group = point_group(name)
    size = (1, 4, 4, 2) if group.swaps_axes else (1, 4, 5, 2)
    x, y = rng.normal(size=size), rng.normal(size=size)
    filters = ((3, 3), (1, 1)) if padding == "VALID" else ((3, 1), (1, 3))
    net = Network(
        [
            Lift(filters[0], group=name, padding=padding, b_std=0.2),
            Relu(),
            GroupConv(filters[1], padding=padding),
        ]
    )
    plain = propagate(net, x, y)
    for h, h2 in {(1, group.order - 1), (group.order - 1, 1), (1, 0)}:
        moved = propagate(net, rotate(x, h, group), rotate(y, h2, group))
        # K_{g,g'}(h x, h' x') = K_{h^-1 g, h'^-1 g'}(x, x')
        back, back2 = group.cayley[group.inverse[h]], group.cayley[group.inverse[h2]]
        for actual, kernel in ((moved.nngp, plain.nngp), (moved.ntk, plain.ntk)):
            expected = kernel[:, :, back][:, :, :, back2]
            expected = rotate(expected, h, group, axes=(4, 5))
            expected = rotate(expected, h2, group, axes=(6, 7))
            assert_close(actual, expected, tol=1e-12, floor=1e-2)


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
@pytest.mark.parametrize("name", ["C2", "C4", "D1", "D2", "D4"])
def test_separate_invariance_after_pooling(
    name: str, padding: str, rng: np.random.Generator, assert_close: Close
) -> None:
    group = point_group(name)
    size = (2, 4, 4, 2) if group.swaps_axes else (2, 4, 5, 2)
    x, y = rng.normal(size=size), rng.normal(size=size)
    above: list[Layer] = [Relu(), GroupConv((1, 1)), Relu(), GroupPool(), Dense(b_std=0.1)]
    net = Network([Lift((3, 3), group=name, padding=padding), *above])
    plain = propagate(net, x, y)
    for h in range(1, group.order):
        for moved in (
            propagate(net, rotate(x, h, group), y),
            propagate(net, x, rotate(y, h, group)),
        ):
            assert_close(moved.nngp, plain.nngp, tol=1e-13)
            assert_close(moved.ntk, plain.ntk, tol=1e-13)


def test_shifts_of_a_circular_network(rng: np.random.Generator, assert_close: Close) -> None:
    x, y = pair(rng, 4, 4, 2)
    net = Network(stack("C4", "CIRCULAR", 2))
    plain, moved = propagate(net, x, y), propagate(net, np.roll(x, (1, 2), (1, 2)), y)
    assert_close(moved.nngp, plain.nngp)
    assert_close(moved.ntk, plain.ntk)


@pytest.mark.parametrize("name", ["C4", "D2", "D4"])
def test_right_invariance(name: str, rng: np.random.Generator, assert_close: Close) -> None:
    group = point_group(name)
    state = propagate(Network(stack(name, "SAME", 2, pool=False)), *pair(rng, 3, 3, 1))
    for q in range(group.order):
        times_q = group.cayley[:, q]
        for kernel in (state.nngp, state.ntk):
            assert_close(kernel[:, :, times_q][:, :, :, times_q], kernel, floor=1e-2)


@pytest.mark.parametrize("name", ["C4", "D4"])
@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
def test_orbit_identity(
    name: str, padding: str, rng: np.random.Generator, assert_close: Close
) -> None:
    group = point_group(name)
    x, y = pair(rng, 5, 5, 2)
    state = propagate(Network(stack(name, padding, 2)), x, y)
    plain = Network(stack(None, padding, 2))
    turned = [propagate(plain, x, rotate(y, r, group)) for r in range(group.order)]
    assert_close(state.nngp, np.mean([each.nngp for each in turned], axis=0))
    assert_close(state.ntk, np.mean([each.ntk for each in turned], axis=0))


def test_the_trivial_group_is_an_ordinary_convolution(
    rng: np.random.Generator, assert_close: Close
) -> None:
    x, y = pair(rng, 4, 3, 2)
    lifted = propagate(Network(stack("C1", "SAME", 2, pool=False)), x, y)
    plain = propagate(Network(stack(None, "SAME", 2, pool=False)), x, y)
    assert_close(lifted.nngp[:, :, 0, 0], plain.nngp)
    assert_close(lifted.ntk[:, :, 0, 0], plain.ntk, floor=1e-3)
    assert_close(lifted.var1[:, 0], plain.var1)


@pytest.mark.parametrize("layers", [stack("D2", "SAME", 2), stack(None, "SAME", 2)])
def test_homogeneity_without_biases(
    layers: list[Layer], rng: np.random.Generator, assert_close: Close
) -> None:
    x, y = pair(rng, 3, 4, 2)
    plain, scaled = (propagate(Network(layers), c * x, y) for c in (1.0, 1e3))
    assert_close(scaled.nngp, 1e3 * plain.nngp)
    assert_close(scaled.ntk, 1e3 * plain.ntk)


# ---------------------------------------------------------------------------------------------
# Equal images, zero variance, precision, namespaces, wrong input.


@pytest.mark.parametrize("layers", [stack("C4", "SAME", 2), stack(None, "CIRCULAR", 2)])
def test_gram_matrices(layers: list[Layer], rng: np.random.Generator, assert_close: Close) -> None:
    x = rng.normal(size=(5, 4, 4, 2))
    alone = propagate(Network([*layers, Dense(), Relu(), Dense()]), x)
    twice = propagate(Network([*layers, Dense(), Relu(), Dense()]), x, x.copy())
    for gram, other in ((alone.nngp, twice.nngp), (alone.ntk, twice.ntk)):
        assert_close(gram, gram.T)
        assert_close(gram, other, tol=1e-7)
        spectrum = np.linalg.eigvalsh((gram + gram.T) / 2)
        assert spectrum[0] > -1e-12 * spectrum[-1]
    assert alone.var1 is alone.var2
    assert_close(np.diag(alone.nngp), alone.var1)


def test_unpooled_gram_tensors_are_symmetric(rng: np.random.Generator) -> None:
    state = propagate(Network(stack("C4", "SAME", 2, pool=False)), rng.normal(size=(2, 3, 3, 2)))
    for kernel in (state.nngp, state.ntk):
        assert np.array_equal(kernel, np.transpose(kernel, (1, 0, 3, 2, 6, 7, 4, 5)))


def test_the_diagonal_is_exact(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 5, 2))
    linear: list[Layer] = [Lift((3, 3), group="D2", b_std=0.3)]
    below = propagate(Network(linear), x)
    state = propagate(Network([*linear, Relu()]), x)
    for i in range(len(x)):
        axes = below.var1[i].shape
        assert np.array_equal(at_equal_indices(state.nngp[i, i], *axes), below.var1[i] / 2)
        assert np.array_equal(at_equal_indices(state.ntk[i, i], *axes), below.var1[i] / 2)
    assert np.array_equal(state.var1, below.var1 / 2)
    assert np.array_equal(at_equal_indices(below.nngp[0, 0], 4, 4, 5), below.var1[0])


def test_variances_have_the_index_of_the_features(rng: np.random.Generator) -> None:
    x, y = pair(rng, 4, 4, 2)
    shapes = {
        (4, 4, 4): [Lift((3, 3), group="C4")],
        (2, 2): [Conv((3, 3), padding="VALID")],
        (): [Flatten()],
    }
    for index, layers in shapes.items():
        state = propagate(Network(layers), x, y)
        assert (state.var1.shape, state.var2.shape) == ((2, *index), (1, *index))


@pytest.mark.parametrize("b_std", [0.0, 0.5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_zero_and_constant_images(b_std: float, dtype: str, rng: np.random.Generator) -> None:
    x = np.zeros((4, 4, 4, 1), dtype=dtype)
    x[1], x[2, 0, 0], x[3] = 1, 1, rng.normal(size=(4, 4, 1))
    layers: list[Layer] = [Lift((3, 3), group="C4", b_std=b_std), Relu(), GroupConv((3, 3)), Relu()]
    head: list[Layer] = [GroupPool(), Dense(), Relu(), Dense()]
    with warnings.catch_warnings(), np.errstate(divide="raise", over="raise", invalid="raise"):
        warnings.simplefilter("error")
        for other in (None, x.copy()):
            state = propagate(Network([*layers, *head]), x, other)
            for kernel in (state.nngp, state.ntk):
                assert kernel.dtype == dtype
                assert np.isfinite(kernel).all()
                assert not b_std or (kernel[:3, :3] > 0).all()
                assert b_std or not (kernel[0].any() or kernel[:, 0].any())
                assert (np.diag(kernel)[1:] > 0).all()


def test_a_patch_of_zeros_has_zero_kernels(rng: np.random.Generator, assert_close: Close) -> None:
    x, y = pair(rng, 4, 4, 1)
    x[:, :3, :3] = 0
    layers: list[Layer] = [Conv((3, 3), padding="SAME"), Relu(), Conv((1, 1))]
    state = propagate(Network(layers), x, y)
    assert not state.nngp[:, :, :2, :2].any()
    assert not state.ntk[:, :, :2, :2].any()
    compare(layers, x, y, assert_close)


def test_a_pooled_variance_may_round_below_zero(rng: np.random.Generator) -> None:
    x = rng.normal(size=(8, 4, 4, 1))
    x -= x.mean(axis=(1, 2, 3), keepdims=True)
    layers: list[Layer] = [Conv((3, 3), padding="CIRCULAR"), GlobalAvgPool()]
    assert (propagate(Network(layers), x).var1 < 0).any()
    with np.errstate(invalid="raise"):
        state = propagate(Network([*layers, Relu(), Dense()]), x)
    assert np.abs(state.nngp).max() < 1e-15
    assert np.abs(state.ntk).max() < 1e-15


def test_where_a_variance_is_zero_the_kernels_are() -> None:
    one, zero, no = np.ones(2), np.asarray([0.0, 1.0]), np.asarray([False, False])
    for variances in ((zero, one), (one, zero)):
        nngp, ntk = activated(zero / 2, one, Rectifier(), *variances, no)
        assert nngp[0] == ntk[0] == 0
        assert nngp[1] > 0
        assert ntk[1] > 0


def test_large_variances_do_not_overflow() -> None:
    v = np.asarray([1e30], dtype="float32")
    nngp, ntk = activated(v, v, Rectifier(), v, v, np.asarray([False]))
    assert nngp == pytest.approx(v / 2)
    assert ntk == pytest.approx(v / 2)


@pytest.mark.parametrize("layers", [stack("D2", "SAME", 2), stack(None, "VALID", 1)])
def test_single_precision(
    layers: list[Layer], rng: np.random.Generator, assert_close: Close
) -> None:
    x, y = pair(rng, 4, 4, 3)
    double = propagate(Network([*layers, Dense()]), x, y)
    single = propagate(Network([*layers, Dense()]), x.astype("float32"), y.astype("float32"))
    assert single.nngp.dtype == single.ntk.dtype == single.var1.dtype == np.float32
    assert_close(single.nngp, double.nngp)
    assert_close(single.ntk, double.ntk)


def test_the_nngp_alone_is_the_same(rng: np.random.Generator) -> None:
    x, y = pair(rng, 3, 3, 2)
    for layers in (stack("C4", "SAME", 2), [Conv((3, 3)), Relu(), Flatten(), Dense()]):
        both, alone = (propagate(Network(layers), x, y, ntk=ntk) for ntk in (True, False))
        assert alone.ntk is None
        assert np.array_equal(alone.nngp, both.nngp)


def test_images_are_left_alone(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 3, 2))
    x.setflags(write=False)
    state = propagate(Network(stack("C4", "CIRCULAR", 2)), x)
    turned = propagate(Network(stack("C4", "CIRCULAR", 2)), x[:, ::-1][:, ::-1])
    assert np.array_equal(state.ntk, turned.ntk)


def to_strict(x: Any) -> Any:
    return array_api_strict.asarray(x, device=array_api_strict.Device("device1"))


def from_strict(x: Any) -> Any:
    assert x.device == array_api_strict.Device("device1")
    return np.asarray(x.to_device(array_api_strict.Device("CPU_DEVICE")))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    "layers",
    [
        [*stack("D4", "SAME", 2), Dense(), Relu(), Dense(b_std=0.1)],
        stack("C4", "CIRCULAR", 2, pool=False),
        [Conv((3, 2), strides=(2, 1), padding="VALID", b_std=0.2), Relu(), Flatten(), Dense()],
        [Conv((3, 3), strides=(1, 3), padding="CIRCULAR"), Relu(), GlobalAvgPool()],
    ],
)
def test_strict_array_api_on_another_device(
    layers: list[Layer], symmetric: bool, rng: np.random.Generator, assert_close: Close
) -> None:
    x, y = pair(rng, 3, 3, 2)
    args = (x,) if symmetric else (x, y)
    expected: State = propagate(Network(layers), *args)
    strict: State = propagate(Network(layers), *(to_strict(each) for each in args))
    for name in ("nngp", "ntk", "var1", "var2"):
        assert_close(from_strict(getattr(strict, name)), getattr(expected, name), floor=1e-3)


@pytest.mark.parametrize(
    ("shape1", "shape2", "message"),
    [
        ((4, 4, 3), None, r"x1: expected images \(N, H, W, C\), not the shape \(4, 4, 3\)"),
        ((1, 4, 4, 0), None, "x1: expected images"),
        ((0, 4, 4, 1), None, "x1: expected images"),
        ((1, 4, 4, 3), (1, 4, 3), "x2: expected images"),
        ((1, 4, 4, 3), (1, 4, 4, 1), r"x2: expected images like those of x1, \(4, 4, 3\) of"),
        ((1, 4, 4, 3), (1, 5, 4, 3), r"x2: expected images like those of x1"),
    ],
)
def test_wrong_shapes(shape1: Any, shape2: Any, message: str) -> None:
    x2 = None if shape2 is None else np.zeros(shape2)
    with pytest.raises(InputError, match=message):
        propagate(Network(stack("C4", "SAME", 1)), np.zeros(shape1), x2)


def test_wrong_types() -> None:
    net, x = Network(stack("C4", "SAME", 1)), np.zeros((1, 4, 4, 1))
    with pytest.raises(InputError, match="x1: expected real floating-point pixels, not uint8"):
        propagate(net, x.astype("uint8"))
    with pytest.raises(InputError, match="x2: expected real floating-point pixels, not complex128"):
        propagate(net, x, x.astype(complex))
    with pytest.raises(InputError, match=r"x2: expected images like those of x1, .* of float32"):
        propagate(net, x, x.astype("float32"))


def test_a_network_that_does_not_fit_the_images() -> None:
    with pytest.raises(ShapeError, match=r"layer 0 \(Lift\): "):
        propagate(Network(stack("C4", "VALID", 1)), np.zeros((1, 2, 2, 1)))
