"""Writing derived DICOM: the grid, the record of the derivation, and what stays as it was."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from cinesr import __version__
from cinesr.errors import OutputError
from cinesr.imaging import dicom
from cinesr.imaging.cine import Cine, Derivation, LazyFrames
from cinesr.imaging.geometry import Geometry
from dicom_cases import (
    FRAME_OF_REFERENCE,
    SLICE_STEP,
    SPACING,
    STUDY,
    classic_frame,
    expected_frame,
    position,
    save,
    set_pixels,
    write_cine_series,
    write_enhanced,
)

DERIVATION = Derivation("super-resolved x4", "cinesr 1, model nearest, sha256 abc, x4")

# dciodvfy knows these as required of ORIGINAL images and forbidden otherwise; the standard says
# "may be present otherwise" (PS3.3, tables C.8-87 and C.7.6.18-1).
ALLOWED_IN_DERIVED = re.compile(
    r"Attribute present when condition unsatisfied .*Module=<(MRPulseSequence|CardiacSync\w+)>"
)


def read_one(folder: Path) -> Cine:
    cines = dicom.read([path for path in folder.rglob("*") if path.is_file()])
    assert len(cines) == 1
    return cines[0]


def upscaled(cine: Cine, scale: int = 4) -> Cine:
    """Every pixel repeated: a super-resolution whose every value is known."""

    def read(time: int, slice_index: int) -> np.ndarray:
        return cine.frame(time, slice_index).repeat(scale, axis=0).repeat(scale, axis=1)

    time, slices, rows, columns = cine.shape
    frames = LazyFrames((time, slices, scale * rows, scale * columns), cine.dtype, read)
    return cine.with_frames(frames, cine.geometry.upscaled(scale), DERIVATION)


def write(cine: Cine, folder: Path) -> list[Path]:
    folder.mkdir()
    return dicom.write(cine, folder)


def source_of(cine: Cine, phase: int = 0, slice_index: int = 0) -> Dataset:
    return dcmread(cine.source.frames[phase][slice_index].file.path)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return write_cine_series(tmp_path / "in")


@pytest.fixture
def enhanced(tmp_path: Path) -> Path:
    return write_enhanced(tmp_path / "in" / "enhanced.dcm").parent


def assert_same_cine(found: Cine, expected: Cine) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert found.value_range == expected.value_range
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.times_ms, expected.times_ms)
    assert found.geometry.is_close(expected.geometry, tolerance_mm=1e-6)


class TestRoundTrip:
    @pytest.mark.parametrize("kind", ["series", "enhanced"])
    def test_what_was_written_is_read_back(self, kind, request, tmp_path):
        cine = upscaled(read_one(request.getfixturevalue(kind)))
        paths = write(cine, tmp_path / "out")
        assert sorted((tmp_path / "out").iterdir()) == sorted(paths)
        assert_same_cine(read_one(tmp_path / "out"), cine)

    @given(scale=st.integers(2, 5), rows=st.integers(2, 9), columns=st.integers(2, 9))
    @settings(max_examples=10, deadline=None)
    def test_the_outer_edges_stay_where_they_are(self, tmp_path_factory, scale, rows, columns):
        folder = tmp_path_factory.mktemp("edges")
        write_cine_series(folder / "in", slices=2, phases=1, rows=rows, columns=columns)
        before = read_one(folder / "in")
        write(upscaled(before, scale), folder / "out")
        after = read_one(folder / "out")
        np.testing.assert_allclose(
            after.geometry.edges_mm(scale * rows, scale * columns),
            before.geometry.edges_mm(rows, columns),
            rtol=0,
            atol=1e-6,
        )

    def test_a_smaller_twin(self, series, tmp_path):
        cine = read_one(series)
        small = np.asarray(cine.frames)[:, :, ::4, ::4].copy()
        derivation = Derivation("degraded x4", "bicubic")
        twin = cine.with_frames(small, cine.geometry.downscaled(4), derivation)
        path = write(twin, tmp_path / "out")[0]
        assert list(dcmread(path).PixelSpacing) == [4 * SPACING[0], 4 * SPACING[1]]
        assert_same_cine(read_one(tmp_path / "out"), twin)

    def test_one_series_per_slice_stays_so_and_joins_again(self, tmp_path):
        for at in range(2):

            def change(dataset: Dataset, phase: int, slice_index: int, at: int = at) -> None:
                dataset.ImagePositionPatient = [round(each, 6) for each in position(at)]

            write_cine_series(tmp_path / "in", slices=1, series=20 + at, change=change)
        cine = upscaled(read_one(tmp_path / "in"))
        headers = [dcmread(path) for path in write(cine, tmp_path / "out")]
        assert len({header.SeriesInstanceUID for header in headers}) == 2
        assert {int(header.SeriesNumber) for header in headers} == {2001, 2101}
        assert_same_cine(read_one(tmp_path / "out"), cine)

    def test_unequal_rescaling_is_inverted_frame_by_frame(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.RescaleSlope, dataset.RescaleIntercept = 0.3 * (1 + phase), -phase

        cine = read_one(write_cine_series(tmp_path / "in", change=change))
        write(upscaled(cine, 2), tmp_path / "out")
        for path in (tmp_path / "out").iterdir():
            header = dcmread(path)
            phase = round(float(header.RescaleSlope) / 0.3) - 1
            expected = expected_frame(phase, round(float(header.SliceLocation) / SLICE_STEP))
            np.testing.assert_array_equal(header.pixel_array[::2, ::2], expected)

    def test_computed_values_round_once_and_clip_to_the_bits_stored(self, series, tmp_path):
        cine = read_one(series)
        values = np.full(cine.shape, 10.6, np.float32)
        values[..., 0], values[..., 1] = -5, 70000
        path = write(cine.with_frames(values, cine.geometry, DERIVATION), tmp_path / "out")[0]
        np.testing.assert_array_equal(dcmread(path).pixel_array[0, :3], [0, 4095, 11])

    @pytest.mark.parametrize("dtype", ["<i2", "<u1"])
    def test_signed_and_eight_bit_values(self, tmp_path, dtype):
        pixels = np.linspace(np.iinfo(dtype).min, np.iinfo(dtype).max, 21 * 23)
        dataset = classic_frame(0, 0)
        dataset.BitsStored = 8 * np.dtype(dtype).itemsize
        set_pixels(dataset, pixels.reshape(21, 23).astype(dtype))
        (tmp_path / "in").mkdir()
        save(dataset, tmp_path / "in" / "a.dcm")
        cine = upscaled(read_one(tmp_path / "in"), 3)
        header = dcmread(write(cine, tmp_path / "out")[0])
        assert_same_cine(read_one(tmp_path / "out"), cine)
        assert header.SmallestImagePixelValue == pixels.min()
        assert header.LargestImagePixelValue == pixels.max()
        assert ("SS" if dtype == "<i2" else "US") == header["LargestImagePixelValue"].VR

    def test_big_endian_and_grey_rgb_become_plain_grey(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            grey = (expected_frame(phase, slice_index) % 256).astype(np.uint8)
            set_pixels(dataset, grey)
            dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 1
            dataset.PhotometricInterpretation = "RGB"
            dataset.PixelData = np.stack([grey] * 3).tobytes()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            dataset.AcquisitionMatrix = [24, 0, 0, 20]

        cine = upscaled(read_one(write_cine_series(tmp_path / "in", change=change)), 2)
        header = dcmread(write(cine, tmp_path / "out")[0])
        assert header.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert (header.SamplesPerPixel, header.PhotometricInterpretation) == (1, "MONOCHROME2")
        assert "PlanarConfiguration" not in header
        assert list(header.AcquisitionMatrix) == [24, 0, 0, 20]
        assert_same_cine(read_one(tmp_path / "out"), cine)

    def test_multi_frame_without_functional_groups(self, tmp_path):
        dataset = classic_frame(0, 0)
        dataset.NumberOfFrames = 4
        set_pixels(dataset, np.stack([expected_frame(phase, 0) for phase in range(4)]))
        (tmp_path / "in").mkdir()
        save(dataset, tmp_path / "in" / "a.dcm")
        cine = upscaled(read_one(tmp_path / "in"))
        (path,) = write(cine, tmp_path / "out")
        assert dcmread(path).NumberOfFrames == 4
        assert_same_cine(read_one(tmp_path / "out"), cine)

    def test_two_runs_give_the_same_pixels_and_other_uids(self, series, tmp_path):
        cine = upscaled(read_one(series))
        first, second = write(cine, tmp_path / "a"), write(cine, tmp_path / "b")
        assert [path.name for path in first] == [path.name for path in second]
        for one, other in zip(map(dcmread, first), map(dcmread, second), strict=True):
            assert one.PixelData == other.PixelData
            assert one.SOPInstanceUID != other.SOPInstanceUID

    def test_frames_are_computed_once_each_and_one_at_a_time(self, series, tmp_path):
        cine = read_one(series)
        asked = []

        def compute(time: int, slice_index: int) -> np.ndarray:
            asked.append((time, slice_index))
            return cine.frame(time, slice_index)

        lazy = LazyFrames(cine.shape, cine.dtype, compute)
        write(cine.with_frames(lazy, cine.geometry, DERIVATION), tmp_path / "out")
        assert sorted(asked) == [(time, at) for time in range(4) for at in range(3)]


class TestRecord:
    def test_a_derived_image_says_what_it_is(self, series, tmp_path):
        cine = read_one(series)
        paths = write(upscaled(cine), tmp_path / "out")
        assert [path.name for path in paths[:2]] == ["IM_0001.dcm", "IM_0002.dcm"]
        header, source = dcmread(paths[5]), source_of(cine, phase=1, slice_index=1)
        assert list(header.ImageType) == ["DERIVED", "SECONDARY", "OTHER"]
        assert header.SOPInstanceUID != source.SOPInstanceUID
        assert header.SeriesInstanceUID != source.SeriesInstanceUID
        assert (header.StudyInstanceUID, header.FrameOfReferenceUID) == (STUDY, FRAME_OF_REFERENCE)
        assert header.DerivationDescription == DERIVATION.description
        assert header.SeriesDescription == "cine SAX super-resolved x4 - research use only"
        assert header.ImageComments == "super-resolved x4 - research use only"
        assert (header.SeriesNumber, header.InstanceNumber) == (701, 6)
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID

        image = header.SourceImageSequence[0]
        assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert image.ReferencedSOPClassUID == source.SOPClassUID
        equipment = header.ContributingEquipmentSequence[0]
        assert (equipment.Manufacturer, equipment.SoftwareVersions) == ("cinesr", __version__)
        assert header.Manufacturer == "Testing"
        for code, expected in (
            (header.DerivationCodeSequence[0], codes.DCM.SpatialResampling),
            (
                image.PurposeOfReferenceCodeSequence[0],
                codes.DCM.SourceImageForImageProcessingOperation,
            ),
            (equipment.PurposeOfReferenceCodeSequence[0], codes.DCM.ProcessingEquipment),
        ):
            assert (code.CodeValue, code.CodingSchemeDesignator) == (expected.value, "DCM")
            assert code.CodeMeaning == expected.meaning

    def test_the_grid_is_the_new_one_and_the_rest_is_kept(self, series, tmp_path):
        cine = read_one(series)
        paths = write(upscaled(cine), tmp_path / "out")
        header, source = dcmread(paths[5]), source_of(cine, phase=1, slice_index=1)
        assert (header.Rows, header.Columns) == (80, 96)
        assert list(header.PixelSpacing) == [SPACING[0] / 4, SPACING[1] / 4]
        np.testing.assert_allclose(
            header.ImagePositionPatient, upscaled(cine).geometry.positions_mm[1], atol=1e-9
        )
        assert header.SmallestImagePixelValue == expected_frame(1, 1).min()
        assert header.LargestImagePixelValue == expected_frame(1, 1).max()
        for keyword in (
            "ImageOrientationPatient",
            "SliceThickness",
            "SliceLocation",
            "AcquisitionMatrix",
            "ReconstructionDiameter",
            "TriggerTime",
            "WindowCenter",
            "WindowWidth",
            "BitsAllocated",
            "BitsStored",
            "HighBit",
            "PixelRepresentation",
            "PatientID",
        ):
            assert header[keyword].value == source[keyword].value, keyword

    def test_what_described_the_old_pixels_is_dropped(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            block = dataset.private_block(0x0029, "VENDOR", create=True)
            block.add_new(0x10, "DS", "1.5")
            item = Dataset()
            item.CodeValue = "1"
            item.private_block(0x0029, "VENDOR", create=True).add_new(0x10, "LO", "grid")
            dataset.ProcedureCodeSequence = Sequence([item])
            dataset.add_new(0x60003000, "OW", b"\0" * 60)
            dataset.add_new(0x00080000, "UL", 12)
            dataset.IconImageSequence = Sequence([Dataset()])
            dataset.PixelAspectRatio = [2, 1]
            dataset.DerivationDescription = "filtered"
            dataset.LossyImageCompression = "01"
            dataset.PhotometricInterpretation = "MONOCHROME1"
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "RETRO"]

        folder = write_cine_series(tmp_path / "in", slices=1, phases=1, change=change)
        header = dcmread(write(upscaled(read_one(folder)), tmp_path / "out")[0])
        for element in header.iterall():
            assert not element.tag.is_private
            assert element.tag.element != 0
        for tag in (0x60003000, "IconImageSequence", "PixelAspectRatio"):
            assert tag not in header
        assert header.ProcedureCodeSequence[0].CodeValue == "1"
        assert header.DerivationDescription == f"{DERIVATION.description}; before: filtered"
        assert header.LossyImageCompression == "01"
        assert header.PhotometricInterpretation == "MONOCHROME1"
        assert list(header.ImageType) == ["DERIVED", "SECONDARY", "M", "RETRO"]

    def test_long_texts_give_way_to_ours(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.SeriesDescription, dataset.SeriesNumber = "s" * 64, 2**31 - 1
            del dataset.SOPInstanceUID
            dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"

        folder = tmp_path / "in"
        folder.mkdir()
        dataset = classic_frame(0, 0)
        change(dataset, 0, 0)
        dataset.save_as(folder / "a.dcm", enforce_file_format=False)
        cine = read_one(folder)
        long = Derivation("super-resolved \u00d74\\", "d" * 2000)
        cine = cine.with_frames(cine.frames, cine.geometry, long)
        header = dcmread(write(cine, tmp_path / "out")[0])
        assert len(header.SeriesDescription) == 64
        assert header.SeriesDescription.endswith("super-resolved ?4/ - research use only")
        assert len(header.DerivationDescription) == 1024
        assert 0 < header.SeriesNumber < 2**31
        assert "SourceImageSequence" not in header

    def test_a_copy_without_a_derivation_is_still_marked(self, series, tmp_path):
        header = dcmread(write(read_one(series), tmp_path / "out")[0])
        assert header.ImageComments == "derived - research use only"
        assert __version__ in header.DerivationDescription

    def test_no_position_is_made_up(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            del dataset.ImagePositionPatient, dataset.ImageOrientationPatient

        folder = write_cine_series(tmp_path / "in", change=change)
        header = dcmread(write(upscaled(read_one(folder)), tmp_path / "out")[0])
        assert "ImagePositionPatient" not in header
        assert list(header.PixelSpacing) == [SPACING[0] / 4, SPACING[1] / 4]


class TestEnhanced:
    def test_one_file_with_a_record_for_each_frame(self, enhanced, tmp_path):
        cine = read_one(enhanced)
        (path,) = write(upscaled(cine), tmp_path / "out")
        header, source = dcmread(path), source_of(cine)
        assert header.SOPClassUID == source.SOPClassUID
        assert (header.NumberOfFrames, header.Rows, header.Columns) == (12, 80, 96)
        # PRIMARY is the one value that enhanced images may have here (PS3.3, table C.8-128).
        assert list(header.ImageType) == ["DERIVED", "PRIMARY", "CARDIAC", "RESAMPLED"]
        shared = header.SharedFunctionalGroupsSequence[0]
        assert shared.MRImageFrameTypeSequence[0].FrameType == header.ImageType
        assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [0.375, 0.1875]
        assert header.LargestImagePixelValue == expected_frame(3, 2).max()
        assert "DerivationDescription" not in header
        evidence = header.SourceImageEvidenceSequence[0]
        assert evidence.StudyInstanceUID == STUDY
        series = evidence.ReferencedSeriesSequence[0]
        assert series.SeriesInstanceUID == source.SeriesInstanceUID
        reference = series.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        for index, groups in enumerate(header.PerFrameFunctionalGroupsSequence):
            content = groups.FrameContentSequence[0]
            at, phase = content.InStackPositionNumber - 1, content.TemporalPositionIndex - 1
            np.testing.assert_allclose(
                groups.PlanePositionSequence[0].ImagePositionPatient,
                upscaled(cine).geometry.positions_mm[at],
                atol=1e-9,
            )
            np.testing.assert_array_equal(
                header.pixel_array[index, ::4, ::4], expected_frame(phase, at)
            )
            derivation = groups.DerivationImageSequence[0]
            assert derivation.DerivationDescription == DERIVATION.description
            assert derivation.SourceImageSequence[0].ReferencedFrameNumber == index + 1

    def test_frames_of_two_kinds_come_out_as_two_files_of_their_own(self, tmp_path):
        def change(dataset: Dataset) -> None:
            for groups in dataset.PerFrameFunctionalGroupsSequence:
                if groups.FrameContentSequence[0].InStackPositionNumber == 1:
                    groups.PlaneOrientationSequence = Sequence([Dataset()])
                    groups.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]

        path = write_enhanced(tmp_path / "in" / "e.dcm", change=change)
        cines = dicom.read([path])
        assert sorted(cine.shape[1] for cine in cines) == [1, 2]
        for cine in cines:
            out = tmp_path / f"out{cine.shape[1]}"
            (written,) = write(upscaled(cine), out)
            assert dcmread(written).NumberOfFrames == 4 * cine.shape[1]
            assert_same_cine(read_one(out), upscaled(cine))

    def test_named_spacing_is_written_where_none_was(self, tmp_path):
        def change(dataset: Dataset) -> None:
            del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence

        path = write_enhanced(tmp_path / "in" / "e.dcm", change=change)
        (cine,) = dicom.read([path], spacing_mm=(2.0, 1.0))
        write(upscaled(cine), tmp_path / "out")
        assert read_one(tmp_path / "out").geometry.spacing_mm[:2] == (0.25, 0.5)


class TestBadInput:
    def test_other_formats_cannot_become_dicom(self, tmp_path):
        cine = Cine(np.zeros((1, 1, 4, 4), np.uint8), Geometry.assumed(), name="heart.png")
        with pytest.raises(OutputError, match=r"heart\.png: DICOM can only be written") as caught:
            dicom.write(cine, tmp_path)
        assert ".nii.gz" in caught.value.hint

    def test_headers_of_another_number_of_frames(self, series, tmp_path):
        cine = read_one(series)
        fewer = Cine(np.asarray(cine.frames)[:2], cine.geometry, np.zeros(2), cine.source)
        with pytest.raises(OutputError, match=r"2 phases of 3 slices, but .* 4 phases"):
            dicom.write(fewer, tmp_path)

    @pytest.mark.parametrize("kind", ["series", "enhanced"])
    def test_a_folder_that_cannot_be_written(self, kind, request, tmp_path):
        cine = read_one(request.getfixturevalue(kind))
        with pytest.raises(OutputError, match=r"IM_0001.* cannot be written"):
            dicom.write(cine, tmp_path / "absent")


def errors_of(path: Path) -> set[str]:
    """What dciodvfy finds wrong with a file."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}


