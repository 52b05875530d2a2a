"""What the tags of an image file say about its values, each kind with values that are known."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from refntk.data import load_images, load_inputs
from refntk.data.images.decode import decode, flatten, upright
from refntk.errors import InputError, RefntkWarning

ALPHAS = {"drop": 200, "white": 255, "black": 0}


def tiff(tags: dict[int, int | tuple[int, ...]], data: bytes, width: int, height: int) -> bytes:
    """Assemble a little-endian TIFF file by hand."""
    count = tags.get(277, 1)
    full = {256: width, 257: height, 259: 1, 262: 1, 273: 0, 277: count, 278: height}
    full |= {279: len(data)} | tags
    entries, extra = [], b""
    place = 8 + 2 + 12 * len(full) + 4
    behind = sum(2 * len(v) for v in full.values() if isinstance(v, tuple) and len(v) > 2)
    for tag, value in sorted(full.items()):
        values = value if isinstance(value, tuple) else (value,)
        if tag == 273:
            values = (place + behind,)
        if len(values) > 2:
            entries.append(struct.pack("<HHII", tag, 3, len(values), place + len(extra)))
            extra += struct.pack(f"<{len(values)}H", *values)
        else:
            packed = struct.pack(f"<{len(values)}H", *values).ljust(4, b"\0")
            entries.append(struct.pack("<HHI", tag, 3, len(values)) + packed)
    head = b"II*\0" + struct.pack("<IH", 8, len(full)) + b"".join(entries) + bytes(4)
    return head + extra + data


@pytest.mark.parametrize("offset", range(24))
def test_lzw_tiff_is_8_bit_wherever_its_directory_lies(tmp_path, offset):
    # Among these lengths of data are directories at offsets with the digits 16 in them.
    pixels = np.random.default_rng(offset).integers(0, 256, (8 + offset, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(decode(tmp_path / "x.tif"), pixels)


def test_a_directory_at_an_offset_with_the_digits_16(tmp_path):
    for side in range(4, 60):
        pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "x.tif", compression="tiff_lzw")
        with Image.open(tmp_path / "x.tif") as image:
            if any("16" in str(tile[3]) for tile in image.tile):
                break
    else:
        pytest.fail("no file of this kind was made")
    np.testing.assert_array_equal(decode(tmp_path / "x.tif"), pixels)


def test_signed_bytes(tmp_path):
    values = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    (tmp_path / "x.tif").write_bytes(tiff({258: 8, 339: 2}, values.tobytes(), 4, 4))
    found = decode(tmp_path / "x.tif")
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, values)


def test_12_bits_are_a_fraction_of_4095(tmp_path):
    # Two samples in three bytes: 0x000, 0xFFF.
    (tmp_path / "x.tif").write_bytes(tiff({258: 12}, b"\x00\x0f\xff", 2, 1))
    assert decode(tmp_path / "x.tif").tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_zero(tmp_path, bits):
    values = np.array([[0, 1, 2**bits - 1]], f"u{bits // 8}")
    (tmp_path / "x.tif").write_bytes(tiff({258: bits, 262: 0}, values.tobytes(), 3, 1))
    assert decode(tmp_path / "x.tif").tolist() == [[2**bits - 1, 2**bits - 2, 0]]


@pytest.mark.parametrize("dtype", ["i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_types_that_pillow_has_no_mode_for(tmp_path, rng, dtype, colours):
    values = (rng.random((4, 5, *colours)) * 100).astype(dtype)
    kind = "rgb" if colours else "minisblack"
    tifffile.imwrite(tmp_path / "x.tif", values, photometric=kind)
    found = decode(tmp_path / "x.tif")
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", "<>")
def test_16_bit_rgb_tiff(tmp_path, rng, planar, order):
    values = rng.integers(0, 65536, (4, 5, 3)).astype(np.uint16)
    stored = values if planar == "contig" else np.moveaxis(values, -1, 0)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, byteorder=order)
    np.testing.assert_array_equal(decode(path), values)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@given(orientation=st.integers(1, 8))
def test_one_orientation_in_every_format(tmp_path_factory, suffix, orientation):
    stored = np.zeros((16, 32), np.uint8)
    stored[:8, :8] = 255
    path = tmp_path_factory.mktemp("o") / f"x.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(path, exif=exif)
    found = decode(path)
    found = found[..., 0] if found.ndim == 3 else found
    assert (np.abs(upright(stored, orientation).astype(int) - found) < 60).all()


def test_orientation_6_is_a_quarter_turn_clockwise():
    np.testing.assert_array_equal(upright(np.arange(6).reshape(2, 3), 6), [[3, 0], [4, 1], [5, 2]])


def transparent(kind: str) -> Image.Image:
    """One pixel of grey level 200 that is wholly transparent."""
    if kind in ("RGBA", "LA"):
        return Image.new(kind, (1, 1), (200,) * (len(kind) - 1) + (0,))
    image = Image.new(kind, (1, 1), 0 if kind == "P" else 200 if kind == "L" else (200,) * 3)
    if kind == "P":
        image.putpalette([200, 200, 200])
    image.info["transparency"] = {"P": 0, "L": 200, "RGB": (200, 200, 200)}[kind]
    return image


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparency_is_one_thing_however_it_is_stored(tmp_path, kind):
    path = tmp_path / "x.png"
    image = transparent(kind)
    image.save(path, transparency=image.info.get("transparency"))
    with pytest.raises(InputError, match=r"x\.png: has transparent pixels; choose --alpha drop"):
        decode(path)
    for alpha, value in ALPHAS.items():
        assert set(decode(path, alpha).ravel().tolist()) == {value}


def test_alpha_that_says_nothing_is_left_out(tmp_path):
    Image.new("RGBA", (2, 2), (1, 2, 3, 255)).save(tmp_path / "x.png")
    assert decode(tmp_path / "x.png")[0, 0].tolist() == [1, 2, 3]


@given(grey=st.integers(0, 255), cover=st.integers(0, 255))
def test_a_ground_is_mixed_by_the_cover(tmp_path_factory, grey, cover):
    pixel = np.array([[[grey, cover]]], np.uint8)
    for alpha, ground in (("white", 255), ("black", 0)):
        expected = (grey * cover + ground * (255 - cover)) / 255
        assert abs(int(flatten(None, pixel, alpha, 255)[0, 0]) - expected) <= 0.5 + 1e-9


def test_an_unknown_word_for_alpha(tmp_path):
    with pytest.raises(InputError, match='unknown alpha "whit" .did you mean "white"'):
        load_images("sample:digits", alpha="whit")


@given(missing=st.integers(1, 40))
def test_a_png_that_ends_early(tmp_path_factory, missing):
    path = tmp_path_factory.mktemp("p") / "x.png"
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(out, "PNG")
    path.write_bytes(out.getvalue()[:-missing])
    with pytest.raises(InputError, match=r"x\.png: cannot be read \(it ends before its last chunk"):
        decode(path)


def test_contents_that_were_not_fetched(tmp_path):
    (tmp_path / "x.png").write_text("../.git/annex/objects/a/b/x.png\n")
    with pytest.raises(InputError, match="is a pointer of git-annex or Git LFS"):
        decode(tmp_path / "x.png")


def test_webp_and_bmp_are_images(tmp_path, rng):
    pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    for suffix, more in (("png", {}), ("bmp", {}), ("webp", {"lossless": True})):
        Image.fromarray(pixels).save(tmp_path / f"x.{suffix}", **more)
    found = load_images(str(tmp_path))
    assert found.labels is None
    assert found.names == ("x.bmp", "x.png", "x.webp")
    for image in found.images:
        np.testing.assert_array_equal(image, pixels)


def test_what_is_passed_over_is_counted(tmp_path):
    for name in ("a/1.png", "a/deeper/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    (tmp_path / "a" / "3.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    message = r"1 image found; 3 entries are passed over: b \(a link to nothing\), a/deeper/, a/3"
    with pytest.warns(RefntkWarning, match=message):
        assert len(load_images(str(tmp_path)).images) == 1


def test_a_single_image_and_a_pattern(tmp_path):
    for number in range(3):
        Image.new("L", (4, 4), number).save(tmp_path / f"{number}.png")
    assert load_images(str(tmp_path / "1.png")).images.max() == 1
    found = load_images(str(tmp_path / "[12].png"))
    assert found.images[:, 0, 0, 0].tolist() == [1, 2]
    with pytest.raises(InputError, match="no such file or folder"):
        load_images(str(tmp_path / "*.tif"))


def test_images_of_unlike_size(tmp_path):
    Image.new("L", (8, 4), 51).save(tmp_path / "a.png")
    Image.new("L", (6, 6), 102).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="the same size and kind: --size PX shrinks images"):
        load_images(str(tmp_path))
    with pytest.warns(RefntkWarning, match="differ in size; --size squeezes each into one square"):
        found = load_images(str(tmp_path), size=4)
    np.testing.assert_allclose(found.images[:, 0, 0, 0], [0.2, 0.4], rtol=1e-15)
    with pytest.warns(RefntkWarning, match="differ in size; --fit crop keeps the middle of each"):
        load_images(str(tmp_path), size=4, fit="crop")
    with pytest.warns(RefntkWarning, match="differ in size; --fit pad puts black around each"):
        load_images(str(tmp_path), size=8, fit="pad")


def test_a_fit_without_a_size(tmp_path):
    Image.new("L", (8, 4), 51).save(tmp_path / "a.png")
    for load in (load_images, load_inputs):
        with pytest.raises(InputError, match="--fit crop: says how images come to one size; add"):
            load(str(tmp_path / "a.png"), fit="crop")


def test_a_name_that_is_not_utf8(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    (tmp_path / "a").mkdir()
    try:
        Image.new("L", (4, 4)).save(tmp_path / "a" / name)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    assert load_images(str(tmp_path)).names == (r"a/caf\xe9.png",)


def png(bits: int, rows: list[list[int]], transparent: int) -> bytes:
    """Assemble a grey PNG file of 1 to 8 bits with a transparent value by hand."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    text = ["".join(format(value, f"0{bits}b") for value in row) for row in rows]
    lines = [line.ljust(-(-len(line) // 8) * 8, "0") for line in text]
    data = b"".join(b"\0" + int(line, 2).to_bytes(len(line) // 8, "big") for line in lines)
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    key = struct.pack(">H", transparent)
    parts = (b"IHDR", head), (b"tRNS", key), (b"IDAT", zlib.compress(data)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@given(data=st.data(), bits=st.sampled_from([1, 2, 4, 8]))
def test_a_transparent_value_is_one_of_the_stored_ones(tmp_path_factory, data, bits):
    top = 2**bits - 1
    rows = [[data.draw(st.integers(0, top)) for _ in range(5)] for _ in range(3)]
    key = data.draw(st.integers(0, top))
    path = tmp_path_factory.mktemp("t") / "x.png"
    path.write_bytes(png(bits, rows, key))
    right = np.array(rows) * (255 // top)
    np.testing.assert_array_equal(decode(path, "drop"), right)
    right[np.array(rows) == key] = 0
    np.testing.assert_array_equal(decode(path, "black"), right)
    if not (np.array(rows) == key).any():
        np.testing.assert_array_equal(decode(path), right)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16"])
def test_byte_order_under_compression(tmp_path, dtype, packed, order):
    values = (np.random.default_rng(0).random((6, 5)) * 1000).astype(dtype)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, values, byteorder=order, compression=packed, photometric="minisblack")
    np.testing.assert_array_equal(decode(path), values)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_a_page_of_several(tmp_path, rng, dtype, big):
    pages = (rng.random((3, 4, 5)) * 200).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", pages, photometric="minisblack", bigtiff=big)
    for number in (1, 2, 3):
        found = load_images(f"{tmp_path / 'x.tif'}::{number}").images[0, ..., 0]
        np.testing.assert_array_equal(found, pages[number - 1])
    with pytest.raises(InputError, match="has no page 4, only 3"):
        load_images(f"{tmp_path / 'x.tif'}::4")
    for wrong in ("0", "-1", "two", "1.5"):
        with pytest.raises(InputError, match="a TIFF file takes the number of a page, 1 or more"):
            load_images(f"{tmp_path / 'x.tif'}::{wrong}")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha_that_is_multiplied_into_the_colours(tmp_path, dtype, colours, planar):
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    stored = np.array([[[0.25] * colours + [0.5], [0.0] * colours + [0.0]]]) * top
    values = stored.astype(dtype)
    path = tmp_path / "x.tif"
    tifffile.imwrite(
        path, values if planar == "contig" else np.moveaxis(values, -1, 0), planarconfig=planar,
        photometric="rgb" if colours == 3 else "minisblack", extrasamples=["assocalpha"],
    )  # fmt: skip
    half, gone = values[0, :, 0]
    part = float(values[0, 0, -1]) / top
    right = {"drop": (half / part, 0), "white": (half + (1 - part) * top, top), "black": (half, 0)}
    for alpha, expected in right.items():
        found = decode(path, alpha)
        assert found.dtype == np.dtype(dtype)
        # Integers are rounded when the alpha is taken out, and once more on the ground.
        bound = 1e-6 if dtype == "float32" else 1
        for number in (0, 1):
            assert np.abs(found[0, number].astype(float) - expected[number]).max() <= bound
    with pytest.raises(InputError, match="has transparent pixels; choose --alpha drop"):
        decode(path)


def test_alpha_beside_white_as_zero_is_not_turned_round(tmp_path):
    values = np.array([[[200, 255]], [[200, 0]]], np.uint8)
    path = tmp_path / "x.tif"
    keywords = {"photometric": "miniswhite", "planarconfig": "contig"}
    tifffile.imwrite(path, values[:1], extrasamples=["unassalpha"], **keywords)
    assert decode(path).tolist() == [[55]]
    tifffile.imwrite(path, values, extrasamples=["unassalpha"], **keywords)
    assert decode(path, "black").tolist() == [[55], [0]]
    tifffile.imwrite(path, values, extrasamples=["assocalpha"], **keywords)
    with pytest.raises(InputError, match="8-bit unsigned with white as zero and alpha, which is"):
        decode(path, "black")


def test_samples_that_are_no_pixels(tmp_path, rng):
    path, values = tmp_path / "x.tif", rng.integers(0, 65536, (4, 4)).astype(np.uint16)
    colours = np.zeros((3, 65536), np.uint16)
    tifffile.imwrite(path, values, photometric="palette", colormap=colours)
    with pytest.raises(InputError, match="mode 16-bit palette, which is valid but not supported"):
        decode(path)
    values = np.stack([values] * 3, axis=-1)
    tifffile.imwrite(path, values, photometric="ycbcr", subsampling=(1, 1))
    with pytest.raises(InputError, match="mode 16-bit YCbCr, which is valid but not supported"):
        decode(path)


def test_a_volume_is_no_image(tmp_path):
    values = np.zeros((16, 16, 16), np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", values, tile=(16, 16, 16), photometric="minisblack")
    with pytest.raises(InputError, match="is a TIFF file of a volume, expected an image"):
        decode(tmp_path / "x.tif")


def test_a_page_beyond_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("refntk.data.limits.available_memory", lambda: 1000)
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((30, 30), np.int16), photometric="minisblack")
    with pytest.raises(InputError, match=r"x\.tif: needs 1\.8 kB of memory, 1\.0 kB are available"):
        decode(tmp_path / "x.tif")


def test_pages_that_go_round_in_circles(tmp_path):
    data = bytearray(tiff({258: 8}, bytes(16), 4, 4))
    place = 10 + 12 * struct.unpack_from("<H", data, 8)[0]
    data[place : place + 4] = struct.pack("<I", 8)
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(InputError, match="has no page 2, only 1"):
        load_images(f"{tmp_path / 'x.tif'}::2")


def test_pages_of_what_is_no_tiff_file(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "x.tif", format="PNG")
    with pytest.raises(InputError, match="is no TIFF file and has no pages; leave out ::1"):
        load_images(f"{tmp_path / 'x.tif'}::1")


def test_the_previews_in_a_photograph_are_left_out(tmp_path, rng):
    one, two = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    more = [Image.fromarray(two)]
    Image.fromarray(one).save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=more)
    Image.fromarray(one).save(tmp_path / "y.jpg")
    found = load_images(tmp_path / "x.jpg").images
    np.testing.assert_array_equal(found, load_images(tmp_path / "y.jpg").images)


def test_contents_of_another_kind(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "x.png", format="GIF")
    with pytest.raises(InputError, match="its contents are no PNG, TIFF, JPEG, WebP or BMP image"):
        load_images(tmp_path / "x.png")
