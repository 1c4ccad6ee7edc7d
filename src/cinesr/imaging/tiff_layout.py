"""How the frames of a TIFF lie in its file, and which of them is what time and slice.

Plain TIFF says nothing of either: each page is a frame. ImageJ, OME and tifffile write it into the
first page's ImageDescription. ImageJ and tifffile also write files of one directory that describes
the first frame alone, with all others behind its pixels.
"""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from cinesr.errors import UnfitImageError, UnreadableFileError

_BITS, _COMPRESSION, _PHOTOMETRIC, DESCRIPTION = 258, 259, 262, 270
_OFFSETS, _SAMPLES, _EXTRA, SAMPLE_FORMAT = 273, 277, 338, 339
_DEPTH = 32997
_ONE_DIRECTORY_KINDS = {33629: "a MetaMorph stack", 34412: "a Zeiss LSM file"}
_STORED = {(8, 1): "u1", (16, 1): "u2", (32, 3): "f4"}


@dataclass(frozen=True)
class Layout:
    """The frames of one file.

    Args:
        axes: Letters of the axes before row and column, slowest first; empty for one frame.
        lengths: Of these axes.
        pages: Which page, or which frame behind the first, is at each place along these axes.
        notes: What was noticed.
    """

    axes: str
    lengths: tuple[int, ...]
    pages: Sequence[int]
    notes: tuple[str, ...] = ()


def first_directory(path: Path) -> dict[int, Any]:
    """The tags of the first page, whether Pillow knows its kind of pixels or not.

    Raises:
        UnfitImageError: A BigTIFF in big-endian order, which Pillow does not read.
    """
    with path.open("rb") as file:
        header = file.read(16)
        if header[:4] == b"MM\0+":
            raise UnfitImageError(
                f"{path.name}: a BigTIFF in big-endian order; expected a TIFF, or a BigTIFF in "
                "little-endian order.",
                hint="Save it again, for example with tifffile, or as NPY or NIfTI.",
            )
        header = header if header[2] == ord("+") else header[:8]
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(directory.next)
        directory.load(file)
        return dict(directory)


def require_single_samples(tags: dict[int, Any], name: str) -> None:
    """Refuses kinds of TIFF that hold several frames or channels in one page.

    Raises:
        UnfitImageError: It is one of these.
    """
    for tag, kind in _ONE_DIRECTORY_KINDS.items():
        if tag in tags:
            raise UnfitImageError(
                f"{name}: {kind}, whose frames a plain reader misses; expected one page per frame.",
                hint="Save it as plain TIFF or OME-TIFF from the program that reads it.",
            )
    samples, depth = int(tags.get(_SAMPLES, 1)), int(tags.get(_DEPTH, 1))
    is_alpha = samples == 2 and set(np.atleast_1d(tags.get(_EXTRA, 0))) <= {1, 2}
    if depth > 1 or (samples > 1 and tags.get(_PHOTOMETRIC) in (0, 1) and not is_alpha):
        found = f"{depth} planes" if depth > 1 else f"{samples} values per pixel"
        raise UnfitImageError(
            f"{name}: {found} in one page; expected one grey value per pixel and page.",
            hint="Save each frame as a page of its own.",
        )


def read_layout(tags: dict[int, Any], pages: int, name: str) -> Layout:
    """Finds how a file's frames are ordered.

    Args:
        tags: Of its first page.
        pages: How many it has.
        name: For messages.

    Raises:
        UnfitImageError: Several channels, several images, or frames that lie in other files.
    """
    description = str(tags.get(DESCRIPTION) or "")
    told = None
    if description.startswith("ImageJ="):
        told = _imagej(description, name)
    elif "<OME" in description[:4000]:
        told = _ome(description, pages, name)
    elif description.startswith('{"shape"'):
        told = _shaped(description, int(tags.get(_SAMPLES, 1)), name)
    if told is not None and pages in (len(told.pages), 1):
        return told
    plain = Layout("t" if pages > 1 else "", (pages,) if pages > 1 else (), range(pages))
    if told is None:
        return plain
    note = (
        f"the file's description tells of {len(told.pages)} frames, and there are {pages} pages: "
        "taken as phases, in the order of pages"
    )
    return Layout(plain.axes, plain.lengths, plain.pages, (note,))


