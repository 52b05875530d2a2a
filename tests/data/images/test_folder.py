"""Folders with one sub-folder of images a class."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refntk.data import limits, load_images
from refntk.data.images.decode import upright
from refntk.errors import InputError, InputWarning


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def random_pixels(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape, dtype=np.uint8)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Assemble a PNG file by hand, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def test_classes_and_images_are_sorted_by_name(tmp_path, rng):
    pixels = random_pixels(rng, 4, 6, 5, 3)
    save(tmp_path / "TUM" / "b.PNG", pixels[3])
    save(tmp_path / "TUM" / "a.tif", pixels[2])
    save(tmp_path / "ADI" / "z.tiff", pixels[1])
    save(tmp_path / "ADI" / "c.png", pixels[0])
    (tmp_path / "ADI" / "notes.txt").write_text("no image")
    (tmp_path / "ADI" / ".hidden.png").write_text("no image")
    (tmp_path / ".cache").mkdir()
    with pytest.warns(InputWarning, match=r"4 images found; 1 entry is passed over: ADI/notes"):
        loaded = load_images(str(tmp_path))
    np.testing.assert_array_equal(loaded.images, pixels)
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 0, 1, 1]
    assert loaded.class_names == ("ADI", "TUM")
    assert loaded.names == ("ADI/c.png", "ADI/z.tiff", "TUM/a.tif", "TUM/b.PNG")


def test_jpeg_is_decoded_by_pillow(tmp_path, rng):
    path = tmp_path / "a" / "x.jpg"
    save(path, random_pixels(rng, 16, 16, 3))
    with Image.open(path) as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(load_images(str(tmp_path)).images[0], expected)


@pytest.mark.parametrize(
    ("dtype", "suffix"), [("uint8", "png"), ("uint16", "png"), ("uint16", "tif"), ("f4", "tif")]
)
def test_grey_images_keep_their_type(tmp_path, rng, dtype, suffix):
    pixels = rng.integers(0, 250, (6, 5)).astype(dtype) * (1 if dtype == "uint8" else 257)
    save(tmp_path / "a" / f"x.{suffix}", pixels)
    loaded = load_images(str(tmp_path)).images
    assert loaded.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(loaded[0, ..., 0], pixels)


def tiff(code: str, samples: int = 1) -> bytes:
    """Assemble a 16-bit grey TIFF file of 3 by 2 pixels by hand, in either byte order."""
    tags = [(256, 3), (257, 2), (258, 16), (259, 1), (262, 1), (273, 128), (277, samples), (278, 2)]
    entries = [struct.pack(code + "HHIHH", tag, 3, 1, value, 0) for tag, value in tags]
    entries.append(struct.pack(code + "HHII", 279, 4, 1, 12))
    mark = {"<": b"II*\0", ">": b"MM\0*"}[code]
    head = mark + struct.pack(code + "IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    return head.ljust(128, b"\0") + struct.pack(code + "6H", 1, 2, 300, 4, 5, 65535)


@pytest.mark.parametrize("code", "<>")
def test_16_bit_tiff_of_either_byte_order(tmp_path, code):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.tif").write_bytes(tiff(code))
    loaded = load_images(str(tmp_path)).images
    assert loaded.dtype == np.uint16
    assert loaded.dtype.isnative
    assert loaded[0, ..., 0].tolist() == [[1, 2, 300], [4, 5, 65535]]


def test_pillow_does_not_write_on_stderr(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.tif").write_bytes(tiff("<", samples=2048))
    code = (
        "import sys, refntk.data\n"
        "try: refntk.data.load_images(sys.argv[1])\n"
        "except ValueError: pass\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")


def test_a_palette_becomes_rgb(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([1, 0])
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "x.png")
    assert load_images(str(tmp_path)).images.tolist() == [[[[40, 50, 60], [10, 20, 30]]]]


def test_a_subset_decodes_only_what_it_takes(tmp_path, rng):
    for index in range(6):
        save(tmp_path / f"c{index % 2}" / f"{index}.png", random_pixels(rng, 4, 4, 3))
    loaded = load_images(str(tmp_path), limit=2, seed=1)
    assert loaded.names is not None
    for name in {"c0/0.png", "c0/2.png", "c0/4.png", "c1/1.png"} - set(loaded.names):
        (tmp_path / name).write_bytes(b"damaged")
    again = load_images(str(tmp_path), limit=2, seed=1)
    np.testing.assert_array_equal(again.images, loaded.images)
    assert again.labels is not None
    assert again.labels.tolist() == [0, 1]


def test_no_class(tmp_path):
    (tmp_path / "x.txt").write_text("no image")
    message = "holds no sub-folder; expected one .*; 1 entry is passed over: x.txt"
    with pytest.raises(InputError, match=message):
        load_images(str(tmp_path))


def test_a_class_without_images(tmp_path, rng):
    save(tmp_path / "a" / "x.png", random_pixels(rng, 4, 4, 3))
    (tmp_path / "b").mkdir()
    message = r"b: holds no PNG, TIFF, JPEG, WebP or BMP image, or NIfTI file; every sub-folder"
    with pytest.raises(InputError, match=message):
        load_images(str(tmp_path))


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 4)])
def test_images_of_different_size_or_kind(tmp_path, rng, shape):
    save(tmp_path / "a" / "x.png", random_pixels(rng, 4, 4, 3))
    save(tmp_path / "a" / "y.png", random_pixels(rng, *shape))
    with pytest.raises(InputError, match=r"y\.png: has shape .* need the same size and kind"):
        load_images(str(tmp_path))


def test_modes_that_are_neither_grey_nor_rgb(tmp_path, rng):
    path = tmp_path / "a" / "x.tif"
    path.parent.mkdir()
    Image.fromarray(random_pixels(rng, 4, 4, 4), "CMYK").save(path)
    message = r"x\.tif: is a valid TIFF file, but CMYK is not supported"
    with pytest.raises(InputError, match=message):
        load_images(str(tmp_path))


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("orientation", [1, 6])
def test_16_bit_png_is_not_cut_to_8_bits(tmp_path, rng, channels, orientation):
    import imagecodecs

    pixels = rng.integers(0, 65536, (4, 5, channels), dtype=np.uint16)
    if channels in (2, 4):
        pixels[..., -1] = 65535
    data = imagecodecs.png_encode(pixels)
    if orientation != 1:
        exif = Image.Exif()
        exif[274] = orientation
        chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
        packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        data = data[:33] + packed + data[33:]
    (tmp_path / "x.png").write_bytes(data)
    found = load_images(tmp_path / "x.png").images[0]
    expected = upright(pixels, orientation)
    expected = expected[..., :-1] if channels in (2, 4) else expected
    np.testing.assert_array_equal(found, expected)


def test_transparency_of_a_16_bit_png(tmp_path, rng):
    import imagecodecs

    pixels = rng.integers(0, 65535, (4, 5, 4), dtype=np.uint16)
    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(pixels))
    with pytest.raises(InputError, match="has transparent pixels; choose --alpha drop"):
        load_images(tmp_path / "x.png")
    found = load_images(tmp_path / "x.png", alpha="drop").images[0]
    np.testing.assert_array_equal(found, pixels[..., :3])


def test_a_16_bit_png_without_imagecodecs(tmp_path, monkeypatch):
    import imagecodecs

    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(np.zeros((4, 5, 3), np.uint16)))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(InputError, match=r"needs imagecodecs; install it with .*refntk\[images\]"):
        load_images(tmp_path / "x.png")


def test_several_frames(tmp_path):
    (tmp_path / "a").mkdir()
    frames = [Image.new("L", (4, 4), colour) for colour in (0, 9, 99)]
    frames[0].save(tmp_path / "a" / "x.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"x\.tif: holds several pages; choose one, as in"):
        load_images(str(tmp_path))


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_pillows_bomb_limit_stays_on(tmp_path, side):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(png(side, side, 8, 0, b""))
    with pytest.raises(InputError, match=r"x\.png: has more than 89478485 pixels, Pillow's limit"):
        load_images(str(tmp_path))


def test_more_images_than_memory(tmp_path, monkeypatch, rng):
    for index in range(5):
        save(tmp_path / "a" / f"{index}.png", random_pixels(rng, 10, 10, 3))
    monkeypatch.setattr(limits, "available_memory", lambda: 1200)
    with pytest.raises(InputError, match=r"needs 1\.5 kB of memory, 1\.2 kB are available"):
        load_images(str(tmp_path))


@pytest.mark.parametrize("lost", [1, 20, 300])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "bmp", "webp"])
def test_truncated_and_foreign_files(tmp_path, rng, suffix, lost):
    path = tmp_path / "a" / f"x.{suffix}"
    save(path, random_pixels(rng, 32, 32, 3))
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(InputError, match=rf"x\.{suffix}: cannot be read \(.*the file is damaged"):
        load_images(str(tmp_path))
    path.write_bytes(b"GIF89a, or something else")
    with pytest.raises(InputError, match=rf"x\.{suffix}: cannot be read \(its contents are no PNG"):
        load_images(str(tmp_path))


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "x.png").write_bytes(b"")
    message = r'folders of images need Pillow; install it with pip install "refntk\[images\]"'
    with pytest.raises(InputError, match=message):
        load_images(str(tmp_path))
