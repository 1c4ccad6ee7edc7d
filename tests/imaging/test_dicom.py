"""Reading DICOM: sorting, geometry, stored types, and every kind of bad file."""

import contextlib
import re
import shutil
import subprocess
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import compress
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from cinesr.errors import CinesrError, MissingCodecError, UnfitImageError, UnreadableFileError
from cinesr.imaging import dicom
from cinesr.imaging.cine import Cine, LazyFrames
from cinesr.imaging.dicom_files import BROKEN_FILE
from cinesr.imaging.dicom_frames import read_frames, read_pixels
from cinesr.imaging.dicom_sorting import sort_frames
from cinesr.imaging.dicom_stacks import geometry_of, times_ms_of
from dicom_cases import (
    COLUMN_AXIS,
    FIRST_TRIGGER,
    PHASE_STEP,
    ROW_AXIS,
    SLICE_STEP,
    SPACING,
    classic_frame,
    expected_frame,
    position,
    save,
    set_pixels,
    write_cine_series,
    write_enhanced,
)


def read(folder: Path, **options: object) -> list[Cine]:
    return dicom.read([path for path in folder.rglob("*") if path.is_file()], **options)


def read_one(folder: Path, **options: object) -> Cine:
    cines = read(folder, **options)
    assert len(cines) == 1
    return cines[0]


def assert_sorted(cine: Cine, phases: int = 4, slices: int = 3) -> None:
    assert cine.shape == (phases, slices, 20, 24)
    for time, slice_index, frame in cine.iter_frames():
        np.testing.assert_array_equal(frame, expected_frame(time, slice_index))


@pytest.fixture
def one_frame(tmp_path: Path) -> Path:
    return save(classic_frame(0, 0), tmp_path / "one.dcm")