def _one_channel(channels: int, name: str) -> None:
    if channels != 1:
        raise UnfitImageError(
            f"{name}: {channels} channels; expected one grey image.",
            hint="Save one channel as a file of its own (in ImageJ: Image > Color > Split "
            "Channels).",
        )


def _imagej(description: str, name: str) -> Layout | None:
    """Channels change fastest, then slices, then frames (ImageJ's TiffDecoder and FileInfo)."""
    told = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
    try:
        images, channels, slices, frames = (
            int(told.get(key, 1)) for key in ("images", "channels", "slices", "frames")
        )
    except ValueError:
        return None
    _one_channel(channels, name)
    if min(images, slices, frames) < 1:
        return None
    if images == 1 or images != slices * frames:
        return Layout("t", (images,), range(images)) if images > 1 else None
    return _without_singles("tz", (frames, slices), range(images))


def imagej_description(frames: int, slices: int, words: str = "") -> str:
    """What says that pages are slices within phases.

    Args:
        frames: Phases.
        slices: Of each phase.
        words: One more line, which ImageJ shows and passes over.
    """
    lines = [f"images={frames * slices}", f"slices={slices}", f"frames={frames}"]
    lines += ["hyperstack=true"] if frames > 1 else []
    lines += [f"made={words}"] if words else []
    return "\n".join(["ImageJ=1.54f", *lines, ""])


def _shaped(description: str, samples: int, name: str) -> Layout | None:
    """What tifffile writes: {"shape": [5, 48, 40], "axes": "TYX"}, the axes only if named."""
    try:
        told = json.loads(description)
        shape = tuple(int(length) for length in told["shape"])
    except (ValueError, KeyError, TypeError):
        return None
    if min(shape, default=0) < 1:
        return None
    axes = str(told.get("axes") or "").lower()
    if samples > 1:  # Colour, before or behind the picture, which `_grey` of the page judges.
        place = -1 if shape[-1] == samples else -3
        shape = tuple(np.delete(shape, place).tolist()) if samples in shape[-3:] else shape
        axes = ""
    if len(axes) == len(shape):
        sizes = dict(zip(axes, shape, strict=True))
        _one_channel(sizes.pop("c", 1), name)
        letters = [letter for letter in axes[:-2] if letter != "c"]
        if axes.endswith("yx") and set(letters) <= set("tz") and len(set(letters)) == len(letters):
            lengths = tuple(sizes[letter] for letter in letters)
            return _without_singles("".join(letters), lengths, range(math.prod(lengths)))
    lengths = tuple(length for length in shape[:-2] if length > 1)
    letters_of = {0: "", 1: "t", 2: "tz"}
    if len(lengths) not in letters_of:
        return None
    return Layout(letters_of[len(lengths)], lengths, range(math.prod(lengths)))


def _ome(description: str, pages: int, name: str) -> Layout | None:
    """The OME model: DimensionOrder and sizes, and TiffData where pages lie in another order."""
    if "<!DOCTYPE" in description or "<!ENTITY" in description:
        return None
    try:
        root = ElementTree.fromstring(description)
    except ElementTree.ParseError:
        return None
    images = [item for item in root.iter() if item.tag.rpartition("}")[2] == "Pixels"]
    if len(images) > 1:
        raise UnfitImageError(
            f"{name}: an OME-TIFF of {len(images)} images; expected one.",
            hint="Save each image as a file of its own.",
        )
    if not images:
        return None
    pixels = images[0].attrib
    order = pixels.get("DimensionOrder", "XYZCT").lower()
    sizes = {letter: int(pixels.get(f"Size{letter.upper()}", 1)) for letter in "zct"}
    _one_channel(sizes["c"], name)
    if set(order[2:]) != set("zct"):
        return None
    fastest_first = order[2:].replace("c", "")
    fast, slow = fastest_first[0], fastest_first[1]
    places = math.prod(max(sizes[letter], 0) for letter in "zt")
    found = _pages_by_tiff_data(images[0], sizes, fastest_first) if 0 < places <= pages else {}
    at = [found.get(divmod(place, sizes[fast]), pages) for place in range(min(places, pages + 1))]
    if not at or max(at) >= pages:
        raise UnfitImageError(
            f"{name}: an OME-TIFF of {sizes['t']} x {sizes['z']} frames, of which this file does "
            "not hold all; expected all of them in one file.",
            hint="Save the image as one OME-TIFF.",
        )
    return _without_singles(slow + fast, (sizes[slow], sizes[fast]), at)


