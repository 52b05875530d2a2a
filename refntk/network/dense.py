"""The fully connected layer."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from refntk.network.arguments import by_name, canonical
from refntk.network.signal import Signal, require
from refntk.ops.program import Builder
from refntk.ops.support import Support

__all__ = ["Dense"]


@by_name
@dataclass(frozen=True)
class Dense:
    """Fully connected layer on a vector.

    Parameters
    ----------
    W_std, b_std : float, default 1 and 0
        Standard deviation of weights and bias, finite and not negative.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    W_std: float = 1.0
    b_std: float = 0.0

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        require(signal, "vector")
        return Signal("vector", gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append a filter of one place; see `Layer.lower`."""
        support = Support(build.space(below), build.space(below), ())
        return build.filter(below, support, self.W_std, self.b_std)
