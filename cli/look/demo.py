"""`refntk demo`: from nothing to pictures in a minute."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refntk.cli import options
from refntk.cli.kernels import fill
from refntk.cli.program import Command
from refntk.cli.say import say

if TYPE_CHECKING:
    from refntk.data.images.inputs import Inputs

__all__ = ["demo"]

_DATA, _SIZE, _DTYPE = "sample:histology", 14, "float32"
_NETWORKS = ("cnn-paper", "gcnn-paper")
_TRAIN, _TEST, _REPEATS = (9, 18, 36, 54), 36, 40

_NEXT = """
Next:
  refntk compute gcnn-paper sample:histology -o histology.h5   # the same tiles at full size
  refntk networks gcnn-paper > mine.toml                       # a network file to change
  refntk compute mine.toml FOLDER -o mine.h5 --size 32         # yours, a sub-folder a class"""


@click.command(
    cls=Command,
    short_help="Compute two small kernels and draw what they learn, in a minute.",
    epilog="""\b
Examples:
  refntk demo
  refntk demo -o elsewhere""",
)
@click.option(
    "-o", "--output", "folder", metavar="FOLDER", default="refntk-demo", show_default=True,
    help="The folder to create, for two kernel files and the pictures.",
)  # fmt: skip
@options.overwrite
@options.threads
@options.quiet
def demo(folder: str, overwrite: bool, threads: int | None, quiet: bool) -> None:
    """Show in a minute what refntk does: images, their kernels, and what these learn.

    The NTK of 90 histology tiles that come with refntk, at 14 by 14 pixels and in float32, of an
    ordinary convolutional network (cnn-paper) and of one that is equivariant under rotations
    (gcnn-paper). Pictures show both kernels beside the tiles, and how the accuracy grows with the
    number of training tiles. At its first run the fast code is compiled, which takes most of the
    time.
    """
    from refntk.data.images.inputs import load_inputs
    from refntk.data.kernels.store import open_kernel
    from refntk.data.results.report import write_report
    from refntk.errors import InputError
    from refntk.inference.curve import learning_curve
    from refntk.plot import plot_learning_curve, plot_tiles, save_figure
    from refntk.plot.style import need_matplotlib

    place = Path(folder)
    if os.path.lexists(place) and not overwrite:
        raise InputError(
            f"{folder}: exists already; choose another folder with -o, or --overwrite the demo "
            "there"
        )
    need_matplotlib()  # now, and not at the end
    if not place.exists():
        try:
            place.mkdir(parents=True)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be created ({error.strerror}); choose another folder with -o"
            ) from error
        _warm_up(threads)
    inputs = load_inputs(_DATA, size=_SIZE)
    kernels = {}
    for network in _NETWORKS:
        path = place / f"{network}.h5"
        kernels[network] = _compute(network, inputs, path, threads=threads, quiet=quiet)
    info = inputs.info1
    assert info.labels is not None  # the sample has them
    names = info.class_names
    title = f"NTK of {info.count} histology tiles, sorted by class"
    picture = plot_tiles(inputs.x1, kernels, info.labels, names, title=title)
    save_figure(picture, place / "gram.png")
    curve = learning_curve(
        kernels, info.labels, classes=len(names or ()), sizes=_TRAIN, test=_TEST, repeats=_REPEATS
    )
    save_figure(plot_learning_curve(curve), place / "curve.svg")
    store, page = place / f"{_NETWORKS[-1]}.h5", place / "report.html"
    with open_kernel(store) as kernel:
        write_report(kernel, page, overwrite=True)
    say(f"{curve.finding()}.\n")
    say(f"{place / 'gram.png'}: the tiles of each class beside both kernels")
    say(f"{place / 'curve.svg'}: accuracy by the number of training tiles")
    say(f"{page}: all about {store.name}, on one page for a browser")
    say(_NEXT)


def _warm_up(threads: int | None) -> None:
    """Compile on two processors what the kernels need, where it can be kept."""
    from refntk.backends.numba.warm_up import folder, pieces, warm_up
    from refntk.evaluation.machine import default_threads

    processors = threads or default_threads()
    if processors > 1 and folder() is not None:
        for _ in warm_up(pieces((_DTYPE,), ("ntk",), careful=False), processors):
            pass


def _compute(
    network: str, inputs: Inputs, path: Path, *, threads: int | None, quiet: bool
) -> Any:
    """Compute the NTK into a file, or take it from there where it is complete."""
    from refntk.data.kernels.kernel_cache import describe_job
    from refntk.data.kernels.store import KernelWriter, open_kernel
    from refntk.evaluation.evaluate import Job
    from refntk.evaluation.options import Options

    job = Job(network, inputs.x1, options=Options(get="ntk", dtype=_DTYPE, threads=threads))
    description = describe_job(job, inputs)
    with KernelWriter(path, description, resume=True, overwrite=True) as writer:
        fill(writer, job, quiet=quiet, again=("--overwrite",))
    with open_kernel(path) as kernel:
        return kernel.gram("ntk")
