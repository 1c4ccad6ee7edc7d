"""Upscaling in a queue: watched, cancelled, and given back as files."""

import json
import threading
import zipfile
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest

from cinesr.degradation import Degradation
from cinesr.imaging.files import load
from cinesr.upscaling.catalogue import Model
from cinesr.upscaling.checks import Check
from cinesr.upscaling.engine import Engine
from cinesr.upscaling.upscale import upscale
from cinesr.viewer.errors import RequestError
from cinesr.viewer.jobs import MOST_WAITING, Job, Jobs
from cinesr.viewer.making import closest_method, made_name
from dicom_cases import write_cine_series
from viewer_cases import PATIENCE_S, decoded, wait_for


def wavy(path, *, phases=2, size=40, dtype="uint16"):
    """A smooth image that every model can take."""
    row, column = np.mgrid[:size, :size]
    frames = [np.sin((row + t) / 5) * np.cos(column / 4) * 900 + 1000 for t in range(phases)]
    np.save(path, np.array(frames).astype(dtype))
    return path


@pytest.fixture
def opened(page):
    """Opens one series that is closed after the test."""
    ids = []

    def one(path):
        (series,) = page.open(path)
        ids.append(series["id"])
        return series

    yield one
    for series_id in ids:
        page.delete(f"api/series/{series_id}")
    assert list(page.served.store.folder.rglob("*.frames")) == []


def upscaled(page, series, model="twice"):
    answer = page.post("api/jobs", {"series": series["id"], "model": model})
    assert answer.status_code == 201, answer.text
    job = page.finished(answer.json())
    assert job["state"] == "done", job
    (result,) = [each for each in page.state()["series"] if each["id"] == job["result"]]
    return result


def downloaded(page, series, folder):
    answer = page.get(f"api/series/{series['id']}/download")
    assert answer.status_code == 200, answer.text
    disposition = EmailMessage()
    disposition["Content-Disposition"] = answer.headers["Content-Disposition"]
    assert disposition.get_content_disposition() == "attachment"
    path = folder / disposition.get_filename()
    path.write_bytes(answer.content)
    wait_for(lambda: not list(page.served.store.folder.glob("download-*")))
    return path


def test_the_models_are_told(page):
    models = {model["name"]: model for model in page.state()["models"]}
    assert models["twice"]["scale"] == 2
    defaults = [model for model in models.values() if model["default"]]
    assert sorted(model["scale"] for model in defaults) == [2, 4]
    for default in defaults:
        assert default["card"]["name"] == default["name"]
        assert "PSNR" in default["summary"]


def test_an_output_spacing_and_an_acquisition_may_be_told(page, opened, scans, tmp_path):
    source = opened(scans / "low.nii.gz")
    question = {"series": source["id"], "model": "fidelity-x2", "spacing_out_mm": 1.5}
    question |= {"acquired": "keep=1,window=none,noise=0.002", "denoise": 0.5}
    job = page.finished(page.post("api/jobs", question).json())
    assert job["state"] == "done", job
    (result,) = [each for each in page.state()["series"] if each["id"] == job["result"]]
    assert (result["spacing_mm"]["row"], result["spacing_mm"]["column"]) == (1.5, 1.5)
    assert "Told: keep 1.00,1.00" in result["derivation"]
    assert "noise 0.0010 (user, " in result["derivation"]
    path = downloaded(page, result, tmp_path)
    assert load(path).geometry.spacing_mm[:2] == pytest.approx((1.5, 1.5), abs=1e-6)


