"""`refntk compute`: from images to a kernel file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import click

from refntk.cli import options
from refntk.cli.kernels import check_lattice, fill
from refntk.cli.program import BadUse, Command
from refntk.cli.say import say

__all__ = ["compute"]

_KERNELS = ("nngp", "ntk")


@click.command(
    cls=Command,
    short_help="Compute the kernels of a network for images.",
    epilog="""\b
Inputs, for X1 and X2:
  sample:histology, sample:digits       images that come with refntk; sample:volumes for gcnn-3d
  images.npy                            (N, H, W, C), or (N, H, W) for grey images
  images.npz, images.npz::train         the only array of images in it, or the one called train
  images.h5, images.h5::group/train     the same for HDF5
  t10k-images-idx3-ubyte.gz             as MNIST has them; labels from the file beside it
  tiles/                                a folder with a sub-folder of images a class, or of images
  tile.tif, 'tiles/*.png'               one image, or those that a pattern finds
  volumes.npy, .npz, .h5, scan.nii.gz   (N, D, H, W, C) or (N, D, H, W), for networks of volumes

Image files are PNG, TIFF, JPEG, WebP or BMP. Pixels of type uint8 are divided by 255, those of
other integers by the largest value of their type where they fill it (else say --scale), and
floating-point ones are taken as they are. Images are prepared in this order: --limit, --size,
scaling, --standardize.

\b
Examples:
  refntk compute gcnn-paper sample:histology -o histology.h5
  refntk compute gcnn-paper tiles/ -o tiles.h5 --limit 900 --size 32 --dtype float32
  refntk compute mine.toml data.npz::test_images data.npz::train_images -o k.h5 --get ntk
  refntk compute gcnn-paper tiles/ -o tiles.h5 --limit 900 --size 32 --dtype float32 --resume
  refntk compute gcnn-paper tiles/ -o tiles.h5 --resume --scheduler tcp://head-node:8786
  refntk compute gcnn-paper tiles/ -o tiles-3.shard --resume --shard 3/64
  refntk compute gcnn-paper more-tiles/ -o tiles.h5 --size 32 --dtype float32 --append
  refntk info histology.h5

Ctrl-C, a kill or a power cut costs the tiles of the last seconds: the same command with
--resume continues. A batch script can give --resume from the start.""",
)
@click.argument("network")
@click.argument("x1")
@click.argument("x2", required=False)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT.h5",
    help="The HDF5 file to write. It appears when it is complete; until then, what is done is kept "
    "in OUT.h5.part.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue what was interrupted, if anything was; the result is bitwise the same.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT.h5 if it exists.")
@click.option(
    "--append",
    is_flag=True,
    help="Add the images of X1 that OUT.h5 lacks, and compute what is new; X1 holds those that it "
    "has, too. OUT.h5 is replaced at the end.",
)
@click.option(
    "--get",
    type=options.Word("kernel", *_KERNELS),
    multiple=True,
    metavar="nngp|ntk",
    help="Kernel to compute; can be given twice. NNGP alone is cheaper.  [default: both]",
)
@options.limit
@options.seed
@options.size
@options.pixels
@options.standardize
@options.lattice
@options.dtype
@options.backend
@options.method
@options.threads
@click.option(
    "--device-memory",
    type=options.positive,
    metavar="MB",
    help="With the backend cupy, take at most so much of a graphics processor's memory, in units "
    "of 2**20 bytes.  [default: 2048]",
)
@click.option(
    "--scheduler",
    metavar="WHERE",
    help="Compute on the workers of a dask scheduler, tcp://HOST:PORT or tls://HOST:PORT, or on N "
    "processes of this machine, local:N. Only this command writes. --threads is then of each tile, "
    "and 1 by default.",
)
@click.option(
    "--shard",
    callback=options.read_share,
    metavar="I/N",
    help="Compute the I-th of N shares of the tiles only, into a file for `refntk merge`, which "
    "joins all N of them.",
)
@click.option(
    "--tile",
    type=options.positive,
    metavar="N",
    help="Compute and store tiles of N by N pairs; the result does not depend on it.",
)
@options.quiet
def compute(
    network: str,
    x1: str,
    x2: str | None,
    output: str,
    resume: bool,
    overwrite: bool,
    append: bool,
    get: tuple[str, ...],
    limit: int | None,
    seed: int,
    size: int | None,
    standardize: bool,
    lattice: str | None,
    dtype: str,
    backend: str,
    method: str,
    threads: int | None,
    device_memory: int | None,
    scheduler: str | None,
    shard: tuple[int, int] | None,
    tile: int | None,
    quiet: bool,
    reading: dict[str, Any],
) -> None:
    """Compute the kernels of NETWORK for every pair of images of X1, or of X1 and X2.

    NETWORK is one of `refntk networks` or a TOML file. The kernels at the end of the network, NNGP
    and NTK, become the datasets /nngp and /ntk of an HDF5 file, next to the labels of the images
    and a record of how they were computed. One line on stdout says what was written.
    """
    from refntk.data.images.inputs import load_inputs
    from refntk.data.kernels.growth import Growth, in_stored_order
    from refntk.data.kernels.kernel_cache import describe_job
    from refntk.data.kernels.store import KernelWriter, ShardWriter, open_kernel
    from refntk.evaluation.cluster import check_scheduler
    from refntk.evaluation.evaluate import Job
    from refntk.evaluation.options import Options
    from refntk.network.presets import load_network

    check_scheduler(scheduler)
    if append and shard is not None:
        raise BadUse("--append and --shard: images are added by one process; leave out --shard")
    net = load_network(network)
    check_lattice(lattice, (net,))
    inputs = load_inputs(
        x1, x2, limit=limit, seed=seed, size=size, standardize=standardize, axes=net.axes,
        lattice=lattice, **reading,
    )
    with ExitStack() as stack:
        grown = stack.enter_context(open_kernel(output)) if append else None
        if grown is not None:
            inputs = in_stored_order(grown, inputs)
        job = Job(
            net,
            inputs.x1,
            inputs.x2,
            options=Options(get=tuple(name for name in _KERNELS if name in get) or _KERNELS,
            dtype=dtype,
            backend=backend,
            method=method,
            threads=threads if scheduler is None else threads or 1,
            tile=tile or (None if grown is None else grown.record.description.tile),
            device_memory=device_memory and device_memory * 2**20),
        )
        description = describe_job(job, inputs)
        begin: Callable[..., KernelWriter] = KernelWriter
        if shard is not None:
            begin = partial(ShardWriter, share=shard)
        elif grown is not None:
            begin = partial(KernelWriter, base=Growth(grown, description))
        writer = stack.enter_context(
            begin(output, description, resume=resume, overwrite=overwrite)
        )
        fill(writer, job, scheduler=scheduler, quiet=quiet)
    written = ", ".join(f"{name} {job.shape} {job.dtype}" for name in job.get)
    of = "" if shard is None else f"shard {shard[0]}/{shard[1]} of "
    say(f"{output}: {of}{written}")
