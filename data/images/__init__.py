"""Readers: images in many formats, their labels, and what is done to them before a kernel."""

from refntk.data.images.load import load_images

__all__ = ["load_images"]
