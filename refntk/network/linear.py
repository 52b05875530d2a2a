"""What layers with weights share: the scale of their weights, and how these are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

from refntk.errors import NetworkError
from refntk.network.arguments import QUIET, canonical
from refntk.network.signal import Channels, Layer
from refntk.ops.program import Builder
from refntk.ops.support import Support

__all__ = ["Linear", "frozen", "shared"]


@dataclass(frozen=True)
class Linear:
    r"""A layer with weights.

    Parameters
    ----------
    W_std, b_std : float, default 1 and 0
        Standard deviation of weights and bias, finite and not negative.
    bias : bool, default True
        Whether there is a bias. In the standard parametrisation a bias of deviation 0 is one that
        is trained, and adds 1 to the NTK; without a bias nothing is added.
    width : int, optional
        Number of channels that the layer gives. Kernels depend on it in the standard
        parametrisation alone, through the fan-in of the layers that read it; not of the last one.
    learning_rate : float, default 1
        By what the learning rate of the layer is multiplied, finite and not negative.
    learning_rate_bias : float, optional
        The same for the bias alone; it takes that of the layer if this is not given.
    trainable : bool, default True
        Whether weights and bias are trained at all.

    Notes
    -----
    With A(K) the mean over the places of the filter, and F the fan-in, channels included, the layer
    adds alpha A(K) + beta to the NTK. In the NTK parametrisation alpha is the learning rate times
    :math:`\sigma_w^2`, and beta that of the bias times :math:`\sigma_b^2`; in the standard one they
    are the rates times F and 1 (Sohl-Dickstein et al., arXiv:2001.07301).
    """

    _: KW_ONLY
    W_std: float = 1.0
    b_std: float = 0.0
    bias: bool = field(default=True, metadata=QUIET)
    width: int | None = field(default=None, metadata=QUIET)
    learning_rate: float = field(default=1.0, metadata=QUIET)
    learning_rate_bias: float | None = field(default=None, metadata=QUIET)
    trainable: bool = field(default=True, metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, **self._rules())
        if self.b_std and not self.bias:
            message = f"bias: without a bias it has no deviation, but b_std is {self.b_std:g}"
            raise NetworkError(f"{message}: leave one of them out", key="bias")

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        """Give the rules of `refntk.network.arguments.canonical` for arguments of its own."""
        return {}

    def channels(self, below: Channels) -> Channels:
        """Say what is known of the number of channels after this layer.

        Parameters
        ----------
        below : {"any", "known", "missing"}
            Before it.

        Raises
        ------
        NetworkError
            A width is given or missing where it must not be.
        """
        if below == "any" and self.width is not None:
            raise NetworkError(
                "width: networks are infinitely wide here, and in the NTK parametrisation no "
                'kernel depends on a width; leave it out, or say parameterization="standard"',
                key="width",
            )
        if below == "missing":
            raise NetworkError(
                "the layer with weights before it has no width, which the fan-in of this one needs "
                "in the standard parametrisation; say there, for instance, width=512"
            )
        return below if below == "any" else "missing" if self.width is None else "known"

    def filter(self, build: Builder, below: int, support: Support) -> int:
        """Append the operation of this layer, trained in the parametrisation of the network.

        Parameters
        ----------
        build : Builder
        below : int
            Number of the value that it reads.
        support : Support

        Returns
        -------
        int
            Number of the value that it gives.
        """
        channels = build.channels(below)
        if channels is None:
            weights, biases = Fraction(self.W_std) ** 2, Fraction(self.b_std) ** 2
        else:
            weights, biases = Fraction(channels * support.size), Fraction(int(self.bias))
        rate, of_bias = self.learning_rate, self.learning_rate_bias
        rates = (rate, rate if of_bias is None else of_bias) if self.trainable else (0.0, 0.0)
        tangent = Fraction(rates[0]) * weights, Fraction(rates[1]) * biases
        return build.filter(below, support, self.W_std, self.b_std, tangent, self.width)


def frozen(layer: Layer) -> Layer:
    """Give a layer as it is when it is not trained; one without weights is the same."""
    if hasattr(layer, "mapped"):
        branching: Layer = layer.mapped(frozen)
        return branching
    return replace(layer, trainable=False) if isinstance(layer, Linear) else layer


def shared(layer: Linear) -> dict[str, Any]:
    """Give the arguments that all layers with weights have, to make another such layer of it."""
    return {each.name: getattr(layer, each.name) for each in fields(Linear)}
