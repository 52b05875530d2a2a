"""Compute kernels and look at them."""
