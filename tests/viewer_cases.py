"""The viewer's server as its page meets it: a real one, on a real port."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from cinesr.viewer.serve import Viewer, viewer

PATIENCE_S = 240.0
"""So long at most is waited for what an idle machine does at once: nothing is measured by it."""


class Page:
    """What the page does, without a browser."""

    def __init__(self, served: Viewer, client: httpx.Client) -> None:
        self.served, self.client = served, client

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.client.get(path, params=query or None)

    def post(self, path: str, question: Any = None) -> httpx.Response:
        return self.client.post(path, json={} if question is None else question)

    def put(self, path: str, question: Any) -> httpx.Response:
        return self.client.put(path, json=question)

    def delete(self, path: str) -> httpx.Response:
        return self.client.delete(path)

    def state(self) -> dict[str, Any]:
        return self.get("api/state").json()

    def series(self, name: str) -> dict[str, Any]:
        """The one open series of a name."""
        (found,) = [each for each in self.state()["series"] if each["name"] == name]
        return found

    def open(self, *paths: Path) -> list[dict[str, Any]]:
        """Opens files as the command line does; gives the series."""
        before = {each["id"] for each in self.state()["series"]}
        failures: list[Exception] = []
        self.served.store.open_paths(list(paths), failures.append)
        assert not failures, failures
        return [each for each in self.state()["series"] if each["id"] not in before]

    def upload(self, name: str, files: dict[str, bytes]) -> httpx.Response:
        """Sends files and opens them; gives the answer to that."""
        upload = self.post("api/uploads", {"name": name}).json()["id"]
        for path, content in files.items():
            answer = self.client.put(f"api/uploads/{upload}/{path}", content=content)
            assert answer.status_code == 204, answer.text
        return self.post(f"api/uploads/{upload}/open")

    def frames(self, series: str, **query: Any) -> np.ndarray:
        """Stored values, (frame, row, column), out of what travels."""
        answer = self.get(f"api/series/{series}/frames", **query)
        assert answer.status_code == 200, answer.text
        return decoded(answer)

    def job(self, job_id: str) -> dict[str, Any]:
        (found,) = [each for each in self.state()["jobs"] if each["id"] == job_id]
        return found

    def finished(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job, when it has ended."""
        return wait_for(lambda: _ended(self.job(job["id"])))


def _ended(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["state"] in ("done", "failed", "cancelled") else None


def decoded(answer: httpx.Response) -> np.ndarray:
    """Stored values, (frame, row, column)."""
    rows, columns = map(int, answer.headers["X-Cinesr-Shape"].split(","))
    raw = np.frombuffer(answer.content, "<u2").reshape(-1, rows, columns)
    slope, intercept = (float(answer.headers[f"X-Cinesr-{key}"]) for key in ("Slope", "Intercept"))
    return slope * raw.astype(np.float64) + intercept


def wait_for(look: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """What a look gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise TimeoutError(f"nothing within {seconds} s")


@contextmanager
def running() -> Iterator[Page]:
    """A server in a thread, until the block ends."""
    with viewer() as served:
        thread = threading.Thread(target=served.run)
        thread.start()
        try:
            with httpx.Client(
                base_url=served.address, timeout=PATIENCE_S, trust_env=False
            ) as client:
                yield Page(served, client)
        finally:
            served.server.should_exit = True
            thread.join()
