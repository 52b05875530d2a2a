"""Random networks on random and on hard images, against certified kernels.

Each trial is drawn from its own seed, so that one can be tried again alone. The network is any that
displacement slices apply to; the images are a few pixels, because the exact kernels are slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, MethodError, NetworkError, ShapeError
from refntk.evaluation.evaluate import DTYPES, KERNELS, kernel
from refntk.network.layers import (
    ABRelu,
    Abs,
    Activation,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    GroupConv,
    GroupPool,
    Layer,
    LeakyRelu,
    Lift,
    Relu,
)
from refntk.network.network import Network
from refntk.plan.reduction import make_plan
from refntk.truth.certified import certify, literal

__all__ = ["BOUNDS", "KINDS", "Trial", "draw", "errors", "minimised", "trials"]

Images = npt.NDArray[np.float64]
Errors = dict[tuple[str, str], float]  # by dtype and kernel

BOUNDS = {"float64": 1e-12, "float32": 5e-6}
"""Largest relative error of an entry, by the precision of the recursion."""

_VANISHED = 1e-8
"""Entries below this part of the root of the product of both diagonal ones are measured by that."""

_NEARLY_OPPOSITE = 1e-4
"""The same where one activation alone sees patches that may be opposite."""

_ENTRIES = 60_000
"""Kernel entries of all layers of a trial, at most: about a second in ball arithmetic."""

_LITERAL_ENTRIES = 600
"""Kernel entries up to which the literal recursion with 50 digits has its say, too."""

_GROUPS = ("C1", "C2", "C4", "D1", "D2", "D4")


@dataclass(frozen=True, eq=False)
class Trial:
    """A network and two images.

    Attributes
    ----------
    network : Network
    one, two : float64 array, shape (H, W, C)
    kind : str
        What is hard about the images, one of `KINDS`.
    """

    network: Network
    one: Images
    two: Images
    kind: str

    def __str__(self) -> str:
        """Give a Python expression for each part, digits and all."""
        layers = ",\n    ".join(repr(layer) for layer in self.network.layers)
        return f"[\n    {layers},\n]\n{self.one.tolist()}\n{self.two.tolist()}"

    @property
    def record(self) -> dict[str, Any]:
        """All of it but the kind, of types that JSON has."""
        toml = self.network.to_toml()
        return {"network": toml, "one": self.one.tolist(), "two": self.two.tolist()}

    @classmethod
    def of_record(cls, kind: str, record: dict[str, Any]) -> Trial:
        """Make a trial of its record."""
        one, two = (np.array(record[name], float) for name in ("one", "two"))
        return cls(Network.from_toml_string(record["network"]), one, two, kind)


Partner = Callable[[Images, np.random.Generator], Images]


def _normal(x: Images, rng: np.random.Generator) -> Images:
    return rng.normal(size=x.shape)


def _hot(x: Images, rng: np.random.Generator) -> Images:
    image = np.zeros_like(x)
    image[rng.integers(x.shape[0]), rng.integers(x.shape[1])] = 10.0 ** rng.integers(0, 7)
    return image


def _near(size: float) -> Partner:
    return lambda x, rng: x + size * np.abs(x).max() * rng.normal(size=x.shape)


KINDS: dict[str, Partner] = {
    "random": _normal,
    "black": lambda x, rng: np.zeros_like(x),
    "constant": lambda x, rng: np.full_like(x, rng.normal()),
    "duplicate": lambda x, rng: x.copy(),
    "mirror": lambda x, rng: x[:, ::-1].copy(),
    "opposite": lambda x, rng: -x,
    "scaled by 1e8": lambda x, rng: 1e8 * rng.normal(size=x.shape),
    "scaled by 1e-8": lambda x, rng: 1e-8 * rng.normal(size=x.shape),
    "dark": lambda x, rng: 10.0 ** -rng.integers(1, 5) * rng.normal(size=x.shape),
    "hot pixel": _hot,
    "digit": lambda x, rng: np.maximum(rng.normal(size=x.shape) - 0.5, 0),
    **{f"near, 1e-{k}": _near(10.0**-k) for k in range(1, 10)},
}
"""Makers of the second image, from the first one, by what is hard about the pair."""


def trials(seed: int, count: int) -> Iterator[Trial]:
    """Draw trials; the k-th one is ``draw(seed, k)``."""
    return (draw(seed, k) for k in range(count))


def draw(seed: int, number: int) -> Trial:
    """Draw one trial.

    Parameters
    ----------
    seed, number : int
        Of the run, and of the trial in it.

    Returns
    -------
    Trial
        Of a network that displacement slices apply to, with images that it can take.
    """
    rng = np.random.default_rng([seed, number])
    kind = list(KINDS)[rng.integers(len(KINDS))]
    while True:
        network, order = _network(rng)
        side = int(rng.integers(1, 7))
        shape = side, int(rng.integers(1, 7)) if order == 1 else side, int(rng.integers(1, 4))
        filters = sum(isinstance(layer, Conv | Lift | GroupConv) for layer in network.layers)
        entries = (order * shape[0] * shape[1]) ** 2 * max(filters, 1)
        if entries <= _ENTRIES and _applies(network, shape):
            one = _first(shape, rng)
            return Trial(network, one, KINDS[kind](one, rng), kind)


def _applies(network: Network, shape: tuple[int, int, int]) -> bool:
    try:
        make_plan(network, shape, "slices", ("slices",), "numba")
    except (MethodError, NetworkError, ShapeError):
        return False
    return True


def _first(shape: tuple[int, int, int], rng: np.random.Generator) -> Images:
    image = rng.normal(size=shape)
    which = rng.integers(6)
    if which == 0:
        image = np.abs(image)
    elif which == 1:
        image = np.maximum(image, 0)
    elif which == 2:
        image = np.full(shape, image.flat[0])
    elif which == 3:
        image = _hot(image, rng)
    elif which == 4 and image.size > 1:
        image = (image - image.mean()) / image.std()
    return image


def _activation(rng: np.random.Generator) -> Layer:
    """Draw the Relu, or one of its relatives."""
    relatives = [
        LeakyRelu(alpha=float(rng.uniform(0.01, 0.5))),
        Abs(),
        ABRelu(a=float(rng.normal()), b=float(rng.normal())),
    ]
    return Relu() if rng.random() < 0.6 else relatives[rng.integers(len(relatives))]


def _network(rng: np.random.Generator) -> tuple[Network, int]:
    """Draw a network, and the order of its group."""

    def rates() -> dict[str, Any]:
        w = float(np.exp(rng.uniform(np.log(0.2), np.log(8)))) if rng.random() < 0.5 else 2**0.5
        return {"W_std": w, "b_std": 10.0 ** rng.uniform(-3, 0) if rng.random() < 0.4 else 0.0}

    def relu(chance: float) -> list[Layer]:
        return [act] if rng.random() < chance else []

    act = _activation(rng)

    group = str(rng.choice(_GROUPS)) if rng.random() < 0.4 else None
    padding = str(rng.choice(["SAME", "VALID", "CIRCULAR"]))
    layers: list[Layer] = []
    depth = min(int(rng.geometric(0.35)), 12) if rng.random() < 0.9 else 0
    for k in range(depth):
        strides = (int(rng.integers(1, 3)),) * 2 if rng.random() < 0.15 else (1, 1)
        if group is None:
            sides = int(rng.integers(1, 5)), int(rng.integers(1, 5))
            gaps = (int(rng.integers(1, 3)),) * 2 if rng.random() < 0.1 else (1, 1)
            layers.append(
                Conv(sides, padding=padding, strides=strides, dilations=gaps, **rates())
            )
        else:
            side = int(rng.choice([1, 3]))
            if k == 0:
                layers.append(Lift((side, side), group=group, padding=padding, **rates()))
            else:
                layers.append(GroupConv((side, side), padding=padding, **rates()))
        layers += relu(0.85)
    if depth > 0 and act not in layers:
        layers.append(act)  # without one signed products cancel in the mean
    if depth == 0 or rng.random() < 0.25:
        layers.append(Flatten())
    elif group is None:
        layers.append(GlobalSumPool() if rng.random() < 0.1 else GlobalAvgPool())
    else:
        layers.append(GroupPool())
    for _ in range(int(rng.integers(0, 4))):
        layers += [Dense(**rates()), *relu(0.8)]
    if isinstance(layers[-1], Flatten) or layers[-1] == act or rng.random() < 0.5:
        layers.append(Dense(**rates()))
    order = 1 if group is None or depth == 0 else int(group[1]) * (1 + (group[0] == "D"))
    return Network(layers), order


def errors(trial: Trial) -> Errors:
    """Measure the fast method on one trial.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    dict of float, by (dtype, kernel)
        Relative errors; of entries that are negative, or nearly vanish beside those of both images
        with themselves, relative to these. Where slopes a, b of an activation have one sign,
        covariances may be as low as -2ab / (a² + b²) of the variances, and cancel in the mean over
        positions: errors are relative to at least that part of the entries of both images. A
        precision that the kernel is too large for is left out.

    Raises
    ------
    AssertionError
        The certified kernel and the literal recursion with 50 digits, where it is small enough for
        that, differ by more than half of these digits.
    """
    images = np.stack([trial.one, trial.two])
    exact = certify(trial.network, images)
    if _size(trial) <= _LITERAL_ENTRIES:
        _agree(trial, exact)
    found: Errors = {}
    for dtype in DTYPES:
        try:
            result = kernel(
                trial.network, images[:1], images, dtype=dtype, method="slices", threads=1
            )
        except InputError:
            continue
        for name in KERNELS:
            right, values = getattr(exact, name), getattr(result, name).astype(np.float64)
            # An NTK below zero is a sum with signs, of opposite patches before the first Relu.
            share = np.where(right[0] < 0, 1.0, _floor(trial.network))
            floor = share * np.sqrt(right[0, 0] * right.diagonal())
            difference = np.abs(values[0] - right[0])
            scale = np.maximum(np.abs(right[0]), floor)
            relative = np.divide(difference, scale, out=np.zeros(2), where=difference > 0)
            found[dtype, name] = float(relative.max())
    return found


def _floor(network: Network) -> float:
    """Part of the diagonal entries that smaller ones are measured by."""
    duals = [layer.dual.arccos for layer in network.layers if isinstance(layer, Activation)]
    # How far below zero a correlation after an activation may be.
    lowest = max((float(dual.skip / dual.half) for dual in duals if dual), default=0.0)
    return max(lowest, _NEARLY_OPPOSITE if len(duals) == 1 else _VANISHED)


def _size(trial: Trial) -> int:
    groups = [layer.group for layer in trial.network.layers if isinstance(layer, Lift)]
    order = max([int(name[1]) * (1 + (name[0] == "D")) for name in groups], default=1)
    positions: int = trial.one.shape[0] * trial.one.shape[1]
    return (order * positions) ** 2 * len(trial.network.layers)


def _agree(trial: Trial, exact: Any) -> None:
    digits = literal(trial.network, np.stack([trial.one, trial.two]))
    for name in KERNELS:
        values, right = digits[name].astype(np.float64), getattr(exact, name)
        scale = np.sqrt(np.outer(right.diagonal(), right.diagonal()))
        worst = float(np.max(np.abs(values - right) - 1e-15 * scale))
        assert worst <= 0, f"two exact routes differ by {worst}:\n{trial}"


def minimised(trial: Trial, failing: Callable[[Trial], bool]) -> Trial:
    """Make a failing trial as small as it goes and still fails.

    Parameters
    ----------
    trial : Trial
    failing : callable
        Whether a trial fails.

    Returns
    -------
    Trial
        No layer, row, column, channel or option of it can be left out alone.
    """
    smaller = True
    while smaller:
        smaller = False
        for other in _smaller(trial):
            if _valid(other) and failing(other):
                trial, smaller = other, True
                break
    return trial


def _valid(trial: Trial) -> bool:
    return min(trial.one.shape) > 0 and _applies(trial.network, trial.one.shape)


def _smaller(trial: Trial) -> Iterator[Trial]:
    layers = list(trial.network.layers)
    for k in range(len(layers)):
        for kept in (layers[:k] + layers[k + 1 :], layers[:k] + layers[k + 2 :]):
            try:
                yield replace(trial, network=Network(kept))
            except NetworkError:
                continue
    for axis in range(3):
        for cut in (slice(1, None), slice(None, -1)):
            index = [slice(None)] * axis + [cut]
            yield replace(trial, one=trial.one[tuple(index)], two=trial.two[tuple(index)])
    for k, layer in enumerate(layers):
        for field, plain in (("b_std", 0.0), ("W_std", 1.0), ("filter_shape", (1, 1))):
            if getattr(layer, field, plain) != plain:
                simpler = replace(layer, **{field: plain})
                yield replace(trial, network=Network([*layers[:k], simpler, *layers[k + 1 :]]))
