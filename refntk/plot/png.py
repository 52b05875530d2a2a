"""Small pictures as PNG, without a library for images."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_png"]


def as_png(picture: npt.NDArray[np.floating[Any]]) -> bytes:
    """Write a picture as PNG.

    Parameters
    ----------
    picture : float array, shape (H, W, 3)
        Red, green and blue between 0 and 1, as `refntk.plot.tiles.as_pictures` gives them.

    Returns
    -------
    bytes
        Eight bits a channel.
    """
    levels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    height, width, _ = levels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # a line begins with its filter: none
    lines[:, 1:] = levels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
