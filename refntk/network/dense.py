"""The fully connected layer."""

from __future__ import annotations

from dataclasses import dataclass

from refntk.network.arguments import by_name
from refntk.network.linear import Linear
from refntk.network.signal import Signal, require
from refntk.ops.program import Builder
from refntk.ops.support import Support

__all__ = ["Dense"]


@by_name
@dataclass(frozen=True)
class Dense(Linear):
    """Fully connected layer on a vector.

    Parameters
    ----------
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "vector")
        return Signal("vector", gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append a filter of one place; see `Layer.lower`."""
        support = Support(build.space(below), build.space(below), ())
        return self.filter(build, below, support)
