"""Data that the experiments on training dynamics generate: graphs and shapes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

__all__ = ["block_model_graphs", "orientation_order", "shape_images"]

FloatArray = npt.NDArray[np.float64]

_CORNERS = 3, 5
_FINE = 8
_CONTRAST = 0.57


def block_model_graphs(
    count: int,
    nodes: int,
    rng: np.random.Generator,
    within: float = 0.6,
    between: float = 0.04,
) -> tuple[FloatArray, FloatArray]:
    """Draw graphs of a stochastic block model of two blocks, and tell which are connected.

    Parameters
    ----------
    count, nodes : int
    rng : numpy.random.Generator
    within, between : float
        Probability of an edge inside a block and across; the default connects about half of the
        graphs of ten nodes.

    Returns
    -------
    graphs : array of float64, shape (count, nodes²)
        Adjacency matrices, symmetric and with zeros on the diagonal; nodes in random order.
    connected : array of float64, shape (count, 1)
        1 where the graph is connected.
    """
    graphs = np.empty((count, nodes, nodes))
    connected = np.empty((count, 1))
    for k in range(count):
        block = rng.permutation(np.arange(nodes) % 2)
        same = block[:, None] == block
        upper = np.triu(rng.random((nodes, nodes)) < np.where(same, within, between), 1)
        graphs[k] = upper | upper.T
        connected[k] = connected_components(graphs[k], directed=False)[0] == 1
    return graphs.reshape(count, -1), connected


def shape_images(count: int, side: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw images of a triangle or a pentagon, and which pixels belong to which.

    With equal probability the shape is an equilateral triangle or a regular pentagon with a vertex
    on the right, always in the same orientation, so that the images are not invariant under quarter
    turns. Its radius is uniform in [0.7, 0.8] and its centre in [-½, ½]² on the canvas [-1, 1]²,
    whose border may cut it (appendix D.3 of arXiv:2303.13458, with the numbers and the brightness
    of the released code).

    Parameters
    ----------
    count, side : int
    rng : numpy.random.Generator

    Returns
    -------
    images : array of float64, shape (count, side²)
        1 for the background, 0.43 inside the shape, the mean over 8 × 8 points a pixel.
    masks : array of float64, shape (count, 2 · side²)
        For triangles and then for pentagons: 1 in pixels of which more than half belong to the
        shape, and zero everywhere where the image shows the other one.
    """
    fine = (np.arange(side * _FINE) + 0.5) * 2 / (side * _FINE) - 1
    x, y = fine, -fine[:, None]
    images = np.empty((count, side, side))
    masks = np.zeros((count, 2, side, side))
    for k in range(count):
        kind = int(rng.integers(2))
        corners = _CORNERS[kind]
        radius, centre = rng.uniform(0.7, 0.8), rng.uniform(-0.5, 0.5, 2)
        across = (2 * np.arange(corners) + 1) * np.pi / corners
        inside = np.ones((side * _FINE, side * _FINE), bool)
        for c, s in zip(np.cos(across), np.sin(across), strict=True):
            inside &= c * (x - centre[0]) + s * (y - centre[1]) <= radius * np.cos(np.pi / corners)
        covered = inside.reshape(side, _FINE, side, _FINE).mean(axis=(1, 3))
        images[k] = 1 - _CONTRAST * covered
        masks[k, kind] = covered > 0.5
    return images.reshape(count, -1), masks.reshape(count, -1)


def orientation_order(masks: FloatArray, side: int, corners: int) -> float:
    """Tell how alike shapes of n corners are turned: |mean of exp(i n angle)|.

    Parameters
    ----------
    masks : array of float, shape (B, side²)
        Those without pixels, and those with pixels on the border, which may cut them, do not count.
    side, corners : int

    Returns
    -------
    float
        1 where all have one orientation, about 1/√B where they are turned at random; nan of none.
    """
    images = masks.reshape(-1, side, side)
    border = images.sum(axis=(1, 2)) - images[:, 1:-1, 1:-1].sum(axis=(1, 2))
    whole = images[(border == 0) & images.any(axis=(1, 2))]
    if not len(whole):
        return float("nan")
    place = np.arange(side) - 1j * np.arange(side)[:, None]
    centre = (whole * place).sum(axis=(1, 2)) / whole.sum(axis=(1, 2))
    moment = (whole * (place - centre[:, None, None]) ** corners).sum(axis=(1, 2))
    return float(abs((moment / abs(moment)).mean()))
