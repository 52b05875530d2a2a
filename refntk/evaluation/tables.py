"""Tables of features, one row a point, in the place of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from refntk.errors import InputError
from refntk.network.dense import Dense
from refntk.network.network import Network
from refntk.network.pooling import Flatten
from refntk.network.presets import as_network

__all__ = ["as_tables"]


def as_tables(net: object, x1: Any, x2: Any | None) -> tuple[Network, Any, Any | None]:
    """Take tables (N, F) as images of one position with F channels.

    Parameters
    ----------
    net : Network, str or sequence of layers
        As for `refntk.kernel`. Of tables a list may begin with Dense: Flatten comes before it.
    x1, x2 : array or None

    Returns
    -------
    net : Network
    x1, x2 : array
        Tables of shape (N, 1, 1, F); anything else as it is.

    Raises
    ------
    InputError
        The network does not begin with Flatten, one is a table and the other is not, or a column is
        not of numbers.
    NetworkError
        As `refntk.network.presets.as_network`.
    """
    flat = _is_table(x1)
    if flat and isinstance(net, list | tuple) and net and isinstance(net[0], Dense):
        net = [Flatten(), *net]
    network = as_network(net)
    if network.axes == 1:
        return network, x1, x2
    if x2 is not None and _is_table(x2) != flat:
        one, two = ("a table", "images") if flat else ("images", "a table")
        raise InputError(f"X2: is {two} where X1 is {one}: both must be alike")
    if not flat:
        return network, x1, x2
    if not isinstance(network.layers[0], Flatten):
        raise InputError(
            f"X1: a table of shape {np.shape(x1)} is for networks that begin with Flatten or "
            f"Dense, and this one begins with {type(network.layers[0]).__name__}; images have "
            "the shape (N, H, W, C)"
        )
    return network, _rows(x1), None if x2 is None else _rows(x2)


def _is_table(x: Any) -> bool:
    try:
        return np.ndim(x) == 2
    except ValueError:  # rows of unlike length, which no image has
        return False


def _rows(table: Any) -> Any:
    array = np.asarray(table) if not isinstance(table, np.ma.MaskedArray) else table
    if array.dtype == object and hasattr(table, "dtypes"):
        names = [str(name) for name, kind in table.dtypes.items() if kind.kind not in "iufb"]
        raise InputError(
            f"a table of pandas has columns that are no numbers: {', '.join(names)}; encode them, "
            "or leave them out"
        )
    return array.reshape(array.shape[0], 1, 1, array.shape[1])
