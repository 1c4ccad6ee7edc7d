"""A rival in a process of its own, so that each has its own backend and its own thread pools."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from operator import methodcaller
from types import TracebackType
from typing import Any

from cinesr.errors import CinesrError


class WorkerError(CinesrError):
    """A rival that failed in its process."""


class Worker:
    """An object that lives in a fresh process, and whose methods are called from here.

    The process starts with its own environment, because Keras chooses its backend and OpenMP its
    threads when they are loaded. It sleeps between calls.

    Args:
        make: Makes the object, in the new process; a function of a module, which can be pickled.
        arguments: For `make`.
        environment: What the process finds beside what this one has.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        *arguments: Any,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        with _environment(environment or {}):
            self._process = context.Process(
                target=_serve, args=(theirs, make, arguments), daemon=True
            )
            self._process.start()
        theirs.close()
        self._answer()

    def call(self, method: str, *arguments: Any) -> Any:
        """What a method of the object gives.

        Raises:
            WorkerError: It failed there; the message holds its traceback.
        """
        self._pipe.send((method, arguments))
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> Any:
        try:
            failure, result = self._pipe.recv()
        except EOFError as error:
            self._process.join()
            raise WorkerError(
                f"A rival's process ended by itself, with code {self._process.exitcode}."
            ) from error
        if failure:
            raise WorkerError(f"A rival failed in its process:\n{failure}")
        return result


def _serve(pipe: Connection, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Makes the object, then answers calls until the other end is closed."""
    failure, target = _attempt(make, arguments)
    pipe.send((failure, None))
    while not failure:
        try:
            method, values = pipe.recv()
        except EOFError:
            return
        pipe.send(_attempt(methodcaller(method, *values), (target,)))


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "", function(*arguments)
    except Exception:  # Whatever it is, the process that asked tells it.
        return traceback.format_exc(), None


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
