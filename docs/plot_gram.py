"""Draw the NTK of a kernel file as a picture, images sorted by class.

    pip install matplotlib
    python docs/plot_gram.py histology.h5 docs/images/histology.png

Reads the file with h5py alone, as docs/file-format.md describes it.
"""

import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def main(source: str, target: str) -> None:
    """Plot correlations under the NTK, as they are and after centring in feature space."""
    with h5py.File(source) as file:
        ntk = file["ntk"][:].astype(float)
        labels = file["x1/labels"][:]
        names = [name.decode() for name in file["x1/class_names"][:]]
    order = np.argsort(labels, kind="stable")
    ntk, labels = ntk[np.ix_(order, order)], labels[order]
    centre = np.eye(len(ntk)) - 1 / len(ntk)
    panels = (
        ("NTK, normalised to its diagonal", ntk, "viridis", None),
        ("the same, centred", centre @ ntk @ centre, "RdBu_r", 1),
    )
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    edges = np.flatnonzero(np.diff(labels)) + 0.5
    middles = [np.flatnonzero(labels == k).mean() for k in range(len(names))]
    for axis, (title, kernel, colours, limit) in zip(axes, panels, strict=True):
        scale = np.sqrt(np.diag(kernel))
        lowest = None if limit is None else -limit
        drawn = axis.imshow(kernel / np.outer(scale, scale), cmap=colours, vmin=lowest, vmax=limit)
        axis.set_title(title)
        axis.set_xticks([])
        axis.set_yticks([])
        for edge in edges:
            axis.axhline(edge, color="white" if limit is None else "black", linewidth=0.4)
            axis.axvline(edge, color="white" if limit is None else "black", linewidth=0.4)
        figure.colorbar(drawn, ax=axis, shrink=0.85)
    short = [name if len(name) < 24 else name.split()[-1] for name in names]
    axes[0].set_yticks(middles, short, fontsize=8)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
