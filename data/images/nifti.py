"""NIfTI files, one volume each, as scanners' images are kept.

nibabel reads them; it is part of the extra `images`. What the axes of the array mean in the body,
the file's affine map says: volumes come with the axes that are closest to inferior-superior,
posterior-anterior and left-right, in this order and these directions.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.limits import (
    reading,
    refuse_memory,
    refuse_packed_claim,
    refuse_plain_claim,
)
from refntk.errors import InputError

__all__ = ["decode_nifti", "is_nifti", "voxel_doubt"]

_SUFFIXES = (".nii", ".nii.gz")
_ALIKE = 1e-3
"""Relative difference of voxel sizes that scanners round away."""


def is_nifti(path: Path) -> bool:
    """Whether a file is called as NIfTI files are.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    bool
    """
    return path.name.lower().endswith(_SUFFIXES)


def _open(path: Path) -> Any:
    """Open a file and read its header."""
    try:
        import nibabel
    except ImportError as error:
        raise InputError(
            f'{path}: NIfTI files need nibabel; install it with pip install "refntk[images]"'
        ) from error
    with reading(path):
        image = nibabel.load(path)  # type: ignore[attr-defined,unused-ignore]
    if not isinstance(image, nibabel.Nifti1Image):
        raise InputError(f"{path}: is a {type(image).__name__} and no NIfTI file of one part")
    return image


def decode_nifti(path: Path) -> NDArray[Any]:
    """Read the volume of one NIfTI file.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    array of integer or float, shape (D, H, W, C)
        Axes: inferior to superior, posterior to anterior, left to right, and what else the file
        has, such as time. Values are multiplied and shifted as the header says, in float64 then;
        else they keep their type.

    Raises
    ------
    InputError
        nibabel is missing; a damaged or truncated file; colours or complex values; not three or
        four axes; a claim that the file cannot fulfil; too large for memory.
    """
    image = _open(path)
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) == 5 and shape[3] == 1:  # vectors, as the standard has them
        shape = (*shape[:3], shape[4])
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise InputError(
            f"{path}: holds an array of shape {image.shape}; expected one volume, (x, y, z) or "
            "(x, y, z, channel)"
        )
    if dtype.kind not in "iuf":
        raise InputError(
            f"{path}: holds values of dtype {dtype}; expected integers or floats: convert them"
        )
    claimed = math.prod(shape) * dtype.itemsize
    with reading(path):
        stored = path.stat().st_size
    if path.suffix.lower() == ".gz":
        refuse_packed_claim(path, claimed, stored)
    elif claimed > stored:
        refuse_plain_claim(path, claimed, stored)
    refuse_memory(path, math.prod(shape) * 8)
    from nibabel.orientations import io_orientation

    with reading(path):
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as stream:  # nibabel stops before the check sum
                stream.seek(int(image.dataobj.offset) + claimed)
                stream.read(1)
        axes = io_orientation(image.affine)  # type: ignore[no-untyped-call]
        upright = image.as_reoriented(axes)
        values = np.asanyarray(upright.dataobj).reshape(*upright.shape[:3], -1)
    native = values.dtype.newbyteorder("=")
    return np.ascontiguousarray(values.transpose(2, 1, 0, 3), dtype=native)


def voxel_doubt(paths: Sequence[Path]) -> str | None:
    """Say where turns that exchange axes are no symmetry, because voxels are no cubes.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        NIfTI files.

    Returns
    -------
    str or None
        A warning about the first of them whose voxels are no cubes, or not as large as before.
    """
    first: tuple[float, ...] | None = None
    for path in paths:
        image = _open(path)
        with reading(path):
            sides = tuple(float(side) for side in image.header.get_zooms()[:3])
        written = " x ".join(f"{side:.4g}" for side in sides)
        if max(sides) - min(sides) > _ALIKE * max(sides):
            return (
                f"{path}: its voxels are {written} and no cubes, so that a network that turns "
                "depth into height does not turn the body; resample it to cubes, or take a group "
                "that keeps the axes apart, such as D2h"
            )
        first = first or sides
        if abs(sides[0] - first[0]) > _ALIKE * first[0]:
            return f"{path}: its voxels are {written}, and those of {paths[0]} {first[0]:.4g} wide"
    return None
