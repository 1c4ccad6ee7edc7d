"""PNG, TIFF and NPY: pixels without a place in the patient, 1 mm apart unless a user says more."""

from __future__ import annotations

import struct
import tokenize
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin

from cinesr.errors import OutputError, UnfitImageError, UnreadableFileError
from cinesr.imaging.axes import CINE_AXES, arranged, axes_of, in_order, require_grey
from cinesr.imaging.cine import Cine
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.tiff_layout import (
    DESCRIPTION,
    SAMPLE_FORMAT,
    Layout,
    first_directory,
    frames_behind_first,
    imagej_description,
    read_layout,
    require_single_samples,
)
from cinesr.imaging.whole_file import whole_file_frames

_PNG, _NPY = b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_DTYPES = ("uint8", "uint16", "float32")
_PHOTOMETRIC = 262
_CLASSIC_TIFF_BYTES = 4_000_000_000
_BROKEN = (
    *(OSError, SyntaxError, EOFError, ValueError, KeyError, IndexError, TypeError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning),
    # Of numpy's header, which is Python text, and of plugins that trust theirs.
    *(tokenize.TokenError, RecursionError, ArithmeticError, AttributeError, RuntimeError),
)


@dataclass(frozen=True)
class RasterSource:
    """What a picture or array file was like.

    Args:
        axes: Of the array in an NPY file, by letter; "yx" for a picture.
        description: Of a picture, where its header holds one.
    """

    axes: str = "yx"
    description: str = ""


def is_raster(path: Path) -> bool:
    """Whether the file is PNG, TIFF or NPY, by content."""
    with path.open("rb") as file:
        start = file.read(8)
    return start == _PNG or start[:6] == _NPY or start[:4] in _TIFF


def read(
    path: Path, spacing_mm: tuple[float, float] | None = None, *, axes: str | None = None
) -> list[Cine]:
    """Reads the one cine of a PNG, TIFF or NPY file.

    An NPY array is (row, column), (time, row, column) or (time, slice, row, column). The pages of a
    TIFF are phases, unless its description (ImageJ, OME, tifffile) tells of slices. The resolution
    in a picture's header is that of a printer and is not used.

    Args:
        path: The file.
        spacing_mm: (row, column) pixel spacing; 1 mm is assumed where not given.
        axes: What the axes are, by letter, in the place of what the file says; see
            `cinesr.imaging.axes`. A PNG has no axes to name.

    Raises:
        UnreadableFileError: The file is broken or cut short.
        UnfitImageError: Colour, values of a kind that are no image, or axes that are not clear.
    """
    with path.open("rb") as file:
        start = file.read(8)
    notes: tuple[str, ...] = ()
    if start[:6] == _NPY:
        array = _load_array(path)
        require_grey(array.dtype, name=path.name)
        letters = axes_of(array.shape, name=path.name, axes=axes)
        frames = whole_file_frames(path, partial(_array, axes=letters))
        source = RasterSource(letters)
    elif start == _PNG:
        frames = whole_file_frames(path, _picture)
        source = RasterSource(description=_description(path))
    else:
        layout = _layout(path, axes)
        frames = whole_file_frames(path, partial(_pages, layout=layout))
        source, notes = RasterSource(description=_description(path)), layout.notes
    geometry = Geometry.assumed(slices=frames.shape[1])
    if spacing_mm is not None:
        geometry = geometry.with_in_plane_spacing(*spacing_mm)
    phases = frames.shape[0]
    cine = Cine(
        frames=frames,
        geometry=geometry,
        times_ms=np.zeros(1) if phases == 1 else np.full(phases, np.nan),
        source=source,
        name=path.name,
        notes=notes,
    )
    return [cine]


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    except _BROKEN as error:
        raise UnreadableFileError(
            f"{path.name} could not be decoded ({error}); expected a whole PNG, TIFF or NPY file.",
            hint="The file is cut short, damaged or too large: copy or export it again.",
        ) from error


def _load_array(path: Path) -> NDArray[Any]:
    with _decoding(path):
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _array(path: Path, axes: str) -> NDArray[Any]:
    return arranged(_load_array(path), axes)


