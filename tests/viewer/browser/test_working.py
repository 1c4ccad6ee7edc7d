"""Opening, upscaling, scoring, saving: what the page asks the server for."""

import base64
import http.server
import re
import threading

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser_cases import painted
from cinesr.evaluation.metrics import evaluate
from cinesr.imaging.files import load, save
from cinesr.imaging.phantom import make_phantom
from cinesr.upscaling.engine import Engine
from dicom_cases import write_cine_series

DROP = """async ({name, data}) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  for (const kind of ['dragenter', 'dragover', 'drop']) {
    document.body.dispatchEvent(
      new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
  }
}"""


def drop(tab, name, content):
    tab.evaluate(DROP, {"name": name, "data": base64.b64encode(content).decode()})


def upscale(tab, *, scale, model):
    tab.keyboard.press("u")
    tab.locator(f"#scales input[value='{scale}']").check(force=True)
    tab.locator(f"#models input[value={model}]").check()
    tab.get_by_role("button", name="Start").click()


def items(tab):
    return tab.locator("#series .item-title")


def test_an_empty_page_invites_and_says_that_nothing_leaves(show):
    tab = show()
    expect(tab.get_by_text("Drop a cine scan here")).to_be_visible()
    expect(tab.get_by_text("Nothing leaves this computer.")).to_be_visible()
    expect(tab.get_by_text("Detail is predicted. Research use only.")).to_be_visible()


def test_a_dropped_file_is_shown(show, scans):
    tab = show()
    drop(tab, "heart.nii.gz", (scans / "low.nii.gz").read_bytes())
    expect(items(tab)).to_have_text(["heart.nii.gz"])
    painted(tab)
    expect(tab.get_by_text("Drop a cine scan here")).to_be_hidden()
    assert tab.locator("#series img").evaluate(
        "(node) => node.decode().then(() => node.naturalWidth)"
    )


def test_a_folder_of_dicom_is_shown(show, tmp_path):
    write_cine_series(tmp_path / "study" / "scan", slices=2, phases=2, rows=40, columns=48)
    tab = show()
    tab.locator("#pick-folder").set_input_files(tmp_path / "study")
    expect(items(tab)).to_have_count(1)
    expect(tab.locator("#series .item-facts").nth(1)).to_have_text("2 phases · 2 slices")


def test_a_broken_file_is_told_and_the_page_lives_on(show, scans):
    tab = show()
    drop(tab, "broken.nii.gz", b"\x1f\x8b no more than this")
    alert = tab.get_by_role("alert")
    expect(alert).to_contain_text("broken.nii.gz")
    drop(tab, "heart.nii.gz", (scans / "low.nii.gz").read_bytes())
    expect(items(tab)).to_have_text(["heart.nii.gz"])
    painted(tab)
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_hidden()


def test_what_is_larger_than_the_limit_is_refused_before_it_is_sent(show):
    tab = show()
    tab.evaluate(
        """async () => {
          const {open} = await import('./opening.js');
          open([{path: 'huge.nii', file: {size: 2 ** 50}}]);
        }"""
    )
    expect(tab.get_by_role("alert")).to_contain_text("is larger than")


def test_upscaling_puts_the_result_beside_the_input(show, scans, page):
    tab = show(scans / "low.nii.gz")
    upscale(tab, scale=2, model="twice")
    expect(items(tab)).to_have_text(["low.nii.gz", "twice"])
    expect(tab.get_by_role("slider", name="Divider")).to_be_visible()
    painted(tab)
    (result,) = (each for each in page.state()["series"] if each["kind"] == "result")
    assert result["shape"] == [3, 2, 64, 64]
    tab.locator(f"#facts details[data-id='{result['id']}'] summary").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download twice").click()
    assert download.value.suggested_filename.endswith(".nii.gz")
    tab.locator("#overlay").select_option("consistency")
    expect(tab.locator(".pane-meta").nth(1)).to_have_text(re.compile(r"[\d.]+ % RMS"))


def test_the_card_is_one_click_away(show, scans):
    tab = show(scans / "low.nii.gz")
    tab.get_by_role("button", name="Upscale").click()
    tab.locator("#scales input[value='4']").check(force=True)
    tab.locator("summary", has_text="Card of fidelity-x4").click()
    expect(tab.get_by_text("Sunnybrook Cardiac Data").first).to_be_visible()


def test_jobs_queue_tell_their_progress_and_are_cancelled(show, tmp_path, monkeypatch):
    save(make_phantom(size=64, slices=1, phases=16), tmp_path / "long.nii.gz")
    tab = show(tmp_path / "long.nii.gz")
    # The network goes on when it is let: however fast the machine is, the job is not done before.
    let, run = threading.Semaphore(8), Engine.run

    def waits(engine, image):
        let.acquire()
        return run(engine, image)

    monkeypatch.setattr(Engine, "run", waits)
    try:
        upscale(tab, scale=4, model="fidelity-x4")
        upscale(tab, scale=2, model="twice")
        jobs = tab.locator("#jobs .job")
        expect(jobs).to_have_count(2)
        expect(jobs.nth(1)).to_contain_text("waiting")
        expect(jobs.nth(0)).to_contain_text(re.compile(r"of 16, \d+ s left"))
        tab.keyboard.press("ArrowRight")
        expect(tab.locator("#phase-text")).to_have_text("2 / 16")
        with tab.expect_response("**/cancel"):
            tab.get_by_role("button", name="Cancel fidelity-x4").click()
        # What it computes now is the last; the job ends before the frame after it.
        let.release(4)
        expect(tab.get_by_role("button", name="Cancel fidelity-x4")).to_be_hidden()
    finally:
        let.release(1000)
    expect(items(tab)).to_have_text(["long.nii.gz", "twice"])
    expect(tab.locator("#jobs-section")).to_be_hidden()


