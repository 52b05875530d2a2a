"""Exact symmetries of kernels that the layers of a network tell: shifts and quarter turns."""

from __future__ import annotations

import numpy as np

from refntk.network.layers import (
    Activation,
    Branching,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Layer,
    LayerNorm,
    Lift,
)
from refntk.network.network import Network
from refntk.ops.groups import point_group

__all__ = ["blind_to_shifts", "blind_to_turns", "moves_with_shifts", "turns"]


def moves_with_shifts(net: Network) -> bool:
    """Whether cyclic shifts of both images leave the kernel as it is.

    Parameters
    ----------
    net : Network

    Returns
    -------
    bool
        True where padding is circular and nothing is strided; False where nothing is known.
    """
    return all(_shifts(layer) for layer in net.layers)


def blind_to_shifts(net: Network) -> bool:
    """Whether a cyclic shift of either image leaves the kernel as it is.

    Parameters
    ----------
    net : Network

    Returns
    -------
    bool
        True where, besides, it pools over all positions; False where nothing is known.
    """
    pools = any(isinstance(layer, GlobalAvgPool | GroupPool) for layer in net.layers)
    return pools and moves_with_shifts(net)


def turns(net: Network, quarters: int) -> bool:
    """Whether rotating both images by so many quarter turns leaves the kernel as it is.

    Parameters
    ----------
    net : Network
    quarters : int
        1 or 2.

    Returns
    -------
    bool
        True where nothing is strided and the turn maps all filters and groups to themselves; False
        where nothing is known.
    """
    return all(_turns(layer, quarters) for layer in net.layers)


def blind_to_turns(net: Network, quarters: int) -> bool:
    """Whether rotating either image by so many quarter turns leaves the kernel as it is.

    Parameters
    ----------
    net : Network
    quarters : int
        1 or 2.

    Returns
    -------
    bool
        True where, besides, it lifts to a group with this turn and pools over it; False where
        nothing is known.
    """
    turn = point_group("C4").matrices[quarters].tolist()
    lifted = any(
        turn in layer.elements.matrices.tolist()
        for layer in net.layers
        if isinstance(layer, Lift) and layer.elements.lattice == "square"
    )
    pooled = any(isinstance(layer, GroupPool) for layer in net.layers)
    return lifted and pooled and turns(net, quarters)


def _shifts(layer: Layer) -> bool:
    """Whether shifting its input shifts its output, in distribution; False of unknown layers."""
    match layer:
        case Conv() | Lift() | GroupConv():
            return layer.padding == "CIRCULAR" and layer.strides == (1, 1)
        case Activation() | Dense() | Flatten() | GlobalAvgPool() | GroupPool():
            return True
        case LayerNorm() | Dropout():
            return True
        case Branching():
            return all(_shifts(inner) for branch in layer.branches for inner in branch)
        case _:
            return False


def _turns(layer: Layer, quarters: int) -> bool:
    """Whether rotating its input by so many quarter turns rotates its output, in distribution.

    False of unknown layers.
    """
    match layer:
        case Conv() | Lift() | GroupConv() if len(layer.filter_shape) != 2:
            return False
        case Conv() | Lift() | GroupConv():
            height, width = zip(layer.filter_shape, layer.dilations, strict=True)
            odd = all(side % 2 == 1 for side in layer.filter_shape)
            centred = odd and (quarters == 2 or height == width)
            whole = layer.mask is None and getattr(layer, "rotations", None) is None
            return centred and whole and layer.strides == (1, 1) and _keeps(layer, quarters)
        case Activation() | Dense() | Flatten() | GlobalAvgPool() | GroupPool():
            return True
        case LayerNorm() | Dropout():
            return True
        case Branching():
            return all(_turns(inner, quarters) for branch in layer.branches for inner in branch)
        case _:
            return False


def _keeps(layer: Conv | Lift | GroupConv, quarters: int) -> bool:
    """Whether a turn maps the group of a layer to itself."""
    if not isinstance(layer, Lift):
        return True
    if layer.elements.lattice != "square":
        return False
    quarter = point_group("C4").matrices[quarters]
    elements = layer.elements.matrices.tolist()
    return all((quarter @ np.array(e) @ quarter.T).tolist() in elements for e in elements)
