r"""Molecules as signals on the sphere: what an atom sees around it, and kernels of their sums.

Atom i sees, for each element e and power p, the function

.. math:: \sum_{j \ne i:\, Z_j = e} \frac{Z_i Z_j}{|r_{ij}|^p}
    \exp\Bigl(\frac{(\hat r_{ij} \cdot n - 1)^2}{(\cos(\pi / 4) - 1)^2} \ln 0.05\Bigr)

of directions n. An energy is a sum over atoms of the outputs of networks, so that kernels are sums
over pairs of atoms that share a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, unknown
from refntk.evaluation.options import KERNELS
from refntk.sphere.evaluation import Evaluation
from refntk.sphere.harmonics import ComplexArray, Float64Array, degrees, harmonics, zonal
from refntk.sphere.kernel import Blocks, GlobalKernel, measured, names_of
from refntk.sphere.layers import SphereLift
from refntk.sphere.layout import lay_out

__all__ = ["PAIRINGS", "Atoms", "environments", "molecular_kernel"]

Indices = npt.NDArray[np.int64]

PAIRINGS: tuple[str, ...] = ("elements", "slots")

_PAIRS_AT_ONCE = 1 << 19
"""Pairs of atoms of which lists are held at a time."""

_EDGE = math.cos(math.pi / 4) - 1


@dataclass(frozen=True)
class Atoms:
    """The atoms of molecules, molecule by molecule.

    Attributes
    ----------
    signals : complex128 array, shape (atoms, L², C)
        What each sees; or what a SphereLift has made of it.
    element, slot, molecule : int array, shape (atoms,)
        Its charge, its place in the list of its molecule's atoms, and the number of this.
    count : int
        Number of molecules.
    """

    signals: ComplexArray
    element: Indices
    slot: Indices
    molecule: Indices
    count: int

    def __len__(self) -> int:
        """Count the molecules."""
        return self.count

    def labels(self, pairing: str) -> Indices:
        """Tell which network each atom has; see `molecular_kernel`."""
        return self.element if pairing == "elements" else self.slot

    def __getitem__(self, part: slice) -> Atoms:
        """Take some of the molecules."""
        chosen = np.arange(self.count)[part]
        number = np.full(self.count, -1)
        number[chosen] = np.arange(len(chosen))
        kept = number[self.molecule] >= 0
        arrays = self.signals[kept], self.element[kept], self.slot[kept]
        return Atoms(*arrays, number[self.molecule[kept]], len(chosen))


def environments(
    charges: npt.ArrayLike,
    positions: npt.ArrayLike,
    *,
    limit: int = 6,
    elements: Sequence[int] = (1, 6, 7, 8, 9),
    centres: Sequence[int] | None = None,
    powers: Sequence[float] = (2.0, 6.0),
) -> Atoms:
    """Make signals of the atoms of molecules.

    Parameters
    ----------
    charges : int array, shape (N, A)
        Of the nuclei, 0 where a molecule has no more atoms.
    positions : float array, shape (N, A, 3)
        In angstrom.
    limit : int, default 6
        Band limit L of the signals.
    elements : sequence of int
        Charges e that are seen; each has as many channels as there are powers.
    centres : sequence of int, optional
        Charges of the atoms that see. By default all in `elements`; without hydrogen the sum has
        fewer terms.
    powers : sequence of float
        The powers p of distances.

    Returns
    -------
    Atoms

    Raises
    ------
    InputError
        Arrays are not as above, an atom is of another element, or two are at one place.
    """
    z, r = np.asarray(charges), np.asarray(positions, np.float64)
    if z.ndim != 2 or not np.issubdtype(z.dtype, np.integer) or r.shape != (*z.shape, 3):
        raise InputError(
            f"molecules: expected charges (N, A), whole numbers, and positions (N, A, 3), not the "
            f"shapes {z.shape} of {z.dtype} and {r.shape}"
        )
    foreign = sorted(set(np.unique(z).tolist()) - {0, *elements})
    if foreign:
        raise InputError(f"charges: an atom has the charge {foreign[0]}, which elements lacks")
    seers = tuple(elements) if centres is None else tuple(centres)
    molecule, slot = np.nonzero(np.isin(z, seers))
    scales = zonal(limit, lambda t: np.exp((t - 1) ** 2 * (math.log(0.05) / _EDGE**2)))
    signals = [
        _environment(z[m], r[m], int(k), scales, elements, powers, f"molecule {m}")
        for m, k in zip(molecule, slot, strict=True)
    ]
    shape = 0, limit * limit, len(elements) * len(powers)
    stacked = np.stack(signals) if signals else np.zeros(shape, np.complex128)
    return Atoms(stacked, z[molecule, slot].astype(np.int64), slot, molecule, len(z))


def _environment(
    z: npt.NDArray[Any],
    r: Float64Array,
    centre: int,
    scales: Float64Array,
    elements: Sequence[int],
    powers: Sequence[float],
    name: str,
) -> ComplexArray:
    """Coefficients of what one atom sees, (L², elements times powers)."""
    others = np.flatnonzero(z)
    others = others[others != centre]
    steps = r[others] - r[centre]
    distances = np.linalg.norm(steps, axis=1)
    if not (np.isfinite(distances).all() and (distances > 0).all()):
        raise InputError(f"{name}: atom {centre} has a neighbour at no finite distance above zero")
    limit = len(scales)
    waves = harmonics(steps, limit).conj() * scales[degrees(limit)]
    strength = float(z[centre]) * z[others, None] / distances[:, None] ** np.array(powers)
    kinds = z[others, None] == np.array(elements)
    weights = kinds[:, :, None] * strength[:, None, :]
    return np.asarray(waves.T @ weights.reshape(len(others), -1), np.complex128)


def molecular_kernel(
    layers: Sequence[Any],
    x1: Atoms,
    x2: Atoms | None = None,
    get: str | Sequence[str] = KERNELS,
    *,
    pairing: str = "elements",
    nodes: int | None = None,
    nugget: float | None = None,
) -> GlobalKernel:
    r"""Compute the kernels of sums over atoms.

    .. math:: K(M, M') = \sum_{i \in M,\, j \in M':\, s(i) = s(j)} K(f_i, f'_j)

    Parameters
    ----------
    layers : sequence of layers
        As for `refntk.sphere.kernel.kernel`, with a SphereLift.
    x1, x2 : Atoms
        What `environments` gives; None means x1.
    pairing : {"elements", "slots"}, default "elements"
        What s is: with one network for each element the kernel does not depend on the order of
        atoms. With one for each slot of the list of atoms it does.
    get, nodes, nugget
        As for `refntk.sphere.kernel.kernel`, which also lists the errors.

    Returns
    -------
    GlobalKernel
        Axes are molecules.

    Raises
    ------
    InputError
        The pairing is unknown, or as for `refntk.sphere.kernel.kernel`.
    """
    if pairing not in PAIRINGS:
        raise InputError(f"pairing: {unknown('pairing', pairing, PAIRINGS)}")
    names = names_of(get)
    layout = lay_out(layers, "ntk" in names)
    if not isinstance(layout.lift, SphereLift):
        raise InputError("layers: molecules are signals on the sphere: begin with SphereLift")
    ready, limit = _prepared(layout.lift, x1, "X1")
    other = None if x2 is None else _prepared(layout.lift, x2, "X2")[0]
    count = layout.lift.nodes(nodes, limit, layout.bands)

    def blocks(number: int) -> Blocks[Atoms]:
        evaluation = Evaluation(layout, number, limit, names)
        return lambda first, second: _sums(evaluation, first, second, pairing, names)

    return measured(blocks, ready, other, count, names, nugget)


def _prepared(lift: SphereLift, atoms: Atoms, name: str) -> tuple[Atoms, int]:
    signals, limit = lift.prepare(atoms.signals, name)
    return replace(atoms, signals=signals), limit


def _sums(
    evaluation: Evaluation,
    first: Atoms,
    second: Atoms | None,
    pairing: str,
    names: tuple[str, ...],
) -> dict[str, Float64Array]:
    """Add up the kernels of the pairs of atoms with one label: (molecules, molecules)."""
    other = first if second is None else second
    found = {name: np.zeros((len(first), len(other))) for name in names}

    def add(rows: Indices, cols: Indices, mirrored: bool) -> None:
        same = second is None and not mirrored
        block = evaluation.block(first.signals[rows], None if same else other.signals[cols])
        mine, theirs = first.molecule[rows], other.molecule[cols]
        for name, values in block.items():
            summed = np.add.reduceat(values, _starts(mine), axis=0)
            summed = np.add.reduceat(summed, _starts(theirs), axis=1)
            found[name][np.ix_(np.unique(mine), np.unique(theirs))] += summed
            if mirrored:
                found[name][np.ix_(np.unique(theirs), np.unique(mine))] += summed.T

    for label in np.unique(first.labels(pairing)):
        one, two = (np.flatnonzero(each.labels(pairing) == label) for each in (first, other))
        if not len(two):
            continue
        for part in _chunks(first.molecule[one], max(1, _PAIRS_AT_ONCE // len(two))):
            rows, rest = one[part], one[part.stop :]
            add(rows, rows if second is None else two, mirrored=False)
            if second is None and len(rest):
                add(rows, rest, mirrored=True)
    return found


def _starts(molecule: Indices) -> Indices:
    """Tell where the atoms of each molecule begin."""
    return np.flatnonzero(np.diff(molecule, prepend=-1))


def _chunks(molecule: Indices, size: int) -> list[slice]:
    """Cut a list of atoms into parts of about this size, between molecules."""
    starts, cuts = _starts(molecule), [0]
    for start in starts:
        if start - cuts[-1] >= size:
            cuts.append(int(start))
    return [slice(a, b) for a, b in zip(cuts, [*cuts[1:], len(molecule)], strict=True)]
