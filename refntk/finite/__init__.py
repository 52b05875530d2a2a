"""Networks of finite width, drawn at random: what the exact kernels are the limit of."""

from refntk.finite.network import FiniteNetwork

__all__ = ["FiniteNetwork"]
