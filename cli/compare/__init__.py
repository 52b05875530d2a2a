"""Check and compare: promises, other implementations, finite width, time."""