@pytest.mark.parametrize(
    ("wish", "status", "words"),
    [
        ({"spacing_out_mm": 0}, 400, "spacing_out_mm as a length"),
        ({"spacing_out_mm": "wide"}, 400, "spacing_out_mm as a length"),
        ({"acquired": "keep=7"}, 422, "share of k-space"),
        ({"acquired": 7}, 400, "acquired as text"),
        ({"denoise": 2}, 422, "a share from 0 to 1"),
    ],
)
def test_wishes_that_make_no_sense_are_refused_at_once(page, opened, scans, wish, status, words):
    source = opened(scans / "low.nii.gz")
    answer = page.post("api/jobs", {"series": source["id"], "model": "fidelity-x2", **wish})
    assert answer.status_code == status
    assert words in answer.text


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", "int32"])
def test_a_result_is_what_upscale_gives_to_the_last_bit(page, opened, tmp_path, models, dtype):
    values = np.load(wavy(tmp_path / "a.npy"))
    values = values // 16 if dtype == "uint8" else values
    np.save(tmp_path / "a.npy", values.astype(dtype))
    source = opened(tmp_path / "a.npy")
    result = upscaled(page, source)
    assert (result["kind"], result["parent"], result["scale"]) == ("result", source["id"], 2)
    assert (result["name"], result["model"], result["suffix"]) == ("a_twice.npy", "twice", ".npy")
    assert "sha256" in result["derivation"]
    assert {check["name"] for check in result["checks"]} >= {"range", "shift", "consistency"}
    expected = upscale(load(tmp_path / "a.npy"), model=models / "twice.onnx").frames
    found = load(downloaded(page, result, tmp_path)).frames
    assert found.dtype == dtype
    assert (found == expected).all()
    levels = np.ptp(expected.astype(float)) / 65535 if dtype in ("float32", "float64") else 0
    shown = page.frames(result["id"], time="0-1")
    assert np.abs(shown - expected[:, 0]).max() <= 0.51 * levels


def test_dicom_goes_back_as_dicom_with_its_record(page, opened, tmp_path, models):
    source = opened(write_cine_series(tmp_path / "scan", rows=40, columns=48, slices=2))
    result = upscaled(page, source)
    path = downloaded(page, result, tmp_path)
    assert path.name == "cine SAX 7_twice.zip"
    with zipfile.ZipFile(path) as archive:
        record = json.loads(archive.read("cine SAX 7_twice/run.json"))
        assert len(archive.namelist()) == 9
        archive.extractall(tmp_path / "got")
    assert (record["model"], record["scale"], record["frames"]) == ("twice", 2, 8)
    assert record["series"][0]["result_shape"] == [4, 2, 80, 96]
    found = load(tmp_path / "got")
    expected = upscale(load(tmp_path / "scan"), model=models / "twice.onnx")
    assert (found.frames == expected.frames).all()
    assert found.geometry.is_close(expected.geometry)

    originals = downloaded(page, source, tmp_path)
    with zipfile.ZipFile(originals) as archive:
        for name in archive.namelist():
            file = tmp_path / "scan" / name.rpartition("/")[2]
            assert archive.read(name) == file.read_bytes()


def test_nifti_and_bicubic_go_back_as_nifti(page, opened, scans, tmp_path):
    source = opened(scans / "low.nii.gz")
    made = page.post(f"api/series/{source['id']}/bicubic", {"scale": 2}).json()
    path = downloaded(page, made, tmp_path)
    assert path.name == "low_bicubic-x2.nii.gz"
    found = load(path)
    assert found.geometry.is_close(load(scans / "truth.nii.gz").geometry)
    assert (found.frames[:, 1] == page.frames(made["id"], time="0-2", slice=1)).all()
    again = load(downloaded(page, source, tmp_path))
    assert (again.frames == load(scans / "low.nii.gz").frames).all()


def test_a_result_degraded_again_is_held_against_its_input(page, opened, tmp_path):
    source = opened(wavy(tmp_path / "a.npy"))
    result = upscaled(page, source)
    values = np.load(tmp_path / "a.npy").astype(float)
    high = page.frames(result["id"], time="0-1")
    found = decoded(page.get(f"api/series/{result['id']}/consistency", time="0-1"))
    differences = [
        np.abs(Degradation(method, 2).apply(high) - values - found).max()
        for method in ("thesis", "johnson", "bicubic", "kspace")
    ]
    assert min(differences) < np.ptp(values) / 8000
    assert np.argmin(differences) == 2  # The model is bicubic interpolation.


