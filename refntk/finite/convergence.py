"""How networks of finite width approach the exact kernels: deviations, their chance, the slope.

The deviation of a mean over draws is the Frobenius norm of its difference from the exact kernel,
relative to that of the exact kernel. Bands are 95 % percentiles of the bootstrap over draws: as
many draws are taken again, with repetition, and everything is computed anew.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1,
section 5.1 and figure 1.
B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993, chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.evaluation.evaluate import KERNELS
from refntk.finite.sampling import Draw

__all__ = ["Band", "Comparison", "Convergence", "Row", "Samples", "converge"]

Matrix = npt.NDArray[np.float64]

_RESAMPLES = 1000
_PERCENTILES = (2.5, 97.5)
_ROUNDING = {"float64": 1e-12, "float32": 1e-5}
"""A relative deviation below this is rounding: it has no slope and no standard errors."""

_NUMBERS_AT_ONCE = 4_000_000  # of the bootstrap, 8 bytes each


class Samples:
    """The kernels of all draws of one width; a kernel is its upper triangle, row by row.

    Parameters
    ----------
    draws : int
        Number D of draws.
    images : int
        Number N of images.

    Attributes
    ----------
    state : array of uint8, shape (D,)
        0 where a draw is still to be done, 1 where it is done, 2 where it overflowed.
    values : dict of array of float64, shape (D, N (N + 1) / 2)
        ``"nngp"`` and ``"ntk"``; NaN where the state is not 1.
    """

    def __init__(self, draws: int, images: int) -> None:
        self._triangle = np.triu_indices(images)
        self.state = np.zeros(draws, np.uint8)
        self.values = {name: np.full((draws, len(self._triangle[0])), np.nan) for name in KERNELS}

    def add(self, draw: Draw) -> None:
        """Keep one draw."""
        self.state[draw.number] = 1 if draw.finite else 2
        if draw.finite:
            self.values["nngp"][draw.number] = draw.nngp[self._triangle]
            self.values["ntk"][draw.number] = draw.ntk[self._triangle]

    def extend(self, draws: int) -> None:
        """Make room for more draws; fewer than there are change nothing."""
        more = draws - len(self.state)
        if more > 0:
            self.state = np.concatenate([self.state, np.zeros(more, np.uint8)])
            for name, values in self.values.items():
                room = np.full((more, values.shape[1]), np.nan)
                self.values[name] = np.concatenate([values, room])

    def restore(
        self, values: Mapping[str, Matrix], state: npt.NDArray[np.uint8]
    ) -> None:
        """Take over what was kept elsewhere.

        Raises
        ------
        ValueError
            The arrays do not fit each other or the number of images, or draws that count as done
            are not finite.
        """
        shape = (len(state), len(self._triangle[0]))
        done = state == 1
        if any(values[name].shape != shape for name in KERNELS) or state.max(initial=0) > 2:
            raise ValueError("the draws of one width do not fit each other")
        if not all(np.isfinite(values[name][done]).all() for name in KERNELS):
            raise ValueError("a draw that counts as done is not finite")
        self.state, self.values = state, {name: values[name] for name in KERNELS}

    @property
    def pending(self) -> list[int]:
        """Numbers of the draws that are still to be done."""
        return [int(number) for number in np.flatnonzero(self.state == 0)]

    @property
    def overflowed(self) -> int:
        """How many draws overflowed."""
        return int(np.count_nonzero(self.state == 2))

    def finite(self, name: str) -> Matrix:
        """Return the kernels of the draws that did not overflow, one a row."""
        return np.asarray(self.values[name][self.state == 1])


@dataclass(frozen=True)
class Band:
    """A figure and the range in which 95 % of the bootstrap lie."""

    value: float
    low: float
    high: float

    @property
    def determined(self) -> bool:
        """Whether the range leaves zero out, so that at least the sign is known."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """What the draws of one width say about one kernel.

    Attributes
    ----------
    deviation : Band
        Relative deviation of the mean over the draws.
    chance : float
        The deviation that is expected of a finite number of draws if the expectation is exact: the
        root of the summed squared standard errors, relative to the exact kernel.
    sigmas : float
        Largest deviation of an entry of the mean, in standard errors.
    """

    deviation: Band
    chance: float
    sigmas: float


@dataclass(frozen=True)
class Row:
    """What the draws of one width say.

    Attributes
    ----------
    width : int
    draws : int
        In the means, without those that overflowed.
    kernels : dict of Comparison
        For ``"nngp"`` and ``"ntk"``.
    """

    width: int
    draws: int
    kernels: dict[str, Comparison]


@dataclass(frozen=True)
class Convergence:
    """Finite networks against infinite ones.

    Attributes
    ----------
    rows : tuple of Row
        By width, those without two draws left out.
    slopes : dict of Band or None
        For ``"nngp"`` and ``"ntk"``: exponent of the power of the width that fits the deviations
        best, by least squares of the logarithms. None below two widths, and where the deviations
        are rounding.
    overflowed : dict of int
        For the widths where there are any: how many draws are left out.
    """

    rows: tuple[Row, ...]
    slopes: dict[str, Band | None]
    overflowed: dict[int, int]

    @property
    def warnings(self) -> list[str]:
        """A line for each width that means less than it seems."""
        return [
            f"width {width}: {count} draws overflowed and are left out, which biases the means; "
            "use smaller W_std, smaller pixels or float64"
            for width, count in self.overflowed.items()
        ]

    def table(self) -> str:
        """Lay the figures out as lines of text.

        Returns
        -------
        str
            A header, a line for each width and kernel, and the slopes that there are. No newline
            at the end.
        """
        lines = [("width", "draws", "kernel", "deviation", "95 % band", "by chance", "largest")]
        for row in self.rows:
            for name, own in row.kernels.items():
                words = _words(own.deviation, "3g")
                figures = (f"{own.chance:.3g}", f"{own.sigmas:.1f} s.e.")
                lines.append((str(row.width), str(row.draws), name, *words, *figures))
        for name, slope in self.slopes.items():
            if slope is not None:
                value, band = _words(slope, "2f")
                words = (value if slope.determined else "not determined", band)
                lines.append(("slope", "", name, *words, "", ""))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def converge(
    exact: Mapping[str, Matrix],
    samples: Mapping[int, Samples],
    dtype: str = "float64",
    seed: int = 0,
) -> Convergence:
    """Compare means over draws with the exact kernels.

    Parameters
    ----------
    exact : mapping of array of float64, shape (N, N)
        The kernels ``"nngp"`` and ``"ntk"`` of the infinitely wide network.
    samples : mapping from int to Samples
        By width.
    dtype : {"float64", "float32"}
        Precision of the networks, which says what is rounding.
    seed : int, default 0
        Of the bootstrap.

    Returns
    -------
    Convergence
        The same figures for the same draws, in whatever order they came; those of a width do not
        depend on the other widths.

    Raises
    ------
    InputError
        An exact kernel is zero or overflows: there is nothing to compare with.
    """
    order = sorted(samples)
    kept = {w: samples[w] for w in order if np.count_nonzero(samples[w].state == 1) > 1}
    compared, slopes = {}, {}
    for index, name in enumerate(KERNELS):
        values = {width: own.finite(name) for width, own in kept.items()}
        try:
            compared[name], slopes[name] = _compare(
                exact[name], values, (seed, index), _ROUNDING[dtype]
            )
        except ZeroDivisionError:
            raise InputError(
                f"the exact {name.upper()} is zero or overflows, so that deviations from it mean "
                "nothing: use other images or smaller W_std"
            ) from None
    rows = (
        Row(width, len(own.finite("nngp")), {name: compared[name][width] for name in KERNELS})
        for width, own in kept.items()
    )
    overflowed = {width: samples[width].overflowed for width in order if samples[width].overflowed}
    return Convergence(tuple(rows), slopes, overflowed)


def _compare(
    exact: Matrix, values: Mapping[int, Matrix], seeds: tuple[int, int], rounding: float
) -> tuple[dict[int, Comparison], Band | None]:
    """Compare one kernel, draws by width, with the exact one; give the slope, too."""
    triangle = np.triu_indices(len(exact))
    wanted = exact[triangle]
    # An entry beside the diagonal stands for two.
    weights = np.where(triangle[0] == triangle[1], 1.0, 2.0)
    scale = float(_norm(wanted, weights))
    if not 0 < scale < math.inf:
        raise ZeroDivisionError
    compared, resampled = {}, []
    for width, draws in values.items():
        mean, error = draws.mean(axis=0), draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
        rng = np.random.default_rng((*seeds, width))  # a width more changes no other band
        resampled.append(_norm(_resampled_means(draws, rng) - wanted, weights) / scale)
        compared[width] = Comparison(
            _band(float(_norm(mean - wanted, weights)) / scale, resampled[-1]),
            float(_norm(error, weights)) / scale,
            _sigmas(np.abs(mean - wanted), error, rounding * scale),
        )
    deviations = [own.deviation.value for own in compared.values()]
    return compared, _slope(list(compared), deviations, resampled, rounding)


def _sigmas(difference: Matrix, error: Matrix, rounding: float) -> float:
    """Return the largest difference in standard errors; one of rounding counts as none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(difference <= rounding, 0.0, difference / error).max())


