"""A kernel file as one page of HTML that can be mailed: nothing outside of it, no scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.at_hand import images_at_hand
from refntk.data.images.preprocess import stratified_subset
from refntk.data.kernels.kernel_reader import KernelFile
from refntk.errors import InputError, NotPositiveDefiniteError, StoreError
from refntk.inference.classify import class_list
from refntk.inference.curve import LearningCurve, learning_curve
from refntk.output import Output
from refntk.plot import plot_gram, plot_learning_curve, plot_spectrum, plot_tiles
from refntk.plot.gram import correlations
from refntk.plot.png import as_png
from refntk.plot.tiles import as_pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["neighbours", "report", "write_report"]

Grams = Mapping[str, NDArray[np.floating[Any]]]

_LARGEST = 2000
"""Images that are drawn and learned from, at most: the work grows with the cube of their number."""

_LEAST_DIAG_REG = 1e-12

_ASKED, _NEAREST = 12, 6
_REPEATS = 20
_LEAST = 12
"""Images from which on a learning curve is worth a look."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th { white-space: nowrap; }
figure { margin: 1rem 0; } figure > img { max-width: 100%; background: white; border-radius: 4px; }
figcaption, .small { font-size: .9rem; opacity: .8; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid #8886; border-radius: 4px; }
.scroll { overflow-x: auto; }
.tile { image-rendering: pixelated; width: 56px; height: 56px; object-fit: contain; }
.near td { text-align: center; font-size: .8rem; padding: .3rem .4rem; min-width: 5.5rem;
  overflow-wrap: normal; }
.near td:first-child { border-right: 2px solid #8888; padding-right: .8rem; }
.other { text-decoration: underline wavy #d55e00; }
"""


def write_report(kernel: KernelFile, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the report of a kernel file.

    Parameters
    ----------
    kernel : KernelFile
        Open and complete.
    path : str or path
        Of the page.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        The file exists or cannot be written.
    StoreError, MissingPackageError
        As `report`.
    """
    output = Output(path, overwrite=overwrite, inputs=[kernel.path], error=InputError)
    page = report(kernel)
    with output.writing() as stream:
        stream.write(page.encode("utf-8"))


def report(kernel: KernelFile) -> str:
    """Put together a page about a kernel file.

    Parameters
    ----------
    kernel : KernelFile
        Open and complete.

    Returns
    -------
    str
        HTML with all pictures inside: the record of what was computed and how; of the kernel of a
        set of images with itself also the Gram matrix by class, the spectrum, nearest neighbours,
        and, where there are labels, a learning curve. Images are shown where the source that the
        file names still holds them, digest by digest.

    Raises
    ------
    StoreError
        The file is not complete, or damaged.
    MissingPackageError
        matplotlib is not installed.
    """
    if not kernel.complete:
        raise StoreError(
            f"{kernel.path}: only {kernel.tiles.sum()} of {kernel.tiles.size} tiles are complete; "
            "finish the computation first"
        )
    title = f"Kernels in {kernel.path.name}"
    parts = [f"<h1>{escape(title)}</h1>", _record(kernel)]
    if kernel.attributes["symmetric"]:
        parts += _about_gram(kernel)
    else:
        parts.append(
            "<p>These are kernels between two sets of images. Pictures need the kernel of one set "
            "with itself.</p>"
        )
    parts.append(f"<h2>Network</h2><pre>{escape(kernel.attributes['network'].rstrip())}</pre>")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _record(kernel: KernelFile) -> str:
    """Show what was computed and how, as a table: the lines of `KernelFile.summary`."""
    head, _, _ = kernel.summary().partition("\n\n")
    rows = [(line[:12].strip(), line[12:]) for line in head.splitlines()[1:]]
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(v)}</td></tr>" for name, v in rows)
    return f"<table>{cells}</table>"


def _about_gram(kernel: KernelFile) -> list[str]:
    info = kernel.x1
    chosen = stratified_subset(info.labels, _LARGEST, 0, count=info.count)
    part = np.ix_(chosen, chosen)
    grams = {name.upper(): getattr(kernel, name)[part] for name in kernel.names}
    labels = None if info.labels is None else info.labels[chosen]
    names = None if labels is None else class_list(labels, info.class_names)
    images = images_at_hand(info, kernel.attributes["preprocessing"].get("alpha"))
    pictures = None if images is None else as_pictures(images[chosen])
    parts = []
    if len(chosen) < info.count:
        parts.append(f"<p>What follows is about {len(chosen)} of the {info.count} images.</p>")
    parts += _matrix(grams, labels, names, pictures)
    parts += [
        "<h2>Spectrum</h2>",
        _figure(plot_spectrum(grams), "Eigenvalues, largest first, and condition numbers."),
    ]
    last, gram = list(grams.items())[-1]
    texts = [_image_name(info.names, int(k)) for k in chosen]
    parts += _neighbours(last, gram, texts, labels, names, pictures)
    if labels is not None and names is not None:
        parts += _learning(grams, labels, len(names))
    return parts


def _image_name(names: Sequence[str] | None, number: int) -> str:
    return f"image {number}" if names is None else names[number]


def _matrix(
    grams: Grams,
    labels: NDArray[np.int64] | None,
    names: tuple[str, ...] | None,
    pictures: NDArray[np.floating[Any]] | None,
) -> list[str]:
    if labels is not None and pictures is not None:
        drawn = plot_tiles(pictures, grams, labels, names)
        caption = "Images of each class beside their block of the kernel, centred in feature space."
        return ["<h2>Gram matrix</h2>", _figure(drawn, caption)]
    parts = ["<h2>Gram matrix</h2>"]
    for name, gram in grams.items():
        caption = f"{name}: correlations, as they are and centred in feature space."
        parts.append(_figure(plot_gram(gram, labels, names, name=name), caption))
    return parts


def _figure(figure: Figure, caption: str) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130, metadata={"Software": None})
    return (
        f'<figure><img src="{_uri(stream.getvalue())}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def neighbours(gram: NDArray[np.floating[Any]], count: int) -> NDArray[np.intp]:
    """Find the images that a kernel holds to be most alike to each.

    Parameters
    ----------
    gram : float array, shape (N, N)
    count : int
        How many, N - 1 at most.

    Returns
    -------
    array of int, shape (N, count)
        By falling correlation K_ij / sqrt(K_ii K_jj), the image itself left out.
    """
    alike = correlations(gram.astype(np.float64, copy=False))
    np.fill_diagonal(alike, -np.inf)
    return np.argsort(-alike, axis=1, kind="stable")[:, :count]


def _neighbours(
    name: str,
    gram: NDArray[np.floating[Any]],
    texts: Sequence[str],
    labels: NDArray[np.int64] | None,
    names: tuple[str, ...] | None,
    pictures: NDArray[np.floating[Any]] | None,
) -> list[str]:
    """Show some images, a row each, and those next to it."""
    if len(gram) < 2:
        return []
    near = neighbours(gram, min(_NEAREST, len(gram) - 1))
    parts = [f"<h2>Nearest neighbours by the {name}</h2>"]
    if labels is not None:
        share = (labels[near[:, 0]] == labels).mean()
        parts.append(
            f"<p>The nearest neighbour has the same class for {100 * share:.1f} % of the images. "
            'Neighbours of another class are <span class="other">underlined</span>.</p>'
        )
    asked = stratified_subset(labels, min(_ASKED, len(gram)), 0, count=len(gram))

    def cell(image: int, of: int) -> str:
        thumbnail = ""
        if pictures is not None:
            thumbnail = f'<img class="tile" alt="" src="{_uri(as_png(pictures[image]))}"><br>'
        if labels is None or names is None:
            return f"<td>{thumbnail}{escape(texts[image])}</td>"
        mark = "" if labels[image] == labels[of] else ' class="other"'
        word = f"<span{mark}>{escape(names[labels[image]])}</span>"
        return f'<td title="{escape(texts[image])}">{thumbnail}{word}</td>'

    rows = "".join(
        "<tr>" + cell(int(k), int(k)) + "".join(cell(int(j), int(k)) for j in near[k]) + "</tr>"
        for k in asked
    )
    return [*parts, f'<div class="scroll"><table class="near">{rows}</table></div>']


def _learning(grams: Grams, labels: NDArray[np.int64], classes: int) -> list[str]:
    """Draw a learning curve, with the least regularisation that every kernel can do with."""
    parts = ["<h2>Learning curve</h2>"]
    present, counts = np.unique(labels, return_counts=True)
    if len(labels) < _LEAST or len(present) < 2 or counts.min() < 2:
        return [*parts, "<p>There are too few images, or classes, to learn from.</p>"]
    test = max(len(present), 2 * len(labels) // 5)
    room, size, sizes = len(labels) - test, len(present), []
    while size <= room:
        sizes.append(size)
        size *= 2
    curve, diag_reg = _measured(grams, labels, classes, sizes or [room], test)
    said = "" if diag_reg == 0 else f" Regularised by {diag_reg:.2g} of the mean diagonal."
    caption = (
        f"Accuracy of kernel regression on {test} images that were not learned, over {_REPEATS} "
        f"random divisions.{said}"
    )
    return [
        *parts, f"<p>{escape(curve.finding())}.</p>", _figure(plot_learning_curve(curve), caption)
    ]  # fmt: skip


def _measured(
    grams: Grams, labels: NDArray[np.int64], classes: int, sizes: Sequence[int], test: int
) -> tuple[LearningCurve, float]:
    diag_reg = 0.0
    while True:
        try:
            curve = learning_curve(
                grams, labels, classes=classes, sizes=sizes, test=test, repeats=_REPEATS,
                diag_reg=diag_reg,
            )  # fmt: skip
            return curve, diag_reg
        except NotPositiveDefiniteError as error:
            # Twice at least, so that this ends.
            diag_reg = max(_LEAST_DIAG_REG, 2 * diag_reg, error.diag_reg)
