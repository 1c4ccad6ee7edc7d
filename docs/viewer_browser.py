"""A viewer in a process of its own and a headless Chromium in front of it, for the two scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

COMMAND = (sys.executable, "-c", "from cinesr.cli import main; main()", "view", "--no-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def served(*paths: Path) -> Iterator[str]:
    """The address of a viewer that opens these files."""
    with subprocess.Popen(
        [*COMMAND, *map(str, paths)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window and without a GPU."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def ready(page: Page, address: str, *, series: int) -> None:
    """Goes to the viewer and waits until so many series are listed and the panes are painted."""
    page.goto(address)
    page.wait_for_function(
        "(count) => document.querySelectorAll('#series li').length >= count",
        arg=series,
        timeout=120_000,
    )
    painted(page)


def painted(page: Page) -> None:
    """Waits until every pane shows its frames, and whatever moves has come to rest."""
    page.wait_for_timeout(600)
    page.wait_for_function("() => !document.querySelector('.view.waiting')")


def between_marks(page: Path, name: str, text: str) -> None:
    """Writes text between two comments of a page of the docs."""
    old = page.read_text(encoding="utf-8")
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    page.write_text(
        re.sub(pattern, lambda match: f"{match[1]}{text}{match[2]}", old, flags=re.DOTALL),
        encoding="utf-8",
    )
