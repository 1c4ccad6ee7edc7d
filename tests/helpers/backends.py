"""Tests that are run again on another backend, because Keras chooses its own when it is loaded."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest


def repeat_on_torch(file: str) -> None:
    """Runs the tests of a file again, on torch.

    Args:
        file: That calls.
    """
    if os.environ.get("KERAS_BACKEND") == "torch":
        pytest.skip("this is the run on torch")
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert " passed" in result.stdout
