r"""The statements of arXiv:2303.13458 on augmented and equivariant training, as checks.

O. Nordenfors, F. Ohlsson, A. Flinth, "Optimization dynamics of equivariant and augmented neural
networks". Each check gives the errors it finds on small networks of the groups Perm, Trans, Rot,
OneDTrans and TransRot; `refntk.truth.verify.verify` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.dynamics.counterexamples import (
    Counterexample,
    curvatures,
    dense,
    escaping,
    returning,
    splitting,
)
from refntk.dynamics.network import (
    EquivariantMlp,
    Weights,
    add,
    augmented_gradient,
    augmented_hessian,
    distance,
    flatten,
    inner,
)
from refntk.dynamics.nonlinearities import (
    BinaryCrossEntropy,
    CrossEntropy,
    Identity,
    LeakyRelu,
    Sigmoid,
    Softmax,
)
from refntk.dynamics.projection import Projection, mean_over_group
from refntk.dynamics.representations import (
    Representation,
    image_group,
    symmetric_group,
)
from refntk.truth.verify import Check

__all__ = ["THEOREMS", "drift"]

_SEED = 20230323
_RATE = 0.01

FloatArray = npt.NDArray[np.float64]


def _networks() -> Iterator[tuple[EquivariantMlp, Weights, FloatArray, FloatArray]]:
    """Give a small network of each group with parameters, inputs and targets."""
    rng = np.random.default_rng(_SEED)
    perm = symmetric_group(4)
    spaces = [Representation(perm, kind) for kind in ("pairs", "pairs", "trivial")]
    nets = [EquivariantMlp(spaces, [Sigmoid(), Identity()], BinaryCrossEntropy())]
    for name in ("rot", "trans", "onedtrans", "transrot"):
        points = Representation(image_group(name, 4), "points")
        answers = Representation(points.group, "trivial", 3)
        nets.append(
            EquivariantMlp(
                [points, points, points, answers],
                [LeakyRelu(), Softmax(), Identity()],
                CrossEntropy(),
            )
        )
    for net in nets:
        x = rng.normal(size=(6, net.spaces[0].dimension))
        outputs = net.spaces[-1].dimension
        y: Any = rng.integers(0, 2, (6, 1)) * 1.0
        if outputs > 1:
            y = rng.dirichlet(np.ones(outputs), 6).astype(np.float64)
        a: Weights = [(w, rng.normal(size=b.shape)) for w, b in net.draw(rng)]
        yield net, a, x, y


def _norm(a: Weights) -> float:
    return float(np.sqrt(inner(a, a)))


def _gradients() -> Iterator[float]:
    """Proposition 1: ∇R_aug = Π_E ∇R = ∇R_eqv at equivariant points."""
    for net, a, x, y in _networks():
        fixed = net.project(a)
        projected = net.project(net.gradient(fixed, x, y))
        yield distance(augmented_gradient(net, fixed, x, y), projected) / _norm(projected)


def _hessians() -> Iterator[float]:
    """Proposition 2, and that ∇²R_aug is ∇²R_eqv on E and does not mix E with its complement."""
    for net, a, x, y in _networks():
        fixed = net.project(a)
        inside = net.project(a)
        outside = add(a, inside, -1.0)
        on_e = augmented_hessian(net, fixed, inside, x, y)
        equivariant = net.project(net.hessian_product(fixed, inside, x, y))
        yield distance(on_e, equivariant) / _norm(equivariant)
        off_e = augmented_hessian(net, fixed, outside, x, y)
        yield _norm(net.project(off_e)) / _norm(off_e)


def drift(
    net: EquivariantMlp,
    a: Weights,
    x: npt.NDArray[np.floating],
    y: npt.NDArray[np.floating],
    steps: int,
    rate: float = _RATE,
) -> float:
    """Distance from E after exact augmented steps from a point of E, relative to the parameters.

    Parameters
    ----------
    net : EquivariantMlp
    a : Weights
        Projected first.
    x, y : array of float
    steps : int
    rate : float

    Returns
    -------
    float
        0 without rounding (Corollary 1).
    """
    a = net.project(a)
    for _ in range(steps):
        a = add(a, augmented_gradient(net, a, x, y), -rate)
    return distance(a, net.project(a)) / _norm(a)


def _drifts() -> Iterator[float]:
    for net, a, x, y in _networks():
        if net.group.order <= 24:
            yield drift(net, a, x, y, steps=1000)


def _projections() -> Iterator[float]:
    rng = np.random.default_rng(_SEED)
    for net, *_ in _networks():
        source, target = net.spaces[:2]
        matrix = rng.normal(size=(target.dimension, source.dimension))
        elements = [
            [space.act(g, np.eye(space.dimension)).T for g in net.group.elements]
            for space in (target, source)
        ]
        yield np.abs(Projection(target, source)(matrix) - mean_over_group(matrix, *elements)).max()


def _dimensions() -> Iterator[float]:
    """Dimensions of E: Bell numbers for graphs, displacements for shifts, orbits of pairs."""
    side = 6
    perm = symmetric_group(6)
    pairs, number = Representation(perm, "pairs"), Representation(perm, "trivial")
    yield abs(Projection(pairs, pairs).dimension - 15)
    yield abs(Projection(number, pairs).dimension - 2)
    known = {
        "trans": side**2,
        "onedtrans": side**3,
        "rot": side**4 // 4,
        "transrot": (side**2 + 2 + 4 + 2) // 4,
    }
    for name, dimension in known.items():
        image = Representation(image_group(name, side), "points")
        yield abs(Projection(image, image).dimension - dimension)


def _by_hand(example: Counterexample) -> Iterator[float]:
    """Compare gradients and Hessians with what was worked out by hand."""
    net, a, x, y = example.network, example.a, example.x, example.y
    yield np.abs(flatten(net.gradient(a, x, y)) - example.gradient).max()
    yield _norm(augmented_gradient(net, a, x, y))
    nominal = dense(lambda v: net.hessian_product(a, v, x, y), a)
    yield np.abs(nominal - example.nominal).max()
    augmented = dense(lambda v: augmented_hessian(net, a, v, x, y), a)
    yield np.abs(augmented - example.augmented).max()


def _splitting() -> Iterator[float]:
    example = splitting()
    yield np.abs(example.gradient).max()
    on_e, off_e = curvatures(example)
    yield 0.0 if on_e[0] > 1e-4 and off_e[0] < -1e-3 else float("inf")


THEOREMS: tuple[Check, ...] = (
    Check("projection on E = mean over the group", _projections, 1e-12),
    Check("dimensions of E", _dimensions, 0.0),
    Check("∇R_aug = Π∇R = ∇R_eqv on E", _gradients, 1e-12),
    Check("∇²R_aug on E and on its complement", _hessians, 1e-12),
    Check("1000 exact augmented steps stay in E", _drifts, 1e-12),
    Check("a minimum of R_eqv that R_aug leaves", lambda: _by_hand(escaping()), 1e-14),
    Check("another, of two neurons", _splitting, 1e-10),
    Check("a minimum of R_aug that R leaves", lambda: _by_hand(returning()), 1e-14),
)
"""Checks of the theorems; E are the equivariant parameters, Π the projection on them."""
