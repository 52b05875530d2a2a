"""Which exact reductions apply to a network."""
