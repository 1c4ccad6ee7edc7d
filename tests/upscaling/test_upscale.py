"""The workflow: geometry exact, one intensity rule, whole or nothing, a record of it all."""

import json
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from scipy.ndimage import gaussian_filter

import cinesr
import dicom_cases
from cinesr.degradation import resize_bicubic
from cinesr.errors import (
    CheckFailedError,
    LabelMapError,
    ModelError,
    OutputError,
    UnfitImageError,
)
from cinesr.imaging.cine import Cine, LazyFrames
from cinesr.imaging.files import load, open_cines, save
from cinesr.imaging.geometry import Geometry
from cinesr.upscaling.upscale import (
    Stopwatch,
    Upscaler,
    default_output,
    output_paths,
    upscale,
    upscale_path,
)
from model_cases import card, write_model

OBLIQUE = np.array(
    [[0.8, 0.36, 0.48, -40.0], [0.0, 0.8, -0.6, 12.0], [-0.6, 0.48, 0.64, 7.0], [0, 0, 0, 1]]
) @ np.diag([1.3, 1.7, 8.0, 1.0])


@pytest.fixture(scope="session")
def bicubic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "bicubic.onnx")


@pytest.fixture
def upscaler(bicubic: Path) -> Upscaler:
    return Upscaler(bicubic, threads=1)


def beating(phases: int = 3, slices: int = 2, rows: int = 34, columns: int = 27, **changes) -> Cine:
    """A smooth moving picture on an oblique grid whose pixels are not square, 0 to 3000."""
    noise = np.random.default_rng(7).random((phases, slices, rows, columns))
    frames = gaussian_filter(noise, (0, 0, 1.5, 1.5))
    frames = (frames - frames.min()) / np.ptp(frames) * 3000
    geometry = Geometry.from_affine(OBLIQUE, slices=slices)
    cine = Cine(frames.astype(np.uint16), geometry, np.arange(phases) * 40.0, name="beating")
    return replace(cine, **changes)


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


