"""PNG, TIFF and NPY against Pillow, tifffile and NumPy: exact values, grey alone, clear errors."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from cinesr.errors import OutputError, UnfitImageError, UnreadableFileError
from cinesr.imaging import raster
from cinesr.imaging.cine import Cine, Derivation, LazyFrames
from cinesr.imaging.geometry import Geometry

DERIVED = Derivation("super-resolved x4", "by a test")


def picture(dtype: str = "uint8", shape: tuple[int, ...] = (6, 9)) -> np.ndarray:
    high = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1000
    return np.random.default_rng(3).integers(0, high, shape, endpoint=True).astype(dtype)


def cine_of(frames: np.ndarray, derivation: Derivation | None = None) -> Cine:
    geometry = Geometry.assumed(slices=frames.shape[1])
    return Cine(frames, geometry, np.zeros(frames.shape[0]), name="sax", derivation=derivation)


def pixels(path: Path) -> np.ndarray:
    (cine,) = raster.read(path)
    return np.asarray(cine.frames)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_pictures_are_read_exactly(tmp_path: Path, name: str, dtype: str) -> None:
    image = picture(dtype)
    Image.fromarray(image).save(tmp_path / name, dpi=(300, 300))

    (cine,) = raster.read(tmp_path / name)

    assert raster.is_raster(tmp_path / name)
    assert cine.name == name
    assert cine.dtype == dtype
    np.testing.assert_array_equal(np.asarray(cine.frames), image[None, None])
    assert not cine.geometry.is_known
    assert cine.geometry.spacing_mm == (1, 1, 1)
    np.testing.assert_array_equal(cine.times_ms, [0])


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_a_named_spacing_is_row_then_column(tmp_path: Path, name: str) -> None:
    if name == "a.npy":
        np.save(tmp_path / name, picture())
    else:
        Image.fromarray(picture()).save(tmp_path / name)

    (cine,) = raster.read(tmp_path / name, (1.5, 0.7))

    assert cine.geometry.is_known
    assert cine.geometry.spacing_mm == (0.7, 1.5, 1.0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_pages_of_a_tiff_are_phases(tmp_path: Path, dtype, byteorder, compression) -> None:
    stack = picture(dtype, (4, 6, 9))
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, stack, byteorder=byteorder, compression=compression, photometric="minisblack"
    )

    (cine,) = raster.read(path)

    assert cine.dtype == np.dtype(dtype)
    assert cine.dtype.isnative
    np.testing.assert_array_equal(np.asarray(cine.frames), stack[:, None])
    assert np.isnan(cine.times_ms).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_is_zero_is_turned_round(tmp_path: Path, dtype: str) -> None:
    image = picture(dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite")

    np.testing.assert_array_equal(pixels(tmp_path / "a.tif")[0, 0], np.iinfo(dtype).max - image)


def test_float_tiffs_are_read_exactly(tmp_path: Path) -> None:
    image = picture("float32") / np.float32(7)
    tifffile.imwrite(tmp_path / "a.tif", image)

    np.testing.assert_array_equal(pixels(tmp_path / "a.tif")[0, 0], image)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_saved_as_colour_is_taken(tmp_path: Path, mode: str) -> None:
    image = picture()
    Image.fromarray(image).convert(mode).save(tmp_path / "a.png")

    read = pixels(tmp_path / "a.png")

    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read[0, 0], image)


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    image = picture() > 100
    Image.fromarray(image).save(tmp_path / "a.png")

    np.testing.assert_array_equal(pixels(tmp_path / "a.png")[0, 0], image * np.uint8(255))


def colour() -> np.ndarray:
    return picture(shape=(6, 9, 3))


@pytest.mark.parametrize("name", ["colour.png", "colour.tif"])
def test_colour_is_refused(tmp_path: Path, name: str) -> None:
    Image.fromarray(colour()).save(tmp_path / name)

    with pytest.raises(UnfitImageError, match=rf"{name}: a colour image(.|\n)*grey"):
        raster.read(tmp_path / name)


def test_a_colourful_palette_and_print_colours_are_refused(tmp_path: Path) -> None:
    Image.fromarray(colour()).quantize(8).save(tmp_path / "palette.png")
    Image.fromarray(colour()).convert("CMYK").save(tmp_path / "print.tif")

    with pytest.raises(UnfitImageError, match=r"palette\.png: a colour image"):
        raster.read(tmp_path / "palette.png")
    with pytest.raises(UnfitImageError, match=r"print\.tif: a colour image \(CMYK\)"):
        raster.read(tmp_path / "print.tif")


def test_transparent_parts_are_refused(tmp_path: Path) -> None:
    image = Image.fromarray(picture()).convert("LA")
    image.putpixel((2, 3), (50, 0))
    image.save(tmp_path / "a.png")

    with pytest.raises(UnfitImageError, match=r"a\.png: an image with transparent parts"):
        raster.read(tmp_path / "a.png")


def png(bits: int, colour_type: int, row: bytes, *, rows: int = 2, columns: int = 2) -> bytes:
    """A PNG written by hand, for kinds that Pillow does not write (PNG specification, 5)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", columns, rows, bits, colour_type, 0, 0, 0)
    data = zlib.compress((b"\0" + row) * rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_sixteen_bits_in_colour_channels_are_refused_not_cut_to_eight(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(16, 2, bytes(12)))
    tifffile.imwrite(tmp_path / "a.tif", colour().astype("uint16"), photometric="rgb")

    for name in ("a.png", "a.tif"):
        with pytest.raises(UnfitImageError, match=rf"{name}: 16 bits in several channels"):
            raster.read(tmp_path / name)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32"])
def test_tiffs_of_other_whole_numbers_are_refused(tmp_path: Path, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(dtype))

    with pytest.raises(UnfitImageError, match=r"a\.tif: signed or 32-bit(.|\n)*NPY or NIfTI"):
        raster.read(tmp_path / "a.tif")


def test_pages_of_several_sizes_are_refused(tmp_path: Path) -> None:
    first, second = (Image.fromarray(picture(shape=shape)) for shape in ((6, 9), (9, 6)))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])

    with pytest.raises(UnfitImageError, match="pages of several kinds \\(6x9 uint8, 9x6 uint8\\)"):
        raster.read(tmp_path / "a.tif")


