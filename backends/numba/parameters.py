"""What the row functions of any activation have to know of one image: variances and what they give.

It is found with NumPy, in double precision, once for each image of a block, and takes the places
that `refntk.backends.numba.workspace.Tables` gives to maps.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.backends.numba.general_rows import TERMS
from refntk.backends.numba.layout import Step
from refntk.backends.numba.workspace import Tables
from refntk.errors import InputError
from refntk.ops.dual import Dual
from refntk.ops.operations import Filter, Pointwise
from refntk.ops.powers import PolynomialDual, RectifiedPower, SignDual
from refntk.ops.rectifiers import Rectifier
from refntk.ops.series import SeriesDual
from refntk.ops.smooth import (
    Bell,
    ErrorFunction,
    Exponential,
    Gate,
    GaussianKernel,
    NormalizedExponential,
    Wave,
)
from refntk.plan.reduction import Plan

__all__ = ["Function", "Parameters", "Side", "Sides", "function_of"]

Array = npt.NDArray[np.float64]

_S = Step()

_KEPT = 128
"""Images whose parameters are kept."""


@dataclass(frozen=True)
class Function:
    """An activation as its row function reads it.

    Attributes
    ----------
    name : str
        Of `refntk.backends.numba.general.general_sums`.
    own : float array
        Variances after the activation.
    numbers : tuple of float
        The constants of the layer, four at most.
    of_features : tuple of float arrays
        Parameters of each feature, of the shape of the variances; of a series the last one has two
        axes more, for terms, the last one first, and for the function and its derivative.
    """

    name: str
    own: Array
    numbers: tuple[float, ...] = ()
    of_features: tuple[Array, ...] = ()


def function_of(dual: Dual, var: Array) -> Function:
    """Find the parameters of an activation at some variances."""
    if isinstance(dual, SeriesDual):
        values, places = np.unique(var.ravel(), return_inverse=True)
        found = dual.coefficients(values)
        dual.check_tails(found)
        own = found.square[places].reshape(var.shape)
        pairs = np.stack([found.value, found.slope], axis=-1)[:, ::-1]
        table = pairs[places].reshape(*var.shape, -1, 2)
        return Function("series", own, (), (np.sqrt(own), table))
    own = dual.itself(var)[0]
    match dual:
        case Rectifier(arccos=arc):
            exact = arc.half, arc.gain, arc.skip, arc.odd
            return Function("rectifier", own, tuple(float(number) for number in exact))
        case ErrorFunction(a, b, c):
            v = b * b * var
            above = 4 * v / (np.sqrt(1 + 4 * v) + 1)
            turn = np.arcsin(2 * v / (1 + 2 * v))
            numbers = 2 * a * a / math.pi, b * b, 0.0, c * c
            return Function("error", own, numbers, (1 / np.sqrt(1 + 2 * v), above, turn))
        case Gate():
            both = 1 / np.sqrt(1 + var), np.sqrt(own)
            return Function("gelu", own, (0.5 / math.pi, 0.25), both)
        case Wave():
            odd, even, rate = (float(number) for number in dual.weights(np.asarray(0.0)))
            v = rate * var
            return Function("wave", own, (odd, even, rate), (v / 2, np.exp(-v)))
        case GaussianKernel(gamma):
            return Function("gaussian_kernel", own, (gamma,))
        case Exponential(a, b):
            return Function("exponential", own, (a * a, b * b), (abs(a) * np.exp(b * b * var),))
        case Bell(a, b):
            return Function("bell", own, (a * a, -2 * b), (np.sqrt(1 - 4 * b * var),))
        case NormalizedExponential(gamma, shift):
            return Function("normalized", own, (gamma, math.exp(gamma * (1 + shift))))
        case SignDual():
            return Function("jump", own, (1.0, 2 / math.pi))
        case RectifiedPower(0):
            return Function("jump", own, (0.5, 0.5 / math.pi))
        case RectifiedPower(power):
            return Function(f"power {power}", own, (float(power * power),), (np.sqrt(own),))
        case PolynomialDual(square=square):
            terms = len(dual.coefficients)
            # Mehler's: a_n = R_n s^n / sqrt(n!), and b_n = R_(n+1) s^n / sqrt(n!).
            means, root = dual.means(var), np.sqrt(var)
            sizes = [math.sqrt(square / math.factorial(n)) * root**n for n in range(terms)]
            rates = [mean * size for mean, size in zip(means, sizes, strict=True)]
            slopes = [mean * size for mean, size in zip(means[1:], sizes, strict=False)]
            table = np.zeros((*var.shape, terms, 2))
            table[..., 0] = np.stack(rates[::-1], axis=-1)
            table[..., 1:, 1] = np.stack(slopes[::-1], axis=-1) if slopes else 0
            return Function("series", own, (), (np.sqrt(own), table))
    raise AssertionError(dual)  # `Dual.sliced` says that there is one


@dataclass(frozen=True, eq=False)
class Parameters:
    """Everything that the block function of a plan reads besides pixels.

    Attributes
    ----------
    plan : Plan
    tables : Tables
    """

    plan: Plan
    tables: Tables

    @cached_property
    def duals(self) -> list[Dual | None]:
        """The activation after each convolution."""
        operations = self.plan.body.operations
        after = [operations[k + 1] for k, op in enumerate(operations) if isinstance(op, Filter)]
        return [op.dual if isinstance(op, Pointwise) else None for op in after]

    @cached_property
    def layers(self) -> list[str]:
        """What messages call the activation after each convolution."""
        body = self.plan.body
        filters = [k for k, op in enumerate(body.operations) if isinstance(op, Filter)]
        return [body.name(k + 1) for k in filters]

    @cached_property
    def _named(self) -> list[str]:
        """The row function of each step."""
        black = np.zeros(1)
        return ["linear" if dual is None else function_of(dual, black).name for dual in self.duals]

    @property
    def names(self) -> tuple[str, ...]:
        """The row functions that are needed besides the linear one, each once."""
        return tuple(sorted({*self._named} - {"linear"}))

    @cached_property
    def steps(self) -> npt.NDArray[np.int64]:
        """The table of steps, in which an activation is a number into `names`, from 1."""
        table = self.tables.steps.copy()
        table[:, _S.activation] = [("linear", *self.names).index(name) for name in self._named]
        return table

    def of_images(self, pixels: npt.NDArray[Any]) -> Side:
        """Find the maps and the parameters of some images.

        Parameters
        ----------
        pixels : float array, shape (n, H C W)
            Each [y, channel, x], scaled so that variances are sums over channels.

        Raises
        ------
        InputError
            Variances are too large for an activation; the message names its layer.
        """
        layout, table = self.tables.layout, self.steps
        shape = len(pixels), layout.height, layout.channels, layout.width
        images = pixels.astype(np.float64).reshape(shape)
        var = np.sum(images * images, axis=2)
        maps = np.zeros((len(pixels), layout.map_size))
        functions: list[list[Function]] = []
        for k, (step, dual) in enumerate(zip(self.plan.steps, self.duals, strict=True)):
            self._put_below(maps, int(table[k, _S.below]), np.sqrt(var))
            var = step.weight * step.x.sums(step.y.sums(var, 1), 2) + step.bias
            self._put_roots(maps, int(table[k, _S.root]), np.sqrt(var))
            if dual is None:
                functions.append([])
                continue
            # Of each image by itself, so that nothing depends on what it is computed with.
            with np.errstate(over="ignore", invalid="ignore"):
                try:
                    functions.append([function_of(dual, self._twice(one)) for one in var])
                except InputError as error:
                    raise InputError(f"{self.layers[k]}: {error}") from None
            after = np.stack([one.own[..., : var.shape[-1]] for one in functions[-1]])
            if not np.isfinite(after).all():
                raise InputError(
                    f"{self.layers[k]}: kernels after it are too large for float64 at variances up "
                    f"to {var.max():.3g}: use smaller W_std or smaller pixels"
                )
            var = after
        return Side(maps.astype(self.tables.dtype), functions)

    def _twice(self, values: Array) -> Array:
        """Repeat the columns of a map with circular padding."""
        return np.concatenate([values] * (1 + self.tables.wrap), axis=-1)

    def _put_below(self, maps: Array, place: int, roots: Array) -> None:
        margin, (count, rows, columns) = self.tables.margin, roots.shape
        line = columns * (1 + self.tables.wrap) + 2 * margin
        target = maps[:, place : place + (rows + 2 * margin) * line].reshape(count, -1, line)
        if self.tables.wrap:
            around = np.arange(-margin, line - margin) % columns
            target[:, margin : margin + rows] = roots[..., around]
        else:
            target[:, margin : margin + rows, margin : margin + columns] = roots

    def _put_roots(self, maps: Array, place: int, roots: Array) -> None:
        inverse = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 0)
        pairs = np.stack([roots, inverse], axis=-1)
        flat = np.concatenate([pairs] * (1 + self.tables.wrap), axis=2).reshape(len(roots), -1)
        maps[:, place : place + flat.shape[1]] = flat

    def numbers(self, terms: list[int], sides: tuple[Side, Side]) -> npt.NDArray[Any]:
        """Write the numbers of each step, see `refntk.backends.numba.general`."""
        rows = np.zeros((len(self.plan.steps), 8))
        for k, step in enumerate(self.plan.steps):
            found = sides[0].functions[k]
            if found:
                rows[k, : len(found[0].numbers)] = found[0].numbers
            if terms[k]:
                rows[k, 0] = terms[k]
            rows[k, 4:] = step.weight, step.bias, *step.tangent
        return rows.astype(self.tables.dtype)

    def joined(self, one: Side, two: Side) -> tuple[Any, ...]:
        """Bring the parameters of two sets of images to one number of terms.

        Returns
        -------
        parts, numbers, places
            As `refntk.backends.numba.general` takes them.
        """
        terms = [max(pair) for pair in zip(one.terms, two.terms, strict=True)]
        flat1, places = one.flat(terms, self.tables.dtype)
        flat2, _ = two.flat(terms, self.tables.dtype)
        return (one.maps, flat1, two.maps, flat2), self.numbers(terms, (one, two)), places


class Sides:
    """Keeps the parameters of the images that were asked for last.

    Parameters
    ----------
    parameters : Parameters
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters, self._lock = parameters, threading.Lock()
        self._known: dict[tuple[int, int], Side] = {}

    def of(self, pixels: npt.NDArray[Any], first: int, stop: int) -> Side:
        """Find those of images `first` to `stop` - 1; see `Parameters.of_images`."""
        with self._lock:
            single = [self._one(pixels, image) for image in range(first, stop)]
        steps = zip(*(side.functions for side in single), strict=True)
        return Side(
            np.concatenate([side.maps for side in single]), [sum(step, []) for step in steps]
        )

    def _one(self, pixels: npt.NDArray[Any], image: int) -> Side:
        key = id(pixels), image
        if key not in self._known:
            if len(self._known) == _KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = self._parameters.of_images(pixels[image : image + 1])
        return self._known[key]


