"""Learn from labelled images."""
