"""The page in a real browser, in front of a real server."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright
from playwright.sync_api import Page as Tab

from browser_cases import painted
from viewer_cases import PATIENCE_S, Page

expect.set_options(timeout=1000 * PATIENCE_S)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(1000 * PATIENCE_S)
        yield context


@pytest.fixture
def show(page: Page, context: BrowserContext) -> Iterator[Callable[..., Tab]]:
    """Opens scans on the server, and then the page; a script that fails there fails the test."""
    for series in page.state()["series"]:
        if series["parent"] is None:
            page.delete(f"api/series/{series['id']}")
    errors: list[Any] = []

    def opened(*paths: Path, tab: Tab | None = None) -> Tab:
        page.open(*paths)
        tab = tab or context.new_page()
        tab.on("pageerror", lambda error: errors.append(error))
        tab.goto(page.served.address)
        tab.locator("body.ready").wait_for()
        if paths:
            painted(tab)
        return tab

    yield opened
    assert not errors, errors