def _pages_by_tiff_data(
    pixels: ElementTree.Element, sizes: dict[str, int], fastest_first: str
) -> dict[tuple[int, int], int]:
    """The page of each (slow, fast) place."""
    fast, slow = fastest_first[0], fastest_first[1]
    total = sizes["z"] * sizes["t"]
    elements = [item for item in pixels.iter() if item.tag.rpartition("}")[2] == "TiffData"]
    found: dict[tuple[int, int], int] = {}
    for element in elements or [ElementTree.Element("TiffData")]:
        told = {key: int(value) for key, value in element.attrib.items()}
        start = told.get(f"First{slow.upper()}", 0) * sizes[fast]
        start += told.get(f"First{fast.upper()}", 0)
        count = told.get("PlaneCount", 1 if "IFD" in told else total - start)
        for step in range(min(count, total)):
            found[divmod(start + step, sizes[fast])] = told.get("IFD", 0) + step
    return found


def _without_singles(axes: str, lengths: tuple[int, ...], pages: Sequence[int]) -> Layout:
    kept = [index for index, length in enumerate(lengths) if length > 1]
    return Layout(
        "".join(axes[index] for index in kept), tuple(lengths[index] for index in kept), pages
    )


def frames_behind_first(
    path: Path, tags: dict[int, Any], count: int, shape: tuple[int, int]
) -> NDArray[Any]:
    """The frames of a file of one directory: they follow one another without a gap.

    Args:
        path: The file.
        tags: Of its directory.
        count: How many frames its description tells of.
        shape: (rows, columns) of each.

    Raises:
        UnreadableFileError: The file holds fewer.
        UnfitImageError: They are compressed, or of a kind that is not read.
    """
    with path.open("rb") as file:
        order = "<" if file.read(2) == b"II" else ">"
    bits = int(np.atleast_1d(tags.get(_BITS, 1))[0])
    kind = _STORED.get((bits, int(np.atleast_1d(tags.get(SAMPLE_FORMAT, 1))[0])))
    if tags.get(_COMPRESSION, 1) != 1 or tags.get(_SAMPLES, 1) != 1 or kind is None:
        raise UnfitImageError(
            f"{path.name}: {count} frames behind one directory, compressed, coloured or of {bits} "
            "bits; expected plain values of 8 or 16 bits without a sign, or 32-bit floats.",
            hint="Save each frame as a page of its own.",
        )
    dtype = np.dtype(order + kind)
    offset = int(np.atleast_1d(tags[_OFFSETS])[0])
    values = math.prod(shape) * count
    held = path.stat().st_size - offset
    if held < values * dtype.itemsize:
        raise UnreadableFileError(
            f"{path.name} could not be decoded: its description tells of {count} frames and it "
            f"holds {held // (math.prod(shape) * dtype.itemsize)}; expected a whole TIFF.",
            hint="The file is cut short, damaged or too large: copy or export it again.",
        )
    frames = np.fromfile(path, dtype, values, offset=offset).reshape(count, *shape)
    if tags.get(_PHOTOMETRIC) == 0 and dtype.kind == "u":
        frames = np.iinfo(dtype).max - frames
    return frames