def _norm(vectors: Matrix, weights: Matrix) -> Matrix:
    return np.asarray(np.sqrt((weights * vectors**2).sum(axis=-1)))


def _words(band: Band, form: str) -> tuple[str, str]:
    return f"{band.value:.{form}}", f"{band.low:.{form}} to {band.high:.{form}}"


def _band(value: float, resampled: Matrix) -> Band:
    low, high = np.percentile(resampled, _PERCENTILES)
    return Band(value, float(low), float(high))


def _resampled_means(values: Matrix, rng: np.random.Generator) -> Matrix:
    """Means over draws taken again with repetition: one a row."""
    draws, at_once = len(values), max(1, _NUMBERS_AT_ONCE // len(values))
    means = []
    for first in range(0, _RESAMPLES, at_once):
        size = min(at_once, _RESAMPLES - first)
        counts = rng.multinomial(draws, np.full(draws, 1 / draws), size=size)
        means.append(counts @ values / draws)
    return np.concatenate(means)


def _slope(
    widths: Sequence[int],
    deviations: Sequence[float],
    resampled: Sequence[Matrix],
    rounding: float,
) -> Band | None:
    """Fit log(deviation) = a + slope log(width), and again for each resample."""
    if len(widths) < 2 or min(deviations) < rounding:
        return None
    logs = np.log(widths) - np.mean(np.log(widths))
    fits = [logs @ np.log(column) / (logs @ logs) for column in (deviations, np.stack(resampled))]
    return _band(float(fits[0]), fits[1])
