"""Runs the server until Ctrl-C, with a temporary folder that goes with it."""

from __future__ import annotations

import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from cinesr.errors import CinesrError
from cinesr.imaging.files import Spacing
from cinesr.imaging.scratch import scratch_folder
from cinesr.viewer.app import create_app
from cinesr.viewer.jobs import Jobs
from cinesr.viewer.security import Guard
from cinesr.viewer.store import Store

HOST = "127.0.0.1"
PATIENCE_S = 3
"""What still goes on when the server ends has so long."""


@dataclass(frozen=True)
class Viewer:
    """A server that listens already, and what it serves.

    Args:
        address: Of the page, with the token.
        server: To be run.
        listener: The socket.
        store: What is open.
    """

    address: str
    server: uvicorn.Server
    listener: socket.socket
    store: Store

    def run(self) -> None:
        """Serves until it is told to end."""
        self.server.run(sockets=[self.listener])


@contextmanager
def viewer(
    *, port: int = 0, spacing_mm: Spacing | None = None, axes: str | None = None
) -> Iterator[Viewer]:
    """A server for this computer alone; all that it wrote to the disk goes when the block ends.

    Args:
        port: On which to listen; any that is free where 0.
        spacing_mm: (row, column) pixel spacing, for files that do not say.
        axes: What the axes are, for files that do not say; see `cinesr.load`.

    Raises:
        CinesrError: The port is taken.
    """
    with (
        scratch_folder("view") as folder,
        _listening(port) as listener,
    ):
        token, port = secrets.token_urlsafe(24), listener.getsockname()[1]
        store = Store(folder, spacing_mm=spacing_mm, axes=axes)
        jobs = Jobs(store.changed)
        app = create_app(store, jobs, is_ending=lambda: server.should_exit)
        config = uvicorn.Config(
            Guard(app, token=token, port=port),
            lifespan="off",
            ws="none",
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=PATIENCE_S,
        )
        server = uvicorn.Server(config)
        try:
            yield Viewer(f"http://{HOST}:{port}/{token}/", server, listener, store)
        finally:
            jobs.close(timeout_s=PATIENCE_S)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise CinesrError(
            f"Port {port} of {HOST} cannot be used: {error.strerror}.",
            hint="Name another with --port, or leave it out to take any that is free.",
        ) from error
    with listener:
        yield listener


def serve(
    paths: Sequence[Path],
    *,
    port: int = 0,
    spacing_mm: Spacing | None = None,
    axes: str | None = None,
    open_browser: bool = True,
    tell_address: Callable[[str], None],
    tell_error: Callable[[CinesrError], None],
) -> None:
    """Serves the page until Ctrl-C or a signal to end.

    Args:
        paths: Scans to open at once, while the page is there already.
        port: On which to listen; any that is free where 0.
        spacing_mm: (row, column) pixel spacing, for files that do not say.
        axes: What the axes are, for files that do not say; see `cinesr.load`.
        open_browser: Show the page in the user's browser.
        tell_address: Called with the address of the page.
        tell_error: Called for each path that cannot be opened.

    Raises:
        CinesrError: The port is taken.
    """
    _end_cleanly_on_signals()
    with viewer(port=port, spacing_mm=spacing_mm, axes=axes) as found:
        tell_address(found.address)
        opening = (list(paths), tell_error)
        threading.Thread(target=found.store.open_paths, args=opening, daemon=True).start()
        if open_browser:
            # Some browsers of the terminal keep the caller until they are left.
            threading.Thread(target=webbrowser.open, args=(found.address,), daemon=True).start()
        with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends.
            found.run()


def _end_cleanly_on_signals() -> None:
    """Has a closed terminal end the server as a signal to end does, in its own way."""
    code = 128 + signal.SIGTERM

    def end(*_: object) -> None:
        sys.exit(code)

    signal.signal(signal.SIGTERM, end)
    # Who started it with nohup wants it to go on.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:

        def hang_up(number: int, _: object) -> None:
            nonlocal code
            code = 128 + number
            signal.raise_signal(signal.SIGTERM)

        signal.signal(signal.SIGHUP, hang_up)