def test_two_jobs_queue_and_both_end(page, opened, tmp_path, monkeypatch):
    let, run = threading.Semaphore(8), Engine.run

    def waits(engine, image):
        let.acquire()
        return run(engine, image)

    monkeypatch.setattr(Engine, "run", waits)
    first, second = (opened(wavy(tmp_path / f"{name}.npy", phases=20, size=64)) for name in "ab")
    jobs = [
        page.post("api/jobs", {"series": series["id"], "model": "fidelity-x2"}).json()
        for series in (first, second)
    ]

    def states():
        listed = {job["id"]: job for job in page.state()["jobs"]}
        return [listed[job["id"]] for job in jobs]

    def at_work(number):
        found = states()
        return found if found[number]["state"] == "running" and found[number]["done"] else None

    try:
        first_runs = wait_for(lambda: at_work(0))
        assert (first_runs[0]["total"], first_runs[1]["state"]) == (20, "waiting")
        assert first_runs[0]["seconds_left"] >= 0
        let.release(20)  # The rest of the first, and some of the second.
        second_runs = wait_for(lambda: at_work(1))
        assert [each["state"] for each in second_runs] == ["done", "running"]
    finally:
        let.release(1000)
    wait_for(lambda: [each["state"] for each in states()] == ["done", "done"])


def test_a_running_job_that_is_cancelled_leaves_nothing(page, opened, tmp_path):
    source = opened(wavy(tmp_path / "a.npy", phases=400, size=40))
    job = page.post("api/jobs", {"series": source["id"], "model": "fidelity-x4"}).json()
    waiting = page.post("api/jobs", {"series": source["id"], "model": "twice"}).json()
    # The first five are samples; a file is written from then on.
    wait_for(lambda: page.job(job["id"])["done"] > 6)
    assert len(list(page.served.store.folder.glob("*.frames"))) == 2
    for each in (waiting, job):
        assert page.post(f"api/jobs/{each['id']}/cancel").status_code == 204
        ended = page.finished(each)
        assert (ended["state"], ended["result"], ended["error"]) == ("cancelled", None, None)
    assert ended["done"] < 400
    assert [each["id"] for each in page.state()["series"]] == [source["id"]]
    assert len(list(page.served.store.folder.glob("*.frames"))) == 1
    assert page.post("api/jobs/none/cancel").status_code == 404


def test_closing_a_series_ends_its_jobs(page, tmp_path):
    (source,) = page.open(wavy(tmp_path / "a.npy", phases=400, size=40))
    job = page.post("api/jobs", {"series": source["id"], "model": "fidelity-x4"}).json()
    wait_for(lambda: page.job(job["id"])["done"] > 6)
    page.delete(f"api/series/{source['id']}")
    assert page.finished(job)["state"] == "cancelled"
    assert page.state()["series"] == []
    assert list(page.served.store.folder.glob("*.frames")) == []


def test_a_model_that_does_not_fit_fails_in_words_and_the_queue_goes_on(page, opened, tmp_path):
    source = opened(wavy(tmp_path / "a.npy"))
    job = page.post("api/jobs", {"series": source["id"], "model": "shifted"}).json()
    ended = page.finished(job)
    assert ended["state"] == "failed"
    assert "failed its checks" in ended["error"]
    assert ended["hint"]
    assert len(list(page.served.store.folder.glob("*.frames"))) == 1
    upscaled(page, source)


def test_only_inputs_and_listed_models_are_taken(page, opened, models, tmp_path):
    source = opened(wavy(tmp_path / "a.npy"))
    for model, status in (("none", 404), (str(models / "twice.onnx"), 404), (3, 400)):
        answer = page.post("api/jobs", {"series": source["id"], "model": model})
        assert answer.status_code == status
    made = page.post(f"api/series/{source['id']}/bicubic", {"scale": 2}).json()
    assert page.post("api/jobs", {"series": made["id"], "model": "twice"}).status_code == 400
    assert page.post("api/jobs", {"series": "none", "model": "twice"}).status_code == 404


