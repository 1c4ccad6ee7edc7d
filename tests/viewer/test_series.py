"""What is open: described rightly, streamed exactly, closed wholly."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom.pixels import compress
from pydicom.uid import RLELossless

import cinesr
from cinesr.degradation import resize_bicubic
from cinesr.imaging.files import load
from dicom_cases import PHASE_STEP, SLICE_STEP, SPACING, expected_frame, write_cine_series
from viewer_cases import decoded, wait_for


@pytest.fixture
def low(page, scans):
    (series,) = page.open(scans / "low.nii.gz")
    yield series
    page.delete(f"api/series/{series['id']}")


@pytest.fixture
def truth(page, scans):
    (series,) = page.open(scans / "truth.nii.gz")
    yield series
    page.delete(f"api/series/{series['id']}")


def test_a_series_of_dicom_is_described(page, tmp_path):
    (series,) = page.open(write_cine_series(tmp_path / "scan"))
    frames = np.array([[expected_frame(t, s) for s in range(3)] for t in range(4)])
    assert series["shape"] == [4, 3, 20, 24]
    assert (series["kind"], series["dtype"], series["suffix"]) == ("input", "uint16", "")
    assert series["spacing_mm"] == {"row": SPACING[0], "column": SPACING[1], "slice": SLICE_STEP}
    assert series["frame_time_ms"] == PHASE_STEP
    assert series["bytes"] == frames.size * 2
    assert frames.min() <= series["value_range"]["low"] <= series["window"]["low"]
    assert series["window"]["low"] < series["window"]["high"] <= frames.max()
    assert np.array(series["origin_mm"]) == pytest.approx(load(tmp_path / "scan").geometry.affine())
    assert [series[key] for key in ("parent", "model", "scale", "truth", "derivation")] == [
        None
    ] * 5
    page.delete(f"api/series/{series['id']}")


@pytest.mark.parametrize("is_compressed", [False, True])
def test_only_what_takes_decoding_is_written_to_the_disk(page, tmp_path, is_compressed):
    def change(dataset, *_):
        if is_compressed:
            compress(dataset, RLELossless)

    folder = write_cine_series(tmp_path / "scan", slices=1, phases=3, change=change)
    (series,) = page.open(folder)
    expected = [expected_frame(time, 0) for time in range(3)]
    for _ in range(2):
        assert (page.frames(series["id"], time="0-2") == expected).all()
    (spool,) = page.served.store.folder.glob("*.frames")
    assert spool.stat().st_size == (3 * 20 * 24 * 2 if is_compressed else 0)
    page.delete(f"api/series/{series['id']}")


def test_a_picture_has_no_spacing_and_no_time(page, tmp_path):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    (series,) = page.open(tmp_path / "a.png")
    assert (series["spacing_mm"], series["frame_time_ms"]) == (None, None)
    assert (series["shape"], series["suffix"]) == ([1, 1, 8, 8], ".png")
    assert series["value_range"] == {"low": 0, "high": 63}
    page.delete(f"api/series/{series['id']}")


def test_the_window_spans_the_percentiles(page, truth, scans):
    values = load(scans / "truth.nii.gz").frames
    low, high = np.percentile(values, [0.1, 99.5])
    assert truth["window"] == {
        "low": pytest.approx(low, abs=2),
        "high": pytest.approx(high, rel=0.05),
    }
    whole = {"low": values.min(), "high": values.max()}
    wait_for(lambda: page.series("truth.nii.gz")["value_range"] == whole)


def test_frames_go_in_order(page, low, scans):
    frames = load(scans / "low.nii.gz").frames
    assert (page.frames(low["id"], time=1, slice=1)[0] == frames[1, 1]).all()
    assert (page.frames(low["id"], time="0-2", slice=1) == frames[:, 1]).all()
    assert (page.frames(low["id"], time=2, slice="0-1") == frames[2]).all()
    answer = page.get(f"api/series/{low['id']}/frames", time="0-2")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert int(answer.headers["Content-Length"]) == len(answer.content) == frames[:, 0].size * 2


@pytest.mark.parametrize("query", [{"time": 3}, {"slice": "0-2"}, {"time": "0-1", "slice": "0-1"}])
def test_frames_that_are_not_there_are_refused(page, low, query):
    answer = page.get(f"api/series/{low['id']}/frames", **query)
    assert answer.status_code == 400
    assert "expected" in answer.json()["error"]


def test_floating_point_travels_over_its_own_range(page, tmp_path):
    values = np.random.default_rng(0).normal(scale=1e-3, size=(2, 9, 7)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    (series,) = page.open(tmp_path / "a.npy")
    found = page.frames(series["id"], time="0-1")
    assert np.abs(found - values).max() <= np.ptp(values) / 65535
    page.delete(f"api/series/{series['id']}")


def test_nan_is_shown_and_its_upscaling_refused_in_words(page, tmp_path):
    values = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    values[3, 3] = np.nan
    np.save(tmp_path / "a.npy", values)
    (series,) = page.open(tmp_path / "a.npy")
    assert page.frames(series["id"])[0, 3, 3] == pytest.approx(np.nanmin(values))
    job = page.post("api/jobs", {"series": series["id"], "model": "twice"}).json()
    ended = page.finished(job)
    assert ended["state"] == "failed"
    assert "NaN" in ended["error"]
    assert "nan_to_num" in ended["hint"]
    page.delete(f"api/series/{series['id']}")


def test_a_thumbnail_is_small_and_has_square_pixels(page, tmp_path):
    write_cine_series(tmp_path / "scan")
    (series,) = page.open(tmp_path / "scan")
    answer = page.get(f"api/series/{series['id']}/thumbnail")
    assert answer.headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        rows, columns = 20 * SPACING[0], 24 * SPACING[1]
        assert picture.size == (round(160 * columns / rows), 160)
        grey = np.asarray(picture)
    assert grey[0, 0] < grey[-1, -1]
    page.delete(f"api/series/{series['id']}")


def test_a_frame_that_is_broken_is_told_and_the_others_are_there(page, tmp_path):
    folder = write_cine_series(tmp_path / "scan", slices=1, phases=8)
    (series,) = page.open(folder)
    broken = page.served.store.get(series["id"]).cine.source.frames[6][0].file.path
    broken.write_bytes(broken.read_bytes()[:-400])
    answer = page.get(f"api/series/{series['id']}/frames", time=6)
    assert answer.status_code == 422
    assert broken.name in answer.json()["error"]
    assert (page.frames(series["id"], time=4)[0] == expected_frame(4, 0)).all()
    page.delete(f"api/series/{series['id']}")


def test_what_the_command_line_named_wrongly_is_listed(page, tmp_path):
    told = []
    page.served.store.open_paths([tmp_path / "none.nii"], told.append)
    assert "does not exist" in told[0].message
    failure = page.state()["failures"][-1]
    assert failure["name"] == "none.nii"
    assert "does not exist" in failure["error"]


class TestBicubic:
    def test_it_is_the_bicubic_of_the_package(self, page, low, scans):
        made = page.post(f"api/series/{low['id']}/bicubic", {"scale": 2}).json()
        cine = load(scans / "low.nii.gz")
        frames = resize_bicubic(cine.frames.astype(float), (64, 64))
        assert (page.frames(made["id"], time="0-2", slice=1) == cine.to_stored(frames[:, 1])).all()
        assert (made["kind"], made["parent"], made["scale"]) == ("bicubic", low["id"], 2)
        assert made["name"] == "low_bicubic-x2.nii.gz"
        expected = cine.geometry.upscaled(2).affine()
        assert np.array(made["origin_mm"]) == pytest.approx(expected)
        again = page.post(f"api/series/{low['id']}/bicubic", {"scale": 2}).json()
        assert again["id"] == made["id"]

    def test_floats_that_overshoot_travel_unclipped(self, page, tmp_path):
        checkers = (np.indices((16, 16)).sum(axis=0) // 4 % 2).astype(np.float32)
        np.save(tmp_path / "a.npy", checkers)
        (series,) = page.open(tmp_path / "a.npy")
        made = page.post(f"api/series/{series['id']}/bicubic", {"scale": 4}).json()
        expected = resize_bicubic(checkers.astype(float), (64, 64))
        assert expected.max() > 1.05
        assert page.frames(made["id"])[0] == pytest.approx(np.maximum(expected, 0), abs=1e-4)
        page.delete(f"api/series/{series['id']}")

    @pytest.mark.parametrize("scale", [0, 1, 9, 2.0, "2", True, None])
    def test_a_wrong_scale_is_refused(self, page, low, scale):
        answer = page.post(f"api/series/{low['id']}/bicubic", {"scale": scale})
        assert answer.status_code == 400
        assert "expected" in answer.json()["error"]

    def test_only_inputs_are_enlarged(self, page, low):
        made = page.post(f"api/series/{low['id']}/bicubic", {"scale": 2}).json()
        assert page.post(f"api/series/{made['id']}/bicubic", {"scale": 2}).status_code == 400


class TestTruth:
    def test_one_that_fits_is_kept_and_told(self, page, low, truth):
        made = page.post(f"api/series/{low['id']}/bicubic", {"scale": 2}).json()
        for series in (made, low):
            address = f"api/series/{series['id']}/truth"
            assert page.put(address, {"truth": truth["id"]}).status_code == 204
            assert page.series(series["name"])["truth"] == truth["id"]
            assert page.put(address, {"truth": None}).status_code == 204
            assert page.series(series["name"])["truth"] is None

    def test_what_is_made_later_inherits_it_where_it_fits(self, page, low, truth):
        page.put(f"api/series/{low['id']}/truth", {"truth": truth["id"]})
        twice, thrice = (
            page.post(f"api/series/{low['id']}/bicubic", {"scale": scale}).json()
            for scale in (2, 3)
        )
        assert (twice["truth"], thrice["truth"]) == (truth["id"], None)

    def test_one_that_does_not_fit_is_refused_in_words(self, page, low, truth):
        made = page.post(f"api/series/{low['id']}/bicubic", {"scale": 3}).json()
        address = f"api/series/{made['id']}/truth"
        answer = page.put(address, {"truth": truth["id"]})
        assert answer.status_code == 422
        assert "Expected the same size" in answer.json()["error"]
        answer = page.put(f"api/series/{truth['id']}/truth", {"truth": low["id"]})
        assert answer.status_code == 422
        assert "whole number of times" in answer.json()["error"]
        assert page.put(address, {"truth": "none"}).status_code == 404
        assert page.put(address, {"truth": 3}).status_code == 400

    def test_it_goes_with_its_series(self, page, low, scans):
        (other,) = page.open(scans / "truth.nii.gz")
        page.put(f"api/series/{low['id']}/truth", {"truth": other["id"]})
        page.delete(f"api/series/{other['id']}")
        assert page.series("low.nii.gz")["truth"] is None


class TestCompare:
    def test_a_frame_is_measured_as_evaluate_does(self, page, low, truth, scans):
        made = page.post(f"api/series/{low['id']}/bicubic", {"scale": 2}).json()
        query = {"reference": truth["id"], "candidate": made["id"], "time": 2, "slice": 1}
        found = page.get("api/compare", **query).json()
        reference = load(scans / "truth.nii.gz")
        frames = resize_bicubic(load(scans / "low.nii.gz").frames.astype(float), (64, 64))
        candidate = reference.with_frames(reference.to_stored(frames), reference.geometry, None)
        expected = cinesr.evaluate(reference, candidate)
        frame = expected.frames[5].scores
        assert found == {
            "psnr": pytest.approx(frame.whole.psnr),
            "ssim": pytest.approx(frame.whole.ssim),
            "lpips": pytest.approx(frame.lpips),
        }
        question = {"reference": truth["id"], "candidate": made["id"]}
        job = page.post("api/compare/series", question).json()
        assert (job["kind"], job["series"], job["model"]) == ("compare", made["id"], None)
        ended = page.finished(job)
        assert (ended["state"], ended["done"], ended["total"]) == ("done", 6, 6)
        assert ended["result"]["psnr"] == pytest.approx(expected.mean.whole.psnr)
        assert ended["result"]["ssim"] == pytest.approx(expected.mean.whole.ssim)
        assert ended["result"]["lpips"] == pytest.approx(expected.mean.lpips)

    def test_identical_frames_have_no_psnr_in_json(self, page, truth):
        query = {"reference": truth["id"], "candidate": truth["id"]}
        assert page.get("api/compare", **query).json() == {
            "psnr": None,
            "ssim": pytest.approx(1),
            "lpips": pytest.approx(0, abs=1e-9),
        }

    def test_what_cannot_be_compared_is_told(self, page, low, truth):
        query = {"reference": truth["id"], "candidate": low["id"]}
        answer = page.get("api/compare", **query)
        assert (answer.status_code, "upscale it by 2" in answer.json()["hint"]) == (422, True)
        ended = page.finished(page.post("api/compare/series", query).json())
        assert (ended["state"], "upscale it by 2" in ended["hint"]) == ("failed", True)
        assert page.get("api/compare", reference=truth["id"]).status_code == 404

    def test_tiny_frames_have_no_lpips(self, page, tmp_path):
        np.save(tmp_path / "a.npy", np.arange(576.0).reshape(24, 24))
        (series,) = page.open(tmp_path / "a.npy")
        query = {"reference": series["id"], "candidate": series["id"]}
        assert page.get("api/compare", **query).json()["lpips"] is None
        page.delete(f"api/series/{series['id']}")


class TestConsistency:
    def test_it_is_the_degraded_result_less_its_input(self, page, low, scans):
        made = page.post(f"api/series/{low['id']}/bicubic", {"scale": 2}).json()
        answer = page.get(f"api/series/{made['id']}/consistency", time="0-2", slice=1)
        assert answer.headers["X-Cinesr-Shape"] == "32,32"
        cine = load(scans / "low.nii.gz")
        high = cine.to_stored(resize_bicubic(cine.frames.astype(float), (64, 64)))
        again = resize_bicubic(high[:, 1].astype(float), (32, 32))
        expected = again - cine.frames[:, 1]
        span = np.ptp(cine.frames)
        assert decoded(answer) == pytest.approx(expected, abs=span / 8000)
        rms = np.sqrt(np.mean(expected**2))
        scale = np.percentile(cine.frames, 99.9) - cine.frames.min()
        assert float(answer.headers["X-Cinesr-Rms"]) == pytest.approx(100 * rms / scale, rel=0.05)

    def test_no_difference_is_exactly_zero(self, page, tmp_path):
        values = np.tile(np.array([[0.1, 0.7]], np.float32).repeat(8, axis=1), (16, 1))
        np.save(tmp_path / "a.npy", values)
        (series,) = page.open(tmp_path / "a.npy")
        made = page.post(f"api/series/{series['id']}/bicubic", {"scale": 2}).json()
        found = decoded(page.get(f"api/series/{made['id']}/consistency"))[0]
        assert (found[:, 0] == 0).all()
        page.delete(f"api/series/{series['id']}")

    def test_an_input_has_none(self, page, low):
        answer = page.get(f"api/series/{low['id']}/consistency")
        assert answer.status_code == 404
        assert "not made from another" in answer.json()["error"]


def test_closing_an_input_closes_what_was_made_from_it(page, scans):
    (series,) = page.open(scans / "low.nii.gz")
    made = page.post(f"api/series/{series['id']}/bicubic", {"scale": 2}).json()
    page.frames(made["id"])
    assert page.delete(f"api/series/{series['id']}").status_code == 204
    assert page.state()["series"] == []
    assert list(page.served.store.folder.rglob("*.frames")) == []
    for path in ("frames", "thumbnail", "consistency", "download"):
        answer = page.get(f"api/series/{made['id']}/{path}")
        assert answer.status_code == 404
        assert "no series" in answer.json()["error"]
    assert page.delete(f"api/series/{series['id']}").status_code == 404


@pytest.mark.parametrize("question", [b"", b"[]", b"{", b"x" * 100_000])
def test_a_question_that_is_none_is_refused(page, question):
    answer = page.client.post("api/jobs", content=question)
    assert answer.status_code in (400, 413)
    assert answer.json()["error"].startswith("The question is")