def test_two_jobs_give_two_results(show, scans):
    tab = show(scans / "low.nii.gz")
    upscale(tab, scale=2, model="twice")
    upscale(tab, scale=2, model="fidelity-x2")
    expect(items(tab)).to_have_text(["low.nii.gz", "twice", "fidelity-x2"])


def test_two_keys_upscale_with_the_default_model(show, scans):
    tab = show(scans / "low.nii.gz")
    tab.keyboard.press("u")
    expect(tab.get_by_role("button", name="Start")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(items(tab)).to_have_text(["low.nii.gz", "fidelity-x4"])


def test_a_failed_job_says_why(show, scans):
    tab = show(scans / "low.nii.gz")
    upscale(tab, scale=2, model="shifted")
    expect(tab.get_by_role("alert")).to_contain_text("shift")
    expect(items(tab)).to_have_text(["low.nii.gz"])


def test_scores_against_a_ground_truth_are_those_of_evaluate(show, scans, page):
    tab = show(scans / "low.nii.gz", scans / "truth.nii.gz")
    upscale(tab, scale=2, model="twice")
    painted(tab)
    tab.locator("#truth").select_option(label="truth.nii.gz")
    first = tab.locator("#score-rows tr").first
    expect(first).to_contain_text("twice")
    expect(first.locator("td").first).to_have_text(re.compile(r"^\d"))
    (result,) = (each for each in page.state()["series"] if each["kind"] == "result")
    truth = load(scans / "truth.nii.gz")
    frames = np.concatenate(
        [page.frames(result["id"], slice=at, time="0-2")[:, None] for at in range(2)], axis=1
    )
    candidate = type(truth)(frames.astype(truth.dtype), truth.geometry, name="candidate")
    tab.get_by_role("button", name="Score the whole series").click()
    whole = tab.locator("#score-rows tr.all td")
    expect(whole).to_have_count(3)
    mean = evaluate(truth, candidate).to_dict()["mean"]
    found = [float(text) for text in whole.all_inner_texts()]
    assert found == [
        pytest.approx(mean["whole"]["psnr"], abs=0.006),
        pytest.approx(mean["whole"]["ssim"], abs=6e-5),
        pytest.approx(mean["lpips"], abs=6e-5),
    ]
    tab.locator("#overlay").select_option("error")
    expect(tab.get_by_role("img", name=re.compile("Error of twice"))).to_be_visible()


def test_the_comparison_is_saved_as_gif_and_mp4(show, scans, tmp_path, page):
    tab = show(scans / "low.nii.gz")
    upscale(tab, scale=2, model="twice")
    painted(tab)
    ending = {"gif": b"GIF89a", "mp4": b"ftyp"}
    for kind, mark in ending.items():
        tab.keyboard.press("w")
        choice = tab.get_by_role("radio", name=kind.upper())
        if choice.is_disabled():
            expect(tab.locator("#save-mp4-why")).not_to_be_empty()
            tab.keyboard.press("Escape")
            continue
        choice.check(force=True)
        with tab.expect_download() as download:
            tab.get_by_role("button", name="Save", exact=True).click()
        assert download.value.suggested_filename == f"low_comparison.{kind}"
        download.value.save_as(tmp_path / kind)
        assert mark in (tmp_path / kind).read_bytes()[:16]
    with Image.open(tmp_path / "gif") as picture:
        assert picture.n_frames == 3
        lasts = []
        for index in range(3):
            picture.seek(index)
            lasts.append(picture.info["duration"])
    assert sum(lasts) == pytest.approx(3 * page.series("low.nii.gz")["frame_time_ms"], abs=10)


def test_closing_a_series_empties_its_panes(show, scans):
    tab = show(scans / "low.nii.gz", scans / "truth.nii.gz")
    tab.locator("#series [role=option]").first.focus()
    tab.keyboard.press("Delete")
    expect(items(tab)).to_have_text(["truth.nii.gz"])
    painted(tab)


def test_the_page_asks_nobody_but_its_own_server(show, scans, page, context):
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    tab = show(scans / "low.nii.gz")
    upscale(tab, scale=2, model="twice")
    expect(items(tab)).to_have_count(2)
    strangers = [url for url in asked if not url.startswith((page.served.address, "blob:"))]
    assert asked
    assert not strangers


def test_a_stranger_s_page_reads_nothing(context, page, scans):
    page.open(scans / "low.nii.gz")

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>stranger</title>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            tab = context.new_page()
            answers = []
            tab.on("response", lambda answer: answers.append((answer.url, answer.status)))
            tab.goto(f"http://127.0.0.1:{server.server_port}/")
            for options in ({}, {"mode": "no-cors"}, {"method": "POST", "body": "{}"}):
                read = tab.evaluate(
                    """([address, options]) => fetch(address, options)
                      .then((answer) => answer.text()).catch(() => '')""",
                    [page.served.address + "api/state", options],
                )
                assert read == ""
            statuses = [status for url, status in answers if url.startswith(page.served.address)]
            assert all(status >= 400 for status in statuses)
        finally:
            server.shutdown()
