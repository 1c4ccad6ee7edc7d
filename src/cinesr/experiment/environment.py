"""Where and with what an experiment was evaluated."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from cinesr import __version__


def machine() -> dict[str, str | int | None]:
    """The processor, how many cores it has, and the system; never the name of the computer."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="ignore").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    return {"processor": processor, "cores": os.cpu_count(), "system": platform.system()}


def versions() -> dict[str, str]:
    """Of this package and of those that its numbers depend on."""
    packages = ("numpy", "scipy", "openvino")
    return {
        "cinesr": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
