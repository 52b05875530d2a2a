"""From the arrays that scikit-learn hands around to images, and from images to kernels."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError
from refntk.evaluation.evaluate import Job, kernel
from refntk.evaluation.options import Options
from refntk.evaluation.tiles import Tile
from refntk.network.layers import Conv, GroupConv, Lift
from refntk.network.network import Network
from refntk.network.presets import load_network

__all__ = ["as_batch", "cross", "gram", "resolve", "self_kernels"]

Float64Array = npt.NDArray[np.float64]


def resolve(network: Network | str) -> Network:
    """Return the network that a parameter names.

    Parameters
    ----------
    network : Network or str
        A network, the name of a preset, or the path of a TOML file.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        Neither a network nor a string.
    NetworkError
        There is no such preset or file, or the file is wrong.
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, str):
        return load_network(network)
    raise InputError(
        f"network: expected a Network, the name of a preset or a TOML file, not {network!r}"
    )


def as_batch(x: npt.NDArray[Any], shape: Sequence[int] | None, net: Network) -> npt.NDArray[Any]:
    """Give samples the shape of images.

    Parameters
    ----------
    x : array of numbers, shape (N, H, W, C) or (N, features)
    shape : (H, W, C) or (H, W), optional
        Of an image of which a row of a table holds the pixels, channels last; (H, W) means C = 1.
        None: the row is a table's, and becomes an image of one pixel with a channel a feature.
    net : Network
        One that convolves has no use for a table without a shape.

    Returns
    -------
    array, shape (N, H, W, C)
        Images in the type of `x`, so that integers are scaled as `refntk.kernel` does; features of
        a table are taken as they are, as float64.

    Raises
    ------
    InputError
        Another number of axes or of features than `shape` asks for, or a network that convolves
        without a shape.
    """
    full = None if shape is None else _image_shape(shape)
    if x.ndim == 4:
        if full not in (None, x.shape[1:]):
            raise InputError(f"image_shape is {full}, but the images have the shape {x.shape[1:]}")
        return x
    if x.ndim != 2:
        raise InputError(
            f"expected samples as rows of a table, or images of shape (N, H, W, C), not {x.shape}"
        )
    if full is None:
        convolving = next((n for n in net.layers if isinstance(n, Conv | Lift | GroupConv)), None)
        if convolving is not None:
            raise InputError(
                f"the network has a {type(convolving).__name__} layer and needs images: give "
                "image_shape=(H, W, C), or images of shape (N, H, W, C)"
            )
        return x.astype(np.float64)[:, None, None, :]
    if math.prod(full) != x.shape[1]:
        raise InputError(
            f"image_shape {full} asks for {math.prod(full)} features a sample, not {x.shape[1]}"
        )
    return x.reshape(len(x), *full)


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    try:
        sides = [operator.index(side) for side in shape]
        if min(sides) < 1:
            raise ValueError
        height, width, channels = sides if len(sides) == 3 else (*sides, 1)
    except (TypeError, ValueError):
        raise InputError(
            f"image_shape: expected positive whole numbers (H, W, C) or (H, W), not {shape!r}"
        ) from None
    return height, width, channels


def gram(net: Network, images: npt.NDArray[Any], get: str, **options: Any) -> Float64Array:
    """Kernel of images with themselves, exactly symmetric.

    Parameters
    ----------
    net : Network
    images : array, shape (N, H, W, C)
    get : {"nngp", "ntk"}
    **options
        For `refntk.kernel`.

    Returns
    -------
    float array, shape (N, N)
    """
    return np.asarray(getattr(kernel(net, images, get=get, **options), get))


def cross(
    net: Network, images: npt.NDArray[Any], known: npt.NDArray[Any], get: str, **options: Any
) -> Float64Array:
    """Kernel of images, the rows, with others, the columns; arguments as for `gram`."""
    return np.asarray(getattr(kernel(net, images, known, get=get, **options), get))


def self_kernels(net: Network, images: npt.NDArray[Any], get: str, **options: Any) -> Float64Array:
    """Kernel of each image with itself, shape (N,); arguments as for `gram`."""
    job = Job(net, images, options=Options(get=get, **options))
    ones = [slice(index, index + 1) for index in range(len(images))]
    return np.array([job.block(Tile(one, one))[get][0, 0] for one in ones], np.float64)
