"""Makes the pictures of docs/viewer.md from a real scan, with the real viewer in Chromium.

    python docs/viewer_screenshots.py ../shared/data/scd

The scan is of a validation person of the Sunnybrook Cardiac Data (CC0): three slices of the cine
as it was acquired, and its low-resolution twin, whose k-space was cut to a quarter.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page
from viewer_browser import chromium, painted, ready, served

from cinesr.degradation import degrade
from cinesr.imaging.files import load, save
from cinesr.imaging.geometry import Geometry

PICTURES = Path(__file__).parent / "images" / "viewer"
GREYS, COLOURS = 128, 128
GREY_WITHIN = 10
SLICES = [4, 5, 6]
BICUBIC = "Bicubic \N{MULTIPLICATION SIGN}4"
LEVEL, WIDTH = "410", "820"
UPSCALED_WITHIN_MS = 600_000


def write_scans(scd: Path, folder: Path) -> tuple[Path, Path]:
    """The scan and its twin as NIfTI."""
    people = json.loads((scd / "splits.json").read_text(encoding="utf-8"))["validation"]
    person = next(each for each in people if (scd / "dicom" / each).is_dir())
    cine = load(scd / "dicom" / person)
    frames = np.stack([[cine.frame(t, at) for at in SLICES] for t in range(cine.shape[0])])
    shape = cine.geometry
    geometry = Geometry(shape.directions, shape.spacing_mm, shape.positions_mm[SLICES])
    truth = replace(cine, frames=frames, geometry=geometry, source=None)
    full, low = folder / f"{person}.nii.gz", folder / f"{person}_low.nii.gz"
    save(truth, full)
    save(degrade(load(full), method="kspace", scale=4), low)
    return low, full


def shoot(page: Page, name: str) -> None:
    """Takes a picture of the page at rest, with nothing pointed at and no passing news."""
    page.evaluate("document.activeElement.closest('dialog') ?? document.activeElement.blur()")
    page.mouse.move(1, 1)
    page.locator(".notice").first.wait_for(state="detached")
    painted(page)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as picture:
        small = reduced(np.asarray(picture.convert("RGB")))
    small.save(path, optimize=True)


def reduced(pixels: NDArray[np.uint8]) -> Image.Image:
    """A picture of 256 colours. Greys are the most, and must not push out the few colours."""
    is_grey = np.ptp(pixels, axis=2) <= GREY_WITHIN
    coloured = Image.fromarray(pixels[~is_grey][None]).quantize(COLOURS)
    indices = np.asarray(pixels.mean(axis=2) * (GREYS - 1) / 255 + 0.5, np.uint8)
    indices[~is_grey] = GREYS + np.asarray(coloured)[0]
    small = Image.fromarray(indices, "P")
    greys = np.repeat(np.linspace(0, 255, GREYS).round().astype(np.uint8), 3).tolist()
    small.putpalette(greys + (coloured.getpalette() or []))
    return small


def place(page: Page, u: float, v: float) -> tuple[float, float]:
    """Where a place of the square image, from 0 to 1, lies in the first pane."""
    box = page.locator(".view").first.bounding_box()
    assert box is not None
    side = min(box["width"], box["height"])
    x = box["x"] + box["width"] / 2 + (u - 0.5) * side
    return x, box["y"] + box["height"] / 2 + (v - 0.5) * side


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place in the image to another."""
    page.mouse.move(*place(page, *start))
    page.mouse.down()
    page.mouse.move(*place(page, *end), steps=4)
    page.mouse.up()


def contrast(page: Page) -> None:
    """The same window for all pictures."""
    page.locator("#level").fill(LEVEL)
    page.locator("#width").fill(WIDTH)
    page.locator("#width").blur()


def fresh(browser: Browser, address: str, *, scheme: str, width: int = 1280) -> Page:
    """A new page that looks at the result beside the input."""
    size = {"width": width, "height": 800 if width > 1000 else 844}
    page = browser.new_page(viewport=size, color_scheme=scheme)
    ready(page, address, series=2)
    return page


def choose(page: Page, *labels: str) -> None:
    """Names the series of the panes, from the left."""
    while page.locator(".pane").count() < len(labels):
        page.keyboard.press("a")
        page.wait_for_timeout(600)
    for slot, label in enumerate(labels):
        page.locator(".pane select").nth(slot).select_option(label=label)


def main() -> None:
    """Makes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scd", type=Path, help="the folder of the Sunnybrook Cardiac Data")
    scd = parser.parse_args().scd
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        served(*write_scans(scd, Path(folder))) as address,
        chromium() as browser,
    ):
        page = fresh(browser, address, scheme="dark")
        page.keyboard.press("u")
        page.locator("summary", has_text="Card of fidelity-x4").click()
        shoot(page, "upscale")
        page.get_by_role("button", name="Start").click()
        page.locator(".divider").wait_for(timeout=UPSCALED_WITHIN_MS)
        compare(browser, page, address)


def compare(browser: Browser, page: Page, address: str) -> None:
    """Everything that needs the result."""
    contrast(page)
    shoot(page, "divider")
    page.locator("#truth").select_option(index=1)
    page.locator("#truth").blur()
    page.keyboard.press("1")
    choose(page, BICUBIC, "Truth", "fidelity-x4", "Input")
    choose(page, "Input", BICUBIC, "fidelity-x4", "Truth")
    page.locator("#truth").focus()
    page.locator("#truth").blur()
    page.keyboard.press("b")
    drag(page, (0.37, 0.33), (0.61, 0.57))
    shoot(page, "panes")
    page.locator("#overlay").select_option("error")
    shoot(page, "errors")
    page.locator("#overlay").select_option("none")
    page.locator("#overlay").blur()
    page.keyboard.press("Delete")
    page.keyboard.press("l")
    drag(page, (0.36, 0.47), (0.64, 0.44))
    page.mouse.move(*place(page, 0.5, 0.455))
    page.mouse.wheel(0, -600)
    shoot(page, "profile")
    page.close()
    light = fresh(browser, address, scheme="light")
    light.locator("#series li").nth(1).click()
    contrast(light)
    light.locator("#truth").select_option(index=1)
    light.wait_for_timeout(2500)
    shoot(light, "light")
    light.close()
    narrow = fresh(browser, address, scheme="dark", width=390)
    narrow.get_by_role("button", name="Series list").click()
    narrow.locator("#series li").nth(1).click()
    contrast(narrow)
    narrow.evaluate("scrollTo(0, 0)")
    shoot(narrow, "narrow")


if __name__ == "__main__":
    main()