def test_events_tell_what_changes(page, tmp_path):
    def states():
        with page.client.stream("GET", "api/events") as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            for line in lines:
                if line == "event: state":
                    yield json.loads(next(lines).removeprefix("data: "))

    told = states()
    first = next(told)
    assert first == page.state()
    (source,) = page.open(wavy(tmp_path / "a.npy"))
    for state in told:
        assert state["revision"] > first["revision"]
        if [each["id"] for each in state["series"]] == [source["id"]] and not state["opening"]:
            break
    job = page.post("api/jobs", {"series": source["id"], "model": "twice"}).json()
    for state in told:
        if state["jobs"][-1]["state"] == "done":
            break
    assert state["jobs"][-1]["id"] == job["id"]
    told.close()
    page.delete(f"api/series/{source['id']}")


class TestQueue:
    @pytest.fixture
    def queue(self):
        changes = []
        jobs = Jobs(lambda: changes.append(1))
        jobs.changes = changes
        yield jobs
        jobs.close(timeout_s=PATIENCE_S)

    def job(self, work=lambda job: None, series=("s",)):
        return Job("upscale", series, "m", work)

    def test_a_mistake_in_the_work_fails_that_job_alone(self, queue, capsys):
        broken = queue.submit(self.job(lambda job: 1 / 0))
        fine = queue.submit(self.job(lambda job: "result"))
        wait_for(lambda: fine.state == "done")
        assert (broken.state, broken.error, fine.result) == ("failed", "division by zero", "result")
        assert "ZeroDivisionError" in capsys.readouterr().err
        assert queue.changes

    def test_time_left_is_told_from_the_pace(self, queue):
        enough = threading.Event()

        def work(job):
            job.progress(0, 10)
            job.started -= 2.0
            job.progress(2, 10)
            enough.wait(PATIENCE_S)

        job = queue.submit(self.job(work))
        assert wait_for(lambda: job.to_dict()["seconds_left"]) == pytest.approx(8.0, abs=0.5)
        enough.set()
        wait_for(lambda: job.state == "done")
        assert job.to_dict()["seconds_left"] is None

    def test_too_many_are_refused_and_old_ones_forgotten(self, queue, monkeypatch):
        monkeypatch.setattr("cinesr.viewer.jobs.MOST_LISTED", 3)
        enough = threading.Event()
        queue.submit(self.job(lambda job: enough.wait(PATIENCE_S)))
        wait_for(lambda: queue.to_list()[0]["state"] == "running")
        waiting = [queue.submit(self.job()) for _ in range(MOST_WAITING)]
        with pytest.raises(RequestError, match="waiting already") as told:
            queue.submit(self.job())
        assert told.value.status == 429
        enough.set()
        wait_for(lambda: waiting[-1].state == "done")
        last = queue.submit(self.job())
        wait_for(lambda: queue.to_list()[-1]["state"] == "done")
        assert len(queue.to_list()) == 3
        assert queue.to_list()[-1]["id"] == last.id

    def test_closing_ends_what_runs(self):
        jobs = Jobs(lambda: None)

        def endless(job):
            while True:
                job.progress(0, 1)

        job, waiting = jobs.submit(self.job(endless)), jobs.submit(self.job())
        wait_for(lambda: job.state == "running")
        jobs.close(timeout_s=PATIENCE_S)
        assert (job.state, waiting.state) == ("cancelled", "cancelled")
        assert not jobs._worker.is_alive()


def test_names_of_what_was_made():
    assert made_name("low.nii.gz", "x") == "low_x.nii.gz"
    assert made_name("cine SAX 7", "x") == "cine SAX 7_x"
    assert made_name("a/b.PNG", "x") == "a/b_x.PNG"


def test_the_closest_method_is_one_that_the_model_learned():
    agreement = {"thesis": 30.0, "johnson": 20.0, "bicubic": 40.0, "kspace": 25.0}
    checks = [Check("consistency", True, "", {"psnr_db": agreement})]

    carded = Model(Path("a.onnx"), {}, graph=None)
    assert closest_method(carded, checks) == "bicubic"
    carded = Model(Path("a.onnx"), {"degradation": {"methods": ["johnson", "thesis"]}}, graph=None)
    assert closest_method(carded, checks) == "thesis"
