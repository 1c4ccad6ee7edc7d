"""Measures the viewer with a large cine and writes the figures into docs/viewer.md.

    python docs/viewer_measure.py

The cine is synthetic: 240 frames of 1024x1024, 16 bits, 30 frames per second, and the first 60 of
them beside their bicubic enlargement to 4096x4096. It is opened by the server first; measured is
what the page does from then on.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from playwright.sync_api import Browser
from viewer_browser import between_marks, chromium, ready, served

PAGE = Path(__file__).with_name("viewer.md")
PHASES, SIDE, RATE = 240, 1024, 30.0
FEW_PHASES, SCALE, ZOOM = 60, 4, 4
SECONDS = 15
REPEATS = 5

WATCH = """(seconds) => new Promise((resolve) => {
  const text = document.getElementById('phase-text');
  const seen = [];
  const note = () => seen.push([performance.now(), parseInt(text.textContent)]);
  const observer = new MutationObserver(note);
  observer.observe(text, {childList: true});
  setTimeout(() => { observer.disconnect(); resolve(seen); }, seconds * 1000);
})"""
CHOOSE = """() => new Promise((resolve) => {
  const started = performance.now();
  document.querySelectorAll('#series li')[1].click();
  const look = () => document.querySelector('.view.waiting')
    ? requestAnimationFrame(look) : resolve(performance.now() - started);
  requestAnimationFrame(() => requestAnimationFrame(look));
})"""
FIRST = """() => new Promise((resolve) => {
  const look = () => {
    const view = document.querySelector('.view');
    const done = view && !view.matches('.waiting') && view.querySelector('canvas').ariaLabel;
    if (done) resolve(performance.now()); else requestAnimationFrame(look);
  };
  look();
})"""
READY = """(count) => document.querySelectorAll('#series li').length >= count
  && document.querySelectorAll('.view').length > 0
  && document.querySelectorAll('.view.waiting').length === 0"""
PLAY = "() => document.getElementById('play').click()"
TWO = """() => import('./scene.js').then(({setPane}) =>
  setPane(1, document.querySelectorAll('#series li')[1].dataset.id))"""
BICUBIC = """async (scale) => {
  const {setPane} = await import('./scene.js');
  const {seriesOf} = await import('./family.js');
  const {bicubic} = await import('./pane-select.js');
  const id = await bicubic(scale);
  while (!seriesOf(id)) await new Promise((go) => setTimeout(go, 50));
  setPane(1, id);
}"""
ZOOM_IN = "(factor) => import('./pointer.js').then(({zoomBy}) => zoomBy(factor))"


class Tab:
    """A page that nobody watches: Playwright has the browser keep what its own pages fetch.

    Args:
        browser: In which to open it.
        address: Of the viewer.
    """

    def __init__(self, browser: Browser, address: str) -> None:
        self._pump = browser.new_page()
        self._session = browser.new_browser_cdp_session()
        self._answers: dict[int, dict[str, Any]] = {}
        self._session.on("Target.receivedMessageFromTarget", self._take)
        context = self._session.send("Target.createBrowserContext")["browserContextId"]
        target = {"url": address, "browserContextId": context}
        self._target = self._session.send("Target.createTarget", target)["targetId"]
        attach = {"targetId": self._target, "flatten": False}
        self._id = self._session.send("Target.attachToTarget", attach)["sessionId"]
        self._asked = 0
        screen = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", screen)

    def _take(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self._answers[message["id"]] = message

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._asked += 1
        message = json.dumps({"id": self._asked, "method": method, "params": params})
        sent = {"sessionId": self._id, "message": message}
        self._session.send("Target.sendMessageToTarget", sent)
        while self._asked not in self._answers:
            self._pump.wait_for_timeout(20)
        # None where the page was left before it could answer.
        return self._answers.pop(self._asked).get("result", {})

    def evaluate(self, function: str, *given: Any) -> Any:
        """What a function of the page gives."""
        call = f"({function})({', '.join(map(json.dumps, given))})"
        question = {"expression": call, "awaitPromise": True, "returnByValue": True}
        answer = self._ask("Runtime.evaluate", question)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer.get("result", {}).get("value")

    def settle(self, series: int) -> None:
        """Waits until so many series are listed and the panes are painted."""
        while not self.evaluate(READY, series):
            self._pump.wait_for_timeout(100)
        self._pump.wait_for_timeout(1500)

    def close(self) -> None:
        """Closes the page."""
        self._session.send("Target.closeTarget", {"targetId": self._target})
        self._pump.close()


def write_cine(path: Path, phases: int = PHASES) -> Path:
    """A bright disk that beats in noise, so that nothing can be compressed away."""
    across = np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    distance = np.hypot(*np.meshgrid(across, across))
    noise = np.random.default_rng(0).normal(300, 60, (SIDE, SIDE)).clip(0)
    frames = np.empty((SIDE, SIDE, 1, phases), np.uint16, order="F")
    for phase in range(phases):
        radius = 0.22 + 0.06 * np.cos(2 * np.pi * phase / PHASES)
        frames[:, :, 0, phase] = noise + 900 / (1 + np.exp((distance - radius) * 80))
    image = nib.Nifti1Image(frames, np.diag([0.35, 0.35, 8, 1]))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((0.35, 0.35, 8, 1 / RATE))
    nib.save(image, path)
    return path


@contextmanager
def peak_memory(browser: Browser) -> Iterator[dict[str, float]]:
    """The most that the largest process of a page held, in MiB: resident, and its own alone."""
    peak = {"resident": 0.0, "own": 0.0}
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    pages = [int(each["id"]) for each in processes if each["type"] == "renderer"]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.25):
            for page in pages:
                found = status(page)
                peak["resident"] = max(peak["resident"], found.get("VmRSS", 0) / 1024)
                peak["own"] = max(peak["own"], found.get("RssAnon", 0) / 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def status(process: int) -> dict[str, int]:
    """What Linux says of a process's memory, in KiB."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


