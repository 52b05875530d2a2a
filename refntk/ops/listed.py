r"""Supports on finite groups and the sets on which they act: maps that are listed one by one.

For a filter on a set X that a group G acts on, on G itself, and for pooling over a subgroup P, the
output g reads

.. math:: m_s(g) = g s, \quad s \in S \subset X; \qquad
    m_h(g) = g h, \quad h \in S \subset G; \qquad m_p(g) = g p, \quad p \in P.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from refntk.errors import ShapeError
from refntk.ops.finite_group import FiniteGroup, Indices
from refntk.ops.space import Space
from refntk.ops.support import Support

__all__ = [
    "Listed",
    "about_the_centre",
    "cosets_at",
    "group_support",
    "orbital_means",
    "orbital_weights",
    "rotations_at",
    "set_support",
    "shares",
]


@dataclass(frozen=True, eq=False)
class Listed(Support):
    """A support whose maps are listed.

    Attributes
    ----------
    reads : int array, shape (|S|, features above)
        The maps.
    measure : tuple of Fraction, or None
        Share of each filter element; None where all are alike.
    """

    reads: Indices | None = None
    measure: tuple[Fraction, ...] | None = None

    @property
    def size(self) -> int:
        """Number |S| of filter elements."""
        return len(self.maps)

    @property
    def weights(self) -> tuple[Fraction, ...] | None:
        """Share of each filter element; None where all are alike."""
        return self.measure

    @property
    def maps(self) -> Indices:  # type: ignore[override]
        """Feature below that each filter element reads: (|S|, features above)."""
        assert self.reads is not None
        return self.reads


def shares(weights: Sequence[float]) -> tuple[Fraction, ...] | None:
    """Divide weights by their sum, exactly; none at all mean that all elements are alike."""
    exact = [Fraction(weight) for weight in weights]
    return tuple(weight / sum(exact) for weight in exact) or None


def set_support(
    group: FiniteGroup, action: Indices, points: Sequence[int], weights: Sequence[float] = ()
) -> Listed:
    """Make the support of a lifting filter, on a set that a group acts on.

    Parameters
    ----------
    group : FiniteGroup
    action : int array, shape (n, m)
        See `refntk.ops.gset.GSet.action`.
    points : sequence of int
        The support S.
    weights : sequence of float, optional
        One for each point of S; by default all count alike.
    """
    below, above = Space((action.shape[1],)), Space((), None, group)
    reads = action[:, list(points)].T
    return Listed(below, above, reads=reads, measure=shares(weights))


def group_support(
    group: FiniteGroup, elements: Sequence[int], weights: Sequence[float] = ()
) -> Listed:
    """Make the support of a filter on a group; arguments as for `set_support`."""
    space = Space((), None, group)
    reads = group.cayley[:, list(elements)].T.astype(np.int64)
    return Listed(space, space, reads=reads, measure=shares(weights))



def orbital_means(orbitals: Indices) -> Listed:
    """Make the support of means over the orbitals between two sets.

    Parameters
    ----------
    orbitals : int array, shape (|Y|, |X|)
        See `refntk.ops.gset.GSet.orbitals`.

    Returns
    -------
    Listed
        Feature a |Y| + y above reads the points x with (y, x) in orbital a.
    """
    points, count = orbitals.shape, int(orbitals.max()) + 1
    members = orbitals[None] == np.arange(count)[:, None, None]
    rows = members.reshape(-1, points[1])
    reads = np.full((int(rows.sum(axis=1).max()), len(rows)), -1)
    for feature, row in enumerate(rows):
        places = np.flatnonzero(row)
        reads[: len(places), feature] = places
    return Listed(Space((points[1],)), Space((len(rows),)), reads=reads)


def orbital_weights(orbitals: Indices) -> Listed:
    """Make the support of a filter over such means: at y, that of each orbital."""
    count, points = int(orbitals.max()) + 1, len(orbitals)
    reads = np.arange(count * points).reshape(count, points)
    return Listed(Space((count * points,)), Space((points,)), reads=reads)


def about_the_centre(below: Space) -> Listed:
    """Make the support of a filter over all positions and elements, at the centre of the grid.

    Parameters
    ----------
    below : Space
        On a point group that maps its positions to themselves about their middle.

    Returns
    -------
    Listed
        The output at the element r reads the element r q at the position r t, for all q and t.

    Raises
    ------
    ShapeError
        The group does not map the positions to themselves; the message names an element.
    """
    group, inside = below.group, below.inside
    assert group is not None
    middle = np.array(below.shape) - 1
    places = np.argwhere(np.ones(below.shape, bool) if inside is None else inside)
    number = np.full(below.shape, -1)
    number[tuple(places.T)] = np.arange(len(places))
    reads = np.empty((group.order, len(places), group.order), np.int64)
    for r, matrix in enumerate(group.matrices):
        moved = (2 * places - middle) @ matrix.T + middle
        kept = (moved % 2 == 0) & (moved >= 0) & (moved // 2 < below.shape)
        where = number[tuple((moved // 2 * kept).T)]
        if not kept.all() or (where < 0).any():
            raise ShapeError(
                f"element {r} of {group.name}, {group.written(r)}, does not map the "
                f"{'x'.join(map(str, below.shape))} positions to themselves about their centre: "
                "use images whose sides are alike where the group exchanges them"
            )
        reads[:, :, r] = group.cayley[r][:, None] * len(places) + where
    return Listed(below, Space((), group), reads=reads.reshape(-1, group.order))


def rotations_at(below: Space) -> Listed:
    """Make the support of a mean over the elements of a group at each position of a grid."""
    count = below.positions
    reads = np.arange(below.order)[:, None] * count + np.arange(count)
    return Listed(below, Space(below.shape), reads=reads)


def cosets_at(below: Space, subgroup: Sequence[int]) -> Listed:
    """Make that of a mean over the elements r p, with p in a subgroup, at (t, r)."""
    assert below.group is not None
    first = below.group.cayley[:, list(subgroup)].T * below.positions
    reads = first[:, :, None] + np.arange(below.positions)
    return Listed(below, below, reads=reads.reshape(len(subgroup), -1))
