"""What all pictures share: figures, colours that everybody can tell apart, and files.

Colours are those of M. Okabe and K. Ito, "Color Universal Design", without the yellow, which is too
pale for a line on white. Curves also differ in dashes and markers, so that they can be told apart
in grey print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refntk.errors import InputError, missing_package
from refntk.output import Output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DASHES",
    "MARKERS",
    "PALETTE",
    "SUFFIXES",
    "check_figure_path",
    "need_matplotlib",
    "new_figure",
    "require_rows",
    "save_figure",
]

PALETTE: tuple[str, ...] = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # bluish green
    "#000000",  # black
    "#CC79A7",  # reddish purple
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
)
"""Colours of curves, in their order."""

DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (6, 1, 1, 1, 1, 1)),
    (0, (8, 2)),
    (0, (1, 3)),
)
"""Dashes of curves, one for each colour."""

MARKERS: tuple[str, ...] = ("o", "s", "^", "D", "v", "P", "X")
"""Markers of curves, one for each colour."""

# Names of the metadata that would make two files of the same picture differ.
_DATES = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}

SUFFIXES: tuple[str, ...] = tuple(f".{kind}" for kind in _DATES)
"""Endings of the files that `save_figure` writes."""

_PIXELS_AN_INCH = 150


def new_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    size: tuple[float, float] | None = None,
    ratios: Sequence[float] = (),
) -> tuple[Figure, list[Axes]]:
    """Make an empty figure in the style of refntk.

    Parameters
    ----------
    rows, columns : int
        Number of panels down and across.
    size : (float, float), optional
        Width and height in inches. Default: 5.4 by 3.8 a panel.
    ratios : sequence of float
        Widths of the first columns; those that are not named have 1.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Not known to pyplot.
    axes : list of matplotlib.axes.Axes
        The panels, row by row. Curves take colour, dashes and markers from the cycles above; the
        caller labels the axes, with units.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    need_matplotlib()
    from cycler import cycler
    from matplotlib.figure import Figure

    width, height = size or (5.4 * columns, 3.8 * rows)
    figure = Figure(figsize=(width, height), layout="constrained")
    widths = [*ratios, *[1.0] * (columns - len(ratios))]
    axes = list(figure.subplots(rows, columns, squeeze=False, width_ratios=widths).flat)
    cycle = cycler(color=PALETTE) + cycler(linestyle=DASHES) + cycler(marker=MARKERS)
    for panel in axes:
        panel.set_prop_cycle(cycle)
        panel.set_axisbelow(True)
        panel.grid(color="0.88", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def check_figure_path(
    path: str | Path, *, overwrite: bool = True, inputs: Iterable[str | Path] = ()
) -> Output:
    """Make sure that a picture can be drawn and saved; for before a long computation.

    Parameters
    ----------
    path : str or path
        Where the picture is to go.
    overwrite : bool
        Whether an existing file may be replaced.
    inputs : iterable of str or path
        Files that are read, which it must not be.

    Returns
    -------
    refntk.output.Output

    Raises
    ------
    InputError
        The ending is not one of `SUFFIXES`, or as `refntk.output.Output` says.
    MissingPackageError
        matplotlib is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        given = f"the ending {path.suffix!r}" if path.suffix else "no ending"
        raise InputError(f"{path}: a picture has {given}; expected one of {', '.join(SUFFIXES)}")
    output = Output(path, overwrite=overwrite, inputs=inputs, error=InputError)
    need_matplotlib()
    return output


def require_rows(rows: Sequence[Any]) -> None:
    """Refuse to draw nothing.

    Parameters
    ----------
    rows : sequence
        Of a table of results.

    Raises
    ------
    InputError
        There are none.
    """
    if not rows:
        raise InputError("rows: there is nothing to draw")


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = True) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of the path.

    The same figure gives the same bytes each time: no date, and fixed names inside SVG. The file
    appears when it is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From any function of `refntk.plot`.
    path : str or path
        A name that ends in one of `SUFFIXES`.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        As `check_figure_path`, or the file cannot be written.
    """
    output = check_figure_path(path, overwrite=overwrite)
    from matplotlib import rc_context

    kind = output.path.suffix.lower()[1:]
    metadata: dict[str, Any] = {_DATES[kind]: None}
    with rc_context({"svg.hashsalt": "refntk"}), output.writing() as stream:
        figure.savefig(stream, format=kind, dpi=_PIXELS_AN_INCH, metadata=metadata)


def need_matplotlib() -> None:
    """Make sure that pictures can be drawn.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing_package("pictures need matplotlib", "plot") from error
