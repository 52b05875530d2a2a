"""The fast engine: displacement slices in Numba, images x' side by side in SIMD lanes."""
