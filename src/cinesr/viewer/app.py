"""What the server answers: the files of the page, and what the page asks for.

All addresses are below the token (`security`). Answers are JSON, errors `{"error", "hint"}`.
"""

from __future__ import annotations

import json
import mimetypes
import shutil
import traceback
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cinesr import __version__
from cinesr.errors import CinesrError
from cinesr.upscaling.catalogue import models
from cinesr.upscaling.telling import Telling, parse_acquired
from cinesr.upscaling.upscale import LARGEST_MM, SMALLEST_MM
from cinesr.viewer.comparing import compare_frame, compare_series, consistency
from cinesr.viewer.downloads import packed
from cinesr.viewer.errors import RequestError, not_there
from cinesr.viewer.frames import Place, asked_part, asked_places, one_place
from cinesr.viewer.jobs import Job, Jobs
from cinesr.viewer.making import bicubic_series, upscale_series
from cinesr.viewer.series import Series
from cinesr.viewer.store import Store
from cinesr.viewer.thumbnail import thumbnail

PAGE = Path(__file__).parent / "page"
EVENTS_APART_S = 0.2
HEARTBEAT_S = 15.0
LONGEST_QUESTION = 2**16


class Api:
    """The answers.

    Args:
        store: What is open.
        jobs: The queue for long work.
        is_ending: Whether the server wants to end, so that no answer may go on for ever.
    """

    def __init__(self, store: Store, jobs: Jobs, is_ending: Callable[[], bool]) -> None:
        self._store, self._jobs, self._is_ending = store, jobs, is_ending
        # The first of a name counts, as for `find_model`.
        self._models = {model.name: model for model in reversed(models())}
        # A measure takes all of a core: a page that asks for many must not starve the rest.
        self._measuring = CapacityLimiter(1)

    def routes(self) -> list[Route]:
        """Address, method and answer."""
        answers: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", "/api/state", self.state),
            ("GET", "/api/events", self.events),
            ("POST", "/api/uploads", self.begin_upload),
            ("POST", "/api/uploads/{id}/open", self.open_upload),
            ("PUT", "/api/uploads/{id}/{path:path}", self.receive_file),
            ("DELETE", "/api/uploads/{id}", self.delete_upload),
            ("DELETE", "/api/series/{id}", self.close_series),
            ("GET", "/api/series/{id}/frames", self.frames),
            ("GET", "/api/series/{id}/thumbnail", self.thumbnail),
            ("GET", "/api/series/{id}/consistency", self.consistency),
            ("GET", "/api/series/{id}/download", self.download),
            ("PUT", "/api/series/{id}/truth", self.set_truth),
            ("POST", "/api/series/{id}/bicubic", self.bicubic),
            ("GET", "/api/compare", self.compare),
            ("POST", "/api/compare/series", self.compare_series),
            ("POST", "/api/jobs", self.upscale),
            ("POST", "/api/jobs/{id}/cancel", self.cancel),
        ]
        return [Route(path, answer, methods=[method]) for method, path, answer in answers]

    def _state(self) -> dict[str, Any]:
        return {
            "version": __version__,
            **self._store.to_dict(),
            "jobs": self._jobs.to_list(),
            "models": [
                {
                    "name": model.name,
                    "scale": model.scale,
                    "default": model.is_default,
                    "told": model.is_told,
                    "summary": model.summary(),
                    "card": model.card,
                }
                for model in reversed(self._models.values())
            ],
            "limits": self._store.uploads.limits.to_dict(),
        }

    def state(self, _: Request) -> Response:
        """Everything that the page shows but for pixels."""
        return JSONResponse(self._state())

    async def events(self, _: Request) -> Response:
        """The state again whenever something in it changed (WHATWG HTML, server-sent events)."""

        async def body() -> AsyncIterator[str]:
            seen, quiet_s = -1, 0.0
            while not self._is_ending():
                quiet_s += EVENTS_APART_S
                if self._store.revision != seen:
                    state = self._state()
                    seen, quiet_s = state["revision"], 0.0
                    yield f"event: state\ndata: {json.dumps(state)}\n\n"
                elif quiet_s >= HEARTBEAT_S:
                    quiet_s = 0.0
                    yield ": still here\n\n"
                await anyio.sleep(EVENTS_APART_S)

        return StreamingResponse(body(), media_type="text/event-stream")

    async def begin_upload(self, request: Request) -> Response:
        """Makes room for the files of one drop."""
        name = _text(await _question(request), "name")
        return JSONResponse({"id": self._store.uploads.begin(name).id}, 201)

    async def receive_file(self, request: Request) -> Response:
        """Takes one file in, a piece at a time."""
        announced = request.headers.get("content-length", "0")
        await self._store.uploads.receive(
            request.path_params["id"],
            request.path_params["path"],
            request.stream(),
            announced=int(announced) if announced.isdecimal() else 0,
        )
        return Response(status_code=204)

    def open_upload(self, request: Request) -> Response:
        """Lists the series of an upload, or says why not and forgets it."""
        found = self._store.open_upload(request.path_params["id"])
        return JSONResponse({"series": [series.id for series in found]})

    def delete_upload(self, request: Request) -> Response:
        """Forgets an upload that was given up."""
        self._store.uploads.delete(request.path_params["id"], only_unsealed=True)
        return Response(status_code=204)

    def close_series(self, request: Request) -> Response:
        """Closes a series, with what was made from it and the jobs that need it."""
        self._jobs.cancel_for(self._store.remove(request.path_params["id"]))
        return Response(status_code=204)

    async def frames(self, request: Request) -> Response:
        """Pixels, frame after frame."""
        series = self._series(request)
        places = asked_places(request.query_params, series.cine.shape)
        part = asked_part(request.query_params, series.cine.shape)

        def encoded(place: Place) -> bytes:
            return series.raw(place, part).tobytes()

        # What is broken is told in words as long as no pixel has gone out.
        first = await to_thread.run_sync(encoded, places[0])

        async def body() -> AsyncIterator[bytes]:
            yield first
            for place in places[1:]:
                yield await to_thread.run_sync(encoded, place)

        headers = {
            **series.encoding_of(part.level).headers(),
            "X-Cinesr-Shape": "{},{}".format(*part.shape),
            "Content-Length": str(len(first) * len(places)),
        }
        return StreamingResponse(body(), headers=headers, media_type="application/octet-stream")

    def thumbnail(self, request: Request) -> Response:
        """A small picture for the list."""
        return Response(thumbnail(self._series(request)), media_type="image/png")

    def consistency(self, request: Request) -> Response:
        """The result degraded again, less its input."""
        series = self._series(request)
        places = asked_places(request.query_params, series.cine.shape)
        found = consistency(self._store, series, places)
        headers = {
            **found.encoding.headers(),
            "X-Cinesr-Shape": "{},{}".format(*found.shape),
            "X-Cinesr-Rms": f"{found.rms_percent:.6g}",
        }
        return Response(found.raw, headers=headers, media_type="application/octet-stream")

    def download(self, request: Request) -> Response:
        """The series as a file."""
        file = packed(self._series(request), self._store.folder)
        clean_up = BackgroundTask(shutil.rmtree, file.parent, ignore_errors=True)
        return FileResponse(file, filename=file.name, background=clean_up)

    async def set_truth(self, request: Request) -> Response:
        """Names the ground truth of a series."""
        question = await _question(request)
        truth = None if question.get("truth") is None else _text(question, "truth")
        self._store.set_truth(request.path_params["id"], truth)
        return Response(status_code=204)

    async def bicubic(self, request: Request) -> Response:
        """Lists a bicubic enlargement."""
        scale = (await _question(request)).get("scale")
        if type(scale) is not int:
            raise RequestError(f"scale is {scale!r}; expected a whole number.")
        return JSONResponse(bicubic_series(self._store, self._series(request), scale).to_dict())

    async def compare(self, request: Request) -> Response:
        """Measures of one frame against its reference."""
        query = request.query_params
        reference, candidate = (
            self._store.get(query.get(name, "")) for name in ("reference", "candidate")
        )
        place = one_place(query, candidate.cine.shape)
        measure = partial(compare_frame, reference, candidate, place)
        return JSONResponse(await to_thread.run_sync(measure, limiter=self._measuring))

    async def compare_series(self, request: Request) -> Response:
        """Measures of a whole series against its reference, as a job."""
        question = await _question(request)
        reference, candidate = (
            self._store.get(_text(question, name)) for name in ("reference", "candidate")
        )
        work = partial(compare_series, reference, candidate)
        job = Job("compare", (candidate.id, reference.id), None, work)
        return JSONResponse(self._jobs.submit(job).to_dict(), 201)

    async def upscale(self, request: Request) -> Response:
        """Queues the upscaling of a series."""
        question = await _question(request)
        series = self._store.get(_text(question, "series"))
        name = _text(question, "model")
        if name not in self._models:
            raise not_there("model", name)
        if series.kind != "input":
            raise RequestError(f"{series.cine.name} was made here; expected an input.")
        wishes = {"telling": _telling(question), "spacing_out_mm": _spacing_out(question)}
        work = partial(upscale_series, self._store, series, self._models[name], wishes)
        return JSONResponse(
            self._jobs.submit(Job("upscale", (series.id,), name, work)).to_dict(), 201
        )

    def cancel(self, request: Request) -> Response:
        """Gives up a job."""
        self._jobs.cancel(request.path_params["id"])
        return Response(status_code=204)

    def _series(self, request: Request) -> Series:
        return self._store.get(request.path_params["id"])


