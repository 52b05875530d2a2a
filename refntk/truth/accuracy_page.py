"""The page on accuracy: tables in Markdown of what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from textwrap import dedent

from refntk.evaluation.evaluate import DTYPES, KERNELS
from refntk.truth import fuzz
from refntk.truth.accuracy import METHODS, Errors, Measured

__all__ = ["page"]


def page(measured: Measured, trials: int, seed: int) -> Iterator[str]:
    """Give the lines of the page on accuracy, in Markdown.

    Parameters
    ----------
    measured : Measured
    trials, seed : int
        How many random networks there were, and their seed.

    Yields
    ------
    str
        One line.
    """
    yield from _stacks(measured)
    yield from ("", "## By what is hard", "", "The largest over all networks above.", "")
    yield from _table("images", measured.kinds)
    yield from ("", "## Other networks", "", "The largest over all hard images (3×3).", "")
    yield from _table("network", measured.others)
    yield from _random_table(measured.random, trials, seed)
    yield from _exceptions()


def _stacks(measured: Measured) -> Iterator[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("refntk", "numpy", "numba"))
    yield from _lines(f"""
        # Accuracy

        This page is the output of `refntk accuracy` ({packages}). Each figure is the largest
        relative error of a kernel of two small images against `refntk.certify`, whose own radius is
        1.2e-16 of it.
        Networks are stacks of 3×3 convolutions (1×1 after the first with VALID) with Relu,
        `GroupPool` and `Dense`; images are 4×4 (C1) and 3×3 pixels of two channels, seeded.

        Bounds of the method slices on networks of the Relu family with a pooling or Flatten at the
        end, or of dense layers alone, hard images included: 1e-12 in float64, 5e-6 in float32.
    """)
    for method in METHODS:
        yield from ("", f"## Method {method}", "")
        heads = [f"{dtype} {kind} {name}" for dtype in DTYPES for kind in ("benign", "hard")
                 for name in KERNELS]  # fmt: skip
        yield "| group | padding | depth | " + " | ".join(heads) + " |"
        yield "|---" * (3 + len(heads)) + "|"
        for stack, (benign, hard) in measured.stacks.items():
            cells = [
                f"{errors[method, dtype, which]:.1e}"
                for dtype in DTYPES
                for errors in (benign, hard)
                for which in KERNELS
            ]
            yield f"| {' | '.join([*map(str, stack), *cells])} |"


def _random_table(found: dict[str, fuzz.Errors], trials: int, seed: int) -> Iterator[str]:
    """Largest errors on random networks, by what is hard about the images."""
    yield from _lines(f"""

        ## Random networks

        {trials} networks of the seed {seed} that `refntk.truth.fuzz` drew, as in
        `refntk accuracy --trials {trials} --seed {seed}`: any layers, up to 12 convolutions and 3
        Dense layers after the readout, biases in some of them, W_std from 0.2 to 8, strides,
        paddings and groups. The first image is random, positive, constant, standardised, or has
        zeros or one hot pixel; the second one is what the table says. The method is slices; figures
        are the largest errors of the pair and of the first image with itself. Where an entry is
        less than 1e-8 of both diagonal ones, or 1e-4 behind a single activation, its error is
        relative to that; where it is negative, to these; where the slopes a, b of an activation
        have one sign, to at least 2ab/(a² + b²) of these. `tox -e slow -- -k fuzz` tries 2,000
        others, and the worst of each row of an earlier run once more
        (`tests/truth/worst_trials.json`).

    """)
    yield ""
    keys = [(dtype, name) for dtype in DTYPES for name in KERNELS]
    yield "| images | " + " | ".join(f"{dtype} {name}" for dtype, name in keys) + " |"
    yield "|---" * (1 + len(keys)) + "|"
    for kind in fuzz.KINDS:
        if kind in found:
            cells = [f"{found[kind].get(key, 0.0):.1e}" for key in keys]
            yield f"| {kind} | " + " | ".join(cells) + " |"


def _exceptions() -> Iterator[str]:
    yield from _lines("""

        ## Where the bounds do not hold

        - The method literal is written as in the papers, and takes the arccos of a correlation:
          half of the digits are lost near 1 and -1, and with them as many of the NTK.
        - One layer that sees hardly anything but opposite patches has a kernel that vanishes as the
          cube of their distance from opposite, and an NTK below zero. Both keep 1e-12 and 5e-6 of
          the entries of the images with themselves, and not of their own. Such pairs are left out
          at depth 1 above.
        - Networks without any Relu, where signed products cancel in the mean, keep 1e-12 and 5e-6
          of the terms and not of the entry. So do those with a LeakyRelu or ABRelu whose slopes
          a, b have one sign, which are in part such networks: covariances down to -2ab/(a² + b²) of
          the variances cancel there.
    """)


def _lines(text: str) -> Iterator[str]:
    """Lines of a text that is indented as its place in the code."""
    yield from dedent(text.removeprefix("\n")).rstrip().splitlines()


def _table(title: str, rows: dict[str, Errors]) -> Iterator[str]:
    heads = [f"{m} {dtype} {name}" for m in METHODS for dtype in DTYPES for name in KERNELS]
    yield f"| {title} | " + " | ".join(heads) + " |"
    yield "|---" * (1 + len(heads)) + "|"
    for name, errors in rows.items():
        cells = [
            f"{errors[m, dtype, which]:.1e}"
            for m in METHODS
            for dtype in DTYPES
            for which in KERNELS
        ]
        yield f"| {name} | " + " | ".join(cells) + " |"
