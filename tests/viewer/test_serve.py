"""The command: an address on stdout, a page that ends when it is told to, and no traces."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from cinesr.cli import main
from cinesr.viewer.serve import viewer
from viewer_cases import PATIENCE_S, running, wait_for

CINESR = (sys.executable, "-B", "-c", "from cinesr.cli import main; main()")


@contextmanager
def command(*arguments: object, folder: Path):
    process = subprocess.Popen(
        [*CINESR, "view", "--no-browser", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 0), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_it_serves_until_it_is_told_to_end(tmp_path, sent, code):
    scan, folder = tmp_path / "scan.npy", tmp_path / "tmp"
    np.save(scan, np.random.default_rng(0).integers(0, 9, (300, 64, 64), dtype=np.uint16))
    folder.mkdir()
    with command(scan, tmp_path / "none.nii", folder=folder) as process:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/", address)
        with httpx.Client(base_url=address, trust_env=False) as client:

            def opened():
                state = client.get("api/state").json()
                return state if state["series"] and state["failures"] else None

            (series,) = wait_for(opened)["series"]
            assert series["name"] == "scan.npy"
            assert list(folder.glob("cinesr-view-*/*.frames"))
            model = "fidelity-x2"
            client.post("api/jobs", json={"series": series["id"], "model": model})
            with client.stream("GET", "api/events") as events:
                assert next(events.iter_lines())
                process.send_signal(getattr(signal, sent))
                out, told = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (code, "")
    assert "none.nii does not exist" in told
    assert "Nothing leaves this computer" in told
    assert "Traceback" not in told
    assert list(folder.glob("cinesr*")) == []


def test_a_port_can_be_chosen_and_a_taken_one_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["view", "--no-browser", "--port", str(port)])
        assert result.exit_code == 3
        assert f"Port {port}" in result.stderr
        assert "--port" in result.stderr
    with viewer(port=port) as served:
        assert f":{port}/" in served.address


def test_the_browser_is_opened_at_the_address(monkeypatch):
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    monkeypatch.setattr("cinesr.viewer.serve.Viewer.run", lambda self: wait_for(lambda: shown))
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        result = CliRunner().invoke(main, ["view", "-q"])
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.strip() == shown[0]


def test_the_temporary_folder_goes_with_the_server():
    with running() as page:
        folder = page.served.store.folder
        assert folder.parent == Path(tempfile.gettempdir())
        assert folder.stat().st_mode & 0o077 == 0
        np.save(folder / "a.npy", np.eye(9))
        page.open(folder / "a.npy")
    assert not folder.exists()


def test_spacing_is_for_files_that_do_not_say(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(9))
    with viewer(spacing_mm=(1.5, 1.25)) as served:
        served.store.open_paths([tmp_path / "a.npy"], lambda error: pytest.fail(str(error)))
        (series,) = served.store.to_dict()["series"]
        assert series["spacing_mm"] == {"row": 1.5, "column": 1.25, "slice": 1.0}


def test_the_demo_says_how_to_view_its_result(tmp_path, monkeypatch):
    monkeypatch.setattr("cinesr.demo.run_demo", lambda *_, **__: {"scores": {}, "pictures": []})
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "my demo")])
    assert f"cinesr view '{tmp_path / 'my demo'}'" in result.stderr