@dataclass(frozen=True, eq=False)
class Side:
    """Some images as a block function reads them.

    Attributes
    ----------
    maps : float array, shape (n, map_size)
    functions : list of list of Function
        Those of each step, of each image; none where there is no activation.
    """

    maps: npt.NDArray[Any]
    functions: list[list[Function]]

    @cached_property
    def terms(self) -> list[int]:
        """Terms of the longest series of each step, a multiple of `TERMS`; 0 where none is."""
        counts = [
            max((one.of_features[1].shape[-2] for one in step if one.name == "series"), default=0)
            for step in self.functions
        ]
        return [-(-count // TERMS) * TERMS for count in counts]

    def flat(self, terms: list[int], dtype: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Write all parameters one after the other, and where those of each step begin.

        Series that are shorter than `terms` get zeros before them, which change no digit.
        """
        parts, places, begin = [], np.zeros((len(self.functions), 2), np.int64), 0
        for k, step in enumerate(self.functions):
            places[k, 0] = begin
            if not step or not step[0].of_features:
                continue
            rows = []
            for one in step:
                if one.name == "series":
                    own, table = one.of_features
                    missing = terms[k] - table.shape[-2]
                    padded = np.pad(table, [(0, 0), (0, 0), (missing, 0), (0, 0)])
                    columns = [own[..., None], padded.reshape(*own.shape, -1)]
                else:
                    columns = [part[..., None] for part in one.of_features]
                rows.append(np.concatenate(columns, axis=-1))
            array = np.stack(rows)
            places[k, 1] = array.shape[-1]
            parts.append(array.reshape(len(step), -1))
            begin += parts[-1].shape[1]
        count = len(self.maps)
        whole = np.concatenate(parts, axis=1) if parts else np.zeros((count, 1))
        return np.ascontiguousarray(whole, dtype), places
