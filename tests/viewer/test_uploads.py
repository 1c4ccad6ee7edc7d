"""What is sent to the server: opened, bounded, and gone when it is no longer used."""

import gzip
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cinesr.imaging.files import load
from cinesr.viewer.errors import RequestError
from cinesr.viewer.uploads import Limits, Uploads, clean_parts
from dicom_cases import expected_frame, write_cine_series
from viewer_cases import wait_for


def held(page) -> list[Path]:
    files = page.served.store.folder.rglob("*")
    # What marks the folder as cinesr's own stays as long as the viewer runs.
    return [file for file in files if file.is_file() and file.name != ".cinesr"]


@pytest.fixture
def limits(page):
    """Lets a test narrow them."""
    uploads = page.served.store.uploads
    before = uploads.limits

    def narrow(**changes):
        uploads.limits = replace(before, **changes)

    yield narrow
    uploads.limits = before


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def dicom_files(folder: Path) -> dict[str, bytes]:
    write_cine_series(folder, slices=2, phases=3)
    return {f"P1/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_a_nifti_file(page, scans):
    content = (scans / "low.nii.gz").read_bytes()
    (series,) = page.upload("low.nii.gz", {"low.nii.gz": content}).json()["series"]
    described = page.series("low.nii.gz")
    assert (described["id"], described["kind"]) == (series, "input")
    assert (
        page.frames(series, time="0-2", slice=1) == load(scans / "low.nii.gz").frames[:, 1]
    ).all()
    assert page.delete(f"api/series/{series}").status_code == 204
    assert held(page) == []


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_study_of_dicom(page, tmp_path, as_zip):
    files = dicom_files(tmp_path / "scan")
    files["P1/DICOMDIR"] = b"x"
    sent = {"study.zip": zipped(files)} if as_zip else files
    (series,) = page.upload("study", sent).json()["series"]
    assert page.series("cine SAX 7")["shape"] == [3, 2, 20, 24]
    assert (page.frames(series, time=2, slice=1)[0] == expected_frame(2, 1)).all()
    page.delete(f"api/series/{series}")
    assert held(page) == []


def test_several_series_of_one_upload_go_one_by_one(page, scans):
    files = {name: (scans / name).read_bytes() for name in ("low.nii.gz", "truth.nii.gz")}
    first, second = page.upload("both", files).json()["series"]
    page.delete(f"api/series/{first}")
    assert page.get(f"api/series/{second}/frames").status_code == 200
    assert [file.name for file in held(page) if "uploads" in file.parts] != []
    page.delete(f"api/series/{second}")
    assert held(page) == []


def test_pictures_in_colour_beside_scans_are_left_out(page, scans):
    colour = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(colour, "PNG")
    low = (scans / "low.nii.gz").read_bytes()
    files = {"demo/low.nii.gz": low, "demo/preview.png": colour.getvalue(), "demo/run.json": b"{}"}
    (series,) = page.upload("demo", files).json()["series"]
    assert "preview.png" in page.series("low.nii.gz")["notes"][-1]
    page.delete(f"api/series/{series}")
    refused = page.upload("only", {"preview.png": colour.getvalue()})
    assert refused.status_code == 422
    assert "colour" in refused.json()["error"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.nii.gz", gzip.compress(b"\0" * 300), "not a whole NIfTI file"),
        ("broken.zip", b"PK\x03\x04" + b"\0" * 40, "not a whole zip"),
        ("empty.nii", b"", "is empty"),
        ("letter.docx", b"Dear colleague", "of no kind that cinesr reads"),
        ("nested.zip", zipped({"a.txt": b"text"}), "a.txt"),
        ("out.zip", zipped({"../../out.nii": b"text"}), "leads out of its own folder"),
    ],
    ids=["broken.nii.gz", "broken.zip", "empty.nii", "letter.docx", "nested.zip", "out.zip"],
)
def test_a_broken_file_is_told_and_forgotten(page, name, content, words):
    answer = page.upload(name, {name: content})
    assert answer.status_code == 422
    told = answer.json()
    assert words in told["error"]
    assert told["hint"]
    assert str(page.served.store.folder) not in told["error"]
    assert held(page) == []
    assert page.state()["opening"] == []


def test_an_upload_without_files_holds_no_scan(page):
    answer = page.upload("nothing", {})
    assert (answer.status_code, "nothing holds no file" in answer.json()["error"]) == (422, True)


