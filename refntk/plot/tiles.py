"""Images beside their kernels: each class's block of the matrix has its own images to the left."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.inference.gram import as_gram
from refntk.plot.gram import DRAWN_ASYMMETRY, correlations
from refntk.plot.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["as_pictures", "plot_tiles"]

_LETTERS_A_LINE = 22
_WIDEST = 1.25
"""Width of the panel of images, at most, as a part of that of a matrix."""


def as_pictures(images: npt.ArrayLike) -> npt.NDArray[np.floating[Any]]:
    """Turn images into what a screen can show.

    Parameters
    ----------
    images : array of integer or float, shape (N, H, W, C), or (N, D, H, W, C)

    Returns
    -------
    float array, shape (N, H, W, 3)
        Of volumes the middle slice. Between 0 and 1: floats there already as they are, all else
        stretched to it, all images alike. Three channels are red, green and blue; other numbers
        become their mean, in grey.

    Raises
    ------
    InputError
        Neither four nor five axes.
    """
    array = np.asarray(images)
    if array.ndim == 5:
        array = array[:, array.shape[1] // 2]
    if array.ndim != 4 or not array.size:
        raise InputError(f"images: expected shape (N, H, W, C), not {array.shape}")
    if array.dtype == np.uint8:
        values = array / 255.0
    else:
        values = array.astype(np.float64)
        low, high = min(0.0, values.min()), max(1.0, values.max())
        if (low, high) != (0.0, 1.0):
            low, high = values.min(), values.max()
        values = (values - low) / (high - low)
    return values if array.shape[3] == 3 else values.mean(axis=3, keepdims=True).repeat(3, axis=3)


def plot_tiles(
    images: npt.ArrayLike,
    kernels: Mapping[str, npt.ArrayLike],
    labels: npt.ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw images of each class, and beside them Gram matrices that are centred in feature space.

    Parameters
    ----------
    images : array of integer or float, shape (N, H, W, C)
    kernels : mapping of str to array, shape (N, N)
        Gram matrices by the title of their panel, such as ``{"gcnn-paper": k.ntk}``.
    labels : array of int, shape (N,)
        Class of each image; images and matrices are sorted by it.
    class_names : sequence of str, optional
        Name of class 0, 1, ...
    title : str
        Of the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Left: as many images of each class as fit its block of the matrices. Right: correlations
        after centring, H K H with H = I - 1/N, on one scale of colours.

    Raises
    ------
    InputError
        Kernels, images and labels do not fit each other.
    MissingPackageError
        matplotlib is not installed.
    """
    pictures, classes = as_pictures(images), np.asarray(labels)
    if classes.shape != (len(pictures),) or classes.dtype.kind not in "iu":
        raise InputError(f"labels: expected {len(pictures)} whole numbers, one an image")
    grams = {name: as_gram(k, name, asymmetry=DRAWN_ASYMMETRY) for name, k in kernels.items()}
    for name, gram in grams.items():
        if len(gram) != len(pictures):
            raise InputError(f"{name}: a kernel of {len(gram)} images, but {len(pictures)} images")
    order = np.argsort(classes, kind="stable")
    pictures, classes = pictures[order], classes[order]
    edges = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
    width = _panel_width(edges)
    share = width / len(classes)
    figure, axes = new_figure(
        1, 1 + len(grams), size=(1.9 + 4.2 * (share + len(grams)), 4.9), ratios=[share]
    )
    _draw_images(axes[0], pictures, edges, width)
    names = [f"class {k}" if class_names is None else class_names[k] for k in np.unique(classes)]
    middles = [(low + high) / 2 for low, high in zip(edges, edges[1:], strict=False)]
    axes[0].set_yticks(middles, [textwrap.fill(name, _LETTERS_A_LINE) for name in names])
    axes[0].tick_params(length=0, labelsize=8)
    for panel, (name, gram) in zip(axes[1:], grams.items(), strict=True):
        matrix = gram.astype(np.float64, copy=False)[np.ix_(order, order)]
        drawn = panel.imshow(
            correlations(matrix, centred=True).astype(np.float32),
            cmap="RdBu_r", vmin=-1, vmax=1, extent=(0, len(classes), len(classes), 0),
        )  # fmt: skip
        for edge in edges[1:-1]:
            panel.axhline(edge, color="black", linewidth=0.4, linestyle="-", marker="")
            panel.axvline(edge, color="black", linewidth=0.4, linestyle="-", marker="")
        panel.set(title=name, xticks=[], yticks=[])
        panel.grid(False)
        panel.spines[:].set_visible(True)
    figure.colorbar(drawn, ax=axes[-1], shrink=0.8, label="correlation, centred")
    if title:
        figure.suptitle(title)
    return figure


def _panel_width(edges: Sequence[int]) -> float:
    """Width of the panel of images, in images of the matrix."""
    blocks = np.diff(edges)
    return float(min((blocks * blocks).max(), _WIDEST * edges[-1]))


def _draw_images(
    axes: Axes, pictures: npt.NDArray[np.floating[Any]], edges: Sequence[int], width: float
) -> None:
    """Put the first images of each class side by side, as high as its block."""
    aspect = pictures.shape[2] / pictures.shape[1]
    for low, high in zip(edges, edges[1:], strict=False):
        height = high - low
        count = min(height, max(1, int(width / (height * aspect))))
        for place, picture in enumerate(pictures[low : low + count]):
            left = place * height * aspect
            box = (left, left + height * aspect, high, low)
            axes.imshow(picture, extent=box, interpolation="nearest")
    axes.set(xlim=(0, width), ylim=(edges[-1], 0), xticks=[], title="images")
    axes.grid(False)
    axes.spines[:].set_visible(False)