def first_frames(browser: Browser, address: str) -> dict[str, float]:
    """Milliseconds to the first frame: of the whole page, and of a series chosen in its list."""
    loads, choices = [], []
    for _ in range(REPEATS):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        loads.append(page.evaluate(FIRST))
        page.wait_for_timeout(1500)
        choices.append(page.evaluate(CHOOSE))
        page.close()
    return {"page": float(np.median(loads)), "series": float(np.median(choices))}


def playback(tab: Tab, phases: int) -> dict[str, float]:
    """Frames shown per second, the share skipped, and the longest that one stood still."""
    tab.evaluate(PLAY)
    tab.evaluate("() => new Promise((resolve) => setTimeout(resolve, 1000))")
    times, seen = np.array(tab.evaluate(WATCH, SECONDS)).T
    tab.evaluate(PLAY)
    is_new = np.concatenate([[True], np.diff(seen) != 0])
    times, seen = times[is_new], seen[is_new]
    passed = np.mod(np.diff(seen), phases)
    return {
        "rate": (len(times) - 1) / (times[-1] - times[0]) * 1000,
        "skipped": 100 * float((passed - 1).sum() / passed.sum()),
        "longest": float(np.diff(times).max()),
    }


def measure(
    browser: Browser, address: str, *steps: tuple[Any, ...], series: int, phases: int
) -> dict[str, Any]:
    """Playback and memory after some steps, each a function of the page and what it is given."""
    tab = Tab(browser, address)
    tab.settle(series)
    for step in steps:
        tab.evaluate(*step)
        tab.settle(series)
    with peak_memory(browser) as peak:
        found = playback(tab, phases)
    tab.close()
    return {**found, **peak}


def processor() -> str:
    """Its name, as Linux says."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def measured_cines(browser: Browser, folder: Path) -> list[tuple[str, str]]:
    """Of the table: one cine, and two of them."""
    cine = write_cine(folder / "large.nii")
    twin = folder / "twin.nii"
    twin.symlink_to(cine)
    with served(cine, twin) as address:
        page = browser.new_page()
        ready(page, address, series=2)
        page.close()
        first = first_frames(browser, address)
        one = measure(browser, address, series=2, phases=PHASES)
        two = measure(browser, address, (TWO,), series=2, phases=PHASES)
    return [
        ("from the address to the first frame", f"{first['page']:.0f} ms"),
        ("from choosing a series to its first frame", f"{first['series']:.0f} ms"),
        *rows_of("one pane", one),
        *rows_of("two such cines side by side", two),
    ]


def measured_enlargement(browser: Browser, folder: Path) -> list[tuple[str, str]]:
    """Of the table: a cine beside its bicubic enlargement, as a whole and zoomed in."""
    fine = SCALE * SIDE
    name = f"one beside its enlargement to {fine} x {fine}"
    with served(write_cine(folder / "short.nii", FEW_PHASES)) as address:
        steps = [(BICUBIC, SCALE), (ZOOM_IN, ZOOM)]
        whole, part = (
            measure(browser, address, *steps[:count], series=1, phases=FEW_PHASES)
            for count in (1, 2)
        )
    return [*rows_of(name, whole), *rows_of(f"the same, zoomed in {ZOOM} times", part)]


def main() -> None:
    """Measures, and writes the table."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        version = browser.version
        rows = measured_cines(browser, Path(folder))
        rows += measured_enlargement(browser, Path(folder))
    busy = os.getloadavg()[0]
    table = "| what | measured |\n|---|---|\n" + "".join(f"| {a} | {b} |\n" for a, b in rows)
    note = (
        f"\n{time.strftime('%Y-%m-%d')}, Chromium {version} without a GPU, "
        f"{os.cpu_count()} cores of {processor()}, load average {busy:.1f}.\n"
    )
    between_marks(PAGE, "measured", table + note)


def rows_of(name: str, found: dict[str, float]) -> list[tuple[str, str]]:
    """Of the table."""
    return [
        (
            f"{name}: frames shown per second",
            f"{found['rate']:.1f} of {RATE:.0f}, {found['skipped']:.1f} % skipped",
        ),
        (f"{name}: longest that a frame stood", f"{found['longest']:.0f} ms"),
        (
            f"{name}: memory of the page's process, at most",
            f"{found['resident']:.0f} MiB, {found['own']:.0f} MiB without shared code",
        ),
    ]


if __name__ == "__main__":
    main()
