"""Small whole files of every format, and ways to spoil them."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom import config as pydicom_config
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

import dicom_cases
import model_cases
from cinesr.imaging.cine import Cine
from cinesr.imaging.files import save
from cinesr.imaging.geometry import Geometry

pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE

Seeds = list[tuple[str, bytes]]
"""Names and contents."""

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
WORDS = (
    "",
    "-1",
    "0",
    "1e308",
    "nan",
    "inf",
    "1\\2\\3",
    "8,0",
    "x" * 300,
    "\x00",
    "\udc80",
    "ÄÖ",
    "9" * 40,
)
LONGEST_CHUNK = 64


def _read(folder: Path) -> Seeds:
    return [(path.name, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]


def _classic(place: Path) -> None:
    dicom_cases.write_cine_series(place / "a", slices=1, phases=2)


def _enhanced(place: Path) -> None:
    dicom_cases.write_enhanced(place / "a.dcm")


def _compressed(place: Path) -> None:
    for number, syntax in enumerate((RLELossless, JPEG2000Lossless, JPEGLSLossless)):
        dataset = dicom_cases.classic_frame(0, 0, rows=64, columns=64)
        dataset.compress(syntax)
        dataset.save_as(place / f"{number}.dcm", enforce_file_format=True)


def _nifti(place: Path) -> None:
    values = np.arange(8 * 6 * 2 * 3, dtype="int16").reshape(8, 6, 2, 3)
    affine = np.diag([1.5, 1.2, 8.0, 1.0])
    nib.save(nib.Nifti1Image(values, affine), place / "a.nii")
    nib.save(nib.Nifti1Image(values.astype("float32"), affine), place / "b.nii.gz")
    nib.save(nib.Nifti2Image(values.astype("uint8"), affine), place / "c.nii")


def _still(dtype: str) -> Cine:
    values = np.arange(3 * 8 * 6).reshape(3, 1, 8, 6).astype(dtype)
    return Cine(values, Geometry.assumed())


def _tiff(place: Path) -> None:
    for dtype in ("uint8", "uint16", "float32"):
        save(_still(dtype), place / f"{dtype}.tif")
    for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        Image.fromarray(np.arange(48, dtype="uint8").reshape(6, 8)).save(
            place / f"{how}.tif", compression=how
        )


def _png(place: Path) -> None:
    picture = np.arange(48, dtype="uint8").reshape(6, 8)
    Image.fromarray(picture).save(place / "8.png")
    Image.fromarray(picture.astype("uint16") * 99).save(place / "16.png")
    Image.fromarray(picture).convert("P").save(place / "p.png")
    Image.fromarray(picture > 9).save(place / "1.png")


def _npy(place: Path) -> None:
    for dtype in ("uint8", ">i2", "float32", "float64"):
        np.save(place / f"{dtype.strip('>')}.npy", np.arange(96).reshape(2, 8, 6).astype(dtype))
    np.save(place / "fortran.npy", np.asfortranarray(np.arange(48.0).reshape(8, 6)))


def _zip(place: Path) -> None:
    inner = place / "inner"
    for make in (_classic, _png, _nifti):
        (inner / make.__name__).mkdir(parents=True)
        make(inner / make.__name__)
        with zipfile.ZipFile(place / f"{make.__name__}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in _read(inner / make.__name__):
                archive.writestr(f"scan/{name}", content)
    for path in list(inner.rglob("*")):
        if path.is_file():
            path.unlink()


def _model(place: Path) -> None:
    for kind in ("bicubic", "conv"):
        model_cases.write_model(place / f"{kind}.onnx", kind)


FORMATS: dict[str, Callable[[Path], None]] = {
    "dicom-classic": _classic,
    "dicom-enhanced": _enhanced,
    "dicom-compressed": _compressed,
    "nifti": _nifti,
    "tiff": _tiff,
    "png": _png,
    "npy": _npy,
    "zip": _zip,
    "model": _model,
}


@lru_cache
def seeds(kind: str) -> tuple[tuple[str, bytes], ...]:
    """The whole files of a format."""
    with tempfile.TemporaryDirectory() as name:
        FORMATS[kind](Path(name))
        return tuple(_read(Path(name)))


def mutant(kind: str, seed: int, index: int) -> list[tuple[str, bytes]]:
    """The files of one case, of which one is spoilt; the numbers decide it."""
    chance = random.Random(f"{kind}/{seed}/{index}")
    whole = seeds(kind)
    name, content = chance.choice(whole)
    if kind.startswith("dicom") and chance.random() < 0.5:
        spoilt = _spoilt_element(content, chance)
    elif name.endswith(".gz") and chance.random() < 0.6:
        spoilt = gzip.compress(_spoilt_bytes(gzip.decompress(content), whole, chance), 1)
    elif kind == "png" and chance.random() < 0.6:
        spoilt = _with_right_sums(_spoilt_bytes(content, whole, chance))
    elif kind == "zip" and chance.random() < 0.5:
        spoilt = _spoilt_member(content, chance)
    else:
        spoilt = _spoilt_bytes(content, whole, chance)
    if kind == "dicom-classic" and chance.random() < 0.5:  # Among others of its series.
        return [*(file for file in whole if file[0] != name), (name, spoilt)]
    return [(name, spoilt)]


def _spoilt_bytes(
    content: bytes, whole: tuple[tuple[str, bytes], ...], chance: random.Random
) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = _place(len(data), chance)
        end = at + chance.randint(1, LONGEST_CHUNK)
        what = chance.randrange(9)
        if what == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
        elif what in (1, 2):
            size, order = chance.choice("BHIQ"), chance.choice("<>")
            number = chance.choice(NUMBERS) % 2 ** (8 * struct.calcsize(size))
            packed = struct.pack(order + size, number)
            data[at : at + len(packed)] = packed
        elif what == 3:
            del data[at:]
        elif what == 4:
            del data[at:end]
        elif what == 5:
            data[at:at] = data[at:end]
        elif what == 6:
            data[at:end] = chance.randbytes(end - at)
        elif what == 7:
            other = chance.choice(whole)[1]
            start = _place(len(other), chance)
            data[at:end] = other[start : start + end - at]
        else:
            data[at:end] = bytes([chance.choice((0, 255))]) * (end - at)
    return bytes(data)


def _place(size: int, chance: random.Random) -> int:
    """Headers, at the start, decide more than what follows."""
    return chance.randrange(max(1, min(size, 400) if chance.random() < 0.6 else size))


def _spoilt_element(content: bytes, chance: random.Random) -> bytes:
    """DICOM with elements whose values are wrong, in a file that is whole."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
        for _ in range(chance.choice((1, 1, 2, 4))):
            holder = dataset
            element = chance.choice(list(holder))
            while element.VR == "SQ" and element.value and chance.random() < 0.9:
                holder = chance.choice(list(element.value))
                element = chance.choice(list(holder) or [element])
            what = chance.randrange(4)
            if what == 0:
                del holder[element.tag]
            elif what == 1:
                element.value = None
            elif element.VR in ("US", "UL", "SS", "SL", "FD", "FL"):
                size = {"US": 2, "SS": 2, "UL": 4, "SL": 4}.get(element.VR, 4)
                number = chance.choice(NUMBERS) % 2 ** (8 * size - 1)
                element.value = number if what == 2 else [number, 1]
            elif element.VR in ("OB", "OW"):
                element.value = chance.randbytes(chance.choice((0, 1, 2, 200, 2000)))
            elif element.VR != "SQ":
                element._value = chance.choice(WORDS)
        out = io.BytesIO()
        dataset.save_as(out, enforce_file_format=False)
        return out.getvalue()
    except Exception:  # What cannot be written so is spoilt in another way.
        return _spoilt_bytes(content, (("", content),), chance)


