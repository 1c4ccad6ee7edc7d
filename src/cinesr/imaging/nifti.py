"""NIfTI-1 and NIfTI-2, the single-file kind: stored values, both affines and the time step kept.

A NIfTI array runs over (column, row, slice, time) and its affines lead to RAS coordinates; here
they become (time, slice, row, column) and LPS, and back (https://nifti.nimh.nih.gov/nifti-1).
Files that were turned to a standard orientation hold their slices along another axis than the
third: `nifti_axes` finds it, and the file comes back in its own order.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from cinesr.errors import OutputError, UnfitImageError, UnreadableFileError
from cinesr.imaging.cine import Cine
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.nifti_axes import (
    FILE_ORDER,
    AxisOrder,
    axis_order,
    file_shape,
    moved_axes,
)
from cinesr.imaging.whole_file import whole_file_frames

_GZIP_MAGIC = b"\x1f\x8b"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 1e-3}
_MS_PER_UNIT = {8: 1000.0, 16: 1.0, 24: 1e-3}
_DEFLATE_MAX_RATIO = 1032
_NAMED_SPACING = "the pixel spacing is the one that was named, not the file's"
_BROKEN = (
    *(OSError, EOFError, ValueError, KeyError, OverflowError, MemoryError),
    *(zlib.error, struct.error, HeaderDataError, ImageFileError, WrapStructError),
    *(TypeError, IndexError, AttributeError, ArithmeticError, np.linalg.LinAlgError),
)


@dataclass(frozen=True, eq=False)
class NiftiSource:
    """What a NIfTI file holds besides its pixels.

    Args:
        header: As in the file, with both affines, slope, intercept and extensions.
        geometry: As read, from which a new grid is told.
        order: Which of the file's axes is the column, the row and the slice.
    """

    header: Nifti1Header
    geometry: Geometry
    order: AxisOrder = FILE_ORDER

    @property
    def description(self) -> str:
        """The header's descrip."""
        return bytes(self.header["descrip"]).decode("latin-1")

    @property
    def rescaling(self) -> tuple[float, float]:
        """Slope and intercept from stored to real values; a slope of 0 or NaN means none."""
        slope, intercept = float(self.header["scl_slope"]), float(self.header["scl_inter"])
        if not np.isfinite(slope) or slope == 0:
            return 1.0, 0.0
        return slope, intercept if np.isfinite(intercept) else 0.0


def is_nifti(path: Path) -> bool:
    """Whether the file holds NIfTI, gzipped or not, by content; broken ones count as well."""
    with path.open("rb") as file:
        start = file.read(4096)
    name = path.name.lower()
    if start[:2] == _GZIP_MAGIC:
        try:
            start = zlib.decompressobj(wbits=31).decompress(start)
        except zlib.error:
            start = b""
        if len(start) < 348:
            return name.endswith(".nii.gz")
    if len(start) < 348:
        return name.endswith(".nii")
    return _header_class(start) is not None


def _header_class(start: bytes) -> type[Nifti1Header] | None:
    for order in "<>":
        size = struct.unpack(f"{order}i", start[:4])[0]
        magic = start[344:348] if size == 348 else start[4:8]
        if size in (348, 540) and magic[:3] in (b"n+1", b"n+2", b"ni1", b"ni2"):
            kind: type[Nifti1Header] = Nifti1Header if size == 348 else Nifti2Header
            return kind
    return None