def _picture(path: Path) -> NDArray[Any]:
    with _decoding(path), Image.open(path, formats=("PNG",)) as image:
        count = getattr(image, "n_frames", 1)
        if count > 1:
            raise UnfitImageError(
                f"{path.name}: an animated PNG of {count} frames; expected a still picture.",
                hint="Save the frames as the pages of a TIFF.",
            )
        return _grey(image, path.name)[None, None]


def _layout(path: Path, axes: str | None) -> Layout:
    """Of a TIFF, with the axes that a user named in the place of its own."""
    with _decoding(path):
        tags = first_directory(path)
        require_single_samples(tags, path.name)
        with Image.open(path, formats=("TIFF",)) as image:
            count = getattr(image, "n_frames", 1)
        layout = read_layout(tags, count, path.name)
    if axes is None:
        return layout
    # The sides of the picture do not matter here: they are the last two, in either order.
    letters = axes_of((*layout.lengths, 2, 2), name=path.name, axes=axes)
    if not letters.endswith("yx"):
        raise UnfitImageError(
            f"{path.name}: the axes were named {axes!r}; expected a TIFF's to end in yx: each "
            "page is a picture.",
            hint="Name them with --axes, such as --axes tzyx.",
        )
    return replace(layout, axes=letters[:-2])


def _pages(path: Path, layout: Layout) -> NDArray[Any]:
    pages = []
    with _decoding(path), Image.open(path, formats=("TIFF",)) as image:
        count = getattr(image, "n_frames", 1)
        if count == 1 < len(layout.pages):
            size = image.height, image.width
            stack = frames_behind_first(path, first_directory(path), len(layout.pages), size)
            return arranged(stack.reshape(*layout.lengths, *size), f"{layout.axes}yx")
        for index in range(count):
            image.seek(index)
            pages.append(_grey(image, path.name))
    if len({(page.shape, page.dtype) for page in pages}) > 1:
        sizes = sorted({f"{page.shape[1]}x{page.shape[0]} {page.dtype}" for page in pages})
        raise UnfitImageError(
            f"{path.name}: pages of several kinds ({', '.join(sizes)}); expected one size.",
            hint="Save the pages of each kind as a file of their own.",
        )
    stack = np.stack([pages[index] for index in layout.pages])
    return arranged(stack.reshape(*layout.lengths, *stack.shape[1:]), f"{layout.axes}yx")