def _with_right_sums(content: bytes) -> bytes:
    """A PNG whose check sums fit, so that what is in it is looked at."""
    data, at = bytearray(content), 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            break
        total = zlib.crc32(bytes(data[at + 4 : at + 8 + size]))
        data[at + 8 + size : at + 12 + size] = total.to_bytes(4, "big")
        at += 12 + size
    return bytes(data)


def _spoilt_member(content: bytes, chance: random.Random) -> bytes:
    """A whole zip with spoilt files, odd names or odd methods."""
    out = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with (
        zipfile.ZipFile(io.BytesIO(content)) as archive,
        zipfile.ZipFile(out, "w", chance.choice(methods)) as spoilt,
    ):
        for name in archive.namelist():
            inner = archive.read(name)
            if chance.random() < 0.4:
                inner = _spoilt_bytes(inner, ((name, inner),), chance)
            if chance.random() < 0.2:
                odd = ("../x", "/x", "scan", "scan/" + "y" * 300, "a\\b", "C:\\x", ".", "scan/x\n")
                name = chance.choice(odd)
            spoilt.writestr(zipfile.ZipInfo(name), inner, spoilt.compression)
    data = out.getvalue()
    return _spoilt_bytes(data, (("", data),), chance) if chance.random() < 0.3 else data