def test_an_animated_png_is_refused(tmp_path: Path) -> None:
    first, second = Image.fromarray(picture()), Image.fromarray(255 - picture())
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])

    with pytest.raises(UnfitImageError, match="animated PNG of 2 frames"):
        raster.read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    buffer = io.BytesIO()
    if name == "a.npy":
        np.save(buffer, picture(shape=(60, 90)))
    else:
        Image.fromarray(picture(shape=(60, 90))).save(buffer, format=name[2:].replace("f", "ff"))
    whole = buffer.getvalue()
    (tmp_path / name).write_bytes(whole[: int(kept * len(whole))])

    assert raster.is_raster(tmp_path / name)
    with pytest.raises(UnreadableFileError, match=rf"{name} could not be decoded"):
        raster.read(tmp_path / name)


@pytest.mark.filterwarnings("default")
def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    for side in (10_000, 30_000):
        bomb = png(8, 0, bytes(side), rows=2, columns=side)
        head = struct.pack(">II", side, side)
        (tmp_path / "bomb.png").write_bytes(bomb[:16] + head + bomb[24:])
        with pytest.raises(UnreadableFileError, match=r"bomb\.png could not be decoded"):
            raster.read(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((6, 9), (1, 1, 6, 9)),
        ((1, 6, 9), (1, 1, 6, 9)),
        ((4, 6, 9), (4, 1, 6, 9)),
        ((1, 1, 6, 9), (1, 1, 6, 9)),
        ((4, 3, 6, 9), (4, 3, 6, 9)),
    ],
)
@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "float64", "int64", "float16"])
def test_arrays_keep_their_dimensions_and_dtype(tmp_path: Path, shape, expected, dtype) -> None:
    array = picture(dtype, shape)
    np.save(tmp_path / "a.npy", array)

    (cine,) = raster.read(tmp_path / "a.npy")
    raster.write_npy(cine, tmp_path / "b.npy")

    assert cine.shape == expected
    again = np.load(tmp_path / "b.npy")
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays(st.sampled_from([">i2", ">f4", "|u1"]), array_shapes(min_dims=2, max_dims=4)),
    st.booleans(),
)
def test_any_byte_order_and_memory_order_is_read(tmp_path: Path, array, fortran: bool) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(array) if fortran else array)

    (cine,) = raster.read(tmp_path / "a.npy", axes={2: "yx", 3: "tyx", 4: "tzyx"}[array.ndim])

    assert cine.dtype.isnative
    np.testing.assert_array_equal(np.asarray(cine.frames).reshape(array.shape), array)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4), bool), "an array of bool"),
        (np.zeros((4, 4), complex), "an array of complex128"),
        (np.zeros((4, 4), "U3"), "an array of <U3"),
        (np.zeros(4), r"an array of shape \(4,\)"),
        (np.zeros((1, 2, 3, 4, 5)), r"an array of shape \(1, 2, 3, 4, 5\)"),
        (np.zeros((0, 4)), r"an array of shape \(0, 4\)"),
    ],
)
def test_arrays_that_are_no_image_are_refused(tmp_path: Path, array, words: str) -> None:
    np.save(tmp_path / "a.npy", array)

    with pytest.raises(UnfitImageError, match=rf"a\.npy: {words}"):
        raster.read(tmp_path / "a.npy")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)

    with pytest.raises(UnreadableFileError, match=r"a\.npy could not be decoded"):
        raster.read(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_output_holds_the_values_and_says_what_it_is(tmp_path: Path, dtype: str) -> None:
    image = picture(dtype)

    raster.write_png(cine_of(image[None, None], DERIVED), tmp_path / "a.png")

    with Image.open(tmp_path / "a.png") as written:
        np.testing.assert_array_equal(np.array(written), image)
        assert written.info["Description"] == "super-resolved x4 - research use only"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("phases", [1, 5])
def test_tiff_output_is_read_by_tifffile(tmp_path: Path, dtype: str, phases: int) -> None:
    stack = picture(dtype, (phases, 6, 9))

    raster.write_tiff(cine_of(stack[:, None], DERIVED), tmp_path / "a.tif")

    with tifffile.TiffFile(tmp_path / "a.tif") as written:
        assert len(written.pages) == phases
        assert written.pages[0].description == "super-resolved x4 - research use only"
        np.testing.assert_array_equal(np.stack([page.asarray() for page in written.pages]), stack)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), stack[:, None])


