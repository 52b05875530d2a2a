r"""Addition modulo p from a part of its table: what a fully connected kernel cannot and one can.

The task of "Composing Global Solutions to Reasoning Tasks via Algebraic Objects in Neural Nets":
of one-hot pairs (a, b), find a + b modulo p. The kernel of a fully connected network is a function
of inner products, and those of one-hot pairs are 0, 1 and 2, so that

.. math::
    K = c_0 + c_1 (δ_{aa'} + δ_{bb'}) + c_2 δ_{aa'} δ_{bb'}

has three values. Of its Fourier transform over Z_p × Z_p, c_2 is at every pair (j, k) of
frequencies, p c_1 more where one of them is 0, and p² c_0 at (0, 0): what tells cells with the same
sum, frequencies (j, j), is not told from the rest, and on cells that were left out a fit is a
function of a plus one of b. The mean over the group (a, b) ↦ (a + s, b - s), which keeps the sum,
keeps the frequencies (j, j) alone, and two values, according to whether the sums agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.evaluation.evaluate import kernel as evaluate
from refntk.inference.regression import KernelRegression
from refntk.network.network import Network

__all__ = [
    "averaged_over_sums",
    "modular_accuracy",
    "modular_kernel",
    "modular_rows",
    "modular_spectrum",
    "one_hot_pairs",
    "summarize_modular",
]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]


def one_hot_pairs(p: int) -> FloatArray:
    """Write all pairs of numbers modulo p as images of two rows, one-hot.

    Parameters
    ----------
    p : int
        At least 2.

    Returns
    -------
    array of float64, shape (p², 2, p, 1)
        Pair (a, b) is at a p + b.

    Raises
    ------
    InputError
        p is below 2.
    """
    if p < 2:
        raise InputError(f"p: expected a modulus of 2 at least, not {p}")
    a, b = np.divmod(np.arange(p * p), p)
    return np.stack([np.eye(p)[a], np.eye(p)[b]], axis=1)[..., None]


def modular_kernel(network: Network, p: int, get: str = "ntk") -> FloatArray:
    """Compute the kernel of a network between all pairs of numbers modulo p.

    Parameters
    ----------
    network : Network
    p : int
    get : {"ntk", "nngp"}

    Returns
    -------
    array of float64, shape (p², p²)
    """
    return np.asarray(getattr(evaluate(network, one_hot_pairs(p), get=get), get), np.float64)


def averaged_over_sums(kernel: npt.ArrayLike) -> FloatArray:
    """Average a kernel over (a, b) ↦ (a + s, b - s) for its second argument.

    Parameters
    ----------
    kernel : array of float, shape (p², p²)
        Invariant where both arguments are moved, as that of a fully connected network is.

    Returns
    -------
    array of float64, shape (p², p²)
    """
    k = np.asarray(kernel, np.float64)
    p = _modulus(k)
    a, b = np.divmod(np.arange(p * p), p)
    total = np.zeros_like(k)
    for s in range(p):
        total += k[:, (a + s) % p * p + (b - s) % p]
    return total / p


def modular_spectrum(kernel: npt.ArrayLike) -> FloatArray:
    """Give the Fourier transform of a kernel that is invariant under Z_p × Z_p.

    Parameters
    ----------
    kernel : array of float, shape (p², p²)

    Returns
    -------
    array of float64, shape (p, p)
        Its eigenvalue at the character exp(2πi(ja + kb)/p), at [j, k].
    """
    k = np.asarray(kernel, np.float64)
    p = _modulus(k)
    return np.asarray(np.fft.fft2(k[0].reshape(p, p)).real, np.float64)


def modular_accuracy(
    kernel: npt.ArrayLike, train: npt.NDArray[np.bool_], diag_reg: float = 1e-8
) -> float:
    """Fit the sums of some cells by kernel regression, and count right answers on the others.

    Parameters
    ----------
    kernel : array of float, shape (p², p²)
    train : array of bool, shape (p²,)
        Cells that are known.
    diag_reg : float
        Nugget, relative to the mean diagonal.

    Returns
    -------
    float
        Share of the other cells whose right sum is predicted above every other one.

    Raises
    ------
    InputError
        All cells are known, or none.
    NotPositiveDefiniteError
        The nugget is too small.
    """
    k = np.asarray(kernel, np.float64)
    p = _modulus(k)
    if train.all() or not train.any():
        raise InputError("train: expected some cells of the table, not all and not none")
    a, b = np.divmod(np.arange(p * p), p)
    targets = np.eye(p)[(a + b) % p]
    model = KernelRegression(diag_reg).fit(k[np.ix_(train, train)], targets[train])
    fitted = model.predict(k[np.ix_(~train, train)])
    wanted = targets[~train] == 1
    best_other = np.where(wanted, -np.inf, fitted).max(axis=1)
    return float(np.mean(fitted[wanted] > best_other + 1e-6))


def modular_rows(
    networks: dict[str, Network],
    moduli: Sequence[int],
    shares: Sequence[float],
    repeats: int,
    seed: int,
    get: str = "ntk",
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Row]:
    """Run over networks, moduli and shares of the table that are known.

    Parameters
    ----------
    networks : dict of Network
    moduli : sequence of int
    shares : sequence of float
        Of the p² cells, between 0 and 1.
    repeats : int
        Random choices of cells.
    seed : int
    get : {"ntk", "nngp"}
    progress : callable
        Called with 1 after each row.

    Yields
    ------
    dict
        ``network``, ``p``, ``share``, ``repeat``, ``values`` and ``averaged_values``, the numbers
        of different entries; ``accuracy`` and ``averaged``, on cells that were left out.
    """
    for name, network in networks.items():
        for p in moduli:
            plain = modular_kernel(network, p, get)
            mean = averaged_over_sums(plain)
            counts = [_different(kernel) for kernel in (plain, mean)]
            for share in shares:
                for repeat in range(repeats):
                    rng = np.random.default_rng([seed, p, round(1000 * share), repeat])
                    train = np.zeros(p * p, bool)
                    known = min(max(round(share * p * p), 1), p * p - 1)
                    train[rng.choice(p * p, known, replace=False)] = True
                    yield {
                        "network": name, "p": p, "share": share, "repeat": repeat,
                        "values": counts[0], "averaged_values": counts[1],
                        "accuracy": modular_accuracy(plain, train),
                        "averaged": modular_accuracy(mean, train),
                    }  # fmt: skip
                    progress(1)


def summarize_modular(rows: Sequence[Row]) -> list[Row]:
    """Average over choices of what is known.

    Parameters
    ----------
    rows : sequence of dict
        Of `modular_rows`.

    Returns
    -------
    list of dict
        A row for each network, modulus and share.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["p"], row["share"]), []).append(row)
    return [
        some[0] | {"repeat": len(some)}
        | {name: float(np.mean([row[name] for row in some])) for name in ("accuracy", "averaged")}
        for some in groups.values()
    ]  # fmt: skip


def _different(kernel: FloatArray) -> int:
    """Count the values of a kernel, up to rounding."""
    ordered = np.sort(kernel.ravel())
    return 1 + int(np.count_nonzero(np.diff(ordered) > 1e-10 * abs(ordered).max()))


def _modulus(kernel: FloatArray) -> int:
    p = round(len(kernel) ** 0.5) if kernel.ndim == 2 else 0
    if kernel.shape != (p * p, p * p) or p < 2:
        raise InputError(f"kernel: expected the shape (p², p²), not {kernel.shape}")
    return p
