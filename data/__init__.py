"""What lies on disk: images in many formats, and the kernel file.

Importing this package is cheap. The modules that need more than NumPy stay behind: h5py is
imported by `refntk.data.kernels.store` and when an HDF5 file is read, Pillow when a folder of
images is read.
"""

from __future__ import annotations

from refntk.data.images.imageset import ImageSet, InputInfo
from refntk.data.images.inputs import Inputs, load_inputs
from refntk.data.images.load import load_images
from refntk.data.images.preprocess import (
    apply_statistics,
    area_resample,
    channel_statistics,
    stratified_subset,
    to_unit,
)
from refntk.data.samples import sample_names

__all__ = [
    "ImageSet",
    "InputInfo",
    "Inputs",
    "apply_statistics",
    "area_resample",
    "channel_statistics",
    "load_images",
    "load_inputs",
    "sample_names",
    "stratified_subset",
    "to_unit",
]
