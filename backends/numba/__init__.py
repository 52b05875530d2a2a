"""The fast backend: displacement slices in Numba, images x' side by side in SIMD lanes."""

from refntk.backends.numba.backend import NumbaBackend, load

__all__ = ["NumbaBackend", "load"]
