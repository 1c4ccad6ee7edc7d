"""Which files of a folder or an archive are scans, and what is said of the others."""

import errno
import gzip
import io
import json
import os
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cinesr.errors import CinesrError, OutputError, UnfitImageError, UnreadableFileError
from cinesr.imaging import archive, files
from cinesr.imaging.cine import Cine
from cinesr.imaging.claims import MARK
from cinesr.imaging.finding import find_files
from cinesr.learning.dataset import find_people
from dicom_cases import classic_frame, expected_frame, save, write_cine_series


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def notes(*cines: Cine) -> str:
    return "\n".join(note for cine in cines for note in cine.notes)


def assert_whole(cine: Cine) -> None:
    assert cine.shape == (4, 3, 20, 24)
    np.testing.assert_array_equal(cine.frame(3, 2), expected_frame(3, 2))


class TestLinks:
    def test_broken_ones_are_named(self, tmp_path):
        scan = write_cine_series(tmp_path / "scan")
        (scan / "gone.dcm").symlink_to("../annex/absent")
        (cine,) = files.open_cines(scan)
        assert_whole(cine)
        assert "1 links that lead nowhere, or were copied as text: gone.dcm" in notes(cine)

    def test_those_that_were_copied_as_text_are_named(self, tmp_path):
        scan = write_cine_series(tmp_path / "scan")
        (tmp_path / "other").mkdir()
        (scan / "s2").write_text("../other")
        (scan / "s3.dcmlink").write_text("../.git/annex/objects/absent")
        (scan / "s4").write_text("words/that lead nowhere")
        (cine,) = files.open_cines(scan)
        assert "2 links that lead nowhere, or were copied as text: s2, s3.dcmlink" in notes(cine)
        assert "1 files skipped that are not DICOM: s4" in notes(cine)

    def test_nothing_but_broken_ones(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "one.dcm").symlink_to("absent")
        with pytest.raises(UnreadableFileError, match=r"links that lead nowhere, .*: one\.dcm"):
            files.open_cines(tmp_path / "a")

    def test_files_and_folders_elsewhere_are_followed(self, tmp_path):
        real = write_cine_series(tmp_path / "real")
        linked = tmp_path / "linked"
        linked.mkdir()
        (linked / "series").symlink_to(real)
        assert_whole(files.open_cines(linked)[0])
        (tmp_path / "single").mkdir()
        for file in real.iterdir():
            (tmp_path / "single" / file.name).symlink_to(file)
        assert_whole(files.open_cines(tmp_path / "single")[0])

    def test_cycles_end_and_each_file_is_there_once(self, tmp_path):
        scan = write_cine_series(tmp_path / "scan" / "a")
        (tmp_path / "scan" / "b").mkdir()
        (tmp_path / "scan" / "b" / "again").symlink_to(scan)
        (scan / "up").symlink_to(tmp_path / "scan")
        (scan / "around").symlink_to(tmp_path)
        (tmp_path / "scan" / "self").symlink_to("self")
        (tmp_path / "other.dcm").symlink_to(next(scan.glob("*.dcm")))
        found = find_files(tmp_path / "scan")
        assert found.files == sorted(scan.glob("*.dcm"))
        assert [link.name for link in found.broken_links] == ["self"]
        (cine,) = files.open_cines(tmp_path / "scan")
        assert_whole(cine)

    def test_two_links_to_one_folder_and_links_within_it(self, tmp_path):
        real = write_cine_series(tmp_path / "real" / "deep")
        (tmp_path / "real" / "back").symlink_to(tmp_path / "real" / "deep")
        (tmp_path / "in").mkdir()
        for name in ("one", "two"):
            (tmp_path / "in" / name).symlink_to(tmp_path / "real")
        assert len(find_files(tmp_path / "in").files) == len(list(real.iterdir()))


