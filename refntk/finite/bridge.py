r"""From finite to infinite width: ensembles trained with augmentation, and the equivariant kernel.

Ordinary networks of width w are trained by full-batch gradient descent on all copies of the images
under the group. The mean over m of them tends, for large m and w, to the prediction of the kernel
of the group network on the images alone. The deviation from it has three parts:

- *noise*: the function at the start has mean zero; what is left of it at time t has the covariance
  of `refntk.inference.GradientFlow`, over m;
- *fluctuation*: the tangent kernel of a draw differs from its mean by :math:`O(w^{-1/2})`, which
  the mean over m members divides by :math:`\sqrt m`, too;
- *bias*: the mean of the predictions is off by :math:`O(w^{-1})`, whatever m is.

Each draw is trained twice, the second time with the parameters of its last layer negated: the
function at the start is the opposite, the tangent kernel the same. The mean of such a pair is free
of the noise to first order and shows the other two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, MethodError
from refntk.evaluation.evaluate import Kernel, kernel
from refntk.evaluation.images import as_images
from refntk.finite.network import FiniteNetwork
from refntk.finite.operator import FloatArray, Weights
from refntk.inference import GradientFlow
from refntk.inference.splits import random_split
from refntk.network.layers import Dense
from refntk.network.network import Network
from refntk.symmetry.augmentation import rotated_copies
from refntk.symmetry.three_ways import counterparts

__all__ = ["Bridge", "slopes", "summarize", "two_classes"]

Row = dict[str, Any]
Float64Array = npt.NDArray[np.float64]

_DIGITS = 9  # of a prediction in a row: rounding far below what a thousand members resolve


class Bridge:
    """An experiment: training images, what is to be predicted, and what the kernel predicts.

    Parameters
    ----------
    net : Network
        With a Lift and a GroupPool, or convolutions and a GlobalAvgPool; it ends with a Dense.
    train : array, shape (N, H, W, C)
    targets : array of numbers, shape (N,)
    test : array, shape (M, H, W, C)
    scaled_times : sequence of float
        Training times, times the largest rate of learning: the largest eigenvalue of the group
        network's NTK over N. Each is rounded to whole steps.
    rate : float
        Learning rate, in units of the inverse of that rate; 2 is where descent diverges.
    seed : int
        Draw d of width w comes from ``numpy.random.default_rng([seed, w, d])``.
    dtype : {"float64", "float32"}
        Of the finite networks.
    threads : int, optional
        For the exact kernels.

    Attributes
    ----------
    steps : tuple of int
        Number of steps at each time.
    times : array of float64, shape (T,)
        Scaled times of these steps.
    reference : array of float64, shape (T, N + M)
        What the group network's kernel predicts for training and test images at each time, by
        gradient descent with the same steps.
    noise : array of float64, shape (T,)
        Root of the sum over the images of the variance of one ordinary infinitely wide network
        trained on the copies, relative to the norm of the reference.
    discretisation : array of float64, shape (T,)
        How far that is from `refntk.inference.GradientFlow` for the same kernel: the norm of the
        difference, relative.

    Raises
    ------
    MethodError
        The network has no counterpart, or does not end with a Dense.
    InputError
        Times or rate are not positive, or images and targets do not fit.
    """

    def __init__(
        self, net: Network, train: npt.ArrayLike, targets: npt.ArrayLike, test: npt.ArrayLike, *,
        scaled_times: Sequence[float] = (1.0, 10.0, 100.0), rate: float = 0.25, seed: int = 0,
        dtype: str = "float64", threads: int | None = None,
    ) -> None:  # fmt: skip
        equivariant, self._ordinary, group = counterparts(net)
        if not isinstance(net.layers[-1], Dense):
            raise MethodError("bridge: expected a network that ends with a Dense")
        if not 0 < rate < 2:
            raise InputError(f"rate: expected a number between 0 and 2, not {rate:g}")
        ascending = list(scaled_times) == sorted(scaled_times)
        if not scaled_times or not ascending or scaled_times[0] < rate:
            raise InputError(f"times: expected ascending numbers of at least the rate, {rate:g}")
        inside, outside = as_images(train, "train"), as_images(test, "test")
        wanted = np.asarray(targets, np.float64)
        if wanted.shape != (len(inside),):
            raise InputError(f"targets: expected {len(inside)} numbers, not shape {wanted.shape}")
        self._seed, self._dtype = seed, dtype
        self._images = np.concatenate([inside, outside])
        self._copies = rotated_copies(inside, group)
        self._targets = np.concatenate([wanted] * (len(self._copies) // len(inside)))[:, None]
        self.steps = tuple(max(1, round(when / rate)) for when in scaled_times)
        self.times: Float64Array = rate * np.array(self.steps)
        exact = kernel(equivariant, self._images, threads=threads).ntk
        assert exact is not None  # it was asked for
        count = len(inside)
        flow = GradientFlow(loss="mean").fit(exact[:count, :count], wanted)
        unit = count / flow.eigenvalues[-1]
        self._rate = rate * unit
        self.reference: Float64Array = _descent(exact[:, :count], wanted, self._rate, self.steps)
        self._size = np.linalg.norm(self.reference, axis=1)
        limit = flow.mean(self.times * unit, exact[:, :count])
        self.discretisation: Float64Array = self.deviation(limit)
        self.noise: Float64Array = np.sqrt(self._variance(unit, threads)) / self._size

    def _variance(self, unit: float, threads: int | None) -> Float64Array:
        """Sum over the images of the variance of one network, at each time."""
        among = _both(kernel(self._ordinary, self._copies, threads=threads))
        across = _both(kernel(self._ordinary, self._images, self._copies, threads=threads))
        own = _both(kernel(self._ordinary, self._images, threads=threads))
        flow = GradientFlow(loss="mean").fit(among[1], self._targets[:, 0], among[0])
        variances = flow.variance(self.times * unit, across[1], across[0], np.diagonal(own[0]))
        return np.asarray(variances.sum(axis=1))

    def members(
        self, widths: Iterable[int], draws: int, done: Sequence[Row] = ()
    ) -> Iterator[Row]:
        """Train networks, and give a row for each of them and each time.

        Parameters
        ----------
        widths : iterable of int
        draws : int
            Pairs of networks of each width.
        done : sequence of dict
            Rows that are there; they are not computed again.

        Yields
        ------
        dict
            ``width``, ``draw``, ``sign`` of the last layer, number of the ``time``, and the
            predictions ``p0``, ``p1``, ..., training images first. All widths of one draw come
            before the next draw.

        Raises
        ------
        InputError
            The descent diverges.
        """
        there = {(row["width"], row["draw"], row["sign"], row["time"]) for row in done}
        for draw in range(draws):
            for width in widths:
                for sign in (1, -1):
                    keys = [(width, draw, sign, t) for t in range(len(self.steps))]
                    if there.issuperset(keys):
                        continue
                    for key, outputs in zip(keys, self.train(width, draw, sign), strict=True):
                        if key not in there:
                            yield _row(key, outputs)

    def train(self, width: int, draw: int, sign: int = 1) -> Float64Array:
        """Train one network.

        Parameters
        ----------
        width, draw : int
        sign : {1, -1}
            Whether the parameters of the last layer are negated at the start.

        Returns
        -------
        array of float64, shape (T, N + M)
            Its predictions for training and test images.

        Raises
        ------
        InputError
            The descent diverges.
        """
        shape = self._images.shape[1:]
        finite = FiniteNetwork(self._ordinary, shape, width, outputs=1, dtype=self._dtype)
        parameters = finite.draw(np.random.default_rng([self._seed, width, draw]))
        last = parameters[-1]
        assert last is not None  # a Dense
        parameters[-1] = Weights(sign * last.weight, sign * last.bias)
        outputs, done = [], 0
        for steps in self.steps:
            for _ in range(done, steps):
                parameters = self._step(finite, parameters)
            done = steps
            outputs.append(finite.forward(parameters, self._images)[-1][:, 0])
        found = np.asarray(outputs, np.float64)
        if not np.isfinite(found).all():
            raise InputError(f"width {width}: the descent diverges; choose a smaller rate")
        return found

    def _step(
        self, finite: FiniteNetwork, parameters: Sequence[Weights | None]
    ) -> list[Weights | None]:
        features = finite.forward(parameters, self._copies)
        covector: FloatArray = (features[-1] - self._targets) / len(self._copies)
        gradients, _ = finite.backward(parameters, features, covector.astype(self._dtype))
        return [
            None if own is None or slope is None
            else Weights(*(p - self._rate * g for p, g in zip(own, slope, strict=True)))
            for own, slope in zip(parameters, gradients, strict=True)
        ]  # fmt: skip

    def deviation(self, predictions: Float64Array) -> Float64Array:
        """Norm of the difference from the reference, relative: (..., T, N + M) to (..., T)."""
        return np.asarray(np.linalg.norm(predictions - self.reference, axis=-1) / self._size)

    def step_rows(self) -> list[Row]:
        """Tell the number of steps and `discretisation`, a row for each time."""
        pairs = zip(self.times.tolist(), self.steps, self.discretisation.tolist(), strict=True)
        return [{"time": t, "steps": n, "difference": gap} for t, n, gap in pairs]


def two_classes(
    labels: npt.NDArray[np.int64], classes: str | None, train: int, test: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Float64Array]:
    """Choose images of two classes to train on and to predict, with targets 1 and -1.

    Parameters
    ----------
    labels : array of int, shape (K,)
        Class of each image.
    classes : str, optional
        The two, such as ``"0,8"``. Default: the smallest and the largest.
    train, test, seed : int
        Numbers of images, the classes in proportion; and the seed of the choice.

    Returns
    -------
    train, test : arrays of int
        Indices of the images.
    targets : array of float64
        Of the training images.

    Raises
    ------
    InputError
        These are not two classes of the images, or there are not enough images.
    """
    known = sorted({int(label) for label in labels})
    text = f"{known[0]},{known[-1]}" if classes is None else classes
    chosen = [int(part) if part.strip().isdecimal() else -1 for part in text.split(",")]
    if len(chosen) != 2 or chosen[0] == chosen[1] or not set(chosen) <= set(known):
        raise InputError(
            f"classes {text}: expected two of {', '.join(map(str, known))}, such as "
            f"{known[0]},{known[-1]}"
        )
    members = np.flatnonzero(np.isin(labels, chosen))
    if train + test > len(members):
        raise InputError(
            f"train {train} and test {test}: need {train + test} images, but the two classes have "
            f"{len(members)}"
        )
    first = labels[members] == chosen[0]
    split = random_split(first.astype(np.int64), test, np.random.default_rng(seed))
    inside = members[split.train[:train]]
    return inside, members[split.test], np.where(labels[inside] == chosen[0], 1.0, -1.0)


def _both(found: Kernel) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    assert found.nngp is not None  # both were asked for
    assert found.ntk is not None
    return found.nngp, found.ntk


def _descent(
    rows: npt.NDArray[Any], targets: Float64Array, rate: float, steps: Sequence[int]
) -> Float64Array:
    """Mean prediction of gradient descent with a constant kernel, shape (T, N + M)."""
    count = len(targets)
    outputs = np.zeros(len(rows))
    found = []
    for step in range(1, max(steps) + 1):
        outputs = outputs - rate / count * rows @ (outputs[:count] - targets)
        if step in steps:
            found.append(outputs)
    return np.array([found[sorted(set(steps)).index(s)] for s in steps])


def _row(key: tuple[int, int, int, int], outputs: Float64Array) -> Row:
    values = {f"p{k}": float(f"{value:.{_DIGITS}g}") for k, value in enumerate(outputs)}
    return dict(zip(("width", "draw", "sign", "time"), key, strict=True)) | values


def summarize(bridge: Bridge, rows: Sequence[Row]) -> list[Row]:
    """Measure the deviation of ensembles, a row for each width, time and size.

    Parameters
    ----------
    bridge : Bridge
    rows : sequence of dict
        Of `Bridge.members`.

    Returns
    -------
    list of dict
        ``single`` is the root mean square deviation of the mean over ``members`` networks, in
        disjoint ensembles; ``noise`` what theory says of its noise; ``pairs`` the deviation of the
        mean over as many pairs, ``chance`` that part of it which varies from pair to pair, by their
        own variance; ``bias`` the root of the difference of their squares, 0 where chance is more.
    """
    found = []
    for width, predictions in _by_width(rows, len(bridge.steps)).items():
        draws = len(predictions)
        sizes = [2**k for k in range(draws.bit_length()) if 2**k < draws] + [draws]
        pairs = predictions.mean(axis=1)
        size = np.linalg.norm(bridge.reference, axis=1)
        spread = np.full(len(size), np.nan)
        if draws > 1:
            spread = np.sqrt(pairs.var(axis=0, ddof=1).sum(axis=1)) / size
        for t, when in enumerate(bridge.times.tolist()):
            for members in sizes:
                single, pair = (
                    float(np.sqrt(np.square(_blocks(bridge, p, members)[:, t]).mean()))
                    for p in (predictions[:, 0], pairs)
                )
                chance = float(spread[t]) / math.sqrt(members)
                found.append({
                    "width": width, "time": when, "members": members, "single": single,
                    "noise": float(bridge.noise[t]) / math.sqrt(members), "pairs": pair,
                    "chance": chance, "bias": math.sqrt(max(0.0, pair**2 - chance**2)),
                })  # fmt: skip
    return found


def _by_width(rows: Sequence[Row], times: int) -> Mapping[int, Float64Array]:
    """Predictions of complete pairs by width: (draws, 2 signs, T, N + M)."""
    members: dict[tuple[int, int], dict[tuple[int, int], list[float]]] = {}
    for row in rows:
        values = [value for name, value in row.items() if name.startswith("p")]
        here = members.setdefault((row["width"], row["draw"]), {})
        here[row["sign"], row["time"]] = values
    grouped: dict[int, list[Any]] = {}
    for (width, _), there in sorted(members.items()):
        if len(there) == 2 * times:
            pair = [[there[sign, t] for t in range(times)] for sign in (1, -1)]
            grouped.setdefault(width, []).append(pair)
    return {width: np.array(pairs, np.float64) for width, pairs in grouped.items()}


def _blocks(bridge: Bridge, predictions: Float64Array, members: int) -> Float64Array:
    """Deviations of the means over disjoint ensembles: (D, T, N + M) to (D // members, T)."""
    whole = len(predictions) // members * members
    ensembles = predictions[:whole].reshape(-1, members, *predictions.shape[1:])
    return bridge.deviation(ensembles.mean(axis=1))


def slopes(summary: Sequence[Row]) -> list[Row]:
    """Fit powers: of the number of members at the largest width, and of the width.

    Parameters
    ----------
    summary : sequence of dict
        Of `summarize`.

    Returns
    -------
    list of dict
        For each time: the exponent of the number of members in ``single``, where the noise
        dominates, and of the width in ``pairs`` and in ``bias``, both of all pairs; NaN where there
        are fewer than two points above zero.
    """
    largest = max(row["width"] for row in summary)
    found = []
    for when in sorted({row["time"] for row in summary}):
        at = [row for row in summary if row["time"] == when]
        most = {row["width"]: row for row in at}  # the last row of a width has all members
        wide = [row for row in at if row["width"] == largest]
        found.append({
            "time": when,
            "members in single": _power([(row["members"], row["single"]) for row in wide]),
            "width in pairs": _power([(w, row["pairs"]) for w, row in most.items()]),
            "width in bias": _power([(w, row["bias"]) for w, row in most.items()]),
        })  # fmt: skip
    return found


def _power(points: Sequence[tuple[float, float]]) -> float:
    kept = [point for point in points if point[1] > 0]
    if len(kept) < 2:
        return math.nan
    x, y = np.log(np.array(kept, np.float64)).T
    return float(np.polyfit(x, y, 1)[0])
