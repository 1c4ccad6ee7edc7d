"""Which frames belong together, in which order they were taken, and what is no picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    BasicTextSRStorage,
    MRSpectroscopyStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)

from cinesr.errors import CinesrError, UnfitImageError
from cinesr.imaging import dicom
from cinesr.imaging.cine import Cine
from cinesr.imaging.files import open_cines
from dicom_cases import (
    FIRST_TRIGGER,
    PHASE_STEP,
    ROW_AXIS,
    SLICE_STEP,
    classic_frame,
    expected_frame,
    position,
    save,
    set_pixels,
    write_cine_series,
    write_enhanced,
)

Change = Callable[[Dataset, int, int], None]


def read(folder: Path) -> list[Cine]:
    return dicom.read([path for path in folder.rglob("*") if path.is_file()])


def read_one(folder: Path) -> Cine:
    (cine,) = read(folder)
    return cine


def levels(cine: Cine) -> list[list[int]]:
    """[time][slice]; the level that only one frame has, as it was given to `write`."""
    return [[int(frame[0, 0]) for frame in cine.frames[time]] for time in range(cine.shape[0])]


def write(folder: Path, change: Change, *, slices: int = 1, phases: int = 4) -> Path:
    """A series whose frames have the level 100 phase + slice; files named so that they mislead."""

    def leveled(dataset: Dataset, phase: int, slice_index: int) -> None:
        level = np.full((20, 24), 100 * phase + slice_index, np.uint16)
        level[5:9, 5:9] += 3
        set_pixels(dataset, level)
        change(dataset, phase, slice_index)

    return write_cine_series(folder, slices=slices, phases=phases, change=leveled)


def played(cine: Cine, slice_index: int = 0) -> list[int]:
    return [int(cine.frame(time, slice_index)[0, 0]) // 100 for time in range(cine.shape[0])]


def notes(*cines: Cine) -> str:
    return "\n".join(note for cine in cines for note in cine.notes)


def clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"12{int(minutes):02d}{rest:09.6f}"


class TestWhatASeriesIs:
    """Frames of two acquisitions: phases 0-3 are the first, 4-7 the second, of two slices."""

    def assert_apart(self, folder: Path, words: str = "") -> None:
        first, second = sorted(read(folder), key=played)
        assert [first.shape[:2], second.shape[:2]] == [(4, 2), (4, 2)]
        for slice_index in (0, 1):
            assert played(first, slice_index) == [0, 1, 2, 3]
            assert played(second, slice_index) == [4, 5, 6, 7]
        assert words in notes(first)
        assert words in notes(second)
        assert first.name != second.name

    def take_twice(self, folder: Path, change: Change) -> Path:
        def twice(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.TriggerTime = FIRST_TRIGGER + PHASE_STEP * (phase % 4)
            dataset.InstanceNumber = 10 * slice_index + phase + 1
            change(dataset, phase, slice_index)

        return write(folder, twice, slices=2, phases=8)

    @pytest.mark.parametrize("has_trigger", [True, False])
    def test_by_acquisition_number(self, tmp_path, has_trigger):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.AcquisitionNumber = 1 + phase // 4
            if not has_trigger:
                del dataset.TriggerTime

        self.assert_apart(self.take_twice(tmp_path, change), "AcquisitionNumber")

    def test_an_acquisition_number_for_each_phase_or_slice_parts_nothing(self, tmp_path):
        def of_phase(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.AcquisitionNumber = phase + 1

        def of_slice(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.AcquisitionNumber = slice_index + 1

        for name, change in (("phase", of_phase), ("slice", of_slice)):
            cine = read_one(write(tmp_path / name, change, slices=2))
            assert (played(cine), cine.notes) == ([0, 1, 2, 3], ())

    @pytest.mark.parametrize("has_trigger", [True, False])
    def test_by_a_pause_to_breathe(self, tmp_path, has_trigger):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.AcquisitionTime = clock(40 * slice_index + 15 * (phase // 4) + phase / 50)
            if not has_trigger:
                del dataset.TriggerTime

        self.assert_apart(self.take_twice(tmp_path, change), "AcquisitionTime")

    def test_by_one_time_for_each_breath_hold(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.AcquisitionTime = clock(40 * slice_index + 15 * (phase // 4))
            dataset.TriggerTime += 4 * (phase // 4)
            dataset.InstanceNumber = 9 - phase

        self.assert_apart(self.take_twice(tmp_path, change), "AcquisitionTime")

    def test_by_the_trigger_times_alone(self, tmp_path):
        self.assert_apart(self.take_twice(tmp_path, lambda *_: None), "repeated trigger times")

    def test_by_repeated_instance_numbers(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            del dataset.TriggerTime
            dataset.InstanceNumber = phase % 4
            dataset.ContentTime = clock(phase)

        self.assert_apart(self.take_twice(tmp_path, change), "repeated instance numbers")

    def test_by_trigger_times_that_start_anew_elsewhere(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.TriggerTime += 3 * (phase // 4)
            dataset.InstanceNumber = phase % 4 + 4 * slice_index + 8 * (phase // 4)

        self.assert_apart(self.take_twice(tmp_path, change), "a guess")

    def test_by_trigger_times_that_lie_between_each_other(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.TriggerTime += PHASE_STEP / 2 * (phase // 4)

        self.assert_apart(self.take_twice(tmp_path, change), "a guess")

    @pytest.mark.parametrize("keyword", ["SeriesNumber", "SeriesDescription", "SeriesInstanceUID"])
    def test_by_what_names_the_series_where_the_uid_does_not(self, tmp_path, keyword):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.TriggerTime += 3 * (phase // 4)
            dataset.InstanceNumber = 8 * slice_index + phase
            del dataset.SeriesInstanceUID
            setattr(dataset, keyword, f"{phase // 4 + 1}")

        self.assert_apart(self.take_twice(tmp_path, change))

    def test_two_echoes(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.EchoTime = 1.5 + phase // 4

        self.assert_apart(self.take_twice(tmp_path, change))

    def test_values_of_an_image_type(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER", *(["P"] if phase // 4 else [])]

        self.assert_apart(self.take_twice(tmp_path, change), "2 kinds of pictures")

    def test_real_and_magnitude_of_ge(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
            block.add_new(0x2F, "SS", 2 * (phase // 4))

        self.assert_apart(self.take_twice(tmp_path, change), "kinds of pictures")

    def test_a_slice_taken_again_belongs_with_the_others_by_its_last_time(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            again = slice_index == 3
            dataset.AcquisitionNumber = slice_index + 1
            dataset.TriggerTime = PHASE_STEP * phase
            if again:
                dataset.ImagePositionPatient = [round(each, 6) for each in position(1)]

        first, second = sorted(read(write(tmp_path, change, slices=4)), key=lambda c: c.shape[1])
        assert (first.shape[:2], second.shape[:2]) == ((4, 1), (4, 3))
        assert [int(second.frame(0, at)[0, 0]) for at in range(3)] == [0, 3, 2]
        assert int(first.frame(0, 0)[0, 0]) == 1

    def test_copies_of_all_files_are_left_out(self, tmp_path):
        write_cine_series(tmp_path)
        write_cine_series(
            tmp_path / "copy", change=lambda dataset, *_: setattr(dataset, "StudyID", "2")
        )
        cine = read_one(tmp_path)
        assert cine.shape == (4, 3, 20, 24)
        np.testing.assert_array_equal(cine.frame(2, 1), expected_frame(2, 1))
        assert "12 frames left out that are copies" in notes(cine)

    def test_files_of_one_uid_and_no_times_are_no_copies(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.SOPInstanceUID = "1.2.3"
            del dataset.TriggerTime, dataset.InstanceNumber
            dataset.AcquisitionTime = clock(phase / 20)

        assert played(read_one(write(tmp_path, change))) == [0, 1, 2, 3]


class TestEnhanced:
    @pytest.mark.parametrize("has_times", [True, False])
    def test_magnitude_and_phase_of_each_frame_come_apart(self, tmp_path, has_times):
        def change(dataset: Dataset) -> None:
            groups = dataset.PerFrameFunctionalGroupsSequence
            for group in groups:
                content = group.FrameContentSequence[0]
                phase = content.TemporalPositionIndex - 1
                is_phase = phase >= 2
                kind = Dataset()
                kind.FrameType = ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"]
                kind.ComplexImageComponent = "PHASE" if is_phase else "MAGNITUDE"
                group.MRImageFrameTypeSequence = Sequence([kind])
                trigger = group.CardiacSynchronizationSequence[0]
                trigger.NominalCardiacTriggerDelayTime = 200.0 * (phase % 2)
                content.TemporalPositionIndex = 1
                if not has_times:
                    del group.CardiacSynchronizationSequence
            for group in dataset.SharedFunctionalGroupsSequence:
                del group.MRImageFrameTypeSequence

        path = write_enhanced(tmp_path / "e.dcm", change=change)
        magnitude, phase = sorted(dicom.read([path]), key=lambda cine: int(cine.frame(0, 0)[0, 0]))
        for first, cine in ((0, magnitude), (2, phase)):
            assert cine.shape == (2, 3, 20, 24)
            for time, at, frame in cine.iter_frames():
                np.testing.assert_array_equal(frame, expected_frame(first + time, at))
            if has_times:
                np.testing.assert_array_equal(cine.times_ms, [0, 200])
        assert "this one of PHASE" in notes(phase)
        assert "this one of MAGNITUDE" in notes(magnitude)

    def test_two_echoes_come_apart(self, tmp_path):
        def change(dataset: Dataset) -> None:
            for group in dataset.PerFrameFunctionalGroupsSequence:
                echo = Dataset()
                phase = group.FrameContentSequence[0].TemporalPositionIndex - 1
                echo.EffectiveEchoTime = 1.5 + (phase >= 2)
                group.MREchoSequence = Sequence([echo])

        path = write_enhanced(tmp_path / "e.dcm", change=change)
        assert [cine.shape[:2] for cine in dicom.read([path])] == [(2, 3), (2, 3)]

    @pytest.mark.parametrize("says", ["offset", "number"])
    def test_a_concatenation_plays_in_its_order(self, tmp_path, says):
        """Three files of two phases each, with one instance number, named backwards."""
        for part in range(3):

            def change(dataset: Dataset, part: int = part) -> None:
                dataset.InstanceNumber, dataset.ConcatenationUID = 1, "1.2.3"
                dataset.SOPInstanceUIDOfConcatenationSource = "1.2.4"
                if says == "offset":
                    dataset.ConcatenationFrameOffsetNumber = 2 * part
                dataset.InConcatenationNumber = part + 1
                dataset.SOPInstanceUID = generate_uid()
                groups = dataset.PerFrameFunctionalGroupsSequence
                for at, group in enumerate(groups):
                    del group.CardiacSynchronizationSequence
                    del group.FrameContentSequence
                    assert at < 2
                frames = [np.full((20, 24), 100 * (2 * part + at), np.uint16) for at in (0, 1)]
                set_pixels(dataset, np.stack(frames))

            write_enhanced(tmp_path / f"{9 - part}.dcm", slices=1, phases=2, change=change)
        assert played(read_one(tmp_path)) == [0, 1, 2, 3, 4, 5]


class TestOrderAndTime:
    def real_time(self, dataset: Dataset, phase: int, jitter: float = 3.0) -> None:
        """Five frames a beat, 52 ms apart."""
        beat, at = divmod(phase, 5)
        dataset.TriggerTime = jitter * beat + 52 * at

    @pytest.mark.parametrize("jitter", [0.0, 3.0])
    @pytest.mark.parametrize("keyword", ["AcquisitionTime", "ContentTime"])
    def test_trigger_times_that_start_anew_at_every_beat(self, tmp_path, keyword, jitter):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            self.real_time(dataset, phase, jitter)
            setattr(dataset, keyword, clock(0.052 * phase))

        cine = read_one(write(tmp_path, change, phases=15))
        assert played(cine) == list(range(15))
        np.testing.assert_allclose(cine.times_ms, 52 * np.arange(15), atol=1e-3)
        assert f"start anew 2 times: phases are sorted by {keyword}" in notes(cine)

    def test_beats_of_unequal_length_by_instance_number(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            self.real_time(dataset, phase)
            dataset.InstanceNumber = phase + 1

        cine = read_one(write(tmp_path, change, phases=12))
        assert played(cine) == list(range(12))
        np.testing.assert_allclose(cine.times_ms, 52 * np.arange(12))
        assert "assumed between two beats" in notes(cine)

    def test_beats_of_which_one_frame_has_no_time(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            self.real_time(dataset, phase)
            dataset.AcquisitionTime = clock(0.052 * phase)
            if phase == 7:
                del dataset.TriggerTime

        cine = read_one(write(tmp_path, change, phases=15))
        assert played(cine) == list(range(15))
        np.testing.assert_allclose(cine.times_ms, 52 * np.arange(15), atol=1e-3)

    def test_even_trigger_times_count_more_than_any_number(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.AcquisitionTime = clock((phase * 7) % 20 / 20)

        cine = read_one(write(tmp_path, change, phases=20))
        assert (played(cine), cine.notes) == (list(range(20)), ())

    @pytest.mark.parametrize(
        ("keyword", "word"),
        [("AcquisitionNumber", "AcquisitionNumber"), ("ContentTime", "ContentTime")],
    )
    def test_no_instance_numbers_and_no_times(self, tmp_path, keyword, word):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            del dataset.TriggerTime, dataset.InstanceNumber
            setattr(
                dataset, keyword, phase + 1 if keyword == "AcquisitionNumber" else clock(phase / 30)
            )

        cine = read_one(write(tmp_path, change, phases=12))
        assert played(cine) == list(range(12))
        assert word in notes(cine)
        assert np.isnan(cine.times_ms).all()

    def test_acquisition_time_sorts_and_times(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            del dataset.TriggerTime
            dataset.InstanceNumber = 1
            dataset.AcquisitionTime = clock(59.9 + 0.04 * phase)

        cine = read_one(write(tmp_path, change, phases=12))
        assert played(cine) == list(range(12))
        np.testing.assert_allclose(cine.times_ms, 40 * np.arange(12), atol=1e-3)
        assert "sorted and timed by AcquisitionTime" in notes(cine)

    def test_file_names_are_a_guess_and_their_numbers_are_numbers(self, tmp_path):
        for phase in range(12):
            dataset = classic_frame(phase, 0)
            del dataset.TriggerTime, dataset.InstanceNumber
            set_pixels(dataset, np.full((20, 24), 100 * phase, np.uint16))
            save(dataset, tmp_path / f"IM{phase}.dcm")
        cine = read_one(tmp_path)
        assert played(cine) == list(range(12))
        assert "names of their files, which is a guess" in notes(cine)

    @pytest.mark.parametrize("missing", [[0], [3], [5], [1, 2], [0, 5]])
    def test_phases_without_a_time_keep_the_times_of_the_others(self, tmp_path, missing):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.InstanceNumber = phase + 1
            if phase in missing:
                del dataset.TriggerTime

        cine = read_one(write(tmp_path, change, phases=6))
        assert played(cine) == list(range(6))
        np.testing.assert_allclose(cine.times_ms, PHASE_STEP * np.arange(6))
        assert f"{len(missing)} of 6 phases of a plane have no trigger time" in notes(cine)

    def test_one_slice_without_a_time_leaves_those_of_the_others(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.InstanceNumber = phase + 1
            if slice_index == 1:
                del dataset.TriggerTime

        cine = read_one(write(tmp_path, change, slices=3))
        np.testing.assert_allclose(cine.times_ms, PHASE_STEP * np.arange(4))


def write_slices(folder: Path, takes: list[tuple[int, int]], *, phases: int = 3) -> Path:
    """Siemens: a series for each slice. `takes` holds (series number, place); level 100 number."""
    for number, place in takes:

        def change(
            dataset: Dataset,
            phase: int,
            slice_index: int,
            number: int = number,
            place: int = place,
        ) -> None:
            dataset.ImagePositionPatient = [round(each, 6) for each in position(place)]
            set_pixels(dataset, np.full((20, 24), 100 * number, np.uint16))
            dataset.SpacingBetweenSlices = 6.0

        write_cine_series(folder, slices=1, phases=phases, series=number, change=change)
    return folder


class TestOneSeriesPerSlice:
    def numbers(self, cine: Cine) -> list[int]:
        return [int(cine.frame(0, at)[0, 0]) // 100 for at in range(cine.shape[1])]

    def test_the_last_of_a_repeated_slice_is_used(self, tmp_path):
        takes = [(10, 0), (11, 1), (12, 2), (13, 3), (20, 1)]
        cine = read_one(write_slices(tmp_path, takes))
        assert self.numbers(cine) == [10, 20, 12, 13]
        assert "The slice of series 11 was taken again later" in notes(cine)
        assert cine.geometry.spacing_mm[2] == pytest.approx(SLICE_STEP)

    def test_all_slices_taken_twice_are_two_stacks(self, tmp_path):
        takes = [(10 + at, at) for at in range(3)] + [(20 + at, at) for at in range(3)]
        rest, stress = read(write_slices(tmp_path, takes))
        assert (self.numbers(rest), self.numbers(stress)) == ([10, 11, 12], [20, 21, 22])
        assert "taken 2 times" in notes(rest)

    @pytest.mark.parametrize("joined", [True, False])
    def test_a_missing_slice_is_named_and_the_spacing_stays(self, tmp_path, joined):
        if joined:
            write_slices(tmp_path, [(10, 0), (11, 1), (13, 3)])
        else:

            def change(dataset: Dataset, phase: int, slice_index: int) -> None:
                place = slice_index + (slice_index == 2)
                dataset.ImagePositionPatient = [round(each, 6) for each in position(place)]
                dataset.SpacingBetweenSlices = 6.0

            write_cine_series(tmp_path, change=change)
        cine = read_one(tmp_path)
        assert cine.geometry.spacing_mm[2] == pytest.approx(SLICE_STEP, abs=1e-4)
        np.testing.assert_allclose(cine.geometry.positions_mm[2], position(3), atol=1e-5)
        assert "1 slice is missing between slices 1 and 2" in notes(cine)

    def test_where_every_step_is_a_gap_the_header_says_the_distance(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            place = [0, 2, 5][slice_index]
            dataset.ImagePositionPatient = [round(each, 6) for each in position(place)]

        cine = read_one(write_cine_series(tmp_path, change=change))
        assert cine.geometry.spacing_mm[2] == pytest.approx(SLICE_STEP, abs=1e-4)
        assert "1 slice is missing between slices 0 and 1" in notes(cine)
        assert "2 slices are missing between slices 1 and 2" in notes(cine)


def other_object(kind: str) -> Dataset:
    """One object that belongs to a study, but is no grey MR picture."""
    dataset = classic_frame(0, 0, rows=8, columns=8)
    dataset.SeriesInstanceUID, dataset.SeriesNumber = generate_uid(), 99
    if kind == "segmentation":
        dataset.SOPClassUID, dataset.Modality = SegmentationStorage, "SEG"
        dataset.BitsAllocated = dataset.BitsStored = 1
        dataset.HighBit, dataset.PixelData = 0, b"\xff" * 8
    elif kind == "map":
        dataset.SOPClassUID = ParametricMapStorage
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit
        dataset.BitsAllocated, dataset.FloatPixelData = 32, b"\0" * 256
    elif kind == "spectrum":
        dataset.SOPClassUID = MRSpectroscopyStorage
        for keyword in ("PixelData", "BitsAllocated", "BitsStored", "HighBit"):
            del dataset[keyword]
        dataset.SpectroscopyData = b"\0" * 64
    elif kind == "screenshot":
        dataset.SOPClassUID = SecondaryCaptureImageStorage
        del dataset.PixelSpacing
    elif kind == "colour":
        dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
        dataset.PhotometricInterpretation, dataset.BitsAllocated = "RGB", 8
        dataset.BitsStored, dataset.HighBit = 8, 7
        dataset.PixelData = bytes(range(192))
    elif kind == "report":
        dataset.SOPClassUID = BasicTextSRStorage
        del dataset.Rows, dataset.Columns, dataset.PixelData
    elif kind == "mosaic":
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    elif kind == "volume":
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    else:
        del dataset.PixelSpacing
    return dataset


WORDS = {
    "segmentation": "Segmentation Storage is no grey picture",
    "map": "Parametric Map Storage is no grey picture",
    "spectrum": "MR Spectroscopy Storage is no grey picture",
    "screenshot": "Secondary Capture Image Storage is no MR image",
    "colour": "a colour image",
    "report": "Basic Text SR Storage holds no image",
    "mosaic": "a Siemens mosaic",
    "volume": "a UIH VFRAME",
    "no spacing": "no PixelSpacing",
}


class TestOtherObjects:
    @pytest.mark.parametrize("kind", WORDS)
    def test_a_study_with_one_still_gives_its_cine_and_names_it(self, tmp_path, kind):
        write_cine_series(tmp_path)
        save(other_object(kind), tmp_path / "odd.dcm")
        cine = read_one(tmp_path)
        assert cine.shape == (4, 3, 20, 24)
        assert WORDS[kind] in notes(cine)
        assert "1 file left out" in notes(cine)
        assert "odd.dcm" in notes(cine)

    @pytest.mark.parametrize("kind", sorted(WORDS.keys() - {"report", "screenshot"}))
    def test_alone_it_is_refused_by_name(self, tmp_path, kind):
        path = save(other_object(kind), tmp_path / "odd.dcm")
        with pytest.raises(UnfitImageError, match=WORDS[kind]) as caught:
            dicom.read([path])
        assert "odd.dcm" in caught.value.message

    def test_a_screenshot_alone_is_read_with_a_named_spacing(self, tmp_path):
        path = save(other_object("screenshot"), tmp_path / "odd.dcm")
        (cine,) = dicom.read([path], spacing_mm=(1.0, 1.0))
        assert cine.shape == (1, 1, 8, 8)

    def test_a_cine_of_which_one_frame_has_no_spacing_is_refused(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            if phase == 2:
                del dataset.PixelSpacing

        with pytest.raises(CinesrError, match="no PixelSpacing"):
            read(write(tmp_path, change))

    def test_a_series_whose_planes_make_no_sense_is_left_out_by_name(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            shifted = position(slice_index) + 5.0 * phase * ROW_AXIS
            dataset.ImagePositionPatient = [round(each, 6) for each in shifted]

        write_cine_series(tmp_path / "a")
        write_cine_series(tmp_path / "b", series=8, change=change)
        cine = read_one(tmp_path)
        assert cine.name == "cine SAX 7"
        assert "A series was left out" in notes(cine)
        assert "mm apart within it" in notes(cine)

    def test_a_navigator_of_one_row_is_left_out_by_name(self, tmp_path):
        write_cine_series(tmp_path / "a")
        write_cine_series(tmp_path / "b", series=8, rows=1, slices=1)
        (cine,) = open_cines(tmp_path)
        assert cine.name == "cine SAX 7"
        assert "cine SAX 8 has slices of 24x1 pixels" in notes(cine)
