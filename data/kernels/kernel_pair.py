"""The two kernels that a prediction needs: of training images, and of test with training images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import InputInfo
from refntk.data.images.inputs import Inputs
from refntk.data.kernels.kernel_cache import match_images
from refntk.data.kernels.store import KernelFile, open_kernel
from refntk.errors import InputError, StoreError, unknown

__all__ = ["KernelPair", "pair_from_files", "training_inputs"]

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class KernelPair:
    """Kernels and what is known about their images.

    Parameters
    ----------
    train : float array, shape (N, N)
        Kernel of the training images with themselves.
    cross : float array, shape (M, N)
        Kernel of the test images, the rows, with the training images.
    train_info, test_info : InputInfo
    network_hash : str
        Of the network that both belong to.
    """

    train: FloatArray
    cross: FloatArray
    train_info: InputInfo
    test_info: InputInfo
    network_hash: str


def training_inputs(inputs: Inputs) -> Inputs:
    """Keep the first of two sets of images, as it was prepared.

    Parameters
    ----------
    inputs : Inputs
        Of training images, x1, and test images, x2.

    Returns
    -------
    Inputs
        Of the training images alone.
    """
    record = dict(inputs.preprocessing)
    record["scaling"] = {"x1": record["scaling"]["x1"]}
    return replace(inputs, x2=None, info2=None, preprocessing=record)


def pair_from_files(train: str | Path, test: str | Path, name: str) -> KernelPair:
    """Read a kernel of training images and one that joins them with test images.

    Parameters
    ----------
    train : str or path
        A kernel file of one set of images with itself.
    test : str or path
        A kernel file of which one side holds all these images, and the other the test images.
    name : {"nngp", "ntk"}
        Which kernel to read of both.

    Returns
    -------
    KernelPair
        Rows and columns in the order of the training file.

    Raises
    ------
    StoreError
        A file is missing, damaged, not complete, or lacks the kernel; the first is no Gram matrix.
    InputError
        The two differ in network or preparation, or have no images in common as above.
    """
    with open_kernel(train) as first, open_kernel(test) as second:
        if first.attributes["network_hash"] != second.attributes["network_hash"]:
            raise InputError(
                f"{test}: is of another network than {train}; compute both with the same one"
            )
        gram, cross = first.gram(name), _whole(second, name)
        info = first.x1
        places = match_images(info, second.x2)
        test_info, side = second.x1, "x2"
        if places is None:
            places = match_images(info, second.x1)
            test_info, side, cross = second.x2, "x1", cross.T
        if places is None:
            raise InputError(
                f"{test}: neither its rows nor its columns are the {info.count} images of {train}; "
                "compute it with the training images as X1 and the test images as X2"
            )
        _same_preparation(first, second, side)
        return KernelPair(gram, cross[:, places], info, test_info, first.attributes["network_hash"])


def _whole(kernel: KernelFile, name: str) -> FloatArray:
    """Read a kernel that must be complete."""
    if name not in kernel.names:
        raise StoreError(f"{kernel.path}: {unknown('kernel', name, kernel.names)}")
    if not kernel.complete:
        raise StoreError(
            f"{kernel.path}: only {kernel.tiles.sum()} of {kernel.tiles.size} tiles are complete; "
            "finish the computation first"
        )
    values: FloatArray = getattr(kernel, name)[...]
    return values


def _same_preparation(first: KernelFile, second: KernelFile, side: str) -> None:
    """Refuse training images that were prepared in two ways."""
    one, two = first.attributes["preprocessing"], second.attributes["preprocessing"]
    scaled = two.get("scaling") or {}
    pairs = {
        "scaling": ((one.get("scaling") or {}).get("x1"), scaled.get(side, scaled.get("x1"))),
        "size": (one.get("size"), two.get("size")),
        "standardize": (one.get("standardize"), two.get("standardize")),
    }
    for step, (left, right) in pairs.items():
        if left != right:
            raise InputError(
                f"{second.path}: its images were prepared in another way than those of "
                f"{first.path}: {step} differs; compute it with the training images as X1, and "
                "with the same options"
            )
