"""Checks of an installation: what refntk promises, put to the test on the machine at hand.

Each check is a name, a function that gives the largest error it found, and the bound for it.
`CHECKS` lists them; a line there is all that a further check needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refntk.errors import MissingPackageError
from refntk.evaluation.evaluate import DTYPES, Kernel, default_threads, kernel
from refntk.network.layers import (
    CentreReadout,
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
from refntk.network.network import Network
from refntk.network.presets import preset
from refntk.ops.groups import GROUPS, point_group, rotate
from refntk.symmetry.augmentation import BOUND, compare, rotated_copies
from refntk.truth.certified import certify

__all__ = ["CHECKS", "Check", "Outcome", "verify"]

_SEED = 20240606
_TIMES = (1.0, 1e2, 1e4, 1e6)

Images = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One promise of refntk, as something to be computed.

    Parameters
    ----------
    name : str
        What is compared, in a few words.
    errors : callable
        Computes, and gives the errors that it finds.
    bound : float
        The largest error that passes.
    """

    name: str
    errors: Callable[[], Iterable[float]]
    bound: float


@dataclass(frozen=True)
class Outcome:
    """What became of a check.

    Attributes
    ----------
    check : Check
    error : float or None
        The largest error; None where the check was skipped.
    seconds : float
    skipped : str
        Why it was skipped; empty where it ran.
    """

    check: Check
    error: float | None
    seconds: float
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the promise; NaN does."""
        return self.error is None or self.error <= self.check.bound


def verify(checks: Sequence[Check] | None = None) -> Iterator[Outcome]:
    """Run checks, and give each outcome as it is there.

    Parameters
    ----------
    checks : sequence of Check, optional
        Default: all of `CHECKS`.

    Yields
    ------
    Outcome
        A check that needs a package which is not installed is skipped.
    """
    for check in CHECKS if checks is None else checks:
        begin = time.perf_counter()
        error: float | None = None
        skipped = ""
        try:
            error = float(np.max([*check.errors()]))  # NaN stays NaN
        except MissingPackageError as missing:
            skipped = str(missing)
        yield Outcome(check, error, time.perf_counter() - begin, skipped)


def _images(count: int, size: int, channels: int = 2, seed: int = _SEED) -> Images:
    return np.random.default_rng(seed).normal(size=(count, size, size, channels))


def _group_network(group: str, padding: str, head: Sequence[Layer] = ()) -> Network:
    lift = Lift((3, 3), group=group, padding=padding, W_std=1.25, b_std=0.25)
    conv = GroupConv((3, 3), padding=padding, W_std=1.5, b_std=0.125)
    return Network([lift, Relu(), conv, Relu(), GroupPool(), *head])


def _networks() -> Iterator[Network]:
    """Every group and padding, with a head; ordinary networks with strides and Flatten."""
    head: list[Layer] = [Dense(W_std=1.5, b_std=0.5), Relu(), Dense(W_std=0.75, b_std=0.25)]
    for group in GROUPS:
        for padding in ("SAME", "VALID", "CIRCULAR"):
            yield _group_network(group, padding, head)
    strided: list[Layer] = [Conv((3, 3), strides=(2, 1)), Relu(), Conv((2, 3)), Relu()]
    yield Network([*strided, GlobalAvgPool(), *head])
    yield Network([*strided, Flatten(), *head])
    yield Network([Flatten(), *head])


def _far(actual: Kernel, desired: Kernel) -> Iterator[float]:
    """Largest difference of the NNGP, and of the NTK, relative to each entry."""
    for given, right in zip(actual.kernels.values(), desired.kernels.values(), strict=True):
        wide = right.astype(np.float64)
        yield np.max(np.abs(given - wide) / np.abs(wide))


def _slices() -> Iterator[float]:
    for net in _networks():
        size = 5 if getattr(net.layers[0], "padding", "SAME") == "VALID" else 4
        x1, x2 = _images(2, size), _images(2, size, seed=_SEED + 1)
        yield from _far(kernel(net, x1, x2), kernel(net, x1, x2, backend="numpy", method="literal"))


def _balls() -> Iterator[float]:
    x1, x2 = _images(2, 3), _images(2, 3, seed=_SEED + 1)
    for net in (preset("gcnn-paper"), _group_network("D2", "CIRCULAR")):
        proven = certify(net, x1, x2)
        yield from _far(kernel(net, x1, x2), Kernel(proven.nngp, proven.ntk))


def _single() -> Iterator[float]:
    x1, x2 = _images(3, 9), _images(2, 9, seed=_SEED + 1)
    for net in (preset("gcnn-paper"), preset("cnn-paper"), _group_network("D4", "CIRCULAR")):
        yield from _far(kernel(net, x1, x2, dtype="float32"), kernel(net, x1, x2))


def _invariance() -> Iterator[float]:
    images = _images(3, 10)
    for name in GROUPS[1:]:
        group = point_group(name)
        for net in (
            _group_network(name, "SAME", [Dense(W_std=1.5, b_std=0.5)]),
            _group_network(name, "CIRCULAR", [Dense(), Relu(), Dense()]),
        ):
            still = kernel(net, images)
            for r in range(1, group.order):
                yield from _far(kernel(net, rotate(images, r, group), images), still)
                yield from _far(kernel(net, images, rotate(images, r, group)), still)


def _augmentation() -> Iterator[float]:
    train, test = _images(4, 4), _images(2, 4, seed=_SEED + 1)
    targets = np.random.default_rng(_SEED).normal(size=(4, 2))
    for group in ("C4", "D4"):
        net = _group_network(group, "SAME", [Dense()])
        yield from compare(
            net, train, targets, test, scaled_times=_TIMES, method="literal"
        ).differences


def _volume_network(group: str, end: Layer) -> Network:
    # Even sides and no padding leave few positions, which the literal recursion has squared.
    lift = Lift((2, 2, 2), group=group, padding="VALID", W_std=1.25, b_std=0.25)
    return Network([lift, Relu(), GroupConv((1, 1, 1), W_std=1.5), Relu(), end, Dense()])


def _volumes(count: int, seed: int = _SEED) -> Images:
    return np.random.default_rng(seed).normal(size=(count, 3, 3, 3, 1))


def _orbits() -> Iterator[float]:
    hexagons = Lift((3, 3), group="D6", lattice="hexagonal", W_std=1.25, b_std=0.25)
    for net, shape in (
        (_volume_network("T", GroupPool()), (3, 3, 3, 1)),
        (_volume_network("O", CentreReadout()), (3, 3, 3, 1)),
        (_volume_network("D4h", GroupPool()), (2, 3, 3, 1)),
        (Network([hexagons, Relu(), GroupConv((3, 3)), Relu(), GroupPool()]), (3, 3, 2)),
    ):
        x1, x2 = np.random.default_rng(_SEED).normal(size=(2, 1, *shape))
        fast = kernel(net, x1, x2, method="orbits")
        yield from _far(fast, kernel(net, x1, x2, method="literal"))


def _turned_volumes() -> Iterator[float]:
    volumes = _volumes(2)
    for name, end in (("O", CentreReadout()), ("Oh", CentreReadout()), ("T", GroupPool())):
        group, net = point_group(name, "cubic"), _volume_network(name, end)
        turned = rotated_copies(volumes, name)
        still = kernel(net, volumes, np.concatenate([volumes] * group.order))
        yield from _far(kernel(net, volumes, turned), still)
        still = kernel(net, np.concatenate([volumes] * group.order), volumes)
        yield from _far(kernel(net, turned, volumes), still)


def _augmented_volumes() -> Iterator[float]:
    targets = np.random.default_rng(_SEED).normal(size=(2, 2))
    train, test = _volumes(2), _volumes(1, _SEED + 1)
    for end in (GroupPool(), CentreReadout()):
        net = _volume_network("O", end)
        yield from compare(
            net, train, targets, test, scaled_times=_TIMES, method="literal"
        ).differences


def _definite() -> Iterator[float]:
    images = _images(24, 8)
    images[1] = images[0]  # a duplicate and two constant images, which make the matrix singular
    images[2:4] = np.array([0.5, 1.0])[:, None, None, None]
    for net in (preset("gcnn-paper"), preset("cnn-paper"), preset("mlp-5")):
        for matrix in kernel(net, images).kernels.values():
            eigenvalues = np.linalg.eigvalsh(matrix)
            yield np.maximum(0.0, -eigenvalues[0] / eigenvalues[-1])


def _symmetry() -> Iterator[float]:
    for dtype in DTYPES:
        for matrix in kernel(preset("gcnn-paper"), _images(9, 8), dtype=dtype).kernels.values():
            yield np.abs(matrix - matrix.T).max()


def _repeatability() -> Iterator[float]:
    images, net = _images(9, 8), preset("gcnn-paper")
    for dtype in DTYPES:
        first = kernel(net, images, dtype=dtype)
        for tile in (1, 4, 64):
            for threads in {1, 2, 3, default_threads()}:
                again = kernel(net, images, dtype=dtype, tile=tile, threads=threads)
                for a, b in zip(first.kernels.values(), again.kernels.values(), strict=True):
                    yield np.abs(a - b).max()


CHECKS: tuple[Check, ...] = (
    Check("slices against the literal recursion, 6 groups x 3 paddings", _slices, 1e-12),
    Check("slices against ball arithmetic with proven radii", _balls, 1e-12),
    Check("float32 against float64", _single, 5e-6),
    Check("rotations and reflections leave the kernel as it is", _invariance, 1e-12),
    Check("augmented data against group network, at 4 times", _augmentation, BOUND),
    Check("no eigenvalue below zero, relative to the largest", _definite, 1e-12),
    Check("Gram matrices are exactly symmetric", _symmetry, 0.0),
    Check("the same bits for any tile and number of threads", _repeatability, 0.0),
    Check("orbits against the literal recursion, volumes and hexagons", _orbits, 1e-12),
    Check("turns of volumes leave the kernel as it is", _turned_volumes, 1e-12),
    Check("augmented volumes against group network, at 4 times", _augmented_volumes, BOUND),
)
"""What `refntk verify` runs. Errors of kernels are relative to each entry, NNGP and NTK alike."""
