"""The NTK as a sum over layers: what training each of them contributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from refntk.errors import NetworkError
from refntk.evaluation.evaluate import kernel
from refntk.network.layers import Layer
from refntk.network.linear import frozen
from refntk.network.network import Network
from refntk.network.presets import as_network

__all__ = ["ntk_by_layer"]


def ntk_by_layer(
    net: Network | str | Sequence[Layer],
    x1: npt.ArrayLike,
    x2: npt.ArrayLike | None = None,
    **options: Any,
) -> dict[int, Any]:
    r"""Compute what each layer contributes to the NTK of a network.

    Parameters
    ----------
    net : Network, str or sequence of layers
        As for `refntk.kernel`.
    x1 : array, shape (N1, H, W, C)
    x2 : array, shape (N2, H, W, C), optional
        None means x1.
    **options
        As for `refntk.kernel`, without `get`.

    Returns
    -------
    dict of array, shape (N1, N2)
        The NTK if all other layers were frozen, by the index of each layer that is trained.

    Raises
    ------
    NetworkError
        No layer of the network is trained. Else as `refntk.kernel`.

    Notes
    -----
    Parameters of unlike layers have no products in common, so that the contributions add up to the
    NTK: :math:`\Theta = \sum_m \Theta^{(m)}`. Each costs as much as the NTK itself.

    Examples
    --------
    >>> import numpy as np
    >>> parts = ntk_by_layer("cnn-gap", np.ones((1, 4, 4, 3)))
    >>> bool(abs(sum(parts.values()) / kernel("cnn-gap", np.ones((1, 4, 4, 3))).ntk - 1) < 1e-15)
    True
    """
    net = as_network(net)
    still = [frozen(layer) for layer in net.layers]
    parts = {}
    for index, layer in enumerate(net.layers):
        if layer != still[index]:
            layers = [*still[:index], layer, *still[index + 1 :]]
            alone = Network(layers, parameterization=net.parameterization)
            parts[index] = kernel(alone, x1, x2, get="ntk", **options).ntk
    if not parts:
        raise NetworkError("no layer of the network is trained, so that its NTK is zero")
    return parts
