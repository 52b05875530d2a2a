"""One image file to pixels: its tags decide, once, what every stored value means.

Pillow, tifffile and imagecodecs decode; they are the extra `images`. None is trusted with the
meaning: Pillow takes signed bytes for unsigned ones, 12 bits for 16, and white-is-zero for
black-is-zero. Source of the tags: TIFF 6.0, and the PNG specification, third edition.
"""

from __future__ import annotations

import logging
import os
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.tiff_tags import ASSOCIATED, KINDS, TIFF_MARKS, TiffTags, read_tags
from refntk.data.limits import reading, refuse_memory
from refntk.errors import InputError, unknown

if TYPE_CHECKING:
    from PIL import Image, ImageFile

__all__ = ["ALPHA", "SUFFIXES", "decode", "flatten", "need_pillow", "upright"]

# Pillow and tifffile log what is odd about a TIFF file before they raise. Without this, Python
# would print that on stderr beside the one line that is meant for it; other handlers get it.
for _name in ("PIL", "tifffile"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

ALPHA = ("drop", "white", "black")
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp")
_INDIRECT = {3: "palette", 6: "YCbCr"}  # of these photometrics, samples are no pixels
_PNG_MARK = b"\x89PNG\r\n\x1a\n"


def need_pillow(path: Path) -> None:
    """Refuse where Pillow is not installed.

    Parameters
    ----------
    path : pathlib.Path
        What it is needed for.

    Raises
    ------
    InputError
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise InputError(
            f'{path}: folders of images need Pillow; install it with pip install "refntk[images]"'
        ) from error


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror pixels so that they stand as the tag Orientation says.

    Parameters
    ----------
    pixels : array, shape (H, W) or (H, W, C)
        As stored.
    orientation : int
        1 to 8, as in TIFF 6.0 and EXIF; another number counts as 1.

    Returns
    -------
    array, shape (H, W, ...) or (W, H, ...)
        Row 0 is the visual top, column 0 the visual left.
    """
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def flatten(path: Path, pixels: NDArray[Any], alpha: str | None, top: float) -> NDArray[Any]:
    """Take the last channel, transparency, off pixels.

    Parameters
    ----------
    path : pathlib.Path
        For the message.
    pixels : array, shape (H, W, C + 1)
        The last channel is alpha, not multiplied into the colours.
    alpha : {"drop", "white", "black"} or None
        Leave it out, or lay the image on a ground. None: only where every pixel is opaque, and it
        says nothing.
    top : float
        Value of white, and of an opaque pixel.

    Returns
    -------
    array, shape (H, W) or (H, W, C)
        In the dtype of `pixels`; integers are rounded.

    Raises
    ------
    InputError
        Some pixel is transparent, and `alpha` is None.
    """
    colours, cover = pixels[..., :-1], pixels[..., -1:]
    if alpha in ("white", "black"):
        part = cover / top
        mixed = part * colours + (1 - part) * (top if alpha == "white" else 0.0)
        colours = (np.rint(mixed) if pixels.dtype.kind in "iu" else mixed).astype(pixels.dtype)
    elif alpha is None and not (cover == top).all():
        raise InputError(
            f"{path}: has transparent pixels; choose --alpha drop to leave the transparency out, "
            "or --alpha white or black for what lies behind the image"
        )
    return colours[..., 0] if colours.shape[-1] == 1 else colours


def _divided_by_alpha(pixels: NDArray[Any], top: float) -> NDArray[Any]:
    """Take the alpha that is multiplied into the colours out of them, as `flatten` wants it.

    TIFF 6.0 calls it associated. Where nothing is seen the colours are 0.
    """
    colours, cover = pixels[..., :-1], pixels[..., -1:]
    seen = np.divide(colours, cover / top, out=np.zeros(colours.shape), where=cover > 0)
    if pixels.dtype.kind in "iu":
        seen = np.minimum(np.rint(seen), top)
    return np.concatenate([seen.astype(pixels.dtype), cover], axis=-1)


def _refuse_mode(path: Path, mode: str) -> InputError:
    return InputError(
        f"{path}: has pixels of mode {mode}, which is valid but not supported, expected {KINDS}; "
        "convert it"
    )


def _png_kind(path: Path, stream: BinaryIO) -> tuple[int, int]:
    """Bits of a sample and colour type; refuse a file that ends too early."""
    head = stream.read(33)
    end = os.fstat(stream.fileno()).st_size
    place = 8
    while place + 12 <= end:
        stream.seek(place)
        length, name = struct.unpack(">I4s", stream.read(8))
        place += 12 + length
        if name == b"IEND" and place <= end:
            return head[24], head[25]
    raise InputError(
        f"{path}: cannot be read (it ends before its last chunk); the file is damaged or not what "
        "its name says: copy or download it again"
    )


def _refuse_pointer(path: Path, mark: bytes, stream: BinaryIO) -> None:
    """Refuse the few lines of text that stand for a file whose contents were not fetched."""
    if b"\0" in mark or not mark.isascii():
        return
    stream.seek(0)
    text = stream.read(512)
    if text.startswith(b"version https://git-lfs") or b"annex/objects" in text:
        raise InputError(
            f"{path}: is a pointer of git-annex or Git LFS, not an image; fetch the contents, with "
            "git annex get or git lfs pull"
        )


def _pillow_pixels(
    path: Path, image: Image.Image, alpha: str | None, bits: int
) -> NDArray[Any]:
    """Pixels of a loaded image by its mode and the transparency that comes with it.

    `bits` is what a sample of the file has: a transparent value is given as it is stored there.
    """
    key = image.info.get("transparency")
    if image.mode == "P":
        with_alpha = key is not None
        pixels = np.asarray(image.convert("RGBA" if with_alpha else "RGB"))
        return flatten(path, pixels, alpha, 255) if with_alpha else pixels
    if image.mode in ("LA", "RGBA"):
        return flatten(path, np.asarray(image), alpha, 255)
    if image.mode == "PA":
        return flatten(path, np.asarray(image.convert("RGBA")), alpha, 255)
    if image.mode not in ("1", "L", "RGB", "I;16", "I;16B", "F"):
        raise _refuse_mode(path, image.mode)
    pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if key is None or image.mode == "F":
        return pixels
    if image.mode in ("1", "L") and isinstance(key, int):
        key = min(key, 2**bits - 1) * 255 // (2**bits - 1)
    if isinstance(key, bytes):
        raise _refuse_mode(path, f"{image.mode} with a table of transparency")
    colours = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    top = np.iinfo(pixels.dtype).max
    cover = np.where((colours == np.asarray(key)).all(axis=-1, keepdims=True), 0, top)
    return flatten(path, np.concatenate([colours, cover.astype(pixels.dtype)], -1), alpha, top)


def _refuse_frames(path: Path, image: Any) -> None:
    """Refuse an animation; what follows the image of a camera's JPEG file are previews of it."""
    frames = getattr(image, "n_frames", 1)
    if frames != 1 and image.format != "MPO":
        raise InputError(
            f"{path}: holds {frames} frames; expected a single image: save one of them"
        )


def _by_imagecodecs(path: Path, alpha: str | None) -> NDArray[Any]:
    """Decode a PNG file of 16 bits in colour or with alpha, which Pillow cuts to 8."""
    from PIL import Image

    try:
        import imagecodecs
    except ImportError as error:
        raise InputError(
            f"{path}: has 16-bit colours or alpha, and a PNG file of these needs imagecodecs; "
            'install it with pip install "refntk[images]", or save it as TIFF'
        ) from error
    with path.open("rb") as stream, Image.open(stream, formats=("PNG",)) as image:
        _refuse_frames(path, image)
        turn = int(image.getexif().get(274, 1))
        shape = image.size[::-1]
    pixels: NDArray[Any] = imagecodecs.png_decode(path.read_bytes())
    if pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[:2] != shape:
        raise _refuse_mode(path, f"{pixels.dtype} of shape {pixels.shape}")
    if pixels.shape[2] in (2, 4):
        pixels = flatten(path, pixels, alpha, 65535)
    return upright(pixels, turn)


def _by_pillow(
    path: Path, alpha: str | None, tags: TiffTags | None, *, bits: int = 8, page: int = 0
) -> NDArray[Any]:
    """Decode with Pillow; what its mode does not tell, the tags do, or the bits of a PNG file."""
    from PIL import Image

    formats = ("PNG", "JPEG", "WEBP", "BMP") if tags is None else ("TIFF",)
    # From a stream: Pillow maps a named file by sides that it has exchanged already, for some tags.
    with path.open("rb") as stream, Image.open(stream, formats=formats) as image:
        opened: ImageFile.ImageFile = image
        if tags is None:
            _refuse_frames(path, opened)
        else:
            opened.seek(page)
        # Pillow turns TIFF itself when it loads, and no other format.
        turn = 1 if tags is not None else int(opened.getexif().get(274, 1))
        opened.load()
        pixels = upright(_pillow_pixels(path, opened, alpha, bits), turn)
    if tags is None or tags.photometric not in (0, 1):
        return pixels
    if tags.kind == "i":
        return pixels.view(np.int8)
    if tags.bits == 16 and tags.photometric == 0:
        return np.uint16(65535) - pixels
    return pixels / tags.top if tags.bits == 12 else pixels


def _by_tifffile(path: Path, alpha: str | None, tags: TiffTags, number: int) -> NDArray[Any]:
    """Decode what Pillow has no mode for."""
    if tags.photometric in _INDIRECT:
        raise _refuse_mode(path, f"{tags.bits}-bit {_INDIRECT[tags.photometric]}")
    if tags.photometric == 0 and (tags.kind != "u" or tags.extra == (ASSOCIATED,)):
        with_alpha = " and alpha" if tags.extra else ""
        raise _refuse_mode(path, f"{tags.bits}-bit {tags.word} with white as zero{with_alpha}")
    try:
        import tifffile
    except ImportError as error:
        raise InputError(
            f"{path}: is a TIFF file of {tags.bits}-bit {tags.word} samples, which needs "
            'tifffile; install it with pip install "refntk[images]"'
        ) from error
    with tifffile.TiffFile(path) as file:
        page = file.pages[number]
        refuse_memory(path, page.nbytes)
        try:
            pixels = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            packed = tifffile.COMPRESSION(page.compression).name
            raise InputError(
                f"{path}: is a valid TIFF file of {tags.bits}-bit {tags.word} samples, whose "
                f"compression {packed} needs the package imagecodecs; install it, or save the file "
                "without compression"
            ) from error
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim not in (2, 3):
        raise _refuse_mode(path, f"{page.axes} of shape {pixels.shape}")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if tags.photometric == 0:
        colours = pixels[..., :1] if tags.extra else pixels  # alpha has no photometric
        colours[...] = np.asarray(tags.top, pixels.dtype) - colours
    if tags.extra == (ASSOCIATED,):
        pixels = _divided_by_alpha(pixels, tags.top)
    if tags.extra:
        pixels = flatten(path, pixels, alpha, tags.top)
    if tags.kind != "f" and tags.bits != 8 * pixels.dtype.itemsize:
        pixels = pixels / tags.top
    return upright(pixels, tags.orientation)


def decode(path: Path, alpha: str | None = None, page: int | None = None) -> NDArray[Any]:
    """Decode one PNG, TIFF, JPEG, WebP or BMP file.

    Parameters
    ----------
    path : pathlib.Path
        The file; its first bytes say what it is.
    alpha : {"drop", "white", "black"} or None
        What becomes of transparency, see `flatten`.
    page : int or None
        Of a TIFF file, counted from 1. None: its only one.

    Returns
    -------
    array, shape (H, W) or (H, W, C)
        In native byte order, standing as the tag Orientation says, white as the largest value. Of
        the type that the file stores; float64, divided by ``2**bits - 1``, where it stores integers
        of a number of bits that no type has.

    Raises
    ------
    InputError
        Damaged; valid but of a kind that is not supported; transparent with `alpha` None; several
        frames; several pages, or no such; more pixels than Pillow's limit; tifffile or imagecodecs
        missing where needed.
    """
    from PIL import Image, UnidentifiedImageError

    if alpha is not None and alpha not in ALPHA:
        raise InputError(unknown("alpha", alpha, ALPHA))
    with reading(path):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with path.open("rb") as stream:
                mark = stream.read(8)
                _refuse_pointer(path, mark, stream)
                stream.seek(0)
                tiff = mark[:4] in TIFF_MARKS
                bits, colours = _png_kind(path, stream) if mark == _PNG_MARK else (8, 0)
                tags = read_tags(path, stream, page) if tiff else None
            if page is not None and not tiff:
                raise InputError(f"{path}: is no TIFF file and has no pages; leave out ::{page}")
            if tags is None and bits == 16 and colours in (2, 4, 6):
                return _by_imagecodecs(path, alpha)
            if tags is None:
                return _by_pillow(path, alpha, None, bits=bits)
            if tags.by_pillow:
                try:
                    return _by_pillow(path, alpha, tags, page=(page or 1) - 1)
                except UnidentifiedImageError:
                    pass  # valid, and of a layout that Pillow has no mode for
            return _by_tifffile(path, alpha, tags, (page or 1) - 1)
        except UnidentifiedImageError as error:
            raise InputError(
                f"{path}: cannot be read (its contents are no PNG, TIFF, JPEG, WebP or BMP image); "
                "the file is damaged or not what its name says"
            ) from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(
                f"{path}: has more than {Image.MAX_IMAGE_PIXELS} pixels, Pillow's limit against "
                "decompression bombs; make it smaller"
            ) from error
