"""Networks of finite width, trained on all poses but one, beside the theory.

What Figures 5B and 11 of A. Perin, S. Deny, arXiv:2412.11521, show: Adam, all points in each step,
the squared error. The function at the start is subtracted, from what is learned and from what is
predicted: at infinite width it is noise around the prediction of the kernel. Regression with the
NTK is the limit of gradient descent; Adam, which scales each parameter's step by itself, need not
go there, and in the tests does not at width 4096.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, unknown
from refntk.finite.network import FiniteNetwork
from refntk.finite.operator import FloatArray, Weights
from refntk.network.network import Network
from refntk.spectral.leave_out import leave_out_errors
from refntk.spectral.study import Study
from refntk.spectral.theory import circulant_spectrum, circularize, interleave, spectral_error

__all__ = ["Training", "summarize_trained", "train", "trained_rows"]

Row = dict[str, Any]
Parameters = list[Weights | None]

_DECAYS = (0.9, 0.999)  # of the means of the gradient and of its square: those of Adam
_TINY = 1e-8


@dataclass(frozen=True)
class Training:
    """How finite networks are trained.

    Attributes
    ----------
    width : int
        Channels of each hidden layer.
    steps : int
        Over all points.
    rate : float
        Learning rate, in the NTK parametrisation; of descent, for the mean squared error.
    optimizer : {"adam", "descent"}
    dtype : {"float32", "float64"}
    """

    width: int = 64
    steps: int = 1000
    rate: float = 1e-3
    optimizer: str = "adam"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Check the optimizer."""
        if self.optimizer not in _OPTIMIZERS:
            raise InputError(unknown("optimizer", self.optimizer, _OPTIMIZERS))


def train(
    net: Network,
    images: npt.ArrayLike,
    targets: npt.ArrayLike,
    test: npt.ArrayLike,
    training: Training,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], float]:
    """Train one network, and predict.

    Parameters
    ----------
    net : Network
    images, test : array of float, shapes (N, H, W, C) and (M, H, W, C)
    targets : array of float, shape (N,) or (N, k)
    training : Training
    rng : numpy.random.Generator
        For the parameters at the start.

    Returns
    -------
    predictions : array of float64, shape (M,) or (M, k)
        What the network has learned to answer beyond its answer at the start.
    loss : float
        Mean squared error of the training points at the end.

    Raises
    ------
    InputError
        The training diverges.
    RefntkError
        As `refntk.finite.FiniteNetwork`.
    """
    x, y = np.asarray(images), np.asarray(targets, training.dtype)
    both = np.concatenate([x, np.asarray(test)])
    wanted = y.reshape(len(y), -1)
    finite = FiniteNetwork(net, x.shape[1:], training.width, wanted.shape[1], training.dtype)
    parameters: Parameters = finite.draw(rng)
    start = finite.forward(parameters, both)[-1]
    optimizer = _OPTIMIZERS[training.optimizer](training.rate)
    for _ in range(training.steps):
        features = finite.forward(parameters, x)
        residual = features[-1] - start[: len(x)] - wanted
        gradients, _ = finite.backward(parameters, features, 2 / len(x) * residual)
        parameters = optimizer.step(parameters, gradients)
    outputs = finite.forward(parameters, both)[-1] - start
    if not np.isfinite(outputs).all():
        raise InputError(f"rate {training.rate:g}: the training diverges; choose a smaller one")
    loss = float(np.square(outputs[: len(x)] - wanted).mean())
    predictions = np.asarray(outputs[len(x) :], np.float64)
    return predictions.reshape(-1, *y.shape[1:]), loss


class _Descent:
    """Gradient descent."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def step(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        return [
            None if own is None or slope is None
            else Weights(self._moved((k, 0), own.weight, slope.weight),
                         self._moved((k, 1), own.bias, slope.bias))
            for k, (own, slope) in enumerate(zip(parameters, gradients, strict=True))
        ]  # fmt: skip

    def _moved(self, key: tuple[int, int], p: FloatArray, g: FloatArray) -> FloatArray:
        return (p - self._rate * g).astype(p.dtype, copy=False)


class _Adam(_Descent):
    """Adam (D. P. Kingma, J. Ba, arXiv:1412.6980): running means of gradients and squares."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._steps = 0
        self._means: dict[tuple[int, int], tuple[FloatArray, FloatArray]] = {}

    def step(self, parameters: Parameters, gradients: Parameters) -> Parameters:
        self._steps += 1
        return super().step(parameters, gradients)

    def _moved(self, key: tuple[int, int], p: FloatArray, g: FloatArray) -> FloatArray:
        a, b = _DECAYS
        first, second = self._means.get(key, (np.zeros_like(p), np.zeros_like(p)))
        first, second = a * first + (1 - a) * g, b * second + (1 - b) * np.square(g)
        self._means[key] = first, second
        slope = first / (1 - a**self._steps)
        return super()._moved(key, p, slope / (np.sqrt(second / (1 - b**self._steps)) + _TINY))


