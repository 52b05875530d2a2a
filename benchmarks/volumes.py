"""Make volumes of four shapes in random orientations, by a stated formula.

With p the middle of a voxel, counted from the centre of the cube, a volume is

    v(p) = sum_k exp(-|p - a R c_k - s|^2 / 2 w^2) / max + noise,

c_k being 41 points of a curve at t_k, evenly from -1 to 1; R a rotation drawn uniformly; s a shift
drawn uniformly from a cube of side 1; a = 0.32 sides; w = 0.85; the noise normal, of deviation
0.15. The curves, (z, y, x):

    rod            (t, 0, 0)
    ring           (0, 0.8 cos pi t, 0.8 sin pi t)
    right screw    (t, 0.6 cos 2 pi t, 0.6 sin 2 pi t)
    left screw     (t, 0.6 cos 2 pi t, -0.6 sin 2 pi t)

Stored is 255 (v + 0.5) / 2 as uint8, cut at 0 and 255. The screws are mirror images of each other.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.spatial.transform import Rotation

NAMES = ("rod", "ring", "right screw", "left screw")


def curves():
    """Return the points of each curve, (classes, points, 3)."""
    t = np.linspace(-1, 1, 41)
    zero = np.zeros_like(t)
    turn = 2 * np.pi * t
    return np.array([
        np.stack([t, zero, zero], axis=1),
        np.stack([zero, 0.8 * np.cos(turn / 2), 0.8 * np.sin(turn / 2)], axis=1),
        np.stack([t, 0.6 * np.cos(turn), 0.6 * np.sin(turn)], axis=1),
        np.stack([t, 0.6 * np.cos(turn), -0.6 * np.sin(turn)], axis=1),
    ])


def volumes(each: int, side: int, seed: int):
    """Draw `each` volumes of each class: uint8 (N, side, side, side), and labels (N,)."""
    rng = np.random.default_rng(seed)
    middle = (side - 1) / 2
    p = np.stack(np.meshgrid(*[np.arange(side) - middle] * 3, indexing="ij"), axis=-1)
    images = []
    for curve in curves():
        for _ in range(each):
            turned = 0.32 * side * Rotation.random(rng=rng).apply(curve)
            turned += rng.uniform(-0.5, 0.5, 3)
            far = ((p[..., None, :] - turned) ** 2).sum(axis=-1)
            v = np.exp(-far / (2 * 0.85**2)).sum(axis=-1)
            v = v / v.max() + 0.15 * rng.standard_normal(v.shape)
            images.append(np.clip(np.round(255 * (v + 0.5) / 2), 0, 255).astype(np.uint8))
    return np.array(images), np.repeat(np.arange(len(NAMES), dtype=np.uint8), each)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", help="the .npz file to write")
    parser.add_argument("--each", type=int, default=5, help="volumes of each class")
    parser.add_argument("--side", type=int, default=13)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    images, labels = volumes(given.each, given.side, given.seed)
    np.savez_compressed(
        given.output, images=images[..., None], labels=labels, class_names=np.array(NAMES)
    )
