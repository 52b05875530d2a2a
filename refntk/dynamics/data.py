"""Data that the experiments on training dynamics generate: graphs and shapes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

__all__ = ["block_model_graphs", "shape_images"]

FloatArray = npt.NDArray[np.float64]


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
    """Draw images with a triangle and a pentagon in random places, and the mask of the triangle.

    Parameters
    ----------
    count, side : int
    rng : numpy.random.Generator

    Returns
    -------
    images : array of float64, shape (count, side²)
        1 inside either shape and 0 elsewhere, plus noise of standard deviation 0.1.
    masks : array of float64, shape (count, side²)
        1 inside the triangle.
    """
    y, x = np.mgrid[:side, :side] + 0.5
    images = np.empty((count, side, side))
    masks = np.empty_like(images)
    for k in range(count):
        shapes = []
        for corners in (3, 5):
            radius = rng.uniform(0.18, 0.28) * side
            centre = rng.uniform(radius, side - radius, 2)
            turn = rng.uniform(0, 2 * np.pi)
            angle = np.arctan2(y - centre[0], x - centre[1]) - turn
            half = np.pi / corners
            # Distance of the edge in this direction, from the centre of a regular polygon.
            edge = radius * np.cos(half) / np.cos(angle % (2 * half) - half)
            shapes.append(np.hypot(y - centre[0], x - centre[1]) <= edge)
        masks[k] = shapes[0]
        images[k] = shapes[0] | shapes[1]
    images += 0.1 * rng.normal(size=images.shape)
    return images.reshape(count, -1), masks.reshape(count, -1)
