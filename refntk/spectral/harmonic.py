r"""Harmonic analysis of kernels on orbits of finite groups: a small matrix for each irrep.

A kernel between the orbits of S seeds that is invariant under a finite group G,
k((a, g), (b, h)) = κ_ab(g⁻¹h) with a, b < S, is block diagonal in the Fourier basis of G:

.. math::
    \hat κ(ρ) = \Big(\sum_{h} κ_{ab}(h) ρ(h)\Big)_{ab} \in \mathbb C^{S d_ρ \times S d_ρ},
    \qquad (k^{-1})_{(a,e),(a,e)} = \frac1{|G|} \sum_ρ d_ρ \operatorname{tr} (\hat κ(ρ)^{-1})_{aa}

Targets that are constant on orbits live in the trivial representation. So the error of leaving out
one pose is a ratio, the inverse spectrum of the trivial representation over a mean of inverse
spectra of all: the statement of A. Perin, S. Deny, arXiv:2412.11521, eq. 7, for any finite group.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.ops.finite_group import FiniteGroup
from refntk.ops.irreps import Irrep
from refntk.spectral.leave_out import rounding

__all__ = [
    "FiniteGroup",
    "Irrep",
    "class_pose_errors",
    "cyclic",
    "dihedral",
    "group_average",
    "group_spectrum",
    "pose_causes",
    "pose_errors",
]

FloatArray = npt.NDArray[np.float64]


def cyclic(*orders: int) -> FiniteGroup:
    """Make a product of cyclic groups, with its characters.

    Every finite abelian group is one.

    Parameters
    ----------
    *orders : int
        Order of each factor, at least 1. Elements are listed with the last factor running fastest.

    Returns
    -------
    FiniteGroup

    Raises
    ------
    InputError
        No factor, or an order below 1.

    Examples
    --------
    >>> group = cyclic(2, 3)
    >>> group.order, len(group.irreps), int(group.cayley[4, 5])  # (1, 1) + (1, 2) = (0, 0)
    (6, 6, 0)
    """
    if not orders or min(orders) < 1:
        raise InputError(f"orders: expected whole numbers of at least 1, not {orders}")
    elements = np.array(list(product(*map(range, orders))))
    strides = np.append(np.cumprod(orders[:0:-1])[::-1], 1).astype(np.int64)
    sums = (elements[:, None] + elements) % orders
    irreps = tuple(
        Irrep(
            "·".join(map(str, frequency)),
            np.exp(2j * np.pi * (elements * frequency / orders).sum(axis=1))[:, None, None],
        )
        for frequency in elements.tolist()
    )
    name = "×".join(f"Z{n}" for n in orders)
    generators = tuple(int(stride) for stride, n in zip(strides, orders, strict=True) if n > 1)
    return FiniteGroup(name, sums @ strides, generators, known_irreps=irreps)


def dihedral(n: int) -> FiniteGroup:
    """Make the dihedral group of n rotations r^k and n reflections r^k m, listed in this order.

    Parameters
    ----------
    n : int
        Number of rotations, at least 1.

    Returns
    -------
    FiniteGroup
        Four representations of dimension 1 where n is even and two where it is odd, A1, A2 (, B1,
        B2), and E1, E2, ... of dimension 2.

    Raises
    ------
    InputError
        n is below 1.

    Examples
    --------
    >>> [(irrep.name, irrep.dimension) for irrep in dihedral(4).irreps]
    [('A1', 1), ('A2', 1), ('B1', 1), ('B2', 1), ('E1', 2)]
    """
    if n < 1:
        raise InputError(f"n: expected a whole number of at least 1, not {n}")
    turn, flip = (part.ravel() for part in np.meshgrid(range(n), range(2)))  # r^turn m^flip
    sign = 1 - 2 * flip
    # r^a m^s r^b m^t = r^(a ± b) m^(s + t), because m r m = r^-1
    cayley = (turn[:, None] + sign[:, None] * turn) % n + n * (flip[:, None] ^ flip)
    ones = np.ones(2 * n)
    lines = {"A1": ones, "A2": sign}
    if n % 2 == 0:
        lines |= {"B1": (-1.0) ** turn, "B2": sign * (-1.0) ** turn}
    irreps = [Irrep(name, np.asarray(line, complex)[:, None, None]) for name, line in lines.items()]
    for h in range(1, (n + 1) // 2):
        angle = 2 * np.pi * h * turn / n
        cos, sin = np.cos(angle), np.sin(angle)
        rotation = np.moveaxis(np.array([[cos, -sin * sign], [sin, cos * sign]]), 2, 0)
        irreps.append(Irrep(f"E{h}", rotation.astype(complex)))
    return FiniteGroup(f"D{n}", cayley, (1 % n, n), known_irreps=tuple(irreps))


def group_average(kernel: npt.ArrayLike, group: FiniteGroup) -> tuple[FloatArray, float]:
    """Make a kernel on orbits invariant under the group that swept them.

    Parameters
    ----------
    kernel : array of float, shape (S, n, S, n)
        Gram matrix; axes are seed and group element of the first image, and of the second.
    group : FiniteGroup
        Of order n.

    Returns
    -------
    kappa : array of float64, shape (S, S, n)
        κ_ab(u) = mean_g k((a, g), (b, g u)).
    deviation : float
        Frobenius norm of what the average took away, relative to that of the kernel: 0 where the
        kernel was invariant.

    Raises
    ------
    InputError
        The shape does not fit the group.
    """
    k = np.asarray(kernel, np.float64)
    n = group.order
    if k.ndim != 4 or k.shape[0] != k.shape[2] or k.shape[1] != n or k.shape[3] != n:
        raise InputError(
            f"kernel: expected the shape (S, {n}, S, {n}) for orbits of {group.name}, not {k.shape}"
        )
    moved = k[:, np.arange(n)[:, None], :, group.cayley]  # axes g, u, a, b
    kappa = moved.mean(axis=0)
    deviation = np.linalg.norm(moved - kappa) / np.linalg.norm(k)
    return np.moveaxis(kappa, 0, 2), float(deviation)


def group_spectrum(kappa: npt.ArrayLike, group: FiniteGroup) -> dict[str, FloatArray]:
    """Eigenvalues of an invariant kernel on orbits, by irreducible representation.

    Parameters
    ----------
    kappa : array of float, shape (S, S, n)
        As `group_average` gives it: symmetric, κ_ba(u⁻¹) = κ_ab(u).
    group : FiniteGroup

    Returns
    -------
    dict from str to array of float64, shape (S d,)
        Ascending; each eigenvalue is one of multiplicity d of the (S n, S n) Gram matrix.
    """
    return {
        irrep.name: np.asarray(np.linalg.eigvalsh(_transform(np.asarray(kappa), irrep)), np.float64)
        for irrep in group.irreps
    }


def pose_errors(
    kappa: npt.ArrayLike, targets: npt.ArrayLike, group: FiniteGroup, nugget: float = 0.0
) -> FloatArray:
    r"""Error of kernel regression at a pose left out of an orbit, from the spectra alone.

    Parameters
    ----------
    kappa : array of float, shape (S, S, n)
        As `group_average` gives it.
    targets : array of float, shape (S,)
        Target of all poses of each orbit, not zero.
    group : FiniteGroup
    nugget : float, default 0
        Added to the diagonal of the Gram matrix.

    Returns
    -------
    array of float64, shape (S,)
        For each orbit ε with prediction (1 - ε) y at the pose left out, any of them by symmetry:

        .. math::
            ε_a = \frac{(\hat κ(1)^{-1} y)_a / y_a}
                       {\frac1n \sum_ρ d_ρ \operatorname{tr} (\hat κ(ρ)^{-1})_{aa}}

        A singular kernel without nugget is the limit of a nugget that vanishes: 0 where the other
        poses determine the one left out.

    Raises
    ------
    InputError
        The shapes do not fit, or the kernel cannot tell orbits of different targets apart and there
        is no nugget.
    """
    separation, density = pose_causes(kappa, targets, group, nugget)
    return separation / density


def pose_causes(
    kappa: npt.ArrayLike, targets: npt.ArrayLike, group: FiniteGroup, nugget: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    r"""Numerator and denominator of `pose_errors`: what makes a pose left out hard to complete.

    Parameters
    ----------
    kappa, targets, group, nugget
        As for `pose_errors`.

    Returns
    -------
    separation : array of float64, shape (S,)
        :math:`(\hat κ(1)^{-1} y)_a / y_a`, large where orbits of different targets are close
        together.
    density : array of float64, shape (S,)
        :math:`\frac1n \sum_ρ d_ρ \operatorname{tr} (\hat κ(ρ)^{-1})_{aa}`, the inverse of the
        variance of a pose given all others: large where the poses of an orbit are close together,
        and infinite where the others determine it.

    Raises
    ------
    InputError
        As `pose_errors`.
    """
    kappa = np.asarray(kappa, np.float64)
    y = np.asarray(targets, np.float64)
    seeds, order = len(kappa), group.order
    if kappa.shape != (seeds, seeds, order) or y.shape != (seeds,) or not y.all():
        raise InputError(
            f"expected kappa of shape (S, S, {order}) and S targets that are not zero, "
            f"not {kappa.shape} and {targets!r}"
        )
    numerator = np.zeros(seeds)
    diagonal = np.zeros(seeds)
    determined = np.zeros(seeds, bool)  # by the other poses, in the limit of a nugget that vanishes
    for k, irrep in enumerate(group.irreps):
        d = irrep.dimension
        values, vectors = np.linalg.eigh(_transform(kappa, irrep))
        null = (values <= 4 * len(values) * np.finfo(float).eps * values[-1]) & (nugget == 0)
        if k == 0 and np.abs(vectors[:, null].T @ y).max(initial=0) > 1e-6 * np.linalg.norm(y):
            raise InputError(
                "the kernel is singular and cannot tell orbits of different targets apart, so that "
                "the prediction is undefined: give a nugget above 0"
            )
        share = (np.abs(vectors[:, null]) ** 2).sum(axis=1).reshape(seeds, d).sum(axis=1)
        determined |= share > 1e-8
        some = vectors[:, ~null]
        inverse = (some / (values[~null] + nugget)) @ some.conj().T
        diagonal += d * np.diagonal(inverse).real.reshape(seeds, d).sum(axis=1) / order
        if k == 0:
            numerator = (inverse @ y).real / y
    return numerator, np.where(determined, np.inf, diagonal)


def class_pose_errors(
    kappa: npt.ArrayLike,
    targets: npt.ArrayLike,
    group: FiniteGroup,
    members: npt.ArrayLike,
    nugget: float = 0.0,
) -> FloatArray:
    r"""Error where one pose is left out of several orbits together, from the spectra alone.

    Parameters
    ----------
    kappa, group, nugget
        As for `pose_errors`.
    targets : array of float, shape (S,)
        Target of all poses of each orbit.
    members : array of int, shape (m,)
        The orbits that lose the pose, those of one class in the experiment of Perin and Deny.

    Returns
    -------
    array of float64, shape (m,)
        y - ŷ at the pose left out, the same for each pose:

        .. math::
            B^{-1} r, \quad B = \Big(\frac1n \sum_ρ d_ρ \operatorname{tr}
            (\hat κ(ρ)^{-1})_{ab}\Big)_{ab}, \quad r = (\hat κ(1)^{-1} y)_a

        with a and b among the members and the trace over the representation.

    Raises
    ------
    InputError
        The shapes do not fit, or the kernel is singular and there is no nugget.
    """
    kappa = np.asarray(kappa, np.float64)
    y = np.asarray(targets, np.float64)
    out = np.asarray(members, np.int64)
    seeds, order = len(kappa), group.order
    if kappa.shape != (seeds, seeds, order) or y.shape != (seeds,):
        raise InputError(
            f"expected kappa of shape (S, S, {order}) and S targets, "
            f"not {kappa.shape} and {y.shape}"
        )
    if out.ndim != 1 or not len(out) or not np.isin(out, np.arange(seeds)).all():
        raise InputError(f"members: expected indices below {seeds}, not {members!r}")
    block = np.zeros((len(out), len(out)))
    residual = np.zeros(len(out))
    for k, irrep in enumerate(group.irreps):
        d = irrep.dimension
        values, vectors = np.linalg.eigh(_transform(kappa, irrep))
        if nugget == 0 and values[0] <= rounding(len(values)) * values[-1]:
            raise InputError("the kernel is singular: several missing points need a nugget above 0")
        inverse = (vectors / (values + nugget)) @ vectors.conj().T
        traces = np.einsum("aibi->ab", inverse.reshape(seeds, d, seeds, d)).real
        block += d * traces[np.ix_(out, out)] / order
        if k == 0:
            residual = (inverse @ y).real[out]
    return np.asarray(np.linalg.solve(block, residual), np.float64)


def _transform(kappa: npt.NDArray[Any], irrep: Irrep) -> npt.NDArray[np.complex128]:
    """Fourier coefficient of an invariant kernel, shape (S d, S d), seed before representation."""
    seeds, d = len(kappa), irrep.dimension
    blocks = np.einsum("abu,uij->aibj", kappa, irrep.matrices)
    matrix = blocks.reshape(seeds * d, seeds * d)
    return np.asarray((matrix + matrix.conj().T) / 2, np.complex128)
