r"""The invariance chain: which slices a network on a finite group has, and on how many cosets.

Every filter and every activation keeps d in K_d(g) = K_{g, d g}, so that pooling over the group
needs n independent slices, and Flatten the one of d = e. A slice has fewer than n numbers where the
kernels are invariant: K_{g q, g' q} = K_{g, g'} for q in a subgroup Q, which makes K_d a function
on the cosets G/Q. With the shares mu of a filter's elements,

.. math::
    Q_1 = \{q : q \mu = \mu \text{ on } X\}, \qquad
    Q_{l+1} = \{p : p\, \pi_* \mu = \pi_* \mu \text{ on } G/Q_l\}, \qquad
    K'_d(g Q_{l+1}) = \sum_{h Q_l} \pi_* \mu(h Q_l)\, K_d(g h Q_l)

where pi_* mu adds up the shares in each coset. Activations leave Q alone. Where S lies in Q, or Q
is the whole group, the layer is a Dense one.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from refntk.errors import MethodError
from refntk.network.layers import SetLift
from refntk.network.network import Network
from refntk.ops.finite_group import FiniteGroup
from refntk.ops.listed import Listed
from refntk.ops.named_groups import gset
from refntk.ops.operations import Average, Filter, Pointwise, Stack
from refntk.ops.program import Program
from refntk.ops.space import Space

__all__ = ["Level", "action_below", "cost", "invariance_chain", "levels", "obstacle_on_cosets"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Level:
    """A filter on cosets.

    Attributes
    ----------
    layer : str
        The layer that it is of, in the words of messages.
    group : FiniteGroup
    invariance : tuple of int
        Elements of Q above the filter.
    cosets : int array, shape (n,)
        Number of the coset of Q that each element is in.
    representatives : int array, shape (m,)
        The first element of each coset.
    reads : int array, shape (k, m)
        What each coset reads: points of the set, or cosets below.
    shares : tuple of Fraction
        Share of each of the k places, 1 together.
    activation : bool
        Whether an activation follows.
    """

    layer: str
    group: FiniteGroup
    invariance: tuple[int, ...]
    cosets: Indices
    representatives: Indices
    reads: Indices
    shares: tuple[Fraction, ...]
    activation: bool

    @property
    def size(self) -> int:
        """Number m of cosets: numbers in a slice."""
        return len(self.representatives)

    @property
    def action(self) -> Indices:
        """Move each coset by each element: (n, m)."""
        return self.cosets[self.group.cayley[:, self.representatives]]


def invariance_chain(net: Network) -> tuple[Level, ...]:
    """Report what the kernels of a network on a finite group are invariant under, layer by layer.

    Parameters
    ----------
    net : Network
        One that begins with a SetLift.

    Returns
    -------
    tuple of Level
        One for each layer with weights before the readout.

    Raises
    ------
    MethodError
        The network does not begin with a SetLift, or slices do not apply to it; the message names
        the layer.

    Examples
    --------
    >>> from refntk.network.layers import GroupPool, Relu, SetGroupConv, SetLift
    >>> net = Network([SetLift([0, 1], group="S4"), Relu(), SetGroupConv([0, 9]), GroupPool()])
    >>> [len(level.invariance) for level in invariance_chain(net)], cost(invariance_chain(net))
    ([4, 2], 1008)
    """
    lift = net.layers[0]
    if not isinstance(lift, SetLift):
        raise MethodError(
            f"layer 0 ({type(lift).__name__}): slices on cosets are those of a network that begins "
            "with a SetLift"
        )
    program = net.program((gset(lift.group, lift.on).size,))
    end = next((k for k, space in enumerate(program.spaces) if space == Space()), len(program))
    body = program.part(0, end)
    reason = obstacle_on_cosets(body)
    if reason is not None:
        raise MethodError(f"slices do not apply: {reason}")
    return levels(body)


def cost(chain: tuple[Level, ...], pooled: bool = True) -> int:
    """Count the additions and activations of a pair of signals.

    Parameters
    ----------
    chain : tuple of Level
    pooled : bool, default True
        Whether the network ends with a GroupPool, which takes all slices, or with Flatten, one.

    Returns
    -------
    int
        Slices times the sum over layers of cosets (places of the filter, plus 1 for an activation).
    """
    each = sum(level.size * (len(level.shares) + level.activation) for level in chain)
    return each * (chain[0].group.order if pooled else 1)


def obstacle_on_cosets(body: Program) -> str | None:
    """Say which layer prevents slices on cosets, and why; None if they apply.

    Parameters
    ----------
    body : Program
        Operations up to the readout, if there is one.
    """
    for k, operation in enumerate(body.operations):
        name = body.name(k)
        match operation:
            case Filter(support=Listed() as support) if support.above.elements is not None:
                if operation.tangent[0] and not operation.weight:
                    return f"{name} trains weights of deviation 0"
            case Pointwise():
                if not isinstance(body.operations[k - 1], Filter):
                    return f"{name} comes after no layer with weights"
            case Average(support=Listed()):
                return f"{name} couples the slices of unlike d"
            case Average(over="window") | Stack() if k == len(body) - 1:
                pass
            case _:
                return f"{name} is no filter on a finite group"
    return None


def levels(body: Program) -> tuple[Level, ...]:
    """Follow the invariance through the filters of a body that slices on cosets apply to.

    Parameters
    ----------
    body : Program

    Returns
    -------
    tuple of Level
    """
    found: list[Level] = []
    for k, operation in enumerate(body.operations):
        if isinstance(operation, Filter):
            follows = k + 1 < len(body) and isinstance(body.operations[k + 1], Pointwise)
            below = found[-1].action if found else action_below(body)
            found.append(_level(operation, below, found[-1:], follows, body.name(k)))
    return tuple(found)


def action_below(body: Program) -> Indices:
    """Tell how the elements move the points of the set, as far as the lift reads them: (n, X)."""
    lift = body.operations[0]
    assert isinstance(lift, Filter)  # `obstacle_on_cosets` has seen to it
    maps, group = lift.support.maps, lift.support.above.elements
    assert group is not None
    count = lift.support.below.size
    action = np.tile(np.arange(count), (group.order, 1))
    for reads in maps:
        points, first = np.unique(reads, return_index=True)
        for x, g in zip(points, first, strict=True):
            action[:, x] = reads[group.cayley[:, g]]  # d (g s) = (d g) s
    return action


def _level(
    layer: Filter, action: Indices, below: list[Level], activation: bool, name: str
) -> Level:
    """Push a filter's shares forward to cosets, and find what keeps them."""
    support, group = layer.support, layer.support.above.elements
    assert group is not None
    places = support.maps[:, 0]  # of the identity: the support itself
    if below:
        places = below[0].cosets[places]
    each = support.weights or (Fraction(1, len(places)),) * len(places)
    total: dict[int, Fraction] = {}
    for place, share in zip(places.tolist(), each, strict=True):
        total[place] = total.get(place, Fraction(0)) + share
    total = {place: share for place, share in total.items() if share}
    # Shares by number, so that tables of them are compared: 0 where there is none.
    kinds = {share: 1 + kind for kind, share in enumerate(dict.fromkeys(total.values()))}
    labels = np.zeros(action.shape[1], np.int64)
    kept = list(total)
    labels[kept] = [kinds[share] for share in total.values()]
    moved = action[:, kept]
    stays = (labels[moved] == labels[kept]).all(axis=1)
    invariance = tuple(np.flatnonzero(stays).tolist())
    cosets = group.cosets(invariance)
    representatives = np.unique(cosets, return_index=True)[1]
    return Level(
        name, group, invariance, np.asarray(cosets, np.int64), representatives,
        moved[representatives].T,
        tuple(total.values()), activation,
    )  # fmt: skip
