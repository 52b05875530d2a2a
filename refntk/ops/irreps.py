"""Irreducible representations of a finite group, from nothing but its Cayley table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refntk.errors import NetworkError

__all__ = ["LARGEST", "Irrep", "irreps_of"]

LARGEST = 1000
"""Elements of a group, at most, for `irreps_of`: it takes the cube of their number."""

_APART = 1e-7
"""Eigenvalues closer than this part of the largest one are one."""


class Irrep(NamedTuple):
    """An irreducible unitary representation.

    Attributes
    ----------
    name : str
        Dimension and a number, unless the family of the group has names of its own.
    matrices : complex array, shape (n, d, d)
        ρ(g) for each of the n elements.
    """

    name: str
    matrices: npt.NDArray[np.complex128]

    @property
    def dimension(self) -> int:
        """Its dimension d."""
        return int(self.matrices.shape[1])


def irreps_of(cayley: npt.NDArray[np.integer[Any]], name: str) -> tuple[Irrep, ...]:
    """Find one irreducible representation of each class.

    Parameters
    ----------
    cayley : int array, shape (n, n)
        Of a group, the identity first.
    name : str
        What messages call it.

    Returns
    -------
    tuple of Irrep
        The trivial one first, then by dimension.

    Raises
    ------
    NetworkError
        The group has more than `LARGEST` elements.

    Notes
    -----
    Multiplication from the right by a random Hermitian element of the group algebra commutes with
    that from the left. Its eigenspaces are therefore invariant under the group, and with
    probability one irreducible: each representation of dimension d occurs in d of them, and is told
    by its character.
    """
    order = len(cayley)
    if order > LARGEST:
        raise NetworkError(
            f"{name}: has {order} elements; representations are found for {LARGEST} at most"
        )
    rng = np.random.default_rng(0)
    inverse = np.argmin(cayley, axis=1)
    coefficients = rng.normal(size=order) + 1j * rng.normal(size=order)
    coefficients = coefficients + coefficients[inverse].conj()
    values, vectors = np.linalg.eigh(coefficients[cayley[inverse]])
    gaps = np.diff(values) > _APART * np.abs(values).max()
    found: dict[tuple[complex, ...], npt.NDArray[np.complex128]] = {}
    for space in np.split(vectors, np.flatnonzero(gaps) + 1, axis=1):
        matrices = space.conj().T @ space[cayley[inverse]]  # (g f)(x) = f(g⁻¹ x)
        characters = np.trace(matrices, axis1=1, axis2=2)
        key = tuple(complex(c) for c in np.round(characters, 6) + 0.0)
        found.setdefault(key, matrices)
    trivial = (complex(1),) * order
    ordered = sorted(
        found, key=lambda key: (key != trivial, key[0].real, [(-c.real, -c.imag) for c in key])
    )
    counts: dict[int, int] = {}
    result = []
    for key in ordered:
        dimension = found[key].shape[1]
        counts[dimension] = counts.get(dimension, 0) + 1
        result.append(Irrep(f"{dimension}.{counts[dimension]}", found[key]))
    return tuple(result)