@contextmanager
def _content(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The file, gunzipped; whatever breaks while it is read becomes one error that names it."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if zipped:
                with gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
                    yield unzipped
            else:
                yield file
    except _BROKEN as error:
        reason = str(error).partition("\n")[0]
        raise UnreadableFileError(
            f"{path.name} is not a whole NIfTI file ({reason}); expected a header and all voxels.",
            hint="The file is cut short or damaged: copy or export it again.",
        ) from error


def _read_header(path: Path) -> Nifti1Header:
    with _content(path) as file:
        start = file.read(540)
        kind = _header_class(start) if len(start) >= 348 else None
        if kind is None:
            raise ValueError("the header is missing")
        file.seek(0)
        header = kind.from_fileobj(file, check=False)
        shape = header.get_data_shape()
        voxel_bytes = int(np.prod(shape, dtype=object)) * header.get_data_dtype().itemsize
        if bytes(header["magic"])[:2] == b"ni":
            raise ValueError("a header whose voxels are in a second file")
        if len(shape) < 2 or min(shape) < 1:
            raise ValueError(f"an image of shape {shape}")
        room = path.stat().st_size
        room *= _DEFLATE_MAX_RATIO if isinstance(file, gzip.GzipFile) else 1
        if voxel_bytes + header.get_data_offset() > room:
            raise ValueError(f"{voxel_bytes} bytes of voxels expected, the file is shorter")
    return header


def _stored_values(path: Path, order: AxisOrder) -> NDArray[Any]:
    header = _read_header(path)
    with _content(path) as file:
        stored = header.raw_data_from_fileobj(file)
        array = stored.reshape(_four_dimensions(header.get_data_shape()), order="F")
    frames: NDArray[Any] = array.transpose((*order, 3)).T
    return frames


def _four_dimensions(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    first, second, third, phases = (*shape, 1, 1)[:4]
    return first, second, third, phases


def read(
    path: Path, spacing_mm: tuple[float, float] | None = None, *, axes: str | None = None
) -> list[Cine]:
    """Reads the one cine of a NIfTI file; its voxels are the stored values, slope not applied.

    Args:
        path: The file, .nii or .nii.gz.
        spacing_mm: (row, column) spacing to use where the header holds none.
        axes: What the file's axes are, such as "zxyt", where the header does not say which one
            runs across the slices.

    Raises:
        UnreadableFileError: The file is broken or cut short.
        UnfitImageError: Colour, complex or vector voxels, or no pixel spacing.
    """
    header = _read_header(path)
    _check_voxels(header, path)
    notes = _mend_header(header, path, spacing_mm)
    shape = _four_dimensions(header.get_data_shape())
    try:
        unit = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
        affine = _LPS_TO_RAS @ header.get_best_affine()
        affine[:3] *= unit
        order, axis_notes = axis_order(
            header, affine, name=path.name, axes=axes, spacing_is_named=_NAMED_SPACING in notes
        )
        geometry = Geometry.from_affine(
            affine @ moved_axes(order),
            slices=shape[order[2]],
            is_placed=bool(header["sform_code"] > 0 or header["qform_code"] > 0),
        )
    except (UnfitImageError, HeaderDataError, ValueError) as error:
        raise UnfitImageError(
            f"{path.name}: the header's geometry makes no sense ({error}).",
            hint="Repair the sform and qform of the file, or export it again.",
        ) from error
    cine = Cine(
        frames=whole_file_frames(path, partial(_stored_values, order=order)),
        geometry=geometry,
        times_ms=_times_ms(header, shape[3]),
        source=NiftiSource(header, geometry, order),
        name=path.name,
        notes=(*notes, *axis_notes),
    )
    return [cine]


def _check_voxels(header: Nifti1Header, path: Path) -> None:
    dtype, shape = header.get_data_dtype(), header.get_data_shape()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        kind = header.get_value_label("datatype")
        raise UnfitImageError(
            f"{path.name}: voxels of type {kind}; expected one grey value (whole numbers or "
            "floats of up to 64 bits) per voxel.",
            hint="Convert the colour or complex image to grey magnitudes first.",
        )
    if max(shape[4:], default=1) > 1:
        raise UnfitImageError(
            f"{path.name}: an image of {len(shape)} dimensions, {shape}; expected at most column, "
            "row, slice and time.",
            hint="Split the file along its fifth dimension first.",
        )


def _mend_header(
    header: Nifti1Header, path: Path, spacing_mm: tuple[float, float] | None
) -> tuple[str, ...]:
    """Puts right in place what many writers leave out; says what was assumed."""
    notes = []
    pixdim = header["pixdim"]
    # The standard reads any qfac but -1 as 1; nibabel insists on one of the two.
    pixdim[0] = -1 if pixdim[0] == -1 else 1
    pixdim[1:4] = np.abs(pixdim[1:4])
    if not (np.isfinite(pixdim[3]) and pixdim[3] > 0):
        pixdim[3] = 1
        if _four_dimensions(header.get_data_shape())[2] > 1:
            notes.append("the header gives no distance between slices: 1 assumed")
    steps = pixdim[1:3]
    if header["sform_code"] > 0:
        steps = np.linalg.norm(header.get_sform()[:3, :2], axis=0)
    if np.isfinite(steps).all() and steps.min() > 0:
        return tuple(notes)
    if spacing_mm is None:
        raise UnfitImageError(
            f"{path.name}: the header gives no pixel spacing (pixdim "
            f"{pixdim[1]:g} x {pixdim[2]:g}); expected millimetres.",
            hint="Name the in-plane spacing with --spacing ROW,COLUMN.",
        )
    unit = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    pixdim[1:3] = spacing_mm[1] / unit, spacing_mm[0] / unit
    header["sform_code"] = 0
    return (*notes, _NAMED_SPACING)


def _times_ms(header: Nifti1Header, phases: int) -> NDArray[np.float64]:
    ms = _MS_PER_UNIT.get(int(header["xyzt_units"]) & 0x38, np.nan)
    step = float(header["pixdim"][4]) * ms
    if phases == 1:
        return np.zeros(1)
    return np.arange(phases, dtype=np.float64) * (step if step > 0 else np.nan)


def write(cine: Cine, path: Path) -> None:
    """Writes a cine, frame by frame, gzipped where the name ends in .gz.

    A cine that came from NIfTI keeps its header and its order of axes, each of its two affines
    moved on its own.

    Raises:
        OutputError: NIfTI cannot hold the slice positions, the dtype or the size.
    """
    if not cine.geometry.is_evenly_spaced:
        raise OutputError(
            f"{cine.name}: the slices are not evenly spaced, which a NIfTI affine cannot say.",
            hint="Write DICOM: name an output folder instead of a .nii file.",
        )
    order = FILE_ORDER
    try:
        header = _kept_header(cine)
        if header is None:
            header = _new_header(cine)
        else:
            order = cine.source.order
    except HeaderDataError as error:
        raise OutputError(
            f"{cine.name}: NIfTI cannot hold {cine.dtype} pixels of shape {cine.shape} ({error}).",
            hint="Write .npy instead.",
        ) from error
    if cine.derivation is not None:
        header["descrip"] = f"{cine.derivation.label} - research use only"[:79].encode()
    header["vox_offset"] = 0
    with _sink(path) as file:
        header.write_to(file)
        file.write(bytes(header.get_data_offset() - file.tell()))
        for part in _parts(cine, order):
            file.write(part.astype(header.get_data_dtype()).tobytes())


def _parts(cine: Cine, order: AxisOrder) -> Iterator[NDArray[Any]]:
    """What follows one another in the file, the first axis last: frames, or whole phases."""
    slices = cine.shape[1]
    phase = []
    for _, slice_index, frame in cine.iter_frames():
        if order[2] == 2:
            yield frame if order == FILE_ORDER else frame.T
            continue
        # Slices that are not the slowest axis are written together, when their phase is complete.
        phase.append(frame)
        if slice_index == slices - 1:
            yield np.stack(phase).T.transpose(np.argsort(order)).T
            phase = []


@contextmanager
def _sink(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("wb") as file:
        if path.suffix.lower() == ".gz":
            # No name and no time in the gzip header: two runs give the same bytes.
            with gzip.GzipFile("", "wb", compresslevel=3, fileobj=file, mtime=0) as zipped:
                yield zipped
        else:
            yield file


def _kept_header(cine: Cine) -> Nifti1Header | None:
    """The header that the cine came with, moved to its grid; None where that cannot be."""
    if not isinstance(cine.source, NiftiSource):
        return None
    order = cine.source.order
    step = np.linalg.inv(cine.source.geometry.affine()) @ cine.geometry.affine()
    if not np.allclose(step[:3, :3], np.diag(np.diag(step)[:3]), atol=1e-6):
        return None
    step = moved_axes(order) @ step @ moved_axes(order).T
    header = cine.source.header.copy()
    time, slices, rows, columns = cine.shape
    was = header.get_data_shape()
    shape = (*file_shape(order, columns, rows, slices), time, *was[4:])
    same = _four_dimensions(was)[order[2]] == slices and _four_dimensions(was)[3] == time
    # Setting the shape of a 2D image forgets how thick its slice is.
    steps = header["pixdim"].copy()
    header.set_data_shape(shape[: len(was)] if same else shape[:4])
    header["pixdim"] = steps
    _say_slice_axis(header, order)
    if header.get_data_dtype().newbyteorder("=") != cine.dtype:
        header.set_data_dtype(cine.dtype)
    # The quaternion stays as it is: taking it apart again would cost float32 digits.
    if header["qform_code"] > 0:
        try:
            offset = (header.get_qform() @ step)[:3, 3]
        except ValueError:  # A quaternion that is none; the sform says where the image lies.
            header["qform_code"] = 0
        else:
            header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = offset
    if header["sform_code"] > 0:
        header.set_sform(header.get_sform() @ step)
    header["pixdim"][1:4] *= np.diag(step)[:3]
    return header


def _say_slice_axis(header: Nifti1Header, order: AxisOrder) -> None:
    """Pixels of a result may lie as far apart as its slices, so that steps no longer tell."""
    header.set_dim_info(*header.get_dim_info()[:2], order[2])


def _new_header(cine: Cine) -> Nifti1Header:
    time, slices, rows, columns = cine.shape
    header = Nifti1Header()
    header.set_data_dtype(cine.dtype)
    header.set_data_shape((columns, rows, slices) if time == 1 else (columns, rows, slices, time))
    affine = _LPS_TO_RAS @ cine.geometry.affine()
    code = 1 if cine.geometry.is_placed else 0
    header.set_qform(affine, code=code)
    header.set_sform(affine, code=code)
    if slices > 1:
        _say_slice_axis(header, FILE_ORDER)
    step_s = (cine.times_ms[-1] - cine.times_ms[0]) / max(time - 1, 1) / 1000.0
    if np.isfinite(step_s) and step_s > 0:
        header["pixdim"][4] = step_s
        header.set_xyzt_units("mm", "sec")
    else:
        header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = cine.rescaling
    return header
