r"""Points of E that are stable for one risk and not for another.

A point of E that is a strict local minimum of the nominal risk R is one of R_aug, since
R_aug(A + v) = mean_g R(A + ρ̄(g)v), and a strict local minimum of R_aug is one of R_eqv on E, where
the two are equal (Proposition 3 of O. Nordenfors, F. Ohlsson, A. Flinth, arXiv:2303.13458). Neither
can be turned around:

- `escaping` and `splitting` are minima of R_eqv that R_aug leaves;
- `returning` is a minimum of R_aug that R leaves.

`escaping` and `returning` are one neuron, and all about them can be computed with a pencil:

.. math::
    f(x) = σ(w_1 x_1 + w_2 x_2 + b), \quad σ(z) = 1 / (1 + e^{-z}), \quad
    ℓ = \tfrac12 (f(x) - y)^2

The group swaps x_1 and x_2, so that E is w_1 = w_2. With every sample (x, y) the data have the
opposite one, (-x, 1 - y). So ∂R/∂b is 0 at b = 0, and the Hessian does not mix b with the weights.
All samples lie on x_1 + x_2 = ±s, and at w_1 = w_2 = log(3)/s the neuron says 3/4 on one side and
1/4 on the other. The loss as a function of z = w·x + b bends by

.. math::
    ℓ'' = σ'^2 + (σ - y) σ'' = \begin{cases} 15/256 & \text{right answer} \\
    -9/256 & \text{wrong answer} \end{cases}

(σ' = 3/16 and σ'' = ∓3/32): where an answer is wrong, the loss is concave. Three of four answers
are right, so that the mean of σ - y is 0 on either side, and the mean of ℓ'' is 9/256.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from refntk.dynamics.network import EquivariantMlp, Weights, flatten, unflatten
from refntk.dynamics.nonlinearities import Identity, MeanSquare, Sigmoid
from refntk.dynamics.representations import PermutationGroup, Representation

__all__ = [
    "Counterexample",
    "curvatures",
    "dense",
    "escaping",
    "returning",
    "splitting",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counterexample:
    """A network, data, a point of E, and what the risks do there.

    Attributes
    ----------
    network : EquivariantMlp
        Of P parameters.
    a : Weights
        The point of E.
    x, y : array of float64, shapes (B, d_0) and (B, d_L)
    gradient : array of float64, shape (P,)
        Of the nominal risk, in the coordinates of `refntk.dynamics.flatten`: (w_1, w_2, b) for the
        neuron. Its projection on E is 0, so that R_aug and R_eqv are stationary.
    nominal, augmented : array of float64, shape (P, P)
        Hessians of R and R_aug. That of R_eqv on E is `augmented` between vectors of E.
    """

    network: EquivariantMlp
    a: Weights
    x: FloatArray
    y: FloatArray
    gradient: FloatArray
    nominal: FloatArray
    augmented: FloatArray


def escaping() -> Counterexample:
    """Give a strict minimum of R_eqv that R_aug leaves: a neuron that would rather be half right.

    Three times the sample x = (1, 1) with y = 1, once x = (3, -1) with y = 0, and their opposites;
    s = 2. On E the neuron sees x_1 + x_2 alone, where (3, -1) looks like (1, 1): its answer is
    wrong, and the best is to say 3/4. There R_aug has the curvatures

    - 9/128 along (1, 1, 0), the mean of ℓ'' times s²/2;
    - 9/256 along (0, 0, 1);
    - -9/128 along (1, -1, 0)/√2, where only the wrong answers count: a fourth of the samples, with
      x_1 - x_2 = ±4, times ℓ'' = -9/256, times 4²/2.

    The first two, on E, make the point a strict minimum of R_eqv. Off E, augmentation shows (3, -1)
    and (-1, 3); a neuron that tells them apart answers one of them better and the other worse,
    which pays, since the loss is concave there. The nominal risk, which sees (3, -1) alone, is not
    even stationary.

    Returns
    -------
    Counterexample
        `augmented` has a negative eigenvalue, -9/128, off E, and positive ones on E.
    """
    return _neuron(
        samples=[((1, 1), 1)] * 3 + [((3, -1), 0)],
        gradient=np.array([9, -9, 0]) / 128,
        nominal=np.array([[-9, 18, 0], [18, 9, 0], [0, 0, 9]]) / 256,
        augmented=np.array([[0, 18, 0], [18, 0, 0], [0, 0, 9]]) / 256,
    )


def returning() -> Counterexample:
    """Give a strict minimum of R_aug that R leaves: a saddle whose mean over the group is none.

    Six times the sample x = (4, -1) with y = 1, once x = (8, -5) and once x = (0, 3) with y = 0,
    and their opposites; s = 3. The wrong answers, of y = 0, have the mean of the right ones, so
    that R is stationary, but a wider spread, which brings the curvature of R along w_2 below zero:
    the mean of ℓ'' x xᵀ is 27/256 · diag(4, -1). Swapping the inputs swaps w_1 and w_2, and
    ∇²R_aug, the mean of both, is 27/256 · 3/2 on all weights.

    Returns
    -------
    Counterexample
        `nominal` has a negative eigenvalue, -27/256, and `augmented` has none.
    """
    return _neuron(
        samples=[((4, -1), 1)] * 6 + [((8, -5), 0), ((0, 3), 0)],
        gradient=np.zeros(3),
        nominal=np.diag([108, -27, 9]) / 256,
        augmented=np.diag([40.5, 40.5, 9]) / 256,
    )


def _neuron(
    samples: Sequence[tuple[tuple[int, int], int]],
    gradient: FloatArray,
    nominal: FloatArray,
    augmented: FloatArray,
) -> Counterexample:
    """Put a neuron where it says 3/4 to all of the samples, to which their opposites are added."""
    swap = _swap()
    spaces = [Representation(swap, "points"), Representation(swap, "trivial")]
    x, y = (
        np.array([x for x, _ in samples], np.float64),
        np.array([[y] for _, y in samples]),
    )
    weight = np.log(3) / x[0].sum()
    return Counterexample(
        EquivariantMlp(spaces, [Sigmoid()], MeanSquare()),
        [(np.full((1, 2), weight), np.zeros(1))],
        np.concatenate([x, -x]),
        np.concatenate([y, 1 - y]).astype(np.float64),
        gradient,
        nominal,
        augmented,
    )


def _swap() -> PermutationGroup:
    return PermutationGroup("swap", (np.array([1, 0]),), 2)


def splitting() -> Counterexample:
    """Find a strict minimum of R_eqv that R_aug leaves: two neurons that the group swaps.

    Two sigmoids behind one input, whose swap is the group: equivariant parameters make them equal.
    The target is a difference of two shifted sigmoids, a dip. The best equivariant network is a
    strict local minimum of R_eqv, but splitting its neurons lowers R_aug, which is R here because
    input and output do not move.

    Returns
    -------
    Counterexample
        Found by minimisation, not by hand. `augmented` has a negative eigenvalue off E, and
        positive ones on E.
    """
    swap = _swap()
    number, neurons = Representation(swap, "trivial"), Representation(swap, "points")
    net = EquivariantMlp([number, neurons, number], [Sigmoid(), Identity()], MeanSquare())
    x = np.linspace(-3, 3, 25)[:, None]
    y = 4 / (1 + np.exp(-2 * (x - 1.5))) - 4 / (1 + np.exp(-2 * (x + 1.5)))
    a: Weights = [(np.ones((2, 1)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))]
    on_e, _ = _frames(net, a)

    def at(place: FloatArray) -> Weights:
        return unflatten(on_e @ place, a)

    def hessian(place: FloatArray) -> FloatArray:
        return dense(lambda v: net.hessian_product(at(place), v, x, y), a)

    found = minimize(  # type: ignore[call-overload]  # the stubs lack the method trust-exact
        lambda place: net.risk(at(place), x, y),
        on_e.T @ flatten(a),
        jac=lambda place: on_e.T @ flatten(net.gradient(at(place), x, y)),
        hess=lambda place: on_e.T @ hessian(place) @ on_e,
        method="trust-exact",
        options={"gtol": 1e-13},
    ).x
    gradient = np.asarray(flatten(net.gradient(at(found), x, y)), np.float64)
    return Counterexample(net, at(found), x, y, gradient, hessian(found), hessian(found))


def curvatures(example: Counterexample) -> tuple[FloatArray, FloatArray]:
    """Give the eigenvalues of ∇²R_aug on E and on its complement, which it does not mix.

    Parameters
    ----------
    example : Counterexample

    Returns
    -------
    on_e, off_e : array of float64
        In ascending order; those on E are the eigenvalues of ∇²R_eqv, too.
    """
    frames = _frames(example.network, example.a)
    on, off = (np.linalg.eigvalsh(frame.T @ example.augmented @ frame) for frame in frames)
    return np.asarray(on, np.float64), np.asarray(off, np.float64)


def _frames(network: EquivariantMlp, like: Weights) -> tuple[FloatArray, FloatArray]:
    """Give orthonormal bases of E and of its complement, as columns."""
    values, vectors = np.linalg.eigh(dense(network.project, like))
    return vectors[:, values > 0.5], vectors[:, values < 0.5]


def dense(linear: Callable[[Weights], Weights], like: Weights) -> FloatArray:
    """Write a linear map of parameters as a matrix, for networks of a few parameters.

    Parameters
    ----------
    linear : callable
        From parameters to parameters, such as a product with a Hessian.
    like : Weights
        Parameters of the right shapes.

    Returns
    -------
    array of float64, shape (P, P)
        In the coordinates of `refntk.dynamics.flatten`.
    """
    size = len(flatten(like))
    return np.array([flatten(linear(unflatten(row, like))) for row in np.eye(size)]).T
