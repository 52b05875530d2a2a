"""Options that more than one command takes, and the words they accept."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import click

from refntk.errors import unknown

__all__ = [
    "Numbers",
    "Word",
    "backend",
    "cache",
    "changed",
    "diag_reg",
    "dtype",
    "kernel",
    "limit",
    "method",
    "overwrite",
    "pixels",
    "positive",
    "quiet",
    "read_share",
    "seed",
    "size",
    "standardize",
    "threads",
]


class Word(click.Choice[str]):
    """One of a few words; a wrong one is answered with the nearest of them.

    Parameters
    ----------
    what : str
        What the word names, for the message.
    *words : str
        The words.
    """

    def __init__(self, what: str, *words: str) -> None:
        super().__init__(words)
        self._what = what

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Name the wrong word, the nearest right one and all of them."""
        return unknown(self._what, value, self.choices)


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions alone
    """Positive numbers with commas between them, in the order in which they are given.

    Parameters
    ----------
    kind : {int, float}
        What each of them is.
    example : str
        For the message.
    """

    name = "numbers"

    def __init__(self, kind: type[int] | type[float], example: str) -> None:
        self._kind, self._example = kind, example

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Read them, or say what was expected."""
        try:
            numbers = tuple(self._kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 < number < 1 << 63 for number in numbers):
            whole = "whole numbers" if self._kind is int else "numbers"
            given = reprlib.repr(value)
            self.fail(f"{given}: expected positive {whole} such as {self._example}", param, ctx)
        return numbers


def read_share(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Read I/N, the I-th of N shares; the callback of an option.

    Parameters
    ----------
    ctx, param
        Of click.
    value : str or None

    Returns
    -------
    (int, int) or None

    Raises
    ------
    click.BadParameter
        It is something else.
    """
    if value is None:
        return None
    first, slash, second = value.partition("/")
    numbers = slash and all(part.isdecimal() and len(part) < 19 for part in (first, second))
    if not numbers or not 1 <= int(first) <= int(second):
        message = f"{reprlib.repr(value)}: expected I/N with I from 1 to N, such as 3/64"
        raise click.BadParameter(message, ctx, param)
    return int(first), int(second)


positive = click.IntRange(min=1)

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

dtype: _Decorator = click.option(
    "--dtype",
    type=Word("dtype", "float64", "float32"),
    default="float64",
    show_default=True,
    help="Precision of the arithmetic and of the result.",
)

backend: _Decorator = click.option(
    "--backend",
    type=Word("backend", "numba", "numpy", "cupy"),
    default="numba",
    show_default=True,
    help="What computes: numba on processors, cupy on a graphics processor; or numpy, the literal "
    "recursion, which is slow.",
)

method: _Decorator = click.option(
    "--method",
    type=Word("method", "auto", "slices", "band", "branches", "orbits", "literal"),
    default="auto",
    show_default=True,
    help="Force a way to compute the same kernel, faster or with more digits. It is an error where "
    "it cannot apply.",
)

threads: _Decorator = click.option(
    "--threads",
    type=positive,
    metavar="N",
    help="Processor threads; the result does not depend on it.  [default: all]",
)

kernel: _Decorator = click.option(
    "--get",
    type=Word("kernel", "nngp", "ntk"),
    default="ntk",
    show_default=True,
    metavar="nngp|ntk",
    help="Kernel to predict with.",
)

diag_reg: _Decorator = click.option(
    "--diag-reg",
    type=click.FloatRange(min=0),
    metavar="D",
    default=0.0,
    show_default=True,
    help="Add D times the mean of the diagonal to the diagonal of the training kernel.",
)

limit: _Decorator = click.option(
    "--limit",
    type=positive,
    metavar="N",
    help="Take at most N images of each set, keeping the proportions of the classes.",
)

seed: _Decorator = click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    default=0,
    show_default=True,
    help="Seed of all random choices.",
)

size: _Decorator = click.option(
    "--size",
    type=positive,
    metavar="PX",
    help="Bring the images to PX by PX pixels, by averaging over areas unless --fit says else.",
)

standardize: _Decorator = click.option(
    "--standardize",
    is_flag=True,
    help="Give each channel mean 0 and standard deviation 1 over the first set of images.",
)

lattice: _Decorator = click.option(
    "--lattice",
    type=Word("lattice", "hexagonal"),
    metavar="hexagonal",
    help="Resample the prepared square images to hexagons, by bilinear interpolation, for networks "
    "on hexagons; the file says so.",
)

_ABOUT_PIXELS = (
    click.option(
        "--scale",
        metavar="auto|TYPE|MAX|none",
        default="auto",
        show_default=True,
        help="What pixels are divided by: the largest value of an integer type (uint16), a number "
        "(4095), or nothing; one rule for all sets. auto: uint8 by 255, other integers by their "
        "type's largest value where they fill it, floats by nothing.",
    ),
    click.option(
        "--alpha",
        type=Word("alpha", "drop", "white", "black"),
        metavar="drop|white|black",
        help="Leave the transparency of image files out, or lay them on white or black.",
    ),
    click.option(
        "--fit",
        type=Word("fit", "resize", "crop", "pad"),
        default="resize",
        show_default=True,
        metavar="resize|crop|pad",
        help="How images come to --size: averaged over areas, cut to their middle, or with black "
        "around them.",
    ),
)
_LABELS = click.option(
    "--labels",
    multiple=True,
    metavar="FILE[::KEY]",
    help="Take the labels from this CSV, NumPy, HDF5 or idx file; KEY is a column or an array. "
    "With two sets of images, the second --labels is for the second set.",
)


def pixels(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --scale, --alpha, --fit and --labels, which the command gets as one dictionary `reading`.

    Parameters
    ----------
    command : callable
        It hands `reading` to `refntk.data.load_inputs` as keyword arguments.

    Returns
    -------
    callable
    """

    @wraps(command)
    def with_reading(*args: Any, **kwargs: Any) -> Any:
        names = ("scale", "alpha", "fit", "labels")
        reading = {name: kwargs.pop(name) for name in names}
        return command(*args, reading=reading, **kwargs)

    for option in (_LABELS, *reversed(_ABOUT_PIXELS)):
        option(with_reading)
    return with_reading


def changed(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Keep those of the options of `pixels` that were given, for a record.

    Parameters
    ----------
    reading : mapping
        What `pixels` hands over.

    Returns
    -------
    dict
    """
    usual = (None, (), "auto", "resize")
    given = {name: value for name, value in reading.items() if value not in usual}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}


cache: _Decorator = click.option(
    "--cache",
    metavar="FOLDER",
    help="Look for kernel files here, and keep new ones.  [default: ~/.cache/refntk/kernels]",
)

overwrite: _Decorator = click.option(
    "--overwrite", is_flag=True, help="Replace files that exist, pictures included."
)

quiet: _Decorator = click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