class TestSorting:
    def test_shuffled_files_sort_by_plane_and_trigger_time(self, tmp_path):
        cine = read_one(write_cine_series(tmp_path / "scan"))
        assert_sorted(cine)
        assert isinstance(cine.frames, LazyFrames)
        assert cine.dtype == np.uint16
        assert cine.value_range == (0, 4095)
        np.testing.assert_allclose(cine.times_ms, PHASE_STEP * np.arange(4))
        assert cine.notes == ()
        assert cine.name == "cine SAX 7"

    def test_enhanced_multi_frame_sorts_the_same(self, tmp_path):
        cine = read_one(write_enhanced(tmp_path / "enhanced.dcm").parent)
        assert_sorted(cine)
        np.testing.assert_allclose(cine.times_ms, PHASE_STEP * np.arange(4))
        assert cine.geometry.is_close(read_one(write_cine_series(tmp_path / "b")).geometry)

    def test_geometry_is_the_one_that_simpleitk_reads(self, tmp_path):
        cine = read_one(write_cine_series(tmp_path / "scan", phases=1, slices=4))
        files = [str(each[0].file.path) for each in zip(*cine.source.frames, strict=True)]
        image = SimpleITK.ReadImage(files)
        column_mm, row_mm, slice_mm = cine.geometry.spacing_mm
        assert (row_mm, column_mm) == SPACING
        np.testing.assert_allclose(image.GetSpacing(), (column_mm, row_mm, slice_mm), atol=1e-5)
        corner = image.TransformContinuousIndexToPhysicalPoint((23.5, 19.5, 3))
        np.testing.assert_allclose(cine.geometry.edges_mm(20, 24)[3, 3], corner, atol=1e-4)
        np.testing.assert_allclose(cine.geometry.positions_mm[2], position(2), atol=1e-5)

    def test_no_trigger_time_sorts_by_instance_number(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            del dataset.TriggerTime
            dataset.InstanceNumber = 50 - 10 * slice_index + phase

        cine = read_one(write_cine_series(tmp_path, change=change))
        assert_sorted(cine)
        assert np.isnan(cine.times_ms).all()

    def test_temporal_position_comes_before_instance_number(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            del dataset.TriggerTime
            dataset.TemporalPositionIdentifier = phase + 1

        assert_sorted(read_one(write_cine_series(tmp_path, change=change)))

    def test_equal_trigger_times_go_by_instance_number_and_are_noted(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.TriggerTime = FIRST_TRIGGER + PHASE_STEP * max(phase, 1)
            dataset.InstanceNumber = phase

        cine = read_one(write_cine_series(tmp_path, change=change))
        assert_sorted(cine)
        assert any("share a trigger time" in note for note in cine.notes)

    def test_times_are_the_median_over_slices_of_their_own_heart_rates(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.TriggerTime = 10 * slice_index + phase * (30 + 5 * slice_index)

        cine = read_one(write_cine_series(tmp_path, change=change))
        np.testing.assert_allclose(cine.times_ms, 35 * np.arange(4))

    def test_cardiac_delay_of_a_classic_header_is_a_trigger_time(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.NominalCardiacTriggerDelayTime = float(dataset.TriggerTime)
            del dataset.TriggerTime

        assert_sorted(read_one(write_cine_series(tmp_path, change=change)))

    def test_several_series_come_apart_in_the_order_of_their_numbers(self, tmp_path):
        write_cine_series(tmp_path, series=12, slices=2)
        write_cine_series(tmp_path, series=3)
        first, second = read(tmp_path)
        assert (first.name, second.name) == ("cine SAX 3", "cine SAX 12")
        assert_sorted(first)
        assert_sorted(second, slices=2)

    def test_two_orientations_and_two_kinds_of_one_series_come_apart(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            if slice_index == 2:
                dataset.ImageOrientationPatient = [*COLUMN_AXIS, *-ROW_AXIS]
            if phase == 3:
                dataset.ImageType = ["ORIGINAL", "PRIMARY", "PHASE MAP"]

        cines = read(write_cine_series(tmp_path, change=change))
        assert sorted(cine.shape[:2] for cine in cines) == [(1, 1), (1, 2), (3, 1), (3, 2)]
        assert len({cine.name for cine in cines}) == 4

    def test_one_series_per_slice_is_joined_and_said(self, tmp_path):
        for at in range(3):

            def change(dataset: Dataset, phase: int, slice_index: int, at: int = at) -> None:
                dataset.ImagePositionPatient = [round(each, 6) for each in position(at)]
                dataset.SeriesDescription = f"cine SAX_{at + 1}"
                set_pixels(dataset, expected_frame(phase, at))

            write_cine_series(tmp_path, slices=1, series=20 - at, change=change)
        cine = read_one(tmp_path)
        assert_sorted(cine)
        assert cine.notes == ("3 series of one slice each were joined into one stack.",)

    def test_one_slice_series_of_the_same_plane_are_not_joined(self, tmp_path):
        write_cine_series(tmp_path, slices=1, series=1)
        write_cine_series(tmp_path, slices=1, series=2)
        cines = read(tmp_path)
        assert len(cines) == 2
        assert all("not joined" in cine.notes[0] for cine in cines)

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("StudyInstanceUID", "1.2.3"),
            ("FrameOfReferenceUID", "1.2.3"),
            ("SeriesDescription", "stack"),
            ("PixelSpacing", [1, 1]),
        ],
    )
    def test_slices_of_other_scans_are_not_joined(self, tmp_path, keyword, value):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.ImagePositionPatient = [round(each, 6) for each in position(1)]
            setattr(dataset, keyword, value)

        write_cine_series(tmp_path, slices=1, series=1)
        write_cine_series(tmp_path, slices=1, series=2, change=change)
        assert len(read(tmp_path)) == 2

    def test_unequal_phases_come_apart_and_nothing_is_dropped(self, tmp_path):
        write_cine_series(tmp_path)
        doomed = [path for path in tmp_path.iterdir() if dcmread(path).SliceLocation == SLICE_STEP]
        doomed[0].unlink()
        cines = read(tmp_path)
        assert sorted(cine.shape[:2] for cine in cines) == [(3, 1), (4, 2)]
        assert all("1 slices of 3 phases, 2 slices of 4 phases" in c.notes[0] for c in cines)

    def test_uneven_slices_keep_their_positions(self, tmp_path):
        heights = [0.0, 1.0, 3.5, 4.5]

        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.ImagePositionPatient = [round(v, 6) for v in position(heights[slice_index])]

        geometry = read_one(write_cine_series(tmp_path, slices=4, change=change)).geometry
        assert not geometry.is_evenly_spaced
        assert geometry.spacing_mm[2] == pytest.approx(SLICE_STEP, abs=1e-4)
        np.testing.assert_allclose(geometry.positions_mm[2], position(3.5), atol=1e-5)

    def test_one_slice_takes_its_step_from_the_header(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            del dataset.SpacingBetweenSlices

        spaced = read_one(write_cine_series(tmp_path / "a", slices=1, phases=1))
        thick = read_one(write_cine_series(tmp_path / "b", slices=1, change=change))
        assert (spaced.geometry.spacing_mm[2], thick.geometry.spacing_mm[2]) == (SLICE_STEP, 6.0)
        np.testing.assert_array_equal(spaced.times_ms, [0.0])

    def test_frames_of_a_plane_that_lie_apart_are_refused(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            shifted = position(slice_index) + phase * ROW_AXIS
            dataset.ImagePositionPatient = [round(each, 6) for each in shifted]

        with pytest.raises(UnfitImageError, match=r"lie in one plane .* mm apart"):
            read(write_cine_series(tmp_path, change=change))

    @given(seed=st.integers(0, 99), slices=st.integers(1, 3), phases=st.integers(1, 3))
    @settings(max_examples=8, deadline=None)
    def test_the_order_of_the_files_does_not_matter(self, tmp_path_factory, seed, slices, phases):
        folder = write_cine_series(tmp_path_factory.mktemp("s"), slices=slices, phases=phases)
        paths = list(folder.iterdir())
        np.random.default_rng(seed).shuffle(paths)
        assert_sorted(dicom.read(paths)[0], phases, slices)

    def test_parts_agree_with_the_whole(self, tmp_path):
        folder = write_cine_series(tmp_path)
        frames = [frame for path in folder.iterdir() for frame in read_frames(path)]
        (stack,) = sort_frames(frames)
        cine = read_one(folder)
        assert geometry_of(stack).is_close(cine.geometry)
        np.testing.assert_array_equal(times_ms_of(stack), cine.times_ms)
        np.testing.assert_array_equal(read_pixels(stack.first), cine.frame(0, 0))


class TestStoredValues:
    @pytest.mark.parametrize(
        ("dtype", "bits", "value_range"),
        [
            ("<i2", 16, (-32768, 32767)),
            ("<i2", 12, (-2048, 2047)),
            ("<u2", 12, (0, 4095)),
            ("<u1", 8, (0, 255)),
        ],
    )
    def test_the_stored_type_and_range_are_kept(self, tmp_path, dtype, bits, value_range):
        low, high = value_range
        pixels = np.linspace(low, high, 21 * 23).reshape(21, 23).astype(dtype)
        dataset = classic_frame(0, 0)
        dataset.BitsStored = bits
        set_pixels(dataset, pixels)
        save(dataset, tmp_path / "a.dcm")
        cine = read_one(tmp_path)
        assert cine.dtype == np.dtype(dtype)
        assert cine.value_range == value_range
        np.testing.assert_array_equal(cine.frame(0, 0), pixels)

    def test_equal_rescaling_keeps_the_stored_integers(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.RescaleSlope, dataset.RescaleIntercept = 2.5, -7

        cine = read_one(write_cine_series(tmp_path, change=change))
        assert_sorted(cine)
        assert cine.dtype == np.uint16

    def test_unequal_rescaling_gives_one_scale_for_all_frames(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.RescaleSlope, dataset.RescaleIntercept = 1 + phase, -phase

        cine = read_one(write_cine_series(tmp_path, change=change))
        assert cine.dtype == np.float32
        assert cine.value_range == (-3.0, 4095 * 4 - 3.0)
        expected = expected_frame(3, 1) * 4.0 - 3
        np.testing.assert_array_equal(cine.frame(3, 1), expected.astype(np.float32))

    @pytest.mark.parametrize(
        "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
    )
    def test_other_encodings(self, tmp_path, syntax):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.file_meta.TransferSyntaxUID = syntax
            if syntax == ExplicitVRBigEndian:
                dataset.PixelData = expected_frame(phase, slice_index).astype(">u2").tobytes()

        assert_sorted(read_one(write_cine_series(tmp_path, change=change)))

    @pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
    def test_compressed_encodings(self, tmp_path, syntax):
        if syntax == JPEGLSLossless:
            pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed")

        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            compress(dataset, syntax)

        assert_sorted(read_one(write_cine_series(tmp_path, change=change)))

    def test_compressed_multi_frame(self, tmp_path):
        write_enhanced(tmp_path / "e.dcm", change=lambda dataset: compress(dataset, RLELossless))
        assert_sorted(read_one(tmp_path))

    def test_multi_frame_without_functional_groups_plays_by_frame_time(self, tmp_path):
        dataset = classic_frame(0, 0)
        del dataset.TriggerTime
        dataset.NumberOfFrames, dataset.FrameTime = 4, 25
        set_pixels(dataset, np.stack([expected_frame(phase, 0) for phase in range(4)]))
        save(dataset, tmp_path / "a.dcm")
        cine = read_one(tmp_path)
        assert_sorted(cine, slices=1)
        np.testing.assert_allclose(cine.times_ms, [0, 25, 50, 75])

    def test_grey_saved_as_colour_is_taken(self, tmp_path):
        dataset = classic_frame(0, 0)
        grey = (expected_frame(0, 0) % 256).astype(np.uint8)
        set_pixels(dataset, grey)
        dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
        dataset.PhotometricInterpretation = "RGB"
        dataset.PixelData = np.repeat(grey[..., None], 3, axis=2).tobytes()
        save(dataset, tmp_path / "a.dcm")
        np.testing.assert_array_equal(read_one(tmp_path).frame(0, 0), grey)

    def test_pixels_are_read_on_demand(self, tmp_path):
        cine = read_one(write_cine_series(tmp_path))
        assert all(
            "PixelData" not in frame.file.header for row in cine.source.frames for frame in row
        )
        shutil.rmtree(tmp_path)
        with pytest.raises(UnreadableFileError, match="cannot be decoded"):
            cine.frame(0, 0)


class TestWhatIsLeftOut:
    def test_reports_directories_and_copies_are_left_out_and_said(self, tmp_path):
        write_cine_series(tmp_path)
        shutil.copy(next(tmp_path.iterdir()), tmp_path / "z_copy.dcm")
        for name, kind in (("sr", BasicTextSRStorage), ("DICOMDIR", MediaStorageDirectoryStorage)):
            dataset = classic_frame(0, 0)
            dataset.SOPClassUID = kind
            for keyword in ("Rows", "Columns", "PixelData"):
                del dataset[keyword]
            save(dataset, tmp_path / name)
        (tmp_path / "notes.txt").write_text("scanned on a Thursday")
        cine = read_one(tmp_path)
        assert_sorted(cine)
        notes = " ".join(cine.notes)
        for words in ("Basic Text SR", "Media Storage Directory", "same SOP instance", "not DICOM"):
            assert words in notes

    def test_frames_that_share_one_uid_are_no_copies(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.SOPInstanceUID = "1.2.3.4"

        assert_sorted(read_one(write_cine_series(tmp_path, change=change)))

    def test_only_reports(self, tmp_path):
        dataset = classic_frame(0, 0)
        dataset.SOPClassUID = BasicTextSRStorage
        del dataset.Rows, dataset.Columns, dataset.PixelData
        save(dataset, tmp_path / "sr.dcm")
        with pytest.raises(UnreadableFileError, match=r"none of 1 files .*Basic Text SR"):
            read(tmp_path)

    def test_nothing_at_all(self):
        with pytest.raises(UnreadableFileError, match="none of 0 files"):
            dicom.read([])


def spoil_colour(dataset: Dataset) -> None:
    pixels = np.zeros((20, 24, 3), np.uint8)
    pixels[..., 1] = 9
    set_pixels(dataset, pixels[..., 0])
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation, dataset.PixelData = "RGB", pixels.tobytes()


def spoil_palette(dataset: Dataset) -> None:
    dataset.PhotometricInterpretation = "PALETTE COLOR"


def spoil_bits(dataset: Dataset) -> None:
    dataset.BitsAllocated = 32


def spoil_spacing(dataset: Dataset) -> None:
    del dataset.PixelSpacing


def spoil_zero_spacing(dataset: Dataset) -> None:
    dataset.PixelSpacing = [0, 0]


def spoil_pixels(dataset: Dataset) -> None:
    del dataset.PixelData


def spoil_length(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:100]


def spoil_rows(dataset: Dataset) -> None:
    del dataset.Rows


def spoil_syntax(dataset: Dataset) -> None:
    compress(dataset, RLELossless)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"


class TestBadInput:
    @pytest.mark.parametrize(
        ("spoil", "kind", "message", "hint"),
        [
            (spoil_colour, UnfitImageError, "a colour image", "Leave colour"),
            (spoil_palette, UnfitImageError, "a colour image .*PALETTE", "Leave colour"),
            (spoil_bits, UnfitImageError, "12 of 32 bits", "16 bits"),
            (spoil_spacing, UnfitImageError, "no PixelSpacing", "--spacing ROW,COLUMN"),
            (spoil_zero_spacing, UnfitImageError, "no PixelSpacing", "--spacing ROW,COLUMN"),
            (spoil_pixels, UnreadableFileError, "no pixel data", "Export"),
            (spoil_length, UnreadableFileError, "cut off: 100 bytes of 960", "Export"),
            (spoil_rows, UnreadableFileError, "it has no Rows", "Export"),
            (spoil_syntax, UnreadableFileError, "MPEG2.* cannot be read", "gdcmconv"),
        ],
    )
    def test_bad_files_are_named_with_the_way_out(self, tmp_path, spoil, kind, message, hint):
        dataset = classic_frame(0, 0)
        spoil(dataset)
        save(dataset, tmp_path / "bad.dcm")
        with pytest.raises(kind, match=message) as caught:
            read(tmp_path)
        assert caught.value.exit_code == 3
        assert re.search(r"bad\.dcm", caught.value.message)
        assert hint in caught.value.hint

    @pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1])
    def test_a_missing_decoder_names_what_to_install(self, tmp_path, monkeypatch, syntax):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            compress(dataset, RLELossless)
            dataset.file_meta.TransferSyntaxUID = syntax

        monkeypatch.setattr(Decoder, "is_available", False)
        with pytest.raises(MissingCodecError, match=r"\.dcm: .* Lossless.* no decoder") as caught:
            read(write_cine_series(tmp_path, change=change))
        assert 'pip install "cinesr[codecs]"' in caught.value.hint

    @pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="Debian's dcmtk is not installed")
    @pytest.mark.parametrize("process", ["+e1", "+el"])
    def test_lossless_jpeg_is_read_exactly(self, tmp_path, process):
        plain = write_cine_series(tmp_path / "plain", slices=2, phases=2)
        packed = tmp_path / "packed"
        packed.mkdir()
        for file in sorted(plain.iterdir()):
            subprocess.run(["dcmcjpeg", process, file, packed / file.name], check=True)
        (expected,), (found,) = read(plain), read(packed)
        assert np.array_equal(np.asarray(found.frames), np.asarray(expected.frames))

    def test_text_with_a_dicom_name(self, tmp_path):
        write_cine_series(tmp_path)
        (tmp_path / "zz.dcm").write_text("not a picture")
        with pytest.raises(UnreadableFileError, match=r"zz\.dcm: this is not a DICOM file"):
            read(tmp_path)

    def test_mixed_sizes_in_one_series_come_apart_and_are_named(self, tmp_path):
        write_cine_series(tmp_path / "a", slices=1)
        write_cine_series(tmp_path / "b", slices=1, phases=1, columns=30)
        first, second = read(tmp_path)
        assert_sorted(first, slices=1)
        assert second.shape == (1, 1, 20, 30)
        assert all("2 sizes, 24x20, 30x20" in " ".join(each.notes) for each in (first, second))

    def test_named_spacing_is_used_only_where_none_is_stored(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            if slice_index == 0:
                del dataset.PixelSpacing

        folder = write_cine_series(tmp_path, slices=1, change=change)
        assert read_one(folder, spacing_mm=(2.0, 3.0)).geometry.spacing_mm[:2] == (3.0, 2.0)
        stored = read_one(write_cine_series(tmp_path / "b"), spacing_mm=(9.0, 9.0))
        assert stored.geometry.spacing_mm[:2] == SPACING[::-1]

    @pytest.mark.parametrize("spoiled", ["missing", "zeros"])
    def test_without_a_position_axial_slices_are_assumed_and_said(self, tmp_path, spoiled):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            if spoiled == "zeros":
                dataset.ImageOrientationPatient = [0] * 6
            else:
                del dataset.ImageOrientationPatient, dataset.ImagePositionPatient

        cine = read_one(write_cine_series(tmp_path, change=change))
        assert_sorted(cine)
        assert cine.geometry.is_known  # The spacing is.
        np.testing.assert_array_equal(cine.geometry.directions, np.eye(3))
        np.testing.assert_array_equal(cine.geometry.positions_mm[:, 2], SLICE_STEP * np.arange(3))
        assert "axial slices at the origin assumed" in cine.notes[0]

    def test_fewer_groups_than_frames(self, tmp_path):
        def change(dataset: Dataset) -> None:
            dataset.PerFrameFunctionalGroupsSequence.pop()

        write_enhanced(tmp_path / "e.dcm", change=change)
        with pytest.raises(UnreadableFileError, match="11 functional groups for 12 frames"):
            read(tmp_path)

    def test_broken_compressed_pixels(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            compress(dataset, RLELossless)
            dataset.PixelData = dataset.PixelData[:60] + b"\xff" * (len(dataset.PixelData) - 60)

        cine = read_one(write_cine_series(tmp_path, slices=1, phases=1, change=change))
        with pytest.raises(UnreadableFileError, match="frame 1 cannot be decoded"):
            cine.frame(0, 0)

    @given(keep=st.floats(0, 0.999))
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_a_file_cut_anywhere_is_one_clear_error(self, one_frame, keep):
        whole = one_frame.read_bytes()
        cut = one_frame.parent / "cut.dcm"
        cut.write_bytes(whole[: int(keep * len(whole))])
        with pytest.raises(CinesrError, match=r"cut\.dcm"):
            dicom.read([cut])

    @given(at=st.floats(0, 1), value=st.integers(0, 255))
    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_a_flipped_byte_never_lets_another_exception_out(self, one_frame, at, value):
        content = bytearray(one_frame.read_bytes()[: -20 * 24 * 2])
        content[int(at * (len(content) - 1))] = value
        spoiled = one_frame.parent / "spoiled.dcm"
        spoiled.write_bytes(bytes(content) + b"\1" * (20 * 24 * 2))
        with contextlib.suppress(CinesrError):
            for cine in dicom.read([spoiled]):
                cine.in_memory()


class TestIsDicom:
    def test_by_content_and_not_by_name(self, tmp_path, one_frame):
        shutil.copy(one_frame, tmp_path / "picture.png")
        text, empty = tmp_path / "text.dcm", tmp_path / "empty.dcm"
        text.write_text("text " * 100)
        empty.touch()
        assert dicom.is_dicom(tmp_path / "picture.png")
        assert not dicom.is_dicom(text)
        assert not dicom.is_dicom(empty)
        assert not dicom.is_dicom(tmp_path / "absent.dcm")
        assert not dicom.is_dicom(tmp_path)

    @pytest.mark.parametrize("is_implicit", [True, False])
    def test_a_data_set_without_the_prefix(self, tmp_path, is_implicit):
        dataset = classic_frame(0, 0)
        del dataset.file_meta
        path = tmp_path / "bare"
        dataset.save_as(path, implicit_vr=is_implicit, little_endian=True)
        assert dicom.is_dicom(path)
        np.testing.assert_array_equal(dicom.read([path])[0].frame(0, 0), expected_frame(0, 0))

    @given(content=st.binary(max_size=400), start=st.sampled_from([b"", b"\x08\0", b"\x02\0"]))
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_any_bytes_get_an_answer(self, tmp_path, content, start):
        path = tmp_path / "any"
        path.write_bytes(start + content)
        assert dicom.is_dicom(path) is False or content


def test_describe_says_what_made_the_images_and_nothing_of_the_patient(tmp_path):
    cine = read_one(write_cine_series(tmp_path))
    found = dicom.describe(cine)
    assert found["manufacturer"] == "Testing"
    assert found["series"] == "cine SAX"
    assert found["series number"] == "7"
    assert "Phantom" not in str(found)
    assert dicom.describe(Cine(np.zeros((1, 1, 2, 2)), cine.geometry.assumed())) == {}


def test_broken_file_holds_the_exceptions_of_python_and_none_of_ours():
    assert not any(issubclass(CinesrError, kind) for kind in BROKEN_FILE)


def test_real_scans(scd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cine = read_one(scd / "dicom" / "SC-HF-I-01")
        assert cine.shape == (20, 12, 256, 256)
        assert cine.frame(7, 3).dtype == np.int16
    assert cine.name == "SC-HF-I-01"
    assert cine.geometry.is_evenly_spaced
    assert cine.geometry.spacing_mm == pytest.approx((1.367188, 1.367188, 10.0), abs=1e-3)
    triggers = np.array([[f.trigger_ms for f in row] for row in cine.source.frames])
    assert (np.diff(triggers, axis=0) > 0).all()
    assert np.diff(cine.times_ms).min() > 30


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL])
def test_the_extra_codecs_decodes_high_throughput_jpeg_2000(syntax):
    pytest.importorskip("openjpeg", reason="the extra codecs is not installed")
    with pyproject().open("rb") as file:
        extra = tomllib.load(file)["project"]["optional-dependencies"]["codecs"]
    names = {re.split("[^a-z-]", each)[0] for each in extra}
    decoder = get_decoder(syntax)
    assert decoder.is_available
    # pydicom asks for both: the plugin alone is never used.
    assert {"pylibjpeg", "pylibjpeg-openjpeg"} <= names


def pyproject() -> Path:
    return Path(__file__).parents[2] / "pyproject.toml"