class TestOtherReaders:
    @pytest.mark.parametrize("kind", ["series", "enhanced"])
    def test_dciodvfy_finds_no_new_error(self, kind, request, tmp_path):
        cine = read_one(request.getfixturevalue(kind))
        before = errors_of(cine.source.frames[0][0].file.path)
        after = errors_of(write(upscaled(cine), tmp_path / "out")[0])
        assert before == set()
        assert {line for line in after if not ALLOWED_IN_DERIVED.search(line)} == set()

    def test_simpleitk_reads_the_same_extent(self, series, tmp_path):
        cine = read_one(series)
        write(upscaled(cine), tmp_path / "out")
        again = read_one(tmp_path / "out")
        assert_same_extent(cine, again)

    def test_real_scans(self, scd, tmp_path):
        paths = list((scd / "dicom" / "SC-HF-I-01").iterdir())
        keep = [
            path
            for path in paths
            if dcmread(path, specific_tags=["InstanceNumber"]).InstanceNumber <= 40
        ]
        (cine,) = dicom.read(keep)
        assert cine.shape == (20, 2, 256, 256)
        written = write(upscaled(cine), tmp_path / "out")
        again = read_one(tmp_path / "out")
        assert_same_cine(again, upscaled(cine))
        assert_same_extent(cine, again)
        for path, frame in ((written[0], (0, 0)), (written[-1], (19, 1))):
            before = errors_of(cine.source.frames[frame[0]][frame[1]].file.path)
            # The source's invalid UIDs stay, and stand where its image is referred to as well.
            known = "\n".join(before)
            new = {line for line in errors_of(path) - before if value_in(line) not in known}
            assert new == set()


def value_in(error: str) -> str:
    found = re.search(r"<[\d.]+>", error)
    return found.group() if found else error


def assert_same_extent(before: Cine, after: Cine) -> None:
    """Compares the corners of the first phase as SimpleITK reads them."""
    corners = []
    for cine in (before, after):
        files = [str(frame.file.path) for frame in cine.source.frames[0]]
        image = SimpleITK.ReadImage(files)
        columns, rows, slices = image.GetSize()
        corners.append(
            [
                image.TransformContinuousIndexToPhysicalPoint((column, row, at))
                for column in (-0.5, columns - 0.5)
                for row in (-0.5, rows - 0.5)
                for at in (0, slices - 1)
            ]
        )
    np.testing.assert_allclose(corners[0], corners[1], rtol=0, atol=1e-4)
