"""The tags of a TIFF page, which say what its values mean. Source: TIFF 6.0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from refntk.errors import InputError

__all__ = ["ASSOCIATED", "KINDS", "TIFF_MARKS", "TiffTags", "read_tags"]

KINDS = "8- or 16-bit grey, float grey or 8-bit RGB"
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ASSOCIATED = 1
"""The meaning of an extra sample: alpha, and the colours are multiplied by it."""

_PHOTOMETRIC = {4: "a mask", 5: "CMYK", 8: "CIE L*a*b*", 32803: "a colour filter array"}
_FORMATS = {1: "u", 2: "i", 3: "f", 4: "u"}  # 4 is "undefined", which writers use for bytes
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 6: 3}


@dataclass(frozen=True)
class TiffTags:
    """What the tags of a TIFF page say about its values.

    Parameters
    ----------
    bits : int
        Of one sample.
    kind : str
        ``"u"``, ``"i"`` or ``"f"``.
    photometric : int
        0 white is zero, 1 black is zero, 2 RGB, 3 palette, 6 YCbCr.
    extra : tuple of int
        Meaning of samples beyond the colours: 1 and 2 are alpha.
    orientation : int
        1 to 8, as in EXIF.
    swapped : bool
        Whether the file is big-endian and compressed.
    """

    bits: int
    kind: str
    photometric: int
    extra: tuple[int, ...]
    orientation: int
    swapped: bool = False

    @property
    def by_pillow(self) -> bool:
        """Whether Pillow has a mode that keeps every value."""
        grey = self.photometric in (0, 1)
        if self.extra == (ASSOCIATED,) or (grey and self.extra):
            return False
        if self.kind == "u" and self.bits <= 8:
            return True
        if not grey:
            return False
        if self.swapped and self.kind == "f":
            return False  # libtiff turns the bytes of these round, and then Pillow does
        return (self.kind, self.bits) in (("u", 12), ("u", 16), ("i", 8), ("f", 32)) and (
            self.photometric == 1 or (self.kind, self.bits) == ("u", 16)
        )

    @property
    def word(self) -> str:
        """Kind of a sample, for messages."""
        return {"u": "unsigned", "i": "signed", "f": "floating-point"}[self.kind]

    @property
    def top(self) -> float:
        """Largest value of a sample: 1 for floats."""
        return {"u": 2.0**self.bits - 1, "i": 2.0 ** (self.bits - 1) - 1, "f": 1.0}[self.kind]


def read_tags(path: Path, stream: BinaryIO, page: int | None) -> TiffTags:
    """Read the tags of one page, or refuse what is valid and has no pixels for us.

    Parameters
    ----------
    path : pathlib.Path
        For messages.
    stream : binary file
        At the beginning of a TIFF file.
    page : int or None
        Counted from 1. None: the only one.

    Returns
    -------
    TiffTags

    Raises
    ------
    InputError
        No such page, or several of which none is chosen; colours, samples or a volume that are not
        supported.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    head = stream.read(8)
    if head[2:4] in (b"+\0", b"\0+"):
        head += stream.read(8)
    directory = ImageFileDirectory_v2(head)
    seen: list[int] = []
    while len(seen) < (page or 1):
        if not directory.next or directory.next in seen:
            raise InputError(f"{path}: has no page {page or 1}, only {len(seen)}")
        seen.append(directory.next)
        stream.seek(directory.next)
        directory.load(stream)
    if page is None and directory.next:
        raise InputError(f"{path}: holds several pages; choose one, as in {path}::1 for the first")
    tags = dict(directory)

    def several(tag: int, default: int) -> tuple[int, ...]:
        value = tags.get(tag, default)
        return tuple(int(v) for v in value) if isinstance(value, tuple) else (int(value),)

    photometric = several(262, 1)[0]
    if photometric not in _COLOURS:
        named = _PHOTOMETRIC.get(photometric, f"photometric {photometric}")
        raise InputError(
            f"{path}: is a valid TIFF file, but {named} is not supported; convert it to grey or RGB"
        )
    if several(32997, 1)[0] != 1:
        raise InputError(f"{path}: is a TIFF file of a volume, expected an image; save its slices")
    bits, formats = set(several(258, 1)), set(several(339, 1))
    if len(bits) > 1 or len(formats) > 1 or not formats <= set(_FORMATS):
        raise InputError(
            f"{path}: is a valid TIFF file, but samples of {sorted(bits)[:4]} bits and "
            f"formats {sorted(formats)[:4]} are not supported; convert it to {KINDS}"
        )
    count = several(277, 1)[0] - _COLOURS[photometric]
    extra = several(338, 0) if 338 in tags else (0,) * max(count, 0)
    # tag 338 may be left out, or say less than the number of samples
    if count < 0 or count > 1 or (count == 1 and (extra or (0,))[0] not in (1, 2)):
        raise InputError(
            f"{path}: is a TIFF file of {several(277, 1)[0]} samples a pixel that are neither grey "
            f"nor RGB, with or without alpha, which is not supported; convert it to {KINDS}"
        )
    swapped = head[:2] == b"MM" and several(259, 1)[0] != 1
    return TiffTags(
        bits.pop(), _FORMATS[formats.pop()], photometric, extra[:count], several(274, 1)[0], swapped
    )
