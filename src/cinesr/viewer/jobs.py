"""Long work, one piece after another in a thread of its own, that can be watched and cancelled."""

from __future__ import annotations

import queue
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cinesr.errors import CinesrError
from cinesr.viewer.errors import RequestError, not_there

MOST_WAITING = 50
MOST_LISTED = 100

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class CancelledError(Exception):
    """Ends the work of a cancelled job from within."""


@dataclass(eq=False)
class Job:
    """A piece of work.

    Args:
        kind: `upscale` or `compare`.
        series: The ids of the series that it needs, the one that it is about first.
        model: Its name, for `upscale`.
        work: Called with the job; gives the result.
        id: Random.
        state: How far it is.
        done: Frames done.
        total: Frames in all; 0 where not yet known.
        started: When it began to run, on the monotonic clock, in seconds.
        result: What the work gave.
        error: Why it failed.
        hint: What to do then.
    """

    kind: Literal["upscale", "compare"]
    series: Sequence[str]
    model: str | None
    work: Callable[[Job], Any]
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    state: State = "waiting"
    done: int = 0
    total: int = 0
    started: float = 0.0
    result: Any = None
    error: str | None = None
    hint: str | None = None
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    changed: Callable[[], None] = lambda: None

    def go_on(self) -> None:
        """To be called often by the work.

        Raises:
            CancelledError: Nobody waits for the result any more.
        """
        if self.is_cancelled.is_set():
            raise CancelledError

    def progress(self, done: int, total: int) -> None:
        """Tells how far the work is.

        Raises:
            CancelledError: Nobody waits for the result any more.
        """
        self.go_on()
        self.done, self.total = done, total
        self.changed()

    def to_dict(self) -> dict[str, Any]:
        """For the page."""
        return {
            "id": self.id,
            "kind": self.kind,
            "series": self.series[0],
            "model": self.model,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "seconds_left": self._seconds_left(),
            "result": self.result,
            "error": self.error,
            "hint": self.hint,
        }

    def _seconds_left(self) -> float | None:
        if self.state != "running" or not self.done:
            return None
        return (time.monotonic() - self.started) / self.done * (self.total - self.done)


class Jobs:
    """The queue and its one worker.

    Args:
        changed: Called whenever there is something new to show.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._jobs: dict[str, Job] = {}
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        # What computes in foreign code cannot be stopped at once, and must not hold up the exit.
        self._worker = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._worker.start()

    def submit(self, job: Job) -> Job:
        """Puts a job at the end of the queue.

        Raises:
            RequestError: Too many wait already.
        """
        job.changed = self._changed
        with self._lock:
            if sum(other.state == "waiting" for other in self._jobs.values()) >= MOST_WAITING:
                raise RequestError(
                    f"{MOST_WAITING} jobs are waiting already.",
                    hint="Wait for some of them, or cancel them.",
                    status=429,
                )
            self._jobs[job.id] = job
            ended = [other.id for other in self._jobs.values() if other.state not in UNFINISHED]
            for old in ended[: max(0, len(self._jobs) - MOST_LISTED)]:
                del self._jobs[old]
        self._waiting.put(job)
        self._changed()
        return job

    def to_list(self) -> list[dict[str, Any]]:
        """For the page, in the order in which they were asked for."""
        with self._lock:
            return [job.to_dict() for job in self._jobs.values()]

    def cancel(self, job_id: str) -> None:
        """Takes a job out of the queue, or ends it within a frame; nothing is left of it.

        Raises:
            RequestError: There is none of this id.
        """
        with self._lock:
            if job_id not in self._jobs:
                raise not_there("job", job_id)
            self._cancel(self._jobs[job_id])
        self._changed()

    def cancel_for(self, series_ids: Sequence[str]) -> None:
        """Cancels the jobs that need one of some series."""
        with self._lock:
            for job in self._jobs.values():
                if set(job.series) & set(series_ids):
                    self._cancel(job)
        self._changed()

    def close(self, *, timeout_s: float) -> None:
        """Cancels everything and waits for the worker, but not for long."""
        with self._lock:
            for job in self._jobs.values():
                self._cancel(job)
        self._waiting.put(None)
        self._worker.join(timeout_s)

    def _cancel(self, job: Job) -> None:
        job.is_cancelled.set()
        if job.state == "waiting":
            job.state = "cancelled"

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            with self._lock:
                if job.state != "waiting":
                    continue
                job.state, job.started = "running", time.monotonic()
            self._changed()
            self._finish(job)
            self._changed()

    def _finish(self, job: Job) -> None:
        try:
            job.result = job.work(job)
            job.state = "done"
        except CancelledError:
            job.state = "cancelled"
        except Exception as error:  # One broken job must not end the worker.
            if job.is_cancelled.is_set():
                job.state = "cancelled"
                return
            job.error, job.hint = str(error), None
            if isinstance(error, CinesrError):
                job.error, job.hint = error.message, error.hint
            else:
                traceback.print_exception(error)
            job.state = "failed"


UNFINISHED: tuple[State, ...] = ("waiting", "running")
