"""`refntk predict`: from kernels, or a network and images, to classes."""

from __future__ import annotations

from typing import Any

import click

from refntk.cli import options
from refntk.cli.kernels import check_lattice, complete
from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["predict"]


@click.command(
    cls=Command,
    short_help="Predict classes from kernels, or from a network and images.",
    epilog="""\b
SOURCE is one of
  TRAIN.h5 TEST.h5          kernel files: of the training images with themselves, and of the
                            training images with the test images, in either order
  NETWORK TRAIN TEST        a network and two sets of images, as for `refntk compute`

The classes are predicted by kernel regression on one-hot targets minus 1/c: with the NTK, the
mean over infinitely wide networks after infinitely long training on squared error.

\b
Examples:
  refntk predict gcnn-paper train.npz::images test.npz::images -o answers.csv -o answers.json
  refntk compute gcnn-paper tiles/train -o train.h5
  refntk compute gcnn-paper tiles/train tiles/test -o test.h5
  refntk predict train.h5 test.h5 -o answers.h5 --diag-reg 1e-6""",
)
@click.argument("source", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    multiple=True,
    required=True,
    metavar="FILE",
    help="The predictions to write, as .csv, .json or .h5; can be given again.",
)
@options.kernel
@options.diag_reg
@options.limit
@options.seed
@options.size
@options.pixels
@options.standardize
@options.lattice
@options.dtype
@options.threads
@options.cache
@options.overwrite
@options.quiet
def predict(
    source: tuple[str, ...],
    output: tuple[str, ...],
    get: str,
    diag_reg: float,
    limit: int | None,
    seed: int,
    size: int | None,
    standardize: bool,
    lattice: str | None,
    dtype: str,
    threads: int | None,
    cache: str | None,
    overwrite: bool,
    quiet: bool,
    reading: dict[str, Any],
) -> None:
    """Predict the classes of test images from SOURCE: two kernel files, or a network and images.

    Prints the accuracy and the confusion table where the classes of the test images are known.
    Options about images and the cache belong to the second form.
    """
    from refntk.data.images.inputs import load_inputs
    from refntk.data.kernels.kernel_cache import CachedKernel, default_cache
    from refntk.data.kernels.kernel_pair import KernelPair, pair_from_files, training_inputs
    from refntk.data.kernels.overlap import shared_images
    from refntk.data.results.answers import ANSWERS, check_path, write_predictions
    from refntk.errors import InputError
    from refntk.inference.classify import class_list, classify, renumber
    from refntk.network.presets import load_network

    for path in output:
        check_path(path, ANSWERS, overwrite=overwrite)
    if len(source) == 2:
        pair = pair_from_files(*source, get)
    elif len(source) == 3:
        net = load_network(source[0])
        check_lattice(lattice, (net,))
        both = load_inputs(
            source[1], source[2],
            limit=limit, seed=seed, size=size, standardize=standardize, axes=net.axes,
            lattice=lattice, **reading,
        )  # fmt: skip
        kernels = []
        for inputs in (training_inputs(both), both):
            kernel = CachedKernel(
                net, inputs, get, folder=cache or default_cache(), dtype=dtype, threads=threads
            )
            complete(kernel, quiet=quiet)
            kernels.append(kernel.read())
        assert both.info2 is not None  # two sets were given
        pair = KernelPair(kernels[0], kernels[1].T, both.info1, both.info2, net.hash)
    else:
        raise InputError(
            f"SOURCE: expected TRAIN.h5 TEST.h5 or NETWORK TRAIN TEST, not {len(source)} arguments"
        )
    train, test = pair.train_info, pair.test_info
    if train.labels is None:
        raise InputError(
            f"{train.source}: the classes of its images are not known; name them with --labels FILE"
        )
    shared = shared_images(test, train)
    if shared:
        say(
            f"warning: {shared} of {test.count} test images are also training images", err=True
        )
    names = class_list(train.labels, train.class_names)
    labels = test.labels
    if labels is not None:
        labels = renumber(labels, test.class_names, names, test.source)
    answers = classify(
        pair.train, train.labels, pair.cross,
        class_names=names, test_labels=labels, diag_reg=diag_reg,
    )  # fmt: skip
    about = {
        "network_hash": pair.network_hash, "kernel": get, "diag_reg": diag_reg,
        "train": train.source, "train_images": train.count, "test": test.source,
    }  # fmt: skip
    for path in output:
        write_predictions(path, answers, test, about, overwrite=overwrite)
    say(f"{', '.join(output)}: {test.count} predictions from {train.count} images")
    if answers.accuracy is not None and answers.confusion is not None:
        say(f"accuracy {100 * answers.accuracy:.1f} %")
        _echo_confusion(answers.confusion.tolist(), names)


def _echo_confusion(table: list[list[int]], names: tuple[str, ...]) -> None:
    """Print rows of true and columns of predicted classes."""
    width = max(len(name) for name in names)
    cell = max(4, 1 + max(len(str(count)) for row in table for count in row))
    heads = "".join(f"{number:>{cell}}" for number in range(len(names)))
    say(f"{'true class':<{width + 4}} predicted")
    say(f"{'':<{width + 4}}{heads}")
    for number, (name, row) in enumerate(zip(names, table, strict=True)):
        counts = "".join(f"{count:>{cell}}" for count in row)
        say(f"{number:>3} {name:<{width}}{counts}")