def tarred(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as packed:
        packed.add(folder, folder.name)
    return path


def unpacked_in(place: Path) -> list[Path]:
    """Whatever lies in the temporary folder but for the one that the program holds."""
    return [path for folder in place.iterdir() for path in folder.iterdir() if path.name != MARK]


class TestArchives:
    @pytest.mark.parametrize("name", ["scan.tar", "scan.tar.gz", "scan.bin"])
    def test_tar(self, tmp_path, name):
        path = tarred(write_cine_series(tmp_path / "scan"), tmp_path / name)
        (cine,) = files.open_cines(path)
        assert_whole(cine)

    def test_links_in_a_tar_are_followed_within_it_alone(self, tmp_path):
        scan = write_cine_series(tmp_path / "scan", slices=1, phases=1)
        (file,) = scan.iterdir()
        (tmp_path / "secret").write_text("secret")
        (scan / "link.dcm").symlink_to(file.name)
        (scan / "out.txt").symlink_to(tmp_path / "secret")
        with tarfile.open(tmp_path / "scan.tar", "w") as packed:
            packed.add(scan, "scan")
        folder = archive.unpacked(tmp_path / "scan.tar")
        names = {path.name for path in folder.rglob("*") if path.is_file()}
        assert names == {file.name, "link.dcm"}
        assert not any(path.is_symlink() for path in folder.rglob("*"))

    def test_one_file_packed_alone_and_in_a_folder(self, tmp_path):
        scan = write_cine_series(tmp_path / "scan")
        for file in list(scan.iterdir()):
            (scan / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        assert_whole(files.open_cines(scan)[0])
        (cine,) = files.open_cines(next(scan.iterdir()))
        assert cine.shape == (1, 1, 20, 24)

    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_members_of_one_name_are_all_kept(self, tmp_path, kind):
        frames = [
            save(classic_frame(phase, 0), tmp_path / f"{phase}.dcm").read_bytes()
            for phase in range(3)
        ]
        path = tmp_path / f"scan.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as packed, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for frame in frames:
                    packed.writestr("a/IM1.dcm", frame)
        else:
            with tarfile.open(path, "w") as packed:
                for frame in frames:
                    member = tarfile.TarInfo("a/IM1.dcm")
                    member.size = len(frame)
                    packed.addfile(member, io.BytesIO(frame))
        (cine,) = files.open_cines(path)
        assert [int(cine.frame(at, 0)[0, 0]) for at in range(3)] == [100, 200, 300]

    @pytest.mark.parametrize("name", ["../evil.dcm", "/evil.dcm", "a/../../evil"])
    def test_a_tar_that_leads_out_is_refused_and_leaves_nothing(self, tmp_path, name):
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as packed:
            packed.addfile(tarfile.TarInfo("fine"), io.BytesIO())
            packed.addfile(tarfile.TarInfo(name), io.BytesIO())
        with pytest.raises(UnreadableFileError, match=r"a\.tar holds .*leads out"):
            files.open_cines(path)
        assert not unpacked_in(tmp_path / "temporary")

    @pytest.mark.parametrize("kind", ["tar.gz", "dcm.gz"])
    def test_bombs_and_cut_files_are_refused_and_leave_nothing(self, tmp_path, monkeypatch, kind):
        monkeypatch.setattr(archive, "SUSPICIOUS_BYTES", 10**6)
        path = tmp_path / f"a.{kind}"
        big = bytes(128) + b"DICM" + bytes(10**7)
        if kind == "dcm.gz":
            path.write_bytes(gzip.compress(big))
        else:
            (tmp_path / "big").write_bytes(big)
            with tarfile.open(path, "w:gz") as packed:
                packed.add(tmp_path / "big", "big")
        with pytest.raises(UnreadableFileError, match="would unpack to 1 files"):
            files.open_cines(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        monkeypatch.setattr(archive, "SUSPICIOUS_BYTES", 10**9)
        with pytest.raises(CinesrError, match=rf"a\.{kind} is not a whole"):
            files.open_cines(path)
        assert not unpacked_in(tmp_path / "temporary")

    def test_links_count_as_what_they_lead_to(self, tmp_path, monkeypatch):
        monkeypatch.setattr(archive, "MOST_BYTES", 10**6)
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as packed:
            member = tarfile.TarInfo("file")
            member.size = 300_000
            packed.addfile(member, io.BytesIO(bytes(member.size)))
            for number in range(5):
                link = tarfile.TarInfo(f"link{number}")
                link.type, link.linkname = tarfile.LNKTYPE, "file"
                packed.addfile(link)
        with pytest.raises(UnreadableFileError, match="would unpack to 4 files"):
            files.open_cines(path)
        assert not unpacked_in(tmp_path / "temporary")

    @pytest.mark.parametrize("kind", ["tar", "dcm.gz"])
    @pytest.mark.parametrize("room", [0, 10**6])
    def test_no_room_is_told(self, tmp_path, monkeypatch, kind, room):
        path = tmp_path / f"scan.{kind}"
        big = np.random.default_rng(0).bytes(3 * 10**6)
        if kind == "tar":
            with tarfile.open(path, "w") as packed:
                for name in ("one", "two", "three"):
                    member = tarfile.TarInfo(name)
                    member.size = 10**6
                    packed.addfile(member, io.BytesIO(big[: member.size]))
        else:
            path.write_bytes(gzip.compress(bytes(128) + b"DICM" + big))
        place = tmp_path / "temporary"

        def disk_usage(_: Path) -> SimpleNamespace:
            written = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
            return SimpleNamespace(free=max(room - written, 0))

        monkeypatch.setattr(archive.shutil, "disk_usage", disk_usage)
        with pytest.raises(OutputError, match=rf"scan\.{kind} needs .* no room"):
            files.open_cines(path)
        assert not unpacked_in(place)

    def test_a_disk_that_fills_up_meanwhile_is_told(self, tmp_path, monkeypatch):
        path = tarred(write_cine_series(tmp_path / "scan"), tmp_path / "scan.tar")

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(archive, "_poured", full)
        with pytest.raises(OutputError, match=r"scan\.tar could not be unpacked .* No space left"):
            files.open_cines(path)
        assert not unpacked_in(tmp_path / "temporary")

    def test_the_name_of_what_comes_of_it(self):
        names = ("a.zip", "a.tar", "a.TAR.GZ", "a.tgz", "a.dcm.gz", "a")
        assert {archive.stem_of(name) for name in names} == {"a"}


class TestWhatLiesBeside:
    def colour(self, path: Path) -> Path:
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path)
        return path

    def test_a_picture_in_colour_is_left_aside_by_name(self, tmp_path):
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
        self.colour(tmp_path / "preview.png")
        for name in ("run.json", "README", "participants.tsv", "Thumbs.db", "a.json"):
            (tmp_path / name).write_text("{}")
        (cine,) = files.open_cines(tmp_path)
        assert cine.name == "a.png"
        assert "preview.png left aside: a colour image" in notes(cine)

    def test_colour_alone_is_refused(self, tmp_path):
        self.colour(tmp_path / "a.png")
        with pytest.raises(UnfitImageError, match="colour"):
            files.open_cines(tmp_path)

    def test_dicom_that_begins_as_a_tiff(self, tmp_path):
        path = save(classic_frame(0, 0), tmp_path / "x.dcm")
        path.write_bytes(b"II*\0" + path.read_bytes()[4:])
        for source in (path, tmp_path):
            (cine,) = files.open_cines(source)
            np.testing.assert_array_equal(cine.frame(0, 0), expected_frame(0, 0))

    def test_only_scans_count_as_people(self, tmp_path):
        for name in ("a.nii.gz", "b.tar.gz", "c.dcm.gz", "d.npy", "empty"):
            (tmp_path / name).touch()
        (tmp_path / "folder").mkdir()
        save(classic_frame(0, 0), tmp_path / "IM0001")
        for name in ("a.json", "README", "README.md", "participants.tsv", "Thumbs.db"):
            (tmp_path / name).write_text("words\n" * 100)
        record = json.dumps({"tool": "cinesr 0.1", "output": "x"})
        (tmp_path / "a_x4.nii.gz").touch()
        (tmp_path / "a_x4.run.json").write_text(record)
        self.colour(tmp_path / "a_x4.preview.png")
        (tmp_path / "folder_x4").mkdir()
        (tmp_path / "folder_x4" / "run.json").write_text(record)
        people = find_people(tmp_path)
        assert sorted(people) == ["IM0001", "a", "b", "c", "d", "empty", "folder", "temporary"]
