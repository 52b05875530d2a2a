"""The kernel file: written as tiles are done, continued after a crash, verified when read."""