_OPTIMIZERS = {"adam": _Adam, "descent": _Descent}


def trained_rows(
    study: Study,
    nets: Mapping[str, Network],
    labels: npt.NDArray[np.integer[Any]],
    pairs: Sequence[tuple[int, int]],
    poses: Sequence[int],
    diag_reg: float,
    training: Training,
    *,
    seed: int = 0,
    done: Sequence[Row] = (),
    progress: Callable[[int], None] = lambda networks: None,
) -> Iterator[Row]:
    """Train on two orbits without the first pose of one and of the other, network by network.

    Parameters
    ----------
    study, nets, labels, pairs, poses, diag_reg, done
        As for `refntk.spectral.study.pair_rows`.
    training : Training
    seed : int
        Of the parameters at the start, which are others for each pair.
    progress : callable, optional
        Called with numbers of finite networks that are trained.

    Yields
    ------
    dict
        ``network``, ``poses``, ``class_a``, ``class_b``, ``image_a``, ``image_b``; ``trained``,
        the mean of the errors ε of two networks, one for each orbit; ``exact``, that of regression
        at the same two poses; ``spectral``, eq. 7; ``trained_right`` and ``exact_right``, the
        shares with ε < 1; ``loss``, the larger mean squared error that is left on training points.
    """
    known = {(r["network"], r["poses"], r["image_a"], r["image_b"]) for r in done}
    for name, net in nets.items():
        for n in poses:
            for number, (a, b) in enumerate(pairs):
                if (name, n, a, b) in known:
                    continue
                images = study.orbits([a, b], n).reshape(2 * n, *study.images.shape[1:])
                targets = np.repeat([1.0, -1.0], n)
                errors, losses = [], []
                for left_out in (0, n):
                    kept = np.delete(np.arange(2 * n), left_out)
                    found, loss = train(
                        net, images[kept], targets[kept], images[left_out : left_out + 1],
                        training, np.random.default_rng([seed, number, left_out]),
                    )  # fmt: skip
                    errors.append(1 - targets[left_out] * float(found[0]))
                    losses.append(loss)
                    progress(1)
                row: Row = {"network": name, "poses": n}
                row |= {"class_a": int(labels[a]), "class_b": int(labels[b])}
                row |= {"image_a": a, "image_b": b, "trained": float(np.mean(errors))}
                row |= _theory(study.pair(net, a, b, n), diag_reg)
                row["trained_right"] = float(np.mean(np.array(errors) < 1))
                yield row | {"loss": max(losses)}


def _theory(kernel: FloatArray, diag_reg: float) -> Row:
    """Exact error at the first pose of either orbit, and eq. 7."""
    mixed = interleave(kernel)
    nugget = diag_reg * float(np.trace(mixed)) / len(mixed)
    targets = 1.0 - 2.0 * (np.arange(len(mixed)) % 2)
    errors = (leave_out_errors(mixed, targets, nugget) * targets)[:2]
    return {
        "exact": float(errors.mean()),
        "spectral": spectral_error(circulant_spectrum(circularize(mixed)[0]), nugget),
        "exact_right": float(np.mean(errors < 1)),
    }


def summarize_trained(rows: Sequence[Row]) -> list[Row]:
    """Condense trained networks to a row for each network and number of poses.

    Parameters
    ----------
    rows : sequence of dict
        Of `trained_rows`.

    Returns
    -------
    list of dict
        ``pairs``; means of ``trained``, ``exact`` and ``spectral``; ``gap``, the root mean square
        of trained minus exact; ``same_side``, the share of pairs where both are on the same side of
        1; means of ``trained_right`` and ``exact_right``; ``loss``, the largest.
    """
    condensed = []
    for name, poses in dict.fromkeys((row["network"], row["poses"]) for row in rows):
        some = [row for row in rows if (row["network"], row["poses"]) == (name, poses)]
        mean = {
            kind: float(np.mean([row[kind] for row in some]))
            for kind in ("trained", "exact", "spectral", "trained_right", "exact_right")
        }
        gaps = np.array([row["trained"] - row["exact"] for row in some])
        same = [(row["trained"] < 1) == (row["exact"] < 1) for row in some]
        condensed.append(
            {"network": name, "poses": poses, "pairs": len(some)}
            | {kind: mean[kind] for kind in ("trained", "exact", "spectral")}
            | {"gap": float(np.sqrt(np.square(gaps).mean())), "same_side": float(np.mean(same))}
            | {kind: mean[kind] for kind in ("trained_right", "exact_right")}
            | {"loss": max(row["loss"] for row in some)}
        )
    return condensed