def _grey(image: ImageFile.ImageFile, name: str) -> NDArray[Any]:
    """One page as uint8, uint16 or float32; colour is taken only where it is all grey."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    mode = image.mode
    is_signed = 2 in np.atleast_1d(tags.get(SAMPLE_FORMAT, 1))
    if is_signed or (mode == "I" and tags) or (mode == "F" and not tags):
        raise UnfitImageError(
            f"{name}: signed or 32-bit whole numbers; expected 8 or 16 bits without a sign, or "
            "32-bit floats.",
            hint="Save the image as NPY or NIfTI.",
        )
    if mode in ("1", "L"):
        return np.array(image.convert("L"))
    if mode == "F":
        return np.array(image, dtype=np.float32)
    if mode.startswith("I"):
        pixels = np.array(image).astype(np.uint16)
        # Pillow turns 8-bit "white is zero" round by itself, but not 16-bit.
        return np.uint16(65535) - pixels if tags.get(_PHOTOMETRIC) == 0 else pixels
    return _grey_of_colour(image, name)


def _grey_of_colour(image: ImageFile.ImageFile, name: str) -> NDArray[Any]:
    if image.mode not in ("P", "LA", "RGB", "RGBA", "RGBX"):
        raise UnfitImageError(
            f"{name}: a colour image ({image.mode}); expected grey values.",
            hint="Convert it to grey first.",
        )
    # Pillow cuts 16-bit colour to 8 bits and says nothing; its raw mode tells.
    if ";16" in str([tile.args for tile in image.tile]):
        raise UnfitImageError(
            f"{name}: 16 bits in several channels; expected one channel.",
            hint="Save it as 16-bit grey.",
        )
    red, green, blue, alpha = np.moveaxis(np.array(image.convert("RGBA")), -1, 0)
    if alpha.min() != alpha.max():
        raise UnfitImageError(
            f"{name}: an image with transparent parts; expected one grey value per pixel.",
            hint="Remove the alpha channel first.",
        )
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        raise UnfitImageError(
            f"{name}: a colour image (its red, green and blue differ); expected grey values.",
            hint="Convert it to grey first; a grey image saved as RGB is taken as it is.",
        )
    return np.ascontiguousarray(red)


def _description(path: Path) -> str:
    with _decoding(path), Image.open(path, formats=("PNG", "TIFF")) as picture:
        tags = getattr(picture, "tag_v2", {})
        return str(picture.info.get("Description") or tags.get(DESCRIPTION) or "")


def write_png(cine: Cine, path: Path) -> None:
    """Writes one frame as an 8- or 16-bit grey PNG, values unchanged.

    Raises:
        OutputError: More than one frame, or values that PNG cannot hold.
    """
    if cine.shape[:2] != (1, 1):
        raise OutputError(
            f"{cine.name}: {cine.shape[0]} phases of {cine.shape[1]} slices; a PNG holds one "
            "frame.",
            hint="Write .tif (phases of one slice), .npy or .nii.gz instead.",
        )
    _check_dtype(cine, ("uint8", "uint16"), "PNG", hint="Write .npy or .nii.gz instead.")
    text = PngImagePlugin.PngInfo()
    if cine.derivation is not None:
        text.add_text("Description", f"{cine.derivation.label} - research use only")
    Image.fromarray(np.ascontiguousarray(cine.frame(0, 0))).save(path, format="PNG", pnginfo=text)


def write_tiff(cine: Cine, path: Path) -> None:
    """Writes frames as pages of a grey TIFF: uint8, uint16 or float32.

    Where there are several slices, the first page says which page is what in ImageJ's words.

    Raises:
        OutputError: Values or a size that TIFF cannot hold.
    """
    phases, slices, rows, columns = cine.shape
    _check_dtype(cine, _TIFF_DTYPES, "TIFF", hint="Write .npy or .nii.gz instead.")
    if phases * slices * rows * columns * cine.dtype.itemsize > _CLASSIC_TIFF_BYTES:
        raise OutputError(
            f"{cine.name}: more than 4 GB of pixels; a TIFF holds less.",
            hint="Write .npy or .nii.gz instead.",
        )
    words = ""
    if cine.derivation is not None:
        words = f"{cine.derivation.label} - research use only"
    first = imagej_description(phases, slices, words) if slices > 1 else words
    with path.open("w+b") as file, TiffImagePlugin.AppendingTiffWriter(file) as pages:
        for time, slice_index, frame in cine.iter_frames():
            text = first if time == slice_index == 0 else words
            page = Image.fromarray(np.ascontiguousarray(frame))
            page.save(pages, format="TIFF", tiffinfo={DESCRIPTION: text} if text else {})
            pages.newFrame()


def write_npy(cine: Cine, path: Path) -> None:
    """Writes an array with the axes that its file had, or with those that the cine needs."""
    phases, slices = cine.shape[:2]
    axes = CINE_AXES if slices > 1 else "tyx" if phases > 1 else "yx"
    if isinstance(cine.source, RasterSource):
        own = cine.source.axes
        missing = set(axes) - set(own)
        axes = own if not missing else "".join(ax for ax in CINE_AXES if ax in missing | set(own))
    lengths = dict(zip(CINE_AXES, cine.shape, strict=True))
    header = {
        "descr": np.lib.format.dtype_to_descr(cine.dtype),
        "fortran_order": False,
        "shape": tuple(lengths[letter] for letter in axes),
    }
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        if axes in CINE_AXES or axes == "tyx":
            for _, _, frame in cine.iter_frames():
                file.write(frame.tobytes())
        else:  # Frames do not follow one another in this order.
            file.write(in_order(np.asarray(cine.frames), axes).tobytes())


def _check_dtype(cine: Cine, dtypes: tuple[str, ...], kind: str, *, hint: str) -> None:
    if cine.dtype.name not in dtypes:
        raise OutputError(
            f"{cine.name}: values of type {cine.dtype}; a {kind} holds {' or '.join(dtypes)}.",
            hint=hint,
        )
