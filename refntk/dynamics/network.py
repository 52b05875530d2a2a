r"""Multilayer perceptrons with a group acting on every layer, and their risks.

Layers x ↦ σ_i(A_i x + b_i) map between spaces X_0, X_1, ... on each of which the group acts by ρ_i.
It acts on the parameters by (ρ̄(g)A)_i = ρ_{i+1}(g) A_i ρ_i(g)⁻¹, (ρ̄(g)b)_i = ρ_{i+1}(g) b_i, and
the equivariant networks are its fixed points E. For a risk R there are the augmented and the
equivariant one (O. Nordenfors, F. Ohlsson, A. Flinth, arXiv:2303.13458; biases as in appendix F):

.. math::
    R_{aug}(A) = \operatorname{mean}_g R(\barρ(g) A), \qquad R_{eqv}(A) = R(Π_E A)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.dynamics.nonlinearities import Loss, Nonlinearity
from refntk.dynamics.projection import Projection
from refntk.dynamics.representations import Permutation, PermutationGroup, Representation
from refntk.errors import InputError

__all__ = [
    "EquivariantMlp",
    "Weights",
    "add",
    "augmented_gradient",
    "augmented_hessian",
    "distance",
    "flatten",
    "inner",
    "scale",
    "unflatten",
]

FloatArray = npt.NDArray[np.floating[Any]]
Weights = list[tuple[FloatArray, FloatArray]]
"""Weights (d_{i+1}, d_i) and bias (d_{i+1},) of each layer."""


class _Trace(NamedTuple):
    """What a pass forward leaves for the pass back: inputs, preactivations, outputs of layers."""

    x: list[FloatArray]
    z: list[FloatArray]


@dataclass(frozen=True, eq=False)
class EquivariantMlp:
    """An architecture: spaces, nonlinearities and loss. Weights are passed to its methods.

    Parameters
    ----------
    spaces : sequence of Representation
        Of one group: input, hidden layers, output.
    nonlinearities : sequence of Nonlinearity
        One after each layer; the last acts on the outputs.
    loss : Loss
    biases : bool, default True
        Whether biases are trained. Where they are not, they stay what they are, and zero drawn.

    Raises
    ------
    InputError
        The numbers do not fit, or the groups differ.
    """

    spaces: Sequence[Representation]
    nonlinearities: Sequence[Nonlinearity]
    loss: Loss
    biases: bool = True

    def __post_init__(self) -> None:
        """Check the arguments and label the orbits once."""
        if len(self.spaces) != len(self.nonlinearities) + 1 or len(self.spaces) < 2:
            raise InputError(
                f"expected a nonlinearity for each layer, not {len(self.nonlinearities)} for "
                f"{len(self.spaces) - 1}"
            )
        trivial = Representation(self.spaces[0].group, "trivial")
        pairs = list(zip(self.spaces[1:], self.spaces[:-1], strict=True))
        projections = [(Projection(t, s), Projection(t, trivial)) for t, s in pairs]
        object.__setattr__(self, "_projections", projections)

    @property
    def group(self) -> PermutationGroup:
        """The group that acts."""
        return self.spaces[0].group

    @property
    def dimensions(self) -> list[tuple[int, int]]:
        """Dimension of E for weights and bias of each layer."""
        return [(w.dimension, b.dimension) for w, b in self._projection_pairs]

    @property
    def _projection_pairs(self) -> list[tuple[Projection, Projection]]:
        pairs: list[tuple[Projection, Projection]] = self.__dict__["_projections"]
        return pairs

    def draw(self, rng: np.random.Generator, dtype: str = "float64") -> Weights:
        """Draw weights with variance 1/d_i and zero biases."""
        sizes = [space.dimension for space in self.spaces]
        return [
            (
                (rng.normal(size=(rows, columns)) / np.sqrt(columns)).astype(dtype),
                np.zeros(rows, dtype),
            )
            for columns, rows in zip(sizes, sizes[1:], strict=False)
        ]

    def draw_equivariant(self, rng: np.random.Generator) -> Weights:
        """Draw equivariant weights by `Projection.draw`, and zero biases, in float64."""
        return [
            (weights.draw(rng), np.zeros(weights.shape[0]))
            for weights, _ in self._projection_pairs
        ]

    @property
    def relative_dimension(self) -> float:
        """Dimension of E over that of all parameters that are trained."""
        parts = [part for pair in self._projection_pairs for part in pair[: 1 + self.biases]]
        return sum(p.dimension for p in parts) / sum(math.prod(p.shape) for p in parts)

    def project(self, a: Weights) -> Weights:
        """Project parameters on the equivariant ones, Π_E A."""
        return [
            (on_weights(w), on_bias(b[:, None])[:, 0])
            for (w, b), (on_weights, on_bias) in zip(a, self._projection_pairs, strict=True)
        ]

    def act(self, element: Permutation, a: Weights) -> Weights:
        """Let an element of the group act on parameters, ρ̄(g) A."""
        moved = []
        for (w, b), source, target in zip(a, self.spaces, self.spaces[1:], strict=False):
            columns = source.act(element, w)
            moved.append((target.act(element, columns.T).T, target.act(element, b)))
        return moved

    def __call__(self, a: Weights, x: FloatArray) -> FloatArray:
        """Apply the network.

        Parameters
        ----------
        a : Weights
        x : array of float, shape (B, d_0)

        Returns
        -------
        array of float, shape (B, d_L)

        Raises
        ------
        InputError
            The inputs have another dimension.
        """
        return self._forward(a, x).x[-1]

    def risk(self, a: Weights, x: FloatArray, y: FloatArray) -> float:
        """Give the nominal risk R(A), the mean of the loss over a batch."""
        return self.loss(self(a, x), y)

    def gradient(self, a: Weights, x: FloatArray, y: FloatArray) -> Weights:
        """Give ∇R(A), by one pass forward and one back."""
        trace = self._forward(a, x)
        g = self.loss.gradient(trace.x[-1], y)
        out: Weights = []
        for k in range(len(a) - 1, -1, -1):
            h = self.nonlinearities[k].pull(trace.z[k], trace.x[k + 1], g)
            out.append((h.T @ trace.x[k], self._of_bias(h)))
            g = h @ a[k][0]
        return out[::-1]

    def hessian_product(
        self, a: Weights, direction: Weights, x: FloatArray, y: FloatArray
    ) -> Weights:
        """Give ∇²R(A) v, the derivative of the gradient in the direction v.

        Parameters
        ----------
        a, direction : Weights
        x, y : array of float, shapes (B, d_0) and (B, d_L)

        Returns
        -------
        Weights
        """
        trace = self._forward(a, x)
        dx = [np.zeros_like(trace.x[0])]
        dz = []
        for k, ((w, _), (dw, db)) in enumerate(zip(a, direction, strict=True)):
            dz.append(trace.x[k] @ dw.T + dx[k] @ w.T + db)
            dx.append(self.nonlinearities[k].push(trace.z[k], trace.x[k + 1], dz[k]))
        g = self.loss.gradient(trace.x[-1], y)
        dg = self.loss.bend(trace.x[-1], y, dx[-1])
        out: Weights = []
        for k in range(len(a) - 1, -1, -1):
            sigma, z, s = self.nonlinearities[k], trace.z[k], trace.x[k + 1]
            h, dh = sigma.pull(z, s, g), sigma.bend(z, s, g, dz[k], dg)
            out.append((dh.T @ trace.x[k] + h.T @ dx[k], self._of_bias(dh)))
            g, dg = h @ a[k][0], dh @ a[k][0] + h @ direction[k][0]
        return out[::-1]

    def _of_bias(self, h: FloatArray) -> FloatArray:
        return h.sum(axis=0) if self.biases else np.zeros_like(h[0])

    def _forward(self, a: Weights, x: FloatArray) -> _Trace:
        if x.ndim != 2 or x.shape[1] != self.spaces[0].dimension:
            raise InputError(
                f"x: expected the shape (B, {self.spaces[0].dimension}), not {x.shape}"
            )
        trace = _Trace([x], [])
        for (w, b), sigma in zip(a, self.nonlinearities, strict=True):
            trace.z.append(trace.x[-1] @ w.T + b)
            trace.x.append(sigma(trace.z[-1]))
        return trace


def augmented_gradient(
    network: EquivariantMlp,
    a: Weights,
    x: FloatArray,
    y: FloatArray,
    elements: Iterable[Permutation] | None = None,
) -> Weights:
    """Give ∇R_aug(A), the mean of the gradients on transformed data.

    R(ρ̄(g)A) is the risk of A on data moved by g⁻¹, because the loss does not see a permutation of
    outputs and targets; the mean over g is the mean over g⁻¹.

    Parameters
    ----------
    network : EquivariantMlp
    a : Weights
    x, y : array of float, shapes (B, d_0) and (B, d_L)
    elements : iterable of permutations, optional
        Elements to average over; default all of the group, exactly.

    Returns
    -------
    Weights

    Raises
    ------
    InputError
        The group is too large to list and no elements are given.
    """
    chosen = network.group.elements if elements is None else list(elements)
    if not chosen:
        raise InputError("elements: expected one at least")
    return _mean(
        network.gradient(a, network.spaces[0].act(g, x), network.spaces[-1].act(g, y))
        for g in chosen
    )


def augmented_hessian(
    net: EquivariantMlp, a: Weights, v: Weights, x: FloatArray, y: FloatArray
) -> Weights:
    """Give ∇²R_aug(A) v at an equivariant point, mean_g ρ̄(g)⁻¹ ∇²R(A) ρ̄(g) v (Proposition 2).

    Parameters
    ----------
    net : EquivariantMlp
        Of a group that can be listed.
    a, v : Weights
        A point of E, and any direction.
    x, y : array of float64

    Returns
    -------
    Weights
    """
    return _mean(
        net.act(np.argsort(g), net.hessian_product(a, net.act(g, v), x, y))
        for g in net.group.elements
    )


def _mean(parts: Iterator[Weights]) -> Weights:
    """Mean over elements of a group, of which only the sum is held."""
    total, count = next(parts), 1
    for part in parts:
        total, count = add(total, part), count + 1
    return scale(total, 1 / count)


def add(a: Weights, b: Weights, factor: float = 1.0) -> Weights:
    """Give a + factor · b."""
    return [
        (w + w.dtype.type(factor) * v, c + c.dtype.type(factor) * d)
        for (w, c), (v, d) in zip(a, b, strict=True)
    ]


def scale(a: Weights, factor: float) -> Weights:
    """Give factor · a."""
    return [(w * w.dtype.type(factor), b * b.dtype.type(factor)) for w, b in a]


def inner(a: Weights, b: Weights) -> float:
    """Give the inner product of two sets of parameters."""
    return float(sum(np.vdot(w, v) + np.vdot(c, d) for (w, c), (v, d) in zip(a, b, strict=True)))


def distance(a: Weights, b: Weights) -> float:
    """Give the Euclidean distance of two sets of parameters."""
    difference = add(a, b, -1.0)
    return float(np.sqrt(inner(difference, difference)))


def flatten(a: Weights) -> FloatArray:
    """Write parameters as one vector: weights row by row and bias, layer by layer."""
    return np.concatenate([part.ravel() for pair in a for part in pair])


def unflatten(flat: FloatArray, like: Weights) -> Weights:
    """Turn `flatten` around, for parameters of the shapes of `like`."""
    parts = np.split(flat, np.cumsum([part.size for pair in like for part in pair])[:-1])
    return [
        (parts[2 * k].reshape(w.shape), parts[2 * k + 1].reshape(b.shape))
        for k, (w, b) in enumerate(like)
    ]
