"""Data sets of others, fetched and checked."""
