"""Who may speak to the server: the page that it served itself, and nobody else.

Any page that a browser shows may send requests to 127.0.0.1, and a name that an attacker owns may
be made to lead there. So the address holds a secret, and host, origin and fetch metadata are
checked (W3C Fetch Metadata Request Headers).
"""

from __future__ import annotations

import json
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "font-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OWN_FETCHES = ("same-origin", "none")
"""`none` is an address that was typed or opened by a program."""


class Guard:
    """Lets through what came from the page itself, and puts the security headers on every answer.

    Args:
        app: What answers; it sees the path behind the token.
        token: The secret first part of every path.
        port: On which the server listens.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request (ASGI 3)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            inner = {**scope, "root_path": f"/{self._token}"}
            await self._app(inner, receive, send_with_headers)
        else:
            await refusal(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return _refused(421, f"This server is not {host!r}.")
        foreign = origin is not None and origin != f"http://{host}"
        if foreign or headers.get("sec-fetch-site", "none") not in OWN_FETCHES:
            return _refused(403, "Another page may not speak to this server.")
        first = scope["path"].removeprefix("/").partition("/")[0]
        if not secrets.compare_digest(first.encode(), self._token.encode()):
            return _refused(404, "There is nothing here; the address holds a secret part.")
        return None


def _refused(status: int, message: str) -> Response:
    content = json.dumps({"error": message, "hint": None})
    return Response(content, status, media_type="application/json")
