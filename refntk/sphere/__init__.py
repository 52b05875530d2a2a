"""Networks with global filters on compact groups: SO(3) and O(3), SO(2) and O(2).

Signals are functions on the sphere, on circles or on discs. `kernel` computes NNGP and NTK of a
list of layers, of which the activations, the readouts and Dense are those of all networks.
"""

from refntk.sphere.harmonics import harmonics, random_signals, rotate, zonal
from refntk.sphere.kernel import GlobalKernel, kernel
from refntk.sphere.layers import CircleLift, GlobalConv, SphereLift
from refntk.sphere.molecules import Atoms, environments, molecular_kernel

__all__ = [
    "Atoms",
    "CircleLift",
    "GlobalConv",
    "GlobalKernel",
    "SphereLift",
    "environments",
    "harmonics",
    "kernel",
    "molecular_kernel",
    "random_signals",
    "rotate",
    "zonal",
]
