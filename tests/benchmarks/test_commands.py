"""A command's time, memory and failure are its own."""

import sys

import commands
import pytest

from cinesr.errors import CheckFailedError

MEBIBYTE = 2**20


def test_memory_and_time_are_those_of_the_process() -> None:
    code = "import time; held = bytearray(300 * 2**20); time.sleep(0.2)"
    large = commands.run([sys.executable, "-c", code])
    assert 300 * MEBIBYTE < large.peak_bytes < 2000 * MEBIBYTE
    assert large.seconds > 0.2


def test_a_command_that_fails_is_no_result() -> None:
    code = "import sys; print('the reason'); sys.exit(5)"
    with pytest.raises(CheckFailedError, match=r"ended with code 5:\nthe reason"):
        commands.run([sys.executable, "-c", code])
