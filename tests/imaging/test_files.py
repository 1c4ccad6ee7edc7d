"""Any scan from any path and back: by content, whole or not at all, with words that help."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

import dicom_cases
from cinesr.errors import CinesrError, OutputError, UnfitImageError, UnreadableFileError
from cinesr.imaging import archive, dicom, files
from cinesr.imaging.cine import Cine, Derivation, IntensityRule, LazyFrames
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.records import files_within

PICTURE = np.arange(48, dtype="uint8").reshape(6, 8)


def still(value: int = 0) -> Cine:
    return Cine((PICTURE + np.uint8(value))[None, None], Geometry.assumed(), name="still")


def png(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PICTURE + np.uint8(value)).save(path)
    return path


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archived:
        for file in sorted(folder.rglob("*")):
            archived.write(file, file.relative_to(folder.parent))
    return path


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return dicom_cases.write_cine_series(tmp_path / "series")


def expected_series() -> np.ndarray:
    return np.array(
        [[dicom_cases.expected_frame(phase, k) for k in range(3)] for phase in range(4)]
    )


class TestReading:
    def test_content_decides_not_the_suffix(self, tmp_path: Path) -> None:
        png(tmp_path / "a.png").rename(tmp_path / "a.dcm")
        np.save(tmp_path / "b.npy", PICTURE)
        (tmp_path / "b.npy").rename(tmp_path / "b.nii.gz")
        nib.save(nib.Nifti1Image(PICTURE.T, np.eye(4)), tmp_path / "c.nii")
        (tmp_path / "c.nii").rename(tmp_path / "c")
        dicom_cases.write_enhanced(tmp_path / "d.tif")

        for name in ("a.dcm", "b.nii.gz", "c"):
            np.testing.assert_array_equal(files.load(tmp_path / name).frames[0, 0], PICTURE)
        np.testing.assert_array_equal(files.load(tmp_path / "d.tif").frames, expected_series())

    def test_loading_brings_all_frames_into_memory(self, series: Path) -> None:
        cine = files.load(series)

        assert isinstance(cine.frames, np.ndarray)
        np.testing.assert_array_equal(cine.frames, expected_series())
        shutil.rmtree(series)
        np.testing.assert_array_equal(cine.frame(3, 2), expected_series()[3, 2])

    def test_opening_reads_frames_on_demand(self, series: Path) -> None:
        (cine,) = files.open_cines(str(series))

        assert isinstance(cine.frames, LazyFrames)
        np.testing.assert_array_equal(np.asarray(cine.frames), expected_series())

    def test_nested_folders_are_searched_without_what_systems_leave(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        for number, file in enumerate(sorted(dicom_cases.write_cine_series(root).iterdir())):
            place = root / f"disk{number % 3}" / "x"
            place.mkdir(parents=True, exist_ok=True)
            file.rename(place / f"{number}")
        for junk in (".DS_Store", "__MACOSX/._1.dcm", ".git/config", "disk0/Thumbs.db"):
            (root / junk).parent.mkdir(exist_ok=True)
            (root / junk).write_bytes(b"\0\5\x16\7 junk")

        (cine,) = files.open_cines(root)

        np.testing.assert_array_equal(np.asarray(cine.frames), expected_series())
        assert not [note for note in cine.notes if "skipped" in note]

    def test_what_is_skipped_is_said(self, series: Path) -> None:
        (series / "a.txt").write_text("a report")
        (series / "sub").mkdir()
        (series / "sub" / "empty.dcm").touch()
        png(series / "shot.png")

        (cine,) = files.open_cines(series)

        assert "3 files skipped that are not DICOM: a.txt, shot.png, sub/empty.dcm" in cine.notes

    def test_a_folder_of_pictures_is_one_cine_each(self, tmp_path: Path) -> None:
        png(tmp_path / "p2" / "1.png", 2)
        png(tmp_path / "p1" / "1.png", 1)
        nib.save(nib.Nifti1Image(PICTURE.T, np.eye(4)), tmp_path / "scan.nii.gz")
        for number in range(12):
            (tmp_path / f"{number:02}.txt").write_text("no image")

        cines = files.open_cines(tmp_path)

        assert [cine.name for cine in cines] == ["p1/1.png", "p2/1.png", "scan.nii.gz"]
        np.testing.assert_array_equal(cines[1].frame(0, 0), PICTURE + np.uint8(2))
        assert all("12 files skipped that are not images" in cine.notes[0] for cine in cines)
        assert cines[0].notes[0].endswith("08.txt, 09.txt and 2 more")

    def test_one_of_several_series_is_chosen_by_number_or_name(self, tmp_path: Path) -> None:
        for value, name in enumerate(["a.png", "b.png", "7.png"]):
            png(tmp_path / name, value)

        with pytest.raises(UnfitImageError, match="holds 3 series and none was chosen") as error:
            files.load(tmp_path)
        assert "0: 7.png (1 phases, 1 slices of 8x6)" in str(error.value)
        assert "series=0 in Python, --series 0" in str(error.value)
        for series in (1, "1", "a.png"):
            assert files.load(tmp_path, series=series).name == "a.png"
        for wrong in (3, "c.png", ""):
            with pytest.raises(UnfitImageError, match="fits 0 of them"):
                files.load(tmp_path, series=wrong)

    def test_a_long_list_of_series_is_cut(self, tmp_path: Path) -> None:
        for number in range(15):
            png(tmp_path / f"{number}.png")

        with pytest.raises(UnfitImageError, match=r"9: .*\n  and 5 more"):
            files.load(tmp_path)

    def test_series_in_one_folder_come_apart(self, tmp_path: Path) -> None:
        dicom_cases.write_cine_series(tmp_path, series=3)
        dicom_cases.write_cine_series(tmp_path, series=4, rows=12, columns=10)

        shapes = sorted(cine.shape for cine in files.open_cines(tmp_path))

        assert shapes == [(4, 3, 12, 10), (4, 3, 20, 24)]

    def test_a_named_spacing_reaches_every_format(self, tmp_path: Path) -> None:
        def without_spacing(dataset: pydicom.Dataset, *_: int) -> None:
            del dataset.PixelSpacing

        png(tmp_path / "a.png")
        dicom_cases.write_cine_series(tmp_path / "b", change=without_spacing)
        image = nib.Nifti1Image(PICTURE.T, None)
        nib.save(image, tmp_path / "c.nii")
        content = bytearray((tmp_path / "c.nii").read_bytes())
        content[80:88] = bytes(8)
        (tmp_path / "c.nii").write_bytes(content)

        for name in ("a.png", "b", "c.nii"):
            cine = files.load(tmp_path / name, spacing_mm=(1.5, 0.75))
            assert cine.geometry.spacing_mm[:2] == (0.75, 1.5)
        for name in ("b", "c.nii"):
            with pytest.raises(UnfitImageError, match="--spacing"):
                files.load(tmp_path / name)


class TestArchives:
    @pytest.fixture(autouse=True)
    def own_temporary_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def test_a_zip_of_dicom_is_read(self, series: Path, tmp_path: Path) -> None:
        path = zipped(series, tmp_path / "scan.zip")

        (cine,) = files.open_cines(path)

        np.testing.assert_array_equal(np.asarray(cine.frames), expected_series())

    def test_a_zip_of_one_nifti_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        nib.save(nib.Nifti1Image(PICTURE.T, np.eye(4)), tmp_path / "in" / "scan.nii.gz")
        path = zipped(tmp_path / "in", tmp_path / "scan.dat")

        np.testing.assert_array_equal(files.load(path).frames[0, 0], PICTURE)

    def test_what_was_unpacked_goes_when_the_program_ends(
        self, series: Path, tmp_path: Path
    ) -> None:
        path = zipped(series, tmp_path / "scan.zip")
        place = tmp_path / "here"
        place.mkdir()
        program = (
            "import os, sys; from cinesr.imaging.files import open_cines;"
            "cine, = open_cines(sys.argv[1]); cine.frame(0, 0); print(len(os.listdir(sys.argv[2])))"
        )

        run = subprocess.run(
            [sys.executable, "-c", program, path, place],
            env={**os.environ, "TMPDIR": str(place)},
            capture_output=True,
            text=True,
            check=True,
        )

        assert run.stdout.strip() == "1"
        assert not list(place.iterdir())

    @pytest.mark.parametrize("name", ["../evil.dcm", "/evil.dcm", "a/../../evil", "..\\evil.dcm"])
    def test_a_name_that_leads_out_is_refused(self, tmp_path: Path, name: str) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archived:
            archived.writestr(name, b"data")

        with pytest.raises(UnreadableFileError, match=r"a\.zip holds .*leads out"):
            files.load(tmp_path / "a.zip")
        assert not list(tmp_path.rglob("evil*"))

    def test_a_bomb_is_refused_before_it_unpacks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archive, "SUSPICIOUS_BYTES", 10**6)
        with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archived:
            archived.writestr("zeros.dcm", bytes(10**7))

        with pytest.raises(UnreadableFileError, match=r"bomb\.zip would unpack to 1 files"):
            files.load(tmp_path / "bomb.zip")
        assert not list(tmp_path.rglob("zeros*"))

    def test_no_room_to_unpack_is_told(
        self, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = zipped(series, tmp_path / "scan.zip")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))

        with pytest.raises(OutputError, match=r"scan\.zip needs .* no room"):
            files.load(path)

    def test_broken_encrypted_and_empty_archives_are_refused(
        self, series: Path, tmp_path: Path
    ) -> None:
        whole = zipped(series, tmp_path / "whole.zip").read_bytes()
        (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
        damaged = bytearray(whole)
        damaged[500:600] = bytes(100)
        (tmp_path / "damaged.zip").write_bytes(damaged)
        locked = bytearray(whole)
        locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
        (tmp_path / "locked.zip").write_bytes(locked)
        with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
            pass
        with zipfile.ZipFile(tmp_path / "text.zip", "w") as archived:
            archived.writestr("read.me", "words")

        for name, words in {
            "cut.zip": "not a whole zip archive",
            "damaged.zip": "not a whole zip archive",
            "locked.zip": "encrypted",
            "empty.zip": "holds no file",
            "text.zip": "holds only read.me",
        }.items():
            with pytest.raises(UnreadableFileError, match=rf"{name}.*{words}"):
                files.load(tmp_path / name)

    def test_an_error_about_a_file_within_names_the_archive(self, tmp_path: Path) -> None:
        whole = png(tmp_path / "in" / "a.png").read_bytes()
        (tmp_path / "in" / "a.png").write_bytes(whole[:50])
        path = zipped(tmp_path / "in", tmp_path / "scan.zip")

        with pytest.raises(UnreadableFileError, match=r"In scan\.zip: a\.png could not be decoded"):
            files.load(path)


def truncated(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


class TestBadInput:
    """Every case of bad input at the level of files: one clear error that names the file."""

    def test_a_path_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableFileError, match=r"nowhere does not exist; expected DICOM"):
            files.load(tmp_path / "nowhere")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "scan" / "sub").mkdir(parents=True)

        with pytest.raises(UnreadableFileError, match="scan holds no file; expected DICOM"):
            files.load(tmp_path / "scan")

    def test_a_folder_without_images(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("words")

        with pytest.raises(UnreadableFileError, match=r"holds only notes\.txt; expected DICOM"):
            files.load(tmp_path)

    @pytest.mark.parametrize("name", ["words.dcm", "words.nii.gz", "words.png"])
    def test_a_text_file_with_the_name_of_an_image(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("these are only words\n" * 50)

        with pytest.raises(UnreadableFileError, match=rf"{name} is of no kind .* ends in \.\w+"):
            files.load(tmp_path / name)

    def test_a_file_of_another_kind(self, tmp_path: Path) -> None:
        Image.fromarray(PICTURE).save(tmp_path / "a.jpg")

        with pytest.raises(UnreadableFileError, match=r"a\.jpg is of no kind that cinesr reads;"):
            files.load(tmp_path / "a.jpg")

    def test_a_file_of_no_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a.dcm").touch()

        with pytest.raises(UnreadableFileError, match=r"a\.dcm is empty \(0 bytes\)"):
            files.load(tmp_path / "a.dcm")

    @pytest.mark.parametrize("keep", [0.3, 0.9])
    def test_a_truncated_dicom_file(self, tmp_path: Path, keep: float) -> None:
        truncated(dicom_cases.write_enhanced(tmp_path / "cut.dcm"), keep)

        with pytest.raises(CinesrError, match=r"cut\.dcm"):
            files.load(tmp_path / "cut.dcm")

    def test_a_truncated_gzipped_nifti(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 4096, (64, 64, 4)).astype("int16")
        nib.save(nib.Nifti1Image(noise, np.eye(4)), tmp_path / "cut.nii.gz")
        truncated(tmp_path / "cut.nii.gz", 0.6)

        with pytest.raises(UnreadableFileError, match=r"cut\.nii\.gz is not a whole NIfTI"):
            files.load(tmp_path / "cut.nii.gz")

    def test_missing_pixel_data(self, tmp_path: Path) -> None:
        dataset = dicom_cases.classic_frame(0, 0)
        del dataset.PixelData
        dicom_cases.save(dataset, tmp_path / "bare.dcm")

        with pytest.raises(CinesrError, match=r"bare\.dcm"):
            files.load(tmp_path / "bare.dcm")

    def test_a_colour_image_and_a_grey_one_saved_as_colour(self, tmp_path: Path) -> None:
        Image.fromarray(PICTURE).convert("RGB").save(tmp_path / "grey.png")
        Image.fromarray(np.dstack([PICTURE, PICTURE, PICTURE + 1])).save(tmp_path / "colour.png")

        np.testing.assert_array_equal(files.load(tmp_path / "grey.png").frames[0, 0], PICTURE)
        with pytest.raises(UnfitImageError, match=r"colour\.png: a colour image"):
            files.load(tmp_path / "colour.png")

    def test_values_that_are_not_finite_and_constant_images(self, tmp_path: Path) -> None:
        np.save(tmp_path / "nan.npy", np.array([[1.0, np.nan], [2.0, 3.0]]))
        np.save(tmp_path / "zero.npy", np.zeros((4, 4)))

        with pytest.raises(UnfitImageError, match=r"nan\.npy: the frame at phase 0, slice 0"):
            IntensityRule.of(files.load(tmp_path / "nan.npy"))
        with pytest.raises(UnfitImageError, match=r"zero\.npy: every pixel of the image is 0"):
            IntensityRule.of(files.load(tmp_path / "zero.npy"))

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
    def test_a_slice_of_one_pixel(self, tmp_path: Path, shape: tuple[int, int]) -> None:
        np.save(tmp_path / "speck.npy", np.ones(shape))

        with pytest.raises(UnfitImageError, match=r"speck\.npy has slices of .* at least 2x2"):
            files.load(tmp_path / "speck.npy")

    def test_a_folder_that_may_not_be_read(self) -> None:
        with _without_privileges() as place:
            (place / "scan").mkdir()
            (place / "scan" / "locked").mkdir(mode=0)
            with pytest.raises(UnreadableFileError, match="locked could not be read: Permission"):
                files.load(place / "scan")
            (place / "a.png").touch(mode=0)
            (place / "a.png").chmod(0o200)
            (place / "b.png").write_bytes(b"content")
            (place / "b.png").chmod(0)
            with pytest.raises(UnreadableFileError, match=r"b\.png could not be read: Permission"):
                files.load(place / "b.png")


class _without_privileges:  # noqa: N801
    """A folder of a plain user: as the superuser may read everything, it is put aside."""

    def __enter__(self) -> Path:
        self.is_root = os.geteuid() == 0
        self.place = Path(tempfile.mkdtemp())
        if self.is_root:
            os.chown(self.place, 65534, 65534)
            os.seteuid(65534)
        return self.place

    def __exit__(self, *_: object) -> None:
        if self.is_root:
            os.seteuid(0)
        for folder in [self.place, *self.place.rglob("*")]:
            if folder.is_dir():
                folder.chmod(0o700)
        shutil.rmtree(self.place)


class TestSaving:
    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF", "a.npy", "a.nii", "a.nii.gz"])
    def test_every_format_comes_back(self, tmp_path: Path, name: str) -> None:
        path = files.save(still(), tmp_path / "new" / "folders" / name)

        assert path == tmp_path / "new" / "folders" / name
        assert [file.name for file in path.parent.iterdir()] == [name]
        again = files.load(path)
        np.testing.assert_array_equal(again.frames[0, 0], PICTURE)
        assert again.dtype == np.uint8

    @pytest.mark.parametrize(
        ("name", "suffix"),
        [
            ("a.nii.gz", ".nii.gz"),
            ("b/a.NII", ".nii"),
            ("a.tiff", ".tiff"),
            ("a.dcm", ".dcm"),
            ("scan_v1.2", ""),
            ("a.png/out", ""),
        ],
    )
    def test_the_name_says_the_format(self, name: str, suffix: str) -> None:
        assert files.suffix_of(name) == suffix

    def test_dicom_comes_back_from_a_folder(self, series: Path, tmp_path: Path) -> None:
        (cine,) = files.open_cines(series)

        files.save(derived(cine), tmp_path / "out")

        assert len(list((tmp_path / "out").iterdir())) == 12
        again = files.load(tmp_path / "out")
        np.testing.assert_array_equal(again.frames[:, :, ::4, ::4], expected_series())
        assert again.geometry.is_close(cine.geometry.upscaled(4))

    def test_dicom_and_nifti_lie_in_the_same_place(self, series: Path, tmp_path: Path) -> None:
        (cine,) = files.open_cines(series)

        files.save(derived(cine), tmp_path / "out")
        files.save(derived(cine), tmp_path / "out.nii.gz")

        one, other = files.load(tmp_path / "out"), files.load(tmp_path / "out.nii.gz")
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_allclose(
            one.geometry.edges_mm(80, 96), other.geometry.edges_mm(80, 96), atol=1e-4
        )
        np.testing.assert_allclose(one.times_ms, other.times_ms, atol=1e-3)

    def test_the_rescaling_of_dicom_reaches_nifti(self, tmp_path: Path) -> None:
        def rescaled(dataset: pydicom.Dataset, *_: int) -> None:
            dataset.RescaleSlope, dataset.RescaleIntercept = "2.5", "-10"
            dataset.RescaleType = "US"

        series = dicom_cases.write_cine_series(tmp_path / "series", change=rescaled)

        files.save(files.load(series), tmp_path / "out.nii")

        image = nib.load(tmp_path / "out.nii")
        np.testing.assert_allclose(np.asarray(image.dataobj).T, expected_series() * 2.5 - 10)

    def test_an_enhanced_file_becomes_one_file(self, tmp_path: Path) -> None:
        (cine,) = files.open_cines(dicom_cases.write_enhanced(tmp_path / "in.dcm"))

        files.save(derived(cine), tmp_path / "out.dcm")

        assert sorted(file.name for file in tmp_path.iterdir()) == ["in.dcm", "out.dcm"]
        assert pydicom.dcmread(tmp_path / "out.dcm").NumberOfFrames == 12
        np.testing.assert_array_equal(
            files.load(tmp_path / "out.dcm").frames[:, :, ::4, ::4], expected_series()
        )

    def test_many_files_do_not_fit_under_one_dcm_name(self, series: Path, tmp_path: Path) -> None:
        (cine,) = files.open_cines(series)

        with pytest.raises(OutputError, match=r"takes 12 DICOM files(.|\n)*Name a folder"):
            files.save(without_pixels(cine), tmp_path / "out.dcm")
        assert [file.name for file in tmp_path.iterdir()] == ["series"]

    def test_a_picture_cannot_become_dicom(self, tmp_path: Path) -> None:
        for name in ("folder", "file.dcm"):
            with pytest.raises(OutputError, match="still: DICOM can only be written from"):
                files.save(still(), tmp_path / name)
        assert not list(tmp_path.iterdir())

    def test_what_exists_is_kept_unless_overwriting_is_allowed(self, tmp_path: Path) -> None:
        files.save(still(), tmp_path / "a.png")

        with pytest.raises(OutputError, match=r"a\.png exists already(.|\n)*--overwrite"):
            files.save(still(9), tmp_path / "a.png")
        np.testing.assert_array_equal(files.load(tmp_path / "a.png").frames[0, 0], PICTURE)
        files.save(still(9), tmp_path / "a.png", overwrite=True)
        np.testing.assert_array_equal(files.load(tmp_path / "a.png").frames, still(9).frames)
        assert len(list(tmp_path.iterdir())) == 1

    def test_a_folder_is_replaced_as_a_whole(self, series: Path, tmp_path: Path) -> None:
        (cine,) = files.open_cines(series)
        out = tmp_path / "out"
        out.mkdir()
        files.save(derived(cine), out)
        with pytest.raises(OutputError, match="out exists already"):
            files.save(derived(cine), out)
        files.save(derived(cine), out, overwrite=True)

        assert len(list(out.iterdir())) == 12
        assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "series"]

    def test_someones_other_things_are_never_overwritten(
        self, series: Path, tmp_path: Path
    ) -> None:
        (cine,) = files.open_cines(series)
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "thesis.docx").write_text("years of work")

        with pytest.raises(OutputError, match=r"no earlier result: thesis\.docx"):
            files.save(derived(cine), tmp_path / "home", overwrite=True)
        (tmp_path / "home" / "run.json").write_text("{}")
        with pytest.raises(OutputError, match=r"no earlier result: run\.json, thesis\.docx"):
            files.save(derived(cine), tmp_path / "home", overwrite=True)
        assert (tmp_path / "home" / "thesis.docx").read_text() == "years of work"

    def test_original_scans_are_never_overwritten(self, series: Path, tmp_path: Path) -> None:
        (cine,) = files.open_cines(series)
        png(tmp_path / "pictures" / "1.png")
        (tmp_path / "broken").mkdir()
        whole = next(series.iterdir()).read_bytes()
        (tmp_path / "broken" / "cut.dcm").write_bytes(whole[: len(whole) // 2])

        for folder in (series, tmp_path / "pictures", tmp_path / "broken"):
            with pytest.raises(OutputError, match="files that are no earlier result"):
                files.save(derived(cine), folder, overwrite=True)
        assert len(list(series.iterdir())) == 12

    def test_a_folder_of_results_is_replaced_by_its_record(self, tmp_path: Path) -> None:
        for number in range(2):
            with files.staged_result(tmp_path / "out", overwrite=number == 1) as part:
                files.save(still(), part / f"{number}_x4.nii.gz")
                files.save(still(), part / "preview.png")
                left = {"tool": "cinesr 1", "files": files_within(part)}
                (part / "run.json").write_text(json.dumps(left))

        names = sorted(file.name for file in (tmp_path / "out").iterdir())
        assert names == ["1_x4.nii.gz", "preview.png", "run.json"]

    @pytest.mark.parametrize(
        "record", [{}, [], {"files": ["a.png", "run.json"]}, {"tool": "cinesr 1"}]
    )
    def test_a_record_of_somebody_else_names_nothing(self, tmp_path: Path, record) -> None:
        png(tmp_path / "out" / "a.png")
        (tmp_path / "out" / "run.json").write_text(json.dumps(record))
        with (
            pytest.raises(OutputError, match=r"no earlier result: a\.png, run\.json"),
            files.staged_result(tmp_path / "out", overwrite=True),
        ):
            pytest.fail("the work was done")

    @pytest.mark.parametrize("stranger", ["notes.txt", "sub/b.png", ".hidden", "empty/", "link"])
    def test_one_file_that_the_record_does_not_name_keeps_the_folder(
        self, tmp_path: Path, stranger: str
    ) -> None:
        out = tmp_path / "out"
        png(out / "a.png")
        record = {"tool": "cinesr 1", "files": ["a.png", "run.json", "link"]}
        (out / "run.json").write_text(json.dumps(record))
        if stranger == "link":
            (out / stranger).symlink_to(out / "a.png")
        elif stranger.endswith("/"):
            (out / stranger).mkdir()
        else:
            (out / stranger).parent.mkdir(exist_ok=True)
            (out / stranger).write_text("mine")
        with (
            pytest.raises(OutputError, match=f"no earlier result: {stranger};"),
            files.staged_result(out, overwrite=True),
        ):
            pytest.fail("the work was done")

    def test_results_take_the_kind_of_their_source(self, series: Path, tmp_path: Path) -> None:
        for name in ("a.png", "a.tif", "a.npy", "a.nii", "a.nii.gz"):
            cine = files.load(files.save(still(), tmp_path / name))
            assert files.natural_suffix(cine) == name[1:]
        assert files.natural_suffix(files.load(series)) == ""
        odd = replace(files.load(tmp_path / "a.nii"), name="a.img")
        assert files.natural_suffix(odd) == ".nii.gz"
        odd = replace(files.load(tmp_path / "a.png"), name="a.img")
        assert files.natural_suffix(odd) == ".npy"

    def test_an_input_may_be_overwritten_by_its_result(self, tmp_path: Path) -> None:
        for name in ("a.npy", "a.nii.gz"):
            path = files.save(still(), tmp_path / name)
            (cine,) = files.open_cines(path)
            files.save(derived(cine), path, overwrite=True)
            np.testing.assert_array_equal(files.load(path).frames[0, 0, ::4, ::4], PICTURE)

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy", "a.nii.gz"])
    @pytest.mark.parametrize("stop", [KeyboardInterrupt, UnfitImageError("a frame is bad")])
    def test_a_save_that_stops_leaves_nothing(self, tmp_path: Path, name: str, stop) -> None:
        def compute(time: int, slice_index: int) -> np.ndarray:
            raise stop

        cine = Cine(LazyFrames((1, 1, 6, 8), "uint8", compute), Geometry.assumed())
        with pytest.raises(stop if isinstance(stop, type) else type(stop)):
            files.save(cine, tmp_path / "new" / name)

        assert not list(tmp_path.iterdir())

    def test_a_dicom_save_that_stops_keeps_what_was_there(
        self, series: Path, tmp_path: Path
    ) -> None:
        (cine,) = files.open_cines(series)
        files.save(derived(cine), tmp_path / "out")
        before = {file: file.read_bytes() for file in (tmp_path / "out").iterdir()}
        count = iter(range(100))

        def compute(time: int, slice_index: int) -> np.ndarray:
            if next(count) == 5:
                raise KeyboardInterrupt
            return np.zeros((80, 96), "uint16")

        stopped = replace(derived(cine), frames=LazyFrames((4, 3, 80, 96), "uint16", compute))
        with pytest.raises(KeyboardInterrupt):
            files.save(stopped, tmp_path / "out", overwrite=True)

        assert {file: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
        assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "series"]

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy", "a.nii", "a.nii.gz", "a.dcm", "d"])
    def test_no_room_on_the_disk_leaves_nothing(self, tmp_path: Path, name: str) -> None:
        """A limit on the size of files stands in for a full disk, in a program of its own."""
        noise = np.random.default_rng(0).integers(0, 255, (200, 200)).astype("uint8")
        np.save(tmp_path / "in.npy", noise)
        dicom_cases.write_enhanced(tmp_path / "in.dcm", rows=100, columns=100)
        source = tmp_path / ("in.dcm" if name in ("a.dcm", "d") else "in.npy")
        program = (
            "import resource, sys; from cinesr.imaging import files, nifti, raster, dicom;"
            "from cinesr.errors import OutputError\n"
            "cine = files.load(sys.argv[1])\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
            "try: files.save(cine, sys.argv[2])\n"
            "except OutputError as error: print(error)"
        )

        run = subprocess.run(
            [sys.executable, "-B", "-c", program, source, tmp_path / "out" / name],
            capture_output=True,
            text=True,
            check=True,
        )

        assert f"{name} could not be written: no room on the disk" in run.stdout
        assert run.stderr == ""
        assert not (tmp_path / "out").exists()


def derived(cine: Cine, scale: int = 4) -> Cine:
    frames = np.asarray(cine.frames).repeat(scale, axis=2).repeat(scale, axis=3)
    derivation = Derivation(f"super-resolved x{scale}", "by a test")
    return cine.with_frames(frames, cine.geometry.upscaled(scale), derivation)


def without_pixels(cine: Cine) -> Cine:
    def compute(time: int, slice_index: int) -> np.ndarray:
        raise AssertionError("a frame was computed")

    return replace(cine, frames=LazyFrames(cine.shape, cine.dtype, compute))


class TestStaging:
    def test_a_file_appears_at_the_end(self, tmp_path: Path) -> None:
        target = tmp_path / "deep" / "run.json"
        with files.staged(target) as temporary:
            temporary.write_text("{}")
            assert temporary.suffix == ".json"
            assert temporary.parent.parent == target.parent
            assert temporary.parent.name.startswith(".")
            assert stat.S_IMODE(temporary.parent.stat().st_mode) == 0o700
            assert not target.exists()

        assert target.read_text() == "{}"
        assert [file.name for file in target.parent.iterdir()] == ["run.json"]

    def test_new_files_have_the_usual_permissions(self, tmp_path: Path) -> None:
        with files.staged(tmp_path / "a") as temporary:
            temporary.write_text("")
        (tmp_path / "b").write_text("")

        modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"}
        assert len(modes) == 1

    def test_an_empty_folder_may_be_taken(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        with files.staged(tmp_path / "a") as temporary:
            temporary.mkdir()
            (temporary / "x").touch()
        with files.staged(tmp_path / "b") as temporary:
            temporary.write_text("a file")

        assert (tmp_path / "a" / "x").exists()
        assert (tmp_path / "b").is_file()

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
    def test_nothing_stays_when_the_block_ends_early(self, tmp_path: Path, error) -> None:
        (tmp_path / "old").write_text("kept")

        def stop_early(name: str) -> None:
            with files.staged(tmp_path / name, overwrite=True) as temporary:
                if name == "folder":
                    temporary.mkdir()
                    (temporary / "part").touch()
                else:
                    temporary.write_text("half")
                raise error

        for name in ("file", "folder", "old", "new/deep/file"):
            with pytest.raises(error):
                stop_early(name)

        assert [file.name for file in tmp_path.iterdir()] == ["old"]
        assert (tmp_path / "old").read_text() == "kept"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
    def test_a_full_disk_is_told_in_plain_words(self, tmp_path: Path) -> None:
        def fill_the_disk() -> None:
            with files.staged(tmp_path / "a.bin") as temporary:
                temporary.write_bytes(b"a part")
                Path("/dev/full").write_bytes(b"more")

        with pytest.raises(OutputError, match=r"a\.bin could not be written: no room on the disk"):
            fill_the_disk()
        assert not list(tmp_path.iterdir())

    def test_a_place_that_may_not_be_written_to_is_told_before_the_work(self) -> None:
        with _without_privileges() as place:
            (place / "locked").mkdir(mode=0o500)
            with (
                pytest.raises(OutputError, match=r"a\.bin could not be written: no permission"),
                files.staged(place / "locked" / "a.bin"),
            ):
                pytest.fail("the work was done")

    def test_other_failures_name_the_output(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        for target in (tmp_path / "file" / "a.png", tmp_path / ("x" * 256)):
            with (
                pytest.raises(OutputError, match="could not be written: "),
                files.staged(target),
            ):
                pytest.fail("the work was done")

    def test_a_file_does_not_replace_a_full_folder(self, tmp_path: Path) -> None:
        (tmp_path / "out" / "in").mkdir(parents=True)
        with (
            pytest.raises(OutputError, match="it is a folder, the result a file"),
            files.staged(tmp_path / "out", overwrite=True) as temporary,
        ):
            temporary.write_text("a file")
        assert [file.name for file in tmp_path.iterdir()] == ["out"]

    def test_a_folder_may_replace_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("a file")
        with files.staged(tmp_path / "out", overwrite=True) as temporary:
            temporary.mkdir()
        assert (tmp_path / "out").is_dir()
        assert len(list(tmp_path.iterdir())) == 1

    def test_the_folder_one_is_in_is_not_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        for target in (".", tmp_path):
            with pytest.raises(OutputError, match="is the folder you are in"):
                files.staged(target, overwrite=True).__enter__()

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("old")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        with files.staged(tmp_path / "link", overwrite=True) as temporary:
            temporary.write_text("new")

        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").read_text() == "new"


def test_a_real_cine_keeps_pixels_places_and_times_through_nifti(scd: Path, tmp_path: Path) -> None:
    (cine,) = files.open_cines(scd / "dicom" / "SC-HF-I-01")

    files.save(cine, tmp_path / "cine.nii.gz")

    again = files.load(tmp_path / "cine.nii.gz")
    np.testing.assert_array_equal(again.frames, np.asarray(cine.frames))
    assert again.geometry.is_close(cine.geometry)
    np.testing.assert_allclose(again.times_ms, cine.times_ms, atol=0.01)


def test_pictures_do_not_pay_for_dicom_and_nifti(tmp_path: Path) -> None:
    program = (
        "import sys; from cinesr.imaging import files;"
        "print(*(name for name in ('PIL', 'nibabel', 'pydicom') if name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""
    assert dicom.is_dicom(dicom_cases.write_enhanced(tmp_path / "a.dcm"))


@pytest.mark.parametrize("name", ["x.hdr", "x.mat", "x.img", "X.MHA", "x.h5", "x.jpg", "x.tar.gz"])
def test_kinds_that_are_not_written_do_not_become_folders(tmp_path: Path, name: str) -> None:
    for refuse in (
        lambda: files.save(still(), tmp_path / name),
        lambda: files.require_sensible_output(tmp_path / "a.png", tmp_path / name),
    ):
        with pytest.raises(
            OutputError, match=r"cinesr does not write \.\w+ files; expected one of"
        ):
            refuse()
    assert not list(tmp_path.iterdir())