@pytest.mark.parametrize(
    "path",
    [
        *("%2e%2e/evil", "a/%2e%2e/%2e%2e/evil", "%2Fetc/evil", "a%5C..%5C..%5Cevil", "a//b", "a/"),
        *("C:%5Cevil", "a%00b", "a%09b", "%2e", "x" * 300, "/".join("a" * 40)),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(page, path):
    upload = page.post("api/uploads", {"name": "x"}).json()["id"]
    answer = page.client.put(f"api/uploads/{upload}/{path}", content=b"evil")
    assert answer.status_code == 400
    assert "relative path" in answer.json()["error"]
    assert held(page) == []
    assert page.delete(f"api/uploads/{upload}").status_code == 204


def test_clean_parts():
    assert clean_parts("a/b c/IM.0001") == ["a", "b c", "IM.0001"]
    assert clean_parts("Übung\\ü.dcm") == ["Übung", "ü.dcm"]
    for path in ("", "..", "a/..", "/a", "a\\..\\b", "D:", "D:a"):
        with pytest.raises(RequestError, match="relative path"):
            clean_parts(path)


def test_a_name_sent_twice_keeps_the_first(page):
    upload = page.post("api/uploads", {"name": "x"}).json()["id"]
    address = f"api/uploads/{upload}/a.nii"
    assert page.client.put(address, content=b"first").status_code == 204
    assert page.client.put(address, content=b"second").status_code == 409
    assert page.client.put(f"{address}/b", content=b"third").status_code in (400, 409)
    (file,) = held(page)
    assert file.read_bytes() == b"first"
    page.delete(f"api/uploads/{upload}")
    assert held(page) == []


class TestLimits:
    def test_they_are_told(self, page):
        limits = page.state()["limits"]
        assert min(limits[key] for key in ("file_bytes", "total_bytes", "files")) > 1000

    def test_a_file_of_too_many_bytes(self, page, limits):
        limits(file_bytes=1000)
        upload = page.post("api/uploads", {"name": "x"}).json()["id"]
        address = f"api/uploads/{upload}/a"
        announced = page.client.put(address, content=b"x" * 1001)
        unannounced = page.client.put(address, content=iter([b"x" * 600, b"x" * 600]))
        for answer in (announced, unannounced):
            assert answer.status_code == 413
            assert "1000 bytes" in answer.json()["error"]
            assert answer.json()["hint"]
        assert held(page) == []
        assert page.client.put(address, content=b"x" * 1000).status_code == 204
        page.delete(f"api/uploads/{upload}")

    def test_all_uploads_together(self, page, limits):
        limits(total_bytes=1000)
        first, second = (page.post("api/uploads", {"name": "x"}).json()["id"] for _ in range(2))
        assert page.client.put(f"api/uploads/{first}/a", content=b"x" * 900).status_code == 204
        assert page.client.put(f"api/uploads/{second}/a", content=b"x" * 101).status_code == 413
        assert page.client.put(f"api/uploads/{second}/a", content=b"x" * 100).status_code == 204
        page.delete(f"api/uploads/{first}")
        assert page.client.put(f"api/uploads/{second}/b", content=b"x" * 900).status_code == 204
        page.delete(f"api/uploads/{second}")

    def test_too_many_files(self, page, limits):
        limits(files=2)
        upload = page.post("api/uploads", {"name": "x"}).json()["id"]
        for name, status in (("a", 204), ("b", 204), ("c", 413)):
            answer = page.client.put(f"api/uploads/{upload}/{name}", content=b"x")
            assert answer.status_code == status
        page.delete(f"api/uploads/{upload}")

    def test_too_many_uploads(self, page, limits):
        limits(uploads=1)
        upload = page.post("api/uploads", {"name": "x"}).json()["id"]
        assert page.post("api/uploads", {"name": "x"}).status_code == 413
        page.delete(f"api/uploads/{upload}")

    @pytest.mark.parametrize("limit", [{"total_bytes": 100_000}, {"files": 1}])
    def test_a_zip_counts_as_what_it_holds(self, page, limits, limit):
        limits(**limit)
        content = zipped({"a.nii": b"\0" * 200_000, "b.nii": b"\0"})
        assert len(content) < 1000
        answer = page.upload("bomb.zip", {"bomb.zip": content})
        assert answer.status_code == 413
        assert held(page) == []


def test_an_upload_is_closed_once_it_is_opened(page, scans):
    upload = page.post("api/uploads", {"name": "x"}).json()["id"]
    content = (scans / "low.nii.gz").read_bytes()
    page.client.put(f"api/uploads/{upload}/low.nii.gz", content=content)
    (series,) = page.post(f"api/uploads/{upload}/open").json()["series"]
    assert page.post(f"api/uploads/{upload}/open").status_code == 409
    assert page.client.put(f"api/uploads/{upload}/b", content=b"x").status_code == 409
    assert page.delete(f"api/uploads/{upload}").status_code == 409
    page.delete(f"api/series/{series}")
    assert page.delete(f"api/uploads/{upload}").status_code == 404
    assert page.client.put("api/uploads/none/b", content=b"x").status_code == 404


def test_a_transfer_that_breaks_off_leaves_nothing(page):
    upload = page.post("api/uploads", {"name": "x"}).json()["id"]

    def breaking():
        yield b"x" * 100
        raise ConnectionError

    with pytest.raises(ConnectionError):
        page.client.put(f"api/uploads/{upload}/a", content=breaking())
    answer = page.client.put(f"api/uploads/{upload}/b", content=b"y")
    assert answer.status_code == 204
    wait_for(lambda: [file.name for file in held(page)] == ["b"])
    page.delete(f"api/uploads/{upload}")


def test_what_was_never_opened_is_forgotten(tmp_path, monkeypatch):
    uploads = Uploads(tmp_path, Limits())
    abandoned, opened = uploads.begin("old"), uploads.begin("used")
    uploads.seal(opened.id)
    monkeypatch.setattr("cinesr.viewer.uploads.FORGOTTEN_AFTER_S", -1)
    latest = uploads.begin("new")
    assert not abandoned.folder.exists()
    assert opened.folder.exists()
    assert latest.folder.exists()
