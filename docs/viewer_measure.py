"""Measures the viewer with a large cine and writes the figures into docs/viewer.md.

    python docs/viewer_measure.py

The cine is synthetic: 240 frames of 1024x1024, 16 bits, 30 frames per second. It is opened by the
server first; measured is what the page does from then on.
"""

from __future__ import annotations

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
from playwright.sync_api import Browser, Page
from viewer_browser import between_marks, chromium, ready, served

PAGE = Path(__file__).with_name("viewer.md")
PHASES, SIDE, RATE = 240, 1024, 30.0
SECONDS = 20
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


def write_cine(path: Path) -> Path:
    """A bright disk that beats in noise, so that nothing can be compressed away."""
    across = np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    distance = np.hypot(*np.meshgrid(across, across))
    noise = np.random.default_rng(0).normal(300, 60, (SIDE, SIDE)).clip(0)
    frames = np.empty((SIDE, SIDE, 1, PHASES), np.uint16, order="F")
    for phase in range(PHASES):
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


def playback(page: Page) -> dict[str, float]:
    """Frames shown per second, the share skipped, and the longest that one stood still."""
    page.keyboard.press("Space")
    page.wait_for_timeout(1000)
    times, phases = np.array(page.evaluate(WATCH, SECONDS)).T
    page.keyboard.press("Space")
    passed = np.mod(np.diff(phases), PHASES)
    return {
        "rate": (len(times) - 1) / (times[-1] - times[0]) * 1000,
        "pace": passed.sum() / (times[-1] - times[0]) * 1000,
        "skipped": 100 * float((passed - 1).sum() / passed.sum()),
        "longest": float(np.diff(times).max()),
    }


def measure(browser: Browser, address: str, *, panes: int) -> dict[str, Any]:
    """Playback and memory with so many panes."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    ready(page, address, series=2)
    if panes == 2:
        other = page.locator("#series li").nth(1).get_attribute("data-id")
        page.evaluate("(id) => import('./scene.js').then(({setPane}) => setPane(1, id))", other)
        page.locator(".pane").nth(1).wait_for()
        page.wait_for_timeout(1500)
    with peak_memory(browser) as peak:
        found = playback(page)
    page.close()
    return {**found, **peak}


def processor() -> str:
    """Its name, as Linux says."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def main() -> None:
    """Measures, and writes the table."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        version = browser.version
        cine = write_cine(Path(folder) / "large.nii")
        twin = Path(folder) / "twin.nii"
        twin.symlink_to(cine)
        with served(cine, twin) as address:
            page = browser.new_page()
            ready(page, address, series=2)
            page.close()
            first = first_frames(browser, address)
            one, two = (measure(browser, address, panes=panes) for panes in (1, 2))
    busy = os.getloadavg()[0]
    rows = [
        ("from the address to the first frame", f"{first['page']:.0f} ms"),
        ("from choosing a series to its first frame", f"{first['series']:.0f} ms"),
        *rows_of("one pane", one),
        *rows_of("two such cines side by side", two),
    ]
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
