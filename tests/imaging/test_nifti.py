"""NIfTI against nibabel and SimpleITK: values, affines, times, headers; and broken files."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension
from scipy.spatial.transform import Rotation

from cinesr.errors import OutputError, UnfitImageError, UnreadableFileError
from cinesr.imaging import nifti
from cinesr.imaging.cine import Cine, Derivation, IntensityRule, LazyFrames
from cinesr.imaging.files import load, save
from cinesr.imaging.geometry import Geometry

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (5, 7, 3, 4)
"""Columns, rows, slices, phases: all different, so that a swap shows."""


def oblique(*, handedness: float = 1.0, angles: tuple[float, ...] = (20, -35, 50)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] *= np.array([1.3, 0.9, 8.0 * handedness])
    affine[:3, 3] = [-91.5, 40.25, 133.0]
    return affine


def voxels(dtype: str = "int16", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 100, shape).astype(dtype)


def saved(path: Path, data: np.ndarray, affine: np.ndarray, **fields) -> Path:
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def upscaled(cine: Cine, scale: int = 4) -> Cine:
    frames = np.asarray(cine.frames).repeat(scale, axis=2).repeat(scale, axis=3)
    derivation = Derivation(f"super-resolved x{scale}", "by a test")
    return cine.with_frames(frames, cine.geometry.upscaled(scale), derivation)


def edges_by_simpleitk(path: Path) -> np.ndarray:
    """The outer corners of every slice, (slices, 4, 3), by an independent reader."""
    image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    columns, rows, slices = image.GetSize()[:3]
    tail = [0.0] * (image.GetDimension() - 3)
    corners = [(c, r) for r in (-0.5, rows - 0.5) for c in (-0.5, columns - 0.5)]
    return np.array(
        [
            [
                image.TransformContinuousIndexToPhysicalPoint([c, r, float(k), *tail])[:3]
                for c, r in corners
            ]
            for k in range(slices)
        ]
    )


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_frames_are_the_planes_of_the_file(tmp_path: Path, name: str) -> None:
    data = voxels()
    path = saved(tmp_path / name, data, oblique())

    (cine,) = nifti.read(path)

    assert nifti.is_nifti(path)
    assert cine.name == name
    assert cine.shape == (4, 3, 7, 5)
    assert cine.dtype == np.int16
    for time, slice_index, frame in cine.iter_frames():
        np.testing.assert_array_equal(frame, data[:, :, slice_index, time].T)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 7), (1, 1, 7, 5)),
        ((5, 7, 3), (1, 3, 7, 5)),
        ((5, 7, 1, 4), (4, 1, 7, 5)),
        ((5, 7, 3, 4, 1), (4, 3, 7, 5)),
    ],
)
def test_every_number_of_dimensions_comes_back(tmp_path: Path, shape, expected) -> None:
    data = voxels(shape=shape)
    (cine,) = nifti.read(saved(tmp_path / "a.nii", data, oblique()))

    nifti.write(cine, tmp_path / "b.nii")

    assert cine.shape == expected
    again = nib.load(tmp_path / "b.nii")
    assert again.shape == nib.load(tmp_path / "a.nii").shape
    np.testing.assert_array_equal(np.asanyarray(again.dataobj).reshape(shape), data)


@pytest.mark.parametrize("handedness", [1.0, -1.0])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_simpleitk_reads_the_same_extent_after_upscaling(
    tmp_path: Path, handedness: float, scale: int
) -> None:
    path = saved(tmp_path / "low.nii.gz", voxels(), oblique(handedness=handedness))
    (cine,) = nifti.read(path)

    nifti.write(upscaled(cine, scale), tmp_path / "high.nii.gz")

    np.testing.assert_allclose(
        edges_by_simpleitk(tmp_path / "high.nii.gz"), edges_by_simpleitk(path), atol=1e-4
    )
    np.testing.assert_allclose(edges_by_simpleitk(path), cine.geometry.edges_mm(7, 5), atol=1e-4)
    (again,) = nifti.read(tmp_path / "high.nii.gz")
    assert again.geometry.is_close(upscaled(cine, scale).geometry, tolerance_mm=1e-4)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.sampled_from([-180, -90, 0, 90, 180]) | st.floats(-180, 180)] * 3),
    handedness=st.sampled_from([1.0, -1.0]),
)
def test_a_grid_without_a_nifti_header_is_written_where_it_lies(
    tmp_path: Path, angles: tuple[float, ...], handedness: float
) -> None:
    geometry = Geometry.from_affine(oblique(angles=angles, handedness=handedness), slices=3)
    cine = Cine(voxels(shape=(4, 3, 7, 5)), geometry, times_ms=np.arange(4) * 40.0)

    nifti.write(cine, tmp_path / "new.nii")

    np.testing.assert_allclose(
        edges_by_simpleitk(tmp_path / "new.nii"), geometry.edges_mm(7, 5), atol=1e-4
    )
    image = nib.load(tmp_path / "new.nii")
    np.testing.assert_allclose(image.get_sform(), LPS_TO_RAS @ geometry.affine(), atol=1e-4)
    assert image.header["qform_code"] == image.header["sform_code"] == 1
    (again,) = nifti.read(tmp_path / "new.nii")
    assert again.geometry.is_close(geometry, tolerance_mm=1e-4)


def test_differing_qform_and_sform_are_each_moved_on_their_own(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), oblique())
    image.set_sform(oblique(), 4)
    image.set_qform(oblique(angles=(5, 6, 7)), 1)
    nib.save(image, tmp_path / "low.nii")
    (cine,) = nifti.read(tmp_path / "low.nii")

    nifti.write(upscaled(cine), tmp_path / "high.nii")

    half_pixel = np.diag([0.25, 0.25, 1.0, 1.0])
    half_pixel[:2, 3] = -0.375
    low, high = nib.load(tmp_path / "low.nii").header, nib.load(tmp_path / "high.nii").header
    np.testing.assert_allclose(high.get_sform(), low.get_sform() @ half_pixel, atol=2e-5)
    np.testing.assert_allclose(high.get_qform(), low.get_qform() @ half_pixel, atol=2e-5)
    assert (high["qform_code"], high["sform_code"]) == (1, 4)
    np.testing.assert_allclose(cine.geometry.affine(), LPS_TO_RAS @ low.get_sform(), atol=1e-5)


def test_a_file_with_pixdim_alone_keeps_its_middle(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), None)
    image.header["pixdim"][1:4] = 1.4, 1.2, 8
    nib.save(image, tmp_path / "low.nii")
    (cine,) = nifti.read(tmp_path / "low.nii")

    nifti.write(upscaled(cine), tmp_path / "high.nii")

    high = nib.load(tmp_path / "high.nii")
    assert high.header["qform_code"] == high.header["sform_code"] == 0
    np.testing.assert_allclose(
        LPS_TO_RAS @ high.affine, cine.geometry.upscaled(4).affine(), atol=1e-5
    )
    np.testing.assert_allclose(high.header.get_zooms()[:3], [0.35, 0.3, 8], rtol=1e-6)


def test_stored_values_slope_and_header_fields_are_kept(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels("uint16"), oblique())
    header = image.header
    header.set_slope_inter(0.5, -7)
    header.set_xyzt_units("mm", "msec")
    header.set_intent("estimate", name="tissue")
    header.extensions.append(Nifti1Extension("comment", b"kept as it is"))
    header["cal_min"], header["cal_max"], header["aux_file"] = 3, 90, b"look.lut"
    header["pixdim"][4], header["toffset"] = 31.5, 12
    header["descrip"] = b"the scanner's words"
    path = tmp_path / "low.nii.gz"
    nib.save(image, path)
    stored = np.asarray(nib.load(path).dataobj.get_unscaled())
    (cine,) = nifti.read(path)
    np.testing.assert_array_equal(np.asarray(cine.frames), stored.T)

    nifti.write(upscaled(cine), tmp_path / "high.nii.gz")

    high = nib.load(tmp_path / "high.nii.gz")
    assert (high.dataobj.slope, high.dataobj.inter) == (0.5, -7)
    np.testing.assert_array_equal(high.dataobj.get_unscaled()[::4, ::4], stored)
    np.testing.assert_array_equal(
        np.asarray(high.dataobj)[::4, ::4], np.asarray(nib.load(path).dataobj)
    )
    for field in ("intent_code", "intent_name", "cal_min", "cal_max", "aux_file", "toffset"):
        assert high.header[field] == image.header[field]
    assert high.header.get_xyzt_units() == ("mm", "msec")
    assert high.header["pixdim"][4] == 31.5
    assert high.header["descrip"].item() == b"super-resolved x4 - research use only"
    assert high.header.extensions[0].get_content() == b"kept as it is"


@pytest.mark.parametrize(
    ("unit", "step", "expected"),
    [
        ("sec", 0.04, 40.0),
        ("msec", 40.0, 40.0),
        ("usec", 40000.0, 40.0),
        ("unknown", 40.0, np.nan),
        ("sec", 0.0, np.nan),
    ],
)
def test_times_follow_the_unit(tmp_path: Path, unit: str, step: float, expected: float) -> None:
    image = nib.Nifti1Image(voxels(), oblique())
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = step
    nib.save(image, tmp_path / "a.nii")

    (cine,) = nifti.read(tmp_path / "a.nii")

    np.testing.assert_allclose(cine.times_ms, np.arange(4) * expected, rtol=1e-6)


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1e3), ("micron", 1e-3), ("unknown", 1.0)])
def test_lengths_follow_the_unit(tmp_path: Path, unit: str, mm: float) -> None:
    image = nib.Nifti1Image(voxels(), oblique())
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "a.nii")

    (cine,) = nifti.read(tmp_path / "a.nii")
    nifti.write(upscaled(cine), tmp_path / "b.nii")

    np.testing.assert_allclose(cine.geometry.spacing_mm, np.array([1.3, 0.9, 8]) * mm, rtol=1e-6)
    np.testing.assert_allclose(
        nib.load(tmp_path / "b.nii").header.get_zooms()[:3], [1.3 / 4, 0.9 / 4, 8], rtol=1e-6
    )


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", [">i2", "<u2", ">f4", "u1", "f8", "i8"])
def test_byte_order_version_and_dtype_are_kept(tmp_path: Path, kind, dtype: str) -> None:
    data = voxels("uint8").astype(dtype)
    image = kind(data, oblique(), dtype=np.dtype(dtype))
    if dtype.startswith(">"):
        image = kind(data, oblique(), image.header.as_byteswapped(">"))
        image.set_data_dtype(np.dtype(dtype))
    nib.save(image, tmp_path / "a.nii")

    (cine,) = nifti.read(tmp_path / "a.nii")
    nifti.write(cine, tmp_path / "b.nii")

    assert cine.dtype.isnative
    np.testing.assert_array_equal(np.asarray(cine.frames), data.T)
    again = nib.load(tmp_path / "b.nii")
    assert type(again) is kind
    assert again.header.endianness == nib.load(tmp_path / "a.nii").header.endianness
    assert again.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(again.dataobj), data)


def test_a_cine_of_other_origin_brings_its_times(tmp_path: Path) -> None:
    cine = Cine(
        voxels("uint16", (3, 2, 6, 5)),
        Geometry.from_affine(oblique(), slices=2),
        times_ms=[0.0, 41.0, 80.0],
    )

    nifti.write(cine, tmp_path / "a.nii.gz")

    image = nib.load(tmp_path / "a.nii.gz")
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert image.header["pixdim"][4] == np.float32(0.04)
    np.testing.assert_array_equal(np.asarray(image.dataobj), cine.frames.T)


def test_a_grid_turned_since_reading_gets_a_header_of_its_own(tmp_path: Path) -> None:
    (cine,) = nifti.read(saved(tmp_path / "a.nii", voxels(), oblique()))
    turned = Geometry.from_affine(oblique(angles=(0, 0, 10)), slices=3)

    nifti.write(cine.with_frames(cine.frames, turned, Derivation("turned", "")), tmp_path / "b.nii")

    np.testing.assert_allclose(
        edges_by_simpleitk(tmp_path / "b.nii"), turned.edges_mm(7, 5), atol=1e-4
    )


def test_fewer_phases_and_another_dtype_fit_into_the_kept_header(tmp_path: Path) -> None:
    (cine,) = nifti.read(saved(tmp_path / "a.nii", voxels(), oblique()))
    first = Cine(
        np.asarray(cine.frames)[:2].astype("float32"),
        cine.geometry,
        times_ms=np.zeros(2),
        source=cine.source,
    )

    nifti.write(first, tmp_path / "b.nii")

    again = nib.load(tmp_path / "b.nii")
    assert again.shape == (5, 7, 3, 2)
    assert again.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(again.dataobj), voxels()[..., :2])


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    (cine,) = nifti.read(saved(tmp_path / "a.nii", voxels(), oblique()))

    nifti.write(cine, tmp_path / "b.nii.gz")
    nifti.write(cine, tmp_path / "c.nii.gz")

    content = (tmp_path / "b.nii.gz").read_bytes()
    assert content == (tmp_path / "c.nii.gz").read_bytes()
    # RFC 1952: bytes 4 to 7 are the time, bit 3 of byte 3 says that a name follows.
    assert content[4:8] == bytes(4)
    assert content[3] == 0


def test_frames_are_written_one_by_one(tmp_path: Path) -> None:
    asked = []

    def compute(time: int, slice_index: int) -> np.ndarray:
        asked.append((time, slice_index))
        return np.full((6, 5), 10 * time + slice_index, "uint8")

    lazy = LazyFrames((2, 3, 6, 5), "uint8", compute)
    nifti.write(Cine(lazy, Geometry.assumed(slices=3), np.zeros(2)), tmp_path / "a.nii")

    assert asked == [(time, k) for time in range(2) for k in range(3)]
    data = np.asarray(nib.load(tmp_path / "a.nii").dataobj)
    np.testing.assert_array_equal(data[0, 0], [[0, 10], [1, 11], [2, 12]])


def test_an_unknown_grid_is_written_without_a_claim(tmp_path: Path) -> None:
    nifti.write(Cine(voxels(shape=(1, 1, 6, 5)), Geometry.assumed()), tmp_path / "a.nii")

    header = nib.load(tmp_path / "a.nii").header
    assert header["qform_code"] == header["sform_code"] == 0


@pytest.mark.parametrize("field", [0.0, np.nan])
def test_missing_spacing_is_asked_for_and_taken(tmp_path: Path, field: float) -> None:
    image = nib.Nifti1Image(voxels(), None)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    content[80:88] = np.array([field, field], "<f4").tobytes()
    path.write_bytes(content)

    with pytest.raises(UnfitImageError, match=r"a\.nii.*no pixel spacing(.|\n)*--spacing"):
        nifti.read(path)
    (cine,) = nifti.read(path, spacing_mm=(1.5, 0.7))
    assert cine.geometry.spacing_mm == pytest.approx((0.7, 1.5, 1.0))
    assert "named" in cine.notes[0]
    nifti.write(upscaled(cine), tmp_path / "b.nii")
    assert nib.load(tmp_path / "b.nii").header.get_zooms()[:2] == pytest.approx((0.175, 0.375))


def test_a_named_spacing_does_not_replace_a_known_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", voxels(), oblique())

    (cine,) = nifti.read(path, spacing_mm=(5.0, 6.0))

    assert cine.geometry.spacing_mm == pytest.approx((1.3, 0.9, 8.0))


def test_a_missing_slice_distance_is_assumed_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(voxels(), None), path)
    content = bytearray(path.read_bytes())
    content[88:92] = bytes(4)
    path.write_bytes(content)

    (cine,) = nifti.read(path)

    assert cine.geometry.spacing_mm[2] == 1.0
    assert "between slices" in cine.notes[0]


def test_an_affine_without_volume_is_refused_by_name(tmp_path: Path) -> None:
    affine = oblique()
    affine[:3, 2] = affine[:3, 1]
    image = nib.Nifti1Image(voxels(), None)
    image.set_sform(affine, 1)
    nib.save(image, tmp_path / "flat.nii")

    with pytest.raises(UnfitImageError, match=r"flat\.nii: the header's geometry makes no sense"):
        nifti.read(tmp_path / "flat.nii")


def test_colour_complex_and_vectors_are_refused(tmp_path: Path) -> None:
    colour = np.zeros((5, 7, 3), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nib.save(nib.Nifti1Image(colour, oblique()), tmp_path / "rgb.nii")
    nib.save(nib.Nifti1Image(voxels().astype("complex64"), oblique()), tmp_path / "complex.nii")
    nib.save(nib.Nifti1Image(voxels(shape=(5, 7, 3, 1, 3)), oblique()), tmp_path / "vector.nii")

    with pytest.raises(UnfitImageError, match=r"rgb\.nii: voxels of type RGB"):
        nifti.read(tmp_path / "rgb.nii")
    with pytest.raises(UnfitImageError, match=r"complex\.nii: voxels of type complex64"):
        nifti.read(tmp_path / "complex.nii")
    with pytest.raises(UnfitImageError, match=r"vector\.nii: an image of 5 dimensions"):
        nifti.read(tmp_path / "vector.nii")


def test_a_voxel_that_is_not_a_number_is_refused_when_measured(tmp_path: Path) -> None:
    data = voxels("float32")
    data[1, 2, 0, 3] = np.nan

    (cine,) = nifti.read(saved(tmp_path / "a.nii", data, oblique()))

    with pytest.raises(UnfitImageError, match=r"a\.nii: the frame at phase 3, slice 0"):
        IntensityRule.of(cine)


@pytest.mark.parametrize("kept", [20, 200, 0.5, 0.99])
@pytest.mark.parametrize("name", ["cut.nii", "cut.nii.gz"])
def test_a_truncated_file_is_recognised_and_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = saved(tmp_path / name, voxels(shape=(40, 40, 3, 4)), oblique())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])

    assert nifti.is_nifti(path)
    with pytest.raises(UnreadableFileError, match=rf"{name} is not a whole NIfTI file"):
        nifti.read(path)


def test_damaged_content_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii.gz", voxels(shape=(40, 40, 3, 4)), oblique())
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)

    with pytest.raises(UnreadableFileError, match=r"a\.nii\.gz is not a whole NIfTI file"):
        nifti.read(path)


def test_a_header_that_promises_more_than_the_file_can_hold_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", voxels(), oblique())
    content = bytearray(path.read_bytes())
    content[42:50] = np.array([32767] * 4, "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))

    with pytest.raises(UnreadableFileError, match="the file is shorter"):
        nifti.read(path)


def test_a_pair_of_header_and_image_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(voxels(), oblique()), tmp_path / "a.img")

    assert nifti.is_nifti(tmp_path / "a.hdr")
    with pytest.raises(UnreadableFileError, match="in a second file"):
        nifti.read(tmp_path / "a.hdr")


# Without a time in it, which would make each test process name the test otherwise.
@pytest.mark.parametrize("content", [b"", b"hello", gzip.compress(bytes(500), mtime=0), bytes(400)])
def test_other_files_are_no_nifti(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)

    assert not nifti.is_nifti(tmp_path / "a")


def test_a_gzip_header_that_is_damaged_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b" + bytes(500))

    assert nifti.is_nifti(tmp_path / "a.nii.gz")
    with pytest.raises(UnreadableFileError, match=r"a\.nii\.gz is not a whole NIfTI file"):
        nifti.read(tmp_path / "a.nii.gz")


def test_an_image_of_one_dimension_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros(7, "int16"), None), tmp_path / "line.nii")

    with pytest.raises(UnreadableFileError, match=r"line\.nii .*an image of shape \(7,\)"):
        nifti.read(tmp_path / "line.nii")


def test_what_nifti_cannot_hold_is_told(tmp_path: Path) -> None:
    uneven = Geometry(np.eye(3), (1, 1, 8), [[0, 0, 0], [0, 0, 8], [0, 0, 20]])
    data = voxels(shape=(1, 3, 6, 5))

    with pytest.raises(OutputError, match=r"not evenly spaced(.|\n)*DICOM"):
        nifti.write(Cine(data, uneven), tmp_path / "a.nii")
    with pytest.raises(OutputError, match="float16"):
        nifti.write(Cine(data.astype("f2"), Geometry.assumed(slices=3)), tmp_path / "a.nii")
    assert not (tmp_path / "a.nii").exists()


def test_a_2d_image_keeps_how_thick_its_slice_is(tmp_path):
    affine = np.diag([1.5, 1.1, 8.0, 1.0])
    image = nib.Nifti1Image(np.arange(20 * 24, dtype=np.int16).reshape(24, 20), affine)
    image.header["pixdim"][1:4] = 1.5, 1.1, 8.0
    image.header.set_qform(affine, code=1)
    nib.save(image, tmp_path / "a.nii")
    (cine,) = nifti.read(tmp_path / "a.nii")
    frames = np.kron(cine.frames, np.ones((1, 1, 4, 4), np.int16))
    upscaled = cine.with_frames(frames, cine.geometry.upscaled(4), Derivation("x4", "x4"))
    nifti.write(upscaled, tmp_path / "b.nii")
    header = nib.load(tmp_path / "b.nii").header
    np.testing.assert_allclose(header["pixdim"][1:4], [0.375, 0.275, 8.0])
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-5)


def test_a_quaternion_that_is_none_is_left_out(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(48, dtype="int16").reshape(8, 6, 1), np.diag([2, 3, 8, 1]))
    image.header["qform_code"], image.header["sform_code"] = 1, 1
    image.header["quatern_b"], image.header["quatern_c"] = 1.5, 2.0
    image.header["vox_offset"] = 352
    values = image.dataobj.tobytes(order="F")
    (tmp_path / "a.nii").write_bytes(image.header.binaryblock + bytes(4) + values)
    cine = load(tmp_path / "a.nii")

    save(cine, tmp_path / "b.nii")

    header = nib.load(tmp_path / "b.nii").header
    assert (header["qform_code"], header["sform_code"]) == (0, 1)
    assert load(tmp_path / "b.nii").geometry.is_close(cine.geometry)