def test_original_images_are_written_without_the_words(tmp_path: Path) -> None:
    cine = cine_of(picture()[None, None])
    raster.write_png(cine, tmp_path / "a.png")
    raster.write_tiff(cine, tmp_path / "a.tif")

    assert b"research" not in (tmp_path / "a.png").read_bytes()
    assert b"research" not in (tmp_path / "a.tif").read_bytes()


@pytest.mark.parametrize(
    ("write", "shape", "dtype", "words"),
    [
        (raster.write_png, (2, 1, 4, 5), "uint8", r"2 phases of 1 slices; a PNG(.|\n)*\.tif"),
        (raster.write_png, (1, 3, 4, 5), "uint8", r"1 phases of 3 slices(.|\n)*\.nii\.gz"),
        (raster.write_png, (1, 1, 4, 5), "int16", r"int16; a PNG holds uint8 or uint16(.|\n)*npy"),
        (raster.write_tiff, (2, 1, 4, 5), "int16", r"int16; a TIFF(.|\n)*\.npy"),
        (raster.write_tiff, (99, 1, 9999, 9999), "uint8", "more than 4 GB"),
    ],
)
def test_what_a_format_cannot_hold_is_told_before_any_frame_is_computed(
    tmp_path: Path, write, shape, dtype: str, words: str
) -> None:
    def compute(time: int, slice_index: int) -> np.ndarray:
        raise AssertionError("a frame was computed")

    with pytest.raises(OutputError, match=words):
        write(cine_of(LazyFrames(shape, dtype, compute)), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_file_that_changes_while_in_use_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, picture())
    (cine,) = raster.read(path)
    path.unlink()

    with pytest.raises(UnreadableFileError, match=r"a\.npy was removed or changed"):
        cine.frame(0, 0)


def test_many_open_files_do_not_stay_in_memory(tmp_path: Path) -> None:
    from cinesr.imaging.whole_file import _decoded

    cines = []
    for number in range(10):
        np.save(tmp_path / f"{number}.npy", picture() + np.uint8(number))
        cines += raster.read(tmp_path / f"{number}.npy")

    assert _decoded.cache_info().currsize <= 4
    for number, cine in enumerate(cines):
        np.testing.assert_array_equal(cine.frame(0, 0), picture() + np.uint8(number))


def test_other_files_are_no_pictures(tmp_path: Path) -> None:
    for content in (b"", b"GIF89a", b"\xff\xd8\xff\xe0 a JPEG"):
        (tmp_path / "a.png").write_bytes(content)
        assert not raster.is_raster(tmp_path / "a.png")
