"""A folder with one sub-folder of images a class: the layout of NCT-CRC-HE-100K.

Pillow decodes; it is the extra `images`. EXIF orientation is ignored: pixels come as stored.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import Pick, RawImages
from refntk.data.limits import reading, refuse_memory
from refntk.errors import InputError

if TYPE_CHECKING:
    from PIL import ImageFile

__all__ = ["read_folder"]

# Pillow logs what is odd about a TIFF file before it raises. Without this, Python would print that
# on stderr beside the one line that is meant for it; an application's own handlers still get it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
_MODES = ("L", "RGB", "I;16", "I;16B", "F")
_MODE_TEXT = "8- or 16-bit grey, 32-bit float grey or 8-bit RGB"


def _find(path: Path) -> tuple[list[str], list[list[Path]]]:
    """Class names and the images of each class, both sorted by name."""
    classes = sorted(
        entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not classes:
        raise InputError(
            f"{path}: holds no sub-folder; expected one sub-folder of images a class"
        )
    files = []
    for folder in classes:
        inside = sorted(
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in _SUFFIXES
            and not entry.name.startswith(".")
            and entry.is_file()
        )
        if not inside:
            raise InputError(
                f"{folder}: holds no PNG, TIFF or JPEG image; every sub-folder is a class: fill it "
                "or remove it"
            )
        files.append(inside)
    return [folder.name for folder in classes], files


def _check(image: ImageFile.ImageFile, path: Path) -> None:
    """Refuse an image, opened and not yet decoded, whose pixels would not come out as stored."""
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise InputError(f"{path}: holds {frames} frames; expected a single image")
    if image.mode not in (*_MODES, "P"):
        raise InputError(
            f"{path}: has pixels of mode {image.mode}, expected {_MODE_TEXT}; convert it"
        )
    # Pillow has no 16-bit RGB: it would drop the lower byte of each value without a word.
    if image.mode == "RGB" and any("16" in str(tile[3]) for tile in image.tile):
        raise InputError(f"{path}: has 16-bit RGB pixels, expected {_MODE_TEXT}")


def _decode(path: Path) -> NDArray[Any]:
    """Pixels of one image, shape (H, W) or (H, W, 3), in native byte order."""
    from PIL import Image

    with reading(path):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=("PNG", "TIFF", "JPEG")) as image:
                _check(image, path)
                pixels = np.asarray(image.convert("RGB") if image.mode == "P" else image)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(
                f"{path}: has more than {Image.MAX_IMAGE_PIXELS} pixels, Pillow's limit against "
                "decompression bombs; make it smaller"
            ) from error
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _decode_all(files: list[Path]) -> NDArray[Any]:
    """Decode images of equal size and kind into one array."""
    first = _decode(files[0])
    refuse_memory(files[0].parent.parent, first.nbytes * len(files))
    out = np.empty((len(files), *first.shape), first.dtype)
    for index, path in enumerate(files):
        pixels = _decode(path)
        if (pixels.shape, pixels.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"{path}: has shape {pixels.shape} and dtype {pixels.dtype}, but {files[0]} has "
                f"{first.shape} and {first.dtype}; all images need the same size and kind"
            )
        out[index] = pixels
    return out


def read_folder(path: Path, pick: Pick) -> RawImages:
    """Read images from a folder with one sub-folder a class; only the chosen ones are decoded.

    Parameters
    ----------
    path : pathlib.Path
        The folder. Classes are its sub-folders, sorted by name; images the PNG, TIFF and JPEG files
        in them, sorted by name. Hidden entries and other files are passed over.
    pick : callable
        Chooses the images to read.

    Returns
    -------
    RawImages
        Labels 0, 1, ... in the order of `class_names`, the names of the sub-folders; `names` are
        the paths below the folder; `indices` count through all images, class by class. Palette
        images are expanded to RGB.

    Raises
    ------
    InputError
        Pillow is not installed; no sub-folder, or one without images; an image that is damaged, of
        another size or kind than the first, too large (Pillow's own limit) or of several frames.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise InputError(
            f'{path}: folders of images need Pillow; install it with pip install "refntk[images]"'
        ) from error
    with reading(path):
        class_names, classes = _find(path)
    every = [file for files in classes for file in files]
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes])
    indices = pick(len(labels), labels)
    chosen = [every[index] for index in indices]
    return RawImages(
        images=_decode_all(chosen),
        indices=indices,
        labels=labels[indices],
        class_names=tuple(class_names),
        names=tuple(file.relative_to(path).as_posix() for file in chosen),
    )