def _telling(question: dict[str, Any]) -> Telling:
    acquired, denoise = question.get("acquired"), question.get("denoise", 1.0)
    if not isinstance(acquired or "", str) or not isinstance(denoise, int | float):
        raise RequestError("Expected acquired as text and denoise as a number.")
    return Telling(parse_acquired(acquired) if acquired else {}, float(denoise))


def _spacing_out(question: dict[str, Any]) -> float | None:
    spacing = question.get("spacing_out_mm")
    if spacing is None:
        return None
    if not isinstance(spacing, int | float) or not SMALLEST_MM <= spacing <= LARGEST_MM:
        raise RequestError(
            f"Expected spacing_out_mm as a length from {SMALLEST_MM} to {LARGEST_MM} mm."
        )
    return float(spacing)


async def _question(request: Request) -> dict[str, Any]:
    text = bytearray()
    async for chunk in request.stream():
        text += chunk
        if len(text) > LONGEST_QUESTION:
            raise RequestError("The question is too long.", status=413)
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RequestError("The question is no JSON object.")
    return found


def _text(question: dict[str, Any], name: str) -> str:
    found = question.get(name)
    if not isinstance(found, str):
        raise RequestError(f"{name} is {found!r}; expected a text.")
    return found


def _told(_: Request, error: Exception) -> Response:
    """An error of ours in words."""
    if not isinstance(error, CinesrError):
        raise error
    status = error.status if isinstance(error, RequestError) else 422
    return JSONResponse({"error": error.message, "hint": error.hint}, status)


def _told_by_framework(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail, "hint": None}, error.status_code)


def _told_in_the_terminal(_: Request, error: Exception) -> Response:
    traceback.print_exception(error)
    return JSONResponse({"error": "Something broke; the terminal says what.", "hint": None}, 500)


def create_app(store: Store, jobs: Jobs, *, is_ending: Callable[[], bool]) -> Starlette:
    """The application behind the guard.

    Args:
        store: What is open.
        jobs: The queue for long work.
        is_ending: Whether the server wants to end.
    """
    # Some systems' tables call scripts text, and then browsers refuse them as modules.
    mimetypes.add_type("text/javascript", ".js")
    return Starlette(
        routes=[
            *Api(store, jobs, is_ending).routes(),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        exception_handlers={
            CinesrError: _told,
            HTTPException: _told_by_framework,
            ClientDisconnect: lambda _, __: Response(status_code=400),
            Exception: _told_in_the_terminal,
        },
    )
