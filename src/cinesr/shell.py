"""How a command ends when the shell, the system or somebody else wants it to: in words, tidily."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from cinesr.errors import CinesrError, refuse_for_memory

INTERRUPTED = 128 + signal.SIGINT
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class EndedBySignalError(SystemExit):
    """Raised in the main thread by a signal to end, so that everything is tidied up on the way."""


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Has a signal to end, and a closed terminal, end the block as Ctrl-C does.

    The exit code is 128 and the signal's number. A signal that whoever started the program has it
    ignore, as nohup does, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        for each in before:  # Once: what is being tidied up is not to be interrupted.
            signal.signal(each, signal.SIG_IGN)
        raise EndedBySignalError(128 + number)

    before = {each: signal.getsignal(each) for each in _ENDING}
    before = {each: how for each, how in before.items() if how is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each, how in before.items():
            signal.signal(each, how)


@contextmanager
def told_in_words() -> Iterator[None]:
    """Has what the system refuses come as an error of ours.

    Raises:
        CinesrError: Too little memory, a stdout that takes nothing more, or a working folder that
            is gone.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except (MemoryError, RuntimeError, ImportError, SystemError) as error:
        refuse_for_memory(error)
        raise
    except OSError as error:
        refuse_for_memory(error)
        if error.errno == errno.EPIPE:
            raise  # Whoever read the output has enough; click ends quietly.
        if error.filename is None and _takes_nothing(error):
            raise _no_stdout(error) from error
        if error.errno == errno.ENOENT and not _has_working_folder():
            raise CinesrError(
                "The folder you are in was removed.", hint="Change to another folder."
            ) from error
        raise


def say(text: str) -> None:
    """Tells something on stderr, if there is anybody to read it."""
    with suppress(OSError):
        click.echo(text, err=True)


def open_standard_streams() -> None:
    """Gives streams that are closed somewhere to lead to.

    Otherwise the next file that is opened takes such a number, and what a library prints goes into
    it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


def _has_working_folder() -> bool:
    try:
        return Path.cwd().exists()
    except OSError:
        return False


def _takes_nothing(error: OSError) -> bool:
    """Whether it came from printing; what is told on stderr raises nothing."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and at.tb_frame.f_code.co_filename in (__file__, click.utils.__file__)


def _no_stdout(error: OSError) -> CinesrError:
    # What still waits to be written would be tried again when the program ends.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return CinesrError(
        f"What this command prints could not be written: {error.strerror or error}.",
        hint="Send stdout elsewhere; a result that was written is whole.",
    )
