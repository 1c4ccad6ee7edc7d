"""`cinesr` as a user starts it: a process of its own, with its time and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cinesr.errors import CheckFailedError

CINESR = (sys.executable, "-c", "from cinesr.cli import main; main()")
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts a process's memory; see getrusage(2) of either system."""


@dataclass(frozen=True)
class Finished:
    """A process that has ended well.

    Args:
        seconds: From its start to its end.
        peak_bytes: The most memory that it held at once.
    """

    seconds: float
    peak_bytes: int


def run(line: Sequence[str]) -> Finished:
    """Runs a command and waits for it.

    Linux counts the memory of the process that starts another for that one too, until it runs its
    own program: whoever calls this has to be small itself.

    Args:
        line: The program and its arguments.

    Raises:
        CheckFailedError: It failed.
    """
    with tempfile.TemporaryFile() as talk:
        start = time.perf_counter()
        process = subprocess.Popen(line, stdout=talk, stderr=talk)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            talk.seek(0)
            words = talk.read().decode(errors="replace")
            raise CheckFailedError(
                f"{' '.join(line)}: ended with code {process.returncode}:\n{words}",
                hint="A benchmark runs only what works; try the command by itself.",
            )
    return Finished(seconds, usage.ru_maxrss * RSS_UNIT)
