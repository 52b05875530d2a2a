"""A kernel that was computed in memory, as a file; and the description of arrays for a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refntk.data.images.imageset import ImageSet, InputInfo, describe_images
from refntk.data.images.inputs import Inputs, scaling_text
from refntk.data.kernels.kernel_cache import describe_job
from refntk.data.kernels.kernel_format import KernelDescription
from refntk.data.kernels.kernel_writer import KernelWriter
from refntk.errors import InputError
from refntk.evaluation.images import divisors
from refntk.evaluation.result import Kernel, Origin

__all__ = ["array_inputs", "describe", "save_kernel"]

_SOURCE = "array"


def save_kernel(kernel: Kernel, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a kernel file, as `refntk compute` does.

    Parameters
    ----------
    kernel : Kernel
        As `refntk.kernel` gave it.
    path : str or path
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        It is not known what the kernel was computed from.
    StoreError
        The file cannot be written.
    """
    if kernel.origin is None:
        raise InputError(
            "it is not known what this kernel was computed from, which a kernel file says: save "
            "what refntk.kernel returns, without diagonal=True"
        )
    description = kernel.origin.description or describe(kernel.origin)
    with KernelWriter(path, description, overwrite=overwrite) as writer:
        for tile in writer.missing():
            blocks = {
                name: np.ascontiguousarray(np.asarray(values)[tile.rows, tile.cols])
                for name, values in kernel.kernels.items()
            }
            writer.write(tile, blocks)
        writer.finish()


def describe(origin: Origin) -> KernelDescription:
    """Put together what a kernel file says about a kernel that was computed in memory.

    Parameters
    ----------
    origin : Origin
        With the images.

    Returns
    -------
    KernelDescription
    """
    return describe_job(origin.job, array_inputs(origin))


def array_inputs(origin: Origin) -> Inputs:
    """Describe arrays as `load_inputs` describes what it reads.

    Parameters
    ----------
    origin : Origin

    Returns
    -------
    Inputs
    """
    axes = origin.job.net.axes
    arrays = [getattr(images, "images", images) for images in origin.sets]
    tops = divisors(
        {f"X{k}": np.asarray(array) for k, array in enumerate(arrays, 1)}, origin.scale
    )
    infos = [_info(images, axes) for images in origin.sets]
    return Inputs(
        x1=arrays[0],
        x2=arrays[1] if len(arrays) > 1 else None,
        info1=infos[0],
        info2=infos[1] if len(arrays) > 1 else None,
        preprocessing={
            "scaling": {f"x{k}": scaling_text(top) for k, top in enumerate(tops.values(), 1)},
            "size": None,
            "limit": None,
            "seed": None,
            "standardize": None,
        }
        | ({} if origin.scale == "auto" else {"scale": str(origin.scale)}),
    )


def _info(images: object, axes: int) -> InputInfo:
    """Describe images as they were given; what their source holds only where they are that."""
    known = images.info if isinstance(images, ImageSet) else None
    array = np.asarray(images.images if isinstance(images, ImageSet) else images)
    if known is not None:
        if (known.shape, known.dtype) == (array.shape[1:], array.dtype.name):
            return known
        return describe_images(
            array, source=_SOURCE, labels=known.labels, class_names=known.class_names,
            names=known.names,
        )  # fmt: skip
    shape = array.shape
    if axes == 3 and array.ndim == 4:
        array = array[..., None]
    if axes == 2 and array.ndim < 4:  # grey images, or a table
        array = array[..., None] if array.ndim == 3 else array.reshape(shape[0], 1, 1, shape[1])
    return describe_images(array, source=_SOURCE)
