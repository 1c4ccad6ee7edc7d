"""Runs the server until Ctrl-C, with a temporary folder that goes with it."""

from __future__ import annotations

import secrets
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from cinesr.errors import CinesrError
from cinesr.imaging.files import Spacing
from cinesr.viewer.app import create_app
from cinesr.viewer.security import Guard
from cinesr.viewer.store import Store


def serve(
    paths: list[Path],
    *,
    port: int = 0,
    open_browser: bool = True,
    spacing_mm: Spacing | None = None,
    tell_address: Callable[[str], None],
    tell_error: Callable[[CinesrError], None],
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="cinesr-view-", ignore_cleanup_errors=True) as folder:
        listener = socket.create_server(("127.0.0.1", port))
        token = secrets.token_urlsafe(24)
        port = listener.getsockname()[1]
        address = f"http://127.0.0.1:{port}/{token}/"
        store = Store(Path(folder), spacing_mm=spacing_mm)
        app = Guard(create_app(store), token=token, port=port)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                ws="none",
                timeout_graceful_shutdown=1,
            )
        )
        threading.Thread(target=store.open_paths, args=(paths, tell_error), daemon=True).start()
        tell_address(address)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            pass