class TestPixels:
    def test_a_linear_model_gives_the_known_answer_rounded_once(self, bicubic: Path) -> None:
        cine = beating()
        result = upscale(cine, model=bicubic, threads=1)
        exact = resize_bicubic(cine.frames.astype(np.float64), (34 * 4, 27 * 4))
        assert result.dtype == np.uint16
        assert result.shape == (3, 2, 136, 108)
        # Half a step for the rounding, a tenth for single precision.
        assert np.abs(result.frames - np.clip(exact, 0, 65535)).max() < 0.6

    def test_values_are_clipped_once_to_what_may_be_stored(self, bicubic: Path) -> None:
        frames = np.zeros((1, 1, 24, 24), np.uint16)
        frames[..., 8:16, 8:16] = 4095
        cine = Cine(frames, Geometry.assumed(), value_range=(0.0, 4095.0))
        result = upscale(cine, model=bicubic, threads=1).frames
        exact = resize_bicubic(frames.astype(np.float64), (96, 96))
        assert exact.max() > 4200
        assert exact.min() < -100
        np.testing.assert_allclose(result, np.rint(np.clip(exact, 0, 4095)), atol=1)
        assert result.max() == 4095

    @pytest.mark.parametrize("offset", [0, -1000])
    def test_a_signed_magnitude_image_gets_no_negative_values(
        self, bicubic: Path, offset: int
    ) -> None:
        frames = np.full((1, 1, 24, 24), offset, np.int16)
        frames[..., 8:16, 8:16] = 2000
        result = upscale(Cine(frames, Geometry.assumed()), model=bicubic, threads=1).frames
        assert result.dtype == np.int16
        assert result.min() == 0 if offset == 0 else result.min() < -1000

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
    def test_the_stored_type_comes_back(self, bicubic: Path, dtype: str) -> None:
        frames = (beating().frames // 12).astype(dtype)
        result = upscale(beating(frames=frames, value_range=None), model=bicubic, threads=1)
        assert result.dtype == dtype
        exact = resize_bicubic(frames.astype(np.float64), (136, 108))
        tolerance = 0.51 if np.issubdtype(result.dtype, np.integer) else 0.01
        assert np.abs(result.frames - np.maximum(exact, 0)).max() < tolerance

    @pytest.mark.parametrize(("low", "high"), [(0, 1e-6), (5e5, 6e5), (-3, 1e4)])
    def test_any_range_of_floats_comes_back(self, bicubic: Path, low: float, high: float) -> None:
        frames = (beating().frames / 3000 * (high - low) + low).astype(np.float64)
        cine = beating(frames=frames, value_range=None)
        result = upscale(cine, model=bicubic, threads=1).frames
        exact = resize_bicubic(frames, (136, 108))
        expected = np.maximum(exact, 0) if low >= 0 else exact
        assert np.abs(result - expected).max() < 1e-5 * (high - low)

    def test_frames_of_other_brightness_keep_their_ratio(self, bicubic: Path) -> None:
        """One rule for the whole cine: neither phases nor slices flicker."""
        still = beating(phases=1, slices=1).frames.astype(np.float32)
        levels = np.array([[1.0, 0.25], [0.5, 0.8], [0.1, 0.9]], np.float32)
        frames = still * levels[:, :, None, None]
        cine = beating(frames=frames, value_range=None)
        result = upscale(cine, model=bicubic, threads=1).frames
        expected = result[0, 0] * levels[:, :, None, None]
        np.testing.assert_allclose(result, expected, atol=3000 * 2e-6)

    @pytest.mark.parametrize("size", [(2, 2), (2, 31), (17, 3), (33, 47)])
    @pytest.mark.parametrize("scale", [2, 3])
    def test_odd_and_tiny_sizes(self, tmp_path: Path, size: tuple[int, int], scale: int) -> None:
        model = write_model(tmp_path / "m.onnx", scale=scale)
        cine = beating(rows=size[0], columns=size[1])
        result = upscale(cine, model=model, scale=scale, threads=1)
        assert result.shape == (3, 2, size[0] * scale, size[1] * scale)

    def test_two_runs_give_the_same_pixels(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "conv.onnx", "nearest")
        first, second = (upscale(beating(), model=model).frames for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_frames_may_be_read_in_any_order_and_again(self, upscaler: Upscaler) -> None:
        cine = beating(phases=5)
        result = upscaler(cine).cine
        whole = np.asarray(result.frames)
        for place in [(4, 1), (0, 0), (4, 1), (2, 0)]:
            np.testing.assert_array_equal(result.frame(*place), whole[place])


class TestPlaces:
    def test_the_physical_extent_stays(self, bicubic: Path) -> None:
        cine = beating()
        result = upscale(cine, model=bicubic, threads=1)
        np.testing.assert_allclose(
            result.geometry.edges_mm(136, 108), cine.geometry.edges_mm(34, 27), atol=1e-9
        )
        assert result.geometry.spacing_mm == pytest.approx((1.3 / 4, 1.7 / 4, 8.0))
        np.testing.assert_array_equal(result.times_ms, cine.times_ms)

    def test_itk_sees_the_same_extent_of_oblique_nifti(
        self, upscaler: Upscaler, tmp_path: Path
    ) -> None:
        save(beating(), tmp_path / "a.nii.gz")
        upscale_path(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", upscaler)
        corners = [itk_corners(tmp_path / name) for name in ("a.nii.gz", "b.nii.gz")]
        np.testing.assert_allclose(corners[1], corners[0], atol=1e-4)
        header = nib.load(tmp_path / "b.nii.gz").header
        assert header["pixdim"][4] == pytest.approx(0.04)
        assert header.get_xyzt_units() == ("mm", "sec")

    def test_itk_sees_the_same_extent_of_oblique_dicom(
        self, upscaler: Upscaler, tmp_path: Path
    ) -> None:
        source = dicom_cases.write_cine_series(tmp_path / "scan")
        upscale_path(source, tmp_path / "out", upscaler)
        results = sorted((tmp_path / "out").glob("*.dcm"))
        assert len(results) == 12
        originals = {
            pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path
            for path in source.iterdir()
        }
        for path in results:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            twin = originals[header.SourceImageSequence[0].ReferencedSOPInstanceUID]
            np.testing.assert_allclose(itk_corners(path), itk_corners(twin), atol=1e-4)
            assert list(header.PixelSpacing) == pytest.approx([1.5 / 4, 0.75 / 4])
            assert "super-resolved x4" in header.ImageComments
            assert (header.Rows, header.Columns) == (80, 96)

    def test_dicom_and_nifti_lead_to_the_same_pixels_in_the_same_places(
        self, upscaler: Upscaler, tmp_path: Path
    ) -> None:
        dicom_cases.write_cine_series(tmp_path / "scan")
        save(load(tmp_path / "scan"), tmp_path / "scan.nii.gz")
        upscale_path(tmp_path / "scan", tmp_path / "a", upscaler)
        upscale_path(tmp_path / "scan.nii.gz", tmp_path / "b.nii.gz", upscaler)
        one, other = load(tmp_path / "a"), load(tmp_path / "b.nii.gz")
        np.testing.assert_array_equal(one.frames, other.frames)
        assert one.geometry.is_close(other.geometry)
        np.testing.assert_allclose(
            one.geometry.edges_mm(80, 96), other.geometry.edges_mm(80, 96), atol=1e-3
        )
        np.testing.assert_allclose(one.times_ms, other.times_ms, atol=1e-3)


def itk_corners(path: Path) -> np.ndarray:
    """World coordinates of the outer corners, as an independent reader sees them."""
    image = SimpleITK.ReadImage(str(path))
    columns, rows = image.GetSize()[:2]
    rest = [0.0] * (image.GetDimension() - 2)
    return np.array(
        [
            image.TransformContinuousIndexToPhysicalPoint([column, row, *rest])[:3]
            for column in (-0.5, columns - 0.5)
            for row in (-0.5, rows - 0.5)
        ]
    )


class TestOutputSpacing:
    @pytest.mark.parametrize("spacing", [0.25, 0.4, 1.0, 2.5])
    def test_pixels_are_of_that_size_and_the_middle_stays(
        self, bicubic: Path, spacing: float
    ) -> None:
        cine = beating(phases=1)
        result = Upscaler(bicubic, threads=1, spacing_out_mm=spacing)(cine).cine
        assert result.geometry.spacing_mm[:2] == (spacing, spacing)
        _, _, rows, columns = result.shape
        # The field of view is that of the input, to half a pixel on either side.
        assert abs(rows * spacing - 34 * 1.7) <= spacing / 2
        assert abs(columns * spacing - 27 * 1.3) <= spacing / 2
        middles = [it.geometry.edges_mm(*it.shape[2:]).mean(axis=1) for it in (cine, result)]
        assert middles[1] == pytest.approx(middles[0], abs=1e-9)

    def test_the_picture_lies_where_the_geometry_says(self, bicubic: Path) -> None:
        """A wave over millimetres is the same wave on either grid."""
        wide = beating(phases=1, slices=1, rows=48, columns=60)

        def wave(cine: Cine) -> np.ndarray:
            _, _, rows, columns = cine.shape
            column, row = np.meshgrid(np.arange(columns), np.arange(rows))
            index = np.stack([column, row, 0 * row, 0 * row + 1]).reshape(4, -1)
            place = (cine.geometry.affine() @ index)[:3]
            along = cine.geometry.directions[:, :2].T @ place
            phase = 2 * np.pi * (along / np.array([[31.0], [23.0]])).sum(axis=0)
            return (1500 + 900 * np.sin(phase)).reshape(rows, columns)

        cine = replace(wide, frames=wave(wide)[None, None].astype(np.float32), value_range=None)
        result = Upscaler(bicubic, threads=1, spacing_out_mm=0.9)(cine).cine
        found = result.frame(0, 0)
        inside = np.s_[8:-8, 8:-8]
        assert found[inside] == pytest.approx(wave(result)[inside], abs=6.0)

    def test_it_goes_through_files_and_is_recorded(self, bicubic: Path, tmp_path: Path) -> None:
        save(beating(), tmp_path / "a.nii.gz")
        upscaler = Upscaler(bicubic, threads=1, spacing_out_mm=0.7)
        record = upscale_path(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", upscaler)
        assert record["spacing_out_mm"] == 0.7
        (series,) = record["series"]
        expected = {"row": 0.7, "column": 0.7, "slice": 8.0}
        assert series["result_spacing_mm"] == pytest.approx(expected, abs=1e-9)
        result = load(tmp_path / "b.nii.gz")
        assert result.geometry.spacing_mm[:2] == pytest.approx((0.7, 0.7), abs=1e-6)
        expected = upscaler(beating()).cine.geometry
        assert result.geometry.is_close(expected, tolerance_mm=1e-4)

    @pytest.mark.parametrize("spacing", [0.0, -1.0, 200.0, float("nan")])
    def test_what_is_no_length_is_refused(self, bicubic: Path, spacing: float) -> None:
        with pytest.raises(UnfitImageError, match="expected a length from"):
            Upscaler(bicubic, spacing_out_mm=spacing)

    def test_a_picture_of_unknown_spacing_cannot_get_one(self, bicubic: Path) -> None:
        cine = beating(slices=1, geometry=Geometry.assumed())
        with pytest.raises(UnfitImageError, match="does not say its own"):
            Upscaler(bicubic, threads=1, spacing_out_mm=0.5)(cine)


@pytest.mark.parametrize(
    ("spacing_mm", "scale"), [(0.8, 2), (2.2, 2), (2.3, 4), (None, 2)], ids=str
)
def test_the_scale_follows_the_scan_where_nobody_names_it(
    spacing_mm: float | None, scale: int
) -> None:
    geometry = Geometry.assumed(slices=2)
    if spacing_mm is not None:
        geometry = geometry.with_in_plane_spacing(spacing_mm, spacing_mm + 1)
    cine = beating(phases=1, geometry=geometry)
    upscaler = Upscaler(threads=1)
    assert upscaler.suited(cine).model.name == f"fidelity-x{scale}"
    assert upscaler(cine).cine.shape[2:] == (34 * scale, 27 * scale)
    assert Upscaler(scale=4, threads=1).suited(cine).model.name == "fidelity-x4"


class TestChecks:
    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("nan", "phase 0, slice 0 spans nan to nan"),
            ("overshoot", "phase 0, slice 0 spans"),
            ("black", "not constant: the result spans 0 %"),
            ("constant", "not constant: the result spans 0 %"),
            ("shifted", r"shift: \+0\.2\d+ rows"),
        ],
    )
    def test_an_unfit_result_is_not_written(self, tmp_path: Path, kind: str, words: str) -> None:
        upscaler = Upscaler(write_model(tmp_path / "models" / "bad.onnx", kind), threads=1)
        save(beating(), tmp_path / "a.nii.gz")
        for output in ("out", "out.nii.gz"):
            with pytest.raises(CheckFailedError, match=rf"a\.nii\.gz: the result .*{words}"):
                upscale_path(tmp_path / "a.nii.gz", tmp_path / output, upscaler)
        assert files_in(tmp_path) == ["a.nii.gz", "models", "models/bad.onnx"]

    def test_a_frame_that_goes_wrong_late_leaves_nothing(self, tmp_path: Path) -> None:
        upscaler = Upscaler(write_model(tmp_path / "models" / "bad.onnx", "late"), threads=1)
        cine = beating(phases=30, slices=1)
        cine.frames[...] //= 2
        cine.frames[13] *= 2
        save(cine, tmp_path / "a.nii.gz")
        for output in ("out", "out.nii.gz"):
            with pytest.raises(CheckFailedError, match="at phase 13, slice 0 spans nan"):
                upscale_path(tmp_path / "a.nii.gz", tmp_path / output, upscaler)
        assert files_in(tmp_path) == ["a.nii.gz", "models", "models/bad.onnx"]

    def test_a_low_consistency_is_told_but_taken(self, tmp_path: Path) -> None:
        upscaler = Upscaler(write_model(tmp_path / "dim.onnx", "dim"), threads=1)
        save(beating(), tmp_path / "a.npy")
        record = upscale_path(tmp_path / "a.npy", tmp_path / "b.npy", upscaler)
        (series,) = record["series"]
        assert [check["name"] for check in series["checks"] if check["warning"]] == ["consistency"]
        assert any(note.startswith("consistency: degraded again") for note in series["notes"])

    @pytest.mark.parametrize(
        ("learned", "words"),
        [
            ([1.4, 1.5], None),
            ([0.3, 0.5], None),
            ([1.6, 2.0], "finer than anything it has seen"),
            ([0.1, 0.2], "learned from 0.4-0.8 mm pixels, finer than the 1.3-1.7 mm here"),
        ],
    )
    def test_pixels_far_from_those_learned_are_said(
        self, tmp_path: Path, learned: list[float], words: str | None
    ) -> None:
        if learned == [1.4, 1.5]:
            learned = [1.3 / 4, 1.7 / 4]
        says = {**card(), "data": {"spacing_mm": learned}}
        model = write_model(tmp_path / "m.onnx", says=says)
        notes = Upscaler(model, threads=1)(beating()).cine.notes
        assert (not notes) if words is None else (words in notes[0])

    def test_nothing_is_said_of_pixels_whose_size_is_not_known(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "m.onnx", says={**card(), "data": {"spacing_mm": [9, 9]}})
        cine = beating(slices=1, geometry=Geometry.assumed())
        assert Upscaler(model, threads=1)(cine).cine.notes == ()

    def test_values_that_are_not_finite_and_constant_images_are_refused(
        self, upscaler: Upscaler
    ) -> None:
        frames = beating().frames.astype(np.float32)
        frames[1, 1, 3, 4] = np.inf
        with pytest.raises(UnfitImageError, match="phase 1, slice 1 holds 1 values"):
            upscaler(beating(frames=frames, value_range=None))
        with pytest.raises(UnfitImageError, match="every pixel of the image is 0"):
            upscaler(beating(frames=np.zeros((3, 2, 34, 27), np.uint16)))


class TestFiles:
    @pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.npy"])
    def test_a_file_gives_a_file_with_its_record_and_preview(
        self, upscaler: Upscaler, tmp_path: Path, name: str
    ) -> None:
        save(beating(), tmp_path / name)
        target = default_output(tmp_path / name, 4)
        upscale_path(tmp_path / name, target, upscaler)
        suffix = name[1:]
        expected = [name, "a_x4.preview.png", "a_x4.run.json", f"a_x4{suffix}"]
        assert files_in(tmp_path) == sorted(expected)
        assert load(target).shape == (3, 2, 136, 108)

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_a_picture_gives_a_picture(self, upscaler: Upscaler, tmp_path: Path, name: str) -> None:
        save(beating(phases=1, slices=1), tmp_path / name)
        upscale_path(tmp_path / name, tmp_path / f"out_{name}", upscaler)
        with Image.open(tmp_path / f"out_{name}") as picture:
            assert picture.size == (108, 136)
            assert picture.mode == "I;16"

    def test_an_enhanced_dicom_file_gives_one(self, upscaler: Upscaler, tmp_path: Path) -> None:
        source = dicom_cases.write_enhanced(tmp_path / "scan.dcm")
        target = default_output(source, 4)
        upscale_path(source, target, upscaler)
        assert files_in(tmp_path) == [
            "scan.dcm",
            "scan_x4.dcm",
            "scan_x4.preview.png",
            "scan_x4.run.json",
        ]
        result = pydicom.dcmread(target)
        assert (result.NumberOfFrames, result.Rows, result.Columns) == (12, 80, 96)

    def test_a_folder_of_dicom_gives_a_folder(self, upscaler: Upscaler, tmp_path: Path) -> None:
        source = dicom_cases.write_cine_series(tmp_path / "scan", slices=2, phases=2)
        upscale_path(source, default_output(source, 4), upscaler)
        names = files_in(tmp_path / "scan_x4")
        assert len([name for name in names if name.endswith(".dcm")]) == 4
        assert [name for name in names if not name.endswith(".dcm")] == ["preview.png", "run.json"]

    def test_a_zip_gives_a_folder(self, upscaler: Upscaler, tmp_path: Path) -> None:
        source = dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2)
        with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
            for path in source.iterdir():
                archive.write(path, path.name)
        shutil.rmtree(source)
        target = default_output(tmp_path / "scan.zip", 4)
        assert target == tmp_path / "scan_x4"
        upscale_path(tmp_path / "scan.zip", target, upscaler)
        assert load(target).shape == (2, 1, 80, 96)

    def test_dicom_becomes_nifti_where_the_output_is_named_so(
        self, upscaler: Upscaler, tmp_path: Path
    ) -> None:
        source = dicom_cases.write_cine_series(tmp_path / "scan")
        upscale_path(source, tmp_path / "new" / "out.nii.gz", upscaler)
        assert load(tmp_path / "new" / "out.nii.gz").shape == (4, 3, 80, 96)

    def test_several_series_go_to_a_folder_each(self, upscaler: Upscaler, tmp_path: Path) -> None:
        dicom_cases.write_cine_series(tmp_path / "scan", series=3, slices=1, phases=2)
        dicom_cases.write_cine_series(tmp_path / "scan", series=4, slices=1, phases=2, rows=12)
        record = upscale_path(tmp_path / "scan", tmp_path / "out", upscaler)
        folders = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
        assert folders == ["cine SAX 3_x4", "cine SAX 4_x4"]
        assert [load(tmp_path / "out" / name).shape[2] for name in folders] == [80, 48]
        assert [series["name"] for series in record["series"]] == ["cine SAX 3", "cine SAX 4"]
        assert record["frames"] == 4
        with pytest.raises(OutputError, match=r"holds 2 series; .*one\.nii\.gz can take one"):
            upscale_path(tmp_path / "scan", tmp_path / "one.nii.gz", upscaler)

    def test_a_folder_of_pictures_keeps_its_names(self, upscaler: Upscaler, tmp_path: Path) -> None:
        still = beating(phases=1, slices=1)
        for name in ("p1/1.png", "p2/1.png", "odd name;.npy"):
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            save(still, tmp_path / "in" / name)
        upscale_path(tmp_path / "in", tmp_path / "out", upscaler)
        found = [name for name in files_in(tmp_path / "out") if "x4." in name]
        assert found == ["odd name__x4.npy", "p1/1_x4.png", "p2/1_x4.png"]

    def test_names_that_become_the_same_are_told_apart(
        self, upscaler: Upscaler, tmp_path: Path
    ) -> None:
        for name in ("a;b.npy", "a!b.npy", "....npy"):
            (tmp_path / "in").mkdir(exist_ok=True)
            save(beating(phases=1), tmp_path / "in" / f"x{name}")
        upscale_path(tmp_path / "in", tmp_path / "out", upscaler)
        found = [name for name in files_in(tmp_path / "out") if name.endswith(".npy")]
        assert found == ["x..._x4.npy", "xa_b_x4.npy", "xa_b_x4_2.npy"]

    def test_one_file_may_go_into_a_folder(self, upscaler: Upscaler, tmp_path: Path) -> None:
        save(beating(), tmp_path / "a.nii.gz")
        upscale_path(tmp_path / "a.nii.gz", tmp_path / "out", upscaler)
        assert files_in(tmp_path / "out") == ["a_x4.nii.gz", "preview.png", "run.json"]

    def test_a_file_whose_name_lies_keeps_its_stem(
        self, upscaler: Upscaler, tmp_path: Path
    ) -> None:
        save(beating(), tmp_path / "a.npy")
        (tmp_path / "a.npy").rename(tmp_path / "a.nii.gz")
        upscale_path(tmp_path / "a.nii.gz", tmp_path / "out", upscaler)
        assert files_in(tmp_path / "out") == ["a_x4.npy", "preview.png", "run.json"]

    @pytest.mark.parametrize("output", ["out", "out.nii.gz"])
    def test_what_exists_is_kept_unless_overwriting_is_allowed(
        self, upscaler: Upscaler, tmp_path: Path, output: str
    ) -> None:
        save(beating(), tmp_path / "a.nii.gz")
        upscale_path(tmp_path / "a.nii.gz", tmp_path / output, upscaler)
        before = files_in(tmp_path)
        calls: list[int] = []
        with pytest.raises(OutputError, match=rf"{output} exists already(.|\n)*--overwrite"):
            upscale_path(
                tmp_path / "a.nii.gz",
                tmp_path / output,
                upscaler,
                progress=lambda done, _: calls.append(done),
            )
        assert not calls, "it was told only after the network had run"
        upscale_path(tmp_path / "a.nii.gz", tmp_path / output, upscaler, overwrite=True)
        assert files_in(tmp_path) == before

    def test_an_interruption_leaves_nothing(self, upscaler: Upscaler, tmp_path: Path) -> None:
        save(beating(phases=9), tmp_path / "a.nii.gz")

        def stop(done: int, _: int) -> None:
            if done == 7:
                raise KeyboardInterrupt

        for output in ("new/out", "new/out.nii.gz"):
            with pytest.raises(KeyboardInterrupt):
                upscale_path(tmp_path / "a.nii.gz", tmp_path / output, upscaler, progress=stop)
        assert files_in(tmp_path) == ["a.nii.gz"]

    def test_a_named_spacing_is_used(self, upscaler: Upscaler, tmp_path: Path) -> None:
        save(beating(phases=1, slices=1), tmp_path / "a.png")
        record = upscale_path(
            tmp_path / "a.png", tmp_path / "b.png", upscaler, spacing_mm=(1.5, 0.75)
        )
        (series,) = record["series"]
        assert series["spacing_mm"] == {"row": 1.5, "column": 0.75, "slice": 1.0}
        assert series["result_spacing_mm"] == {"row": 0.375, "column": 0.1875, "slice": 1.0}


def test_where_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("p1/scan", "p2/scan", "p3"):
        (tmp_path / folder).mkdir(parents=True)
    one, two, other = (tmp_path / name for name in ("p1/scan", "p2/scan", "p3"))
    out = tmp_path / "out"
    assert default_output(one, 4) == tmp_path / "p1" / "scan_x4"
    assert default_output(tmp_path / "b.NII.GZ", 2).name == "b_x2.nii.gz"
    assert default_output(tmp_path / "b.zip", 2).name == "b_x2"
    assert default_output(tmp_path / "IM_1", 2).name == "IM_1_x2"
    assert output_paths([one], out, lambda _: pytest.fail("opened for nothing")) == [out]
    assert output_paths([one, two], None, lambda _: 4) == [
        tmp_path / "p1" / "scan_x4",
        tmp_path / "p2" / "scan_x4",
    ]
    assert output_paths([one, other], out, lambda _: 4) == [out / "scan_x4", out / "p3_x4"]
    assert output_paths([one, two, other], out, lambda _: 4) == [
        out / "p1" / "scan_x4",
        out / "p2" / "scan_x4",
        out / "p3_x4",
    ]
    monkeypatch.chdir(tmp_path / "p1")
    relative = [Path("scan"), Path("../p2/scan")]
    assert output_paths(relative, Path("out"), lambda _: 4) == [
        Path("out/p1/scan_x4"),
        Path("out/p2/scan_x4"),
    ]


class TestRecord:
    def test_the_record_tells_what_was_done(
        self, upscaler: Upscaler, bicubic: Path, tmp_path: Path
    ) -> None:
        save(beating(phases=8), tmp_path / "a.nii.gz")
        seen: list[tuple[int, int]] = []
        returned = upscale_path(
            tmp_path / "a.nii.gz",
            tmp_path / "b.nii.gz",
            upscaler,
            progress=lambda done, total: seen.append((done, total)),
        )
        record = json.loads((tmp_path / "b.run.json").read_text())
        assert record == json.loads(json.dumps(returned))
        assert record["input"] == str(tmp_path / "a.nii.gz")
        assert record["output"] == str(tmp_path / "b.nii.gz")
        assert record["tool"] == f"cinesr {cinesr.__version__}"
        assert (record["model"], record["scale"]) == ("bicubic", 4)
        assert record["model_sha256"] == Upscaler(bicubic).model.sha256
        assert (record["frames"], record["threads"]) == (16, 1)
        (series,) = record["series"]
        assert series["shape"] == [8, 2, 34, 27]
        assert series["result_shape"] == [8, 2, 136, 108]
        assert series["spacing_mm"] == pytest.approx({"row": 1.7, "column": 1.3, "slice": 8.0})
        names = ["finite", "not constant", "range", "shift", "consistency"]
        assert [check["name"] for check in series["checks"]] == names
        assert all(check["passed"] and check["finding"] for check in series["checks"])
        assert seen == [(number, 16) for number in range(1, 17)]

    def test_the_stages_of_each_thread_fit_into_the_total(
        self, upscaler: Upscaler, tmp_path: Path
    ) -> None:
        save(beating(phases=20, rows=64, columns=64), tmp_path / "a.nii.gz")
        seconds = upscale_path(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", upscaler)["seconds"]
        total = seconds.pop("total")
        assert set(seconds) == {"read", "network", "check", "restore", "write", "waiting"}
        # At any moment somebody works, or waits for somebody who does.
        assert 0.8 * total < sum(seconds.values())
        assert seconds["network"] < total
        assert seconds["write"] + seconds["waiting"] < total
        assert min(seconds.values()) > 0

    def test_each_run_starts_its_watch_anew(self, upscaler: Upscaler, tmp_path: Path) -> None:
        save(beating(phases=1, slices=1), tmp_path / "a.npy")
        first = upscale_path(tmp_path / "a.npy", tmp_path / "b.npy", upscaler)["seconds"]
        second = upscale_path(tmp_path / "a.npy", tmp_path / "c.npy", upscaler)["seconds"]
        # Stages overlap, so that their sum may exceed the total; none of them can.
        assert max(second.values()) == second["total"]
        assert first is not second

    def test_a_stage_within_another_counts_for_itself_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticks = iter([0.0, 1.0, 3.0, 4.0, 9.0, 10.0])
        monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
        watch = Stopwatch()
        with watch.stage("write"):
            with watch.stage("network"):
                pass
            with watch.stage("network"):
                pass
        assert watch.seconds == {"write": 3.0, "network": 7.0}

    def test_the_preview_shows_input_and_result_in_the_shape_of_the_body(
        self, upscaler: Upscaler, tmp_path: Path
    ) -> None:
        save(beating(rows=30, columns=51), tmp_path / "a.nii.gz")
        upscale_path(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", upscaler)
        with Image.open(tmp_path / "b.preview.png") as picture:
            picture.load()
            assert picture.format == "PNG"
            width, height = (picture.size[0] - 8) / 2, (picture.size[1] - 8 - 24) / 2
        assert height / width == pytest.approx(30 * 1.7 / (51 * 1.3), rel=0.01)


def test_frames_in_order_are_the_frames_one_by_one(upscaler: Upscaler) -> None:
    frames = upscaler(beating(phases=9)).cine.frames
    for time, slice_index, frame in frames:
        np.testing.assert_array_equal(frame, frames[time, slice_index])


def test_whoever_raises_while_told_of_progress_stops_the_run(
    upscaler: Upscaler, tmp_path: Path
) -> None:
    save(beating(phases=30), tmp_path / "a.npy")

    def stop(done: int, total: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale_path(tmp_path / "a.npy", tmp_path / "b.npy", upscaler, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_memory_does_not_grow_with_the_number_of_phases(upscaler: Upscaler, tmp_path: Path) -> None:
    def peak(phases: int) -> int:
        still = beating(phases=1, slices=1, rows=64, columns=64)
        frames = LazyFrames((phases, 1, 64, 64), "uint16", lambda *_: still.frames[0, 0].copy())
        cine = replace(still, frames=frames, times_ms=np.arange(phases) * 40.0)
        tracemalloc.start()
        save(upscaler(cine).cine, tmp_path / "a.nii", overwrite=True)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(5)
    # Sixty more frames of 256 x 256 take 7.8 MB in the file.
    assert peak(65) < peak(5) + 500_000


def test_in_memory_and_from_file_to_file_are_the_same(bicubic: Path, tmp_path: Path) -> None:
    source = dicom_cases.write_cine_series(tmp_path / "scan")
    save(upscale(load(source), model=bicubic, threads=1), tmp_path / "a")
    upscale_path(source, tmp_path / "b", Upscaler(bicubic, threads=1))
    np.testing.assert_array_equal(load(tmp_path / "a").frames, load(tmp_path / "b").frames)


def test_a_model_that_needs_no_keras_brings_none() -> None:
    program = (
        "import sys, cinesr.upscaling.upscale;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert "openvino" in loaded
    assert not loaded & {"keras", "jax", "torch", "tensorflow", "onnx", "matplotlib", "rich"}


def test_a_real_cine_keeps_its_places(scd: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "nearest.onnx", "nearest")
    source = tmp_path / "scan"
    source.mkdir()
    (whole,) = open_cines(scd / "dicom" / "SC-HF-I-01")
    for phase in whole.source.frames[:2]:
        for frame in phase[:3]:
            shutil.copy(frame.file.path, source)
    upscale_path(source, tmp_path / "out", Upscaler(model))
    low, high = load(source), load(tmp_path / "out")
    assert high.shape == (2, 3, low.shape[2] * 4, low.shape[3] * 4)
    assert high.dtype == low.dtype
    np.testing.assert_allclose(
        high.geometry.edges_mm(*high.shape[2:]), low.geometry.edges_mm(*low.shape[2:]), atol=1e-4
    )


class TestLabelMaps:
    @pytest.fixture
    def label_map(self) -> Cine:
        frames = np.zeros((1, 2, 24, 28), "uint8")
        frames[:, :, 5:20, 6:22] = 2
        frames[:, 1, 9:15, 10:16] = 3
        return Cine(frames, Geometry.from_affine(OBLIQUE, slices=2), name="p1_gt.nii.gz")

    def test_alone_it_is_refused_with_the_ways_out(self, bicubic: Path, label_map: Cine) -> None:
        with pytest.raises(LabelMapError, match=r"p1_gt\.nii\.gz looks like a label map") as error:
            cinesr.upscale(label_map, model=bicubic)
        assert "values 0, 2, 3" in str(error.value)
        assert "--label-maps repeat" in str(error.value)

    def test_repeated_it_keeps_its_labels_and_place(self, bicubic: Path, label_map: Cine) -> None:
        high = cinesr.upscale(label_map, model=bicubic, label_maps="repeat")

        expected = label_map.frames.repeat(4, axis=2).repeat(4, axis=3)
        np.testing.assert_array_equal(high.frames, expected)
        assert high.geometry.is_close(label_map.geometry.upscaled(4))
        assert "repeated" in high.derivation.label
        assert "by no network" in high.notes[-1]

    def test_whoever_insists_gets_the_network(self, bicubic: Path, label_map: Cine) -> None:
        high = cinesr.upscale(label_map, model=bicubic, label_maps="network")

        assert len(np.unique(high.frames)) > 3

    def test_pictures_are_not_touched_by_the_setting(self, bicubic: Path) -> None:
        results = [
            cinesr.upscale(beating(), model=bicubic, label_maps=how).frames
            for how in ("leave", "repeat", "network")
        ]
        np.testing.assert_array_equal(results[0], results[1])
        np.testing.assert_array_equal(results[0], results[2])

    def test_beside_pictures_it_is_left_aside_and_named(
        self, bicubic: Path, label_map: Cine, tmp_path: Path
    ) -> None:
        cinesr.save(beating(), tmp_path / "in" / "p1.nii.gz")
        cinesr.save(label_map, tmp_path / "in" / "p1_gt.nii.gz")

        record = upscale_path(tmp_path / "in", tmp_path / "out", Upscaler(bicubic, threads=1))
        both = Upscaler(bicubic, threads=1, label_maps="repeat")
        upscale_path(tmp_path / "in", tmp_path / "both", both)

        (series,) = record["series"]
        assert any("1 label maps left aside: p1_gt.nii.gz;" in note for note in series["notes"])
        assert not (tmp_path / "out" / "p1_gt_x4.nii.gz").exists()
        written = cinesr.load(tmp_path / "both" / "p1_gt_x4.nii.gz")
        assert set(np.unique(written.frames)) == {0, 2, 3}

    def test_a_folder_of_label_maps_alone_is_refused(
        self, bicubic: Path, label_map: Cine, tmp_path: Path
    ) -> None:
        for name in ("a.nii", "b.nii"):
            cinesr.save(label_map, tmp_path / "in" / name)

        with pytest.raises(LabelMapError, match=r"a\.nii looks like a label map"):
            upscale_path(tmp_path / "in", tmp_path / "out", Upscaler(bicubic, threads=1))
        assert not (tmp_path / "out").exists()

    def test_another_setting_is_refused(self, bicubic: Path) -> None:
        with pytest.raises(ModelError, match="label_maps is 'skip'; expected one of leave, repeat"):
            Upscaler(bicubic, label_maps="skip")
