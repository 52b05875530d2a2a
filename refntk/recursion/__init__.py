"""The kernel recursions, written down literally: the ground truth of everything faster."""

from refntk.recursion.literal import State, propagate

__all__ = ["State", "propagate"]
