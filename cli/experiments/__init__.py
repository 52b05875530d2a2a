"""Experiments on symmetry."""
