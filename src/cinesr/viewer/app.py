"""What the server answers: the page's files and its requests, as docs/viewer.md lists them."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import numpy as np
from anyio import to_thread
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cinesr import __version__
from cinesr.errors import CinesrError, OutputError
from cinesr.upscaling.catalogue import DEFAULT_MODEL, models
from cinesr.viewer.errors import RequestError
from cinesr.viewer.frames import asked_places
from cinesr.viewer.series import Series
from cinesr.viewer.store import Store

PAGE = Path(__file__).parent / "page"


class Api:
    def __init__(self, store: Store) -> None:
        self.store = store
        self._models = {m.name: m for m in models()}

    def _state(self):
        return {
            "version": __version__,
            **self.store.to_dict(),
            "jobs": [],
            "models": [
                {
                    "name": m.name,
                    "scale": m.scale,
                    "default": m.name == DEFAULT_MODEL,
                    "summary": m.summary(),
                    "card": m.card,
                }
                for m in self._models.values()
            ],
            "limits": {"file_bytes": 2**32, "total_bytes": 2**33, "files": 20000},
        }

    def state(self, request: Request) -> Response:
        return JSONResponse(self._state())

    async def events(self, request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            seen, quiet = -1, 0.0
            while True:
                if self.store.revision != seen:
                    seen = self.store.revision
                    state = await to_thread.run_sync(self._state)
                    quiet = 0.0
                    yield f"event: state\ndata: {json.dumps(state)}\n\n"
                elif quiet >= 15:
                    quiet = 0.0
                    yield ": still here\n\n"
                await anyio.sleep(0.1)
                quiet += 0.1

        return StreamingResponse(body(), media_type="text/event-stream")

    async def frames(self, request: Request) -> Response:
        series = self.store.get(request.path_params["id"])
        places = asked_places(request.query_params, series.cine.shape)

        def encoded(place):
            return series.encoding.encode(series.spool.read(*place))

        first = await to_thread.run_sync(encoded, places[0])

        async def body() -> AsyncIterator[bytes]:
            yield first
            for place in places[1:]:
                yield await to_thread.run_sync(encoded, place)

        headers = {
            **series.encoding.headers(),
            "X-Cinesr-Shape": "{},{}".format(*series.cine.shape[2:]),
            "Content-Length": str(len(first) * len(places)),
        }
        return StreamingResponse(body(), headers=headers, media_type="application/octet-stream")

    def thumbnail(self, request: Request) -> Response:
        return Response(picture(self.store.get(request.path_params["id"])), media_type="image/png")


def picture(series: Series) -> bytes:
    low, high = series.window
    frame = series.spool.read(0, series.cine.shape[1] // 2).astype(np.float64)
    grey = np.clip((np.nan_to_num(frame) - low) / (high - low) * 255.0, 0, 255)
    image = Image.fromarray(np.rint(grey).astype(np.uint8))
    column_mm, row_mm, _ = series.cine.geometry.spacing_mm
    height, width = frame.shape[0] * row_mm, frame.shape[1] * column_mm
    factor = 160 / max(height, width)
    image = image.resize((max(1, round(width * factor)), max(1, round(height * factor))))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _told(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestError):
        status = error.status
    else:
        status = 507 if isinstance(error, OutputError) else 422
    return JSONResponse({"error": error.message, "hint": error.hint}, status)


def _http(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": error.detail, "hint": None}, error.status_code)


def create_app(store: Store) -> Starlette:
    api = Api(store)
    routes = [
        Route("/api/state", api.state),
        Route("/api/events", api.events),
        Route("/api/series/{id}/frames", api.frames),
        Route("/api/series/{id}/thumbnail", api.thumbnail),
        Mount("/", StaticFiles(directory=PAGE, html=True, check_dir=False)),
    ]
    return Starlette(routes=routes, exception_handlers={CinesrError: _told, HTTPException: _http})
