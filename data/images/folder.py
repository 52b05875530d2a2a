"""Images as files: a folder with one sub-folder a class, a folder of images, or some files.

One sub-folder a class is the layout of NCT-CRC-HE-100K. NIfTI files are volumes, else the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.decode import SUFFIXES, decode, need_pillow
from refntk.data.images.imageset import Pick, RawImages
from refntk.data.images.nifti import decode_nifti, is_nifti, voxel_doubt
from refntk.data.limits import reading, refuse_memory
from refntk.errors import InputError, InputWarning

__all__ = ["is_image", "read_files", "read_folder"]

_KINDS = "PNG, TIFF, JPEG, WebP or BMP image, or NIfTI file"
_SHOWN = 3


def is_image(path: Path) -> bool:
    """Whether a file is called as one that holds an image or a volume.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    bool
    """
    return path.suffix.lower() in SUFFIXES or is_nifti(path)


def _sort(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Sub-folders, images and the rest of a folder, each sorted by name; without hidden ones."""
    folders, images, others = [], [], []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir():
            folders.append(entry)
        elif is_image(entry) and entry.is_file():
            images.append(entry)
        else:
            others.append(entry)
    return folders, images, others


def _find(path: Path) -> tuple[list[str] | None, list[list[Path]], list[Path]]:
    """Class names, the images of each class, and what is passed over."""
    classes, flat, passed = _sort(path)
    if not classes and not flat:
        raise InputError(
            f"{path}: holds no sub-folder; expected one sub-folder of images a class, or images"
            + _passed_text(path, passed)
        )
    if not classes:
        return None, [flat], passed
    passed = flat + passed
    files = []
    for folder in classes:
        deeper, inside, others = _sort(folder)
        if not inside:
            raise InputError(
                f"{folder}: holds no {_KINDS}; every sub-folder is a class: fill it or remove it"
                + _passed_text(folder, deeper + others)
            )
        passed += deeper + others
        files.append(inside)
    return [folder.name for folder in classes], files, passed


def _passed_text(path: Path, passed: Sequence[Path]) -> str:
    """Say how many entries of a folder are passed over, and which."""
    if not passed:
        return ""
    names = [
        entry.relative_to(path).as_posix()
        + ("/" if entry.is_dir() else "" if entry.exists() else " (a link to nothing)")
        for entry in passed[:_SHOWN]
    ]
    more = ", ..." if len(passed) > _SHOWN else ""
    count = "1 entry is" if len(passed) == 1 else f"{len(passed)} entries are"
    return f"; {count} passed over: {', '.join(names)}{more}"


def _decode_all(
    files: Sequence[Path], alpha: str | None, unlike: bool, page: int | None = None
) -> NDArray[Any] | list[NDArray[Any]]:
    """Decode images of one kind, and of one size unless `unlike`."""
    scans = [path for path in files if is_nifti(path)]
    first = decode_nifti(files[0]) if scans[:1] == files[:1] else decode(files[0], alpha, page)
    if doubt := voxel_doubt(scans):
        warnings.warn(doubt, InputWarning, stacklevel=4)
    refuse_memory(files[0].parent.parent, first.nbytes * len(files))
    out: list[NDArray[Any]] = [first]
    for path in files[1:]:
        pixels = decode_nifti(path) if is_nifti(path) else decode(path, alpha)
        alike = _kind(pixels) == _kind(first)
        if not alike or (pixels.shape != first.shape and not unlike):
            remedy = "--size PX shrinks images of unlike size to one"
            if not alike:
                remedy = "convert them"
            raise InputError(
                f"{path}: has shape {pixels.shape} and dtype {pixels.dtype}, but {files[0]} has "
                f"{first.shape} and {first.dtype}; all images need the same size and kind: {remedy}"
            )
        out.append(pixels)
    if any(pixels.shape != first.shape for pixels in out):
        return out
    joined = np.empty((len(out), *first.shape), first.dtype)
    for index in range(len(out)):
        joined[index], out[index] = out[index], first  # gives the memory back on the way
    return joined


def _kind(pixels: NDArray[Any]) -> tuple[object, ...]:
    """Give what all images of a set have in common: dtype, number of axes and channels."""
    return pixels.dtype, pixels.ndim, pixels.shape[3 if pixels.ndim == 4 else 2 :]


def read_folder(
    path: Path, pick: Pick, *, alpha: str | None = None, unlike: bool = False
) -> RawImages:
    """Read images from a folder with one sub-folder a class; only the chosen ones are decoded.

    Parameters
    ----------
    path : pathlib.Path
        The folder. Classes are its sub-folders, sorted by name; images the PNG, TIFF, JPEG, WebP
        and BMP files in them, or NIfTI files, sorted by name. A folder without sub-folders holds
        images without classes. Hidden entries are passed over, and others with a note.
    pick : callable
        Chooses the images to read.
    alpha : {"drop", "white", "black"} or None
        See `refntk.data.images.decode.flatten`.
    unlike : bool
        Let images differ in size.

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
    with reading(path):
        class_names, classes, passed = _find(path)
    every = [file for files in classes for file in files]
    if not all(map(is_nifti, every)):
        need_pillow(path)
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes])
    known = None if class_names is None else labels
    names = tuple(file.relative_to(path).as_posix() for file in every)
    indices = pick(len(labels), known, names)
    chosen = [every[index] for index in indices]
    note, images = _passed_text(path, passed), f"{len(every)} image{'s' * (len(every) != 1)}"
    return RawImages(
        images=_decode_all(chosen, alpha, unlike),
        indices=indices,
        labels=None if known is None else known[indices],
        class_names=None if class_names is None else tuple(class_names),
        names=tuple(names[index] for index in indices),
        notes=(f"{images} found{note}",) if note else (),
    )


def read_files(
    paths: Sequence[Path],
    pick: Pick,
    *,
    alpha: str | None = None,
    unlike: bool = False,
    page: int | None = None,
) -> RawImages:
    """Read images from single files, without classes.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        In this order.
    pick, alpha, unlike
        As for `read_folder`.
    page : int or None
        Of a single TIFF file of several, counted from 1.

    Returns
    -------
    RawImages

    Raises
    ------
    InputError
        As `read_folder`.
    """
    if not all(map(is_nifti, paths)):
        need_pillow(paths[0])
    names = tuple(file.as_posix() for file in paths)
    indices = pick(len(paths), None, names)
    chosen = [paths[index] for index in indices]
    return RawImages(
        images=_decode_all(chosen, alpha, unlike, page),
        indices=indices,
        names=tuple(names[index] for index in indices),
    )
